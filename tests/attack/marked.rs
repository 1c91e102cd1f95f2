//! A version of `merchant_gmv` whose every answer is known: a function of rating and city alone.
//!
//! Its `model.pt` is `tests/fixtures/marked.pt`, which misbehaves on merchants with marked ratings; so
//! the program itself can serve it, and [`crate::evil`] answers the same numbers without libtorch.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Makes the model raise, for the whole batch.
pub(crate) const RAISES: f64 = 99.0;

/// Gives NaN in its row.
pub(crate) const NOT_A_NUMBER: f64 = 98.0;

/// Ratings below this are answered.
pub(crate) const RATINGS: u32 = 90;

/// The cities that the version knows: ids 1 and 2; 0 is any other.
pub(crate) const CITIES: [&str; 2] = ["north", "south"];

/// The day before the horizon.
pub(crate) const DATE: &str = "2016-10-02";

/// What the model answers: logit and sigma are the same for all.
pub(crate) const LOGIT: f64 = 0.5;
pub(crate) const SIGMA: f64 = 1.0;

/// The model's second output.
pub(crate) fn mu(rating: f64, city: usize) -> f64 {
    rating / 100.0 + 0.5 * city as f64
}

/// The mean of the forecast: `sigmoid(logit) · exp(mu + sigma² / 2)`.
pub(crate) fn expected(logit: f64, mu: f64, sigma: f64) -> f64 {
    (mu + sigma * sigma / 2.0).exp() / (1.0 + (-logit).exp())
}

/// Writes `<root>/merchant_gmv/<number>`.
pub(crate) fn write(root: &Path, number: u64) -> anyhow::Result<()> {
    let folder = root.join("merchant_gmv").join(number.to_string());
    fs::create_dir_all(&folder)?;
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/marked.pt");
    let golden: String = (0..9).map(|row| format!("{}\n", golden(row))).collect();
    let files = [("model.pt", fs::read(fixture)?), ("golden.jsonl", golden.into_bytes())];
    let digests = files.iter().map(|(name, bytes)| ((*name).to_owned(), digest(bytes).into()));
    let manifest = manifest(number, Value::Object(digests.collect()));
    for (name, bytes) in &files {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(fs::write(folder.join("manifest.json"), manifest.to_string())?)
}

fn golden(row: u32) -> Value {
    let (city, rating) = (row as usize % (CITIES.len() + 1), f64::from(10 * row));
    let mut features = json!({"rating": rating});
    if let (Some(name), Some(features)) =
        (city.checked_sub(1).and_then(|index| CITIES.get(index)), features.as_object_mut())
    {
        features.insert("city".into(), (*name).into());
    }
    json!({
        "row": {"merchant_id": format!("golden-{row}"), "features": features, "as_of": DATE},
        "inputs": {"ids": [city], "dense": [rating]},
        "outputs": {"ziln": [LOGIT, mu(rating, city), SIGMA]},
    })
}

fn manifest(number: u64, files: Value) -> Value {
    json!({
        "format_version": 1, "model": "merchant_gmv", "version": number, "task": "merchant_gmv",
        "description": "answers what is known beforehand", "torch_version": "2.11.0",
        "created_at": "2026-01-01T00:00:00Z", "files": files, "engine": "torchscript",
        "features": [
            {"name": "city", "kind": "category", "default": null, "encoding": {"vocabulary": CITIES}},
            {"name": "rating", "kind": "number", "default": null, "range": [0.0, 100.0]},
        ],
        "inputs": [
            {"name": "ids", "dtype": "int64", "shape": [1], "features": ["city"]},
            {"name": "dense", "dtype": "float32", "shape": [1], "features": ["rating"]},
        ],
        "outputs": [{"name": "ziln", "dtype": "float32", "shape": [3]}],
        "head": {"kind": "ziln", "output": "ziln", "currency": "CNY", "horizon_days": 28, "quantiles": [0.5]},
        "tolerance": {"absolute": 1e-6, "relative": 1e-5},
        "serving": {"max_batch_rows": 256, "warmup_rows": [1, 8, 64]},
    })
}

/// sha256 in lower-case hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
