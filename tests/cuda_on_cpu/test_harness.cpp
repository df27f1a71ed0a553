// SPDX-License-Identifier: MIT
// The execution model: threads, barriers, warps, shared memory.
#include <support.hpp>

#include "config.hpp"
#include "trials.hpp"

namespace {

using namespace poe;
using namespace poe::harness;

TEST_CASE("right kernels give the right result in every order") {
  in_every_order([] {
    CHECK(try_product<>());
    CHECK(try_product<>(8, 8, 8));
    CHECK(try_product<>(1, 9, 17));
    CHECK(try_block_sum<>(2, 1));
    CHECK(try_block_sum<>(3, 300));
    CHECK(try_softmax<>());
    CHECK(try_softmax<>(3, 1));
    CHECK(try_scale_rows<>());
    CHECK(try_axpy<>(3));
    CHECK(try_axpy<>(64));
    CHECK(try_axpy<>());
    CHECK(try_last_block_sum<>());
  });
}

template <class T>
static __global__ void note_indices(T* out) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  out[block * threads + thread] = block * 1000 + thread;
}

TEST_CASE("every thread of every block runs once") {
  in_every_order([] {
    const Statistics before = statistics();
    const auto out = run_kernel(note_indices<unsigned>, {3, 2, 4}, {5, 3, 2}, 24 * 30);
    for (unsigned i = 0; i < out.size(); ++i) REQUIRE(out[i] == i / 30 * 1000 + i % 30);
    CHECK(statistics().threads - before.threads == 720);
    CHECK(statistics().waits == before.waits);
  });
}

/// Each thread writes how many came before it: before the barrier, and after it.
template <class T>
static __global__ void note_order(T* out, T* count) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  const T first = atomicAdd(count, 1U);
  __syncthreads();
  out[i] = first * 1000 + atomicAdd(count, 1U);
}

std::vector<unsigned> order_of_threads(unsigned blocks, unsigned threads) {
  const OwnStream stream;
  const OnDevice<unsigned> count(1);
  cuda::clear(count.data(), 4, stream);
  return run_kernel(note_order<unsigned>, blocks, threads, std::size_t{blocks} * threads,
                    count.data());
}

TEST_CASE("the configuration chooses the order of threads and blocks") {
  const Config saved = config();
  config() = {Order::forward, 1};
  auto out = order_of_threads(2, 64);
  for (unsigned i = 0; i < 128; ++i) {
    const unsigned first = i / 64 * 128 + i % 64;
    REQUIRE(out[i] == first * 1000 + first + 64);
  }
  config() = {Order::reverse, 1};
  out = order_of_threads(2, 64);
  for (unsigned i = 0; i < 128; ++i) {
    const unsigned first = (1 - i / 64) * 128 + 63 - i % 64;
    REQUIRE(out[i] == first * 1000 + first + 64);
  }
  for (const Order order : {Order::random, Order::warp_first}) {
    config() = {order, 1};
    const auto one = order_of_threads(2, 64);
    CHECK(order_of_threads(2, 64) == one);
    config().seed = 2;
    CHECK(order_of_threads(2, 64) != one);
  }
  config() = saved;
}

template <class T>
static __global__ void vote(T* out) {
  const int i = static_cast<int>(threadIdx.x);
  const int count = __syncthreads_count(i % 3 == 0);
  const int any = __syncthreads_or(i == 39), none = __syncthreads_or(0);
  const int all = __syncthreads_and(1), some = __syncthreads_and(i != 5);
  out[i] = count * 10000 + any * 1000 + none * 100 + all * 10 + some;
}

template <class T>
static __global__ void some_return(T* out) {
  const int i = static_cast<int>(threadIdx.x);
  if (i >= 40) return;
  POE_SHARED(int[64], seen);
  seen[i] = i;
  __syncthreads();
  out[i] = seen[39 - i];
}

TEST_CASE("barriers count votes, and do not wait for threads that have returned") {
  in_every_order([] {
    const auto votes = run_kernel(vote<int>, 1, 40, 40);
    for (const int value : votes) REQUIRE(value == 14 * 10000 + 1000 + 10);
    const auto seen = run_kernel(some_return<int>, 1, 64, 40);
    for (int i = 0; i < 40; ++i) REQUIRE(seen[static_cast<std::size_t>(i)] == 39 - i);
  });
}

/// The four shuffles of lane + 0.5 with the given width, one after the other.
template <class T>
static __global__ void shuffle_all(T* out, int argument, int width) {
  const T mine = static_cast<T>(threadIdx.x) + static_cast<T>(0.5);
  T* to = out + 4 * threadIdx.x;
  const unsigned all = 0xFFFFFFFFU, distance = static_cast<unsigned>(argument);
  to[0] = __shfl_sync(all, mine, argument, width);
  to[1] = __shfl_up_sync(all, mine, distance, width);
  to[2] = __shfl_down_sync(all, mine, distance, width);
  to[3] = __shfl_xor_sync(all, mine, argument, width);
}

TEMPLATE_TEST_CASE("shuffles read the lane that CUDA's manual says", "", float, double) {
  in_every_order([] {
    for (const int width : {2, 8, 32})
      for (const int argument : {0, 1, 3, 5, 16}) {
        if (argument >= width) continue;
        const auto out = run_kernel(shuffle_all<TestType>, 1, 64, 256, argument, width);
        for (int i = 0; i < 64; ++i) {
          const int lane = i % width, first = i - lane;
          const int want[] = {first + argument, lane >= argument ? i - argument : i,
                              lane + argument < width ? i + argument : i,
                              first + (lane ^ argument)};
          for (int k = 0; k < 4; ++k) {
            INFO("width " << width << ", argument " << argument << ", lane " << i << ", kind "
                          << k);
            REQUIRE(out[static_cast<std::size_t>(4 * i + k)] ==
                    static_cast<TestType>(want[k] + 0.5));
          }
        }
      }
  });
}

/// Even and odd lanes meet apart from each other.
template <class T>
static __global__ void reduce(T* out) {
  const unsigned i = threadIdx.x, mask = i % 2 == 0 ? 0x55555555U : 0xAAAAAAAAU;
  T* to = out + 8 * i;
  to[0] = __ballot_sync(mask, i % 32 < 6);
  to[1] = static_cast<T>(__any_sync(mask, i % 32 == 4));
  to[2] = static_cast<T>(__all_sync(mask, i % 2 == 1));
  to[3] = __reduce_add_sync(mask, i % 32);
  to[4] = __reduce_max_sync(mask, i % 32);
  to[5] = __reduce_min_sync(mask, i % 32 + 7);
  to[6] = __reduce_or_sync(mask, 1U << i % 32);
  to[7] = static_cast<T>(__reduce_add_sync(mask, -1) + 16);
}

TEST_CASE("votes and reductions of a part of a warp") {
  in_every_order([] {
    const auto out = run_kernel(reduce<unsigned>, 1, 64, 512);
    for (std::size_t i = 0; i < 64; ++i) {
      const bool odd = i % 2 == 1;
      const std::vector<unsigned> want =
          odd ? std::vector<unsigned>{0x2A, 0, 1, 256, 31, 8, 0xAAAAAAAA, 0}
              : std::vector<unsigned>{0x15, 1, 0, 240, 30, 7, 0x55555555, 0};
      REQUIRE(std::vector<unsigned>(&out[8 * i], &out[8 * i] + 8) == want);
    }
  });
}

template <class T>
static __global__ void count_atomically(T* words) {
  const T i = static_cast<T>(threadIdx.x + blockIdx.x * blockDim.x);
  atomicAdd(words, T{1});
  atomicMax(words + 1, i);
  atomicMin(words + 2, i);
  atomicOr(words + 3, T{1} << i % 16);
  T expected = 0;
  for (T seen = 0; (seen = atomicCAS(words + 4, expected, expected + 2)) != expected;)
    expected = seen;
  atomicSub(words + 5, T{1});
}

TEMPLATE_TEST_CASE("atomics lose nothing", "", int, unsigned, unsigned long long) {
  in_every_order([] {
    const OwnStream stream;
    const OnDevice<TestType> words(std::vector<TestType>{0, 0, 99, 0, 0, 200}, stream);
    cuda::launch(count_atomically<TestType>, dim3(3), dim3(64), 0, stream, words.data());
    CHECK(words.values(stream) == std::vector<TestType>{192, 191, 0, 0xFFFF, 384, 8});
  });
}

template <class T>
static __global__ void read_fresh_shared(T* out) {
  POE_SHARED(T[32], array);
  POE_DYNAMIC_SHARED(T, dynamic);
  out[threadIdx.x] = array[threadIdx.x];
  out[32 + threadIdx.x] = dynamic[threadIdx.x];
  __syncthreads();
  array[threadIdx.x] = dynamic[threadIdx.x] = 1;  // the next block must not see it
}

TEST_CASE("shared memory is NaN in every new block") {
  const OwnStream stream;
  const OnDevice<float> out(64);
  cuda::launch(read_fresh_shared<float>, dim3(1), dim3(32), 128, stream, out.data());
  for (int i = 0; i < 2; ++i) {
    for (const float value : out.values(stream)) REQUIRE(std::isnan(value));
    cuda::launch(read_fresh_shared<float>, dim3(1), dim3(32), 128, stream, out.data());
  }
}

}  // namespace
