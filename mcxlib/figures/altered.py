"""Maps beside the truth: which methods are one, and how much lies inside what was altered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

Methods = Mapping[str, Mapping[str, np.ndarray]]
"""Output ("real", "fake") -> method -> maps (N, H, W) in [0, 1]."""

SAME = 1e-3
"""Maps that differ nowhere by more than this, in units of the stretched map, are one map."""


def groups(maps: Methods) -> list[list[str]]:
    """Methods whose maps are the same for every face and output, in the order of the first."""
    found: list[list[str]] = []
    for method in next(iter(maps.values())):
        for group in found:
            if all(np.abs(of[method] - of[group[0]]).max() <= SAME for of in maps.values()):
                group.append(method)
                break
        else:
            found.append([method])
    return found


def merged(maps: Methods) -> dict[str, dict[str, np.ndarray]]:
    """The maps with identical methods once, "Grad-CAM = HiResCAM"."""
    return {
        output: {" = ".join(group): of[group[0]] for group in groups(maps)}
        for output, of in maps.items()
    }


def shares(
    networks: Mapping[str, Methods],
    names: Sequence[str],
    masks: np.ndarray,
    known: np.ndarray,
) -> pd.DataFrame:
    """How much of each map's energy for output fake lies inside what was altered.

    Args:
        networks: network -> its maps.
        names: class of each face.
        masks, known: of :func:`mcxlib.pipeline.altered.altered`.

    Returns:
        A row a network, method (identical ones once) and fake with a mask: network, method,
        class, inside, area (the altered share of the picture: what a flat map has inside). Maps
        that are zero everywhere have NaN inside.
    """
    from mcxlib.explain import region_share

    fakes = [i for i, name in enumerate(names) if name != "real" and known[i] and masks[i].any()]
    rows: list[dict[str, object]] = []
    for network, maps in networks.items():
        for method, of in merged(maps)["fake"].items():
            inside = region_share(np.asarray(of)[fakes], masks[fakes]) if fakes else np.zeros(0)
            for place, share in zip(fakes, inside, strict=True):
                area = float(masks[place].mean())
                about = {"network": network, "method": method, "class": names[place]}
                rows.append(about | {"inside": float(share), "area": area})
    return pd.DataFrame(rows, columns=["network", "method", "class", "inside", "area"])


def table(found: pd.DataFrame) -> pd.DataFrame:
    """:func:`shares` to look at: a row a network and method, a column a class; last, the area."""
    keys = ["network", "method"]
    wide = found.pivot_table(index=keys, columns="class", values="inside", sort=False)
    if len(found):
        wide.loc[("any", "a flat map"), :] = found.groupby("class")["area"].mean()
    return wide.round(2)
