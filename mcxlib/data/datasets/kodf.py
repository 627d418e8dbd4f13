"""KoDF (Kwon et al. 2021): Korean speakers, Table 3."""

from __future__ import annotations

from mcxlib.data.datasets.base import Dataset, Part, Printed, Protocol
from mcxlib.data.datasets.rules import draw


def _parts(_: str) -> tuple[Part, ...]:
    # The subject is the folder of a real clip; a synthesised clip lies below its method's folder
    # and is named after both subjects. Names of another form are used, their people unknown.
    return (
        Part("original_videos", r"(?:(?P<target>[^/]+)/)?.+", "real", 62166),
        Part(
            "synthesized_videos",
            r"(?:(?P<manipulation>[^/]+)/)?(?:.*/)?"
            r"(?:(?P<target>[^/_]+)_(?P<donor>[^/_]+)_[^/]*|[^/]+)",
            "synthesized",
            175776,
        ),
    )


DATASET = Dataset(
    name="KoDF",
    parts=_parts,
    protocols={
        "kodf_draw": Protocol(
            "section 4.1: 265 real and 734 fake videos, drawn; which is not published",
            draw(("real", 265), ("fake", 734)),
            drawn=True,
        )
    },
    paper=Printed(table=3, place=1, columns=("KoDF",)),
    unconfirmed="its folders and names, which could not be checked against a copy",
)
