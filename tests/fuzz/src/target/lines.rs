//! Lines on standard input, in pieces of any size: each is stored, or refused and counted, and the size of the pieces makes no
//! difference.
//!
//! Input: the sizes of a read, and whether the source has a room of its own; then the bytes.

use super::site::Site;
use bytes::Bytes;
use riser_edge::config::SourceConfig;
use riser_edge::sources::{END, Receipt, lines_door};
use riser_model::door::{Input, SessionState};
use riser_shell::Metrics;
use std::sync::{Arc, LazyLock};

static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(|| Arc::new(Metrics::new("edge", "0")));

pub fn run(input: &[u8]) {
    let [first, second, how, bytes @ ..] = input else { return };
    let room = (how & 1 != 0).then_some("hall");
    let config = serde_json::json!({ "name": "pipe", "as": "acme/pump", "stdin": true, "room": room, "strip": how >> 1 & 1 });
    let config: SourceConfig = serde_json::from_value(config).expect("it is a source");
    let (receipt, published) = read(&config, bytes, usize::from(*first).max(1));
    assert_eq!(read(&config, bytes, 16 * usize::from(*second) + 1), (receipt.clone(), published.clone()));
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    assert!(receipt.ended && receipt.stopped.is_none());
    assert_eq!(receipt.lines, lines.len() as u64);
    lines.retain(|line| !line.is_empty());
    assert_eq!(receipt.stored + receipt.refused, lines.len() as u64, "each is stored or refused");
    assert_eq!(receipt.stored, published.len() as u64);
    let mut payloads = lines
        .iter()
        .filter_map(|line| line.iter().position(|byte| *byte == b'\t').map(|tab| line.get(tab + 1..)));
    for payload in &published {
        assert!(payloads.any(|of| of == Some(payload)), "as it was, in order");
    }
}

fn read(config: &SourceConfig, bytes: &[u8], size: usize) -> (Receipt, Vec<Bytes>) {
    let mut site = Site::new(lines_door(config, &METRICS), SessionState::default());
    site.input(Input::Room(64 * 1024));
    for piece in bytes.chunks(size) {
        site.input(Input::Bytes(Bytes::copy_from_slice(piece)));
    }
    site.input(Input::Gone(END));
    (site.door().receipt().clone(), site.published)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let text = "hall/a/b\t21.5\nhall/c\t\n\nno tab\n\ttopic\nhall/+\tx\n\u{e9}/b\ta\tb\nhall/a/b\tlast";
    let other = "hall/a\t\0\r\nhall//b\tx\n$SYS/x\ty\n/\tz\n";
    [(1, 9, 0, text), (7, 1, 1, text), (200, 0, 3, text), (3, 3, 0, other), (3, 3, 3, other)]
        .map(|(first, second, how, text)| [&[first, second, how], text.as_bytes()].concat())
        .to_vec()
}
