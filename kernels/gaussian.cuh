// SPDX-License-Identifier: MIT
// Fusion of Gaussian experts: from a plan to the arguments of a kernel, and the choice of the
// kernel.
//
// Plans that models make often have kernels of their own, with everything in registers; the tables
// in launch_best() list them. A plan runs in the first one that holds it.
#pragma once

#include "gaussian_backward.cuh"
#include "gaussian_forward.cuh"

#include <cmath>

#include <poe/core/error.hpp>

namespace poe::gaussian::gpu {

/// Arguments of plans in registers, of ordinary plans, and of the largest: all are parameters of
/// the kernel, so that a captured graph holds them.
template <class T>
using SmallPlan = Arguments<T, 4, 7, 16, 12>;
template <class T>
using MediumPlan = Arguments<T, max_experts, 32, 96, 64>;
template <class T>
using LargePlan = Arguments<T, max_experts, 128, 640, 384>;  // SVAE of five: 76, 555, 360
static_assert(sizeof(LargePlan<double>) < 32000, "parameters of a kernel have at most 32764 bytes");

template <class A>
bool holds(const Plan& plan, std::size_t experts) {
  return experts <= static_cast<std::size_t>(A::most_experts) &&
         plan.products.size() <= static_cast<std::size_t>(A::most_products) &&
         plan.divergences.size() <= static_cast<std::size_t>(A::most_divergences) &&
         plan.draws.size() <= static_cast<std::size_t>(A::most_draws);
}

template <class A, class T>
A arguments_of(const Plan& plan, const FusionMemory<T>& memory,
               const FusionGradients<T>* gradients) {
  A a{};
  a.rows = memory.rows;
  a.latent = memory.latent;
  a.experts = static_cast<int>(memory.experts.size());
  a.products = static_cast<int>(plan.products.size());
  a.divergences = static_cast<int>(plan.divergences.size());
  a.draws = static_cast<int>(plan.draws.size());
  a.observed = memory.observed;
  for (std::size_t e = 0; e < memory.experts.size(); ++e)
    a.expert[e] = {memory.experts[e], gradients == nullptr ? nullptr : gradients->experts[e]};
  for (std::size_t p = 0; p < plan.products.size(); ++p) {
    const Product& from = plan.products[p];
    const T* const g = gradients == nullptr ? nullptr : gradients->posteriors[p];
    a.product[p] = {memory.posteriors[p],
                    g,
                    static_cast<T>(from.link.floor),
                    static_cast<T>(std::log(from.share)),
                    from.experts,
                    from.shared,
                    from.prior,
                    from.link.variance,
                    g != nullptr};
  }
  for (std::size_t k = 0; k < plan.divergences.size(); ++k) {
    const Divergence& from = plan.divergences[k];
    const T* const g = gradients == nullptr ? nullptr : gradients->divergences[k];
    a.divergence[k] = {memory.divergences[k], g, static_cast<std::int16_t>(from.from),
                       static_cast<std::int16_t>(from.to), from.stop_gradient_on_target};
    if (g == nullptr) continue;
    a.product[from.from].differentiated = true;
    if (from.to != prior && !from.stop_gradient_on_target) a.product[from.to].differentiated = true;
  }
  for (std::size_t s = 0; s < plan.draws.size(); ++s) {
    const Draw& from = plan.draws[s];
    const T* const g = gradients == nullptr ? nullptr : gradients->samples[s];
    a.draw[s] = {memory.samples[s], g, from.stream, from.product};
    if (g != nullptr) a.product[from.product].differentiated = true;
  }
  return a;
}

/// True if every array can be moved V numbers at a time.
template <int V, class A>
bool plan_in_packs(const A& a) {
  bool yes = a.latent % V == 0;
  for (int e = 0; e < a.experts; ++e)
    yes = yes && in_packs<V>(a.expert[e].value) && in_packs<V>(a.expert[e].sink);
  for (int p = 0; p < a.products; ++p)
    yes = yes && in_packs<V>(a.product[p].posterior) && in_packs<V>(a.product[p].gradient);
  for (int s = 0; s < a.draws; ++s)
    yes = yes && in_packs<V>(a.draw[s].sample) && in_packs<V>(a.draw[s].gradient);
  return yes;
}

/// Warps that the rows take with `v` dimensions a thread.
inline unsigned warps_for(int rows, int latent, int v) {
  return cuda::blocks_for(static_cast<unsigned>(rows),
                          static_cast<unsigned>(lanes_for(cuda::blocks_for(latent, v)).rows));
}

/// Runs fuse_forward or fuse_backward for V dimensions a thread.
template <bool Forward, int V, int E, int P, class T, class A>
void launch_fusion(A& a, Executor<Cuda>& on) {
  a.lanes = lanes_for(cuda::blocks_for(a.latent, V));
  const std::size_t slots =
      static_cast<std::size_t>(Forward ? a.divergences + forward_slots(a.experts, a.products)
                                       : backward_slots(a.experts, a.products));
  const std::size_t warp_bytes = 32 * slots * sizeof(T);
  const cuda::DeviceInfo& device = cuda::device_info();
  if (warp_bytes > device.shared_memory)
    throw Error("fuse: the plan takes " + std::to_string(warp_bytes) +
                " bytes of shared memory, but there are " + std::to_string(device.shared_memory));
  // Few rows: blocks of one warp, which more multiprocessors can share.
  const unsigned warps = warps_for(a.rows, a.latent, V);
  const bool few = warps <= 4 * static_cast<unsigned>(device.multiprocessors);
  const unsigned warps_of_block = few || 4 * warp_bytes > 48U * 1024U ? 1 : 4;
  const dim3 grid(cuda::blocks_for(warps, warps_of_block)), block(32 * warps_of_block);
  const std::size_t bytes = warps_of_block * warp_bytes;
  if constexpr (Forward)
    cuda::launch(fuse_forward<T, V, E, P, A>, grid, block, bytes, on.stream(), a);
  else
    cuda::launch(fuse_backward<T, V, E, P, A>, grid, block, bytes, on.stream(), a);
}

template <bool Forward, int E, int P, class T, class A>
void launch_in_registers(A& a, Executor<Cuda>& on) {
  if constexpr (sizeof(T) == sizeof(float)) {  // more of a large product would not fit in registers
    constexpr int v = P <= 3 ? 4 : Forward ? 2 : 1;
    // Fewer warps than multiprocessors: with one dimension a thread more of them have work.
    const bool fill = warps_for(a.rows, a.latent, v) >=
                      static_cast<unsigned>(cuda::device_info().multiprocessors);
    if (fill && plan_in_packs<v>(a)) return launch_fusion<Forward, v, E, P, T>(a, on);
  }
  launch_fusion<Forward, 1, E, P, T>(a, on);
}

/// Makes the arguments (`finish` adds what only one direction has) and runs the best kernel.
template <bool Forward, class T, class F>
void launch_best(const Plan& plan, const FusionMemory<T>& memory,
                 const FusionGradients<T>* gradients, F&& finish, Executor<Cuda>& on) {
  if (memory.rows == 0 || memory.latent == 0 || plan.products.empty()) return;
  const std::size_t experts = memory.experts.size(), products = plan.products.size();
  const auto general = [&]<class A>(A a) {
    finish(a);
    launch_fusion<Forward, 1, 1, 0, T>(a, on);
  };
  bool plain = true;  // one floor, no shared experts
  for (const Product& p : plan.products)
    plain = plain && p.link.floor == plan.products[0].link.floor && p.shared == 0;
  if (plain && holds<SmallPlan<T>>(plan, experts)) {
    auto a = arguments_of<SmallPlan<T>>(plan, memory, gradients);
    finish(a);
    if (products == 1) return launch_in_registers<Forward, 4, 1, T>(a, on);
    if (experts <= 2 && products <= 3) return launch_in_registers<Forward, 2, 3, T>(a, on);
    if (products <= 3) return launch_in_registers<Forward, 4, 3, T>(a, on);
    if constexpr (sizeof(T) == sizeof(float))
      if (experts <= 3) return launch_in_registers<Forward, 3, 7, T>(a, on);
  }
  if (holds<MediumPlan<T>>(plan, experts))
    return general(arguments_of<MediumPlan<T>>(plan, memory, gradients));
  if (holds<LargePlan<T>>(plan, experts))
    return general(arguments_of<LargePlan<T>>(plan, memory, gradients));
  using Most = LargePlan<T>;
  throw Error(
      "fuse: on a GPU a plan has at most " + std::to_string(Most::most_products) + " products, " +
      std::to_string(Most::most_divergences) + " divergences and " +
      std::to_string(Most::most_draws) + " samples, got " + std::to_string(plan.products.size()) +
      ", " + std::to_string(plan.divergences.size()) + " and " + std::to_string(plan.draws.size()));
}

}  // namespace poe::gaussian::gpu

namespace poe::gaussian {

template <class T>
void fuse_values(const Plan& plan, const FusionMemory<T>& memory, const Random& random,
                 int first_row, Executor<Cuda>& on) {
  gpu::launch_best<true>(
      plan, memory, static_cast<const FusionGradients<T>*>(nullptr),
      [&](auto& a) {
        a.random = random;
        a.step = on.step;
        a.first_row = static_cast<std::uint64_t>(first_row);
      },
      on);
}

template <class T>
void fuse_gradients(const Plan& plan, const FusionMemory<T>& memory,
                    const FusionGradients<T>& gradients, Executor<Cuda>& on) {
  gpu::launch_best<false>(
      plan, memory, &gradients, [](auto&) {}, on);
}

}  // namespace poe::gaussian
