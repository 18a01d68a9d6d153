// The part of cuda_runtime.h that needs no CUDA compiler.
#pragma once
#include <cuda_runtime_api.h>
#include <driver_functions.h>
