// What CUDA's headers take from its compiler, which is not there.
#pragma once
#define __host__
#define __device__
#define __cudart_builtin__
#define __device_builtin__
#define __device_builtin_texture_type__
#define __device_builtin_surface_type__
#define __builtin_align__(n) alignas(n)
#define __align__(n) alignas(n)
#define __specialization_static static
#define CUDARTAPI
#define CUDARTAPI_CDECL
#define CUDA_RT_CALL
