// SPDX-License-Identifier: MIT
// The loss of an objective that is made of terms: reconstructions and divergences of posteriors.
#pragma once

#include <bit>
#include <span>

#include <poe/gaussian/fusion.hpp>
#include <poe/models/decoders.hpp>

namespace poe {

/// One loss of model V.
template <class V>
class TermLoss {
  using T = typename V::Real;
  using D = typename V::Device;
  using M = typename V::ModalitySet;
  using GroupType = typename V::GroupType;
  static constexpr int modalities = V::modalities, latent = V::latent;
  using Plan = GroupPlan<T, latent, D>;

 public:
  TermLoss(const V& model, Context<T, D>& ctx, std::span<const GroupType> groups)
      : model_(model), ctx_(ctx), groups_(groups) {}

  typename V::Reported run(int choice) {
    plan(choice);
    encode();
    for (std::size_t g = 0; g < groups_.size(); ++g) fuse(groups_[g], plans_[g]);
    score();
    const WarmUp warm_up{model_.options.warm_up_steps, ctx_.random.step};
    expect(std::is_same_v<D, Cuda> || warm_up.steps == 0 || warm_up.step > 0,
           "warm_up_steps: the steps of the Context's random numbers count from 1");
    return report_.sum(ctx_, warm_up);
  }

 private:
  template <class A>
  A* take(std::size_t count) {
    return take_new<A>(ctx_.arena(), count);
  }

  /// What every group needs, and the list of the values that are reported.
  void plan(int choice) {
    plans_ = {take<Plan>(groups_.size()), groups_.size()};
    std::size_t most = 0;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      Plan& p = plans_[g];
      p.terms = model_.terms(groups_[g].observed, choice);
      for (const Term& t : p.terms)
        expect(t.from != 0 && within(t.from | t.to, groups_[g].observed) &&
                   (t.divergence || t.to != 0),
               "objective: a term from '{}' to '{}' of samples observed in '{}'",
               names_of<M>(t.from), names_of<M>(t.to), names_of<M>(groups_[g].observed));
      p.choose_products(ctx_.arena(), [&](Subset s) { return model_.posteriors(s); });
      for (const Term& t : p.terms)
        most += t.divergence ? 1 : static_cast<std::size_t>(size_of(t.to));
    }
    values_ = {take<Value>(most), 0};
    std::size_t divergences = 0, reconstructions = 0;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      list_values(groups_[g], plans_[g]);
      divergences += static_cast<std::size_t>(plans_[g].divergence_count);
      reconstructions += static_cast<std::size_t>(plans_[g].reconstruction_count);
    }
    auto* const list = take<TermValue>(values_.size());
    for (std::size_t i = 0; i < values_.size(); ++i) list[i] = finished(values_[i]);
    report_ = {{list, values_.size()}, take<TermPart<T>>(divergences + reconstructions)};
  }

  /// A value while it is being collected: groups of one loader share it.
  struct Value {
    TermValue term;
    std::uint32_t loader = 0;
    double share = 1;    // the term's weight
    int components = 1;  // whose mean is reported
    bool whole_batch = false;
  };

  /// The number of the value that a term adds to.
  int slot_of(const GroupType& group, const Term& t, Subset to) const {
    for (std::size_t i = 0; i < values_.size(); ++i) {
      const TermValue& v = values_[i].term;
      if (values_[i].loader == group.loader && values_[i].share == t.weight &&
          v.divergence == t.divergence && v.from == t.from && v.to == to)
        return static_cast<int>(i);
    }
    return -1;
  }
  void list_value(const GroupType& group, const Plan& p, const Term& t, Subset to) {
    if (const int slot = slot_of(group, t, to); slot >= 0) {
      values_[static_cast<std::size_t>(slot)].term.total += group.total;
      return;
    }
    Value v;
    v.loader = group.loader;
    v.share = t.weight;
    v.whole_batch = p.terms.whole_batch;
    const auto count = [&](Subset s) {
      return model_.is_mixture() && s != 0 ? model_.posteriors(s).count : 1;
    };
    v.components = count(t.from) * (t.divergence ? count(to) : 1);
    const double weight =
        t.divergence ? model_.options.beta
                     : -model_.options.lambda[static_cast<std::size_t>(std::countr_zero(to))];
    v.term = {.divergence = t.divergence,
              .from = t.from,
              .to = to,
              .paired = group.loader == 0,
              .total = group.total,
              .weight = t.weight * weight,
              .warming = t.divergence};
    values_ = {values_.data(), values_.size() + 1};
    values_.back() = v;
  }
  /// The values of a group; counts its requests.
  void list_values(const GroupType& group, Plan& p) {
    const auto alternatives = [&](Subset s) { return s == 0 ? 1 : model_.posteriors(s).count; };
    for (const Term& t : p.terms)
      if (t.divergence) {
        list_value(group, p, t, t.to);
        p.divergence_count += alternatives(t.from) * alternatives(t.to);
      } else {
        for (int m = 0; m < modalities; ++m)
          if (contains(t.to, m)) list_value(group, p, t, only(m));
        p.reconstruction_count += alternatives(t.from) * size_of(t.to);
      }
  }
  /// The mean of a value is over its own samples; its weight makes that a mean over the batch where
  /// the objective wants it.
  TermValue finished(const Value& v) const {
    TermValue term = v.term;
    if (v.whole_batch) {
      int batch = 0;
      for (const GroupType& group : groups_)
        if (group.loader == v.loader) batch += group.total;
      if (batch > 0) term.weight *= static_cast<double>(term.total) / batch;
    }
    term.total *= v.components;
    return term;
  }

  void encode() {
    auto* const encoded = take<Encoded<typename V::Expert>>(plans_.size());
    for (std::size_t g = 0; g < plans_.size(); ++g) encoded[g] = plans_[g].encoded;
    model_.encode(ctx_, groups_, {encoded, plans_.size()});
    for (std::size_t g = 0; g < plans_.size(); ++g) plans_[g].encoded = encoded[g];
  }

  /// Noise differs by loader, subset, alternative and, if wanted, by the modality that is
  /// reconstructed.
  std::uint32_t noise_stream(const GroupType& group, const typename Plan::Entry& q,
                             int draw) const {
    constexpr std::uint32_t draws = std::bit_ceil(static_cast<std::uint32_t>(modalities) + 1);
    const auto alternatives = static_cast<std::uint32_t>(model_.most_alternatives());
    const std::uint32_t loaders = layer_noise(0) / ((alternatives * draws) << modalities);
    expect(group.loader < loaders, "loss: loader {}: number those of this model from 0 to {}",
           group.loader, loaders - 1);
    const std::uint32_t posterior = (group.loader << modalities) + q.subset;
    return (posterior * alternatives + static_cast<std::uint32_t>(q.alternative)) * draws +
           static_cast<std::uint32_t>(draw);
  }

  /// One fused operation for the group: all its posteriors, divergences and samples.
  void fuse(const GroupType& group, Plan& p) {
    const auto count = [](int n) { return static_cast<std::size_t>(n); };
    auto* const products = take<gaussian::Product>(count(p.product_count));
    auto* const divergences = take<gaussian::Divergence>(count(p.divergence_count));
    auto* const draws = take<gaussian::Draw>(count(p.reconstruction_count));
    p.divergences = take<typename Plan::Request>(count(p.divergence_count));
    p.reconstructions = take<typename Plan::Request>(count(p.reconstruction_count));
    int draw_count = 0, divergence = 0, reconstruction = 0;
    for (int i = 0; i < p.product_count; ++i)
      products[i] =
          model_.product_of(p.products[i].subset, p.products[i].experts, p.encoded.networks);
    for (const Term& t : p.terms)
      for (int from = 0; from < p.product_count; ++from) {
        if (p.products[from].subset != t.from) continue;
        if (t.divergence) {
          const int slot = slot_of(group, t, t.to);
          for (int to = t.to == 0 ? gaussian::prior : 0; to < (t.to == 0 ? 0 : p.product_count);
               ++to) {
            if (to != gaussian::prior && p.products[to].subset != t.to) continue;
            divergences[divergence] = {from, to, model_.options.stop_gradient_on_target};
            p.divergences[divergence] = {slot, divergence, 0};
            ++divergence;
          }
          continue;
        }
        for (int m = 0; m < modalities; ++m) {
          if (!contains(t.to, m)) continue;
          const gaussian::Draw draw{from,
                                    noise_stream(group, p.products[from],
                                                 model_.options.independent_samples ? 1 + m : 0)};
          int d = 0;
          while (d < draw_count && draws[d].stream != draw.stream) ++d;
          if (d == draw_count) draws[draw_count++] = draw;
          p.reconstructions[reconstruction++] = {slot_of(group, t, only(m)), d, m};
        }
      }
    Context<T, D> here = ctx_;
    here.first_row = group.first_row;
    p.fused = gaussian::fuse<latent, T, D>(here, p.encoded.outputs(),
                                           {{products, count(p.product_count)},
                                            {divergences, count(p.divergence_count)},
                                            {draws, count(draw_count)}});
    for (int i = 0; i < p.divergence_count; ++i) {
      const auto& kl = p.fused.divergences[count(p.divergences[i].index)];
      const int slot = p.divergences[i].slot;
      T* gradient = nullptr;
      if (kl.differentiable()) {
        kl.gradient->written = true;
        gradient = kl.gradient->data;
      }
      report_.add({kl.value, kl.rows, slot, gradient, report_.weight(slot), true});
    }
  }

  /// One pass of every decoder over all samples that any term wants decoded.
  void score() {
    typename Decoders<T, M, D>::Requests wanted;
    std::size_t most = 0;
    for (const Plan& p : plans_) most += static_cast<std::size_t>(p.reconstruction_count);
    each_index<modalities>([&]<int I>(std::integral_constant<int, I>) {
      wanted[I].reserve(ctx_.arena(), most);
      for (std::size_t g = 0; g < groups_.size(); ++g)
        for (int i = 0; i < plans_[g].reconstruction_count; ++i) {
          const typename Plan::Request& r = plans_[g].reconstructions[i];
          if (r.modality != I) continue;
          const auto& x = std::get<I>(groups_[g].x);
          wanted[I].add(plans_[g].fused.samples[static_cast<std::size_t>(r.index)],
                        {x.data, x.rows, report_.weight(r.slot)}, r.slot);
        }
    });
    model_.decoders().score(ctx_, wanted, report_);
  }

  const V& model_;
  Context<T, D>& ctx_;
  std::span<const GroupType> groups_;
  std::span<Plan> plans_;
  std::span<Value> values_;
  LossReport<T> report_;
};

}  // namespace poe
