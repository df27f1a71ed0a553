// SPDX-License-Identifier: MIT
// Networks, tensors and operations that must not compile, and the sentence that each prints.
#include <poe/nn/layers.hpp>

#include <string>

using namespace poe;

// Case 0: the nearest programs that are right.
Net<Shape<1, 28, 28>, Flatten, Linear<10>, Reshape<10, 1, 1>, ConvTranspose2d<8, kernel(4).pad(1)>,
    Conv2d<8, kernel(2).pad(1)>, MaxPool2d<kernel(3).pad(1)>, BatchNorm2d, BasicBlock<8, 2>,
    ChannelDropout<50>, GlobalAveragePool, Dropout<99>, GaussianHead<4>, Embedding<10, 3>>
    right;
float element_of(const Tensor<float, Shape<3, 4, 4>>& t) { return t(0, 1, 2, 3); }
float* floats(Arena& arena) { return arena.take<float>(1); }
void record(Tape<float>& tape, Variable<float, Shape<3>> y) {
  tape.record(y, [y] { y.value[0] = 0; });
}

// expect: poe: Linear takes a vector, Shape<N>
#if CASE == 1
Net<Shape<1, 28, 28>, Linear<10>> linear_on_an_image;
#endif

// expect: poe: Linear takes a vector, Shape<N>
#if CASE == 2
Net<Shape<1, 28, 28>, GaussianHead<10>> head_on_an_image;
#endif

// expect: poe: Linear takes a vector, Shape<N>
#if CASE == 3
Net<Shape<1, 28, 28>, Sequence<Relu, Sequence<Linear<10>>>> mistake_in_a_nested_sequence;
#endif

// expect: poe: Conv2d takes an image, Shape<C, H, W>, no smaller than its kernel
#if CASE == 4
Net<Shape<784>, Conv2d<8, kernel(3)>> convolution_of_a_vector;
#endif

// expect: poe: Conv2d takes an image, Shape<C, H, W>, no smaller than its kernel
#if CASE == 5
Net<Shape<1, 28, 4>, Conv2d<8, kernel(3, 5)>> kernel_larger_than_the_image;
#endif

// expect: poe: Conv2d wants kernel > 0, stride > 0, 0 <= pad < kernel and no output padding
#if CASE == 6
Net<Shape<1, 28, 28>, Conv2d<8, kernel(3).pad(0, 3)>> padding_as_large_as_the_kernel;
#endif

// expect: poe: Conv2d wants kernel > 0, stride > 0, 0 <= pad < kernel and no output padding
#if CASE == 7
Net<Shape<1, 28, 28>, Conv2d<8, kernel(3).stride(2, 0)>> stride_of_zero;
#endif

// expect: poe: Conv2d wants kernel > 0, stride > 0, 0 <= pad < kernel and no output padding
#if CASE == 8
Net<Shape<1, 28, 28>, Conv2d<8, kernel(3).stride(2).output_pad(1, 1)>> output_padding;
#endif

// expect: poe: ConvTranspose2d takes an image, Shape<C, H, W>
#if CASE == 9
Net<Shape<64>, ConvTranspose2d<8, kernel(3)>> transposed_convolution_of_a_vector;
#endif

// expect: or choose a smaller padding
#if CASE == 10
Net<Shape<8, 1, 1>, ConvTranspose2d<8, kernel(4).pad(2)>> nothing_left_by_the_padding;
#endif

// expect: poe: ConvTranspose2d wants kernel > 0, stride > 0, 0 <= pad < kernel, output_pad < stride
#if CASE == 11
Net<Shape<8, 4, 4>, ConvTranspose2d<8, kernel(3).stride(2).output_pad(0, 2)>> output_padding;
#endif

// expect: poe: Reshape keeps the number of elements
#if CASE == 12
Net<Shape<64>, Reshape<4, 4, 3>> reshape_to_another_size;
#endif

// expect: poe: Reshape keeps the number of elements and takes a vector
#if CASE == 13
Net<Shape<4, 4, 4>, Reshape<16, 2, 2>> reshape_of_an_image;
#endif

// expect: poe: MaxPool2d takes an image, Shape<C, H, W>, no smaller than its kernel
#if CASE == 14
Net<Shape<3, 4, 1>, MaxPool2d<kernel(2)>> window_larger_than_the_image;
#endif

// expect: poe: MaxPool2d wants a padding of at most half its kernel
#if CASE == 15
Net<Shape<3, 8, 8>, MaxPool2d<kernel(3).pad(2, 1)>> too_much_padding;
#endif

// expect: poe: GlobalAveragePool takes an image
#if CASE == 16
Net<Shape<10>, GlobalAveragePool> pool_of_a_vector;
#endif

// expect: poe: BatchNorm2d takes an image
#if CASE == 17
Net<Shape<10>, BatchNorm2d> normalisation_of_a_vector;
#endif

// expect: poe: BasicBlock takes an image
#if CASE == 18
Net<Shape<10>, BasicBlock<8, 2>> block_on_a_vector;
#endif

// expect: poe: ChannelDropout takes an image
#if CASE == 19
Net<Shape<10>, ChannelDropout<50>> channels_of_a_vector;
#endif

// expect: poe: a Dropout percentage lies in 0 .. 99
#if CASE == 20
Net<Shape<10>, Dropout<100>> everything_dropped;
#endif

// expect: poe: Embedding takes a sentence of token ids, Shape<N>
#if CASE == 21
Net<Shape<1, 4, 4>, Embedding<10, 3>> embedding_of_an_image;
#endif

// expect: Misfit<poe::Shape<8, 13, 13>
#if CASE == 22
Net<Shape<1, 28, 28>, Conv2d<8, kernel(4).stride(2)>, Relu, Linear<10>> names_the_shape;
#endif

// expect: poe: a Shape has positive extents only
#if CASE == 23
Net<Shape<3, 0, 3>, Flatten> no_rows;
#endif

// expect: poe: a tensor element has one index for the sample and one for each extent
#if CASE == 24
float element(const Tensor<float, Shape<3, 4, 4>>& t) { return t(0, 1, 2); }
#endif

// expect: poe: this build has no operations on this Device
#if CASE == 25
Tensor<float, Shape<3>, Cuda> without_cuda;
#endif

// expect: poe: reshape keeps the number of elements
#if CASE == 26
auto shorter(Context<float>& c, Variable<float, Shape<6>> x) { return reshape<Shape<5>>(c, x); }
#endif

// expect: poe: reshape from image to image goes through Flatten
#if CASE == 27
auto image_to_image(Context<float>& c, Variable<float, Shape<4, 2, 2>> x) {
  return reshape<Shape<2, 4, 2>>(c, x);
}
#endif

// expect: poe: an arena never runs destructors
#if CASE == 28
auto* text(Arena& arena) { return arena.take<std::string>(1); }
#endif

// expect: poe: a backward closure captures handles and plain numbers only
#if CASE == 29
void record(Tape<float>& tape, Variable<float, Shape<3>> y, std::string text) {
  tape.record(y, [text] {});
}
#endif

// A view is kept where its tensor would end.
// expect: deleted
#if CASE == 30
auto view_of_temporary() { return Tensor<float, Shape<3>>(2).view(); }
#endif

// expect: deleted
#if CASE == 31
View<float, Shape<3>> converted = Tensor<float, Shape<3>>(2);
#endif
