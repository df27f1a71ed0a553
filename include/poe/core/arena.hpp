// SPDX-License-Identifier: MIT
// Memory: aligned buffers that own, and the arena from which one training step takes everything.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include <poe/core/device.hpp>
#include <poe/core/error.hpp>

namespace poe {

inline constexpr std::size_t alignment = 64;  // one cache line, one 512-bit vector

/// The memory of a Device: allocate(bytes) -> aligned bytes, not initialised; release(p); clear(p,
/// bytes).
template <class Device>
struct Memory;

template <>
struct Memory<Cpu> {
  /// Large blocks ask for huge pages: a batch is walked image by image, with strides of several
  /// pages, which costs a TLB miss a row otherwise.
  static void* allocate(std::size_t bytes) {
    constexpr std::size_t huge = std::size_t{2} << 20;
    const std::size_t align = bytes >= huge ? huge : alignment;
    const std::size_t padded = (bytes + align - 1) / align * align;
    void* p = std::aligned_alloc(align, padded);
    if (p == nullptr) throw std::bad_alloc();
    if (align == huge) (void)madvise(p, padded, MADV_HUGEPAGE);
    return p;
  }
  static void release(void* p) noexcept { std::free(p); }
  static void clear(void* p, std::size_t bytes) { std::memset(p, 0, bytes); }
};

namespace detail {

template <class Device>
struct Release {
  void operator()(std::byte* p) const { Memory<Device>::release(p); }
};
template <class Device>
using Block = std::unique_ptr<std::byte[], Release<Device>>;

template <class Device>
Block<Device> allocate(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  return Block<Device>(static_cast<std::byte*>(Memory<Device>::allocate(bytes)));
}

}  // namespace detail

/// An owning array of T, aligned for vector loads, zero at first. T is trivial. Elements of an
/// array on another Device than the Cpu cannot be reached from here: only its address is of use.
template <class T, class Device = Cpu>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);
  static constexpr bool on_host = std::is_same_v<Device, Cpu>;

 public:
  Buffer() = default;
  explicit Buffer(std::size_t n) : memory_(detail::allocate<Device>(n * sizeof(T))), size_(n) {
    clear();
  }
  Buffer(Buffer&& from) noexcept
      : memory_(std::move(from.memory_)), size_(std::exchange(from.size_, 0)) {}
  Buffer& operator=(Buffer&& from) noexcept {
    memory_ = std::move(from.memory_);
    size_ = std::exchange(from.size_, 0);
    return *this;
  }

  T* data() { return reinterpret_cast<T*>(memory_.get()); }
  const T* data() const { return reinterpret_cast<const T*>(memory_.get()); }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) requires on_host { return data()[i]; }
  const T& operator[](std::size_t i) const requires on_host { return data()[i]; }
  T* begin() requires on_host { return data(); }
  T* end() requires on_host { return data() + size_; }
  const T* begin() const requires on_host { return data(); }
  const T* end() const requires on_host { return data() + size_; }
  void clear() {
    if (size_ != 0) Memory<Device>::clear(memory_.get(), size_ * sizeof(T));
  }

 private:
  detail::Block<Device> memory_;
  std::size_t size_ = 0;
};

/// A stack of memory that is rewound, not freed. The first step grows it; from the second step on
/// the same program takes the same addresses and nothing is allocated (see allocation_count()).
template <class Device>
class BasicArena {
 public:
  explicit BasicArena(std::size_t first_block = std::size_t{1} << 20)
      : next_size_(std::max(first_block, alignment)) {}

  /// `count` objects of T, not initialised, aligned to `alignment` bytes (to 256 on a GPU).
  template <class T>
  T* take(std::size_t count) {
    static_assert(std::is_trivially_destructible_v<T>, "poe: an arena never runs destructors");
    constexpr std::size_t line = std::is_same_v<Device, Cpu> ? alignment : 256;
    const std::size_t bytes = (count * sizeof(T) + line - 1) / line * line;
    if (current_ == blocks_.size() || used_ + bytes > blocks_[current_].size) advance(bytes);
    void* p = blocks_[current_].memory.get() + used_;
    used_ += bytes;
    most_ = std::max(most_, position());
    return static_cast<T*>(p);
  }

  /// A place to come back to.
  struct Mark {
    std::size_t block, used;
  };
  Mark mark() const { return {current_, used_}; }

  /// Gives back everything taken since the mark.
  void rewind(Mark m) {
    current_ = m.block;
    used_ = m.used;
  }

  /// Gives back everything. Several blocks (the growth of a first step) become one, as large as the
  /// most that was ever taken at a time.
  void reset() {
    current_ = 0;
    used_ = 0;
    if (blocks_.size() <= 1) return;
    blocks_.clear();
    next_size_ = most_;
    add_block(most_);
  }

  /// Bytes held.
  std::size_t capacity() const {
    std::size_t sum = 0;
    for (const Block& b : blocks_) sum += b.size;
    return sum;
  }
  /// How often memory was requested from the system so far.
  std::size_t allocation_count() const { return allocations_; }

 private:
  struct Block {
    detail::Block<Device> memory;
    std::size_t size;
    std::size_t before = 0;  // bytes that were taken before the first of this block
  };

  /// Bytes that are taken: what they would fill if there were one block.
  std::size_t position() const {
    return current_ == blocks_.size() ? 0 : blocks_[current_].before + used_;
  }

  void add_block(std::size_t size) {
    blocks_.push_back({detail::allocate<Device>(size), size});
    ++allocations_;
  }

  void advance(std::size_t bytes) {
    const std::size_t before = position();
    if (current_ < blocks_.size()) ++current_;
    while (current_ < blocks_.size() && blocks_[current_].size < bytes) ++current_;
    if (current_ == blocks_.size()) {
      while (next_size_ < bytes) next_size_ *= 2;
      add_block(next_size_);
      next_size_ *= 2;
    }
    blocks_[current_].before = before;
    used_ = 0;
  }

  std::vector<Block> blocks_;
  std::size_t current_ = 0;
  std::size_t used_ = 0;
  std::size_t most_ = 0;  // the largest position()
  std::size_t next_size_;
  std::size_t allocations_ = 0;
};
using Arena = BasicArena<Cpu>;

/// `count` new objects in the arena.
template <class A>
A* take_new(Arena& arena, std::size_t count) {
  A* const objects = arena.template take<A>(count);
  for (std::size_t i = 0; i < count; ++i) new (objects + i) A{};
  return objects;
}

/// Scratch memory for one scope: rewinds the arena when it ends.
template <class Device>
class Scratch {
 public:
  explicit Scratch(BasicArena<Device>& arena) : arena_(arena), mark_(arena.mark()) {}
  ~Scratch() { arena_.rewind(mark_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* take(std::size_t count) {
    return arena_.template take<T>(count);
  }

 private:
  BasicArena<Device>& arena_;
  typename BasicArena<Device>::Mark mark_;
};

}  // namespace poe
