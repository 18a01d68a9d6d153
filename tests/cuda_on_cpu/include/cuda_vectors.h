// float2, int4, dim3 and their like, with make_float2 and so on.
#pragma once

#define CUDA_ON_CPU_VECTORS(T, name, align2, align4)                                                     \
  struct name##1 { T x; };                                                                               \
  struct alignas(align2) name##2 { T x, y; };                                                            \
  struct name##3 { T x, y, z; };                                                                         \
  struct alignas(align4) name##4 { T x, y, z, w; };                                                      \
  [[maybe_unused]] static inline name##1 make_##name##1(T x) { return {x}; }                             \
  [[maybe_unused]] static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                     \
  [[maybe_unused]] static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }             \
  [[maybe_unused]] static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

CUDA_ON_CPU_VECTORS(signed char, char, 2, 4)
CUDA_ON_CPU_VECTORS(unsigned char, uchar, 2, 4)
CUDA_ON_CPU_VECTORS(short, short, 4, 8)
CUDA_ON_CPU_VECTORS(unsigned short, ushort, 4, 8)
CUDA_ON_CPU_VECTORS(int, int, 8, 16)
CUDA_ON_CPU_VECTORS(unsigned int, uint, 8, 16)
CUDA_ON_CPU_VECTORS(long long, longlong, 16, 16)
CUDA_ON_CPU_VECTORS(unsigned long long, ulonglong, 16, 16)
CUDA_ON_CPU_VECTORS(float, float, 8, 16)
CUDA_ON_CPU_VECTORS(double, double, 16, 16)
#undef CUDA_ON_CPU_VECTORS

struct dim3 {
  unsigned int x, y, z;
  constexpr dim3(unsigned int x_ = 1, unsigned int y_ = 1, unsigned int z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};
