// SPDX-License-Identifier: MIT
// The fused Gaussian operation: experts -> posteriors -> divergences and samples, in one pass each
// way.
#pragma once

#include <algorithm>
#include <cmath>

#include <poe/autograd/context.hpp>
#include <poe/gaussian/plan.hpp>

namespace poe::gaussian {

/// What it computed. Arrays live in the arena, in the order of the plan.
template <class T, int L, class D = Cpu>
struct Fused {
  std::span<const Variable<T, Shape<2 * L>, D>> posteriors;  // location, then log-precision
  std::span<const Variable<T, Scalar, D>> divergences;       // summed over dimensions
  std::span<const Variable<T, Shape<L>, D>> samples;
};

namespace detail {

/// The arguments of one row, shared by both directions.
template <class T, int L>
struct RowOf {
  const T* expert[max_experts];  // (2 L): location, raw scale
  bool observed[max_experts];
};

/// What the log-precision of expert e is less by in a product that shares it.
template <class T>
T log_share_of(const Product& product, int e) {
  return (product.shared >> e & 1U) == 0 ? T(0) : static_cast<T>(std::log(product.share));
}

/// log_scale of every expert in use, then location and log-precision of every product of one row.
template <class T, int L>
void fuse_row(const RowOf<T, L>& row, int experts, std::span<const Product> products,
              T* const* posterior) {
  for (std::size_t p = 0; p < products.size(); ++p) {
    const Product& product = products[p];
    T* const location = posterior[p];
    T* const a = posterior[p] + L;
    const T floor = static_cast<T>(product.link.floor);
    const T power = product.link.variance ? T(-1) : T(-2);
    int members = 0;
    T l[max_experts][L];
    const T* mu[max_experts];
    for (int e = 0; e < experts; ++e) {
      if ((product.experts >> e & 1U) == 0 || !row.observed[e]) continue;
      const T* const raw = row.expert[e] + L;
      const T less = log_share_of<T>(product, e);
      for (int i = 0; i < L; ++i) l[members][i] = power * log_scale(raw[i], floor) - less;
      mu[members++] = row.expert[e];
    }
    if (members == 0) {  // the product of nothing is the prior
      std::fill(location, location + 2 * L, T(0));
      continue;
    }
    if (members == 1 && !product.prior) {
      std::copy(mu[0], mu[0] + L, location);
      std::copy(l[0], l[0] + L, a);
      continue;
    }
    // log-sum-exp with the largest taken out; the prior expert has location 0 and l = 0.
    T top[L], total[L];
    for (int i = 0; i < L; ++i) top[i] = product.prior ? math::max(T(0), l[0][i]) : l[0][i];
    for (int e = 1; e < members; ++e)
      for (int i = 0; i < L; ++i) top[i] = math::max(top[i], l[e][i]);
    for (int i = 0; i < L; ++i) {
      total[i] = product.prior ? math::exp(-top[i]) : T(0);
      location[i] = T(0);
    }
    for (int e = 0; e < members; ++e)
      for (int i = 0; i < L; ++i) {
        const T w = math::exp(l[e][i] - top[i]);
        total[i] += w;
        location[i] += w * mu[e][i];
      }
    for (int i = 0; i < L; ++i) {
      location[i] /= total[i];
      a[i] = top[i] + math::log(total[i]);
    }
  }
}

/// Gradients of one product's location and log-precision go back to its experts:
///   d location / d mu_e = w_e, d location / d l_e = w_e (mu_e - location), d a / d l_e = w_e, w_e
///   = e^(l_e - a).
template <class T, int L>
void spread_row(const RowOf<T, L>& row, int experts, const Product& product, const T* posterior,
                const T* g, T* const* out) {
  const T floor = static_cast<T>(product.link.floor);
  const T power = product.link.variance ? T(-1) : T(-2);
  const T* const location = posterior;
  const T* const a = posterior + L;
  for (int e = 0; e < experts; ++e) {
    if ((product.experts >> e & 1U) == 0 || !row.observed[e] || out[e] == nullptr) continue;
    const T* const mu = row.expert[e];
    const T* const raw = mu + L;
    T* const to = out[e];
    const T less = log_share_of<T>(product, e);
    for (int i = 0; i < L; ++i) {
      const T s = log_scale(raw[i], floor);
      const T w = math::exp(power * s - less - a[i]);
      to[i] += w * g[i];
      to[L + i] +=
          w * ((mu[i] - location[i]) * g[i] + g[L + i]) * power * log_scale_slope(raw[i], s);
    }
  }
}

/// KL of one row, summed over dimensions. `to` null: the prior.
template <class T, int L>
T divergence_row(const T* from, const T* to) {
  T part[L];
  for (int i = 0; i < L; ++i)
    part[i] = divergence<T>({from[i], from[L + i]},
                            {to == nullptr ? T(0) : to[i], to == nullptr ? T(0) : to[L + i]});
  T sum = 0;
  for (int i = 0; i < L; ++i) sum += part[i];
  return sum;
}

/// Adds weight * d KL to the gradients of both arguments (of the target where given).
template <class T, int L>
void divergence_gradient(const T* from, const T* to, T weight, T* g_from, T* g_to) {
  for (int i = 0; i < L; ++i) {
    const T target = to == nullptr ? T(0) : to[i];
    const T lp = to == nullptr ? T(0) : to[L + i];
    const T precision = math::exp(lp);
    const T ratio = math::exp(lp - from[L + i]);
    const T d = from[i] - target;
    const T slope = weight * d * precision;
    g_from[i] += slope;
    g_from[L + i] += weight * T(0.5) * (T(1) - ratio);
    if (g_to != nullptr) {
      g_to[i] -= slope;
      g_to[L + i] += weight * T(0.5) * (ratio + d * d * precision - T(1));
    }
  }
}

template <class T, int L>
RowOf<T, L> row_of(const FusionMemory<T>& memory, int n) {
  RowOf<T, L> row;
  const auto experts = static_cast<std::ptrdiff_t>(memory.experts.size());
  for (std::ptrdiff_t e = 0; e < experts; ++e) {
    row.expert[e] =
        memory.experts[static_cast<std::size_t>(e)] + static_cast<std::ptrdiff_t>(n) * 2 * L;
    row.observed[e] = memory.observed == nullptr || memory.observed[n * experts + e] != 0;
  }
  return row;
}

/// Results of a fusion on the CPU, row by row.
template <int L, class T>
void fuse_values(const Plan& plan, const FusionMemory<T>& memory, const Random& random,
                 int first_row, Executor<Cpu>& on) {
  Scratch<Cpu> scratch(on.host());
  const auto products = memory.posteriors.size();
  T** const at = scratch.take<T*>(products);
  for (int n = 0; n < memory.rows; ++n) {
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(n) * 2 * L;
    for (std::size_t p = 0; p < products; ++p) at[p] = memory.posteriors[p] + row;
    fuse_row<T, L>(row_of<T, L>(memory, n), static_cast<int>(memory.experts.size()), plan.products,
                   at);
    for (std::size_t k = 0; k < plan.divergences.size(); ++k) {
      const Divergence& d = plan.divergences[k];
      memory.divergences[k][n] =
          divergence_row<T, L>(at[d.from], d.to == prior ? nullptr : at[d.to]);
    }
  }
  for (std::size_t s = 0; s < plan.draws.size(); ++s) {
    const std::size_t count = static_cast<std::size_t>(memory.rows) * L;
    fill_normal(random.with_stream(plan.draws[s].stream), static_cast<std::uint64_t>(first_row) * L,
                std::span<T>(memory.samples[s], count));
    for (int n = 0; n < memory.rows; ++n) {
      const T* const m = memory.posteriors[static_cast<std::size_t>(plan.draws[s].product)] +
                         static_cast<std::ptrdiff_t>(n) * 2 * L;
      T* const z = memory.samples[s] + static_cast<std::ptrdiff_t>(n) * L;
      for (int i = 0; i < L; ++i) z[i] = m[i] + z[i] * math::exp(T(-0.5) * m[L + i]);
    }
  }
}

/// Gradients of the experts on the CPU, row by row.
template <int L, class T>
void fuse_gradients(const Plan& plan, const FusionMemory<T>& memory,
                    const FusionGradients<T>& gradients, Executor<Cpu>& on) {
  Scratch<Cpu> scratch(on.host());
  constexpr std::ptrdiff_t width = 2 * L;
  const auto products = memory.posteriors.size(), experts = memory.experts.size();
  T* const g = scratch.take<T>(products * width);
  bool* const touched = scratch.take<bool>(products);
  for (std::ptrdiff_t n = 0; n < memory.rows; ++n) {
    std::fill(g, g + products * width, T(0));
    std::fill(touched, touched + products, false);
    const auto gradient_of = [&](int p) {
      touched[p] = true;
      return g + p * width;
    };
    const auto value_of = [&](int p) -> const T* {
      return memory.posteriors[static_cast<std::size_t>(p)] + n * width;
    };
    for (std::size_t p = 0; p < products; ++p)
      if (const T* const own = gradients.posteriors[p]; own != nullptr) {
        T* const to = gradient_of(static_cast<int>(p));
        for (std::ptrdiff_t i = 0; i < width; ++i) to[i] += own[n * width + i];
      }
    for (std::size_t k = 0; k < plan.divergences.size(); ++k)
      if (const T* const weight = gradients.divergences[k]; weight != nullptr) {
        const Divergence& d = plan.divergences[k];
        const bool both = d.to != prior && !d.stop_gradient_on_target;
        divergence_gradient<T, L>(value_of(d.from), d.to == prior ? nullptr : value_of(d.to),
                                  weight[n], gradient_of(d.from),
                                  both ? gradient_of(d.to) : nullptr);
      }
    for (std::size_t s = 0; s < plan.draws.size(); ++s)
      if (gradients.samples[s] != nullptr) {
        const T* const gz = gradients.samples[s] + n * L;
        const T* const z = memory.samples[s] + n * L;
        T* const to = gradient_of(plan.draws[s].product);
        const T* const m = value_of(plan.draws[s].product);
        for (int i = 0; i < L; ++i) {  // z = m + e^(-a / 2) epsilon
          to[i] += gz[i];
          to[L + i] -= T(0.5) * (z[i] - m[i]) * gz[i];
        }
      }
    T* here[max_experts];
    for (std::size_t i = 0; i < experts; ++i)
      here[i] = gradients.experts[i] == nullptr ? nullptr : gradients.experts[i] + n * width;
    const auto inputs = row_of<T, L>(memory, static_cast<int>(n));
    for (std::size_t p = 0; p < products; ++p)
      if (touched[p])
        spread_row<T, L>(inputs, static_cast<int>(experts), plan.products[p],
                         value_of(static_cast<int>(p)), g + static_cast<std::ptrdiff_t>(p) * width,
                         here);
  }
}

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
/// experts:  E x (B, 2 L), location and raw scale as an encoder's GaussianHead makes them
/// observed: (B, E), 0 where the expert is missing for a sample; null: all observed. A missing
/// expert takes no
///           part and gets zero gradient; a product none of whose experts is observed is the prior
///           N(0, I).
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
