"""Which videos lie where: the four trees, as jobs that each start from one rendered clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from .camera import CameraStyle
from .manipulate import Recipe
from .person import draw_person
from .spec import DemoSpec

FOLDERS = MappingProxyType(
    {"DF": "Deepfakes", "F2F": "Face2Face", "FS": "FaceSwap", "NT": "NeuralTextures"}
)


@dataclass(frozen=True)
class Output:
    """One file: the clip as it is (``manipulation`` "real") or manipulated with a donor's clip."""

    path: str
    manipulation: str = "real"
    donor_person: tuple[int, ...] = ()
    donor_clip: tuple[int, ...] = ()
    mask: str = ""
    """Where the video of its altered pixels belongs, in a layout that has such videos."""


@dataclass(frozen=True)
class Job:
    """One clip of one person and every file made from it."""

    style: str
    person: tuple[int, ...]
    clip: tuple[int, ...]
    outputs: tuple[Output, ...]


STYLES = MappingProxyType(
    {
        "FaceForensics++": CameraStyle(),
        "Celeb-DF-v2": CameraStyle(
            warmth=0.05, gamma=(0.9, 1.0), blur=(0.3, 0.55), noise=(0.005, 0.012),
            saturation=(1.0, 1.2), vignette=(0.0, 0.3), background="bokeh",
        ),
        "KoDF": CameraStyle(
            warmth=-0.03, gamma=(1.0, 1.15), blur=(0.3, 0.5), noise=(0.004, 0.010),
            saturation=(0.85, 1.0), vignette=(0.0, 0.1), background="plain",
        ),
        "FakeAVCeleb": CameraStyle(
            cast=0.06, gamma=(0.9, 1.15), blur=(0.45, 0.75), noise=(0.010, 0.020),
            saturation=(0.8, 1.1), vignette=(0.0, 0.35), background="outdoor",
        ),
    }
)  # fmt: skip

# FaceForensics++: of three mixtures of the plain recipe with weaker traces, judged by validation
# people, the one from which a small network still learns while face swaps are not always found.
RECIPES = MappingProxyType(
    {
        "FaceForensics++": Recipe(
            fs_size=107, fs_sharp=1.0, fs_feather=0.033, fs_colour=0.5, f2f_smooth=0.0175,
            f2f_contrast=1.2,
        ),
        "Celeb-DF-v2": Recipe(df_size=72, df_rank=20, df_colour=0.97, df_feather=0.22),
        "KoDF": Recipe(
            df_size=66, df_rank=16, df_colour=0.95, df_feather=0.18, fs_size=128, fs_feather=0.08,
            fs_colour=0.9, f2f_smooth=0.013, f2f_contrast=0.55,
        ),
        "FakeAVCeleb": Recipe(
            df_size=66, df_colour=0.95, fs_size=116, fs_feather=0.06, fs_colour=0.85, nt_size=30,
            nt_extent=0.9,
        ),
    }
)  # fmt: skip

_ETHNICITIES = (
    "African",
    "Asian (East)",
    "Asian (South)",
    "Caucasian (American)",
    "Caucasian (European)",
)


def _faceforensics(spec: DemoSpec) -> list[Job]:
    jobs = []
    for start, room, count in ((0, 600, spec.train), (600, 200, spec.val), (800, 200, spec.test)):
        step = min(3, room // count)
        ids = [start + step * k for k in range(count)]
        for k, target in enumerate(ids):
            donor = ids[(k + 1) % count]
            who, what = (spec.seed, 1, target), (spec.seed, 1, target, 0)
            outputs = [Output(f"original_sequences/youtube/c23/videos/{target:03d}.mp4")]
            outputs += [
                Output(
                    f"manipulated_sequences/{folder}/c23/videos/{target:03d}_{donor:03d}.mp4",
                    name, (spec.seed, 1, donor), (spec.seed, 1, donor, 0),
                    f"manipulated_sequences/{folder}/masks/videos/{target:03d}_{donor:03d}.mp4",
                )
                for name, folder in FOLDERS.items()
            ]  # fmt: skip
            outputs = [
                replace(
                    o,
                    path=f"FaceForensics++/{o.path}",
                    mask=f"FaceForensics++/{o.mask}" if o.mask else "",
                )
                for o in outputs
            ]
            jobs.append(Job("FaceForensics++", who, what, tuple(outputs)))
    return jobs


def _pairs(people: int, count: int) -> list[tuple[int, int, int]]:
    """``count`` triples (target, donor, repetition), all different, target != donor."""
    out = []
    for k in range(count):
        target, turn = k % people, k // people
        out.append((target, (target + 1 + turn % (people - 1)) % people, turn // (people - 1)))
    return out


def _celebdf(spec: DemoSpec) -> tuple[list[Job], dict[str, str]]:
    s = spec.seed
    youtube = spec.cross_real * 2 // 5
    celebs = spec.cross_real - youtube
    people = min(11, max(2, celebs))
    jobs, lines = [], []

    def add(path: str, person: int, clip: int, manipulation: str = "real", donor: int = -1) -> None:
        extra = ((s, 2, donor), (s, 2, donor, 9000)) if donor >= 0 else ((), ())
        output = Output(f"Celeb-DF-v2/{path}", manipulation, *extra)
        jobs.append(Job("Celeb-DF-v2", (s, 2, person), (s, 2, person, clip), (output,)))
        lines.append(f"{int(manipulation == 'real')} {path}")

    for k in range(celebs):
        add(f"Celeb-real/id{51 + k % people}_{k // people:04d}.mp4", k % people, k // people)
    for k in range(youtube):
        add(f"YouTube-real/{240 + k:05d}.mp4", 100 + k, 0)
    for k, (t, d, turn) in enumerate(_pairs(people, spec.cross_fake)):
        add(f"Celeb-synthesis/id{51 + t}_id{51 + d}_{turn:04d}.mp4", t, 1000 + k, "DF", d)
    return jobs, {"Celeb-DF-v2/List_of_testing_videos.txt": "\n".join(lines) + "\n"}


_KODF = (("fsgan", "FS"), ("dfl", "DF"), ("dffs", "DF"), ("fo", "F2F"))


def _kodf(spec: DemoSpec) -> list[Job]:
    s = spec.seed
    people = max(2, min(spec.cross_real, 11))
    name = [f"{80000101 + 17 * k}" for k in range(people)]
    jobs = []
    for k in range(spec.cross_real):
        who, turn = k % people, k // people
        output = Output(f"KoDF/original_videos/{name[who]}/{name[who]}_{turn + 1:03d}.mp4")
        jobs.append(Job("KoDF", (s, 3, who), (s, 3, who, turn), (output,)))
    for k, (t, d, turn) in enumerate(_pairs(people, spec.cross_fake)):
        folder, kind = _KODF[k % len(_KODF)]
        path = f"KoDF/synthesized_videos/{folder}/{name[t]}_{name[d]}_{turn + 1:03d}.mp4"
        output = Output(path, kind, (s, 3, d), (s, 3, d, 9000))
        jobs.append(Job("KoDF", (s, 3, t), (s, 3, t, 1000 + k), (output,)))
    return jobs


# Folder, method as the metadata names it, manipulation.
_FAKEAV = (
    ("FakeVideo-RealAudio", "faceswap", "FS"),
    ("FakeVideo-FakeAudio", "wav2lip", "NT"),
    ("FakeVideo-RealAudio", "fsgan", "DF"),
    ("FakeVideo-FakeAudio", "faceswap-wav2lip", "DF"),
)


def _fakeavceleb(spec: DemoSpec) -> tuple[list[Job], dict[str, str]]:
    s = spec.seed
    people = max(2, min(spec.cross_real, 11))
    jobs = []
    rows = ["source,target1,target2,method,category,type,race,gender,filename,path"]

    def where(person: int) -> tuple[str, str, str]:
        gender = "women" if draw_person((s, 4, person)).female else "men"
        return _ETHNICITIES[person % len(_ETHNICITIES)], gender, f"id{76 + person:05d}"

    def add(
        folder: str,
        person: int,
        clip: Any,
        file: str,
        method: str,
        manipulation: str = "real",
        donor: int = -1,
    ) -> None:
        race, gender, name = where(person)
        other = where(donor)[2] if donor >= 0 else "-"
        category = {
            "RealVideo-RealAudio": "A",
            "RealVideo-FakeAudio": "B",
            "FakeVideo-RealAudio": "C",
            "FakeVideo-FakeAudio": "D",
        }[folder]
        place = f"FakeAVCeleb_v1.2/{folder}/{race}/{gender}/{name}"
        extra = ((s, 4, donor), (s, 4, donor, 9000)) if donor >= 0 else ((), ())
        output = Output(f"FakeAVCeleb/{place}/{file}", manipulation, *extra)
        jobs.append(Job("FakeAVCeleb", (s, 4, person), (s, 4, person, clip), (output,)))
        rows.append(f"{name},{other},-,{method},{category},{folder},{race},{gender},{file},{place}")

    for k in range(spec.cross_real):
        folder = "RealVideo-RealAudio" if k % 2 == 0 else "RealVideo-FakeAudio"
        turn = k // people
        add(folder, k % people, turn, f"{109 + turn:05d}.mp4", "real" if k % 2 == 0 else "rtvc")
    for k, (t, d, turn) in enumerate(_pairs(people, spec.cross_fake)):
        folder, method, kind = _FAKEAV[k % len(_FAKEAV)]
        file = f"{109 + turn:05d}_{where(d)[2]}_{method}.mp4"
        add(folder, t, 1000 + k, file, method, kind, d)
    return jobs, {"FakeAVCeleb/FakeAVCeleb_v1.2/meta_data.csv": "\n".join(rows) + "\n"}


def plan(spec: DemoSpec) -> tuple[list[Job], dict[str, str]]:
    """All jobs, and the text files of the trees by path."""
    celeb, celeb_files = _celebdf(spec)
    fakeav, fakeav_files = _fakeavceleb(spec)
    return _faceforensics(spec) + celeb + _kodf(spec) + fakeav, celeb_files | fakeav_files
