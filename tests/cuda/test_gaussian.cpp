// SPDX-License-Identifier: MIT
// Fusion of Gaussian experts on the GPU against textbook formulas in double and their finite
// differences, and against the implementation for the CPU.
#include <algorithm>

#include <poe/gaussian/fusion.hpp>

#include "gaussian.hpp"

namespace {

using namespace poe;
using namespace tests;
using gaussian::Divergence, gaussian::Draw, gaussian::Product;
using poe::test::require_close;
using On = Executor<Cuda>;

/// A plan that owns its lists.
struct Made {
  int experts = 1;
  std::vector<Product> products;
  std::vector<Divergence> divergences;
  std::vector<Draw> draws;
  std::string name;
  gaussian::Plan plan() const { return {products, divergences, draws}; }
};

/// `products` random products of `experts` experts, and as many divergences and draws.
Made random_plan(int experts, int products, int divergences, int draws, std::uint32_t stream,
                 bool several_floors = false) {
  const Random random{5, stream, 0};
  std::uint64_t i = 0;
  const auto below = [&](int n) {
    return static_cast<int>(random.below(static_cast<std::uint32_t>(n), i++));
  };
  Made made{experts,
            {},
            {},
            {},
            std::to_string(experts) + " experts, " + std::to_string(products) + " products, " +
                std::to_string(divergences) + " divergences, " + std::to_string(draws) + " draws"};
  const std::uint32_t all = experts == 32 ? ~0U : (1U << experts) - 1;
  for (int p = 0; p < products; ++p) {
    const std::uint32_t bits = random.bits(i++) & all;
    const double floor = several_floors && below(2) == 0 ? 0.1 : 1e-6;
    made.products.push_back({bits, below(3) == 0, {floor, below(3) == 0}});
  }
  for (int k = 0; k < divergences; ++k)
    made.divergences.push_back({below(products), below(products + 1) - 1, below(3) == 0});
  for (int s = 0; s < draws; ++s)
    made.draws.push_back({below(products), static_cast<std::uint32_t>(100 + s)});
  return made;
}

/// Inputs, and weights of a sum of all results: the function whose gradient is checked.
template <class T>
struct Problem {
  int rows = 1, latent = 1, first_row = 3;
  Made made;
  Lists<T> experts;
  std::vector<std::uint8_t> observed;  // empty: all
  Lists<T> posterior_weight, kl_weight, sample_weight, old;
  Random random{0x123456789abcdefU, 0, 9};

  std::size_t size(int numbers) const {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(numbers);
  }
};

template <class T>
Problem<T> problem_of(const Made& made, int rows, int latent, bool masked) {
  Problem<T> p;
  p.rows = rows;
  p.latent = latent;
  p.made = made;
  const auto experts = static_cast<std::size_t>(made.experts);
  p.experts = lists_of_normals<T>(experts, p.size(2 * latent), 1000);
  p.posterior_weight = lists_of_normals<T>(made.products.size(), p.size(2 * latent), 2000);
  p.kl_weight = lists_of_normals<T>(made.divergences.size(), p.size(1), 3000);
  p.sample_weight = lists_of_normals<T>(made.draws.size(), p.size(latent), 4000);
  p.old = lists_of_normals<T>(experts, p.size(2 * latent), 5000);
  // Some results nobody asks for.
  for (auto* lists : {&p.posterior_weight, &p.kl_weight, &p.sample_weight})
    for (std::size_t i = 2; i < lists->size(); i += 4) (*lists)[i].clear();
  if (masked) p.observed = random_mask(p.size(made.experts));
  return p;
}

/// What the textbook says of one problem.
struct Want {
  Lists<double> posteriors, divergences, samples, gradients;
};

/// Slopes, and how far the rounding of the numbers that they are differences of may move them.
struct Differences {
  Lists<double> slope, rounding;
};

template <class T>
class Textbook {
 public:
  explicit Textbook(const Problem<T>& p) : p_(p) {}

  Want values() const {
    Want want;
    const auto width = static_cast<std::size_t>(2 * p_.latent);
    want.posteriors.assign(p_.made.products.size(), std::vector<double>(p_.size(2 * p_.latent)));
    want.divergences.assign(p_.made.divergences.size(), std::vector<double>(p_.size(1)));
    want.samples.assign(p_.made.draws.size(), std::vector<double>(p_.size(p_.latent)));
    for (int row = 0; row < p_.rows; ++row)
      for (int dim = 0; dim < p_.latent; ++dim) {
        const auto q = products_of(row, inputs_of(row, dim));
        const auto at = static_cast<std::size_t>(row) * width + static_cast<std::size_t>(dim);
        for (std::size_t i = 0; i < q.size(); ++i) {
          want.posteriors[i][at] = q[i].mean;
          want.posteriors[i][at + static_cast<std::size_t>(p_.latent)] = -std::log(q[i].variance);
        }
        for (std::size_t k = 0; k < p_.made.divergences.size(); ++k)
          want.divergences[k][static_cast<std::size_t>(row)] += divergence(k, q, q);
        for (std::size_t s = 0; s < p_.made.draws.size(); ++s)
          want.samples[s][index(row, dim)] = sample(s, q, row, dim);
      }
    return want;
  }

  /// Gradients of the weighted sum: differences of five points, whose error is h^4 and what the
  /// rounding of the sum, divided by h, adds.
  Differences gradients() const {
    Differences result;
    result.slope.assign(p_.experts.size(), std::vector<double>(p_.size(2 * p_.latent)));
    result.rounding = result.slope;
    constexpr double h = 1e-3;
    for (int row = 0; row < p_.rows; ++row)
      for (int dim = 0; dim < p_.latent; ++dim) {
        const auto x = inputs_of(row, dim);
        const auto here = products_of(row, x);
        for (std::size_t i = 0; i < x.size(); ++i) {
          if (!observed(row, i / 2)) continue;
          const auto f = [&](double step) {
            auto moved = x;
            moved[i] += step;
            return objective(row, dim, products_of(row, moved), here);
          };
          const std::size_t at = 2 * index(row, 0) + static_cast<std::size_t>(dim) +
                                 (i % 2) * static_cast<std::size_t>(p_.latent);
          const double right = f(h), left = f(-h);
          result.slope[i / 2][at] = (8 * (right - left) - (f(2 * h) - f(-2 * h))) / (12 * h);
          result.rounding[i / 2][at] =
              4 * std::numeric_limits<double>::epsilon() * (std::abs(right) + std::abs(left)) / h;
        }
      }
    return result;
  }

 private:
  std::size_t index(int row, int dim) const {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(p_.latent) +
           static_cast<std::size_t>(dim);
  }
  bool observed(int row, std::size_t e) const {
    return p_.observed.empty() ||
           p_.observed[static_cast<std::size_t>(row) * p_.experts.size() + e] != 0;
  }
  /// Location and raw scale of every expert.
  std::vector<double> inputs_of(int row, int dim) const {
    std::vector<double> x;
    for (const auto& e : p_.experts)
      for (const int part : {0, 1})
        x.push_back(static_cast<double>(
            e[2 * index(row, 0) + static_cast<std::size_t>(part * p_.latent + dim)]));
    return x;
  }
  std::vector<Moments> products_of(int row, const std::vector<double>& x) const {
    std::vector<Moments> result;
    for (const Product& product : p_.made.products) {
      double precision = product.prior ? 1 : 0, weighted = 0;
      for (std::size_t e = 0; e < p_.experts.size(); ++e) {
        if ((product.experts >> e & 1U) == 0 || !observed(row, e)) continue;
        const Moments one = expert_of(x[2 * e], x[2 * e + 1], product.link);
        precision += 1 / one.variance;
        weighted += one.mean / one.variance;
      }
      result.push_back(precision == 0 ? Moments{} : Moments{weighted / precision, 1 / precision});
    }
    return result;
  }
  double divergence(std::size_t k, const std::vector<Moments>& q,
                    const std::vector<Moments>& target) const {
    const Divergence& d = p_.made.divergences[k];
    return kl(q[static_cast<std::size_t>(d.from)],
              d.to == gaussian::prior ? Moments{} : target[static_cast<std::size_t>(d.to)]);
  }
  double sample(std::size_t s, const std::vector<Moments>& q, int row, int dim) const {
    const Draw& draw = p_.made.draws[s];
    const Moments& m = q[static_cast<std::size_t>(draw.product)];
    return m.mean + std::sqrt(m.variance) * normal_of<T>(p_.random.with_stream(draw.stream),
                                                         index(row + p_.first_row, dim));
  }
  double objective(int row, int dim, const std::vector<Moments>& q,
                   const std::vector<Moments>& held) const {
    double sum = 0;
    for (std::size_t i = 0; i < q.size(); ++i)
      if (const auto& w = p_.posterior_weight[i]; !w.empty()) {
        const std::size_t at = 2 * index(row, 0) + static_cast<std::size_t>(dim);
        sum += static_cast<double>(w[at]) * q[i].mean;
        sum -= static_cast<double>(w[at + static_cast<std::size_t>(p_.latent)]) *
               std::log(q[i].variance);
      }
    for (std::size_t k = 0; k < p_.made.divergences.size(); ++k)
      if (const auto& w = p_.kl_weight[k]; !w.empty())
        sum += static_cast<double>(w[static_cast<std::size_t>(row)]) *
               divergence(k, q, p_.made.divergences[k].stop_gradient_on_target ? held : q);
    for (std::size_t s = 0; s < p_.made.draws.size(); ++s)
      if (const auto& w = p_.sample_weight[s]; !w.empty())
        sum += static_cast<double>(w[index(row, dim)]) * sample(s, q, row, dim);
    return sum;
  }

  const Problem<T>& p_;
};

// ---- the device ----

template <class T>
struct Got {
  Lists<T> posteriors, divergences, samples, gradients;
  std::vector<T> all() const {
    auto joined = join(posteriors);
    for (const auto* lists : {&divergences, &samples, &gradients}) {
      const auto more = join(*lists);
      joined.insert(joined.end(), more.begin(), more.end());
    }
    return joined;
  }
};

/// Both directions. Arrays begin `offset` numbers behind an aligned address.
template <class T>
Got<T> run(const Problem<T>& p, std::size_t offset = 0, On* executor = nullptr) {
  On own;
  On& on = executor == nullptr ? own : *executor;
  const ListsOnDevice<T> experts(p.experts, offset);
  const ListsOnDevice<T> posteriors(p.made.products.size(), p.size(2 * p.latent), offset);
  const ListsOnDevice<T> divergences(p.made.divergences.size(), p.size(1), offset);
  const ListsOnDevice<T> samples(p.made.draws.size(), p.size(p.latent), offset);
  OnDevice<std::uint8_t> observed(p.observed);
  const gaussian::FusionMemory<T> memory{p.rows,
                                         p.latent,
                                         experts.values(),
                                         p.observed.empty() ? nullptr : observed.data(),
                                         posteriors.pointers(),
                                         divergences.pointers(),
                                         samples.pointers()};
  gaussian::fuse_values(p.made.plan(), memory, p.random, p.first_row, on);
  const ListsOnDevice<T> posterior_weight(p.posterior_weight, offset),
      kl_weight(p.kl_weight, offset), sample_weight(p.sample_weight, offset), sinks(p.old, offset);
  gaussian::fuse_gradients(
      p.made.plan(), memory,
      {posterior_weight.values(), kl_weight.values(), sample_weight.values(), sinks.pointers()},
      on);
  return {posteriors.read(on), divergences.read(on), samples.read(on), sinks.read(on)};
}

template <class T>
void check_gradients(const Problem<T>& p, const Differences& want, const Lists<T>& got) {
  // Every result is a term; what remains of the sum may be smaller than the terms are. The
  // differences are right to 1e-9, but for their rounding.
  const double terms =
      static_cast<double>(p.made.products.size() + p.made.divergences.size() + p.made.draws.size());
  for (std::size_t e = 0; e < want.slope.size(); ++e) {
    if (p.old[e].empty()) continue;
    auto sum = want.slope[e];
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] += static_cast<double>(p.old[e][i]);
      const double rounding = want.rounding[e][i];
      sum[i] += std::clamp(static_cast<double>(got[e][i]) - sum[i], -rounding, rounding);
    }
    require_close(got[e], sum, 8 * tolerance<T>(terms) + 1e-9, "gradient of expert");
  }
}

template <class T>
void check(const Made& made, int rows, int latent, bool masked, std::size_t offset = 0) {
  INFO(made.name << "; " << rows << " rows, " << latent << " dimensions, masked " << masked
                 << ", offset " << offset);
  auto problem = problem_of<T>(made, rows, latent, masked);
  if (made.experts > 2) problem.old[1].clear();  // nobody wants this gradient
  const Got<T> got = run(problem, offset);
  const Textbook<T> textbook(problem);
  const Want want = textbook.values();
  require_close(join(got.posteriors), join(want.posteriors), tolerance<T>(made.experts),
                "posteriors");
  require_close(join(got.divergences), join(want.divergences), tolerance<T>(latent + 4),
                "divergences");
  require_close(join(got.samples), join(want.samples), tolerance<T>(made.experts), "samples");
  check_gradients(problem, textbook.gradients(), got.gradients);
}

/// All three products of two modalities, and everything one may ask of them.
Made two_modalities(bool variance_of_product = false, bool with_prior = false) {
  return {2,
          {{1, false, {}}, {2, false, {}}, {3, with_prior, {1e-6, variance_of_product}}},
          {{2, 0}, {2, 1, true}, {0}, {1}, {2}, {0, 1}},
          {{2, 4}, {0, 1}, {1, 2}, {2, 8}, {0, 9}, {1, 10}},
          "two modalities"};
}

/// All subsets of three modalities.
Made three_modalities() {
  Made made{3, {}, {}, {}, "three modalities"};
  for (std::uint32_t s = 1; s < 8; ++s) {
    made.products.push_back({s, false, {}});
    made.draws.push_back({static_cast<int>(s) - 1, s});
    for (std::uint32_t e = 0; e < 3; ++e)
      if ((s >> e & 1U) != 0)
        made.divergences.push_back({static_cast<int>(s) - 1, static_cast<int>(s & ~(1U << e)) - 1});
  }
  return made;
}

/// Rows of `latent` dimensions, `v` a thread, that take `warps` warps of every multiprocessor and
/// one row more.
int rows_of_warps(int warps, int latent, int v) {
  const int lanes = std::min((latent + v - 1) / v, 32);
  return warps * cuda::device_info().multiprocessors * (32 / lanes) + 1;
}

/// Plans for each kernel: four that keep everything in registers, two that do not.
std::vector<Made> plans() {
  return {random_plan(1, 1, 1, 1, 1),
          random_plan(4, 1, 2, 2, 2),
          two_modalities(),
          two_modalities(true, true),
          random_plan(3, 3, 6, 6, 3),
          random_plan(4, 3, 16, 12, 4),
          three_modalities(),
          random_plan(2, 5, 4, 3, 5),
          random_plan(4, 7, 5, 2, 6),
          random_plan(2, 3, 4, 3, 7, true),
          random_plan(8, 12, 20, 5, 8)};
}

}  // namespace

TEMPLATE_TEST_CASE("fusion agrees with the textbook and its differences", "", float, double) {
  const int rows[] = {1, 2, 5, 9};
  int turn = 0;
  for (const Made& made : plans())
    for (const int latent : latents) {
      check<TestType>(made, rows[turn % 4], latent, turn % 2 == 1, turn % 3 == 2 ? 1 : 0);
      ++turn;
    }
}

// In float, plans in registers take `v` dimensions a thread where that makes a warp for each
// multiprocessor; blocks have several warps where it makes more than four. Fewer rows, as in the
// other cases, take one dimension a thread.
TEST_CASE("fusion of as many rows as several dimensions a thread are for") {
  for (const int latent : {4, 20, 136}) {
    check<float>(random_plan(2, 1, 2, 2, 2), rows_of_warps(1, latent, 4), latent, true);
    check<float>(two_modalities(), rows_of_warps(1, latent, 4), latent, latent == 20);
    check<float>(random_plan(4, 3, 5, 4, 4), rows_of_warps(1, latent, 4), latent, true);
    check<float>(three_modalities(), rows_of_warps(1, latent, 2), latent, latent == 20);
  }
  check<float>(random_plan(2, 1, 2, 2, 2), rows_of_warps(4, 20, 4), 20, true);
  check<float>(two_modalities(), rows_of_warps(4, 20, 4), 20, false);
  check<float>(random_plan(4, 3, 5, 4, 4), rows_of_warps(4, 20, 4), 20, false);
  check<float>(three_modalities(), rows_of_warps(4, 20, 2), 20, true);
}

TEMPLATE_TEST_CASE("fusion of many rows, whole and ragged", "", float, double) {
  check<TestType>(two_modalities(), 100, 20, true);
  check<TestType>(two_modalities(), 1009, 4, false);
  check<TestType>(three_modalities(), 1009, 1, true);
  // More warps than blocks of one warp are made for.
  check<TestType>(random_plan(4, 3, 4, 3, 12), rows_of_warps(4, 20, 1), 20, true);
  check<TestType>(random_plan(5, 3, 4, 3, 13), rows_of_warps(4, 20, 1), 20, true);
}

TEMPLATE_TEST_CASE("the largest plans", "", float, double) {
  check<TestType>(random_plan(25, 40, 90, 30, 20), 3, 4, true);
  check<TestType>(random_plan(32, 100, 400, 60, 21), 2, 3, false);
  check<TestType>(random_plan(32, 128, 512, 256, 22, true), 1, 2, true);
}

TEST_CASE("a plan that no kernel holds is refused") {
  REQUIRE_THROWS_WITH(run(problem_of<float>(random_plan(2, 129, 1, 1, 30), 1, 1, false)),
                      Catch::Contains("at most 128 products"));
}

TEMPLATE_TEST_CASE("every order of threads gives the same bytes", "[small]", float, double) {
  for (const Made& made : {two_modalities(), three_modalities(), random_plan(6, 8, 9, 4, 40)})
    for (const int latent : {3, 20, 64, 200}) {
      const auto problem = problem_of<TestType>(made, 5, latent, true);
      same_in_every_order([&] { return run(problem).all(); });
    }
  if constexpr (std::is_same_v<TestType, float>)  // several dimensions a thread
    for (const auto& [made, v] :
         {std::pair(two_modalities(), 4), std::pair(three_modalities(), 2)}) {
      const auto problem = problem_of<float>(made, rows_of_warps(1, 136, v), 136, true);
      same_in_every_order([&] { return run(problem).all(); });
    }
}

TEMPLATE_TEST_CASE("kernels agree with the CPU, also far from ordinary scales", "", float, double) {
  using T = TestType;
  constexpr int latent = 8;
  std::vector<std::pair<Made, int>> cases;
  for (const Made& made : plans())
    for (const int rows : {33, rows_of_warps(1, latent, 4)}) cases.emplace_back(made, rows);
  for (auto& [made, rows] : cases) {
    for (Product& p : made.products) p.link.floor = 0;
    auto problem = problem_of<T>(made, rows, latent, true);
    // Of every eight dimensions one has very narrow experts, one very wide ones and one both; the
    // others are ordinary. Plain and logarithmic arithmetic meet in one thread. Where experts are
    // narrow all locations are 0: differences of rounded ones, divided by the variance, would
    // say nothing.
    for (std::size_t e = 0; e < problem.experts.size(); ++e)
      for (std::size_t i = 0; i < problem.experts[e].size(); i += 2 * latent)
        for (const std::size_t dim : {1U, 4U, 6U}) {
          T& raw = problem.experts[e][i + dim + latent];
          if (dim != 4) problem.experts[e][i + dim] = 0;
          if (Random{3}.below(2, i + dim + 1000 * e) == 0) raw = dim == 4 ? T(3e12) : T(-32);
          if (dim == 6 && e % 2 == 1) raw = T(1e4);
        }
    const Got<T> got = run(problem);

    Executor<Cpu> cpu;
    Got<T> want;
    const auto zeros = [&](Lists<T>& lists, std::size_t count, int numbers) {
      lists.assign(count, std::vector<T>(problem.size(numbers)));
      std::vector<T*> pointers;
      for (auto& list : lists) pointers.push_back(list.data());
      return pointers;
    };
    const auto view = [](const auto& lists) {
      std::vector<const T*> pointers;
      for (const auto& list : lists) pointers.push_back(list.empty() ? nullptr : list.data());
      return pointers;
    };
    const auto posteriors = zeros(want.posteriors, made.products.size(), 2 * latent);
    const auto divergences = zeros(want.divergences, made.divergences.size(), 1);
    const auto samples = zeros(want.samples, made.draws.size(), latent);
    want.gradients = problem.old;
    std::vector<T*> sinks;
    for (auto& list : want.gradients) sinks.push_back(list.data());
    const auto experts = view(problem.experts), posterior_weight = view(problem.posterior_weight),
               kl_weight = view(problem.kl_weight), sample_weight = view(problem.sample_weight);
    const std::uint8_t* const observed = problem.observed.data();
    const gaussian::FusionMemory<T> memory{problem.rows, latent,      experts, observed,
                                           posteriors,   divergences, samples};
    gaussian::detail::fuse_values<latent>(made.plan(), memory, problem.random, problem.first_row,
                                          cpu);
    gaussian::detail::fuse_gradients<latent>(
        made.plan(), memory,
        gaussian::FusionGradients<T>{posterior_weight, kl_weight, sample_weight, sinks}, cpu);
    INFO(made.name << ", " << rows << " rows");
    // A log-precision of 100, of which exp is taken, is rounded by half a unit.
    const double scale = 100;
    require_close(join(got.posteriors), join(want.posteriors), tolerance<T>(8), "posteriors");
    require_close(join(got.samples), join(want.samples), scale * tolerance<T>(1), "samples");
    require_close(join(got.divergences), join(want.divergences), scale * tolerance<T>(1),
                  "divergences");
    require_close(join(got.gradients), join(want.gradients), 4 * scale * tolerance<T>(1),
                  "gradients");
  }
}

TEMPLATE_TEST_CASE("a draw reads its step where the executor says", "", float, double) {
  On on;
  auto problem = problem_of<TestType>(two_modalities(), 7, 12, false);
  OnDevice<std::uint32_t> step(std::vector<std::uint32_t>{problem.random.step + 5});
  on.step = step.data();
  const auto got = run(problem, 0, &on).samples;
  problem.random.step += 5;
  const Want want = Textbook<TestType>(problem).values();
  require_close(join(got), join(want.samples), tolerance<TestType>(2));
}

TEMPLATE_TEST_CASE("normal numbers made in fours and pairs are those of the sequence", "", float,
                   double) {
  using T = TestType;
  const Random random{77, 5, 6};
  std::vector<T> want(256), fours(256), pairs(256);
  const std::uint64_t first = std::uint64_t{1} << 34;
  fill_normal<T>(random, first, want);
  for (std::uint64_t b = 0; b < 64; ++b) random.normal_block(first / 4 + b, fours.data() + 4 * b);
  for (std::uint64_t p = 0; p < 128; ++p)
    random.normal_pair(first / 2 + p, pairs[2 * p], pairs[2 * p + 1]);
  // The compiler may contract the same expression differently in different places.
  require_close(fours, want, 2 * static_cast<double>(std::numeric_limits<T>::epsilon()));
  require_close(pairs, want, 2 * static_cast<double>(std::numeric_limits<T>::epsilon()));
}
