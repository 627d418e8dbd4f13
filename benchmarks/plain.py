"""The plain way of doing each step, to compare with: what a first working version looks like.

The same network, losses and optimisers, and the same results; but images in NCHW memory, pairs
found by a NumPy loop over the images on the host, logits collected by copying them into zero
tensors, scoring one PNG at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

from mcxlib.detectors.mcx_api import MCXAPI
from mcxlib.method import colorspace
from mcxlib.method.losses import PairLoss, pair_loss

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def mine_by_loop(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest image of the same and of another class, for one image after the other.

    features (B, D), labels (B,) -> first, second (2B,): same-class pairs, then other-class pairs,
    as :func:`mcxlib.method.pairs.mine_pairs` orders them, for a batch in which all partners exist.
    """
    x = features.detach().cpu().numpy()
    y = labels.cpu().numpy()
    own, other = [], []
    for i in range(len(x)):
        distance = ((x - x[i]) ** 2).sum(axis=1)
        same = y == y[i]
        own.append(np.where(same & (np.arange(len(x)) != i), distance, np.inf).argmin())
        other.append(np.where(same, np.inf, distance).argmin())
    return _pairs(own, other, features.device)


def mine_by_norm(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`mine_by_loop`, but with the distances by ``numpy.linalg.norm``, which is slower."""
    x = features.detach().cpu().numpy()
    y = labels.cpu().numpy()
    own, other = [], []
    for i in range(len(x)):
        distance = np.linalg.norm(x - x[i], axis=1)
        same = y == y[i]
        own.append(np.where(same & (np.arange(len(x)) != i), distance, np.inf).argmin())
        other.append(np.where(same, np.inf, distance).argmin())
    return _pairs(own, other, features.device)


def _pairs(own: list, other: list, device: torch.device) -> tuple[Tensor, Tensor]:
    first = torch.arange(len(own)).repeat(2)
    second = torch.from_numpy(np.array(own + other))
    return first.to(device), second.to(device)


def nchw(model: MCXAPI) -> MCXAPI:
    """The network with its weights in contiguous (NCHW) memory; changed in place."""
    return model.to(memory_format=torch.contiguous_format)


def embed(model: MCXAPI, images: Tensor) -> Tensor:
    """As the network's own ``embed``, but with images in NCHW memory all the way."""
    planes = colorspace.stack(images.contiguous(), model.colorspace)
    return model.backbone((planes - model.mean) / model.std)


class PlainStep(nn.Module):
    """Images in [0, 1] (B, 3, H, W) and labels (B,) -> the losses of a training step."""

    def __init__(self, model: MCXAPI):
        super().__init__()
        self.model = nchw(model)

    def forward(self, images: Tensor, labels: Tensor) -> PairLoss:
        model, settings = self.model, self.model.settings
        features = embed(model, images)
        first, second = mine_by_loop(features, labels)
        out = model.interact(features[first], features[second])
        pairs, classes = len(first), len(model.classes)
        self_logits = torch.zeros(2 * pairs, classes, device=images.device)
        other_logits = torch.zeros(2 * pairs, classes, device=images.device)
        self_logits[:pairs] = model.classify(out.first_self)
        self_logits[pairs:] = model.classify(out.second_self)
        other_logits[:pairs] = model.classify(out.first_other)
        other_logits[pairs:] = model.classify(out.second_other)
        targets = torch.zeros(2 * pairs, dtype=torch.int64, device=images.device)
        targets[:pairs] = labels[first]
        targets[pairs:] = labels[second]
        return pair_loss(self_logits, other_logits, targets, settings.margin, settings.rank_weight)


@torch.inference_mode()
def score_files(
    model: MCXAPI, files: Sequence[Path], size: int, device: torch.device
) -> np.ndarray:
    """Probabilities (N, C) of PNG files, one at a time: read by PIL, centre cut, NCHW."""
    prepare = transforms.Compose([transforms.CenterCrop(size), transforms.ToTensor()])
    rows = []
    for file in files:
        with Image.open(file) as image:
            tensor = prepare(image.convert("RGB"))
        features = embed(model, tensor[None].to(device))
        rows.append(model.classify(features).softmax(1).cpu().numpy())
    return np.concatenate(rows)


def load_files(files: Sequence[Path], stored: int, size: int) -> Tensor:
    """PNG files to a normalised training batch (N, 3, size, size), by torchvision's transforms."""
    prepare = transforms.Compose(
        [
            transforms.Resize((stored, stored)),
            transforms.RandomCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    images = []
    for file in files:
        with Image.open(file) as image:
            images.append(prepare(image.convert("RGB")))
    return torch.stack(images)
