// SPDX-License-Identifier: MIT
// The GPU as plain C++ sees it: memory, streams, events, graphs. No CUDA header is needed to call
// these functions; the library poe::cuda defines them (kernels/runtime.cu). Every failure is a
// poe::Error that names the call.
#pragma once

#include <cstddef>
#include <string>

namespace poe::cuda {

struct StreamHandle;
struct EventHandle;
struct GraphHandle;
/// A queue of work: what is put into one stream runs in that order. Null is the stream that no
/// other work overlaps, for use outside a captured step.
using Stream = StreamHandle*;
/// A point in a stream that another stream, or the host, can wait for.
using Event = EventHandle*;
/// Captured work, ready to be launched again.
using Graph = GraphHandle*;

/// The device that this process computes on.
struct DeviceInfo {
  std::string name;          // "NVIDIA H200"
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  std::size_t memory = 0;         // bytes
  std::size_t shared_memory = 0;  // largest dynamic shared memory of a block, bytes
  std::size_t l2_cache = 0;       // bytes
  int driver = 0, runtime = 0;    // CUDA versions, 1000 major + 10 minor
};

/// Empty if there is a GPU to compute on; otherwise the reason, as one sentence.
std::string why_unavailable();
/// Fails if there is none.
const DeviceInfo& device_info();

/// Device memory, 256-byte aligned, not initialised.
void* allocate(std::size_t bytes);
void release(void* memory) noexcept;

/// Host to device. `host` may be changed after the call; the bytes arrive in stream order.
void upload(void* device, const void* host, std::size_t bytes, Stream stream);
/// Device to host; waits until the bytes are there.
void download(void* host, const void* device, std::size_t bytes, Stream stream);
/// Device to device.
void copy(void* to, const void* from, std::size_t bytes, Stream stream);
/// Sets bytes to zero.
void clear(void* device, std::size_t bytes, Stream stream);

Stream create_stream();
void destroy(Stream stream) noexcept;
/// Waits until the stream has nothing left to do; reports what went wrong on the device.
void synchronise(Stream stream);

/// What an event is for: to order streams, or to be given to milliseconds() too, which costs time
/// wherever it is recorded.
enum class EventUse { order, timing };
Event create_event(EventUse use = EventUse::timing);
void destroy(Event event) noexcept;
/// Marks the work put into `stream` so far.
void record(Event event, Stream stream);
/// What is put into `stream` from now on waits for the event.
void wait(Stream stream, Event event);
/// Milliseconds between two recorded events, made for timing, of one device; waits for the second.
double milliseconds(Event from, Event to);

/// From here on, work put into `stream`, and into streams that wait for its events, is noted down
/// and not run.
void begin_capture(Stream stream);
/// Ends the capture. -> the work, its streams as branches, ready to be launched.
Graph end_capture(Stream stream);
/// Forgets a capture that failed half-way.
void abandon_capture(Stream stream) noexcept;
/// Runs captured work as one unit of `stream`.
void launch(Graph graph, Stream stream);
void destroy(Graph graph) noexcept;
/// Kernels, copies and fills in a graph.
std::size_t node_count(Graph graph);

}  // namespace poe::cuda
