// cuBLAS: products of matrices in float, double, half and bfloat16, and the vector functions CuPy uses.
//
// Operands are packed into the type that is computed in, then multiplied column by column. Matrices are column-major.
// TF32 is imitated: where it is asked for, float operands are rounded to 10 bits of mantissa first.
#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../include/cuda_small_floats.h"
#include "core.h"

using namespace cuda_on_cpu;

namespace {

enum Status { success = 0, invalid_value = 7, execution_failed = 13, not_supported = 15 };
enum Operation { plain = 0, transposed = 1, conjugated = 2 };
enum Type { r32f = 0, r64f = 1, r16f = 2, c32f = 4, c64f = 5, r16bf = 14 };
enum Compute { c32f_ = 68, c32f_pedantic = 69, fast_16f = 74, fast_16bf = 75,
               fast_tf32 = 77, c64f_ = 70, c64f_pedantic = 71 };
constexpr int math_tf32 = 3, on_device = 1;

struct Handle {
  cudaStream_t stream = nullptr;
  int math = 0, pointers = 0;
};

std::size_t bytes_of(int type) {
  switch (type) {
    case r32f: return 4;
    case r64f:
    case c32f: return 8;
    case c64f: return 16;
    default: return 2;
  }
}

template <class C>
C read(const void* base, int type, std::int64_t i) {
  switch (type) {
    case r32f: return C(static_cast<const float*>(base)[i]);
    case r64f: return C(static_cast<const double*>(base)[i]);
    case r16f: return C(decode(static_cast<const std::uint16_t*>(base)[i], 10, 15));
    case r16bf: return C(decode(static_cast<const std::uint16_t*>(base)[i], 7, 127));
    default: return C(0);
  }
}

template <class C>
void write(void* base, int type, std::int64_t i, C x) {
  switch (type) {
    case r32f: static_cast<float*>(base)[i] = float(x); break;
    case r64f: static_cast<double*>(base)[i] = double(x); break;
    case r16f: static_cast<std::uint16_t*>(base)[i] = encode(double(x), 10, 15); break;
    case r16bf: static_cast<std::uint16_t*>(base)[i] = encode(double(x), 7, 127); break;
    default: break;
  }
}

#define COMPLEX(T)                                                                                    \
  template <>                                                                                         \
  std::complex<T> read(const void* base, int, std::int64_t i) {                                       \
    return static_cast<const std::complex<T>*>(base)[i];                                              \
  }                                                                                                   \
  template <>                                                                                         \
  void write(void* base, int, std::int64_t i, std::complex<T> x) {                                    \
    static_cast<std::complex<T>*>(base)[i] = x;                                                       \
  }
COMPLEX(float)
COMPLEX(double)

float to_tf32(float x) {  // ten bits of mantissa, ties away from zero
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7f800000u) != 0x7f800000u) bits = (bits + 0x1000u) & ~0x1fffu;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

template <class C>
C conjugate(C x) {
  return x;
}
template <class T>
std::complex<T> conjugate(std::complex<T> x) {
  return std::conj(x);
}

struct Product {  // C = alpha op(A) op(B) + beta C
  int op_a, op_b, m, n, k;
  const void *alpha, *a, *b, *beta;
  void* c;
  int type_a, type_b, type_c, lda, ldb, ldc;
  std::int64_t stride_a = 0, stride_b = 0, stride_c = 0;
  int batch = 1;
  bool tf32 = false;
};

template <class C>
std::vector<C> packed(const void* x, int type, int op, int rows, int cols, int ld, bool tf32) {
  std::vector<C> result(std::size_t(rows) * std::size_t(cols));
  for (int j = 0; j < cols; ++j)
    for (int i = 0; i < rows; ++i) {
      C value = read<C>(x, type, op == plain ? i + std::int64_t(j) * ld : j + std::int64_t(i) * ld);
      if constexpr (std::is_same_v<C, float>)
        if (tf32) value = to_tf32(value);
      result[std::size_t(j) * std::size_t(rows) + std::size_t(i)] = op == conjugated ? conjugate(value) : value;
    }
  return result;
}

template <class C>
void multiply(const Product& p, const void* a, const void* b, void* c, C alpha, C beta) {
  const std::vector<C> left = packed<C>(a, p.type_a, p.op_a, p.m, p.k, p.lda, p.tf32);
  const std::vector<C> right = packed<C>(b, p.type_b, p.op_b, p.k, p.n, p.ldb, p.tf32);
  std::vector<C> column(std::size_t(p.m));
  for (int j = 0; j < p.n; ++j) {
    std::fill(column.begin(), column.end(), C(0));
    for (int l = 0; l < p.k; ++l) {
      const C factor = right[std::size_t(j) * std::size_t(p.k) + std::size_t(l)];
      const C* from = left.data() + std::size_t(l) * std::size_t(p.m);
      for (int i = 0; i < p.m; ++i) column[std::size_t(i)] += from[i] * factor;
    }
    for (int i = 0; i < p.m; ++i) {
      const std::int64_t at = i + std::int64_t(j) * p.ldc;
      C value = alpha * column[std::size_t(i)];
      if (beta != C(0)) value += beta * read<C>(c, p.type_c, at);  // beta 0 leaves a NaN in C unread
      write<C>(c, p.type_c, at, value);
    }
  }
}

template <class C>
int submit_product(const Handle* handle, Product p) {
  if (p.m < 0 || p.n < 0 || p.k < 0 || p.batch < 0 || p.ldc < p.m || p.ldc < 1) return invalid_value;
  if (p.lda < (p.op_a == plain ? p.m : p.k) || p.ldb < (p.op_b == plain ? p.k : p.n)) return invalid_value;
  C alpha{}, beta{};
  const bool later = handle->pointers == on_device;
  if (!later) std::memcpy(&alpha, p.alpha, sizeof alpha), std::memcpy(&beta, p.beta, sizeof beta);
  const auto work = [=]() mutable {
    if (later) std::memcpy(&alpha, p.alpha, sizeof alpha), std::memcpy(&beta, p.beta, sizeof beta);
    for (int i = 0; i < p.batch; ++i) {
      const auto at = [&](const void* base, std::int64_t stride, int type) {
        return static_cast<const char*>(base) + i * stride * std::int64_t(bytes_of(type));
      };
      multiply<C>(p, at(p.a, p.stride_a, p.type_a), at(p.b, p.stride_b, p.type_b),
                  const_cast<char*>(at(p.c, p.stride_c, p.type_c)), alpha, beta);
    }
    return cudaSuccess;
  };
  return submit(handle->stream, "product", work, true) ? execution_failed : success;
}

template <class C>
int submit_pointers(const Handle* handle, Product p, const void* const* a, const void* const* b, void* const* c) {
  C alpha, beta;
  std::memcpy(&alpha, p.alpha, sizeof alpha), std::memcpy(&beta, p.beta, sizeof beta);
  const auto work = [=] {
    for (int i = 0; i < p.batch; ++i) multiply<C>(p, a[i], b[i], c[i], alpha, beta);
    return cudaSuccess;
  };
  return submit(handle->stream, "product", work, true) ? execution_failed : success;
}

template <class C>
constexpr int type_of() {
  if constexpr (std::is_same_v<C, float>) return r32f;
  else if constexpr (std::is_same_v<C, double>) return r64f;
  else if constexpr (std::is_same_v<C, std::complex<float>>) return c32f;
  else return c64f;
}

int multiply_ex(const Handle* handle, Product p, int compute) {
  // The fast types round float32 operands; cuBLAS takes no others with them.
  const bool fast = compute == fast_tf32 || compute == fast_16f || compute == fast_16bf;
  const bool single = p.type_a == r32f || p.type_a == c32f;
  if (fast && !(single && p.type_b == p.type_a && p.type_c == p.type_a)) return not_supported;
  p.tf32 = p.type_a == r32f && (compute == fast_tf32 || (compute == c32f_ && handle->math == math_tf32));
  if (p.type_a == c32f) return submit_product<std::complex<float>>(handle, p);
  if (p.type_a == c64f) return submit_product<std::complex<double>>(handle, p);
  switch (compute) {
    case c64f_:
    case c64f_pedantic: return submit_product<double>(handle, p);
    case c32f_:
    case c32f_pedantic:
    case fast_tf32:
    case fast_16f:
    case fast_16bf: return submit_product<float>(handle, p);
    default: return missing("cublasGemmEx with this compute type"), not_supported;
  }
}

// The vector functions: a result goes where the handle's pointer mode says, which is a plain address here.
template <class F>
int submit_vector(const Handle* handle, F work) {
  return submit(handle->stream, "product", [=] { return work(), cudaSuccess; }, true) ? execution_failed : success;
}

}  // namespace

extern "C" {
#pragma GCC visibility push(default)

int cublasCreate_v2(Handle** handle) { return *handle = new Handle, success; }
int cublasDestroy_v2(Handle* handle) { return delete handle, success; }
int cublasGetVersion_v2(Handle*, int* version) { return *version = 120900, success; }
int cublasSetStream_v2(Handle* handle, cudaStream_t stream) { return handle->stream = stream, success; }
int cublasGetStream_v2(Handle* handle, cudaStream_t* stream) { return *stream = handle->stream, success; }
int cublasSetWorkspace_v2(Handle*, void*, std::size_t) { return success; }
int cublasSetMathMode(Handle* handle, int mode) { return handle->math = mode, success; }
int cublasGetMathMode(Handle* handle, int* mode) { return *mode = handle->math, success; }
int cublasSetPointerMode_v2(Handle* handle, int mode) { return handle->pointers = mode, success; }
int cublasGetPointerMode_v2(Handle* handle, int* mode) { return *mode = handle->pointers, success; }

int cublasGemmEx(Handle* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a, int type_a,
                 int lda, const void* b, int type_b, int ldb, const void* beta, void* c, int type_c, int ldc,
                 int compute, int) {
  return multiply_ex(handle, {op_a, op_b, m, n, k, alpha, a, b, beta, c, type_a, type_b, type_c, lda, ldb, ldc},
                     compute);
}
int cublasGemmStridedBatchedEx(Handle* handle, int op_a, int op_b, int m, int n, int k, const void* alpha,
                               const void* a, int type_a, int lda, long long stride_a, const void* b, int type_b,
                               int ldb, long long stride_b, const void* beta, void* c, int type_c, int ldc,
                               long long stride_c, int batch, int compute, int) {
  return multiply_ex(handle,
                     {op_a, op_b, m, n, k, alpha, a, b, beta, c, type_a, type_b, type_c, lda, ldb, ldc, stride_a,
                      stride_b, stride_c, batch},
                     compute);
}
int cublasSgemmEx(Handle* handle, int op_a, int op_b, int m, int n, int k, const float* alpha, const void* a,
                  int type_a, int lda, const void* b, int type_b, int ldb, const float* beta, void* c, int type_c,
                  int ldc) {
  return multiply_ex(handle, {op_a, op_b, m, n, k, alpha, a, b, beta, c, type_a, type_b, type_c, lda, ldb, ldc},
                     c32f_);
}

#define MATRIX_FUNCTIONS(X, C, compute)                                                                                \
  int cublas##X##gemm_v2(Handle* handle, int op_a, int op_b, int m, int n, int k, const C* alpha, const C* a, int lda, \
                         const C* b, int ldb, const C* beta, C* c, int ldc) {                                          \
    constexpr int t = type_of<C>();                                                                                    \
    return multiply_ex(handle, {op_a, op_b, m, n, k, alpha, a, b, beta, c, t, t, t, lda, ldb, ldc}, compute);          \
  }                                                                                                                    \
  int cublas##X##gemmStridedBatched(Handle* handle, int op_a, int op_b, int m, int n, int k, const C* alpha,           \
                                    const C* a, int lda, long long stride_a, const C* b, int ldb, long long stride_b,  \
                                    const C* beta, C* c, int ldc, long long stride_c, int batch) {                     \
    constexpr int t = type_of<C>();                                                                                    \
    return multiply_ex(handle,                                                                                         \
                       {op_a, op_b, m, n, k, alpha, a, b, beta, c, t, t, t, lda, ldb, ldc, stride_a, stride_b,         \
                        stride_c, batch},                                                                              \
                       compute);                                                                                       \
  }                                                                                                                    \
  int cublas##X##gemmBatched(Handle* handle, int op_a, int op_b, int m, int n, int k, const C* alpha,                  \
                             const C* const* a, int lda, const C* const* b, int ldb, const C* beta, C* const* c,       \
                             int ldc, int batch) {                                                                     \
    constexpr int t = type_of<C>();                                                                                    \
    return submit_pointers<C>(                                                                                         \
        handle,                                                                                                        \
        {op_a, op_b, m, n, k, alpha, nullptr, nullptr, beta, nullptr, t, t, t, lda, ldb, ldc, 0, 0, 0, batch},         \
        reinterpret_cast<const void* const*>(a), reinterpret_cast<const void* const*>(b),                              \
        reinterpret_cast<void* const*>(c));                                                                            \
  }                                                                                                                    \
  int cublas##X##gemv_v2(Handle* handle, int op, int m, int n, const C* alpha, const C* a, int lda, const C* x,        \
                         int step_x, const C* beta, C* y, int step_y) {                                                \
    constexpr int t = type_of<C>();                                                                                    \
    if (step_x < 1 || step_y < 1) return missing("cublas gemv with a negative increment"), not_supported;              \
    const int rows = op == plain ? m : n, inner = op == plain ? n : m;                                                 \
    /* y as a row: y^T = x^T op(A)^T, where a row has its increment as leading dimension */                            \
    if (op == conjugated && t >= c32f) return missing("cublas gemv, conjugated"), not_supported;                       \
    return multiply_ex(handle,                                                                                         \
                       {plain, op == plain ? transposed : plain, 1, rows, inner, alpha, x, a, beta, y, t, t, t,        \
                        step_x, lda, step_y},                                                                          \
                       compute);                                                                                       \
  }

MATRIX_FUNCTIONS(S, float, c32f_)
MATRIX_FUNCTIONS(D, double, c64f_)
MATRIX_FUNCTIONS(C, std::complex<float>, c32f_)
MATRIX_FUNCTIONS(Z, std::complex<double>, c64f_)

#define VECTOR_FUNCTIONS(X, C)                                                                                        \
  int cublas##X##dot_v2(Handle* handle, int n, const C* x, int step_x, const C* y, int step_y, C* result) {           \
    return submit_vector(handle, [=] {                                                                             \
      C sum = 0;                                                                                                      \
      for (std::int64_t i = 0; i < n; ++i) sum += x[i * step_x] * y[i * step_y];                                      \
      *result = sum;                                                                                                  \
    });                                                                                                               \
  }                                                                                                                   \
  int cublas##X##nrm2_v2(Handle* handle, int n, const C* x, int step, C* result) {                                    \
    return submit_vector(handle, [=] {                                                                             \
      double sum = 0;                                                                                                 \
      for (std::int64_t i = 0; i < n; ++i) sum += double(x[i * step]) * double(x[i * step]);                          \
      *result = C(std::sqrt(sum));                                                                                    \
    });                                                                                                               \
  }                                                                                                                   \
  int cublas##X##axpy_v2(Handle* handle, int n, const C* alpha, const C* x, int step_x, C* y, int step_y) {           \
    const C now = handle->pointers == on_device ? C(0) : *alpha;                                                      \
    const C* later = handle->pointers == on_device ? alpha : nullptr;                                                 \
    return submit_vector(handle, [=] {                                                                             \
      for (std::int64_t i = 0; i < n; ++i) y[i * step_y] += (later ? *later : now) * x[i * step_x];                   \
    });                                                                                                               \
  }                                                                                                                   \
  int cublas##X##scal_v2(Handle* handle, int n, const C* alpha, C* x, int step) {                                     \
    const C now = handle->pointers == on_device ? C(0) : *alpha;                                                      \
    const C* later = handle->pointers == on_device ? alpha : nullptr;                                                 \
    return submit_vector(handle, [=] {                                                                             \
      for (std::int64_t i = 0; i < n; ++i) x[i * step] *= later ? *later : now;                                       \
    });                                                                                                               \
  }                                                                                                                   \
  int cublas##X##ger_v2(Handle* handle, int m, int n, const C* alpha, const C* x, int step_x, const C* y, int step_y, \
                        C* a, int lda) {                                                                              \
    const C now = handle->pointers == on_device ? C(0) : *alpha;                                                      \
    const C* later = handle->pointers == on_device ? alpha : nullptr;                                                 \
    return submit_vector(handle, [=] {                                                                             \
      for (std::int64_t j = 0; j < n; ++j)                                                                            \
        for (std::int64_t i = 0; i < m; ++i)                                                                          \
          a[i + j * lda] += (later ? *later : now) * x[i * step_x] * y[j * step_y];                                   \
    });                                                                                                               \
  }                                                                                                                   \
  int cublas##X##dgmm(Handle* handle, int side, int m, int n, const C* a, int lda, const C* x, int step, C* c,        \
                      int ldc) {                                                                                      \
    return submit_vector(handle, [=] {                                                                             \
      for (std::int64_t j = 0; j < n; ++j)                                                                            \
        for (std::int64_t i = 0; i < m; ++i) c[i + j * ldc] = a[i + j * lda] * x[(side == 0 ? i : j) * step];         \
    });                                                                                                               \
  }

VECTOR_FUNCTIONS(S, float)
VECTOR_FUNCTIONS(D, double)

#pragma GCC visibility pop
}
