//! How much is answered when callers wait for their answers.

use super::{Ask, Hall};
use crate::{
    load::Shape,
    results::{Kind, Results, Who},
};

/// Rows in a request: the smallest one, and a page of a ranking.
const ROWS: [usize; 2] = [1, 64];

pub(super) async fn run(hall: &Hall<'_>, results: &mut Results) -> anyhow::Result<()> {
    for rows in ROWS {
        for &callers in &hall.settings.callers {
            let ask = Ask { rows, shape: Shape::Closed { callers }, deadline: None, length: hall.settings.length() };
            for who in [Who::Echo, Who::Souk] {
                hall.measure(Kind::Closed { callers, rows }, who, ask, results).await?;
            }
        }
    }
    Ok(())
}
