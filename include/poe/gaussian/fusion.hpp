// SPDX-License-Identifier: MIT
// The fused Gaussian operation: experts -> posteriors -> divergences and samples, in one pass each
// way.
#pragma once

#include <algorithm>
#include <cmath>

#include <poe/autograd/context.hpp>
#include <poe/gaussian/fusion_cpu.hpp>

namespace poe::gaussian {

/// What it computed. Arrays live in the arena, in the order of the plan.
template <class T, int L, class D = Cpu>
struct Fused {
  std::span<const Variable<T, Shape<2 * L>, D>> posteriors;  // location, then log-precision
  std::span<const Variable<T, Scalar, D>> divergences;       // summed over dimensions
  std::span<const Variable<T, Shape<L>, D>> samples;
};

namespace detail {

/// The GPU's implementation takes the latent size as a number.
template <int L, class T>
void fuse_values(const Plan& plan, const FusionMemory<T>& memory, const Random& random,
                 int first_row, Executor<Cuda>& on) {
  gaussian::fuse_values<T>(plan, memory, random, first_row, on);
}
template <int L, class T>
void fuse_gradients(const Plan& plan, const FusionMemory<T>& memory,
                    const FusionGradients<T>& gradients, Executor<Cuda>& on) {
  gaussian::fuse_gradients<T>(plan, memory, gradients, on);
}

}  // namespace detail

/// Precision-weighted fusion (paper, eq. 3-5) and everything an objective wants to know of its
/// results.
///
/// Experts: E x (B, 2 L), location and raw scale as an encoder's GaussianHead makes them.
///
/// Observed: (B, E), 0 where the expert is missing for a sample; null: all observed. It lies in the
/// memory of the tape's device and is kept until after the backward pass. A missing expert takes no
/// part and gets zero gradient; a product none of whose experts is observed is the prior N(0, I).
///
/// -> posteriors (B, 2 L), divergences (B), samples (B, L). Gradients reach every observed expert.
/// Fails if batch sizes differ or the plan names an expert or product that does not exist.
template <int L, class T, class D>
Fused<T, L, D> fuse(Context<T, D>& ctx, std::span<const Rows<T, Shape<2 * L>, D>> experts,
                    const Plan& plan, const std::uint8_t* observed = nullptr) {
  using Posterior = Variable<T, Shape<2 * L>, D>;
  const int count = static_cast<int>(experts.size());
  expect(count <= max_experts, "fuse: at most {} experts, got {}", max_experts, count);
  const int rows = count == 0 ? 0 : experts[0].count;
  bool differentiable = false;
  for (const auto& e : experts) {
    expect(e.count == rows, "fuse: experts of {} and {} samples", rows, e.count);
    differentiable = differentiable || e.of.differentiable();
  }
  for (const Product& p : plan.products)
    expect(count == max_experts || p.experts >> count == 0,
           "fuse: a product of experts {:#b}, but there are {}", p.experts, count);
  for (const Product& p : plan.products) {
    expect((p.shared & ~p.experts) == 0, "fuse: a product of experts {:#b} shares experts {:#b}",
           p.experts, p.shared);
    expect(p.share > 0 && std::isfinite(p.share), "fuse: experts to the power 1 / {}", p.share);
  }
  const int products = static_cast<int>(plan.products.size());
  for (const Divergence& k : plan.divergences)
    expect(k.from >= 0 && k.from < products && k.to >= prior && k.to < products,
           "fuse: KL from product {} to {}, but there are {}", k.from, k.to, products);
  for (const Draw& s : plan.draws)
    expect(s.product >= 0 && s.product < products, "fuse: a sample of product {}, but there are {}",
           s.product, products);

  Arena& arena = ctx.arena();
  const auto keep = [&]<class V>(std::span<V> from) {
    auto* const to = arena.template take<std::remove_const_t<V>>(from.size());
    std::copy(from.begin(), from.end(), to);
    return std::span<V>(to, from.size());
  };
  const auto make = [&]<class V>(std::size_t n, V) {
    V* const v = arena.template take<V>(n);
    for (std::size_t i = 0; i < n; ++i)
      v[i] = ctx.tape.template make<typename V::Sample>(rows, differentiable);
    return std::span<const V>(v, n);
  };
  const auto e = keep(experts);
  const Plan todo{keep(plan.products), keep(plan.divergences), keep(plan.draws)};
  const auto posterior = make(todo.products.size(), Posterior{});
  const auto kl = make(todo.divergences.size(), Variable<T, Scalar, D>{});
  const auto sample = make(todo.draws.size(), Variable<T, Shape<L>, D>{});

  // The same once more, as the plain pointers that both back ends work on.
  const auto pointers = [&](const auto& variables, auto&& pointer) {
    using P = decltype(pointer(variables[0]));
    P* const to = arena.template take<P>(variables.size());
    for (std::size_t i = 0; i < variables.size(); ++i) to[i] = pointer(variables[i]);
    return std::span<P const>(to, variables.size());
  };
  const auto value = [](const auto& v) { return v.value; };
  const FusionMemory<T> memory{
      rows,
      L,
      pointers(e, [](const auto& v) -> const T* { return v.of.value + v.offset(); }),
      observed,
      pointers(posterior, value),
      pointers(kl, value),
      pointers(sample, value)};
  detail::fuse_values<L>(todo, memory, ctx.random, ctx.first_row, ctx.executor());

  if (differentiable)
    ctx.tape.record_always([=, &arena, on = &ctx.executor()] {
      Scratch<Cpu> scratch(arena);
      const auto slots = [&](const auto& variables) {
        const T** const to = scratch.take<const T*>(variables.size());
        bool any = false;
        for (std::size_t i = 0; i < variables.size(); ++i) {
          const Gradient<T>& g = *variables[i].gradient;
          to[i] = g.written ? g.data : nullptr;
          any = any || g.written;
        }
        return std::pair{std::span<const T* const>(to, variables.size()), any};
      };
      const auto [of_posteriors, any_posterior] = slots(posterior);
      const auto [of_divergences, any_divergence] = slots(kl);
      const auto [of_samples, any_sample] = slots(sample);
      if (!any_posterior && !any_divergence && !any_sample) return;
      T** const out = scratch.take<T*>(e.size());
      for (std::size_t i = 0; i < e.size(); ++i) out[i] = add_sink(e[i], *on);
      detail::fuse_gradients<L>(todo, memory,
                                {of_posteriors, of_divergences, of_samples, {out, e.size()}}, *on);
    });
  return {posterior, kl, sample};
}

}  // namespace poe::gaussian
