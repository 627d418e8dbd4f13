"""What sections 5.1 and 5.2 show of trained networks: t-SNE of features, activation maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mcxlib import explain, pipeline, weights
from mcxlib.figures import samples
from mcxlib.figures.altered import groups, merged
from mcxlib.figures.drawings import backbone, strip, xception_stages
from mcxlib.figures.pictures import cam_grid, tsne_panels
from mcxlib.figures.style import Plate, save
from mcxlib.pipeline.altered import altered
from mcxlib.pipeline.data import name_of

if TYPE_CHECKING:
    import pandas as pd

    from mcxlib.config import RunConfig
    from mcxlib.detectors.base import Detector

Maps = dict[str, dict[str, dict[str, np.ndarray]]]
"""network -> output (real, fake) -> method -> maps (N, H, W)."""


def networks(runs: dict[str, RunConfig]) -> dict[str, Detector]:
    """The finished network of each run, in evaluation mode."""
    return {
        name: weights.load(Path(pipeline.ensure_run(run)) / "weights.safetensors").model
        for name, run in runs.items()
    }


def cam_maps(models: dict[str, Detector], sample: samples.Sample) -> Maps:
    """All that Fig. 4 to 6 show."""
    import torch

    images = torch.tensor(sample.images)
    return {
        name: {
            output: {
                method: explain.activation_maps(model, images, method, output)
                for method in explain.METHODS
            }
            for output in ("real", "fake")
        }
        for name, model in models.items()
    }


def layercam_plate(
    sample: samples.Sample, maps: Maps, source: str, masks: np.ndarray | None = None
) -> Plate:
    """Fig. 4: LayerCAM for output fake on a DF and an F2F face, one column a network.

    Of other data, on the first two fakes.
    """
    papers = [sample.labels.index(name) for name in ("DF", "F2F") if name in sample.labels]
    fakes = [i for i, label in enumerate(sample.labels) if label != "real"]
    chosen = papers if len(papers) == 2 else fakes[:2]
    shown = {name: outputs["fake"]["LayerCAM"][chosen] for name, outputs in maps.items()}
    return cam_grid(
        sample.images[chosen],
        [sample.labels[i] for i in chosen],
        {"fake": shown},
        source=source,
        title="LayerCAM",
        masks=None if masks is None else masks[chosen],
    )


def tsne_plate(
    runs: dict[str, RunConfig], source: str, seed: int = 0, perplexity: float = 30.0
) -> Plate:
    """Fig. 3: stored features of test frames in the plane, one panel a run."""
    panels: dict[str, Any] = {}
    agreement: dict[str, Any] = {}
    for name, run in runs.items():
        features, labels = pipeline.ensure_features(run, run.data.train_on)
        near = min(perplexity, len(features) / 4)
        panels[name] = (explain.tsne(features, seed=seed, perplexity=near), labels)
        agreement[name] = explain.neighbour_agreement(features, labels)
    return tsne_panels(panels, agreement, source=source)


def deletion_table(models: dict[str, Detector], config: RunConfig, count: int = 40) -> pd.DataFrame:
    """Mean fall of log p(fake) of fake test frames when a fifth of the image is covered.

    One row a network and method (those with equal maps once); ``brightest`` covers the map's
    highest fifth, ``elsewhere`` the same shape at random places.
    """
    import pandas as pd

    rows = samples.test_rows(config)
    fakes = rows[rows["is_fake"]]
    fakes = fakes.iloc[:: max(1, len(fakes) // count)].reset_index(drop=True)
    images = samples.test_images(config, fakes)
    result = []
    for name, model in models.items():
        maps = {m: explain.activation_maps(model, images, m, "fake") for m in explain.METHODS}
        for group in groups({"fake": maps}):
            fall = explain.deletion(model, images, maps[group[0]], "fake")
            result.append(
                {
                    "network": name,
                    "method": " = ".join(group),
                    "frames": len(fakes),
                    "brightest": round(float(fall.top.mean()), 3),
                    "elsewhere": round(float(fall.random.mean()), 3),
                }
            )
    return pd.DataFrame(result).set_index(["network", "method"])


def write_figures(runs: dict[str, RunConfig], source: str, folder: Path) -> list[Path]:
    """The figures of the book: preview, xception, tsne, layercam, and cam_... of each run."""
    first, last = next(iter(runs)), list(runs)[-1]
    config = runs[first]
    models = networks(runs)
    sample = samples.one_person(config)
    maps = cam_maps(models, sample)
    images, labels = sample.images, sample.labels
    masks, _ = altered(config, samples.person_rows(config), config.train.input_size)
    looked = maps[first]["fake"]["Grad-CAM"]
    plates = {
        "preview": strip(images, labels, looked, source, f"Grad-CAM of {first}, output fake"),
        "xception": backbone(xception_stages()),
        "tsne": tsne_plate(runs, source),
        "layercam": layercam_plate(sample, maps, source, masks),
        "cam_mcx-api": cam_grid(images, labels, merged(maps[first]), source, first, masks),
        "cam_api-net": cam_grid(images, labels, merged(maps[last]), source, last, masks),
    }
    origin = made_from(runs)
    return [
        save(plate._replace(runs=origin), Path(folder) / f"{name}.png")
        for name, plate in plates.items()
    ]


def made_from(runs: dict[str, RunConfig]) -> list[dict[str, Any]]:
    """Which runs a figure is made from: label, run_id, and the digests of the weights and of the
    list of crops that they noted when they scored the data set trained on ("" if they did not)."""
    found = []
    for name, run in runs.items():
        note = pipeline.run_folder(run).read_score_note(name_of(run.data.train_on))
        about = {"label": name, "run_id": run.run_id}
        about |= {"weights_sha256": note.get("weights_sha256", "")}
        found.append(about | {"data_sha256": note.get("rows_sha256", "")})
    return found
