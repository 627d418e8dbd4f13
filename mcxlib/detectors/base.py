"""The seam: all that a detector must be, so that engine, scores, tables and maps can use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm


class DetectorSettings(BaseModel):
    """Base of every detector's own hyper-parameters; each says in its description where it is
    from."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


@dataclass(frozen=True)
class Published:
    """What the publication, or its reference implementation, states about the network."""

    parameters: int
    outputs: int
    """Outputs for which ``parameters`` are counted."""
    settings: Mapping[str, Any]
    """Settings under which the network here has that many, with that many outputs."""


class Detector(nn.Module):
    """An image classifier of faces: real or fake, possibly by which manipulation.

    A subclass gives itself a ``name``, builds its layers from ``settings`` and ``classes``, and
    defines :meth:`forward`; everything else has a default that suits a network trained by
    cross-entropy on one output a class.

    Args:
        settings: of the subclass's own ``Settings``.
        classes: names of the classes of the data trained on; index 0 is real.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[BaseModel]] = DetectorSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})
    """Preset -> settings (of any kind) that this detector changes in it."""
    paper_labels: ClassVar[tuple[str, ...]] = ()
    """Its rows in the paper's tables."""
    tables: ClassVar[tuple[int, ...]] = ()
    """The paper's tables in which it has a row."""
    published: ClassVar[Published | None] = None
    deviations: ClassVar[str] = ""
    """What differs from the publication, in one sentence; "" for nothing known."""
    licence: ClassVar[str] = ""
    """Of the reference implementation, of which facts are used and no code."""
    frames_per_item: ClassVar[int] = 1
    """Consecutive frames that the published network judges at once; more than 1 only for one of
    :mod:`.clips`."""
    video_rule: ClassVar[str] = "mean"
    """How the publication makes a video's score of its frames', one of
    :data:`mcxlib.evaluate.videos.REDUCTIONS`."""

    def __init__(self, settings: BaseModel, classes: tuple[str, ...]) -> None:
        super().__init__()
        if len(classes) < 2 or classes[0] != "real":
            raise ValueError(f"classes are 'real' and at least one more, not {classes}")
        self.settings = settings
        self.classes = tuple(classes)
        self._frozen = False

    @classmethod
    def label(cls, settings: BaseModel) -> str:
        """How the paper's tables name a run of these settings."""
        return cls.paper_labels[0] if cls.paper_labels else cls.name

    @property
    def binary(self) -> bool:
        """Whether it only tells real from fake, whatever classes the data have: its setting
        ``outputs``, for detectors that leave the choice."""
        return getattr(self.settings, "outputs", "classes") == "binary"

    @property
    def outputs(self) -> int:
        """K, the width of the logits."""
        return 2 if self.binary else len(self.classes)

    def targets(self, labels: Tensor) -> Tensor:
        """Labels (B,) as the loss takes them: of classes, or 0 for real and 1 for fake."""
        return (labels > 0).long() if self.binary else labels

    @classmethod
    def uses_masks(cls, settings: Any) -> bool:
        """Whether training with these settings asks for masks of altered pixels: ``losses`` then
        takes ``masks``, (B, 1, H, W) in [0, 1], all NaN for an image whose mask is not known."""
        return False

    # -- what is computed -------------------------------------------------------------------

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), floating point RGB in [0, 1] -> logits (B, K)."""
        raise NotImplementedError

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Images as :meth:`forward` takes them and labels (B,) -> scalars: "total", named parts."""
        loss = functional.cross_entropy(self(images).float(), self.targets(labels))
        return {"total": loss, "cross_entropy": loss.detach()}

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """(B, K) -> (B, 2): log p(real), log p(fake). All scores and maps come from these. A
        single output is the logit of fake."""
        if logits.shape[1] == 1:
            fake = logits[:, 0].float()
            return torch.stack([functional.logsigmoid(-fake), functional.logsigmoid(fake)], dim=1)
        log_p = logits.float().log_softmax(1)
        return torch.stack([log_p[:, 0], log_p[:, 1:].logsumexp(1)], dim=1)

    def class_probabilities(self, logits: Tensor) -> Tensor | None:
        """(B, K) -> (B, number of classes), or None for a detector that only tells real from
        fake."""
        return logits.float().softmax(1) if logits.shape[1] == len(self.classes) else None

    def fake_score(self, logits: Tensor) -> Tensor:
        """(B, K) -> (B,) float64 in [0, 1]: larger is more likely fake, 0.5 the threshold."""
        probabilities = self.class_probabilities(logits)
        if probabilities is not None:
            return 1 - probabilities[:, 0].double()
        return self.log_probabilities(logits)[:, 1].double().exp()

    @property
    def score_kind(self) -> str:
        """What :meth:`fake_score` is, in words that are stored beside the scores."""
        if self.outputs == 1:
            return "sigmoid of one output, which is 1 for fake"
        return f"1 - p(real) of a softmax over {self.outputs} classes"

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D): what the last layer decides by.

        Raises:
            ValueError: the detector has no such vector.
        """
        raise ValueError(f"{self.name} has no feature vector")

    def cam_layer(self) -> nn.Module:
        """The module whose output is the last feature map before pooling.

        Raises:
            ValueError: the detector has none.
        """
        raise ValueError(f"{self.name} has no feature map for class activation maps")

    # -- how it is trained ------------------------------------------------------------------

    def slow_part(self) -> nn.Module | None:
        """The part that is frozen at first and has its own group in the optimiser, if any."""
        return getattr(self, "backbone", None)

    def groups(self) -> list[list[nn.Parameter]]:
        """Parameters by group of the optimiser: the slow part's, if there is one, then the rest."""
        part = self.slow_part()
        slow = [] if part is None else list(part.parameters())
        theirs = {id(p) for p in slow}
        rest = [p for p in self.parameters() if id(p) not in theirs]
        return [group for group in (slow, rest) if group]

    def freeze(self, flag: bool) -> None:
        """Freeze or release the slow part (section 4.1: frozen in the first eight epochs).

        What is frozen has ``requires_grad`` off and stays in eval mode whatever :meth:`train` is
        called with: its BatchNorm would otherwise go on updating running statistics, which is a
        way of training too. With random weights those statistics are still at their start, and a
        deep network's features then hardly depend on the image: the frozen epochs mean something
        for pretrained weights only.
        """
        part = self.slow_part()
        if part is None:
            return
        self._frozen = flag
        part.requires_grad_(not flag)
        part.train(self.training and not flag)

    def train(self, mode: bool = True) -> Detector:
        """As ``nn.Module.train``, but what is frozen stays in eval mode."""
        super().train(mode)
        part = self.slow_part()
        if self._frozen and part is not None:
            part.eval()
        return self

    def before_step(self, progress: float) -> None:
        """Called before each step, with the share of the training that is done, in [0, 1)."""

    def after_step(self) -> None:
        """Called after each step of the optimiser."""


def check_images(images: Tensor, name: str, size: int | None = None) -> None:
    """Refuse what is no batch of RGB images in [0, 1]; values are looked at on the CPU only,
    elsewhere it would make the host wait for the device.

    Raises:
        ValueError: a wrong shape, size or dtype, or values that look like 0-255.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"{name}: images must have shape (B, 3, H, W), not {tuple(images.shape)}")
    if size is not None and tuple(images.shape[2:]) != (size, size):
        raise ValueError(
            f"{name}: images must be {size} x {size} pixels, not "
            f"{images.shape[2]} x {images.shape[3]}"
        )
    if not images.is_floating_point():
        raise ValueError(
            f"{name}: images must be floating point in [0, 1], not {images.dtype}; divide 8-bit "
            "images by 255"
        )
    if (
        images.device.type == "cpu"
        and images.numel()
        and not torch.compiler.is_compiling()
        and images.amax() > 2
    ):
        raise ValueError(
            f"{name}: images must be RGB in [0, 1], but the largest value is "
            f"{images.amax():.4g}; divide 8-bit images by 255"
        )


def set_batchnorm_momentum(network: nn.Module, momentum: float | None) -> None:
    """Set the momentum of every BatchNorm's running statistics; None leaves them."""
    if momentum is None:
        return
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = momentum


def normalise_(planes: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(planes - mean) / std in place; (B, C, H, W), and constants of shape (1, C, 1, 1)."""
    batch, channels, height, width = planes.shape
    if planes.device.type == "cpu" and planes.is_contiguous(memory_format=torch.channels_last):
        # Whole rows of pixels at once: a loop over a handful of channels is several times slower.
        rows = planes.permute(0, 2, 3, 1).view(batch, height, width * channels)
        rows.sub_(mean.flatten().repeat(width)).div_(std.flatten().repeat(width))
        return planes
    return planes.sub_(mean).div_(std)
