// SPDX-License-Identifier: MIT
// Which streams, events and graphs exist: a call with a null or destroyed one is an error.
#pragma once

#include <memory>
#include <set>

#include <poe/core/error.hpp>

#include "runtime.hpp"

namespace poe::harness {

template <class Handle>
class Handles {
 public:
  explicit Handles(const char* kind) : kind_(kind) {}

  Handle* create() {
    auto handle = std::make_unique<Handle>();
    live_.insert(handle.get());
    return handle.release();
  }
  void check(Handle* handle, const char* call) const {
    expect(handle, "CUDA harness: {}: the {} is null", call, kind_);
    expect(live_.contains(handle), "CUDA harness: {}: the {} was destroyed", call, kind_);
  }
  void destroy(Handle* handle) noexcept {
    if (live_.erase(handle) > 0) delete handle;
  }
  const std::set<Handle*>& live() const { return live_; }

 private:
  const char* kind_;
  std::set<Handle*> live_;
};

Handles<cuda::StreamHandle>& streams();
Handles<cuda::EventHandle>& events();
Handles<cuda::GraphHandle>& graphs();

/// Fails if this stream is being captured, and the capture fails with it.
void refuse_in_capture(cuda::Stream stream, const char* call);

}  // namespace poe::harness
