//! How long answers take when requests come by the clock.

use super::{Ask, Hall};
use crate::{
    load::Shape,
    results::{Kind, Rate, Results, Who},
};

/// Requests a second that both contenders get.
const RATES: [Rate; 6] = [
    Rate::Fixed(5000.0),
    Rate::Fixed(9000.0),
    Rate::Capacity(0.5),
    Rate::Capacity(1.0),
    Rate::Capacity(2.0),
    Rate::Capacity(3.0),
];

/// Callers of the closed loop whose rate is called the capacity.
pub(super) const CALLERS: usize = 64;

/// More are not sent while so many are open: no fleet of clients waits without end.
pub(super) const IN_FLIGHT: usize = 4096;

pub(super) async fn run(hall: &Hall<'_>, results: &mut Results) -> anyhow::Result<()> {
    let capacity = capacity(hall, 1).await?;
    for rate in RATES {
        let per_second = match rate {
            Rate::Fixed(rate) => rate,
            Rate::Capacity(times) => times * capacity,
        };
        let shape = Shape::Open { rate: per_second, in_flight: IN_FLIGHT };
        let ask = Ask { rows: 1, shape, deadline: None, length: hall.settings.length() };
        for who in [Who::Echo, Who::Souk] {
            hall.measure(Kind::Open { rate }, who, ask, results).await?;
        }
    }
    Ok(())
}

/// Requests of `rows` rows that Souk answers in a second.
pub(super) async fn capacity(hall: &Hall<'_>, rows: usize) -> anyhow::Result<f64> {
    let shape = Shape::Closed { callers: CALLERS };
    let ask = Ask { rows, shape, deadline: None, length: hall.settings.length() };
    Ok(hall.send(Who::Souk, ask).await?.per_second())
}
