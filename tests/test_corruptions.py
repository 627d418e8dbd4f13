"""What is done to frames and boxes, against Pillow, SciPy, OpenCV and boxes worked by hand."""

from __future__ import annotations

import io
import math

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter

from mcxlib.data.video.reencode import reencoded
from mcxlib.experiments import corruptions as kinds
from mcxlib.synthetic import render_person


@pytest.fixture(scope="module")
def clip():
    """Six frames of a drawn person, 120 x 160 px."""
    return render_person((4,), width=160, height=120, frames=6)


def apart(first, second) -> np.ndarray:
    return np.abs(first.astype(np.int64) - second.astype(np.int64))


@pytest.mark.parametrize("quality", [90, 50, 10])
def test_jpeg_is_pillows(clip, quality):
    buffer = io.BytesIO()
    Image.fromarray(clip[0]).save(buffer, "JPEG", quality=quality)
    expected = np.asarray(Image.open(buffer))
    found = kinds.picture(clip[0], "jpeg", quality, "v", 0)
    # Both are libjpeg's; their colour upsampling may round otherwise.
    assert apart(found, expected).max() <= 2
    assert apart(found, clip[0]).max() > 2


@pytest.mark.parametrize("sigma", [0.5, 1, 3])
def test_blur_is_scipys(clip, sigma):
    expected = [
        gaussian_filter(clip[0][..., c].astype(float), sigma, mode="mirror", truncate=4)
        for c in range(3)
    ]
    found = kinds.picture(clip[0], "blur", sigma, "v", 0)
    assert np.abs(found - np.stack(expected, axis=-1)).max() <= 1


def test_shrinking_to_half_takes_means_of_four_and_enlarging_is_pillows(clip):
    frame = clip[0]
    small = frame.reshape(60, 2, 80, 2, 3).mean(axis=(1, 3))
    small = np.floor(small + 0.5).astype(np.uint8)
    expected = np.asarray(Image.fromarray(small).resize((160, 120), Image.Resampling.BILINEAR))
    found = kinds.picture(frame, "resize", 0.5, "v", 0)
    assert found.shape == frame.shape
    assert apart(found, expected).max() <= 2


@pytest.mark.parametrize("factor", [0.4, 1.6])
def test_brightness_is_pillows(clip, factor):
    expected = np.asarray(ImageEnhance.Brightness(Image.fromarray(clip[0])).enhance(factor))
    assert apart(kinds.picture(clip[0], "brightness", factor, "v", 0), expected).max() <= 1


def test_noise_has_its_deviation_and_is_each_frames_own():
    grey = np.full((200, 200, 3), 128, np.uint8)
    found = kinds.picture(grey, "noise", 10, "a", 3)
    rest = found.astype(float) - 128
    # 120,000 draws: the error of the mean is 0.03, that of the deviation 0.02.
    assert abs(rest.mean()) < 0.15
    assert abs(rest.std() - math.sqrt(100 + 1 / 12)) < 0.1
    assert abs(np.corrcoef(rest[..., 0].ravel(), rest[..., 1].ravel())[0, 1]) < 0.03
    np.testing.assert_array_equal(found, kinds.picture(grey, "noise", 10, "a", 3))
    assert (found != kinds.picture(grey, "noise", 10, "a", 4)).mean() > 0.8
    assert (found != kinds.picture(grey, "noise", 10, "b", 3)).mean() > 0.8


def test_h264_gives_back_as_many_frames_and_worse_ones_at_a_higher_crf(clip):
    errors = []
    for crf in (5, 23, 38):
        found = np.stack(list(reencoded(iter(clip), crf)))
        assert found.shape == clip.shape
        errors.append(float((apart(found, clip) ** 2).mean()))
    assert errors[0] < errors[1] < errors[2]
    again = np.stack(list(reencoded(list(clip), 38)))
    np.testing.assert_array_equal(again, found)
    # A frame in its sequence is predicted from others: alone it is another picture.
    alone = next(iter(reencoded(clip[3:4], 38)))
    assert apart(alone, found[3]).max() > 0
    assert list(reencoded([], 23)) == []


def test_h264_of_odd_sides_and_of_frames_that_do_not_belong_together(clip):
    odd = [frame[:119, :159] for frame in clip]
    found = np.stack(list(reencoded(odd, 18)))
    assert found.shape == (6, 119, 159, 3)
    assert apart(found, np.stack(odd)).mean() < 4
    with pytest.raises(ValueError, match="159 x 119 and 160 x 120 px cannot be one"):
        list(reencoded([clip[0], odd[0]], 18))


def test_h264_is_what_opencv_reads_from_such_a_file(clip, tmp_path):
    """The decoder's side by another program: OpenCV's, of the file that is made in memory."""
    from mcxlib.data.video import reencode

    file = io.BytesIO()
    reencode._encode(file, iter(clip), (120, 160), 28)
    (tmp_path / "a.mp4").write_bytes(file.getvalue())
    reader = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    expected = [reader.read()[1][..., ::-1] for _ in range(6)]
    assert not reader.read()[0]
    found = np.stack(list(reencoded(clip, 28)))
    assert apart(found, np.stack(expected)).mean() < 2


def test_boxes_by_hand():
    box = (10.0, 20.0, 50.0, 80.0)  # 40 x 60
    assert kinds.shifted(box, 0.1, 0.0) == (16, 20, 56, 80)
    assert kinds.shifted(box, 0.1, math.pi / 2) == pytest.approx((10, 26, 50, 86))
    assert kinds.scaled(box, 1.5) == (0, 5, 60, 95)
    assert kinds.scaled(box, 0.5) == (20, 35, 40, 65)
    assert kinds.moved(box, "jpeg", 50, "v") == box
    angles = [kinds.angle_of(f"video {n}") for n in range(200)]
    assert kinds.angle_of("video 3") == angles[3]
    # No side is favoured: the mean direction of 200 is short (0.2 is beyond 1 in 1,000).
    assert np.abs(np.exp(1j * np.array(angles)).mean()) < 0.2
    moved = kinds.moved(box, "shift", 0.1, "video 3")
    assert math.hypot(moved[0] - 10, moved[1] - 20) == pytest.approx(6)


def test_frames_are_left_alone_by_what_is_no_harm_of_a_frame(clip):
    for name, level in (("none", "none"), ("shift", 0.1), ("scale", 2), ("h264", 23)):
        np.testing.assert_array_equal(kinds.picture(clip[0], name, level, "v", 0), clip[0])


def test_grids_and_their_axes():
    full, few = kinds.grid(full=True), kinds.grid()
    assert set(few) < set(full)
    assert len(set(full)) == len(full)
    for kind in kinds.CORRUPTIONS.values():
        assert all(kinds.check(kind.name, level) == level for level in kind.levels)
        assert kind.stated in (kind.few or kind.levels)
        assert kind.words.format("7").count("7") == 1
    order = kinds.order
    assert order("jpeg", ["10", "90", "none", "50"]) == ["none", "90", "50", "10"]
    assert order("resize", ["0.25", "0.5"]) == ["none", "0.5", "0.25"]
    assert order("h264", ["38", "28"]) == ["none", "28", "38"]
    assert order("scale", ["1.25", "0.8", "2"]) == ["0.8", "none", "1.25", "2"]
    assert order("detection", ["exact", "fast"]) == ["none", "fast", "exact"]


def test_levels_from_a_command_line():
    parse = kinds.parse
    assert parse(["jpeg=50, 10", "blur=1.50"]) == [("jpeg", 50), ("jpeg", 10), ("blur", 1.5)]
    assert parse(["detection"]) == [("detection", "fast"), ("detection", "exact")]
    assert parse(["h264=23", "h264=23.0"]) == [("h264", 23)]
    assert kinds.key("blur", 1.5) == "blur=1.5"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("jpg=50", r"unknown corruption 'jpg'; did you mean 'jpeg'\? Valid: jpeg, h264"),
        ("none", "unknown corruption 'none'"),
        ("jpeg=0", r"jpeg=0: a level is a whole number from 1 to 100 \(quality of libjpeg\)"),
        ("jpeg=50.5", "jpeg=50.5: a level is a whole number"),
        ("h264=52", "h264=52: .* from 0 to 51"),
        ("blur=much", r"blur=much: a level is a number from 0.01 to 100 \(sigma in px"),
        ("noise=nan", "noise=nan"),
        ("scale=", "scale=: a level"),
        ("resize=1.5", "resize=1.5: .* from 0.01 to 1 "),
        ("detection=slow", "detection=slow: valid are fast, exact"),
    ],
)
def test_wrong_levels_are_named(text, said):
    with pytest.raises(ValueError, match=said):
        kinds.parse([text])
