//! The table of `hub/VERBS.md`, held against what there is: the verbs of lobbies, the commands, the routes and the page.

use super::routes::table;
use crate::command::Arguments;
use clap::{Command, CommandFactory};
use riser_wire::client::VERBS;
use std::{collections::BTreeSet, path::Path};

const TEXT: &str = include_str!("../../VERBS.md");
const WHO: [&str; 4] = ["operator", "account", "room", "anybody"];
/// Commands that ask no hub.
const OFFLINE: [&str; 6] = ["serve", "log", "config", "id", "help", "account"];
const OFFLINE_OF: [&str; 4] = ["account hash", "account token", "key new", "key show"];

/// What is in a cell: in backticks, how; otherwise why not.
fn cells() -> Vec<[String; 6]> {
    let rows = TEXT.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what |"));
    let cells = rows.map(|row| {
        let cells: Vec<String> =
            row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        <[String; 6]>::try_from(cells).unwrap_or_else(|cells| panic!("six cells: {cells:?}"))
    });
    cells.collect()
}

fn named(cell: &str) -> BTreeSet<String> {
    if cell.starts_with("no: ") {
        return BTreeSet::new();
    }
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Everything that a column names.
fn column(number: usize) -> BTreeSet<String> {
    cells().iter().flat_map(|row| named(&row[number])).collect()
}

/// The words of a line up to what is to be filled in.
fn words(line: &str) -> String {
    let fixed = line.split(' ').take_while(|word| !word.starts_with(['<', '[', '@']));
    fixed.collect::<Vec<_>>().join(" ")
}

fn leaves(command: &Command, path: &str, all: &mut BTreeSet<String>) {
    for one in
        command.get_subcommands().filter(|one| !OFFLINE.contains(&one.get_name()) || one.has_subcommands())
    {
        let path = format!("{path} {}", one.get_name()).trim().to_owned();
        match one.has_subcommands() {
            true => leaves(one, &path, all),
            false => drop(all.insert(path)),
        }
    }
}

#[test]
fn every_cell_of_the_table_says_how_or_why_not() {
    assert!(cells().len() > 40);
    for row in cells() {
        assert!(WHO.contains(&row[1].as_str()), "{row:?}");
        for cell in &row[2..] {
            let why = cell.strip_prefix("no: ").unwrap_or_default();
            assert!(!named(cell).is_empty() || why.len() > 8, "{cell:?} of {:?}", row[0]);
        }
    }
}

#[test]
fn the_table_has_every_verb_every_command_and_every_route_and_nothing_else() {
    let verbs: BTreeSet<String> = VERBS.iter().map(|verb| words(verb.line)).collect();
    assert_eq!(column(2), verbs, "the verbs of a lobby");
    let mut commands = BTreeSet::new();
    leaves(&Arguments::command(), "", &mut commands);
    commands.retain(|path| {
        let first = path.split(' ').next().unwrap_or_default();
        !OFFLINE_OF.contains(&path.as_str()) && (first == "account" || !OFFLINE.contains(&first))
    });
    assert_eq!(column(3), commands, "the commands that ask a hub");
    let routes: BTreeSet<String> =
        table().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(column(4), routes, "the routes of the admin interface");
}

#[test]
fn the_page_has_what_the_table_says_and_asks_routes_that_pages_have() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let read = |file: &str| {
        std::fs::read_to_string(assets.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    };
    for cell in column(5) {
        let (file, call) = cell.split_once(' ').unwrap();
        assert!(read(file).contains(call), "{file} has no {call}");
    }
    // What a page asks by way of a request, it may ask.
    let by_request = |row: &[String; 6]| {
        let page = named(&row[5]);
        let files = [
            "making.js",
            "members.js",
            "administration.js",
            "configuration.js",
            "rights.js",
            "connections.js",
            "devices.js",
            "audit.js",
        ];
        page.iter().any(|cell| files.iter().any(|file| cell.starts_with(file)))
    };
    let for_pages: BTreeSet<String> = table()
        .iter()
        .filter(|route| route.is_for_pages())
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    for row in cells().iter().filter(|row| by_request(row)) {
        assert!(named(&row[4]).is_subset(&for_pages), "{row:?}");
    }
}
