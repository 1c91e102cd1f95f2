"""The embedding: principal axes of the hidden layers, and what its neighbourhoods are worth."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from souk_training.portrait.network import Members

EMBEDDING_DIM = 24
NEIGHBOURS = 50


def embedding_axes(members: Members, x: Tensor) -> tuple[Tensor, Tensor]:
    """Principal axes `[members * hidden, EMBEDDING_DIM]` of the hidden layers of all users, and their mean.

    Scaled so that an embedding's squared length is 1 on the mean.
    """
    with torch.inference_mode():
        hidden = members.parts(x)[1].double()
    center = hidden.mean(0)
    _, _, axes = torch.linalg.svd(hidden - center, full_matrices=False)
    axes = axes[:EMBEDDING_DIM].T
    # The sign of an axis is free: its largest component is made positive.
    axes = axes * torch.sign(axes.gather(0, axes.abs().argmax(0, keepdim=True)))
    length = ((hidden - center) @ axes).square().sum(1).mean().sqrt()
    return (axes / length).float().contiguous(), center.float()


def neighbours_vote(at: Tensor, known: Tensor, bought: np.ndarray) -> np.ndarray:
    """What the NEIGHBOURS nearest of `known` bought, on the mean: `[len(at), departments]`."""
    nearest = torch.cdist(at, known).topk(NEIGHBOURS, largest=False).indices.numpy()
    return bought[nearest].mean(1)
