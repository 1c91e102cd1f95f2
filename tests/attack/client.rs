//! A client that asks as much as it can until it is killed.

use std::{net::SocketAddr, sync::Arc};

use futures::future::join_all;

use crate::{
    honest::connection::{Connection, Target, head},
    questions::Merchants,
};

/// Calls that are open at a time.
const CALLS: usize = 16;

/// Rows of each.
const ROWS: usize = 64;

/// Asks on.
pub(crate) async fn run(address: SocketAddr) -> anyhow::Result<()> {
    let target = Target { address, generation: 0 };
    let connection = Arc::new(Connection::open(target).await?);
    let merchants = Merchants::marked();
    let callers = (0..CALLS).map(|turn| {
        let (connection, question) = (Arc::clone(&connection), merchants.ask(turn, ROWS, None));
        async move {
            loop {
                let Ok(head) = head(target, question.method, None) else { return };
                connection.ask(head, question.frame.clone()).await;
                tokio::task::yield_now().await;
            }
        }
    });
    join_all(callers).await;
    Ok(())
}
