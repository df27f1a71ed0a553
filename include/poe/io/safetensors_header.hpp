// SPDX-License-Identifier: MIT
// The header of a safetensors file: names, types, shapes and places of its tensors, to and from
// JSON.
#pragma once

#include "poe/core/error.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace poe {

/// Element types of the format. All can be listed; those with a dtype_of can be read and written.
enum class DType { Bool, U8, I8, U16, I16, F16, BF16, U32, I32, F32, U64, I64, F64 };

/// What a file says about one tensor. A scalar has an empty shape.
struct TensorEntry {
  std::string name;
  std::vector<std::int64_t> shape;
  DType dtype = DType::F32;
  friend bool operator==(const TensorEntry&, const TensorEntry&) = default;
};

/// The free text of a file, in the order of its keys.
using Metadata = std::map<std::string, std::string, std::less<>>;

namespace detail {

struct DTypeTraits {
  std::string_view name;
  std::uint64_t bytes;
};
// clang-format off
inline constexpr std::array<DTypeTraits, 13> dtype_traits{{
    {"BOOL", 1}, {"U8", 1}, {"I8", 1}, {"U16", 2}, {"I16", 2}, {"F16", 2}, {"BF16", 2},
    {"U32", 4}, {"I32", 4}, {"F32", 4}, {"U64", 8}, {"I64", 8}, {"F64", 8}}};
// clang-format on

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<std::uint8_t> : std::integral_constant<DType, DType::U8> {};
template <>
struct DTypeOf<std::int32_t> : std::integral_constant<DType, DType::I32> {};
template <>
struct DTypeOf<std::int64_t> : std::integral_constant<DType, DType::I64> {};
template <>
struct DTypeOf<float> : std::integral_constant<DType, DType::F32> {};
template <>
struct DTypeOf<double> : std::integral_constant<DType, DType::F64> {};

}  // namespace detail

/// The type of the elements of a span<T> or span<const T>.
template <class T>
inline constexpr DType dtype_of = detail::DTypeOf<std::remove_const_t<T>>::value;

/// "F32", as the file spells it.
constexpr std::string_view to_string(DType dtype) {
  return detail::dtype_traits[static_cast<std::size_t>(dtype)].name;
}
/// Bytes of one element.
constexpr std::uint64_t size_of(DType dtype) {
  return detail::dtype_traits[static_cast<std::size_t>(dtype)].bytes;
}

/// "F32 (64, 1, 4, 4)", for messages.
inline std::string describe(const TensorEntry& entry) {
  return fmt::format("{} ({})", to_string(entry.dtype), fmt::join(entry.shape, ", "));
}

/// Bytes of the tensor's data; nothing when an extent is negative or the product does not fit.
inline std::optional<std::uint64_t> byte_count(const TensorEntry& entry) {
  std::uint64_t bytes = size_of(entry.dtype);
  for (const std::int64_t extent : entry.shape) {
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes))
      return std::nullopt;
  }
  return bytes;
}

namespace detail {

/// The reference implementation refuses longer headers, which keeps a forged length harmless.
inline constexpr std::uint64_t max_header_bytes = 100'000'000;

struct SafetensorsHeader {
  /// `begin` and `end` count from the first byte after the header.
  struct Tensor {
    TensorEntry entry;
    std::uint64_t begin, end;
  };
  std::vector<Tensor> tensors;  // in the order of their data, without gaps
  Metadata metadata;
};

/// A value as it stands in the file, for messages.
inline std::string excerpt(const nlohmann::json& json) { return json.dump().substr(0, 80); }

/// JSON with the two checks that the grammar lacks: not deeper than the format, and no key twice.
inline nlohmann::json parse_shallow_json(std::string_view text) {
  using Json = nlohmann::json;
  using Event = Json::parse_event_t;
  std::array<std::set<std::string>, 2> keys;  // of the outer object and of the open inner one
  const auto check = [&](int depth, Event event, const Json& value) {
    const auto level = static_cast<std::size_t>(depth);
    if (event == Event::object_start) {
      expect(level < keys.size(),
             "byte 8, the header: expected objects in two levels, got a third");
      keys[level].clear();
    } else if (event == Event::array_start) {
      expect(level <= keys.size(),
             "byte 8, the header: expected arrays of numbers, got an array in an array");
    } else if (event == Event::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!keys[level - 1].insert(key).second)
        fail("byte 8, the header: expected every name once, got '{}' twice", key);
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::exception& error) {
    fail("byte 8: expected a header in JSON, got: {}", error.what());
  }
}

inline std::vector<std::uint64_t> naturals(const nlohmann::json& json, std::string_view where) {
  if (!json.is_array()) fail("{}: expected an array, got {}", where, excerpt(json));
  std::vector<std::uint64_t> numbers;
  for (const nlohmann::json& number : json) {
    if (!number.is_number_unsigned())
      fail("{}: expected integers from 0, got {}", where, excerpt(number));
    numbers.push_back(number.get<std::uint64_t>());
  }
  return numbers;
}

inline SafetensorsHeader::Tensor parse_tensor(const std::string& name, const nlohmann::json& json) {
  if (!json.is_object() || json.size() != 3 || !json.contains("dtype") || !json.contains("shape") ||
      !json.contains("data_offsets"))
    fail("expected an object of dtype, shape and data_offsets, got {}", excerpt(json));
  SafetensorsHeader::Tensor tensor{.entry = {.name = name, .shape = {}}, .begin = 0, .end = 0};

  const nlohmann::json& dtype = json["dtype"];
  const auto known =
      std::find_if(dtype_traits.begin(), dtype_traits.end(), [&](const DTypeTraits& traits) {
        return dtype.is_string() && dtype.get_ref<const std::string&>() == traits.name;
      });
  if (known == dtype_traits.end())
    fail("dtype: expected one such as \"F32\", got {}", excerpt(dtype));
  tensor.entry.dtype = static_cast<DType>(known - dtype_traits.begin());

  // An extent of 2^63 or more becomes negative here, which byte_count() refuses.
  for (const std::uint64_t extent : naturals(json["shape"], "shape"))
    tensor.entry.shape.push_back(static_cast<std::int64_t>(extent));
  const auto bytes = byte_count(tensor.entry);
  if (!bytes) fail("shape: expected less than 2^64 bytes, got {}", excerpt(json["shape"]));

  const auto offsets = naturals(json["data_offsets"], "data_offsets");
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] - offsets[0] != *bytes)
    fail("data_offsets: expected [begin, end] that are {} bytes apart for {}, got {}", *bytes,
         describe(tensor.entry), excerpt(json["data_offsets"]));
  tensor.begin = offsets[0];
  tensor.end = offsets[1];
  return tensor;
}

inline Metadata parse_metadata(const nlohmann::json& json) {
  if (!json.is_object()) fail("expected an object of strings, got {}", excerpt(json));
  Metadata metadata;
  for (const auto& [key, text] : json.items()) {
    if (!text.is_string()) fail("'{}': expected a string, got {}", key, excerpt(text));
    metadata.emplace(key, text.get<std::string>());
  }
  return metadata;
}

/// Parses the header of a file that has `data_bytes` bytes after it, and checks that the tensors
/// cover these bytes exactly.
inline SafetensorsHeader parse_header(std::string_view text, std::uint64_t data_bytes) {
  // The second condition: the JSON parser would take a zero byte for the end of the text.
  if (!text.starts_with('{') || text.find('\0') != std::string_view::npos)
    fail("byte 8: expected a JSON object, got other bytes");
  SafetensorsHeader header;
  const nlohmann::json json = parse_shallow_json(text);
  for (const auto& [name, value] : json.items()) {
    try {
      if (name == "__metadata__") {
        header.metadata = parse_metadata(value);
      } else {
        header.tensors.push_back(parse_tensor(name, value));
      }
    } catch (const Error& error) {
      fail("byte 8, the header: '{}': {}", name, error.what());
    }
  }
  const std::uint64_t data = 8 + text.size();  // where they begin in the file
  std::sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t end = 0;
  for (const auto& tensor : header.tensors) {
    if (tensor.begin != end)
      fail(
          "byte {}: '{}': expected data_offsets that begin where the tensor before ends, at {}, "
          "got {}",
          data + end, tensor.entry.name, end, tensor.begin);
    end = tensor.end;
  }
  if (end != data_bytes)
    fail("byte {}: expected {} bytes of data for {} tensors, got {}", data, end,
         header.tensors.size(), data_bytes);
  return header;
}

/// The header of a file that holds the entries one after the other; padded with spaces to a
/// multiple of 8 bytes, so that the data are aligned. Equal arguments give equal bytes.
inline std::string format_header(std::span<const TensorEntry> entries, const Metadata& metadata) {
  std::set<std::string_view> names;
  std::string text = "{";
  const auto member = [&](const std::string& name, std::string_view value) {
    text += fmt::format("{}{}:{}", text.size() > 1 ? "," : "", nlohmann::json(name).dump(), value);
  };
  try {
    if (!metadata.empty()) member("__metadata__", nlohmann::json(metadata).dump());
    std::uint64_t end = 0;
    for (const TensorEntry& entry : entries) {
      if (entry.name == "__metadata__" || !names.insert(entry.name).second)
        fail("'{}': expected a name that is not taken", entry.name);
      const std::uint64_t begin = end;
      const auto bytes = byte_count(entry);
      if (!bytes || __builtin_add_overflow(begin, *bytes, &end))
        fail("'{}': expected extents from 0 and less than 2^64 bytes, got {}", entry.name,
             describe(entry));
      member(entry.name,
             fmt::format(R"({{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                         to_string(entry.dtype), fmt::join(entry.shape, ","), begin, end));
    }
  } catch (const nlohmann::json::type_error& error) {
    fail("expected names and metadata in UTF-8: {}", error.what());
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > max_header_bytes)
    fail("expected a header of at most {} bytes, got {}", max_header_bytes, text.size());
  return text;
}

}  // namespace detail
}  // namespace poe
