// SPDX-License-Identifier: MIT
// The classifiers that judge what models generate: trained once, then cached.
#pragma once

#include <poe/eval/oracle.hpp>
#include <poe/train/progress.hpp>

#include <cstdlib>
#include <functional>
#include <memory>

#include "command_line.hpp"

namespace examples {

/// A trained classifier of images, whatever its network.
template <class Image>
struct ImageOracle {
  double test_accuracy = 0;  // on held-out images
  std::function<std::vector<std::uint8_t>(poe::View<float, Image>)> classify;

  std::vector<std::uint8_t> predict(poe::View<float, Image> images) const {
    return classify(images);
  }
};

/// Where --oracle-cache says, or $XDG_CACHE_HOME/poe, or ~/.cache/poe; empty (no cache) where there
/// is none of them.
inline std::filesystem::path oracle_cache(const std::filesystem::path& wanted) {
  if (!wanted.empty()) return wanted;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0')
    return std::filesystem::path(cache) / "poe";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return std::filesystem::path(home) / ".cache" / "poe";
  return {};
}

/// What a command line says of oracles that are trained.
struct OracleOptions {
  std::filesystem::path cache;
  std::string training = "quick";

  void add_to(CLI::App& app) {
    app.add_option("--oracle-cache", cache, "directory in which trained oracles are kept");
    app.add_option("--oracle-training", training,
                   "quick: few steps, of our own choice; published: epochs, batches and learning "
                   "rate of the published code, which takes many times as long")
        ->check(CLI::IsMember({"quick", "published"}));
  }
  template <class Net>
  poe::ClassifierTraining of() const {
    if (training == "quick") return Net::training;
    if constexpr (requires { Net::published; })
      return Net::published;
    else
      poe::fail("--oracle-training published: there is none of the {} oracle", Net::name);
  }
};

/// The classifier Net, trained on all training digits or found in the cache.
template <class Net, class Device>
ImageOracle<typename Net::In> trained_oracle(const OracleOptions& options, int threads,
                                             const poe::Digits& train,
                                             const poe::Digits& held_out) {
  poe::ProgressBar bar(fmt::format("oracle ({})", Net::name));
  const poe::Stopwatch clock;
  auto oracle = std::make_shared<poe::Oracle<Net, Device>>(poe::load_or_train<Net, Device>(
      train, held_out, threads,
      {.directory = oracle_cache(options.cache),
       .progress =
           [&](const poe::ClassifierProgress& p) {
             bar.show(p.step, p.steps, [&] { return fmt::format("cross-entropy {:.3f}", p.loss); });
           },
       .warn = [](const std::string& text) { fmt::print(stderr, "warning: {}\n", text); }},
      options.of<Net>()));
  bar.clear();
  fmt::print("oracle: {}, {:.2f} % of the held-out digits right ({})\n", Net::name,
             100 * oracle->test_accuracy,
             oracle->from_cache ? "from " + oracle->file.string()
                                : "trained in " + poe::duration_text(clock.seconds()));
  std::fflush(stdout);
  return {oracle->test_accuracy, [oracle](auto images) { return oracle->predict(images); }};
}

}  // namespace examples
