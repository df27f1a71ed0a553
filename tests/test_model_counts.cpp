// SPDX-License-Identifier: MIT
// Networks and parameters of every model for two to five modalities, counted from their parts;
// models by name, and options that do not go together.
// sanitizers: none, it counts the parameters of types
#include "digit_model.hpp"

#include <poe/models/by_name.hpp>

#include <set>

namespace {

using namespace poe;
using namespace poe::test;
using Catch::Contains;

using Two = Small<Top, Bottom>;
using Three = Small<Top, Middle, Bottom>;
using Four = Small<Top, Middle, Bottom, Fourth>;
using Five = Small<Top, Middle, Bottom, Fourth, Fifth>;

constexpr int latent = 3;
/// An encoder of `inputs` modalities: Conv2d 1 -> 2 of 2 x 2, 12 features each; Linear to 5; 5 to
/// 2 L.
constexpr int encoder(int inputs) {
  return inputs * (2 * 4 + 2) + (12 * inputs * 5 + 5) + (5 * 2 * latent + 2 * latent);
}
/// Linear 3 -> 12, ConvTranspose2d 2 -> 1 of 2 x 2.
constexpr int decoder = latent * 12 + 12 + 2 * 4 + 1;

constexpr int binomial(int n, int k) { return k == 0 ? 1 : binomial(n - 1, k - 1) * n / k; }

template <class M>
std::size_t parameters_of(std::string_view model, const VaeOptions& options = {}) {
  return model_named<double, M, SmallHead>(model, options)->parameter_count();
}

template <class M>
void check_counts() {
  constexpr int n = M::count;
  CAPTURE(n);
  constexpr int decoders = n * decoder;
  for (const char* name : {"svae", "svae-star"})
    CHECK(parameters_of<M>(name) == n * n * encoder(1) + decoders);
  int joint = 0;
  for (int k = 1; k <= n; ++k) joint += binomial(n, k) * encoder(k);
  for (const char* name : {"vaevae", "vaevae-star"})
    CHECK(parameters_of<M>(name) == static_cast<std::size_t>(joint + decoders));
  for (const char* name : {"vaevae-a", "mvae", "mmvae", "mopoe", "mvtcae"})
    CHECK(parameters_of<M>(name) == n * encoder(1) + decoders);
  CHECK(parameters_of<M>("jmvae") == n * encoder(1) + encoder(n) + decoders);
  CHECK(parameters_of<M>("bridge") ==
        n * encoder(1) + (2 * n * latent * latent + 2 * latent) + decoders);
  CHECK(parameters_of<M>("mmvae", {.learn_prior = true}) == n * encoder(1) + decoders + latent);
}

/// The networks of a model: parts of the names of parameters, in their order.
template <class M>
std::vector<std::string> networks_of(std::string_view model, const VaeOptions& options = {}) {
  std::vector<std::string> names;
  const auto made = model_named<double, M, SmallHead>(model, options);
  for (const ParameterInfo& p : made->description().parameters) {
    std::string name = p.name.substr(0, p.name.find('.', p.name.find('.') + 1));
    if (p.name.starts_with("bridge.") || p.name.starts_with("prior.")) name = p.name;
    if (names.empty() || names.back() != name) names.push_back(name);
  }
  return names;
}
using Names = std::vector<std::string>;

/// Whether the name stands for this model.
template <template <class, class, class, class> class Model>
bool makes(std::string_view name) {
  const auto model = model_named<double, Two, SmallHead>(name);
  return dynamic_cast<const Model<double, Two, SmallHead, Cpu>*>(model.get()) != nullptr;
}

}  // namespace

TEST_CASE("every model of two to five modalities has the parameters of its parts") {
  CHECK(encoder(1) == 111);
  CHECK(decoder == 57);
  check_counts<Two>();
  check_counts<Three>();
  check_counts<Four>();
  check_counts<Five>();
  CHECK(Mmvae<double, Three, SmallLaplaceHead>().parameter_count() == 3 * encoder(1) + 3 * decoder);
}

TEST_CASE("networks are named after what they see and whom they stand for") {
  const Names singles{"encoders.top", "encoders.bottom", "decoders.top", "decoders.bottom"};
  for (const char* model : {"vaevae-a", "mvae", "mmvae", "mopoe", "mvtcae"})
    CHECK(networks_of<Two>(model) == singles);
  CHECK(networks_of<Two>("mmvae", {.learn_prior = true}).back() == "prior.scale");
  CHECK(networks_of<Two>("svae") == Names{"encoders.top", "encoders.bottom_from_top",
                                          "encoders.top_from_bottom", "encoders.bottom",
                                          "decoders.top", "decoders.bottom"});
  CHECK(networks_of<Three>("vaevae") ==
        Names{"encoders.top", "encoders.middle", "encoders.bottom", "encoders.top_middle",
              "encoders.top_bottom", "encoders.middle_bottom", "encoders.top_middle_bottom",
              "decoders.top", "decoders.middle", "decoders.bottom"});
  CHECK(networks_of<Three>("jmvae") == Names{"encoders.top", "encoders.middle", "encoders.bottom",
                                             "encoders.top_middle_bottom", "decoders.top",
                                             "decoders.middle", "decoders.bottom"});
  CHECK(networks_of<Three>("bridge") == Names{"encoders.top", "encoders.middle", "encoders.bottom",
                                              "bridge.weight", "bridge.bias", "decoders.top",
                                              "decoders.middle", "decoders.bottom"});
  const Trial<BridgedVae<double, Three, SmallHead>> bridged;
  CHECK(std::vector<int>(bridged.info("bridge.weight").shape.begin(),
                         bridged.info("bridge.weight").shape.end()) ==
        std::vector<int>{2 * latent, 3 * latent});
}

TEST_CASE("a model's name makes that model, and another name lists them all") {
  CHECK(makes<Svae>("svae"));
  CHECK(makes<SvaeStar>("svae-star"));
  CHECK(makes<Vaevae>("vaevae"));
  CHECK(makes<VaevaeA>("vaevae-a"));
  CHECK(makes<VaevaeStar>("vaevae-star"));
  CHECK(makes<Jmvae>("jmvae"));
  CHECK(makes<Mvae>("mvae"));
  CHECK(makes<BridgedVae>("bridge"));
  CHECK(makes<Mmvae>("mmvae"));
  CHECK(makes<Mopoe>("mopoe"));
  CHECK(makes<Mvtcae>("mvtcae"));
  CHECK(model_named<double, Two, SmallHead>("svae", {.beta = 3})->options.beta == 3);
  const std::set<std::string> known{"svae",        "svae-star", "vaevae", "vaevae-a",
                                    "vaevae-star", "jmvae",     "mvae",   "bridge",
                                    "mmvae",       "mopoe",     "mvtcae"};
  const auto wrong = [](std::string_view name) {
    std::string message;
    try {
      (void)model_named<double, Two, SmallHead>(name);
    } catch (const Error& error) {
      message = error.what();
    }
    return message;
  };
  for (const char* name : {"", "SVAE", "svae-", "vae"}) {
    const std::string message = wrong(name);
    CHECK_THAT(message, Contains("got '" + std::string(name) + "'"));
    for (const std::string& each : known) CHECK_THAT(message, Contains(each));
  }
  for (const std::string& each : known) CHECK(parameters_of<Two>(each) > 0);
}

TEST_CASE("options that an objective cannot follow are refused") {
  using Catch::Contains;
  for (const char* model : {"svae", "mvae", "mopoe", "jmvae"})
    CHECK_THROWS_WITH((model_named<double, Two, SmallHead>(model, {.learn_prior = true})),
                      Contains("learn_prior"));
  const Batch<double, Two> batch(0, 3, 0, 2);
  const auto run = [&](const VaeOptions& options) {
    Trial<Mmvae<double, Two, SmallHead>> trial(options);
    return trial.run({batch.group});
  };
  CHECK(std::isfinite(run({})));
  CHECK_THROWS_WITH(run({.warm_up_steps = 5}), Contains("warm_up_steps"));
  CHECK_THROWS_WITH(run({.particles = 0}), Contains("particles: expected 1 to 1985, got 0"));
}
