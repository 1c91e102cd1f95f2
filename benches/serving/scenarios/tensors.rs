//! How much is answered by the Open Inference Protocol, with raw contents.

use super::{Ask, Hall};
use crate::{
    load::Shape,
    results::{Kind, Results, Who},
};

/// Callers and rows: what compares with the echo, and with the forward pass.
pub(crate) const POINTS: [(usize, usize); 2] = [(64, 1), (8, 64)];

pub(super) async fn run(hall: &Hall<'_>, results: &mut Results) -> anyhow::Result<()> {
    for (callers, rows) in POINTS {
        let ask = Ask { rows, shape: Shape::Closed { callers }, deadline: None, length: hall.settings.length() };
        for who in [Who::Echo, Who::Souk] {
            hall.measure(Kind::Closed { callers, rows }, who, ask, results).await?;
        }
    }
    Ok(())
}
