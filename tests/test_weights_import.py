"""Other people's weights: each network is built here from its description, saved in its own
format, imported, and has to give the same numbers."""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import pickle
import re
import warnings
import zipfile

import numpy as np
import pytest
import torch
from media import write_video
from peers import DeepFakeClassifier, KerasMeso, ReleasedMCX, Xception, randomise, settled
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner

from mcxlib import CLASSES, weights
from mcxlib.answer.judge import Judge, Options, judge
from mcxlib.cli import app
from mcxlib.config import load
from mcxlib.data.faces.crop import crop_face
from mcxlib.detectors import backbones, build
from mcxlib.synthetic import render_person
from mcxlib.weights import known
from mcxlib.weights.importing import import_weights
from mcxlib.weights.layouts import LAYOUTS

IMAGENET = (torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225]))
HALF = (torch.tensor([0.5] * 3), torch.tensor([0.5] * 3))


def faces(count: int, side: int, seed: int = 0) -> torch.Tensor:
    """Blurry noise of several sizes, unlike in its three channels."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, 3, side, side)
    for cells in (4, 16, side // 2):
        noise = torch.rand(count, 3, cells, cells, generator=generator)
        total += nn.functional.interpolate(noise, (side, side), mode="bilinear")
    total /= 3
    return total * torch.tensor([1.0, 0.8, 0.6]).view(1, 3, 1, 1)


def normalised(images: torch.Tensor, statistics: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    mean, std = (value.view(1, 3, 1, 1) for value in statistics)
    return (images - mean) / std


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """To 1e-4 of the logits' size, which differ between images."""
    assert (expected[0] - expected[-1]).abs().max() > 1e-2, "the images have to matter"
    scale = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(found / scale, expected / scale, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def released():
    return randomise(ReleasedMCX(), 1)


@pytest.fixture(scope="module")
def xception():
    return randomise(Xception(2), 2)


def prefixed(network: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in network.state_dict().items()}


@torch.no_grad()
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_mcx_api_as_released(tmp_path, released, legacy):
    file = tmp_path / "model_best.pth.tar"
    stored = {
        "epoch": 7,
        "state_dict": released.state_dict(),
        "best_prec1": np.float64(98.4),
        "optimizer_conv": {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": []},
        "optimizer_fc": {"state": {}, "param_groups": [{"lr": 0.01}]},
    }
    torch.save(stored, file, _use_new_zipfile_serialization=not legacy)
    if legacy:  # as NumPy 1 called the function that makes its scalars
        content = file.read_bytes()
        assert b"numpy._core.multiarray" in content
        file.write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    made = import_weights(file)
    assert made.path == tmp_path / "model_best.safetensors"
    assert made.dropped == ("conv_reduce.weight", "conv_reduce.bias")
    model, config, card = weights.load(weights.find(made.path))
    assert (card.detector, card.classes, card.input["size"]) == (
        *("mcx-api-released", CLASSES),
        448,
    )
    if legacy:  # the numbers once are enough
        return
    images = faces(2, 448)
    logits = model(images)
    expected = released(normalised(images, IMAGENET))
    assert_close(logits, expected)
    score = 1 - expected.double().softmax(1)[:, 0]
    np.testing.assert_allclose(model.fake_score(logits), score, atol=1e-4)
    for name in ("map1", "map2"):
        assert torch.equal(getattr(model, name).weight, getattr(released, name).weight)
    with pytest.raises(ValueError, match="448 x 448 pixels, not 96 x 96"):
        model(faces(1, 96))
    # With the ReLUs in place, or colours the other way round, the same weights say other things.
    small = faces(2, 96)
    others = {
        name: build(name, **more).eval()
        for name, more in (
            ("mcx-api", {}),
            ("mcx-api-released", {"colour_order": "bgr", "side": 0}),
        )
    }
    for other in others.values():
        other.load_state_dict(model.state_dict())
    model.settings = model.settings.model_copy(update={"side": 0})
    logits = model(small)
    assert (others["mcx-api"](small) - logits).abs().max() > 1e-2
    assert (others["mcx-api-released"](small) - logits).abs().max() > 1e-2
    torch.testing.assert_close(others["mcx-api-released"](small.flip(1)), logits)
    # What the card says
    assert card.imported["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert card.imported["bytes"] == file.stat().st_size
    assert "xuyingzhongguo/MCX-API" in card.imported["published"]
    assert card.imported["licence"] == "not stated"
    assert card.validation["threshold"] == 0.5
    assert "convention" in card.validation["threshold_from"]
    assert "auc" not in card.validation
    contract = card.crop_contract
    assert (contract["crop_rule"], contract["crop_size"]) == ("authors", 512)
    assert config.data.crop_rule == "authors"


@torch.no_grad()
def test_deepfakebench(tmp_path, xception):
    """Its extra layer is named and dropped; pointwise convolutions may be matrices."""
    state = prefixed(xception, "module.backbone.")
    for name in [name for name in state if "block2" in name and "pointwise" in name]:
        state[name] = state[name][:, :, 0, 0]
    state["module.backbone.adjust_channel.0.weight"] = torch.zeros(512, 2048, 1, 1)
    state["module.backbone.adjust_channel.0.bias"] = torch.zeros(512)
    torch.save(state, tmp_path / "xception_best.pth")
    made = import_weights(tmp_path / "xception_best.pth")
    assert made.layout.name == "deepfakebench-xception"
    assert made.dropped == (
        "backbone.adjust_channel.0.weight",
        "backbone.adjust_channel.0.bias",
    )
    model, config, card = weights.load(made.path)
    images = faces(2, 128)
    logits = model(images)
    expected = xception(normalised(images, HALF))
    assert_close(logits, expected)
    np.testing.assert_allclose(model.fake_score(logits), expected.softmax(1)[:, 1], atol=1e-4)
    assert model.class_probabilities(logits).shape == (2, 2)
    assert (card.classes, card.input["size"]) == (("real", "fake"), 256)
    assert card.imported["licence"] == "CC BY-NC 4.0"
    assert card.crop_contract["aligned"] == "by 81 landmarks"
    assert config.model.normalisation == "half"


@torch.no_grad()
@pytest.mark.parametrize("prefix", ["model.", ""])
def test_faceforensics(tmp_path, xception, prefix):
    torch.save(prefixed(xception, prefix), tmp_path / "c23.pth")
    made = import_weights(tmp_path / "c23.pth")
    assert made.layout.name == "faceforensics-xception"
    model, _, card = weights.load(made.path)
    assert (card.input["size"], card.trained_on["synthetic"]) == (299, False)
    if prefix:
        images = faces(2, 299)
        assert_close(model(images), xception(normalised(images, HALF)))


@torch.no_grad()
@pytest.mark.parametrize("head", ["fc", "last_linear"])
def test_imagenet_weights_are_a_backbone(tmp_path, head):
    donor = randomise(Xception(1000, head), 3)
    if head == "fc":
        torch.save(donor.state_dict(), tmp_path / "xception.pth")
        made = import_weights(tmp_path / "xception.pth")
        assert made.path == tmp_path / "xception.safetensors"
    else:
        state = {k: v.contiguous() for k, v in donor.state_dict().items()}
        save_file(state, tmp_path / "xception.safetensors")
        made = import_weights(tmp_path / "xception.safetensors")
        assert made.path == tmp_path / "xception.imported.safetensors"
    assert set(made.dropped) == {f"{head}.weight", f"{head}.bias"}
    with pytest.raises(
        ValueError, match=r"is a backbone, not a detector; train with it: mcx train"
    ):
        weights.find(made.path)
    if head == "fc":  # the numbers once are enough
        images = faces(2, 96)
        found = backbones.create("legacy_xception", 3, made.path).eval()(images)
        assert_close(found, donor.pooled(images))
        config = load("paper", pretrained=str(made.path))
        model = weights.build(config).eval()
        expected = donor.pooled(normalised(images, IMAGENET))
        assert_close(model.features(images), expected)


@torch.no_grad()
@pytest.mark.parametrize(
    ("inception", "first", "name"),
    [(False, 1, "Meso4_DF.h5"), (True, 0, "MesoInception_F2F"), (True, 37, "MesoInception_DF.h5")],
)
def test_mesonet(tmp_path, inception, first, name):
    """Against NumPy in float64, height-width-channels as Keras; its output is p(real)."""
    peer = KerasMeso(inception, seed=first, first=first)
    peer.save(tmp_path / name, whole_model=first == 37)
    made = import_weights(tmp_path / name)
    model, config, card = weights.load(made.path)
    images = faces(2, 256)
    expected = 1 - peer(images.permute(0, 2, 3, 1).numpy())
    assert abs(expected[0] - expected[1]) > 1e-3
    np.testing.assert_allclose(model.fake_score(model(images)), expected, atol=1e-5)
    assert config.model.variant == ("mesoinception4" if inception else "meso4")
    assert card.imported["licence"] == "Apache-2.0"
    wanted = "MesoNet's own Deepfakes" if "DF" in name else "FaceForensics (Face2Face)"
    assert card.trained_on["dataset"] == wanted


@torch.no_grad()
def test_seferbekov(tmp_path):
    """Half precision, as published; at a small size, which the network does not mind."""
    images = faces(2, 75)
    peer = settled(randomise(DeepFakeClassifier(), 4), normalised(images, IMAGENET)).half().float()
    state = {
        f"module.{k}": v.half() if v.is_floating_point() else v
        for k, v in peer.state_dict().items()
    }
    name = "final_111_DeepFakeClassifier_tf_efficientnet_b7_ns_0_36"
    torch.save({"epoch": 36, "state_dict": state, "bce_best": 0.2}, tmp_path / name)
    made = import_weights(tmp_path / name)
    assert made.path.name == f"{name}.safetensors"
    assert made.dropped == ("encoder.classifier.weight", "encoder.classifier.bias")
    model, config, card = weights.load(made.path)
    assert (config.model.side, card.trained_on["dataset"]) == (380, "DFDC")
    model.settings = model.settings.model_copy(update={"side": 0})
    logits = model(images)
    expected = peer(normalised(images, IMAGENET))
    assert_close(logits, expected)
    np.testing.assert_allclose(model.fake_score(logits), expected[:, 0].sigmoid(), atol=1e-4)


# -- what they are for ----------------------------------------------------------------------------


def judged(path, tmp_path):
    """The answer about a rendered clip by imported weights."""
    clip = tmp_path / "clip.mp4"
    write_video(clip, 5, (160, 120), frames=render_person((5,), 160, 120, 5))
    return judge(clip, path, Options(max_frames=4)).answer


def test_weights_of_faces_cut_otherwise_judge_and_say_so(tmp_path, xception):
    """Aligned by landmarks, or found by another detector: cut as near to it as there is a way."""
    torch.save(prefixed(xception, "backbone."), tmp_path / "xception_best.pth")
    torch.save(xception.state_dict(), tmp_path / "c23.pth")
    KerasMeso(False, seed=1, first=1).save(tmp_path / "Meso4_DF.h5", whole_model=False)
    for name, words in (
        ("xception_best.pth", "aligned: by 81 landmarks"),
        ("c23.pth", "tracker"),
        ("Meso4_DF.h5", "not known: detection, min probability, loose factor), here by MTCNN with"),
    ):
        answer = judged(import_weights(tmp_path / name).path, tmp_path)
        assert answer.verdict, answer.reason
        (said,) = (line for line in answer.limitations if "cut otherwise" in line)
        assert words in said
        assert not answer.weights.synthetic


def test_seferbekovs_weights_get_his_faces(tmp_path):
    """A box 60 x 90 becomes 100 x 150 of the frame, between black borders of 63 of 380 px."""
    torch.save(prefixed(DeepFakeClassifier(), "module."), tmp_path / "final_36")
    path = import_weights(tmp_path / "final_36").path
    frame = np.full((400, 400, 3), 200, np.uint8)
    judges = Judge(path)
    try:
        contract = judges.contract
        assert (contract["crop_rule"], contract["crop_size"]) == ("seferbekov", 380)
        crop = crop_face(frame, (150.0, 100.0, 210.0, 190.0), contract["crop_rule"], 380)
        columns = (crop > 0).all(axis=(0, 2))
        assert columns.sum() == 100 * 380 // 150
        assert columns.argmax() == (380 - 253) // 2
        assert (crop > 0).any(axis=(1, 2)).all()
    finally:
        judges.__exit__()


# -- what is refused ------------------------------------------------------------------------------


class Payload:
    """Creates a file when it is unpickled by a reader that runs code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "beside weights"])
def test_code_in_a_pickle_is_named_and_not_run(tmp_path, legacy, inside):
    ran = tmp_path / "ran"
    value = {"state_dict": {"fc.weight": torch.zeros(2)}, "args": Payload(ran)}
    file = tmp_path / "evil.pth"
    torch.save(value if inside else Payload(ran), file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        ValueError, match=r"evil\.pth would call (posix|nt)\.mkdir .*othing of it was run"
    ):
        import_weights(file)
    assert not ran.exists()
    # The payload is one: Python's own reader runs it.
    pickle.loads(pickle.dumps(Payload(ran)))
    assert ran.exists()


def test_code_in_a_bare_pickle_is_not_run(tmp_path):
    ran = tmp_path / "ran"
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Payload(ran)))
    with pytest.raises(ValueError, match=r"evil\.pkl.* run"):
        import_weights(tmp_path / "evil.pkl")
    assert not ran.exists()


def test_a_whole_network_is_refused_with_what_to_do(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "full_c23.p")
    with pytest.raises(
        ValueError, match=r"whole pickled object \(torch\.nn\.modules\.linear\.Linear\).*state_dict"
    ):
        import_weights(tmp_path / "full_c23.p")
    value = {"state_dict": {}, "args": argparse.Namespace(lr=1)}
    torch.save(value, tmp_path / "args.pth")
    with pytest.raises(ValueError, match=r"whole pickled object \(argparse\.Namespace\)"):
        import_weights(tmp_path / "args.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "s.pt")
    with pytest.raises(ValueError, match=r"s\.pt is a TorchScript program, not weights"):
        import_weights(tmp_path / "s.pt")


@pytest.mark.parametrize("content", [b"", b"hello, these are no weights", b"\x89HDF\r\n\x1a\nxx"])
def test_what_is_no_checkpoint_is_said(tmp_path, content):
    file = tmp_path / "file.pth"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"file\.pth is (not a checkpoint|a damaged HDF5)"):
        import_weights(file)


def test_other_things_that_are_no_state_dict(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*nothing"):
        import_weights(tmp_path / "nothing.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="no state dict but a list"):
        import_weights(tmp_path / "list.pth")
    torch.save({"state_dict": {"a": torch.zeros(1), "epoch": 3}}, tmp_path / "mixed.pth")
    with pytest.raises(ValueError, match="there is none at epoch"):
        import_weights(tmp_path / "mixed.pth")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(ValueError, match=r"photos\.zip is not a checkpoint"):
        import_weights(tmp_path / "photos.zip")
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1000)}, buffer)
    (tmp_path / "half.pth").write_bytes(buffer.getvalue()[:2000])
    with pytest.raises(ValueError, match=r"half\.pth is not a checkpoint.*complete"):
        import_weights(tmp_path / "half.pth")


def test_keys_are_checked_one_by_one(tmp_path, xception):
    state = prefixed(xception, "backbone.")
    del state["backbone.block3.skip.weight"]
    state["backbone.attention.weight"] = torch.zeros(3)
    state["backbone.conv2.weight"] = torch.zeros(64, 32, 5, 5)
    state["backbone.bn2.bias"] = torch.full((64,), torch.nan)
    torch.save(state, tmp_path / "changed.pth")
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        import_weights(tmp_path / "changed.pth")
    for part in (
        "changed.pth does not fit deepfakebench-xception",
        "missing: backbone.block3.skip.weight",
        "unknown: backbone.attention.weight",
        "of another shape: backbone.conv2.weight (64, 32, 5, 5) for (64, 32, 3, 3)",
        "not finite: backbone.bn2.bias",
    ):
        assert part in str(caught.value)
    assert not (tmp_path / "changed.safetensors").exists()


def test_an_unknown_layout_gets_the_list_and_the_nearest(tmp_path, xception):
    state = prefixed(xception, "backbone.")
    state["backbone.logits.weight"] = state.pop("backbone.last_linear.weight")
    torch.save(state, tmp_path / "near.pth")
    with pytest.raises(ValueError, match="nearest is deepfakebench-xception") as caught:
        import_weights(tmp_path / "near.pth")
    assert all(layout.name in str(caught.value) for layout in LAYOUTS)
    with pytest.raises(ValueError, match=r"missing: backbone\.last_linear\.weight; unknown: back"):
        import_weights(tmp_path / "near.pth", layout="deepfakebench-xception")
    with pytest.raises(ValueError, match="unknown layout 'dfb'; valid: mcx-api-released"):
        import_weights(tmp_path / "near.pth", layout="dfb")
    torch.save({"a": torch.zeros(1)}, tmp_path / "far.pth")
    with pytest.raises(ValueError, match=r"none of them has its names \(a\)"):
        import_weights(tmp_path / "far.pth")


def test_nothing_else_is_written_over(tmp_path):
    peer = KerasMeso(False)
    peer.save(tmp_path / "Meso4_DF.h5")
    made = import_weights(tmp_path / "Meso4_DF.h5")
    assert import_weights(tmp_path / "Meso4_DF.h5").path == made.path  # the same again
    KerasMeso(False, seed=9).save(tmp_path / "Meso4_DF.h5")
    before = made.path.read_bytes()
    with pytest.raises(ValueError, match="is there already and is something else; give --output"):
        import_weights(tmp_path / "Meso4_DF.h5")
    assert made.path.read_bytes() == before
    other = import_weights(tmp_path / "Meso4_DF.h5", output=tmp_path / "new/other.safetensors")
    assert load_file(other.path)["hidden.weight"].shape == (16, 1024)
    with pytest.raises(ValueError, match="a file of weights of this project already"):
        import_weights(other.path)


def test_on_the_command_line(tmp_path):
    """The file's path is the output; what was dropped, and what is wrong, is said in one line."""
    KerasMeso(True).save(tmp_path / "MesoInception_DF.h5")
    runner = CliRunner()
    file = str(tmp_path / "MesoInception_DF.h5")
    done = runner.invoke(app, ["weights", "import", file])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [str(tmp_path / "MesoInception_DF.safetensors")]
    assert "MesoNet's MesoInception_*.h5 (Keras)" in done.stderr
    done = runner.invoke(app, ["weights", "import", file, "--as", "mesonet-meso4"])
    assert isinstance(done.exception, ValueError)
    assert re.search(r"does not fit mesonet-meso4 .*unknown: conv2d_\d+/", str(done.exception))
    listed = runner.invoke(app, ["weights", "list"])
    for row in known.table():
        assert f"{row.layout}: {row.file}" in listed.stdout
        assert row.published in listed.stdout
    assert listed.stdout.count("SHA-256: not known") == len(known.table()) - 2


def test_known_weights_name_layouts_that_are_there():
    rows = known.table()
    assert {row.layout for row in rows} == {layout.name for layout in LAYOUTS}
    assert all(row.published.startswith(("http://", "https://")) for row in rows)
    assert {row.sha256 for row in rows} >= {"not known", "43020ad28..."}
    seferbekov = known.of("seferbekov", "renamed.pth")
    assert (seferbekov.licence, seferbekov.trained_on) == ("MIT", "DFDC")
    meso = known.of("mesonet-meso4", "renamed.h5")
    assert (meso.licence, meso.trained_on) == ("Apache-2.0", "not known")
