// SPDX-License-Identifier: MIT
// Fusion of Gaussian experts on the device and on the CPU, and its check against the textbook.
#pragma once

#include <algorithm>

#include <poe/gaussian/fusion.hpp>

#include "fusion_textbook.hpp"

namespace tests {

/// What both directions gave.
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
Got<T> run(const Problem<T>& p, std::size_t offset = 0,
           poe::Executor<poe::Cuda>* executor = nullptr) {
  poe::Executor<poe::Cuda> own;
  poe::Executor<poe::Cuda>& on = executor == nullptr ? own : *executor;
  const ListsOnDevice<T> experts(p.experts, offset);
  const ListsOnDevice<T> posteriors(p.made.products.size(), p.size(2 * p.latent), offset);
  const ListsOnDevice<T> divergences(p.made.divergences.size(), p.size(1), offset);
  const ListsOnDevice<T> samples(p.made.draws.size(), p.size(p.latent), offset);
  OnDevice<std::uint8_t> observed(p.observed);
  const poe::gaussian::FusionMemory<T> memory{p.rows,
                                              p.latent,
                                              experts.values(),
                                              p.observed.empty() ? nullptr : observed.data(),
                                              posteriors.pointers(),
                                              divergences.pointers(),
                                              samples.pointers()};
  poe::gaussian::fuse_values(p.made.plan(), memory, p.random, p.first_row, on);
  const ListsOnDevice<T> posterior_weight(p.posterior_weight, offset),
      kl_weight(p.kl_weight, offset), sample_weight(p.sample_weight, offset), sinks(p.old, offset);
  poe::gaussian::fuse_gradients(
      p.made.plan(), memory,
      {posterior_weight.values(), kl_weight.values(), sample_weight.values(), sinks.pointers()},
      on);
  return {posteriors.read(on), divergences.read(on), samples.read(on), sinks.read(on)};
}

/// Both directions by the implementation for the CPU.
template <int L, class T>
Got<T> run_on_cpu(const Problem<T>& p) {
  poe::Executor<poe::Cpu> cpu;
  Got<T> got;
  const auto zeros = [&](Lists<T>& lists, std::size_t count, int numbers) {
    lists.assign(count, std::vector<T>(p.size(numbers)));
  };
  zeros(got.posteriors, p.made.products.size(), 2 * L);
  zeros(got.divergences, p.made.divergences.size(), 1);
  zeros(got.samples, p.made.draws.size(), L);
  got.gradients = p.old;
  const auto pointers = []<class List>(List& lists) {
    std::vector<decltype(lists[0].data())> to;
    for (auto& list : lists) to.push_back(list.empty() ? nullptr : list.data());
    return to;
  };
  const auto posteriors = pointers(got.posteriors), divergences = pointers(got.divergences),
             samples = pointers(got.samples), sinks = pointers(got.gradients);
  const auto experts = pointers(p.experts), posterior_weight = pointers(p.posterior_weight),
             kl_weight = pointers(p.kl_weight), sample_weight = pointers(p.sample_weight);
  const std::uint8_t* const observed = p.observed.empty() ? nullptr : p.observed.data();
  const poe::gaussian::FusionMemory<T> memory{p.rows,     L,           experts, observed,
                                              posteriors, divergences, samples};
  poe::gaussian::detail::fuse_values<L>(p.made.plan(), memory, p.random, p.first_row, cpu);
  poe::gaussian::detail::fuse_gradients<L>(
      p.made.plan(), memory,
      poe::gaussian::FusionGradients<T>{posterior_weight, kl_weight, sample_weight, sinks}, cpu);
  return got;
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
    poe::test::require_close(got[e], sum, 8 * tolerance<T>(terms) + 1e-9, "gradient of expert");
  }
}

/// Both directions against the textbook.
template <class T>
void check(const Made& made, int rows, int latent, bool masked, std::size_t offset = 0) {
  INFO(made.name << "; " << rows << " rows, " << latent << " dimensions, masked " << masked
                 << ", offset " << offset);
  auto problem = problem_of<T>(made, rows, latent, masked);
  if (made.experts > 2) problem.old[1].clear();  // nobody wants this gradient
  const Got<T> got = run(problem, offset);
  const Textbook<T> textbook(problem);
  const Want want = textbook.values();
  poe::test::require_close(join(got.posteriors), join(want.posteriors), tolerance<T>(made.experts),
                           "posteriors");
  poe::test::require_close(join(got.divergences), join(want.divergences), tolerance<T>(latent + 4),
                           "divergences");
  poe::test::require_close(join(got.samples), join(want.samples), tolerance<T>(made.experts),
                           "samples");
  check_gradients(problem, textbook.gradients(), got.gradients);
}
/// Rows of `latent` dimensions, `v` a thread, that take `warps` warps of every multiprocessor and
/// one row more.
inline int rows_of_warps(int warps, int latent, int v) {
  const int lanes = std::min((latent + v - 1) / v, 32);
  return warps * poe::cuda::device_info().multiprocessors * (32 / lanes) + 1;
}

}  // namespace tests
