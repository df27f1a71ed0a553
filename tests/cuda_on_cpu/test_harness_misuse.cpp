// SPDX-License-Identifier: MIT
// What the harness says when a kernel or a launch is wrong.
#include <cstdint>
#include <functional>
#include <iterator>
#include <string>

#include <support.hpp>

#include "config.hpp"
#include "trials.hpp"

namespace {

using namespace poe;
using namespace poe::harness;

/// What the call throws; "" if nothing.
std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

enum class Misuse {
  half_shuffle,
  other_collective,
  absent_lane,
  not_in_mask,
  two_barriers,
  warp_and_barrier,
  exception,
  too_much_shared
};

template <Misuse what>
static __global__ void misuse(float* out) {
  const unsigned i = threadIdx.x, all = 0xFFFFFFFFU;
  float value = 1;
  if constexpr (what == Misuse::half_shuffle) {
    if (i < 16) value = __shfl_sync(all, value, 0);
    __syncthreads();
  } else if constexpr (what == Misuse::other_collective) {
    if (i < 16)
      value = __shfl_sync(all, value, 0);
    else
      __syncwarp();
  } else if constexpr (what == Misuse::absent_lane) {
    if (i < 16) value = __shfl_sync(0xFFFFU, value, 20);
  } else if constexpr (what == Misuse::not_in_mask) {
    value = __shfl_sync(0xFFFFU, value, 0);
  } else if constexpr (what == Misuse::two_barriers) {
    if (i < 16)
      __syncthreads();
    else
      __syncthreads();
  } else if constexpr (what == Misuse::warp_and_barrier) {
    if (i < 16)
      __syncwarp();
    else
      __syncthreads();
  } else if constexpr (what == Misuse::exception) {
    if (i == 7) fail("thread {}", i);
  } else if constexpr (what == Misuse::too_much_shared) {
    POE_SHARED(float[12289], array);
    array[0] = value;
  }
  out[i] = value;
}

template <Misuse what>
std::string report() {
  return error_of([] { run_kernel(misuse<what>, 2, 32, 32); });
}

TEST_CASE("misuse is reported with the line, and the harness goes on") {
  using Catch::Matchers::Matches;
  in_every_order([] {
    const std::string line = " at test_harness_misuse.cpp:[0-9]+";
    CHECK_THAT(
        report<Misuse::half_shuffle>(),
        Matches("CUDA harness: block \\([01],0,0\\): deadlock: threads 0-15 wait in __shfl_sync" +
                line + "; threads 16-31 wait in __syncthreads" + line));
    CHECK_THAT(
        report<Misuse::other_collective>(),
        Matches(".*warp 0 diverged: lane .* waits in __.*0xffffffff.*" + line + ", lane .*"));
    CHECK_THAT(
        report<Misuse::absent_lane>(),
        Matches(".*__shfl_sync" + line + ": lane 0 of warp 0 reads lane 20, which takes no part"));
    CHECK_THAT(report<Misuse::not_in_mask>(), Matches(".*lane .* is not in the mask 0x0000ffff"));
    CHECK_THAT(report<Misuse::two_barriers>(),
               Matches(".*the threads wait at different barriers: thread 0 in __syncthreads" +
                       line + ", thread 16 in __syncthreads" + line));
    CHECK_THAT(report<Misuse::warp_and_barrier>(),
               Matches(".*deadlock: threads 0-15 wait in __syncwarp" + line +
                       "; threads 16-31 wait in __syncthreads" + line));
    CHECK_THAT(report<Misuse::exception>(), Matches(".*the kernel threw: thread 7"));
    CHECK_THAT(report<Misuse::too_much_shared>(),
               Matches(".*49156 bytes of shared arrays, a block has at most 49152.*"));
    CHECK(try_product<>());
  });
}

template <class T>
static __global__ void nothing(T*) {}

TEST_CASE("the limits of a launch are CUDA's") {
  const OwnStream stream;
  const OnDevice<float> memory(1);
  const auto error = [&](dim3 grid, dim3 block, std::size_t bytes = 0) {
    return error_of(
        [&] { cuda::launch(nothing<float>, grid, block, bytes, stream, memory.data()); });
  };
  using Catch::Matchers::Contains;
  CHECK(error(1, 1024) == "");
  CHECK(error({1, 65535, 1}, 1) == "");
  CHECK(error(1, {16, 1, 64}) == "");
  CHECK(error(1, 32, std::size_t{227} * 1024) == "");
  CHECK_THAT(error(1, 1025), Contains("a block of 1025 x 1 x 1 threads"));
  CHECK_THAT(error(1, {8, 1, 65}), Contains("a block of 8 x 1 x 65 threads"));
  CHECK_THAT(error(1, 0), Contains("a block of 0"));
  CHECK_THAT(error(0, 1), Contains("a grid of 0"));
  CHECK_THAT(error({1, 65536, 1}, 1), Contains("a grid of 1 x 65536 x 1"));
  CHECK_THAT(error({1, 1, 65536}, 1), Contains("a grid of 1 x 1 x 65536"));
  CHECK_THAT(error(1, 32, std::size_t{227} * 1024 + 1), Contains("232449 bytes of dynamic shared"));
}

template <class T>
static __global__ void array_beside_dynamic(T* out) {
  POE_SHARED(T[256], array);
  POE_DYNAMIC_SHARED(T, dynamic);
  array[0] = dynamic[0] = T(1);
  *out = array[0] + dynamic[0];
}

TEST_CASE("shared arrays and dynamic shared memory share what a block has") {
  const OwnStream stream;
  const OnDevice<float> memory(1);
  const auto error = [&](std::size_t bytes) {
    return error_of([&] {
      cuda::launch(array_beside_dynamic<float>, dim3(1), dim3(1), bytes, stream, memory.data());
    });
  };
  using Catch::Matchers::Contains;
  constexpr std::size_t kb = 1024;
  CHECK(error(47 * kb) == "");
  CHECK_THAT(error(47 * kb + 4),
             Contains("49156 bytes of shared memory, a block has at most 49152"));
  CHECK_THAT(error(48 * kb),
             Contains("a block has at most 49152: 1024 in shared arrays and 49152"));
  CHECK(error(48 * kb + 4) == "");  // for which launch() asks
  CHECK(error(226 * kb) == "");
  CHECK_THAT(error(226 * kb + 4),
             Contains("232452 bytes of shared memory, a block has at most 232448"));
}

template <std::size_t Bytes>
struct Words {
  std::uint32_t word[Bytes / 4];
};
template <class T>
static __global__ void last_word(T parameters, std::uint32_t* out) {
  constexpr std::size_t count = sizeof(T) / 4;
  *out = parameters.word[count - 1];
}

TEST_CASE("the parameters of a kernel are counted as CUDA lays them out") {
  static_assert(parameter_bytes<>() == 0);
  static_assert(parameter_bytes<char, double, char, float>() == 24);
  using Most = Words<kMostParameters - 12>;  // 4 bytes more, then a pointer of 8
  static_assert(parameter_bytes<Most, std::uint32_t*>() == kMostParameters - 4);
  static_assert(parameter_bytes<Words<kMostParameters>>() == kMostParameters);
  static_assert(parameter_bytes<Words<kMostParameters>, char>() > kMostParameters);
  const OwnStream stream;
  const OnDevice<std::uint32_t> out(1);
  Most parameters{};
  parameters.word[std::size(parameters.word) - 1] = 5;
  cuda::launch(last_word<Most>, dim3(1), dim3(1), 0, stream, parameters, out.data());
  CHECK(out.values(stream) == std::vector<std::uint32_t>{5});
}

}  // namespace
