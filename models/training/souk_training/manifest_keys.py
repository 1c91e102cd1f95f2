"""The keys of an object of the manifest."""

from __future__ import annotations


def check_keys(path: str, found: dict, wanted: set, optional: set = frozenset()):
    """Missing and unknown keys of an object."""
    for key in sorted(wanted - found.keys()):
        yield f"{path}.{key}: missing"
    for key in sorted(found.keys() - wanted - optional):
        yield f"{path}.{key}: unknown key"
