// Matrix products, for sizes at which to call BLAS costs more than it gains.
//
// Every number of `product` is a sum over l = 0, 1, ..., m - 1 in this order, with fused multiply-add where the
// instruction set has it. So it is the same whichever tile it falls into, and however many threads share the rows.
#include "operation.h"

#define JOIN(a, b) a##b
#define SIZE_float 4
#define SIZE_double 8
#define SIZE_OF(type) JOIN(SIZE_, type)
#define INLINE static inline __attribute__((always_inline))
// FIRST_OF is the beginning of a vector that repeats a number: written so that each compiler reads the number once.
#if defined(__clang__)
#define UNROLLED _Pragma("clang loop unroll(full)")
#define FIRST_OF(vector, U, number) (number)
#else
#define UNROLLED _Pragma("GCC unroll 8")
#define FIRST_OF(vector, U, number) *(const Bytes##U *)&vector
#endif

// Vectors of so many bytes, at any address that suits their numbers; where one number has as many bytes, that.
#define VECTOR(bytes) __attribute__((vector_size(bytes), aligned(sizeof(C)), may_alias))
typedef C Bytes64 VECTOR(64);
typedef C Bytes32 VECTOR(32);
typedef C Bytes16 VECTOR(16);
#if SIZE_OF(BPX_REAL) == 4
typedef int32_t Bits;
typedef C Bytes8 VECTOR(8);
typedef C Bytes4;
#define FUSED __builtin_fmaf
#else
typedef int64_t Bits;
typedef C Bytes8;
#define FUSED __builtin_fma
#endif
typedef Bits Mask64 VECTOR(64);
typedef Bits Mask32 VECTOR(32);
typedef Bits Mask16 VECTOR(16);

// sum += a * b. Compilers fuse this in vectors everywhere, but in single numbers only where they see fit.
#define ADD_64(sum, a, b) ((sum) += (a) * (b))
#define ADD_32 ADD_64
#define ADD_16 ADD_64
#if defined(__FMA__) || defined(__aarch64__)
#define ADD_NUMBER(sum, a, b) ((sum) = FUSED(a, b, sum))
#else
#define ADD_NUMBER ADD_64
#endif
#if SIZE_OF(BPX_REAL) == 4
#define ADD_8 ADD_64
#define ADD_4 ADD_NUMBER
#else
#define ADD_8 ADD_NUMBER
#endif

// The widest vector. A tile has at most MOST of them side by side, in 6 or 8 rows: its sums, and what is read for them,
// must fit into the registers. Where these are few and tiles small, PACKS: the right factor is read too often to come
// from a far cache.
#if defined(__AVX512F__)
#define WIDEST 64
typedef Bytes64 Widest;
#elif defined(__AVX2__)
#define WIDEST 32
typedef Bytes32 Widest;
#else
#define WIDEST 16
typedef Bytes16 Widest;
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
#define MOST 3
#define PACKS 0
#define TALL 4
#define DOT_ROWS 4
#else
#define MOST 2
#define PACKS 1
#define TALL 2
#define DOT_ROWS 2
#endif
enum { LANES = WIDEST / sizeof(C) };

// Some rows of a product: a[i, l] is a[i * a_row + l * a_column], b[l, j] is b[l * b_row + j], and out[i, j] is
// out[i * width + j]. The sums go on from what is in `out` if `begun`.
typedef struct {
  const C *a, *b;
  C *out;
  Index rows, m, a_row, a_column, b_row, width;
  int begun;
} Product;
typedef void (*Tiles)(const Product *, C *out, Index last, const C *b, Index b_row, Index b_last);

// Defines NAME(p, out, last, b, b_row, b_last): COUNT vectors of V bytes where the rows of `out` and `b` begin, and one
// of U bytes at column `last` of `out` and `b_last` of `b`. It may overlap those before it, whose sums are then done
// twice. ROWS rows at a time, then fewer.
#define TILES(NAME, V, COUNT, U, ROWS)                                                                           \
  INLINE void NAME##_tile(const Product p, Index row, C *out, Index last, const C *b, Index b_row, Index b_last, \
                          const int rows) {                                                                      \
    const Index lanes = V / sizeof(C), m = p.m, a_column = p.a_column, width = p.width;                          \
    const C *a[ROWS];                                                                                            \
    out += row * width;                                                                                          \
    Bytes##V sum[ROWS][COUNT + 1], right[COUNT + 1];                                                             \
    Bytes##U sum_last[ROWS];                                                                                     \
    UNROLLED for (int i = 0; i < rows; ++i) {                                                                    \
      a[i] = p.a + (row + i) * p.a_row;                                                                          \
      UNROLLED for (int j = 0; j < COUNT; ++j) sum[i][j] = (Bytes##V){0};                                        \
      sum_last[i] = (Bytes##U){0};                                                                               \
    }                                                                                                            \
    if (PACKS && V == WIDEST && p.begun) {                                                                       \
      UNROLLED for (int i = 0; i < rows; ++i) {                                                                  \
        UNROLLED for (int j = 0; j < COUNT; ++j) sum[i][j] = *(const Bytes##V *)(out + i * width + j * lanes);   \
        sum_last[i] = *(const Bytes##U *)(out + i * width + last);                                               \
      }                                                                                                          \
    }                                                                                                            \
    for (Index l = 0; l < m; ++l, b += b_row) {                                                                  \
      UNROLLED for (int j = 0; j < COUNT; ++j) right[j] = *(const Bytes##V *)(b + j * lanes);                    \
      const Bytes##U right_last = *(const Bytes##U *)(b + b_last);                                               \
      UNROLLED for (int i = 0; i < rows; ++i) {                                                                  \
        const Bytes##V left = a[i][l * a_column] - (Bytes##V){0};                                                \
        UNROLLED for (int j = 0; j < COUNT; ++j) ADD_##V(sum[i][j], left, right[j]);                             \
        ADD_##U(sum_last[i], FIRST_OF(left, U, a[i][l * a_column]), right_last);                                 \
      }                                                                                                          \
    }                                                                                                            \
    UNROLLED for (int i = 0; i < rows; ++i) {                                                                    \
      UNROLLED for (int j = 0; j < COUNT; ++j) *(Bytes##V *)(out + i * width + j * lanes) = sum[i][j];           \
      *(Bytes##U *)(out + i * width + last) = sum_last[i];                                                       \
    }                                                                                                            \
  }                                                                                                              \
  static void NAME(const Product *product, C *out, Index last, const C *b, Index b_row, Index b_last) {          \
    const Product p = *product;                                                                                  \
    Index i = 0;                                                                                                 \
    for (; i + ROWS <= p.rows; i += ROWS) NAME##_tile(p, i, out, last, b, b_row, b_last, ROWS);                  \
    if (ROWS > 4 && i + 4 <= p.rows) NAME##_tile(p, i, out, last, b, b_row, b_last, ROWS > 4 ? 4 : 1), i += 4;   \
    if (ROWS > 2 && i + 2 <= p.rows) NAME##_tile(p, i, out, last, b, b_row, b_last, ROWS > 2 ? 2 : 1), i += 2;   \
    if (ROWS > 1 && i < p.rows) NAME##_tile(p, i, out, last, b, b_row, b_last, 1);                               \
  }

// What is narrower than the widest vector is one vector, or two that may overlap.
#if SIZE_OF(BPX_REAL) == 4
TILES(only_4, 4, 0, 4, 8)
TILES(two_8, 8, 1, 8, 6)
#endif
TILES(only_8, 8, 0, 8, 8)
TILES(only_16, 16, 0, 16, 8)
TILES(two_16, 16, 1, 16, 6)
#if WIDEST >= 32
TILES(only_32, 32, 0, 32, 8)
TILES(two_32, 32, 1, 32, 6)
TILES(one_32_and_16, 32, 1, 16, 6)
#endif
// The last of the widest vectors may be a narrower one.
#if WIDEST == 64
TILES(only_64, 64, 0, 64, 8)
TILES(two_64, 64, 1, 64, 6)
TILES(one_64_and_32, 64, 1, 32, 6)
TILES(one_64_and_16, 64, 1, 16, 6)
TILES(three_64, 64, 2, 64, 8)
TILES(two_64_and_32, 64, 2, 32, 8)
TILES(two_64_and_16, 64, 2, 16, 8)
static const Tiles whole[] = {only_64, two_64, three_64};
static const Tiles with_32[] = {NULL, one_64_and_32, two_64_and_32};
static const Tiles with_16[] = {NULL, one_64_and_16, two_64_and_16};
#elif WIDEST == 32
static const Tiles whole[] = {only_32, two_32};
#define with_32 whole
static const Tiles with_16[] = {NULL, one_32_and_16};
#else
#if MOST == 3
TILES(three_16, 16, 2, 16, 8)
static const Tiles whole[] = {only_16, two_16, three_16};
#else
static const Tiles whole[] = {only_16, two_16};
#endif
#define with_32 whole
#define with_16 whole
#endif

// A row alone: up to eight vectors, so that their sums hide each other's latency.
#define WIDE_ROW(NAME, COUNT) TILES_OF(NAME, WIDEST, COUNT, WIDEST, 1)
#define TILES_OF(NAME, V, COUNT, U, ROWS) TILES(NAME, V, COUNT, U, ROWS)
WIDE_ROW(row_of_1, 0)
WIDE_ROW(row_of_2, 1)
WIDE_ROW(row_of_3, 2)
WIDE_ROW(row_of_4, 3)
WIDE_ROW(row_of_5, 4)
WIDE_ROW(row_of_6, 5)
WIDE_ROW(row_of_7, 6)
WIDE_ROW(row_of_8, 7)
static const Tiles of_a_row[] = {
    row_of_1, row_of_2, row_of_3, row_of_4, row_of_5, row_of_6, row_of_7, row_of_8,
};

// Defines NAME(p, first): COLUMNS columns from `first` on, for a transposed `a`: its rows lie side by side, so that a
// vector holds numbers of several rows. Few columns fill no vector.
#define TALL_TILES(NAME, COLUMNS)                                                                \
  INLINE void NAME##_tile(const Product *p, Index row, Index first, const int vectors) {         \
    const Index m = p->m, a_column = p->a_column, b_row = p->b_row;                              \
    const C *a = p->a + row, *b = p->b + first;                                                  \
    Widest sum[COLUMNS][TALL], left[TALL];                                                       \
    UNROLLED for (int j = 0; j < COLUMNS; ++j)                                                   \
      UNROLLED for (int v = 0; v < vectors; ++v) sum[j][v] = (Widest){0};                        \
    for (Index l = 0; l < m; ++l, a += a_column, b += b_row) {                                   \
      UNROLLED for (int v = 0; v < vectors; ++v) left[v] = *(const Widest *)(a + v * LANES);     \
      UNROLLED for (int j = 0; j < COLUMNS; ++j) {                                               \
        const Widest right = b[j] - (Widest){0};                                                 \
        UNROLLED for (int v = 0; v < vectors; ++v) sum[j][v] += left[v] * right;                 \
      }                                                                                          \
    }                                                                                            \
    C turned[COLUMNS][TALL * LANES];                                                             \
    UNROLLED for (int j = 0; j < COLUMNS; ++j)                                                   \
      UNROLLED for (int v = 0; v < vectors; ++v) *(Widest *)(turned[j] + v * LANES) = sum[j][v]; \
    C *out = p->out + row * p->width + first;                                                    \
    for (int i = 0; i < vectors * LANES; ++i, out += p->width)                                   \
      UNROLLED for (int j = 0; j < COLUMNS; ++j) out[j] = turned[j][i];                          \
  }                                                                                              \
  static void NAME(const Product *p, Index first) {                                              \
    Index i = 0;                                                                                 \
    for (; i + TALL * LANES <= p->rows; i += TALL * LANES) NAME##_tile(p, i, first, TALL);       \
    for (; i + LANES <= p->rows; i += LANES) NAME##_tile(p, i, first, 1);                        \
    if (i < p->rows) NAME##_tile(p, p->rows - LANES, first, 1);                                  \
  }
TALL_TILES(tall_1, 1)
TALL_TILES(tall_2, 2)
TALL_TILES(tall_3, 3)
TALL_TILES(tall_4, 4)
TALL_TILES(tall_5, 5)

// How many of what is left make the next panel, of at most `most`: not many, and then few.
static Index next_panel(Index left, Index most) { return left <= most ? left : left < 2 * most ? left / 2 : most; }

static void multiply_tall(const Product *p) {
  static void (*const tall[])(const Product *, Index) = {tall_1, tall_2, tall_3, tall_4, tall_5};
  for (Index first = 0; first < p->width;) {
    const Index count = next_panel(p->width - first, 5);
    tall[count - 1](p, first);
    first += count;
  }
}

// Where `out` is narrower than the widest vector.
static void multiply_narrow(const Product *p) {
#define AT(bytes) (p->width - (Index)(bytes / sizeof(C)))
#define RUN(tiles, bytes) tiles(p, p->out, AT(bytes), p->b, p->b_row, AT(bytes))
  const Index size = p->width * sizeof(C);
#if SIZE_OF(BPX_REAL) == 4
  if (size == 4) RUN(only_4, 4);
  else if (size == 12) RUN(two_8, 8);
  else
#endif
  if (size == 8) RUN(only_8, 8);
  else if (size == 16) RUN(only_16, 16);
  else if (size < 32) RUN(two_16, 16);
#if WIDEST == 64
  else if (size == 32) RUN(only_32, 32);
  else if (size <= 48) RUN(one_32_and_16, 16);
  else RUN(two_32, 32);
#endif
}

// Copies the vectors before `last` and the one of `end` bytes there.
static void copy_panel(C *to, const C *from, Index b_row, Index m, Index before, Index last, Index end) {
  for (Index l = 0; l < m; ++l, from += b_row, to += before + LANES) {
    for (Index j = 0; j < before; j += LANES) *(Widest *)(to + j) = *(const Widest *)(from + j);
    if (end == WIDEST) *(Widest *)(to + before) = *(const Widest *)(from + last);
    else if (end == 32) *(Bytes32 *)(to + before) = *(const Bytes32 *)(from + last);
    else *(Bytes16 *)(to + before) = *(const Bytes16 *)(from + last);
  }
}

// Panels of columns one after the other, so that what they read of `b` is in a near cache for all rows. Where there is
// `packed`, it is copied there first.
static void multiply_wide(const Product *p, C *packed) {
  const Index k = p->width, vectors = (k + LANES - 1) / LANES, rest = k * sizeof(C) % WIDEST;
  // What is left of a vector is a narrower one, if that is enough.
  const Index end = p->rows == 1 || rest == 0 || rest > WIDEST / 2 ? WIDEST : rest > 16 ? 32 : 16;
  const Tiles *ending = end == WIDEST ? whole : end == 32 ? with_32 : with_16;
  for (Index done = 0; done < vectors;) {
    const Index count = next_panel(vectors - done, p->rows == 1 ? 8 : MOST), first = done * LANES;
    const int is_last = done + count == vectors;
    const Index last = is_last ? k - end / (Index)sizeof(C) - first : (count - 1) * LANES;
    const Tiles tiles = p->rows == 1 ? of_a_row[count - 1] : is_last ? ending[count - 1] : whole[count - 1];
    if (packed) {
      copy_panel(packed, p->b + first, p->b_row, p->m, (count - 1) * LANES, last, is_last ? end : WIDEST);
      tiles(p, p->out + first, last, packed, count * LANES, (count - 1) * LANES);
    } else {
      tiles(p, p->out + first, last, p->b + first, p->b_row, last);
    }
    done += count;
  }
}

// So many rows of `b` at a time, copied so that a panel of them stays in the nearest cache.
static void multiply_blocks(const Product *p) {
  enum { BLOCK = 128 };
  C packed[BLOCK * MOST * LANES] __attribute__((aligned(64)));
  const Index most = p->a_column == 1 ? BLOCK : BLOCK / 2;  // a transposed `a` is read from as many pages of memory
  for (Index l = 0; l < p->m; l += most) {
    Product block = *p;
    block.a += l * p->a_column;
    block.b += l * p->b_row;
    block.m = p->m - l < most ? p->m - l : most;
    block.begun = l > 0;
    multiply_wide(&block, packed);
  }
}

// Which way was fastest was measured; the numbers are the same in each.
static void multiply(const Product *p) {
  const Index k = p->width, few = PACKS && sizeof(C) == 8 ? LANES : 2 * LANES;
  if (p->a_row == 1 && p->rows >= LANES && k < few && k % LANES != 0) multiply_tall(p);
  else if (k < LANES) multiply_narrow(p);
  else if (PACKS && p->rows >= 24 && p->rows * p->m * k * (Index)sizeof(C) >= 16000000) multiply_blocks(p);
  else multiply_wide(p, NULL);
}

OPERATION(product) {
  const Index networks = op->n[0], n = op->n[1], m = op->n[2], k = op->n[3], a_stride = op->n[4], b_stride = op->n[5];
  const Share share = share_of_rows(networks, n, part, parts);
  const Index rows = share.own.stop - share.own.first;
  if (rows == 0 || k == 0) return;
  for (Index network = share.networks.first; network < share.networks.stop; ++network) {
    const Product whole_share = {
        .a = (const C *)op->p[0] + network * a_stride + share.own.first * op->n[6],
        .b = (const C *)op->p[1] + network * b_stride,
        .out = (C *)op->p[2] + network * op->n[8] + share.own.first * k,
        .rows = rows, .m = m, .a_row = op->n[6], .a_column = op->n[7], .b_row = k, .width = k,
    };
    multiply(&whole_share);
  }
}

// Some rows and columns of a product a b^T, whose sums run along the rows of both. `out` is `width` wide.
typedef struct {
  const C *a, *b;
  C *out;
  Index rows, columns, m, width;
} Dots;

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
#define SUM(WHOLE, HALF)                                       \
  INLINE C sum_##WHOLE(Bytes##WHOLE x) {                       \
    Bytes##HALF low, high;                                     \
    memcpy(&low, &x, sizeof low);                              \
    memcpy(&high, (const char *)&x + sizeof low, sizeof high); \
    return sum_##HALF(low + high);                             \
  }
#if WIDEST >= 32
SUM(32, 16)
#endif
#if WIDEST == 64
SUM(64, 32)
#endif

// Defines dots_BYTES(d): each number of a sum's vector adds every so many products in order, the last vector of a row
// begins before the one before it ends, and counts only what is new.
#define DOTS(BYTES)                                                                                            \
  INLINE void dots_##BYTES##_tile(const Dots *d, Index row, Index column, const int rows, const int columns) { \
    const Index lanes = BYTES / sizeof(C), m = d->m;                                                           \
    const C *a = d->a + row * m, *b = d->b + column * m;                                                       \
    Bytes##BYTES sum[4][8], right[8];                                                                          \
    UNROLLED for (int i = 0; i < rows; ++i)                                                                    \
      UNROLLED for (int j = 0; j < columns; ++j) sum[i][j] = (Bytes##BYTES){0};                                \
    Index l = 0;                                                                                               \
    for (; l + lanes <= m; l += lanes) {                                                                       \
      UNROLLED for (int j = 0; j < columns; ++j) right[j] = *(const Bytes##BYTES *)(b + j * m + l);            \
      UNROLLED for (int i = 0; i < rows; ++i) {                                                                \
        const Bytes##BYTES left = *(const Bytes##BYTES *)(a + i * m + l);                                      \
        UNROLLED for (int j = 0; j < columns; ++j) sum[i][j] += left * right[j];                               \
      }                                                                                                        \
    }                                                                                                          \
    if (l < m) {                                                                                               \
      const Mask##BYTES keep = *(const Mask##BYTES *)(MASKS + 16 - lanes + m - l);                             \
      l = m - lanes;                                                                                           \
      UNROLLED for (int j = 0; j < columns; ++j)                                                               \
        right[j] = (Bytes##BYTES)(*(const Mask##BYTES *)(b + j * m + l) & keep);                               \
      UNROLLED for (int i = 0; i < rows; ++i) {                                                                \
        const Bytes##BYTES left = (Bytes##BYTES)(*(const Mask##BYTES *)(a + i * m + l) & keep);                \
        UNROLLED for (int j = 0; j < columns; ++j) sum[i][j] += left * right[j];                               \
      }                                                                                                        \
    }                                                                                                          \
    C *out = d->out + row * d->width + column;                                                                 \
    UNROLLED for (int i = 0; i < rows; ++i, out += d->width)                                                   \
      UNROLLED for (int j = 0; j < columns; ++j) out[j] = sum_##BYTES(sum[i][j]);                              \
  }                                                                                                            \
  static void dots_##BYTES(const Dots *d) {                                                                    \
    Index i = 0;                                                                                               \
    for (; i + DOT_ROWS <= d->rows; i += DOT_ROWS) {                                                           \
      Index j = 0;                                                                                             \
      for (; j + 4 <= d->columns; j += 4) dots_##BYTES##_tile(d, i, j, DOT_ROWS, 4);                           \
      for (; j < d->columns; ++j) dots_##BYTES##_tile(d, i, j, DOT_ROWS, 1);                                   \
    }                                                                                                          \
    for (; i < d->rows; ++i) {                                                                                 \
      Index j = 0;                                                                                             \
      for (; j + 8 <= d->columns; j += 8) dots_##BYTES##_tile(d, i, j, 1, 8);                                  \
      for (; j < d->columns; ++j) dots_##BYTES##_tile(d, i, j, 1, 1);                                          \
    }                                                                                                          \
  }
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
      for (Index l = 0; l < d->m; ++l) ADD_NUMBER(sum, d->a[i * d->m + l], d->b[j * d->m + l]);
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
