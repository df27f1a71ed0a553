// SPDX-License-Identifier: MIT
// Warp collectives: an exact meeting of the lanes that a mask names.
#include "engine.hpp"
#include "intrinsics.hpp"

namespace poe::harness {
namespace {

POE_UNSEEN bool same_call(const Collective& a, const Collective& b) {
  return a.complete == b.complete && a.mask == b.mask && a.where.line == b.where.line &&
         a.where.file == b.where.file;
}

[[noreturn]] POE_UNSEEN void stop_diverged(const CudaThread& a, const CudaThread& b) {
  stop(
      fmt::format("warp {} diverged: lane {} waits in {}(0x{:08x}) at {}, lane {} in {}(0x{:08x}) "
                  "at {}",
                  a.number / kWarp, a.lane(), a.call.name, a.call.mask, text(a.call.where),
                  b.lane(), b.call.name, b.call.mask, text(b.call.where)));
}

/// Completes the call of `thread` if every lane of its mask that has not returned has made it.
POE_UNSEEN void complete_if_all_came(const CudaThread& thread) {
  Engine& e = engine();
  const unsigned base = thread.number - thread.lane();
  const Collective& call = thread.call;
  for (unsigned lane = 0; lane < kWarp && base + lane < e.count; ++lane) {
    const CudaThread& other = e.threads.data()[base + lane];
    if ((call.mask >> lane & 1U) == 0 || other.state == State::done) continue;
    if (other.state != State::at_collective) return;
    if (same_call(other.call, call)) continue;
    if ((other.call.mask >> thread.lane() & 1U) == 0) return;  // it waits for other lanes only
    stop_diverged(thread, other);
  }
  void* requests[kWarp] = {};
  unsigned numbers[kWarp];
  unsigned count = 0;
  for (unsigned lane = 0; lane < kWarp && base + lane < e.count; ++lane) {
    CudaThread& other = e.threads.data()[base + lane];
    if ((call.mask >> lane & 1U) == 0 || other.state != State::at_collective) continue;
    other.state = State::ready;
    requests[lane] = other.call.request;
    numbers[count++] = base + lane;
  }
  e.meeting -= count;
  e.ready.push(numbers, count);
  if (call.complete) call.complete(requests, call);
}

}  // namespace

POE_UNSEEN void complete_collective(const CudaThread& thread) {
  Engine& e = engine();
  if (thread.state == State::at_collective) return complete_if_all_came(thread);
  // It has returned: its warp may have waited for nobody else.
  const unsigned base = thread.number - thread.lane();
  for (unsigned i = base; i < base + kWarp && i < e.count; ++i)
    if (e.threads.data()[i].state == State::at_collective)
      complete_if_all_came(e.threads.data()[i]);
}

POE_UNSEEN void warp_collective(const Collective& call) {
  Engine& e = engine();
  CudaThread& self = *e.current;
  if ((call.mask >> self.lane() & 1U) == 0)
    stop(fmt::format("thread {} calls {} at {}, but lane {} is not in the mask 0x{:08x}",
                     self.number, call.name, text(call.where), self.lane(), call.mask));
  void* const point = e.points.warp(self.number / kWarp);
  if (call.orders_memory) signal(point);
  self.state = State::at_collective;
  self.waits_in = call.name;
  self.where = call.where;
  self.call = call;
  ++e.meeting;
  complete_collective(self);
  wait_for_others(self);
  if (call.orders_memory) observe(point);
}

POE_UNSEEN void stop_absent_lane(const Collective& call, int lane, int absent) {
  stop(fmt::format("{} at {}: lane {} of warp {} reads lane {}, which takes no part", call.name,
                   text(call.where), lane, engine().current->number / kWarp, absent));
}

}  // namespace poe::harness
