//! The short part of the compatibility run: every client that others wrote, at an edge that is a plain broker.

use std::path::PathBuf;

use riser_integration::compat::agent::CLIENTS;
use riser_integration::compat::broker::Kind;
use riser_integration::compat::{Cell, Run, steps};

use crate::needs::{Need, needs};

#[test]
fn clients_of_others_find_a_broker_that_keeps_the_standard() {
    needs!(Need::Program("mosquitto_sub"), Need::Python, Need::Node);
    let steps: Vec<_> = steps::all().into_iter().filter(|step| step.is_short).collect();
    let own = PathBuf::from(env!("CARGO_BIN_EXE_compat"));
    let run = Run { own, clients: CLIENTS.to_vec(), steps, brokers: vec![Kind::Riser], at_once: 4 };
    let columns = run.go();
    let mut wrong = Vec::new();
    for column in &columns {
        for (cell, step) in column.cells.iter().zip(&run.steps) {
            if let Cell::Differs(how) = cell {
                wrong.push(format!("{}: {}: {how}", column.client.shown(), step.name));
            }
        }
    }
    let done = columns.iter().flat_map(|column| &column.cells).filter(|cell| **cell == Cell::Ok).count();
    assert!(wrong.is_empty(), "{} of {} cells\n  {}", wrong.len(), done + wrong.len(), wrong.join("\n  "));
    // Nothing passes by not being offered: each step but the one of MQTT 5 alone is, by every client.
    assert!(done >= CLIENTS.len() * (run.steps.len() - 1), "{done} cells");
}
