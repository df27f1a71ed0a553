// SPDX-License-Identifier: MIT
// Checkpoints: everything a run needs to go on as if it had not stopped, readable from Python.
#pragma once

#include <poe/io/weights.hpp>
#include <poe/optim/learner.hpp>

#include <algorithm>
#include <charconv>
#include <map>

namespace poe {

namespace detail {

template <class T>
std::vector<WeightSection<T>> weight_sections(const Description<T>& d, TrainingState<T>& state) {
  return {{"", &d.parameters, state.parameters.data()},
          {"", &d.statistics, state.statistics.data()}};
}
inline constexpr const char* of_amsgrad = "optimizer.max_exp_avg_sq.";

template <class T>
std::vector<WeightSection<T>> state_sections(const Description<T>& d, TrainingState<T>& state,
                                             const AdamOptions& adam) {
  auto sections = weight_sections(d, state);
  sections.push_back({"optimizer.exp_avg.", &d.parameters, state.first_moment.data()});
  sections.push_back({"optimizer.exp_avg_sq.", &d.parameters, state.second_moment.data()});
  if (adam.amsgrad)
    sections.push_back({of_amsgrad, &d.parameters, state.largest_second_moment.data()});
  return sections;
}

/// Moments of the one are no moments of the other.
inline void expect_same_adam(const SafetensorsFile& file, const std::string& path,
                             const AdamOptions& adam) {
  const auto is_theirs = [](const TensorEntry& e) { return e.name.starts_with(of_amsgrad); };
  const bool amsgrad = std::any_of(file.entries().begin(), file.entries().end(), is_theirs);
  const auto name = [](bool is_amsgrad) { return is_amsgrad ? "AMSGrad" : "Adam"; };
  expect(amsgrad == adam.amsgrad, "'{}': a checkpoint of {}; this run has {}", path, name(amsgrad),
         name(adam.amsgrad));
}

/// The state as what is saved, which nobody writes to: a learner on a GPU need not take it back.
template <class T, class D>
TrainingState<T>& saved_state(const Learner<T, D>& learner) {
  return const_cast<TrainingState<T>&>(learner.state());
}

}  // namespace detail

/// A double as text that reads back as the same double.
inline std::string exact_text(double x) { return fmt::format("{}", x); }

/// A number from a checkpoint's metadata.
template <class N>
N metadata_number(const Metadata& metadata, const std::string& path, const std::string& key) {
  const auto found = metadata.find(key);
  expect(found != metadata.end(), "'{}': expected metadata '{}', which is not in the file", path,
         key);
  N value{};
  const char* const end = found->second.data() + found->second.size();
  const auto [rest, error] = std::from_chars(found->second.data(), end, value);
  expect(error == std::errc{} && rest == end, "'{}': metadata '{}': expected a number, got '{}'",
         path, key, found->second);
  return value;
}

/// Writes parameters, running statistics and the moments of Adam or AMSGrad, with `metadata` and
/// the number of steps.
template <class T, class D>
void save_checkpoint(const std::filesystem::path& path, Learner<T, D>& learner, Metadata metadata) {
  metadata["step"] = std::to_string(learner.step_count());
  const auto sections =
      detail::state_sections(learner.description(), detail::saved_state(learner), learner.adam);
  save_weights<T>(path, sections, metadata);
}

/// Writes parameters and running statistics only: what inference needs.
template <class T, class D>
void save_model(const std::filesystem::path& path, Learner<T, D>& learner,
                const Metadata& metadata) {
  const auto sections =
      detail::weight_sections(learner.description(), detail::saved_state(learner));
  save_weights<T>(path, sections, metadata);
}

/// Reads what save_checkpoint() wrote of a run with the same kind of Adam. -> its metadata.
template <class T, class D>
Metadata load_checkpoint(const std::filesystem::path& path, Learner<T, D>& learner) {
  const auto file = SafetensorsFile::open(path);
  const long step = metadata_number<long>(file.metadata(), path.string(), "step");
  expect(step >= 0, "'{}': metadata 'step': expected a number from 0, got {}", path.string(), step);
  detail::expect_same_adam(file, path.string(), learner.adam);
  load_weights<T>(file, path.string(),
                  detail::state_sections(learner.description(), learner.state(), learner.adam));
  learner.state().step = step;
  return file.metadata();
}

/// Reads the parameters and running statistics of a checkpoint, whose moments are left alone, or
/// of a saved model. -> its metadata.
template <class T, class D>
Metadata load_model(const std::filesystem::path& path, Learner<T, D>& learner) {
  const auto file = SafetensorsFile::open(path);
  load_weights<T>(file, path.string(),
                  detail::weight_sections(learner.description(), learner.state()), "optimizer.");
  return file.metadata();
}

/// Fails unless the metadata of a file say `expected` of every key: a run is resumed with the
/// settings it began with.
inline void expect_same_run(const Metadata& found, const Metadata& expected,
                            const std::string& path) {
  for (const auto& [key, value] : expected) {
    const auto at = found.find(key);
    expect(at != found.end() && at->second == value,
           "'{}': {} of this run is '{}', of the checkpoint '{}'", path, key, value,
           at == found.end() ? "(not said)" : at->second);
  }
}

}  // namespace poe
