// SPDX-License-Identifier: MIT
// Files that are read: opened once, read at any offset, every failure named.
#pragma once

#include "poe/core/error.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>

namespace poe {
namespace detail {

/// What the system says about an errno value.
inline std::string errno_text(int code) { return std::generic_category().message(code); }

/// Owns a POSIX file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  /// Closes now, for callers that want to see the result; 0 or -1 as close(2).
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

}  // namespace detail

/// A regular file, open for reading. Reads are const and may come from several threads. The file
/// that was opened stays readable when another one is renamed over it.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path)
      // O_NONBLOCK: opening a pipe must fail below, not wait for a writer.
      : path_(path.string()), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (!fd_.valid()) fail("cannot open '{}': {}", path_, detail::errno_text(errno));
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0)
      fail("cannot open '{}': {}", path_, detail::errno_text(errno));
    if (!S_ISREG(status.st_mode))
      fail("cannot open '{}': expected a regular file, got a directory or a device", path_);
    size_ = static_cast<std::uint64_t>(status.st_size);
  }

  const std::string& path() const { return path_; }
  /// Bytes at the time of opening.
  std::uint64_t size() const { return size_; }

  /// Fills `out` with the bytes that begin at `offset`; throws Error when the file ends before.
  void read(std::uint64_t offset, std::span<std::byte> out) const {
    while (!out.empty()) {
      const ssize_t n = ::pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("cannot read '{}' at byte {}: {}", path_, offset, detail::errno_text(errno));
      if (n == 0) fail("'{}' ends at byte {}: expected {} bytes more", path_, offset, out.size());
      out = out.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
  }

 private:
  std::string path_;
  detail::Descriptor fd_;
  std::uint64_t size_ = 0;
};

/// What read_file() takes: a log, a report or a list of words has far less, and a file whose size
/// is only claimed may have anything.
inline constexpr std::uint64_t max_whole_file_bytes = std::uint64_t{1} << 30;

/// All bytes of a regular file of at most max_whole_file_bytes.
inline std::string read_file(const std::filesystem::path& path) {
  const InputFile file(path);
  expect(file.size() <= max_whole_file_bytes,
         "cannot read '{}' at once: expected at most {} bytes, got {}", file.path(),
         max_whole_file_bytes, file.size());
  std::string text(file.size(), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace poe
