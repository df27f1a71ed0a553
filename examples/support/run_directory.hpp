// SPDX-License-Identifier: MIT
// The directory of a run: what may be written there, and what every run says of itself.
#pragma once

#include <unistd.h>

#include <array>
#include <cerrno>

#include <poe/train/trainer.hpp>

#include "command_line.hpp"

namespace examples {

/// Creates --out; run_program() has refused a directory that holds another run.
inline void prepare_directory(const Options& o) {
  std::error_code error;
  std::filesystem::create_directories(o.out, error);
  poe::expect(!error, "--out: cannot create the directory '{}': {}", o.out.string(),
              error.message());
  if (::access(o.out.c_str(), W_OK | X_OK) != 0)  // errno: as an argument of expect() too early
    poe::fail("--out: cannot write into '{}': {}", o.out.string(), poe::detail::errno_text(errno));
}

/// What a resumed run must have in common with the run that it continues.
inline poe::Metadata identity(const Options& o, const std::string& program,
                              const std::string& data) {
  poe::Metadata meta{{"program", program},
                     {"model", o.model},
                     {"preset", o.preset},
                     {"data", data},
                     {"limit", std::to_string(o.limit)},
                     {"supervision", poe::exact_text(o.supervision)},
                     {"unpaired", o.pool},
                     {"missing", poe::exact_text(o.missing)},
                     {"beta", poe::exact_text(o.beta)},
                     {"warm-up", std::to_string(o.warm_up)},
                     {"batch", std::to_string(o.batch)},
                     {"learning_rate", poe::exact_text(o.learning_rate)},
                     {"amsgrad", poe::Json(o.amsgrad).dump()},
                     {"lambda", poe::Json(o.lambda).dump()},
                     {"select", o.select},
                     {"seed", std::to_string(o.seed)}};
  for (const poe::Json& settings : {to_json(o.model, o.own), o.program})
    for (const auto& [name, value] : settings.items())
      meta[name] = value.is_string() ? value.get<std::string>() : value.dump();
  return meta;
}

/// Fails if a file's metadata say something else of these settings than the run does.
inline void expect_same_settings(const std::filesystem::path& path, const poe::Metadata& run,
                                 const std::vector<std::string>& keys) {
  const poe::Metadata file = poe::SafetensorsFile::open(path).metadata();
  for (const std::string& key : keys) {
    const auto theirs = file.find(key), ours = run.find(key);
    if (theirs == file.end() || ours == run.end() || theirs->second == ours->second) continue;
    const std::string flag = key == "program" || key == "data" ? "the " + key
                             : key == "vocabulary"             ? "a vocabulary of"
                             : key == "learning_rate"          ? "--lr"
                                                               : "--" + key;
    poe::fail("'{}': trained with {} {}, not {}", path.string(), flag, theirs->second,
              ours->second);
  }
}

/// What evaluations may do otherwise than the run did: judge by other oracles, and on other data.
/// Other features, other words or another split are another matter: the model would be given what
/// it does not know, or tested on what it was trained on.
inline bool is_of_evaluation(const std::string& key) {
  static constexpr std::array<std::string_view, 9> keys{
      "data",    "limit",         "repeats",        "oracle",   "oracle-training",
      "oracles", "prior-samples", "cca-components", "cca-ridge"};
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

/// Reads --eval's file, or the best parameters of this run, into the learner; fails if the file was
/// trained with other settings. -> its metadata.
template <class T, class Device>
poe::Metadata load_for_evaluation(const std::filesystem::path& path,
                                  poe::Learner<T, Device>& learner, const poe::Metadata& identity) {
  std::vector<std::string> keys{"program", "model",         "preset",       // what says most
                                "split",   "feature-scale", "vocabulary"};  // comes first
  for (const auto& [key, value] : identity)
    if (!is_of_evaluation(key)) keys.push_back(key);
  expect_same_settings(path, identity, keys);
  return poe::load_model(path, learner);
}

/// Says on what an evaluated model was trained, also in `summary`, which then has no epochs to run
/// but the one that was reached.
inline void report_training(const poe::Metadata& file, const std::string& data,
                            poe::Json& summary) {
  summary.erase("epochs");
  if (const auto epoch = file.find("epoch"); epoch != file.end())
    summary["epoch"] = poe::Json::parse(epoch->second, nullptr, false);
  const auto trained = file.find("data");
  if (trained == file.end()) return;
  summary["trained_on"] = trained->second;
  fmt::print("trained on {}, evaluated on {}\n", trained->second, data);
  std::fflush(stdout);
  if (trained->second != data)
    fmt::print(stderr, "warning: these are not the data that the model was trained on{}\n",
               data.starts_with("procedural") ? "; --data names a directory of data" : "");
}

/// Takes up the run in --out; one that was begun with other options is refused, naming the option.
template <class Model>
void resume(poe::Trainer<Model>& trainer, const poe::Metadata& identity) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : identity)
    if (key != "data") keys.push_back(key);
  keys.emplace_back("data");  // a setting that makes them others says more
  if (std::filesystem::exists(trainer.checkpoint()))
    expect_same_settings(trainer.checkpoint(), identity, keys);
  trainer.resume();
}

/// Fails if the objective has no term for anything that a run sees of its samples.
template <class Model>
void expect_terms(const Model& model, const poe::Observations& seen, const Options& o) {
  const auto teaches = [&](poe::Subset observed) {
    return model.has_particles() || model.terms(observed, 0).count > 0;
  };
  bool any = std::any_of(seen.joint.begin(), seen.joint.end(),
                         [&](std::uint32_t n) { return teaches(seen.together[n]); });
  for (std::size_t m = 0; m < seen.single.size(); ++m)
    any = any || (!seen.single[m].empty() && teaches(poe::only(static_cast<int>(m))));
  poe::expect(any, "--missing {}: of {} training samples none is left from which {} can learn",
              o.missing, seen.together.size(), o.model);
}

/// The settings of the model, for training on so many samples.
inline poe::VaeOptions vae_options(const Options& o, int samples) {
  auto v = o.preset == "official" ? poe::VaeOptions::official() : poe::VaeOptions::paper();
  const long steps_per_epoch = (samples - 1) / o.batch + 1;
  v.warm_up_steps = static_cast<std::uint32_t>(o.warm_up * steps_per_epoch);
  v.reverse_pair_kl = o.preset == "official" && o.model.starts_with("svae");
  v.beta = o.beta;
  v.alpha = o.own.alpha;
  v.random_subsets = o.own.random_subsets;
  v.estimator = poe::particles::estimator_named(o.own.objective);
  v.particles = o.own.particles;
  v.learn_prior = o.own.learn_prior;
  std::copy(o.lambda.begin(), o.lambda.end(), v.lambda.begin());
  return v;
}

/// The settings of the run, for training on so many samples of so many modalities; `masks`: in
/// which each sample was observed, empty where that is all of them.
inline poe::TrainOptions train_options(const Options& o, int samples, int modalities,
                                       std::vector<poe::Subset> masks, poe::Metadata identity) {
  poe::expect(o.missing == 0 || masks.empty(),
              "--missing is for data of which every sample has all modalities");
  if (o.missing > 0)
    masks = poe::random_masks(samples, modalities, o.missing, poe::Random{o.seed, 1U << 27, 0});
  return {.epochs = o.epochs,
          .supervision = {.level = o.supervision,
                          .unpaired_pool = o.pool == "all" ? poe::UnpairedPool::all
                                                           : poe::UnpairedPool::only_unpaired,
                          .batch = o.batch,
                          .masks = std::move(masks)},
          .seed = o.seed,
          .out = o.out,
          .identity = std::move(identity)};
}

}  // namespace examples
