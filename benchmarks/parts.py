"""Parts of a step by themselves: pair mining, and colour conversion as a share of the step."""

from __future__ import annotations

import torch

from benchmarks import measure, plain, steps
from benchmarks.measure import Result, Settings, synchroniser
from mcxlib.data.crops.dataset import to_float
from mcxlib.method import colorspace
from mcxlib.method.pairs import mine_pairs
from mcxlib.weights import build

EVERY_SPACE = "+".join(colorspace.spaces())


def mining(settings: Settings) -> dict[str, Result]:
    """``mining``: ``mine_pairs`` over a NumPy loop over the images."""
    images, width = (32, 64) if settings.quick else (512, 2048)
    generator = torch.Generator().manual_seed(settings.seed)
    features = torch.randn(images, width, generator=generator).to(settings.device)
    labels = (torch.arange(images) % 5).to(settings.device)
    wait = synchroniser(settings.device)

    def compare(loop, seconds: float) -> measure.Samples:
        return measure.take_turns(
            lambda: mine_pairs(features, labels, complete=True),
            lambda: loop(features, labels),
            least=settings.repetitions(7),
            seconds=settings.seconds(seconds),
            warm_up=2,
            synchronise=wait,
        )

    samples = compare(plain.mine_by_loop, 12)
    # The same loop with another idiom for the distance: what is plain is a matter of taste.
    norm = compare(plain.mine_by_norm, 0)
    entry = measure.result(
        samples,
        what=f"Mining the pairs of {images} features of width {width}, over a NumPy loop over the "
        "images on the host.",
        target=1 / 20,
        seed=settings.seed,
        details={
            "images": images,
            "width": width,
            "device": settings.device.type,
            "ratio_to_loop_with_linalg_norm": measure.ratio_of_medians(norm),
        },
    )
    return {"mining": entry}


def colour(settings: Settings) -> dict[str, Result]:
    """``colour``: conversion of 27 crops to all four spaces, over the training step of 27 crops.

    On the CPU the step is measured with 6 crops and its time multiplied by 27/6: it consists of
    the backbone almost entirely, whose work is proportional to the images.
    """
    converted, pixels = (6, 64) if settings.quick else (27, 448)
    stepped = 27 if settings.device.type == "cuda" and not settings.quick else 6
    config = steps.paper_config(settings, EVERY_SPACE)
    size = steps.Size(stepped, pixels, 0)
    rgb = to_float(steps.batch(steps.Size(converted, pixels, 0), settings.seed)[0], settings.device)
    images, labels = steps.batch(size, settings.seed)
    step = steps.project_step(build(config), config, images, labels, settings.device)
    samples = measure.take_turns(
        lambda: colorspace.stack(rgb, EVERY_SPACE),
        step,
        least=settings.repetitions(5),
        seconds=settings.seconds(35),
        synchronise=synchroniser(settings.device),
    )
    entry = measure.result(
        samples,
        what=f"Converting {converted} crops of {pixels} px to all four colour spaces, over a "
        f"training step of {converted} such crops.",
        target=0.02,
        scale=stepped / converted,
        seed=settings.seed,
        details={
            "colorspace": EVERY_SPACE,
            "step_measured_with_images": stepped,
            "step_time_multiplied_by": converted / stepped,
            "device": settings.device.type,
        },
    )
    return {"colour": entry}
