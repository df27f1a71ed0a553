// SPDX-License-Identifier: MIT
// Memory, streams, events and graphs as the harness has them.
#include <string>

#include <support.hpp>

#include "config.hpp"
#include "memory.hpp"
#include "trials.hpp"

namespace {

using namespace poe;
using namespace poe::harness;
using Catch::Matchers::Contains;

struct OwnEvent {
  cuda::Event event;
  explicit OwnEvent(cuda::EventUse use = cuda::EventUse::timing) : event(cuda::create_event(use)) {}
  ~OwnEvent() { cuda::destroy(event); }
  OwnEvent(const OwnEvent&) = delete;
  OwnEvent& operator=(const OwnEvent&) = delete;
  operator cuda::Event() const { return event; }
};

struct OwnGraph {
  cuda::Graph graph;
  explicit OwnGraph(cuda::Graph owned) : graph(owned) {}
  ~OwnGraph() { cuda::destroy(graph); }
  OwnGraph(const OwnGraph&) = delete;
  OwnGraph& operator=(const OwnGraph&) = delete;
  operator cuda::Graph() const { return graph; }
};

/// x[i] = factor * x[i] + term
template <class T>
static __global__ void affine(T* x, T factor, T term) {
  x[threadIdx.x] = factor * x[threadIdx.x] + term;
}

void put_affine(float* x, float factor, float term, cuda::Stream stream) {
  cuda::launch(affine<float>, dim3(1), dim3(32), 0, stream, x, factor, term);
}

bool all_are(const OnDevice<float>& memory, float value, cuda::Stream stream) {
  return memory.values(stream) == std::vector<float>(32, value);
}

TEST_CASE("the device says what it is") {
  CHECK(cuda::why_unavailable() == "");
  const cuda::DeviceInfo& info = cuda::device_info();
  CHECK(info.name == "CPU harness");
  CHECK(info.multiprocessors == 132);
  CHECK(info.shared_memory == 232448);
}

TEST_CASE("device memory is aligned, NaN until it is written, and counted") {
  const OwnStream stream;
  const std::size_t before = live_allocations();
  {
    const OnDevice<double> a(3);
    const OnDevice<float> none(0);
    CHECK(live_allocations() == before + 2);
    CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 256 == 0);
    CHECK(none.data() != nullptr);
    for (const double value : a.values(stream)) CHECK(std::isnan(value));
    cuda::clear(a.data(), 16, stream);
    CHECK(a.values(stream)[1] == 0);
    CHECK(std::isnan(a.values(stream)[2]));
  }
  CHECK(live_allocations() == before);
  cuda::release(nullptr);
}

TEST_CASE("copies stay inside their memory and on their side") {
  const OwnStream stream;
  const OnDevice<float> a(32), b(32);
  std::vector<float> host(40, 1.0F);
  CHECK_THROWS_WITH(cuda::upload(a.data(), host.data(), 132, stream),
                    Contains("upload: 132 bytes"));
  CHECK_THROWS_WITH(cuda::upload(a.data() + 1, host.data(), 128, stream), Contains("upload"));
  CHECK_THROWS_WITH(cuda::download(host.data(), a.data() + 31, 8, stream), Contains("download"));
  CHECK_THROWS_WITH(cuda::clear(a.data() - 1, 4, stream), Contains("clear"));
  CHECK_THROWS_WITH(cuda::clear(host.data(), 4, stream), Contains("not in one piece of device"));
  CHECK_THROWS_WITH(cuda::upload(a.data(), b.data(), 4, stream),
                    Contains("host memory was expected"));
  CHECK_THROWS_WITH(cuda::download(a.data(), b.data(), 4, stream), Contains("host memory"));
  CHECK_THROWS_WITH(cuda::copy(a.data(), a.data() + 1, 8, stream), Contains("overlap"));
  cuda::upload(a.data(), host.data(), 128, stream);
  cuda::copy(b.data(), a.data(), 64, stream);
  cuda::copy(b.data() + 16, a.data() + 1, 64, stream);
  CHECK(all_are(b, 1, stream));
}

TEST_CASE("kernels take pointers to live device memory only") {
  const OwnStream stream;
  const OnDevice<float> a(32);
  std::vector<float> host(32);
  auto* gone = static_cast<float*>(cuda::allocate(128));
  cuda::release(gone);
  const auto axpy_of = [&](const float* x, float* y) {
    cuda::launch(axpy<Bug::none>, dim3(1), dim3(32), 0, stream, x, y, 1.0F, 0);
  };
  CHECK_NOTHROW(axpy_of(nullptr, a.data()));
  CHECK_NOTHROW(axpy_of(a.data() + 32, a.data()));
  CHECK_THROWS_WITH(axpy_of(host.data(), a.data()), Contains("argument 1 of the kernel"));
  CHECK_THROWS_WITH(axpy_of(a.data(), host.data()), Contains("argument 2 of the kernel"));
  CHECK_THROWS_WITH(axpy_of(a.data(), gone), Contains("argument 2 of the kernel"));
}

TEST_CASE("a graph must not outlive its memory") {
  const OwnStream stream;
  auto* memory = static_cast<float*>(cuda::allocate(128));
  cuda::begin_capture(stream);
  put_affine(memory, 1, 1, stream);
  const OwnGraph graph(cuda::end_capture(stream));
  cuda::release(memory);
  CHECK_THROWS_WITH(cuda::launch(graph, stream), Contains("argument 1 of the kernel"));
}

TEST_CASE("handles must exist") {
  const OnDevice<float> a(32);
  const cuda::Stream gone = cuda::create_stream();
  cuda::destroy(gone);
  CHECK_THROWS_WITH(cuda::synchronise(gone), Contains("the stream was destroyed"));
  CHECK_THROWS_WITH(cuda::record(nullptr, nullptr), Contains("the event is null"));
  CHECK_THROWS_WITH(cuda::node_count(nullptr), Contains("the graph is null"));
  cuda::destroy(cuda::Stream{});
}

TEST_CASE("without a capture work runs at once, and events know the time") {
  const OwnStream stream, other;
  const OwnEvent begin, end, never, untimed(cuda::EventUse::order);
  const OnDevice<float> x(std::vector<float>(32, 1.0F), stream);
  cuda::record(begin, stream);
  put_affine(x.data(), 2, 1, stream);
  cuda::record(end, stream);
  cuda::wait(other, end);
  cuda::wait(other, never);
  put_affine(x.data(), 2, 1, other);
  cuda::synchronise(other);
  CHECK(all_are(x, 7, other));
  CHECK(cuda::milliseconds(begin, end) >= 0);
  CHECK_THROWS_WITH(cuda::milliseconds(begin, never), Contains("not recorded"));
  cuda::record(untimed, stream);
  cuda::wait(other, untimed);
  CHECK_THROWS_WITH(cuda::milliseconds(begin, untimed), Contains("to order streams only"));
}

/// x + 10 x by two streams that are not being captured. `missing` leaves one wait out.
enum class Wait { none, fork, join, host };
int right_orders_late(Wait missing) {
  const OwnStream main, side;
  const OwnEvent forked(cuda::EventUse::order), joined(cuda::EventUse::order);
  int right = 0;
  in_every_order([&] {
    config().late = true;
    const OnDevice<float> x(std::vector<float>(32, 1.0F), main), y(32);
    cuda::synchronise(main);
    put_affine(x.data(), 1, 1, main);
    cuda::record(forked, main);
    if (missing != Wait::fork) cuda::wait(side, forked);
    cuda::copy(y.data(), x.data(), 128, side);
    put_affine(y.data(), 10, 0, side);
    cuda::record(joined, side);
    if (missing == Wait::none || missing == Wait::fork) cuda::wait(main, joined);
    cuda::launch(axpy<Bug::none>, dim3(1), dim3(32), 0, main, x.data(), y.data(), 1.0F, 32);
    if (missing == Wait::join) cuda::wait(main, joined);  // after it was needed
    right += all_are(y, 22, main);
  });
  return right;
}

TEST_CASE("work that is put off runs when the host waits, in every order that events allow") {
  CHECK(right_orders_late(Wait::none) == 7);
  CHECK(right_orders_late(Wait::fork) < 7);
  CHECK(right_orders_late(Wait::join) < 7);
  CHECK(right_orders_late(Wait::host) == 0);  // what nobody waits for has not run
  const Config saved = config();
  config().late = true;
  const OwnStream stream, other;
  float* const x = static_cast<float*>(cuda::allocate(128));
  std::vector<float> host(32, 3.0F);
  cuda::upload(x, host.data(), 128, stream);
  host.assign(32, -1.0F);  // the bytes of the call count
  const OnDevice<float> y(32);
  const auto has_run = [&] {
    cuda::download(host.data(), x, 128, other);
    return host == std::vector<float>(32, 3.0F);
  };
  CHECK(!has_run());
  SECTION("the stream itself") {
    cuda::synchronise(stream);
    CHECK(has_run());
  }
  SECTION("the stream that no other overlaps") {
    cuda::synchronise(nullptr);
    CHECK(has_run());
  }
  SECTION("memory that is given back") {
    cuda::release(cuda::allocate(4));
    CHECK(has_run());
  }
  SECTION("work that is run at once") {
    config().late = false;
    cuda::clear(y.data(), 4, other);
    CHECK(has_run());
  }
  config() = saved;
  cuda::release(x);
}

TEST_CASE("a graph does nothing until it is launched, and then each time the same") {
  const OwnStream stream;
  const OnDevice<float> x(std::vector<float>(32, 1.0F), stream), y(32);
  std::vector<float> host(32, 5.0F);
  cuda::begin_capture(stream);
  put_affine(x.data(), 1, 1, stream);
  cuda::upload(y.data(), host.data(), 128, stream);
  cuda::copy(y.data(), x.data(), 64, stream);
  cuda::clear(y.data(), 4, stream);
  const OwnGraph graph(cuda::end_capture(stream));
  host.assign(32, -1.0F);  // the graph has the bytes of the capture
  CHECK(cuda::node_count(graph) == 4);
  CHECK(all_are(x, 1, stream));
  float expected = 1;
  in_every_order([&] {
    cuda::launch(graph, stream);
    expected += 1;
    CHECK(all_are(x, expected, stream));
    std::vector<float> want(32, 5.0F);
    std::fill_n(want.begin(), 16, expected);
    want[0] = 0;
    CHECK(y.values(stream) == want);
  });
}

/// y = (x + 1) + 10 (x + 1) by two branches, that meet in y. `edge` leaves one wait out.
enum class Edge { none, fork, join };
cuda::Graph capture_branches(float* x, float* y, float* z, Edge missing, cuda::Stream main,
                             cuda::Stream side) {
  const OwnEvent start, forked, joined;
  cuda::begin_capture(main);
  if (missing == Edge::fork) cuda::record(start, main), cuda::wait(side, start);
  put_affine(x, 1, 1, main);
  cuda::record(forked, main);
  if (missing != Edge::fork) cuda::wait(side, forked);
  cuda::copy(z, x, 128, side);
  put_affine(z, 10, 0, side);
  if (missing == Edge::join) cuda::record(joined, side);
  cuda::copy(y, x, 128, main);
  if (missing != Edge::join) cuda::record(joined, side), cuda::wait(main, joined);
  cuda::launch(axpy<Bug::none>, dim3(1), dim3(32), 0, main, z, y, 1.0F, 32);
  if (missing == Edge::join) cuda::wait(main, joined);
  return cuda::end_capture(main);
}

/// In how many of the orders the graph computes what it should.
int right_orders(Edge missing) {
  const OwnStream main, side;
  const OnDevice<float> x(32), y(32), z(32);
  const OwnGraph graph(capture_branches(x.data(), y.data(), z.data(), missing, main, side));
  int right = 0;
  in_every_order([&] {
    const std::vector<float> ones(32, 1.0F), nan(32, NAN);
    cuda::upload(x.data(), ones.data(), 128, main);
    cuda::upload(y.data(), nan.data(), 128, main);
    cuda::upload(z.data(), nan.data(), 128, main);
    cuda::launch(graph, main);
    right += all_are(y, 22, main) ? 1 : 0;
  });
  return right;
}

TEST_CASE("a missing edge of a graph shows in some order") {
  CHECK(right_orders(Edge::none) == 7);
  CHECK(right_orders(Edge::fork) < 7);
  CHECK(right_orders(Edge::join) < 7);
}

TEST_CASE("a graph can become a part of another") {
  const OwnStream main, side;
  const OnDevice<float> x(32), y(32), z(32);
  const OwnGraph inner(capture_branches(x.data(), y.data(), z.data(), Edge::none, main, side));
  const std::vector<float> ones(32, 1.0F);
  cuda::begin_capture(main);
  cuda::upload(x.data(), ones.data(), 128, main);
  cuda::launch(inner, main);
  put_affine(y.data(), 1, 0.5F, main);
  const OwnGraph outer(cuda::end_capture(main));
  CHECK(cuda::node_count(outer) == cuda::node_count(inner) + 2);
  in_every_order([&] {
    cuda::launch(outer, main);
    CHECK(all_are(y, 22.5F, main));
  });
}

TEST_CASE("a capture refuses what CUDA refuses") {
  const OwnStream main, side, third;
  const OwnEvent event, old, early;
  const OnDevice<float> x(std::vector<float>(32, 1.0F), main);
  std::vector<float> host(32);
  cuda::record(old, side);
  cuda::begin_capture(main);

  SECTION("calls that wait, or that stop the device") {
    const auto spoils = [&](auto&& call, const char* name) {
      CHECK_THROWS_WITH(call(), Contains(name) && Contains("being captured"));
      CHECK_THROWS_WITH(cuda::end_capture(main), Contains(name));
      cuda::begin_capture(main);
    };
    spoils([&] { cuda::download(host.data(), x.data(), 128, main); }, "download");
    spoils([&] { cuda::synchronise(main); }, "synchronise");
    spoils([&] { cuda::allocate(4); }, "allocate");
    spoils([&] { cuda::begin_capture(main); }, "begin_capture");
    cuda::abandon_capture(main);
    auto* memory = cuda::allocate(4);
    cuda::begin_capture(main);
    cuda::release(memory);
    CHECK_THROWS_WITH(cuda::end_capture(main), Contains("release was called"));
  }
  SECTION("work that is not joined") {
    cuda::record(event, main);
    cuda::wait(side, event);
    put_affine(x.data(), 1, 1, side);
    CHECK_THROWS_WITH(cuda::end_capture(main), Contains("not joined"));
  }
  SECTION("an event from before the capture") {
    CHECK_THROWS_WITH(cuda::wait(main, old), Contains("not recorded in this capture"));
  }
  SECTION("an event of another capture") {
    cuda::begin_capture(third);
    cuda::record(event, main);
    CHECK_THROWS_WITH(cuda::wait(third, event), Contains("another capture"));
    cuda::abandon_capture(third);
  }
  SECTION("an event of a capture that has ended") {
    cuda::record(event, main);
    cuda::abandon_capture(main);
    CHECK_THROWS_WITH(cuda::wait(side, event), Contains("has ended"));
  }
  SECTION("an end by another stream") {
    cuda::record(event, main);
    cuda::wait(side, event);
    CHECK_THROWS_WITH(cuda::end_capture(side), Contains("another stream began"));
  }
  SECTION("an end without a begin") {
    CHECK_THROWS_WITH(cuda::end_capture(side), Contains("not being captured"));
  }
  cuda::abandon_capture(main);
  put_affine(x.data(), 1, 1, main);  // both streams work again
  put_affine(x.data(), 1, 1, side);
  CHECK(all_are(x, 3, main));
}

}  // namespace
