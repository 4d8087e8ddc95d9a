//! What every manifest keeps: versions and lints said once, a reason on each dependency, a description.

use std::fs;
use std::path::Path;

use super::{expect_none, workspace};

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let root =
        fs::read_to_string(workspace::root().join("Cargo.toml")).expect("the workspace has a manifest");
    let mut violations = Vec::new();
    if !tables(&root)
        .any(|(table, line)| table == "workspace.lints.rust" && line == "unsafe_code = \"forbid\"")
    {
        violations
            .push("Cargo.toml does not set `unsafe_code = \"forbid\"` in [workspace.lints.rust]".to_owned());
    }
    for (name, package) in workspace::own() {
        let text = fs::read_to_string(&package.manifest_path).expect("a member has a manifest");
        if !tables(&text).any(|(table, line)| table == "lints" && line == "workspace = true") {
            violations.push(format!(
                "{name} does not take the workspace's lints: add `[lints]` `workspace = true`"
            ));
        }
    }
    expect_none("unsafe code", &violations);
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let mut violations = Vec::new();
    let mut judge = |path: &Path| {
        let text = fs::read_to_string(path).expect("a member has a manifest");
        for (table, entry) in entries(&text) {
            // The root's lines for our own crates are a table of contents; each user says why.
            if table == "workspace.dependencies" && entry.text.starts_with("riser-") {
                continue;
            }
            if table.ends_with("dependencies") && !entry.has_comment {
                violations.push(format!(
                    "{}:{}: `{}` has no comment that says why it is there",
                    workspace::shown(path),
                    entry.line,
                    entry.text
                ));
            }
        }
    };
    judge(&workspace::root().join("Cargo.toml"));
    for package in workspace::own().values() {
        judge(package.manifest_path.as_std_path());
    }
    expect_none("reasons of dependencies", &violations);
}

#[test]
fn versions_are_said_once_at_the_workspace() {
    let mut violations = Vec::new();
    for package in workspace::own().values() {
        let path = package.manifest_path.as_std_path();
        let text = fs::read_to_string(path).expect("a member has a manifest");
        for (table, entry) in entries(&text) {
            let shared = entry.text.contains(".workspace = true") || entry.text.contains("workspace = true");
            if table.ends_with("dependencies") && !shared {
                violations.push(format!(
                    "{}:{}: `{}` is not taken from the workspace",
                    workspace::shown(path),
                    entry.line,
                    entry.text
                ));
            }
        }
    }
    expect_none("versions of dependencies", &violations);
}

#[test]
fn every_package_describes_itself_truly() {
    let mut violations = Vec::new();
    for (name, package) in workspace::own() {
        let description = package.description.as_deref().unwrap_or("");
        if description.len() < 20 || description.contains("TODO") {
            violations
                .push(format!("{name} has the description {description:?}: say what it is in one line"));
        }
        if package.license.as_deref() != Some("MIT OR Apache-2.0") {
            violations.push(format!("{name} has the licence {:?}: take the workspace's", package.license));
        }
    }
    expect_none("descriptions", &violations);
}

/// One `key = value` of a manifest, however many lines it takes.
struct Entry {
    line: usize,
    text: String,
    has_comment: bool,
}

/// The lines of a manifest that are neither blank nor comments, trimmed, each with the table it stands in.
fn tables(text: &str) -> impl Iterator<Item = (String, &str)> {
    let mut table = String::new();
    text.lines().map(str::trim).filter_map(move |line| {
        if line.starts_with('[') && line.ends_with(']') {
            line.trim_matches(['[', ']']).clone_into(&mut table);
            return None;
        }
        (!line.is_empty() && !line.starts_with('#')).then(|| (table.clone(), line))
    })
}

/// The entries of a manifest, each with its table; one that goes on over several lines ends where its
/// brackets close.
fn entries(text: &str) -> Vec<(String, Entry)> {
    let mut found: Vec<(String, Entry)> = Vec::new();
    let mut table = String::new();
    let mut depth = 0_i32;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let (code, comment) = split_comment(line);
        if depth == 0 && code.starts_with('[') {
            code.trim_matches(['[', ']']).clone_into(&mut table);
            continue;
        }
        if code.is_empty() {
            continue;
        }
        if depth == 0 {
            let entry = Entry { line: index + 1, text: code.to_owned(), has_comment: false };
            found.push((table.clone(), entry));
        }
        depth += brackets(code);
        if let Some((_, entry)) = found.last_mut() {
            entry.has_comment |= comment.is_some_and(|comment| comment.len() > 2);
        }
    }
    found
}

fn brackets(code: &str) -> i32 {
    code.chars().map(|c| i32::from(matches!(c, '[' | '{')) - i32::from(matches!(c, ']' | '}'))).sum()
}

/// Splits a line at the first `#` outside quotes.
fn split_comment(line: &str) -> (&str, Option<&str>) {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return (line[..at].trim(), Some(line[at + 1..].trim())),
            _ => {}
        }
    }
    (line, None)
}

#[test]
fn entry_over_several_lines_is_one_entry_with_its_comment() {
    let text = "[dependencies]\na = \"1#2\"\nb = { features = [\n \"x\",\n] } # because\n[lints]\nworkspace = true\n";
    let seen: Vec<_> = entries(text)
        .into_iter()
        .map(|(table, entry)| (table, entry.line, entry.text, entry.has_comment))
        .collect();
    assert_eq!(
        seen,
        [
            ("dependencies".to_owned(), 2, "a = \"1#2\"".to_owned(), false),
            ("dependencies".to_owned(), 3, "b = { features = [".to_owned(), true),
            ("lints".to_owned(), 7, "workspace = true".to_owned(), false),
        ]
    );
}
