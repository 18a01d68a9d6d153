// What the imitations of the runtime, the driver and cuBLAS share: devices, memory, streams, captures and counts.
//
// All work is done at once, in the calling thread, under one lock; a capturing stream notes it instead.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#define CUDA_ON_CPU_API __attribute__((visibility("default")))

namespace cuda_on_cpu {

constexpr int devices = 2;

using Work = std::function<cudaError_t()>;

struct Node {
  std::string kind;
  Work work;
};

struct Stream;

struct Capture {
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  Stream* origin;
  bool valid = true, over = false;
  std::vector<Node> nodes;
  std::map<Stream*, std::size_t> forks;  // streams that joined by an event: nodes they have that nothing waits for
};

struct Stream {
  int device;
  unsigned int flags;
  int priority;
  bool legacy = false;
  std::shared_ptr<Capture> capture;
};

struct Event {
  int device;
  unsigned int flags;
  bool recorded = false;
  double milliseconds = 0;
  std::shared_ptr<Capture> capture;  // in which it was recorded
  Stream* stream = nullptr;
};

struct Allocation {
  std::size_t size, rounded;
  int device;
  cudaMemoryType type;
};

// One thread at a time is in any of the imitation's functions.
CUDA_ON_CPU_API std::recursive_mutex& lock();
using Locked = std::lock_guard<std::recursive_mutex>;

CUDA_ON_CPU_API int& device();                       // the calling thread's
CUDA_ON_CPU_API void count(const std::string& key);  // one more of what tests ask for
CUDA_ON_CPU_API void missing(const char* function);  // say that a function is not imitated

CUDA_ON_CPU_API Stream* find_stream(cudaStream_t handle);  // null where there is none

// Do work now, or note it where the stream captures. Kernels need a stream of the current device.
CUDA_ON_CPU_API cudaError_t submit(cudaStream_t handle, const char* kind, Work work, bool on_current_device = false);

// What a call that could wait for the device does to captures: refused, and the capture is spoiled, as CUDA has it.
cudaError_t unsafe_call();
cudaError_t wait_for(Stream* stream);
cudaError_t wait_for_device();

cudaError_t allocate(void** result, std::size_t size, int device, cudaMemoryType type);
cudaError_t release(void* address, bool on_host);
const Allocation* find_allocation(const void* address, std::size_t size = 1);
cudaError_t check_guards();  // cudaErrorIllegalAddress where something was written behind an allocation
void memory_info(std::size_t* free, std::size_t* total);

}  // namespace cuda_on_cpu
