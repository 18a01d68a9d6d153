// Programs: steps of training as tables of operations, run batch after batch and epoch after epoch, alone or by a team
// of threads.
#define _POSIX_C_SOURCE 200809L
#include "operation.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#define EXPORT __declspec(dllexport)
#else
#include <pthread.h>
#include <sched.h>
#define EXPORT __attribute__((visibility("default")))
#endif

// ------------------------------------------------------------------ what this library has

#define BOTH(isa) \
  extern const NamedFunction kernels_##isa##_float[], kernels_##isa##_double[]; \
  extern const NamedFunction products_##isa##_float[], products_##isa##_double[];
#define ENTRY(isa) {#isa, {{kernels_##isa##_float, products_##isa##_float}, {kernels_##isa##_double, products_##isa##_double}}},

#if defined(__x86_64__) || defined(_M_X64)
#define INSTRUCTIONS(OF) OF(avx512) OF(avx2) OF(base)
static int runs_here(const char *isa) {
  __builtin_cpu_init();
  if (!strcmp(isa, "avx512"))
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma");
  if (!strcmp(isa, "avx2")) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return 1;
}
#else
#ifdef __aarch64__
#define INSTRUCTIONS(OF) OF(neon)
#else
#define INSTRUCTIONS(OF) OF(base)
#endif
static int runs_here(const char *isa) {
  (void)isa;
  return 1;
}
#endif

INSTRUCTIONS(BOTH)
static const struct {
  const char *isa;
  const NamedFunction *tables[2][2];
} SETS[] = {INSTRUCTIONS(ENTRY)};
enum { SET_COUNT = sizeof(SETS) / sizeof(SETS[0]) };

// The hash of the sources that this was compiled from.
EXPORT const char *bpx_version(void) { return BPX_SOURCES; }

// The name of the instruction set number i, the best first, NULL behind the last; only what this processor has.
EXPORT const char *bpx_instructions(Index i) {
  for (Index set = 0; set < SET_COUNT; ++set)
    if (runs_here(SETS[set].isa) && i-- == 0) return SETS[set].isa;
  return NULL;
}

// An operation's function, of an instruction set and for double or float; NULL where there is none.
EXPORT Function bpx_function(const char *isa, Index is_double, const char *name) {
  for (Index set = 0; set < SET_COUNT; ++set)
    for (int table = 0; table < 2 && !strcmp(SETS[set].isa, isa); ++table)
      for (const NamedFunction *entry = SETS[set].tables[is_double != 0][table]; entry->name; ++entry)
        if (!strcmp(entry->name, name)) return entry->run;
  return NULL;
}

// ------------------------------------------------------------------ locks, threads and clocks

#ifdef _WIN32
typedef SRWLOCK Lock;
typedef CONDITION_VARIABLE Signal;
#define LOCK_INIT SRWLOCK_INIT
#define SIGNAL_INIT CONDITION_VARIABLE_INIT
static void lock(Lock *at) { AcquireSRWLockExclusive(at); }
static void unlock(Lock *at) { ReleaseSRWLockExclusive(at); }
static void sleep_on(Signal *signal, Lock *at) { SleepConditionVariableSRW(signal, at, INFINITE, 0); }
static void wake_all(Signal *signal) { WakeAllConditionVariable(signal); }
static double now(void) {
  LARGE_INTEGER count, frequency;
  QueryPerformanceCounter(&count);
  QueryPerformanceFrequency(&frequency);
  return (double)count.QuadPart / (double)frequency.QuadPart;
}
#else
typedef pthread_mutex_t Lock;
typedef pthread_cond_t Signal;
#define LOCK_INIT PTHREAD_MUTEX_INITIALIZER
#define SIGNAL_INIT PTHREAD_COND_INITIALIZER
static void lock(Lock *at) { pthread_mutex_lock(at); }
static void unlock(Lock *at) { pthread_mutex_unlock(at); }
static void sleep_on(Signal *signal, Lock *at) { pthread_cond_wait(signal, at); }
static void wake_all(Signal *signal) { pthread_cond_broadcast(signal); }
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
#endif

static void give_way(void) {
#ifdef _WIN32
  SwitchToThread();
#else
  sched_yield();
#endif
}

static inline void rest(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Turns of a waiting loop that keeps the core, a few microseconds, and then of one that gives it to whoever wants it,
// before a thread sleeps: to be woken can take longer than to wait.
enum { TURNS = 400, YIELDS = 100 };

// A step for batches of one size.
typedef struct {
  const Operation *operations;
  Index count;
  Index steps;    // in an epoch, or in this run
  int64_t *rows;  // where a batch's row numbers are read, (networks, size); NULL where every row is taken
  Index size;
} Step;

typedef struct {
  const Step *steps;  // of the different sizes, one after the other
  Index sizes;
  Index epochs;
  const int64_t *order;  // (epochs, networks, samples): the row numbers of all steps; NULL where every row is taken
  Index networks, samples;
  double *rate;  // what a step reads: the learning rates, how many steps were done, and this one's number from 1
  int64_t *done;
  double *number;
  const double *rates;  // (steps, rate_count), or (rate_count,) for all steps where rate_stride is 0
  Index rate_count, rate_stride;
  Index first;           // how many steps were done before these
  const Operation *end;  // done at the end of each epoch, or NULL
  const int64_t *stop;   // set by it to end the run
  double seconds;        // after which the run ends: with a step where `end` is NULL, else with an epoch
  Index threads;
  // What was done, and by how many threads.
  Index steps_done, epochs_done, parts;
} Program;

typedef struct {
  Program *program;
  double until;
  Index parts;
  Index left;  // workers that have not finished
  int ends;
  // The barrier: all parts wait until the last one has come.
  _Atomic Index here, generation, asleep;
  Lock lock;
  Signal signal;
} Team;

// Where a run is; the same in all of its threads.
typedef struct {
  const Step *step;
  const int64_t *order;
  Index done;
  int epoch_ends;
} Place;

// What is done once between two steps, while all threads wait.
static void between(Team *team, const Place *place) {
  Program *const program = team->program;
  if (place->epoch_ends) {
    program->end->run(program->end, 0, 1);
    if (*program->stop || now() > team->until) team->ends = 1;
    return;
  }
  if (!program->end && place->done && now() > team->until) {
    team->ends = 1;
    return;
  }
  const Step *const step = place->step;
  if (step->rows)
    for (Index network = 0; network < program->networks; ++network)
      memcpy(step->rows + network * step->size, place->order + network * program->samples,
             (size_t)step->size * sizeof(int64_t));
  memcpy(program->rate, program->rates + place->done * program->rate_stride,
         (size_t)program->rate_count * sizeof(double));
  program->done[0] = program->first + place->done;
  program->number[0] = (double)(program->first + place->done + 1);
}

// Waits until all threads have come; the last one does what is to be done before they go on.
static void meet(Team *team, const Place *place) {
  if (team->parts == 1) {
    if (place) between(team, place);
    return;
  }
  const Index generation = atomic_load(&team->generation);
  if (atomic_fetch_add(&team->here, 1) + 1 == team->parts) {
    if (place) between(team, place);
    atomic_store(&team->here, 0);
    atomic_store(&team->generation, generation + 1);
    if (atomic_load(&team->asleep)) {
      lock(&team->lock);
      wake_all(&team->signal);
      unlock(&team->lock);
    }
    return;
  }
  for (int turn = 0; turn < TURNS; ++turn) {
    if (atomic_load_explicit(&team->generation, memory_order_acquire) != generation) return;
    rest();
  }
  for (int turn = 0; turn < YIELDS; ++turn) {
    if (atomic_load_explicit(&team->generation, memory_order_acquire) != generation) return;
    give_way();
  }
  lock(&team->lock);
  atomic_fetch_add(&team->asleep, 1);
  while (atomic_load(&team->generation) == generation) sleep_on(&team->signal, &team->lock);
  atomic_fetch_sub(&team->asleep, 1);
  unlock(&team->lock);
}

static void run_part(Team *team, Index part) {
  Program *const program = team->program;
  const Index parts = team->parts;
  Place place = {NULL, NULL, 0, 0};
  Index epoch = 0;
  while (epoch < program->epochs && !team->ends) {
    if (program->order) place.order = program->order + epoch * program->networks * program->samples;
    for (Index size = 0; size < program->sizes; ++size) {
      place.step = program->steps + size;
      for (Index number = 0; number < place.step->steps; ++number) {
        meet(team, &place);
        if (team->ends) goto ended;
        for (const Operation *op = place.step->operations, *last = op + place.step->count; op < last; ++op) {
          if (op->waits) meet(team, NULL);
          op->run(op, part, parts);
        }
        if (place.order) place.order += place.step->size;
        place.done += 1;
      }
    }
    epoch += 1;
    if (program->end) {
      place.epoch_ends = 1;
      meet(team, &place);
      place.epoch_ends = 0;
    }
  }
ended:
  if (part == 0) program->steps_done = place.done, program->epochs_done = epoch;
}

// ------------------------------------------------------------------ the threads

typedef struct Worker Worker;
struct Worker {
  Worker *next;  // in the list of those that have nothing to do
  Team *team;
  Index part;
  Signal signal;
};

enum { MOST_WORKERS = 255 };

static Lock pool = LOCK_INIT;
static Signal somebody_done = SIGNAL_INIT;
static Worker *idle = NULL;
static Index workers = 0;
// Threads that run programs now, of all calls.
static Index running = 0;
static int forked = 0;

static void work(Worker *self) {
  lock(&pool);
  for (;;) {
    while (!self->team) sleep_on(&self->signal, &pool);
    Team *const team = self->team;
    unlock(&pool);
    run_part(team, self->part);
    lock(&pool);
    self->team = NULL;
    self->next = idle;
    idle = self;
    team->left -= 1;  // then the caller may go on, whose `team` it is
    wake_all(&somebody_done);
  }
}

#ifdef _WIN32
static DWORD WINAPI begin(void *self) {
  work(self);
  return 0;
}
static int start(Worker *worker) {
  HANDLE thread = CreateThread(NULL, 0, begin, worker, 0, NULL);
  if (thread) CloseHandle(thread);
  return thread != NULL;
}
#else
static void *begin(void *self) {
  work(self);
  return NULL;
}
// A child of fork has none of the threads and must not wait for them.
static void after_fork(void) {
  forked = 1;
  idle = NULL;
  workers = running = 0;
  pthread_mutex_init(&pool, NULL);
}
// When the library is loaded: threads that never began a team may run programs, too, while another thread forks.
__attribute__((constructor)) static void prepare_for_fork(void) { pthread_atfork(NULL, NULL, after_fork); }
static int start(Worker *worker) {
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  const int failed = pthread_create(&thread, &attributes, begin, worker);
  pthread_attr_destroy(&attributes);
  return !failed;
}
#endif

// Idle workers for the shares of a team, as many as threads are free, up to `most`; how many. The lock is held.
static Index take_workers(Team *team, Index most) {
  Index taken = 0;
  while (taken < most && running < team->program->threads && !forked) {
    Worker *worker = idle;
    if (worker) {
      idle = worker->next;
    } else {
      if (workers == MOST_WORKERS || !(worker = calloc(1, sizeof(Worker)))) break;
      worker->signal = (Signal)SIGNAL_INIT;
      if (!start(worker)) {
        free(worker);
        break;
      }
      workers += 1;
    }
    taken += 1;
    running += 1;
    worker->part = taken;
    worker->team = team;
    wake_all(&worker->signal);
  }
  return taken;
}

// Runs a program with up to `program->threads` threads, fewer where other calls have them.
EXPORT void bpx_run(Program *program) {
  Team team = {.program = program, .until = now() + program->seconds, .lock = LOCK_INIT, .signal = SIGNAL_INIT};
  lock(&pool);
  running += 1;
  const Index taken = take_workers(&team, program->threads - 1);
  team.parts = program->parts = taken + 1;
  team.left = taken;
  unlock(&pool);
  run_part(&team, 0);
  lock(&pool);
  while (team.left) sleep_on(&somebody_done, &pool);
  running -= taken + 1;
  unlock(&pool);
}

// Runs one operation.
EXPORT void bpx_call(const Operation *operation) { operation->run(operation, 0, 1); }
