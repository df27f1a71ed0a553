// SPDX-License-Identifier: MIT
// Pictures: what is drawn is what a PNG decoder sees.
#include "files.hpp"

#include "poe/core/random.hpp"
#include "poe/io/figures.hpp"

// The decoder is not ours, which is the point; its warnings are not ours either.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wunused-function"
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#include <stb_image.h>
#pragma GCC diagnostic pop

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace {

using poe::Canvas;
using poe::Color;
using poe::test::contains, poe::test::Directory, poe::test::error_of;

constexpr Color white{255, 255, 255}, black{}, red{200, 10, 20};

/// The pixels of a PNG file according to stb_image.
std::vector<Color> decode(const std::string& png, int& width, int& height) {
  int channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> data(
      stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(png.data()),
                            static_cast<int>(png.size()), &width, &height, &channels, 0),
      stbi_image_free);
  REQUIRE(data != nullptr);
  REQUIRE(channels == 3);
  std::vector<Color> pixels;
  for (int i = 0; i < width * height; ++i)
    pixels.push_back({data.get()[3 * i], data.get()[3 * i + 1], data.get()[3 * i + 2]});
  return pixels;
}

std::ptrdiff_t count(const Canvas& canvas, Color color) {
  return std::count(canvas.pixels.begin(), canvas.pixels.end(), color);
}

}  // namespace

TEST_CASE("a decoder sees the pixels that were drawn") {
  const Directory dir;
  const poe::Random random{.seed = 3};
  for (const auto& [w, h] : {std::pair{1, 1}, {1, 7}, {5, 1}, {37, 23}, {300, 200}}) {
    Canvas canvas(w, h, white);
    for (std::size_t i = 0; i < canvas.pixels.size(); ++i) {
      const std::uint32_t bits = random.bits(i);
      canvas.pixels[i] = {static_cast<std::uint8_t>(bits), static_cast<std::uint8_t>(bits >> 8),
                          static_cast<std::uint8_t>(bits >> 16)};
    }
    poe::write_png(dir / "a.png", canvas);
    int width = 0, height = 0;
    CHECK(decode(poe::read_file(dir / "a.png"), width, height) == canvas.pixels);
    CHECK((width == w && height == h));
    CHECK(poe::read_file(dir / "a.png") == poe::encode_png(canvas));
  }
}

TEST_CASE("rectangles are drawn where they are, and cut off outside") {
  Canvas canvas(6, 5, white);
  poe::fill(canvas, {1, 2, 3, 2}, red);
  CHECK(count(canvas, red) == 6);
  CHECK(canvas.at(1, 2) == red);
  CHECK(canvas.at(3, 3) == red);
  CHECK(canvas.at(4, 3) == white);
  CHECK(canvas.at(3, 4) == white);
  poe::fill(canvas, {-5, -5, 100, 100}, white);
  CHECK(count(canvas, white) == 30);
  poe::fill(canvas, {6, 0, 9, 9}, red);
  poe::fill(canvas, {0, -9, 9, 9}, red);
  CHECK(count(canvas, white) == 30);
  poe::frame(canvas, {0, 0, 6, 5}, 1, red);
  CHECK(count(canvas, red) == 30 - 4 * 3);
  CHECK(canvas.at(5, 4) == red);
  CHECK_THROWS_AS(Canvas(0, 5, white), poe::Error);
  CHECK_THROWS_AS(Canvas(5, 40'000, white), poe::Error);
}

TEST_CASE("values outside [0, 1] count as the nearer end") {
  CHECK(poe::mix({10, 20, 30}, {110, 0, 30}, 0.5F) == Color{60, 10, 30});
  CHECK(poe::mix(black, white, -3.0F) == black);
  CHECK(poe::mix(black, white, 7.0F) == white);
  CHECK(poe::mix(black, white, std::numeric_limits<float>::infinity()) == white);
  CHECK(poe::mix(black, white, std::numeric_limits<float>::quiet_NaN()) == black);
}

TEST_CASE("an image is drawn by value and enlarged by interpolation") {
  const std::vector<float> values{0.0F, 1.0F, 0.2F, 0.4F, 0.6F, 0.8F};  // (2, 3)
  Canvas canvas(20, 20, red);
  poe::draw_image(canvas, 4, 5, {2, 3, 1, values}, 1, {white, black});
  CHECK(count(canvas, red) == 400 - 6);
  CHECK(canvas.at(4, 5) == white);
  CHECK(canvas.at(5, 5) == black);
  CHECK(canvas.at(6, 5) == Color{204, 204, 204});
  CHECK(canvas.at(4, 6) == Color{153, 153, 153});
  CHECK(canvas.at(6, 6) == Color{51, 51, 51});

  // Three times as large: the middle of each block is the pixel; a third of the way lies beside it.
  poe::draw_image(canvas, 0, 0, {2, 3, 1, values}, 3, {black, white});
  CHECK(canvas.at(1, 1) == black);
  CHECK(canvas.at(4, 1) == white);
  CHECK(canvas.at(7, 4) == Color{204, 204, 204});
  CHECK(canvas.at(2, 1) == Color{85, 85, 85});
  CHECK(canvas.at(1, 2) == Color{34, 34, 34});  // a third of 0.4 is 0.1333
  CHECK(canvas.at(2, 2) == Color{96, 96, 96});  // 4/9 0 + 2/9 1 + 2/9 0.4 + 1/9 0.6 = 0.3778
  CHECK(canvas.at(0, 0) == black);
  CHECK(canvas.at(9, 0) == red);

  const std::vector<float> colours{1.0F, 0.0F, 0.2F, 0.4F, 0.6F, 0.8F};  // (1, 2, 3)
  poe::draw_image(canvas, 0, 0, {1, 2, 3, colours}, 1);
  CHECK(canvas.at(0, 0) == Color{255, 0, 51});
  CHECK(canvas.at(1, 0) == Color{102, 153, 204});

  poe::draw_image(canvas, -1, 19, {2, 3, 1, values}, 1, {white, black});  // partly outside
  CHECK(canvas.at(0, 19) == black);
  CHECK_THROWS_AS(poe::draw_image(canvas, 0, 0, {2, 2, 1, values}, 1), poe::Error);
  CHECK_THROWS_AS(poe::draw_image(canvas, 0, 0, {1, 3, 2, values}, 1), poe::Error);
  CHECK_THROWS_AS(poe::draw_image(canvas, 0, 0, {2, 3, 1, values}, 0), poe::Error);
}

TEST_CASE("every printable character has a shape of its own inside its line") {
  const poe::TextStyle style{.size = 14};
  std::vector<std::vector<Color>> shapes;
  for (char c = ' '; c <= '~'; ++c) {
    Canvas canvas(40, 40, white);
    poe::draw_text(canvas, 10, 25, std::string(1, c), style);
    INFO("character " << c);
    CHECK((count(canvas, white) == 1600) == (c == ' '));
    CHECK(std::find(shapes.begin(), shapes.end(), canvas.pixels) == shapes.end());
    shapes.push_back(canvas.pixels);
    // Nothing is left of the pen's place, beyond the width, or more than a third of a line away.
    poe::fill(canvas, {9, 25 - 18, poe::text_width(std::string(1, c), style) + 2, 24}, white);
    CHECK(count(canvas, white) == 1600);
  }
  Canvas unknown(40, 40, white), question(40, 40, white);
  poe::draw_text(unknown, 10, 25, "\xc3", style);
  poe::draw_text(question, 10, 25, "?", style);
  CHECK(unknown.pixels == question.pixels);
  CHECK(poe::text_width("", style) == 0);
  poe::draw_text(unknown, -500, 4, "far outside", style);
}

TEST_CASE("letters are as high as their style says") {
  Canvas canvas(40, 60, white);
  poe::draw_text(canvas, 5, 50, "H", {.size = 30, .color = black, .weight = 0.1F});
  const auto inked = [&](int row) {
    for (int x = 0; x < canvas.width; ++x)
      if (!(canvas.at(x, row) == white)) return true;
    return false;
  };
  CHECK(inked(49));
  CHECK(inked(20));
  CHECK_FALSE(inked(50));
  CHECK_FALSE(inked(19));
}

TEST_CASE("a grid shows every image once, given and generated in their inks") {
  const int columns = 3, scale = 3, height = 4, width = 5;
  const std::vector<float> ones(static_cast<std::size_t>(columns * height * width), 1.0F);
  const poe::Images images{height, width, 1, ones};
  poe::GridFigure figure{.title = "Title",
                         .subtitle = "subtitle",
                         .bands = {{"both", "", {{images}, {images}}},
                                   {"from top", "a note", {{images}, {images, true}}}},
                         .groups = {{"0", 2}, {"1", 1}},
                         .scale = scale};
  const Color given = poe::detail::given_inks.ink, generated = poe::detail::generated_inks.ink;
  const std::ptrdiff_t tile = columns * height * width * scale * scale, swatch = 15 * 15;
  const Canvas canvas = poe::draw(figure);
  CHECK(count(canvas, given) == 3 * tile + swatch);
  CHECK(count(canvas, generated) == tile + swatch);
  CHECK(canvas.pixels == poe::draw(figure).pixels);

  figure.groups_per_line = 1;
  const Canvas broken = poe::draw(figure);
  CHECK(count(broken, given) == 3 * tile + swatch);
  CHECK(broken.height > canvas.height);

  figure.bands.pop_back();  // one ink left: no legend
  CHECK(count(poe::draw(figure), given) == 2 * tile);
  CHECK(count(poe::draw(figure), generated) == 0);
}

TEST_CASE("halves of a band touch, and columns are in order") {
  // Column k of the upper part is all ink for k = 1; the lower part for k = 2.
  const std::vector<float> upper{0, 0, 1, 1, 0, 0}, lower{0, 0, 0, 0, 1, 1};  // (3, 1, 2)
  const poe::GridFigure figure{.bands = {{"", "", {{{1, 2, 1, upper}}, {{1, 2, 1, lower}}}}},
                               .groups = {{"", 1}, {"", 2}},
                               .scale = 2};
  Canvas canvas = poe::draw(figure);
  const Color ink = poe::detail::given_inks.ink, paper = poe::detail::given_inks.paper;
  const auto first = std::find(canvas.pixels.begin(), canvas.pixels.end(), paper);
  const auto offset = static_cast<int>(first - canvas.pixels.begin());
  const int x = offset % canvas.width, y = offset / canvas.width;
  const int second = x + 4 + 18;     // two pixels of two, and the gap between groups
  const int third = second + 4 + 4;  // the gap within a group
  CHECK(canvas.at(x, y) == paper);
  CHECK(canvas.at(second, y) == ink);
  CHECK(canvas.at(second, y + 2) == paper);
  CHECK(canvas.at(third, y) == paper);
  CHECK(canvas.at(third, y + 1) == paper);
  CHECK(canvas.at(third, y + 2) == ink);
  CHECK(canvas.at(third, y + 3) == ink);
  CHECK(canvas.at(third, y + 4) == white);
  CHECK(canvas.at(x + 4, y) == white);
}

TEST_CASE("samples are shown with their captions") {
  const std::vector<float> ones(7 * 6, 1.0F);
  poe::SamplesFigure figure{.title = "Samples",
                            .subtitle = "",
                            .images = {2, 3, 1, ones},
                            .captions = {"0", "1", "2", "3", "4", "5", "6"},
                            .columns = 4,
                            .scale = 2};
  const Canvas with = poe::draw(figure);
  CHECK(count(with, poe::detail::generated_inks.ink) == 7 * 6 * 4);
  figure.captions.clear();
  const Canvas without = poe::draw(figure);
  CHECK(count(without, poe::detail::generated_inks.ink) == 7 * 6 * 4);
  CHECK(without.height < with.height);

  figure.captions = {"one"};
  CHECK(contains(error_of([&] { poe::draw(figure); }), "expected 7 captions, got 1"));
  figure.captions.clear();
  figure.images.width = 4;
  CHECK_THROWS_AS(poe::draw(figure), poe::Error);
  figure.images = {2, 3, 1, {}};
  CHECK_THROWS_AS(poe::draw(figure), poe::Error);
}

TEST_CASE("a figure that does not fit together says so") {
  const std::vector<float> four(4, 0.5F);
  const poe::Images images{1, 2, 1, four};
  const poe::GridFigure good{.bands = {{"band", "", {{images}}}}, .groups = {{"", 2}}};
  poe::draw(good);
  const auto failure = [&](auto change) {
    poe::GridFigure figure = good;
    change(figure);
    return error_of([&] { poe::draw(figure); });
  };
  CHECK(contains(failure([](auto& f) { f.groups[0].columns = 3; }),
                 "'band': expected an image for each of 3 columns, got 2"));
  CHECK(contains(failure([](auto& f) { f.groups[0].columns = 0; }), "expected columns, got 0"));
  CHECK(contains(failure([](auto& f) { f.groups.clear(); }), "expected groups"));
  CHECK(contains(failure([](auto& f) { f.bands.clear(); }),
                 "expected groups and bands, got 1 and 0"));
  CHECK(contains(failure([](auto& f) { f.scale = 0; }), "scale of 1 to 16, got 0"));
  CHECK(contains(failure([](auto& f) { f.bands[0].parts[0].images.height = 3; }), "a multiple of"));
}
