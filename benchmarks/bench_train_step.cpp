// SPDX-License-Identifier: MIT
// Time, arithmetic rate and peak memory of whole training steps: batch, forward, backward, Adam.
#include <poe/models/by_name.hpp>
#include <poe/train/trainer.hpp>

#include <fmt/core.h>
#include <sys/resource.h>
#include <CLI/CLI.hpp>
#include <algorithm>

#include "network_products.hpp"
#include "step_data.hpp"

namespace {
using namespace poe;

struct Options {
  std::string data_set = "mnist_split", model = "svae-star", preset = "official", device = "cpu",
              math = "float32";
  int batch = 0, threads = 1, steps = 40, repeats = 3, warmup = 10;
  bool json = false;
};

template <class Data, class Device>
void time_steps(const Options& o) {
  VaeOptions vae = o.preset == "paper" ? VaeOptions::paper() : VaeOptions::official();
  std::copy(std::begin(Data::lambda), std::end(Data::lambda), vae.lambda.begin());
  const auto model =
      model_named<float, typename Data::Pairs, typename Data::Head, Device>(o.model, vae);
  using Model = std::remove_cvref_t<decltype(*model)>;
  const int batch = o.batch > 0 ? o.batch : Data::batch;
  const bench::MadeSamples<Data> data;
  LearnerOf<Model> learner(model->description(), 1, o.threads);
  if constexpr (std::is_same_v<Device, Cuda>)
    learner.engines.precision = cuda::precision_named(o.math);
  TrainOptions options;
  options.supervision.batch = batch;
  Trainer<Model> trainer(*model, learner, data.samples, options);
  for (int i = 0; i < o.warmup; ++i) trainer.step();
  std::vector<double> medians, all;
  for (int r = 0; r < o.repeats; ++r) {
    std::vector<double> ms;
    if constexpr (std::is_same_v<Device, Cpu>) {
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
               gflops = bench::step_flop<Data>(o.model, batch) / median / 1e6;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double mib = static_cast<double>(usage.ru_maxrss) / 1024;
  if (o.json)
    fmt::print(
        "{{\"data\":\"{}\",\"model\":\"{}\",\"batch\":{},\"device\":\"{}\",\"math\":\"{}\","
        "\"threads\":{},\"ms_per_step\":{{\"median\":{:.3f},\"min\":{:.3f},\"max\":{:.3f}}},"
        "\"gflops\":{:.1f},\"peak_rss_mib\":{:.0f}}}\n",
        Data::name, o.model, batch, o.device, o.math, o.threads, median, *fastest, *slowest, gflops,
        mib);
  else
    fmt::print(
        "{} {:12} batch {} on {} in {}, {} threads: {:.3g} ms a step (min {:.3g}, max {:.3g}), "
        "{:.0f} GFLOP/s, peak {:.0f} MiB\n",
        Data::name, o.model, batch, o.device, o.math, o.threads, median, *fastest, *slowest, gflops,
        mib);
}

}  // namespace

int main(int argc, char** argv) try {
  Options o;
  CLI::App app("Time of a training step (artificial data, the real shapes)");
  app.add_option("--data-set", o.data_set)
      ->check(CLI::IsMember(
          {bench::MnistSplit::name, bench::MnistSvhn::name, bench::CubCaptions::name}))
      ->capture_default_str();
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
  app.add_option("--batch", o.batch, "default: the published code's")->check(CLI::Range(1, 10000));
  app.add_option("--threads", o.threads)->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--steps", o.steps, "timed steps of each repetition")->check(CLI::PositiveNumber);
  app.add_option("--repeats", o.repeats)->check(CLI::PositiveNumber);
  app.add_flag("--json", o.json, "one JSON object instead of a line");
  CLI11_PARSE(app, argc, argv);
  const auto run = [&]<class Device>(Device) {
    if (o.data_set == bench::MnistSplit::name) time_steps<bench::MnistSplit, Device>(o);
    if (o.data_set == bench::MnistSvhn::name) time_steps<bench::MnistSvhn, Device>(o);
    if (o.data_set == bench::CubCaptions::name) time_steps<bench::CubCaptions, Device>(o);
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
