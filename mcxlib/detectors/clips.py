"""The seam of detectors that judge clips: several consecutive frames of one face at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from pydantic import BaseModel
from torch import Tensor
from torch.nn import functional

from mcxlib.detectors.base import Detector, check_images


class Clip(NamedTuple):
    """How a detector takes a video: so many consecutive frames at once, anew every so many."""

    frames: int = 1
    stride: int = 1


class ClipDetector(Detector):
    """A detector that takes (B, T, 3, H, W) wherever the others take (B, 3, H, W), and has one
    output, trained by binary cross-entropy in which real and fake weigh alike.

    Its settings have ``clip_frames``, T, and ``clip_stride``, the frames from the start of one clip
    to the start of the next.
    """

    outputs = 1
    settings: Any

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Binary cross-entropy, weighted so that real and fake weigh alike over many batches, in
        which each of the C classes is as frequent as another: C / 2 for a real clip, and
        C / (2 C - 2) for a fake one. (A batch of this paper often has no real one at all.)

        Clips (B, T, 3, H, W) and labels (B,).
        """
        fake, count = labels > 0, len(self.classes)
        weights = torch.where(fake, count / (2 * count - 2), count / 2)
        terms = weights * functional.binary_cross_entropy_with_logits(
            self(images)[:, 0].float(), fake.float(), reduction="none"
        )
        of_fakes, of_real = (
            terms.masked_fill(~chosen, 0.0).sum() / len(terms) for chosen in (fake, ~fake)
        )
        parts = {"fake": of_fakes.detach(), "real": of_real.detach()}
        return {"total": of_fakes + of_real} | parts

    def _check(self, images: Tensor) -> None:
        """Refuse what is no batch of clips in [0, 1]; errors as :func:`check_images`."""
        frames = self.settings.clip_frames
        if images.ndim != 5 or images.shape[1] != frames or images.shape[2] != 3:
            raise ValueError(
                f"{self.name}: clips must have shape (B, {frames}, 3, H, W), not "
                f"{tuple(images.shape)}"
            )
        check_images(images.flatten(0, 1), self.name)


def clip_of(kind: type[Detector], settings: BaseModel) -> Clip:
    """How a detector with these settings takes a video; one of images takes single frames."""
    if not issubclass(kind, ClipDetector):
        return Clip()
    values: Any = settings
    return Clip(values.clip_frames, values.clip_stride)
