// SPDX-License-Identifier: MIT
// What the fuzz targets share: a file made of the fuzzer's bytes, and what a reader may do with it.
#pragma once

#include <poe/core/error.hpp>

#include <fmt/format.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

/// libFuzzer calls it with every input. An exception that escapes is a finding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace poe::fuzz {

/// Ends the program, whereupon the fuzzer keeps its input, unless `ok`.
inline void require(bool ok, std::string_view promise) {
  if (ok) return;
  fmt::print(stderr, "broken promise: {}\n", promise);
  std::abort();
}

/// A file in memory that holds `bytes` until the next call.
inline std::filesystem::path file_of(std::span<const std::uint8_t> bytes) {
  static const int fd = ::memfd_create("input", MFD_CLOEXEC);
  const auto size = static_cast<ssize_t>(bytes.size());
  require(::ftruncate(fd, 0) == 0 && ::pwrite(fd, bytes.data(), bytes.size(), 0) == size,
          "a file in memory holds the input");
  return fmt::format("/proc/self/fd/{}", fd);
}

/// A name for a file that a target writes, removed at the end; where there is /dev/shm, in memory.
struct Scratch {
  std::filesystem::path path;
  Scratch() {
    std::error_code ignored;
    const std::filesystem::path memory = "/dev/shm";
    path = is_directory(memory, ignored) ? memory : std::filesystem::temp_directory_path();
    path /= fmt::format("poe-fuzz-{}", ::getpid());  // no other fuzzer has it
  }
  ~Scratch() { std::filesystem::remove(path); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

inline std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// What read(path) returns; nothing when it throws an Error, which must say of which file it
/// speaks.
template <class Read>
auto attempt(const std::filesystem::path& path, Read&& read)
    -> std::optional<std::invoke_result_t<Read, const std::filesystem::path&>> {
  try {
    return read(path);
  } catch (const Error& error) {
    require(std::string_view(error.what()).find(path.string()) != std::string_view::npos,
            "an Error names the file");
    return std::nullopt;
  }
}

}  // namespace poe::fuzz
