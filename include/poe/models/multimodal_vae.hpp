// SPDX-License-Identifier: MIT
// MultimodalVae: what every model over the same modalities can be asked, whatever its type.
#pragma once

#include <poe/models/decoders.hpp>
#include <poe/models/particle_loss.hpp>
#include <poe/models/term_loss.hpp>

namespace poe {

/// A multimodal variational autoencoder over scalar type T and modalities M: decoders, and by way
/// of virtual functions the posterior family and the objective, see Vae. Programs that choose a
/// model at run time, and whatever trains or evaluates one, work on this type, and are compiled
/// once for all models. Holds no numbers: parameters lie in flat buffers that a Context points to,
/// so that ranks and devices share one model.
template <class T, class M, class D = Cpu>
class MultimodalVae {
 public:
  using Real = T;
  using Device = D;
  using ModalitySet = M;
  using GroupType = Group<T, M, D>;
  using HostGroup = Group<T, M, Cpu>;
  static constexpr int modalities = M::count;
  template <int I>
  using ModalityAt = typename M::template At<I>;
  template <int I>
  using Sample = typename ModalityAt<I>::Sample;

  /// Dimensions of z.
  static constexpr int latent = Decoders<T, M, D>::latent;
  using Latent = Shape<latent>;
  using Gaussians = Shape<2 * latent>;
  using Expert = Rows<T, Gaussians, D>;

  VaeOptions options;

  virtual ~MultimodalVae() = default;

  /// A loader's batch in which the given modalities were observed, see poe::observe().
  template <class... Given>
  static auto observe(std::uint32_t loader, Given... parts) {
    return poe::observe<T, M>(loader, parts...);
  }

  /// Names, shapes and places of all parameters.
  const Description<T>& description() const { return description_; }
  std::size_t parameter_count() const { return description_.parameter_count(); }

  /// What loss() reports: the terms with their sums; on the GPU, terms and device memory of sums.
  using Reported =
      std::conditional_t<std::is_same_v<D, Cpu>, std::span<const TermValue>, DeviceTerms>;

  /// The loss of this rank's part of a batch: one pass of every network that a term needs, each on
  /// all the samples it is needed for; one fused Gaussian operation per group; one pass of every
  /// decoder. Sets the gradient of each term, so that ctx.tape.backward() is all that is left. ->
  /// the terms, in the arena. `choice`, below choices(), is that of an objective which draws.
  Reported loss(Context<T, D>& ctx, std::span<const GroupType> groups, int choice = 0) const {
    for (const GroupType& g : groups) {
      expect(g.loader < 256, "loss: loader {}: number the loaders from 0 to 255", g.loader);
      expect(g.observed != 0 && within(g.observed, all_of(modalities)),
             "loss: a group observed in the modalities with the bits {:#b}, of {} modalities",
             g.observed, modalities);
    }
    expect(choice >= 0 && choice < choices(), "loss: choice {} of {}", choice, choices());
    if (has_particles()) return ParticleLoss<MultimodalVae>(*this, ctx, groups).run();
    return TermLoss<MultimodalVae>(*this, ctx, groups).run(choice);
  }

  /// q(z | x_S) for the observed subset S of one group: location and log-precision, -2 log scale,
  /// (B, 2 L). Where the family has several alternatives, `alternative` chooses.
  Variable<T, Gaussians, D> posterior(Context<T, D>& ctx, const GroupType& group, Subset s,
                                      int alternative = 0) const {
    return encoded_products(ctx, group, s,
                            [=](const Alternatives& q) {
                              expect(alternative >= 0 && alternative < q.count,
                                     "posterior: alternative {} of {}", alternative, q.count);
                              return std::span(q.begin() + alternative, 1);
                            })[0]
        .of;
  }

  /// All alternatives of q(z | x_S) for a group, in order; every network runs once.
  std::span<const Expert> posterior_alternatives(Context<T, D>& ctx, const GroupType& group,
                                                 Subset s) const {
    return encoded_products(ctx, group, s,
                            [](const Alternatives& q) { return std::span(q.begin(), q.end()); });
  }

  /// The products of `experts`, posteriors of S or components of one: location and log-precision.
  std::span<const Expert> components(Context<T, D>& ctx, Subset s, std::span<const Experts> experts,
                                     const Encoded<Expert>& encoded) const {
    auto* const products = take_new<gaussian::Product>(ctx.arena(), experts.size());
    auto* const made = take_new<Expert>(ctx.arena(), experts.size());
    for (std::size_t i = 0; i < experts.size(); ++i)
      products[i] = product_of(s, experts[i], encoded.networks);
    if (distribution() == particles::Distribution::laplace) {
      for (std::size_t i = 0; i < experts.size(); ++i)
        made[i] = particles::components<latent>(
            ctx, encoded.experts[std::countr_zero(products[i].experts)],
            {options.softmax_scale, options.scale_floor});
    } else {
      const auto fused = gaussian::fuse<latent, T, D>(ctx, encoded.outputs(),
                                                      {{products, experts.size()}, {}, {}});
      std::copy(fused.posteriors.begin(), fused.posteriors.end(), made);
    }
    return {made, experts.size()};
  }

  /// The prior p(z): 0 is its location, this its log-precision, -2 log scale. Without values
  /// (null): all 0.
  Variable<T, Latent, D> prior(Context<T, D>& ctx) const {
    if (!has_prior_) return {};
    Cursor<T, D> cursor{ctx, prior_at_};
    return particles::learnt_prior<latent>(ctx, cursor.take(latent));
  }

  /// The parameters of p(x_I | z): logits or locations.
  template <int I>
  auto decode(Context<T, D>& ctx, Variable<T, Latent, D> z) const {
    return decoders_.template decode<I>(ctx, z);
  }
  const Decoders<T, M, D>& decoders() const { return decoders_; }

  // What the model says of itself.

  /// The posterior of S as products of networks.
  virtual const Alternatives& posteriors(Subset s) const = 0;
  /// The largest number of alternatives of any posterior.
  virtual int most_alternatives() const = 0;
  /// Whether alternatives are components of one mixture.
  virtual bool is_mixture() const = 0;
  /// The distribution of posteriors and prior.
  virtual particles::Distribution distribution() const = 0;
  /// Whether the objective estimates the bound from particles; it then has no terms.
  virtual bool has_particles() const = 0;
  /// The terms of samples observed in a subset.
  virtual Terms terms(Subset observed, int choice) const = 0;
  /// How many choices the objective has at a step; one: nothing is drawn.
  virtual int choices() const = 0;
  /// Whether loaders of single modalities see paired samples too, see ObjectiveDefaults.
  virtual bool singles_from_all() const = 0;
  /// Runs every network that some group needs once, on the samples of all groups that need it.
  /// Fills in the outputs; networks that the needed ones build on are added.
  virtual void encode(Context<T, D>& ctx, std::span<const GroupType> groups,
                      std::span<Encoded<Expert>> encoded) const = 0;
  /// The product of `experts` for subset s, in terms of the positions of the networks `in_use`.
  virtual gaussian::Product product_of(Subset s, Experts experts, Experts in_use) const = 0;

 protected:
  explicit MultimodalVae(const VaeOptions& o) : options(o) {}
  MultimodalVae(const MultimodalVae&) = default;  // a whole model may be copied, a part of one not
  MultimodalVae& operator=(const MultimodalVae&) = default;

  void describe_prior() {
    has_prior_ = true;
    prior_at_ = description_.parameter_size;
    description_.add_parameter(
        {.name = "prior.scale", .shape = {latent}, .initial = Initial::zeros});
  }

  Description<T> description_;
  Decoders<T, M, D> decoders_;

 private:
  /// Encodes a group once and makes the products that `choose` takes of those of q(z | x_S).
  template <class F>
  std::span<const Expert> encoded_products(Context<T, D>& ctx, const GroupType& group, Subset s,
                                           F&& choose) const {
    expect(s != 0 && within(s, group.observed), "posterior: modalities '{}' asked, '{}' observed",
           names_of<M>(s), names_of<M>(group.observed));
    const std::span<const Experts> wanted = choose(posteriors(s));
    Encoded<Expert> encoded;
    for (const Experts e : wanted) encoded.networks |= e;
    encode(ctx, {&group, 1}, {&encoded, 1});
    return components(ctx, s, wanted, encoded);
  }

  bool has_prior_ = false;
  std::size_t prior_at_ = 0;
};

}  // namespace poe
