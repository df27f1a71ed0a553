// SPDX-License-Identifier: MIT
// The decoders of a model: their parameters, one pass of each, and the log-likelihoods of what they
// decoded.
#pragma once

#include <poe/likelihood/likelihood.hpp>
#include <poe/models/batch.hpp>
#include <poe/models/group_plan.hpp>
#include <poe/models/loss_report.hpp>

namespace poe {

/// Where a network's parameters and running statistics begin in the flat buffers.
struct NetworkPlace {
  std::size_t parameter = 0, statistic = 0;
};

/// Layers that draw random numbers (dropout): streams of their own for every network, rows of
/// their own for every rank. Joined groups have no common position in a batch, so these draws,
/// unlike those of z, differ with the number of ranks.
constexpr std::uint32_t layer_noise(int network) {
  return (1U << 16) + (static_cast<std::uint32_t>(network) << 8);
}
template <class T, class D>
Context<T, D> apart(const Context<T, D>& ctx) {
  Context<T, D> own = ctx;
  own.first_row += ctx.rank << 20;
  return own;
}

/// p(x_m | z) of every modality.
template <class T, class M, class D>
class Decoders {
 public:
  static constexpr int latent = M::template At<0>::Decoder::In::size;
  using Latent = Shape<latent>;
  template <int I>
  using Sample = typename M::template At<I>::Sample;

  /// Adds the decoders to the description; `networks`: how many encoders come before.
  void describe(Description<T>& d, int networks) {
    networks_ = networks;
    each_index<M::count>([&]<int I>(std::integral_constant<int, I>) {
      using Decoder = typename M::template At<I>::Decoder;
      static_assert(std::is_same_v<typename Decoder::In, Latent>,
                    "poe: all Decoders of a Vae take the same z, a vector");
      at_[I] = {d.parameter_size, d.statistic_size};
      Decoder::template describe<T>(d, std::string("decoders.") + M::name(I));
    });
  }

  /// The parameters of p(x_I | z): logits or locations.
  template <int I>
  auto decode(Context<T, D>& ctx, Variable<T, Latent, D> z) const {
    Context<T, D> own = apart(ctx);
    Cursor<T, D> cursor{own, at_[I].parameter, at_[I].statistic, layer_noise(networks_ + I)};
    return M::template At<I>::Decoder::forward(cursor, z);
  }

  /// Samples of z that one decoder decodes, in pieces, and what to compare them with.
  struct Request {
    Rows<T, Latent, D>* z = nullptr;
    ScorePiece<T>* pieces = nullptr;
    int* slots = nullptr;  // of the reported values
    std::size_t count = 0;

    void reserve(Arena& arena, std::size_t most) {
      z = arena.template take<Rows<T, Latent, D>>(most);
      pieces = arena.template take<ScorePiece<T>>(most);
      slots = arena.template take<int>(most);
    }
    void add(Rows<T, Latent, D> codes, const ScorePiece<T>& piece, int slot) {
      z[count] = codes;
      pieces[count] = piece;
      slots[count++] = slot;
    }
  };
  using Requests = std::array<Request, static_cast<std::size_t>(M::count)>;

  /// One pass of every decoder that is asked for, over all its samples, and their log-likelihoods
  /// into the report. The gradients of the pieces' weights are taken at once.
  void score(Context<T, D>& ctx, const Requests& wanted, LossReport<T>& report) const {
    std::array<Variable<T, Latent, D>, static_cast<std::size_t>(M::count)> codes;
    int in_use = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i)
      if (wanted[i].count > 0) {
        codes[i] = concat_rows<T, Latent, D>(ctx, {wanted[i].z, wanted[i].count});
        ++in_use;
      }
    ctx.tape.parallel(in_use, [&](int number) {
      each_index<M::count>([&]<int I>(std::integral_constant<int, I>) {
        const Request& r = wanted[I];
        if (r.count == 0 || number-- != 0) return;
        using Likelihood = typename M::template At<I>::Likelihood;
        const auto log_p = weighted_log_likelihood<Likelihood, Sample<I>>(
            ctx, decode<I>(ctx, codes[I]), std::span<const ScorePiece<T>>(r.pieces, r.count));
        const T* values = log_p.value;
        for (std::size_t i = 0; i < r.count; values += r.pieces[i++].rows)
          report.add({values, r.pieces[i].rows, r.slots[i]});
      });
    });
  }

 private:
  std::array<NetworkPlace, static_cast<std::size_t>(M::count)> at_{};
  int networks_ = 0;
};

}  // namespace poe
