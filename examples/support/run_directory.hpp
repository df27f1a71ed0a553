// SPDX-License-Identifier: MIT
// The directory of a run: what may be written there, and what every run says of itself.
#pragma once

#include <poe/train/trainer.hpp>

#include "command_line.hpp"

namespace examples {

/// Creates --out; run_program() has refused a directory that holds another run.
inline void prepare_directory(const Options& o) {
  std::error_code error;
  std::filesystem::create_directories(o.out, error);
  poe::expect(!error, "--out: cannot create the directory '{}': {}", o.out.string(),
              error.message());
}

/// What a resumed run must have in common with the run that it continues.
inline poe::Metadata identity(const Options& o, const std::string& program,
                              const std::string& data) {
  return {{"program", program},
          {"model", o.model},
          {"preset", o.preset},
          {"oracle", o.oracle},
          {"data", data},
          {"limit", std::to_string(o.limit)},
          {"supervision", poe::exact_text(o.supervision)},
          {"unpaired", o.pool},
          {"batch", std::to_string(o.batch)},
          {"learning_rate", poe::exact_text(o.learning_rate)},
          {"seed", std::to_string(o.seed)}};
}

/// Reads --eval's file, or the best parameters of this run, into the learner; a file of another
/// model is refused.
template <class T, class Device>
void load_for_evaluation(const std::filesystem::path& path, poe::Learner<T, Device>& learner,
                         const Options& o) {
  const poe::Metadata meta = poe::SafetensorsFile::open(path).metadata();
  for (const auto& [key, mine] : {std::pair{"model", o.model}, std::pair{"preset", o.preset}})
    if (const auto found = meta.find(key); found != meta.end())
      poe::expect(found->second == mine, "'{}' holds a model trained with --{} {}, not {}",
                  path.string(), key, found->second, mine);
  poe::load_model(path, learner);
}

inline poe::TrainOptions train_options(const Options& o, poe::Metadata identity) {
  return {.epochs = o.epochs,
          .supervision = {.level = o.supervision,
                          .unpaired_pool = o.pool == "all" ? poe::UnpairedPool::all
                                                           : poe::UnpairedPool::only_unpaired,
                          .batch = o.batch},
          .seed = o.seed,
          .out = o.out,
          .identity = std::move(identity)};
}

}  // namespace examples
