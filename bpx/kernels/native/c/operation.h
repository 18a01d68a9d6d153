// What every source here begins with: one operation of a program, and how the threads of a team share it.
//
// Each source is compiled once for each instruction set and each of float and double: C is the type of its numbers, as
// in the CUDA kernels. No source includes anything of Python or NumPy.
#ifndef BPX_OPERATION_H
#define BPX_OPERATION_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef int64_t Index;
typedef struct Operation Operation;
// Does share number `part` of `parts` of an operation. The results must not depend, not even in the last bit, on how
// many shares there are.
typedef void (*Function)(const Operation *, Index part, Index parts);

// One row of a program's table; bpx/kernels/native/program.py has the same structure.
struct Operation {
  Function run;
  Index waits;  // whether every share of all operations before it must be done
  Index n[13];  // sizes, strides and flags
  double x[6];  // numbers
  void *p[11];  // arrays
};

typedef struct {
  const char *name;
  Function run;
} NamedFunction;

typedef struct {
  Index first, stop;
} Range;

// Share number `part` of `total` things, in multiples of `unit`.
static inline Range share_of(Index total, Index unit, Index part, Index parts) {
  if (parts == 1) return (Range){0, total};
  const Index units = (total + unit - 1) / unit;
  Range range = {units * part / parts * unit, units * (part + 1) / parts * unit};
  if (range.first > total) range.first = total;
  if (range.stop > total) range.stop = total;
  return range;
}

// In which multiples rows are shared: all operations on the same rows share them in the same way.
static inline Index row_unit(Index rows) { return rows >= 64 ? 4 : 1; }

// The share of K networks and of what each of them has `total` of: whole networks of a stack, else a part of one's own.
typedef struct {
  Range networks, own;
} Share;
static inline Share share_of_stack(Index networks, Index total, Index unit, Index part, Index parts) {
  Share share = {{0, networks}, {0, total}};
  if (networks > 1) share.networks = share_of(networks, 1, part, parts);
  else share.own = share_of(total, unit, part, parts);
  return share;
}

static inline Share share_of_rows(Index networks, Index rows, Index part, Index parts) {
  return share_of_stack(networks, rows, row_unit(rows), part, parts);
}

// The share of something that is done once for each network: of one network it is the first share's.
static inline Range share_of_networks(Index networks, Index part, Index parts) {
  Range range = {0, part == 0 ? networks : 0};
  return networks > 1 ? share_of(networks, 1, part, parts) : range;
}

#ifdef BPX_REAL
typedef BPX_REAL C;
#define BPX_JOIN3(a, b, c) a##_##b##_##c
#define BPX_NAME(a, b, c) BPX_JOIN3(a, b, c)
// A name of this instruction set and type, such as products_avx2_float.
#define NAME(name) BPX_NAME(name, BPX_ISA, BPX_REAL)
#define RESTRICT restrict
#define OPERATION(name) static void name(const Operation *op, Index part, Index parts)
#endif

#endif
