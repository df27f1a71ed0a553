// SPDX-License-Identifier: MIT
// A program of a user: two modalities, an SVAE, a hundred steps. Needs <poe/poe.hpp> alone.
#include <poe/poe.hpp>

#include <cstdio>

#if defined(POE_CUDA)
#include <poe/cuda/runtime.hpp>
#endif

using namespace poe;

// A point on a circle, seen by two instruments: as its two coordinates, and as three noisy sums.
struct Position {
  static constexpr const char* name = "position";
};
struct Sums {
  static constexpr const char* name = "sums";
};
struct Head : Sequence<Linear<16>, Relu, GaussianHead<2>> {};  // location and raw scale of z
template <int N>
struct Features : Net<Shape<N>, Linear<16>, Relu> {};
template <int N>
struct Decoder : Net<Shape<2>, Linear<16>, Relu, Linear<N>> {};
struct Circle : Modalities<Modality<Position, Features<2>, Decoder<2>, Normal<1, 10>>,
                           Modality<Sums, Features<3>, Decoder<3>, Normal<1, 10>>> {};
using Model = Svae<float, Circle, Head>;

int main() {
  std::printf("poe %s\n", version);
#if defined(POE_CUDA)
  const std::string reason = cuda::why_unavailable();
  std::printf("GPU: %s\n", reason.empty() ? cuda::device_info().name.c_str() : reason.c_str());
#endif
  constexpr int samples = 64;
  Tensor<float, Shape<2>> position(samples);
  Tensor<float, Shape<3>> sums(samples);
  for (int n = 0; n < samples; ++n) {
    float angle[2];
    math::cos_sin_turns(Random{1}.uniform<float>(static_cast<std::uint64_t>(n)), angle[0],
                        angle[1]);
    for (int i = 0; i < 2; ++i) position(n, i) = angle[i];
    for (int i = 0; i < 3; ++i) sums(n, i) = angle[0] + static_cast<float>(i - 1) * angle[1];
  }

  const Model model;
  Learner<float> learner(model.description(), /*seed=*/1, /*threads=*/1);
  learner.adam.learning_rate = 3e-3;
  // One group of pairs, and one of samples of which only the sums were observed.
  const Model::GroupType groups[] = {
      Model::observe(0, given<Position>(position.view().slice(0, 48)),
                     given<Sums>(sums.view().slice(0, 48))),
      Model::observe(1, given<Sums>(sums.view().slice(48, 16)))};

  double first = 0, last = 0;
  for (std::uint32_t step = 0; step < 300; ++step) {
    last = 0;
    learner.step(Random{1, 0, step}, [&](Context<float>& ctx) {
      for (const TermValue& term : model.loss(ctx, groups))
        last += term.weight * term.sum / term.total;
    });
    if (step == 0) first = last;
  }
  std::printf("loss %.1f -> %.1f with %zu parameters\n", first, last, model.parameter_count());
  return last < 0.5 * first ? 0 : 1;
}
