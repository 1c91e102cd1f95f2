//! Faults of the model: what the engine does wrong, and only to whom it may.

use std::time::Duration;

use tokio::time::sleep;

use super::{Injected, Scale, stage::Stage};
use crate::{
    evil::Order,
    honest::ledger::Chapter,
    marked::{NOT_A_NUMBER, RAISES},
};

/// What the engine does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    RaisesOnMarked,
    NotANumberOnMarked,
    RaisesOnAll,
    Slow,
    Hangs,
    Panics,
    DiesWithItsThread,
    WrongShape,
}

impl Fault {
    pub(super) const ALL: [Self; 8] = [
        Self::RaisesOnMarked,
        Self::NotANumberOnMarked,
        Self::RaisesOnAll,
        Self::Slow,
        Self::Hangs,
        Self::Panics,
        Self::DiesWithItsThread,
        Self::WrongShape,
    ];

    /// The chapter of this fault.
    pub(super) fn chapter(self) -> Chapter {
        let name = match self {
            Self::RaisesOnMarked => "raises on a row of each request",
            Self::NotANumberOnMarked => "NaN for a row of each request",
            Self::RaisesOnAll => "raises on everything",
            Self::Slow => "takes 20 times as long",
            Self::Hangs => "hangs",
            Self::Panics => "panics",
            Self::DiesWithItsThread => "dies with its runner",
            Self::WrongShape => "answers a wrong shape",
        };
        let mark = match self {
            Self::RaisesOnMarked => Some(RAISES),
            Self::NotANumberOnMarked => Some(NOT_A_NUMBER),
            _ => None,
        };
        let may_fail = matches!(self, Self::RaisesOnAll | Self::Panics | Self::DiesWithItsThread | Self::WrongShape);
        Chapter { mark, may_fail, ..Chapter::new(name) }
    }

    pub(super) async fn inject(self, stage: &mut Stage, scale: &Scale) -> anyhow::Result<Injected> {
        let before = stage.server.done();
        let lasting = match self {
            // The requests are what is wrong.
            Self::RaisesOnMarked | Self::NotANumberOnMarked => None,
            Self::RaisesOnAll => Some(Order::Raise(scale.length)),
            Self::Slow => Some(Order::Slow(scale.length)),
            Self::WrongShape => Some(Order::Shape(scale.length)),
            Self::Hangs => {
                for _ in 0..scale.times {
                    stage.server.order(Order::Hang(scale.hang)).await?;
                    sleep(scale.hang).await;
                }
                return Ok(Injected::times(stage.server.done() - before));
            }
            Self::Panics => return several(stage, Order::Panic(3 * scale.times)).await,
            Self::DiesWithItsThread => return several(stage, Order::Kill(2 * scale.times)).await,
        };
        if let Some(order) = lasting {
            stage.server.order(order).await?;
        }
        sleep(scale.length).await;
        if lasting.is_none() {
            let chapter = stage.ledger.current();
            // From here on no request has a marked row, so that recovering can be seen.
            stage.ledger.begin(Chapter { mark: None, ..self.chapter() });
            return Ok(Injected::times(usize::try_from(chapter.marked)?));
        }
        Ok(Injected::times(stage.server.done() - before))
    }
}

/// Orders something of the next passes, and waits until it was done.
async fn several(stage: &mut Stage, order: Order) -> anyhow::Result<Injected> {
    let (Order::Panic(wanted) | Order::Kill(wanted)) = order else { anyhow::bail!("{order:?} is not counted") };
    let before = stage.server.done();
    stage.server.order(order).await?;
    for _ in 0..1000 {
        if stage.server.done() - before >= wanted {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(Injected::times(stage.server.done() - before))
}
