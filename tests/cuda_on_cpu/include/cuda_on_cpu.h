// CUDA C++ for g++: what a kernel's source may use. Put before every source by host_compiler.py.
#pragma once

#include <cassert>
#include <climits>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)
#define __CUDACC_VER_MAJOR__ 12

#include "cuda_vectors.h"

// Where a thread stands. One block runs at a time, one thread of it at a time.
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
[[maybe_unused]] static constexpr int warpSize = 32;

#include "cuda_threads.h"
#include "cuda_numbers.h"
#include "cuda_half.h"
