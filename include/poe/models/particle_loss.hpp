// SPDX-License-Identifier: MIT
// The loss of an objective that estimates the bound from particles of a mixture: MMVAE.
#pragma once

#include <algorithm>
#include <bit>
#include <span>

#include <poe/gaussian/fusion.hpp>
#include <poe/models/decoders.hpp>
#include <poe/particles/cloud.hpp>
#include <poe/particles/scale.hpp>

namespace poe {

/// One loss of model V. Encoders run once on the whole batch; particles are drawn, decoded, weighed
/// and taken back in chunks of samples, so that memory is bounded: it grows with the number of
/// particles only where those of one sample are more than a chunk. In a decoder BatchNorm sees a
/// chunk as its batch, and dropout draws by position in the chunks.
template <class V>
class ParticleLoss {
  using T = typename V::Real;
  using D = typename V::Device;
  using M = typename V::ModalitySet;
  using GroupType = typename V::GroupType;
  using Component = Rows<T, typename V::Gaussians, D>;
  static constexpr int modalities = V::modalities, latent = V::latent;

 public:
  ParticleLoss(const V& model, Context<T, D>& ctx, std::span<const GroupType> groups)
      : model_(model), options_(model.options), ctx_(ctx), groups_(groups) {}

  typename V::Reported run() {
    const auto number = static_cast<std::int64_t>(modalities) + Alternatives::most;
    expect(options_.particles >= 1 && options_.particles * number < (1 << 16),
           "particles: expected 1 to {}, got {}", ((1 << 16) - 1) / number, options_.particles);
    expect(options_.warm_up_steps == 0, "warm_up_steps: estimates from particles have no warm-up");
    auto* const encoded = take<Encoded<typename V::Expert>>(groups_.size());
    for (std::size_t g = 0; g < groups_.size(); ++g)
      for (const Experts e : model_.posteriors(groups_[g].observed)) encoded[g].networks |= e;
    model_.encode(ctx_, groups_, {encoded, groups_.size()});
    prior_ = model_.prior(ctx_);
    const std::size_t most = groups_.size() * (2 + static_cast<std::size_t>(modalities));
    report_ = {{take<TermValue>(most), 0}, take<TermPart<T>>(most)};
    for (std::size_t g = 0; g < groups_.size(); ++g) estimate(groups_[g], encoded[g]);
    return report_.sum(ctx_, {});
  }

 private:
  /// A group's mixture, and where the chunks leave what is reported.
  struct GroupMixture {
    const Component* components = nullptr;
    int* numbers = nullptr;  // of the components: their noise
    int count = 0;
    T* estimates = nullptr;    // (rows)
    T* divergences = nullptr;  // (components, rows), where the estimator has them
    std::array<T*, static_cast<std::size_t>(modalities)> log_p{};  // of all decoded particles
  };

  template <class A>
  A* take(std::size_t count) {
    return take_new<A>(ctx_.arena(), count);
  }
  particles::Rule rule() const { return particles::rule_of(options_.estimator); }

  void estimate(const GroupType& group, const Encoded<typename V::Expert>& encoded) {
    GroupMixture cloud = mixture(group, encoded);
    report(group, cloud);
    const int chunks = chunk_count(group, cloud.count);
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const Slice s = slice_of(group.rows, chunk, chunks);
      ctx_.tape.segment([&] { estimate_rows(group, cloud, s.first, s.count); });
    }
  }

  /// Chunks of at most decoded_rows samples of z, the same number on every rank: where ranks meet
  /// (BatchNorm), each comes as often as the others.
  int chunk_count(const GroupType& group, int components) const {
    constexpr int suits_device = std::is_same_v<D, Cpu> ? 256 : 16384;
    const int bound = options_.decoded_rows > 0 ? options_.decoded_rows : suits_device;
    const int ranks = ctx_.team == nullptr ? 1 : ctx_.team->size();
    const int rows = (group.total + ranks - 1) / ranks;
    const int per_chunk = std::max(1, bound / (components * options_.particles));
    return std::max(1, (rows + per_chunk - 1) / per_chunk);
  }

  /// The components for a group: location and log-precision.
  GroupMixture mixture(const GroupType& group, const Encoded<typename V::Expert>& encoded) {
    const Alternatives& q = model_.posteriors(group.observed);
    const auto components = model_.components(ctx_, group.observed, {q.begin(), q.end()}, encoded);
    GroupMixture cloud;
    cloud.components = components.data();
    cloud.count = q.count;
    cloud.numbers = take<int>(components.size());
    for (int c = 0; c < q.count; ++c) {
      const Experts e = q.products[static_cast<std::size_t>(c)];
      cloud.numbers[c] = size_of(e) == 1 ? std::countr_zero(e) : modalities + c;
    }
    return cloud;
  }

  /// Lists the values of a group and takes memory for their numbers. Only the estimate counts; the
  /// others say what it is made of.
  void report(const GroupType& group, GroupMixture& cloud) {
    int batch = 0;
    for (const GroupType& g : groups_)
      if (g.loader == group.loader) batch += g.total;
    const bool paired = group.loader == 0;
    const auto add = [&](TermValue value, int per_sample) {
      value.from = group.observed;
      value.paired = paired;
      value.total = group.total * per_sample;
      const auto slot = static_cast<int>(report_.values.size());
      report_.values = {report_.values.data(), report_.values.size() + 1};
      report_.values.back() = value;
      const int count = group.rows * per_sample;
      T* const numbers = ctx_.template take_values<T>(static_cast<std::size_t>(count));
      report_.add({numbers, count, slot});
      return numbers;
    };
    cloud.estimates = add(
        {.weight = batch == 0 ? 0 : -static_cast<double>(group.total) / batch, .estimate = true},
        1);
    if (!rule().importance) cloud.divergences = add({.divergence = true}, cloud.count);
    for (int m = 0; m < modalities; ++m)
      if (contains(group.observed, m))
        cloud.log_p[static_cast<std::size_t>(m)] =
            add({.to = only(m)}, (rule().ratios ? 1 : cloud.count) * options_.particles);
    weight_ = batch == 0 ? T(0) : static_cast<T>(-1.0 / batch);
  }

  /// One chunk: samples [first, first + rows) of the group.
  void estimate_rows(const GroupType& group, const GroupMixture& cloud, int first, int rows) {
    Context<T, D> here = ctx_;
    here.first_row = group.first_row + first;
    const auto count = static_cast<std::size_t>(cloud.count);
    auto* const components = take<Component>(count);
    for (std::size_t c = 0; c < count; ++c)
      components[c] = {cloud.components[c].of, cloud.components[c].first + first, rows};
    const auto drawn = particles::draw<latent, T, D>(
        here, {components, count},
        {{cloud.numbers, count},
         options_.particles,
         model_.distribution(),
         options_.estimator,
         (1U << 24) + (group.loader << 16)},
        prior_, {cloud.divergences == nullptr ? nullptr : cloud.divergences + first, group.rows});

    // Copies where decoders run side by side: each then has a gradient of its own to write to.
    std::array<Codes, static_cast<std::size_t>(modalities)> codes;
    std::array<particles::Decoded<T, D>, static_cast<std::size_t>(modalities)> decoded;
    for (int m = 0; m < modalities; ++m)
      if (contains(group.observed, m))
        codes[static_cast<std::size_t>(m)] = codes_for(m, cloud, drawn.z, rows);
    ctx_.tape.parallel(size_of(group.observed), [&](int number) {
      each_index<modalities>([&]<int I>(std::integral_constant<int, I>) {
        if (contains(group.observed, I) && number-- == 0)
          decoded[I] = decode<I>(group, cloud, codes[I], first, rows);
      });
    });
    std::size_t used = 0;
    for (int m = 0; m < modalities; ++m)
      if (contains(group.observed, m)) decoded[used++] = decoded[static_cast<std::size_t>(m)];
    particles::estimate<latent, T, D>(here, drawn, {decoded.data(), used}, weight_,
                                      static_cast<T>(options_.beta), cloud.estimates + first);
    decoded_ += drawn.z.rows;
  }

  /// The particles that one decoder decodes, of one component or of all.
  struct Codes {
    Variable<T, typename V::Latent, D> z;
    int component = particles::Decoded<T, D>::all;
    int particles = 0;
  };
  Codes codes_for(int modality, const GroupMixture& cloud, Variable<T, typename V::Latent, D> z,
                  int rows) {
    Codes codes;
    Rows<T, typename V::Latent, D> part = z;
    codes.particles = cloud.count * options_.particles;
    if (rule().ratios) {  // its own component's only
      codes.component = static_cast<int>(
          std::find(cloud.numbers, cloud.numbers + cloud.count, modality) - cloud.numbers);
      codes.particles = options_.particles;
      part = {z, codes.component * codes.particles * rows, codes.particles * rows};
    }
    codes.z = concat_rows<T, typename V::Latent, D>(ctx_, {&part, 1});
    return codes;
  }

  /// log p(x_I | z) of these particles.
  template <int I>
  particles::Decoded<T, D> decode(const GroupType& group, const GroupMixture& cloud,
                                  const Codes& codes, int first, int rows) {
    using Sample = typename V::template Sample<I>;
    using Decoder = typename V::template ModalityAt<I>::Decoder;
    using Likelihood = typename V::template ModalityAt<I>::Likelihood;
    auto* const x = take<View<T, Sample, D>>(static_cast<std::size_t>(codes.particles));
    std::fill_n(x, codes.particles, std::get<I>(group.x).slice(first, rows));
    Context<T, D> here = ctx_;
    here.first_row = decoded_;
    const auto log_p = log_likelihood<Likelihood, T, typename Decoder::Out, Sample, D>(
        ctx_, model_.template decode<I>(here, codes.z),
        {x, static_cast<std::size_t>(codes.particles)});
    pass_on(log_p.count(), log_p.value,
            Sink<T>{cloud.log_p[I] + static_cast<std::ptrdiff_t>(first) * codes.particles},
            ctx_.executor());
    return {log_p, options_.lambda[I], codes.component};
  }

  const V& model_;
  const VaeOptions& options_;
  Context<T, D>& ctx_;
  std::span<const GroupType> groups_;
  Variable<T, typename V::Latent, D> prior_;
  LossReport<T> report_;
  int decoded_ = 0;  // samples of z so far: layers that draw numbers go on from there
  T weight_ = 0;     // derivative of the loss by the estimate of a sample of the group
};

}  // namespace poe
