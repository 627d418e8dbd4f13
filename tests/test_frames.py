"""Crops -> tensors: exact pixels, augmentation that depends on nothing but its seed."""

import os
import pickle
import signal

import numpy as np
import pandas as pd
import pytest
import torch

from mcxlib.data.crops.dataset import CropDataset, loader, to_float
from mcxlib.data.crops.rows import MANIFEST_COLUMNS, fingerprint, join


def stored(rows, folder, i):
    return np.load(folder / rows.loc[i, "file"])[rows.loc[i, "row"]]


def test_test_images_are_the_central_part(crop_tables):
    rows, folder = crop_tables
    images, labels = CropDataset(rows, folder, 32).__getitems__([7, 0])
    assert images.dtype == torch.uint8
    assert images.shape == (2, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    for image, i in zip(images, (7, 0), strict=True):
        expected = stored(rows, folder, i)[4:36, 4:36]
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), expected)
    assert labels.tolist() == rows.loc[[7, 0], "class_index"].tolist()


def test_training_images_are_parts_of_the_crop_or_its_mirror(crop_tables):
    rows, folder = crop_tables
    dataset = CropDataset(rows, folder, 32, augment=True, seed=3)
    seen = set()
    for epoch in range(30):
        dataset.epoch = epoch
        image = dataset.__getitems__([5])[0][0].permute(1, 2, 0).numpy()
        crop = stored(rows, folder, 5)
        hits = [
            (top, left, flip)
            for flip in (False, True)
            for top in range(9)
            for left in range(9)
            if np.array_equal(
                image, crop[top : top + 32, left : left + 32][:, :: -1 if flip else 1]
            )
        ]
        assert len(hits) == 1
        seen.add(hits[0])
    assert len({s[0] for s in seen}) > 4
    assert {s[2] for s in seen} == {False, True}


def test_augmentation_ignores_batching_and_workers(crop_tables):
    rows, folder = crop_tables
    dataset = CropDataset(rows, folder, 32, augment=True, seed=3)
    order = [list(range(i, min(i + 16, len(rows)))) for i in range(0, len(rows), 16)]
    plain = torch.cat([x for x, _ in loader(dataset, order)])
    worked = torch.cat([x for x, _ in loader(dataset, order, workers=2)])
    single = torch.cat([dataset.__getitems__([i])[0] for i in range(len(rows))])
    assert torch.equal(plain, worked)
    assert torch.equal(plain, single)
    copied = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copied.__getitems__([3])[0], dataset.__getitems__([3])[0])


def test_to_float_keeps_values_and_memory_order():
    x = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).reshape(2, 3, 4, 4)
    x = x.to(memory_format=torch.channels_last)
    y = to_float(x, torch.device("cpu"))
    assert y.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(y.numpy(), x.numpy().astype(np.float64) / 255, rtol=1e-6)


def test_too_small_crops_are_named(crop_tables):
    rows, folder = crop_tables
    with pytest.raises(ValueError, match=r"crops of 40 px are smaller than the input of 64 px"):
        CropDataset(rows, folder, 64).__getitems__([0])


def test_join_keeps_faces_only_and_names_empty_splits():
    crops = pd.DataFrame(
        {
            "dataset": "d",
            "video_id": ["a", "a", "b"],
            "frame_index": [0, 1, 0],
            "status": ["ok", "no_face", "ok"],
        }
    )
    manifest = pd.DataFrame(
        {
            "dataset": "d",
            "video_id": ["a", "b"],
            "split": ["train", "test"],
            "is_fake": [False, True],
            "manipulation": ["real", "lips"],
            "target_id": ["1", "2"],
            "donor_id": ["", "1"],
        }
    )
    rows = join(crops, manifest)
    assert rows["class_index"].tolist() == [0, -1]
    assert list(rows)[-6:] == [*MANIFEST_COLUMNS, "class_index"]
    assert join(crops, manifest, split="test")["video_id"].tolist() == ["b"]
    with pytest.raises(ValueError, match=r"'val'.*train"):
        join(crops, manifest, split="val")


def test_join_numbers_the_classes_it_is_given():
    names = ["real", "DF", "F2F", "FS", "NT", "lips"]
    crops = pd.DataFrame({"dataset": "d", "video_id": names, "frame_index": 0, "status": "ok"})
    manifest = pd.DataFrame(
        {
            "dataset": "d",
            "video_id": names[::-1],
            "split": "test",
            "is_fake": [name != "real" for name in names[::-1]],
            "manipulation": names[::-1],
            "target_id": "",
            "donor_id": "",
            "source": [f"from {name}" for name in names[::-1]],
            "synthetic": True,
            "bytes": 7,
        }
    )

    def numbers(*classes):
        return join(crops, manifest, *classes)["class_index"].tolist()

    assert numbers() == [0, 1, 2, 3, 4, -1]
    assert numbers(("real", "fake")) == numbers(["real", "fake"]) == [0, 1, 1, 1, 1, 1]
    assert numbers(("NT", "real")) == [1, -1, -1, -1, 0, -1]
    rows = join(crops, manifest)
    assert rows["source"].tolist() == [f"from {name}" for name in names]
    assert rows["synthetic"].all()
    assert "content" not in rows
    assert "bytes" not in rows


def test_fingerprint_is_what_finished_runs_have_stored():
    """The digests are of the code that first stored them."""
    rows = pd.DataFrame(
        {
            "dataset": "d",
            "video_id": ["b", "a", "a"],
            "frame_index": [0, 3, 0],
            "face": [0, 0, 1],
            "split": ["test", "train", "train"],
            "class_index": [-1, 2, 0],
            "x1": [0.004, 10.126, 3.0],
            "y1": [1.0, 2.0, 3.5],
            "x2": [30.25, 40.0, 50.0],
            "y2": [31.0, 42.0, 51.999],
            "status": "ok",
            "synthetic": True,
        }
    )
    stored = "feadc6221db9952136b18ce99538111b40dc1546500170c533814ac7fb0b9079"
    assert fingerprint(rows) == stored
    before_faces_were_counted = "1be9c42fc15fb956a58e83d389324a4eb4e92962fa076849a7c5e5337179d087"
    assert fingerprint(rows.drop(columns="face")) == before_faces_were_counted


def test_fingerprint_sees_labels_and_not_row_order(crop_tables):
    rows, _ = crop_tables
    shuffled = rows.sample(frac=1, random_state=0)
    assert fingerprint(rows) == fingerprint(shuffled)
    changed = rows.copy()
    changed.loc[3, "class_index"] = 4
    assert fingerprint(rows) != fingerprint(changed)


def test_fingerprint_tells_faces_of_a_frame_apart(crop_tables):
    rows, _ = crop_tables
    two = pd.concat([rows.assign(face=0), rows.assign(face=1, x1=5.0)], ignore_index=True)
    shuffled = two.sample(frac=1, random_state=0)
    assert fingerprint(two) == fingerprint(shuffled)
    swapped = two.assign(face=1 - two["face"])
    assert fingerprint(two) != fingerprint(swapped)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_leaves_the_workers_at_work(crop_tables, number):
    """A terminal or a scheduler sends it to workers too; the main process decides what it means."""
    rows, folder = crop_tables
    order = [list(range(i, min(i + 8, len(rows)))) for i in range(0, len(rows), 8)]
    batches = iter(loader(CropDataset(rows, folder, 32), order, workers=1))
    seen = [next(batches)[1]]
    os.kill(batches._workers[0].pid, number)
    seen.extend(labels for _, labels in batches)
    assert torch.cat(seen).tolist() == rows["class_index"].tolist()
