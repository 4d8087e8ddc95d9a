//! Somebody else's broker, for tests: rumqttd with the settings of its own example, at the address that is given.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("test-rumqttd: want an address");
        return ExitCode::FAILURE;
    };
    let config = serde_json::json!({
        "id": 0,
        "router": {
            "max_connections": 100, "max_outgoing_packet_count": 200,
            "max_segment_size": 104_857_600, "max_segment_count": 10,
        },
        "v4": { "1": {
            "name": "v4-1", "listen": address, "next_connection_delay_ms": 0,
            "connections": {
                "connection_timeout_ms": 60_000, "max_payload_size": 20_480, "max_inflight_count": 100,
                "dynamic_filters": true,
            },
        } },
    });
    let config = serde_json::from_value(config).expect("these are rumqttd's own settings");
    match rumqttd::Broker::new(config).start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("test-rumqttd: {error}");
            ExitCode::FAILURE
        }
    }
}
