// SPDX-License-Identifier: MIT
// Models that do not fit together, and the sentence that each must print.
#include <poe/models/paper.hpp>

using namespace poe;

struct Left {
  static constexpr const char* name = "left";
};
struct Right {
  static constexpr const char* name = "right";
};
struct Features : Net<Shape<1, 4, 4>, Flatten, Linear<8>, Relu> {};
struct Decoder : Net<Shape<3>, Linear<16>, Reshape<1, 4, 4>> {};
struct Head : Sequence<Linear<5>, Relu, GaussianHead<3>> {};
struct HeadOfLaplace : Sequence<Linear<5>, Relu, LaplaceHead<3>> {};
template <class Name>
using Part = Modality<Name, Features, Decoder, Bernoulli>;
struct Pair : Modalities<Part<Left>, Part<Right>> {};

/// All of a model that is instantiated by its use.
template <class V>
void use(const V& model, Context<typename V::Real>& ctx, const typename V::GroupType& group) {
  (void)model.loss(ctx, {&group, 1});
  (void)model.posterior(ctx, group, 1);
}

void good(Context<float>& ctx) {
  const Tensor<float, Shape<1, 4, 4>> x(2);
  const auto group = Svae<float, Pair, Head>::observe(0, given<Left>(x), given<Right>(x));
  use(Svae<float, Pair, Head>{}, ctx, group);
  use(Vaevae<float, Pair, Head>{}, ctx, group);
  use(VaevaeA<float, Pair, Head>{}, ctx, group);
  use(Mmvae<float, Pair, Head>{}, ctx, group);
  use(Mmvae<float, Pair, HeadOfLaplace>{}, ctx, group);
}

// expect: poe: a Shape has positive extents only
#if CASE == 1
Shape<1, 0, 28> wrong;
#endif

// expect: poe: the Features of a Modality end in a vector: put a Flatten at the end
#if CASE == 2
struct Image : Net<Shape<1, 4, 4>, Conv2d<2, kernel(2)>> {};
Modality<Left, Image, Decoder, Bernoulli> wrong;
#endif

// expect: poe: the Decoder of a Modality makes what its Likelihood takes
#if CASE == 3
struct Short : Net<Shape<3>, Linear<15>> {};
Modality<Left, Features, Short, Bernoulli> wrong;
#endif

// expect: poe: the Decoder of a Modality makes what its Likelihood takes
#if CASE == 4
struct Double : Net<Shape<3>, Linear<32>> {};
Modality<Left, Features, Double, Normal<>> wrong;
#endif

// expect: poe: the Decoder of a Modality makes what its Likelihood takes
#if CASE == 5
Modality<Left, Features, Decoder, Categorical<>> wrong;  // one class
#endif

// expect: poe: a model has one to five modalities
#if CASE == 6
Modalities<Part<Left>, Part<Left>, Part<Left>, Part<Left>, Part<Left>, Part<Left>> wrong;
#endif

// expect: poe: a model has one to five modalities
#if CASE == 7
Modalities<> wrong;
#endif

// expect: poe: all Decoders of a Vae take the same z, a vector
#if CASE == 8
struct Wide : Net<Shape<4>, Linear<16>, Reshape<1, 4, 4>> {};
struct Mixed : Modalities<Part<Left>, Modality<Right, Features, Wide, Bernoulli>> {};
Svae<float, Mixed, Head> wrong;
#endif

// expect: poe: all Decoders of a Vae take the same z, a vector
#if CASE == 9
struct Column : Net<Shape<3, 1, 1>, ConvTranspose2d<1, kernel(4)>> {};
struct Mixed : Modalities<Part<Left>, Modality<Right, Features, Column, Bernoulli>> {};
Svae<float, Mixed, Head> wrong;
#endif

// expect: poe: the Head of a posterior family ends in GaussianHead<L>, with L the input size of the
#if CASE == 10
struct Narrow : Sequence<Linear<5>, Relu, GaussianHead<2>> {};
Vaevae<float, Pair, Narrow> wrong;
#endif

// expect: poe: a scale is positive
#if CASE == 11
Modality<Left, Features, Decoder, Laplace<0, 3>> wrong;
double scale = decltype(wrong)::Likelihood::scale;
#endif

// expect: poe: the model has no modality of this Tag
#if CASE == 12
struct Other {
  static constexpr const char* name = "other";
};
auto wrong(const Tensor<float, Shape<1, 4, 4>>& x) {
  return Svae<float, Pair, Head>::observe(0, given<Left>(x), given<Other>(x));
}
#endif

// expect: poe: samples of this modality have another Shape
#if CASE == 13
auto wrong(const Tensor<float, Shape<16>>& x) {
  return Svae<float, Pair, Head>::observe(0, given<Left>(x));
}
#endif

// expect: poe: log_likelihood wants parameters that fit the samples
#if CASE == 14
void wrong(Context<float>& ctx, Variable<float, Shape<6>> logits, View<float, Shape<4>> x) {
  (void)log_likelihood<Bernoulli, float, Shape<6>, Shape<4>, Cpu>(ctx, logits, {&x, 1});
}
#endif

// expect: poe: a product of Laplace experts is not a Laplace distribution
#if CASE == 15
Svae<float, Pair, HeadOfLaplace> wrong;
#endif

// expect: poe: a product of Laplace experts is not a Laplace distribution
#if CASE == 16
Vae<float, Pair, MixtureOfProducts<HeadOfLaplace>, ParticleBound> wrong;
#endif

// expect: poe: a product of Laplace experts is not a Laplace distribution
#if CASE == 17
Vae<float, Pair, MixtureOfExperts<HeadOfLaplace>, Elbo> wrong;  // divergences of terms are Gaussian
#endif

// expect: poe: an objective that estimates from particles wants a mixture of experts
#if CASE == 18
Vae<float, Pair, UnimodalExperts<Head>, ParticleBound> wrong;
#endif

// Families of which a model would train nothing, or not what was meant: a copy of VAEVAE (a) with
// one thing changed.
template <Subset no_product_of = 0, Experts bits = 0>
struct Faulty : FamilyDefaults<Head> {
  static constexpr int networks(int n) { return n; }
  static constexpr Network network(int, int i) { return {only(i), i}; }
  static constexpr Alternatives posteriors(int, Subset s) {
    Alternatives result;
    if (s != no_product_of) result.add(s);
    if (s == 2 && bits != 0) result.products[0] ^= bits;
    return result;
  }
};
Vae<float, Pair, Faulty<>, SvaeLoss> faultless;

// expect: poe: the posterior family gives no product for a set of modalities: posteriors(n, S) adds
#if CASE == 20
Vae<float, Pair, Faulty<3>, SvaeLoss> wrong;
#endif

// expect: poe: the posterior family gives a product of no network: a product is the bits of its
#if CASE == 21
Vae<float, Pair, Faulty<0, 0b10>, SvaeLoss> wrong;
#endif

// expect: poe: the posterior family gives a product with a network that does not exist: bit i is
#if CASE == 22
Vae<float, Pair, Faulty<0, 0b100>, SvaeLoss> wrong;
#endif

// The highest bit there is.
// expect: poe: the posterior family gives a product with a network that does not exist: bit i is
#if CASE == 23
Vae<float, Pair, Faulty<0, Experts{1} << 31>, SvaeLoss> wrong;
#endif

// expect: poe: the posterior family gives a product for a set of modalities with a network
#if CASE == 24
Vae<float, Pair, Faulty<0, 0b11>, SvaeLoss> wrong;  // of the second modality: the first's network
#endif

// expect: poe: a network of the posterior family sees no modality, or stands for one that does not
#if CASE == 25
struct Blind : Faulty<> {
  static constexpr Network network(int, int i) { return {i == 0 ? only(0) : 0, i}; }
};
Vae<float, Pair, Blind, SvaeLoss> wrong;
#endif

// expect: poe: a network of the posterior family sees no modality, or stands for one that does not
#if CASE == 26
struct ForThird : Faulty<> {
  static constexpr Network network(int, int i) { return {only(i), 2 * i}; }
};
Vae<float, Pair, ForThird, SvaeLoss> wrong;
#endif

// expect: poe: the posterior family has a network that is in no product: it would not learn
#if CASE == 27
struct Idle : Faulty<> {
  static constexpr int networks(int n) { return n + 1; }
  static constexpr Network network(int n, int i) { return {i < n ? only(i) : all_of(n), i % n}; }
};
Vae<float, Pair, Idle, SvaeLoss> wrong;
#endif

// expect: poe: two networks of the posterior family have the same inputs and stand for the same
#if CASE == 28
struct Twins : Faulty<> {
  static constexpr int networks(int n) { return 2 * n; }
  static constexpr Network network(int n, int i) { return {only(i % n), i % n}; }
  static constexpr Alternatives posteriors(int n, Subset s) {
    Alternatives result;
    result.add(s | s << n);
    return result;
  }
};
Vae<float, Pair, Twins, SvaeLoss> wrong;
#endif

// A batch that ends before the group that shows it.
// expect: deleted
#if CASE == 19
auto wrong() { return given<Left>(Tensor<float, Shape<1, 4, 4>>(2)); }
#endif
