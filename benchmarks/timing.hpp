// SPDX-License-Identifier: MIT
// Median times of short operations: processor time on the CPU; by events on the GPU, where work is
// put into a stream call by call, and once more as the nodes of a captured graph.
#pragma once

#include <poe/core/executor.hpp>
#include <poe/cuda/executor.hpp>

#include <time.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

namespace bench {

using poe::Cpu;
using poe::Cuda;
using poe::Executor;

struct Effort {
  int repeats = 15;       // the median of so many
  double seconds = 0.02;  // about how long one of them takes
};

/// Seconds of one call. `graph` is what it takes inside a captured graph, where the host does
/// nothing; on the CPU it is the same as `launched`.
struct Times {
  double launched = 0, graph = 0;
};

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// How many calls of `one_call` seconds make up a repetition.
inline int calls_of(const Effort& effort, double one_call) {
  return static_cast<int>(std::clamp(effort.seconds / std::max(one_call, 1e-9), 1.0, 2000.0));
}

namespace detail {

/// Processor time of this thread: what other programs take does not count.
inline double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

}  // namespace detail

/// Times of call(i) for i = 0, 1, 2, ...: whoever wants cold caches takes other memory for each i.
/// After `cycle` calls the memory may come round again.
template <class F>
Times time_calls(Executor<Cpu>&, const Effort& effort, int cycle, F&& call) {
  int i = 0;
  const auto round = [&](int calls) {
    const double start = detail::thread_seconds();
    for (int k = 0; k < calls; ++k) call(i++);
    return (detail::thread_seconds() - start) / calls;
  };
  const int calls = std::max(cycle, calls_of(effort, std::min(round(1), round(1))));
  std::vector<double> seconds;
  for (int r = 0; r < effort.repeats; ++r) seconds.push_back(round(calls));
  const double middle = median(std::move(seconds));
  return {middle, middle};
}

namespace detail {

struct Destroy {
  void operator()(poe::cuda::EventHandle* e) const { poe::cuda::destroy(e); }
  void operator()(poe::cuda::GraphHandle* g) const { poe::cuda::destroy(g); }
};
using OwnEvent = std::unique_ptr<poe::cuda::EventHandle, Destroy>;
using OwnGraph = std::unique_ptr<poe::cuda::GraphHandle, Destroy>;

template <class F>
OwnGraph captured(poe::cuda::Stream stream, F&& work) {
  poe::cuda::begin_capture(stream);
  try {
    work();
  } catch (...) {
    poe::cuda::abandon_capture(stream);
    throw;
  }
  return OwnGraph(poe::cuda::end_capture(stream));
}

}  // namespace detail

template <class F>
Times time_calls(Executor<Cuda>& on, const Effort& effort, int cycle, F&& call) {
  const poe::cuda::Stream stream = on.stream();
  const detail::OwnEvent from(poe::cuda::create_event()), to(poe::cuda::create_event());
  const auto timed = [&](auto&& work) {
    poe::cuda::record(from.get(), stream);
    work();
    poe::cuda::record(to.get(), stream);
    return poe::cuda::milliseconds(from.get(), to.get()) * 1e-3;
  };
  int i = 0;
  const auto put = [&](int calls) {
    for (int k = 0; k < calls; ++k) call(i++);
  };
  timed([&] { put(cycle); });  // allocates, loads kernels
  const int calls = std::max(cycle, calls_of(effort, timed([&] { put(cycle); }) / cycle));
  std::vector<double> launched, graph;
  for (int r = 0; r < effort.repeats; ++r) launched.push_back(timed([&] { put(calls); }) / calls);

  const int nodes = std::max(cycle, std::min(calls, 50));
  const int launches = std::max(1, calls / nodes);
  const detail::OwnGraph work = detail::captured(stream, [&] { put(nodes); });
  timed([&] { poe::cuda::launch(work.get(), stream); });
  for (int r = 0; r < effort.repeats; ++r)
    graph.push_back(timed([&] {
                      for (int k = 0; k < launches; ++k) poe::cuda::launch(work.get(), stream);
                    }) /
                    (nodes * launches));
  return {median(std::move(launched)), median(std::move(graph))};
}

/// Bytes a second, read and written together, of a copy too large for any cache: what an operation
/// bound by memory can reach.
template <class Device>
double copy_bandwidth(Executor<Device>& on, const Effort& effort) {
  constexpr std::size_t bytes = std::size_t{256} << 20;
  const auto from = poe::detail::allocate<Device>(bytes), to = poe::detail::allocate<Device>(bytes);
  poe::Memory<Device>::clear(from.get(), bytes);
  poe::Memory<Device>::clear(to.get(), bytes);
  const Times t = time_calls(on, effort, 1, [&](int) {
    if constexpr (std::is_same_v<Device, Cpu>)
      std::memcpy(to.get(), from.get(), bytes);
    else
      poe::cuda::copy(to.get(), from.get(), bytes, on.stream());
  });
  return 2.0 * static_cast<double>(bytes) / t.launched;
}

}  // namespace bench
