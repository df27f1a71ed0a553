// SPDX-License-Identifier: MIT
// Every model with two and three modalities against a second implementation: loss, its parts, and
// all gradients in full.
// sanitizers: none, what it computes runs under them in smaller tests
#include "digit_model.hpp"

#include <poe/io/safetensors.hpp>

#include <algorithm>
#include <deque>

namespace {

using namespace poe;
using namespace poe::test;

using Two = Small<Top, Bottom>;
using Three = Small<Top, Middle, Bottom>;

/// Relative to the scale of each quantity. float: the noise itself is off by a few 1e-6.
template <class T>
constexpr double tolerance = std::is_same_v<T, double> ? 1e-10 : 1e-5;

/// The groups of a case, by name: everything observed, one modality, and for some cases two of
/// three.
template <class T, class M>
struct NamedGroups {
  std::deque<Batch<T, M>> batches;
  std::vector<std::string> names;

  explicit NamedGroups(bool pair) {
    add("P", 0, all_of(M::count), 0, 5);
    for (int m = 0; m < M::count; ++m)
      add(std::string("U_") + M::name(m), static_cast<std::uint32_t>(1 + m), only(m), 100 * (1 + m),
          4 - m);
    if (pair) add("pair", 4, only(0) | only(2), 400, 3);
  }
  std::vector<Group<T, M>> all() const {
    std::vector<Group<T, M>> groups;
    for (const Batch<T, M>& batch : batches) groups.push_back(batch.group);
    return groups;
  }

 private:
  void add(const std::string& name, std::uint32_t loader, Subset observed, int first, int rows) {
    names.push_back(name);
    batches.emplace_back(loader, observed, first, rows);
  }
};

/// One case of a file of vectors, for one model.
template <class V>
class Case {
  using T = typename V::Real;
  using M = typename V::ModalitySet;

 public:
  Case(const SafetensorsFile& file, const std::string& name, const VaeOptions& options,
       bool pair = M::count == 3)
      : file_(file), name_(name), trial_(options), groups_(pair) {
    const auto& parameters = trial_.model.description().parameters;
    for (std::size_t p = 0; p < parameters.size(); ++p)
      if (parameters[p].name == "prior.scale") randomise(parameters[p], p);
  }

  void check(int choice = 0) {
    INFO(name_);
    trial_.choice = choice;
    for (std::size_t g = 0; g < groups_.names.size(); ++g) check_parts(g);
    CHECK(trial_.run(groups_.all()) == Approx(scalar(".loss")).epsilon(tolerance<T>));
    std::size_t gradients = 0;
    for (const TensorEntry& e : file_.entries()) gradients += e.name.starts_with(name_ + ".grad.");
    CHECK(trial_.model.description().parameters.size() == gradients);
    for (const ParameterInfo& p : trial_.model.description().parameters) check_gradient(p);
  }

 private:
  double scalar(const std::string& suffix) const {
    return file_.template read<double>(name_ + suffix).at(0);
  }

  /// The initial scale of a prior is uniform; random numbers tell its dimensions apart.
  void randomise(const ParameterInfo& info, std::size_t p) {
    const Random random{7, first_initial_stream + static_cast<std::uint32_t>(p), 0};
    for (std::size_t e = 0; e < info.count(); ++e)
      trial_.parameters[info.offset + info.memory_position(e)] =
          static_cast<T>(static_cast<float>(0.5 * (2 * random.uniform<double>(e) - 1)));
  }

  static double contribution(const TermValue& t) { return t.weight * t.sum / t.total; }

  /// What one group adds to the loss: as a whole where the file has that, else by term. A term that
  /// the file has not is zero.
  void check_parts(std::size_t g) {
    const std::string group = name_ + ".part." + groups_.names[g];
    INFO(group);
    const double sum = trial_.run({groups_.batches[g].group});
    std::size_t parts = 0;
    for (const TensorEntry& e : file_.entries()) {
      parts += e.name.starts_with(group + ".");
      if (e.name == group)
        CHECK(sum == Approx(file_.template read<double>(group).at(0)).epsilon(tolerance<T>));
    }
    if (parts == 0) return;
    std::size_t found = 0;
    for (const TermValue& t : trial_.terms) {
      std::string term = t.name<M>();
      if (const auto slash = term.find('/'); slash != std::string::npos) term.resize(slash);
      INFO(term);
      const bool listed = has(group + "." + term);
      found += listed;
      const double want = listed ? scalar(".part." + groups_.names[g] + "." + term) : 0;
      CHECK(contribution(t) == Approx(want).epsilon(tolerance<T>).margin(tolerance<T>));
    }
    CHECK(found == parts);
  }
  bool has(const std::string& tensor) const {
    return std::any_of(file_.entries().begin(), file_.entries().end(),
                       [&](const TensorEntry& e) { return e.name == tensor; });
  }

  /// Every element, relative to the norm of the parameter's gradient.
  void check_gradient(const ParameterInfo& info) const {
    const std::string tensor = name_ + ".grad." + info.name;
    const auto& shape = file_.entry(tensor).shape;
    REQUIRE(std::equal(shape.begin(), shape.end(), info.shape.begin(), info.shape.end()));
    const auto want = file_.template read<double>(tensor);
    const auto got = to_file_order(info, trial_.gradients.data());
    double square = 0;
    for (const double w : want) square += w * w;
    const double norm = std::sqrt(square);
    INFO("gradient of " << info.name << " with norm " << norm);
    REQUIRE(norm > 0);
    for (std::size_t e = 0; e < want.size(); ++e) {
      INFO("element " << e << ": " << got[e] << ", want " << want[e]);
      REQUIRE(std::abs(static_cast<double>(got[e]) - want[e]) <= tolerance<T> * norm);
    }
  }

  const SafetensorsFile& file_;
  std::string name_;
  Trial<V> trial_;
  NamedGroups<T, M> groups_;
};

template <class M>
VaeOptions settings() {
  VaeOptions options;
  if (M::count == 3) {
    options.lambda = {1, 0.7, 1.3};
    options.beta = 0.8;
    options.alpha = 0.3;
  }
  return options;
}

SafetensorsFile open(const std::string& name) {
  return SafetensorsFile::open(std::string(POE_TESTS_DIR "/vectors/") + name + ".safetensors");
}

/// The mixture of experts under every estimator. -> the number of cases.
template <class T, class M, class Head>
int check_mixtures(const SafetensorsFile& file, const std::string& distribution) {
  int cases = 0;
  for (const auto& [name, estimator] : particles::estimator_names) {
    VaeOptions options = settings<M>();
    options.estimator = estimator;
    options.particles = 3;
    options.learn_prior = true;
    std::string prefix(name);
    std::replace(prefix.begin(), prefix.end(), '-', '_');
    prefix += "_" + distribution + std::to_string(M::count);
    Case<Mmvae<T, M, Head>>(file, prefix, options).check();
    ++cases;
    const std::string standard = prefix + "_standard_prior";
    if (!file.metadata().contains(standard)) continue;
    options.learn_prior = false;
    Case<Mmvae<T, M, Head>>(file, standard, options).check();
    ++cases;
  }
  return cases;
}

}  // namespace

TEMPLATE_TEST_CASE("losses and gradients of two modalities match PyTorch", "", double, float) {
  using T = TestType;
  const auto file = open("zoo");
  const VaeOptions options = settings<Two>();
  Case<Jmvae<T, Two, SmallHead>>(file, "jmvae2", options).check();
  Case<Mvae<T, Two, SmallHead>>(file, "mvae2", options).check();
  Case<BridgedVae<T, Two, SmallHead>>(file, "bridge2", options).check();
  Case<Mopoe<T, Two, SmallHead>>(file, "mopoe2", options).check();
  Case<Mvtcae<T, Two, SmallHead>>(file, "mvtcae2", options).check();
}

TEMPLATE_TEST_CASE("losses and gradients of three modalities match PyTorch", "", double, float) {
  using T = TestType;
  const auto file = open("zoo");
  const VaeOptions options = settings<Three>();
  Case<Svae<T, Three, SmallHead>>(file, "svae3", options).check();
  Case<SvaeStar<T, Three, SmallHead>>(file, "svae_star3", options).check();
  Case<Vaevae<T, Three, SmallHead>>(file, "vaevae3", options).check();
  Case<VaevaeStar<T, Three, SmallHead>>(file, "vaevae_star3", options).check();
  Case<Jmvae<T, Three, SmallHead>>(file, "jmvae3", options, false).check();
  Case<BridgedVae<T, Three, SmallHead>>(file, "bridge3", options).check();
  Case<Mopoe<T, Three, SmallHead>>(file, "mopoe3", options).check();
  Case<Mvtcae<T, Three, SmallHead>>(file, "mvtcae3", options).check();

  VaeOptions random = options;
  random.random_subsets = 1;
  Case<Mvae<T, Three, SmallHead>>(file, "mvae3", random).check(1);
  VaeOptions all = options;
  all.reconstruct_all = true;
  Case<Svae<T, Three, SmallHead>>(file, "svae3_reconstruct_all", all).check();
  VaeOptions reverse = options;
  reverse.reverse_pair_kl = true;
  Case<Svae<T, Three, SmallHead>>(file, "svae3_reverse_pair_kl", reverse).check();
}

TEMPLATE_TEST_CASE("estimates of a mixture of experts and their gradients match PyTorch", "",
                   double, float) {
  const auto file = open("mixtures");
  const int cases = check_mixtures<TestType, Two, SmallHead>(file, "normal") +
                    check_mixtures<TestType, Two, SmallLaplaceHead>(file, "laplace") +
                    check_mixtures<TestType, Three, SmallHead>(file, "normal") +
                    check_mixtures<TestType, Three, SmallLaplaceHead>(file, "laplace");
  CHECK(cases == 34);  // 28 with a learnt prior, 6 with the standard one
}
