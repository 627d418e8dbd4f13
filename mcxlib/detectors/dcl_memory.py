"""What DCL keeps from step to step: an encoder that follows another, queues and prototypes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from mcxlib.detectors.distributed import gather, world


class Follower(nn.Module):
    """Tensors for another encoder's layers, as buffers: stored with the weights, no parameters."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        for name, value in encoder.state_dict().items():
            self.register_buffer(_flat(name), value.detach().clone())

    @torch.no_grad()
    def follow(self, encoder: nn.Module, momentum: float) -> None:
        """Weights become ``momentum`` parts of themselves and the rest of ``encoder``'s."""
        for name, value in encoder.named_parameters():
            self.get_buffer(_flat(name)).mul_(momentum).add_(value, alpha=1 - momentum)

    @torch.no_grad()
    def forward(self, encoder: nn.Module, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Planes (B, 3, H, W) of this process -> keys (B, D), and those of all (W * B, D).

        Every process encodes faces of all: a batch's statistics would otherwise tell which keys
        belong to its own queries.
        """
        state = {name: self.get_buffer(_flat(name)) for name in encoder.state_dict()}
        (rank, size), count = world(), len(planes)
        dealt = gather(planes)[rank::size].contiguous(memory_format=torch.channels_last)
        _, found = functional_call(encoder, state, dealt)
        together = gather(found).unflatten(0, (size, -1)).transpose(0, 1).flatten(0, 1)
        return together[rank * count : (rank + 1) * count], together


class Memory(nn.Module):
    """A queue of embeddings and a prototype for real (index 0) and for fake faces (1).

    They start with random directions. The prototypes move by the means of their class; queued is
    what is nearest to the other class's prototype.
    """

    queues: Tensor
    prototypes: Tensor
    pointers: Tensor

    def __init__(self, size: int, width: int, hard: int, momentum: float) -> None:
        super().__init__()
        self.hard, self.momentum = hard, momentum
        for name, shape in (("queues", (2, size, width)), ("prototypes", (2, width))):
            self.register_buffer(name, functional.normalize(torch.randn(shape), dim=-1))
        self.register_buffer("pointers", torch.zeros(2, dtype=torch.long))

    @torch.no_grad()
    def remember(self, keys: Tensor, fake: Tensor) -> None:
        """Move both prototypes, then queue the ``hard`` hardest keys of each class.

        Args:
            keys: (N, D), of all processes; one that is not finite is left out.
            fake: (N,) bool. A class that is absent changes nothing.
        """
        size = self.queues.shape[1]
        members = [keys.isfinite().all(1) & (fake == is_fake) for is_fake in (False, True)]
        for prototype, own in zip(self.prototypes, members, strict=True):
            mean = torch.where(own[:, None], keys, 0.0).sum(0) / own.sum().clamp(min=1)
            moved = self.momentum * prototype + (1 - self.momentum) * mean
            prototype.copy_(torch.where(own.any(), moved, prototype))
        for kind, own in enumerate(members):
            near = (keys @ self.prototypes[1 - kind]).masked_fill(~own, -torch.inf)
            best, chosen = near.topk(min(self.hard, size, len(keys)))
            # How many there are stays on the device: slots without a key get back what they held.
            slots = (self.pointers[kind] + torch.arange(len(best), device=keys.device)) % size
            queue, found = self.queues[kind], best > -torch.inf
            queue[slots] = torch.where(found[:, None], keys[chosen], queue[slots])
            self.pointers[kind] = (self.pointers[kind] + found.sum()) % size


def _flat(name: str) -> str:
    return name.replace(".", "__")
