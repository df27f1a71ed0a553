// SPDX-License-Identifier: MIT
// Models of captions: token layers, heads by modality, features of joint networks, batch
// statistics.
#include "caption_model.hpp"
#include "digit_model.hpp"

#include <poe/autograd/gradcheck.hpp>

#include "../examples/networks/cub_captions.hpp"

namespace {
using namespace poe;
using namespace poe::test;

// As published.
using BirdImage = cub_captions::Pairs<2048>::At<1>;
static_assert(BirdImage::Likelihood::spec.kind == LikelihoodSpec::laplace);
static_assert(BirdImage::Likelihood::scale == 0.01);
static_assert(cub_captions::latent == 64 && cub_captions::sentence_length == 32);
static_assert(cub_captions::vocabulary_size == 1590 && cub_captions::unknown_word == 0);

bool has_parameter(const Description<double>& d, const std::string& name,
                   const std::vector<int>& shape) {
  for (const ParameterInfo& p : d.parameters)
    if (p.name == name) return p.shape == shape;
  return false;
}

template <class V>
void check_gradient(VaeOptions options) {
  options.beta = 0.6;
  options.lambda = {1.5, 0.7};
  Trial<V> trial(options);
  const CaptionedBatch<double> pairs(5), captions(4, 10), photos(3, 20);
  const std::vector<Group<double, Captioned>> groups{pairs.both(0), captions.caption(1),
                                                     photos.photo(2)};
  trial.run(groups);
  const std::vector<double> analytic(trial.gradients.begin(), trial.gradients.end());
  for (const ParameterInfo& p : trial.model.description().parameters) {
    // The first row of a table is that of id 0: it stays zero, so its gradient is not taken.
    const std::size_t frozen = p.zero_row == 0 ? p.count() / 7 : 0, first = p.offset + frozen;
    for (std::size_t e = p.offset; e < first; ++e) CHECK(analytic[e] == 0);
    const auto error = gradcheck({trial.parameters.data() + first, p.count() - frozen},
                                 std::span(analytic).subspan(first, p.count() - frozen),
                                 [&] { return trial.run(groups); });
    INFO(p.name << ": " << error.message());
    CHECK(error.ok(1e-6));
  }
}

}  // namespace

TEST_CASE("gradients of models of captions") {
  SECTION("SVAE") { check_gradient<Svae<double, Captioned, CaptionHead>>(VaeOptions::paper()); }
  SECTION("VAEVAE") { check_gradient<Vaevae<double, Captioned, CaptionHead>>(VaeOptions::paper()); }
  SECTION("VAEVAE*, official") {
    check_gradient<VaevaeStar<double, Captioned, CaptionHead>>(VaeOptions::official());
  }
  SECTION("MVAE") { check_gradient<Mvae<double, Captioned, CaptionHead>>(VaeOptions::paper()); }
  SECTION("MMVAE, naive") {
    VaeOptions options;
    options.estimator = particles::Estimator::elbo;
    options.particles = 2;
    check_gradient<Mmvae<double, Captioned, CaptionHead>>(options);
  }
}

TEST_CASE("networks end in the head of what they see, and joint ones have features of their own") {
  const Vaevae<double, Captioned, CaptionHead> model;
  const auto& d = model.description();
  CHECK(has_parameter(d, "encoders.caption.features.1.weight", {3, 1, 2, 2}));
  CHECK(has_parameter(d, "encoders.caption.head.0.weight", {6, 18}));
  CHECK_FALSE(has_parameter(d, "encoders.caption.head.0.bias", {6}));
  CHECK(has_parameter(d, "encoders.photo.head.0.weight", {6, 6}));
  CHECK(has_parameter(d, "encoders.photo.head.0.bias", {6}));
  CHECK(has_parameter(d, "encoders.caption_photo.features.caption.1.weight", {2, 1, 2, 2}));
  CHECK(has_parameter(d, "encoders.caption_photo.features.caption.4.weight", {4, 12}));
  CHECK(has_parameter(d, "encoders.caption_photo.head.0.weight", {5, 4 + 6}));
  CHECK(has_parameter(d, "encoders.caption_photo.head.2.weight", {6, 5}));
  // A stand-in sees one modality, so it has that one's head.
  const Svae<double, Captioned, CaptionHead> svae;
  CHECK(has_parameter(svae.description(), "encoders.photo_from_caption.head.0.weight", {6, 18}));
}

TEST_CASE("TokenLinear is one Linear at every position") {
  constexpr int rows = 3, length = 5, width = 4, classes = 6;
  struct Layer : Net<Shape<1, length, width>, TokenLinear<classes>> {};
  struct Plain : Net<Shape<width>, Linear<classes>> {};
  const auto d = describe<Layer, double>("layer"), plain = describe<Plain, double>("layer");
  REQUIRE(d.parameters.size() == 2);
  for (std::size_t p = 0; p < 2; ++p) {
    CHECK(d.parameters[p].shape == plain.parameters[p].shape);
    CHECK(d.parameters[p].bound == plain.parameters[p].bound);
  }
  Buffer<double> parameters(d.parameter_size);
  initialise<double>({parameters.data(), parameters.size()}, d.parameters, 3);
  const std::vector<double> weight = to_file_order(d.parameters[0], parameters.data());
  const double* const bias = parameters.data() + d.parameters[1].offset;
  Tensor<double, Shape<1, length, width>> x(rows);
  for (std::size_t i = 0; i < x.flat().size(); ++i) x.flat()[i] = Random{2, 0, 0}.normal<double>(i);
  Tape<double> tape;
  Context<double> ctx{.tape = tape, .parameters = parameters.data(), .mode = Mode::evaluate};
  Cursor<double, Cpu> cursor{ctx};
  const auto y = Layer::forward(cursor, tape.constant(x.view()));
  for (int n = 0; n < rows; ++n)
    for (int t = 0; t < length; ++t)
      for (int c = 0; c < classes; ++c) {
        double expected = bias[c];
        for (int w = 0; w < width; ++w)
          expected += weight[static_cast<std::size_t>(c * width + w)] * x(n, 0, t, w);
        // As a categorical likelihood wants it: the classes of one position side by side.
        REQUIRE(y.value[(n * length + t) * classes + c] == Approx(expected).epsilon(1e-12));
      }
}
