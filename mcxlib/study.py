"""The live checks and samples of the notebooks: what they show, compared with a reference.

Each function answers one question of a notebook with numbers that would change if the method
broke; the references are loops and plain NumPy in 64 bits, written apart from the package's code.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mcxlib import CLASSES, checkpoint, colorspace, explain, figures, metrics, pipeline, train
from mcxlib.config import RunConfig
from mcxlib.data import frames
from mcxlib.losses import pair_loss
from mcxlib.model import MCXAPI
from mcxlib.notebook import pair
from mcxlib.pairs import Pairs
from mcxlib.pipeline import crop_folder
from mcxlib.score import score_rows


class Sample(NamedTuple):
    """Crops and the class of each."""

    images: np.ndarray
    """(N, 3, H, W) float32 RGB in [0, 1]."""
    labels: list[str]


def sample_crops(
    config: RunConfig, dataset: str, split: str, per_class: int, size: int | None = None
) -> Sample:
    """``per_class`` crops of each class, one a video as far as the videos go, in class order.

    The central ``size`` px of each (the whole crop by default).
    """
    rows = pipeline.ensure_rows(config, dataset)
    rows = rows[rows["split"] == split].sort_values(["frame_index", "video_id"], kind="stable")
    chosen = pd.concat(
        rows[rows["class_index"] == i].head(per_class) for i in range(len(CLASSES))
    ).reset_index(drop=True)
    folder = crop_folder(config, dataset)
    images, labels = frames.CropDataset(chosen, folder, size or config.crop_size).__getitems__(
        list(range(len(chosen)))
    )
    return Sample(
        frames.to_float(images, torch.device("cpu")).contiguous().numpy(),
        [CLASSES[i] for i in labels.tolist()],
    )


_OPENCV = {"hsv": cv2.COLOR_RGB2HSV, "lab": cv2.COLOR_RGB2LAB, "ycbcr": cv2.COLOR_RGB2YCrCb}


def opencv_deviation(images: np.ndarray) -> dict[str, float]:
    """Largest difference from OpenCV's 8-bit conversions, in 8-bit steps, by colour space.

    Hue (in steps of its own 180) is compared on the circle and only where there is a colour.
    """
    eight_bit = np.rint(images * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    exact = torch.from_numpy(eight_bit.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    result = {}
    for space, code in _OPENCV.items():
        ours = colorspace.stack(exact, space).numpy().transpose(0, 2, 3, 1).astype(np.float64) * 255
        theirs = np.stack([cv2.cvtColor(image, code) for image in eight_bit]).astype(np.float64)
        if space == "ycbcr":
            theirs = theirs[..., [0, 2, 1]]
        off = np.abs(ours - theirs)
        if space == "hsv":
            hue = np.abs(ours[..., 0] * 180 / 255 - theirs[..., 0])
            off[..., 0] = np.where(theirs[..., 1] > 0, np.minimum(hue, 180 - hue), 0)
        result[space] = float(off.max())
    return result


def batch(config: RunConfig, rows: pd.DataFrame, indices: list[int]) -> tuple[Tensor, Tensor]:
    """The images (B, 3, H, W) in [0, 1] and labels (B,) of one training batch, as trained on."""
    dataset = frames.CropDataset(
        rows,
        crop_folder(config, pipeline.TRAINED_ON),
        config.input_size,
        augment=True,
        seed=config.seed,
    )
    images, labels = dataset.__getitems__(indices)
    return frames.to_float(images, torch.device("cpu")), labels


def nearest_by_loop(features: Tensor, labels: Tensor, distance: str) -> list[int]:
    """The partners of eq. 1's pairs by a plain loop in 64 bits: same class first, then other."""
    x = features.double().numpy()
    if distance == "cosine":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    y = labels.numpy()
    partners = []
    for same in (True, False):
        for i in range(len(x)):
            among = [j for j in range(len(x)) if j != i and (y[j] == y[i]) == same]
            partners.append(min(among, key=lambda j: float(((x[i] - x[j]) ** 2).sum())))
    return partners


def equations_deviation(
    network: MCXAPI, features: Tensor, pairs: Pairs, labels: Tensor, config: RunConfig
) -> dict[str, float]:
    """Largest absolute deviation of the network's eq. 1 to 5 from NumPy in 64 bits."""
    weights = {k: v.detach().double().numpy() for k, v in network.state_dict().items()}
    x1, x2 = (features[i].double().numpy() for i in pairs)

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    mutual = linear("map2", linear("map1", np.concatenate([x1, x2], axis=1)))
    g1, g2 = (1 / (1 + np.exp(-mutual * x)) for x in (x1, x2))
    expected = (x1 + x1 * g1, x1 + x1 * g2, x2 + x2 * g2, x2 + x2 * g1)
    with torch.no_grad():
        out = network.interact(features[pairs.first], features[pairs.second])
        own = network.classify(torch.cat([out.first_self, out.second_self]))
        other = network.classify(torch.cat([out.first_other, out.second_other]))
        targets = labels[torch.cat([pairs.first, pairs.second])]
        loss = pair_loss(own, other, targets, config.margin, config.rank_weight)

    def probabilities(x: np.ndarray) -> np.ndarray:
        e = np.exp(linear("classifier", x))
        return e / e.sum(axis=1, keepdims=True)

    n = targets.numpy()
    p_self = probabilities(np.concatenate([expected[0], expected[2]]))
    p_other = probabilities(np.concatenate([expected[1], expected[3]]))
    at = np.arange(len(n)), n
    cross_entropy = -(np.log(p_self[at]) + np.log(p_other[at])).mean() / 2
    ranking = np.maximum(0, p_other[at] - p_self[at] + config.margin).mean()
    return {
        "interaction, eq. 1 and 2": max(
            float(np.abs(a.numpy() - b).max()) for a, b in zip(out, expected, strict=True)
        ),
        "cross-entropy, eq. 3": abs(float(loss.cross_entropy) - cross_entropy),
        "score ranking, eq. 4": abs(float(loss.score_ranking) - ranking),
        "total, eq. 5": abs(float(loss.total) - cross_entropy - config.rank_weight * ranking),
    }


def follows_schedule(history: pd.DataFrame, config: RunConfig) -> bool:
    """Whether every step had the learning rate that its place in the training asks for."""
    place = history.groupby("epoch").cumcount() / history.groupby("epoch")["step"].transform("size")
    progress = (history["epoch"] + place) / config.epochs
    expected = [train.learning_rate(config, p) for p in progress]
    return bool(np.allclose(history["lr"], expected, rtol=1e-9))


def validation_metric(run_folder: Path, rows: pd.DataFrame, config: RunConfig) -> float:
    """The selection metric of the stored weights on the validation data, computed anew."""
    network, _, _ = checkpoint.load_weights(run_folder / "weights.safetensors")
    val = rows[rows["split"] == "val"]
    scores = score_rows(network, val, crop_folder(config, pipeline.TRAINED_ON), config)
    table = metrics.per_manipulation(
        scores["is_fake"], 1 - scores["p_real"], scores["manipulation"]
    )
    return float(table.set_index("manipulation").loc["Average", config.selection])


def scores(config: RunConfig, dataset: str) -> pd.DataFrame:
    """The stored test scores of MCX-API(RGB) under the configuration's preset."""
    return pipeline.ensure_scores(config, dataset)


def all_scores(config: RunConfig) -> pd.DataFrame:
    """The same for all four data sets together."""
    return pd.concat([scores(config, d) for d in pipeline.ALL_DATASETS], ignore_index=True)


def threshold_gap(table: pd.DataFrame) -> pd.DataFrame:
    """BOSC at 0.5 and at the best threshold, and AUC, of frames, by data set.

    The best threshold is chosen on the test scores themselves: it is what a perfect choice of
    threshold would give, not what a detector can reach.
    """
    result = {}
    for dataset, part in table.groupby("dataset", sort=False):
        fake, score = part["is_fake"].to_numpy(bool), 1 - part["p_real"].to_numpy(np.float64)
        levels = np.unique(np.concatenate([[0.0, 0.5], score]))
        result[dataset] = {
            "AUC": metrics.auc(fake, score),
            "BOSC at 0.5": metrics.bosc(fake, score),
            "best BOSC": max(metrics.bosc(fake, score, level) for level in levels),
        }
    return pd.DataFrame(result).T


def network(config: RunConfig) -> MCXAPI:
    """The finished network of a run, in evaluation mode."""
    return checkpoint.load_weights(pipeline.ensure_run(config) / "weights.safetensors")[0]


def test_rows(config: RunConfig) -> pd.DataFrame:
    """The test crops of the data set trained on."""
    rows = pipeline.ensure_rows(config, pipeline.TRAINED_ON)
    return rows[rows["split"] == "test"].reset_index(drop=True)


def test_images(config: RunConfig, rows: pd.DataFrame) -> Tensor:
    """Central parts of the crops of ``rows``: (N, 3, H, W) float in [0, 1]."""
    folder = crop_folder(config, pipeline.TRAINED_ON)
    dataset = frames.CropDataset(rows, folder, config.input_size)
    images, _ = dataset.__getitems__(list(range(len(rows))))
    return frames.to_float(images, torch.device("cpu"))


def test_features(config: RunConfig) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) of a run's test frames and the class name of each (N,)."""
    rows = test_rows(config)
    features = explain.embed_frames(network(config), test_images(config, rows))
    return features, rows["manipulation"].to_numpy()


def layercam_plate(sample: Sample, maps: dict, source: str) -> figures.Plate:
    """Fig. 4: LayerCAM for output fake on a DF and an F2F face, one column a network."""
    chosen = [sample.labels.index(name) for name in ("DF", "F2F")]
    shown = {name: outputs["fake"]["LayerCAM"][chosen] for name, outputs in maps.items()}
    return figures.cam_grid(
        sample.images[chosen],
        [sample.labels[i] for i in chosen],
        {"fake": shown},
        source=source,
        title="LayerCAM",
    )


def deletion_table(networks: dict[str, MCXAPI], config: RunConfig, count: int = 40) -> pd.DataFrame:
    """Mean fall of log p(fake) of fake test frames when a fifth of the image is covered.

    One row a network and method; ``brightest`` covers the map's highest fifth, ``elsewhere`` the
    same shape at random places.
    """
    rows = test_rows(config)
    fakes = rows[rows["is_fake"]]
    fakes = fakes.iloc[:: max(1, len(fakes) // count)].reset_index(drop=True)
    images = test_images(config, fakes)
    result = []
    for name, net in networks.items():
        for method in explain.METHODS:
            maps = explain.activation_maps(net, images, method, "fake")
            fall = explain.deletion(net, images, maps, "fake")
            result.append(
                {
                    "network": name,
                    "method": method,
                    "frames": len(fakes),
                    "brightest": round(float(fall.top.mean()), 3),
                    "elsewhere": round(float(fall.random.mean()), 3),
                }
            )
    return pd.DataFrame(result).set_index(["network", "method"])


def tsne_plate(config: RunConfig, seed: int = 0, perplexity: float = 30.0) -> figures.Plate:
    """Fig. 3: features of test frames in the plane, MCX-API(RGB) beside API-Net."""
    panels, agreement = {}, {}
    for name, run in pair(config).items():
        features, labels = test_features(run)
        points = explain.tsne(features, seed=seed, perplexity=min(perplexity, len(features) / 4))
        panels[name] = (points, labels)
        agreement[name] = explain.neighbour_agreement(features, labels)
    return figures.tsne_panels(panels, agreement, source=config.source)


def cam_maps(networks: dict[str, MCXAPI], sample: Sample) -> dict[str, dict]:
    """network -> output (real, fake) -> method -> maps (N, H, W), all that Fig. 4 to 6 show."""
    images = torch.tensor(sample.images)
    return {
        name: {
            output: {
                method: explain.activation_maps(net, images, method, output)
                for method in explain.METHODS
            }
            for output in ("real", "fake")
        }
        for name, net in networks.items()
    }


def one_person(config: RunConfig) -> Sample:
    """The first test person's crop, real and under the four manipulations."""
    rows = test_rows(config)
    targets = rows.groupby("target_id")["class_index"].nunique()
    person = rows[rows["target_id"] == targets[targets == len(CLASSES)].index[0]]
    chosen = person.sort_values(["class_index", "frame_index"]).groupby("class_index").head(1)
    return Sample(test_images(config, chosen).contiguous().numpy(), chosen["manipulation"].tolist())


def write_figures(config: RunConfig, folder: Path) -> list[Path]:
    """The numbered figures of the book, each with its alternative text beside it as .txt."""
    networks = {name: network(run) for name, run in pair(config).items()}
    sample = one_person(config)
    maps = cam_maps(networks, sample)
    first = next(iter(networks))
    plates = {
        "preview": figures.cam_grid(
            sample.images,
            sample.labels,
            {"fake": {"Grad-CAM": maps[first]["fake"]["Grad-CAM"]}},
            source=config.source,
            title=first,
        ),
        "tsne": tsne_plate(config),
        "layercam": layercam_plate(sample, maps, config.source),
        "cam_mcx-api": figures.cam_grid(
            sample.images, sample.labels, maps[first], source=config.source, title=first
        ),
        "cam_api-net": figures.cam_grid(
            sample.images, sample.labels, maps["API-Net"], source=config.source, title="API-Net"
        ),
    }
    written = []
    for name, plate in plates.items():
        written.append(Path(folder) / f"{name}.png")
        figures.save(plate, written[-1])
    return written
