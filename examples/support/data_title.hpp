// SPDX-License-Identifier: MIT
// What data are called in titles: a part of a data set never bears the name of the whole alone.
#pragma once

#include <fmt/format.h>

#include <span>
#include <string>

namespace examples {

/// How many a run has of something that a whole data set has `whole` of.
struct DataCount {
  std::string of;  // "digits of SVHN"
  std::size_t count = 0, whole = 0;
};

/// "73,257".
inline std::string grouped(std::size_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

/// The name, followed by the counts that are not those of the whole data set: "MNIST-SVHN (a part:
/// 849 of 73,257 digits of SVHN)".
inline std::string data_title(const std::string& name, std::span<const DataCount> counts) {
  std::string parts;
  for (const DataCount& c : counts) {
    if (c.count == c.whole) continue;
    parts += parts.empty() ? " (a part: " : ", ";
    parts += fmt::format("{} {} {} {}", grouped(c.count), c.count < c.whole ? "of" : "in place of",
                         grouped(c.whole), c.of);
  }
  return parts.empty() ? name : name + parts + ")";
}

}  // namespace examples
