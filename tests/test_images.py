"""Images of every sort -> RGB: against arrays written and read back, and Pillow's own flips."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mcxlib.data.video import images
from mcxlib.data.video.images import UnreadableImage, read_image

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
        (tmp_path, "a folder, not a file"),
    ):
        with pytest.raises(UnreadableImage, match=named) as error:
            read_image(path)
        assert str(path) in str(error.value)


def test_huge_images_are_refused(tmp_path, monkeypatch):
    Image.new("RGB", (20, 30)).save(tmp_path / "h.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 599)
    with pytest.raises(UnreadableImage, match="20 x 30 pixels are more than the 599 allowed"):
        read_image(tmp_path / "h.png")


def test_pipes_are_named_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "p.png")  # opening it would wait for a writer
    with pytest.raises(UnreadableImage, match=r"p\.png: a named pipe, not a file"):
        read_image(tmp_path / "p.png")


PHOTO = (
    128 + 60 * np.sin(np.arange(160) / 9)[:, None, None] + RNG.normal(0, 25, (160, 96, 3))
).clip(0, 255)


def photo(path, **options):
    Image.fromarray(PHOTO.astype(np.uint8)).save(path, **options)
    with Image.open(path) as image:
        return path.read_bytes(), np.array(image.convert("RGB"))


@pytest.mark.parametrize(
    ("name", "options", "last"),
    [
        *(("a.jpg", {"quality": 90}, n) for n in (1, 2)),
        ("a.jpg", {"quality": 90, "subsampling": 0, "restart_marker_rows": 2}, 1),
        *(("a.png", {}, n) for n in (1, 4, 12, 16)),  # of the end's chunk, or also of a check sum
        ("a.png", {"compress_level": 0}, 16),
    ],
)
def test_a_picture_that_lacks_only_its_end_is_whole_and_says_so(tmp_path, name, options, last):
    data, pixels = photo(tmp_path / name, **options)
    (tmp_path / name).write_bytes(data[:-last])
    got, note = read_image(tmp_path / name)
    np.testing.assert_array_equal(got, pixels)
    assert note == "cut short: its end is missing, its rows are all there"


UNFILLED = bytes(3000)
"""What a download had reserved and not yet filled."""


@pytest.mark.parametrize(
    ("name", "options", "filler"),
    [
        ("a.jpg", {"quality": 90}, b""),
        ("a.jpg", {"quality": 90}, UNFILLED),
        ("a.jpg", {"quality": 90, "subsampling": 0}, b""),
        ("a.jpeg", {"quality": 30, "optimize": True}, UNFILLED),
        ("a.png", {}, b""),
        ("a.png", {"compress_level": 0}, b""),
    ],
)
def test_of_a_picture_cut_short_the_rows_that_are_there_come_and_no_others(
    tmp_path, name, options, filler
):
    data, pixels = photo(tmp_path / name, **options)
    path = tmp_path / name
    header = data.index(b"IDAT" if name.endswith("png") else b"\xff\xda")

    def keep(share):
        path.write_bytes(data[: header + int((len(data) - header) * share)] + filler)

    for share in (0.66, 0.8, 0.93):
        keep(share)
        got, note = read_image(path)
        rows = len(got)
        assert note == f"cut short: the first {rows} of 160 rows are there"
        np.testing.assert_array_equal(got, pixels[:rows])
        # Noise needs the same bytes in every row; JPEG's blocks have up to 16 rows, whose colours
        # reach into the row above.
        assert 160 * share - 24 < rows < 160 * share + 4
    for share in (0.02, 0.1, 0.45):
        keep(share)
        with pytest.raises(UnreadableImage, match=r"not a readable image"):
            read_image(path)
    with pytest.raises(UnreadableImage, match=r"cut short: the first \d\d of 160 rows are there"):
        read_image(path)


def test_a_picture_in_several_scans_is_not_read_in_part(tmp_path):
    """Each scan of a progressive JPEG covers the whole picture: of one cut, all is coarse."""
    path = tmp_path / "a.jpg"
    data, pixels = photo(path, progressive=True)
    path.write_bytes(data[:-1])
    got, note = read_image(path)
    np.testing.assert_array_equal(got, pixels)
    assert note == "cut short: a JPEG of several scans, of which some may be missing"
    for share in (0.3, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(UnreadableImage, match="several scans, of which one is not whole"):
            read_image(path)


def test_other_kinds_of_picture_cut_short_are_refused(tmp_path):
    for name in ("a.bmp", "a.tif", "a.webp"):
        data, _ = photo(tmp_path / name)
        (tmp_path / name).write_bytes(data[: len(data) * 9 // 10])
        with pytest.raises(UnreadableImage, match="not a readable image"):
            read_image(tmp_path / name)
    data, _ = photo(tmp_path / "a.png")
    header = bytearray(data)
    header[28] = 1  # interlaced, says its header
    header[29:33] = struct.pack(">I", zlib.crc32(bytes(header[12:29])))
    (tmp_path / "a.png").write_bytes(bytes(header[:-2000]))
    with pytest.raises(UnreadableImage, match="not a readable image"):
        read_image(tmp_path / "a.png")


def test_what_is_there_is_turned_and_converted_as_the_whole_would_be(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.jpg", "a.png"):
        data, pixels = photo(tmp_path / name, exif=exif)
        (tmp_path / name).write_bytes(data[: len(data) * 4 // 5])
        got, note = read_image(tmp_path / name)
        rows = got.shape[1]
        np.testing.assert_array_equal(got, np.rot90(pixels[:rows], -1))
        words = f"cut short: the first {rows} of 160 rows are there"
        assert note == f"EXIF orientation applied; {words}"
    palette = Image.fromarray(PHOTO.astype(np.uint8)).quantize(16)
    palette.save(tmp_path / "p.png", transparency=0, bits=4)
    with Image.open(tmp_path / "p.png") as image:
        rgba = np.array(image.convert("RGBA"))
    data = (tmp_path / "p.png").read_bytes()
    (tmp_path / "p.png").write_bytes(data[: len(data) * 3 // 4])
    got, note = read_image(tmp_path / "p.png")
    rows = len(got)
    expected = np.where(rgba[:rows, :, 3:] == 0, 0, rgba[:rows, :, :3])
    np.testing.assert_array_equal(got, expected)
    assert note.startswith("transparent pixels shown on black; cut short: the first ")


def test_bytes_after_the_end_are_no_matter(tmp_path):
    for name in ("a.jpg", "a.png"):
        data, pixels = photo(tmp_path / name)
        (tmp_path / name).write_bytes(data + b"camera maker's notes" * 9)
        got, note = read_image(tmp_path / name)
        np.testing.assert_array_equal(got, pixels)
        assert note == ""
