// SPDX-License-Identifier: MIT
// Particles of a mixture of posteriors, and estimates of log p(x) from them: what MMVAE trains on.
//
//   Cloud cloud = draw<L>(ctx, components, plan, prior);
//   ... decode cloud.z, log_likelihood() of every observed modality ...
//   estimate(ctx, cloud, decoded, weight);   // sets the gradients of the log-likelihoods
//   ctx.tape.backward();                     // decoders, then cloud, then encoders
#pragma once

#include <poe/autograd/context.hpp>
#include <poe/particles/cloud_cpu.hpp>
#include <poe/particles/weights.hpp>

namespace poe::particles {

/// How a cloud is drawn.
struct CloudPlan {
  std::span<const int> numbers;  // of the components: noise streams first_stream + number K + k
  int particles = 1;             // K, of each component
  Distribution distribution = Distribution::normal;
  Estimator estimator = Estimator::iwae;  // what it is for: says which densities are needed
  std::uint32_t first_stream = 0;
};

/// Memory of the caller for numbers of every component and row: component c, row r at
/// data[c * stride + r]. Null: memory that ends with the pass, or segment.
template <class T>
struct PerComponent {
  T* data = nullptr;
  std::ptrdiff_t stride = 0;
};

/// Particles and what an estimate needs to know of them. A handle, like a variable.
template <class T, int L, class D = Cpu>
struct Cloud {
  Variable<T, Shape<L>, D> z;  // (C K rows): by component, then particle, then row
  int components = 0, particles = 0, rows = 0;
  Rule rule{};
  CloudMemory<T> memory{};
  Coefficients<T>* coefficients = nullptr;  // null: no gradient is wanted
};

/// z ~ q_c(z | x_r), K times for every component c and row r.
///
/// components: C x (rows, 2 L), location and l = -2 log scale (see components()); rows of larger
///             batches, so that a batch can be taken in chunks. Row 0 is row ctx.first_row of the
///             random streams.
/// prior:      l of a prior with location 0 (see learnt_prior()); without one all its scales are 1
/// divergence: where KL(q_c || p) of an estimator without importance weights is written
/// Gradients of z, and those that estimate() finds, reach the components and the prior when the
/// tape runs backwards. Fails if batch sizes or counts do not agree.
template <int L, class T, class D>
Cloud<T, L, D> draw(Context<T, D>& ctx,
                    std::type_identity_t<std::span<const Rows<T, Shape<2 * L>, D>>> components,
                    const CloudPlan& plan,
                    std::type_identity_t<Variable<T, Shape<L>, D>> prior = {},
                    std::type_identity_t<PerComponent<T>> divergence = {}) {
  const int count = static_cast<int>(components.size());
  expect(count > 0 && count <= most_components, "draw: expected 1 to {} components, got {}",
         most_components, count);
  expect(plan.numbers.size() == components.size(), "draw: {} components, but {} numbers", count,
         plan.numbers.size());
  expect(plan.particles > 0, "draw: expected at least one particle, got {}", plan.particles);
  expect(prior.value == nullptr || prior.rows == 1, "draw: expected a prior of one row, got {}",
         prior.rows);
  const int rows = components[0].count;
  bool differentiable = false;
  for (const auto& c : components) {
    expect(c.count == rows, "draw: components of {} and {} samples", rows, c.count);
    differentiable = differentiable || c.of.differentiable();
  }
  const std::ptrdiff_t samples = static_cast<std::ptrdiff_t>(count) * plan.particles * rows;
  expect(samples <= std::numeric_limits<int>::max() / L,
         "draw: {} samples of {} dimensions are too many at once: take fewer rows", samples, L);

  Arena& arena = ctx.arena();
  const auto n = static_cast<std::size_t>(samples);
  auto* const from = arena.template take<Rows<T, Shape<2 * L>, D>>(components.size());
  auto** const values = arena.template take<const T*>(components.size());
  for (std::size_t c = 0; c < components.size(); ++c) {
    new (from + c) Rows<T, Shape<2 * L>, D>(components[c]);
    values[c] = components[c].of.value + components[c].offset();
  }
  Cloud<T, L, D> cloud;
  cloud.components = count, cloud.particles = plan.particles, cloud.rows = rows;
  cloud.rule = rule_of(plan.estimator);
  cloud.z = ctx.tape.template make<Shape<L>>(static_cast<int>(n), differentiable);
  CloudMemory<T>& m = cloud.memory;
  m.rows = rows, m.latent = L, m.particles = plan.particles, m.distribution = plan.distribution;
  m.components = {values, components.size()};
  m.prior = prior.value;
  m.z = cloud.z.value;
  if (cloud.rule.importance) m.log_prior = ctx.template take_values<T>(n);
  if (cloud.rule.importance || cloud.rule.ratios)
    m.log_q = ctx.template take_values<T>(n * components.size());
  if (!cloud.rule.importance) {
    m.divergence = divergence.data;
    m.divergence_stride = divergence.stride;
    if (m.divergence == nullptr) {
      m.divergence =
          ctx.template take_values<T>(static_cast<std::size_t>(rows) * components.size());
      m.divergence_stride = rows;
    }
  }
  draw_cloud<L>(m, Noise{ctx.random, plan.first_stream, plan.numbers, ctx.first_row},
                ctx.executor());

  if (!ctx.tape.recording) return cloud;
  cloud.coefficients = new (arena.template take<Coefficients<T>>(1)) Coefficients<T>{};
  ctx.tape.record_always([=, &arena, on = &ctx.executor()] {
    CloudGradients<T> by;
    by.by = *cloud.coefficients;
    if (cloud.z.differentiable() && cloud.z.gradient->written) by.z = cloud.z.gradient->data;
    const bool estimated = by.by.by_log_q != nullptr || by.by.by_divergence != T(0);
    if (by.z == nullptr && !estimated) return;
    Scratch<Cpu> scratch(arena);
    T** const sinks = scratch.take<T*>(static_cast<std::size_t>(cloud.components));
    for (int c = 0; c < cloud.components; ++c) sinks[c] = add_sink(from[c], *on);
    by.components = {sinks, static_cast<std::size_t>(cloud.components)};
    if (estimated && prior.differentiable()) by.prior = add_sink(Rows(prior), *on);
    spread_cloud<L>(cloud.memory, by, *on);
  });
  return cloud;
}

/// log p_d(x_d | z) of one observed modality, as log_likelihood() made it after the cloud was
/// drawn, and its weight lambda_d.
template <class T, class D = Cpu>
struct Decoded {
  static constexpr int all = -1;
  Variable<T, Scalar, D> log_p;
  double lambda = 1;
  int component = all;  // the one component whose particles were decoded: (K rows) values
};

/// What an estimate found; arrays on the device of the tape.
template <class T>
struct Estimate {
  const T* rows = nullptr;       // the estimate of log p(x) of every row
  PerComponent<T> divergence{};  // KL(q_c || p) of estimators without importance weights, or null
};

/// Estimates log p(x) of every row of a cloud, and starts its backward pass: the gradients of the
/// log-likelihoods are set here, and the cloud learns what to add to those that come back through
/// z. For elbo_published every modality is decoded from one component, its own; for the others from
/// all.
///
/// weight: derivative of the loss by the estimate of a row, -1 / batch for a mean of losses
/// divergence_weight: of KL(q_c || p) in estimators without importance weights
/// out: (rows), where the estimates are written; null: memory that ends with the pass, or segment
template <int L, class T, class D>
Estimate<T> estimate(Context<T, D>& ctx, const Cloud<T, L, D>& cloud,
                     std::type_identity_t<std::span<const Decoded<T, D>>> decoded,
                     std::type_identity_t<T> weight, std::type_identity_t<T> divergence_weight = 1,
                     T* out = nullptr) {
  expect(decoded.size() <= static_cast<std::size_t>(most_components),
         "estimate: at most {} modalities, got {}", most_components, decoded.size());
  const CloudMemory<T>& m = cloud.memory;
  EstimateMemory<T> a;
  a.rule = cloud.rule;
  a.rows = cloud.rows, a.components = cloud.components, a.particles = cloud.particles;
  a.log_prior = m.log_prior, a.log_q = m.log_q;
  a.divergence = m.divergence, a.divergence_stride = m.divergence_stride;
  a.weight = weight, a.divergence_weight = divergence_weight;
  a.estimate =
      out != nullptr ? out : ctx.template take_values<T>(static_cast<std::size_t>(cloud.rows));
  for (const Decoded<T, D>& d : decoded) {
    const bool all = d.component == Decoded<T, D>::all;
    expect(all != cloud.rule.ratios && d.component < cloud.components,
           "estimate: a modality decoded from component {} of {}; this estimator expects {}",
           d.component, cloud.components, cloud.rule.ratios ? "one component" : "all (-1)");
    const int first = all ? 0 : d.component * cloud.particles;
    const int count = all ? cloud.components * cloud.particles : cloud.particles;
    expect(d.log_p.rows == count * cloud.rows, "estimate: {} log-likelihoods of {} samples",
           d.log_p.rows, count * cloud.rows);
    a.scored[a.scored_count++] = {d.log_p.value, sink(d.log_p), static_cast<T>(d.lambda), first,
                                  count};
  }
  if (cloud.coefficients != nullptr) {
    const auto n = static_cast<std::size_t>(cloud.components) *
                   static_cast<std::size_t>(cloud.particles) * static_cast<std::size_t>(cloud.rows);
    const auto components = static_cast<std::size_t>(cloud.components);
    const T c = static_cast<T>(cloud.components);
    if (a.rule.importance) a.share = ctx.template take_values<T>(n);
    if (a.rule.importance || a.rule.ratios)
      a.by_log_q = ctx.template take_values<T>(n * components);
    *cloud.coefficients = {a.rule, a.share, a.by_log_q, a.rule.per_component ? weight / c : weight,
                           a.rule.importance ? T(0) : -weight * divergence_weight / c};
  }
  estimate_rows<T>(a, ctx.executor());
  return {a.estimate, {m.divergence, m.divergence_stride}};
}

}  // namespace poe::particles
