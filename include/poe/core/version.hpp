// SPDX-License-Identifier: MIT
// The version of the library: the one place that names it (CMakeLists.txt reads it from here).
#pragma once

#define POE_VERSION_MAJOR 0
#define POE_VERSION_MINOR 1
#define POE_VERSION_PATCH 0

#define POE_DETAIL_QUOTE(x) #x
#define POE_DETAIL_DOTTED(a, b, c) \
  POE_DETAIL_QUOTE(a) "." POE_DETAIL_QUOTE(b) "." POE_DETAIL_QUOTE(c)

namespace poe {

/// The version as text, "major.minor.patch".
inline constexpr const char* version =
    POE_DETAIL_DOTTED(POE_VERSION_MAJOR, POE_VERSION_MINOR, POE_VERSION_PATCH);

}  // namespace poe

#undef POE_DETAIL_DOTTED
#undef POE_DETAIL_QUOTE
