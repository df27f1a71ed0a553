// SPDX-License-Identifier: MIT
// The fusion of Gaussian experts by itself: its time in both directions, the memory traffic that it
// reaches as a share of a copy's, and what the same work takes as single operations.
#include <poe/io/jsonl.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "fusion_cases.hpp"
#include "timing.hpp"

namespace {
using namespace bench;
using poe::expect;
using poe::Json;

struct Options {
  std::string device, json_file;
  std::vector<std::string> plans;
  std::vector<int> batches, latents;  // batch 0: one that moves 64 MiB
  bool quick = false;
  Effort effort;
};

/// Rows that make the forward pass move at least 64 MiB, in thousands.
int large_batch(const Case& c, int latent) {
  const double rows = (64 << 20) / forward_bytes(c, 1, latent);
  return static_cast<int>(std::ceil(rows / 1000)) * 1000;
}

/// How many copies of the operands are used in turn, so that none is found in the cache of a GPU;
/// 1 if they stay in it anyway, as results of the operation before do in training.
template <class Device>
int copies_of(double bytes) {
  if constexpr (std::is_same_v<Device, Cuda>) {
    const auto cache = static_cast<double>(poe::cuda::device_info().l2_cache);
    if (bytes > cache / 2) return std::max(2, static_cast<int>(std::ceil(4 * cache / bytes)));
  }
  return 1;
}

/// Fails unless both ways give the same numbers: a wrong kernel has no time.
template <int L, class Device>
void expect_agreement(const Case& c, Operands<Device>& o, const poe::Random& random,
                      Executor<Device>& on) {
  o.clear_results();
  gaussian::detail::fuse_values<L>(c.plan(), o.memory(), random, 0, on);
  gaussian::detail::fuse_gradients<L>(c.plan(), o.memory(), o.gradients(), on);
  const std::vector<float> fused = o.results(on);
  o.clear_results();
  single_values(c, o, random, on);
  single_gradients(c, o, on);
  const std::vector<float> single = o.results(on);
  for (std::size_t i = 0; i < fused.size(); ++i)
    expect(std::abs(fused[i] - single[i]) <= 1e-3F * (1 + std::abs(single[i])),
           "{}: result {} is {}, but {} by single operations", c.name, i, fused[i], single[i]);
}

/// After every row: a run that is cut short has results, too.
void save(const Json& report, const Options& options) {
  if (!options.json_file.empty()) poe::write_json(options.json_file, report);
}

/// Both directions of one case.
template <int L, class Device>
void bench_case(const Case& c, int rows, const Options& options, double copy, Json& report,
                Executor<Device>& on) {
  const double forward = forward_bytes(c, rows, L), backward = backward_bytes(c, rows, L);
  const int copies = copies_of<Device>(forward);
  std::vector<Operands<Device>> operands;
  for (int k = 0; k < copies; ++k) operands.emplace_back(c, rows, L, on);
  const auto turn = [&](int i) -> Operands<Device>& {
    return operands[static_cast<std::size_t>(i % copies)];
  };
  const poe::Random random{1};
  expect_agreement<L>(c, operands[0], random, on);

  const auto show = [&](const char* direction, double bytes, auto&& fused, auto&& single) {
    const Times t = time_calls(on, options.effort, copies, fused);
    const Times s = time_calls(on, options.effort, copies, single);
    const auto in_graph = [](double seconds) {
      return std::is_same_v<Device, Cpu> ? "-" : fmt::format("{:.1f}", seconds * 1e6);
    };
    fmt::print(
        "| {} | {} | {} | {} | {:.2f} | {} | {:.1f} | {} | {:.3g} | {:.3g} % | {:.1f} | {} | "
        "{:.2f} "
        "|\n",
        c.name, rows, L, direction, bytes / (1 << 20), copies > 1 ? "cold" : "warm",
        t.launched * 1e6, in_graph(t.graph), bytes / t.graph * 1e-9, 100 * bytes / t.graph / copy,
        s.launched * 1e6, in_graph(s.graph), t.graph / s.graph);
    std::fflush(stdout);
    report["rows"].push_back({{"plan", c.name},
                              {"batch", rows},
                              {"latent", L},
                              {"direction", direction},
                              {"bytes", bytes},
                              {"copies", copies},
                              {"launched_us", t.launched * 1e6},
                              {"graph_us", t.graph * 1e6},
                              {"copy_share", bytes / t.graph / copy},
                              {"single_launched_us", s.launched * 1e6},
                              {"single_graph_us", s.graph * 1e6}});
    save(report, options);
  };
  show(
      "forward", forward,
      [&](int i) { gaussian::detail::fuse_values<L>(c.plan(), turn(i).memory(), random, 0, on); },
      [&](int i) { single_values(c, turn(i), random, on); });
  show(
      "backward", backward,
      [&](int i) {
        const Operands<Device>& o = turn(i);
        gaussian::detail::fuse_gradients<L>(c.plan(), o.memory(), o.gradients(), on);
      },
      [&](int i) { single_gradients(c, turn(i), on); });
}

Json described(const Case& c) {
  Json out = {
      {"meaning", c.meaning}, {"experts", c.experts}, {"floor", gaussian::ScaleLink{}.floor}};
  for (const auto& p : c.products) out["products"].push_back(p.experts);
  out["divergences"] = out["samples"] = Json::array();
  for (const auto& d : c.divergences) out["divergences"].push_back({d.from, d.to});
  for (const auto& s : c.draws) out["samples"].push_back(s.product);
  return out;
}

template <class Device>
void bench_all(const Options& options) {
  Executor<Device> on;
  std::string name = "one thread of the CPU";
  poe::Buffer<std::uint32_t, Device> step(1);
  if constexpr (std::is_same_v<Device, Cuda>) {
    name = poe::cuda::device_info().name;
    on.step = step.data();  // as in a captured training step
  }
  const double copy = copy_bandwidth(on, options.effort);
  fmt::print("{}; a large copy moves {:.0f} GB/s, read and written together.\n", name, copy * 1e-9);
  Json out = {{"device", Device::name}, {"name", name}, {"copy_GBps", copy * 1e-9}};
  fmt::print(
      "\n| plan | batch | latent | direction | MiB | cache | us launched | us in a graph | "
      "GB/s | of a copy | single ops launched | in a graph | fused / single |\n"
      "| --- | ---: | ---: | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: "
      "|\n");
  for (const Case& c : all_cases()) {
    const auto& chosen = options.plans;
    if (!chosen.empty() && std::find(chosen.begin(), chosen.end(), c.name) == chosen.end())
      continue;
    out["plans"][c.name] = described(c);
    for (const int latent : options.latents)
      for (const int batch : options.batches) {
        const int rows = batch == 0 ? large_batch(c, latent) : batch;
        if (latent == 20) bench_case<20>(c, rows, options, copy, out, on);
        if (latent == 64) bench_case<64>(c, rows, options, copy, out, on);
        if (latent == 128) bench_case<128>(c, rows, options, copy, out, on);
      }
  }
}

}  // namespace

int main(int argc, char** argv) try {
  Options o;
  CLI::App app(
      "Fusion of Gaussian experts: time, share of a copy's memory traffic, gain over single "
      "operations. GB/s and ratios are of the times in a graph.");
  app.add_option("--device", o.device, "cuda where there is a GPU")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  app.add_option("--plan", o.plans, "two, svae, vaevae, eight; all by default")
      ->check(CLI::IsMember({"two", "svae", "vaevae", "eight"}));
  app.add_option("--batch", o.batches, "0: one that moves 64 MiB; 100 1000 10000 0 by default")
      ->check(CLI::Range(0, 10000000));
  app.add_option("--latent", o.latents)->check(CLI::IsMember({20, 64, 128}));
  app.add_option("--json", o.json_file, "writes the table to this file, too");
  app.add_flag("--quick", o.quick, "fewer rows and repetitions");
  CLI11_PARSE(app, argc, argv);
  if (o.batches.empty())
    o.batches = o.quick ? std::vector{100, 0} : std::vector{100, 1000, 10000, 0};
  if (o.latents.empty()) o.latents = o.quick ? std::vector{64} : std::vector{20, 64, 128};
  if (o.quick) o.effort = {5, 0.005};

  std::string reason = "this program was built without CUDA";
  if constexpr (poe::is_available<Cuda>) reason = poe::cuda::why_unavailable();
  if (o.device.empty()) o.device = reason.empty() ? "cuda" : "cpu";
  if (o.device == "cpu") {
    bench_all<Cpu>(o);
  } else {
    expect(reason.empty(), "--device cuda: {}", reason);
    if constexpr (poe::is_available<Cuda>) bench_all<Cuda>(o);
  }
} catch (const std::exception& e) {
  fmt::print(stderr, "bench_fusion: {}\n", e.what());
  return 2;
}
