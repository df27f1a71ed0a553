// SPDX-License-Identifier: MIT
// labels: threads
// Ranks that share batches of captions, some of which get no row: where batch statistics make them
// meet, they meet equally often, and what they learn is what one rank learns.
#include "caption_model.hpp"
#include "support.hpp"

#include <poe/train/steps.hpp>

namespace {
using namespace poe;
using namespace poe::test;

constexpr int samples = 23;

struct Outcome {
  double loss;
  std::vector<double> parameters, statistics;
};

/// Some steps on captions of which two belong to each photo; one sample lacks its photo, one its
/// caption.
template <class V>
Outcome train(int batch, double level, int threads) {
  const CaptionedBatch<double> stored(samples);
  Samples<double, Captioned> data = stored.both(0);
  std::vector<std::uint32_t> photo;
  for (std::uint32_t n = 0; n < samples; ++n) photo.push_back(n / 2);
  data.at[1] = photo;
  SupervisionOptions o;
  o.batch = batch;
  o.level = level;
  o.masks.assign(samples, 3);
  o.masks[7] = 1;
  o.masks[19] = 2;
  VaeOptions options;
  options.particles = 5;
  options.decoded_rows = 10;  // one sample a chunk
  const V model(options);
  Learner<double> learner(model.description(), 3, threads);
  Streams streams(samples, o, Random{5, 1, 0});
  Steps<V> steps(model, learner, data, streams, 5);
  for (int s = 0; s < 10; ++s) steps.step();
  const auto& state = learner.state();
  return {steps.loss(),
          {state.parameters.begin(), state.parameters.end()},
          {state.statistics.begin(), state.statistics.end()}};
}

template <class V>
void check(int batch, double level, std::initializer_list<int> ranks) {
  const Outcome one = train<V>(batch, level, 1);
  for (const int threads : ranks) {
    INFO("batches of " << batch << ", level " << level << ", " << threads << " ranks");
    const Outcome several = train<V>(batch, level, threads);
    CHECK(several.loss == Approx(one.loss).epsilon(1e-9));
    require_close(several.parameters, one.parameters, 1e-6, "parameters");
    require_close(several.statistics, one.statistics, 1e-9, "statistics");
  }
}

}  // namespace

TEST_CASE("ranks without a row of a batch, of its pairs or of one of its modalities") {
  using SvaeModel = Svae<double, Captioned, CaptionHead>;
  using VaevaeModel = Vaevae<double, Captioned, CaptionHead>;
  for (const int batch : {1, 2, 5})
    for (const double level : {0.05, 1.0}) {
      check<SvaeModel>(batch, level, {2, 7});
      check<VaevaeModel>(batch, level, {2, 7});
    }
}

TEST_CASE("ranks decode their particles in equally many chunks") {
  using MmvaeModel = Mmvae<double, Captioned, CaptionHead>;
  // The batch of a chunk is what the ranks decode of it together, so one rank has other statistics.
  for (const int batch : {1, 2, 5}) {
    const Outcome several = train<MmvaeModel>(batch, 1, 3), again = train<MmvaeModel>(batch, 1, 3);
    CHECK(std::isfinite(several.loss));
    CHECK(several.parameters == again.parameters);
    CHECK(several.statistics == again.statistics);
  }
}
