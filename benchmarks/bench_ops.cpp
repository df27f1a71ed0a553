// SPDX-License-Identifier: MIT
// The products of the paper's networks on one thread, as a share of the core's multiply-add peak.
#include <poe/ops/conv.hpp>
#include <poe/train/progress.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>

#include "layers.hpp"

namespace {
using namespace poe;

/// Median seconds of a call.
double median_time(const std::function<void()>& call) {
  call();
  std::vector<double> times;
  const Stopwatch all;
  while (times.size() < 7 || all.seconds() < 0.15) {
    const Stopwatch one;
    call();
    times.push_back(one.seconds());
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

/// GFLOP/s of 16 independent chains of multiply-adds in the widest registers.
double peak() {
  using V = detail::Vector<float>;
  constexpr int chains = 16, rounds = 200000;
  static volatile float sink = 1;
  const double seconds = median_time([] {
    V acc[chains];
    for (int i = 0; i < chains; ++i) acc[i] = V{} + static_cast<float>(i);
    V factor = V{} + sink, addend = V{} + 0.001F;
    for (int r = 0; r < rounds; ++r)
#pragma GCC unroll 16
      for (int i = 0; i < chains; ++i) acc[i] = acc[i] * factor + addend;
    for (int i = 1; i < chains; ++i) acc[0] += acc[i];
    sink = acc[0][0] == 0.5F ? 1.0F : 0.999F;
  });
  return 2.0 * detail::lanes<float> * chains * rounds / seconds / 1e9;
}

void bench_layer(const bench::Layer& layer, int samples, double top) {
  const Window& w = layer.window;
  const int rows = samples * layer.rows;
  const auto n = static_cast<std::size_t>(rows);
  Buffer<float> large(n * static_cast<std::size_t>(w.large())),
      small(n * static_cast<std::size_t>(w.small()));
  Buffer<float> weights(w.weights()), gradient(w.weights());
  for (float& x : large) x = 0.5F;
  for (float& x : weights) x = 0.25F;
  Arena arena;
  const double gflop = 2e-9 * samples * layer.products();
  const auto show = [&](const char* what, const std::function<void()>& call) {
    const double seconds = median_time([&] { arena.reset(), call(); });
    fmt::print("  {} {:7.0f} us {:4.0f} GFLOP/s {:3.0f} %", what, seconds * 1e6, gflop / seconds,
               100 * gflop / seconds / top);
  };
  fmt::print("{:20}", layer.name);
  show("to small", [&] {
    large_to_small<float>(w, large.data(), weights.data(), small.data(), rows, {}, arena);
  });
  show("| to large", [&] {
    small_to_large<float>(w, small.data(), weights.data(), large.data(), rows, {}, arena);
  });
  show("| weights", [&] {
    weight_gradient<float>(w, large.data(), small.data(), gradient.data(), rows, arena);
  });
  fmt::print("\n");
}

}  // namespace

int main(int argc, char** argv) {
  int samples = 200;
  std::string network;
  CLI::App app("Convolutions and linear layers in the three directions of a training step");
  app.add_option("--samples", samples)->check(CLI::Range(1, 10000))->capture_default_str();
  app.add_option("--network", network, "only this data set's networks; default: all")
      ->check(CLI::IsMember({bench::split, bench::svhn, bench::cub}, CLI::ignore_case));
  CLI11_PARSE(app, argc, argv);
  const double top = peak();
  fmt::print("{} samples, one thread; multiply-add peak of the core {:.0f} GFLOP/s\n", samples,
             top);
  for (const char* name : {bench::split, bench::svhn, bench::cub}) {
    if (!network.empty() && network != name) continue;
    fmt::print("\n{}\n", name);
    for (const bench::Layer& layer : bench::layers)
      if (layer.network == name) bench_layer(layer, samples, top);
  }
}
