// SPDX-License-Identifier: MIT
// Runs the threads of one block: each on a fibre of its own from the moment it has to wait.
#include <exception>
#include <string_view>
#include <utility>

#include "engine.hpp"

namespace poe::harness {

Engine& engine() {
  static Engine instance;
  return instance;
}

namespace {

void run_threads();

/// ThreadSanitizer takes a fibre for a thread, so the threads of neighbouring blocks must not share
/// fibres, and the host makes them all: a new one knows what its maker knew. Otherwise any idle one
/// will do.
POE_UNSEEN Fiber* fiber_for(unsigned number) {
  Engine& e = engine();
  if constexpr (kThreadSanitizer) {
    Fiber*& own = e.fibers.data()[(number + 37 * e.serial) % kMostThreads];
    if (!own) own = make_fiber(&run_threads);
    return own;
  }
  if (e.idle_count > 0) return e.idle.data()[--e.idle_count];
  return e.fibers.data()[e.fiber_count++] = make_fiber(&run_threads);
}

POE_UNSEEN void give_back(Fiber* fiber) {
  Engine& e = engine();
  if constexpr (!kThreadSanitizer) e.idle.data()[e.idle_count++] = fiber;
}

POE_UNSEEN void leave_for(Fiber* next) {
  Engine& e = engine();
  Fiber* from = e.here;
  e.here = next;
  switch_fiber(*from, *next);
}

POE_UNSEEN void leave_for(CudaThread& next) {
  if (!next.fiber) next.fiber = fiber_for(next.number);
  make_current(next);
  leave_for(next.fiber);
}

}  // namespace

POE_UNSEEN void make_current(CudaThread& thread) {
  engine().current = &thread;
  thread.state = State::running;
  threadIdx = thread.index;
}

std::string text(Where where) {
  const std::string_view path = where.file;
  return fmt::format("{}:{}", path.substr(path.rfind('/') + 1), where.line);
}

/// Unwinds the thread that noticed; the launch ends with it.
struct Stopped {};

POE_UNSEEN void stop(const std::string& message) {
  Engine& e = engine();
  e.report = fmt::format("CUDA harness: block ({},{},{}): {}", blockIdx.x, blockIdx.y, blockIdx.z,
                         message);
  e.stopped = true;
  throw Stopped{};
}

namespace {

POE_UNSEEN bool wait_alike(const CudaThread& a, const CudaThread& b) {
  return a.state == b.state && (a.state == State::done || a.where.line == b.where.line);
}

/// "deadlock: threads 0-15 wait in __syncthreads at kernels.cuh:17; threads 16-31 have returned"
[[noreturn]] POE_UNSEEN void stop_deadlock() {
  Engine& e = engine();
  std::string message = "deadlock";
  int groups = 0;
  for (unsigned i = 0, end = 0; i < e.count; i = end) {
    const CudaThread& first = e.threads.data()[i];
    while (end < e.count && wait_alike(first, e.threads.data()[end])) ++end;
    if (++groups > 8) {
      message += "; ...";
      break;
    }
    message += fmt::format("{} threads {}-{} ", groups == 1 ? ":" : ";", i, end - 1);
    if (first.state == State::done)
      message += "have returned";
    else
      message += fmt::format("wait in {} at {}", first.waits_in, text(first.where));
  }
  stop(message);
}

}  // namespace

POE_UNSEEN void wait_for_others(CudaThread& self) {
  ++statistics().waits;
  const int next = engine().ready.pop();
  if (next < 0) stop_deadlock();
  CudaThread& thread = engine().threads.data()[next];
  if (&thread == &self)
    make_current(self);
  else
    leave_for(thread);
}

namespace {

POE_UNSEEN void release_barrier() {
  Engine& e = engine();
  std::array<unsigned, kMostThreads> numbers;
  unsigned count = 0;
  for (unsigned i = 0; i < e.count; ++i) {
    CudaThread& thread = e.threads.data()[i];
    if (thread.state != State::at_barrier) continue;
    thread.state = State::ready;
    numbers.data()[count++] = i;
    const CudaThread& first = e.threads.data()[numbers.data()[0]];
    if (thread.where.line != first.where.line || thread.where.file != first.where.file)
      stop(fmt::format(
          "the threads wait at different barriers: thread {} in {} at {}, thread {} "
          "in {} at {}",
          first.number, first.waits_in, text(first.where), i, thread.waits_in, text(thread.where)));
  }
  e.votes = {e.yes, e.yes == static_cast<int>(count) ? 1 : 0};
  e.yes = 0;
  e.waiting = 0;
  ++e.phase;
  e.ready.push(numbers.data(), count);
}

/// Threads that have returned are not waited for any more.
POE_UNSEEN void finish(CudaThread& self) {
  Engine& e = engine();
  self.state = State::done;
  --e.live;
  ++statistics().threads;
  if (e.waiting > 0 && e.waiting == e.live) release_barrier();
  if (e.meeting > 0) complete_collective(self);
}

/// Runs the current thread to its end. -> the one to go on with, or -1 if there is none
POE_UNSEEN int run_thread() {
  Engine& e = engine();
  CudaThread& self = *e.current;
  try {
    try {
      observe(e.points.begin);
      e.launch->thread();
      signal(e.points.end);
      finish(self);
      const int next = e.ready.pop();
      if (next < 0 && e.live > 0) stop_deadlock();
      return next;
    } catch (const std::exception& error) {
      stop(fmt::format("the kernel threw: {}", error.what()));
    }
  } catch (const Stopped&) {
    self.state = State::done;
    signal(e.points.end);
    return -1;
  }
}

/// What a fibre does all its life: one CUDA thread after the other.
POE_UNSEEN void run_threads() {
  arrive_in_new_fiber();
  Engine& e = engine();
  for (;;) {
    Fiber* fiber = e.here;
    const int number = run_thread();
    if (number < 0) {
      give_back(fiber);
      leave_for(host_fiber());
      continue;
    }
    CudaThread& next = e.threads.data()[number];
    if (!next.fiber && !kThreadSanitizer) {
      next.fiber = fiber;
      make_current(next);
      continue;
    }
    give_back(fiber);
    leave_for(next);
  }
}

}  // namespace

POE_UNSEEN Votes block_barrier(const char* name, bool vote, Where where) {
  Engine& e = engine();
  CudaThread& self = *e.current;
  void* const point = e.points.barrier(e.phase);
  signal(point);
  self.state = State::at_barrier;
  self.waits_in = name;
  self.where = where;
  e.yes += vote ? 1 : 0;
  if (++e.waiting == e.live) release_barrier();
  wait_for_others(self);
  observe(point);
  return e.votes;
}

POE_UNSEEN void fence(bool whole_device) {
  const OrderPoints& points = engine().points;
  void* const point = whole_device ? points.fence : points.block_fence();
  observe(point);
  signal(point);
}

namespace {

/// The threads that a stopped launch left in the middle of the kernel are forgotten.
POE_UNSEEN void restart_fibers() {
  Engine& e = engine();
  for (unsigned i = 0; i < e.count; ++i) {
    const CudaThread& thread = e.threads.data()[i];
    if (thread.state == State::fresh || thread.state == State::done) continue;
    restart_fiber(*thread.fiber, &run_threads);
    give_back(thread.fiber);
  }
}

POE_UNSEEN void run_block() {
  Engine& e = engine();
  ++e.serial;
  e.live = e.count;
  e.waiting = e.meeting = e.phase = 0;
  e.yes = 0;
  if constexpr (kThreadSanitizer)
    e.points.block = static_cast<char*>(e.arena.take(OrderPoints::kBytes));
  e.shared.begin(e.launch->shared_bytes);
  e.ready.begin(config().order, e.choices);
  std::array<unsigned, kMostThreads> numbers;
  for (unsigned i = 0; i < e.count; ++i) {
    e.threads[i].state = State::fresh;
    e.threads[i].fiber = kThreadSanitizer ? fiber_for(i) : nullptr;
    numbers[i] = i;
  }
  e.ready.push(numbers.data(), e.count);
  leave_for(e.threads[static_cast<unsigned>(e.ready.pop())]);
  e.shared.end();
}

/// Greatest common divisor of two positive numbers.
std::uint64_t common(std::uint64_t a, std::uint64_t b) { return b == 0 ? a : common(b, a % b); }

}  // namespace

POE_UNSEEN void run(const Launch& launch) {
  Engine& e = engine();
  check_launch(launch);
  expect(!e.launch, "CUDA harness: a kernel launched a kernel");
  ++statistics().launches;
  e.launch = &launch;
  e.here = host_fiber();
  e.choices = Choices(config().seed);
  blockDim = launch.block;
  gridDim = launch.grid;
  e.count = 0;
  for (unsigned z = 0; z < blockDim.z; ++z)
    for (unsigned y = 0; y < blockDim.y; ++y)
      for (unsigned x = 0; x < blockDim.x; ++x, ++e.count) {
        e.threads[e.count].index = {x, y, z};
        e.threads[e.count].number = e.count;
      }
  if constexpr (kThreadSanitizer) {
    e.arena.renew();
    auto* points = static_cast<char*>(e.arena.take(24));
    e.points.begin = points;
    e.points.end = points + 8;
    e.points.fence = points + 16;
  }
  signal(e.points.begin);

  const std::uint64_t blocks = static_cast<std::uint64_t>(gridDim.x) * gridDim.y * gridDim.z;
  std::uint64_t at = 0, step = 1;
  if (config().order == Order::reverse) at = step = blocks - 1;
  if (config().order == Order::random || config().order == Order::warp_first) {
    at = e.choices.below(blocks);
    do step = 1 + e.choices.below(blocks);
    while (common(step, blocks) != 1);
  }
  for (std::uint64_t i = 0; i < blocks && !e.stopped; ++i, at = (at + step) % blocks) {
    blockIdx = {static_cast<unsigned>(at % gridDim.x),
                static_cast<unsigned>(at / gridDim.x % gridDim.y),
                static_cast<unsigned>(at / gridDim.x / gridDim.y)};
    run_block();
  }
  observe(e.points.end);
  e.launch = nullptr;
  if (!e.stopped) return;
  e.stopped = false;
  restart_fibers();
  throw Error(std::exchange(e.report, {}));
}

}  // namespace poe::harness
