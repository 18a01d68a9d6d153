// The threads of a block, one after the other: a plain loop, or fibers where the source synchronises.
//
// A fiber runs until it waits at a barrier. When no fiber can go on, the barriers that all their threads have reached
// are opened; where there is none, the block is stuck, which is an error. CUDA_ON_CPU_ORDER=reversed runs blocks and
// threads from last to first: a kernel whose result changes with it lacks a barrier.
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

struct __half;
struct __nv_bfloat16;

namespace cuda_on_cpu {

constexpr int max_threads = 1024, lanes = 32;
constexpr std::size_t max_shared = 227 * 1024, stack_bytes = 384 * 1024;

alignas(128) static char dynamic_shared[max_shared];
static pthread_mutex_t launching = PTHREAD_MUTEX_INITIALIZER;
static const char* problem = nullptr;

struct Call {  // a kernel with its arguments
  void (*body)(void*);
  void* data;
};

inline void place_thread(unsigned int i) {
  threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
}

#ifdef CUDA_ON_CPU_FIBERS

enum State : unsigned char { absent, ready, at_block, at_warp, done };

struct Fiber {
  State state = absent;
  unsigned int mask = 0;          // of the warp's barrier it waits at
  unsigned long long given = 0;   // what it shows the other lanes
  bool started = false;
  jmp_buf place;
};

static Fiber fibers[max_threads];
static unsigned long long shown[max_threads / lanes][lanes];  // what each lane gave, once a warp's barrier opens
static unsigned int arrived[max_threads / lanes];             // the lanes that came to it
static unsigned int current;
static jmp_buf scheduler;
static Call work;

inline void wait(State state, unsigned int mask = 0, unsigned long long given = 0) {
  Fiber& me = fibers[current];
  me.state = state, me.mask = mask, me.given = given;
  if (_setjmp(me.place) == 0) _longjmp(scheduler, 1);
}

[[noreturn]] static void live() {  // a fiber outlives its kernel and serves the next
  for (;;) {
    work.body(work.data);
    wait(done);
  }
}

static void resume(unsigned int i) {
  current = i;
  place_thread(i);
  Fiber& fiber = fibers[i];
  if (_setjmp(scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.place, 1);
  fiber.started = true;
  ucontext_t context;
  getcontext(&context);
  // Stacks whose tops share an address's low bits would push each other out of the caches.
  context.uc_stack.ss_size = stack_bytes - i % 127 * 1088;
  context.uc_stack.ss_sp =
      mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (context.uc_stack.ss_sp == MAP_FAILED) std::abort();
  makecontext(&context, live, 0);
  setcontext(&context);
}

static bool open_warp(unsigned int first, unsigned int count) {
  // Lanes that wait with one mask go on when all of that mask's lanes that still run have come.
  bool opened = false;
  for (unsigned int lane = 0; lane < lanes && first + lane < count; ++lane) {
    if (fibers[first + lane].state != at_warp) continue;
    const unsigned int mask = fibers[first + lane].mask;
    unsigned int here = 0;
    bool complete = true;
    for (unsigned int other = 0; other < lanes && first + other < count; ++other) {
      const Fiber& fiber = fibers[first + other];
      if (!(mask >> other & 1u) || fiber.state == done) continue;
      if (fiber.state == at_warp && fiber.mask == mask) here |= 1u << other;
      else complete = false;
    }
    if (!complete) continue;
    for (unsigned int other = 0; other < lanes; ++other) {
      if (mask >> other & 1u) shown[first / lanes][other] = here >> other & 1u ? fibers[first + other].given : ~0ull;
      if (here >> other & 1u) fibers[first + other].state = ready;
    }
    arrived[first / lanes] = here;
    opened = true;
  }
  return opened;
}

static void run_block(const Call& call, unsigned int count, bool reversed) {
  work = call;
  for (unsigned int i = 0; i < count; ++i) fibers[i].state = ready;
  for (;;) {
    for (unsigned int i = 0; i < count; ++i) {
      const unsigned int thread = reversed ? count - 1 - i : i;
      if (fibers[thread].state == ready) resume(thread);
    }
    bool opened = false;
    unsigned int finished = 0, waiting = 0;
    for (unsigned int first = 0; first < count; first += lanes) opened |= open_warp(first, count);
    for (unsigned int i = 0; i < count; ++i) finished += fibers[i].state == done, waiting += fibers[i].state == at_block;
    if (finished == count) return;
    if (opened) continue;
    if (finished + waiting < count) {
      problem = "a block is stuck: some of its threads wait at a warp's barrier that others will not reach";
      // The stuck fibers are left behind: their stacks hold a kernel that never ends.
      for (unsigned int i = 0; i < count; ++i) fibers[i].started = false;
      return;
    }
    for (unsigned int i = 0; i < count; ++i)
      if (fibers[i].state == at_block) fibers[i].state = ready;
  }
}

#else

static void run_block(const Call& call, unsigned int count, bool reversed) {
  for (unsigned int i = 0; i < count; ++i) {
    place_thread(reversed ? count - 1 - i : i);
    call.body(call.data);
  }
}

#endif

static const char* run_grid(const Call& call, dim3 grid, dim3 block, std::size_t shared) {
  const unsigned long long threads = 1ull * block.x * block.y * block.z, blocks = 1ull * grid.x * grid.y * grid.z;
  if (threads == 0 || threads > max_threads || block.x > 1024 || block.y > 1024 || block.z > 64)
    return "a block has 1 to 1024 threads, at most 1024 x 1024 x 64";
  if (blocks == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    return "a grid has at least one block and at most 2147483647 x 65535 x 65535";
  if (shared > max_shared) return "a block has at most 227 KiB of shared memory";
  const char* order = std::getenv("CUDA_ON_CPU_ORDER");
  const bool reversed = order && std::strcmp(order, "reversed") == 0;
  pthread_mutex_lock(&launching);
  problem = nullptr;
  gridDim = grid, blockDim = block;
  for (unsigned long long i = 0; i < blocks && !problem; ++i) {
    const unsigned long long b = reversed ? blocks - 1 - i : i;
    blockIdx = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y)};
    std::memset(dynamic_shared, 0xff, shared);  // NaN: nothing may be read before it is written
    run_block(call, unsigned(threads), reversed);
  }
  const char* result = problem;
  pthread_mutex_unlock(&launching);
  return result;
}

template <class... A>
struct Bound {
  void (*kernel)(A...);
  void** params;
  template <std::size_t... i>
  void call(std::index_sequence<i...>) const {
    kernel(*static_cast<std::remove_const_t<std::remove_reference_t<A>>*>(params[i])...);
  }
  static void body(void* data) { static_cast<const Bound*>(data)->call(std::index_sequence_for<A...>{}); }
};

template <class... A>
const char* launch(void (*kernel)(A...), dim3 grid, dim3 block, std::size_t shared, void** params) {
  Bound<A...> bound{kernel, params};
  return run_grid({Bound<A...>::body, &bound}, grid, block, shared);
}

template <class... A>
constexpr int count_parameters(void (*)(A...)) {
  return sizeof...(A);
}

template <class... A>
void sizes_of_parameters(void (*)(A...), std::size_t* sizes) {
  std::size_t i = 0;
  ((sizes[i++] = sizeof(A)), ...);
}

// What a parameter is: f, i, u and b as NumPy has them, V for a 16-bit float beside these, 0 for what is none of them.
template <class T>
constexpr char kind_of() {
  if constexpr (std::is_same_v<T, bool>) return 'b';
  else if constexpr (std::is_floating_point_v<T> || std::is_same_v<T, __half>) return 'f';
  else if constexpr (std::is_same_v<T, __nv_bfloat16>) return 'V';
  else if constexpr (std::is_integral_v<T>) return std::is_signed_v<T> ? 'i' : 'u';
  else return '0';
}
// Of a number, or behind a '*' of the numbers it points to.
struct Type { char pointer, kind, bytes; };
template <class T>
constexpr Type type_of() {
  using Pointee = std::remove_cv_t<std::remove_pointer_t<T>>;
  if constexpr (std::is_void_v<Pointee>) return {'*', '0', 0};
  else return {std::is_pointer_v<T> ? '*' : ' ', kind_of<Pointee>(), char(sizeof(Pointee))};
}
template <class... A>
void types_of_parameters(void (*)(A...), Type* types) {
  std::size_t i = 0;
  ((types[i++] = type_of<A>()), ...);
}

}  // namespace cuda_on_cpu

// What host_compiler.py writes after the source, once for each kernel: what follows is the library's interface.
#define CUDA_ON_CPU_EXPORT(kernel, name)                                                                             \
  extern "C" __attribute__((visibility("default"))) const char* name##__launch(dim3 grid, dim3 block,                \
                                                                               std::size_t shared, void** params) {  \
    return cuda_on_cpu::launch(kernel, grid, block, shared, params);                                                 \
  }                                                                                                                  \
  extern "C" __attribute__((visibility("default"))) int name##__parameters(std::size_t* sizes) {                     \
    if (sizes) cuda_on_cpu::sizes_of_parameters(kernel, sizes);                                                      \
    return cuda_on_cpu::count_parameters(kernel);                                                                    \
  }                                                                                                                  \
  extern "C" __attribute__((visibility("default"))) void name##__types(cuda_on_cpu::Type* types) {                    \
    cuda_on_cpu::types_of_parameters(kernel, types);                                                                 \
  }

[[maybe_unused]] static inline void __threadfence() {}
[[maybe_unused]] static inline void __threadfence_block() {}
[[maybe_unused]] static inline void __threadfence_system() {}

#ifdef CUDA_ON_CPU_FIBERS

[[maybe_unused]] static inline void __syncthreads() { cuda_on_cpu::wait(cuda_on_cpu::at_block); }
[[maybe_unused]] static inline void __syncwarp(unsigned int mask = ~0u) { cuda_on_cpu::wait(cuda_on_cpu::at_warp, mask); }

namespace cuda_on_cpu {

template <class T>
unsigned long long* meet(unsigned int mask, T value) {  // all lanes show a value; returns the values of the warp
  static_assert(sizeof(T) <= 8);
  const unsigned int me = current;
  if (!(mask >> me % lanes & 1u)) {
    std::fprintf(stderr, "cuda_on_cpu: a lane calls a warp's function with a mask that leaves it out\n");
    std::abort();
  }
  unsigned long long given = 0;
  std::memcpy(&given, &value, sizeof value);
  wait(at_warp, mask, given);
  return shown[me / lanes];
}

template <class T>
T lane_value(unsigned int mask, T value, int source) {
  const unsigned long long* values = meet(mask, value);
  T result;
  std::memcpy(&result, &values[source], sizeof result);
  return result;
}

}  // namespace cuda_on_cpu

template <class T>
T __shfl_sync(unsigned int mask, T value, int source, int width = 32) {
  const int lane = cuda_on_cpu::current % 32;
  return cuda_on_cpu::lane_value(mask, value, (lane & -width) | (source & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned int mask, T value, int bits, int width = 32) {
  const int lane = cuda_on_cpu::current % 32, source = lane ^ bits;
  return cuda_on_cpu::lane_value(mask, value, source < (lane & -width) + width ? source : lane);
}
template <class T>
T __shfl_down_sync(unsigned int mask, T value, unsigned int by, int width = 32) {
  const int lane = cuda_on_cpu::current % 32;
  return cuda_on_cpu::lane_value(mask, value, (lane & (width - 1)) + int(by) < width ? lane + int(by) : lane);
}
template <class T>
T __shfl_up_sync(unsigned int mask, T value, unsigned int by, int width = 32) {
  const int lane = cuda_on_cpu::current % 32;
  return cuda_on_cpu::lane_value(mask, value, (lane & (width - 1)) >= int(by) ? lane - int(by) : lane);
}
[[maybe_unused]] static inline unsigned int __ballot_sync(unsigned int mask, int predicate) {
  const unsigned int warp = cuda_on_cpu::current / 32;
  const unsigned long long* values = cuda_on_cpu::meet(mask, predicate != 0);
  unsigned int bits = 0;
  for (int lane = 0; lane < 32; ++lane)
    if (cuda_on_cpu::arrived[warp] >> lane & 1u) bits |= unsigned(values[lane] & 1u) << lane;
  return bits;
}
[[maybe_unused]] static inline int __any_sync(unsigned int mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
[[maybe_unused]] static inline int __all_sync(unsigned int mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
[[maybe_unused]] static inline int __syncthreads_count(int predicate) {
  static int count;
  __syncthreads();
  count = 0;
  __syncthreads();
  count += predicate != 0;
  __syncthreads();
  return count;
}
[[maybe_unused]] static inline int __syncthreads_or(int predicate) { return __syncthreads_count(predicate) != 0; }
[[maybe_unused]] static inline int __syncthreads_and(int predicate) { return __syncthreads_count(!predicate) == 0; }

#endif
