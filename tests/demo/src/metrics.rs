//! Reads an edge's equation from its `/metrics`, as any scraper would.

use anyhow::{Context, ensure};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The four numbers, over all epochs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Equation {
    /// Seqs given by commits.
    pub accepted: u64,
    /// Seqs that the hub confirmed.
    pub synced: u64,
    /// Seqs that it has not.
    pub queued: u64,
    /// Seqs under gaps.
    pub gapped: u64,
}

impl Equation {
    /// Whether it adds up.
    pub fn holds(&self) -> bool {
        self.accepted == self.synced + self.queued + self.gapped
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            synced: self.synced + other.synced,
            queued: self.queued + other.queued,
            gapped: self.gapped + other.gapped,
        }
    }
}

/// Scrapes an edge.
pub async fn equation(operations: SocketAddr) -> anyhow::Result<Equation> {
    let text = tokio::time::timeout(Duration::from_secs(5), get(operations, "/metrics")).await??;
    parse(&text)
}

async fn get(server: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut socket = TcpStream::connect(server).await.context("connect to the edge's metrics")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    socket.read_to_string(&mut text).await?;
    Ok(text)
}

fn parse(text: &str) -> anyhow::Result<Equation> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("riser_uplink_")) {
        let (name, rest) = line.split_once('{').unwrap_or((line, ""));
        if let Some(part) =
            ["accepted", "synced", "queued", "gapped"].into_iter().find(|part| name.ends_with(part))
        {
            let value =
                rest.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).context("a value")?;
            *sums.entry(part).or_default() += value as u64;
        }
    }
    ensure!(sums.len() == 4, "the edge's metrics have no equation");
    Ok(Equation {
        accepted: sums["accepted"],
        synced: sums["synced"],
        queued: sums["queued"],
        gapped: sums["gapped"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_added_up() {
        let text = "# HELP x\nriser_uplink_accepted{uplink=\"hub\",epoch=\"1\"} 3\n\
                    riser_uplink_accepted{uplink=\"hub\",epoch=\"2\"} 4\nriser_uplink_synced{uplink=\"hub\",epoch=\"1\"} 2\n\
                    riser_uplink_queued{uplink=\"hub\",epoch=\"1\"} 4\nriser_uplink_gapped{uplink=\"hub\",epoch=\"1\"} 1\n";
        let equation = parse(text).unwrap();
        assert_eq!(equation, Equation { accepted: 7, synced: 2, queued: 4, gapped: 1 });
        assert!(equation.holds());
        assert!(parse("HTTP/1.1 200 OK").is_err());
    }
}
