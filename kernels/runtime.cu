// SPDX-License-Identifier: MIT
// The functions of poe/cuda/runtime.hpp on a real GPU.
//
// Uploads go through pinned memory of our own: `host` is free when the call returns, whatever kind
// of memory it is, and the host does not wait for work that is still in the stream. Under capture
// the bytes are kept with the graph, because each launch reads them again.
#include "launch.cuh"

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace poe::cuda {
namespace {

struct FreePinned {
  void operator()(void* p) const { cudaFreeHost(p); }
};
using Pinned = std::unique_ptr<void, FreePinned>;

Pinned pinned(std::size_t bytes) {
  void* p = nullptr;
  check(cudaMallocHost(&p, bytes), "cudaMallocHost");
  return Pinned(p);
}

/// Pinned buffers that uploads take in turn. A buffer is written again only after the copy out of
/// it is over, so the host runs at most `buffers_.size()` pieces ahead of the device.
class Staging {
 public:
  static constexpr std::size_t piece = std::size_t{1} << 20;

  void upload(char* device, const char* host, std::size_t bytes, cudaStream_t stream) {
    const std::lock_guard lock(mutex_);
    for (std::size_t done = 0; done < bytes; done += piece) {
      Buffer& buffer = buffers_[next_];
      next_ = (next_ + 1) % buffers_.size();
      if (!buffer.copied) {
        buffer.memory = pinned(piece);
        check(cudaEventCreateWithFlags(&buffer.copied, cudaEventDisableTiming), "cudaEventCreate");
      }
      check(cudaEventSynchronize(buffer.copied),
            "cudaEventSynchronize");  // at once if never recorded
      const std::size_t n = std::min(piece, bytes - done);
      std::memcpy(buffer.memory.get(), host + done, n);
      check(cudaMemcpyAsync(device + done, buffer.memory.get(), n, cudaMemcpyHostToDevice, stream),
            "cudaMemcpyAsync to the device");
      check(cudaEventRecord(buffer.copied, stream), "cudaEventRecord");
    }
  }

 private:
  struct Buffer {
    Pinned memory;
    cudaEvent_t copied = nullptr;
  };
  std::mutex mutex_;
  std::array<Buffer, 32> buffers_;
  std::size_t next_ = 0;
};

/// What captures in progress have uploaded, by the number that CUDA gives a capture.
class CapturedUploads {
 public:
  void keep(unsigned long long capture, Pinned bytes) {
    const std::lock_guard lock(mutex_);
    kept_[capture].push_back(std::move(bytes));
  }
  std::vector<Pinned> take(unsigned long long capture) {
    const std::lock_guard lock(mutex_);
    auto node = kept_.extract(capture);
    return node ? std::move(node.mapped()) : std::vector<Pinned>();
  }

 private:
  std::mutex mutex_;
  std::unordered_map<unsigned long long, std::vector<Pinned>> kept_;
};

// Never destroyed: at the end of the process CUDA may be gone before a destructor would run.
Staging& staging() {
  static Staging& s = *new Staging;
  return s;
}
CapturedUploads& captured_uploads() {
  static CapturedUploads& c = *new CapturedUploads;
  return c;
}

/// The number of the capture that `stream` takes part in, 0 if it takes part in none.
unsigned long long capture_of(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  unsigned long long capture = 0;
  check(cudaStreamGetCaptureInfo(stream, &status, &capture), "cudaStreamGetCaptureInfo");
  return status == cudaStreamCaptureStatusNone ? 0 : capture;
}

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
using OwnedGraph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyGraph>;

std::size_t count_work(cudaGraph_t graph) {
  std::size_t n = 0;
  check(cudaGraphGetNodes(graph, nullptr, &n), "cudaGraphGetNodes");
  std::vector<cudaGraphNode_t> nodes(n);
  check(cudaGraphGetNodes(graph, nodes.data(), &n), "cudaGraphGetNodes");
  return static_cast<std::size_t>(std::ranges::count_if(nodes, [](cudaGraphNode_t node) {
    cudaGraphNodeType type{};
    check(cudaGraphNodeGetType(node, &type), "cudaGraphNodeGetType");
    return type == cudaGraphNodeTypeKernel || type == cudaGraphNodeTypeMemcpy ||
           type == cudaGraphNodeTypeMemset;
  }));
}

/// Shows whether this program has code for the GPU.
template <int>
static __global__ void probe() {}

std::string version(int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }

std::string find_reason() {
  int devices = 0, driver = 0, runtime = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  std::string reason;
  if (status == cudaErrorInsufficientDriver) {
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    reason = driver == 0
                 ? "there is no NVIDIA driver on this machine"
                 : fmt::format("the NVIDIA driver is made for CUDA {}, this program needs {}",
                               version(driver), version(runtime));
  } else if (status == cudaErrorNoDevice || (status == cudaSuccess && devices == 0)) {
    reason = visible ? fmt::format("there is no GPU with CUDA_VISIBLE_DEVICES=\"{}\"", visible)
                     : "there is no NVIDIA GPU in this machine";
  } else if (status != cudaSuccess) {
    reason = fmt::format("cudaGetDeviceCount: {}", cudaGetErrorString(status));
  } else {
    cudaFuncAttributes attributes{};
    const cudaError_t usable = cudaFuncGetAttributes(&attributes, probe<0>);
    cudaDeviceProp p{};
    if (usable == cudaErrorNoKernelImageForDevice && cudaGetDeviceProperties(&p, 0) == cudaSuccess)
      reason = fmt::format(
          "the kernels are not compiled for the {}: add {}{} to "
          "CMAKE_CUDA_ARCHITECTURES",
          p.name, p.major, p.minor);
    else if (usable != cudaSuccess)
      reason = fmt::format("the GPU cannot be used: {}", cudaGetErrorString(usable));
  }
  static_cast<void>(cudaGetLastError());  // the launches to come must not find it
  return reason;
}

DeviceInfo find_device() {
  const std::string reason = why_unavailable();
  expect(reason.empty(), "CUDA: {}", reason);
  DeviceInfo info;
  int device = 0;
  cudaDeviceProp p{};
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaGetDeviceProperties(&p, device), "cudaGetDeviceProperties");
  check(cudaDriverGetVersion(&info.driver), "cudaDriverGetVersion");
  check(cudaRuntimeGetVersion(&info.runtime), "cudaRuntimeGetVersion");
  info.name = p.name;
  info.major = p.major;
  info.minor = p.minor;
  info.multiprocessors = p.multiProcessorCount;
  info.memory = p.totalGlobalMem;
  info.shared_memory = p.sharedMemPerBlockOptin;
  info.l2_cache = static_cast<std::size_t>(p.l2CacheSize);
  return info;
}

cudaEvent_t native_event(Event event) { return reinterpret_cast<cudaEvent_t>(event); }

}  // namespace

struct GraphHandle {
  cudaGraphExec_t work = nullptr;
  std::size_t nodes = 0;
  std::vector<Pinned> uploads;  // what its copies read
};

std::string why_unavailable() {
  static const std::string reason = find_reason();
  return reason;
}

const DeviceInfo& device_info() {
  static const DeviceInfo info = find_device();
  return info;
}

void* allocate(std::size_t bytes) {
  const DeviceInfo& device = device_info();
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    fail("CUDA: {} bytes asked for do not fit into the memory of the {} ({} bytes in all)", bytes,
         device.name, device.memory);
  }
  check(status, "cudaMalloc");
  return memory;
}

void release(void* memory) noexcept { cudaFree(memory); }

void upload(void* device, const void* host, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  const cudaStream_t into = native(stream);
  const unsigned long long capture = capture_of(into);
  if (capture == 0) {
    staging().upload(static_cast<char*>(device), static_cast<const char*>(host), bytes, into);
    return;
  }
  Pinned kept = pinned(bytes);
  std::memcpy(kept.get(), host, bytes);
  check(cudaMemcpyAsync(device, kept.get(), bytes, cudaMemcpyHostToDevice, into),
        "cudaMemcpyAsync to the device");
  captured_uploads().keep(capture, std::move(kept));
}

void download(void* host, const void* device, std::size_t bytes, Stream stream) {
  if (bytes != 0)
    check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, native(stream)),
          "cudaMemcpyAsync to the host");
  synchronise(stream);
}

void copy(void* to, const void* from, std::size_t bytes, Stream stream) {
  if (bytes != 0)
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, native(stream)),
          "cudaMemcpyAsync on the device");
}

void clear(void* device, std::size_t bytes, Stream stream) {
  if (bytes != 0) check(cudaMemsetAsync(device, 0, bytes, native(stream)), "cudaMemsetAsync");
}

Stream create_stream() {
  device_info();
  cudaStream_t stream = nullptr;
  check(cudaStreamCreate(&stream), "cudaStreamCreate");
  return reinterpret_cast<Stream>(stream);
}
void destroy(Stream stream) noexcept {
  if (stream) cudaStreamDestroy(native(stream));
}
void synchronise(Stream stream) {
  check(cudaStreamSynchronize(native(stream)), "cudaStreamSynchronize");
}

Event create_event(EventUse use) {
  device_info();
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(
            &event, use == EventUse::timing ? cudaEventDefault : cudaEventDisableTiming),
        "cudaEventCreate");
  return reinterpret_cast<Event>(event);
}
void destroy(Event event) noexcept {
  if (event) cudaEventDestroy(native_event(event));
}
void record(Event event, Stream stream) {
  check(cudaEventRecord(native_event(event), native(stream)), "cudaEventRecord");
}
void wait(Stream stream, Event event) {
  check(cudaStreamWaitEvent(native(stream), native_event(event), 0), "cudaStreamWaitEvent");
}
double milliseconds(Event from, Event to) {
  float ms = 0;
  check(cudaEventSynchronize(native_event(to)), "cudaEventSynchronize");
  check(cudaEventElapsedTime(&ms, native_event(from), native_event(to)), "cudaEventElapsedTime");
  return ms;
}

void begin_capture(Stream stream) {
  // Relaxed: a pass that is captured may still take memory and create streams.
  check(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeRelaxed),
        "cudaStreamBeginCapture");
}

Graph end_capture(Stream stream) {
  auto graph = std::make_unique<GraphHandle>();
  graph->uploads = captured_uploads().take(capture_of(native(stream)));
  cudaGraph_t captured = nullptr;
  check(cudaStreamEndCapture(native(stream), &captured), "cudaStreamEndCapture");
  const OwnedGraph owned(captured);
  graph->nodes = count_work(captured);
  check(cudaGraphInstantiate(&graph->work, captured, 0), "cudaGraphInstantiate");
  return graph.release();
}

void abandon_capture(Stream stream) noexcept {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  unsigned long long capture = 0;
  if (cudaStreamGetCaptureInfo(native(stream), &status, &capture) == cudaSuccess &&
      status != cudaStreamCaptureStatusNone) {
    const std::vector<Pinned> forgotten = captured_uploads().take(capture);
    cudaGraph_t captured = nullptr;
    cudaStreamEndCapture(native(stream), &captured);
    const OwnedGraph owned(captured);
  }
  static_cast<void>(cudaGetLastError());
}

void launch(Graph graph, Stream stream) {
  check(cudaGraphLaunch(graph->work, native(stream)), "cudaGraphLaunch");
}

void destroy(Graph graph) noexcept {
  if (!graph) return;
  if (!graph->uploads.empty()) cudaDeviceSynchronize();  // a launch may still read them
  cudaGraphExecDestroy(graph->work);
  delete graph;
}

std::size_t node_count(Graph graph) { return graph->nodes; }

}  // namespace poe::cuda
