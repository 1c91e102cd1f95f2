//! What it costs to be looked at: traces, scrapes and an open page, and collectors that
//! are gone, slow, or refuse.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use tokio::time::{MissedTickBehavior, interval};

use super::{Ask, Hall, open};
use crate::{
    children::Contender,
    collector::Manner,
    load::Shape,
    probe,
    results::{Kind, Results, Watched, Who},
};

/// How often each is measured, one after the other.
const TURNS: usize = 9;

/// The same of a smoke test.
const QUICK_TURNS: usize = 2;

/// What Prometheus and an open page do.
const LOOKS: Duration = Duration::from_secs(1);

/// What a scrape and a page that is open ask for.
const PAGES: [&str; 3] = ["/metrics", "/page/state", "/page/history"];

/// Servers that differ in who looks at them; the hall's own is one at whom nobody does.
struct Looked {
    watched: Watched,
    souk: Contender,
    _collector: Option<Contender>,
}

pub(super) async fn run(hall: &Hall<'_>, results: &mut Results) -> anyhow::Result<()> {
    let mut looked = Vec::new();
    for watched in [Watched::On, Watched::Gone, Watched::Slow, Watched::Refusing] {
        looked.push(Looked::start(hall, watched).await?);
    }
    let shape = Shape::Closed { callers: open::CALLERS };
    let ask = Ask { rows: 1, shape, deadline: None, length: hall.settings.length() };
    for _ in 0..if hall.settings.quick { QUICK_TURNS } else { TURNS } {
        hall.measure(Kind::Telemetry { watched: Watched::Off }, Who::Souk, ask, results).await?;
        for Looked { watched, souk, .. } in &looked {
            let kind = Kind::Telemetry { watched: *watched };
            tokio::select! {
                measured = hall.measure_at(kind, Who::Souk, souk, ask, results) => drop(measured?),
                error = look(souk.http) => return Err(error),
            }
        }
    }
    Ok(())
}

impl Looked {
    async fn start(hall: &Hall<'_>, watched: Watched) -> anyhow::Result<Self> {
        let log = hall.log(&format!("{watched:?}.log"));
        let manner = match watched {
            Watched::Off | Watched::Gone => None,
            Watched::On => Some(Manner::Well),
            Watched::Slow => Some(Manner::Slowly),
            Watched::Refusing => Some(Manner::Refusing),
        };
        let collector = match manner {
            Some(manner) => Some(Contender::collector(manner, &hall.log("collector.log")).await?),
            None => None,
        };
        let endpoint = match &collector {
            Some(collector) => collector.grpc,
            None => crate::children::free_address()?,
        };
        let variables = [
            ("SOUK__TELEMETRY__OTLP_ENDPOINT", format!("http://{endpoint}")),
            ("SOUK__TELEMETRY__SAMPLE_RATIO", "0.01".to_owned()),
        ];
        Ok(Self { watched, souk: hall.another(&log, &variables).await?, _collector: collector })
    }
}

/// Looks at a server each second; ends only where the server does not answer.
async fn look(server: SocketAddr) -> anyhow::Error {
    let mut ticks = interval(LOOKS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for page in PAGES {
            if let Err(error) = probe::page(server, page).await.with_context(|| page) {
                return error;
            }
        }
    }
}
