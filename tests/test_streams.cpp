// SPDX-License-Identifier: MIT
// Supervision levels, masks, and the batches that the steps of a training run draw.
#include "support.hpp"

#include <poe/data/streams.hpp>

#include <map>
#include <set>

namespace {

using Catch::Matchers::Contains;
using poe::Subset;
using Indices = std::vector<std::uint32_t>;

Indices range(std::uint32_t n) {
  Indices r(n);
  std::iota(r.begin(), r.end(), 0U);
  return r;
}
Indices sorted(Indices v) {
  std::sort(v.begin(), v.end());
  return v;
}

/// The batches of the loaders; the joint one is what all its groups make together.
struct Batch {
  Indices paired;
  std::vector<Indices> unpaired;
  friend bool operator==(const Batch&, const Batch&) = default;
};
poe::SupervisionOptions options(double level, poe::UnpairedPool pool, int batch, int modalities) {
  poe::SupervisionOptions o;
  o.level = level;
  o.unpaired_pool = pool;
  o.batch = batch;
  o.modalities = modalities;
  return o;
}
poe::SampledBatch sample(poe::Streams& streams, int epoch, int step) {
  poe::SampledBatch b;
  streams.batch(epoch, step, b);
  return b;
}
Indices samples_of(const poe::SampledBatch& b, const poe::SampledBatch::Part& part) {
  const auto samples = b.samples_of(part);
  return {samples.begin(), samples.end()};
}
Batch batch(poe::Streams& streams, int epoch, int step) {
  const auto sampled = sample(streams, epoch, step);
  Batch b;
  for (const auto& part : sampled.parts) {
    if (part.loader > 0) b.unpaired.emplace_back();
    Indices& to = part.loader == 0 ? b.paired : b.unpaired.back();
    REQUIRE(b.unpaired.size() == part.loader);
    REQUIRE(part.first_row == static_cast<int>(to.size()));
    const Indices samples = samples_of(sampled, part);
    to.insert(to.end(), samples.begin(), samples.end());
  }
  return b;
}

}  // namespace

TEST_CASE("the supervision levels of the paper pair so many of 60,000 digits") {
  const std::pair<double, int> levels[] = {{1, 60000},  {.5, 30000}, {.1, 6000},
                                           {.05, 3000}, {.02, 1200}, {.01, 600},
                                           {.005, 300}, {.002, 120}, {.001, 60}};
  for (const auto& [level, count] : levels) {
    INFO(level);
    CHECK(poe::paired_count(60000, level) == count);
  }
  CHECK(poe::paired_count(10, 0.001) == 1);  // int(9.99) are not paired
  for (const double level : {0.0, -0.1, 1.0001, std::nan("")})
    CHECK_THROWS_WITH(poe::paired_count(100, level), Contains("expected a level in (0, 1]"));
  CHECK_THROWS_WITH(poe::paired_count(0, 0.5), Contains("expected at least 1 sample, got 0"));
  CHECK_THROWS_WITH(poe::paired_count(3, 1e-300), Contains("leaves no pair"));
}

TEST_CASE("paired and unpaired samples are a partition that the seed chooses") {
  const auto a = poe::split_supervision(1000, 0.1, {7, 3, 0});
  CHECK(a.paired.size() == 100);
  Indices all = a.unpaired;
  all.insert(all.end(), a.paired.begin(), a.paired.end());
  CHECK(all != range(1000));
  CHECK(sorted(all) == range(1000));
  const auto b = poe::split_supervision(1000, 0.1, {7, 3, 0});
  CHECK(a.paired == b.paired);
  CHECK(a.unpaired == b.unpaired);
  CHECK(sorted(poe::split_supervision(1000, 0.1, {8, 3, 0}).paired) != sorted(a.paired));
  // One order for all levels: more supervision keeps the pairs that were there.
  const auto more = poe::split_supervision(1000, 0.2, {7, 3, 0});
  CHECK(std::equal(a.paired.begin(), a.paired.end(), more.paired.begin() + 100, more.paired.end()));
}

TEST_CASE("an epoch shows every sample once to each modality, in orders of its own") {
  const int samples = 1003, size = 100, modalities = 3;
  poe::Streams streams(samples, options(0.05, poe::UnpairedPool::all, size, modalities), {1, 2, 0});
  REQUIRE(streams.steps_per_epoch() == 11);
  std::set<Indices> orders;
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::vector<Indices> seen(modalities);
    for (int step = 0; step < 11; ++step) {
      const Batch b = batch(streams, epoch, step);
      REQUIRE(b.unpaired.size() == modalities);
      for (std::size_t m = 0; m < modalities; ++m) {
        CHECK(b.unpaired[m].size() == (step < 10 ? 100 : 3));
        seen[m].insert(seen[m].end(), b.unpaired[m].begin(), b.unpaired[m].end());
      }
    }
    for (const Indices& order : seen) {
      CHECK(sorted(order) == range(samples));
      orders.insert(order);
    }
  }
  CHECK(orders.size() == 9);
}

TEST_CASE("the paired loader goes through its pairs again and again, in its own epochs") {
  const struct {
    int samples;
    double level;
    std::vector<std::size_t> sizes;  // of the batches of one pass over the pairs
  } cases[] = {{6000, 0.01, {60}},
               {1000, 0.25, {100, 100, 50}},
               {950, 1, {100, 100, 100, 100, 100, 100, 100, 100, 100, 50}}};
  for (const auto& c : cases) {
    poe::Streams streams(c.samples, options(c.level, poe::UnpairedPool::all, 100, 2), {5, 0, 0});
    const int steps = streams.steps_per_epoch();
    std::set<Indices> orders;
    Indices pass;
    std::size_t t = 0, passes = 0;
    for (int epoch = 0; epoch < 3; ++epoch)
      for (int step = 0; step < steps; ++step, ++t) {
        const Batch b = batch(streams, epoch, step);
        REQUIRE(b.paired.size() == c.sizes[t % c.sizes.size()]);
        pass.insert(pass.end(), b.paired.begin(), b.paired.end());
        if ((t + 1) % c.sizes.size() != 0) continue;
        REQUIRE(sorted(pass) == sorted(streams.observations().joint));
        orders.insert(std::exchange(pass, {}));
        ++passes;
      }
    CHECK(orders.size() == passes);  // every pass is shuffled anew
  }
}

TEST_CASE("a batch is a function of seed, epoch and step") {
  for (const auto pool : {poe::UnpairedPool::all, poe::UnpairedPool::only_unpaired}) {
    const poe::SupervisionOptions some = options(0.11, pool, 32, 2);
    poe::Streams forwards(777, some, {3, 1, 0}), scattered(777, some, {3, 1, 0}),
        reseeded(777, some, {4, 1, 0}), restreamed(777, some, {3, 2, 0});
    const int steps = forwards.steps_per_epoch();
    REQUIRE(steps == 25);
    std::map<int, Batch> batches;
    for (int t = 0; t < 4 * steps; ++t) batches[t] = batch(forwards, t / steps, t % steps);
    for (int k = 0; k < 4 * steps; ++k) {
      const int t = 37 * k % (4 * steps);  // 37 and 100 have no common factor: each step once
      REQUIRE(batch(scattered, t / steps, t % steps) == batches[t]);
    }
    poe::Streams resumed(777, some, {3, 1, 0});
    CHECK(batch(resumed, 3, 24) == batches[4 * steps - 1]);
    CHECK(batch(reseeded, 0, 0) != batches[0]);
    CHECK(batch(restreamed, 0, 0) != batches[0]);
  }
}

TEST_CASE("loaders of single modalities can be kept from the pairs") {
  poe::Streams streams(1000, options(0.3, poe::UnpairedPool::only_unpaired, 100, 2), {11, 0, 0});
  REQUIRE(streams.steps_per_epoch() == 10);
  Indices seen;
  for (int step = 0; step < 7; ++step) {
    const Batch b = batch(streams, 0, step);
    seen.insert(seen.end(), b.unpaired[1].begin(), b.unpaired[1].end());
  }
  const auto& joint = streams.observations().joint;
  CHECK(joint.size() == 300);
  seen.insert(seen.end(), joint.begin(), joint.end());
  CHECK(sorted(seen) == range(1000));
  CHECK(batch(streams, 0, 9).unpaired[0].size() == 100);  // started over after 7 steps

  poe::Streams full(1000, options(1, poe::UnpairedPool::only_unpaired, 100, 2), {11, 0, 0});
  const Batch b = batch(full, 0, 0);
  CHECK(full.steps_per_epoch() == 10);
  CHECK(b.paired.size() == 100);
  CHECK(b.unpaired == std::vector<Indices>(2));
}

TEST_CASE("streams that cannot be are refused") {
  CHECK_THROWS_WITH(poe::Streams(10, options(1, poe::UnpairedPool::all, 0, 2), {}),
                    Contains("batch of"));
  CHECK_THROWS_WITH(poe::Streams(10, options(1, poe::UnpairedPool::all, 5, 0), {}),
                    Contains("modalities"));
  CHECK_THROWS_WITH(poe::Streams(10, options(2, poe::UnpairedPool::all, 5, 2), {}),
                    Contains("level"));
  poe::Streams streams(10, options(1, poe::UnpairedPool::all, 3, 2), {});
  for (const auto& [epoch, step] : {std::pair{-1, 0}, {0, -1}, {0, 4}})
    CHECK_THROWS_WITH(batch(streams, epoch, step), Contains("a step below 4"));
  // The largest epoch is no overflow.
  CHECK(batch(streams, std::numeric_limits<int>::max(), 3).unpaired[0].size() == 1);
}

namespace {

/// The k-th block of random bits as a source, as Streams is documented to derive its loaders'.
poe::Random derived(const poe::Random& family, std::uint64_t k) {
  const poe::Words w = family.block(k);
  return {(std::uint64_t{w.y} << 32) | w.x, w.z, 0};
}
/// Batch t of a pool, from its definition.
Indices batch_of(const Indices& pool, std::size_t size, const poe::Random& random, std::size_t t) {
  const std::size_t per_pass = (pool.size() + size - 1) / size;
  if (pool.empty()) return {};
  const Indices order = poe::permutation(static_cast<std::uint32_t>(pool.size()),
                                         random.at_step(static_cast<std::uint32_t>(t / per_pass)));
  Indices batch;
  for (std::size_t i = t % per_pass * size; i < pool.size() && batch.size() < size; ++i)
    batch.push_back(pool[order[i]]);
  return batch;
}

std::vector<Subset> some_masks(int samples, int modalities, double absent, std::uint32_t stream) {
  return poe::random_masks(samples, modalities, absent, {31, stream, 0});
}

}  // namespace

// What was recorded of runs at a supervision level depends on this rule.
TEST_CASE("batches of a supervision level follow from permutations of the samples") {
  const std::uint32_t samples = 333;
  const poe::Random random{99, 1, 0};
  for (const double level : {1.0, 0.4, 0.03})
    for (const auto pool : {poe::UnpairedPool::all, poe::UnpairedPool::only_unpaired}) {
      const Indices order = poe::permutation(samples, derived(random, 0));
      const auto pairs = static_cast<std::ptrdiff_t>(poe::paired_count(samples, level));
      const Indices paired(order.end() - pairs, order.end());
      const Indices single = pool == poe::UnpairedPool::all
                                 ? range(samples)
                                 : Indices(order.begin(), order.end() - pairs);
      poe::Streams streams(samples, options(level, pool, 32, 3), random);
      for (int t = 0; t < 30; ++t) {
        const auto sampled = sample(streams, t / 11, t % 11);
        REQUIRE(sampled.parts.size() == 4);
        for (std::uint32_t l = 0; l < 4; ++l) {
          const auto& part = sampled.parts[l];
          REQUIRE(part.loader == l);
          REQUIRE(part.observed == (l == 0 ? 7U : 1U << (l - 1)));
          REQUIRE(part.first_row == 0);
          REQUIRE(samples_of(sampled, part) == batch_of(l == 0 ? paired : single, 32,
                                                        derived(random, 1 + l),
                                                        static_cast<std::size_t>(t)));
        }
      }
    }
}

TEST_CASE("random masks leave each modality out as often as asked, and never all") {
  const int samples = 20000;
  for (const double absent : {0.0, 0.2, 0.7, 1.0})
    for (const int modalities : {1, 2, 5}) {
      const auto masks = some_masks(samples, modalities, absent, 4);
      REQUIRE(masks == some_masks(samples, modalities, absent, 4));
      REQUIRE(masks.size() == static_cast<std::size_t>(samples));
      // P(m is there) = 1 - a + a^n / n.
      const double expected = 1 - absent + std::pow(absent, modalities) / modalities;
      const double deviation = std::sqrt(expected * (1 - expected) / samples);
      double both = 0;
      for (int m = 0; m < modalities; ++m) {
        double count = 0;
        for (const Subset mask : masks) {
          REQUIRE(mask != 0);
          REQUIRE(poe::within(mask, poe::all_of(modalities)));
          count += poe::contains(mask, m);
          both += m == 0 && poe::within(3, mask);
        }
        INFO(absent << ", modality " << m << " of " << modalities);
        REQUIRE(std::abs(count / samples - expected) <= 5 * deviation);
      }
      if (modalities < 2) continue;
      const double pair = (1 - absent) * (1 - absent);  // independent of each other
      REQUIRE(std::abs(both / samples - pair) <= 5 * std::sqrt(pair * (1 - pair) / samples));
    }
  REQUIRE(some_masks(100, 3, 0.5, 4) != some_masks(100, 3, 0.5, 5));
  REQUIRE(some_masks(0, 3, 0.5, 4).empty());
  CHECK_THROWS_WITH(some_masks(-1, 3, 0.5, 4), Contains("got -1"));
  CHECK_THROWS_WITH(some_masks(1, 0, 0.5, 4), Contains("1 to 31 modalities, got 0"));
  for (const double absent : {-0.1, 1.1, std::nan("")})
    CHECK_THROWS_WITH(some_masks(1, 3, absent, 4), Contains("a probability in [0, 1]"));
}

TEST_CASE("with masks a loader shows every sample of its pool once a pass, in groups by mask") {
  const struct {
    int samples, modalities, batch;
    double absent;
  } cases[] = {{500, 3, 64, 0.4}, {301, 2, 50, 0.6}, {257, 5, 32, 0.5},
               {40, 4, 100, 0.3}, {90, 1, 20, 0.0},  {60, 3, 7, 1.0}};
  for (const auto& c : cases)
    for (const auto pool : {poe::UnpairedPool::all, poe::UnpairedPool::only_unpaired}) {
      INFO(c.samples << " samples of " << c.modalities << " modalities");
      auto o = options(1, pool, c.batch, c.modalities);
      o.masks = some_masks(c.samples, c.modalities, c.absent, 7);
      poe::Streams streams(c.samples, o, {6, 2, 0});
      std::vector<std::set<std::uint32_t>> pools(1 + static_cast<std::size_t>(c.modalities));
      std::set<Subset> patterns;
      for (std::uint32_t n = 0; n < o.masks.size(); ++n) {
        const bool joint = poe::size_of(o.masks[n]) > 1 || c.modalities == 1;
        if (joint) pools[0].insert(n), patterns.insert(o.masks[n]);
        for (std::size_t m = 1; m < pools.size(); ++m)
          if ((o.masks[n] >> (m - 1) & 1U) != 0 && (pool == poe::UnpairedPool::all || !joint))
            pools[m].insert(n);
      }
      std::vector<Indices> pass(pools.size());
      std::vector<std::set<Indices>> orders(pools.size());
      std::vector<std::size_t> passes(pools.size());
      for (int t = 0; t < 6 * streams.steps_per_epoch(); ++t) {
        const auto b =
            sample(streams, t / streams.steps_per_epoch(), t % streams.steps_per_epoch());
        REQUIRE(b.parts.size() == patterns.size() + pools.size() - 1);
        auto pattern = patterns.begin();
        std::vector<int> rows(pools.size());
        std::vector<std::size_t> of_modality(pools.size());
        for (const auto& part : b.parts) {
          const Subset expected = part.loader == 0 ? *pattern++ : 1U << (part.loader - 1);
          REQUIRE(part.observed == expected);
          REQUIRE(part.first_row == rows[part.loader]);
          rows[part.loader] += part.rows;
          for (const std::uint32_t n : samples_of(b, part)) {
            REQUIRE(pools[part.loader].contains(n));
            if (part.loader == 0) REQUIRE(o.masks[n] == part.observed);
            pass[part.loader].push_back(n);
          }
          for (std::size_t m = 0; m + 1 < pools.size(); ++m)
            if ((part.observed >> m & 1U) != 0)
              of_modality[m] += static_cast<std::size_t>(part.rows);
        }
        for (const std::size_t count : of_modality)
          REQUIRE(count <= static_cast<std::size_t>(streams.most_rows()));
        for (std::size_t l = 0; l < pools.size(); ++l) {
          const auto left = pools[l].size() - (pass[l].size() - static_cast<std::size_t>(rows[l]));
          REQUIRE(static_cast<std::size_t>(rows[l]) ==
                  std::min(left, static_cast<std::size_t>(c.batch)));
          if (pass[l].size() < pools[l].size() || pools[l].empty()) continue;
          REQUIRE(sorted(pass[l]) == Indices(pools[l].begin(), pools[l].end()));
          orders[l].insert(std::exchange(pass[l], {}));
          ++passes[l];
        }
      }
      for (std::size_t l = 0; l < pools.size(); ++l)
        if (pools[l].size() > 10) CHECK(orders[l].size() == passes[l]);
    }
}

TEST_CASE("within a group, samples are in the order in which they were drawn") {
  const poe::Random random{12, 3, 0};
  auto o = options(1, poe::UnpairedPool::all, 40, 3);
  o.masks = some_masks(200, 3, 0.4, 8);
  Indices candidates, joint;
  for (std::uint32_t n = 0; n < 200; ++n)
    if (poe::size_of(o.masks[n]) > 1) candidates.push_back(n);
  for (const std::uint32_t c :
       poe::permutation(static_cast<std::uint32_t>(candidates.size()), derived(random, 0)))
    joint.push_back(candidates[c]);
  poe::Streams streams(200, o, random);
  for (int t = 0; t < 10; ++t) {
    const auto b = sample(streams, t / 5, t % 5);
    const Indices drawn = batch_of(joint, 40, derived(random, 1), static_cast<std::size_t>(t));
    for (const auto& part : b.parts) {
      if (part.loader > 0) continue;
      Indices expected;
      for (const std::uint32_t n : drawn)
        if (o.masks[n] == part.observed) expected.push_back(n);
      REQUIRE(samples_of(b, part) == expected);
    }
  }
}

TEST_CASE("with masks, too, a batch is a function of seed, epoch and step") {
  auto o = options(1, poe::UnpairedPool::all, 16, 3);
  o.masks = some_masks(150, 3, 0.5, 9);
  poe::Streams forwards(150, o, {3, 1, 0}), scattered(150, o, {3, 1, 0}),
      reseeded(150, o, {4, 1, 0});
  const int steps = forwards.steps_per_epoch();
  std::map<int, poe::SampledBatch> batches;
  for (int t = 0; t < 3 * steps; ++t) batches[t] = sample(forwards, t / steps, t % steps);
  int same = 0;
  for (int k = 0; k < 3 * steps; ++k) {
    const int t = 7 * k % (3 * steps);  // 7 and 30 have no common factor: each step once
    const auto b = sample(scattered, t / steps, t % steps);
    REQUIRE(b.samples == batches[t].samples);
    REQUIRE(batch(scattered, t / steps, t % steps) == batch(forwards, t / steps, t % steps));
    same += sample(reseeded, t / steps, t % steps).samples == b.samples;
  }
  CHECK(same == 0);
}

TEST_CASE("masks that cannot be are refused") {
  auto o = options(1, poe::UnpairedPool::all, 5, 2);
  o.masks = {1, 2, 3};
  CHECK_THROWS_WITH(poe::Streams(4, o, {}), Contains("one for each of 4 samples, got 3"));
  o.masks = {1, 0, 3};
  CHECK_THROWS_WITH(poe::Streams(3, o, {}), Contains("sample 1") && Contains("0b0"));
  o.masks = {1, 2, 5};
  CHECK_THROWS_WITH(poe::Streams(3, o, {}),
                    Contains("2 modalities of sample 2") && Contains("0b101"));
}

TEST_CASE("a supervision level with masks is the share of those samples that could be pairs") {
  for (const double level : {0.07, 0.5, 1.0})
    for (const auto pool : {poe::UnpairedPool::all, poe::UnpairedPool::only_unpaired}) {
      auto o = options(level, pool, 16, 3);
      o.masks = some_masks(400, 3, 0.5, 9);
      const auto several = std::count_if(o.masks.begin(), o.masks.end(),
                                         [](Subset s) { return poe::size_of(s) > 1; });
      const auto seen = poe::observe(400, o, {3, 0, 0});
      CHECK(static_cast<int>(seen.joint.size()) ==
            poe::paired_count(static_cast<int>(several), level));
      const std::set<std::uint32_t> joint(seen.joint.begin(), seen.joint.end());
      REQUIRE(joint.size() == seen.joint.size());
      for (std::uint32_t n = 0; n < 400; ++n) {
        REQUIRE((joint.contains(n) ? poe::size_of(o.masks[n]) > 1 : true));
        REQUIRE(seen.together[n] == (joint.contains(n) ? o.masks[n] : 0));
        for (std::size_t m = 0; m < 3; ++m)
          REQUIRE(std::count(seen.single[m].begin(), seen.single[m].end(), n) ==
                  ((o.masks[n] >> m & 1U) != 0 &&
                   (pool == poe::UnpairedPool::all || !joint.contains(n))));
      }
    }
  auto o = options(0.1, poe::UnpairedPool::all, 5, 2);
  o.masks = {1, 2, 1};
  CHECK(poe::observe(3, o, {}).joint.empty());
}
