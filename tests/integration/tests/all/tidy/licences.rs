//! Licences of everything that is built: each dependency offers at least one way that is allowed here.

use super::{expect_none, workspace};

/// Permissive, or with a reach of one file; nothing that binds the whole program.
const ALLOWED: [&str; 17] = [
    "0BSD",
    "Apache-2.0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "NCSA",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

/// Exceptions to a licence that only add freedom.
const ALLOWED_EXCEPTIONS: [&str; 1] = ["LLVM-exception"];

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let mut violations = Vec::new();
    for package in &workspace::metadata().packages {
        match package.license.as_deref() {
            None => violations.push(format!("{} {} names no licence", package.name, package.version)),
            Some(licence) if !permits(licence) => {
                violations.push(format!("{} {} is under `{licence}`", package.name, package.version));
            }
            Some(_) => {}
        }
    }
    assert!(workspace::metadata().packages.len() > 20, "cargo metadata listed too little to be true");
    expect_none("licences", &violations);
}

/// Whether an SPDX expression can be met by what is allowed. The old `MIT/Apache-2.0` is read as `OR`.
fn permits(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut tokens: Vec<&str> = spaced.split_whitespace().rev().collect();
    let answer = either(&mut tokens);
    answer && tokens.is_empty()
}

fn either(tokens: &mut Vec<&str>) -> bool {
    let mut answer = both(tokens);
    while tokens.last() == Some(&"OR") {
        tokens.pop();
        answer |= both(tokens);
    }
    answer
}

fn both(tokens: &mut Vec<&str>) -> bool {
    let mut answer = one(tokens);
    while tokens.last() == Some(&"AND") {
        tokens.pop();
        answer &= one(tokens);
    }
    answer
}

fn one(tokens: &mut Vec<&str>) -> bool {
    let answer = match tokens.pop() {
        Some("(") => {
            let inner = either(tokens);
            tokens.pop() == Some(")") && inner
        }
        Some(name) => ALLOWED.contains(&name),
        None => false,
    };
    if tokens.last() == Some(&"WITH") {
        tokens.pop();
        return tokens.pop().is_some_and(|exception| ALLOWED_EXCEPTIONS.contains(&exception)) && answer;
    }
    answer
}

#[test]
fn licence_expression_is_weighed_and_not_searched() {
    assert!(permits("MIT/Apache-2.0"));
    assert!(permits("GPL-3.0-only OR MIT"));
    assert!(permits("(MIT OR GPL-3.0-only) AND Unicode-3.0"));
    assert!(permits("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only"));
    assert!(!permits("MIT AND GPL-3.0-only"));
    assert!(!permits("AGPL-3.0-only"));
    assert!(!permits("MIT)"));
    assert!(!permits(""));
}
