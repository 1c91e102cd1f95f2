//! More than can be answered: what is refused, how soon, and what that costs those
//! who are answered.

use std::time::Duration;

use tokio::time::sleep;

use super::{Ask, Hall};
use crate::{
    load::Shape,
    results::{Kind, Results, Who},
    settings::Model,
};

/// What callers allow.
pub(crate) const DEADLINE: Duration = Duration::from_millis(50);

/// Rows in a request.
pub(crate) const ROWS: usize = 64;

/// Callers of the closed loops whose best rate is the capacity.
pub(crate) const CALLERS: [usize; 2] = [8, 32];

/// Times the capacity.
pub(crate) const TIMES: [f64; 3] = [1.0, 2.0, 3.0];

/// More are not sent while so many are open.
const IN_FLIGHT: usize = 512;

/// Requests a second before and after, of one row.
const CALM_RATE: f64 = 200.0;

/// After this the server must be as it was before.
const RECOVERY: Duration = Duration::from_secs(2);

/// The generator's rate in a flood; what it can't send it skips.
const FLOOD_RATE: f64 = 100_000.0;

/// On the reference model: with the shipped one the generator would be the bottleneck.
pub(super) async fn run(hall: &Hall<'_>, results: &mut Results) -> anyhow::Result<()> {
    if hall.model != Model::Reference {
        return Ok(());
    }
    let capacity = capacity(hall, results).await?;
    for deadline in [true, false] {
        calm(hall, false, deadline, results).await?;
        for times in TIMES {
            let shape = Shape::Open { rate: times * capacity, in_flight: IN_FLIGHT };
            let ask =
                Ask { rows: ROWS, shape, deadline: deadline.then_some(DEADLINE), length: hall.settings.overload() };
            hall.measure(Kind::Overload { times, deadline }, Who::Souk, ask, results).await?;
        }
        sleep(RECOVERY).await;
        calm(hall, true, deadline, results).await?;
    }
    results.late_rows.extend(hall.metric("souk_late_rows_run_total").await);
    Ok(())
}

/// One row a request on the shipped model, as fast as the generator can.
pub(super) async fn flood(hall: &Hall<'_>, results: &mut Results) -> anyhow::Result<()> {
    if hall.model == Model::Shipped {
        let shape = Shape::Open { rate: FLOOD_RATE, in_flight: IN_FLIGHT };
        let ask = Ask {
            rows: 1,
            shape,
            deadline: Some(DEADLINE),
            length: hall.settings.overload().min(Duration::from_secs(10)),
        };
        hall.measure(Kind::Flood, Who::Souk, ask, results).await?;
    }
    Ok(())
}

/// Requests a second that Souk answers when it is not asked for more.
async fn capacity(hall: &Hall<'_>, results: &mut Results) -> anyhow::Result<f64> {
    let mut best: f64 = 0.0;
    for callers in CALLERS {
        let ask = Ask { rows: ROWS, shape: Shape::Closed { callers }, deadline: None, length: hall.settings.length() };
        let measured = hall.measure(Kind::Capacity { callers }, Who::Souk, ask, results).await?;
        best = best.max(measured.per_second());
    }
    Ok(best)
}

async fn calm(hall: &Hall<'_>, after: bool, deadline: bool, results: &mut Results) -> anyhow::Result<()> {
    let shape = Shape::Open { rate: CALM_RATE, in_flight: IN_FLIGHT };
    let ask = Ask { rows: 1, shape, deadline: None, length: hall.settings.length() };
    hall.measure(Kind::Calm { after, deadline }, Who::Souk, ask, results).await.map(drop)
}
