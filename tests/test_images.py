"""Images of every sort -> RGB: against arrays written and read back, and Pillow's own flips."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mcxlib.data import images
from mcxlib.data.images import UnreadableImage, read_image

RNG = np.random.default_rng(0)


def test_rgb_comes_back(tmp_path):
    array = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "ö x.png")
    got, note = read_image(tmp_path / "ö x.png")
    np.testing.assert_array_equal(got, array)
    assert note == ""


def test_greyscale(tmp_path):
    array = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "g.png")
    got, note = read_image(tmp_path / "g.png")
    np.testing.assert_array_equal(got, np.stack([array] * 3, axis=2))
    assert note == "greyscale"


def test_sixteen_bits_keep_their_brightness(tmp_path):
    array = RNG.integers(0, 65536, (5, 7)).astype(np.uint16)
    Image.fromarray(array).save(tmp_path / "d.png")
    got, note = read_image(tmp_path / "d.png")
    expected = array.astype(np.float64) * 255 / 65535
    assert np.abs(got[..., 0] - expected).max() <= 0.5
    assert "16 bits reduced to 8" in note
    # A dark picture is not taken for one of 8 bits.
    Image.fromarray(np.full((4, 4), 200, np.uint16)).save(tmp_path / "dark.png")
    assert read_image(tmp_path / "dark.png")[0].max() == 1


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_sixteen_bit_colour_keeps_its_brightness(tmp_path):
    """Pillow cannot write it, so the file is put together by hand."""
    array = RNG.integers(0, 65536, (5, 7, 3))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", 7, 5, 16, 2, 0, 0, 0)
    (tmp_path / "c.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    got, note = read_image(tmp_path / "c.png")
    assert np.abs(got - array * 255 / 65535).max() < 1
    assert note == "16 bits reduced to 8"


def test_alpha(tmp_path):
    array = RNG.integers(0, 256, (4, 4, 4), dtype=np.uint8)
    array[..., 3] = 255
    Image.fromarray(array).save(tmp_path / "opaque.png")
    got, note = read_image(tmp_path / "opaque.png")
    np.testing.assert_array_equal(got, array[..., :3])
    assert note == "opaque alpha channel dropped"
    array[:2, :, 3] = 0
    array[2, :, 3] = 128
    Image.fromarray(array).save(tmp_path / "a.png")
    got, note = read_image(tmp_path / "a.png")
    expected = array[..., :3].astype(float) * array[..., 3:] / 255
    assert np.abs(got - expected).max() <= 1
    assert note == "transparent pixels shown on black"


@pytest.mark.parametrize(
    ("tag", "turn"),
    [
        (3, lambda a: np.rot90(a, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (8, lambda a: np.rot90(a, 1)),
        (2, lambda a: a[:, ::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
    ],
)
def test_exif_orientation(tmp_path, tag, turn):
    array = RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.fromarray(array).save(tmp_path / "e.png", exif=exif)
    got, note = read_image(tmp_path / "e.png")
    np.testing.assert_array_equal(got, turn(array))
    assert note == "EXIF orientation applied"


def test_palette_and_cmyk(tmp_path):
    array = np.zeros((4, 4, 3), np.uint8)
    array[:2] = (255, 0, 0)
    Image.fromarray(array).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_image(tmp_path / "p.png")[0], array)
    Image.fromarray(array).convert("CMYK").save(tmp_path / "c.jpg", quality=100)
    got, note = read_image(tmp_path / "c.jpg")
    assert np.abs(got.astype(int) - array).max() < 8
    assert note == "converted from CMYK"


def test_bad_files_are_named(tmp_path):
    whole = tmp_path / "w.png"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole)
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:2000])
    empty = tmp_path / "empty.jpg"
    empty.write_bytes(b"")
    other = tmp_path / "text.png"
    other.write_text("no picture")
    for path, named in (
        (cut, "not a readable image"),
        (empty, "0 bytes"),
        (other, "not a readable image"),
        (tmp_path / "gone.png", "no such file"),
    ):
        with pytest.raises(UnreadableImage, match=named) as error:
            read_image(path)
        assert str(path) in str(error.value)


def test_huge_images_are_refused(tmp_path, monkeypatch):
    Image.new("RGB", (20, 30)).save(tmp_path / "h.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 599)
    with pytest.raises(UnreadableImage, match="20 x 30 pixels are more than the 599 allowed"):
        read_image(tmp_path / "h.png")
