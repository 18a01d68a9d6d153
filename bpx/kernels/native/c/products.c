// Matrix products, for sizes at which to call BLAS costs more than it gains.
//
// Every number of the result is a sum over l = 0, 1, ..., m - 1 in this order, with fused multiply-add where the
// instruction set has it. So it is the same whichever tile it falls into, and however many threads share the rows.
#include "operation.h"

// Vectors of so many bytes, at any address that suits their numbers.
#define VECTOR(bytes) __attribute__((vector_size(bytes), aligned(sizeof(C)), may_alias))
#define SIZE_float 4
#define SIZE_double 8
#define JOIN(a, b) a##b
#define SIZE_OF(type) JOIN(SIZE_, type)
typedef C Bytes64 VECTOR(64);
typedef C Bytes32 VECTOR(32);
typedef C Bytes16 VECTOR(16);
#if SIZE_OF(BPX_REAL) == 4
typedef C Bytes8 VECTOR(8);
typedef C Bytes4;
#define FMA __builtin_fmaf
#else
typedef C Bytes8;
#define FMA __builtin_fma
#endif

// sum += left * right. Compilers fuse this in vectors everywhere, but not always in single numbers.
#define ADD_Bytes64(sum, left, right) ((sum) += (left) * (right))
#define ADD_Bytes32 ADD_Bytes64
#define ADD_Bytes16 ADD_Bytes64
#if defined(__FMA__) || defined(__aarch64__)
#define ADD_C(sum, left, right) ((sum) = FMA(left, right, sum))
#else
#define ADD_C ADD_Bytes64
#endif
#if SIZE_OF(BPX_REAL) == 4
#define ADD_Bytes8 ADD_Bytes64
#define ADD_Bytes4 ADD_C
#else
#define ADD_Bytes8 ADD_C
#endif

// The widest vector, and how many of them the registers hold as sums beside what is read.
#if defined(__AVX512F__)
#define WIDEST 64
#define REGISTERS 32
#elif defined(__AVX2__)
#define WIDEST 32
#define REGISTERS 16
#elif defined(__aarch64__)
#define WIDEST 16
#define REGISTERS 32
#else
#define WIDEST 16
#define REGISTERS 16
#endif

#if defined(__clang__)
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 8")
#endif
#define INLINE static inline __attribute__((always_inline))

// Some columns of a product. `a` and `out` begin at its first row, `b` and `out` at the first of the columns.
typedef struct {
  const C *a, *b;
  C *out;
  Index rows, m, k, a_row, a_column;
} Columns;

// Defines NAME(c, last): the columns [0, COUNT vectors of type V) and one vector of type U that begins at column
// `last`; it may overlap those before it, whose sums are then done twice. ROWS rows at a time, then fewer.
#define TILES(NAME, V, COUNT, U, ROWS)                                                                    \
  INLINE void NAME##_tile(const Columns *c, Index first, Index last, const int rows) {                    \
    const Index lanes = sizeof(V) / sizeof(C), k = c->k, m = c->m, a_column = c->a_column;                \
    const C *a[ROWS], *b = c->b;                                                                          \
    V sum[ROWS][COUNT + 1];                                                                               \
    U sum_last[ROWS];                                                                                     \
    UNROLLED for (int i = 0; i < rows; ++i) {                                                             \
      a[i] = c->a + (first + i) * c->a_row;                                                               \
      UNROLLED for (int j = 0; j < COUNT; ++j) sum[i][j] = (V){0};                                        \
      sum_last[i] = (U){0};                                                                               \
    }                                                                                                     \
    for (Index l = 0; l < m; ++l, b += k) {                                                               \
      V right[COUNT + 1];                                                                                 \
      UNROLLED for (int j = 0; j < COUNT; ++j) right[j] = *(const V *)(b + j * lanes);                    \
      const U right_last = *(const U *)(b + last);                                                        \
      UNROLLED for (int i = 0; i < rows; ++i) {                                                           \
        const C left = a[i][l * a_column];                                                                \
        UNROLLED for (int j = 0; j < COUNT; ++j) ADD_##V(sum[i][j], left, right[j]);                      \
        ADD_##U(sum_last[i], left, right_last);                                                           \
      }                                                                                                   \
    }                                                                                                     \
    C *out = c->out + first * k;                                                                          \
    UNROLLED for (int i = 0; i < rows; ++i, out += k) {                                                   \
      UNROLLED for (int j = 0; j < COUNT; ++j) *(V *)(out + j * lanes) = sum[i][j];                       \
      *(U *)(out + last) = sum_last[i];                                                                   \
    }                                                                                                     \
  }                                                                                                       \
  static void NAME(const Columns *c, Index last) {                                                        \
    Index i = 0;                                                                                          \
    for (; i + ROWS <= c->rows; i += ROWS) NAME##_tile(c, i, last, ROWS);                                 \
    if (ROWS > 4 && i + 4 <= c->rows) NAME##_tile(c, i, last, ROWS > 4 ? 4 : 1), i += 4;                  \
    if (ROWS > 2 && i + 2 <= c->rows) NAME##_tile(c, i, last, ROWS > 2 ? 2 : 1), i += 2;                  \
    if (ROWS > 1 && i < c->rows) NAME##_tile(c, i, last, 1);                                              \
  }

// Rows of a tile with one, two or three vectors: as many sums as the registers hold, and enough to hide the latency.
#if REGISTERS == 32
#define ROWS2 8
#define ROWS3 8
#else
#define ROWS2 4
#define ROWS3 4
#endif

// What is narrower than the widest vector is one vector, or two that may overlap.
typedef void (*Tiles)(const Columns *, Index);
#if SIZE_OF(BPX_REAL) == 4
TILES(only_4, Bytes4, 0, Bytes4, 8)
TILES(two_8, Bytes8, 1, Bytes8, ROWS2)
#endif
TILES(only_8, Bytes8, 0, Bytes8, 8)
TILES(only_16, Bytes16, 0, Bytes16, 8)
TILES(two_16, Bytes16, 1, Bytes16, ROWS2)
#if WIDEST >= 32
TILES(only_32, Bytes32, 0, Bytes32, 8)
TILES(two_32, Bytes32, 1, Bytes32, ROWS2)
TILES(one_32_and_16, Bytes32, 1, Bytes16, ROWS2)
#endif
#if WIDEST == 64
typedef Bytes64 Widest;
#define ADD_Widest ADD_Bytes64
TILES(only_64, Bytes64, 0, Bytes64, 8)
TILES(two_64, Bytes64, 1, Bytes64, ROWS2)
TILES(three_64, Bytes64, 2, Bytes64, ROWS3)
TILES(one_64_and_32, Bytes64, 1, Bytes32, ROWS2)
TILES(two_64_and_32, Bytes64, 2, Bytes32, ROWS3)
TILES(one_64_and_16, Bytes64, 1, Bytes16, ROWS2)
TILES(two_64_and_16, Bytes64, 2, Bytes16, ROWS3)
static const Tiles whole[] = {only_64, two_64, three_64};
static const Tiles with_32[] = {NULL, one_64_and_32, two_64_and_32};
static const Tiles with_16[] = {NULL, one_64_and_16, two_64_and_16};
#elif WIDEST == 32
typedef Bytes32 Widest;
#define ADD_Widest ADD_Bytes32
TILES(three_32, Bytes32, 2, Bytes32, ROWS3)
TILES(two_32_and_16, Bytes32, 2, Bytes16, ROWS3)
static const Tiles whole[] = {only_32, two_32, three_32};
#define with_32 whole
static const Tiles with_16[] = {NULL, one_32_and_16, two_32_and_16};
#else
typedef Bytes16 Widest;
#define ADD_Widest ADD_Bytes16
TILES(three_16, Bytes16, 2, Bytes16, ROWS3)
static const Tiles whole[] = {only_16, two_16, three_16};
#define with_32 whole
#define with_16 whole
#endif

// A row alone: up to eight vectors, so that their sums hide each other's latency.
#define WIDE(NAME, COUNT) TILES(NAME, Widest, COUNT, Widest, 1)
WIDE(row_1, 0)
WIDE(row_2, 1)
WIDE(row_3, 2)
WIDE(row_4, 3)
WIDE(row_5, 4)
WIDE(row_6, 5)
WIDE(row_7, 6)
WIDE(row_8, 7)
static const Tiles of_a_row[] = {row_1, row_2, row_3, row_4, row_5, row_6, row_7, row_8};

// Less than the widest vector.
static void multiply_narrow(const Columns *c, Index size) {
#define LAST(bytes) (c->k - (Index)(bytes / sizeof(C)))
#if SIZE_OF(BPX_REAL) == 4
  if (size == 4) only_4(c, 0);
  else if (size == 12) two_8(c, LAST(8));
  else
#endif
  if (size == 8) only_8(c, 0);
  else if (size == 16) only_16(c, 0);
  else if (size < 32) two_16(c, LAST(16));
#if WIDEST == 64
  else if (size == 32) only_32(c, 0);
  else if (size <= 48) one_32_and_16(c, LAST(16));
  else two_32(c, LAST(32));
#endif
}

static void multiply(const Columns *c) {
  const Index size = c->k * sizeof(C), lanes = WIDEST / sizeof(C), vectors = (size + WIDEST - 1) / WIDEST;
  if (size < WIDEST) {
    multiply_narrow(c, size);
    return;
  }
  // What is left of a vector is a narrower one, if that is enough.
  const Index rest = size % WIDEST, end = rest == 0 || rest > WIDEST / 2 ? WIDEST : rest > 16 ? 32 : 16;
  const Tiles *ending = end == WIDEST || c->rows == 1 ? whole : end == 32 ? with_32 : with_16;
  const Index last = c->k - (ending == whole ? WIDEST : end) / (Index)sizeof(C);
  const Index most = c->rows == 1 ? 8 : 3, panels = (vectors + most - 1) / most;
  for (Index p = 0; p < panels; ++p) {
    const Index first = vectors * p / panels, count = vectors * (p + 1) / panels - first;
    Columns columns = *c;
    columns.b += first * lanes;
    columns.out += first * lanes;
    const Tiles *tiles = c->rows == 1 ? of_a_row : p < panels - 1 ? whole : ending;
    tiles[count - 1](&columns, p < panels - 1 ? (count - 1) * lanes : last - first * lanes);
  }
}

OPERATION(product) {
  const Index networks = op->n[0], n = op->n[1], m = op->n[2], k = op->n[3], a_stride = op->n[4], b_stride = op->n[5];
  const Share share = share_of_rows(networks, n, part, parts);
  const Index rows = share.own.stop - share.own.first;
  if (rows == 0 || k == 0) return;
  for (Index network = share.networks.first; network < share.networks.stop; ++network) {
    const Columns columns = {
        .a = (const C *)op->p[0] + network * a_stride + share.own.first * op->n[6],
        .b = (const C *)op->p[1] + network * b_stride,
        .out = (C *)op->p[2] + network * op->n[8] + share.own.first * k,
        .rows = rows, .m = m, .k = k, .a_row = op->n[6], .a_column = op->n[7],
    };
    multiply(&columns);
  }
}

// Some rows and columns of a product a b^T, whose sums run along the rows of both. `out` is `width` wide.
typedef struct {
  const C *a, *b;
  C *out;
  Index rows, columns, m, width;
} Dots;

#if SIZE_OF(BPX_REAL) == 4
typedef int32_t Bits;
#else
typedef int64_t Bits;
#endif
typedef Bits Mask64 VECTOR(64);
typedef Bits Mask32 VECTOR(32);
typedef Bits Mask16 VECTOR(16);

// A mask of n lanes that begins at number n - r of the last 2 n keeps the last r of them.
static const Bits MASKS[32] = {[16] = -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};

// Adds a vector's halves, their halves, and so on.
INLINE C sum_16(Bytes16 x) {
#if SIZE_OF(BPX_REAL) == 4
  return (x[0] + x[2]) + (x[1] + x[3]);
#else
  return x[0] + x[1];
#endif
}
#define SUM(WHOLE, HALF)                                                                \
  INLINE C sum_##WHOLE(Bytes##WHOLE x) {                                                \
    Bytes##HALF low, high;                                                              \
    memcpy(&low, &x, sizeof low);                                                       \
    memcpy(&high, (const char *)&x + sizeof low, sizeof high);                          \
    return sum_##HALF(low + high);                                                      \
  }
#if WIDEST >= 32
SUM(32, 16)
#endif
#if WIDEST == 64
SUM(64, 32)
#endif

// Defines dots_BYTES(d): each number of a sum's vector adds every so many products in order, the last vector of a row
// begins before the one before it ends, and counts only what is new.
#define DOTS(BYTES)                                                                                       \
  INLINE void dots_##BYTES##_tile(const Dots *d, Index row, Index column, const int rows, const int columns) { \
    const Index lanes = BYTES / sizeof(C), m = d->m;                                                      \
    const C *a = d->a + row * m, *b = d->b + column * m;                                                  \
    Bytes##BYTES sum[4][8], right[8];                                                                     \
    UNROLLED for (int i = 0; i < rows; ++i)                                                               \
      UNROLLED for (int j = 0; j < columns; ++j) sum[i][j] = (Bytes##BYTES){0};                           \
    Index l = 0;                                                                                          \
    for (; l + lanes <= m; l += lanes) {                                                                  \
      UNROLLED for (int j = 0; j < columns; ++j) right[j] = *(const Bytes##BYTES *)(b + j * m + l);       \
      UNROLLED for (int i = 0; i < rows; ++i) {                                                           \
        const Bytes##BYTES left = *(const Bytes##BYTES *)(a + i * m + l);                                 \
        UNROLLED for (int j = 0; j < columns; ++j) sum[i][j] += left * right[j];                          \
      }                                                                                                   \
    }                                                                                                     \
    if (l < m) {                                                                                          \
      const Mask##BYTES keep = *(const Mask##BYTES *)(MASKS + 16 - lanes + m - l);                        \
      l = m - lanes;                                                                                      \
      UNROLLED for (int j = 0; j < columns; ++j)                                                          \
        right[j] = (Bytes##BYTES)(*(const Mask##BYTES *)(b + j * m + l) & keep);                          \
      UNROLLED for (int i = 0; i < rows; ++i) {                                                           \
        const Bytes##BYTES left = (Bytes##BYTES)(*(const Mask##BYTES *)(a + i * m + l) & keep);           \
        UNROLLED for (int j = 0; j < columns; ++j) sum[i][j] += left * right[j];                          \
      }                                                                                                   \
    }                                                                                                     \
    C *out = d->out + row * d->width + column;                                                            \
    UNROLLED for (int i = 0; i < rows; ++i, out += d->width)                                              \
      UNROLLED for (int j = 0; j < columns; ++j) out[j] = sum_##BYTES(sum[i][j]);                         \
  }                                                                                                       \
  static void dots_##BYTES(const Dots *d) {                                                               \
    Index i = 0;                                                                                          \
    for (; i + DOT_ROWS <= d->rows; i += DOT_ROWS) {                                                      \
      Index j = 0;                                                                                        \
      for (; j + 4 <= d->columns; j += 4) dots_##BYTES##_tile(d, i, j, DOT_ROWS, 4);                      \
      for (; j < d->columns; ++j) dots_##BYTES##_tile(d, i, j, DOT_ROWS, 1);                              \
    }                                                                                                     \
    for (; i < d->rows; ++i) {                                                                            \
      Index j = 0;                                                                                        \
      for (; j + 8 <= d->columns; j += 8) dots_##BYTES##_tile(d, i, j, 1, 8);                             \
      for (; j < d->columns; ++j) dots_##BYTES##_tile(d, i, j, 1, 1);                                     \
    }                                                                                                     \
  }
#if REGISTERS == 32
#define DOT_ROWS 4
#else
#define DOT_ROWS 2
#endif
DOTS(16)
#if WIDEST >= 32
DOTS(32)
#endif
#if WIDEST == 64
DOTS(64)
#endif

// Rows shorter than any vector.
static void dots_short(const Dots *d) {
  for (Index i = 0; i < d->rows; ++i) {
    for (Index j = 0; j < d->columns; ++j) {
      C sum = 0;
      for (Index l = 0; l < d->m; ++l) ADD_C(sum, d->a[i * d->m + l], d->b[j * d->m + l]);
      d->out[i * d->width + j] = sum;
    }
  }
}

OPERATION(product_dot) {
  const Index networks = op->n[0], n = op->n[1], m = op->n[2], k = op->n[3], size = m * sizeof(C);
  Range of_networks = {0, networks}, rows = {0, n}, columns = {0, k};
  if (networks > 1) of_networks = share_of(networks, 1, part, parts);
  else if (n >= parts) rows = share_of(n, 1, part, parts);
  else columns = share_of(k, 1, part, parts);
  for (Index network = of_networks.first; network < of_networks.stop; ++network) {
    const Dots dots = {
        .a = (const C *)op->p[0] + network * op->n[4] + rows.first * m,
        .b = (const C *)op->p[1] + network * op->n[5] + columns.first * m,
        .out = (C *)op->p[2] + network * op->n[6] + rows.first * k + columns.first,
        .rows = rows.stop - rows.first, .columns = columns.stop - columns.first, .m = m, .width = k,
    };
    if (size < 16) dots_short(&dots);
#if WIDEST == 64
    else if (size >= 64) dots_64(&dots);
#endif
#if WIDEST >= 32
    else if (size >= 32) dots_32(&dots);
#endif
    else dots_16(&dots);
  }
}

const NamedFunction NAME(products)[] = {{"product", product}, {"product_dot", product_dot}, {NULL, NULL}};
