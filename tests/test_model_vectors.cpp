// SPDX-License-Identifier: MIT
// The bimodal models on MNIST-Split against a second implementation: terms, posteriors, gradients.
// sanitizers: none, what it composes is tested with them alone
#include "digit_model.hpp"

#include <poe/io/safetensors.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace {

using namespace poe;
using namespace poe::test;

/// Relative to the scale of each quantity. float: the noise itself is off by a few 1e-6.
template <class T>
constexpr double tolerance = std::is_same_v<T, double> ? 1e-11 : 1e-5;

/// A gradient, [norm, sum, dot product with random numbers, up to 32 elements], scaled by the norm.
template <class T>
void check_digest(const ParameterInfo& info, std::uint32_t index, const T* gradients,
                  const std::vector<double>& want) {
  const std::vector<T> g = to_file_order(info, gradients);
  double square = 0, sum = 0, dot = 0;
  for (std::size_t e = 0; e < g.size(); ++e) {
    const auto v = static_cast<double>(g[e]);
    square += v * v;
    sum += v;
    dot += v * (2 * Random{10, index, 0}.uniform<double>(e) - 1);
  }
  std::vector<double> got{std::sqrt(square), sum, dot};
  const std::size_t count = std::min<std::size_t>(32, g.size());
  for (std::size_t j = 0; j < count; ++j)
    got.push_back(static_cast<double>(g[j * g.size() / count]));
  REQUIRE(got.size() == want.size());
  const double norm = want[0], size = std::sqrt(static_cast<double>(g.size()));
  INFO("gradient of " << info.name << " with norm " << norm);
  REQUIRE(norm > 0);
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("number " << i << " of the digest: " << got[i] << ", want " << want[i]);
    const double scale = i == 1 ? norm * size : norm;
    REQUIRE(std::abs(got[i] - want[i]) <= tolerance<T> * scale);
  }
}

template <template <class, class, class> class Model, class T>
void check_file(const std::string& model, const std::string& preset) {
  CAPTURE(model, preset);
  const auto file =
      SafetensorsFile::open(POE_TESTS_DIR "/vectors/" + model + "_" + preset + ".safetensors");
  const auto scalar = [&](const std::string& name) { return file.read<double>(name).at(0); };
  Trial<Model<T, Digit, Head>> trial(preset == "paper" ? VaeOptions::paper()
                                                       : VaeOptions::official());

  std::vector<std::string> listed;
  for (const ParameterInfo& p : trial.model.description().parameters)
    listed.push_back(fmt::format("{}:{}", p.name, fmt::join(p.shape, "x")));
  REQUIRE(fmt::format("{}", fmt::join(listed, " ")) == file.metadata().at("parameters"));

  const Batch<T, Digit> paired(0, 3, 0, 5), top(1, 1, 100, 4), bottom(2, 2, 200, 3);
  const double loss = trial.run({paired.group, top.group, bottom.group});
  CHECK(loss == Approx(scalar("loss")).epsilon(tolerance<T>));
  std::size_t terms = 0, gradients = 0;
  for (const auto& e : file.entries()) {
    terms += e.name.starts_with("term.");
    gradients += e.name.starts_with("grad.");
  }
  CHECK(trial.terms.size() == terms);
  for (const TermValue& t : trial.terms) {
    INFO(t.name<Digit>());
    CHECK(t.sum / t.total == Approx(scalar("term." + t.name<Digit>())).epsilon(tolerance<T>));
  }

  const auto& parameters = trial.model.description().parameters;
  CHECK(parameters.size() == gradients);
  for (std::size_t p = 0; p < parameters.size(); ++p)
    check_digest(parameters[p], static_cast<std::uint32_t>(p), trial.gradients.data(),
                 file.read<double>("grad." + parameters[p].name));

  const auto check_posterior = [&](const Batch<T, Digit>& batch, Subset s,
                                   const std::string& name) {
    auto ctx = trial.context();
    const auto q = trial.model.posterior(ctx, batch.group, s);
    const auto mu = file.read<double>("posterior." + name + ".mu");
    const auto sigma = file.read<double>("posterior." + name + ".sigma");
    std::vector<double> got_mu, got_sigma;
    for (std::size_t i = 0; i < q.count(); ++i)
      if (i % 128 < 64)
        got_mu.push_back(static_cast<double>(q.value[i]));
      else
        got_sigma.push_back(std::exp(-0.5 * static_cast<double>(q.value[i])));
    require_close(got_mu, mu, tolerance<T>, name + ".mu");
    require_close(got_sigma, sigma, tolerance<T>, name + ".sigma");
  };
  check_posterior(paired, 3, "P.top,bottom");
  check_posterior(paired, 1, "P.top");
  check_posterior(paired, 2, "P.bottom");
  check_posterior(top, 1, "U_top.top");
  check_posterior(bottom, 2, "U_bottom.bottom");
}

}  // namespace

TEMPLATE_TEST_CASE("terms, posteriors and gradients of the bimodal models match PyTorch", "",
                   double, float) {
  for (const char* preset : {"paper", "official"}) {
    check_file<Svae, TestType>("svae", preset);
    check_file<SvaeStar, TestType>("svae_star", preset);
    check_file<Vaevae, TestType>("vaevae", preset);
    check_file<VaevaeStar, TestType>("vaevae_star", preset);
    check_file<VaevaeA, TestType>("vaevae_a", preset);
  }
}
