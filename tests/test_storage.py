"""Crops on disk: what NumPy reads back, and nothing at all when writing fails."""

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pytest

from mcxlib.data.crops import storage


def stored(path, n):
    """``n`` random crops, as they are given to a new file ``path``."""
    crops = np.random.default_rng(n).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    with storage.writing(path, 8) as append:
        # Views of another memory order, as frames cut out of a picture are.
        rows = [append(crop[:, ::-1][:, ::-1]) for crop in crops]
        assert not path.exists()
    assert rows == list(range(n))
    return crops


@pytest.mark.parametrize("n", [1, 3, 12])
def test_appended_crops_are_a_plain_npy_file(tmp_path, n):
    path = tmp_path / "sub" / "v.npy"
    crops = stored(path, n)
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), crops)
    mapped = storage.open_crops(path)
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable


@pytest.mark.parametrize("n", [1, 3, 12])
def test_compressed_crops_are_an_arrow_file_of_differences(tmp_path, n):
    path = tmp_path / "sub" / "v.arrow"
    crops = stored(path, n)
    # Read by another program, which knows Feather files and that rows are summed modulo 256.
    read = pa.feather.read_table(path)["differences"].to_numpy().reshape(n, 8, 8, 3).astype(int)
    np.testing.assert_array_equal(read.cumsum(axis=1) % 256, crops)
    opened = storage.open_crops(path)
    assert opened.shape == (n, 8, 8, 3)
    assert len(opened) == n
    np.testing.assert_array_equal(opened[n - 1], crops[-1])
    np.testing.assert_array_equal(opened[-n], crops[0])
    for row in (n, -n - 1):
        with pytest.raises(IndexError, match=f"row {row} of {n} crops"):
            opened[row]


def test_compressed_crops_take_less_room(tmp_path):
    ramp = np.add.outer(np.arange(256), np.arange(256))[..., None].repeat(3, axis=2) % 256
    for path in (tmp_path / "v.npy", tmp_path / "v.arrow"):
        with storage.writing(path, 256) as append:
            append(ramp.astype(np.uint8))
    assert (tmp_path / "v.arrow").stat().st_size < (tmp_path / "v.npy").stat().st_size / 20


def test_what_is_no_file_of_crops_is_refused_by_name(tmp_path):
    (tmp_path / "v.arrow").write_bytes(b"ARROW1 no more")
    with pytest.raises(ValueError, match=r"v\.arrow holds no crops"):
        storage.open_crops(tmp_path / "v.arrow")
    foreign = pa.table({"differences": [1, 2]})
    pa.feather.write_feather(foreign, tmp_path / "v.arrow")
    with pytest.raises(ValueError, match="format unknown, and this program reads 1"):
        storage.open_crops(tmp_path / "v.arrow")
    about = {"mcxlib.crops": "2", "size": "8"}
    pa.feather.write_feather(foreign.replace_schema_metadata(about), tmp_path / "v.arrow")
    with pytest.raises(ValueError, match="format 2, and this program reads 1"):
        storage.open_crops(tmp_path / "v.arrow")


@pytest.mark.parametrize("suffix", ["npy", "arrow"])
def test_a_failure_leaves_nothing(tmp_path, suffix):
    def write():
        with storage.writing(tmp_path / f"v.{suffix}", 8) as append:
            append(np.zeros((8, 8, 3), np.uint8))
            append(np.zeros((8, 8, 3)))

    with pytest.raises(ValueError, match=r"uint8 \(8, 8, 3\), not float64"):
        write()
    assert list(tmp_path.iterdir()) == []
