//! What every source file keeps: a module comment, a name that says something, and no way out of the
//! project.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{expect_none, workspace};

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 8] = ["common", "helper", "helpers", "lib2", "misc", "stuff", "util", "utils"];

/// Files that others read, beside the Rust sources.
const TEXT_ENDINGS: [&str; 16] = [
    "conf", "css", "html", "js", "json", "md", "mjs", "py", "rs", "service", "sh", "toml", "ts", "txt",
    "yaml", "yml",
];

#[test]
fn every_module_opens_with_what_it_is() {
    let mut violations = Vec::new();
    for path in rust_files() {
        let text = fs::read_to_string(&path).expect("a source is text");
        let opening = text.lines().find(|line| !line.trim().is_empty());
        if !opening.is_some_and(|line| line.starts_with("//! ") && line.len() > 12) {
            violations.push(format!("{}: does not open with a `//!` sentence", workspace::shown(&path)));
        }
    }
    expect_none("module comments", &violations);
}

#[test]
fn no_file_is_named_for_nothing() {
    let mut violations = Vec::new();
    for path in rust_files() {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let folder =
            path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        let folder_is_empty_name = EMPTY_NAMES.contains(&folder) && stem == "mod";
        if EMPTY_NAMES.contains(&stem) || folder_is_empty_name {
            violations.push(format!("{}: name it for the noun it holds", workspace::shown(&path)));
        }
    }
    expect_none("file names", &violations);
}

#[test]
fn nothing_points_outside_the_project() {
    let mut violations = Vec::new();
    let mut private: Vec<String> = ["home", "root", "Users"].map(|folder| format!("/{folder}/")).into();
    private.extend(folder_beside());
    for path in workspace::files() {
        let Some(text) = text_of(&path) else { continue };
        let folder = path.parent().expect("a file lies in a folder");
        for (index, line) in text.lines().enumerate() {
            let mut found: Vec<&str> = words(line).filter(|word| leaves(folder, word)).collect();
            found.extend(private.iter().map(String::as_str).filter(|place| mentions(line, place)));
            for what in found {
                violations.push(format!("{}:{}: points to {what}", workspace::shown(&path), index + 1));
            }
        }
    }
    expect_none("paths out of the project", &violations);
}

fn rust_files() -> impl Iterator<Item = PathBuf> {
    workspace::files().into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
}

/// The text of a file that people or tools read; `None` for fixtures in bytes.
fn text_of(path: &Path) -> Option<String> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let is_text = ending.is_none_or(|ending| TEXT_ENDINGS.contains(&ending));
    is_text.then(|| fs::read_to_string(path).ok()).flatten()
}

/// Where this checkout lies, when that is a place of one machine only.
fn folder_beside() -> Option<String> {
    let parent = workspace::root().parent()?;
    let general =
        [Path::new("/"), Path::new("/src"), Path::new("/app"), Path::new("/build"), Path::new("/opt")];
    let is_general = general.contains(&parent) || parent.starts_with(std::env::temp_dir());
    (!is_general).then(|| format!("{}/", parent.display()))
}

/// The parts of a line that can be paths.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| c.is_whitespace() || "\"'`()[]{}<>,;=|*".contains(c))
        .filter(|word| word.contains("../"))
}

/// Whether a relative path leads out of the project, read from the folder of the file that mentions it.
fn leaves(folder: &Path, word: &str) -> bool {
    let inside = folder.strip_prefix(workspace::root()).expect("the walk began at the root");
    let mut depth = inside.components().count();
    let start = word.find("../").unwrap_or(0);
    if start > 0 && !matches!(&word[..start], "./") {
        // `a/../b` and `x...` are read from wherever `a` is: only a path that begins by climbing is judged.
        return false;
    }
    for component in Path::new(word).components() {
        match component {
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    false
}

/// Whether a line names a path that begins with `place`.
fn mentions(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "/._-}".contains(c))
    })
}

#[test]
fn climbing_path_is_told_from_one_that_stays() {
    let folder = workspace::root().join("tests/integration");
    assert!(leaves(&folder, "../../../elsewhere/file"));
    assert!(!leaves(&folder, "../../common/model"));
    assert!(!leaves(&folder, "../bench"));
    let home = ["/ho", "me/"].concat();
    assert!(mentions(&format!("see {home}someone/notes"), &home));
    assert!(!mentions(&format!("https://example.org{home}page"), &home));
}
