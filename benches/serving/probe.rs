//! What a running Souk says of itself over HTTP/1: its metrics.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Longer than a page of metrics takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// A page of metrics in Prometheus' text format.
pub(crate) struct Metrics {
    page: String,
}

impl Metrics {
    /// `GET /metrics`; `None` where the server has no such page.
    pub(crate) async fn of(server: SocketAddr) -> Option<Self> {
        let page = timeout(PATIENCE, get(server, "/metrics")).await.ok()?.ok()?;
        page.starts_with("HTTP/1.1 200").then_some(Self { page })
    }

    /// The sum over all labels; `None` where there is no such metric.
    pub(crate) fn sum(&self, name: &str) -> Option<f64> {
        let values = self.page.lines().filter_map(|line| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        });
        values.reduce(|sum, value| sum + value)
    }
}

/// A page as it came.
pub(crate) async fn page(server: SocketAddr, path: &str) -> anyhow::Result<String> {
    let page = timeout(PATIENCE, get(server, path)).await??;
    anyhow::ensure!(page.starts_with("HTTP/1.1 200"), "{}", page.lines().next().unwrap_or_default());
    Ok(page)
}

async fn get(server: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(server).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut page = Vec::new();
    socket.read_to_end(&mut page).await?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
