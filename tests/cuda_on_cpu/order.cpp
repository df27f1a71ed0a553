// SPDX-License-Identifier: MIT
// The order of the threads that could go on.
#include "engine.hpp"

namespace poe::harness {

Config& config() {
  static Config instance;
  return instance;
}

Statistics& statistics() {
  static Statistics instance;
  return instance;
}

POE_UNSEEN void ReadyQueue::begin(Order order, Choices& choices) {
  order_ = order;
  choices_ = &choices;
  first_ = count_ = 0;
  const auto warps = static_cast<unsigned>(kMostThreads / kWarp);
  for (unsigned i = 0; i < warps; ++i) {
    lanes_.data()[i] = 0;
    rank_.data()[i] = i;
  }
  if (order != Order::warp_first) return;
  for (unsigned i = warps; i-- > 1;) {
    const auto j = static_cast<unsigned>(choices.below(i + 1));
    const unsigned other = rank_.data()[j];
    rank_.data()[j] = rank_.data()[i];
    rank_.data()[i] = other;
  }
}

POE_UNSEEN void ReadyQueue::push(unsigned* numbers, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    unsigned& next = numbers[i];
    if (order_ == Order::warp_first) {
      lanes_.data()[next / kWarp] |= 1U << (next % kWarp);
      continue;
    }
    if (order_ == Order::random) {
      unsigned& other = numbers[i + choices_->below(count - i)];
      const unsigned number = other;
      other = next;
      next = number;
    }
    const unsigned number = order_ == Order::reverse ? numbers[count - 1 - i] : next;
    ring_.data()[(first_ + count_++) % kMostThreads] = number;
  }
}

POE_UNSEEN int ReadyQueue::pop() {
  if (order_ == Order::warp_first) {
    for (unsigned i = 0; i < kMostThreads / kWarp; ++i) {
      const unsigned warp = rank_.data()[i];
      unsigned& lanes = lanes_.data()[warp];
      if (lanes == 0) continue;
      const int lowest = __builtin_ctz(lanes), highest = 31 - __builtin_clz(lanes);
      const int lane = choices_->below(2) == 0 ? lowest : highest;
      lanes &= ~(1U << lane);
      return static_cast<int>(warp * kWarp) + lane;
    }
    return -1;
  }
  if (count_ == 0) return -1;
  const unsigned number = ring_.data()[first_];
  first_ = (first_ + 1) % kMostThreads;
  --count_;
  return static_cast<int>(number);
}

}  // namespace poe::harness
