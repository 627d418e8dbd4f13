"""Networks for scoring only, with each BatchNorm that follows a convolution multiplied into it.

In evaluation mode a BatchNorm is one factor and one shift a channel, which a convolution's weights
and bias can take over. What is computed stays the same up to rounding; a map less is read and
written after each convolution.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import cast

from timm.layers import BatchNormAct2d, Conv2dSame
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mcxlib.detectors.base import Detector

_CONVOLUTIONS = (nn.Conv2d, Conv2dSame)
_NORMS = (nn.BatchNorm2d, BatchNormAct2d)


def folded(detector: Detector) -> Detector:
    """A copy of a detector in evaluation mode, whose backbone has its BatchNorms folded.

    Modules keep their names; where a BatchNorm was, is what it did besides, or nothing. A detector
    without a backbone, or with one whose path depends on its input, is returned as it is.
    """
    part = detector.slow_part()
    pairs = [] if part is None else _pairs(part)
    if not pairs:
        return detector
    detector = copy.deepcopy(detector).eval()
    part = cast(nn.Module, detector.slow_part())
    for before, after in pairs:
        conv = cast(nn.Conv2d, part.get_submodule(before))
        norm = cast(nn.BatchNorm2d, part.get_submodule(after))
        part.set_submodule(before, fuse_conv_bn_eval(conv, norm))
        part.set_submodule(after, _rest(norm))
    return detector.requires_grad_(False)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        whole = isinstance(m, (*_CONVOLUTIONS, *_NORMS))
        return whole or super().is_leaf_module(m, module_qualified_name)


def _rest(norm: nn.BatchNorm2d) -> nn.Module:
    if not isinstance(norm, BatchNormAct2d):
        return nn.Identity()
    return nn.Sequential(OrderedDict(drop=norm.drop, act=norm.act))


def _pairs(network: nn.Module) -> list[tuple[str, str]]:
    """Names of the convolutions whose output goes to a BatchNorm and nowhere else, and of that."""
    try:
        graph = _Tracer().trace(network)
    except Exception:  # whatever a network does that depends on its input fails in its own way
        return []
    called = [node.target for node in graph.nodes if node.op == "call_module"]
    modules = dict(network.named_modules())
    found = []
    for node in graph.nodes:
        if node.op != "call_module" or type(modules[node.target]) not in _NORMS:
            continue
        before = node.args[0]
        if (
            before.op == "call_module"
            and type(modules[before.target]) in _CONVOLUTIONS
            and len(before.users) == 1
            and called.count(before.target) == called.count(node.target) == 1
            and modules[node.target].track_running_stats
        ):
            found.append((before.target, node.target))
    return found
