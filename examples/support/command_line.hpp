// SPDX-License-Identifier: MIT
// The command line that the trainers share, and what a wrong one ends with.
#pragma once

#include <fmt/core.h>
#include <poe/core/device.hpp>
#include <poe/core/error.hpp>
#include <poe/core/version.hpp>
#include <poe/cuda/runtime.hpp>
#include <poe/io/jsonl.hpp>
#include <poe/ops/engine_cuda.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "evaluation.hpp"
#include "model_options.hpp"
#include "numbers.hpp"
#include "parse_error.hpp"

namespace examples {

/// Options of a training run, with their defaults.
struct Options {
  std::string model = "svae", preset = "paper", device = "cpu", pool = "auto";
  std::string convolution = "own", linear = "own", math = "float32";
  std::string select;  // the figure that chooses the best epoch
  std::filesystem::path data, out = "runs/latest", evaluate, cache;
  double supervision = 1, missing = 0, beta = 1, learning_rate = 0;
  std::vector<double> lambda;
  int epochs = 0, warm_up = 0, batch = 0, threads = 0, limit = 0;
  int importance_samples = 1000, importance_rows = 200;
  std::uint64_t seed = 1;
  bool amsgrad = false, resume = false;
  ModelOptions own;                         // what only some models have
  poe::Json program = poe::Json::object();  // settings that only this program has, by flag
};

/// What is usual for a data set.
struct Recipe {
  int epochs = 20, batch = 100;
  std::vector<double> lambda{};  // weight of each modality's log-likelihood
  std::string learning_rates{};  // in words, for --help
  std::function<double(const Options&)> learning_rate{};
  /// What Scores of a validation have, for --select, and which of them chooses the best epoch where
  /// nothing else is asked for.
  std::vector<std::string> figures{};
  std::function<std::string(const Options&)> select{};
};

/// --select of runs that end with their last epoch, whatever the figures say.
inline constexpr const char* last_epoch = "last";

/// A program's command line.
struct CommandLine {
  std::string title;
  Recipe recipe;
  /// What --model takes.
  std::vector<std::string_view> models{poe::model_names.begin(), poe::model_names.end()};
  std::function<void(CLI::App&)> add_options = [](CLI::App&) {};  // of its own
  /// Checks them, and writes them to Options::program.
  std::function<void(Options&)> finish = [](Options&) {};
};

/// The engines that --conv and --linear name, as exact as --math says; fails where this build has
/// not got them.
inline poe::cuda::Engines engines(const Options& o) {
  poe::cuda::Engines chosen{.precision = poe::cuda::precision_named(o.math)};
  if constexpr (poe::is_available<poe::Cuda>) {
    if (o.convolution != "own")
      chosen.convolution = o.convolution == "cudnn" ? poe::cuda::cudnn() : poe::cuda::fastest();
    if (o.linear != "own") chosen.linear = poe::cuda::cublaslt();
    poe::expect(o.convolution == "own" || chosen.convolution != nullptr,
                "--conv {}: this program was built without cuDNN", o.convolution);
    poe::expect(o.linear == "own" || chosen.linear != nullptr,
                "--linear {}: this program was built without cuBLASLt", o.linear);
  }
  return chosen;
}

namespace detail {

inline void add_options(CLI::App& app, Options& o, const CommandLine& line) {
  const Recipe& recipe = line.recipe;
  app.add_option("--model", o.model, fmt::format("{}", fmt::join(line.models, ", ")));
  app.add_option("--preset", o.preset,
                 "paper: equations as printed; official: as the published code")
      ->check(CLI::IsMember({"paper", "official"}));
  app.add_option(
      "--data", o.data,
      "directory with mnist/, svhn/ or cub/, whichever is needed; without it, embedded data");
  app.add_option("--supervision", o.supervision, "share of the samples that are paired, in (0, 1]");
  app.add_option("--unpaired", o.pool,
                 "what the loaders of single modalities draw from; auto: as the model is defined")
      ->check(CLI::IsMember({"auto", "all", "only-unpaired"}));
  app.add_option("--missing", o.missing,
                 "each modality of a training sample is absent with this probability; one stays");
  app.add_option("--epochs", o.epochs, "how often the training samples are gone through")
      ->check(CLI::Range(1, 100000));
  app.add_option("--warm-up", o.warm_up,
                 "epochs in which the weight of the divergences rises from 0 to 1")
      ->check(CLI::Range(0, 10000));
  app.add_option("--beta", o.beta, "weight of the divergences")->check(finite)->check(not_negative);
  app.add_option("--batch", o.batch, "samples of each loader in a step")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--lr", o.learning_rate, "learning rate of Adam")
      ->default_str(recipe.learning_rates)
      ->check(finite)
      ->check(positive);
  app.add_flag("--amsgrad", o.amsgrad, "Adam with the largest second moments so far");
  app.add_option("--lambda", o.lambda, "weight of each modality's log-likelihood")
      ->delimiter(',')
      ->check(finite)
      ->check(not_negative);
  app.add_option("--seed", o.seed,
                 "of initial weights, order and noise; the same seed repeats a run")
      ->check(not_negative);
  app.add_option("--threads", o.threads, "0: one for each core")->check(CLI::Range(0, 1024));
  app.add_option("--device", o.device, "where to train: the processor or an NVIDIA GPU")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  app.add_option("--conv", o.convolution, "library for convolutions on a GPU; auto: the faster")
      ->check(CLI::IsMember({"own", "cudnn", "auto"}));
  app.add_option("--linear", o.linear, "library for linear layers on a GPU")
      ->check(CLI::IsMember({"own", "cublaslt"}));
  app.add_option("--math", o.math, "precision of products on a GPU")
      ->check(CLI::IsMember({"float32", "tf32", "bf16"}));
  app.add_option("--limit", o.limit, "use only so many training and held-out samples; 0: all")
      ->check(not_negative);
  if (!recipe.figures.empty()) {
    std::vector<std::string> choices = recipe.figures;
    choices.emplace_back(last_epoch);
    app.add_option("--select", o.select,
                   "the figure of the validation that chooses the best epoch; last: none does")
        ->default_str("as the preset has it")
        ->check(CLI::IsMember(choices));
  }
  app.add_option("--importance-samples", o.importance_samples,
                 "K of the log-likelihood estimates; 0: none")
      ->check(CLI::Range(0, 1000000));
  app.add_option("--importance-rows", o.importance_rows,
                 "test samples of the log-likelihood estimates")
      ->check(CLI::Range(1, 1000000));
  add_model_options(app, o.own);
  app.add_option("--out", o.out, "directory of the results");
  app.add_flag("--resume", o.resume, "go on from the checkpoint in --out, if there is one");
  app.add_option("--eval", o.evaluate,
                 "no training: evaluate this file, or the best epoch of this run's directory, with "
                 "the settings that it was trained with");
  app.set_version_flag("--version", poe::version);
}

/// What can be known to be wrong before any work is done.
inline void check(const CLI::App& app, const Options& o, const CommandLine& line) {
  using poe::expect;
  const Recipe& recipe = line.recipe;
  expect(o.lambda.size() == recipe.lambda.size(),
         "--lambda: expected a weight for each of {} modalities, got {}", recipe.lambda.size(),
         o.lambda.size());
  check_model_options(app, o.model, o.own, line.models);
  check_preset(o.model, o.preset);
  expect(o.warm_up == 0 || o.model != "mmvae",
         "--warm-up: the bounds of mmvae are estimated from particles and have no divergences to "
         "weigh");
  expect(o.beta == 1 || o.model != "mmvae" || !is_importance_weighted(o.own),
         "--beta: the bound of --objective {} has no divergences to weigh; those of elbo have",
         o.own.objective);
  expect(o.supervision > 0 && o.supervision <= 1, "--supervision: expected a share in (0, 1], {}",
         not_a_share(o.supervision));
  expect(o.missing >= 0 && o.missing < 1, "--missing: expected a probability in [0, 1), got {}",
         o.missing);
  expect(o.missing == 0 || o.supervision == 1,
         "--missing says which modalities are seen; it does not go with --supervision");
  if (o.device == "cuda") {
    std::string reason = "this program was built without CUDA";
    if constexpr (poe::is_available<poe::Cuda>) reason = poe::cuda::why_unavailable();
    expect(reason.empty(), "--device cuda: {}; --device cpu works everywhere", reason);
    (void)engines(o);  // fails where this build has not got them
  } else {
    expect(o.convolution == "own" && o.linear == "own" && o.math == "float32",
           "--conv, --linear and --math are for --device cuda");
  }
  std::error_code error;
  const bool occupied = std::filesystem::exists(o.out / "checkpoint.safetensors", error) ||
                        std::filesystem::exists(o.out / "metrics.jsonl", error);
  const bool its_own =
      !o.evaluate.empty() &&
      std::filesystem::equivalent(o.evaluate.parent_path() / ".", o.out / ".", error);
  expect(o.limit == 0 || o.limit >= 4, "--limit: expected 0 or at least 4 samples, got {}",
         o.limit);
  expect(!occupied || o.resume || its_own,
         "--out: '{}' holds a run already: go on with --resume, or choose another directory",
         o.out.string());
}

}  // namespace detail

/// Calls f with the tag of the Device that was asked for; check() has seen that it is there.
template <class F>
void on_device(const Options& o, F&& f) {
  if constexpr (poe::is_available<poe::Cuda>)
    if (o.device == "cuda") return f(poe::Cuda{});
  f(poe::Cpu{});
}

/// Gives the learner the settings of Adam, and on a GPU its engines.
template <class Learner>
void configure(Learner& learner, const Options& o) {
  learner.adam.learning_rate = o.learning_rate;
  learner.adam.amsgrad = o.amsgrad;
  if constexpr (requires { learner.engines; }) learner.engines = engines(o);
}

/// "2 threads", or the name of the GPU.
inline std::string device_text(const Options& o) {
  if constexpr (poe::is_available<poe::Cuda>)
    if (o.device == "cuda") return poe::cuda::device_info().name;
  return fmt::format("{} thread{}", o.threads, o.threads == 1 ? "" : "s");
}

/// Exit status of a run that was interrupted and left a checkpoint: that of a program ended by
/// SIGINT.
inline constexpr int interrupted = 130;

/// Parses the command line and runs program(options). -> the exit status: the program's; 0 for
/// --help; 2 for wrong flags, files or data, after one sentence.
template <class F>
int run_program(int argc, char** argv, const CommandLine& line, F&& program) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // whole lines at once, also into a file
  Options o;
  o.epochs = line.recipe.epochs;
  o.batch = line.recipe.batch;
  o.lambda = line.recipe.lambda;
  CLI::App app(line.title);
  app.option_defaults()->always_capture_default();
  detail::add_options(app, o, line);
  line.add_options(app);
  try {
    detail::check_names(line.models);
    app.parse(argc, argv);
    if (!o.evaluate.empty()) {
      const std::filesystem::path file = evaluated_file(o.evaluate);
      take_settings(app, argc, argv, file, o.model);
      o.evaluate = file;
    }
    detail::check(app, o, line);
    if (app.count("--lr") == 0) o.learning_rate = line.recipe.learning_rate(o);
    if (o.select.empty() && line.recipe.select) o.select = line.recipe.select(o);
    line.finish(o);
    if (o.threads == 0)
      o.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    return program(o);
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForVersion& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    fmt::print(stderr, "error: {} (--help lists the options)\n", what_is_wrong(app, e));
  } catch (const std::exception& e) {
    fmt::print(stderr, "error: {}\n", e.what());
  }
  return 2;
}

/// The options as they are written to config.json.
inline poe::Json to_json(const Options& o) {
  poe::Json json = {{"model", o.model},
                    {"preset", o.preset},
                    {"data", o.data.string()},
                    {"supervision", o.supervision},
                    {"unpaired", o.pool},
                    {"missing", o.missing},
                    {"beta", o.beta},
                    {"epochs", o.epochs},
                    {"warm-up", o.warm_up},
                    {"batch", o.batch},
                    {"lr", o.learning_rate},
                    {"amsgrad", o.amsgrad},
                    {"lambda", o.lambda},
                    {"seed", o.seed},
                    {"threads", o.threads},
                    {"device", o.device},
                    {"conv", o.convolution},
                    {"linear", o.linear},
                    {"math", o.math},
                    {"limit", o.limit},
                    {"select", o.select},
                    {"importance-samples", o.importance_samples},
                    {"importance-rows", o.importance_rows},
                    {"version", poe::version}};
  json.update(to_json(o.model, o.own));
  json.update(o.program);
  return json;
}

}  // namespace examples
