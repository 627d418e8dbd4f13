"""FakeAVCeleb (Khalid et al. 2021): videos and voices, faked each by itself, Table 3."""

from __future__ import annotations

from mcxlib.data.datasets.base import Dataset, Part, Printed, Protocol
from mcxlib.data.datasets.rules import draw

# Where a face was put in, its owner stands in the file's name, after the number of the clip.
_PERSON = r"(?P<place>[^/]+/[^/]+/(?P<target>id\d+))/(?P<clip>\d*)[^/]*?(?:_(?P<donor>id\d+)[^/]*)?"
_SOURCE = "RealVideo-RealAudio/{place}/{clip}"


def _parts(_: str) -> tuple[Part, ...]:
    return (
        Part("RealVideo-RealAudio", _PERSON, "real", 500),
        # The same pictures as in the part above, under another voice.
        Part("RealVideo-FakeAudio", _PERSON, "real", 500, source=_SOURCE),
        Part("FakeVideo-RealAudio", _PERSON, "FakeVideo-RealAudio", 9709, source=_SOURCE),
        Part("FakeVideo-FakeAudio", _PERSON, "FakeVideo-FakeAudio", 10835, source=_SOURCE),
    )


DATASET = Dataset(
    name="FakeAVCeleb",
    parts=_parts,
    protocols={
        "fakeavceleb_draw": Protocol(
            "section 4.1: 500 videos, drawn; which is not published",
            draw(("all", 500)),
            drawn=True,
        )
    },
    roots=("FakeAVCeleb_v1.2", ""),
    paper=Printed(table=3, place=0, columns=("FakeAV",)),
)
