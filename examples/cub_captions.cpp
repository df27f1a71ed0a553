// SPDX-License-Identifier: MIT
// SVAE, VAEVAE and other models on CUB-Captions: sentences about birds, and features of their
// images.
#include "networks/cub_captions.hpp"  // the networks, as types
#include "support/cub_page.hpp"
#include "support/training.hpp"

namespace {
using namespace examples;

/// Widths of features that this program is made for.
using Widths = std::integer_sequence<int, POE_CUB_WIDTHS>;

template <class M>
struct CubTask {
  const CubSource& source;
  poe::CaptionCorrelationOptions metric_options;
  std::filesystem::path cache;
  int prior_samples = 0;
  std::string name = "cub_captions";
  std::optional<poe::CaptionCorrelation> metric{};

  std::string fingerprint() const { return source.fingerprint(); }
  poe::Samples<float, M> samples() const { return source.samples<M>(source.train); }
  std::vector<poe::Subset> masks() const {
    const auto& masks = source.train.masks;
    const bool complete = std::all_of(masks.begin(), masks.end(), [](auto s) { return s == 3; });
    return complete ? std::vector<poe::Subset>{} : masks;
  }
  poe::Json data() const {
    return {{"name", source.name},
            {"title", source.title},
            {"source", source.data.source},
            {"width", source.data.width},
            {"words", source.vocabulary.size() - poe::Vocabulary::first_word},
            {"train", source.train.rows()},
            {"validation", source.validation.rows()},
            {"test", source.test.rows()}};
  }
  template <class Device>
  void prepare(const Options& o, poe::Json&) {
    poe::write_file_atomically(o.out / "vocabulary.txt", source.vocabulary.to_text());
    const poe::Stopwatch clock;
    metric.emplace(fit_correlation(source, metric_options, cache));
    fmt::print("correlation: {} components, fitted in {}\n", metric_options.components,
               poe::duration_text(clock.seconds()));
    std::fflush(stdout);
  }
  template <class Model>
  poe::Scores validate(const Model& model, poe::LearnerOf<Model>& learner, const Options& o) {
    const bool official = o.preset == "official";
    return scores_of(correlations(model, learner, source,
                                  official ? source.test : source.validation, *metric,
                                  prior_samples));
  }
  template <class Model>
  void report(const Model& model, poe::LearnerOf<Model>& learner, const Options& o,
              poe::Json& summary) {
    auto all = correlations(model, learner, source, source.test, *metric, prior_samples);
    for (const auto& reference : reference_correlations(source, source.test, *metric))
      all.push_back(reference);
    for (const auto& [figure, score] : all) {
      summary["test"][figure] = score.mean;
      summary["test"][figure + "_se"] = score.standard_error;
      fmt::print("test {:40} {:9.3f} ± {:.3f}\n", figure, score.mean, score.standard_error);
    }
    if (o.importance_samples > 0) {
      const int rows = std::min(o.importance_rows, source.test.rows());
      const auto pairs = poe::gather(source.samples<M>(source.test), 3, 0, rows);
      summary["test"]["log_likelihood"] = log_likelihoods(model, learner, pairs.group(), o);
    }
    write_pairs(model, learner, source, all, o);
  }
};

/// Trains on features of the width that the data have.
template <int... Width>
int run(const Options& o, const CubSource& source, const poe::CaptionCorrelationOptions& metric,
        const std::filesystem::path& cache, int prior_samples,
        std::integer_sequence<int, Width...>) {
  int status = 0;
  const auto with = [&]<int W>(std::integral_constant<int, W>) {
    if (source.data.width != W) return false;
    using M = cub_captions::Pairs<W>;
    CubTask<M> task{source, metric, cache, prior_samples};
    status = run_task<M, cub_captions::Head, cub_captions::LaplaceExpertHead>(o, task);
    return true;
  };
  const bool known = (with(std::integral_constant<int, Width>{}) || ...);
  poe::expect(known,
              "{}: features of width {}; this program is made for {}: build it with "
              "-DPOE_CUB_WIDTHS={}",
              source.data.source, source.data.width, fmt::join({Width...}, " and "),
              source.data.width);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  CubOptions cub;
  poe::CaptionCorrelationOptions metric;
  std::filesystem::path cache;
  int prior_samples = 1000;
  CommandLine line;
  line.title = "Multimodal VAEs on CUB-Captions: sentences about birds, and image features";
  line.recipe.lambda = {1, 0.002};
  line.recipe.learning_rates = "1e-4";
  line.recipe.learning_rate = [](const Options&) { return 1e-4; };
  // The paper selects by the coherence of samples of the prior, which needs no held-out data.
  // Samples that are all alike score the cosine of that one pair, so the paper preset takes what is
  // above that of exchanged samples.
  line.recipe.figures = {"correlation_joint", "correlation_joint_gain",
                         "correlation_image_to_caption", "correlation_caption_to_image"};
  line.recipe.select = [](const Options& o) {
    return o.preset == "official" ? "correlation_joint" : "correlation_joint_gain";
  };
  line.add_options = [&](CLI::App& app) {
    app.add_option("--split", cub.split,
                   "published: by class; images: a random tenth of the images each for "
                   "validation and test, for data of which a part is missing")
        ->check(CLI::IsMember({"published", "images"}));
    app.add_option("--min-count", cub.min_count, "rarer words are left out of the vocabulary")
        ->check(CLI::Range(1, 1000000));
    app.add_option("--vocabulary", cub.vocabulary,
                   "take this vocabulary.txt of another run instead of making one");
    app.add_option("--feature-scale", cub.feature_scale,
                   "features are multiplied by it: their likelihood suits a mean of about 0.5")
        ->check(examples::finite)
        ->check(positive);
    app.add_option("--cca-components", metric.components, "canonical directions of the correlation")
        ->check(CLI::Range(1, 300));
    app.add_option("--cca-ridge", metric.ridge.x,
                   "added to the variances of image features, as a share of their mean, where the "
                   "training images are few for their width")
        ->check(examples::finite)
        ->check(not_negative);
    app.add_option("--prior-samples", prior_samples, "codes that judge the joint coherence")
        ->check(CLI::Range(2, 1000000));
    app.add_option("--oracle-cache", cache, "directory in which learnt word vectors are kept");
  };
  line.finish = [&](Options& o) {
    if (o.data.empty()) cub.split = "images";  // stand-ins have no classes
    o.program = {{"split", cub.split},
                 {"min-count", cub.min_count},
                 {"feature-scale", cub.feature_scale},
                 {"cca-components", metric.components},
                 {"cca-ridge", metric.ridge.x},
                 {"prior-samples", prior_samples}};
  };
  return run_program(argc, argv, line, [&](Options& o) {
    const CubSource source =
        load_captions(o, cub, cub_captions::sentence_length, cub_captions::vocabulary_size);
    o.program["vocabulary"] = source.vocabulary_text();
    return run(o, source, metric, cache, prior_samples, Widths{});
  });
}
