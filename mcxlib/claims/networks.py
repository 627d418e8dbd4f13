"""What features and activation maps say to the claims of section 5, as numbers.

Pictures of a map or of a t-SNE show one case; here is a number over many frames for each claim.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from mcxlib import CLASSES, explain, pipeline
from mcxlib.claims.material import DIFFERENCE, OPEN, OTHER, SAME, Material, not_here, over_videos
from mcxlib.config import load
from mcxlib.paper.statements import Finding, Number
from mcxlib.pipeline.data import name_of, stored_rows

if TYPE_CHECKING:
    from mcxlib.config import RunConfig

NEIGHBOURS = 10
"""Nearest features that are looked at."""

FRAMES = 60
"""Test frames that maps are made of, at most: one a video, the classes in turn."""

_OWN_CLASS = "nearest features of the same class"
_EYES = "of a map at eyes and mouth"

AROUND = 0.35
"""How far "eyes" and "mouth" reach around their landmarks, in distances between the eyes."""


def pair(config: RunConfig) -> dict[str, RunConfig]:
    """The two networks of section 5."""
    data = {"videos": config.data.videos, "train_on": config.data.train_on}
    return {"MCX-API(RGB)": config, "API-Net": load(config.preset, detector="api-net", **data)}


class Near(NamedTuple):
    """The nearest features of each frame."""

    frames: pd.DataFrame
    """video_id, frame_index, manipulation, video (a unique name), fake_score; a row a feature."""
    classes: np.ndarray
    """(N, k): the manipulations of its nearest."""


def near(config: RunConfig) -> Near:
    """The classes of the nearest features of each stored feature, its own person's left out: frames
    of one person resemble each other whatever their class.

    Raises:
        FileNotFoundError: no stored features, or no scores of these frames.
    """
    from sklearn.neighbors import NearestNeighbors

    file = pipeline.run_folder(config).features(name_of(config.data.train_on))
    scores = pipeline.stored_scores(config, config.data.train_on)
    if not file.is_file() or scores is None:
        raise FileNotFoundError(f"{config.label} has no stored features")
    table = pd.read_parquet(file)
    features = np.stack(table["features"].to_numpy())
    key = ["video_id", "frame_index", "manipulation", *({"face"} & set(table) & set(scores))]
    frames = table[key].merge(scores[[*key, "target_id", "fake_score"]], "left", key)
    if len(frames) != len(table) or frames["fake_score"].isna().any():
        raise FileNotFoundError(f"{config.label} has no scores of the frames with stored features")
    frames["video"] = frames["manipulation"].astype(str) + "/" + frames["video_id"]
    # A video whose person is not known stands for itself.
    person = frames["target_id"].where(frames["target_id"] != "", frames["video"]).to_numpy(str)
    most = int(pd.Series(person).value_counts().max())
    count = min(len(frames) - 1, NEIGHBOURS + most)
    found = NearestNeighbors(n_neighbors=count).fit(features).kneighbors(return_distance=False)
    kinds = frames["manipulation"].to_numpy(str)
    chosen = [[j for j in row if person[j] != person[i]] for i, row in enumerate(found)]
    k = min(NEIGHBOURS, *map(len, chosen))
    return Near(frames, np.array([kinds[row[:k]] for row in chosen]))


def separation(material: Material, _: pd.Series) -> Finding:
    """Whether most neighbours are of the same class in MCX-API's features, and more than in
    API-Net's."""
    shares = {}
    for name, config in pair(material.config).items():
        found = near(config)
        own = found.frames["manipulation"].to_numpy(str)[:, None]
        shares[name] = found.frames.assign(share=(found.classes == own).mean(axis=1))
    key = ["video", "frame_index"]
    both = shares["MCX-API(RGB)"].merge(shares["API-Net"], on=key, suffixes=("", "_other"))
    apart = over_videos(both["share"] - both["share_other"], both["video"], DIFFERENCE)
    first, second = (over_videos(s["share"], s["video"]) for s in shares.values())
    verdicts = {first.against(0.5), apart.against(0)}
    return Finding(
        OTHER if OTHER in verdicts else OPEN if OPEN in verdicts else SAME,
        f"Nearest features, other people's, that are of the same class: MCX-API(RGB) {first}, "
        f"API-Net {second}; difference {apart}",
        (
            first.number(_OWN_CLASS, "MCX-API(RGB)"),
            second.number(_OWN_CLASS, "API-Net"),
            apart.number(f"{_OWN_CLASS}, difference", "MCX-API(RGB) less API-Net"),
        ),
    )


def mixed_with_real(material: Material, _: pd.Series) -> Finding:
    """Which classes lie among the neighbours of real frames."""
    found = near(material.config)
    real = found.classes[found.frames["manipulation"] == "real"]
    shares = pd.Series(real.ravel()).value_counts(normalize=True).drop("real", errors="ignore")
    each = ", ".join(f"{name} {share:.2f}" for name, share in shares.items()) or "none"
    return not_here(
        "The drawn manipulations share no more than their names with the real ones. Here the fakes "
        f"among the nearest features of real frames are: {each}",
        *(
            Number("among the nearest features of real frames", float(share), of=str(name))
            for name, share in shares.items()
        ),
    )


def mixed_pairs(material: Material, _: pd.Series) -> Finding:
    """The two classes that are most often each other's neighbours."""
    found = near(material.config)
    own = found.frames["manipulation"].to_numpy(str)
    counts: dict[tuple[str, str], float] = {}
    for name, classes in zip(own, found.classes, strict=True):
        for other in classes[classes != name]:
            two = (min(str(name), str(other)), max(str(name), str(other)))
            counts[two] = counts.get(two, 0) + 1 / found.classes.size
    most = sorted(counts.items(), key=lambda item: -item[1])[:2]
    each = ", ".join(f"{a} with {b} {share:.3f}" for (a, b), share in most) or "no two"
    return not_here(
        "The drawn manipulations share no more than their names with the real ones. Here those "
        f"that mix most are, as a share of all neighbours: {each}",
        *(Number("of all neighbours", share, of=f"{a} with {b}") for (a, b), share in most),
    )


def stray_real(material: Material, _: pd.Series) -> Finding:
    """Whether real frames among fakes are called fake more often than other real frames."""
    found = near(material.config)
    frames = found.frames.assign(stray=(found.classes != "real").mean(axis=1) > 0.5)
    real = frames[frames["manipulation"] == "real"]
    wrong = real["fake_score"] > 0.5
    stray = real["stray"]
    said = f"{stray.sum()} of {len(real)} real frames have mostly fakes among their neighbours"
    if not stray.any() or stray.all() or not wrong.any():
        few = Number("real frames among fakes", float(stray.sum()), unit="frames")
        return not_here(f"{said}, and {wrong.sum()} are called fake: too few to compare", few)
    # By video, since frames of one are misjudged together.
    rates = real.assign(wrong=wrong).groupby(["video", "stray"])["wrong"].mean().unstack()
    gap = over_videos((rates[True] - rates[False]).dropna(), rates.dropna().index, DIFFERENCE)
    said += f"; called fake are {100 * wrong[stray].mean():.0f} % of these and "
    said += f"{100 * wrong[~stray].mean():.0f} % of the others"
    numbers = (
        Number("called fake", float(wrong[stray].mean()), of="real frames among fakes"),
        Number("called fake", float(wrong[~stray].mean()), of="other real frames"),
        gap.number("called fake, difference within a video"),
    )
    if len(rates.dropna()) < 2:
        return Finding(OPEN, f"{said}; fewer than two videos have both", numbers[:2])
    return Finding(gap.against(0), f"{said}; difference within a video {gap}", numbers)


class Looked(NamedTuple):
    """Frames, and where two networks look in them."""

    rows: pd.DataFrame
    images: np.ndarray
    """(N, 3, H, W) in [0, 1]."""
    evidence: dict[str, dict[str, np.ndarray]]
    """network -> output -> (N,): the positive evidence of the unstretched Grad-CAM map, summed."""
    region: np.ndarray
    """(N, H, W) bool: eyes and mouth; all False where no landmarks were found."""
    shares: dict[str, np.ndarray]
    """network -> (N,): share of the LayerCAM map for output fake that lies in the region."""
    cells: dict[str, int]
    """network -> cells of one of its maps, before it is enlarged."""


@cache
def looked(config: RunConfig) -> Looked:
    """Maps of both networks on one test frame of each of at most ``FRAMES`` videos.

    Raises:
        FileNotFoundError: no crops or weights to make them of; says which.
    """
    # Here and not above: both bring torch, which claims about numbers do not need.
    from mcxlib import weights
    from mcxlib.figures import samples

    folders = {name: pipeline.run_folder(one) for name, one in pair(config).items()}
    if missing := [name for name, folder in folders.items() if not folder.finished]:
        raise FileNotFoundError(f"{' and '.join(missing)} was not run")
    if stored_rows(config.data, config.data.train_on, CLASSES) is None:
        raise FileNotFoundError("The crops of the test videos are not here")
    rows = samples.test_rows(config).sort_values("frame_index", kind="stable")
    rows = rows.groupby(["manipulation", "video_id"], sort=True).head(1)
    order = rows.groupby("manipulation").cumcount().sort_values(kind="stable").index
    rows = rows.loc[order].head(FRAMES).reset_index(drop=True)
    images = samples.test_images(config, rows)
    region = eyes_and_mouth_of(images.numpy())
    evidence: dict[str, dict[str, np.ndarray]] = {}
    shares, cells = {}, {}
    for name, folder in folders.items():
        model = weights.load(folder.weights).model
        cells[name] = explain.raw_maps(model, images[:1], "Grad-CAM", "fake")[0].size
        evidence[name] = {
            output: np.maximum(explain.raw_maps(model, images, "Grad-CAM", output), 0).sum((1, 2))
            for output in ("real", "fake")
        }
        maps = explain.activation_maps(model, images, "LayerCAM", "fake")
        shares[name] = explain.region_share(maps, region)
    return Looked(rows, images.numpy(), evidence, region, shares, cells)


def eyes_and_mouth_of(images: np.ndarray) -> np.ndarray:
    """(N, 3, H, W) in [0, 1] -> (N, H, W) bool, around MTCNN's landmarks of the surest face; all
    False where it finds none."""
    from facenet_pytorch import MTCNN

    finder = MTCNN(keep_all=False, select_largest=False)
    regions = []
    for image in images:
        shown = np.rint(255 * image.transpose(1, 2, 0)).astype(np.uint8)
        marks = finder.detect(shown, landmarks=True)[2]
        regions.append(around(None if marks is None else marks[0], image.shape[1:]))
    return np.stack(regions)


def around(marks: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """Landmarks (5, 2), x and y of the eyes, the nose and the corners of the mouth -> (H, W) bool:
    what lies within ``AROUND`` eye distances of an eye or of the line of the mouth."""
    region = np.zeros(shape, bool)
    if marks is None:
        return region
    marks = np.asarray(marks, float)  # the library gives objects
    y, x = np.mgrid[: shape[0], : shape[1]]
    at = np.stack([x, y], axis=-1).astype(float)
    reach = AROUND * np.linalg.norm(marks[1] - marks[0])
    for eye in marks[:2]:
        region |= np.linalg.norm(at - eye, axis=-1) <= reach
    left, line = marks[3], marks[4] - marks[3]
    along = ((at - left) @ line / max(float(line @ line), 1e-9)).clip(0, 1)
    return region | (np.linalg.norm(at - left - along[..., None] * line, axis=-1) <= reach)


def attention(material: Material, _: pd.Series) -> Finding:
    """Whether a frame's own output has more positive evidence than the other output."""
    found = looked(material.config)
    fake = found.rows["is_fake"].to_numpy(bool)
    for_real, for_fake = (found.evidence["MCX-API(RGB)"][name] for name in ("real", "fake"))
    right = over_videos(np.where(fake, for_fake > for_real, for_real > for_fake), _video(found))
    return Finding(
        right.against(0.5),
        f"Grad-CAM at a common scale, {len(fake)} frames: the own output has more positive "
        f"evidence in a share of {right}. The cells of both maps add up to the decision but for "
        "the bias, so that this says little more than how often it is right",
        (right.number("own output has more positive evidence", "MCX-API(RGB)"),),
    )


def eyes_and_mouth(material: Material, _: pd.Series) -> Finding:
    """Share of MCX-API's maps at eyes and mouth, less that region's share of the area."""
    found = looked(material.config)
    known = np.any(found.region, axis=(1, 2))
    if not known.any():
        return not_here("No landmarks were found on the crops")
    area = found.region.mean((1, 2))
    share = found.shares["MCX-API(RGB)"]
    more = over_videos((share - area)[known], _video(found)[known], DIFFERENCE)
    return Finding(
        more.against(0),
        f"LayerCAM for Output Fake, {known.sum()} of {len(known)} frames with landmarks: "
        f"{np.nanmean(share[known]):.2f} of a map lies at eyes and mouth, which are "
        f"{area[known].mean():.2f} of the area; difference {more}",
        (
            Number(_EYES, float(np.nanmean(share[known])), of="MCX-API(RGB)"),
            Number(_EYES, float(area[known].mean()), of="the area"),
            more.number(f"{_EYES}, difference", "MCX-API(RGB) less the area"),
        ),
    )


def more_than_api_net(material: Material, _: pd.Series) -> Finding:
    """The same share, MCX-API's less API-Net's; decided between maps of equally many cells only."""
    found = looked(material.config)
    known = np.any(found.region, axis=(1, 2))
    if not known.any():
        return not_here("No landmarks were found on the crops")
    first, second = (found.shares[name] for name in ("MCX-API(RGB)", "API-Net"))
    apart = over_videos((first - second)[known], _video(found)[known], DIFFERENCE)
    own, other = (found.cells[name] for name in ("MCX-API(RGB)", "API-Net"))
    coarse = f". Their maps have {own} and {other} cells, and few cells reach over every border"
    return Finding(
        apart.against(0) if own == other else OPEN,
        f"{np.nanmean(first[known]):.2f} of MCX-API(RGB)'s maps at eyes and mouth, "
        f"{np.nanmean(second[known]):.2f} of API-Net's; difference {apart}"
        f"{coarse if own != other else ''}",
        (
            Number(_EYES, float(np.nanmean(first[known])), of="MCX-API(RGB)"),
            Number(_EYES, float(np.nanmean(second[known])), of="API-Net"),
            apart.number(f"{_EYES}, difference", "MCX-API(RGB) less API-Net"),
        ),
    )


def _video(found: Looked) -> np.ndarray:
    return (found.rows["manipulation"].astype(str) + "/" + found.rows["video_id"]).to_numpy()
