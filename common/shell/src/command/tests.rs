//! The commands as they are typed, on the streams that they are given.

use super::*;
use crate::config::{Problem, tests::Sample};
use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: ConfigArgs,
    #[command(subcommand)]
    command: Common,
}

fn typed_line(words: &str) -> Line {
    Line::try_parse_from(["riser"].into_iter().chain(words.split_whitespace())).unwrap()
}

fn run(words: &str) -> Result<String, CommandError> {
    let line = typed_line(words);
    let mut output = Vec::new();
    let sources = Sources { environment: vec![], ..line.args.sources() };
    line.command.run_to::<Sample>(&sources, &mut output)?;
    Ok(String::from_utf8(output).unwrap())
}

#[test]
fn a_configuration_is_checked_and_printed_without_running_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("riser.toml");
    std::fs::write(&file, "[log]\nlevel = \"warn\"").unwrap();
    let file = file.display();
    assert_eq!(run(&format!("config check --config {file}")).unwrap(), format!("{file}: ok\n"));
    let printed = run(&format!("--config {file} --data /x config print --set limits.connections=9")).unwrap();
    for line in ["data = \"/x\"", "level = \"warn\"", "connections = 9", "first_frame = \"5s\""] {
        assert!(printed.lines().any(|printed| printed == line), "{line}: {printed}");
    }
    let Err(CommandError::Config(ConfigError::Wrong(problems))) =
        run(&format!("config check -c {file} --set limits.connections=0"))
    else {
        panic!("0 connections are wrong")
    };
    let Problem { source, .. } = &problems[0];
    assert_eq!(source, "command line");
}

#[test]
fn a_token_is_printed_with_the_hash_that_knows_it() {
    let printed = run("account token").unwrap();
    let [token, hash] = printed.lines().collect::<Vec<_>>()[..] else { panic!("{printed}") };
    assert_eq!(hash.parse(), Ok(TokenHash::of(token.as_bytes())));
    assert_eq!(token.len(), 43);
    assert_ne!(run("account token").unwrap(), printed);
}

#[test]
fn a_new_key_shows_the_same_public_key_later_and_is_not_made_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge.key");
    let made = run(&format!("key new {}", file.display())).unwrap();
    assert_eq!(run(&format!("key show {}", file.display())).unwrap(), made);
    made.trim().parse::<riser_gate::KeyText>().unwrap();
    let again = run(&format!("key new {}", file.display()));
    assert!(matches!(again, Err(CommandError::Key(KeyError::Exists(_)))));
}

#[test]
fn ids_are_new_each_time() {
    let id = run("id new").unwrap();
    id.trim().parse::<uuid::Uuid>().unwrap();
    assert_ne!(run("id new").unwrap(), id);
}

#[test]
fn a_password_is_one_line_and_not_nothing() {
    let read = |text: &str| line(&mut text.as_bytes());
    assert_eq!(read("two words \r\nmore").unwrap(), "two words ");
    assert!(matches!(read(""), Err(CommandError::NoPassword)));
    assert!(matches!(read("\n"), Err(CommandError::NoPassword)));
}

#[test]
fn a_value_without_its_key_is_refused() {
    let error = Line::try_parse_from(["riser", "config", "check", "--set", "debug"]).unwrap_err().to_string();
    assert!(error.contains("KEY=VALUE"), "{error}");
}
