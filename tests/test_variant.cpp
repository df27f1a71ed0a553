// SPDX-License-Identifier: MIT
// The model that docs/variant.md writes, trained: the page's code itself is included.
// sanitizers: none, what it composes is tested with them alone
#include "digit_model.hpp"

#include <docs/variant_1.cpp>
#include <poe/models/by_name.hpp>
#include <poe/train/trainer.hpp>

#include "files.hpp"

namespace {

using namespace poe;
using namespace poe::test;
using Pair = Small<Top, Bottom>;

}  // namespace

TEST_CASE("the model of docs/variant.md has the networks and the terms that the page says") {
  const CorrectedVae<double, Pair, SmallHead> model;
  std::vector<std::string> encoders;
  for (const ParameterInfo& p : model.description().parameters)
    if (p.name.ends_with("head.0.weight")) encoders.push_back(p.name);
  CHECK(encoders == std::vector<std::string>{"encoders.top.head.0.weight",
                                             "encoders.bottom.head.0.weight",
                                             "encoders.top_bottom.head.0.weight"});
  Trial<CorrectedVae<double, Pair, SmallHead>> trial;
  const Batch<double, Pair> batch(0, 3, 0, 4);
  trial.run({batch.group});
  CHECK(trial.terms.size() == 9);  // those of SVAE, and one more
  CHECK(std::count_if(trial.terms.begin(), trial.terms.end(), [](const TermValue& t) {
          return t.divergence && t.from == 3 && t.to == 0;
        }) == 1);

  for (const std::string& name : encoders) CHECK(trial.largest_gradient(name) > 0);

  // The posterior of both: the precisions of three experts add up. Without the joint network's:
  // those of the single posteriors.
  const auto precision = [&](Subset s) {
    auto ctx = trial.context();
    return std::exp(trial.model.posterior(ctx, batch.group, s).value[3]);
  };
  const double with = precision(3) - precision(1) - precision(2);
  for (const ParameterInfo& p : trial.model.description().parameters)
    if (p.name == "encoders.top_bottom.head.2.bias")  // raw scales: softplus(40) is 40
      for (std::size_t i = 3; i < 6; ++i) trial.parameters[p.offset + i] = 40;
  const double without = precision(3) - precision(1) - precision(2);
  CHECK(with > 0.01);
  CHECK(without > 0);
  CHECK(without < 1e-3);
}

TEST_CASE("the model of docs/variant.md learns") {
  using Model = CorrectedVae<float, Pair, SmallHead>;
  const Model model;
  LearnerOf<Model> learner(model.description(), 1, 1);
  learner.adam.learning_rate = 1e-2;
  const Batch<float, Pair> data(0, 3, 0, 200);
  const Directory out;
  TrainOptions options;
  options.supervision.level = 0.5;
  options.supervision.batch = 20;
  options.out = out.path;
  Trainer<Model> trainer(model, learner, data.group, options);
  const auto loss_of_epoch = [&] {
    const double before = trainer.epoch_loss();
    for (int step = 0; step < 10; ++step) trainer.step();
    return trainer.epoch_loss() - before;
  };
  const double first = loss_of_epoch();
  for (int epoch = 0; epoch < 20; ++epoch) loss_of_epoch();
  const double last = loss_of_epoch();
  CAPTURE(first, last);
  CHECK(last < 0.9 * first);
}

TEST_CASE("a model of one's own is found by its name beside those of the paper") {
  constexpr NamedModel<CorrectedVae> own{"corrected"};
  const auto made = [&](std::string_view name) {
    return model_named<float, Pair, SmallHead>(name, {.beta = 3}, own);
  };
  const auto corrected = made("corrected");
  using Corrected = CorrectedVae<float, Pair, SmallHead>;
  CHECK(dynamic_cast<const Corrected*>(corrected.get()) != nullptr);
  CHECK(corrected->options.beta == 3);
  using Paper = Svae<float, Pair, SmallHead>;
  CHECK(dynamic_cast<const Paper*>(made("svae").get()) != nullptr);
  CHECK_THROWS_WITH(made("correct"), Catch::Contains("svae, ") && Catch::Contains(", corrected;"));
  CHECK_THROWS_WITH((model_named<float, Pair, SmallHead>("corrected")),
                    Catch::Contains("got 'corrected'") && !Catch::Contains("corrected;"));
}
