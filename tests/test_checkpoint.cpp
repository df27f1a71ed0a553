// SPDX-License-Identifier: MIT
// Checkpoints: what of a file is read, and which files are refused.
#include <poe/train/checkpoint.hpp>

#include "digit_model.hpp"
#include "files.hpp"

namespace {
using namespace poe;
using namespace poe::test;

using Model = Svae<float, Small<Top, Bottom>, SmallHead>;

std::vector<float> parameters_of(Learner<float>& learner) {
  return {learner.state().parameters.begin(), learner.state().parameters.end()};
}

}  // namespace

TEST_CASE("a model is read from a saved model and from a whole checkpoint") {
  const Directory d;
  const Model model;
  Learner<float> learner(model.description(), 11, 1);
  save_model(d / "model", learner, {});
  save_checkpoint(d / "checkpoint", learner, {});
  for (const char* name : {"model", "checkpoint"}) {
    Learner<float> other(model.description(), 12, 1);
    REQUIRE(parameters_of(other) != parameters_of(learner));
    load_model(d / name, other);
    REQUIRE(parameters_of(other) == parameters_of(learner));
  }
}

TEST_CASE("a tensor that the model does not know is refused, and nothing is changed") {
  const Directory d;
  const Model model;
  Learner<float> learner(model.description(), 11, 1), other(model.description(), 12, 1);
  auto sections = detail::weight_sections(learner.description(), learner.state());
  const std::vector<ParameterInfo> more{{.name = "prior.scale", .shape = {3}}};
  std::vector<float> scale(3);
  sections.push_back({"", &more, scale.data()});
  save_weights<float>(d / "more", sections);
  const auto before = parameters_of(other);
  REQUIRE(contains(error_of([&] { load_model(d / "more", other); }), "'prior.scale'"));
  REQUIRE(parameters_of(other) == before);
}

TEST_CASE("a negative number of steps is refused") {
  const Directory d;
  const Model model;
  Learner<float> learner(model.description(), 11, 1), other(model.description(), 12, 1);
  const auto sections =
      detail::state_sections(learner.description(), learner.state(), learner.adam);
  save_weights<float>(d / "negative", sections, {{"step", "-3"}});
  const auto before = parameters_of(other);
  REQUIRE(contains(error_of([&] { load_checkpoint(d / "negative", other); }),
                   "/negative': metadata 'step': expected a number from 0, got -3"));
  REQUIRE(parameters_of(other) == before);
  REQUIRE(other.step_count() == 0);
}

TEST_CASE("checkpoints of Adam and of AMSGrad are not taken for each other") {
  const Directory d;
  const Model model;
  Learner<float> adam(model.description(), 11, 1), amsgrad(model.description(), 12, 1);
  amsgrad.adam.amsgrad = true;
  // Also before the first step.
  save_checkpoint(d / "adam", adam, {});
  save_checkpoint(d / "amsgrad", amsgrad, {});
  const auto before = parameters_of(adam);
  REQUIRE(contains(error_of([&] { load_checkpoint(d / "amsgrad", adam); }),
                   "/amsgrad': a checkpoint of AMSGrad; this run has Adam"));
  REQUIRE(contains(error_of([&] { load_checkpoint(d / "adam", amsgrad); }),
                   "/adam': a checkpoint of Adam; this run has AMSGrad"));
  REQUIRE(parameters_of(adam) == before);
  load_model(d / "amsgrad", adam);  // parameters are parameters
  REQUIRE(parameters_of(adam) == parameters_of(amsgrad));

  Buffer<float>& largest = amsgrad.state().largest_second_moment;
  for (std::size_t i = 0; i < largest.size(); ++i) largest[i] = static_cast<float>(i % 97);
  save_checkpoint(d / "amsgrad", amsgrad, {});
  Learner<float> again(model.description(), 13, 1);
  again.adam.amsgrad = true;
  load_checkpoint(d / "amsgrad", again);
  save_checkpoint(d / "again", again, {});
  REQUIRE(read_file(d / "again") == read_file(d / "amsgrad"));
}
