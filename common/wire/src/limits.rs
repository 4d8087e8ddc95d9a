//! Bounds of everything that a peer can make us hold. Configuration may lower those that name it.

use std::time::Duration;

/// The largest payload of one publication, bytes.
pub const PUBLICATION_BYTES_MAX: usize = 256 * 1024;
/// The largest MQTT packet, bytes.
pub const MQTT_PACKET_BYTES_MAX: usize = 1024 * 1024;
/// The largest WebSocket frame and message, bytes.
pub const WEBSOCKET_FRAME_BYTES_MAX: usize = 1024 * 1024;
/// The largest entry body: a publication and its envelope, content type, ids and properties.
pub const BODY_BYTES_MAX: usize = PUBLICATION_BYTES_MAX + 128 * 1024;
/// The largest batch on the link and the largest block of a log, bytes before compression.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// The most entries in a batch on the link.
pub const BATCH_ENTRIES_MAX: usize = 4096;
/// How much larger a compressed batch may become.
pub const COMPRESSION_RATIO_MAX: usize = 200;
/// Taken from a peer before it is authenticated, bytes.
pub const UNAUTHENTICATED_BYTES_MAX: usize = 16 * 1024;
/// Connections of one process.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Subscriptions of one connection, unless configuration says otherwise; and of one `hello`.
pub const SUBSCRIPTIONS_MAX: usize = 100;
/// The most that configuration may make of it: a SUBSCRIBE of 4,000 took seconds.
pub const SUBSCRIPTIONS_CEILING: usize = 2_000;
/// Unacknowledged QoS 1 and 2 publications of one MQTT connection, each way.
pub const RECEIVE_MAXIMUM: u16 = 100;
/// TCP, TLS, HTTP and the first frame.
pub const FIRST_FRAME_DEADLINE: Duration = Duration::from_secs(5);
/// A link or envelope peer that said nothing for this long is pinged.
pub const LINK_PING_AFTER: Duration = Duration::from_secs(5);
/// A link on which nothing was heard for this long is closed.
pub const LINK_SILENT_AFTER: Duration = Duration::from_secs(12);
/// Envelope connections are pinged this often.
pub const CLIENT_PING_EVERY: Duration = Duration::from_secs(25);
