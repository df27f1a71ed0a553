// SPDX-License-Identifier: MIT
// Vae: modalities x posterior family x objective, composed into a model.
#pragma once

#include <bit>
#include <span>

#include <poe/gaussian/fusion.hpp>
#include <poe/likelihood/likelihood.hpp>
#include <poe/models/batch.hpp>
#include <poe/models/group_plan.hpp>
#include <poe/models/network.hpp>
#include <poe/models/objective.hpp>
#include <poe/models/options.hpp>

namespace poe {

/// A multimodal variational autoencoder over scalar type T: the modalities' networks, a family of
/// posteriors, and the objective that trains them. Holds no numbers: parameters lie in flat buffers
/// that a Context points to, so that ranks and devices share one model.
template <class T, class M, class Posterior, class Objective, class D = Cpu>
class Vae {
 public:
  using Real = T;
  using Device = D;
  using ModalitySet = M;
  using PosteriorFamily = Posterior;
  using ObjectiveType = Objective;
  using GroupType = Group<T, M, D>;
  using HostGroup = Group<T, M, Cpu>;
  static constexpr int modalities = M::count;
  static constexpr int networks = Posterior::networks(modalities);
  template <int I>
  using ModalityAt = typename M::template At<I>;
  template <int I>
  using Sample = typename ModalityAt<I>::Sample;
  using Head = typename Posterior::Head;

  /// Dimensions of z.
  static constexpr int latent = ModalityAt<0>::Decoder::In::size;
  using Latent = Shape<latent>;
  using Gaussians = Shape<2 * latent>;

  VaeOptions options;

  explicit Vae(VaeOptions o = {}) : options(o) {
    each_network([&]<int I>(std::integral_constant<int, I>) {
      network_at_[I] = {description_.parameter_size, description_.statistic_size};
      NetworkAt<I>::template describe<T>(
          description_, "encoders." + network_name(Posterior::network(modalities, I)));
    });
    each_modality([&]<int I>(std::integral_constant<int, I>) {
      static_assert(std::is_same_v<typename ModalityAt<I>::Decoder::In, Latent>,
                    "poe: all Decoders of a Vae take the same z, a vector");
      decoder_at_[I] = {description_.parameter_size, description_.statistic_size};
      ModalityAt<I>::Decoder::template describe<T>(description_,
                                                   std::string("decoders.") + M::name(I));
    });
  }

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
  /// the terms, in the arena.
  Reported loss(Context<T, D>& ctx, std::span<const GroupType> groups) const {
    std::span<Plan> plans(ctx.arena().template take<Plan>(groups.size()), groups.size());
    for (std::size_t g = 0; g < groups.size(); ++g) plans[g] = Plan::of(groups[g].observed);
    encode(ctx, groups, plans);
    for (std::size_t g = 0; g < groups.size(); ++g) fuse_group(ctx, groups[g], plans[g]);
    Report report = list_terms(ctx, groups, plans);
    for (std::size_t g = 0; g < groups.size(); ++g) add_divergences(plans[g], report);
    decode_and_score(ctx, groups, plans, report);
    const int slots = static_cast<int>(report.values.size());
    double* const sums = ctx.template take_values<double>(report.values.size());
    sum_terms<T>({report.parts, report.part_count}, slots, sums, ctx.executor());
    if constexpr (std::is_same_v<D, Cpu>) {
      for (std::size_t i = 0; i < report.values.size(); ++i) report.values[i].sum = sums[i];
      return report.values;
    } else {
      return {report.values, sums};
    }
  }

  /// q(z | x_S) for the observed subset S of one group: location and log-precision (B, 2 L). Where
  /// the family has several alternatives, `alternative` chooses.
  Variable<T, Gaussians, D> posterior(Context<T, D>& ctx, const GroupType& group, Subset s,
                                      int alternative = 0) const {
    expect(s != 0 && within(s, group.observed), "posterior: modalities '{}' asked, '{}' observed",
           names_of<M>(s), names_of<M>(group.observed));
    const Alternatives q = Posterior::posteriors(modalities, s);
    expect(alternative >= 0 && alternative < q.count, "posterior: alternative {} of {}",
           alternative, q.count);
    Plan plan{};
    plan.networks = q.products[static_cast<std::size_t>(alternative)];
    encode(ctx, {&group, 1}, {&plan, 1});
    const gaussian::Product product = product_of(s, plan.networks, plan.networks);
    return gaussian::fuse<latent, T, D>(ctx, plan.used(), {{&product, 1}, {}, {}}).posteriors[0];
  }

  /// The parameters of p(x_I | z): logits or locations.
  template <int I>
  auto decode(Context<T, D>& ctx, Variable<T, Latent, D> z) const {
    Context<T, D> own = apart(ctx);
    Cursor<T, D> cursor{own, decoder_at_[I].parameter, decoder_at_[I].statistic,
                        layer_noise(networks + I)};
    return ModalityAt<I>::Decoder::forward(cursor, z);
  }

 private:
  template <int I>
  using NetworkAt = EncoderNetwork<M, Head, Posterior::network(modalities, I).inputs>;
  static_assert(std::is_same_v<typename NetworkAt<0>::Out, Gaussians>,
                "poe: the Head of a posterior family ends in GaussianHead<L>, with L the input "
                "size of the Decoders");

  struct Place {
    std::size_t parameter = 0, statistic = 0;
  };
  using Plan = GroupPlan<Posterior, Objective, modalities, Rows<T, Gaussians, D>,
                         gaussian::Fused<T, latent, D>>;
  using Report = LossReport<T>;
  using Entry = typename Plan::Entry;
  using Request = typename Plan::Request;
  static constexpr int alternatives = Plan::alternatives;

  /// Layers that draw random numbers (dropout): streams of their own for every network, rows of
  /// their own for every rank. Joined groups have no common position in a batch, so these draws,
  /// unlike those of z, differ with the number of ranks.
  static constexpr std::uint32_t layer_noise(int network) {
    return (1U << 16) + (static_cast<std::uint32_t>(network) << 8);
  }
  static Context<T, D> apart(const Context<T, D>& ctx) {
    Context<T, D> own = ctx;
    own.first_row = ctx.rank << 20;
    return own;
  }

  template <class F>
  static void each_network(F&& f) {
    [&]<int... I>(std::integer_sequence<int, I...>) { (f(std::integral_constant<int, I>{}), ...); }
    (std::make_integer_sequence<int, networks>{});
  }
  template <class F>
  static void each_modality(F&& f) {
    [&]<int... I>(std::integer_sequence<int, I...>) { (f(std::integral_constant<int, I>{}), ...); }
    (std::make_integer_sequence<int, modalities>{});
  }

  /// "top", "bottom_from_top" (a stand-in), "top_bottom" (a joint network).
  static std::string network_name(const Network& network) {
    const std::string inputs = names_of<M>(network.inputs, "_");
    if (size_of(network.inputs) > 1 || contains(network.inputs, network.stands_for)) return inputs;
    return std::string(M::name(network.stands_for)) + "_from_" + inputs;
  }

  /// Runs every network once, on the samples of all groups that need it.
  void encode(Context<T, D>& ctx, std::span<const GroupType> groups, std::span<Plan> plans) const {
    Experts in_use = 0;
    for (const Plan& p : plans) in_use |= p.networks;
    ctx.tape.parallel(std::popcount(in_use), [&](int number) {
      each_network([&]<int I>(std::integral_constant<int, I>) {
        const bool mine = (in_use >> I & 1U) != 0 && number-- == 0;
        if (mine) encode_with<I>(ctx, groups, plans);
      });
    });
  }
  template <int I>
  void encode_with(Context<T, D>& ctx, std::span<const GroupType> groups,
                   std::span<Plan> plans) const {
    const auto needs = [&](std::size_t g) { return (plans[g].networks >> I & 1U) != 0; };
    Context<T, D> own = apart(ctx);
    Cursor<T, D> cursor{own, network_at_[I].parameter, network_at_[I].statistic, layer_noise(I)};
    const auto out =
        NetworkAt<I>::template forward<T, D>(cursor, [&]<int J>(std::integral_constant<int, J>) {
          return ctx.tape.constant(join_samples<J, T, M, D>(ctx.executor(), groups, needs));
        });
    int row = 0;
    for (std::size_t g = 0; g < groups.size(); ++g)
      if (needs(g)) {
        plans[g].experts[plans[g].expert_count++] = {out, row, groups[g].rows};
        row += groups[g].rows;
      }
  }

  /// The product of `experts` for subset s, in terms of the positions of a fusion of `in_use`.
  gaussian::Product product_of(Subset s, Experts experts, Experts in_use) const {
    std::uint32_t bits = 0;
    int position = 0;
    for (int i = 0; i < networks; ++i)
      if ((in_use >> i & 1U) != 0) bits |= (experts >> i & 1U) << position++;
    const bool product = Posterior::is_product(s);
    return {bits,
            product && options.prior_expert,
            {options.scale_floor, product && options.variance_link}};
  }

  /// Noise differs by loader, subset, alternative and, if wanted, by the modality that is
  /// reconstructed.
  std::uint32_t noise_stream(const GroupType& group, const Entry& q, int draw) const {
    const std::uint32_t posterior = (group.loader << modalities) + q.subset;
    constexpr std::uint32_t draws = std::bit_ceil(static_cast<std::uint32_t>(modalities) + 1);
    return (posterior * alternatives + static_cast<std::uint32_t>(q.alternative)) * draws +
           static_cast<std::uint32_t>(draw);
  }

  /// One fused operation for the group: all its posteriors, divergences and samples.
  void fuse_group(Context<T, D>& ctx, const GroupType& group, Plan& p) const {
    std::array<gaussian::Product, Plan::max_products> products;
    std::array<gaussian::Divergence, std::size(Plan{}.divergences)> divergences;
    std::array<gaussian::Draw, std::size(Plan{}.reconstructions) * modalities> draws;
    std::size_t draw_count = 0;
    for (int i = 0; i < p.product_count; ++i)
      products[static_cast<std::size_t>(i)] =
          product_of(p.products[i].subset, p.products[i].experts, p.networks);
    for (int t = 0; t < p.terms.count; ++t) {
      const Term& term = p.terms.list[static_cast<std::size_t>(t)];
      for (int from = 0; from < p.product_count; ++from) {
        if (p.products[from].subset != term.from) continue;
        if (term.divergence)
          for (int to = term.to == 0 ? gaussian::prior : 0;
               to < (term.to == 0 ? 0 : p.product_count); ++to) {
            if (to != gaussian::prior && p.products[to].subset != term.to) continue;
            divergences[static_cast<std::size_t>(p.divergence_count)] = {
                from, to, options.stop_gradient_on_target};
            p.divergences[p.divergence_count] = {t, p.divergence_count, 0};
            ++p.divergence_count;
          }
        else
          for (int m = 0; m < modalities; ++m) {
            if (!contains(term.to, m)) continue;
            const gaussian::Draw draw{from, noise_stream(group, p.products[from],
                                                         options.independent_samples ? 1 + m : 0)};
            std::size_t d = 0;
            while (d < draw_count && draws[d].stream != draw.stream) ++d;
            if (d == draw_count) draws[draw_count++] = draw;
            p.reconstructions[p.reconstruction_count++] = {t, static_cast<int>(d), m};
          }
      }
    }
    Context<T, D> here = ctx;
    here.first_row = group.first_row;
    p.fused = gaussian::fuse<latent, T, D>(
        here, p.used(),
        {{products.data(), static_cast<std::size_t>(p.product_count)},
         {divergences.data(), static_cast<std::size_t>(p.divergence_count)},
         {draws.data(), draw_count}});
  }

  /// The values to report, in order of group and term; no sums yet.
  Report list_terms(Context<T, D>& ctx, std::span<const GroupType> groups,
                    std::span<Plan> plans) const {
    std::size_t most = 0;
    for (const Plan& p : plans)
      for (const Term& t : p.terms)
        most += t.divergence ? 1 : static_cast<std::size_t>(size_of(t.to));
    auto* const values = ctx.arena().template take<TermValue>(most);
    int count = 0;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      plans[g].first_value = count;
      const bool paired = groups[g].observed == all_of(modalities);
      for (const Term& t : plans[g].terms)
        if (t.divergence) {
          values[count++] = {true, t.from, t.to, paired, 0, groups[g].total, options.beta};
        } else {
          for (int m = 0; m < modalities; ++m)
            if (contains(t.to, m))
              values[count++] = {false,
                                 t.from,
                                 only(m),
                                 paired,
                                 0,
                                 groups[g].total,
                                 -options.lambda[static_cast<std::size_t>(m)]};
        }
    }
    std::size_t parts = 0;
    for (const Plan& p : plans)
      parts += static_cast<std::size_t>(p.divergence_count + p.reconstruction_count);
    return {{values, static_cast<std::size_t>(count)},
            ctx.arena().template take<TermPart<T>>(parts)};
  }
  static void add_divergences(const Plan& p, Report& report) {
    for (int i = 0; i < p.divergence_count; ++i) {
      const Request& r = p.divergences[i];
      const int slot = p.slot_of(report, r);
      const auto& kl = p.fused.divergences[static_cast<std::size_t>(r.index)];
      T* gradient = nullptr;
      if (kl.differentiable()) {
        kl.gradient->written = true;
        gradient = kl.gradient->data;
      }
      report.add({kl.value, kl.rows, slot, gradient, report.weight(slot)});
    }
  }

  /// What one decoder is asked for: samples of z, in pieces, and what to compare them with.
  struct Decoding {
    Rows<T, Latent, D>* z = nullptr;
    ScorePiece<T>* pieces = nullptr;
    int* slots = nullptr;  // of the values
    std::size_t count = 0;
    Variable<T, Latent, D> joined;
  };

  /// One pass of every decoder over all samples that any term wants decoded, and their
  /// log-likelihoods.
  void decode_and_score(Context<T, D>& ctx, std::span<const GroupType> groups,
                        std::span<const Plan> plans, Report& report) const {
    std::array<Decoding, static_cast<std::size_t>(modalities)> wanted;
    int in_use = 0;
    each_modality([&]<int I>(std::integral_constant<int, I>) {
      Decoding& d = wanted[I];
      collect<I>(ctx, groups, plans, report, d);
      if (d.count == 0) return;
      d.joined = concat_rows<T, Latent, D>(ctx, {d.z, d.count});
      ++in_use;
    });
    ctx.tape.parallel(in_use, [&](int number) {
      each_modality([&]<int I>(std::integral_constant<int, I>) {
        const bool mine = wanted[I].count > 0 && number-- == 0;
        if (mine) score<I>(ctx, wanted[I], report);
      });
    });
  }
  template <int I>
  static void collect(Context<T, D>& ctx, std::span<const GroupType> groups,
                      std::span<const Plan> plans, const Report& report, Decoding& d) {
    std::size_t most = 0;
    for (const Plan& p : plans) most += static_cast<std::size_t>(p.reconstruction_count);
    d.z = ctx.arena().template take<Rows<T, Latent, D>>(most);
    d.pieces = ctx.arena().template take<ScorePiece<T>>(most);
    d.slots = ctx.arena().template take<int>(most);
    for (std::size_t g = 0; g < groups.size(); ++g)
      for (int i = 0; i < plans[g].reconstruction_count; ++i) {
        const Request& r = plans[g].reconstructions[i];
        if (r.modality != I) continue;
        const auto& x = std::get<I>(groups[g].x);
        const int slot = plans[g].slot_of(report, r);
        d.z[d.count] = plans[g].fused.samples[static_cast<std::size_t>(r.index)];
        d.pieces[d.count] = {x.data, x.rows, report.weight(slot)};
        d.slots[d.count++] = slot;
      }
  }
  template <int I>
  void score(Context<T, D>& ctx, const Decoding& d, Report& report) const {
    const auto parameters = decode<I>(ctx, d.joined);
    using Likelihood = typename ModalityAt<I>::Likelihood;
    const auto log_p = weighted_log_likelihood<Likelihood, Sample<I>>(
        ctx, parameters, std::span<const ScorePiece<T>>(d.pieces, d.count));
    const T* values = log_p.value;
    for (std::size_t i = 0; i < d.count; values += d.pieces[i++].rows)
      report.add({values, d.pieces[i].rows, d.slots[i]});
  }

  Description<T> description_;
  std::array<Place, static_cast<std::size_t>(networks)> network_at_{};
  std::array<Place, static_cast<std::size_t>(modalities)> decoder_at_{};
};

}  // namespace poe
