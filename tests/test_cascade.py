"""MTCNN's cascade against facenet-pytorch's own, and its averages against torch's pooling."""

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN

from mcxlib.data.faces.cascade import Areas, Cascade
from mcxlib.synthetic import render_person

MIN_FACE = 20


@pytest.fixture(scope="module")
def mtcnn():
    return MTCNN(keep_all=True, min_face_size=MIN_FACE)


def pooled(part: np.ndarray, height: int, width: int) -> np.ndarray:
    """torch's adaptive average pooling, in float64."""
    planes = torch.from_numpy(part.astype(np.float64)).permute(2, 0, 1)
    return torch.nn.functional.adaptive_avg_pool2d(planes, (height, width)).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("table", ["32 bits", "64 bits"])
@pytest.mark.parametrize("shape", [(48, 64), (37, 101), (200, 31)])
@pytest.mark.parametrize("size", [(7, 5), (24, 24), (60, 90)])
def test_averages_are_those_of_adaptive_pooling(shape, size, table, monkeypatch):
    if table == "64 bits":
        monkeypatch.setattr("mcxlib.data.faces.cascade._EXACT_IN_INT32", 0)
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    areas = Areas(frame)
    assert areas.sums.dtype == (np.float64 if table == "64 bits" else np.int32)
    np.testing.assert_allclose(areas.whole(*size), pooled(frame, *size), rtol=1e-6)
    boxes = np.array([[0, 0, shape[1], shape[0]], [3, 5, 9, 6], [10, 2, 11, 30], [1, 1, 30, 31]])
    expected = [pooled(frame[y1:y2, x1:x2], 24, 24) for x1, y1, x2, y2 in boxes]
    np.testing.assert_allclose(areas.parts(boxes, 24), expected, rtol=1e-6)


def _frame(kind: str) -> np.ndarray:
    frame = render_person((11,), 320, 240, 1)[0]
    if kind == "cut off by the edge":
        return np.ascontiguousarray(frame[:, 120:])
    if kind == "two faces":
        other = render_person((12,), 320, 240, 1)[0]
        return np.concatenate([frame, other], axis=1)
    if kind == "odd size":
        return np.ascontiguousarray(frame[3:, :301])
    return frame


@pytest.mark.parametrize("kind", ["plain", "cut off by the edge", "two faces", "odd size"])
def test_whole_cascade_gives_the_librarys_boxes(kind, mtcnn):
    frame = _frame(kind)
    expected, probabilities = (v.astype(float) for v in mtcnn.detect(frame))
    found = Cascade(mtcnn, MIN_FACE)(frame)
    assert len(found.boxes) == len(expected) >= (2 if kind == "two faces" else 1)
    order, wanted = (np.lexsort(np.round(b, 1).T) for b in (found.boxes, expected))
    np.testing.assert_allclose(found.boxes[order], expected[wanted], atol=0.02)
    np.testing.assert_allclose(found.probabilities[order], probabilities[wanted], atol=1e-4)


def test_levels_are_left_out_from_the_smallest_faces_on(mtcnn):
    cascade = Cascade(mtcnn, MIN_FACE)
    # Hand-worked: 240 px at 12/20 are 144; times 0.709 each, eight levels have at least 12 px.
    scales = cascade.scales(240, 320)
    np.testing.assert_allclose(scales, 0.6 * 0.709 ** np.arange(8))
    assert 240 * scales[-1] >= 12 > 240 * scales[-1] * 0.709
    frame = _frame("plain")
    whole, part = cascade(frame), cascade(frame, 3)
    largest = np.argmax((whole.boxes[:, 2:] - whole.boxes[:, :2]).prod(1))
    np.testing.assert_allclose(part.boxes[0], whole.boxes[largest], atol=2)
    assert len(cascade(frame, 8).boxes) == 0  # nothing is left to look at


@pytest.mark.parametrize("shape", [(8, 8), (12, 400), (240, 320)])
def test_frames_without_a_face_or_too_small_for_one(shape, mtcnn):
    found = Cascade(mtcnn, MIN_FACE)(np.full((*shape, 3), 90, np.uint8))
    assert found.boxes.shape == (0, 4)
    assert found.probabilities.shape == (0,)
