//! How fast publications go through the door. Run with `--release -- --ignored --nocapture`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a measurement reads a real clock")]

use crate::bench::*;
use bytes::Bytes;
use riser_model::door::{Ask, Door, Input, Output, Tell};
use std::time::Instant;

#[test]
#[ignore = "a measurement"]
fn publications_per_second() {
    for (level, qos) in [(4, 0), (4, 1), (4, 2), (5, 1)] {
        let mut bench = Bench::open(level);
        let mut stream = Vec::new();
        for id in 1..=100 {
            stream.extend(publish(level, "building-7/floor-3/temperature", qos, id, &[b'7'; 150]));
        }
        let releases: Vec<u8> = (1..=100).flat_map(|id| ack(0x62, id)).collect();
        let (stream, releases) = (Bytes::from(stream), Bytes::from(releases));
        let (rounds, start, mut bytes) = (10_000, Instant::now(), 0);
        for _ in 0..rounds {
            for input in [&stream, &releases].into_iter().take(if qos == 2 { 2 } else { 1 }) {
                bench.door.handle(Input::Bytes(input.clone()), bench.now);
                while let Some(output) = bench.door.poll() {
                    match output {
                        Output::Ask(Ask::Publish(intake)) => {
                            bytes += intake.entries.len();
                            let stored = Tell::Stored {
                                ticket: intake.ticket,
                                log: LOG,
                                epoch: EPOCH,
                                first: riser_model::Seq(1),
                                refused: vec![],
                            };
                            bench.door.handle(Input::Tell(stored), bench.now);
                        }
                        Output::Bytes(_) => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
        let ns = start.elapsed().as_nanos() as f64 / (rounds * 100) as f64;
        println!("level {level} QoS {qos}: {ns:.0} ns each, {:.2} M/s, {bytes} bytes", 1000.0 / ns);
    }
}
