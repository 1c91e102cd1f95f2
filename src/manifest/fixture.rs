//! Example manifests for tests, as JSON, to be bent by each test. They use
//! every kind of feature and encoding once.

use serde_json::{Value, json};

use super::Manifest;

/// 64 hexadecimal digits.
pub(crate) const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

/// A forecast of GMV.
pub(crate) fn gmv() -> Value {
    json!({
        "format_version": 1, "model": "merchant_gmv", "version": 3, "task": "merchant_gmv",
        "torch_version": "2.11.0", "created_at": "2026-01-31T00:00:00Z",
        "files": {"model.pt": DIGEST, "golden.jsonl": DIGEST},
        "engine": "torchscript",
        "features": [
            {"name": "city", "kind": "category", "default": null, "encoding": {"vocabulary": ["Paris", "Lyon"]}},
            {"name": "area", "kind": "category", "default": "centre", "encoding": {"hash": {"buckets": 50}}},
            {"name": "rating", "kind": "number", "default": 3.5, "range": [0, 5],
             "transform": {"mean": 3.0, "std": 0.5}, "encoding": {"edges": [1.0, 2.0, 4.0]}},
            {"name": "shelf_life", "kind": "number", "default": null, "range": [0, 1000],
             "transform": {"log1p": true}},
            {"name": "daily_gmv", "kind": "number_list", "required": true, "range": [0, 1e9],
             "transform": {"log1p": true, "mean": 1.0, "std": 2.0}, "max_len": 4},
            {"name": "holidays", "kind": "calendar",
             "calendar": {"dates_in_horizon": {"dates": ["2026-05-01", "2026-05-08"], "horizon_days": 28}}},
            {"name": "weekday", "kind": "calendar", "calendar": "day_of_week"}
        ],
        "inputs": [
            {"name": "ids", "dtype": "int64", "shape": [4], "features": ["city", "area", "rating", "weekday"]},
            {"name": "dense", "dtype": "float32", "shape": [3], "features": ["rating", "shelf_life", "holidays"]},
            {"name": "daily_gmv", "dtype": "float32", "shape": [4], "features": ["daily_gmv"]}
        ],
        "outputs": [{"name": "ziln", "dtype": "float32", "shape": [3]}],
        "head": {"kind": "ziln", "output": "ziln", "currency": "EUR", "horizon_days": 28, "quantiles": [0.1, 0.5, 0.9]},
        "serving": {"max_batch_rows": 256, "warmup_rows": [1, 8]}
    })
}

/// Portraits of users.
pub(crate) fn portrait() -> Value {
    json!({
        "format_version": 1, "model": "user_portrait", "version": 1, "task": "user_portrait",
        "torch_version": "2.11.0", "created_at": "2026-01-31T00:00:00Z",
        "files": {"model.pt": DIGEST, "golden.jsonl": DIGEST, "MODEL_CARD.md": DIGEST},
        "engine": "torchscript",
        "features": [
            {"name": "tenure_days", "kind": "number", "default": null},
            {"name": "events.time", "kind": "number_list", "default": null, "range": [0, 400], "max_len": 3},
            {"name": "events.item", "kind": "category_list", "default": null, "max_len": 3,
             "encoding": {"hash": {"buckets": 100}}},
            {"name": "events.price", "kind": "number_list", "default": [1.0], "max_len": 3,
             "encoding": {"edges": [1.0, 10.0]}}
        ],
        "inputs": [
            {"name": "dense", "dtype": "float32", "shape": [1], "features": ["tenure_days"]},
            {"name": "time", "dtype": "float32", "shape": [3], "features": ["events.time"]},
            {"name": "item", "dtype": "int64", "shape": [3], "features": ["events.item"]},
            {"name": "price", "dtype": "int64", "shape": [3], "features": ["events.price"]}
        ],
        "outputs": [
            {"name": "age", "dtype": "float32", "shape": [2]},
            {"name": "departments", "dtype": "float32", "shape": [3]},
            {"name": "embedding", "dtype": "float32", "shape": [4]}
        ],
        "head": {"kind": "portrait", "groups": [
            {"name": "age", "kind": "softmax", "output": "age", "labels": ["18-34", "35+"],
             "calibration": {"scale": 0.5, "bias": [0.0, 1.0]}},
            {"name": "departments", "kind": "sigmoid", "output": "departments", "labels": ["FOOD", "DRUG", "MEAT"]},
            {"name": "embedding", "kind": "embedding", "output": "embedding"}
        ]},
        "serving": {"max_batch_rows": 64}
    })
}

/// The manifest in `value`, or what is wrong with it.
pub(crate) fn parsed(value: &Value) -> Result<Manifest, String> {
    Manifest::parse(value.to_string().as_bytes()).map_err(|error| error.problems.join("\n"))
}
