// SPDX-License-Identifier: MIT
// SVAE, VAEVAE and other models on MNIST-SVHN: a digit written and a digit on a house, of one
// class.
#include "networks/mnist_svhn.hpp"  // the networks, as types
#include "support/svhn_report.hpp"
#include "support/training.hpp"

namespace {
using namespace examples;

template <class Pairs>
struct SvhnTask {
  const DigitPairSource& source;
  std::filesystem::path oracle_files;
  OracleOptions oracle_training;
  int prior_samples = 0;
  std::string name = "mnist_svhn";
  DigitOracles oracles{};

  std::string fingerprint() const { return source.fingerprint(); }
  poe::Samples<float, Pairs> samples() const { return source.train.samples<Pairs>(); }
  std::vector<poe::Subset> masks() const { return {}; }
  poe::Json data() const {
    return {{"name", source.name},
            {"title", source.title},
            {"train", source.train.labels.size()},
            {"test", source.test.labels.size()}};
  }
  template <class Device>
  void prepare(const Options& o, poe::Json& summary) {
    oracles = make_oracles<Device>(oracle_files, oracle_training, o.threads, source);
    summary["oracle_accuracy"] = {{"mnist", oracles.written.test_accuracy},
                                  {"svhn", oracles.house.test_accuracy}};
  }
  template <class Model>
  poe::Scores validate(const Model& model, poe::LearnerOf<Model>& learner, const Options&) {
    const poe::JointCoherence joint =
        poe::joint_coherence(model, learner, prior_samples, oracles.both(), evaluation_noise);
    return {{{"coherence_joint", joint.share}, {"coherence_joint_kappa", joint.beyond_chance}}};
  }
  template <class Model>
  void report(const Model& model, poe::LearnerOf<Model>& learner, const Options& o,
              poe::Json& summary) {
    poe::Scores scores = validate(model, learner, o);
    add_cross_coherences(model, learner, source.test, oracles, scores);
    for (const auto& [metric, value] : scores.values) {
      summary["test"][metric] = value;
      fmt::print("test {:40} {:9.4f}\n", metric, value);
    }
    if (o.importance_samples > 0) {
      const int rows = std::min(o.importance_rows, static_cast<int>(source.test.labels.size()));
      const auto pairs = poe::gather(source.test.samples<Pairs>(), poe::all_of(2), 0, rows);
      summary["test"]["log_likelihood"] = log_likelihoods(model, learner, pairs.group(), o);
    }
    draw_pairs(model, learner, oracles, source.title, o);
    draw_translations<0>(model, learner, source.test, scores, source.title, o);
    draw_translations<1>(model, learner, source.test, scores, source.title, o);
  }
};

/// The published classifiers where they lie beside the data, unless others are named; empty: the
/// program trains its own.
std::filesystem::path find_oracles(const std::string& wanted, const std::filesystem::path& data) {
  if (wanted == "train") return {};
  if (wanted != "auto") {
    for (const char* name : {poe::MnistClassifier::name, poe::SvhnClassifier::name}) {
      const auto file =
          std::filesystem::path(wanted) / fmt::format("{}_classifier.safetensors", name);
      poe::expect(std::filesystem::exists(file), "--oracles: there is no file '{}'", file.string());
    }
    return wanted;
  }
  const std::filesystem::path beside = data / "oracles";
  std::error_code ignored;
  const bool there =
      !data.empty() && std::filesystem::exists(beside / "svhn_classifier.safetensors", ignored);
  return there ? beside : "";
}

}  // namespace

int main(int argc, char** argv) {
  std::string oracles = "auto";
  OracleOptions oracle_training;
  std::string likelihood = "bernoulli";
  int repeats = 30, prior_samples = 1000;
  CommandLine line;
  line.title = "Multimodal VAEs on MNIST-SVHN: handwritten digits and house numbers";
  line.recipe.epochs = 10;
  line.recipe.batch = 256;
  line.recipe.lambda = {1, 1};
  line.recipe.learning_rates = "1e-3; 1e-4 for svae and svae-star and in the official preset";
  line.recipe.learning_rate = [](const Options& o) {
    return o.preset == "official" || o.model.starts_with("svae") ? 1e-4 : 1e-3;
  };
  // The paper selects by the joint coherence of samples of the prior, which needs no data. That is
  // 1 for a model whose samples are all alike, so the paper preset takes what is beyond chance.
  line.recipe.figures = {"coherence_joint", "coherence_joint_kappa"};
  line.recipe.select = [](const Options& o) {
    return o.preset == "official" ? "coherence_joint" : "coherence_joint_kappa";
  };
  line.add_options = [&](CLI::App& app) {
    app.add_option("--repeats", repeats, "pairs in which each digit occurs")
        ->check(CLI::Range(1, 1000));
    app.add_option("--oracles", oracles,
                   "directory of mnist_classifier.safetensors and svhn_classifier.safetensors; "
                   "train: train them; auto: those in DATA/oracles, or else train");
    oracle_training.add_to(app);
    app.add_option("--likelihood", likelihood,
                   "distribution of the pixels that a model decodes; laplace: scale 0.75, as MMVAE "
                   "was published")
        ->check(CLI::IsMember({"bernoulli", "laplace"}));
    app.add_option("--prior-samples", prior_samples, "codes that judge the joint coherence")
        ->check(CLI::Range(1, 1000000));
  };
  line.finish = [&](Options& o) {
    o.program = {{"oracles", oracles},
                 {"oracle-training", oracle_training.training},
                 {"repeats", repeats},
                 {"prior-samples", prior_samples},
                 {"likelihood", likelihood}};
  };
  return run_program(argc, argv, line, [&](const Options& o) {
    const std::filesystem::path files = find_oracles(oracles, o.data);
    poe::expect(files.empty() || oracle_training.training == "quick",
                "--oracle-training {}: the oracles are those in '{}'; --oracles train trains them",
                oracle_training.training, files.string());
    const DigitPairSource source = load_digit_pairs(o, repeats);
    const auto run = [&]<class Pairs>(Pairs) {
      SvhnTask<Pairs> task{source, files, oracle_training, prior_samples};
      return run_task<Pairs, mnist_svhn::Head, mnist_svhn::LaplaceExpertHead>(o, task);
    };
    return likelihood == "laplace" ? run(mnist_svhn::LaplacePairs{}) : run(mnist_svhn::Pairs{});
  });
}
