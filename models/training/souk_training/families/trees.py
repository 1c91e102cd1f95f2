"""Gradient-boosted trees as tensor operations: LightGBM's and XGBoost's boosters become one TorchScript module.

All trees are walked at once, a level a step, by gathers from flat tables of nodes. Sources: Ke et al. (2017),
"LightGBM", NeurIPS; Chen, Guestrin (2016), "XGBoost", arXiv:1603.02754; walking trees by gathers is TreeTraversal
of Nakandala et al. (2020), "Hummingbird", OSDI. Splits on categories are refused: such features go in as 0/1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn


@dataclass
class Nodes:
    """Flat tables of nodes; `[nodes]` each but `children`. A leaf is its own child on both sides."""

    feature: np.ndarray
    # Left where the value is at most this.
    threshold: np.ndarray
    # Where a NaN goes, and where a 0 goes; True is left.
    nan_left: np.ndarray
    zero_left: np.ndarray
    children: np.ndarray  # [nodes, 2]: left, right
    value: np.ndarray  # of leaves, else 0
    roots: np.ndarray  # [trees]
    outputs: np.ndarray  # [trees]: the output that each tree adds to
    depth: int
    base: np.ndarray  # [outputs]: before any tree
    # What the library adds leaves in. Sums of float32 depend on their order, so Forest adds them in the library's.
    dtype: type = np.float64

    @staticmethod
    def side_by_side(parts: list[Nodes]) -> Nodes:
        """The trees of several boosters, their outputs one after the other."""
        if len({part.dtype for part in parts}) > 1:
            raise ValueError("boosters of two libraries found, wanted one: they add in float32 and in float64")
        nodes = np.cumsum([0, *(len(part.feature) for part in parts)])
        outputs = np.cumsum([0, *(len(part.base) for part in parts)])
        joined = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("feature", "threshold", "nan_left", "zero_left", "value", "base")
        }
        return Nodes(
            **joined,
            children=np.concatenate([part.children + start for part, start in zip(parts, nodes)]),
            roots=np.concatenate([part.roots + start for part, start in zip(parts, nodes)]),
            outputs=np.concatenate([part.outputs + start for part, start in zip(parts, outputs)]),
            depth=max(part.depth for part in parts),
            dtype=parts[0].dtype,
        )


class Forest(nn.Module):
    """Values `[n, features]` to margins `[n, outputs]`, as the library's own raw prediction and in its dtype."""

    def __init__(self, nodes: Nodes):
        super().__init__()
        self.depth, self.trees = nodes.depth, len(nodes.roots)
        # Few boosters treat 0 as missing: the others do without the comparison.
        self.zero_splits = bool((nodes.zero_left != (nodes.threshold >= 0)).any())
        for name in ("feature", "roots"):
            self.register_buffer(name, torch.from_numpy(getattr(nodes, name).astype(np.int64)))
        self.register_buffer("next_nodes", torch.from_numpy(nodes.children.astype(np.int64)).flatten())
        self.register_buffer("threshold", torch.from_numpy(nodes.threshold.astype(np.float64)))
        self.register_buffer("nan_left", torch.from_numpy(nodes.nan_left.astype(bool)))
        self.register_buffer("zero_left", torch.from_numpy(nodes.zero_left.astype(bool)))
        self.register_buffer("value", torch.from_numpy(nodes.value.astype(nodes.dtype)))
        self.sum = InOrder(nodes) if nodes.dtype == np.float32 else AtOnce(nodes)

    def forward(self, values: Tensor) -> Tensor:
        n = values.shape[0]
        # Thresholds of LightGBM are float64; one table serves both libraries.
        values = values.to(torch.float64)
        missing = torch.isnan(values)
        node = self.roots.expand(n, self.trees)
        for _ in range(self.depth):
            feature = self.feature[node]
            value = values.gather(1, feature)
            left = (value <= self.threshold[node]) | (missing.gather(1, feature) & self.nan_left[node])
            if self.zero_splits:
                # LightGBM takes numbers this close to 0 for 0.
                left = torch.where(value.abs() <= 1e-35, self.zero_left[node], left)
            node = self.next_nodes[2 * node + (~left).to(torch.int64)]
        return self.sum(self.value[node])


class AtOnce(nn.Module):
    """Leaves `[n, trees]` to their sums `[n, outputs]` by one product: in float64 no order matters."""

    def __init__(self, nodes: Nodes):
        super().__init__()
        self.register_buffer("base", torch.from_numpy(nodes.base.astype(np.float64)))
        self.register_buffer("adds_to", torch.from_numpy(np.eye(len(nodes.base))[nodes.outputs.astype(np.int64)]))

    def forward(self, leaves: Tensor) -> Tensor:
        return torch.addmm(self.base, leaves, self.adds_to)


class InOrder(nn.Module):
    """The same in float32, tree after tree. A rare tag's margin is -5: in 60 sums float32 rounds away 4e-6 of it."""

    def __init__(self, nodes: Nodes):
        super().__init__()
        self.outputs = len(nodes.base)
        self.register_buffer("base", torch.from_numpy(nodes.base.astype(np.float32)))
        trees_of = [np.flatnonzero(nodes.outputs == output) for output in range(self.outputs)]
        # Column `trees` is 0: what an output adds once it has no more trees.
        order = np.full((max(map(len, trees_of)), self.outputs), len(nodes.roots))
        for output, trees in enumerate(trees_of):
            order[: len(trees), output] = trees
        self.register_buffer("order", torch.from_numpy(order.flatten()))

    def forward(self, leaves: Tensor) -> Tensor:
        padded = nn.functional.pad(leaves, [0, 1])
        total = self.base.repeat(leaves.shape[0], 1)
        for added in padded.index_select(1, self.order).view(leaves.shape[0], -1, self.outputs).unbind(1):
            total.add_(added)
        return total


def from_lightgbm(booster) -> Nodes:
    """The trees of a `lightgbm.Booster`, up to its best iteration; margins are `predict(x, raw_score=True)`."""
    dump = booster.dump_model()
    if dump["average_output"]:
        raise ValueError("lightgbm: a random forest averages its trees, wanted a booster that adds them")
    per_round = dump["num_tree_per_iteration"]
    trees = [_lightgbm_tree(tree["tree_structure"]) for tree in dump["tree_info"]]
    return _joined(trees, [index % per_round for index in range(len(trees))], np.zeros(per_round))


def from_xgboost(booster) -> Nodes:
    """The trees of an `xgboost.Booster`; margins are `predict(x, output_margin=True)`."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    name = learner["gradient_booster"]["name"]
    if name != "gbtree":
        raise ValueError(f"xgboost: booster {name!r} found, wanted gbtree")
    model, parameters = learner["gradient_booster"]["model"], learner["learner_model_param"]
    outputs = max(1, int(parameters["num_class"]), int(parameters["num_target"]))
    score = np.array(parameters["base_score"].strip("[]").split(","), np.float32)
    if learner["objective"]["name"] == "binary:logistic":
        # The score is a probability, the trees add log odds. By float64: numpy's float32 logarithm is off by a digit.
        odds = np.float32(1) / score - np.float32(1)
        score = -np.log(odds.astype(np.float64)).astype(np.float32)
    trees = [_xgboost_tree(tree) for tree in model["trees"]]
    return replace(_joined(trees, model["tree_info"], np.broadcast_to(score, outputs).copy()), dtype=np.float32)


@dataclass
class _Tree:
    """One tree's nodes as rows of feature, threshold, NaN left, 0 left, left child, right child, value."""

    rows: list[tuple]
    depth: int


def _joined(trees: list[_Tree], outputs: list[int], base: np.ndarray) -> Nodes:
    """The tables of all trees; their node 0 is the root."""
    starts = np.cumsum([0, *(len(tree.rows) for tree in trees)])[: len(trees)]
    rows = [row for tree in trees for row in tree.rows]
    start_of = np.repeat(starts, [len(tree.rows) for tree in trees])
    feature, threshold, nan_left, zero_left, left, right, value = (np.array(column) for column in zip(*rows))
    children = np.stack([left, right], 1) + start_of[:, None]
    depth = max(tree.depth for tree in trees)
    return Nodes(
        feature, threshold, nan_left, zero_left, children, value, np.array(starts), np.array(outputs), depth, base
    )


def _leaf(place: int, value: float) -> tuple:
    return (0, 0.0, True, True, place, place, value)


def _lightgbm_tree(root: dict) -> _Tree:
    rows: list = []
    depth = 0
    waiting = [(root, 0, 0)]
    count = 1
    while waiting:
        node, place, level = waiting.pop()
        rows += [None] * (place + 1 - len(rows))
        depth = max(depth, level)
        if "leaf_value" in node:
            rows[place] = _leaf(place, node["leaf_value"])
            continue
        if node["decision_type"] != "<=":
            raise ValueError("lightgbm: a split on a category found, wanted numbers: give categories as 0/1 columns")
        rows[place] = (*_lightgbm_split(node), count, count + 1, 0.0)
        waiting += [(node["left_child"], count, level + 1), (node["right_child"], count + 1, level + 1)]
        count += 2
    return _Tree(rows, depth)


def _lightgbm_split(node: dict) -> tuple:
    """Feature, threshold, and where NaN and 0 go. Without a rule for what is missing a NaN counts as 0."""
    threshold, default, missing = node["threshold"], node["default_left"], node["missing_type"]
    zero_left = default if missing == "Zero" else bool(0.0 <= threshold)
    nan_left = default if missing == "NaN" else zero_left
    return node["split_feature"], threshold, nan_left, zero_left


def _xgboost_tree(tree: dict) -> _Tree:
    if any(tree["split_type"]):
        raise ValueError("xgboost: a split on a category found, wanted numbers: give categories as 0/1 columns")
    left, right = tree["left_children"], tree["right_children"]
    rows, level = [], {0: 0}
    for place, condition in enumerate(tree["split_conditions"]):
        if left[place] < 0:
            rows.append(_leaf(place, float(np.float32(condition))))
            continue
        # Left where the float32 is below the condition: at most the float32 before it.
        threshold = float(np.nextafter(np.float32(condition), np.float32(-np.inf)))
        default, zero_left = bool(tree["default_left"][place]), bool(0.0 <= threshold)
        split = (tree["split_indices"][place], threshold, default, zero_left)
        rows.append((*split, left[place], right[place], 0.0))
        level[left[place]] = level[right[place]] = level.get(place, 0) + 1
    return _Tree(rows, max(level.values()))
