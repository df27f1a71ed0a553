// SPDX-License-Identifier: MIT
// Modalities: what is observed, how it is encoded and decoded, and sets of them.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

#include <poe/nn/layers.hpp>

namespace poe {

/// One modality of a model. `Name` is a tag type with a `name`; Features maps a sample to a vector,
/// from which the posterior family's head makes experts; Decoder maps z to the parameters of
/// Likelihood. Networks that see several modalities take JointFeatures of each instead.
template <class Name, class FeatureNet, class DecoderNet, class LikelihoodType,
          class JointFeatureNet = FeatureNet>
struct Modality {
  using Tag = Name;
  using Features = FeatureNet;
  using JointFeatures = JointFeatureNet;
  using Decoder = DecoderNet;
  using Likelihood = LikelihoodType;
  using Sample = typename Features::In;
  static constexpr const char* name = Name::name;
  static_assert(Features::Out::rank == 1,
                "poe: the Features of a Modality end in a vector: put a Flatten at the end");
  static_assert(
      std::is_same_v<typename JointFeatures::In, Sample> && JointFeatures::Out::rank == 1,
      "poe: the JointFeatures of a Modality map its samples to a vector, as its Features");
  static_assert(Likelihood::fits(Sample::size, Decoder::Out::size),
                "poe: the Decoder of a Modality makes what its Likelihood takes: one number for "
                "each element, or one for each class of each element");
};

/// The modalities of a model, in a fixed order.
template <class... M>
struct Modalities {
  static constexpr int count = sizeof...(M);
  static_assert(count >= 1 && count <= 5, "poe: a model has one to five modalities");
  template <int I>
  using At = std::tuple_element_t<I, std::tuple<M...>>;
  /// Position of the modality with this tag; -1 if there is none.
  template <class Tag>
  static constexpr int index_of() {
    constexpr bool same[] = {std::is_same_v<Tag, typename M::Tag>...};
    for (int i = 0; i < count; ++i)
      if (same[i]) return i;
    return -1;
  }
  static constexpr const char* name(int i) {
    constexpr const char* names[] = {M::name...};
    return names[i];
  }
};

/// Calls f(std::integral_constant<int, I>) for I = 0 .. n-1.
template <int n, class F>
void each_index(F&& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (f(std::integral_constant<int, I>{}), ...); }
  (std::make_integer_sequence<int, n>{});
}

/// A set of modalities: bit i stands for modality i.
using Subset = std::uint32_t;

constexpr int size_of(Subset s) { return std::popcount(s); }
constexpr bool contains(Subset s, int modality) { return (s >> modality & 1U) != 0; }
constexpr bool within(Subset inner, Subset outer) { return (inner & ~outer) == 0; }
constexpr Subset only(int modality) { return Subset{1} << modality; }
constexpr Subset all_of(int modalities) { return (Subset{1} << modalities) - 1; }

/// "top,bottom".
template <class M>
std::string names_of(Subset s, const char* separator = ",") {
  std::string text;
  for (int i = 0; i < M::count; ++i) {
    if (!contains(s, i)) continue;
    if (!text.empty()) text += separator;
    text += M::name(i);
  }
  return text;
}

}  // namespace poe
