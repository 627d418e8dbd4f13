"""What came of the maps that were measured against what was altered: tables and words.

Apart from the measuring, so that it is not done again for a sentence.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mcxlib.evaluate.means import Mean, over_videos

HYPOTHESIS = (
    "Maps of what speaks for fake lie inside the altered region more than a flat map and other "
    "images' maps do, by every method and in both networks, and more so in MCX-API than in API-Net."
)
ABOVE = ("above_flat", "above_others")
_NAMES = ("network", "method", "manipulation", "video_id", "evidence")


def summary(table: pd.DataFrame, by: tuple[str, ...] = ("network", "method")) -> pd.DataFrame:
    """Means of :func:`mcxlib.experiments.cam_truth.measured` by network and method (or also
    manipulation), with how many maps had no evidence.

    Such maps are left out of share and pointing, and counted in ``without``. ``above_flat`` and
    ``above_others`` are by how much a map has more inside than a flat map and than other images'
    maps, each with the ends of its interval of 95 % over videos (``_low``, ``_high``).
    """
    table = table.assign(
        above_flat=table["share"] - table["area"],
        above_others=table["share"] - table["share_of_others"],
    )
    groups = table.groupby(list(by), sort=False)
    counts = groups["evidence"].agg(crops="size", without=lambda found: int((~found).sum()))
    found = counts.join(groups[[c for c in table.columns if c not in _NAMES]].mean())
    for name in ABOVE:
        ends = groups[[name, "video_id"]].apply(_ends, name)
        found = found.join(ends.add_prefix(f"{name}_"))
    return found


def _ends(part: pd.DataFrame, name: str) -> pd.Series:
    if part[name].isna().all():
        return pd.Series({"low": np.nan, "high": np.nan})
    found = over_videos(part[name], part["video_id"], (-1, 1))
    return pd.Series({"low": found.low, "high": found.high})


def shown(table: pd.DataFrame, by: str = "method") -> pd.DataFrame:
    """:func:`summary` to print, by network and ``by``: numbers beside their chance, a slash between
    what a map has and what other images' maps have; first what lies inside, and by how much that is
    above chance."""
    found = summary(table, ("network", by)).reset_index()
    with_evidence = (found["crops"] - found["without"]).astype(str)
    maps = with_evidence.where(
        found["without"] == 0, with_evidence + " of " + found["crops"].astype(str)
    )
    columns = {"network": found["network"], by: found[by], "maps": maps}
    columns["flat map"] = _texts(found["area"])
    columns["inside / others'"] = _beside(found, "share")
    for head, name in zip(("above a flat map", "above others'"), ABOVE, strict=True):
        parts = (_texts(found[f"{name}{end}"], "+.2f") for end in ("", "_low", "_high"))
        columns[head] = [f"{a} ({b} to {c})" for a, b, c in zip(*parts, strict=True)]
    for name in ("pointing", "deletion", "insertion"):
        columns[f"{name} / others'"] = _beside(found, name)
    return pd.DataFrame(columns)


def _beside(found: pd.DataFrame, name: str) -> list[str]:
    own, others = _texts(found[name]), _texts(found[f"{name}_of_others"])
    return [f"{a} / {b}" for a, b in zip(own, others, strict=True)]


def _texts(values: pd.Series, form: str = ".2f") -> list[str]:
    return ["–" if np.isnan(value) else format(value, form) for value in values]


def report(table: pd.DataFrame) -> str:
    """To print: by network and method, and by network and manipulation (of LayerCAM)."""
    one = shown(table[table["method"] == "LayerCAM"], "manipulation")
    return "\n\nLayerCAM:\n".join(part.to_string(index=False) for part in (shown(table), one))


def outcome(table: pd.DataFrame) -> str:
    """What came of :data:`HYPOTHESIS`, in words and with the numbers."""
    found = summary(table)
    above = (found["share"] > found["area"]) & (found["share"] > found["share_of_others"])
    means = found["share"].groupby(level="network", sort=False).mean()
    first, second = means.index[:2]
    order = "and more" if means[first] > means[second] else "but not more"
    verdict = (
        "holds" if above.all() and means[first] > means[second] else "does not hold as a whole"
    )
    single = summary(table, ("network", "method", "manipulation"))
    below = (single["share"] <= single["area"]) | (single["share"] <= single["share_of_others"])
    sure = (found[[f"{name}_low" for name in ABOVE]] > 0).all(axis=1)
    excess = found["above_others"].groupby(level="network").mean()
    apart = _between(table, first, second)
    cells = found["cells"].groupby(level="network").mean()
    return (
        f"{verdict}: on average over the manipulations {int(above.sum())} of {len(above)} methods "
        f"and networks are above both kinds of chance, {order} in {first} ({means[first]:.3f} on "
        f"average) than in {second} ({means[second]:.3f}); for {int(sure.sum())} the intervals of "
        f"95 % over videos lie above both. One by one, {int(below.sum())} of "
        f"{len(single)} (network, method, manipulation) are not. Above other images' maps, {first} "
        f"is by {excess[first]:.3f} and {second} by {excess[second]:.3f} (difference "
        f"{apart.value:+.3f}, {apart.low:+.3f} to {apart.high:+.3f}); and their maps have "
        f"{cells[first]:.0f} and {cells[second]:.0f} cells: few cells reach over every border, so "
        "that the order of the two networks is not settled by this"
    )


def _between(table: pd.DataFrame, first: str, second: str) -> Mean:
    """By how much more one network's maps are above other images' maps than the other's, on the
    same crops, mean over the methods."""
    excess = table.assign(excess=table["share"] - table["share_of_others"])
    excess["crop"] = excess.groupby(["network", "method"]).cumcount()
    keys = ["crop", "video_id"]
    means = excess.groupby([*keys, "network"])["excess"].mean().unstack()
    videos = means.index.get_level_values("video_id")
    return over_videos(means[first] - means[second], videos, (-1, 1))
