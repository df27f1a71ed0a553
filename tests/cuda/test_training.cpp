// SPDX-License-Identifier: MIT
// Whole training runs on the device: the numbers of the CPU, the same bytes from graphs as from
// single launches and in every order of independent work, and what happens when a step goes wrong.
#include <poe/train/trainer.hpp>

#include <cstring>

#include "../digit_model.hpp"
#include "../files.hpp"
#include "device.hpp"

namespace {
using namespace poe;
using namespace poe::test;

using SmallModalities = Small<Top, Bottom>;
template <class D>
using SmallSvae = Svae<float, SmallModalities, SmallHead, D>;
template <class D>
using SmallVaevae = Vaevae<float, SmallModalities, SmallHead, D>;

constexpr int samples = 26;  // batches of 8, the last of 2
constexpr int steps_per_epoch = 4;

/// Grey images; the pixels of digits, not their meaning.
Group<float, SmallModalities> data() {
  static Tensor<float, Shape<1, 4, 6>> halves[2] = {Tensor<float, Shape<1, 4, 6>>(samples),
                                                    Tensor<float, Shape<1, 4, 6>>(samples)};
  for (std::uint32_t h = 0; h < 2; ++h)
    for (std::size_t i = 0; i < halves[h].flat().size(); ++i)
      halves[h].flat()[i] = Random{5, h, 0}.uniform<float>(i);
  return observe<float, SmallModalities>(0, given<Top>(halves[0]), given<Bottom>(halves[1]));
}

TrainOptions options(double level, const std::filesystem::path& out = ".") {
  TrainOptions o;
  o.epochs = 3;
  o.supervision.batch = 8;
  o.supervision.level = level;
  o.seed = 11;
  o.out = out;
  return o;
}

/// What a run left behind.
struct Outcome {
  std::vector<double> losses;  // summed up to each step
  std::vector<float> parameters;
  std::vector<double> terms;
};

template <class Model>
Outcome train(const Model& model, const Group<float, SmallModalities>& set, double level, int steps,
              bool use_graphs = true, bool look_at_each = true) {
  LearnerOf<Model> learner(model.description(), 11, 1);
  learner.adam.learning_rate = 2e-3;
  Streams streams(set.rows, options(level).supervision, Random{11, 1, 0});
  Steps<Model> run(model, learner, set, streams, 11);
  if constexpr (std::is_same_v<typename Model::Device, Cuda>) run.use_graphs = use_graphs;
  Outcome out;
  for (int s = 0; s < steps; ++s) {
    run.step();
    if (look_at_each) out.losses.push_back(run.loss());
  }
  for (const auto& row : run.terms().rows()) out.terms.push_back(row.mean());
  const auto& numbers = learner.state().parameters;
  out.parameters.assign(numbers.begin(), numbers.end());
  return out;
}

bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("100 steps on the device give the losses and terms of the CPU") {
  const auto options = GENERATE(VaeOptions::paper(), VaeOptions::official());
  const double level = GENERATE(1.0, 0.2);  // 0.2: 6 pairs, so that shapes alternate
  const auto compare = [&](const auto& cpu_model, const auto& model) {
    const Outcome expected = train(cpu_model, data(), level, 100);
    const Outcome got = train(model, data(), level, 100);
    REQUIRE(got.terms.size() == expected.terms.size());
    for (std::size_t s = 0; s < expected.losses.size(); ++s) {
      INFO("after step " << s + 1);
      const double before = s == 0 ? 0 : expected.losses[s - 1];
      const double before_got = s == 0 ? 0 : got.losses[s - 1];
      const double loss = expected.losses[s] - before;
      REQUIRE(std::abs((got.losses[s] - before_got) - loss) <= 1e-4 * std::abs(loss));
    }
    require_close(got.terms, expected.terms, 1e-4);
  };
  SECTION("SVAE") { compare(SmallSvae<Cpu>(options), SmallSvae<Cuda>(options)); }
  SECTION("VAEVAE") { compare(SmallVaevae<Cpu>(options), SmallVaevae<Cuda>(options)); }
}

TEST_CASE("a graph gives the same bytes as launches one by one, in any order of its branches") {
  const SmallSvae<Cuda> model(VaeOptions::paper());
  const Outcome eager = train(model, data(), 0.5, 12, false);
  const Outcome once_more = train(model, data(), 0.5, 12, false);
  REQUIRE(same_bytes(once_more.parameters, eager.parameters));
  tests::for_each_order([&](const std::string& order) {
    INFO("order: " << order);
    const Outcome graph = train(model, data(), 0.5, 12);
    REQUIRE(same_bytes(graph.parameters, eager.parameters));
    REQUIRE(graph.losses == eager.losses);
    REQUIRE(graph.terms == eager.terms);
  });
}

TEST_CASE("looking at the loss changes nothing") {
  const SmallSvae<Cuda> model(VaeOptions::official());
  const Outcome seen = train(model, data(), 0.5, 9), unseen = train(model, data(), 0.5, 9, true, false);
  REQUIRE(same_bytes(seen.parameters, unseen.parameters));
  REQUIRE(seen.terms == unseen.terms);
}

TEST_CASE("a run on the device that was stopped and taken up again ends with the same bytes") {
  const SmallSvae<Cuda> model(VaeOptions::paper());
  const Directory whole, stopped;
  const auto run = [&](const std::filesystem::path& out, int epochs, bool resume) {
    Learner<float, Cuda> learner(model.description(), 11);
    TrainOptions o = options(0.4, out);
    o.epochs = epochs;
    Trainer<SmallSvae<Cuda>> trainer(model, learner, data(), o);
    if (resume) trainer.resume();
    REQUIRE(trainer.run([](Learner<float, Cuda>& l) {
      const double score = static_cast<double>(l.state().parameters[3]);
      return Scores{{{"score", score}}, score};
    }));
  };
  run(whole.path, 3, false);
  run(stopped.path, 1, false);
  run(stopped.path, 3, true);
  REQUIRE(read_file(whole.path / "checkpoint.safetensors") ==
          read_file(stopped.path / "checkpoint.safetensors"));
  REQUIRE(read_file(whole.path / "best.safetensors") ==
          read_file(stopped.path / "best.safetensors"));
}

TEST_CASE("a term that is not finite is named, and the parameters stay as they were") {
  const SmallSvae<Cuda> model(VaeOptions::paper());
  auto bad = data();
  Tensor<float, Shape<1, 4, 6>> top(samples);
  std::copy(std::get<0>(bad.x).flat().begin(), std::get<0>(bad.x).flat().end(), top.data());
  const int bad_sample = 17;
  for (float& x : top.row(bad_sample)) x = std::numeric_limits<float>::quiet_NaN();
  std::get<0>(bad.x) = top.view();

  Learner<float, Cuda> learner(model.description(), 11);
  Streams streams(samples, options(1).supervision, Random{11, 1, 0});
  std::vector<std::uint32_t> paired;
  std::vector<std::vector<std::uint32_t>> unpaired;
  int first_bad = -1;
  for (int s = 0; first_bad < 0; ++s) {
    streams.batch(0, s, paired, unpaired);
    for (const auto* batch : {&paired, &unpaired[0]})
      for (const std::uint32_t n : *batch)
        if (n == bad_sample) first_bad = s;
  }
  Steps<SmallSvae<Cuda>> run(model, learner, bad, streams, 11);
  for (int s = 0; s < first_bad; ++s) run.step();
  const Buffer<float>& now = std::as_const(learner).state().parameters;
  const std::vector<float> before(now.begin(), now.end());
  for (int s = first_bad; s < steps_per_epoch; ++s) run.step();  // the host looks only now
  REQUIRE_THROWS_WITH(run.loss(),
                      Catch::Contains("training step " + std::to_string(first_bad + 1)) &&
                          Catch::Contains("top"));
  const Buffer<float>& then = std::as_const(learner).state().parameters;
  REQUIRE(same_bytes({then.begin(), then.end()}, before));
  REQUIRE(learner.step_count() == first_bad);
}
