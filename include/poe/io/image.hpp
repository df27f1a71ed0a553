// SPDX-License-Identifier: MIT
// A canvas to draw on, with rectangles and images; written as PNG.
#pragma once

#include "poe/core/error.hpp"
#include "poe/io/atomic_file.hpp"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <new>
#include <span>
#include <string>
#include <vector>

namespace poe {

/// 8-bit sRGB.
struct Color {
  std::uint8_t r = 0, g = 0, b = 0;
  friend constexpr bool operator==(const Color&, const Color&) = default;
};

/// The colour at t on the way from a (0) to b (1); below 0 and NaN count as 0, above 1 as 1.
inline Color mix(Color a, Color b, float t) {
  const float s = t > 0 ? std::min(t, 1.0F) : 0.0F;
  const auto channel = [s](int from, int to) {
    return static_cast<std::uint8_t>(
        std::lround(static_cast<float>(from) + s * static_cast<float>(to - from)));
  };
  return {channel(a.r, b.r), channel(a.g, b.g), channel(a.b, b.b)};
}

/// Pixels in rows from the top left. Whatever is drawn outside is cut off.
struct Canvas {
  Canvas(int w, int h, Color paper) : width(w), height(h) {
    if (w < 1 || h < 1 || w > 32767 || h > 32767)
      fail("canvas: expected a width and height of 1 to 32767, got {} and {}", w, h);
    pixels.assign(static_cast<std::size_t>(w) * static_cast<std::size_t>(h), paper);
  }
  bool contains(int x, int y) const { return x >= 0 && y >= 0 && x < width && y < height; }
  Color& at(int x, int y) {
    return pixels[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
                  static_cast<std::size_t>(x)];
  }

  int width, height;
  std::vector<Color> pixels;
};

/// Top left corner and extent, in pixels.
struct Rect {
  int x, y, width, height;
};

inline void fill(Canvas& canvas, Rect r, Color color) {
  for (int y = std::max(r.y, 0); y < std::min(r.y + r.height, canvas.height); ++y)
    for (int x = std::max(r.x, 0); x < std::min(r.x + r.width, canvas.width); ++x)
      canvas.at(x, y) = color;
}

/// A frame of the given thickness, inside the rectangle.
inline void frame(Canvas& canvas, Rect r, int thickness, Color color) {
  fill(canvas, {r.x, r.y, r.width, thickness}, color);
  fill(canvas, {r.x, r.y + r.height - thickness, r.width, thickness}, color);
  fill(canvas, {r.x, r.y, thickness, r.height}, color);
  fill(canvas, {r.x + r.width - thickness, r.y, thickness, r.height}, color);
}

/// The colours of values 0 and 1 of a grey image.
struct Inks {
  Color paper{255, 255, 255}, ink{0, 0, 0};
};

/// Images of one geometry, one behind the other, as a decoder returns them for a batch. Values are
/// in [0, 1], channels-last: one channel (grey) or three (red, green, blue).
struct Images {
  int height = 0, width = 0, channels = 1;
  std::span<const float> values{};  ///< (count, height, width, channels)

  /// How many there are; throws Error when the values do not come out even.
  int count() const {
    if (height < 1 || width < 1 || (channels != 1 && channels != 3) || values.size() % size() != 0)
      fail(
          "images: expected 1 or 3 channels and a multiple of height x width x channels values, "
          "got {} x {} x {} and {}",
          height, width, channels, values.size());
    return static_cast<int>(values.size() / size());
  }
  /// Image k alone.
  Images operator[](int k) const {
    return {height, width, channels, values.subspan(static_cast<std::size_t>(k) * size(), size())};
  }

 private:
  std::size_t size() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width) *
           static_cast<std::size_t>(channels);
  }
};

/// Draws one image with its top left corner at (x, y), enlarged `scale` times by linear
/// interpolation between the centres of its pixels. A grey image is drawn in `inks`.
inline void draw_image(Canvas& canvas, int x, int y, const Images& image, int scale,
                       Inks inks = {}) {
  if (image.count() != 1 || scale < 1)
    fail("draw_image: expected 1 image and a scale from 1, got {} and {}", image.count(), scale);
  // The two source pixels between which an output pixel lies, and how far it is on the way.
  struct Between {
    int low, high;
    float t;
  };
  const auto between = [scale](int out, int extent) {
    const float at = (static_cast<float>(out) + 0.5F) / static_cast<float>(scale) - 0.5F;
    const int low = static_cast<int>(std::floor(at));
    return Between{std::max(low, 0), std::min(low + 1, extent - 1), at - static_cast<float>(low)};
  };
  const auto source = [&](int i, int j, int c) {
    return image.values[static_cast<std::size_t>((i * image.width + j) * image.channels + c)];
  };
  for (int i = 0; i < image.height * scale; ++i) {
    const Between row = between(i, image.height);
    for (int j = 0; j < image.width * scale; ++j) {
      if (!canvas.contains(x + j, y + i)) continue;
      const Between column = between(j, image.width);
      const auto value = [&](int c) {
        return std::lerp(
            std::lerp(source(row.low, column.low, c), source(row.low, column.high, c), column.t),
            std::lerp(source(row.high, column.low, c), source(row.high, column.high, c), column.t),
            row.t);
      };
      const auto byte = [&](int c) { return mix({0}, {255}, value(c)).r; };
      canvas.at(x + j, y + i) = image.channels == 1 ? mix(inks.paper, inks.ink, value(0))
                                                    : Color{byte(0), byte(1), byte(2)};
    }
  }
}

/// The bytes of an 8-bit RGB PNG file. Equal pictures give equal bytes (with one version of zlib).
inline std::string encode_png(const Canvas& canvas) {
  std::string png("\x89PNG\r\n\x1a\n", 8);
  const auto bytes = [](const std::string& s) { return reinterpret_cast<const Bytef*>(s.data()); };
  const auto big_endian = [](std::size_t value) {
    std::string four;
    for (int shift = 24; shift >= 0; shift -= 8) four += static_cast<char>(value >> shift & 0xff);
    return four;
  };
  const auto add_chunk = [&](const std::string& type_and_data) {
    png += big_endian(type_and_data.size() - 4) + type_and_data;
    png += big_endian(crc32(0, bytes(type_and_data), static_cast<uInt>(type_and_data.size())));
  };
  const std::string format("\x08\x02\0\0\0", 5);  // 8 bits, RGB; the only methods that there are
  add_chunk("IHDR" + big_endian(static_cast<std::size_t>(canvas.width)) +
            big_endian(static_cast<std::size_t>(canvas.height)) + format);

  std::string rows;
  const auto width = static_cast<std::size_t>(canvas.width);
  for (std::size_t i = 0; i < canvas.pixels.size(); ++i) {
    if (i % width == 0) rows += '\0';  // the row is stored as it is, without a filter
    const Color c = canvas.pixels[i];
    for (const std::uint8_t channel : {c.r, c.g, c.b}) rows += static_cast<char>(channel);
  }
  uLongf size = compressBound(rows.size());
  std::string data = "IDAT" + std::string(size, '\0');
  auto* packed = reinterpret_cast<Bytef*>(data.data() + 4);
  if (compress2(packed, &size, bytes(rows), rows.size(), 9) != Z_OK) throw std::bad_alloc();
  data.resize(4 + size);
  add_chunk(data);
  add_chunk("IEND");
  return png;
}

/// Writes a PNG file, atomically.
inline void write_png(const std::filesystem::path& path, const Canvas& canvas) {
  write_file_atomically(path, encode_png(canvas));
}

}  // namespace poe
