"""DeepFakeDetection (Google and Jigsaw 2019), in FaceForensics++'s folder; not in the paper."""

from __future__ import annotations

from mcxlib.data.datasets import faceforensics
from mcxlib.data.datasets.base import Dataset, Protocol
from mcxlib.data.datasets.rules import everything

DATASET = Dataset(
    name="DeepFakeDetection",
    parts=faceforensics.actors,
    protocols={"deepfakedetection": Protocol("all videos, for testing", everything)},
    home=faceforensics.NAME,
    beside=faceforensics.BESIDE,
    mask_of=faceforensics.mask_of,
)
