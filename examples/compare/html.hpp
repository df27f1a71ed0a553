// SPDX-License-Identifier: MIT
// Pieces of a page that needs no other file: escaped text, data as text, drawings, the style.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace compare {

/// Text for a page, also within an attribute in double quotes.
inline std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : text) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= ' ' || c == '\n' || c == '\t') html += c;
    }
  }
  return html;
}

/// Bytes as base64 (RFC 4648).
inline std::string base64(std::string_view bytes) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k)
      three = three << 8U | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k)
      text += i + k > bytes.size() ? '=' : digits[three >> (18U - 6U * k) & 63U];
  }
  return text;
}

/// A relative path as a link has it (RFC 3986).
inline std::string url_of(std::string_view path) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/+=,@";
  constexpr char digits[] = "0123456789ABCDEF";
  std::string url;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (plain.find(c) != std::string_view::npos)
      url += c;
    else
      url += {'%', digits[byte >> 4U], digits[byte & 15U]};
  }
  return url;
}

inline std::string data_uri(std::string_view type, std::string_view bytes) {
  return "data:" + std::string(type) + ";base64," + base64(bytes);
}

/// An SVG file as an element. Its ids get a prefix, as a page may hold several drawings.
inline std::string inline_svg(std::string svg, const std::string& prefix) {
  svg.erase(0, svg.find("<svg"));
  for (const std::string before : {"id=\"", "href=\"#", "url(#"})
    for (std::size_t at = 0; (at = svg.find(before, at)) != std::string::npos;) {
      at += before.size();
      svg.insert(at, prefix);
    }
  return svg;
}

inline constexpr std::string_view page_style = R"(
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #5b636d; --paper: #ffffff;
        --soft: #f4f6f8; --line: #d9dee3; --alarm: #a3341f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --quiet: #9aa4ae; --paper: #14181c; --soft: #1e2429; --line: #38424b;
          --alarm: #ff9a85; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2.5rem 1.25rem 4rem; color: var(--ink);
       background: var(--paper); font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 0 0 .8rem; }
p.lead { color: var(--quiet); margin: 0 0 1.5rem; }
.note { color: var(--quiet); font-size: .88rem; }
.missing { border-left: 4px solid var(--alarm); background: var(--soft); padding: .7rem 1rem;
           margin: 1rem 0; border-radius: 0 6px 6px 0; }
.missing ul { margin: .3rem 0 0; padding-left: 1.2rem; }
section { margin: 0 0 2.8rem; }
figure { margin: 0 0 1rem; }
figure svg, figure img { display: block; max-width: 100%; height: auto; background: #fff;
                         border: 1px solid var(--line); border-radius: 8px; }
iframe { display: block; width: 100%; height: 42rem; background: #fff;
         border: 1px solid var(--line); border-radius: 8px; }
figcaption { color: var(--quiet); font-size: .88rem; margin-top: .4rem; }
a { color: inherit; }
.tables { display: flex; flex-wrap: wrap; gap: 1.4rem 1.6rem; align-items: flex-start; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 1rem; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; white-space: nowrap; font-weight: 600; padding-bottom: .3rem; }
th, td { padding: .28rem .55rem; text-align: right; border-bottom: 1px solid var(--line);
         white-space: nowrap; }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.others th, tr.others td, tr.data th, tr.data td { font-weight: 400; font-style: italic;
                                                     color: var(--quiet); }
tr.others th, tr.others td { border-top: hidden; padding-top: 0; }
h3 { font-size: 1rem; margin: 1.4rem 0 .5rem; }
td .sd { color: var(--quiet); font-weight: 400; }
.dense .sd { display: block; font-size: .9em; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px;
      padding: .8rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
summary { cursor: pointer; font-weight: 600; }
@media print { :root { color-scheme: light; --ink: #000; --quiet: #444; --paper: #fff;
                       --soft: #f4f4f4; --line: #bbb; --alarm: #a00; }
  body { max-width: none; padding: 0; } figure, table, pre { break-inside: avoid; }
  h2 { break-after: avoid; } .screen { display: none; } }
)";

}  // namespace compare
