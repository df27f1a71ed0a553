// SPDX-License-Identifier: MIT
// Atomic files, JSON logs, and pictures: what is drawn is what a PNG decoder sees.
#include "support.hpp"

#include "poe/core/random.hpp"
#include "poe/io/atomic_file.hpp"
#include "poe/io/figures.hpp"
#include "poe/io/jsonl.hpp"

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

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using poe::Canvas;
using poe::Color;
using poe::Json;

constexpr Color white{255, 255, 255}, black{}, red{200, 10, 20};

/// An empty directory, removed at the end.
struct Directory {
  fs::path path = fs::temp_directory_path() / ("poe-io-" + std::to_string(::getpid()));
  Directory() {
    fs::remove_all(path);
    fs::create_directory(path);
  }
  ~Directory() { fs::remove_all(path); }
  fs::path operator/(const char* name) const { return path / name; }
  std::ptrdiff_t count() const { return std::distance(fs::directory_iterator(path), {}); }
};

/// Lets no file grow beyond `bytes`: writing further fails as it does on a full disk.
struct FileSizeLimit {
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &old);
    const rlimit limit{bytes, old.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    handler = ::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old);
    ::signal(SIGXFSZ, handler);
  }
  rlimit old{};
  void (*handler)(int) = nullptr;
};

/// The message of the Error that `action` throws; any other outcome fails the test.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const poe::Error& error) {
    return error.what();
  }
  FAIL("expected a poe::Error");
  return {};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

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

TEST_CASE("a file appears whole or not at all") {
  const Directory dir;
  poe::write_file_atomically(dir / "a", "one");
  CHECK(poe::read_file(dir / "a") == "one");
  poe::write_file_atomically(dir / "a", std::string(100'000, 'x'));
  CHECK(poe::read_file(dir / "a") == std::string(100'000, 'x'));
  poe::write_file_atomically(dir / "a", "");
  CHECK(poe::read_file(dir / "a").empty());
  poe::write_file_atomically(dir / "a", [](poe::FileWriter& writer) {
    writer.write("two ");
    CHECK(writer.written() == 4);
    writer.write("pieces");
  });
  CHECK(poe::read_file(dir / "a") == "two pieces");
  CHECK(dir.count() == 1);
}

TEST_CASE("while a file is written, its readers see the old one") {
  const Directory dir;
  poe::write_file_atomically(dir / "a", "old");
  poe::write_file_atomically(dir / "a", [&](poe::FileWriter& writer) {
    writer.write("new");
    CHECK(poe::read_file(dir / "a") == "old");
    CHECK(dir.count() == 2);
  });
  CHECK(poe::read_file(dir / "a") == "new");
}

TEST_CASE("a failed write leaves the old file and nothing else") {
  const Directory dir;
  poe::write_file_atomically(dir / "a", "old");
  SECTION("the callback throws") {
    const auto fill = [](poe::FileWriter& writer) {
      writer.write("half");
      throw std::logic_error("mine");
    };
    CHECK_THROWS_AS(poe::write_file_atomically(dir / "a", fill), std::logic_error);
  }
  SECTION("the disk is full") {
    const FileSizeLimit limit(100);
    const std::string message =
        error_of([&] { poe::write_file_atomically(dir / "a", std::string(101, 'x')); });
    CHECK(contains(message, (dir / "a").string()));
    CHECK(contains(message, "File too large"));
  }
  CHECK(poe::read_file(dir / "a") == "old");
  CHECK(dir.count() == 1);
}

TEST_CASE("a place that cannot be written is named") {
  const Directory dir;
  poe::write_file_atomically(dir / "a", "old");
  const auto failure = [](const fs::path& path) {
    const std::string message = error_of([&] { poe::write_file_atomically(path, "new"); });
    CHECK(contains(message, path.string()));
    return message;
  };
  CHECK(contains(failure(dir / "absent/b"), "No such file or directory"));
  CHECK(contains(failure(dir / "a/b"), "Not a directory"));
  CHECK(contains(failure(dir.path), "expected a regular file"));
  REQUIRE(::mkfifo((dir / "pipe").c_str(), 0600) == 0);
  CHECK(contains(failure(dir / "pipe"), "expected a regular file"));
  CHECK(fs::is_fifo(dir / "pipe"));
  CHECK(contains(failure(""), "No such file or directory"));
  if (::geteuid() != 0) {  // root may write everywhere
    fs::permissions(dir.path, fs::perms::owner_read | fs::perms::owner_exec);
    CHECK(contains(failure(dir / "a"), "Permission denied"));
    fs::permissions(dir.path, fs::perms::owner_all);
  }
  CHECK(poe::read_file(dir / "a") == "old");
  CHECK(dir.count() == 2);
}

TEST_CASE("a replaced file keeps its permissions, and a link stays a link") {
  const Directory dir;
  const mode_t mask = ::umask(027);
  poe::write_file_atomically(dir / "new", "1");
  ::umask(mask);
  CHECK(fs::status(dir / "new").permissions() == fs::perms(0640));
  fs::permissions(dir / "new", fs::perms(0604));
  fs::create_symlink("new", dir / "link");
  poe::write_file_atomically(dir / "link", "2");
  CHECK(fs::is_symlink(dir / "link"));
  CHECK(poe::read_file(dir / "new") == "2");
  CHECK(fs::status(dir / "new").permissions() == fs::perms(0604));
  CHECK(dir.count() == 2);
}

TEST_CASE("a path without a directory is in the current one") {
  const Directory dir;
  const fs::path before = fs::current_path();
  fs::current_path(dir.path);
  poe::write_file_atomically("plain", "1");
  fs::current_path(before);
  CHECK(poe::read_file(dir / "plain") == "1");
}

TEST_CASE("JSON is written for people, and read back") {
  const Directory dir;
  poe::write_json(dir / "a", {{"z", 1}, {"a", {1.5, true}}});
  CHECK(poe::read_file(dir / "a") == "{\n  \"z\": 1,\n  \"a\": [\n    1.5,\n    true\n  ]\n}\n");
  CHECK(poe::read_json(dir / "a")["a"][0] == 1.5);
  for (const char* bad : {"{\"a\": }", "", "[1e999]", "{} {}"}) {
    poe::write_file_atomically(dir / "a", bad);
    CHECK(contains(error_of([&] { poe::read_json(dir / "a"); }), (dir / "a").string()));
  }
}

TEST_CASE("numbers keep every bit, and what JSON lacks becomes null") {
  CHECK(poe::to_text(0.1) == "0.1");
  CHECK(poe::to_text(1.0) == "1.0");
  CHECK(poe::to_text(1e300) == "1e+300");
  CHECK(poe::to_text(5e-324) == "5e-324");
  CHECK(poe::to_text({{"a", NAN}, {"b", -INFINITY}, {"s", "\xff"}}) ==
        "{\"a\":null,\"b\":null,\"s\":\"\xef\xbf\xbd\"}");
  const poe::Random random{.seed = 7};
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const auto x =
        std::bit_cast<double>(std::uint64_t{random.bits(2 * i)} << 32 | random.bits(2 * i + 1));
    if (!std::isfinite(x)) continue;
    const std::string text = poe::to_text(x);
    REQUIRE(std::bit_cast<std::uint64_t>(std::strtod(text.c_str(), nullptr)) ==
            std::bit_cast<std::uint64_t>(x));
    REQUIRE(text.size() <= 24);
  }
}

TEST_CASE("a log grows by whole lines") {
  const Directory dir;
  poe::append_json_line(dir / "log", {{"epoch", 1}, {"loss", 2.5}});
  poe::append_json_line(dir / "log", {{"epoch", 2}, {"text", "a\nb"}});
  CHECK(poe::read_file(dir / "log") ==
        "{\"epoch\":1,\"loss\":2.5}\n{\"epoch\":2,\"text\":\"a\\nb\"}\n");
  const auto lines = poe::read_json_lines(dir / "log");
  REQUIRE(lines.size() == 2);
  CHECK(lines[1]["text"] == "a\nb");

  const std::string before = poe::read_file(dir / "log");
  {
    const FileSizeLimit limit(before.size() + 5);
    CHECK(contains(error_of([&] {
                     poe::append_json_line(dir / "log", {{"epoch", 3}});
                   }),
                   (dir / "log").string()));
  }
  CHECK(poe::read_file(dir / "log") == before);

  poe::write_file_atomically(dir / "log", before + "{\"epo");
  CHECK(contains(error_of([&] {
                   poe::append_json_line(dir / "log", {{"epoch", 3}});
                 }),
                 "expected a whole last line"));
  CHECK(poe::read_json_lines(dir / "log").size() == 2);
  CHECK(contains(error_of([&] { poe::append_json_line(dir.path, {}); }), "directory"));
  CHECK(contains(error_of([&] { poe::read_json_lines(dir / "absent"); }), "No such file"));
}

TEST_CASE("a log goes back to an epoch") {
  const Directory dir;
  const std::string start = "{\"config\":{\"epoch\":9}}\n", one = "{\"epoch\":1}\n",
                    note = "{\"note\":1}\n", two = "{\"epoch\":2}\n", three = "{\"epoch\":3}\n";
  const auto resume = [&](const std::string& text, int last) {
    poe::write_file_atomically(dir / "log", text);
    const std::size_t lines = poe::resume_json_lines(dir / "log", "epoch", last);
    const std::string rest = poe::read_file(dir / "log");
    CHECK(lines == static_cast<std::size_t>(std::count(rest.begin(), rest.end(), '\n')));
    return rest;
  };
  const std::string log = start + one + note + two + note + three + note;
  CHECK(resume(log, 3) == log);
  CHECK(resume(log, 2) == start + one + note + two + note);
  CHECK(resume(log, 1) == start + one + note);
  CHECK(resume(log, 0) == start);
  CHECK(resume(one + "{\"epoch\":2}", 2) == one);
  CHECK(resume(one + "garbage", 2) == one);
  CHECK(resume(one + two + "{\"ep", 1) == one);
  CHECK(resume("", 1).empty());
  CHECK(poe::resume_json_lines(dir / "absent", "epoch", 1) == 0);
  CHECK_FALSE(fs::exists(dir / "absent"));

  for (const char* bad : {"{\"epoch\":\n", "[1]\n", "\n", "nonsense\n"}) {
    poe::write_file_atomically(dir / "log", one + bad + two);
    CHECK(contains(error_of([&] { poe::resume_json_lines(dir / "log", "epoch", 1); }),
                   "line 2 (byte 12)"));
    CHECK(poe::read_file(dir / "log") == one + bad + two);
  }
}

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
