//! The engine: the numbers of [`crate::marked`], and whatever it was told to do wrong.

#![expect(clippy::panic, reason = "to panic is what it is for")]

use std::{
    num::NonZeroUsize,
    panic::panic_any,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use souk::{
    cost::Cost,
    manifest::Manifest,
    model::{Engines, ModelFile, batch_limit},
    rows::{Column, Forward, ForwardError, Rows, Values},
};

use super::{DONE, Order};
use crate::marked::{LOGIT, NOT_A_NUMBER, RAISES, SIGMA, mu};

/// What a pass takes, as a small network does.
const PASS: Duration = Duration::from_micros(100);

/// How much slower it is on demand.
const SLOWER: u32 = 20;

/// Loads the same model whatever the file holds.
pub(super) struct Evil(pub(super) Arc<Mood>);

/// What was ordered and not done yet.
#[derive(Default)]
pub(super) struct Mood(Mutex<Ordered>);

#[derive(Default)]
struct Ordered {
    lasting: Option<(Order, Instant)>,
    hang: Option<Duration>,
    panics: usize,
    kills: usize,
    passes: usize,
}

/// What becomes of one pass.
enum Fate {
    Good,
    Raise,
    Slow,
    RowTooMany,
    TooNarrow,
    Hang(Duration),
    Panic,
    Kill,
}

struct Model {
    mood: Arc<Mood>,
    name: String,
    version: u64,
    most: NonZeroUsize,
    cost: Cost,
}

/// What a panic throws that catching alone does not survive: it panics again where it is dropped.
struct Bomb;

impl Mood {
    pub(super) fn follow(&self, order: Order) {
        let mut ordered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match order {
            Order::Raise(length) | Order::Slow(length) | Order::Shape(length) => {
                ordered.lasting = Some((order, Instant::now() + length));
            }
            Order::Hang(length) => ordered.hang = Some(length),
            Order::Panic(times) => ordered.panics = times,
            Order::Kill(times) => ordered.kills = times,
        }
    }

    fn next(&self) -> Fate {
        let mut ordered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fate = ordered.fate();
        drop(ordered);
        if !matches!(fate, Fate::Good) {
            println!("{DONE}");
        }
        fate
    }
}

impl Ordered {
    fn fate(&mut self) -> Fate {
        self.passes += 1;
        if let Some(length) = self.hang.take() {
            return Fate::Hang(length);
        }
        if self.kills > 0 {
            self.kills -= 1;
            return Fate::Kill;
        }
        if self.panics > 0 {
            self.panics -= 1;
            return Fate::Panic;
        }
        match self.lasting.filter(|(_, until)| Instant::now() < *until) {
            Some((Order::Raise(_), _)) => Fate::Raise,
            Some((Order::Slow(_), _)) => Fate::Slow,
            Some((Order::Shape(_), _)) if self.passes.is_multiple_of(2) => Fate::RowTooMany,
            Some((Order::Shape(_), _)) => Fate::TooNarrow,
            _ => Fate::Good,
        }
    }
}

impl Engines for Evil {
    fn release(&self) -> &str {
        "2.11.0"
    }

    fn load(&self, manifest: &Manifest, _model: &ModelFile) -> Result<Arc<dyn Forward>, String> {
        let (name, version) = (manifest.model.clone(), manifest.version);
        let most = batch_limit(manifest, NonZeroUsize::MAX);
        Ok(Arc::new(Model { mood: Arc::clone(&self.0), name, version, most, cost: Cost::default() }))
    }
}

impl Forward for Model {
    fn identity(&self) -> (&str, u64) {
        (&self.name, self.version)
    }

    fn max_batch_rows(&self) -> NonZeroUsize {
        self.most
    }

    fn cost(&self) -> &Cost {
        &self.cost
    }

    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
        let rows = Rows::joined(parts)?;
        let (mut more, mut width) = (0, 3);
        match self.mood.next() {
            Fate::Good => spin(PASS),
            Fate::Raise => return Err(ForwardError::Raised("it was told to raise".into())),
            Fate::Slow => thread::sleep(PASS * SLOWER),
            Fate::RowTooMany => more = 1,
            Fate::TooNarrow => width = 2,
            Fate::Hang(length) => thread::sleep(length),
            Fate::Panic => panic_any("it was told to panic"),
            Fate::Kill => panic_any(Bomb),
        }
        let mut values = answers(&rows)?;
        values.resize(3 * (rows.len() + more), 0.0);
        values.truncate(width * (rows.len() + more));
        let column = Column::new(width, Values::F32(values));
        Rows::new(rows.len() + more, vec![column]).map_err(|ragged| ForwardError::Raised(ragged.to_string()))
    }
}

fn answers(rows: &Rows) -> Result<Vec<f32>, ForwardError> {
    let number = |column: usize, row| {
        rows.columns().get(column).and_then(|column| column.row_numbers(row).first().copied()).unwrap_or(f64::NAN)
    };
    let mut values = Vec::with_capacity(3 * rows.len());
    for row in 0..rows.len() {
        let (city, rating) = (number(0, row), number(1, row));
        if rating == RAISES {
            return Err(ForwardError::Raised("a marked row".into()));
        }
        let mu = if rating == NOT_A_NUMBER { f64::NAN } else { mu(rating, city as usize) };
        values.extend([LOGIT, mu, SIGMA].map(|value| value as f32));
    }
    Ok(values)
}

/// Keeps the core, as a pass does.
fn spin(length: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < length {
        std::hint::spin_loop();
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any("and its thread with it");
    }
}
