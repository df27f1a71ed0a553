# SPDX-License-Identifier: MIT
"""Layers and losses that make PyTorch 1.13 faster on a CPU than its own do, for torch_peer.py and torch_pairs.py.
Images are channels last."""
import torch
import torch.nn.functional as F
from torch import nn


class UpConvolution(torch.autograd.Function):
    """A transposed convolution as the data gradient of a convolution, for which oneDNN has a kernel;
    on the CPU, conv_transpose2d of PyTorch 1.13 goes through columns, sample by sample."""

    @staticmethod
    def backward_of_convolution(small, large, weight, stride, padding, wanted):
        return torch.ops.aten.convolution_backward(small, large, weight, None, stride, padding, (1, 1), False,
                                                   (0, 0), 1, wanted)

    @staticmethod
    def forward(ctx, x, weight, bias, stride, padding):
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding
        size = [(n - 1) * s - 2 * p + k for n, s, p, k in zip(x.shape[2:], stride, padding, weight.shape[2:])]
        large = torch.empty((x.shape[0], weight.shape[1], *size), memory_format=torch.channels_last)
        y = UpConvolution.backward_of_convolution(x, large, weight, stride, padding, (True, False, False))[0]
        return y if bias is None else y.add_(bias.view(-1, 1, 1))

    @staticmethod
    def backward(ctx, g):
        x, weight = ctx.saved_tensors
        small = F.conv2d(g, weight, None, *ctx.geometry)
        of_weight = UpConvolution.backward_of_convolution(x, g, weight, *ctx.geometry, (False, True, False))[1]
        return small, of_weight, g.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None, None, None


class UpConv(nn.ConvTranspose2d):
    def forward(self, x):
        return UpConvolution.apply(x, self.weight, self.bias, self.stride, self.padding)


class UpConvOfCode(nn.ConvTranspose2d):
    """A transposed convolution of one pixel: a linear layer whose outputs are the kernel's pixels."""

    def forward(self, z):
        n, c, h, w = self.weight.shape
        weight = self.weight.permute(0, 2, 3, 1).reshape(n, -1)  # a view
        y = z.mm(weight) if self.bias is None else torch.addmm(self.bias.repeat(h * w), z, weight)
        return y.view(-1, h, w, c).permute(0, 3, 1, 2)


# Images of one channel under kernels of 4 x 4 pixels, two apart: oneDNN takes two to four times as long as patches.
def patches_of(image):
    """(B, 1, H, W) -> (B * H/2 * W/2, 16)"""
    b, _, h, w = image.shape
    padded = F.pad(image, (1, 1, 1, 1))
    s = padded.stride()
    return padded.as_strided((b, h // 2, w // 2, 4, 4), (s[0], 2 * s[2], 2 * s[3], s[2], s[3])).reshape(-1, 16)


def sum_of_patches(patches, b, h, w):
    return F.fold(patches.view(b, -1, 16).transpose(1, 2), (h, w), 4, padding=1, stride=2)


def pixels_of(x):
    """(B, C, H, W) -> (B * H * W, C)"""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def images_of(pixels, b, h, w):
    return pixels.view(b, h, w, -1).permute(0, 3, 1, 2)


class OneChannelConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        patches, (b, _, h, w) = patches_of(x), x.shape
        ctx.save_for_backward(patches, weight)
        ctx.size = b, h, w
        return images_of(patches.mm(weight.view(-1, 16).t()), b, h // 2, w // 2)

    @staticmethod
    def backward(ctx, g):
        (patches, weight), g = ctx.saved_tensors, pixels_of(g)
        return sum_of_patches(g.mm(weight.view(-1, 16)), *ctx.size), g.t().mm(patches).view_as(weight)


class OneChannelUpConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        pixels, (b, _, h, w) = pixels_of(x), x.shape
        ctx.save_for_backward(pixels, weight)
        ctx.size = b, h, w
        return sum_of_patches(pixels.mm(weight.view(-1, 16)), b, 2 * h, 2 * w)

    @staticmethod
    def backward(ctx, g):
        (pixels, weight), patches = ctx.saved_tensors, patches_of(g)
        return images_of(patches.mm(weight.view(-1, 16).t()), *ctx.size), pixels.t().mm(patches).view_as(weight)


class OneChannelConv(nn.Conv2d):
    def forward(self, x):
        return OneChannelConvolution.apply(x, self.weight)


class OneChannelUpConv(nn.ConvTranspose2d):
    def forward(self, x):
        return OneChannelUpConvolution.apply(x, self.weight)


class FlattenPixels(nn.Module):
    """Channels last, as they lie in memory: no copy."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class Words(nn.Embedding):
    def forward(self, ids):
        return super().forward(ids).unsqueeze(1)  # an image of words x numbers


class TokenLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x.reshape(-1, x.shape[-1]))


class Bernoulli(torch.autograd.Function):
    """-sum of log p(x | logits), x in [0, 1]; its gradient takes the place of the logits."""

    @staticmethod
    def forward(ctx, logits, x):
        total = F.softplus(logits).sum() - (logits * x).sum()
        ctx.slope = logits.sigmoid().sub_(x)
        return total

    @staticmethod
    def backward(ctx, g):
        return ctx.slope.mul_(g), None


class Categorical(torch.autograd.Function):
    """-sum of log p(id | logits) but for id 0, as F.cross_entropy in fewer passes."""

    @staticmethod
    def forward(ctx, logits, ids):
        p, seen = torch.softmax(logits, 1), ids != 0
        ctx.save_for_backward(ids, seen)
        ctx.p = p
        return -(p.gather(1, ids[:, None]).squeeze(1).clamp_min_(1e-38).log_() * seen).sum()

    @staticmethod
    def backward(ctx, g):
        ids, seen = ctx.saved_tensors
        slope = ctx.p.scatter_add_(1, ids[:, None], torch.full((1, 1), -1.0).expand(len(ids), 1))
        return slope.mul_((g * seen)[:, None]), None
