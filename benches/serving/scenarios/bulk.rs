//! Single requests beside a stream at full speed.

use std::time::Duration;

use super::{Ask, Hall};
use crate::{
    load::Shape,
    results::{Kind, Point, Results, Who},
    settings::Model,
};

/// Single requests a second.
const RATE: f64 = 200.0;

/// Messages that the stream is ahead of its answers.
const UNANSWERED: usize = 16;

/// Shorter, and a 99th percentile would be a handful of requests.
const SHORTEST: Duration = Duration::from_secs(5);

pub(super) async fn run(hall: &Hall<'_>, results: &mut Results) -> anyhow::Result<()> {
    if hall.model != Model::Reference {
        return Ok(());
    }
    let length = hall.settings.length().max(SHORTEST);
    let single = Ask { rows: 1, shape: Shape::Open { rate: RATE, in_flight: 512 }, deadline: None, length };
    let stream = Ask { rows: 64, shape: Shape::Stream { unanswered: UNANSWERED }, deadline: None, length };
    hall.measure(Kind::Interactive { beside: false }, Who::Souk, single, results).await?;
    let beside = hall.measure(Kind::Interactive { beside: true }, Who::Souk, single, results);
    let (beside, bulk) = tokio::join!(beside, hall.send(Who::Souk, stream));
    beside?;
    results.add(Point { model: hall.model, kind: Kind::Bulk }, Who::Souk, bulk?);
    Ok(())
}
