//! The run as a page of Markdown: the table, and each difference with its reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::agent::Client;
use super::broker::Kind;
use super::steps::Step;
use super::{Cell, Column};

/// The page.
pub fn page(clients: &[Client], steps: &[Step], columns: &[Column], heading: &str) -> String {
    let mut text = format!("{heading}\n");
    let of = |client: &Client, kind: Kind, at: usize| {
        let column = columns.iter().find(|column| column.client == *client && column.broker == kind);
        column.and_then(|column| column.cells.get(at))
    };
    let count = |kind: Kind, is: fn(&Cell) -> bool| {
        let of_kind = columns.iter().filter(|column| column.broker == kind);
        of_kind.flat_map(|column| &column.cells).filter(|cell| is(cell)).count()
    };
    let is_ok = |cell: &Cell| matches!(cell, Cell::Ok);
    let differs = |cell: &Cell| matches!(cell, Cell::Differs(_));
    let offered = |cell: &Cell| !matches!(cell, Cell::NotOffered(_));
    text.push_str("| | mosquitto | Riser |\n|---|---|---|\n");
    for (what, is) in
        [("cells that the client offers", offered as fn(&Cell) -> bool), ("ok", is_ok), ("differs", differs)]
    {
        let _ = writeln!(text, "| {what} | {} | {} |", count(Kind::Mosquitto, is), count(Kind::Riser, is));
    }
    text.push_str("\n## The table\n\n| step |");
    for client in clients {
        let _ = write!(text, " {} |", client.shown());
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(clients.len()));
    for (at, step) in steps.iter().enumerate() {
        let _ = write!(text, "| {} |", step.name);
        for client in clients {
            let both = (of(client, Kind::Mosquitto, at), of(client, Kind::Riser, at));
            let _ = write!(text, " {} |", shown(both));
        }
        text.push('\n');
    }
    text.push_str("\n## Where a broker differs\n");
    for (at, step) in steps.iter().enumerate() {
        for kind in [Kind::Mosquitto, Kind::Riser] {
            let mut ways: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for client in clients {
                if let Some(Cell::Differs(how)) = of(client, kind, at) {
                    ways.entry(how).or_default().push(client.shown());
                }
            }
            if ways.is_empty() {
                continue;
            }
            let _ = writeln!(text, "\n**{}** at {}\n", step.name, kind.name());
            for (how, whose) in ways {
                let _ = writeln!(text, "- {}: {}", whose.join(", "), abridged(how));
            }
            let why = step.why.iter().find(|(of, _)| *of == kind).map_or("not explained", |(_, why)| why);
            let _ = writeln!(text, "\n{why}");
        }
    }
    text.push_str("\n## What a client does not offer\n\n");
    let mut missing: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        for client in clients.iter().filter(|client| step.is_for(client.version)) {
            if let Some(Cell::NotOffered(what)) = of(client, Kind::Riser, at) {
                missing.entry(format!("{}: {what}", client.shown())).or_default().push(step.name);
            }
        }
    }
    for (what, steps) in missing {
        let _ = writeln!(text, "- {what} ({})", steps.join("; "));
    }
    text
}

fn shown(both: (Option<&Cell>, Option<&Cell>)) -> &'static str {
    match both {
        (Some(Cell::Ok), Some(Cell::Ok)) => "ok",
        (Some(Cell::NotOffered(_)), _) | (_, Some(Cell::NotOffered(_))) => "–",
        (Some(Cell::Differs(_)), Some(Cell::Ok)) => "**Riser**",
        (Some(Cell::Ok), Some(Cell::Differs(_))) => "**mosquitto**",
        (Some(Cell::Differs(_)), Some(Cell::Differs(_))) => "**neither**",
        (None, Some(Cell::Ok)) | (Some(Cell::Ok), None) => "ok",
        (None, Some(Cell::Differs(_))) | (Some(Cell::Differs(_)), None) => "differs",
        (None, None) => "not run",
    }
}

fn abridged(how: &str) -> String {
    const MOST: usize = 240;
    let line = how.replace('\n', " ");
    if line.chars().count() <= MOST {
        return line;
    }
    let begin: String = line.chars().take(MOST).collect();
    format!("{begin} ...")
}
