// SPDX-License-Identifier: MIT
// Linked to tests that need a GPU: without one the program ends with the status that ctest calls
// skipped, or fails where the environment has POE_REQUIRE_GPU, as in scripts/gpu. A listener and
// not a main(), because Catch2 v2 takes 20 seconds to compile main().
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
    const bool required = std::getenv("POE_REQUIRE_GPU") != nullptr;
    std::printf("%s: %s\n", required ? "failed" : "skipped", reason.c_str());
    std::exit(required ? 1 : 77);
  }
};
CATCH_REGISTER_LISTENER(NeedsGpu)

}  // namespace
