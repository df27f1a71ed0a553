// SPDX-License-Identifier: MIT
// Whole training runs on the device: the numbers of the CPU, the same bytes from graphs as from
// single launches and in every order of independent work, and what happens when a step goes wrong.
#include <poe/eval/decode.hpp>
#include <poe/train/trainer.hpp>

#include "../files.hpp"
#include "training.hpp"

namespace {
using namespace poe;
using namespace poe::test;

using SmallModalities = Small<Top, Bottom>;
template <class D>
using SmallSvae = Svae<float, SmallModalities, SmallHead, D>;
template <class D>
using SmallVaevae = Vaevae<float, SmallModalities, SmallHead, D>;

constexpr int samples = training_samples, steps_per_epoch = 4;

Group<float, SmallModalities> data() { return grey_images<SmallModalities>(); }

TrainOptions options(double level, const std::filesystem::path& out = ".") {
  TrainOptions o;
  o.epochs = 3;
  o.supervision.batch = training_batch;
  o.supervision.level = level;
  o.seed = 11;
  o.out = out;
  return o;
}

}  // namespace

TEST_CASE("100 steps on the device give the losses and terms of the CPU") {
  const auto preset = GENERATE(VaeOptions::paper(), VaeOptions::official());
  const double level = GENERATE(1.0, 0.2);  // 0.2: 6 pairs, so that shapes alternate
  const auto compare = [&](const auto& cpu_model, const auto& model) {
    const auto supervision = options(level).supervision;
    require_agreement(train(model, supervision, 100), train(cpu_model, supervision, 100));
  };
  SECTION("SVAE") { compare(SmallSvae<Cpu>(preset), SmallSvae<Cuda>(preset)); }
  SECTION("VAEVAE") { compare(SmallVaevae<Cpu>(preset), SmallVaevae<Cuda>(preset)); }
}

TEST_CASE("a graph gives the same bytes as launches one by one, in any order of their branches") {
  const SmallSvae<Cuda> model(VaeOptions::paper());
  const auto supervision = options(0.5).supervision;
  const Outcome eager = train(model, supervision, 12, {.use_graphs = false});
  require_same(train(model, supervision, 12, {.use_graphs = false}), eager);
  tests::for_each_order([&](const std::string& order) {
    INFO("order: " << order);
    require_same(train(model, supervision, 12), eager);
    require_same(train(model, supervision, 12, {.use_graphs = false}), eager);
  });
}

TEST_CASE("looking at the loss changes nothing") {
  const SmallSvae<Cuda> model(VaeOptions::official());
  const auto supervision = options(0.5).supervision;
  const Outcome seen = train(model, supervision, 9),
                unseen = train(model, supervision, 9, {.look_at_each = false});
  REQUIRE(same_bytes(seen.parameters, unseen.parameters));
  REQUIRE(seen.terms == unseen.terms);
}

TEST_CASE("a run on the device that was stopped and taken up again ends with the same bytes") {
  const bool amsgrad = GENERATE(false, true);
  const SmallSvae<Cuda> model(VaeOptions::paper());
  const Directory whole, stopped;
  const auto run = [&](const std::filesystem::path& out, int epochs, bool resume) {
    Learner<float, Cuda> learner(model.description(), 11);
    learner.adam.amsgrad = amsgrad;
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

namespace {

/// Samples of which one, first met in step `first_step` (counted from 0, not the first), has pixels
/// that are not numbers.
struct Spoilt {
  int first_step = 0;
  Tensor<float, Shape<1, 4, 6>> top{samples};
  Group<float, SmallModalities> group = data();

  explicit Spoilt(Streams& streams) {
    std::vector<std::uint32_t> tops, seen;
    SampledBatch batch;
    int bad = -1;
    for (; bad < 0; ++first_step) {
      streams.batch(0, first_step, batch);
      tops.clear();
      for (const auto& part : batch.parts)
        if (contains(part.observed, 0))
          tops.insert(tops.end(), batch.samples_of(part).begin(), batch.samples_of(part).end());
      for (const std::uint32_t n : tops)
        if (first_step > 0 && std::find(seen.begin(), seen.end(), n) == seen.end())
          bad = static_cast<int>(n);
      seen.insert(seen.end(), tops.begin(), tops.end());
    }
    --first_step;
    const auto good = std::get<0>(group.x).flat();
    std::copy(good.begin(), good.end(), top.data());
    for (float& x : top.row(bad)) x = std::numeric_limits<float>::quiet_NaN();
    std::get<0>(group.x) = top.view();
  }
};

struct Caption {
  static constexpr const char* name = "words";
};
// clang-format off
struct Reader : Net<Shape<4>, Embedding<7, 5, 0>, Flatten> {};
struct Writer : Net<Shape<3>, Linear<4 * 7>> {};
// clang-format on
struct Sentence : Modalities<Modality<Caption, Reader, Writer, Categorical<0>>> {};

template <class D>
std::vector<float> parameters_of(const Learner<float, D>& learner) {
  const Buffer<float>& p = learner.state().parameters;
  return {p.begin(), p.end()};
}

}  // namespace

TEST_CASE("a term that is not finite is named, and the parameters stay as they were") {
  const SmallSvae<Cuda> model(VaeOptions::paper());
  Learner<float, Cuda> learner(model.description(), 11);
  Streams streams(samples, options(1).supervision, Random{11, 1, 0});
  const Spoilt bad(streams);
  const int first_bad = bad.first_step;
  REQUIRE(first_bad > 0);
  Steps<SmallSvae<Cuda>> run(model, learner, bad.group, streams, 11);
  for (int s = 0; s < first_bad; ++s) run.step();
  const auto before = parameters_of(learner);
  const double loss = run.loss();
  const long counted = run.terms().rows()[0].steps;
  for (int s = first_bad; s < steps_per_epoch; ++s) run.step();  // the host looks only now
  const auto when = Catch::Contains("training step " + std::to_string(first_bad + 1));
  const auto what = Catch::Contains("top");
  SECTION("when somebody looks") { REQUIRE_THROWS_WITH(run.loss(), when && what); }
  SECTION("when the next epoch begins") { REQUIRE_THROWS_WITH(run.step(), when && what); }
  REQUIRE(same_bytes(parameters_of(learner), before));
  REQUIRE(learner.step_count() == first_bad);
  REQUIRE(run.loss() == loss);
  REQUIRE(run.terms().rows()[0].steps == counted);
  run.step();  // again, and again in vain
  REQUIRE_THROWS_WITH(run.loss(), when && what);
}

TEST_CASE("an id outside its range is an error of its step, and of an evaluation") {
  using Model = PlainVae<float, Sentence, SmallHead, Cuda>;
  const Model model(VaeOptions::paper());
  Tensor<float, Shape<4>> words(12);
  for (std::size_t i = 0; i < words.flat().size(); ++i)
    words.flat()[i] = static_cast<float>(Random{3, 0, 0}.below(7, i));
  words.row(5)[2] = 7;  // the first id that is none
  const auto group = observe<float, Sentence>(0, given<Caption>(words));
  Learner<float, Cuda> learner(model.description(), 2);
  const auto before = parameters_of(learner);
  TrainOptions o;
  o.supervision.batch = 12;
  Trainer<Model> trainer(model, learner, group, o);
  trainer.step();
  REQUIRE_THROWS_WITH(trainer.epoch_loss(),
                      Catch::Contains("training step 1: an id or a class is outside its range"));
  REQUIRE(learner.step_count() == 0);
  REQUIRE(same_bytes(parameters_of(learner), before));
  REQUIRE_THROWS_WITH(complete(model, learner, group, 1, Random{1, 2, 0}),
                      Catch::Contains("evaluation: an id or a class is outside its range"));
}

TEST_CASE("what happens between two steps changes what it should, and nothing else") {
  const SmallSvae<Cpu> cpu_model(VaeOptions::paper());
  SmallSvae<Cuda> model(VaeOptions::paper());
  const auto set = data();
  Learner<float> cpu(cpu_model.description(), 11, 1);
  Learner<float, Cuda> gpu(model.description(), 11);
  Streams a(samples, options(1).supervision, Random{11, 1, 0});
  Streams b(samples, options(1).supervision, Random{11, 1, 0});
  SmallSvae<Cpu> annealed = cpu_model;
  Steps<SmallSvae<Cpu>> on_cpu(annealed, cpu, set, a, 11);
  Steps<SmallSvae<Cuda>> on_gpu(model, gpu, set, b, 11);
  const auto both = [&](auto&& f) {
    f(annealed, cpu, on_cpu);
    f(model, gpu, on_gpu);
  };
  const auto steps = [&](int n) {
    for (int i = 0; i < n; ++i) both([](auto&, auto&, auto& run) { run.step(); });
    REQUIRE(std::abs(on_gpu.loss() - on_cpu.loss()) <= 1e-4 * std::abs(on_cpu.loss()));
  };
  steps(6);  // graphs of both shapes
  SECTION("a weight of the loss") {
    both([](auto& m, auto&, auto&) { m.options.beta = 7; });
    steps(7);
  }
  SECTION("the learning rate") {
    both([](auto&, auto& learner, auto&) { learner.adam.learning_rate = 0.05; });
    steps(7);
  }
  SECTION("the kind of Adam") {
    both([](auto&, auto& learner, auto&) {
      learner.adam.learning_rate = 0.05;
      learner.adam.amsgrad = true;
    });
    steps(7);
    const auto moments = [](auto& learner) {
      const auto& largest = learner.state().largest_second_moment;
      return std::vector<float>(largest.begin(), largest.end());
    };
    poe::test::require_close(moments(gpu), moments(cpu), 1e-3);
  }
  SECTION("the parameters") {
    both([](auto&, auto& learner, auto&) { learner.state().parameters[3] += 0.5F; });
    steps(7);
  }
  SECTION("the number of the step") {
    both([](auto&, auto& learner, auto&) { learner.state().step = 13; });
    steps(7);
  }
  SECTION("the sums, set to zero") {
    both([](auto&, auto&, auto& run) { run.clear(); });
    REQUIRE(on_gpu.loss() == 0);
    steps(7);
  }
  SECTION("an evaluation") {
    const auto seen = complete(model, gpu, set, 1, Random{1, 2, 0});
    const auto expected = complete(annealed, cpu, set, 1, Random{1, 2, 0});
    for (std::size_t i = 0; i < 24; ++i)
      REQUIRE(std::get<0>(seen).data()[i] ==
              Approx(static_cast<double>(std::get<0>(expected).data()[i])).margin(1e-4));
    steps(7);
  }
  SECTION("a step of another kind") {
    both([&]<class M, class L, class R>(M& m, L& learner, R&) {
      using D = typename M::Device;
      learner.step(Random{11, 9, 1}, [&](Context<float, D>& ctx) {
        const auto group = poe::detail::to_device<M>(ctx, set.slice(0, 5));
        m.loss(ctx, {&group, 1});
      });
    });
    steps(7);
  }
}

TEST_CASE("graphs may be switched off and on between steps") {
  const SmallSvae<Cuda> model(VaeOptions::paper());
  const auto supervision = options(0.5).supervision;
  const Outcome eager = train(model, supervision, 24, {.use_graphs = false});
  Learner<float, Cuda> learner(model.description(), 11);
  learner.adam.learning_rate = 2e-3;
  Streams streams(samples, supervision, Random{11, 1, 0});
  Steps<SmallSvae<Cuda>> run(model, learner, data(), streams, 11);
  std::vector<double> losses;
  for (int s = 0; s < 24; ++s) {
    run.use_graphs = s < 10 || (s >= 14 && s % 3 != 0);
    run.step();
    losses.push_back(run.loss());
  }
  REQUIRE(losses == eager.losses);
  REQUIRE(same_bytes(parameters_of(learner), eager.parameters));
}

TEST_CASE("sums of more terms than a loss can have are refused, and nothing is changed") {
  const SmallSvae<Cuda> model(VaeOptions::paper());
  Learner<float, Cuda> learner(model.description(), 11);
  Streams streams(samples, options(1).supervision, Random{11, 1, 0});
  Steps<SmallSvae<Cuda>> run(model, learner, data(), streams, 11);
  run.step();
  const double loss = run.loss();
  const std::size_t terms = run.terms().rows().size();
  TermTable many;
  many.rows().resize(1025);
  REQUIRE_THROWS_WITH(run.restore(many, 1), "a loss of at most 1024 terms, got 1025");
  REQUIRE(run.loss() == loss);
  REQUIRE(run.terms().rows().size() == terms);
  many.rows().resize(1024);
  REQUIRE_NOTHROW(run.restore(many, 1));
}

TEST_CASE("a pass that throws on a branch leaves the learner on its own stream") {
  const SmallSvae<Cuda> model(VaeOptions::paper());
  Learner<float, Cuda> learner(model.description(), 11), untouched(model.description(), 11);
  const cuda::Stream own = learner.stream();
  const auto step = [&](Learner<float, Cuda>& l, bool bad) {
    l.step(Random{11, 9, 1}, [&](Context<float, Cuda>& ctx) {
      const auto group = poe::detail::to_device<SmallSvae<Cuda>>(ctx, data().slice(0, 5));
      ctx.tape.parallel(2, [&](int branch) {
        REQUIRE(l.stream() == (&l == &learner ? own : l.stream()));
        if (bad && branch == 1) fail("bad data");
      });
      model.loss(ctx, {&group, 1});
    });
  };
  const auto evaluate = [&] {
    learner.evaluate(Random{1, 2, 0}, [&](Context<float, Cuda>& ctx) {
      ctx.tape.parallel(2, [&](int branch) {
        if (branch == 1) fail("bad data");
      });
    });
  };
  SECTION("in a step") { REQUIRE_THROWS_WITH(step(learner, true), "bad data"); }
  SECTION("in an evaluation") { REQUIRE_THROWS_WITH(evaluate(), "bad data"); }
  REQUIRE(learner.stream() == own);
  step(learner, false);
  step(untouched, false);
  REQUIRE(same_bytes(parameters_of(learner), parameters_of(untouched)));
}
