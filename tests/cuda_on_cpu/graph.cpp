// SPDX-License-Identifier: MIT
// Capture of streams, and graphs that run in every order that their edges allow.
#include <algorithm>
#include <utility>

#include "config.hpp"
#include "handles.hpp"
#include "memory.hpp"
#include "runtime.hpp"

namespace poe::harness {

Handles<cuda::StreamHandle>& streams() {
  static Handles<cuda::StreamHandle> instance("stream");
  return instance;
}
Handles<cuda::EventHandle>& events() {
  static Handles<cuda::EventHandle> instance("event");
  return instance;
}
Handles<cuda::GraphHandle>& graphs() {
  static Handles<cuda::GraphHandle> instance("graph");
  return instance;
}

void spoil_captures(const char* call) noexcept {
  for (const cuda::Stream stream : streams().live())
    if (stream->capture) stream->capture->spoiled = call;
}

void refuse_while_capturing(const char* call) {
  for (const cuda::Stream stream : streams().live()) refuse_in_capture(stream, call);
}

void refuse_in_capture(cuda::Stream stream, const char* call) {
  if (stream == nullptr) return refuse_while_capturing(call);
  streams().check(stream, call);
  if (!stream->capture) return;
  stream->capture->spoiled = call;
  fail("CUDA harness: {}: not while a stream is being captured", call);
}

void enqueue(cuda::Stream stream, const char* call, std::function<void()> work) {
  if (stream == nullptr) {  // the stream that no other work overlaps: never captured
    refuse_while_capturing(call);
    finish_all();
    return work();
  }
  streams().check(stream, call);
  if (!stream->capture && config().late) return put_off(stream, std::move(work));
  if (!stream->capture) {
    finish_all();
    return work();
  }
  std::vector<Node>& nodes = stream->capture->nodes;
  nodes.push_back({std::move(work), std::exchange(stream->tail, {nodes.size()})});
}

void run(const std::vector<Node>& nodes) {
  Choices choices(config().seed);
  std::vector<bool> done(nodes.size());
  const auto ready = [&](std::size_t node) {
    const auto has_run = [&](std::size_t before) { return done[before]; };
    return !done[node] && std::all_of(nodes[node].after.begin(), nodes[node].after.end(), has_run);
  };
  for (std::size_t count = 0; count < nodes.size(); ++count) {
    std::vector<std::size_t> candidates;
    for (std::size_t node = 0; node < nodes.size(); ++node)
      if (ready(node)) candidates.push_back(node);
    std::size_t next = candidates[choices.below(candidates.size())];
    if (config().order == Order::forward) next = candidates.front();
    if (config().order == Order::reverse) next = candidates.back();
    nodes[next].run();
    done[next] = true;
  }
}

namespace {

/// Every stream of the capture does its work at once again.
void leave(const std::shared_ptr<Capture>& capture) {
  capture->ended = true;
  for (const cuda::Stream stream : streams().live())
    if (stream->capture == capture) {
      stream->capture.reset();
      stream->tail.clear();
    }
}

/// Whether the work of every other stream is waited for by the stream that began the capture.
bool joined(const Capture& capture) {
  std::vector<bool> reached(capture.nodes.size());
  std::vector<std::size_t> open = capture.origin->tail;
  while (!open.empty()) {
    const std::size_t node = open.back();
    open.pop_back();
    if (reached[node]) continue;
    reached[node] = true;
    open.insert(open.end(), capture.nodes[node].after.begin(), capture.nodes[node].after.end());
  }
  return std::find(reached.begin(), reached.end(), false) == reached.end();
}

}  // namespace
}  // namespace poe::harness

namespace poe::cuda {

using namespace harness;

void begin_capture(Stream stream) {
  refuse_in_capture(stream, "begin_capture");
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
}

Graph end_capture(Stream stream) {
  streams().check(stream, "end_capture");
  const std::shared_ptr<Capture> capture = stream->capture;
  expect(capture != nullptr, "CUDA harness: end_capture: the stream is not being captured");
  const bool origin = capture->origin == stream;
  const bool whole = origin && joined(*capture);
  leave(capture);
  expect(origin, "CUDA harness: end_capture: another stream began this capture");
  expect(capture->spoiled.empty(), "CUDA harness: end_capture: {} was called during the capture",
         capture->spoiled);
  expect(whole,
         "CUDA harness: end_capture: work of another stream is not joined: record an event after "
         "it, and let the stream that began the capture wait for it");
  const Graph graph = graphs().create();
  graph->nodes = std::move(capture->nodes);
  return graph;
}

void abandon_capture(Stream stream) noexcept {
  if (stream && stream->capture) leave(std::shared_ptr<Capture>(stream->capture));
}

void launch(Graph graph, Stream stream) {
  graphs().check(graph, "launch");
  streams().check(stream, "launch");
  if (!stream->capture) {
    enqueue(stream, "launch", [nodes = graph->nodes] {
      const DeviceAccess access;
      harness::run(nodes);
    });
    return;
  }
  // Inside another capture its nodes follow what the stream waits for, and all come before the
  // next.
  std::vector<Node>& nodes = stream->capture->nodes;
  const std::vector<std::size_t> before = stream->tail;
  const std::size_t offset = nodes.size();
  for (const Node& node : graph->nodes) {
    Node inner{node.run, {}};
    for (const std::size_t after : node.after) inner.after.push_back(after + offset);
    if (inner.after.empty()) inner.after = before;
    stream->tail.push_back(nodes.size());
    nodes.push_back(std::move(inner));
  }
}

void destroy(Graph graph) noexcept { graphs().destroy(graph); }

std::size_t node_count(Graph graph) {
  graphs().check(graph, "node_count");
  return graph->nodes.size();
}

}  // namespace poe::cuda
