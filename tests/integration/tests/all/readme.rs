//! What the README says exists: its files, its links, and the commands that it gives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::output;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders below the root").to_owned()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).expect("there is a README")
}

/// The lines of its code blocks of a language, comments cut off.
fn commands() -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in readme().lines() {
        if let Some(language) = line.strip_prefix("```") {
            inside = !inside && language == "sh";
        } else if inside {
            let line = line.split(" # ").next().unwrap_or_default().trim();
            if !line.is_empty() && !line.starts_with('#') {
                found.push(line.to_owned());
            }
        }
    }
    assert!(found.len() >= 3, "the README has commands: {found:?}");
    found
}

#[test]
fn files_that_the_readme_names_exist() {
    let text = readme();
    let mut missing = Vec::new();
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    for word in text.split(|c: char| !is_path(c)) {
        let word = word.trim_matches(['.', '-']);
        let first = word.split('/').next().unwrap_or_default();
        let ours = ["common", "edge", "hub", "tests", "configs", "compose"].contains(&first);
        if ours && word.contains('/') && !root().join(word).exists() {
            missing.push(word.to_owned());
        }
    }
    assert!(missing.is_empty(), "the README names what is not there: {missing:?}");
}

#[test]
fn tests_that_the_readme_names_exist() {
    let mut sources = String::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("our folders can be read").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                sources += &fs::read_to_string(path).expect("our sources are text");
            }
        }
    }
    let text = readme();
    let named = text.split('`').filter(|word| word.matches('_').count() >= 2 && !word.contains(' '));
    let missing: Vec<&str> = named.filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "the README names tests that are not there: {missing:?}");
}

#[test]
fn commands_of_the_readme_name_programs_and_flags_that_exist() {
    let programs = [
        ("riser-hub", env!("CARGO_BIN_EXE_test-hub")),
        ("riser-edge", env!("CARGO_BIN_EXE_test-edge")),
        ("cargo run --release --", env!("CARGO_BIN_EXE_test-demo")),
    ];
    for line in commands() {
        for (name, program) in programs {
            let Some(at) = line.find(name) else { continue };
            let rest = line[at + name.len()..].split(['|', '>', ';', '&']).next().unwrap_or_default();
            let words: Vec<&str> = rest.split_whitespace().collect();
            // Commands come before the first flag or value; each must be one that `--help` knows.
            let verbs: Vec<&str> =
                words.iter().copied().take_while(|word| word.chars().all(char::is_alphabetic)).collect();
            let mut help = Command::new(program);
            help.args(&verbs).arg("--help");
            let known = output(help);
            for flag in words.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
                let flag = flag.split('=').next().unwrap_or_default();
                assert!(known.contains(flag), "`{line}`: {name} {verbs:?} has no {flag}\n{known}");
            }
        }
    }
}

#[test]
fn packages_that_commands_of_the_readme_name_exist() {
    for line in commands() {
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.windows(2).filter(|pair| matches!(pair[0], "-p" | "--package")) {
            // `-p` is also mosquitto's port.
            if pair[1].parse::<u16>().is_err() {
                let exists = crate::tidy::has_package(pair[1]);
                assert!(exists, "`{line}` names the package {}, which is not there", pair[1]);
            }
        }
    }
}
