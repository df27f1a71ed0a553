// SPDX-License-Identifier: MIT
// Where many samples lie in latent space: the posterior's locations and scales.
#pragma once

#include "poe/data/samples.hpp"
#include "poe/eval/decode.hpp"

#include <cstddef>
#include <vector>

namespace poe {

/// q(z | x_S) of samples: Gaussians with these locations and scales (standard deviations), or
/// Laplace distributions where the experts are, one row for each sample.
template <class V>
struct Codes {
  using Rows = Tensor<typename V::Real, typename V::Latent>;
  Rows location, scale;
};

namespace detail {

/// `with_part(first, count, f)` calls f with samples [first, first + count) as a group.
template <class V, class F>
std::vector<Codes<V>> encode_rows(const V& model, LearnerOf<V>& learner, int rows, Subset given,
                                  F&& with_part) {
  using T = typename V::Real;
  using D = typename V::Device;
  std::vector<Codes<V>> codes;
  for (int a = 0; a < model.posteriors(given).count; ++a)
    codes.push_back({typename Codes<V>::Rows(rows), typename Codes<V>::Rows(rows)});
  for_each_chunk(learner, rows, chunk_rows<D>, [&](Context<T, D>& ctx, int first, int count) {
    with_part(first, count, [&](const typename V::HostGroup& part) {
      const Mixture<V> q(model, ctx, to_device<V>(ctx, part), given);
      for (std::size_t a = 0; a < codes.size(); ++a)
        for (int n = 0; n < count; ++n) {
          const T* const made =
              q.parts[a].data + static_cast<std::ptrdiff_t>(n) * V::Gaussians::size;
          for (int i = 0; i < V::latent; ++i) {
            codes[a].location(first + n, i) = made[i];
            codes[a].scale(first + n, i) = math::exp(T(-0.5) * made[V::latent + i]);
          }
        }
    });
  });
  return codes;
}

}  // namespace detail

/// q(z | x_S) of every sample, S = `given`: one entry, or one for each alternative where the family
/// has several for S (components of a mixture, choices of stand-ins). Slices of the group and the
/// number of ranks do not change it.
template <class V>
std::vector<Codes<V>> encode(const V& model, LearnerOf<V>& learner,
                             const typename V::HostGroup& samples, Subset given) {
  using M = typename V::ModalitySet;
  expect(given != 0 && within(given, samples.observed),
         "encode: modalities '{}' asked, '{}' observed", names_of<M>(given),
         names_of<M>(samples.observed));
  return detail::encode_rows(
      model, learner, samples.rows, given,
      [&](int first, int count, auto&& f) { f(samples.slice(first, count)); });
}

/// The same of samples that are stored somewhere; only the modalities in `given` are read, some
/// rows at a time.
template <class V>
std::vector<Codes<V>> encode(const V& model, LearnerOf<V>& learner,
                             const Samples<typename V::Real, typename V::ModalitySet>& samples,
                             Subset given) {
  expect(given != 0 && within(given, all_of(V::modalities)),
         "encode: modalities with the bits {:#b} asked, of {} modalities", given, V::modalities);
  return detail::encode_rows(
      model, learner, samples.rows, given,
      [&](int first, int count, auto&& f) { f(gather(samples, given, first, count).group()); });
}

}  // namespace poe
