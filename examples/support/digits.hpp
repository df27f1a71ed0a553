// SPDX-License-Identifier: MIT
// Digits for the trainers: MNIST from files, or the embedded generator, and the oracle that judges
// them.
#pragma once

#include <poe/data/digits.hpp>
#include <poe/data/mnist.hpp>
#include <poe/eval/oracle.hpp>
#include <poe/train/progress.hpp>

#include <cstdlib>
#include <functional>
#include <memory>

#include "command_line.hpp"

namespace examples {

/// Training and held-out digits. Without --data they are drawn by the program, which is said
/// loudly.
struct DigitSource {
  poe::Digits train, held_out;
  std::string name;   // "mnist" or "procedural", for files that are read by programs
  std::string title;  // for people

  /// Kind and checksum: two runs with the same fingerprint saw the same images.
  std::string fingerprint() const {
    return fmt::format("{}:{:08x}", name, poe::detail::checksum(train));
  }
};

inline poe::Digits first_digits(poe::Digits digits, int count) {
  if (count == 0 || count >= digits.rows) return digits;
  const std::size_t pixels = digits.pixels.size() / static_cast<std::size_t>(digits.rows);
  digits.rows = count;
  digits.pixels.resize(pixels * static_cast<std::size_t>(count));
  digits.labels.resize(static_cast<std::size_t>(count));
  return digits;
}

inline DigitSource load_digits(const Options& o) {
  DigitSource s;
  if (o.data.empty()) {
    constexpr int train = 20000, held_out = 4000;
    fmt::print(
        "*** No --data: training on PROCEDURAL digits drawn by this program, not on MNIST.\n"
        "*** Figures below say nothing about the paper; `scripts/get-data mnist` fetches the real "
        "digits.\n");
    s.train = poe::make_digits(train, poe::Random{1, 1, 0});
    s.held_out = poe::make_digits(held_out, poe::Random{1, 2, 0});
    s.name = "procedural";
    s.title = "procedural digits (not MNIST)";
  } else {
    poe::MnistFiles files = poe::load_mnist(o.data);
    s.train = std::move(files.train);
    s.held_out = std::move(files.test);
    s.name = "mnist";
    s.title = "MNIST";
    fmt::print("data: {}, {} training and {} held-out digits\n", s.train.source, s.train.rows,
               s.held_out.rows);
  }
  return s;
}

/// $XDG_CACHE_HOME/poe, or ~/.cache/poe; empty (no cache) where neither is set.
inline std::filesystem::path default_cache() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0')
    return std::filesystem::path(cache) / "poe";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return std::filesystem::path(home) / ".cache" / "poe";
  return {};
}

/// A trained classifier of digits, whatever its network.
struct DigitOracle {
  double test_accuracy = 0;
  std::function<std::vector<std::uint8_t>(poe::View<float, poe::DigitImage>)> predict;
};

namespace detail {

template <class Net, class Device>
DigitOracle make_oracle(const Options& o, const DigitSource& digits) {
  poe::ProgressBar bar(fmt::format("oracle ({})", Net::name));
  const poe::Stopwatch clock;
  auto oracle = std::make_shared<poe::Oracle<Net, Device>>(poe::load_or_train<Net, Device>(
      digits.train, digits.held_out, o.threads,
      {.directory = o.cache.empty() ? default_cache() : o.cache,
       .progress =
           [&](const poe::ClassifierProgress& p) {
             bar.show(p.step, p.steps, [&] { return fmt::format("cross-entropy {:.3f}", p.loss); });
           },
       .warn = [](const std::string& text) { fmt::print(stderr, "warning: {}\n", text); }}));
  bar.clear();
  fmt::print("oracle: {}, {:.2f} % of the held-out digits right ({})\n", Net::name,
             100 * oracle->test_accuracy,
             oracle->from_cache ? "from " + oracle->file.string()
                                : "trained in " + poe::duration_text(clock.seconds()));
  std::fflush(stdout);
  return {oracle->test_accuracy, [oracle](auto images) { return oracle->predict(images); }};
}

}  // namespace detail

/// The classifier that --oracle names: trained on all digits of the source, once.
template <class Device>
DigitOracle make_oracle(const Options& o, const DigitSource& digits) {
  return o.oracle == "resnet18" ? detail::make_oracle<poe::ResNet18, Device>(o, digits)
                                : detail::make_oracle<poe::SmallOracle, Device>(o, digits);
}

}  // namespace examples
