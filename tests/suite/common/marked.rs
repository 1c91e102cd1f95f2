//! A tiny model that misbehaves on merchants with marked ratings.
//!
//! `tests/fixtures/marked.pt`, which the training package writes, in a version
//! folder of `merchant_gmv`. Its forecast depends on rating and city alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use souk::api::proto::v1::{GmvForecast, Merchant, MerchantFeatures};
use tempfile::TempDir;

use super::{
    models::digest,
    server::{Launch, empty_root},
};

/// Makes the model raise, for the whole batch.
pub(crate) const RAISES: f64 = 99.0;

/// Gives NaN in its row.
pub(crate) const NOT_A_NUMBER: f64 = 98.0;

/// Makes the batch take some 20 ms.
pub(crate) const SLOW: f64 = 97.0;

/// The cities that the version knows: ids 1 and 2 of a table of three.
pub(crate) const CITIES: [&str; 2] = ["north", "south"];

const DATE: &str = "2016-10-02";

/// A launch with this model only; it lives in the folder.
pub(crate) fn launch() -> (TempDir, Launch) {
    launch_with(|_| ())
}

/// The same, with another manifest.
pub(crate) fn launch_with(change: impl FnOnce(&mut Value)) -> (TempDir, Launch) {
    let (folder, root) = empty_root();
    let mut manifest = manifest();
    change(&mut manifest);
    write(&root.join("merchant_gmv/1"), manifest);
    let launch = Launch::new().set("models.root", root.display());
    (folder, launch)
}

/// The model as a version of this number.
pub(crate) fn version(root: &Path, number: u64) {
    let mut manifest = manifest();
    manifest["version"] = number.into();
    write(&root.join("merchant_gmv").join(number.to_string()), manifest);
}

/// A merchant in no known city.
pub(crate) fn rated(rating: f64) -> Merchant {
    let features = MerchantFeatures { rating: Some(rating), ..MerchantFeatures::default() };
    Merchant { merchant_id: format!("rated {rating}"), features: Some(features), as_of: DATE.into() }
}

/// A merchant in a city.
pub(crate) fn rated_in(city: &str, rating: f64) -> Merchant {
    let mut merchant = rated(rating);
    merchant.features.as_mut().unwrap().city = Some(city.into());
    merchant
}

/// As many merchants, of which the first makes the batch slow.
pub(crate) fn slow(rows: usize) -> Vec<Merchant> {
    (0..rows).map(|row| rated(if row == 0 { SLOW } else { 1.0 })).collect()
}

/// Whether this is the forecast for the rating and the city's id.
pub(crate) fn is_of(forecast: &GmvForecast, rating: f64, id: usize) -> bool {
    let wanted = (mu(rating, id) + 0.5).exp() / (1.0 + (-0.5_f64).exp());
    (forecast.expected_gmv - wanted).abs() <= 1e-5 * wanted
}

fn mu(rating: f64, id: usize) -> f64 {
    rating / 100.0 + 0.5 * id as f64
}

fn write(folder: &Path, mut manifest: Value) {
    fs::create_dir_all(folder).unwrap();
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/marked.pt");
    let golden: String = (0..9).map(|row| format!("{}\n", golden(row))).collect();
    let files = [
        ("model.pt", fs::read(fixture).unwrap()),
        ("golden.jsonl", golden.into_bytes()),
        ("MODEL_CARD.md", b"# For tests only\n".to_vec()),
    ];
    for (name, bytes) in files {
        manifest["files"][name] = digest(&bytes).into();
        fs::write(folder.join(name), bytes).unwrap();
    }
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
}

fn golden(row: usize) -> Value {
    let (id, rating) = (row % 3, 10.0 * row as f64);
    let mut features = json!({"rating": rating});
    if let Some(city) = id.checked_sub(1).map(|index| CITIES[index]) {
        features["city"] = city.into();
    }
    json!({
        "row": {"merchant_id": format!("golden-{row}"), "features": features, "as_of": DATE},
        "inputs": {"ids": [id], "dense": [rating]},
        "outputs": {"ziln": [0.5, mu(rating, id), 1.0]},
    })
}

fn manifest() -> Value {
    json!({
        "format_version": 1,
        "model": "merchant_gmv",
        "version": 1,
        "task": "merchant_gmv",
        "description": "misbehaves on marked ratings",
        "torch_version": "2.11.0",
        "created_at": "2026-01-01T00:00:00Z",
        "files": {},
        "engine": "torchscript",
        "features": [
            {"name": "city", "kind": "category", "default": null, "encoding": {"vocabulary": CITIES}},
            {"name": "rating", "kind": "number", "default": null, "range": [0.0, 100.0]},
        ],
        "inputs": [
            {"name": "ids", "dtype": "int64", "shape": [1], "features": ["city"]},
            {"name": "dense", "dtype": "float32", "shape": [1], "features": ["rating"]},
        ],
        "outputs": [{"name": "ziln", "dtype": "float32", "shape": [3]}],
        "head": {
            "kind": "ziln", "output": "ziln", "currency": "CNY", "horizon_days": 28, "quantiles": [0.5],
        },
        "tolerance": {"absolute": 1e-6, "relative": 1e-5},
        "serving": {"max_batch_rows": 256, "warmup_rows": [1, 8, 64]},
    })
}
