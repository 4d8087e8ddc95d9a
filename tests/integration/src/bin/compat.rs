//! The compatibility run, as a page of Markdown on standard output: every step by every client, against mosquitto and
//! against an edge. The same program is the edge and the rumqttc client of the run.

use std::process::ExitCode;

use riser_integration::compat::agent::{CLIENTS, Client};
use riser_integration::compat::broker::Kind;
use riser_integration::compat::steps::{self, Step};
use riser_integration::compat::{Run, rumqttc_agent, table};

/// What the page says before its tables.
const HEADING: &str = include_str!("../compat/heading.md");

const BROKERS: [(&str, Kind); 2] = [("at-mosquitto", Kind::Mosquitto), ("at-riser", Kind::Riser)];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve" | "id" | "account") => return riser_edge::main(),
        Some("rumqttc") => {
            let version = arguments.get(1).map(String::as_str).unwrap_or_default();
            return match rumqttc_agent::serve(version) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("compat: {error}");
                    ExitCode::FAILURE
                }
            };
        }
        Some(_) | None => {}
    }
    // Words narrow the run: a client's name, a broker's behind `at-`, or a part of a step's.
    let clients: Vec<Client> =
        CLIENTS.into_iter().filter(|client| is_asked(&arguments, client.name, is_client)).collect();
    let steps: Vec<Step> =
        steps::all().into_iter().filter(|step| is_asked(&arguments, step.name, is_step)).collect();
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => {
            eprintln!("compat: {error}");
            return ExitCode::FAILURE;
        }
    };
    let brokers: Vec<Kind> = BROKERS
        .iter()
        .filter(|(name, _)| is_asked(&arguments, name, is_broker))
        .map(|(_, kind)| *kind)
        .collect();
    let run = Run { own, clients: clients.clone(), steps: steps.clone(), brokers, at_once: 6 };
    let columns = run.go();
    print!("{}", table::page(&clients, &steps, &columns, HEADING));
    ExitCode::SUCCESS
}

fn is_client(word: &str) -> bool {
    CLIENTS.iter().any(|client| client.name == word)
}

fn is_broker(word: &str) -> bool {
    BROKERS.iter().any(|(name, _)| *name == word)
}

fn is_step(word: &str) -> bool {
    !is_client(word) && !is_broker(word)
}

/// Whether a word of its kind names it, or no word is of its kind.
fn is_asked(words: &[String], name: &str, is_of_kind: fn(&str) -> bool) -> bool {
    let mut of_kind = words.iter().filter(|word| is_of_kind(word)).peekable();
    of_kind.peek().is_none() || of_kind.any(|word| name.contains(word.as_str()))
}
