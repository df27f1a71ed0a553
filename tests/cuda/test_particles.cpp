// SPDX-License-Identifier: MIT
// Clouds of particles on the GPU: what the CPU computes, which has textbook tests of its own
// (tests/test_particles_gradients.cpp), in every order of threads, chunk by chunk and in graphs.
#include <poe/autograd/linear.hpp>
#include <poe/autograd/rearrange.hpp>
#include <poe/particles/cloud.hpp>
#include <poe/particles/scale.hpp>

#include <memory>

#include "placed.hpp"

namespace {

using namespace poe;
using namespace poe::particles;
using poe::test::normals, poe::test::require_close;

struct Case {
  int components = 1, particles = 1, rows = 1;
  Estimator estimator = Estimator::iwae;
  Distribution distribution = Distribution::normal;
  bool with_prior = true, softmax = false;
  int chunk = 1 << 20;     // rows of a segment
  std::size_t offset = 0;  // numbers between an aligned address and each operand
  std::uint32_t step = 9;
};

/// Operands and results on a device: experts, parameters, and their gradients.
template <class T, int L, class D>
class Model {
 public:
  explicit Model(const Case& c) : case_(c) {
    const auto expert = static_cast<std::size_t>(c.rows * 2 * L);
    for (int i = 0; i < c.components; ++i) experts_.push_back(put(normals<T>(expert, id(i, 0))));
    // Weights and bias of a linear decoder for each component, then the prior's parameters.
    parameters_ = put(normals<T>(weights() * experts_.size() + L, 500, 0.3));
    gradients_ = put(std::vector<T>(weights() * experts_.size() + L, T(0.25)));
    values_ = put(std::vector<T>(static_cast<std::size_t>(c.rows), T(-7)));
    divergences_ = put(std::vector<T>(static_cast<std::size_t>(c.rows * c.components), T(-7)));
    for (int i = 0; i < c.components; ++i) {
      numbers_.push_back(3 * i + 1);
      by_experts_.push_back(put(std::vector<T>(expert, T(-7))));
    }
  }

  /// One pass, in segments; gradients of experts are copied to memory that outlives it.
  void pass(Tape<T, D>& tape) {
    tape.reset();
    Executor<D>& on = tape.executor();
    Context<T, D> ctx{.tape = tape, .random = {21, 0, case_.step}};
    const auto all = experts_.size();
    std::vector<Variable<T, Shape<2 * L>, D>> raw, linked;
    for (const auto& e : experts_) {
      raw.push_back(tape.leaf(View<T, Shape<2 * L>, D>{at(e), case_.rows}));
      linked.push_back(components<L>(ctx, Rows(raw.back()), {case_.softmax, 1e-3}));
    }
    const auto prior = case_.with_prior ? learnt_prior<L>(ctx, parameter(weights() * all))
                                        : Variable<T, Shape<L>, D>{};
    for (int first = 0; first < case_.rows; first += case_.chunk)
      tape.segment([&] { chunk(ctx, linked, prior, first); });
    tape.backward();
    for (std::size_t i = 0; i < all; ++i)
      pass_on(raw[i].count(), static_cast<const T*>(add_sink(Rows(raw[i]), on)),
              Sink<T>{at(by_experts_[i])}, on);
  }

  std::vector<T> results(Executor<D>& on) const {
    std::vector<T> joined;
    const auto add = [&](const Array& a) {
      std::vector<T> part(a->size());
      if constexpr (std::is_same_v<D, Cpu>)
        part.assign(a->begin(), a->end());
      else
        cuda::download(part.data(), a->data(), part.size() * sizeof(T), on.stream());
      joined.insert(joined.end(), part.begin() + static_cast<std::ptrdiff_t>(case_.offset),
                    part.end());
    };
    add(values_);
    add(divergences_);
    add(gradients_);
    for (const auto& a : by_experts_) add(a);
    return joined;
  }

 private:
  using Array = std::unique_ptr<Buffer<T, D>>;
  static constexpr std::size_t weights() { return L + 1; }
  static std::uint32_t id(int i, int j) { return static_cast<std::uint32_t>(100 * j + i + 1); }

  Array put(const std::vector<T>& values) const {
    auto a = std::make_unique<Buffer<T, D>>(values.size() + case_.offset);
    if constexpr (std::is_same_v<D, Cpu>) {
      std::copy(values.begin(), values.end(), a->data() + case_.offset);
    } else {
      cuda::upload(a->data() + case_.offset, values.data(), values.size() * sizeof(T), nullptr);
      cuda::synchronise(nullptr);
    }
    return a;
  }
  T* at(const Array& a) const { return a->data() + case_.offset; }
  Parameter<T> parameter(std::size_t i) const { return {at(parameters_) + i, at(gradients_) + i}; }

  void chunk(Context<T, D> ctx, const std::vector<Variable<T, Shape<2 * L>, D>>& linked,
             const Variable<T, Shape<L>, D>& prior, int first) {
    const int rows = std::min(case_.chunk, case_.rows - first), K = case_.particles;
    ctx.first_row = 2 + first;
    std::vector<Rows<T, Shape<2 * L>, D>> part;
    for (const auto& q : linked) part.push_back({q, first, rows});
    const auto cloud =
        draw<L>(ctx, part, {numbers_, K, case_.distribution, case_.estimator, 1U << 24}, prior,
                {at(divergences_) + first, case_.rows});
    const bool own = case_.estimator == Estimator::elbo_published;
    std::vector<Decoded<T, D>> decoded(linked.size());
    std::vector<Variable<T, Shape<L>, D>> codes;  // a copy for each decoder: they may run together
    for (int d = 0; d < case_.components; ++d) {
      const Rows<T, Shape<L>, D> some[] = {
          own ? Rows<T, Shape<L>, D>(cloud.z, d * K * rows, K * rows)
              : Rows<T, Shape<L>, D>(cloud.z)};
      codes.push_back(concat_rows(ctx, std::span<const Rows<T, Shape<L>, D>>(some)));
    }
    ctx.tape.parallel(case_.components, [&](int d) {
      const std::size_t i = static_cast<std::size_t>(d), weight = weights() * i;
      const auto y = convolve<Shape<1>>(ctx, linear_window(L, 1), codes[i], parameter(weight),
                                        parameter(weight + L));
      decoded[i] = {{y.value, y.gradient, y.rows}, 0.5 + d, own ? d : Decoded<T, D>::all};
    });
    estimate(ctx, cloud, decoded, T(-0.3), T(0.7), at(values_) + first);
  }

  Case case_;
  std::vector<int> numbers_;
  std::vector<Array> experts_, by_experts_;
  Array parameters_, gradients_, values_, divergences_;
};

template <class T, int L, class D>
std::vector<T> results_of(const Case& c) {
  Model<T, L, D> model(c);
  Tape<T, D> tape;
  model.pass(tape);
  return model.results(tape.executor());
}

/// Both devices round every sum differently: over L dimensions of values of order 1, weighed e^x
/// with x of order L; then over C K particles.
template <class T>
double tolerance(const Case& c, int latent) {
  return 8 * static_cast<double>(std::numeric_limits<T>::epsilon()) * latent *
         std::sqrt(static_cast<double>(c.components * c.particles * c.rows));
}

template <class T, int L>
void check(const Case& c) {
  INFO(name_of(c.estimator) << ", "
                            << (c.distribution == Distribution::laplace ? "laplace" : "normal")
                            << ", C " << c.components << ", K " << c.particles << ", rows "
                            << c.rows << " by " << c.chunk << ", L " << L << ", bytes of T "
                            << sizeof(T) << ", offset " << c.offset);
  const auto want = results_of<T, L, Cpu>(c);
  const auto got = tests::same_in_every_order([&] { return results_of<T, L, Cuda>(c); });
  require_close(got, want, tolerance<T>(c, L));
}

/// All estimators and distributions.
template <class T, int L>
void check_all(Case c) {
  for (const auto& [name, estimator] : estimator_names)
    for (const Distribution distribution : {Distribution::normal, Distribution::laplace}) {
      c.estimator = estimator, c.distribution = distribution;
      check<T, L>(c);
      c.with_prior = !c.with_prior, c.softmax = !c.softmax;
    }
}

struct DestroyGraph {
  void operator()(cuda::GraphHandle* g) const { cuda::destroy(g); }
};

}  // namespace

TEMPLATE_TEST_CASE("clouds on both devices", "[cuda][small]", float, double) {
  using T = TestType;
  check_all<T, 1>({.components = 1, .particles = 1, .rows = 1});
  check_all<T, 5>({.components = 2, .particles = 3, .rows = 5, .chunk = 2});
  check_all<T, 8>({.components = 3, .particles = 2, .rows = 3});
}

TEMPLATE_TEST_CASE("ragged clouds", "[cuda]", float, double) {
  using T = TestType;
  check_all<T, 20>({.components = 2, .particles = 17, .rows = 7, .chunk = 4});
  check_all<T, 33>({.components = 5, .particles = 2, .rows = 3, .softmax = true});
  check<T, 131>({.components = 2, .particles = 3, .rows = 4, .estimator = Estimator::dreg});
  check<T, 140>({.components = 2, .particles = 3, .rows = 4, .estimator = Estimator::iwae});
  // Operands that cannot be moved 16 bytes at a time.
  check<T, 8>({.components = 2, .particles = 5, .rows = 6, .offset = 1});
}

// Rows enough for accesses of 16 bytes also on the way back.
TEMPLATE_TEST_CASE("large clouds", "[cuda]", float, double) {
  using T = TestType;
  check<T, 64>({.components = 2, .particles = 2, .rows = 293, .estimator = Estimator::dreg_looser});
  check<T, 64>({.components = 2,
                .particles = 1,
                .rows = 293,
                .estimator = Estimator::elbo_published,
                .distribution = Distribution::laplace});
}

TEMPLATE_TEST_CASE("more components than threads of a row", "[cuda]", float, double) {
  check<TestType, 3>({.components = 32, .particles = 2, .rows = 2});
  check<TestType, 3>({.components = 32, .rows = 2, .estimator = Estimator::elbo});
}

TEST_CASE("a cloud in a graph draws with the step on the device", "[cuda]") {
  for (const auto distribution : {Distribution::normal, Distribution::laplace}) {
    Case c{.components = 2, .particles = 4, .rows = 6, .distribution = distribution, .chunk = 4};
    Tape<float, Cuda> tape;
    Executor<Cuda>& on = tape.executor();
    tests::OnDevice<std::uint32_t> step(std::vector<std::uint32_t>{c.step});
    on.step = step.data();
    {
      Model<float, 4, Cuda> first(c);
      first.pass(tape);  // takes the memory
      cuda::synchronise(on.stream());
    }
    Model<float, 4, Cuda> model(c);
    tape.reset();
    cuda::begin_capture(on.stream());
    model.pass(tape);
    const std::unique_ptr<cuda::GraphHandle, DestroyGraph> graph(cuda::end_capture(on.stream()));
    const std::uint32_t later = 77;
    cuda::upload(step.data(), &later, sizeof later, on.stream());
    cuda::launch(graph.get(), on.stream());
    const auto got = model.results(on);
    c.step = later;
    require_close(got, results_of<float, 4, Cpu>(c), tolerance<float>(c, 4));
  }
}

TEST_CASE("segments on the GPU need the memory of the longest one", "[cuda]") {
  const auto memory = [](int chunk) {
    Model<float, 64, Cuda> model({.components = 2, .particles = 16, .rows = 256, .chunk = chunk});
    Tape<float, Cuda> tape;
    model.pass(tape);
    cuda::synchronise(tape.executor().stream());
    return tape.executor().values().capacity();
  };
  const std::size_t whole = memory(256), some = memory(8);
  INFO(whole << " bytes in one segment, " << some << " in 32");
  CHECK(some < whole / 4);
}
