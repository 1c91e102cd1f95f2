//! The ceiling of the model: the forward pass alone, on tensors that were made
//! beforehand, on all cores at once.

use std::{
    fs,
    path::Path,
    sync::Barrier,
    thread::{self, available_parallelism},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use souk::{
    manifest::{InputSpec, Manifest},
    rows::Dtype,
};
use tch::{CModule, Tensor};

/// Sizes of batches that are tried.
const BATCHES: [usize; 7] = [1, 8, 32, 64, 128, 256, 512];

/// Passes before anything is measured: libtorch's first ones are slow.
pub(crate) const WARM_UP: usize = 20;

/// What the forward pass alone reaches.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Raw {
    /// Rows a second on all cores, for each size of batch.
    pub(crate) rows_per_second: Vec<(usize, f64)>,
    /// Of one row on one thread, the others idle, in µs.
    pub(crate) one_row: f64,
}

impl Raw {
    /// Rows a second of the best size.
    pub(crate) fn best(&self) -> f64 {
        self.rows_per_second.iter().map(|(_, rate)| *rate).fold(0.0, f64::max)
    }
}

/// A version's module with golden inputs.
pub(crate) struct Model {
    module: CModule,
    inputs: Vec<(InputSpec, Vec<f64>)>,
    rows: usize,
}

/// Measures the version in `folder` and prints one line of JSON.
pub(crate) fn run(folder: &Path, length: Duration) -> anyhow::Result<()> {
    // As the server sets it: see src/model/torch.rs.
    tch::jit::f_set_profiling_mode(false)?;
    let model = Model::load(folder)?;
    let one_row = model.one_row(length)?;
    let rate = |rows: usize| Ok((rows, model.rows_per_second(rows, length)?));
    let rows_per_second = BATCHES.into_iter().map(rate).collect::<anyhow::Result<_>>()?;
    println!("{}", serde_json::to_string(&Raw { rows_per_second, one_row })?);
    Ok(())
}

impl Model {
    /// The version in `folder`, by whatever libtorch is set to.
    pub(crate) fn load(folder: &Path) -> anyhow::Result<Self> {
        let manifest = Manifest::parse(&fs::read(folder.join("manifest.json"))?).map_err(|error| anyhow!("{error}"))?;
        // From the file: copies of it in memory would be given back while memory is measured.
        let mut module = CModule::load(folder.join("model.pt"))?;
        module.f_set_eval()?;
        let golden = fs::read_to_string(folder.join("golden.jsonl"))?;
        let lines: Vec<Value> = golden.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let values = |spec: InputSpec| Ok((spec.clone(), values(&lines, &spec.name)?));
        let inputs = manifest.inputs.into_iter().map(values).collect::<anyhow::Result<_>>()?;
        Ok(Self { module, inputs, rows: lines.len() })
    }

    /// The golden inputs, repeated up to `rows`.
    pub(crate) fn tensors(&self, rows: usize) -> anyhow::Result<Vec<Tensor>> {
        self.inputs.iter().map(|(spec, values)| self.tensor(spec, values, rows)).collect()
    }

    fn tensor(&self, spec: &InputSpec, values: &[f64], rows: usize) -> anyhow::Result<Tensor> {
        let width = values.len() / self.rows;
        let repeated = values.iter().copied().cycle().take(rows * width);
        let flat = match spec.dtype {
            Dtype::Float32 => Tensor::f_from_slice(&repeated.map(|value| value as f32).collect::<Vec<_>>())?,
            Dtype::Int64 => Tensor::f_from_slice(&repeated.map(|value| value as i64).collect::<Vec<_>>())?,
            other => anyhow::bail!("input {} is of {other}", spec.name),
        };
        Ok(flat.f_reshape([i64::try_from(rows)?, i64::try_from(width)?])?)
    }

    fn one_row(&self, length: Duration) -> anyhow::Result<f64> {
        let _kept = set_up(1);
        let inputs = self.tensors(1)?;
        let mut latencies: Histogram<u64> = Histogram::new(3)?;
        (0..WARM_UP).try_for_each(|_| self.forward(&inputs))?;
        let begun = Instant::now();
        while begun.elapsed() < length {
            let sent = Instant::now();
            self.forward(&inputs)?;
            latencies.record(u64::try_from(sent.elapsed().as_nanos())?)?;
        }
        Ok(latencies.value_at_quantile(0.5) as f64 / 1000.0)
    }

    /// On one thread per core, all at once.
    fn rows_per_second(&self, rows: usize, length: Duration) -> anyhow::Result<f64> {
        let cores = available_parallelism()?.get();
        let together = Barrier::new(cores);
        let rates = thread::scope(|scope| {
            let threads: Vec<_> = (0..cores).map(|_| scope.spawn(|| self.rate(rows, length, &together))).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?).collect()
        });
        let rates: Vec<f64> = Result::from_iter::<Vec<anyhow::Result<f64>>>(rates)?;
        Ok(rates.iter().sum())
    }

    fn rate(&self, rows: usize, length: Duration, together: &Barrier) -> anyhow::Result<f64> {
        let _kept = set_up(1);
        let inputs = self.tensors(rows)?;
        let warm = (0..WARM_UP).try_for_each(|_| self.forward(&inputs));
        together.wait();
        warm?;
        let (begun, mut passes) = (Instant::now(), 0_u32);
        while begun.elapsed() < length {
            self.forward(&inputs)?;
            passes += 1;
        }
        Ok(f64::from(passes) * rows as f64 / begun.elapsed().as_secs_f64())
    }

    /// One pass.
    pub(crate) fn forward(&self, inputs: &[Tensor]) -> anyhow::Result<()> {
        self.module.forward_ts(inputs).map(drop).context("the forward pass")
    }
}

/// A thread for forward passes, as the server sets its own up.
pub(crate) fn set_up(intra_op: i32) -> impl Drop {
    tch::set_num_threads(intra_op);
    tch::no_grad_guard()
}

fn values(lines: &[Value], name: &str) -> anyhow::Result<Vec<f64>> {
    let mut all = Vec::new();
    for line in lines {
        let row = line.get("inputs").and_then(|inputs| inputs.get(name)).and_then(Value::as_array);
        let row = row.with_context(|| format!("golden.jsonl has no input {name}"))?;
        all.extend(row.iter().filter_map(Value::as_f64));
    }
    ensure!(!all.is_empty() && all.len() % lines.len() == 0, "golden.jsonl: input {name} is ragged");
    Ok(all)
}
