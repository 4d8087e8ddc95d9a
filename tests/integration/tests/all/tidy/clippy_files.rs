//! The pure crates' clippy files: a nested one replaces the root's, so each is a whole and all are equal.

use std::fs;

use super::purity::PURE;
use super::{expect_none, workspace};

#[test]
fn pure_crates_have_equal_clippy_files_that_keep_the_world_out() {
    let own = workspace::own();
    let root_text =
        fs::read_to_string(workspace::root().join(".clippy.toml")).expect("the root has a clippy file");
    let mut violations = Vec::new();
    let mut first: Option<(String, String)> = None;
    for name in PURE {
        let folder = own[name].manifest_path.parent().expect("a manifest lies in a folder");
        let path = folder.join(".clippy.toml");
        let Ok(text) = fs::read_to_string(&path) else {
            violations.push(format!("{name} has no .clippy.toml: copy one of another pure crate"));
            continue;
        };
        for line in root_text.lines().filter(|line| !line.is_empty() && !text.contains(line)) {
            violations.push(format!("{path} lacks the root's line `{line}`, which it replaces"));
        }
        for method in
            ["std::time::Instant::now", "std::time::SystemTime::now", "std::thread::spawn", "std::fs::write"]
        {
            if !text.contains(method) {
                violations.push(format!("{path} does not disallow {method}"));
            }
        }
        match &first {
            None => first = Some((name.to_owned(), text)),
            Some((other, kept)) if *kept != text => {
                violations.push(format!("{path} differs from that of {other}"))
            }
            Some(_) => {}
        }
    }
    expect_none("clippy files of the pure crates", &violations);
}
