// SPDX-License-Identifier: MIT
// From the second training step on nothing is allocated: this program counts every operator new.
#include "support.hpp"

#include <poe/nn/layers.hpp>

#include <cstdlib>
#include <new>
#include <vector>

namespace {
std::size_t allocations = 0;

void* counted(void* p) {
  ++allocations;
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
}  // namespace

// Not inline: the compiler shall not reason about what is only a counter.
#define POE_TEST_CALL __attribute__((noinline))
POE_TEST_CALL void* operator new(std::size_t n) { return counted(std::malloc(n + (n == 0))); }
POE_TEST_CALL void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(n + (n == 0));
}
POE_TEST_CALL void* operator new(std::size_t n, std::align_val_t a) {
  const auto align = static_cast<std::size_t>(a);
  return counted(std::aligned_alloc(align, (n + align - 1) / align * align));
}
POE_TEST_CALL void operator delete(void* p) noexcept { std::free(p); }
POE_TEST_CALL void operator delete(void* p, std::size_t) noexcept { std::free(p); }
POE_TEST_CALL void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
POE_TEST_CALL void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}

namespace {

using namespace poe;

struct Images : Net<Shape<3, 8, 6>, Conv2d<10, kernel(4).stride(2).pad(1)>, Relu, BasicBlock<12, 2>,
                    ChannelDropout<25>, MaxPool2d<kernel(2)>, Flatten, Linear<20>, Elu, Dropout<50>,
                    Linear<18>, Reshape<3, 2, 3>, ConvTranspose2d<2, kernel(2).stride(2)>,
                    BatchNorm2d, Sigmoid, GlobalAveragePool> {};
struct Sentence : Net<Shape<5>, Embedding<9, 4>, Flatten, Linear<2>, Softplus> {};

}  // namespace

TEMPLATE_TEST_CASE("a training step allocates nothing from the second step on", "", float, double) {
  using T = TestType;
  const auto images = describe<Images, T>("images"), words = describe<Sentence, T>("words");
  Buffer<T> parameters(images.parameter_size + words.parameter_size);
  Buffer<T> gradients(parameters.size()), statistics(images.statistic_size);
  initialise<T>({parameters.data(), images.parameter_size}, images.parameters, 1);
  const Tensor<T, Images::In> x(9);
  const Tensor<T, Sentence::In> ids(9);
  Tape<T> tape;
  std::uint32_t steps = 0;
  const auto step = [&] {
    tape.reset();
    Context<T> context{.tape = tape,
                       .parameters = parameters.data(),
                       .gradients = gradients.data(),
                       .statistics = statistics.data(),
                       .mode = Mode::train,
                       .random = {.step = steps++}};
    Cursor<T> cursor{context};
    const auto a = Images::forward(cursor, tape.constant(x.view()));
    const auto b = Sentence::forward(cursor, tape.constant(ids.view()));
    const Rows<T, Shape<2>> parts[] = {Rows(b), Rows(a, 2, 3), Rows(add(context, a, b))};
    const auto all = concat_rows<T, Shape<2>, Cpu>(context, parts);
    seed(Rows(concat_features(context, all, all)), T(1));
    tape.backward();
    return all.value;
  };
  const std::size_t before = allocations;
  step();
  CHECK(allocations > before);
  const T* const address = step();
  const std::size_t blocks = tape.arena().allocation_count(), news = allocations;
  bool same_addresses = true;
  for (int i = 0; i < 5; ++i) same_addresses = step() == address && same_addresses;
  const std::size_t after = allocations;
  CHECK(after == news);
  CHECK(tape.arena().allocation_count() == blocks);
  CHECK(same_addresses);
}
