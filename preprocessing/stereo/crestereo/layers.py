"""CREStereo's layers: features, attention, and the recurrent update; names as in the published weights."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from preprocessing.stereo.crestereo.sampling import CHANNELS, GROUPS, HIDDEN, SEARCHED, UPSAMPLING, upsample

HEADS = 8

# (flow, whether to search a square) -> [N, GROUPS * SEARCHED, h, w]
Correlate = Callable[[Tensor, bool], Tensor]


def _normalise(x: Tensor) -> Tensor:
    """Instance norm of a batch of one, in place where float32.

    Two passes: PyTorch's own leaves channels_last, and its batch norm there has thirty times the rounding error.
    """
    if x.dtype != torch.float32:
        return functional.batch_norm(x, None, None, training=True)  # squares would overflow
    x.sub_(x.mean((2, 3), keepdim=True))
    return x.mul_((x.square().mean((2, 3), keepdim=True) + 1e-5).rsqrt_())


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        y = _normalise(self.conv1(x)).relu_()
        y = _normalise(self.conv2(y)).relu_()
        return y.add_(_normalise(self.downsample(x))).relu_()


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.layer1 = nn.Sequential(_Residual(64, 64), _Residual(64, 64))
        self.layer2 = nn.Sequential(_Residual(64, 96, stride=2), _Residual(96, 96))
        self.layer3 = nn.Sequential(_Residual(96, 128), _Residual(128, 128))
        self.conv2 = nn.Conv2d(128, CHANNELS, 1)

    def forward(self, images: Tensor) -> Tensor:
        images = (2 * (images / 255) - 1).contiguous(memory_format=torch.channels_last)
        # One image at a time: each is normalised on its own anyway, and memory is halved.
        return torch.cat([self._encode(image).float() for image in images.split(1)])

    def _encode(self, image: Tensor) -> Tensor:
        x = _normalise(self.conv1(image)).relu_()
        return self.conv2(self.layer3(self.layer2(self.layer1(x))))


class _AttentionLayer(nn.Module):
    """Linear attention and a feed-forward block, as in LoFTR (Sun et al., CVPR 2021), on tokens [N, S, C]."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.merge = (nn.Linear(CHANNELS, CHANNELS, False) for _ in range(4))
        self.mlp = nn.Sequential(
            nn.Linear(2 * CHANNELS, 2 * CHANNELS, False), nn.ReLU(), nn.Linear(2 * CHANNELS, CHANNELS, False)
        )
        self.norm1, self.norm2 = nn.LayerNorm(CHANNELS), nn.LayerNorm(CHANNELS)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        query = functional.elu(self.q_proj(x).unflatten(-1, (HEADS, -1))) + 1
        key = functional.elu(self.k_proj(source).unflatten(-1, (HEADS, -1))) + 1
        count = source.shape[1]
        value = self.v_proj(source).unflatten(-1, (HEADS, -1)) / count
        summed = torch.einsum("nshd,nshv->nhdv", key, value)
        weight = count / (torch.einsum("nlhd,nhd->nlh", query, key.sum(1)) + 1e-6)
        attended = torch.einsum("nlhd,nhdv->nlhv", query, summed) * weight.unsqueeze(-1)
        message = self.norm1(self.merge(attended.flatten(2)))
        return x + self.norm2(self.mlp(torch.cat([x, message], dim=2)))


class Transformer(nn.Module):
    def __init__(self, across: bool) -> None:
        super().__init__()
        self.across = across
        self.layers = nn.ModuleList([_AttentionLayer()])

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.layers:
            left = layer(left, right if self.across else left)
            right = layer(right, left if self.across else right)  # across, it sees the left's new tokens
        return left, right


class _MotionEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(GROUPS * SEARCHED, 256, 1)
        self.convc2 = nn.Conv2d(256, 192, 3, padding=1)
        self.convf1 = nn.Conv2d(2, 128, 7, padding=3)
        self.convf2 = nn.Conv2d(128, 64, 3, padding=1)
        self.conv = nn.Conv2d(64 + 192, HIDDEN - 2, 3, padding=1)

    def forward(self, flow: Tensor, correlation: Tensor) -> Tensor:
        matching = self.convc2(self.convc1(correlation).relu_()).relu_()
        motion = self.convf2(self.convf1(flow).relu_()).relu_()
        motion = self.conv(torch.cat([matching, motion], dim=1)).relu_()
        return torch.cat([motion, flow.to(motion.dtype)], dim=1)


class _GruPass(NamedTuple):
    """One direction: kernels over state and motion, and what the context adds to their answers."""

    gates: Tensor
    candidate: Tensor
    gates_context: Tensor
    candidate_context: Tensor


class _Gru(nn.Module):
    """A convolutional gated recurrent unit, first along rows, then along columns."""

    def __init__(self) -> None:
        super().__init__()
        self.convz1, self.convr1, self.convq1 = (nn.Conv2d(3 * HIDDEN, HIDDEN, (1, 5)) for _ in range(3))
        self.convz2, self.convr2, self.convq2 = (nn.Conv2d(3 * HIDDEN, HIDDEN, (5, 1)) for _ in range(3))

    def prepare(self, context: Tensor) -> list[_GruPass]:
        """Convolve with the context [N, 128, h, w], a third of the input that no iteration changes."""
        passes = []
        for gates in ((self.convz1, self.convr1, self.convq1), (self.convz2, self.convr2, self.convq2)):
            weight = torch.cat([gate.weight for gate in gates])
            bias = torch.cat([gate.bias for gate in gates if gate.bias is not None])
            state, seen, motion = weight.split(HIDDEN, dim=1)
            kernels = torch.cat([state, motion], dim=1).split(2 * HIDDEN)
            added = [
                functional.conv2d(context, kernel, offset, padding="same")
                for kernel, offset in zip(seen.split(2 * HIDDEN), bias.split(2 * HIDDEN), strict=True)
            ]
            passes.append(_GruPass(kernels[0], kernels[1], added[0], added[1]))
        return passes

    def forward(self, state: Tensor, motion: Tensor, passes: list[_GruPass]) -> Tensor:
        state = state.to(motion.dtype)
        for p in passes:
            gates = functional.conv2d(torch.cat([state, motion], dim=1), p.gates, padding="same")
            update, reset = gates.add_(p.gates_context).sigmoid_().chunk(2, dim=1)
            candidate = functional.conv2d(torch.cat([reset * state, motion], dim=1), p.candidate, padding="same")
            state = torch.lerp(state, candidate.add_(p.candidate_context).tanh_(), update)
        return state


class _FlowHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(HIDDEN, 256, 3, padding=1)
        self.conv2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, state: Tensor) -> Tensor:
        return self.conv2(self.conv1(state).relu_()).float()


class UpdateBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = _MotionEncoder()
        self.gru = _Gru()
        self.flow_head = _FlowHead()
        self.mask = nn.Sequential(
            nn.Conv2d(HIDDEN, 256, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(256, 9 * UPSAMPLING**2, 1)
        )

    def forward(self, state: Tensor, context: Tensor, flow: Tensor, iterations: int, correlate: Correlate) -> Tensor:
        """Refine `flow` so many times and return it at four times the sides, in pixels of these."""
        flow = flow.contiguous(memory_format=torch.channels_last)  # as all else is: one other slows all down
        passes = self.gru.prepare(context)
        for iteration in range(iterations):
            motion = self.encoder(flow, correlate(flow, iteration % 2 == 1))
            state = self.gru(state, motion, passes)
            flow = flow + self.flow_head(state)
        return upsample(flow, 0.25 * self.mask(state).float())
