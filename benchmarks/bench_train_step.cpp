// SPDX-License-Identifier: MIT
// Time, arithmetic rate and peak memory of whole training steps: batch, forward, backward, Adam.
#include <sys/resource.h>

#include <fmt/core.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <poe/eval/decode.hpp>
#include <poe/models/by_name.hpp>
#include <poe/train/trainer.hpp>

#include "../examples/networks/mnist_split.hpp"

namespace {
using namespace poe;

/// Multiplications and additions of the products of one step (2 per product term, forward and both
/// gradients, no data gradient for the first layer; taps in the padding counted as PyTorch executes
/// them): comparable with the figure of benchmarks/torch_peer.py.
double step_flop(const std::string& model, double batch) {
  const double c1 = 98 * 64 * 16, c2 = 21 * 128 * 1024, c3 = 3 * 256 * 2048, conv = c1 + c2 + c3;
  const double encoder = conv + 768 * 512 + 512 * 128, joint = 2 * conv + 1536 * 512 + 512 * 128;
  const double decoder = 64 * 512 + 512 * 112 + 112 * 840 + 15 * 56 * 28 * 15 + 91 * 28 * 8;
  const bool star = model == "svae" || model == "vaevae-star";  // single bounds on pairs too
  double encoders = 0, first = 0;
  if (model == "svae" || model == "svae-star")
    encoders = 8 * encoder, first = 8 * c1;
  else if (model == "vaevae-a")
    encoders = 4 * encoder, first = 4 * c1;
  else
    encoders = 4 * encoder + joint, first = 6 * c1;
  return 2 * batch * (3 * (encoders + (star ? 6 : 4) * decoder) - first);
}

struct Options {
  std::string model = "svae-star", preset = "official", device = "cpu", math = "float32";
  int batch = 100, threads = 1, steps = 40, repeats = 3, warmup = 10;
  bool json = false;
};

template <class Model>
void bench(const Model& model, const Options& o) {
  constexpr int samples = 60000;
  Tensor<float, mnist_split::HalfDigit> halves[2] = {
      Tensor<float, mnist_split::HalfDigit>(samples),
      Tensor<float, mnist_split::HalfDigit>(samples)};
  for (std::uint32_t h = 0; h < 2; ++h)  // sparse bright pixels, as in digits
    for (std::size_t i = 0; i < halves[h].flat().size(); ++i)
      halves[h].flat()[i] = i % 5 == 0 ? static_cast<float>(i % 97) / 97 : 0;
  typename Model::HostGroup data;
  data.observed = 3, data.rows = data.total = samples,
  data.x = {halves[0].view(), halves[1].view()};

  LearnerOf<Model> learner(model.description(), 1, o.threads);
  if constexpr (std::is_same_v<typename Model::Device, Cuda>)
    learner.engines.precision = cuda::precision_named(o.math);
  TrainOptions options;
  options.supervision.batch = o.batch;
  Trainer<Model> trainer(model, learner, data, options);
  for (int i = 0; i < o.warmup; ++i) trainer.step();
  std::vector<double> medians, all;
  for (int r = 0; r < o.repeats; ++r) {
    std::vector<double> ms;
    if constexpr (std::is_same_v<typename Model::Device, Cpu>) {
      for (int i = 0; i < o.steps; ++i) {
        const Stopwatch clock;
        trainer.step();
        ms.push_back(clock.seconds() * 1e3);
      }
    } else {  // as in training: nobody waits for a single step
      trainer.epoch_loss();
      const Stopwatch clock;
      for (int i = 0; i < o.steps; ++i) trainer.step();
      trainer.epoch_loss();
      ms.push_back(clock.seconds() * 1e3 / o.steps);
    }
    std::sort(ms.begin(), ms.end());
    medians.push_back(ms[ms.size() / 2]);
    all.insert(all.end(), ms.begin(), ms.end());
  }
  std::sort(medians.begin(), medians.end());
  const auto [fastest, slowest] = std::minmax_element(all.begin(), all.end());
  const double median = medians[medians.size() / 2],
               gflops = step_flop(o.model, o.batch) / median / 1e6;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double mib = static_cast<double>(usage.ru_maxrss) / 1024;
  if (o.json)
    fmt::print(
        "{{\"model\":\"{}\",\"batch\":{},\"device\":\"{}\",\"math\":\"{}\",\"threads\":{},\"ms_per_"
        "step\":{{\"median\":{:.3f},"
        "\"min\":{:.3f},"
        "\"max\":{:.3f}}},\"gflops\":{:.1f},\"peak_rss_mib\":{:.0f}}}\n",
        o.model, o.batch, o.device, o.math, o.threads, median, *fastest, *slowest, gflops, mib);
  else
    fmt::print(
        "{:12} batch {} on {} in {}, {} threads: {:.3g} ms a step (min {:.3g}, max {:.3g}), {:.0f} "
        "GFLOP/s, peak {:.0f} MiB\n",
        o.model, o.batch, o.device, o.math, o.threads, median, *fastest, *slowest, gflops, mib);
}

}  // namespace

int main(int argc, char** argv) try {
  Options o;
  CLI::App app("Time of a training step on MNIST-Split (artificial data, the real shapes)");
  app.add_option("--model", o.model)
      ->check(CLI::IsMember({"svae", "svae-star", "vaevae", "vaevae-a", "vaevae-star"}))
      ->capture_default_str();
  app.add_option("--preset", o.preset)
      ->check(CLI::IsMember({"paper", "official"}))
      ->capture_default_str();
  app.add_option("--device", o.device)
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--math", o.math, "how exactly products are taken on a GPU")
      ->check(CLI::IsMember({"float32", "tf32", "bf16"}))
      ->capture_default_str();
  app.add_option("--batch", o.batch)->check(CLI::Range(1, 60000))->capture_default_str();
  app.add_option("--threads", o.threads)->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--steps", o.steps, "timed steps of each repetition")->check(CLI::PositiveNumber);
  app.add_option("--repeats", o.repeats)->check(CLI::PositiveNumber);
  app.add_flag("--json", o.json, "one JSON object instead of a line");
  CLI11_PARSE(app, argc, argv);
  const auto options = o.preset == "paper" ? VaeOptions::paper() : VaeOptions::official();
  const auto run = [&]<class Device>(Device) {
    using mnist_split::Digit, mnist_split::Head;
    bench(*model_named<float, Digit, Head, Device>(o.model, options), o);
  };
  if (o.device == "cpu") {
    run(Cpu{});
  } else {
    std::string reason = "this program was built without CUDA";
    if constexpr (is_available<Cuda>) reason = cuda::why_unavailable();
    expect(reason.empty(), "--device cuda: {}", reason);
    if constexpr (is_available<Cuda>) run(Cuda{});
  }
} catch (const std::exception& e) {
  fmt::print(stderr, "bench_train_step: {}\n", e.what());
  return 2;
}
