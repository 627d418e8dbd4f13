"""Scores face crops with an exported network: python score_onnx.py network.onnx face.png ...

Needs onnxruntime, NumPy and Pillow, nothing else.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

network, *files = sys.argv[1:]
session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
about = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
size, classes = about["input"]["size"], about["outputs"]["probabilities"]
print(f"{about['card']['label']}, {size} px, fake from {about['threshold']}")


def crop(file: str) -> np.ndarray:
    """The middle square of a picture as (3, size, size), RGB in [0, 1]."""
    picture = Image.open(file).convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize((size, size))
    return np.asarray(square, np.float32).transpose(2, 0, 1) / 255


images = np.stack([crop(file) for file in files])
scores, probabilities = session.run(["fake_score", "probabilities"], {"images": images})
for file, score, row in zip(files, scores, probabilities, strict=True):
    detail = ", ".join(f"{name} {p:.3f}" for name, p in zip(classes, row, strict=True))
    print(f"{file}: {score:.4f} ({detail})")
