// SPDX-License-Identifier: MIT
// Linked to tests that need a GPU: without one the program ends with the status that ctest calls
// skipped. A listener and not a main(), because Catch2 v2 takes 20 seconds to compile main().
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>

#include <cstdio>
#include <cstdlib>

#include <poe/cuda/runtime.hpp>

namespace {

struct NeedsGpu : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;

  void testRunStarting(const Catch::TestRunInfo& /*info*/) override {
    const std::string reason = poe::cuda::why_unavailable();
    if (reason.empty()) return;
    std::printf("skipped: %s\n", reason.c_str());
    std::exit(77);
  }
};
CATCH_REGISTER_LISTENER(NeedsGpu)

}  // namespace
