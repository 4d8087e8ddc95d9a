//! The commands over small logs on a real folder.

use super::{
    LogCommand,
    entries::{BadRange, Range},
    report::date,
};
use clap::{Parser, error::ErrorKind};
use riser_log::{
    Config, Entropy, Writer,
    archive::{Archive, Step},
};
use riser_model::{
    Batch, ClientId, CursorKey, CursorValue, Epoch, LogId, Now, RoomId, Route, RouteNumber, Seq, Stamp, Time,
    Wall,
};
use riser_shell::RealDisk;
use riser_wire::entry::{ContentType, Publication};
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};
use tempfile::TempDir;
use uuid::Uuid;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: LogCommand,
}

/// A folder with a log of three commits, and its writer, which has it open.
fn written() -> (TempDir, Writer<RealDisk>) {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(folder.path()).unwrap();
    let now = |n| Now { time: Time(n), wall: Wall(1_700_000_000_000 + n as i64) };
    let (mut writer, _) = Writer::open(disk, Config::tiny(), Entropy(1), now(0)).unwrap();
    let route = Route {
        room: RoomId(Uuid::from_u128(1)),
        channel: "kitchen/temperature".parse().unwrap(),
        client: ClientId(Uuid::from_u128(2)),
    };
    let texts: [&[u8]; 3] = [b"21.5", b"\xff\xfe", b"22"];
    for (n, text) in texts.into_iter().enumerate() {
        let mut entries = Vec::new();
        let stamp = Stamp { boot_us: 1, wall: Wall(1_700_000_000_000), uncertainty_ms: 0 };
        Publication::new(ContentType::Text, text).write_frame(&mut entries, RouteNumber(0), stamp);
        let routes = if n == 0 { vec![(RouteNumber(0), route.clone())] } else { vec![] };
        let value = CursorValue { through: Seq(n as u64), heard: Seq(9), ..CursorValue::default() };
        let cursors = vec![(CursorKey::Ingest(route.client, LogId(5), Epoch(6)), Some(value))];
        let first = writer.next();
        writer
            .stage(Batch { first, entries: entries.into(), count: 1, routes, cursors, ..Batch::default() })
            .unwrap();
        writer.commit(now(n as u64 + 1)).unwrap();
    }
    (folder, writer)
}

/// Everything that is in a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (name(&entry), fs::read(entry.path()).unwrap())).collect()
}

/// Runs a command: what it prints, and what it ends with.
fn run(folder: &Path, arguments: &[&str]) -> (String, Result<(), String>) {
    let before = files(folder);
    let all = ["log"].iter().chain(arguments).copied();
    let command = Arguments::parse_from(all).command;
    let mut out = Vec::new();
    let ended = command.write(|| Ok((folder.to_owned(), Config::tiny())), &mut out);
    assert_eq!(files(folder), before, "nothing is changed");
    let ended = match ended {
        Ok(None) => Ok(()),
        Ok(Some(failed)) => Err(failed),
        Err(error) => Err(format!("{error:#}")),
    };
    (String::from_utf8(out).unwrap(), ended)
}

fn segment(folder: &Path) -> std::path::PathBuf {
    folder.join("segment-0000000000000002")
}

#[test]
fn inspect_says_what_a_log_in_use_holds() {
    let (folder, _writer) = written();
    let (text, ended) = run(folder.path(), &["inspect"]);
    ended.unwrap();
    for line in [
        "seqs 1..=3, next 4",
        "1 routes, 0 origins",
        "segment-0000000000000002: 1..=3, 16384 bytes, last",
        "0000000000000005.0000000000000006: from 0, through 2, heard 9, gapped 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    // Names of folders and logs are drawn by chance.
    let after_names = text.lines().skip(1).filter(|line| !line.starts_with("epoch"));
    assert!(after_names.clone().count() > 3);
    assert!(!after_names.collect::<String>().contains("21.5"), "no payload unless it is asked for: {text}");
}

#[test]
fn inspect_json_is_one_object_and_one_line_for_each_entry() {
    let (folder, _writer) = written();
    let (text, ended) = run(folder.path(), &["inspect", "--json", "--entries", "2..9", "--payload"]);
    ended.unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [log, second, third] = lines.as_slice() else { panic!("{text}") };
    assert_eq!((&log["oldest"], &log["next"], &log["entries"]), (&1.into(), &4.into(), &3.into()));
    assert_eq!(log["epochs"][0]["last"], 3);
    assert_eq!(log["cursors"][0]["through"], 2);
    assert_eq!((&second["seq"], &second["data_b64"]), (&2.into(), &"//4=".into()));
    assert_eq!(
        (&third["seq"], &third["data"], &third["kind"]),
        (&3.into(), &"22".into(), &"publication".into())
    );
    assert_eq!((&third["channel"], &third["payload_bytes"]), (&"kitchen/temperature".into(), &2.into()));
    assert_eq!(third["client"], Uuid::from_u128(2).to_string());
    let (text, _) = run(folder.path(), &["inspect", "--json", "--entries", "..1"]);
    assert!(!text.contains("data") && text.lines().count() == 2, "{text}");
}

#[test]
fn verify_of_a_good_log_says_so() {
    let (folder, _writer) = written();
    let (text, ended) = run(folder.path(), &["verify"]);
    ended.unwrap();
    assert!(text.contains("read seqs 1..=3: 3 entries") && text.ends_with("no damage\n"), "{text}");
}

#[test]
fn verify_of_a_flipped_byte_names_file_bytes_and_seqs_and_fails() {
    let (folder, writer) = written();
    drop(writer);
    let mut bytes = fs::read(segment(folder.path())).unwrap();
    // The second block of entries; the first block is the opening's.
    bytes[1024 + 110] ^= 1;
    fs::write(segment(folder.path()), bytes).unwrap();
    let (text, ended) = run(folder.path(), &["verify"]);
    let damage =
        "damage: segment-0000000000000002 bytes 1024..1536, seqs 2..=2: the block's checksum does not match";
    assert!(text.contains(damage), "{text}");
    assert!(ended.unwrap_err().contains("damage in 1 places"));
    let (text, ended) = run(folder.path(), &["verify", "--json"]);
    assert!(ended.is_err());
    let found: Value = serde_json::from_str(&text).unwrap();
    let damage = &found["damages"][0];
    assert_eq!((&damage["from"], &damage["first"], &damage["last"]), (&1024.into(), &2.into(), &2.into()));
    let (text, _) = run(folder.path(), &["inspect", "--entries", ".."]);
    assert!(text.contains("gap 2..=2: 1 seqs, damage"), "{text}");
}

#[test]
fn torn_end_is_the_tail_and_no_damage() {
    let (folder, writer) = written();
    drop(writer);
    let mut bytes = fs::read(segment(folder.path())).unwrap();
    bytes[1536 + 110] ^= 1;
    fs::write(segment(folder.path()), bytes).unwrap();
    let (text, ended) = run(folder.path(), &["verify"]);
    ended.unwrap();
    assert!(text.contains("tail: segment-0000000000000002 from byte 1536: a block of 1 seqs"), "{text}");
}

#[test]
fn folder_that_is_no_log_is_told_precisely() {
    let folder = tempfile::tempdir().unwrap();
    for verb in ["inspect", "verify"] {
        let (_, ended) = run(folder.path(), &[verb]);
        let error = ended.unwrap_err();
        assert!(
            error.contains("there is no log here") && error.contains(folder.path().to_str().unwrap()),
            "{error}"
        );
    }
    fs::create_dir(folder.path().join("log")).unwrap();
    let mut out = Vec::new();
    let command = Arguments::parse_from(["log", "verify"]).command;
    let error = command.write(|| Ok((folder.path().to_owned(), Config::tiny())), &mut out).unwrap_err();
    assert!(format!("{error:#}").contains("its segments may be in"), "{error:#}");
    let none = folder.path().join("none");
    let command = Arguments::parse_from(["log", "inspect", "--folder", none.to_str().unwrap()]).command;
    let error =
        command.write(|| panic!("a folder that is named needs no configuration"), &mut out).unwrap_err();
    assert!(format!("{error:#}").contains("none"), "{error:#}");
}

#[test]
fn ranges_are_read_as_they_are_meant_and_others_refused() {
    for (text, from, to) in [("3..7", 3, 7), ("..7", 1, 7), ("3..", 3, u64::MAX), ("..", 1, u64::MAX)] {
        assert_eq!(text.parse(), Ok(Range { from: Seq(from), to: Seq(to) }), "{text}");
    }
    for text in ["", "3", "7..3", "a..b", "1...2"] {
        assert!(matches!(text.parse::<Range>(), Err(BadRange { .. })), "{text}");
    }
    let error = Arguments::try_parse_from(["log", "inspect", "--payload"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument, "payloads of nothing");
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ] {
        assert_eq!(date(ms), text);
    }
}

#[test]
fn what_is_archived_beside_a_log_is_said_and_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (log, beside) = (folder.path().join("log"), folder.path().join("archive"));
    let (writer, recovered) = {
        let disk = RealDisk::open(&log).unwrap();
        Writer::<_, ()>::open(disk, Config::tiny(), Entropy(1), Now::default()).unwrap()
    };
    let mut writer = writer;
    let room = RoomId(Uuid::from_u128(1));
    let client = ClientId(Uuid::from_u128(2));
    let route = Route { room, channel: "a".parse().unwrap(), client };
    for n in 0..12 {
        let mut entries = Vec::new();
        Publication::new(ContentType::Octets, &[7; 4000]).write_frame(
            &mut entries,
            RouteNumber(0),
            Stamp::default(),
        );
        let routes = if n == 0 { vec![(RouteNumber(0), route.clone())] } else { vec![] };
        let (first, entries) = (writer.next(), entries.into());
        writer.stage(Batch { first, entries, count: 1, routes, ..Batch::default() }).unwrap();
        writer.commit(Now::default()).unwrap();
        writer.prepare(Now::default()).unwrap();
    }
    let disk = RealDisk::open(&beside).unwrap();
    let (mut archive, _) = Archive::open(disk, recovered.log, &recovered.chain, Seq(1), 1 << 30).unwrap();
    archive.want([(room, Seq::ZERO)].into(), &writer.reader());
    while archive.step(&writer.reader()).unwrap() != Step::Rests {}
    let (text, ended) = run(&log, &["inspect", "--json"]);
    ended.unwrap();
    let said: Value = serde_json::from_str(&text).unwrap();
    let volumes = said["archive"]["volumes"].as_array().unwrap();
    assert!(volumes.len() > 1 && volumes[0]["first"] == 1 && volumes[0]["rooms"][0] == room.to_string());
    let (text, ended) = run(&log, &["verify"]);
    ended.unwrap();
    assert!(text.contains("0 seqs lost before, 0 damaged"), "{text}");
    // However the folder is named.
    fs::create_dir(log.join("sub")).unwrap();
    let mut out = Vec::new();
    let named = log.join("sub").join("..");
    let command = Arguments::parse_from(["log", "verify", "--folder", named.to_str().unwrap()]).command;
    assert_eq!(command.write(|| panic!("it is named"), &mut out).unwrap(), None);
    assert!(String::from_utf8(out).unwrap().contains("archive: "), "the archive is beside it");
    fs::remove_dir(log.join("sub")).unwrap();
    // A bit of the oldest.
    let path = beside.join(volumes[0]["file"].as_str().unwrap());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (text, ended) = run(&log, &["verify"]);
    assert!(ended.unwrap_err().contains("damage in 1 places"), "{text}");
    assert!(
        !text.contains("0 seqs lost before, 0 damaged")
            || text.matches("0 damaged").count() < text.matches(" damaged").count()
    );
    // What says where the pieces of another one are, and since when rooms are archived.
    let path = beside.join(volumes[1]["file"].as_str().unwrap());
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let rooms = files(&beside).into_keys().find(|file| file.starts_with("rooms-")).unwrap();
    fs::write(beside.join(&rooms), b"RSRr").unwrap();
    let (text, ended) = run(&log, &["verify"]);
    assert!(ended.unwrap_err().contains("damage in 3 places"), "{text}");
    let told = format!("damage: {rooms} does not say since when rooms are archived");
    assert!(text.contains("0 damaged, its head or index cannot be read") && text.contains(&told), "{text}");
}
