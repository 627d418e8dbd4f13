"""Crops on disk: what NumPy reads back, and nothing at all when writing fails."""

import numpy as np
import pytest

from mcxlib.data.crops import storage


@pytest.mark.parametrize("n", [1, 3, 12])
def test_appended_crops_are_a_plain_npy_file(tmp_path, n):
    crops = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    path = tmp_path / "sub" / "v.npy"
    with storage.writing(path, 8) as append:
        # Views of another memory order, as frames cut out of a picture are.
        rows = [append(crop[:, ::-1][:, ::-1]) for crop in crops]
        assert not path.exists()
    assert rows == list(range(n))
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), crops)
    mapped = storage.open_crops(path)
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable


def test_a_failure_leaves_nothing(tmp_path):
    def write():
        with storage.writing(tmp_path / "v.npy", 8) as append:
            append(np.zeros((8, 8, 3), np.uint8))
            append(np.zeros((8, 8, 3)))

    with pytest.raises(ValueError, match=r"uint8 \(8, 8, 3\), not float64"):
        write()
    assert list(tmp_path.iterdir()) == []
