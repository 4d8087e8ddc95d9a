//! What the page says of events: it knows every kind of the closed list, and no other. And how large it is.

use std::collections::BTreeSet;
use std::fs;

use super::{expect_none, workspace};

const TABLE: &str = "common/model/src/event.rs";
const FEED: &str = "hub/assets/feed.js";
const PAGE: &str = "hub/assets/index.html";

fn text(path: &str) -> String {
    fs::read_to_string(workspace::root().join(path)).expect("it is there")
}

/// The kinds of the table in the module that lists them.
fn kinds() -> BTreeSet<String> {
    let kind = |line: &str| Some(line.strip_prefix("//! | `")?.split_once('`')?.0.to_owned());
    let kinds: BTreeSet<String> = text(TABLE).lines().filter_map(kind).collect();
    assert!(kinds.len() > 30, "the table has rows: {}", kinds.len());
    kinds
}

/// The lines between one that begins a constant of the feed and its end, as `name: what it has`.
fn entries(feed: &str, constant: &str) -> Vec<(String, String)> {
    let begins = format!("const {constant} = {{");
    let lines = feed.lines().skip_while(|line| *line != begins).skip(1).take_while(|line| *line != "};");
    let entry = |line: &str| line.trim().split_once(": ").map(|(name, of)| (name.to_owned(), of.to_owned()));
    let entries: Vec<(String, String)> = lines.filter_map(entry).collect();
    assert!(!entries.is_empty(), "{FEED} has no {constant}");
    entries
}

#[test]
fn page_has_a_sentence_a_tone_and_a_group_for_every_kind_of_event() {
    let (kinds, feed, page) = (kinds(), text(FEED), text(PAGE));
    let sentences = entries(&feed, "SENTENCES");
    let groups = entries(&feed, "GROUPS");
    let grouped: Vec<String> =
        groups.iter().flat_map(|(_, of)| of.split('"').skip(1).step_by(2).map(str::to_owned)).collect();
    let mut violations = Vec::new();
    for kind in &kinds {
        let said: Vec<_> = sentences.iter().filter(|(name, _)| name == kind).collect();
        let has_tone = said.iter().all(|(_, of)| {
            ["\"\"", "\"good\"", "\"warn\"", "\"bad\""]
                .iter()
                .any(|tone| of.contains(&format!("{tone}, ")) || of.contains(&format!("{tone} :")))
        });
        if said.len() != 1 || !has_tone {
            violations.push(format!("{FEED}: SENTENCES wants one line with a tone for {kind}"));
        }
        let count = grouped.iter().filter(|name| *name == kind).count();
        if count != 1 {
            violations.push(format!("{FEED}: GROUPS has {kind} {count} times, and wants it once"));
        }
    }
    let named = sentences.iter().map(|(name, _)| name).chain(&grouped);
    for name in named.filter(|name| !kinds.contains(*name)) {
        violations.push(format!("{FEED}: {name} is no kind of {TABLE}"));
    }
    for (group, _) in &groups {
        if !page.contains(&format!("<option value=\"{group}\">")) {
            violations.push(format!("{PAGE}: nobody can choose the group {group} in feed-kinds"));
        }
    }
    expect_none("the page says every event", &violations);
}

/// What a browser loads for the page, all of it, uncompressed.
const PAGE_BYTES_MAX: u64 = 256 << 10;

#[test]
fn page_with_everything_that_it_loads_stays_small() {
    let folder = workspace::root().join("hub/assets");
    let files = fs::read_dir(folder).expect("it is there").map(|file| file.expect("the folder can be read"));
    let loaded = files.filter(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        [".js", ".css", ".html"].iter().any(|end| name.ends_with(end))
    });
    let sizes: Vec<u64> = loaded.map(|file| file.metadata().expect("it is there").len()).collect();
    let all: u64 = sizes.iter().sum();
    assert!(sizes.len() > 20 && all <= PAGE_BYTES_MAX, "{all} bytes in {} files", sizes.len());
}
