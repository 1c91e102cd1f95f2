"""The cases of `tests/fixtures/encoding.json`."""

from __future__ import annotations

from dataclasses import dataclass, field

AS_OF = "2016-09-04"


@dataclass(frozen=True)
class Case:
    """One manifest and one row to encode by it."""

    name: str
    features: list[dict]
    row: dict
    task: str = "merchant_gmv"
    # Empty: arranged by the kinds of the features.
    inputs: list[dict] = field(default_factory=list)


def _merchant(as_of: str = AS_OF, **features) -> dict:
    return {"merchant_id": "m", "features": features, "as_of": as_of}


def _user(*events: dict, as_of: str = "2017-03-01", **features) -> dict:
    return {"user_id": "u", "features": {**features, "events": list(events)}, "as_of": as_of}


def _category(name="city", default=None, **encoding) -> dict:
    return {"name": name, "kind": "category", "default": default, "encoding": encoding}


def _number(name="rating", default=None, **more) -> dict:
    return {"name": name, "kind": "number", "default": default, **more}


_CITIES = {"vocabulary": ["上海", "Zürich", "são paulo"]}
_HASH = {"hash": {"buckets": 1000}}
_EDGES = {"edges": [0.0, 1.0, 2.5, 4.0]}
_SCALED = {"transform": {"mean": 3.1, "std": 0.8}, "range": [0, 20]}
_LOG = {"transform": {"log1p": True, "mean": 2.0, "std": 1.5}, "range": [0, 1e9]}
_SERIES = {"name": "daily_gmv", "kind": "number_list", "required": True, "range": [0, 1e12], "max_len": 5}
_SERIES_LOG = {**_SERIES, "transform": {"log1p": True, "mean": 3.0, "std": 0.5}}
_HORIZON = {"dates": ["2016-09-04", "2016-09-05", "2016-10-01", "2016-10-02", "2016-10-03"], "horizon_days": 28}


def _vocabulary_cases():
    city = _category(**_CITIES)
    for value, what in (("上海", "first_entry"), ("são paulo", "last_entry"), ("Paris", "unknown"), ("", "empty")):
        yield Case(f"vocabulary_{what}", [city], _merchant(city=value))
    yield Case("vocabulary_missing", [city], _merchant())
    yield Case("vocabulary_compares_byte_by_byte", [city], _merchant(city="zürich"))
    yield Case("vocabulary_default", [_category(default="Zürich", **_CITIES)], _merchant())
    yield Case("vocabulary_default_for_empty", [_category(default="Zürich", **_CITIES)], _merchant(city=""))
    yield Case("vocabulary_unknown_default", [_category(default="Paris", **_CITIES)], _merchant())
    required = {"name": "city", "kind": "category", "required": True, "encoding": _CITIES}
    yield Case("vocabulary_required", [required], _merchant(city="Zürich"))


def _hash_cases():
    for value in ("a", "上海", "Zürich", "🛍️ souk", "a=b", " ", "x" * 300):
        yield Case(f"hash_{value[:8]}", [_category("area", **_HASH)], _merchant(area=value))
    yield Case("hash_missing", [_category("area", **_HASH)], _merchant())
    yield Case("hash_two_buckets", [_category("area", hash={"buckets": 2})], _merchant(area="17"))
    yield Case("hash_many_buckets", [_category("area", hash={"buckets": 2**31})], _merchant(area="17"))
    yield Case("hash_default", [_category("area", default="17", **_HASH)], _merchant())
    both = [_category("area", **_HASH), _category("city", **_HASH)]
    yield Case("hash_depends_on_the_name", both, _merchant(area="17", city="17"))


def _number_cases():
    bucketed = _number(encoding=_EDGES)
    for value in (0.0, 0.999999999, 1.0, 2.4999999, 2.5, 4.0, 1e6, -0.5, -0.0):
        yield Case(f"edges_at_{value}", [bucketed], _merchant(rating=value))
    yield Case("edges_missing", [bucketed], _merchant())
    yield Case("edges_default", [_number(default=2.5, encoding=_EDGES)], _merchant())
    yield Case("edges_single", [_number(encoding={"edges": [3.0]})], _merchant(rating=3.0))
    both = _number(encoding=_EDGES, **_SCALED)
    yield Case("number_in_both_inputs_edges_on_the_raw_value", [both], _merchant(rating=3.3))
    yield Case("number_in_both_inputs_missing", [both], _merchant())
    for value in (0.0, 3.1, 4.7, 20.0):
        yield Case(f"scaled_{value}", [_number(**_SCALED)], _merchant(rating=value))
    yield Case("scaled_missing_is_the_mean", [_number(**_SCALED)], _merchant())
    yield Case("scaled_default", [_number(default=1.0, **_SCALED)], _merchant())
    yield Case("scaled_integer_in_json", [_number(**_SCALED)], _merchant(rating=4))
    yield Case("plain_number", [_number()], _merchant(rating=0.1))
    yield Case("mean_alone", [_number(transform={"mean": 1.0})], _merchant(rating=0.1))
    yield Case("std_alone", [_number(transform={"std": 3.0})], _merchant(rating=1.0))
    for value in (0.0, 0.5, 1e-12, 123456.789, 1e9):
        yield Case(f"log1p_{value}", [_number("average_basket", **_LOG)], _merchant(average_basket=value))
    yield Case("log1p_missing", [_number("average_basket", **_LOG)], _merchant())
    plain_log = _number("page_views", transform={"log1p": True}, range=[0, 1e9])
    yield Case("log1p_alone", [plain_log], _merchant(page_views=99.0))
    yield Case("range_is_inclusive", [_number(range=[-1.5, 2.5])], _merchant(rating=-1.5))


def _series_cases():
    for length in (1, 4, 5, 6, 9):
        series = [float(n * n) for n in range(length)]
        yield Case(f"series_of_{length}_into_5", [_SERIES], _merchant(daily_gmv=series))
    yield Case("series_of_zeros", [_SERIES], _merchant(daily_gmv=[0.0, 0.0]))
    yield Case("series_padding_is_0_after_the_transform", [_SERIES_LOG], _merchant(daily_gmv=[0.0, 10.0, 100.5]))
    optional = {"name": "daily_orders", "kind": "number_list", "max_len": 4}
    yield Case("series_missing", [{**optional, "default": None}], _merchant())
    yield Case("series_empty_is_missing", [{**optional, "default": None}], _merchant(daily_orders=[]))
    yield Case("series_default", [{**optional, "default": [1.0, 2.0]}], _merchant())
    yield Case("series_default_empty", [{**optional, "default": []}], _merchant())
    yield Case("series_default_truncated", [{**optional, "default": [1.0, 2.0, 3.0, 4.0, 5.0]}], _merchant())


def _calendar_cases():
    def calendar(what, **more):
        return {"name": "when", "kind": "calendar", "calendar": what, **more}

    holidays = calendar({"dates_in_horizon": _HORIZON}, transform={"mean": 1.0, "std": 2.0})
    # 2016-09-05 is the first day of the horizon after AS_OF, 2016-10-02 the 28th and last.
    for as_of in ("2016-09-04", "2016-09-03", "2016-09-05", "2016-10-02", "2016-08-07", "2015-01-01"):
        yield Case(f"dates_in_horizon_after_{as_of}", [holidays], _merchant(as_of))
    bucketed = calendar({"dates_in_horizon": _HORIZON}, encoding={"edges": [1.0, 3.0]})
    yield Case("dates_in_horizon_bucketed", [bucketed], _merchant())
    for as_of in ("2016-02-29", "2016-09-04", "2016-09-05", "2017-01-01"):
        yield Case(f"day_of_week_of_{as_of}", [calendar("day_of_week")], _merchant(as_of))
        yield Case(f"month_of_{as_of}", [calendar("month")], _merchant(as_of))
    dense = [{"name": "dense", "dtype": "float32", "shape": [1], "features": ["when"]}]
    scaled = calendar("month", transform={"mean": 6.5, "std": 3.5})
    yield Case("month_into_dense", [scaled], _merchant(), inputs=dense)
    grouped = calendar("month", encoding={"edges": [4.0, 7.0, 10.0]})
    yield Case("month_bucketed", [grouped], _merchant())


def _extra_cases():
    trial = [
        {"name": "store_type", "kind": "category", "default": None, "encoding": {"vocabulary": ["mall", "street"]}},
        {"name": "floor_space", "kind": "number", "default": 50.0, "transform": {"mean": 10.0, "std": 4.0}},
        {"name": "weekly_visits", "kind": "number_list", "default": None, "max_len": 3},
        {"name": "tags", "kind": "category_list", "default": None, "max_len": 3, "encoding": _HASH},
    ]
    sent = {
        "store_type": {"category": "street"},
        "floor_space": {"number": 12.5},
        "weekly_visits": {"numbers": {"values": [1.0, 2.0]}},
        "tags": {"categories": {"values": ["new", "", "halal", "open late"]}},
    }
    yield Case("extra_of_every_kind", trial, _merchant(extra=sent))
    yield Case("extra_missing", trial, _merchant())
    empty = {"store_type": {}, "weekly_visits": {"numbers": {}}, "tags": {"categories": {"values": []}}}
    yield Case("extra_with_nothing_set_is_missing", trial, _merchant(extra=empty))


def _event_cases():
    items = {"name": "events.item", "kind": "category_list", "default": None, "max_len": 3, "encoding": _HASH}
    brands = {
        "name": "events.brand", "kind": "category_list", "default": None, "max_len": 3,
        "encoding": {"vocabulary": ["National", "Private"]},
    }  # fmt: skip
    times = {"name": "events.time", "kind": "number_list", "default": None, "max_len": 3, "range": [0, 1e5]}
    logged = {**times, "transform": {"log1p": True, "mean": 2.0, "std": 1.0}}
    prices = {"name": "events.price", "kind": "number_list", "default": None, "max_len": 3, "range": [0, 1e6],
              "transform": {"log1p": True}}  # fmt: skip
    first = {"time": "2016-12-31T23:59:59Z", "item": "1029743", "brand": "Private", "price": 2.5}
    second = {"time": "2017-03-01T12:30:27Z", "item": "牛奶", "brand": "other"}
    third = {"time": "2017-03-01T23:59:59.250Z", "brand": "National", "price": 10.0}
    fourth = {"time": "2017-03-01T00:00:00Z", "item": "82212", "price": 0.99}
    every = [items, brands, times, prices]
    for count in range(1, 5):
        events = (first, second, third, fourth)[:count]
        yield Case(f"events_{count}", every, _user(*events), "user_portrait")
    yield Case("events_none", every, _user(), "user_portrait")
    yield Case("events_time_log1p", [logged], _user(first, second), "user_portrait")
    yield Case("events_time_offset", [times], _user({"time": "2017-03-01T12:30:27+08:00"}), "user_portrait")
    scalar = {"name": "coupons_redeemed", "kind": "number", "default": 0.0, "encoding": _EDGES}
    yield Case("user_without_features", [scalar, items], {"user_id": "u", "as_of": AS_OF}, "user_portrait")


CASES = [
    case
    for cases in (
        _vocabulary_cases, _hash_cases, _number_cases, _series_cases, _calendar_cases, _extra_cases, _event_cases,
    )
    for case in cases()
]  # fmt: skip
