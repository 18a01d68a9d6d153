// The runtime's functions on devices and memory, as CuPy's runtime module calls them.
#include "core.h"

#include <cstdio>
#include <cstring>

#include "cuda_profiler_api.h"

using namespace cuda_on_cpu;

static bool valid(int wanted) { return wanted >= 0 && wanted < devices; }

// What cudaMemcpy calls the ends of a copy has to be where its kind says; a plain address is the host's.
static cudaError_t check_copy(void* to, const void* from, size_t size, cudaMemcpyKind kind, const char** name) {
  const Allocation *target = find_allocation(to, size), *source = find_allocation(from, size);
  const bool to_device = target ? target->type != cudaMemoryTypeHost : false;
  const bool from_device = source ? source->type != cudaMemoryTypeHost : false;
  if (kind == cudaMemcpyDefault)
    kind = to_device ? (from_device ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
                     : (from_device ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
  if ((kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) && !to_device) return cudaErrorInvalidValue;
  if ((kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice) && !from_device) return cudaErrorInvalidValue;
  // An address inside device memory whose range runs over its end is no host address.
  if ((!target && find_allocation(to)) || (!source && find_allocation(from))) return cudaErrorInvalidValue;
  *name = kind == cudaMemcpyHostToDevice     ? "copy_to_device"
          : kind == cudaMemcpyDeviceToHost   ? "copy_to_host"
          : kind == cudaMemcpyDeviceToDevice ? "copy_on_device"
                                             : "copy_on_host";
  return cudaSuccess;
}

extern "C" {
#pragma GCC visibility push(default)

cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaPeekAtLastError() { return cudaSuccess; }

#define ERRORS(X)                                                                                                     \
  X(cudaSuccess, "no error") X(cudaErrorInvalidValue, "invalid argument") X(cudaErrorMemoryAllocation, "out of memory") \
  X(cudaErrorInvalidDevice, "invalid device ordinal") X(cudaErrorNotSupported, "operation not supported")             \
  X(cudaErrorInvalidResourceHandle, "invalid resource handle") X(cudaErrorIllegalState, "illegal state")              \
  X(cudaErrorIllegalAddress, "an illegal memory access was encountered")                                              \
  X(cudaErrorLaunchFailure, "unspecified launch failure") X(cudaErrorUnknown, "unknown error")                        \
  X(cudaErrorPeerAccessAlreadyEnabled, "peer access is already enabled")                                              \
  X(cudaErrorPeerAccessNotEnabled, "peer access has not been enabled")                                                \
  X(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing")                            \
  X(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture")                     \
  X(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate capture sequences")                   \
  X(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began")                          \
  X(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work")                                             \
  X(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream")                       \
  X(cudaErrorStreamCaptureImplicit, "operation would make the legacy stream depend on a capturing blocking stream")   \
  X(cudaErrorStreamCaptureWrongThread, "attempt to terminate a thread-local capture sequence from another thread")    \
  X(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream")

const char* cudaGetErrorName(cudaError_t error) {
#define NAME(code, text) if (error == code) return #code;
  ERRORS(NAME)
  return "cudaErrorUnnamed";
}

const char* cudaGetErrorString(cudaError_t error) {
#define TEXT(code, text) if (error == code) return text;
  ERRORS(TEXT)
  return "an error of the imitation of CUDA";
}

cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* number) { return *number = devices, cudaSuccess; }
cudaError_t cudaGetDevice(int* result) { return *result = device(), cudaSuccess; }
cudaError_t cudaSetDevice(int wanted) {
  if (!valid(wanted)) return cudaErrorInvalidDevice;
  return device() = wanted, cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  Locked locked(lock());
  return wait_for_device();
}
cudaError_t cudaProfilerStart() { return cudaSuccess; }
cudaError_t cudaProfilerStop() { return cudaSuccess; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int wanted) {
  if (!valid(wanted)) return cudaErrorInvalidDevice;
  std::memset(static_cast<void*>(properties), 0, sizeof *properties);
  std::snprintf(properties->name, sizeof properties->name, "CUDA on the CPU (an imitation, no GPU)");
  size_t free;
  Locked locked(lock());
  memory_info(&free, &properties->totalGlobalMem);
  properties->major = 9, properties->minor = 0, properties->warpSize = 32, properties->multiProcessorCount = 132;
  properties->maxThreadsPerBlock = 1024, properties->maxThreadsPerMultiProcessor = 2048;
  properties->sharedMemPerBlock = 48 * 1024, properties->sharedMemPerBlockOptin = 227 * 1024;
  properties->regsPerBlock = 65536, properties->concurrentKernels = 1, properties->pciBusID = wanted + 1;
  for (int i = 0; i < 3; ++i) {
    properties->maxThreadsDim[i] = i < 2 ? 1024 : 64;
    properties->maxGridSize[i] = i ? 65535 : 2147483647;
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int wanted) {
  if (!valid(wanted)) return cudaErrorInvalidDevice;
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrMultiProcessorCount: *value = 132; break;
    case cudaDevAttrMaxThreadsPerBlock:
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY: *value = 1024; break;
    case cudaDevAttrMaxBlockDimZ: *value = 64; break;
    case cudaDevAttrMaxGridDimX: *value = 2147483647; break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: *value = 65535; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 48 * 1024; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 227 * 1024; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = 228 * 1024; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = 2048; break;
    case cudaDevAttrPciBusId: *value = wanted + 1; break;
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrMemoryPoolsSupported: *value = 1; break;
    default: *value = 0;
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int size, int wanted) {
  if (!valid(wanted)) return cudaErrorInvalidDevice;
  std::snprintf(text, size_t(size), "0000:%02X:00.0", wanted + 1);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetByPCIBusId(int* result, const char* text) {
  unsigned int domain, bus;
  if (std::sscanf(text, "%x:%x", &domain, &bus) != 2 || !valid(int(bus) - 1)) return cudaErrorInvalidValue;
  return *result = int(bus) - 1, cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int from, int to) {
  if (!valid(from) || !valid(to)) return cudaErrorInvalidDevice;
  return *can = from != to, cudaSuccess;
}
static bool peers[devices][devices];
cudaError_t cudaDeviceEnablePeerAccess(int to, unsigned int) {
  if (!valid(to) || to == device()) return cudaErrorInvalidDevice;
  bool& enabled = peers[device()][to];
  return enabled ? cudaErrorPeerAccessAlreadyEnabled : (enabled = true, cudaSuccess);
}
cudaError_t cudaDeviceDisablePeerAccess(int to) {
  if (!valid(to) || !peers[device()][to]) return cudaErrorPeerAccessNotEnabled;
  return peers[device()][to] = false, cudaSuccess;
}

static cudaError_t allocate_device(void** result, size_t size, cudaMemoryType type) {
  Locked locked(lock());
  if (const cudaError_t status = unsafe_call()) return status;
  return allocate(result, size, device(), type);
}
cudaError_t cudaMalloc(void** result, size_t size) { return allocate_device(result, size, cudaMemoryTypeDevice); }
cudaError_t cudaMallocManaged(void** result, size_t size, unsigned int) {
  return allocate_device(result, size, cudaMemoryTypeManaged);
}
cudaError_t cudaHostAlloc(void** result, size_t size, unsigned int) {
  return allocate_device(result, size, cudaMemoryTypeHost);
}
cudaError_t cudaFree(void* address) {
  Locked locked(lock());
  if (const cudaError_t status = unsafe_call()) return status;
  return release(address, false);
}
cudaError_t cudaFreeHost(void* address) {
  Locked locked(lock());
  if (const cudaError_t status = unsafe_call()) return status;
  return release(address, true);
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  Locked locked(lock());
  return memory_info(free, total), cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  Locked locked(lock());
  const Allocation* found = find_allocation(address);
  void* plain = const_cast<void*>(address);
  *attributes = {};
  attributes->type = found ? found->type : cudaMemoryTypeUnregistered;
  attributes->device = found ? found->device : -2;
  attributes->devicePointer = found ? plain : nullptr;
  attributes->hostPointer = found && found->type == cudaMemoryTypeDevice ? nullptr : plain;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind, cudaStream_t stream) {
  if (size == 0) return cudaSuccess;
  Locked locked(lock());
  const char* name;
  if (const cudaError_t status = check_copy(to, from, size, kind, &name)) return status;
  return submit(stream, name, [=] { return std::memmove(to, from, size), cudaSuccess; });
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind kind) {
  Locked locked(lock());
  if (const cudaError_t status = unsafe_call()) return status;
  count("synchronisations");
  return cudaMemcpyAsync(to, from, size, kind, nullptr);
}
cudaError_t cudaMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device, size_t size,
                                cudaStream_t stream) {
  if (!valid(to_device) || !valid(from_device)) return cudaErrorInvalidDevice;
  return cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToDevice, stream);
}
cudaError_t cudaMemcpyPeer(void* to, int to_device, const void* from, int from_device, size_t size) {
  return cudaMemcpyPeerAsync(to, to_device, from, from_device, size, nullptr);
}
cudaError_t cudaMemsetAsync(void* address, int value, size_t size, cudaStream_t stream) {
  if (size == 0) return cudaSuccess;
  Locked locked(lock());
  if (!find_allocation(address, size)) return cudaErrorInvalidValue;
  return submit(stream, "memset", [=] { return std::memset(address, value, size), cudaSuccess; });
}
cudaError_t cudaMemset(void* address, int value, size_t size) { return cudaMemsetAsync(address, value, size, nullptr); }

#pragma GCC visibility pop
}
