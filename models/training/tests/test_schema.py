"""The typed fields are those of the protos."""

import re

import pytest

from souk_training import schema

KINDS = {
    "optional string": schema.CATEGORY, "optional double": schema.NUMBER, "repeated double": schema.NUMBER_LIST,
}  # fmt: skip
EVENT_KINDS = {
    "string": schema.CATEGORY_LIST, "double": schema.NUMBER_LIST, "google.protobuf.Timestamp": schema.NUMBER_LIST,
}  # fmt: skip


def fields(request, file: str, message: str, kinds: dict) -> dict:
    path = request.config.rootpath.parents[1] / "proto" / "souk" / "v1" / file
    if not path.is_file():
        pytest.skip("the package was taken out of the repository")
    body = re.search(rf"message {message} {{\n(.*?)\n}}", path.read_text("utf-8"), re.S).group(1)
    found = re.findall(r"^  ((?:optional |repeated )?[\w.]+) (\w+) = \d+;", body, re.M)
    return {name: kinds[type_] for type_, name in found if type_ in kinds}


def test_merchant_fields_are_those_of_the_proto(request):
    assert fields(request, "merchant_gmv.proto", "MerchantFeatures", KINDS) == schema.MERCHANT_FIELDS


def test_user_fields_are_those_of_the_proto(request):
    found = fields(request, "user_portrait.proto", "UserFeatures", KINDS)
    events = fields(request, "user_portrait.proto", "Behaviour", EVENT_KINDS)
    assert {**found, **{f"events.{name}": kind for name, kind in events.items()}} == schema.USER_FIELDS
