"""An answer of known numbers, with pictures and a small untrained network, for report and page."""

from functools import cache

import numpy as np
import torch

from mcxlib import weights
from mcxlib.answer.judge import Judged
from mcxlib.answer.schema import (
    Answer,
    Credentials,
    Face,
    FileFacts,
    Interval,
    NotJudged,
    Person,
    WeightsFacts,
)
from mcxlib.config import load

NASTY = '<script>alert(1)<b>" onload="alert(2)\u202egpj.exe\n&amp;\'{{ 7*7 }}${1}.mp4'
"""A file name that tries markup, an attribute, the other direction, a line break, a template."""

SCORES = {1: (0.1, 0.2, 0.15, 0.05, 0.3, 0.12, 0.22), 2: (0.9, 0.95, 0.4, 0.99, 0.85, 0.97, 0.93)}
"""By person, one a frame. Person 2 lies below 0.5 in one frame."""


@cache
def network(detector="mcx-api"):
    torch.manual_seed(0)
    config = load("test", detector=detector)
    model = weights.build(config).eval()
    card = weights.Card(
        detector=detector, label=config.label, classes=model.classes, config=config.stored()
    )
    return weights.Loaded(model, config, card)


def interval(value, how="bootstrap of 3 blocks of 1 s"):
    return Interval(value=value, low=max(0, value - 0.1), high=min(1, value + 0.05), how=how)


def person(number, scores, classes=None):
    faces = tuple(
        Face(
            frame=10 * i,
            seconds=0.4 * i,
            box=(100.0, 80.0, 200.0, 210.0),
            face_probability=0.9 + 0.01 * i,
            fake_score=score,
        )
        for i, score in enumerate(scores)
    )
    value = float(np.mean(scores))
    return Person(
        number=number,
        faces=faces,
        score=interval(value),
        probability=interval(value, "Platt scaling on 40 validation videos"),
        verdict="likely manipulated" if value > 0.5 else "no sign found",
        classes=classes or {"real": 1 - value, "DF": value / 2, "F2F": value / 2},
    )


def answer(name="clip.mp4", people=SCORES, **more):
    everyone = tuple(person(number, scores) for number, scores in people.items())
    worst = max(everyone, key=lambda p: p.score.value, default=None)
    values = {
        "path": f"/films/{name}",
        "kind": "video",
        "verdict": worst.verdict if worst else None,
        "reason": "" if worst else "no face was found in 8 frames",
        "person": worst.number if worst else None,
        "score": worst.score if worst else None,
        "probability": worst.probability if worst else None,
        "people": everyone,
        "frames_read": 8,
        "frames_used": 7 if worst else 0,
        "evidence": ("6 of 7 frames of person 2 reach the threshold",),
        "limitations": ("Faces that turn away are not seen.",),
        "not_judged": (NotJudged(what="frame", count=1, reason="no face found"),),
        "next_steps": ("Look for the original upload.",),
        "file": FileFacts(
            sha256="ab" * 32,
            bytes=1_234_567,
            container="mov,mp4,m4a",
            codec="h264",
            width=320,
            height=240,
            frames_per_second=25.0,
            seconds=2.8,
            encoder="Lavc60",
            tags={"title": name},
            hints=("encoded by libx264 (a re-encoding, no camera writes it)",),
            credentials=Credentials(state="none"),
        ),
        "weights": WeightsFacts(
            path="/runs/weights.safetensors",
            sha256="cd" * 32,
            label="MCX-API(RGB)",
            detector="mcx-api",
            trained_on={"dataset": "FaceForensics++", "crops": {"train": 880, "val": 200}},
            synthetic=True,
            threshold=0.5,
            threshold_from="the network's own decision",
            false_alarms=Interval(
                value=0.125, low=0.05, high=0.25, how="2 of 16 videos, Clopper-Pearson"
            ),
            calibration={"method": "Platt", "slope": 1.25},
        ),
        "program": "mcxlib 0.1.0",
        "made": "2026-11-25T12:00:00+00:00",
    }
    return Answer(**(values | more))


def judged(detector="mcx-api", crop_size=48, **changes):
    """An answer with crops of noise around a grey face; each face has another brightness."""
    given = answer(**changes)
    rng = np.random.default_rng(0)
    crops = {}
    for one in given.people:
        n = len(one.faces)
        level = np.linspace(60, 200, n)[:, None, None, None]
        noise = rng.integers(-20, 20, (n, crop_size, crop_size, 3))
        crops[one.number] = (level + noise).astype(np.uint8)
    return Judged(given, crops, network(detector))
