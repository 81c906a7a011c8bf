// SPDX-License-Identifier: MIT
// Streams and graphs: a stream does its work at once. During a capture it records the work, and the
// graph does it at its launch.
// Knows neither kernels nor memory.
#include <utility>
#include <vector>

#include "device_memory.h"
#include "emulation.h"

struct EmulatedGraph {
  std::vector<std::function<cudaError_t()>> work;
};
struct EmulatedStream {
  EmulatedGraph* capturing = nullptr;
};

namespace emulation {

static std::int64_t graphs_launched = 0;
static std::int64_t stream_count = 0, graph_count = 0;
static int refused_graphs = 0, refused_instances = 0;

bool captures(cudaStream_t stream) { return stream != nullptr && stream->capturing != nullptr; }

cudaError_t enqueue(cudaStream_t stream, const std::function<cudaError_t()>& work) {
  if (!captures(stream)) return work();
  stream->capturing->work.push_back(work);
  return cudaSuccess;
}

static thread_local int current_device = 0;
void use_device(int device) { current_device = device; }

std::int64_t streams() { return stream_count; }
std::int64_t graphs() { return graph_count; }
void refuse_graphs(int count) { refused_graphs = count; }
void refuse_instances(int count) { refused_instances = count; }
std::int64_t graph_launches() { return graphs_launched; }

}  // namespace emulation

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new EmulatedStream;
  ++emulation::stream_count;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  --emulation::stream_count;
  return cudaSuccess;
}

// Earlier work is always finished.
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t stream) {
  return emulation::captures(stream) ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaSetDevice(int device) {
  emulation::use_device(device);
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = emulation::current_device;
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream->capturing != nullptr) return cudaErrorInvalidValue;
  stream->capturing = new EmulatedGraph;
  ++emulation::graph_count;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (stream->capturing == nullptr) return cudaErrorInvalidValue;
  *graph = std::exchange(stream->capturing, nullptr);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (emulation::refused_instances > 0) {
    --emulation::refused_instances;
    return cudaErrorMemoryAllocation;
  }
  *exec = new EmulatedGraph(*graph);
  ++emulation::graph_count;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (emulation::captures(stream)) return cudaErrorStreamCaptureUnsupported;
  if (emulation::refused_graphs > 0) {
    --emulation::refused_graphs;
    return cudaErrorInvalidValue;
  }
  ++emulation::graphs_launched;
  for (const auto& work : exec->work) {
    if (const cudaError_t error = work(); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  --emulation::graph_count;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  --emulation::graph_count;
  return cudaSuccess;
}
