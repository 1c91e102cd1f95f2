//! What a server holds over time, and whether that grows.

use std::time::Duration;

use crate::process::Usage;

/// Heights of a line of blocks.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Widest line, in blocks.
const WIDTH: usize = 60;

/// Looks at a process, in the order of time.
#[derive(Default)]
pub(super) struct Samples(Vec<(Duration, Usage)>);

impl Samples {
    pub(super) fn add(&mut self, at: Duration, usage: Usage) {
        self.0.push((at, usage));
    }

    /// Those from a moment on.
    pub(super) fn since(&self, moment: Duration) -> Self {
        Self(self.0.iter().copied().filter(|(at, _)| *at >= moment).collect())
    }

    /// From the first look to the last.
    pub(super) fn span(&self) -> Duration {
        match (self.0.first(), self.0.last()) {
            (Some((first, _)), Some((last, _))) => last.saturating_sub(*first),
            _ => Duration::ZERO,
        }
    }

    /// How fast memory grows, in MiB an hour, by least squares; 0 for fewer than two looks.
    pub(super) fn slope(&self) -> f64 {
        let points: Vec<(f64, f64)> =
            self.0.iter().map(|(at, usage)| (at.as_secs_f64() / 3600.0, usage.resident_mib)).collect();
        let count = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count.max(1.0);
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let products: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
        let squares: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        if squares > 0.0 { products / squares } else { 0.0 }
    }

    /// Least and most memory, in MiB.
    pub(super) fn range(&self) -> (f64, f64) {
        let memory = self.0.iter().map(|(_, usage)| usage.resident_mib);
        memory.fold((f64::INFINITY, 0.0), |(least, most), mib| (mib.min(least), mib.max(most)))
    }

    /// Memory over time as a line of blocks from the least to the most; of each stretch the most.
    pub(super) fn sparkline(&self) -> String {
        let (least, most) = self.range();
        let stretch = self.0.len().div_ceil(WIDTH).max(1);
        let highest =
            |looks: &[(Duration, Usage)]| looks.iter().map(|(_, usage)| usage.resident_mib).fold(0.0, f64::max);
        let block = |mib: f64| {
            let height = (mib - least) / (most - least).max(1e-9) * (BLOCKS.len() - 1) as f64;
            BLOCKS.get(height.round() as usize).copied().unwrap_or(' ')
        };
        self.0.chunks(stretch).map(|looks| block(highest(looks))).collect()
    }
}
