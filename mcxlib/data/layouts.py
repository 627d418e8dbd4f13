"""The folders of each data set as its distributor hands it out: parts, file names, identities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

MANIPULATIONS = MappingProxyType(
    {"DF": "Deepfakes", "F2F": "Face2Face", "FS": "FaceSwap", "NT": "NeuralTextures"}
)
"""FaceForensics++'s folder of each manipulation the paper trains on."""

TRAINED_ON = "FaceForensics++"
CROSS_DATASETS = ("FakeAVCeleb", "KoDF", "Celeb-DF-v2")
"""The unseen data sets, in the column order of the paper's Table 3."""

EXTRA_DATASETS = ("FaceShifter", "DeepFakeDetection")
"""Handed out with FaceForensics++ but not in the paper: more unseen manipulations to test on."""


@dataclass(frozen=True)
class Part:
    """One folder of a data set: where it is, how its files are named, what they are."""

    folder: str
    pattern: str
    """Of the path below the folder without its suffix; the groups target, donor and manipulation
    are all optional."""
    manipulation: str
    """"real", or the manipulation's name where the pattern has no such group."""
    expected: int = 0
    """Videos in the published data set; 0 where there is no such number."""
    optional: bool = False
    """Not used by the paper: its absence is reported, and nothing is missing."""
    identity: str = ""
    """Prefix of the identities, where two parts of a data set number different people alike."""


def _faceforensics_real(compression: str) -> Part:
    return Part(
        f"original_sequences/youtube/{compression}/videos", r"(?P<target>\d{3})", "real", 1000
    )


def _faceforensics_fake(compression: str, folder: str, name: str, optional: bool = False) -> Part:
    return Part(
        f"manipulated_sequences/{folder}/{compression}/videos",
        r"(?P<target>\d{3})_(?P<donor>\d{3})",
        name,
        1000,
        optional,
    )


def _faceforensics(compression: str) -> tuple[Part, ...]:
    return (
        _faceforensics_real(compression),
        *(_faceforensics_fake(compression, f, name) for name, f in MANIPULATIONS.items()),
        _faceforensics_fake(compression, "FaceShifter", "FaceShifter", optional=True),
        *_deepfakedetection(compression, optional=True),
    )


def _faceshifter(compression: str) -> tuple[Part, ...]:
    return (
        _faceforensics_real(compression),
        _faceforensics_fake(compression, "FaceShifter", "FaceShifter"),
    )


def _deepfakedetection(compression: str, optional: bool = False) -> tuple[Part, ...]:
    # Filmed with paid actors, numbered apart from the people of the YouTube videos.
    return (
        Part(
            f"original_sequences/actors/{compression}/videos",
            r"(?P<target>\d{2})__.+",
            "real",
            363,
            optional,
            "actor",
        ),
        Part(
            f"manipulated_sequences/DeepFakeDetection/{compression}/videos",
            r"(?P<target>\d{2})_(?P<donor>\d{2})__.+",
            "DeepFakeDetection",
            3068,
            optional,
            "actor",
        ),
    )


def _celebdf(_: str) -> tuple[Part, ...]:
    return (
        Part("Celeb-real", r"(?P<target>id\d+)_\d{4}", "real", 590),
        Part("YouTube-real", r"(?P<target>\d{5})", "real", 300),
        Part(
            "Celeb-synthesis",
            r"(?P<target>id\d+)_(?P<donor>id\d+)_\d{4}",
            "Celeb-synthesis",
            5639,
        ),
    )


def _kodf(_: str) -> tuple[Part, ...]:
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


def _fakeavceleb(_: str) -> tuple[Part, ...]:
    # Where a face was put in, its owner stands in the file's name.
    person = r"[^/]+/[^/]+/(?P<target>id\d+)/[^/]*?(?:_(?P<donor>id\d+)[^/]*)?"
    return (
        Part("RealVideo-RealAudio", person, "real", 500),
        Part("RealVideo-FakeAudio", person, "real", 500),
        Part("FakeVideo-RealAudio", person, "FakeVideo-RealAudio", 9709),
        Part("FakeVideo-FakeAudio", person, "FakeVideo-FakeAudio", 10835),
    )


def _plain(_: str) -> tuple[Part, ...]:
    return (
        Part("real", ".+", "real"),
        Part("fake", r"(?:(?P<manipulation>[^/]+)/)?.+", "fake"),
    )


@dataclass(frozen=True)
class Layout:
    """How one data set lies on disk."""

    parts: Callable[[str], tuple[Part, ...]]
    """Of a compression: c23, c40, or raw."""
    roots: tuple[str, ...] = ("",)
    """Folders below the root in which the parts may lie; the first that has any is taken."""
    home: str = ""
    """The data set whose folder this one shares; "" if it has its own."""
    images: bool = False
    """Whether images, and folders of images, count as videos."""


LAYOUTS = MappingProxyType(
    {
        "FaceForensics++": Layout(_faceforensics),
        "Celeb-DF-v2": Layout(_celebdf),
        "KoDF": Layout(_kodf),
        "FakeAVCeleb": Layout(_fakeavceleb, ("FakeAVCeleb_v1.2", "")),
        "FaceShifter": Layout(_faceshifter, home="FaceForensics++"),
        "DeepFakeDetection": Layout(_deepfakedetection, home="FaceForensics++"),
    }
)

PLAIN = Layout(_plain, images=True)
"""One's own data: a folder ``real`` and a folder ``fake`` (in it, one folder a manipulation or
none). Videos, images, or folders of frames."""


def layout_of(dataset: str) -> Layout:
    """The layout of a data set by its name; any other name is a plain ``real``/``fake`` pair."""
    return LAYOUTS.get(dataset, PLAIN)
