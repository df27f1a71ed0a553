// SPDX-License-Identifier: MIT
// Copies, kernels, streams and events: run at once, or noted down.
#include "runtime.hpp"

#include <cstring>
#include <span>

#include <poe/core/error.hpp>

#include "handles.hpp"
#include "harness.hpp"
#include "memory.hpp"

namespace poe::harness {

void check_launch(const Launch& launch) {
  const dim3 g = launch.grid, b = launch.block;
  const auto threads = static_cast<unsigned long long>(b.x) * b.y * b.z;
  expect(threads >= 1 && threads <= kMostThreads && b.x <= 1024 && b.y <= 1024 && b.z <= 64,
         "CUDA harness: launch: a block of {} x {} x {} threads; it has 1 to {}", b.x, b.y, b.z,
         kMostThreads);
  expect(
      g.x >= 1 && g.y >= 1 && g.z >= 1 && g.x <= 0x7FFFFFFFU && g.y <= 65535 && g.z <= 65535,
      "CUDA harness: launch: a grid of {} x {} x {} blocks; it has 1 to 2147483647 x 65535 x 65535",
      g.x, g.y, g.z);
  expect(launch.shared_bytes <= kMostShared,
         "CUDA harness: launch: {} bytes of dynamic shared memory; a block has at most {}",
         launch.shared_bytes, kMostShared);
  for (const Launch::Pointer& pointer : launch.pointers)
    expect(!pointer.address || points_to_device(pointer.address),
           "CUDA harness: launch: argument {} of the kernel is not a pointer to live device memory",
           pointer.argument);
}

void submit(cuda::Stream stream, Launch launch) {
  check_launch(launch);
  enqueue(stream, "launch", [launch = std::move(launch)] {
    const DeviceAccess access;
    run(launch);
  });
}

}  // namespace poe::harness

namespace poe::cuda {

using namespace harness;

std::string why_unavailable() { return {}; }

const DeviceInfo& device_info() {
  static const DeviceInfo info{
      "CPU harness",          9,     0,    132, std::size_t{8} << 30U, kMostShared,
      std::size_t{50} << 20U, 13000, 13000};
  return info;
}

void upload(void* device, const void* host, std::size_t bytes, Stream stream) {
  expect_on_device(device, bytes, "upload");
  expect_on_host(host, bytes, "upload");
  const auto* first = static_cast<const unsigned char*>(host);
  enqueue(stream, "upload", [device, values = std::vector<unsigned char>(first, first + bytes)] {
    expect_on_device(device, values.size(), "upload");
    const DeviceAccess access;
    if (!values.empty()) std::memcpy(device, values.data(), values.size());
  });
}

void download(void* host, const void* device, std::size_t bytes, Stream stream) {
  expect_on_device(device, bytes, "download");
  expect_on_host(host, bytes, "download");
  refuse_in_capture(stream, "download");
  synchronise(stream);
  const DeviceAccess access;
  if (bytes > 0) std::memcpy(host, device, bytes);
}

void copy(void* to, const void* from, std::size_t bytes, Stream stream) {
  const auto check = [=] {
    expect_on_device(to, bytes, "copy");
    expect_on_device(from, bytes, "copy");
    const auto *a = static_cast<const char*>(to), *b = static_cast<const char*>(from);
    expect(a + bytes <= b || b + bytes <= a, "CUDA harness: copy: the two ranges overlap");
  };
  check();
  enqueue(stream, "copy", [=] {
    check();
    const DeviceAccess access;
    if (bytes > 0) std::memcpy(to, from, bytes);
  });
}

void clear(void* device, std::size_t bytes, Stream stream) {
  expect_on_device(device, bytes, "clear");
  enqueue(stream, "clear", [=] {
    expect_on_device(device, bytes, "clear");
    const DeviceAccess access;
    if (bytes > 0) std::memset(device, 0, bytes);
  });
}

Stream create_stream() { return streams().create(); }
Event create_event(EventUse use) {
  const Event event = events().create();
  event->use = use;
  return event;
}

void destroy(Stream stream) noexcept {
  if (stream && stream->capture) stream->capture->spoiled = "destroy(Stream)";
  streams().destroy(stream);
}
void destroy(Event event) noexcept { events().destroy(event); }

void synchronise(Stream stream) {
  refuse_in_capture(stream, "synchronise");
  if (stream != nullptr)
    finish(stream->late);
  else
    finish_all();
}

void record(Event event, Stream stream) {
  events().check(event, "record");
  streams().check(stream, "record");
  event->recorded = true;
  event->capture = stream->capture;
  event->nodes = stream->tail;
  event->late = stream->late;
  event->time = std::chrono::steady_clock::now();
}

void wait(Stream stream, Event event) {
  streams().check(stream, "wait");
  events().check(event, "wait");
  if (!stream->capture && !event->capture) {
    stream->late.insert(stream->late.end(), event->late.begin(), event->late.end());
    return;
  }
  expect(event->capture != nullptr,
         "CUDA harness: wait: a stream that is being captured waits for an event that was not "
         "recorded in this capture");
  expect(!event->capture->ended,
         "CUDA harness: wait: the event was recorded in a capture that has ended");
  expect(!stream->capture || stream->capture == event->capture,
         "CUDA harness: wait: the event belongs to another capture");
  stream->capture = event->capture;
  for (const std::size_t node : event->nodes) stream->tail.push_back(node);
}

double milliseconds(Event from, Event to) {
  for (const Event event : {from, to}) {
    events().check(event, "milliseconds");
    expect(event->use == EventUse::timing,
           "CUDA harness: milliseconds: the event was made to order streams only");
    expect(event->recorded && !event->capture,
           "CUDA harness: milliseconds: the event was not recorded, or only in a capture");
  }
  return std::chrono::duration<double, std::milli>(to->time - from->time).count();
}

}  // namespace poe::cuda
