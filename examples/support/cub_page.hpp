// SPDX-License-Identifier: MIT
// A page of captions and images: what a model makes of each, of both, and of nothing.
#pragma once

#include <poe/io/image.hpp>

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

/// The training image whose features are nearest to those that were generated: features have no
/// picture of their own.
inline std::string nearest_picture(const CubSource& source, std::span<const float> feature,
                                   const std::vector<std::uint32_t>& rows,
                                   const std::vector<float>& features) {
  const auto width = static_cast<Eigen::Index>(source.data.width);
  const auto nearest =
      poe::nearest_row({features.data(), static_cast<Eigen::Index>(rows.size()), width}, feature);
  return picture(source, rows[static_cast<std::size_t>(nearest.row)]);
}

inline std::string sentence(const CubSource& source, std::span<const poe::TokenId> ids) {
  const std::string text = source.vocabulary.decode(ids);
  return fmt::format("<p>{}</p>", text.empty() ? "(nothing)" : compare::escaped(text));
}

inline constexpr const char* page_style =
    "body{font:15px/1.45 system-ui,sans-serif;color:#1a1a2e;max-width:1120px;margin:2rem auto;"
    "padding:0 1rem}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}"
    "table{border-collapse:collapse;width:100%}th{font-weight:600;text-align:left;color:#555}"
    "td,th{padding:.5rem .7rem;vertical-align:top;border-top:1px solid #dde}"
    "p{margin:0 0 .35rem}.made{color:#1450a3}img{border-radius:3px;display:block}"
    ".lead{color:#555}";

}  // namespace detail

/// Writes pairs.html into --out: held-out pairs with the captions and the images that the model
/// makes of either side, and pairs that it draws by itself. Of generated features, the picture is
/// that of the nearest training image.
template <class Model>
void write_pairs(const Model& model, poe::LearnerOf<Model>& learner, const CubSource& source,
                 const poe::Scores& scores, const Options& o) {
  using M = typename Model::ModalitySet;
  constexpr int shown = 8, draws = 3;
  const int count = std::min(shown, source.test.rows());
  std::vector<std::uint32_t> rows;
  for (std::size_t n = 0; n < source.train.masks.size(); ++n)
    if ((source.train.masks[n] & 2U) != 0) rows.push_back(source.train.feature[n]);
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  std::vector<float> features;
  const auto width = static_cast<std::size_t>(source.data.width);
  for (const std::uint32_t row : rows) {
    const auto feature = std::span(source.data.features).subspan(row * width, width);
    features.insert(features.end(), feature.begin(), feature.end());
  }

  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width\"><title>{0} on {1}</title>"
      "<style>{2}</style></head><body>\n<h1>{0} on {1}</h1>\n<p class=\"lead\">Held-out pairs. "
      "Blue is generated; an image that was generated is shown as the training image whose "
      "features are nearest.</p>\n<table>\n",
      compare::escaped(o.model), compare::escaped(source.title), detail::page_style);
  for (const auto& [name, value] : scores.values)
    html += fmt::format("<tr><td>{}</td><td>{:.3f}</td></tr>\n", name, value);
  html +=
      "</table>\n<h2>From one to the other</h2>\n<table>\n<tr><th>image</th><th>its caption</th>"
      "<th>captions made of the image</th><th>images found for the caption</th></tr>\n";
  const auto part = poe::gather(source.samples<M>(source.test), 3, 0, count);
  std::vector<poe::Decoded<Model>> by_image, by_caption;
  for (std::uint32_t d = 0; d < draws; ++d) {
    const poe::Random noise = evaluation_noise.at_step(d);
    by_image.push_back(poe::complete(model, learner, part.group(), 2, noise));
    by_caption.push_back(poe::complete(model, learner, part.group(), 1, noise));
  }
  for (int n = 0; n < count; ++n) {
    const auto k = static_cast<std::size_t>(n);
    html += "<tr><td>" + detail::picture(source, source.test.feature[k]) + "</td><td>" +
            detail::sentence(source, source.sentence(source.test.caption[k])) +
            "</td><td class=\"made\">";
    for (const auto& made : by_image)
      html += detail::sentence(source, ids_of(source.vocabulary, std::get<0>(made).row(n)));
    html += "</td><td><div style=\"display:flex;gap:.4rem\">";
    for (const auto& made : by_caption)
      html += detail::nearest_picture(source, std::get<1>(made).row(n), rows, features);
    html += "</div></td></tr>\n";
  }
  html += "</table>\n<h2>From nothing: samples of the prior</h2>\n<table>\n";
  const auto drawn = poe::draw_from_prior(model, learner, shown, evaluation_noise);
  const auto& [captions, images] = drawn;
  for (int n = 0; n < shown; ++n)
    html += "<tr><td>" + detail::nearest_picture(source, images.row(n), rows, features) +
            "</td><td class=\"made\">" +
            detail::sentence(source, ids_of(source.vocabulary, captions.row(n))) + "</td></tr>\n";
  html += "</table>\n</body></html>\n";
  poe::write_file_atomically(o.out / "pairs.html", html);
}

}  // namespace examples
