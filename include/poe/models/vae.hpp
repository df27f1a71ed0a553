// SPDX-License-Identifier: MIT
// Vae: modalities x posterior family x objective, composed into a model.
#pragma once

#include <bit>
#include <span>

#include <poe/models/family_mistake.hpp>
#include <poe/models/multimodal_vae.hpp>
#include <poe/models/network.hpp>

namespace poe {

/// A multimodal variational autoencoder as a type: the modalities' networks, a family of
/// posteriors, and the objective that trains them. What can be done with it is in MultimodalVae.
template <class T, class M, class Posterior, class Objective, class D = Cpu>
class Vae : public MultimodalVae<T, M, D> {
  using Base = MultimodalVae<T, M, D>;

 public:
  using PosteriorFamily = Posterior;
  using ObjectiveType = Objective;
  using typename Base::Expert, typename Base::Gaussians, typename Base::GroupType;
  using Head = typename Posterior::Head;
  using Base::options;
  static constexpr int modalities = Base::modalities, latent = Base::latent;
  static constexpr int networks = Posterior::networks(modalities);

 private:
  using Mistake = detail::FamilyMistake;
  static constexpr Mistake mistake = detail::mistake_of<Posterior, modalities>();
  static_assert(mistake != Mistake::no_product,
                "poe: the posterior family gives no product for a set of modalities: posteriors(n, "
                "S) adds at least one for every S from 1 to 2^n - 1");
  static_assert(mistake != Mistake::empty_product,
                "poe: the posterior family gives a product of no network: a product is the bits of "
                "its networks, 1 << i for network i");
  static_assert(mistake != Mistake::unknown_network,
                "poe: the posterior family gives a product with a network that does not exist: "
                "bit i is network i, below networks(n)");
  static_assert(mistake != Mistake::network_of_nobody,
                "poe: a network of the posterior family sees no modality, or stands for one that "
                "does not exist: network(n, i) is {inputs, stands_for}");
  static_assert(mistake != Mistake::unseen_inputs,
                "poe: the posterior family gives a product for a set of modalities with a network "
                "that sees others: the inputs of its networks are within S");
  static_assert(
      mistake != Mistake::idle_network,
      "poe: the posterior family has a network that is in no product: it would not learn");
  static_assert(mistake != Mistake::same_network,
                "poe: two networks of the posterior family have the same inputs and stand for the "
                "same modality: nothing would tell them apart in a file");

 public:
  explicit Vae(VaeOptions o = {}) : Base(o) {
    Description<T>& description = this->description_;
    each_index<networks>([&]<int I>(std::integral_constant<int, I>) {
      constexpr Network network = Posterior::network(modalities, I);
      network_at_[I] = {description.parameter_size, description.statistic_size};
      if constexpr (network.bridge)
        Bridge::template describe<Codes>(description, "bridge");
      else
        NetworkAt<I>::template describe<T>(description, "encoders." + name_of(network));
    });
    this->decoders_.describe(description, networks);
    expect(!o.learn_prior || Objective::particles,
           "learn_prior: only objectives that estimate from particles have a prior to learn");
    if (o.learn_prior) this->describe_prior();
  }

  const Alternatives& posteriors(Subset s) const override {
    return detail::posteriors_of<Posterior, modalities>[s];
  }
  int most_alternatives() const override { return alternatives; }
  bool is_mixture() const override { return Posterior::mixture; }
  particles::Distribution distribution() const override {
    return laplace ? particles::Distribution::laplace : particles::Distribution::normal;
  }
  bool has_particles() const override { return Objective::particles; }
  Terms terms(Subset observed, int choice) const override {
    return Objective::terms({modalities, observed, options, choice});
  }
  int choices() const override { return Objective::choices(modalities, options); }
  bool singles_from_all() const override { return Objective::singles_from_all; }

  void encode(Context<T, D>& ctx, std::span<const GroupType> groups,
              std::span<Encoded<Expert>> encoded) const override {
    Experts in_use = 0;
    for (Encoded<Expert>& e : encoded) {
      if ((e.networks & bridges) != 0) e.networks |= all_of(modalities);
      in_use |= e.networks;
      e.experts = ctx.arena().template take<Expert>(static_cast<std::size_t>(networks));
    }
    ctx.tape.parallel(std::popcount(in_use & ~bridges), [&](int number) {
      each_index<networks>([&]<int I>(std::integral_constant<int, I>) {
        if constexpr (!Posterior::network(modalities, I).bridge)
          if ((in_use >> I & 1U) != 0 && number-- == 0) run<I>(ctx, groups, encoded);
      });
    });
    if constexpr (bridges != 0)
      for (std::size_t g = 0; g < groups.size(); ++g)
        if ((encoded[g].networks & bridges) != 0) cross_bridge(ctx, groups[g], encoded[g]);
  }

  gaussian::Product product_of(Subset s, Experts experts, Experts in_use) const override {
    const auto positions = [&](Experts of) {
      std::uint32_t bits = 0;
      int position = 0;
      for (int i = 0; i < networks; ++i)
        if ((in_use >> i & 1U) != 0) bits |= (of >> i & 1U) << position++;
      return bits;
    };
    const bool product = Posterior::always_prior || size_of(experts) > 1;
    return {positions(experts),
            Posterior::always_prior || (product && options.prior_expert),
            {options.scale_floor, product && options.variance_link},
            positions(experts & Posterior::shared(modalities, s)),
            static_cast<double>(size_of(s))};
  }

 private:
  template <int I>
  using NetworkAt = EncoderNetwork<M, Head, Posterior::network(modalities, I).inputs>;
  static_assert(
      []<int... I>(std::integer_sequence<int, I...>) {
        return (std::is_same_v<typename NetworkAt<I>::Out, Gaussians> && ...);
      }(std::make_integer_sequence<int, networks>{}),
      "poe: the Head of a posterior family ends in GaussianHead<L>, with L the input "
      "size of the Decoders");
  static constexpr bool laplace = detail::ends_in_laplace<Head>;
  static_assert(!Objective::particles || Posterior::mixture,
                "poe: an objective that estimates from particles wants a mixture of experts");
  static_assert(
      !laplace || (Objective::particles && Posterior::single_experts),
      "poe: a product of Laplace experts is not a Laplace distribution: a LaplaceHead goes "
      "with a mixture of experts and an objective that estimates from particles (MMVAE)");
  using Codes = Shape<modalities * latent>;
  using Bridge = Linear<2 * latent>;

  static constexpr int alternatives = [] {
    int most = 1;
    for (const Alternatives& q : detail::posteriors_of<Posterior, modalities>)
      most = q.count > most ? q.count : most;
    return most;
  }();
  /// The networks that see samples instead of modalities.
  static constexpr Experts bridges = [] {
    Experts found = 0;
    for (int i = 0; i < networks; ++i)
      if (Posterior::network(modalities, i).bridge) found |= Experts{1} << i;
    return found;
  }();

  /// "top", "bottom_from_top" (a stand-in), "top_bottom" (a joint network).
  static std::string name_of(const Network& network) {
    const std::string inputs = names_of<M>(network.inputs, "_");
    if (size_of(network.inputs) > 1 || contains(network.inputs, network.stands_for)) return inputs;
    return std::string(M::name(network.stands_for)) + "_from_" + inputs;
  }

  /// Network I, once, on the samples of all groups that need it.
  template <int I>
  void run(Context<T, D>& ctx, std::span<const GroupType> groups,
           std::span<Encoded<Expert>> encoded) const {
    const auto needs = [&](std::size_t g) { return (encoded[g].networks >> I & 1U) != 0; };
    Context<T, D> own = apart(ctx);
    Cursor<T, D> cursor{own, network_at_[I].parameter, network_at_[I].statistic, layer_noise(I)};
    const auto out =
        NetworkAt<I>::template forward<T, D>(cursor, [&]<int J>(std::integral_constant<int, J>) {
          return ctx.tape.constant(join_samples<J, T, M, D>(ctx.executor(), groups, needs));
        });
    int row = 0;
    for (std::size_t g = 0; g < groups.size(); ++g)
      if (needs(g)) {
        encoded[g].experts[encoded[g].count++] = {out, row, groups[g].rows};
        row += groups[g].rows;
      }
  }

  /// The joint expert of a bridged VAE: one sample of every single modality's posterior, side by
  /// side, through a linear layer. Its gradient goes back through the samples.
  void cross_bridge(Context<T, D>& ctx, const GroupType& group, Encoded<Expert>& encoded) const {
    std::array<gaussian::Product, static_cast<std::size_t>(modalities)> singles;
    std::array<gaussian::Draw, static_cast<std::size_t>(modalities)> draws;
    for (int m = 0; m < modalities; ++m) {
      singles[static_cast<std::size_t>(m)] = {only(m), false, {options.scale_floor, false}};
      draws[static_cast<std::size_t>(m)] = {
          m, (1U << 25) + (group.loader << 3) + static_cast<std::uint32_t>(m)};
    }
    Context<T, D> here = ctx;
    here.first_row = group.first_row;
    const auto z =
        gaussian::fuse<latent, T, D>(here, encoded.outputs(), {singles, {}, draws}).samples;
    const auto codes = [&]<std::size_t... I>(std::index_sequence<I...>) {
      return concat_features(ctx, z[I]...);
    }
    (std::make_index_sequence<static_cast<std::size_t>(modalities)>{});
    constexpr int index = std::countr_zero(bridges);
    Cursor<T, D> cursor{ctx, network_at_[index].parameter, network_at_[index].statistic};
    encoded.experts[encoded.count++] = Expert(Bridge::forward(cursor, codes));
  }

  std::array<NetworkPlace, static_cast<std::size_t>(networks)> network_at_{};
};

}  // namespace poe
