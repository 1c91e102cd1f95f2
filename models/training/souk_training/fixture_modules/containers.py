"""Lists and dictionaries in, tuples, lists and dictionaries out."""

from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from souk_training.fixture_modules.case import Case, flags, integers, numbers, plain, tensor


class SeveralInputs(nn.Module):
    """Ids, numbers and a flag to a score."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.dense = nn.Linear(4, 4)

    def forward(self, ids: Tensor, dense: Tensor, flag: Tensor) -> Tensor:
        x = self.table(ids).sum(1) + self.dense(dense)
        return torch.sigmoid(x.sum(1) + flag.to(x.dtype))


class ListInAndOut(nn.Module):
    def forward(self, xs: List[Tensor]) -> List[Tensor]:
        total = torch.zeros_like(xs[0])
        found: List[Tensor] = []
        for x in xs:
            total = total + x
            found.append(total)
        return found


class DictInAndOut(nn.Module):
    """The keys that it returns are in another order than the manifest's."""

    def forward(self, features: Dict[str, Tensor]) -> Dict[str, Tensor]:
        price, count = features["price"], features["count"]
        revenue = price * count.to(price.dtype)
        return {"is_large": revenue > 4.0, "revenue": revenue, "unused": count}


class DictOut(nn.Module):
    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        return {"mean": x.mean(1), "spread": x.amax(1) - x.amin(1)}


class TopThree(nn.Module):
    """Two outputs of different types."""

    def __init__(self):
        super().__init__()
        self.scores = nn.Linear(4, 8)

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        values, places = torch.topk(self.scores(x), 3, dim=1)
        return values, places


class OneInATuple(nn.Module):
    def forward(self, x: Tensor) -> Tuple[Tensor]:
        return (x.sum(1),)


class Named(NamedTuple):
    low: Tensor
    high: Tensor


class NamedTupleOut(nn.Module):
    def forward(self, x: Tensor) -> Named:
        return Named(x.amin(1), x.amax(1))


class ListOut(nn.Module):
    """Pieces of a row."""

    def forward(self, x: Tensor) -> List[Tensor]:
        return torch.split(x, 2, 1)


class OptionalArgument(nn.Module):
    """Arguments that nobody sends have their defaults."""

    def forward(self, x: Tensor, scale: float = 2.0, shift: Optional[Tensor] = None) -> Tensor:
        if shift is not None:
            x = x + shift
        return x * scale


def _several(random, rows, _size):
    ids, dense = integers(random, 0, 10, rows, 3), numbers(random, rows, 4)
    return {"ids": ids, "dense": dense, "flag": flags(random, rows)}


def _orders(random, rows, _size):
    return {"price": numbers(random, rows), "count": integers(random, 0, 5, rows, dtype=torch.int32)}


def _list(random, rows, _size):
    return {name: numbers(random, rows, 2) for name in ("first", "second", "third")}


def cases() -> list[Case]:
    """By what goes in and out."""
    return [
        Case(
            "several_inputs",
            SeveralInputs(),
            [tensor("ids", "int64", 3), tensor("dense", "float32", 4), tensor("flag", "bool")],
            [tensor("score", "float32")],
            _several,
            example=True,
        ),
        Case(
            "list_in_and_out",
            ListInAndOut(),
            [tensor(name, "float32", 2) for name in ("first", "second", "third")],
            [tensor(name, "float32", 2) for name in ("one", "two", "three")],
            _list,
            arguments="list",
        ),
        Case(
            "dict_in_and_out",
            DictInAndOut(),
            [tensor("price", "float32"), tensor("count", "int32")],
            [tensor("revenue", "float32"), tensor("is_large", "bool")],
            _orders,
            arguments="dict",
        ),
        Case(
            "dict_in_traced",
            DictInAndOut(),
            [tensor("count", "int32"), tensor("price", "float32")],
            [tensor("is_large", "bool"), tensor("revenue", "float32")],
            _orders,
            arguments="dict",
            export="trace",
        ),
        Case(
            "dict_out",
            DictOut(),
            [tensor("x", "float32", 5)],
            [tensor("spread", "float32"), tensor("mean", "float32")],
            plain("x", 5),
        ),
        Case(
            "top_three",
            TopThree(),
            [tensor("x", "float32", 4)],
            [tensor("values", "float32", 3), tensor("places", "int64", 3)],
            plain("x", 4),
            export="freeze",
            example=True,
        ),
        Case("one_in_a_tuple", OneInATuple(), [tensor("x", "float32", 3)], [tensor("sum", "float32")], plain("x", 3)),
        Case(
            "named_tuple_out",
            NamedTupleOut(),
            [tensor("x", "float32", 3)],
            [tensor("low", "float32"), tensor("high", "float32")],
            plain("x", 3),
        ),
        Case(
            "list_out",
            ListOut(),
            [tensor("x", "float32", 4)],
            [tensor("head", "float32", 2), tensor("tail", "float32", 2)],
            plain("x", 4),
        ),
        Case(
            "optional_argument",
            OptionalArgument(),
            [tensor("x", "float32", 3)],
            [tensor("y", "float32", 3)],
            plain("x", 3),
        ),
    ]
