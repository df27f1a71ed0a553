// SPDX-License-Identifier: MIT
// Models by name, for programs that choose one at run time.
#pragma once

#include <fmt/ranges.h>

#include <array>
#include <memory>
#include <string_view>

#include <poe/models/paper.hpp>

namespace poe {

/// The names of the models on a command line.
inline constexpr std::array<std::string_view, 11> model_names{
    "svae", "svae-star", "vaevae", "vaevae-a", "vaevae-star", "jmvae",
    "mvae", "bridge",    "mmvae",  "mopoe",    "mvtcae"};

namespace detail {

template <class V>
std::unique_ptr<MultimodalVae<typename V::Real, typename V::ModalitySet, typename V::Device>>
make_model(const VaeOptions& options) {
  return std::make_unique<V>(options);
}

}  // namespace detail

/// The model of that name over modalities M, e.g. "svae" -> Svae<T, M, Head, D>. Fails for another
/// name, and says which there are.
template <class T, class M, class Head, class D = Cpu>
std::unique_ptr<MultimodalVae<T, M, D>> model_named(std::string_view name,
                                                    const VaeOptions& options = {}) {
  using Make = std::unique_ptr<MultimodalVae<T, M, D>> (*)(const VaeOptions&);
  static constexpr std::array<Make, model_names.size()> models{
      detail::make_model<Svae<T, M, Head, D>>,       detail::make_model<SvaeStar<T, M, Head, D>>,
      detail::make_model<Vaevae<T, M, Head, D>>,     detail::make_model<VaevaeA<T, M, Head, D>>,
      detail::make_model<VaevaeStar<T, M, Head, D>>, detail::make_model<Jmvae<T, M, Head, D>>,
      detail::make_model<Mvae<T, M, Head, D>>,       detail::make_model<BridgedVae<T, M, Head, D>>,
      detail::make_model<Mmvae<T, M, Head, D>>,      detail::make_model<Mopoe<T, M, Head, D>>,
      detail::make_model<Mvtcae<T, M, Head, D>>};
  for (std::size_t i = 0; i < models.size(); ++i)
    if (model_names[i] == name) return models[i](options);
  fail("model: expected one of {}; got '{}'", fmt::join(model_names, ", "), name);
}

}  // namespace poe
