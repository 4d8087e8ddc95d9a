//! The table of runs: that every test it names is one, and that a row which none holds says why.

use std::{collections::BTreeMap, fs};

use super::{expect_none, statements::is_test, workspace};

const TABLE: &str = "tests/sim/RUNS.md";

/// Rows of the tables: what is run, and what holds it.
fn rows() -> Vec<(String, String)> {
    let text = fs::read_to_string(workspace::root().join(TABLE)).expect("the table is there");
    let cells = text.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let rows: Vec<_> = cells
        .filter_map(|cells| match &cells[..] {
            ["", run, _, holder, ""] if !run.starts_with("---") && *holder != "held by" => {
                Some(((*run).to_owned(), (*holder).to_owned()))
            }
            _ => None,
        })
        .collect();
    assert!(rows.len() > 30, "the table has rows: {}", rows.len());
    rows
}

#[test]
fn tests_that_the_table_of_runs_names_exist() {
    let mut sources = BTreeMap::new();
    let mut violations = Vec::new();
    for (run, holder) in rows() {
        let named: Vec<_> = holder.split('`').filter_map(|word| word.split_once("::")).collect();
        if named.is_empty() && !holder.starts_with("open: ") {
            violations.push(format!("{run}: held by no test, and does not say why"));
        }
        for (path, name) in named {
            let source = sources
                .entry(path.to_owned())
                .or_insert_with(|| fs::read_to_string(workspace::root().join(path)).unwrap_or_default());
            if !is_test(source, name) {
                violations.push(format!("{run}: {path} has no test {name}"));
            }
        }
    }
    expect_none("tests of the table of runs", &violations);
}
