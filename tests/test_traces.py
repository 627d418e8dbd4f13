"""Single traces: each alters what it says, where it says, and nothing else."""

import io

import kornia
import numpy as np
import pytest
import torch
from PIL import Image

from mcxlib.synthetic import traces
from mcxlib.synthetic.traces import TRACES, alter, faces, jpeg, mask

YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""ITU-R BT.601, full range, as in JFIF."""


@pytest.fixture(scope="module")
def few():
    return faces(3, (0, 1), 2)


def altered(face, name, strength):
    return alter(face, TRACES[name], strength, np.random.default_rng(0))


def ycbcr(image):
    return image.astype(float) @ YCBCR.T


def lab(image):
    tensor = torch.from_numpy(image / 255).permute(2, 0, 1)[None]
    return kornia.color.rgb_to_lab(tensor)[0].permute(1, 2, 0).numpy()


def whole(face):
    """Where a trace of the face acts in full and no channel is near its end."""
    inner = (face.image > 45).all(-1) & (face.image < 210).all(-1)
    return (face.alphas["face"] == 1) & inner


@pytest.mark.parametrize("name", TRACES)
def test_nothing_outside_its_region_and_nothing_at_strength_0(few, name):
    trace = TRACES[name]
    assert len(trace.strengths) == 5
    assert list(trace.strengths) == sorted(set(trace.strengths))
    for face in few:
        region = mask(face, trace)
        assert 0.03 < region.mean() < 0.6
        np.testing.assert_array_equal(altered(face, name, 0), face.image)
        found = altered(face, name, trace.strengths[-1])
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found[~region], face.image[~region])
        assert (found[region] != face.image[region]).any(-1).mean() > 0.2
        before = face.image.copy()
        altered(face, name, trace.strengths[-1])
        np.testing.assert_array_equal(face.image, before)


@pytest.mark.parametrize("name", TRACES)
def test_stronger_is_stronger(few, name):
    sizes = [
        np.abs(altered(face, name, s).astype(float) - face.image).mean()
        for face in few[:1]
        for s in TRACES[name].strengths
    ]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 2 * sizes[0]


def test_luma_leaves_chroma_and_moves_luma_by_its_levels(few):
    for face in few:
        before, after = ycbcr(face.image), ycbcr(altered(face, "luma", 8))
        np.testing.assert_allclose(after[..., 1:], before[..., 1:], atol=1e-9)
        np.testing.assert_allclose((after - before)[whole(face)][:, 0], 8, atol=1e-9)


def test_luma_leaves_chroma_where_there_is_no_room(few):
    face = few[0]
    bright = face.image.copy()
    bright[..., 0] = 253
    shown = traces.Face(face.clip, 0, face.corner, bright, face.alphas, {})
    after = altered(shown, "luma", 16)
    np.testing.assert_allclose(ycbcr(after)[..., 1:], ycbcr(bright)[..., 1:], atol=1e-9)
    assert (after[..., 0][face.alphas["face"] == 1] == 255).all()


def test_chroma_leaves_luma_to_rounding(few):
    for face in few:
        before, after = ycbcr(face.image), ycbcr(altered(face, "chroma", 8))
        assert np.abs(after - before)[..., 0].max() <= 0.5 + 1e-4
        moved = (after - before)[whole(face)]
        np.testing.assert_allclose(moved[:, 1], -8, atol=0.6)
        np.testing.assert_allclose(moved[:, 2], 8, atol=0.6)


@pytest.mark.parametrize(("name", "axis"), [("lab-l", 0), ("lab-a", 1), ("lab-b", 2)])
def test_one_axis_of_lab_moves_and_two_stay(few, name, axis):
    for face in few:
        moved = (lab(altered(face, name, 4)) - lab(face.image))[whole(face)]
        expected = np.zeros(3)
        expected[axis] = 4
        # OpenCV approximates the curve; of 8 bits a level is up to 0.4 of L*, and more of a*, b*.
        np.testing.assert_allclose(moved.mean(0), expected, atol=0.3)
        assert (np.abs(moved - expected) < 1.5).mean() > 0.98


def test_blurred_chroma_leaves_luma_to_rounding_and_has_less_detail(few):
    for face in few:
        before, after = ycbcr(face.image), ycbcr(altered(face, "chroma-blur", 1))
        assert np.abs(after - before)[..., 0].max() <= 0.5 + 1e-2
        inside = face.alphas["face"][:, 1:] == 1
        rough = [np.abs(np.diff(p, axis=1))[inside].mean(0) for p in (before, after)]
        assert (rough[1][1:] < 0.8 * rough[0][1:]).all()
        assert abs(rough[1][0] - rough[0][0]) < 0.05 * rough[0][0]


def test_a_seam_lies_along_the_contour_and_nowhere_else(few):
    face = few[0]
    changed = (altered(face, "seam", 16) != face.image).any(-1)
    inside = face.alphas["face"] > 0.5
    assert not changed[~inside].any()
    rows, columns = np.nonzero(inside)
    middle = int(rows.mean()), int(columns.mean())
    assert not changed[middle[0] - 8 : middle[0] + 8, middle[1] - 8 : middle[1] + 8].any()
    edge = inside & ~np.roll(inside, 1, axis=1)
    step = altered(face, "seam", 16).astype(int) - face.image
    room = (face.image < 230).all(-1)
    assert np.median(step[edge & room]) >= 15


def test_without_noise_it_is_what_a_camera_without_noise_takes(few):
    for face in few:
        full = face.alphas["face"] == 1
        np.testing.assert_array_equal(altered(face, "noise", 1)[full], face.clean[full])
        grain = face.image.astype(float) - face.clean
        assert 1 < grain.std() < 5
        assert abs(grain.mean()) < 0.5
        half = altered(face, "noise", 0.5)[full].astype(float) - face.clean[full]
        assert half.std() == pytest.approx(grain[full].std() / 2, rel=0.15)


def test_between_pixels_is_the_mean_of_neighbours(few):
    face = few[0]
    image = face.image.astype(float)
    corners = [np.roll(image, (-dy, -dx), (0, 1)) for dy in (0, 1) for dx in (0, 1)]
    full = face.alphas["face"] == 1
    found = altered(face, "resampling", 0.5)[full]
    np.testing.assert_allclose(found, np.mean(corners, axis=0)[full], atol=0.51)


def test_sharpening_adds_a_share_of_the_detail(few):
    from scipy.ndimage import gaussian_filter

    face = few[0]
    image = face.image.astype(float)
    smooth = gaussian_filter(image, (1, 1, 0), mode="mirror")
    inner = whole(face)
    expected = image + 0.4 * (image - smooth)
    np.testing.assert_allclose(altered(face, "sharpening", 0.4)[inner], expected[inner], atol=1)


def test_compression_is_another_programs_jpeg(few):
    image = few[0].image
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="jpeg", quality=70, subsampling=0)
    with Image.open(buffer) as again:
        expected = np.asarray(again.convert("RGB")).astype(int)
    assert np.abs(jpeg(image, 70) - expected).max() <= 2
    full = few[0].alphas["face"] == 1
    np.testing.assert_array_equal(altered(few[0], "compression", 30)[full], jpeg(image, 70)[full])


def test_a_mouth_is_wider_and_the_light_and_grain_are_the_same(few):
    for face in few:
        change = np.abs(altered(face, "mouth", 0.5).astype(int) - face.image).max(-1)
        pose = face.clip.states[face.index].pose
        p = face.clip.person
        x, y = pose.project(np.array(0.0), np.array(p.mouth_y), np.array(0.5))
        row, column = (int(v - c) for v, c in zip((y, x), face.corner, strict=True))
        weight = change / change.sum()
        middle = (weight * np.arange(traces.SIDE)[:, None]).sum(), (weight.sum(0) * np.arange(
            traces.SIDE)).sum()  # fmt: skip
        assert abs(middle[0] - row) < 0.15 * pose.scale
        assert abs(middle[1] - column) < 0.15 * pose.scale
        # Where the mouth's region has no mouth, the drawing is the same to the last bit.
        region = mask(face, TRACES["mouth"])
        assert (change[region] == 0).mean() > 0.05


def test_a_flicker_goes_both_ways_and_lies_between_frames(few):
    trace = TRACES["flicker"]
    assert trace.pairs
    assert not any(t.pairs for t in TRACES.values() if t is not trace)
    face, rng = few[0], np.random.default_rng(1)
    inner = whole(face)
    shifts = {
        float(np.median(alter(face, trace, 4, rng)[inner].astype(int) - face.image[inner]))
        for _ in range(12)
    }
    assert shifts == {-4, 4}


def test_people_are_theirs_whoever_else_is_drawn(few):
    alone = faces(3, (1,), 2)
    for one, other in zip(few[2:], alone, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
    assert few[0].clip.person != few[2].clip.person
    assert faces(4, (1,), 1)[0].clip.person != alone[0].clip.person


def test_a_negative_strength_is_refused(few):
    with pytest.raises(ValueError, match=r"0 or more, not -1 \(luma\)"):
        altered(few[0], "luma", -1)
