// SPDX-License-Identifier: MIT
// What the parts of the harness's runtime share: include/poe/cuda/runtime.hpp on the CPU.
//
// Work runs at once, except in a stream that is being captured: there it becomes a node of a graph
// that knows which nodes it waits for, and a launched graph runs in the order of the configuration,
// so an edge that is missing shows as a wrong result under some order.
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

/// Runs `work`, or notes it down if the stream is being captured.
void enqueue(cuda::Stream stream, const char* call, std::function<void()> work);

/// Fails if any stream is being captured, and the capture fails with it.
void refuse_while_capturing(const char* call);
/// The same for functions that cannot throw: end_capture() will.
void spoil_captures(const char* call) noexcept;

}  // namespace poe::harness

namespace poe::cuda {

struct StreamHandle {
  std::shared_ptr<harness::Capture> capture;  // null: work runs at once
  std::vector<std::size_t> tail;              // what the next node waits for
};

struct EventHandle {
  EventUse use = EventUse::timing;
  bool recorded = false;
  std::chrono::steady_clock::time_point time;
  std::shared_ptr<harness::Capture> capture;  // in which it was recorded
  std::vector<std::size_t> nodes;             // that it stands for
};

struct GraphHandle {
  std::vector<harness::Node> nodes;
};

}  // namespace poe::cuda
