// SPDX-License-Identifier: MIT
// A model whose training a test can follow.
#pragma once

#include <poe/models/vae.hpp>

#include <functional>

namespace poe::test {

/// Model, and a function that sees the groups and the choice of every loss before rank 0 computes
/// it.
template <class Model>
struct Watched {
  using Real = typename Model::Real;
  using Device = typename Model::Device;
  using ModalitySet = typename Model::ModalitySet;
  using GroupType = typename Model::GroupType;
  using HostGroup = typename Model::HostGroup;
  template <int I>
  using Sample = typename Model::template Sample<I>;

  Model model;
  std::function<void(std::span<const GroupType>, int choice)> before = [](auto, int) {};
  int choice_count = 1;
  VaeOptions& options = model.options;

  explicit Watched(VaeOptions o = {}) : model(o) {}
  Watched(const Watched&) = delete;

  const Description<Real>& description() const { return model.description(); }
  int choices() const { return choice_count; }
  bool singles_from_all() const { return model.singles_from_all(); }
  auto loss(Context<Real, Device>& ctx, std::span<const GroupType> groups, int choice) const {
    if (ctx.rank == 0) before(groups, choice);
    return model.loss(ctx, groups);
  }
};

}  // namespace poe::test
