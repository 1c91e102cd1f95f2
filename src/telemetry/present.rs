//! Counts what is there for a while: connections, threads of forward passes.

use std::{fmt, sync::Arc};

use opentelemetry::metrics::BoundUpDownCounter;

use super::{
    Metrics,
    table::{CONNECTIONS, CONNECTIONS_LIMIT, RUNNERS, RUNNERS_CONFIGURED},
};

/// How many of a kind are there. Clones count the same.
#[derive(Clone)]
pub struct Presence(Arc<BoundUpDownCounter<i64>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Present(Presence);

/// A port that has connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// `server.listen`.
    Data,
    /// `server.http_listen`.
    Http,
    /// `server.admin_listen`.
    Admin,
}

impl Port {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Http => "http",
            Self::Admin => "admin",
        }
    }
}

impl Metrics {
    /// Counts the connections of a port, of which there are `limit` at most.
    pub fn connections(&self, port: Port, limit: u32) -> Presence {
        let (meter, port) = (&self.0.meter, port.as_str());
        CONNECTIONS_LIMIT.told(meter).record(limit.into(), &CONNECTIONS_LIMIT.labelled([port]));
        Presence::new(CONNECTIONS.tracked(meter).bind(&CONNECTIONS.labelled([port])))
    }

    /// Counts the threads of forward passes, of which there should be so many.
    pub fn runners(&self, configured: usize) -> Presence {
        let meter = &self.0.meter;
        RUNNERS_CONFIGURED.told(meter).record(configured as u64, &[]);
        Presence::new(RUNNERS.tracked(meter).bind(&[]))
    }
}

impl Presence {
    fn new(counter: BoundUpDownCounter<i64>) -> Self {
        // Seen before the first one is there.
        counter.add(0);
        Self(Arc::new(counter))
    }

    /// One more, from now on.
    pub fn one(&self) -> Present {
        self.0.add(1);
        Present(self.clone())
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Presence")
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.0.add(-1);
    }
}
