"""Gradient checkpointing changes no number, and the memory of a step is counted right."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from benchmarks.memory import training_bytes
from mcxlib.config import load
from mcxlib.detectors import backbones
from mcxlib.engine import memory


@pytest.mark.parametrize("name", ["slim_xception", "legacy_xception", "resnet10t"])
def test_checkpointed_blocks_give_the_same_gradients_and_statistics(name):
    """Compared bit by bit with the backbone as it is; each block is seen to be computed twice."""
    torch.manual_seed(0)
    plain = backbones.create(name, 3)
    other = copy.deepcopy(plain)
    backbones.checkpoint_blocks(other)
    assert list(other.state_dict()) == list(plain.state_dict())
    images = torch.rand(2, 3, 64, 64)
    weights = torch.randn(plain.num_features)
    for backbone, times in ((plain, 1), (other, 2)):
        calls = []
        for block in backbones.blocks(backbone):
            first = next(m for m in block.modules() if isinstance(m, nn.Conv2d))
            first.register_forward_hook(lambda *_, block=block, calls=calls: calls.append(block))
        for _ in range(2):
            features = backbone(images)
            (features @ weights).sum().backward()
        assert {calls.count(block) for block in backbones.blocks(backbone)} == {2 * times}
    for (key, a), b in zip(plain.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), key
    for key, value in plain.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key
    counted = [v for k, v in plain.state_dict().items() if k.endswith("num_batches_tracked")]
    assert {int(v) for v in counted} == {2}
    with torch.no_grad():
        assert torch.equal(plain.eval()(images), other.eval()(images))
    backbones.checkpoint_blocks(other)  # a second time changes nothing
    assert type(backbones.blocks(other)[0]).__mro__.count(backbones._Checkpointed) == 1


def test_a_backbone_of_unknown_blocks_is_refused():
    with pytest.raises(ValueError, match=r"MobileNetV3 are not known.*checkpoint_backbone=False"):
        backbones.checkpoint_blocks(backbones.create("mobilenetv3_small_050", 3))
    with pytest.raises(ValueError, match="MobileNetV3 are not known"):
        training_bytes(load("test", backbone="mobilenetv3_small_050"), checkpoint_backbone=True)


class Chain(nn.Module):
    """Convolution, normalisation, activation in place: what is kept can be told by hand."""

    num_features = 8

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)

    def forward(self, images):
        return self.act(self.norm(self.conv(images))).mean(dim=(2, 3))


def test_activations_counted_by_hand(monkeypatch):
    """Per image of 32 px: the image (3 planes) for the convolution's weights, its output (8) for
    the normalisation, and the normalised and rectified planes (8), once, for the activation."""
    monkeypatch.setattr(backbones, "create", lambda *_: Chain())
    config = load("test", input_size=32, categories=3, per_category=4, optimizer="sgd")
    count = training_bytes(config)
    assert count.activations == 12 * (3 + 8 + 8) * 32 * 32 * 4
    assert count.gradients == 12 * 2 * 8 * 32 * 32 * 4
    # Weights, gradients, momentum of 8 x 3 x 3 x 3 + 2 x 8 numbers; AdamW has one more average.
    assert count.parameters == 3 * (216 + 16) * 4
    assert count.total == sum(count)
    adamw = config.but(optimizer="adamw")
    assert training_bytes(adamw).parameters == 4 * (216 + 16) * 4
    # Half precision: the image's rounded copy, the output and its image in two bytes each.
    half = training_bytes(config.but(precision="bf16-mixed"))
    assert half.activations == 12 * (3 + 8 + 8) * 32 * 32 * 2


def test_the_papers_batch_fits_16_gib_with_one_of_two_settings():
    """27 crops of 448 px through Xception. Halving the bytes of a number nearly halves the
    memory; of twelve blocks, checkpointing keeps the stem's and one block's activations."""
    gib = 2**30
    config = load("paper")
    single = training_bytes(config)
    half = training_bytes(config.but(precision="bf16-mixed"))
    kept = training_bytes(config, checkpoint_backbone=True)
    assert single.total > 14 * gib  # with a GiB of workspaces, no fit
    assert half.total < 9 * gib
    assert kept.total < 9 * gib
    assert half.activations / single.activations == pytest.approx(0.5, abs=0.05)


def test_messages_replace_errors_of_memory_only():
    with pytest.raises(memory.OutOfMemory, match="buy more"), memory.explained("buy more"):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(memory.OutOfMemory, match="buy more"), memory.explained("buy more"):
        torch.empty(2**50)  # a true refusal: a pebibyte
    with pytest.raises(RuntimeError, match="shape") as other, memory.explained("buy more"):
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert not isinstance(other.value, memory.OutOfMemory)


def test_freed_memory_is_kept_and_used_again():
    """Counted by the system: a second allocation of the same size touches no new pages."""
    code = """
import resource, sys, torch
from mcxlib.engine import memory
if sys.argv[1] == "keep":
    assert memory.keep_freed()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.empty(64 * 2**20, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
for _ in range(3):  # until the heap has grown to what is needed
    faults()
print(faults())
"""
    if not sys.platform.startswith("linux"):
        assert not memory.keep_freed()
        return
    pages = {
        how: int(subprocess.run(
            [sys.executable, "-c", code, how], check=True, capture_output=True, text=True
        ).stdout)
        for how in ("keep", "default")
    }  # fmt: skip
    assert pages["default"] > 1000
    assert pages["keep"] < pages["default"] / 10
