"""The synthetic videos: the same bytes whoever makes them, real H.264 files in the four layouts,
faces that MTCNN finds, and manipulations that change what their names say and nothing else."""

import re
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from mcxlib.data import datasets
from mcxlib.data.datasets import faceforensics
from mcxlib.data.faces.finder import FaceFinder
from mcxlib.settings.data import DataConfig
from mcxlib.synthetic import DemoSpec, is_complete, make, make_masks
from mcxlib.synthetic.clip import plan_clip, render_frame
from mcxlib.synthetic.few_masks import make_masks_of
from mcxlib.synthetic.manipulate import MANIPULATIONS, Canonical, Recipe, _oval, altered
from mcxlib.synthetic.plan import RECIPES, STYLES, plan

TINY = DemoSpec(train=2, val=2, test=2, cross_real=2, cross_fake=2, frames=4)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    make(root, TINY, workers=2)
    return root


@pytest.fixture(scope="module")
def person():
    """(target clip, its frames, {name: manipulated frames})."""
    target, donor = (plan_clip((0, 1, i), (0, 1, i, 0), 8, 320, 240) for i in (801, 804))
    frames = [render_frame(target, k) for k in range(8)]
    made = {
        name: function(target, frames, donor, Recipe(), np.random.default_rng(0))
        for name, function in MANIPULATIONS.items()
    }
    return target, frames, made


@pytest.fixture(scope="module")
def with_masks(tree, tmp_path_factory):
    """A copy of the tree to which masks were added, and what it held before."""
    root = tmp_path_factory.mktemp("masks") / "demo"
    shutil.copytree(tree, root)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file()}
    make_masks(root, TINY, workers=1)
    return root, before


def files(root):
    return {p.relative_to(root).as_posix(): p for p in sorted(root.rglob("*.mp4"))}


def test_same_bytes_from_one_worker_and_from_two(tree, tmp_path):
    make(tmp_path, TINY, workers=1)
    one, two = files(tmp_path), files(tree)
    assert list(one) == list(two)
    assert [n for n in one if one[n].read_bytes() != two[n].read_bytes()] == []


def test_faceforensics_layout(tree):
    names = list(files(tree / "FaceForensics++"))
    reals = [n for n in names if n.startswith("original_sequences")]
    assert len(reals) == 6
    assert all(re.fullmatch(r"original_sequences/youtube/c23/videos/\d{3}\.mp4", n) for n in reals)
    ids = {n[-7:-4] for n in reals}
    for folder in faceforensics.MANIPULATIONS.values():
        fakes = [n for n in names if n.startswith(f"manipulated_sequences/{folder}/c23/videos/")]
        assert {n[-11:-8] for n in fakes} == ids

        def part(i):
            return int(i) // 200 if int(i) >= 600 else 0

        for name in fakes:
            target, donor = name[-11:-8], name[-7:-4]
            assert donor in ids - {target}
            assert part(target) == part(donor)


@pytest.mark.parametrize("dataset", datasets.paper_order())
def test_the_reader_of_the_real_layouts_reads_every_file(tree, dataset):
    scan = datasets.scan(tree / dataset, dataset, DataConfig())
    assert scan.manifest["synthetic"].all(), "the tree says itself that it was rendered"
    assert len(scan.manifest) == len(files(tree / dataset))
    assert scan.left_out.empty
    test = scan.manifest[scan.manifest["split"] == "test"]
    assert set(test["is_fake"]) == {True, False}


def test_celebdf_list_labels_real_as_one(tree):
    root = tree / "Celeb-DF-v2"
    lines = (root / "List_of_testing_videos.txt").read_text().split("\n")[:-1]
    listed = dict(line.split(" ", 1)[::-1] for line in lines)
    assert set(listed) == set(files(root))
    assert all(
        (label == "0") == path.startswith("Celeb-synthesis") for path, label in listed.items()
    )


def test_files_are_h264_of_the_asked_size(tree):
    for path in files(tree).values():
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert (stream.width, stream.height) == (320, 240)
            assert sum(1 for _ in container.decode(stream)) == TINY.frames


def test_a_stopped_make_goes_on_with_what_is_missing(tree):
    everything = files(tree)
    gone = next(n for n in everything if "NeuralTextures" in n)
    content = everything[gone].read_bytes()
    times = {n: p.stat().st_mtime_ns for n, p in everything.items() if n != gone}
    everything[gone].unlink()
    assert not is_complete(tree, TINY)
    make(tree, TINY, workers=1)
    assert is_complete(tree, TINY)
    assert everything[gone].read_bytes() == content
    assert {n: p.stat().st_mtime_ns for n, p in files(tree).items() if n != gone} == times


def test_another_spec_is_refused_by_name(tree):
    with pytest.raises(ValueError, match=r"frames: 4 stored, 5 wanted.*delete that folder"):
        make(tree, DemoSpec(train=2, val=2, test=2, cross_real=2, cross_fake=2, frames=5))


def test_impossible_specs_are_named():
    with pytest.raises(ValueError, match=r"DemoSpec\.train is 1; use at least 2"):
        DemoSpec(train=1)


def test_mtcnn_finds_the_face_real_and_manipulated(person):
    _, frames, made = person
    finder = FaceFinder(min_probability=0.98)
    for name, shown in {"real": frames, **made}.items():
        found = [finder(frame) for frame in shown[::3]]
        assert all(found), name
        for face, *_ in found:
            x1, _, x2, _ = face.box
            assert 60 < x2 - x1 < 160, name


def inside(target, frames, made, k):
    """Absolute change unrolled to the face's own square, and the masks of face and mouth there."""
    tools = Canonical(target)
    change = np.abs(tools.unroll(made[k], k) - tools.unroll(frames[k], k)).mean(2)
    p = target.person
    face = _oval(p, tools.x, tools.y, 0.1, 0.01) > 0.5
    mouth = face & (np.abs(tools.y - p.mouth_y) < 0.15) & (np.abs(tools.x) < 0.25)
    upper = face & (tools.y < p.eye_y + 0.1)
    return change, face, mouth, upper


@pytest.mark.parametrize("name", list(MANIPULATIONS))
def test_manipulations_change_the_face_and_leave_the_rest(person, name):
    target, frames, made = person
    for k in (1, 6):
        changed = np.abs(made[name][k].astype(int) - frames[k]).max(2) > 2
        assert changed.any()
        ys, xs = np.nonzero(changed)
        pose = target.states[k].pose
        # Within the head: what is farther from its centre than its height is untouched.
        assert np.hypot(xs - pose.cx, ys - pose.cy).max() < 1.35 * pose.scale
        assert not changed[:, :20].any()
        assert not changed[:, -20:].any()


def test_nt_changes_the_mouth_and_no_other_part_of_the_face(person):
    target, frames, made = person
    change, _, mouth, upper = inside(target, frames, made["NT"], 4)
    assert change[upper].max() == 0
    assert change[mouth].mean() > 0.01


@pytest.mark.parametrize("name", list(MANIPULATIONS))
def test_a_mask_is_where_the_frames_differ(person, name):
    """What differs is masked; what is masked and does not differ was blended in too weakly to
    change 8 bits, or is by chance the same colour."""
    target, frames, made = person
    masks = altered(target, name, Recipe())
    assert len(masks) == len(frames)
    for frame, fake, mask in zip(frames, made[name], masks, strict=True):
        assert mask.shape == frame.shape[:2]
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 255}
        differs = (np.abs(fake.astype(int) - frame) > 0).any(2)
        assert not differs[mask == 0].any()
        assert differs[mask == 255].mean() > 0.85


def read(path):
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


def test_masks_lie_where_faceforensics_has_them_and_come_back_exactly(with_masks):
    root, _ = with_masks
    (job, *_) = plan(TINY)[0]
    size = (TINY.frames, TINY.width, TINY.height)
    target = plan_clip(job.person, job.clip, *size, STYLES[job.style])
    frames = [render_frame(target, k) for k in range(TINY.frames)]
    for output in job.outputs[1:]:
        name = output.manipulation
        donor = plan_clip(output.donor_person, output.donor_clip, *size, STYLES[job.style])
        rng = np.random.default_rng([*job.clip, 505, sum(map(ord, name))])
        made = MANIPULATIONS[name](target, frames, donor, RECIPES[job.style], rng)
        masks = read(root / output.path.replace("/c23/", "/masks/"))
        assert len(masks) == TINY.frames
        for mask, fake, frame in zip(masks, made, frames, strict=True):
            assert mask.shape == frame.shape
            assert set(np.unique(mask)) == {0, 255}
            differs = (fake != frame).any(2)
            assert not differs[mask.max(2) == 0].any()
            assert differs[mask.min(2) == 255].mean() > 0.85


def test_masks_touch_nothing_that_was_there(with_masks):
    root, before = with_masks
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in before} == before
    added = {p for p in root.rglob("*") if p.is_file()} - before.keys()
    fakes = [p for p in before if "FaceForensics++/manipulated" in p.as_posix()]
    assert added == {Path(p.as_posix().replace("/c23/", "/masks/")) for p in fakes}
    assert is_complete(root, TINY)
    scan = datasets.scan(root / "FaceForensics++", "FaceForensics++", DataConfig())
    assert len(scan.manifest) == len(fakes) + 6
    assert scan.left_out.empty
    # A second call writes what is missing only.
    times = {p: p.stat().st_mtime_ns for p in added}
    gone = min(added)
    content = gone.read_bytes()
    gone.unlink()
    make_masks(root, TINY, workers=2)
    assert gone.read_bytes() == content
    assert {p: p.stat().st_mtime_ns for p in added - {gone}} == {
        p: t for p, t in times.items() if p != gone
    }


def test_the_masks_of_a_few_fakes_are_those_of_all(with_masks, tmp_path):
    root, _ = with_masks
    folder = "FaceForensics++/manipulated_sequences"
    paths = sorted(files(root / folder / "NeuralTextures/c23"))[:2]
    wanted = {f"{folder}/NeuralTextures/c23/{path}" for path in paths}
    made = make_masks_of({*wanted, "FaceForensics++/no such.mp4"}, tmp_path, TINY)
    assert set(made) == wanted
    assert len(files(tmp_path)) == 2
    for path, file in made.items():
        assert file.read_bytes() == (root / path.replace("/c23/", "/masks/")).read_bytes()


def test_masks_need_the_finished_videos(tmp_path):
    with pytest.raises(ValueError, match="holds no finished videos of this kind; make them first"):
        make_masks(tmp_path, TINY)


def detail(frame, mask):
    """Energy of what is finer than about a pixel, in the frame itself."""
    grey = frame.mean(2)
    return float((((grey - cv2.GaussianBlur(grey, (0, 0), 0.8)) ** 2)[mask]).mean())


def test_df_and_f2f_lose_fine_detail(person):
    """A low-capacity decoder and a re-rendering cannot keep the skin's texture."""
    target, frames, made = person
    for name in ("DF", "F2F"):
        ratios = []
        for k, frame in enumerate(frames):
            x, y = target.states[k].pose.unproject(target.person, *target.size)
            cheeks = (np.abs(x) < 0.42) & (y > 0.08) & (y < 0.36)
            ratios.append(detail(made[name][k], cheeks) / detail(frame, cheeks))
        assert np.mean(ratios) < 0.6, (name, ratios)


def test_f2f_keeps_the_person_that_fs_replaces(person):
    target, frames, made = person
    changes = {n: inside(target, frames, made[n], 4) for n in ("F2F", "FS")}
    _, face, mouth, _ = changes["FS"]
    away = face & ~mouth
    assert changes["F2F"][0][away].mean() < 0.6 * changes["FS"][0][away].mean()
