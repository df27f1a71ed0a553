// SPDX-License-Identifier: MIT
// Fusion of Gaussian experts on the GPU against textbook formulas in double and their finite
// differences, and against the implementation for the CPU.
#include <cmath>
#include <numbers>

#include <poe/gaussian/fusion.hpp>
#include <poe/gaussian/single_cuda.hpp>

#include "placed.hpp"

namespace {

using namespace poe;
using gaussian::Divergence, gaussian::Draw, gaussian::Product, gaussian::ScaleLink;
using poe::test::normals, poe::test::require_close;
using tests::OnDevice, tests::Placed, tests::same_in_every_order;
using On = Executor<Cuda>;

template <class T>
using Lists = std::vector<std::vector<T>>;

// ---- the textbook ----

struct Moments {
  double mean = 0, variance = 1;
};

double softplus(double r) { return r > 40 ? r : std::log1p(std::exp(r)); }

Moments expert_of(double location, double raw, ScaleLink link) {
  const double s = softplus(raw) + link.floor;
  return {location, link.variance ? s : s * s};
}

double kl(Moments q, Moments p) {
  const double d = q.mean - p.mean;
  return 0.5 * std::log(p.variance / q.variance) + (q.variance + d * d) / (2 * p.variance) - 0.5;
}

/// Element i of the standard normal sequence: Box-Muller in double, from uniform numbers in T.
template <class T>
double normal_of(const Random& random, std::uint64_t i) {
  const Words w = random.block(i / 4);
  const auto unit = [](std::uint32_t bits) {
    return static_cast<double>(static_cast<T>((bits + 0.5) / 4294967296.0));
  };
  const double u = unit(i % 4 < 2 ? w.x : w.z), v = unit(i % 4 < 2 ? w.y : w.w);
  const double angle = 2 * std::numbers::pi * v;
  return std::sqrt(-2 * std::log(u)) * (i % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

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
  Made made{experts, {}, {}, {}, std::to_string(experts) + " experts, " +
                std::to_string(products) + " products, " + std::to_string(divergences) +
                " divergences, " + std::to_string(draws) + " draws"};
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
  const auto fill = [](Lists<T>& lists, std::size_t count, std::size_t size, std::uint32_t stream) {
    for (std::size_t i = 0; i < count; ++i)
      lists.push_back(normals<T>(size, stream + static_cast<std::uint32_t>(i)));
  };
  fill(p.experts, static_cast<std::size_t>(made.experts), p.size(2 * latent), 1000);
  fill(p.posterior_weight, made.products.size(), p.size(2 * latent), 2000);
  fill(p.kl_weight, made.divergences.size(), p.size(1), 3000);
  fill(p.sample_weight, made.draws.size(), p.size(latent), 4000);
  fill(p.old, static_cast<std::size_t>(made.experts), p.size(2 * latent), 5000);
  // Some results nobody asks for.
  for (auto* lists : {&p.posterior_weight, &p.kl_weight, &p.sample_weight})
    for (std::size_t i = 2; i < lists->size(); i += 4) (*lists)[i].clear();
  if (masked)
    for (std::size_t i = 0; i < p.size(made.experts); ++i)
      p.observed.push_back(static_cast<std::uint8_t>(Random{8}.below(3, i)));  // 1 and 2: observed
  return p;
}

/// What the textbook says of one problem.
struct Want {
  Lists<double> posteriors, divergences, samples, gradients;
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

  /// Gradients of the weighted sum: differences of five points, whose error is h^4.
  Lists<double> gradients() const {
    Lists<double> result(p_.experts.size(), std::vector<double>(p_.size(2 * p_.latent)));
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
          const double slope = (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h);
          result[i / 2][2 * index(row, 0) + static_cast<std::size_t>(dim) +
                        (i % 2) * static_cast<std::size_t>(p_.latent)] = slope;
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
std::vector<T> join(const Lists<T>& lists) {
  std::vector<T> all;
  for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

/// Lists on the device; where a list is empty its pointer is null.
template <class T>
class ListsOnDevice {
 public:
  ListsOnDevice(const Lists<T>& lists, std::size_t offset = 0) {
    for (const auto& list : lists) add(list, offset);
  }
  /// Not written yet.
  ListsOnDevice(std::size_t count, std::size_t size, std::size_t offset = 0) {
    for (std::size_t i = 0; i < count; ++i) {
      arrays_.push_back(std::make_unique<Placed<T>>(size, offset));
      pointers_.push_back(arrays_.back()->data());
    }
  }
  std::span<T* const> pointers() const { return pointers_; }
  std::span<const T* const> values() const { return {pointers_.data(), pointers_.size()}; }
  Lists<T> read(On& on) const {
    Lists<T> result;
    for (const auto& a : arrays_) result.push_back(a == nullptr ? std::vector<T>{} : a->read(on));
    return result;
  }

 private:
  void add(const std::vector<T>& list, std::size_t offset) {
    arrays_.push_back(list.empty() ? nullptr : std::make_unique<Placed<T>>(list, offset));
    pointers_.push_back(list.empty() ? nullptr : arrays_.back()->data());
  }
  std::vector<std::unique_ptr<Placed<T>>> arrays_;
  std::vector<T*> pointers_;
};

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
  gaussian::fuse_gradients(p.made.plan(), memory,
                           {posterior_weight.values(), kl_weight.values(), sample_weight.values(),
                            sinks.pointers()},
                           on);
  return {posteriors.read(on), divergences.read(on), samples.read(on), sinks.read(on)};
}

/// An expert's scale is wrong by a few units, its precision by twice that; sums have `terms` terms.
template <class T>
double tolerance(double terms) {
  return 64 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::sqrt(terms);
}

template <class T>
void check_gradients(const Problem<T>& p, const Lists<double>& want, const Lists<T>& got) {
  // Every result is a term; what remains of the sum may be smaller than the terms are. The
  // differences are right to 1e-10 of the objective.
  const double terms = static_cast<double>(p.made.products.size() + p.made.divergences.size() +
                                           p.made.draws.size());
  for (std::size_t e = 0; e < want.size(); ++e) {
    if (p.old[e].empty()) continue;
    auto sum = want[e];
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(p.old[e][i]);
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

/// Plans for each kernel: four that keep everything in registers, two that do not.
std::vector<Made> plans() {
  return {random_plan(1, 1, 1, 1, 1),      random_plan(4, 1, 2, 2, 2),
          two_modalities(),                two_modalities(true, true),
          random_plan(3, 3, 6, 6, 3),      random_plan(4, 3, 16, 12, 4),
          three_modalities(),              random_plan(2, 5, 4, 3, 5),
          random_plan(4, 7, 5, 2, 6),      random_plan(2, 3, 4, 3, 7, true),
          random_plan(8, 12, 20, 5, 8)};
}

constexpr int latents[] = {1, 2, 3, 4, 20, 31, 32, 33, 64, 100, 128, 200};

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

TEMPLATE_TEST_CASE("fusion of many rows, whole and ragged", "", float, double) {
  check<TestType>(two_modalities(), 100, 20, true);
  check<TestType>(two_modalities(), 1009, 4, false);
  check<TestType>(three_modalities(), 1009, 1, true);
  // More warps than blocks of one warp are made for.
  check<TestType>(random_plan(4, 3, 4, 3, 12), 3001, 2, true);
  check<TestType>(random_plan(5, 3, 4, 3, 13), 2203, 3, true);
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
}

TEMPLATE_TEST_CASE("kernels agree with the CPU, also far from ordinary scales", "", float,
                   double) {
  using T = TestType;
  constexpr int latent = 8;
  for (Made made : plans()) {
    for (Product& p : made.products) p.link.floor = 0;
    auto problem = problem_of<T>(made, 33, latent, true);
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
          if (dim == 6 && e % 2 == 1) raw = T(1e5);
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
    INFO(made.name);
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

namespace {

/// One kernel's result, the same in every order, in an array that begins with `old`.
template <class T, class F>
std::vector<T> result_of(const std::vector<T>& old, std::size_t offset, F&& run) {
  On on;
  return same_in_every_order([&] {
    Placed<T> array(old, offset);
    run(array.data(), on);
    return array.read(on);
  });
}
template <class T>
std::vector<T> unwritten(std::size_t n) {
  return std::vector<T>(n, std::numeric_limits<T>::quiet_NaN());
}

/// Rows of `latent` locations and as many log-precisions, and where element (row, dim) is.
struct Grid {
  int rows, latent;
  std::size_t size() const { return 2 * static_cast<std::size_t>(rows * latent); }
  template <class F>
  void each(F&& f) const {
    for (int row = 0; row < rows; ++row)
      for (int dim = 0; dim < latent; ++dim)
        f(static_cast<std::size_t>(row), static_cast<std::size_t>(row * 2 * latent + dim),
          static_cast<std::size_t>(row * 2 * latent + latent + dim),
          static_cast<std::size_t>(row * latent + dim));
  }
};

template <class T>
Moments moments(const std::vector<T>& normal, std::size_t location, std::size_t scale) {
  return {static_cast<double>(normal[location]), std::exp(-static_cast<double>(normal[scale]))};
}

template <class T>
void check_link(const Grid& grid, ScaleLink link, std::size_t offset) {
  const auto x = normals<T>(grid.size(), 1), g = normals<T>(grid.size(), 2),
             old = normals<T>(grid.size(), 3);
  Placed<T> dx(x, offset), dg(g, offset);
  std::vector<double> value(grid.size()), gradient(old.begin(), old.end());
  grid.each([&](std::size_t, std::size_t m, std::size_t l, std::size_t) {
    const double r = static_cast<double>(x[l]);
    value[m] = static_cast<double>(x[m]);
    value[l] = -std::log(expert_of(0, r, link).variance);
    gradient[m] += static_cast<double>(g[m]);
    gradient[l] -= static_cast<double>(g[l]) * (link.variance ? 1 : 2) / (1 + std::exp(-r)) /
                   (softplus(r) + link.floor);
  });
  const auto got = result_of(unwritten<T>(grid.size()), offset, [&](T* y, On& on) {
    gaussian::to_log_precision<T>(dx.data(), grid.rows, grid.latent, link, y, on);
  });
  require_close(got, value, tolerance<T>(1), "log-precision");
  const auto slope = result_of(old, offset, [&](T* y, On& on) {
    gaussian::to_log_precision_gradient<T>(dx.data(), dg.data(), grid.rows, grid.latent, link, y,
                                           on);
  });
  require_close(slope, gradient, tolerance<T>(1), "gradient of log-precision");
}

template <class T>
void check_product(const Grid& grid, int factors, bool with_prior, bool masked,
                   std::size_t offset) {
  Problem<T> p = problem_of<T>(random_plan(factors, 1, 0, 0, 1), grid.rows, grid.latent, masked);
  const auto g = normals<T>(grid.size(), 7);
  const auto observed = [&](std::size_t row, std::size_t e) {
    return !masked || p.observed[row * p.experts.size() + e] != 0;
  };
  std::vector<double> value(grid.size());
  Lists<double> gradients;
  for (const auto& list : p.old) gradients.emplace_back(list.begin(), list.end());
  grid.each([&](std::size_t row, std::size_t m, std::size_t l, std::size_t) {
    double precision = with_prior ? 1 : 0, weighted = 0;
    for (std::size_t e = 0; e < p.experts.size(); ++e) {
      if (!observed(row, e)) continue;
      const Moments one = moments(p.experts[e], m, l);
      precision += 1 / one.variance;
      weighted += one.mean / one.variance;
    }
    if (precision == 0) return;
    value[m] = weighted / precision;
    value[l] = std::log(precision);
    for (std::size_t e = 0; e < p.experts.size(); ++e) {
      if (!observed(row, e)) continue;
      const Moments one = moments(p.experts[e], m, l);
      const double w = 1 / one.variance / precision;
      gradients[e][m] += w * static_cast<double>(g[m]);
      gradients[e][l] +=
          w * ((one.mean - value[m]) * static_cast<double>(g[m]) + static_cast<double>(g[l]));
    }
  });
  const ListsOnDevice<T> experts(p.experts, offset);
  const OnDevice<std::uint8_t> mask(p.observed);
  const std::uint8_t* const seen = masked ? mask.data() : nullptr;
  const auto got = result_of(unwritten<T>(grid.size()), offset, [&](T* y, On& on) {
    gaussian::product<T>(experts.values(), seen, with_prior, grid.rows, grid.latent, y, on);
  });
  require_close(got, value, tolerance<T>(factors), "product");

  Placed<T> posterior(got, offset), dg(g, offset);
  if (factors > 1) {  // nobody wants this gradient
    p.old[0].clear();
    gradients[0].clear();
  }
  const auto slopes = same_in_every_order([&] {
    On on;
    const ListsOnDevice<T> sinks(p.old, offset);
    gaussian::product_gradient<T>(experts.values(), seen, posterior.data(), dg.data(), grid.rows,
                                  grid.latent, sinks.pointers(), on);
    return join(sinks.read(on));
  });
  require_close(slopes, join(gradients), tolerance<T>(factors), "gradient of product");
}

template <class T>
void check_divergence(const Grid& grid, bool to_prior, std::size_t offset) {
  const auto q = normals<T>(grid.size(), 1), p = normals<T>(grid.size(), 2);
  const auto weight = normals<T>(static_cast<std::size_t>(grid.rows), 3);
  const auto old = normals<T>(grid.size(), 4);
  std::vector<double> value(weight.size()), by_q(old.begin(), old.end()), by_p = by_q;
  grid.each([&](std::size_t row, std::size_t m, std::size_t l, std::size_t) {
    const Moments from = moments(q, m, l), to = to_prior ? Moments{} : moments(p, m, l);
    const double w = static_cast<double>(weight[row]), d = from.mean - to.mean;
    value[row] += kl(from, to);
    by_q[m] += w * d / to.variance;
    by_q[l] += w * (0.5 - 0.5 * from.variance / to.variance);
    by_p[m] -= w * d / to.variance;
    by_p[l] += w * 0.5 * ((from.variance + d * d) / to.variance - 1);
  });
  Placed<T> dq(q, offset), dp(p, offset), dw(weight, offset);
  const T* const target = to_prior ? nullptr : dp.data();
  const auto got = result_of(unwritten<T>(weight.size()), offset, [&](T* y, On& on) {
    gaussian::divergence_rows<T>(dq.data(), target, grid.rows, grid.latent, y, on);
  });
  require_close(got, value, tolerance<T>(grid.latent), "divergence");
  const auto first = result_of(old, offset, [&](T* y, On& on) {
    gaussian::divergence_rows_gradient<T>(dq.data(), target, dw.data(), grid.rows, grid.latent, y,
                                          nullptr, on);
  });
  require_close(first, by_q, tolerance<T>(1), "gradient of divergence");
  if (to_prior) return;
  // Both at once; the result is the second.
  const auto second = result_of(old, offset, [&](T* y, On& on) {
    Placed<T> other(old, offset);
    gaussian::divergence_rows_gradient<T>(dq.data(), target, dw.data(), grid.rows, grid.latent,
                                          other.data(), y, on);
    REQUIRE(other.read(on) == first);
  });
  require_close(second, by_p, tolerance<T>(1), "gradient of the target");
}

template <class T>
void check_sample(const Grid& grid, std::size_t offset) {
  const auto q = normals<T>(grid.size(), 1), old = normals<T>(grid.size(), 2);
  const auto g = normals<T>(grid.size() / 2, 3);
  const Random random{4, 5, 6};
  const int first_row = 11;
  std::vector<double> value(g.size()), gradient(old.begin(), old.end());
  grid.each([&](std::size_t row, std::size_t m, std::size_t l, std::size_t i) {
    const Moments from = moments(q, m, l);
    const std::uint64_t element = (first_row + row) * static_cast<std::size_t>(grid.latent) + i -
                                  row * static_cast<std::size_t>(grid.latent);
    const double noise = std::sqrt(from.variance) * normal_of<T>(random, element);
    value[i] = from.mean + noise;
    gradient[m] += static_cast<double>(g[i]);
    gradient[l] -= 0.5 * noise * static_cast<double>(g[i]);
  });
  Placed<T> dq(q, offset), dg(g, offset);
  const auto z = result_of(unwritten<T>(g.size()), offset, [&](T* y, On& on) {
    gaussian::sample<T>(dq.data(), random, first_row, grid.rows, grid.latent, y, on);
  });
  require_close(z, value, tolerance<T>(1), "sample");
  Placed<T> dz(z, offset);
  const auto slope = result_of(old, offset, [&](T* y, On& on) {
    gaussian::sample_gradient<T>(dq.data(), dz.data(), dg.data(), grid.rows, grid.latent, y, on);
  });
  require_close(slope, gradient, tolerance<T>(1), "gradient of sample");
}

template <class T>
void check_log_mean_exp(int rows, int count, double scale, std::size_t offset) {
  INFO(rows << " rows of " << count << ", scale " << scale << ", offset " << offset);
  const auto n = static_cast<std::size_t>(rows), k = static_cast<std::size_t>(count);
  const auto x = normals<T>(n * k, 1, scale), weight = normals<T>(n, 2), old = normals<T>(n * k, 3);
  std::vector<double> value(n), gradient(old.begin(), old.end());
  for (std::size_t row = 0; row < n; ++row) {
    long double sum = 0;  // its range is enough without taking the largest out
    for (std::size_t i = 0; i < k; ++i) sum += std::exp(static_cast<long double>(x[row * k + i]));
    value[row] = static_cast<double>(std::log(sum / count));
    for (std::size_t i = 0; i < k; ++i)
      gradient[row * k + i] += static_cast<double>(
          weight[row] * std::exp(static_cast<long double>(x[row * k + i])) / sum);
  }
  Placed<T> dx(x, offset), dw(weight, offset);
  const auto got = result_of(unwritten<T>(n), offset, [&](T* y, On& on) {
    gaussian::log_mean_exp<T>(dx.data(), rows, count, y, on);
  });
  require_close(got, value, tolerance<T>(1), "log-mean-exp");
  Placed<T> dy(got, offset);
  const auto slope = result_of(old, offset, [&](T* y, On& on) {
    gaussian::log_mean_exp_gradient<T>(dx.data(), dy.data(), dw.data(), rows, count, y, on);
  });
  // The result is rounded relative to its size, and e is taken of it.
  require_close(slope, gradient, tolerance<T>(1) * (1 + scale), "gradient of log-mean-exp");
}

}  // namespace

TEMPLATE_TEST_CASE("single operations agree with the textbook", "", float, double) {
  int turn = 0;
  for (const int latent : latents) {
    const Grid grid{turn % 2 == 0 ? 3 : 33, latent};
    const std::size_t offset = turn % 3 == 2 ? 1 : 0;
    INFO(grid.rows << " rows, " << latent << " dimensions, offset " << offset);
    check_link<TestType>(grid, {1e-6, turn % 2 == 1}, offset);
    check_product<TestType>(grid, 1 + turn % 5, turn % 2 == 1, turn % 4 >= 2, offset);
    check_divergence<TestType>(grid, turn % 2 == 1, offset);
    check_divergence<TestType>(grid, turn % 2 == 0, offset);
    check_sample<TestType>(grid, offset);
    ++turn;
  }
  check_product<TestType>({5, 12}, 32, true, true, 0);
  check_sample<TestType>({1009, 20}, 0);
  check_divergence<TestType>({4001, 8}, false, 0);
}

TEMPLATE_TEST_CASE("a product of one factor is that factor, bit by bit", "", float, double) {
  const auto x = normals<TestType>(2 * 5 * 12, 1, 30);
  const OnDevice<TestType> factor(x);
  const TestType* const factors[] = {factor.data()};
  const auto got = result_of(unwritten<TestType>(x.size()), 0, [&](TestType* y, On& on) {
    gaussian::product<TestType>(factors, nullptr, false, 5, 12, y, on);
  });
  CHECK(got == x);
}

TEMPLATE_TEST_CASE("log-mean-exp of rows", "", float, double) {
  for (const int count : {1, 2, 3, 31, 32, 33, 64, 100, 1009})
    for (const double scale : {1.0, 300.0})
      check_log_mean_exp<TestType>(count < 64 ? 33 : 4, count, scale, count % 2 == 0 ? 0 : 1);
  check_log_mean_exp<TestType>(1, 4096, 1, 0);
  check_log_mean_exp<TestType>(1009, 4, 1, 1);
}

TEMPLATE_TEST_CASE("log-mean-exp of numbers that are not finite", "", float, double) {
  constexpr TestType inf = std::numeric_limits<TestType>::infinity();
  const std::vector<TestType> x{-inf, -inf, -inf, 0, -inf, std::log(TestType(2)),  //
                                -inf, inf,  inf,  1, inf,  2};
  const OnDevice<TestType> dx(x), weight(std::vector<TestType>(4, 3));
  const auto got = result_of(unwritten<TestType>(4), 0, [&](TestType* y, On& on) {
    gaussian::log_mean_exp<TestType>(dx.data(), 4, 3, y, on);
  });
  CHECK(got[0] == -inf);
  CHECK(got[1] == Approx(0).margin(1e-6));
  CHECK(got[2] == inf);
  CHECK(got[3] == inf);
  const OnDevice<TestType> dy(got);
  const auto slope = result_of(std::vector<TestType>(12, 1), 0, [&](TestType* y, On& on) {
    gaussian::log_mean_exp_gradient<TestType>(dx.data(), dy.data(), weight.data(), 4, 3, y, on);
  });
  const std::vector<double> want{1, 1, 1, 2, 1, 3, 1, 1, 1, 1, 1, 1};
  require_close(slope, want, tolerance<TestType>(1));
}
