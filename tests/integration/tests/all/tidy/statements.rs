//! The table of MQTT's numbered statements: that it is whole, that it adds up, and that every test it names is one.

use std::collections::BTreeMap;
use std::fs;

use super::{expect_none, workspace};

const TABLE: &str = "common/mqtt/CONFORMANCE.md";
const STANDARDS: [&str; 2] = ["MQTT 3.1.1", "MQTT 5.0"];
const STATES: [&str; 4] = ["held", "client", "not applicable", "open"];
/// The one section whose first statement was taken back before the standard came out: MQTT 5.0, 2.2.1.
const BEGINS_AT_2: (&str, &str) = ("MQTT 5.0", "2.2.1");

/// One row.
struct Row {
    standard: &'static str,
    number: String,
    state: String,
    holder: String,
}

impl Row {
    /// Every `path::name` in it.
    fn tests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.holder.split('`').filter_map(|word| word.split_once("::"))
    }
}

fn table() -> String {
    fs::read_to_string(workspace::root().join(TABLE)).expect("the table is there")
}

fn cells(line: &str) -> Vec<&str> {
    line.split('|').map(str::trim).collect()
}

fn rows() -> Vec<Row> {
    let text = table();
    let mut rows = Vec::new();
    let mut standard = None;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            standard = STANDARDS.into_iter().find(|name| *name == title);
        }
        if let (Some(standard), ["", number, _, state, holder, ""]) = (standard, &cells(line)[..])
            && number.starts_with("MQTT-")
        {
            let (number, state, holder) = (number.to_string(), state.to_string(), holder.to_string());
            rows.push(Row { standard, number, state, holder });
        }
    }
    assert!(rows.len() > 300, "the table has rows: {}", rows.len());
    rows
}

#[test]
fn tests_that_the_table_of_statements_names_exist() {
    let mut sources = BTreeMap::new();
    let mut violations = Vec::new();
    for row in rows() {
        for (path, name) in row.tests() {
            let source = sources
                .entry(path.to_owned())
                .or_insert_with(|| fs::read_to_string(workspace::root().join(path)).unwrap_or_default());
            if !is_test(source, name) {
                violations.push(format!("{} {}: {path} has no test {name}", row.standard, row.number));
            }
        }
        if row.state == "held" && row.tests().next().is_none() {
            violations.push(format!("{} {}: held by no test", row.standard, row.number));
        }
        if ["open", "not applicable"].contains(&row.state.as_str()) && row.holder.is_empty() {
            violations.push(format!("{} {}: does not say why", row.standard, row.number));
        }
    }
    expect_none("tests of MQTT's statements", &violations);
}

/// Whether a source has a test of that name, and not only a function.
pub(super) fn is_test(source: &str, name: &str) -> bool {
    let function = format!("fn {name}()");
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let attributes = || lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        line.contains(&function)
            && attributes().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn table_of_statements_is_whole_and_adds_up() {
    let rows = rows();
    let mut violations = Vec::new();
    for standard in STANDARDS {
        let own: Vec<&Row> = rows.iter().filter(|row| row.standard == standard).collect();
        let mut last: BTreeMap<&str, u32> = BTreeMap::new();
        for row in &own {
            let (section, n) = row.number["MQTT-".len()..].rsplit_once('-').unwrap_or_default();
            let first = if (standard, section) == BEGINS_AT_2 { 2 } else { 1 };
            let wanted = last.get(section).map_or(first, |last| last + 1);
            if n.parse() != Ok(wanted) {
                violations.push(format!("{standard} {}: want {section}-{wanted} here", row.number));
            }
            last.insert(section, n.parse().unwrap_or(wanted));
            if !STATES.contains(&row.state.as_str()) {
                violations.push(format!("{standard} {}: no state {:?}", row.number, row.state));
            }
        }
        let mut counts = STATES.map(|state| own.iter().filter(|row| row.state == state).count()).to_vec();
        counts.push(own.len());
        let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
        let line = format!("| {standard} | {} |", counts.join(" | "));
        if !table().lines().any(|found| found == line) {
            violations.push(format!("the counts are not as above the table: want {line}"));
        }
    }
    expect_none("the table of MQTT's statements", &violations);
}

#[test]
fn function_without_the_attribute_is_no_test() {
    let source = "fn helps() {}\n    #[test]\n    #[cfg(unix)]\n    fn holds() {}\n#[tokio::test]\nasync fn waits() {}\n";
    assert!(is_test(source, "holds") && is_test(source, "waits"));
    assert!(!is_test(source, "helps") && !is_test(source, "hold"));
}
