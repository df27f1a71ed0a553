// SPDX-License-Identifier: MIT
// Models by name, for programs that choose one at run time.
#pragma once

#include <fmt/ranges.h>

#include <array>
#include <memory>
#include <string_view>
#include <tuple>

#include <poe/models/paper.hpp>

namespace poe {

/// A model and its name on a command line, of the paper's or of one's own:
///   NamedModel<CorrectedVae>{"corrected"}.
template <template <class T, class M, class Head, class Device> class Model>
struct NamedModel {
  std::string_view name;

  template <class T, class M, class Head, class D>
  static std::unique_ptr<MultimodalVae<T, M, D>> make(const VaeOptions& options) {
    return std::make_unique<Model<T, M, Head, D>>(options);
  }
};

/// The models of paper.hpp over any modalities.
inline constexpr std::tuple named_models{NamedModel<Svae>{"svae"},
                                         NamedModel<SvaeStar>{"svae-star"},
                                         NamedModel<Vaevae>{"vaevae"},
                                         NamedModel<VaevaeA>{"vaevae-a"},
                                         NamedModel<VaevaeStar>{"vaevae-star"},
                                         NamedModel<Jmvae>{"jmvae"},
                                         NamedModel<Mvae>{"mvae"},
                                         NamedModel<BridgedVae>{"bridge"},
                                         NamedModel<Mmvae>{"mmvae"},
                                         NamedModel<Mopoe>{"mopoe"},
                                         NamedModel<Mvtcae>{"mvtcae"}};

/// Their names.
inline constexpr auto model_names =
    std::apply([](const auto&... known) { return std::array{known.name...}; }, named_models);

/// The model of that name over modalities M, e.g. "svae" -> Svae<T, M, Head, D>; `own`: NamedModels
/// that are known besides those of the paper. Fails for another name, and says which there are.
template <class T, class M, class Head, class D = Cpu, class... Own>
std::unique_ptr<MultimodalVae<T, M, D>> model_named(std::string_view name,
                                                    const VaeOptions& options = {},
                                                    const Own&... own) {
  std::unique_ptr<MultimodalVae<T, M, D>> made;
  const auto all = std::tuple_cat(named_models, std::tuple{own...});
  std::apply(
      [&](const auto&... known) {
        (
            [&] {
              if (known.name == name) made = known.template make<T, M, Head, D>(options);
            }(),
            ...);
        if (made == nullptr)
          fail("model: expected one of {}; got '{}'", fmt::join(std::array{known.name...}, ", "),
               name);
      },
      all);
  return made;
}

}  // namespace poe
