//! The published data sets through training's encoder and through ours, and the
//! metrics of the model card through the server.
//!
//! Needs `SOUK_DATA`, the folder of the data sets, and `SOUK_PYTHON`, a Python
//! with `models/training/requirements.txt`; without them it says so and passes.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use souk::{
    api::JsonForms,
    features::Encoder,
    manifest::Manifest,
    model::RowReader as _,
    rows::{Column, Values},
};
use tempfile::TempDir;

use super::common::{
    models,
    program::{souk, stderr},
    server::Launch,
};

/// Dense values come from the same f64 formulas and are both cast to float32.
const RELATIVE: f64 = 1e-6;

/// A data set in training's layout.
struct DataSet {
    python: String,
    folder: TempDir,
}

impl DataSet {
    /// Adapted anew; `None` where the environment names no data.
    #[allow(clippy::disallowed_methods, reason = "a test is no program that could read it once")]
    #[allow(clippy::print_stderr, reason = "a test that is skipped must say so")]
    fn adapted(name: &str) -> Option<Self> {
        let (Ok(data), Ok(python)) = (std::env::var("SOUK_DATA"), std::env::var("SOUK_PYTHON")) else {
            eprintln!("skipped: SOUK_DATA and SOUK_PYTHON name no data sets and no Python");
            return None;
        };
        let set = Self { python, folder: tempfile::tempdir().unwrap() };
        let data = Path::new(&data).join(name.replace('-', "_")).canonicalize().unwrap();
        set.training(&["adapt", name, "--data", data.to_str().unwrap(), "--out", &set.file("layout")]);
        Some(set)
    }

    /// A path in the set's folder.
    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// `python -m souk_training …`; what it printed.
    fn training(&self, arguments: &[&str]) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(root.join(&self.python));
        command.args(["-m", "souk_training"]).args(arguments).current_dir(root);
        command.env("PYTHONPATH", root.join("models/training")).env("PYTHONDONTWRITEBYTECODE", "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// `python -m souk_training rows …` for the newest shipped version.
    fn rows(&self, task: &str, model: &str, as_of: &str, more: &[&str]) {
        let manifest = manifest_of(model).to_str().unwrap().to_owned();
        let (layout, out) = (self.file("layout"), self.file("rows.jsonl"));
        let known = ["rows", task, "--layout", &layout, "--manifest", &manifest, "--as-of", as_of, "--out", &out];
        self.training(&[&known, more].concat());
    }

    /// Encodes every row of `encoded.jsonl` and compares; how many there were.
    fn compare(&self, model: &str) -> usize {
        let manifest = Manifest::parse(&fs::read(manifest_of(model)).unwrap()).unwrap();
        let forms = JsonForms::new().unwrap();
        let encoder = Encoder::new(&manifest, forms.fields(manifest.task)).unwrap();
        let lines = BufReader::new(File::open(self.file("encoded.jsonl")).unwrap()).lines();
        let mut compared = 0;
        for line in lines.map(Result::unwrap) {
            let line: Value = serde_json::from_str(&line).unwrap();
            let mut rows = encoder.empty_rows(1);
            forms.encode(manifest.task, &line["row"].to_string(), &encoder, &mut rows).unwrap();
            for (spec, column) in manifest.inputs.iter().zip(rows.columns()) {
                assert_equal(&format!("row {compared}, input {}", spec.name), column, &line["inputs"][&spec.name]);
            }
            compared += 1;
        }
        compared
    }
}

fn manifest_of(model: &str) -> PathBuf {
    models::newest(model).path.join("manifest.json")
}

fn assert_equal(place: &str, ours: &Column, theirs: &Value) {
    match &ours.values {
        Values::I64(ours) => {
            let theirs: Vec<i64> = serde_json::from_value(theirs.clone()).unwrap();
            assert_eq!(ours, &theirs, "{place}");
        }
        Values::F32(ours) => {
            let theirs: Vec<f64> = serde_json::from_value(theirs.clone()).unwrap();
            let near = |(ours, theirs): (&f32, &f64)| {
                let ours = f64::from(*ours);
                (ours - theirs).abs() <= RELATIVE * ours.abs().max(theirs.abs())
            };
            assert_eq!(ours.len(), theirs.len(), "{place}");
            assert!(ours.iter().zip(&theirs).all(near), "{place}: {ours:?} for {theirs:?}");
        }
        Values::Raw { .. } => panic!("{place}: features fill no raw columns"),
    }
}

#[test]
fn every_shop_is_encoded_as_training_does() {
    let Some(koubei) = DataSet::adapted("koubei") else { return };
    let encoded = koubei.file("encoded.jsonl");
    koubei.rows("merchant-gmv", "merchant_gmv", "2016-10-02", &["--all-shops", "--encoded", &encoded]);
    assert_eq!(koubei.compare("merchant_gmv"), 2_000);
}

#[test]
fn every_household_is_encoded_as_training_does() {
    let Some(journey) = DataSet::adapted("complete-journey") else { return };
    let encoded = journey.file("encoded.jsonl");
    journey.rows("user-portrait", "user_portrait", "2017-12-31", &["--encoded", &encoded]);
    // 2,469 of the panel's 2,500 households have transactions in the published sample.
    assert!(journey.compare("user_portrait") > 2_400);
}

#[tokio::test]
async fn the_scored_shops_have_the_metrics_of_the_model_card() {
    let Some(koubei) = DataSet::adapted("koubei") else { return };
    let (actuals, scored) = (koubei.file("actuals.csv"), koubei.file("scored.jsonl"));
    koubei.rows("merchant-gmv", "merchant_gmv", "2016-10-02", &["--actuals", &actuals]);

    let server = Launch::new().serving().await;
    let input = koubei.file("rows.jsonl");
    let arguments = ["score", "merchant-gmv", "--input", &input, "--output", &scored, "--addr", &server.url()];
    let output = souk(koubei.folder.path(), &arguments).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));

    let metrics = koubei.training(&["metrics", "--actuals", &actuals, "--scored", &scored]);
    let card = fs::read_to_string(models::newest("merchant_gmv").path.join("MODEL_CARD.md")).unwrap();
    for name in ["wape", "rmsle"] {
        let served: f64 = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap();
        let printed = on_card(&card, &name.to_uppercase(), "2016-10-03");
        let digits = printed.split_once('.').unwrap().1.len();
        assert_eq!(format!("{served:.digits$}"), printed, "{name}:\n{metrics}");
    }
}

/// The cell of this version's row in the table of `metric`, in the column of `origin`.
fn on_card(card: &str, metric: &str, origin: &str) -> String {
    let (_, table) = card.split_once(&format!("\n{metric}, by test origin")).unwrap();
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let mut lines = table.lines().filter(|line| line.starts_with('|')).map(cells);
    let column = lines.next().unwrap().iter().position(|cell| cell == origin).unwrap();
    lines.find(|cells| cells[1].contains("this version")).unwrap()[column].clone()
}
