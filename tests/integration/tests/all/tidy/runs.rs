//! The tables of runs and of threats: that every test they name is one, and that a row which none holds says why.

use std::{collections::BTreeMap, fs};

use super::{expect_none, statements::is_test, workspace};

/// The tables, and so many rows they have at least.
const TABLES: [(&str, usize); 2] = [("tests/sim/RUNS.md", 30), ("tests/THREATS.md", 50)];

/// Rows of the tables: what is run, and what holds it.
fn rows(table: &str, least: usize) -> Vec<(String, String)> {
    let text = fs::read_to_string(workspace::root().join(table)).expect("the table is there");
    let cells = text.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let rows: Vec<_> = cells
        .filter_map(|cells| match &cells[..] {
            ["", run, _, holder, ""] if !run.starts_with("---") && *holder != "held by" => {
                Some(((*run).to_owned(), (*holder).to_owned()))
            }
            _ => None,
        })
        .collect();
    assert!(rows.len() > least, "{table} has rows: {}", rows.len());
    rows
}

#[test]
fn tests_that_the_tables_of_runs_and_threats_name_exist() {
    let mut sources = BTreeMap::new();
    let mut violations = Vec::new();
    for (run, holder) in TABLES.into_iter().flat_map(|(table, least)| rows(table, least)) {
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
    expect_none("tests of the tables of runs and threats", &violations);
}
