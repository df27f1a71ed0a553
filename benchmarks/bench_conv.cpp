// SPDX-License-Identifier: MIT
// Every convolution and linear layer of the paper's networks on the GPU, in the three directions of
// a training step: our kernels against cuDNN, and against cuBLASLt for linear layers.
//
// "Engine, as used here" is what training would run, not the library at its best: the first plan of
// the library's heuristic whose sums have a fixed order, without a search among plans; with cuDNN
// also our transposition of the weights, or of their gradient, around that plan (kernels/cudnn.cu).
#include <poe/core/random.hpp>
#include <poe/io/jsonl.hpp>
#include <poe/ops/conv_cuda.hpp>
#include <poe/ops/engine_cuda.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <functional>

#include "layers.hpp"
#include "timing.hpp"

namespace {
using namespace bench;
using poe::Buffer;
using poe::expect;
using poe::Json;
using poe::Window;

struct Options {
  std::string network, json_file, math = "float32";
  int batch = 200;
  Effort effort;
};

// Templates, because a build without CUDA has no use for them.

/// Numbers between -1 and 1 on the device.
template <class Device>
Buffer<float, Device> numbers(std::size_t count, std::uint64_t seed, Executor<Device>& on) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = 2 * poe::Random{seed}.uniform<float>(i) - 1;
  Buffer<float, Device> buffer(count);
  poe::cuda::upload(buffer.data(), values.data(), count * sizeof(float), on.stream());
  return buffer;
}

/// Largest difference, as a share of the largest number.
template <class Device>
double difference(const Buffer<float, Device>& a, const Buffer<float, Device>& b,
                  Executor<Device>& on) {
  std::vector<float> x(a.size()), y(b.size());
  poe::cuda::download(x.data(), a.data(), x.size() * sizeof(float), on.stream());
  poe::cuda::download(y.data(), b.data(), y.size() * sizeof(float), on.stream());
  double largest = 0, off = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    largest = std::max<double>(largest, std::abs(x[i]));
    const double d = std::abs(x[i] - y[i]);
    off = std::isnan(off) || d <= off ? off : d;
  }
  return off / largest;
}

/// Seconds of one call inside a captured graph, where the host does nothing.
template <class Device, class F>
double seconds_in_graph(F&& call, const Effort& effort, Executor<Device>& on) {
  const poe::cuda::Stream stream = on.stream();
  const bench::detail::OwnEvent from(poe::cuda::create_event()), to(poe::cuda::create_event());
  const auto timed = [&](auto&& work) {
    poe::cuda::record(from.get(), stream);
    work();
    poe::cuda::record(to.get(), stream);
    return poe::cuda::milliseconds(from.get(), to.get()) * 1e-3;
  };
  timed(call);  // allocates, loads kernels, chooses a plan
  const int calls = calls_of(effort, timed(call));
  const int nodes = std::min(calls, 50), launches = calls / nodes;
  const auto graph = bench::detail::captured(stream, [&] {
    for (int k = 0; k < nodes; ++k) call();
  });
  const auto launch = [&] {
    for (int k = 0; k < launches; ++k) poe::cuda::launch(graph.get(), stream);
  };
  timed(launch);
  std::vector<double> seconds;
  for (int r = 0; r < effort.repeats; ++r) seconds.push_back(timed(launch) / (nodes * launches));
  return median(std::move(seconds));
}

/// The ratios of one direction, ours to the other library's.
struct Ratios {
  double logs = 0;
  int count = 0;
  void add(double ratio) { logs += std::log(ratio), ++count; }
  double mean() const { return std::exp(logs / count); }
};

/// ours() and theirs() write to memory of their own; theirs() returns false if it cannot.
template <class Device>
struct Direction {
  const char* name;
  Ratios* ratios;
  Buffer<float, Device>*result, *their_result;
  std::function<void()> ours;
  std::function<bool()> theirs;
};

/// After every row: a run that is cut short has results, too.
[[maybe_unused]] void save(const Json& report, const Options& options) {
  if (!options.json_file.empty()) poe::write_json(options.json_file, report);
}

template <class Device>
void bench_direction(const Layer& layer, const Direction<Device>& d, const char* library,
                     const Options& options, Json& report, Executor<Device>& on) {
  // Weight gradients are added to what is there: compare before anything is timed.
  bool compared = false;
  if (library != nullptr) {
    d.result->clear(), d.their_result->clear();
    d.ours();
    compared = d.theirs();
    const double off = compared ? difference(*d.result, *d.their_result, on) : 0;
    // Libraries may take products more exactly than they are asked to.
    const double allowed = options.math == "float32" ? 1e-3 : options.math == "tf32" ? 1e-2 : 5e-2;
    expect(off < allowed, "{}, {}: results differ from {}'s by {} of the largest", layer.name,
           d.name, library, off);
  }
  const double flop = 2 * layer.products() * options.batch;
  const double t = seconds_in_graph(d.ours, options.effort, on);
  Json row = {
      {"network", layer.network},           {"layer", layer.name}, {"direction", d.name},
      {"rows", options.batch * layer.rows}, {"us", t * 1e6},       {"tflops", flop / t * 1e-12}};
  fmt::print("| {} | {} | {} | {:.1f} | {:.2f} |", layer.network, layer.name, d.name, t * 1e6,
             flop / t * 1e-12);
  if (compared) {
    const double peer = seconds_in_graph(d.theirs, options.effort, on);
    d.ratios->add(t / peer);
    row.update({{"peer", library}, {"peer_us", peer * 1e6}, {"ratio", t / peer}});
    fmt::print(" {} | {:.1f} | {:.2f} | {:.2f} |\n", library, peer * 1e6, flop / peer * 1e-12,
               t / peer);
  } else {
    fmt::print(" none | | | |\n");
  }
  std::fflush(stdout);
  report["rows"].push_back(row);
  save(report, options);
}

template <class Device>
void bench_layer(const Layer& layer, const Options& options, Ratios (&ratios)[3], Json& report,
                 Executor<Device>& on) {
  const Window& w = layer.window;
  const int rows = options.batch * layer.rows;
  const auto n = static_cast<std::size_t>(rows);
  const auto large = numbers(n * static_cast<std::size_t>(w.large()), 1, on);
  const auto small = numbers(n * static_cast<std::size_t>(w.small()), 2, on);
  const auto weights = numbers(w.weights(), 3, on);
  Buffer<float, Device> to_small[2] = {Buffer<float, Device>(small.size()),
                                       Buffer<float, Device>(small.size())};
  Buffer<float, Device> to_large[2] = {Buffer<float, Device>(large.size()),
                                       Buffer<float, Device>(large.size())};
  Buffer<float, Device> gradient[2] = {Buffer<float, Device>(weights.size()),
                                       Buffer<float, Device>(weights.size())};
  const poe::cuda::ProductEngine* const engine =
      layer.kind == Kind::linear ? poe::cuda::cublaslt() : poe::cuda::cudnn();
  const char* const library = engine == nullptr            ? nullptr
                              : layer.kind == Kind::linear ? "cuBLASLt engine, as used here"
                                                           : "cuDNN engine, as used here";

  const bool up = layer.kind == Kind::transposed;
  const Direction<Device> directions[] = {
      {up ? "data gradient" : "forward", &ratios[up ? 1 : 0], &to_small[0], &to_small[1],
       [&] {
         poe::large_to_small<float>(w, large.data(), weights.data(), to_small[0].data(), rows, {},
                                    on);
       },
       [&] {
         return engine->large_to_small(w, large.data(), weights.data(), to_small[1].data(), rows,
                                       {}, on);
       }},
      {up ? "forward" : "data gradient", &ratios[up ? 0 : 1], &to_large[0], &to_large[1],
       [&] {
         poe::small_to_large<float>(w, small.data(), weights.data(), to_large[0].data(), rows, {},
                                    on);
       },
       [&] {
         return engine->small_to_large(w, small.data(), weights.data(), to_large[1].data(), rows,
                                       {}, on);
       }},
      {"weight gradient", &ratios[2], &gradient[0], &gradient[1],
       [&] {
         poe::weight_gradient<float>(w, large.data(), small.data(), gradient[0].data(), rows, on);
       },
       [&] {
         return engine->weight_gradient(w, large.data(), small.data(), gradient[1].data(), rows,
                                        on);
       }}};
  for (const int k : {up ? 1 : 0, up ? 0 : 1, 2})
    bench_direction(layer, directions[k], library, options, report, on);
}

template <class Device>
void bench_all(const Options& options) {
  Executor<Device> on;
  on.engines.precision = poe::cuda::precision_named(options.math);
  fmt::print("{}, {} samples, {}; times inside a captured graph.\n\n",
             poe::cuda::device_info().name, options.batch, options.math);
  fmt::print(
      "| network | layer | direction | us | TFLOP/s | peer | its us | its TFLOP/s | ratio |\n"
      "| --- | --- | --- | ---: | ---: | --- | ---: | ---: | ---: |\n");
  Json out = {
      {"name", poe::cuda::device_info().name}, {"batch", options.batch}, {"math", options.math}};
  Ratios ratios[2][3];  // convolutions, linear layers; forward, data gradient, weight gradient
  for (const Layer& layer : layers)
    if (options.network.empty() || options.network == layer.network)
      bench_layer(layer, options, ratios[layer.kind == Kind::linear ? 1 : 0], out, on);
  for (const int linear : {0, 1}) {
    Ratios all;
    const auto& [forward, data, weight] = ratios[linear];
    for (const Ratios& r : ratios[linear]) all.logs += r.logs, all.count += r.count;
    if (all.count == 0) continue;
    fmt::print(
        "\n{}: geometric mean of our time over {}'s {:.2f} (forward {:.2f}, data gradients "
        "{:.2f}, weight gradients {:.2f})\n",
        linear == 1 ? "Linear layers" : "Convolutions",
        linear == 1 ? "the cuBLASLt engine" : "the cuDNN engine", all.mean(), forward.mean(),
        data.mean(), weight.mean());
    out[linear == 1 ? "linear" : "convolution"] = all.mean();
  }
  save(out, options);
}

}  // namespace

int main(int argc, char** argv) try {
  Options o;
  bool quick = false;
  CLI::App app("Layers of the paper's networks on the GPU, ours against cuDNN and cuBLASLt");
  app.add_option("--network", o.network, "MNIST-Split, MNIST-SVHN or CUB; all by default")
      ->check(CLI::IsMember({split, svhn, cub}));
  app.add_option("--batch", o.batch, "samples: paired and unpaired ones of a step of 100")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--math", o.math, "how exactly products are taken")
      ->check(CLI::IsMember({"float32", "tf32", "bf16"}))
      ->capture_default_str();
  app.add_option("--json", o.json_file, "writes the table to this file, too");
  app.add_flag("--quick", quick, "fewer repetitions");
  CLI11_PARSE(app, argc, argv);
  if (quick) o.effort = {5, 0.003};
  std::string reason = "this program was built without CUDA";
  if constexpr (poe::is_available<Cuda>) reason = poe::cuda::why_unavailable();
  expect(reason.empty(), "it needs a GPU: {}", reason);
  if constexpr (poe::is_available<Cuda>) bench_all<Cuda>(o);
} catch (const std::exception& e) {
  fmt::print(stderr, "bench_conv: {}\n", e.what());
  return 2;
}
