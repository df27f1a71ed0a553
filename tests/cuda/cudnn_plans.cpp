// SPDX-License-Identifier: MIT
// cuDNN has a plan for every layer of the papers, on a GPU that need not be in this machine.
#include <cudnn_plan.hpp>

#include <algorithm>
#include <set>
#include <string>

#include "../support.hpp"
#include "layers.hpp"

using namespace poe;
using namespace poe::cuda::plans;

namespace {

/// cuDNN's description of an H200, after the data sheet and the CUDA programming guide.
const char* const h200 = R"({
  "deviceName": "NVIDIA H200", "cudaDeviceId": 0, "deviceVer": 900, "driverVer": 13000,
  "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1, "warpSize": 32,
  "multiProcessorCount": 132, "smClockRateKHz": 1980000, "memClockRateKHz": 3201000,
  "totalGlobalMem": 150754820096, "l2CacheSize": 62914560,
  "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64],
  "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "maxCtasPerSM": 32,
  "regsPerBlock": 65536, "maxRegistersPerSM": 65536, "maxSharedMemoryPerBlock": 49152,
  "maxSharedMemoryPerBlockOptin": 232448, "reservedSharedMemoryPerBlock": 1024})";

constexpr Product products[] = {Product::large_to_small, Product::small_to_large,
                                Product::weight_gradient};
const char* name(Product p) {
  static constexpr const char* names[] = {"large to small", "small to large", "weight gradient"};
  return names[static_cast<int>(p)];
}

}  // namespace

TEST_CASE("every layer of the papers has its three plans") {
  const Descriptor device = described_device(h200);
  const Target target{nullptr, &device};
  std::int64_t most = 0;
  for (const auto& [network, windows] : tests::paper_layers())
    for (const Window& w : windows)
      for (const Product product : products)
        for (const int rows : {1, 100}) {
          INFO(network << ": " << tests::describe(w) << ", rows " << rows << ": " << name(product));
          const std::optional<Plan> plan = find_plan(product, w, rows, 16, target);
          REQUIRE(plan.has_value());
          CHECK(plan->workspace >= 0);
          most = std::max(most, plan->workspace);
        }
  WARN("largest workspace: " << most << " bytes");
  CHECK(most <= most_workspace);
}

TEST_CASE("odd layers have their plans too") {
  const Descriptor device = described_device(h200);
  for (const Window& w : tests::odd_layers())
    for (const Product product : products)
      for (const int rows : {1, 32, 33}) {
        INFO(tests::describe(w) << ", rows " << rows << ": " << name(product));
        CHECK(find_plan(product, w, rows, 16, {nullptr, &device}).has_value());
      }
}

TEST_CASE("arrays that are aligned to a float only have plans too") {
  const Descriptor device = described_device(h200);
  for (const Product product : products) {
    INFO(name(product));
    CHECK(find_plan(product, tests::halving(64, 7, 14, 128), 100, 4, {nullptr, &device}));
  }
}

TEST_CASE("a plan's engine neither rounds its factors nor changes its order") {
  const Descriptor device = described_device(h200);
  const Target target{nullptr, &device};
  for (const Product product : products) {
    const std::optional<Plan> plan =
        find_plan(product, tests::halving(64, 7, 14, 128), 100, 16, target);
    REQUIRE(plan.has_value());
    // The first proposals of a GPU with tensor cores are for these: something was passed over.
    const auto all = proposals(plan->graph, CUDNN_HEUR_MODE_A, target);
    const auto refused = std::ranges::count_if(
        all, [](const Descriptor& p) { return !sums_as_written(engine_of(p)); });
    INFO(name(product) << ": " << refused << " of " << all.size() << " proposals refused");
    CHECK(refused > 0);
    CHECK(sums_as_written(engine_of(plan->proposal)));
  }
}

TEST_CASE("where tensor cores are allowed, more proposals are, and the first one uses them") {
  const Descriptor device = described_device(h200);
  const Target target{nullptr, &device};
  for (const Product product : products) {
    const Window w = tests::halving(64, 7, 14, 128);
    const std::optional<Plan> plan = find_plan(product, w, 100, 16, target, true);
    REQUIRE(plan.has_value());
    INFO(name(product));
    CHECK_FALSE(sums_as_written(engine_of(plan->proposal)));
    CHECK(sums_as_written(engine_of(plan->proposal), true));
    CHECK(plan->workspace <= most_workspace);
  }
}

TEST_CASE("a small image that is not all positions of the window has no plan") {
  const Descriptor device = described_device(h200);
  Window w = tests::halving(64, 7, 14, 128);
  --w.out_width;
  CHECK_FALSE(find_plan(Product::large_to_small, w, 100, 16, {nullptr, &device}).has_value());
}

TEST_CASE("a description that is none is an error that names the call") {
  CHECK_THROWS_WITH(described_device("{"), Catch::Contains("cuDNN: device properties"));
}
