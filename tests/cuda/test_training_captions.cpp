// SPDX-License-Identifier: MIT
// Models of captions on the device: embedding, batch statistics and token layers within a graph.
#include <poe/eval/decode.hpp>

#include "../caption_model.hpp"
#include "training.hpp"

namespace {
using namespace poe;
using namespace poe::test;

constexpr int rows = training_samples, steps = 16;

/// Captions of which two belong to each photo; one sample lacks its photo, one its caption.
struct Gallery {
  CaptionedBatch<float> stored{rows};
  std::vector<std::uint32_t> photo;
  std::vector<Subset> masks = std::vector<Subset>(rows, 3);
  Samples<float, Captioned> data = stored.both(0);

  Gallery() {
    for (std::uint32_t n = 0; n < rows; ++n) photo.push_back(n / 2);
    data.at[1] = photo;
    masks[7] = 1;
    masks[19] = 2;
  }
  Gallery(const Gallery&) = delete;
};

template <template <class, class, class, class> class Model>
void check() {
  const Gallery gallery;
  auto supervision = in_batches<Captioned>(gallery.masks);
  supervision.level = 0.5;
  const auto run = [&]<class D>(D, Manner manner = {}) {
    return train(Model<float, Captioned, CaptionHead, D>(), supervision, steps, manner,
                 gallery.data);
  };
  const Outcome expected = run(Cpu{}), eager = run(Cuda{}, {.use_graphs = false});
  require_agreement(eager, expected);
  tests::for_each_order([&](const std::string& order) {
    INFO("order: " << order);
    require_same(run(Cuda{}), eager);
  });
}

}  // namespace

TEST_CASE("models of captions train on the device as on the CPU") {
  SECTION("SVAE") { check<Svae>(); }
  SECTION("VAEVAE") { check<Vaevae>(); }
  SECTION("MMVAE") { check<Mmvae>(); }
}

TEST_CASE("captions and photos that the device completes are those of the CPU") {
  const CaptionedBatch<float> stored(20);
  const auto complete_on = [&]<class D>(D) {
    const Svae<float, Captioned, CaptionHead, D> model;
    LearnerOf<Svae<float, Captioned, CaptionHead, D>> learner(model.description(), 5, 1);
    return complete(model, learner, stored.both(0), 1, Random{3, 0, 0});
  };
  const auto expected = complete_on(Cpu{}), got = complete_on(Cuda{});
  int same = 0;  // ids: rounding may decide between two that are equally probable
  for (std::size_t i = 0; i < std::get<0>(expected).flat().size(); ++i)
    same += std::get<0>(got).flat()[i] == std::get<0>(expected).flat()[i];
  CHECK(same >= 78);
  for (std::size_t i = 0; i < std::get<1>(expected).flat().size(); ++i)
    REQUIRE(std::get<1>(got).flat()[i] == Approx(std::get<1>(expected).flat()[i]).margin(1e-4));
}
