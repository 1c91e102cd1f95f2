"""Rows of any length: filled up to the longest of a batch, or together only with equals."""

import torch
from torch import Tensor, nn

from souk_training.fixture_modules.case import Case, integers, numbers, tensor


class LastState(nn.Module):
    """An LSTM over each row's own length."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, length, batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.lstm(packed)
        return hidden[0]


class EveryState(nn.Module):
    """A GRU's state after each step: its output is as long as its input."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(x)[0]


class Attention(nn.Module):
    """Self-attention in which nobody looks at masked steps, and the mean of the others."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        looks = nn.functional.scaled_dot_product_attention(
            self.query(x), self.key(x), self.value(x), attn_mask=mask.unsqueeze(1)
        )
        shown = mask.unsqueeze(2).to(x.dtype)
        return (looks * shown).sum(1) / shown.sum(1)


class Interest(nn.Module):
    """What a user did, weighted by how near it is to a candidate (DIN)."""

    def __init__(self):
        super().__init__()
        self.items = nn.Embedding(20, 4, padding_idx=0)

    def forward(self, behaviour: Tensor, candidate: Tensor) -> Tensor:
        history, wanted = self.items(behaviour), self.items(candidate)
        scores = (history * wanted.unsqueeze(1)).sum(2)
        scores = scores.masked_fill(behaviour == 0, -1e9)
        return (torch.softmax(scores, 1).unsqueeze(2) * history).sum(1)


class BagOfIds(nn.Module):
    """An embedding bag with offsets: how many ids and bags there are is the request's."""

    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(20, 3, mode="sum")

    def forward(self, ids: Tensor, offsets: Tensor) -> Tensor:
        return self.bag(ids, offsets)


class WeightedBag(nn.Module):
    """The same with rows of ids: what is filled up has the weight 0."""

    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(20, 3, mode="sum")

    def forward(self, ids: Tensor, weights: Tensor) -> Tensor:
        return self.bag(ids, None, weights)


class Words(nn.Module):
    """A convolution over words, and the largest of each channel."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(30, 4, padding_idx=0)
        self.windows = nn.Conv1d(4, 3, 3, padding=1)

    def forward(self, words: Tensor) -> Tensor:
        found = self.windows(self.words(words).transpose(1, 2))
        found = found.masked_fill((words == 0).unsqueeze(1), -1e9)
        return found.amax(2)


class Standardised(nn.Module):
    """A series less its mean, by its spread."""

    def forward(self, series: Tensor) -> Tensor:
        return (series - series.mean(1, keepdim=True)) / (series.std(1, keepdim=True) + 1.0)


class Tags(nn.Module):
    """How often each of six tags occurs; -1 is none."""

    def forward(self, tags: Tensor) -> Tensor:
        return (tags.unsqueeze(2) == torch.arange(6)).to(torch.int16).sum(1, dtype=torch.int16)


class Ranked(nn.Module):
    """Sorted, with where each was; what is filled up would be sorted among the rest, so nothing is."""

    def forward(self, prices: Tensor) -> tuple[Tensor, Tensor]:
        found, places = torch.sort(prices, dim=1, descending=True, stable=True)
        return found, places


def _steps(random, rows, size):
    length = integers(random, 1, size + 1, rows)
    return {"x": numbers(random, rows, size, 3), "length": length}


def _attended(random, rows, size):
    mask = integers(random, 0, 2, rows, size, dtype=torch.bool)
    mask[:, 0] = True
    return {"x": numbers(random, rows, size, 4), "mask": mask}


def _behaviour(random, rows, size):
    return {"behaviour": integers(random, 1, 20, rows, size), "candidate": integers(random, 1, 20, rows)}


def _bags(random, _rows, size):
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), integers(random, 0, size, size // 2)])
    return {"ids": integers(random, 0, 20, size), "offsets": offsets.sort().values}


def _weighted(random, rows, size):
    return {"ids": integers(random, 0, 20, rows, size), "weights": numbers(random, rows, size)}


def _open(name: str, *inner: int):
    return lambda random, rows, size: {name: numbers(random, rows, size, *inner)}


def cases() -> list[Case]:
    """With lengths, masks, filling, or none of them."""
    return [
        Case(
            "lstm",
            LastState(),
            [tensor("x", "float32", -1, 3, padding=0.0), tensor("length", "int64")],
            [tensor("state", "float32", 4)],
            _steps,
            export="freeze",
            sizes=(4, 1, 7),
        ),
        Case(
            "gru",
            EveryState(),
            [tensor("x", "float32", -1, 3)],
            [tensor("states", "float32", -1, 2)],
            _open("x", 3),
            export="trace",
            sizes=(3, 5),
        ),
        Case(
            "attention",
            Attention(),
            [tensor("x", "float32", -1, 4, padding=0.0), tensor("mask", "bool", -1, padding=0)],
            [tensor("mean", "float32", 4)],
            _attended,
            sizes=(3, 6, 1),
        ),
        Case(
            "interest",
            Interest(),
            [tensor("behaviour", "int64", -1, padding=0), tensor("candidate", "int64")],
            [tensor("interest", "float32", 4)],
            _behaviour,
            sizes=(5, 2, 9),
        ),
        Case(
            "bags_with_offsets",
            BagOfIds(),
            [tensor("ids", "int64", -1), tensor("offsets", "int64", -1)],
            [tensor("sums", "float32", -1, 3)],
            _bags,
            max_batch_rows=0,
            sizes=(4, 9, 1),
        ),
        Case(
            "bags_with_weights",
            WeightedBag(),
            [tensor("ids", "int64", -1, padding=0), tensor("weights", "float32", -1, padding=0)],
            [tensor("sum", "float32", 3)],
            _weighted,
            sizes=(4, 2, 6),
        ),
        Case(
            "words",
            Words(),
            [tensor("words", "int64", -1, padding=0)],
            [tensor("largest", "float32", 3)],
            lambda random, rows, size: {"words": integers(random, 1, 30, rows, size)},
            sizes=(6, 3, 11),
        ),
        Case(
            "standardised",
            Standardised(),
            [tensor("series", "float32", -1)],
            [tensor("standard", "float32", -1)],
            _open("series"),
            sizes=(4, 8, 2),
        ),
        Case(
            "tags",
            Tags(),
            [tensor("tags", "int64", -1, padding=-1)],
            [tensor("counts", "int16", 6)],
            lambda random, rows, size: {"tags": integers(random, 0, 6, rows, size)},
            sizes=(2, 12, 5),
        ),
        Case(
            "ranked",
            Ranked(),
            [tensor("prices", "float32", -1)],
            [tensor("sorted", "float32", -1), tensor("places", "int64", -1)],
            _open("prices"),
            sizes=(5, 3),
        ),
    ]
