// The driver's functions: contexts, modules and launches. A module's image is a shared library of host_compiler.py.
#include <cuda.h>
#include <dlfcn.h>
#include <elf.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "core.h"

using namespace cuda_on_cpu;

namespace {

struct Size3 {
  unsigned int x, y, z;
};
using Launch = const char* (*)(Size3 grid, Size3 block, std::size_t shared, void** params);
using Parameters = int (*)(std::size_t* sizes);

struct Kernel {
  std::string name;
  Launch launch;
  std::vector<std::size_t> sizes;
  int shared = 48 * 1024;  // the most dynamic shared memory, unless the kernel asks for more
};

struct Module {
  void* library;
  std::map<std::string, Kernel> kernels;
};

char contexts[devices];

CUcontext context(int of) { return reinterpret_cast<CUcontext>(&contexts[of]); }

std::size_t image_size(const void* image) {  // g++ writes the table of sections last
  Elf64_Ehdr header;
  std::memcpy(&header, image, sizeof header);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return 0;
  return header.e_shoff + std::size_t(header.e_shnum) * header.e_shentsize;
}

CUresult code(cudaError_t error) { return static_cast<CUresult>(error); }

}  // namespace

extern "C" {
#pragma GCC visibility push(default)

CUresult cuInit(unsigned int) { return CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int* version) { return *version = CUDA_VERSION, CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int* number) { return *number = devices, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice* result, int ordinal) { return *result = ordinal, CUDA_SUCCESS; }

CUresult cuGetErrorName(CUresult error, const char** text) {
  return *text = cudaGetErrorName(static_cast<cudaError_t>(error)), CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult error, const char** text) {
  switch (error) {
    case CUDA_ERROR_NOT_FOUND: *text = "named symbol not found"; break;
    case CUDA_ERROR_INVALID_IMAGE: *text = "device kernel image is invalid"; break;
    default: *text = cudaGetErrorString(static_cast<cudaError_t>(error));
  }
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice) { return CUDA_SUCCESS; }
CUresult cuCtxGetCurrent(CUcontext* result) { return *result = context(device()), CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext wanted) {
  for (int i = 0; i < devices; ++i)
    if (context(i) == wanted) device() = i;
  return CUDA_SUCCESS;
}
CUresult cuCtxGetDevice(CUdevice* result) { return *result = device(), CUDA_SUCCESS; }
CUresult cuStreamGetCtx(CUstream handle, CUcontext* result) {
  Locked locked(lock());
  const Stream* stream = find_stream(handle);
  if (!stream) return CUDA_ERROR_INVALID_HANDLE;
  return *result = context(stream->device), CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule* result, const void* image) {
  Locked locked(lock());
  if (const cudaError_t status = unsafe_call()) return code(status);
  const std::size_t size = image_size(image);
  if (!size) return CUDA_ERROR_INVALID_IMAGE;
  std::string path = (std::filesystem::temp_directory_path() / "cuda_on_cpu_module_XXXXXX").string();
  const int file = mkstemp(path.data());
  if (file < 0) return CUDA_ERROR_FILE_NOT_FOUND;
  const bool written = write(file, image, size) == ssize_t(size);
  close(file);
  void* library = written ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (!library) std::fprintf(stderr, "cuda_on_cpu: %s\n", dlerror());
  unlink(path.c_str());
  if (!library) return CUDA_ERROR_INVALID_IMAGE;
  *result = reinterpret_cast<CUmodule>(new Module{library, {}});
  return CUDA_SUCCESS;
}
CUresult cuModuleLoadDataEx(CUmodule* result, const void* image, unsigned int, CUjit_option*, void**) {
  return cuModuleLoadData(result, image);
}
CUresult cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }  // its fibers' stacks may still hold its code

CUresult cuModuleGetFunction(CUfunction* result, CUmodule handle, const char* name) {
  Locked locked(lock());
  Module* module = reinterpret_cast<Module*>(handle);
  const std::string entry = name;
  const auto launch = reinterpret_cast<Launch>(dlsym(module->library, (entry + "__launch").c_str()));
  const auto parameters = reinterpret_cast<Parameters>(dlsym(module->library, (entry + "__parameters").c_str()));
  if (!launch || !parameters) return CUDA_ERROR_NOT_FOUND;
  std::vector<std::size_t> sizes(std::size_t(parameters(nullptr)));
  parameters(sizes.data());
  *result = reinterpret_cast<CUfunction>(&module->kernels.try_emplace(entry, Kernel{entry, launch, sizes}).first->second);
  return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                        unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared,
                        CUstream stream, void** params, void**) {
  const Kernel* kernel = reinterpret_cast<const Kernel*>(function);
  const unsigned long long threads = 1ull * block_x * block_y * block_z;
  if (!threads || threads > 1024 || block_z > 64 || !grid_x || !grid_y || !grid_z) return CUDA_ERROR_INVALID_VALUE;
  if (grid_x > 0x7fffffffu || grid_y > 65535 || grid_z > 65535) return CUDA_ERROR_INVALID_VALUE;
  if (shared > unsigned(kernel->shared)) return CUDA_ERROR_INVALID_VALUE;
  std::vector<std::string> values;
  for (std::size_t i = 0; i < kernel->sizes.size(); ++i)
    values.emplace_back(static_cast<const char*>(params[i]), kernel->sizes[i]);
  const auto work = [=] {
    std::vector<std::vector<std::max_align_t>> cells;
    std::vector<void*> addresses;
    for (const std::string& value : values) {
      cells.emplace_back(value.size() / sizeof(std::max_align_t) + 1);
      std::memcpy(cells.back().data(), value.data(), value.size());
      addresses.push_back(cells.back().data());
    }
    const char* problem =
        kernel->launch({grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, addresses.data());
    if (!problem) return cudaSuccess;
    std::fprintf(stderr, "cuda_on_cpu: %s: %s\n", kernel->name.c_str(), problem);
    return std::strstr(problem, "stuck") ? cudaErrorLaunchFailure : cudaErrorInvalidValue;
  };
  return code(submit(stream, "kernel", work, true));
}

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                                   unsigned int block_x, unsigned int block_y, unsigned int block_z,
                                   unsigned int shared, CUstream stream, void** params) {
  return cuLaunchKernel(function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared, stream, params, nullptr);
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = 32; break;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION: *value = 90; break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      *value = reinterpret_cast<Kernel*>(function)->shared;
      break;
    default: *value = 0;
  }
  return CUDA_SUCCESS;
}
CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_SUCCESS;
  if (value < 0 || value > 227 * 1024) return CUDA_ERROR_INVALID_VALUE;
  reinterpret_cast<Kernel*>(function)->shared = value;
  return CUDA_SUCCESS;
}
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction, int size, size_t) {
  return *blocks = size > 0 ? 2048 / size : 0, CUDA_SUCCESS;
}
CUresult cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction, CUoccupancyB2DSize, size_t, int limit) {
  *block = limit > 0 && limit < 1024 ? limit : 1024, *grid = 132 * 2;
  return CUDA_SUCCESS;
}

#pragma GCC visibility pop
}
