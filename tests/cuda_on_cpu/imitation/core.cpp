// Devices, memory and counts.
#include "core.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

namespace cuda_on_cpu {

static std::map<std::string, unsigned long long> counts;
static std::map<const char*, Allocation> allocations;
static std::size_t used[devices];

std::recursive_mutex& lock() {
  static std::recursive_mutex& mutex = *new std::recursive_mutex;  // outlives Python's last destructors
  return mutex;
}

int& device() {
  static thread_local int current = 0;
  return current;
}

void count(const std::string& key) {
  Locked locked(lock());
  ++counts[key];
}

void missing(const char* function) {
  static std::set<std::string> told;
  Locked locked(lock());
  if (told.insert(function).second)
    std::fprintf(stderr, "cuda_on_cpu: %s is called, and the imitation of CUDA has no such function\n", function);
}

static std::size_t capacity() {
  const char* bytes = std::getenv("CUDA_ON_CPU_MEMORY");
  return bytes && *bytes ? std::size_t(std::atof(bytes)) : std::size_t(4) << 30;
}

void memory_info(std::size_t* free, std::size_t* total) {
  *total = capacity();
  *free = *total > used[device()] ? *total - used[device()] : 0;
}

// Behind each allocation are bytes that nothing may write: who does has left its array.
constexpr std::size_t unit = 512;
constexpr char guard = 0x5a;

static cudaError_t check_guard(const char* address, const Allocation& allocation) {
  for (std::size_t i = allocation.size; i < allocation.rounded + unit; ++i) {
    if (address[i] == guard) continue;
    std::fprintf(stderr, "cuda_on_cpu: something wrote %zu bytes behind an allocation of %zu bytes\n",
                 i - allocation.size, allocation.size);
    return cudaErrorIllegalAddress;
  }
  return cudaSuccess;
}

cudaError_t check_guards() {
  for (const auto& [address, allocation] : allocations)
    if (const cudaError_t status = check_guard(address, allocation)) return status;
  return cudaSuccess;
}

cudaError_t allocate(void** result, std::size_t size, int on, cudaMemoryType type) {
  *result = nullptr;
  if (size == 0) return cudaSuccess;
  const std::size_t rounded = (size + unit - 1) / unit * unit;
  const bool counted = type != cudaMemoryTypeHost;
  if (rounded < size || (counted && used[on] + rounded > capacity())) return cudaErrorMemoryAllocation;
  char* address = static_cast<char*>(std::aligned_alloc(unit, rounded + unit));
  if (!address) return cudaErrorMemoryAllocation;
  if (rounded <= (64u << 20)) std::memset(address, 0xff, rounded);  // NaN, until something is written
  std::memset(address + size, guard, rounded + unit - size);
  allocations[address] = {size, rounded, on, type};
  if (counted) used[on] += rounded, count("allocations");
  *result = address;
  return cudaSuccess;
}

cudaError_t release(void* address, bool on_host) {
  if (!address) return cudaSuccess;
  const auto found = allocations.find(static_cast<char*>(address));
  if (found == allocations.end() || (found->second.type == cudaMemoryTypeHost) != on_host) return cudaErrorInvalidValue;
  if (!on_host) used[found->second.device] -= found->second.rounded, count("frees");
  const cudaError_t status = check_guard(found->first, found->second);
  allocations.erase(found);
  std::free(address);
  return status;
}

const Allocation* find_allocation(const void* address, std::size_t size) {
  const char* wanted = static_cast<const char*>(address);
  auto found = allocations.upper_bound(wanted);
  if (found == allocations.begin()) return nullptr;
  --found;
  const std::size_t offset = std::size_t(wanted - found->first);
  return offset < found->second.size && size <= found->second.size - offset ? &found->second : nullptr;
}

}  // namespace cuda_on_cpu

// For Python: counts as lines "key value", the length needed is returned; and a new start.
extern "C" CUDA_ON_CPU_API std::size_t cuda_on_cpu_counts(char* text, std::size_t size) {
  cuda_on_cpu::Locked locked(cuda_on_cpu::lock());
  std::string lines;
  for (const auto& [key, value] : cuda_on_cpu::counts) lines += key + " " + std::to_string(value) + "\n";
  if (text && size) std::snprintf(text, size, "%s", lines.c_str());
  return lines.size() + 1;
}

extern "C" CUDA_ON_CPU_API void cuda_on_cpu_reset_counts() {
  cuda_on_cpu::Locked locked(cuda_on_cpu::lock());
  cuda_on_cpu::counts.clear();
}
