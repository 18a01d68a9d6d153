// Streams, events, captures and graphs.
#include "core.h"

#include <chrono>
#include <cstdio>
#include <set>

namespace cuda_on_cpu {

static std::set<std::shared_ptr<Capture>> captures;  // those under way
static std::set<Stream*> streams;

Stream* find_stream(cudaStream_t handle) {
  static Stream legacy[devices], per_thread[devices];
  if (!handle || handle == cudaStreamLegacy) {
    legacy[device()].legacy = true;
    legacy[device()].device = device();
    return &legacy[device()];
  }
  if (handle == cudaStreamPerThread) {
    per_thread[device()].device = device();
    return &per_thread[device()];
  }
  Stream* stream = reinterpret_cast<Stream*>(handle);
  return streams.count(stream) ? stream : nullptr;
}

// The legacy stream waits for all blocking streams of its device, which one that captures cannot do.
static cudaError_t legacy_meets_captures(const Stream* stream) {
  cudaError_t status = cudaSuccess;
  if (!stream->legacy) return status;
  const auto waits = [&](const Stream* other) {
    return other->device == stream->device && !(other->flags & cudaStreamNonBlocking);
  };
  for (const auto& capture : captures) {
    bool implicit = waits(capture->origin);
    for (const auto& [fork, pending] : capture->forks) implicit |= waits(fork);
    if (implicit) capture->valid = false, status = cudaErrorStreamCaptureImplicit;
  }
  return status;
}

cudaError_t submit(cudaStream_t handle, const char* kind, Work work, bool on_current_device) {
  Locked locked(lock());
  Stream* stream = find_stream(handle);
  if (!stream || (on_current_device && stream->device != device())) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t status = legacy_meets_captures(stream)) return status;
  if (Capture* capture = stream->capture.get()) {
    if (!capture->valid) return cudaErrorStreamCaptureInvalidated;
    capture->nodes.push_back({kind, std::move(work)});
    if (stream != capture->origin) ++capture->forks[stream];
    count(std::string(kind) + ".captured");
    return cudaSuccess;
  }
  count(std::string(kind) + ".launched");
  count(std::string(kind) + ".run");
  return work();
}

static cudaError_t spoil(const std::shared_ptr<Capture>& capture, cudaError_t status) {
  capture->valid = false;
  return status;
}

cudaError_t unsafe_call() {
  cudaError_t status = cudaSuccess;
  for (const auto& capture : captures) {
    const bool mine = capture->thread == std::this_thread::get_id();
    if (capture->mode == cudaStreamCaptureModeGlobal || (capture->mode == cudaStreamCaptureModeThreadLocal && mine))
      status = spoil(capture, cudaErrorStreamCaptureUnsupported);
  }
  return status;
}

cudaError_t wait_for(Stream* stream) {
  count("synchronisations");
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (stream->capture) return spoil(stream->capture, cudaErrorStreamCaptureUnsupported);
  const cudaError_t status = legacy_meets_captures(stream);
  return status ? status : check_guards();
}

cudaError_t wait_for_device() {
  count("synchronisations");
  cudaError_t status = cudaSuccess;
  for (const auto& capture : captures)
    if (capture->origin->device == device()) status = spoil(capture, cudaErrorStreamCaptureUnsupported);
  return status ? status : check_guards();
}

static double now() {
  using namespace std::chrono;
  return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

struct Graph {
  std::vector<Node> nodes;
};

static std::set<Graph*> graphs, executables;

static cudaError_t run(const std::vector<Node>& nodes) {
  for (const Node& node : nodes) {
    count(node.kind + ".run");
    if (const cudaError_t status = node.work()) return status;
  }
  return cudaSuccess;
}

}  // namespace cuda_on_cpu

using namespace cuda_on_cpu;

extern "C" {
#pragma GCC visibility push(default)

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* result, unsigned int flags, int priority) {
  Locked locked(lock());
  if (flags & ~unsigned(cudaStreamNonBlocking)) return cudaErrorInvalidValue;
  Stream* stream = new Stream{device(), flags, priority, false, nullptr};
  streams.insert(stream);
  *result = reinterpret_cast<cudaStream_t>(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* result, unsigned int flags) {
  return cudaStreamCreateWithPriority(result, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t* result) { return cudaStreamCreateWithPriority(result, 0, 0); }

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  Locked locked(lock());
  Stream* stream = find_stream(handle);
  if (!stream || !streams.count(stream)) return cudaErrorInvalidResourceHandle;
  if (stream->capture) {
    spoil(stream->capture, cudaSuccess);
    if (stream->capture->origin == stream) captures.erase(stream->capture);
  }
  streams.erase(stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned int* flags) {
  Locked locked(lock());
  const Stream* stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  *flags = stream->flags;
  return cudaSuccess;
}

cudaError_t cudaStreamGetPriority(cudaStream_t handle, int* priority) {
  Locked locked(lock());
  const Stream* stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  *priority = stream->priority;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  Locked locked(lock());
  return wait_for(find_stream(handle));
}

cudaError_t cudaStreamQuery(cudaStream_t handle) { return cudaStreamSynchronize(handle); }

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  Locked locked(lock());
  const Stream* stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t failure = legacy_meets_captures(stream)) return failure;
  *status = !stream->capture          ? cudaStreamCaptureStatusNone
            : stream->capture->valid ? cudaStreamCaptureStatusActive
                                     : cudaStreamCaptureStatusInvalidated;
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  return submit(handle, "host_function", [=] { return function(data), cudaSuccess; });
}

cudaError_t cudaStreamAddCallback(cudaStream_t handle, cudaStreamCallback_t callback, void* data, unsigned int) {
  Locked locked(lock());
  const Stream* stream = find_stream(handle);
  if (stream && stream->capture) return spoil(stream->capture, cudaErrorStreamCaptureUnsupported);
  return submit(handle, "host_function", [=] { return callback(handle, cudaSuccess, data), cudaSuccess; });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* result, unsigned int flags) {
  Locked locked(lock());
  *result = reinterpret_cast<cudaEvent_t>(new Event{device(), flags, false, 0, nullptr, nullptr});
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* result) { return cudaEventCreateWithFlags(result, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  Locked locked(lock());
  delete reinterpret_cast<Event*>(handle);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
  Locked locked(lock());
  Event* event = reinterpret_cast<Event*>(handle);
  Stream* stream = find_stream(stream_handle);
  if (!stream || !event || stream->device != event->device) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t status = legacy_meets_captures(stream)) return status;
  if (stream->capture && !stream->capture->valid) return cudaErrorStreamCaptureInvalidated;
  event->recorded = true, event->milliseconds = now(), event->capture = stream->capture, event->stream = stream;
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  Locked locked(lock());
  const Event* event = reinterpret_cast<Event*>(handle);
  if (!event) return cudaErrorInvalidResourceHandle;
  if (event->capture) return spoil(event->capture, cudaErrorCapturedEvent);
  count("synchronisations");
  return unsafe_call();
}

cudaError_t cudaEventQuery(cudaEvent_t handle) { return cudaEventSynchronize(handle); }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start_handle, cudaEvent_t end_handle) {
  Locked locked(lock());
  const Event *start = reinterpret_cast<Event*>(start_handle), *end = reinterpret_cast<Event*>(end_handle);
  for (const Event* event : {start, end}) {
    if (!event || !event->recorded || event->flags & cudaEventDisableTiming) return cudaErrorInvalidResourceHandle;
    if (event->capture) return cudaErrorCapturedEvent;
  }
  *milliseconds = float(end->milliseconds - start->milliseconds);
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream_handle, cudaEvent_t handle, unsigned int) {
  Locked locked(lock());
  Stream* stream = find_stream(stream_handle);
  const Event* event = reinterpret_cast<Event*>(handle);
  if (!stream || !event) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t status = legacy_meets_captures(stream)) return status;
  if (!event->recorded) return cudaSuccess;
  if (!event->capture) return stream->capture ? spoil(stream->capture, cudaErrorStreamCaptureIsolation) : cudaSuccess;
  if (event->capture->over) return cudaErrorCapturedEvent;
  if (!event->capture->valid) return cudaErrorStreamCaptureInvalidated;
  if (stream->legacy) return spoil(event->capture, cudaErrorStreamCaptureImplicit);
  if (stream->capture && stream->capture != event->capture) {
    spoil(stream->capture, cudaSuccess);
    return spoil(event->capture, cudaErrorStreamCaptureMerge);
  }
  if (!stream->capture) {
    stream->capture = event->capture;
    event->capture->forks[stream] = 1;  // it has to be waited for, if only for having joined
  }
  const auto fork = event->capture->forks.find(event->stream);
  if (fork != event->capture->forks.end() && event->stream != stream) fork->second = 0;
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  Locked locked(lock());
  Stream* stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (stream->legacy) return cudaErrorStreamCaptureUnsupported;
  if (stream->capture) return cudaErrorIllegalState;
  stream->capture = std::make_shared<Capture>();
  stream->capture->mode = mode, stream->capture->thread = std::this_thread::get_id(), stream->capture->origin = stream;
  captures.insert(stream->capture);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* result) {
  Locked locked(lock());
  *result = nullptr;
  Stream* stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  const std::shared_ptr<Capture> capture = stream->capture;
  if (!capture) return cudaErrorIllegalState;
  if (capture->origin != stream) return spoil(capture, cudaErrorStreamCaptureUnmatched);
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
    return spoil(capture, cudaErrorStreamCaptureWrongThread);
  cudaError_t status = capture->valid ? cudaSuccess : cudaErrorStreamCaptureInvalidated;
  stream->capture = nullptr;
  for (const auto& [fork, pending] : capture->forks) {
    if (streams.count(fork)) fork->capture = nullptr;
    if (pending && !status) status = cudaErrorStreamCaptureUnjoined;
  }
  capture->over = true;
  captures.erase(capture);
  if (status) return status;
  Graph* graph = new Graph{capture->nodes};
  graphs.insert(graph);
  *result = reinterpret_cast<cudaGraph_t>(graph);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* result, cudaGraph_t handle, unsigned long long) {
  Locked locked(lock());
  Graph* graph = reinterpret_cast<Graph*>(handle);
  if (!graphs.count(graph)) return cudaErrorInvalidValue;
  Graph* executable = new Graph(*graph);
  executables.insert(executable);
  count("graphs_instantiated");
  *result = reinterpret_cast<cudaGraphExec_t>(executable);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream) {
  Locked locked(lock());
  Graph* executable = reinterpret_cast<Graph*>(handle);
  if (!executables.count(executable)) return cudaErrorInvalidValue;
  return submit(stream, "graph", [nodes = executable->nodes] { return run(nodes); });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t handle, cudaStream_t stream) {
  Locked locked(lock());
  if (!executables.count(reinterpret_cast<Graph*>(handle))) return cudaErrorInvalidValue;
  return find_stream(stream) ? cudaSuccess : cudaErrorInvalidResourceHandle;
}

cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
  Locked locked(lock());
  Graph* graph = reinterpret_cast<Graph*>(handle);
  if (!graphs.erase(graph)) return cudaErrorInvalidValue;
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
  Locked locked(lock());
  Graph* executable = reinterpret_cast<Graph*>(handle);
  if (!executables.erase(executable)) return cudaErrorInvalidValue;
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t*, size_t* number) {
  Locked locked(lock());
  const Graph* graph = reinterpret_cast<Graph*>(handle);
  if (!graphs.count(const_cast<Graph*>(graph))) return cudaErrorInvalidValue;
  *number = graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphDebugDotPrint(cudaGraph_t handle, const char* path, unsigned int) {
  Locked locked(lock());
  const Graph* graph = reinterpret_cast<Graph*>(handle);
  std::FILE* file = graphs.count(const_cast<Graph*>(graph)) ? std::fopen(path, "w") : nullptr;
  if (!file) return cudaErrorInvalidValue;
  std::fprintf(file, "digraph {\n");
  for (std::size_t i = 0; i < graph->nodes.size(); ++i) {
    std::fprintf(file, "  node%zu [label=\"%s\"];\n", i, graph->nodes[i].kind.c_str());
    if (i) std::fprintf(file, "  node%zu -> node%zu;\n", i - 1, i);
  }
  std::fprintf(file, "}\n");
  std::fclose(file);
  return cudaSuccess;
}

#pragma GCC visibility pop
}
