"""Other people's networks, written down from their descriptions in plain torch: what an import of
their weights is compared with. Nothing of mcxlib or timm is used."""

from __future__ import annotations

import h5py
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def randomise(network: nn.Module, seed: int) -> nn.Module:
    """Weights that keep the size of what flows through, and statistics unlike the fresh ones."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.6, 1.1)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.7, 1.5)
    return network.eval()


@torch.no_grad()
def settled(network: nn.Module, images: Tensor) -> nn.Module:
    """With the running statistics of these images: a deep network's answers then depend on what it
    is shown."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(images)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.clamp_(min=0.05)
    return network.eval()


class Separable(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, 1, 1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.conv1(x))


class XBlock(nn.Module):
    def __init__(self, inputs, outputs, repeats, stride=1, relu_first=True, grow_first=True):
        super().__init__()
        self.skip = None
        if inputs != outputs or stride != 1:
            self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.skipbn = nn.BatchNorm2d(outputs)
        steps: list[nn.Module] = []
        width = inputs
        for number in range(repeats):
            wanted = outputs if grow_first or number == repeats - 1 else inputs
            steps += [nn.ReLU(), Separable(width, wanted), nn.BatchNorm2d(wanted)]
            width = wanted
        if not relu_first:
            steps = steps[1:]
        if stride != 1:
            steps.append(nn.MaxPool2d(3, stride, 1))
        self.rep = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        past = x if self.skip is None else self.skipbn(self.skip(x))
        return self.rep(x) + past


class Xception(nn.Module):
    """Chollet's, with the names that FaceForensics++, DeepfakeBench and timm give its tensors."""

    def __init__(self, outputs: int, head: str = "last_linear") -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 32, 3, 2, bias=False), nn.BatchNorm2d(32)
        self.relu = nn.ReLU()
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3, bias=False), nn.BatchNorm2d(64)
        self.block1 = XBlock(64, 128, 2, 2, relu_first=False)
        self.block2 = XBlock(128, 256, 2, 2)
        self.block3 = XBlock(256, 728, 2, 2)
        for number in range(4, 12):
            setattr(self, f"block{number}", XBlock(728, 728, 3))
        self.block12 = XBlock(728, 1024, 2, 2, grow_first=False)
        self.conv3, self.bn3 = Separable(1024, 1536), nn.BatchNorm2d(1536)
        self.conv4, self.bn4 = Separable(1536, 2048), nn.BatchNorm2d(2048)
        self.head = head
        setattr(self, head, nn.Linear(2048, outputs))

    def pooled(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        for number in range(1, 13):
            x = getattr(self, f"block{number}")(x)
        x = self.bn3(self.conv3(x)).relu()
        return self.bn4(self.conv4(x)).relu().mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self.head)(self.pooled(x))


class ReleasedMCX(nn.Module):
    """The chain of Xception's modules, with the one ReLU that is a module; 14 x 14 pooling."""

    def __init__(self) -> None:
        super().__init__()
        parts = Xception(1000)
        del parts.last_linear
        self.conv = nn.Module()
        self.conv.module = nn.Sequential(*parts.children())  # as DataParallel names it
        self.avg = nn.AvgPool2d(14, stride=1)
        self.map1, self.map2 = nn.Linear(4096, 512), nn.Linear(512, 2048)
        self.fc = nn.Linear(2048, 5)
        self.conv_reduce = nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.avg(self.conv.module(x)).flatten(1))


def same(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A convolution with TensorFlow's padding: what is missing, more of it right and below."""
    size, stride = conv.kernel_size[0], conv.stride[0]
    pads = []
    for length in (x.shape[3], x.shape[2]):
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        pads += [total // 2, total - total // 2]
    return conv(F.pad(x, pads))


class Squeeze(nn.Module):
    def __init__(self, width: int, reduced: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(width, reduced, 1)
        self.conv_expand = nn.Conv2d(reduced, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.conv_expand(F.silu(self.conv_reduce(x.mean((2, 3), keepdim=True))))
        return x * scale.sigmoid()


class MBConv(nn.Module):
    def __init__(self, inputs, outputs, size, stride, expand):
        super().__init__()
        width = inputs * expand
        norm = lambda n: nn.BatchNorm2d(n, eps=1e-3)  # noqa: E731
        deep = nn.Conv2d(width, width, size, stride, groups=width, bias=False)
        self.expand = expand
        if expand == 1:
            self.conv_dw, self.bn1 = deep, norm(width)
            self.conv_pw, self.bn2 = nn.Conv2d(width, outputs, 1, bias=False), norm(outputs)
        else:
            self.conv_pw, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), norm(width)
            self.conv_dw, self.bn2 = deep, norm(width)
            self.conv_pwl, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), norm(outputs)
        self.se = Squeeze(width, inputs // 4)
        self.keeps = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        if self.expand == 1:
            y = self.bn2(self.conv_pw(self.se(F.silu(self.bn1(same(x, self.conv_dw))))))
        else:
            y = F.silu(self.bn1(self.conv_pw(x)))
            y = self.se(F.silu(self.bn2(same(y, self.conv_dw))))
            y = self.bn3(self.conv_pwl(y))
        return x + y if self.keeps else y


class EfficientNetB7(nn.Module):
    """B0's seven stages, twice as wide and 3.1 times as deep (Tan and Le, 2019)."""

    STAGES = (
        *((32, 3, 1, 1, 4), (48, 3, 2, 6, 7), (80, 5, 2, 6, 7), (160, 3, 2, 6, 10)),
        *((224, 5, 1, 6, 10), (384, 5, 2, 6, 13), (640, 3, 1, 6, 4)),
    )

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 64, 3, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64, eps=1e-3)
        stages, width = [], 64
        for outputs, size, stride, expand, repeats in self.STAGES:
            blocks = []
            for number in range(repeats):
                blocks.append(MBConv(width, outputs, size, 1 if number else stride, expand))
                width = outputs
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = nn.Conv2d(640, 2560, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(2560, eps=1e-3)
        self.classifier = nn.Linear(2560, 1000)  # never used

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.silu(self.bn1(same(x, self.conv_stem))))
        return F.silu(self.bn2(self.conv_head(x))).mean((2, 3))


class DeepFakeClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.fc = EfficientNetB7(), nn.Linear(2560, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.encoder(x))


class KerasMeso:
    """Meso-4 or MesoInception-4 as NumPy arrays in Keras's order, and their output: p(real).

    Args:
        first: number of the first layer of each kind; 0 stands for a name without number.
    """

    def __init__(self, inception: bool, seed: int = 0, first: int = 1) -> None:
        self.random = np.random.default_rng(seed)
        self.first, self.arrays, self.inception = first, {}, inception
        self.count = {"conv2d": 0, "batch_normalization": 0, "dense": 0}
        if inception:
            self.plan = [self._mixed(3, (1, 4, 4, 2)), self._mixed(11, (2, 4, 4, 2))]
            width = 12
        else:
            self.plan = [self._plain(3, 8, 3), self._plain(8, 8, 5)]
            width = 8
        self.plan += [self._plain(width, 16, 5), self._plain(16, 16, 5)]
        self.dense = [self._new("dense", kernel=(1024, 16), bias=(16,)) for _ in range(1)]
        self.dense.append(self._new("dense", kernel=(16, 1), bias=(1,)))

    def _new(self, kind: str, **shapes) -> str:
        number = self.count[kind] + self.first
        self.count[kind] += 1
        layer = f"{kind}_{number}" if number else kind
        for weight, shape in shapes.items():
            spread = np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else 0.2
            value = self.random.normal(0, spread, shape)
            if weight in ("gamma", "moving_variance"):
                value = np.abs(value) + 0.7
            self.arrays[f"{layer}/{layer}/{weight}:0"] = value.astype(np.float32)
        return layer

    def _conv(self, inputs: int, outputs: int, size: int) -> str:
        return self._new("conv2d", kernel=(size, size, inputs, outputs), bias=(outputs,))

    def _norm(self, n: int) -> str:
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        return self._new("batch_normalization", **dict.fromkeys(names, (n,)))

    def _plain(self, inputs: int, outputs: int, size: int):
        return [[(self._conv(inputs, outputs, size), 1)]], self._norm(outputs)

    def _mixed(self, inputs: int, widths: tuple[int, ...]):
        branches = [[(self._conv(inputs, widths[0], 1), 1)]]
        for dilation, width in enumerate(widths[1:], start=1):
            one = self._conv(inputs, width, 1)
            branches.append([(one, 1), (self._conv(width, width, 3), dilation)])
        return branches, self._norm(sum(widths))

    def save(self, path, whole_model: bool = False) -> None:
        with h5py.File(path, "w") as file:
            root = file.create_group("model_weights") if whole_model else file
            for name, value in self.arrays.items():
                root[name] = value

    def _array(self, layer: str, weight: str) -> np.ndarray:
        return self.arrays[f"{layer}/{layer}/{weight}:0"].astype(np.float64)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(B, 256, 256, 3) -> p(real) (B,), in float64."""
        x = images.astype(np.float64)
        for (branches, norm), pool in zip(self.plan, (2, 2, 2, 4), strict=True):
            outputs = []
            for branch in branches:
                y = x
                for layer, dilation in branch:
                    y = np.maximum(self._convolved(y, layer, dilation), 0)
                outputs.append(y)
            x = np.concatenate(outputs, axis=3)
            gamma, beta, mean, variance = (
                self._array(norm, w) for w in ("gamma", "beta", "moving_mean", "moving_variance")
            )
            x = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
            b, h, w, c = x.shape
            x = x.reshape(b, h // pool, pool, w // pool, pool, c).max((2, 4))
        x = x.reshape(len(x), -1)  # height, width, channels
        x = x @ self._array(self.dense[0], "kernel") + self._array(self.dense[0], "bias")
        x = np.where(x > 0, x, 0.1 * x)
        x = x @ self._array(self.dense[1], "kernel") + self._array(self.dense[1], "bias")
        return 1 / (1 + np.exp(-x[:, 0]))

    def _convolved(self, x: np.ndarray, layer: str, dilation: int) -> np.ndarray:
        kernel = self._array(layer, "kernel")
        size, (height, width) = kernel.shape[0], x.shape[1:3]
        pad = dilation * (size - 1) // 2
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        total = self._array(layer, "bias")
        for row in range(size):
            for column in range(size):
                top, left = row * dilation, column * dilation
                total = total + x[:, top : top + height, left : left + width] @ kernel[row, column]
        return total
