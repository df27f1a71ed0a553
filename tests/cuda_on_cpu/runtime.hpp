// SPDX-License-Identifier: MIT
// What the parts of the harness's runtime share: include/poe/cuda/runtime.hpp on the CPU.
//
// In a stream that is being captured, work becomes a node of a graph that knows which nodes it
// waits for, and a launched graph runs in the order of the configuration, so an edge that is
// missing shows as a wrong result under some order. Other work runs at once, or with Config::late
// in the same way as a graph, when the host waits for it: all that the host did not wait for is
// left.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <poe/cuda/runtime.hpp>

namespace poe::harness {

struct Node {
  std::function<void()> run;
  std::vector<std::size_t> after;  // nodes that must have run
};

struct Capture {
  cuda::Stream origin = nullptr;
  std::vector<Node> nodes;
  bool ended = false;
  std::string spoiled;  // by this call, which CUDA forbids during a capture
};

/// Runs the nodes in an order that their edges allow.
void run(const std::vector<Node>& nodes);

/// Lets `work` wait for what its stream waits for, until somebody wants it.
void put_off(cuda::Stream stream, std::function<void()> work);
/// Runs the work with these numbers, and all that it waits for.
void finish(std::vector<std::size_t> wanted);
void finish_all();

/// Runs `work` or puts it off, or notes it down if the stream is being captured.
void enqueue(cuda::Stream stream, const char* call, std::function<void()> work);

/// Fails if any stream is being captured, and the capture fails with it.
void refuse_while_capturing(const char* call);
/// The same for functions that cannot throw: end_capture() will.
void spoil_captures(const char* call) noexcept;

}  // namespace poe::harness

namespace poe::cuda {

struct StreamHandle {
  std::shared_ptr<harness::Capture> capture;  // null: work is to be run
  std::vector<std::size_t> tail;              // what the next node of the capture waits for
  std::vector<std::size_t> late;              // what its next work waits for that is put off
};

struct EventHandle {
  EventUse use = EventUse::timing;
  bool recorded = false;
  std::chrono::steady_clock::time_point time;
  std::shared_ptr<harness::Capture> capture;  // in which it was recorded
  std::vector<std::size_t> nodes;             // that it stands for there
  std::vector<std::size_t> late;              // that it stands for otherwise
};

struct GraphHandle {
  std::vector<harness::Node> nodes;
};

}  // namespace poe::cuda
