// SPDX-License-Identifier: MIT
// A sheet to draw on with cairo: the same commands make an SVG and a PNG.
#pragma once

#include <cairo-svg.h>
#include <cairo.h>
#include <poe/core/error.hpp>

#include <array>
#include <memory>
#include <numbers>
#include <span>
#include <string>
#include <string_view>

namespace compare {

struct Ink {
  double red, green, blue, alpha = 1;
  Ink faded(double share) const { return {red, green, blue, alpha * share}; }
};

struct Spot {
  double x, y;
};

enum class Align { left, centre, right };

struct Lettering {
  double size = 13;
  Ink ink = {0.13, 0.13, 0.13};
  bool bold = false;
  Align align = Align::left;
};

/// Draws with cairo. Units are pixels of the SVG; y grows downwards.
class Sheet {
 public:
  explicit Sheet(cairo_t* cairo) : cairo_(cairo) {
    cairo_font_options_t* font = cairo_font_options_create();
    // Letters where the layout puts them, not where the grid of the screen would have them.
    cairo_font_options_set_hint_style(font, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(font, CAIRO_HINT_METRICS_OFF);
    cairo_font_options_set_antialias(font, CAIRO_ANTIALIAS_GRAY);
    cairo_set_font_options(cairo, font);
    cairo_font_options_destroy(font);
    cairo_set_line_join(cairo, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_cap(cairo, CAIRO_LINE_CAP_BUTT);
  }

  double text_width(const std::string& text, const Lettering& style) const {
    select(style);
    cairo_text_extents_t extents;
    cairo_text_extents(cairo_, text.c_str(), &extents);
    return extents.x_advance;
  }

  /// The text, or its beginning with an ellipsis where it is wider than `width`.
  std::string fitted(std::string text, const Lettering& style, double width) const {
    if (text_width(text, style) <= width) return text;
    while (!text.empty() && text_width(text + "…", style) > width) {
      do {  // whole characters of UTF-8
        text.pop_back();
      } while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0U) == 0xC0U);
    }
    return text + "…";
  }

  /// One line of UTF-8 with its base line at `at.y`, turned by `angle` (radians, clockwise).
  void text(Spot at, const std::string& text, const Lettering& style, double angle = 0) const {
    const double width = text_width(text, style);
    const double shift = style.align == Align::left     ? 0
                         : style.align == Align::centre ? width / 2
                                                        : width;
    use(style.ink);
    cairo_save(cairo_);
    cairo_translate(cairo_, at.x, at.y);
    cairo_rotate(cairo_, angle);
    cairo_move_to(cairo_, -shift, 0);
    cairo_show_text(cairo_, text.c_str());
    cairo_restore(cairo_);
  }

  void line(std::span<const Spot> spots, Ink ink, double width, std::span<const double> dash = {}) {
    trace(spots);
    use(ink);
    cairo_set_line_width(cairo_, width);
    cairo_set_dash(cairo_, dash.data(), static_cast<int>(dash.size()), 0);
    cairo_stroke(cairo_);
    cairo_set_dash(cairo_, nullptr, 0, 0);
  }
  void line(Spot from, Spot to, Ink ink, double width, std::span<const double> dash = {}) {
    line(std::array{from, to}, ink, width, dash);
  }

  void area(std::span<const Spot> spots, Ink ink) {
    trace(spots);
    use(ink);
    cairo_close_path(cairo_);
    cairo_fill(cairo_);
  }

  void disc(Spot at, double radius, Ink ink) {
    cairo_new_path(cairo_);
    cairo_arc(cairo_, at.x, at.y, radius, 0, 2 * std::numbers::pi);
    use(ink);
    cairo_fill(cairo_);
  }

  /// One of four shapes in an outline of paper, which parts it from the lines that it lies on; an
  /// open one is paper in an outline of ink.
  void marker(std::size_t shape, Spot at, Ink ink, bool open = false) {
    constexpr double r = 4.2;
    cairo_new_path(cairo_);
    if (shape % 4 == 0)
      cairo_arc(cairo_, at.x, at.y, r, 0, 2 * std::numbers::pi);
    else if (shape % 4 == 1)
      cairo_rectangle(cairo_, at.x - 0.9 * r, at.y - 0.9 * r, 1.8 * r, 1.8 * r);
    else if (shape % 4 == 2)
      trace(std::array{Spot{at.x, at.y - 1.25 * r}, Spot{at.x + 1.15 * r, at.y + 0.8 * r},
                       Spot{at.x - 1.15 * r, at.y + 0.8 * r}});
    else
      trace(std::array{Spot{at.x, at.y - 1.3 * r}, Spot{at.x + 1.3 * r, at.y},
                       Spot{at.x, at.y + 1.3 * r}, Spot{at.x - 1.3 * r, at.y}});
    cairo_close_path(cairo_);
    constexpr Ink paper{1, 1, 1};
    use(open ? paper : ink);
    cairo_fill_preserve(cairo_);
    use(open ? ink : paper);
    cairo_set_line_width(cairo_, open ? 1.6 : 1);
    cairo_stroke(cairo_);
  }

 private:
  void use(Ink ink) const {
    cairo_set_source_rgba(cairo_, ink.red, ink.green, ink.blue, ink.alpha);
  }
  void select(const Lettering& style) const {
    cairo_select_font_face(cairo_, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                           style.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo_, style.size);
  }
  void trace(std::span<const Spot> spots) {
    cairo_new_path(cairo_);
    for (const Spot& s : spots) cairo_line_to(cairo_, s.x, s.y);
  }

  cairo_t* cairo_;
};

/// A finished drawing, as files.
struct Drawing {
  std::string svg, png;
};

namespace detail {

struct CairoFree {
  void operator()(cairo_t* c) const { cairo_destroy(c); }
  void operator()(cairo_surface_t* s) const { cairo_surface_destroy(s); }
};

inline cairo_status_t append(void* text, const unsigned char* bytes, unsigned count) {
  static_cast<std::string*>(text)->append(reinterpret_cast<const char*>(bytes), count);
  return CAIRO_STATUS_SUCCESS;
}

inline void check(cairo_status_t status, const char* what) {
  poe::expect(status == CAIRO_STATUS_SUCCESS, "cairo cannot draw the {}: {}", what,
              cairo_status_to_string(status));
}

/// cairo numbers what it makes as long as the program runs: without that number, the same drawing
/// is the same file.
inline void remove_number(std::string& svg) {
  constexpr std::string_view id = " id=\"surface";
  if (const std::size_t at = svg.find(id); at != std::string::npos)
    svg.erase(at, svg.find('"', at + id.size()) + 1 - at);
}

/// Draws on white paper.
template <class Draw>
void paint(cairo_surface_t* surface, const char* what, Draw& draw) {
  const std::unique_ptr<cairo_t, CairoFree> cairo(cairo_create(surface));
  cairo_set_source_rgb(cairo.get(), 1, 1, 1);
  cairo_paint(cairo.get());
  Sheet sheet(cairo.get());
  draw(sheet);
  check(cairo_status(cairo.get()), what);
}

}  // namespace detail

/// Lets draw(Sheet&) draw twice: as SVG, and as PNG with two pixels to the unit.
template <class Draw>
Drawing render(double width, double height, Draw&& draw) {
  using Surface = std::unique_ptr<cairo_surface_t, detail::CairoFree>;
  Drawing made;
  const Surface svg(cairo_svg_surface_create_for_stream(detail::append, &made.svg, width, height));
  cairo_svg_surface_set_document_unit(svg.get(), CAIRO_SVG_UNIT_PX);
  detail::paint(svg.get(), "SVG", draw);
  cairo_surface_finish(svg.get());
  detail::check(cairo_surface_status(svg.get()), "SVG");
  detail::remove_number(made.svg);

  const Surface png(cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(2 * width),
                                               static_cast<int>(2 * height)));
  cairo_surface_set_device_scale(png.get(), 2, 2);
  detail::paint(png.get(), "PNG", draw);
  detail::check(cairo_surface_write_to_png_stream(png.get(), detail::append, &made.png), "PNG");
  return made;
}

}  // namespace compare
