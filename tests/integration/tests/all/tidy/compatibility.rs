//! The table of what others' clients see names every client and every step, and explains every difference.

use super::expect_none;
use riser_integration::compat::{agent::CLIENTS, steps};
use std::{fs, io::ErrorKind, path::Path};

const PAGE: &str = "COMPATIBILITY.md";

/// The cells of the rows behind a heading, the rule below the head left out.
fn rows<'p>(page: &'p str, heading: &str) -> Vec<Vec<&'p str>> {
    let behind = page.split_once(heading).map_or("", |(_, behind)| behind);
    let table =
        behind.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &'p str| line.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>();
    table.filter(|line| !line.starts_with("|---")).map(cells).collect()
}

/// What is wrong with a page.
fn violations(page: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let rows = rows(page, "## The table");
    let Some((head, body)) = rows.split_first() else { return vec![format!("{PAGE} has no table")] };
    let clients: Vec<String> = CLIENTS.iter().map(|client| client.shown()).collect();
    if head.get(1..) != Some(&clients.iter().map(String::as_str).collect::<Vec<_>>()[..]) {
        wrong.push(format!("its clients are {head:?}, want {clients:?}"));
    }
    let all: Vec<&str> = steps::all().iter().map(|step| step.name).collect();
    for step in &all {
        if !body.iter().any(|row| row.first() == Some(step)) {
            wrong.push(format!("the step \"{step}\" is not in it"));
        }
    }
    for row in body {
        let name = row.first().copied().unwrap_or_default();
        if !all.contains(&name) {
            wrong.push(format!("the step \"{name}\" is not one of the run"));
        }
        if row.len() != clients.len() + 1 {
            wrong.push(format!("the step \"{name}\" has {} cells, want one for each client", row.len()));
        }
        if row.contains(&"not run") {
            wrong.push(format!("the step \"{name}\" was not run with every client"));
        }
    }
    if page.contains("\nnot explained\n") {
        wrong.push("a difference is not explained: give its step a reason (`because`)".to_owned());
    }
    wrong
}

#[test]
fn compatibility_table_names_every_client_and_step_and_explains_every_difference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    match fs::read_to_string(&path) {
        Ok(page) => expect_none("make it anew: its first lines say how", &violations(&page)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: {PAGE} is not made yet");
        }
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

#[test]
fn compatibility_table_that_lacks_something_is_found_out() {
    let clients: Vec<String> = CLIENTS.iter().map(|client| client.shown()).collect();
    let cells = vec!["ok"; clients.len()].join(" | ");
    let steps: Vec<String> = steps::all().iter().map(|step| format!("| {} | {cells} |", step.name)).collect();
    let page = |clients: &[String], steps: &[String]| {
        format!("## The table\n\n| step | {} |\n|---|\n{}\n", clients.join(" | "), steps.join("\n"))
    };
    assert_eq!(violations(&page(&clients, &steps)), [""; 0]);
    assert_eq!(violations("").len(), 1);
    assert_eq!(violations(&page(&clients, &steps[1..])).len(), 1);
    assert!(!violations(&page(&clients[1..], &steps)).is_empty());
    assert_eq!(violations(&(page(&clients, &steps) + "\nnot explained\n")).len(), 1);
}
