// SPDX-License-Identifier: MIT
// Steps on data with masks: the groups a model is given, and training by hand on the same groups.
// labels: threads
#include <poe/models/paper.hpp>
#include <poe/train/steps.hpp>

#include <list>
#include <map>

#include "digit_model.hpp"
#include "same_bytes.hpp"
#include "watched.hpp"

namespace {
using namespace poe;
using namespace poe::test;

using Three = Small<Top, Middle, Bottom>;
using ThreeGroup = Group<float, Three>;
using Pixels = Tensor<float, Shape<1, 4, 6>>;
template <class D>
using ThreeSvae = Svae<float, Three, SmallHead, D>;
using Watch = Watched<ThreeSvae<Cpu>>;

constexpr int samples = 60, batch_size = 16;
constexpr std::uint64_t run_seed = 21;

/// Grey images.
std::array<Pixels, 3> some_pixels() {
  std::array<Pixels, 3> x{Pixels(samples), Pixels(samples), Pixels(samples)};
  for (std::uint32_t m = 0; m < 3; ++m)
    for (std::size_t i = 0; i < x[m].flat().size(); ++i)
      x[m].flat()[i] = Random{5, m, 0}.uniform<float>(i);
  return x;
}
ThreeGroup group_of(const std::array<Pixels, 3>& x) {
  return observe<float, Three>(0, given<Top>(x[0]), given<Middle>(x[1]), given<Bottom>(x[2]));
}

SupervisionOptions masked(std::vector<Subset> masks, UnpairedPool pool = UnpairedPool::all) {
  SupervisionOptions o;
  o.batch = batch_size;
  o.modalities = 3;
  o.unpaired_pool = pool;
  o.masks = std::move(masks);
  return o;
}
std::vector<Subset> some_masks() { return random_masks(samples, 3, 0.4, {8, 1, 0}); }

/// A group with pixels of its own, apart from those of all others.
struct OwnGroup {
  std::array<Pixels, 3> x;
  ThreeGroup group;

  OwnGroup(const std::array<Pixels, 3>& from, Subset observed, std::uint32_t loader, int first_row,
           const std::vector<std::uint32_t>& samples_of) {
    const auto rows = static_cast<int>(samples_of.size());
    group.observed = observed;
    group.rows = group.total = rows;
    group.loader = loader;
    group.first_row = first_row;
    const auto put = [&](std::size_t m, auto& view) {
      if (!contains(observed, static_cast<int>(m))) return;
      x[m] = Pixels(rows);
      for (int r = 0; r < rows; ++r) {
        const std::size_t n = samples_of[static_cast<std::size_t>(r)];
        std::copy_n(from[m].data() + 24 * n, 24, x[m].row(r).data());
      }
      view = x[m].view();
    };
    put(0, std::get<0>(group.x));
    put(1, std::get<1>(group.x));
    put(2, std::get<2>(group.x));
  }
};

/// The groups of a batch, from the samples of each loader and their masks.
std::list<OwnGroup> groups_by_hand(const std::array<Pixels, 3>& x, const std::vector<Subset>& masks,
                                   const SampledBatch& batch) {
  std::vector<std::vector<std::uint32_t>> loaders(4);
  for (const auto& part : batch.parts)
    for (const std::uint32_t n : batch.samples_of(part)) loaders[part.loader].push_back(n);
  std::map<Subset, std::vector<std::uint32_t>> by_mask;
  for (const std::uint32_t n : loaders[0]) by_mask[masks[n]].push_back(n);
  std::list<OwnGroup> groups;
  int first_row = 0;
  for (const auto& [mask, of_mask] : by_mask) {
    groups.emplace_back(x, mask, 0, first_row, of_mask);
    first_row += static_cast<int>(of_mask.size());
  }
  for (std::uint32_t l = 1; l < 4; ++l)
    if (!loaders[l].empty()) groups.emplace_back(x, 1U << (l - 1), l, 0, loaders[l]);
  return groups;
}

std::vector<float> parameters_of(const Learner<float>& learner) {
  return {learner.state().parameters.begin(), learner.state().parameters.end()};
}
/// Parameters whose names begin like this.
std::vector<float> parameters_of(const Learner<float>& learner, const std::string& prefix) {
  std::vector<float> found;
  for (const ParameterInfo& p : learner.description().parameters)
    if (p.name.starts_with(prefix))
      for (std::size_t e = 0; e < p.count(); ++e)
        found.push_back(learner.state().parameters[p.offset + e]);
  REQUIRE(!found.empty());
  return found;
}

}  // namespace

TEST_CASE("a step on masked data is a step on the groups that the masks make") {
  const auto pool = GENERATE(UnpairedPool::all, UnpairedPool::only_unpaired);
  auto x = some_pixels();
  const auto masks = some_masks();
  const ThreeSvae<Cpu> model;
  Learner<float> by_hand(model.description(), 3, 1);
  Streams streams(samples, masked(masks, pool), Random{run_seed, 1, 0}), same = streams;
  // The numbers of what is absent are never read.
  auto data = some_pixels();
  for (std::size_t n = 0; n < samples; ++n)
    for (std::size_t m = 0; m < 3; ++m)
      if (!contains(masks[n], static_cast<int>(m)))
        for (float& pixel : data[m].row(static_cast<int>(n)))
          pixel = std::numeric_limits<float>::quiet_NaN();
  Learner<float> learner(model.description(), 3, 1);
  Steps<ThreeSvae<Cpu>> run(model, learner, group_of(data), streams, run_seed);

  double total = 0;
  SampledBatch batch;
  for (int s = 0; s < 12; ++s) {
    INFO("step " << s);
    run.step();
    same.batch(s / same.steps_per_epoch(), s % same.steps_per_epoch(), batch);
    const auto own = groups_by_hand(x, masks, batch);
    std::vector<ThreeGroup> groups;
    for (const OwnGroup& g : own) groups.push_back(g.group);
    double loss = 0;
    by_hand.step(Random{run_seed, 0, static_cast<std::uint32_t>(s + 1)}, [&](Context<float>& ctx) {
      for (const TermValue& t : model.loss(ctx, groups)) loss += t.weight * t.sum / t.total;
    });
    total += loss;
    REQUIRE(run.loss() == Approx(total).epsilon(1e-13));
    REQUIRE(same_bytes(parameters_of(learner), parameters_of(by_hand)));
  }
}

TEST_CASE("groups lie side by side, modality by modality, and their positions run on") {
  const auto x = some_pixels();
  const auto masks = some_masks();
  Watch model;
  Streams streams(samples, masked(masks), Random{run_seed, 1, 0}), same = streams;
  Learner<float> learner(model.description(), 3, 1);
  Steps<Watch> run(model, learner, group_of(x), streams, run_seed);
  int step = 0, several = 0;
  model.before = [&](std::span<const ThreeGroup> groups, int) {
    SampledBatch batch;
    same.batch(step / same.steps_per_epoch(), step % same.steps_per_epoch(), batch);
    const auto own = groups_by_hand(x, masks, batch);
    REQUIRE(groups.size() == own.size());
    auto expected = own.begin();
    std::array<const float*, 3> next{};
    for (const ThreeGroup& g : groups) {
      const ThreeGroup& e = (expected++)->group;
      REQUIRE(g.observed == e.observed);
      REQUIRE(g.loader == e.loader);
      REQUIRE(g.rows == e.rows);
      REQUIRE(g.total == e.total);
      REQUIRE(g.first_row == e.first_row);
      several += g.loader == 0 && g.first_row > 0;
      const auto check = [&](std::size_t m, const auto& got, const auto& want) {
        REQUIRE(got.rows == want.rows);
        REQUIRE(std::equal(got.flat().begin(), got.flat().end(), want.flat().begin(),
                           want.flat().end()));
        if (got.rows == 0) return;
        REQUIRE((next[m] == nullptr || got.data == next[m]));
        next[m] = got.data + got.flat().size();
      };
      check(0, std::get<0>(g.x), std::get<0>(e.x));
      check(1, std::get<1>(g.x), std::get<1>(e.x));
      check(2, std::get<2>(g.x), std::get<2>(e.x));
    }
  };
  for (; step < 9; ++step) run.step();
  REQUIRE(several > 9);
}

TEST_CASE("masked steps do not depend on the threads, but for rounding") {
  const auto x = some_pixels();
  const ThreeSvae<Cpu> model;
  std::vector<double> losses[2];
  for (const int threads : {1, 3}) {
    Learner<float> learner(model.description(), 3, threads);
    Streams streams(samples, masked(some_masks()), Random{run_seed, 1, 0});
    Steps<ThreeSvae<Cpu>> run(model, learner, group_of(x), streams, run_seed);
    for (int s = 0; s < 10; ++s) {
      run.step();
      losses[threads / 2].push_back(run.loss());
    }
  }
  require_close(losses[1], losses[0], 1e-5);
}

TEST_CASE("a modality that a whole batch lacks is in no group, and its networks stay as they are") {
  const auto x = some_pixels();
  // The bottom is seen in one sample, together with the top.
  std::vector<Subset> masks(samples, 3U);
  masks[17] = 5;
  Watch model;
  Learner<float> learner(model.description(), 3, 2);
  Streams streams(samples, masked(masks, UnpairedPool::only_unpaired), Random{run_seed, 1, 0});
  Steps<Watch> run(model, learner, group_of(x), streams, run_seed);
  bool seen = false;
  std::size_t largest = 0;
  model.before = [&](std::span<const ThreeGroup> groups, int) {
    largest = std::max(largest, groups.size());
    for (const ThreeGroup& g : groups) seen = seen || contains(g.observed, 2);
    if (!seen) REQUIRE(groups.size() == 1);
  };
  const auto of_the_bottom = [&] {
    std::vector<float> all;
    for (const char* name : {"encoders.bottom.", "encoders.top_from_bottom.",
                             "encoders.middle_from_bottom.", "decoders.bottom."}) {
      const auto some = parameters_of(learner, name);
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  };
  const auto first = of_the_bottom();
  int before = 0;
  for (; !seen; ++before) {
    REQUIRE(same_bytes(of_the_bottom(), first));
    run.step();
  }
  REQUIRE(before > 1);
  REQUIRE(largest == 2);
  REQUIRE_FALSE(same_bytes(of_the_bottom(), first));
}

TEST_CASE("training with a warm-up is training with divergences that count step by step more") {
  const auto x = some_pixels();
  VaeOptions options;
  options.beta = 0.8;
  ThreeSvae<Cpu> stepwise(options);
  options.warm_up_steps = 7;
  const ThreeSvae<Cpu> warming(options);
  Learner<float> a(warming.description(), 3, 1), b(warming.description(), 3, 1);
  Streams streams(samples, masked(some_masks()), Random{run_seed, 1, 0}), same = streams;
  Steps<ThreeSvae<Cpu>> run(warming, a, group_of(x), streams, run_seed);
  Steps<ThreeSvae<Cpu>> expected(stepwise, b, group_of(x), same, run_seed);
  for (int s = 1; s <= 10; ++s) {
    stepwise.options.beta = 0.8 * std::min(1.0, s / 7.0);
    run.step();
    expected.step();
    INFO("step " << s);
    REQUIRE(run.loss() == Approx(expected.loss()).epsilon(1e-6));
    require_close(parameters_of(a), parameters_of(b), 1e-5);
  }
}

TEST_CASE("what a model leaves to chance is drawn anew at every step, from seed and step alone") {
  const auto x = some_pixels();
  Watch model;
  model.choice_count = 5;
  const auto choices = [&](std::uint64_t from, int already, int steps) {
    Learner<float> learner(model.description(), 3, 2);
    learner.state().step = already;
    Streams streams(samples, masked(some_masks()), Random{1, 1, 0});
    Steps<Watch> run(model, learner, group_of(x), streams, from);
    std::vector<int> drawn;
    model.before = [&](auto, int choice) { drawn.push_back(choice); };
    for (int s = 0; s < steps; ++s) run.step();
    return drawn;
  };
  const auto drawn = choices(run_seed, 0, 30);
  for (int s = 0; s < 30; ++s)
    REQUIRE(drawn[static_cast<std::size_t>(s)] ==
            poe::detail::choice_of(model, run_seed, static_cast<std::uint32_t>(s + 1)));
  REQUIRE(choices(run_seed, 11, 19) == std::vector<int>(drawn.begin() + 11, drawn.end()));
  REQUIRE(choices(run_seed + 1, 0, 30) != drawn);

  // Uniform: chi^2 of 6 degrees of freedom is below 27.9 but for 1 in 10,000.
  model.choice_count = 7;
  const int steps = 70000;
  std::array<double, 7> counts{};
  int repeats = 0;
  for (std::uint32_t s = 1; s <= steps; ++s) {
    const int choice = poe::detail::choice_of(model, run_seed, s);
    REQUIRE((choice >= 0 && choice < 7));
    ++counts[static_cast<std::size_t>(choice)];
    repeats += choice == poe::detail::choice_of(model, run_seed, s + 1);
  }
  double chi = 0;
  for (const double n : counts) chi += (n - steps / 7.0) * (n - steps / 7.0) / (steps / 7.0);
  REQUIRE(chi < 27.9);
  REQUIRE(std::abs(repeats - steps / 7.0) < 5 * std::sqrt(steps * 6 / 49.0));
}
