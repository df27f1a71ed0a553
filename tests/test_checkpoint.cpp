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
