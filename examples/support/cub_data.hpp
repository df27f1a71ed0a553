// SPDX-License-Identifier: MIT
// Captions and images for cub_captions: from files, or the embedded shapes; as numbers for models.
#pragma once

#include <poe/data/cub.hpp>
#include <poe/data/samples.hpp>
#include <poe/data/shapes.hpp>
#include <poe/data/tokens.hpp>
#include <poe/data/vocabulary.hpp>
#include <poe/eval/caption_correlation.hpp>
#include <poe/eval/oracle.hpp>

#include "command_line.hpp"
#include "cub_title.hpp"

namespace examples {

/// What is settled when the data are read.
struct CubOptions {
  std::string split = "published";     // or "images", as it is for stand-ins
  std::filesystem::path vocabulary{};  // a file; empty: made of the training captions
  int min_count = 4;
  double feature_scale = 1;  // features are multiplied by it
};

/// A set of samples as indices for a Trainer: rows of captions and of features, and what of each
/// sample is there.
struct CubSamples {
  std::vector<std::uint32_t> caption, feature;
  std::vector<poe::Subset> masks;

  void add(std::int32_t caption_index, std::int32_t feature_row) {
    const bool has_caption = caption_index >= 0, has_feature = feature_row >= 0;
    caption.push_back(has_caption ? static_cast<std::uint32_t>(caption_index) : 0);
    feature.push_back(has_feature ? static_cast<std::uint32_t>(feature_row) : 0);
    masks.push_back((has_caption ? 1U : 0U) | (has_feature ? 2U : 0U));
  }
  int rows() const { return static_cast<int>(masks.size()); }
};

/// The data set, its vocabulary, and the captions as ids.
struct CubSource {
  poe::CubData data;
  std::vector<std::vector<std::string>> tokens;  // by caption
  poe::Vocabulary vocabulary;
  int length;                                // of sentences in tokens
  std::string name, title;                   // for programs: "cub" or "procedural"; for people
  std::vector<poe::TokenId> ids{};           // (captions, length)
  poe::Buffer<float> id_values{};            // the same, as models take them
  CubSamples train{}, validation{}, test{};  // at most --limit samples; the latter two are pairs
  CubSamples all_train{};                    // whatever the limit: for what is fitted to the data

  std::string fingerprint() const {
    const auto crc = [](const auto& values, std::uint32_t start) {
      return poe::detail::checksum(std::as_bytes(std::span(values)), start);
    };
    std::uint32_t sum = crc(data.features, crc(ids, 0));
    for (const CubSamples* set : {&train, &validation, &test})
      sum = crc(set->feature, crc(set->caption, sum));
    return fmt::format("{}:{:08x}", name, sum);
  }
  /// Two vocabularies with the same text are the same.
  std::string vocabulary_text() const {
    const std::string text = vocabulary.to_text();
    return fmt::format("{} words, checksum {:08x}", vocabulary.size() - poe::Vocabulary::first_word,
                       poe::detail::checksum(std::as_bytes(std::span(text)), 0));
  }
  std::span<const poe::TokenId> sentence(std::uint32_t caption) const {
    return std::span(ids).subspan(caption * static_cast<std::size_t>(length),
                                  static_cast<std::size_t>(length));
  }
  template <class M>
  poe::Samples<float, M> samples(const CubSamples& set) const {
    poe::Samples<float, M> s;
    s.rows = set.rows();
    s.stored = {{id_values.data(), static_cast<int>(tokens.size())},
                {data.features.data(), data.rows}};
    s.at = {set.caption, set.feature};
    return s;
  }
};

namespace detail {

/// Coloured shapes as a data set: some images without captions, some captions without images.
inline poe::CubData shapes_as_cub() {
  constexpr int images = 1000, without_captions = 100, without_features = 100;
  poe::ShapeSet shapes = poe::make_shapes(images, poe::Random{1, 7, 0});
  poe::CubData data;
  data.rows = images;
  data.width = static_cast<int>(poe::shape_features);
  data.features = std::move(shapes.features);
  data.thumbnails = std::move(shapes.pixels);
  data.source = "procedural shapes (embedded generator)";
  for (int i = 0; i < images; ++i) {
    data.keys.push_back(fmt::format("shapes/{:04}", i));
    data.parts.push_back(poe::CubPart::unknown);
    data.feature.push_back(i < without_features ? -1 : i);
    if (i >= images - without_captions) continue;
    for (int c = 0; c < shapes.captions_per_image; ++c)
      data.captions.push_back(
          {shapes.captions[static_cast<std::size_t>(i * shapes.captions_per_image + c)], i, c});
  }
  return data;
}

/// Samples in random order, so that any number of the first are a fair sample of all; at most
/// `limit` of them, or all where that is 0.
inline CubSamples in_random_order(const poe::CubSet& set, int limit, std::uint32_t stream) {
  auto order = poe::permutation(static_cast<std::uint32_t>(set.size()), poe::Random{1, stream, 0});
  if (limit > 0 && order.size() > static_cast<std::size_t>(limit))
    order.resize(static_cast<std::size_t>(limit));
  CubSamples samples;
  for (const std::uint32_t n : order) samples.add(set.caption[n], set.feature[n]);
  return samples;
}

/// The vocabulary of the training captions, or that of the file.
inline poe::Vocabulary make_vocabulary(const std::vector<std::vector<std::string>>& tokens,
                                       const poe::CubSet& train, const CubOptions& c,
                                       int capacity) {
  std::vector<std::vector<std::string>> captions;
  for (const std::int32_t caption : train.caption)
    if (caption >= 0) captions.push_back(tokens[static_cast<std::size_t>(caption)]);
  auto vocabulary = c.vocabulary.empty() ? poe::Vocabulary::from_captions(captions, c.min_count)
                                         : poe::Vocabulary::load(c.vocabulary);
  poe::expect(vocabulary.size() <= capacity,
              "vocabulary: {} words and markers, but the networks are made for {}; a larger "
              "--min-count leaves rare words out",
              vocabulary.size(), capacity);
  return vocabulary;
}

}  // namespace detail

/// Reads or makes the data; captions of at most `length` tokens, at most `capacity` ids. Without
/// --data the program draws shapes, which is said loudly.
inline CubSource load_captions(const Options& o, const CubOptions& c, int length, int capacity) {
  const bool embedded = o.data.empty();
  if (embedded)
    fmt::print(
        "*** No --data: training on PROCEDURAL shapes with sentences, drawn by this program, not "
        "on birds.\n*** Figures below say nothing about the paper.\n");
  poe::CubData data = embedded ? detail::shapes_as_cub() : poe::load_cub(o.data);
  for (float& feature : data.features) feature *= static_cast<float>(c.feature_scale);
  const auto how = c.split == "images" ? poe::CubSplit::images : poe::CubSplit::published;
  const poe::CubSets sets = poe::split_cub(data, how, poe::Random{1, 8, 0});
  std::vector<std::vector<std::string>> tokens;
  for (const poe::CubCaption& caption : data.captions)
    tokens.push_back(poe::tokenise(caption.text));
  poe::Vocabulary vocabulary = detail::make_vocabulary(tokens, sets.train, c, capacity);
  const std::string title = embedded ? "procedural shapes (not CUB-Captions)" : cub_title(data);
  CubSource s{.data = std::move(data),
              .tokens = std::move(tokens),
              .vocabulary = std::move(vocabulary),
              .length = length,
              .name = embedded ? "procedural" : "cub",
              .title = title};
  for (const auto& words : s.tokens) {
    const auto ids = s.vocabulary.encode(words, length);
    s.ids.insert(s.ids.end(), ids.begin(), ids.end());
  }
  s.id_values = poe::Buffer<float>(s.ids.size());
  std::transform(s.ids.begin(), s.ids.end(), s.id_values.data(),
                 [](poe::TokenId id) { return static_cast<float>(id); });
  s.all_train = detail::in_random_order(sets.train, 0, 9);
  s.train = detail::in_random_order(sets.train, o.limit, 9);
  s.validation = detail::in_random_order(sets.validation, o.limit, 10);
  s.test = detail::in_random_order(sets.test, o.limit, 11);
  const auto count = [&](poe::Subset mask) {
    return std::count(s.train.masks.begin(), s.train.masks.end(), mask);
  };
  double mean = 0;
  for (const float feature : s.data.features) mean += feature;
  mean /= static_cast<double>(s.data.features.size());
  fmt::print("data: {}, features of width {} and mean {:.2g}\n", s.data.source, s.data.width, mean);
  constexpr double usual = 0.5;  // ResNet-101, averaged
  if (mean > 4 * usual || (mean > 0 && mean < usual / 4))
    fmt::print(
        "note: the likelihood of features is made for a mean of about {}; consider --feature-scale "
        "{:.1g}\n",
        usual, c.feature_scale * usual / mean);
  fmt::print(
      "training: {} pairs, {} captions alone, {} images alone; {} pairs for validation, {} for "
      "tests; {} words\n",
      count(3), count(1), count(2), s.validation.rows(), s.test.rows(),
      s.vocabulary.size() - poe::Vocabulary::first_word);
  return s;
}

}  // namespace examples
