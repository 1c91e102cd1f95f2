//! A version that scores all that its equal answers: what that costs, and what the
//! server says of how they differ.

use std::time::Duration;

use tokio::time::sleep;

use super::{Ask, open, twins::Twins};
use crate::{
    load::Shape,
    results::{Compared, Kind, Results, Who},
};

/// How often each is measured, one after the other.
const TURNS: usize = 5;

/// The same of a smoke test.
const QUICK_TURNS: usize = 2;

/// In this time what waits for comparison is compared.
const SETTLED: Duration = Duration::from_secs(1);

pub(super) async fn run(twins: &Twins<'_>, results: &mut Results) -> anyhow::Result<()> {
    let hall = &twins.hall;
    let mut orders = twins.orders.clone();
    orders.load(1).await?;
    let shape = Shape::Closed { callers: open::CALLERS };
    let ask = Ask { rows: 1, shape, deadline: None, length: hall.settings.length() };
    for _ in 0..if hall.settings.quick { QUICK_TURNS } else { TURNS } {
        orders.traffic(&[("stable", 2)]).await?;
        hall.measure(Kind::Shadow { beside: false }, Who::Souk, ask, results).await?;
        orders.traffic(&[("stable", 2), ("shadow", 1)]).await?;
        hall.measure(Kind::Shadow { beside: true }, Who::Souk, ask, results).await?;
    }
    sleep(SETTLED).await;
    let compared = orders.comparisons().await?.into_iter().map(|comparison| Compared {
        rows: comparison.rows,
        difference: comparison.max_absolute_difference,
        relative: comparison.relative_difference,
        correlation: comparison.rank_correlation,
    });
    results.compared.extend(compared);
    Ok(())
}
