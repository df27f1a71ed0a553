// SPDX-License-Identifier: MIT
// A page of captions and images: what a model makes of each, of both, and of nothing.
#pragma once

#include <poe/io/image.hpp>

#include <set>

#include "../compare/html.hpp"
#include "cub_correlation.hpp"

namespace examples {

namespace detail {

/// The picture of a row of features, or its number where the data have no pictures.
inline std::string picture(const CubSource& source, std::uint32_t row) {
  constexpr int side = 64, scale = 2;
  if (source.data.thumbnails.empty()) return fmt::format("<p>image {}</p>", row);
  std::vector<float> values;
  const std::size_t size = std::size_t{side} * side * 3;
  for (const std::uint8_t byte : std::span(source.data.thumbnails).subspan(row * size, size))
    values.push_back(static_cast<float>(byte) / 255.0F);
  poe::Canvas canvas(side * scale, side * scale, {255, 255, 255});
  poe::draw_image(canvas, 0, 0, {side, side, 3, values}, scale);
  return fmt::format("<img alt=\"image {}\" width=\"{}\" src=\"{}\">", row, side * scale,
                     compare::data_uri("image/png", poe::encode_png(canvas)));
}

/// The training images, all of them whatever --limit says: features have no picture of their own,
/// so one that was generated is shown as the nearest of these.
struct TrainingImages {
  std::vector<std::uint32_t> rows;
  std::vector<float> features;

  explicit TrainingImages(const CubSource& source) {
    const CubSamples& train = source.all_train;
    for (std::size_t n = 0; n < train.masks.size(); ++n)
      if ((train.masks[n] & 2U) != 0) rows.push_back(train.feature[n]);
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    const auto width = static_cast<std::size_t>(source.data.width);
    for (const std::uint32_t row : rows) {
      const auto feature = std::span(source.data.features).subspan(row * width, width);
      features.insert(features.end(), feature.begin(), feature.end());
    }
  }
  std::uint32_t nearest(std::span<const float> feature) const {
    const auto found = poe::nearest_row({features.data(), static_cast<Eigen::Index>(rows.size()),
                                         static_cast<Eigen::Index>(feature.size())},
                                        feature);
    return rows[static_cast<std::size_t>(found.row)];
  }
};

/// An image above its caption.
inline std::string pair_html(const std::string& image, const std::string& caption) {
  return fmt::format("<figure>{}<figcaption>{}</figcaption></figure>", image,
                     caption.empty() ? "(nothing)" : compare::escaped(caption));
}

/// Row n of what a model made.
template <class Decoded>
std::string made_html(const CubSource& source, const TrainingImages& images, const Decoded& made,
                      int n) {
  const auto ids = ids_of(source.vocabulary, std::get<0>(made).row(n));
  return pair_html(picture(source, images.nearest(std::get<1>(made).row(n))),
                   source.vocabulary.decode(ids));
}

/// The first samples of a set whose images differ, at most `most`.
inline CubSamples distinct_images(const CubSamples& set, int most) {
  CubSamples chosen;
  std::set<std::uint32_t> seen;
  for (std::size_t n = 0; n < set.masks.size() && chosen.rows() < most; ++n)
    if (set.masks[n] == 3 && seen.insert(set.feature[n]).second)
      chosen.add(static_cast<std::int32_t>(set.caption[n]),
                 static_cast<std::int32_t>(set.feature[n]));
  return chosen;
}

inline constexpr const char* page_style =
    "body{font:15px/1.45 system-ui,sans-serif;color:#1a1a2e;max-width:1120px;margin:2rem auto;"
    "padding:0 1rem}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}"
    "table{border-collapse:collapse}th{font-weight:600;text-align:left;color:#555}"
    "td,th{padding:.5rem .7rem;vertical-align:top;border-top:1px solid #dde}"
    "figure{margin:0;width:15rem}figcaption{margin-top:.35rem}.made{color:#1450a3}"
    ".drawn{display:flex;flex-wrap:wrap;gap:1.2rem .8rem}img{border-radius:3px;display:block}"
    ".lead{color:#555}";

}  // namespace detail

/// Writes pairs.html into --out: held-out pairs of eight images, what the model makes of the
/// caption, of the image and of both, and eight pairs that it draws by itself.
template <class Model>
void write_pairs(const Model& model, poe::LearnerOf<Model>& learner, const CubSource& source,
                 std::span<const Correlation> correlations, const Options& o) {
  using M = typename Model::ModalitySet;
  constexpr int shown = 8;
  constexpr poe::Subset caption_given = 1, image_given = 2, both_given = 3;
  const CubSamples pairs = detail::distinct_images(source.test, shown);
  const detail::TrainingImages images(source);

  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width\"><title>{0} on {1}</title>"
      "<style>{2}</style></head><body>\n<h1>{0} on {1}</h1>\n<p class=\"lead\">Blue is generated; "
      "an image that was generated is shown as the training image whose features are "
      "nearest.</p>\n",
      compare::escaped(o.model), compare::escaped(source.title), detail::page_style);
  html +=
      "<h2>Held-out pairs, and what is made of them</h2>\n<table>\n<tr><th>image and "
      "caption</th><th>from the caption</th><th>from the image</th><th>from both</th></tr>\n";
  const auto part = poe::gather(source.samples<M>(pairs), both_given, 0, pairs.rows());
  std::vector<poe::Decoded<Model>> made;
  for (const poe::Subset given : {caption_given, image_given, both_given})
    made.push_back(poe::complete(model, learner, part.group(), given, evaluation_noise));
  for (int n = 0; n < pairs.rows(); ++n) {
    const auto k = static_cast<std::size_t>(n);
    html += "<tr><td>" + detail::pair_html(detail::picture(source, pairs.feature[k]),
                                           source.data.captions[pairs.caption[k]].text);
    for (const auto& decoded : made)
      html += "</td><td class=\"made\">" + detail::made_html(source, images, decoded, n);
    html += "</td></tr>\n";
  }
  html += "</table>\n<h2>From nothing: samples of the prior</h2>\n<div class=\"drawn made\">\n";
  const auto drawn = poe::draw_from_prior(model, learner, shown, evaluation_noise);
  for (int n = 0; n < shown; ++n) html += detail::made_html(source, images, drawn, n) + "\n";
  html += "</div>\n<h2>Test figures</h2>\n<table>\n";
  for (const auto& [name, score] : correlations)
    html += fmt::format("<tr><td>{}</td><td>{:.3f} ± {:.3f}</td></tr>\n", name, score.mean,
                        score.standard_error);
  html += "</table>\n</body></html>\n";
  poe::write_file_atomically(o.out / "pairs.html", html);
}

}  // namespace examples
