//! What this binary is when it is started as one of the servers that are no programs of their own.

use crate::{
    attack::Attack,
    core_fan::{self, Rights},
    fan,
    raw::{BareServer, Custody},
    websocket,
};
use anyhow::Context;
use clap::ValueEnum;
use serde_json::json;
use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::Command};

/// First argument of rumqttd; its address follows.
pub const RUMQTTD: &str = "rumqttd-process";
/// First argument of a bare server; its address follows, and its folder if it commits.
pub const BARE: &str = "bare-process";
/// First argument of the bare fan-out; its address follows.
pub const BARE_FAN: &str = "bare-fan-process";

/// First argument of a WebSocket server that answers everything with yes; its address follows.
pub const BARE_WEBSOCKET: &str = "bare-websocket-process";

/// First argument of the fan-out of the pure core; what those who listen may read follows, and how many messages.
pub const CORE_FAN: &str = "core-fan-process";

/// First argument of an attack; its name follows, the hub's MQTT and WebSocket doors, and where it says that it is at it.
pub const ATTACK: &str = "attack-process";

/// A command that starts this binary as one of those.
pub fn own(what: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("find the benchmark's own binary")?);
    command.arg(what);
    Ok(command)
}

/// Is that server, if the arguments say so.
pub fn run(arguments: &[OsString]) -> Option<anyhow::Result<()>> {
    let (what, rest) = arguments.split_first()?;
    match what.to_str()? {
        RUMQTTD => Some(rumqttd(rest)),
        BARE => Some(bare(rest)),
        BARE_FAN => Some(bare_fan(rest)),
        BARE_WEBSOCKET => Some(bare_websocket(rest)),
        CORE_FAN => Some(core_fan(rest)),
        ATTACK => Some(attack(rest)),
        _ => None,
    }
}

/// rumqttd with the settings of its own example.
fn rumqttd(rest: &[OsString]) -> anyhow::Result<()> {
    let config = json!({
        "id": 0,
        "router": {
            "max_connections": 10010, "max_outgoing_packet_count": 200,
            "max_segment_size": 104_857_600, "max_segment_count": 10,
        },
        "v4": { "1": {
            "name": "v4-1", "listen": address(rest)?, "next_connection_delay_ms": 0,
            "connections": {
                "connection_timeout_ms": 60_000, "max_payload_size": 20_480, "max_inflight_count": 100,
                "dynamic_filters": true,
            },
        } },
    });
    rumqttd::Broker::new(serde_json::from_value(config)?).start().context("run rumqttd")
}

fn bare(rest: &[OsString]) -> anyhow::Result<()> {
    let custody = match rest.get(1) {
        Some(folder) => Custody::GroupCommit(PathBuf::from(folder)),
        None => Custody::None,
    };
    riser_host::setup::runtime(2)?.block_on(async {
        let _server = BareServer::start(address(rest)?, custody).await?;
        std::future::pending().await
    })
}

fn bare_fan(rest: &[OsString]) -> anyhow::Result<()> {
    riser_host::setup::runtime(2)?.block_on(fan::serve(address(rest)?))
}

fn bare_websocket(rest: &[OsString]) -> anyhow::Result<()> {
    riser_host::setup::runtime(2)?.block_on(websocket::serve(address(rest)?))
}

fn core_fan(rest: &[OsString]) -> anyhow::Result<()> {
    let text =
        |n: usize| rest.get(n).and_then(|text| text.to_str()).context("want rights and a number of messages");
    let rights = Rights::from_str(text(0)?, false).map_err(anyhow::Error::msg)?;
    core_fan::run(rights, text(1)?.parse().context("parse the number of messages")?)
}

fn attack(rest: &[OsString]) -> anyhow::Result<()> {
    let name = rest.first().and_then(|name| name.to_str()).context("want an attack")?;
    let attack = Attack::from_str(name, false).map_err(anyhow::Error::msg)?;
    let place = |n| address(rest.get(n..).unwrap_or_default());
    let (mqtt, http, ready) = (place(1)?, place(2)?, place(3)?);
    riser_host::setup::runtime(2)?.block_on(attack.run(mqtt, http, ready))
}

fn address(rest: &[OsString]) -> anyhow::Result<SocketAddr> {
    let text = rest.first().and_then(|text| text.to_str()).context("want an address")?;
    text.parse().context("parse the address")
}
