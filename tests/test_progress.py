"""Files of training: two states are kept, a damaged one is passed over, a full disk harms none."""

import resource
from contextlib import contextmanager

import pytest
import torch

from mcxlib import CLASSES, weights
from mcxlib.config import load
from mcxlib.engine import progress
from mcxlib.files import OutOfSpace, replacing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_two_states_are_kept(tmp_path):
    for step in (3, 7, 12):
        progress.save_state(tmp_path, step, {"step": step, "weights": torch.arange(4.0)})
    assert names(tmp_path) == [
        "step-00000007.pt",
        "step-00000007.sha256",
        "step-00000012.pt",
        "step-00000012.sha256",
    ]
    state = progress.latest_state(tmp_path)
    assert state["step"] == 12
    assert torch.equal(state["weights"], torch.arange(4.0))


def test_a_damaged_state_is_passed_over_and_not_kept_in_place_of_a_good_one(tmp_path):
    for step in (10, 20):
        progress.save_state(tmp_path, step, {"step": step})
    path = tmp_path / "step-00000020.pt"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="step-00000020.pt is damaged"):
        assert progress.latest_state(tmp_path)["step"] == 10
    progress.save_state(tmp_path, 11, {"step": 11})
    assert [n for n in names(tmp_path) if n.endswith(".pt")] == [
        "step-00000010.pt",
        "step-00000011.pt",
    ]
    (tmp_path / "step-00000011.sha256").unlink()
    with pytest.warns(UserWarning, match="step-00000011.pt is damaged"):
        assert progress.latest_state(tmp_path)["step"] == 10


@contextmanager
def limited_files(size):
    """The system refuses to let any file grow beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_finds_no_room_leaves_the_old_ones(tmp_path):
    """A true refusal by the system, by way of its limit on a file's size."""
    config = load("test")
    torch.manual_seed(0)
    model = weights.build(config)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    file = tmp_path / "weights.safetensors"
    card = weights.Card(
        detector="mcx-api", label=config.label, classes=CLASSES, config=config.stored()
    )
    progress.save_state(tmp_path, 1, {"weights": torch.arange(1000)})
    weights.save(file, model, card)
    torch.nn.init.zeros_(model.classifier.weight)
    for name, write in (
        ("step-00000002.pt", lambda: progress.save_state(tmp_path, 2, {"w": torch.ones(10**6)})),
        ("weights.safetensors", lambda: weights.save(file, model, card)),
    ):
        begin = (
            f"^{name} could not be written into {tmp_path}: File too large .*GiB free.*Make room"
        )
        with pytest.raises(OutOfSpace, match=begin), limited_files(100_000):
            write()
    assert names(tmp_path) == ["step-00000001.pt", "step-00000001.sha256", "weights.safetensors"]
    assert torch.equal(progress.latest_state(tmp_path)["weights"], torch.arange(1000))
    stored, trained, _ = weights.load(file)
    assert trained == config
    assert all(torch.equal(v, before[k]) for k, v in stored.state_dict().items())


def test_other_errors_of_the_system_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), replacing(tmp_path / "a"):
        raise PermissionError(13, "Permission denied")
    with pytest.raises(OutOfSpace, match="Disk quota exceeded"), replacing(tmp_path / "a"):
        raise OSError(122, "Disk quota exceeded")
    assert names(tmp_path) == []
