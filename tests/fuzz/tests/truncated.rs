//! Every good input of every target, cut off at every byte: of the link, of envelopes, of MQTT, of entries and names.
//! The handshake of a WebSocket and its frames are cut where the sockets are, and MQTT's packets one by one with its door.
#![allow(clippy::unwrap_used, reason = "tests")]

use riser_fuzz::target::ALL;

#[test]
fn nothing_that_is_cut_off_breaks_what_holds() {
    // Recovery has its own, block by block; a configuration is read from a file each time.
    for target in ALL.into_iter().filter(|target| !matches!(target.name, "recovery" | "configuration")) {
        for (n, seed) in (target.seeds)().iter().enumerate() {
            println!("{}: {n}, {} bytes", target.name, seed.len());
            (0..seed.len()).for_each(|end| (target.run)(seed.get(..end).unwrap()));
        }
    }
}
