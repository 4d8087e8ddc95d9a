//! What `log inspect` and `log verify` print: text for people, one JSON object for programs.

use super::entries::Listed;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use riser_log::{
    Disk, Finding, GapRecord, Survey, Verification,
    archive::{ArchiveSurvey, Held, VolumeSurvey},
};
use riser_model::{CursorKey, CursorValue, Gap, Seq};
use serde_json::{Map, Value, json};
use std::{
    io::{self, Write},
    path::Path,
};

pub fn inspect_json<D: Disk>(survey: &Survey<D>) -> Value {
    json!({
        "log": id(survey.log.0),
        "oldest": survey.oldest.0,
        "next": survey.next.0,
        "epochs": survey.chain.iter().map(|span| json!({
            "epoch": id(span.epoch.0), "first": span.first.0, "last": span.last.0,
        })).collect::<Vec<_>>(),
        "files": survey.files.iter().map(|file| json!({
            "name": file.name, "bytes": file.bytes, "state": file.state.name(),
            "first": file.seqs.map(|(first, _)| first.0), "last": file.seqs.map(|(_, last)| last.0),
        })).collect::<Vec<_>>(),
        "bytes": bytes(survey),
        "cursors": survey.cursors.iter().map(|(key, value)| cursor_json(key, value)).collect::<Vec<_>>(),
        "routes": survey.routes.len(),
        "origins": survey.origins.len(),
        "gaps": survey.gaps.iter().map(record_json).collect::<Vec<_>>(),
        "entries": survey.counters.entries,
        "entry_bytes": survey.counters.entry_bytes,
        "commits": survey.counters.commits,
        "findings": survey.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

pub fn inspect_text<D: Disk>(out: &mut impl Write, folder: &Path, survey: &Survey<D>) -> io::Result<()> {
    writeln!(out, "log {} in {}", id(survey.log.0), folder.display())?;
    let held = Some((survey.oldest, survey.next.prev())).filter(|(oldest, last)| oldest <= last);
    writeln!(out, "seqs {}, next {}", span(held), survey.next)?;
    let counted = survey.counters;
    writeln!(
        out,
        "counted {} entries, {} bytes of entries, {} commits since the log was made",
        counted.entries, counted.entry_bytes, counted.commits
    )?;
    writeln!(
        out,
        "{} routes, {} origins, {} bytes in files",
        survey.routes.len(),
        survey.origins.len(),
        bytes(survey)
    )?;
    for epoch in &survey.chain {
        writeln!(out, "epoch {}: {}", id(epoch.epoch.0), span(Some((epoch.first, epoch.last))))?;
    }
    for file in &survey.files {
        writeln!(
            out,
            "file {}: {}, {} bytes, {}",
            file.name,
            span(file.seqs),
            file.bytes,
            file.state.name()
        )?;
    }
    for (key, value) in &survey.cursors {
        let CursorValue { through, heard, first, gapped, crc: _ } = value;
        match key {
            CursorKey::Uplink(hub) => {
                let key = URL_SAFE_NO_PAD.encode(hub.key.0);
                writeln!(out, "cursor uplink to {key} log {}: through {through}", id(hub.log.0))?;
            }
            CursorKey::Former(hub) => {
                let key = URL_SAFE_NO_PAD.encode(hub.key.0);
                writeln!(out, "cursor of a former parent, {key} log {}: through {through}", id(hub.log.0))?;
            }
            CursorKey::Downlink(client) => writeln!(out, "cursor downlink to {client}: through {through}")?,
            CursorKey::Ingest(edge, log, epoch) | CursorKey::Relayed(edge, log, epoch) => {
                let way = if matches!(key, CursorKey::Ingest(..)) { "ingest from" } else { "relay through" };
                let (log, epoch) = (id(log.0), id(epoch.0));
                writeln!(
                    out,
                    "cursor {way} {edge} {log}.{epoch}: from {first}, through {through}, heard {heard}, gapped {gapped}"
                )?;
            }
        }
    }
    for record in &survey.gaps {
        let Gap { from, to, cause } = record.gap;
        let bytes = record.bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
        let (count, when, cause) = (record.gap.count(), date(record.when.0), cause.name());
        writeln!(out, "gap {}: {count} seqs, {cause}, {when}{bytes}", span(Some((from, to))))?;
        for (room, count) in &record.rooms {
            writeln!(out, "    room {room}: {count}")?;
        }
    }
    for found in survey.findings.iter().map(finding) {
        writeln!(out, "found {}", line(found.as_object()))?;
    }
    Ok(())
}

/// One entry or gap, on a line.
pub fn listed(out: &mut impl Write, listed: &Listed, json: bool) -> io::Result<()> {
    match listed {
        Listed::Entry(fields) if json => writeln!(out, "{}", Value::Object(fields.clone())),
        Listed::Entry(fields) => writeln!(out, "entry {}", line(Some(fields))),
        Listed::Gap(gap) if json => writeln!(out, "{}", json!({ "gap": gap_json(gap) })),
        Listed::Gap(gap) => {
            let (count, cause) = (gap.count(), gap.cause.name());
            writeln!(out, "gap {}: {count} seqs, {cause}", span(Some((gap.from, gap.to))))
        }
    }
}

pub fn verify_json(found: &Verification) -> Value {
    json!({
        "log": id(found.log.0),
        "oldest": found.oldest.0,
        "last": found.last.0,
        "segments": found.segments,
        "recycled": found.recycled,
        "blocks": found.blocks,
        "entries": found.entries,
        "entry_bytes": found.entry_bytes,
        "damages": found.damages.iter().map(|damage| json!({
            "file": damage.file, "from": damage.from, "to": damage.to, "what": damage.what.to_string(),
            "first": damage.seqs.map(|(first, _)| first.0), "last": damage.seqs.map(|(_, last)| last.0),
        })).collect::<Vec<_>>(),
        "tail": found.tail.as_ref().map(|tail| json!({
            "file": tail.file, "from": tail.from, "seqs": tail.seqs,
        })),
    })
}

pub fn verify_text(out: &mut impl Write, folder: &Path, found: &Verification) -> io::Result<()> {
    writeln!(out, "log {} in {}", id(found.log.0), folder.display())?;
    let held = Some((found.oldest, found.last)).filter(|(oldest, last)| oldest <= last);
    let Verification { segments, blocks, entries, entry_bytes, .. } = found;
    writeln!(
        out,
        "read seqs {}: {entries} entries of {entry_bytes} bytes in {blocks} blocks of {segments} segments",
        span(held)
    )?;
    if found.recycled > 0 {
        writeln!(out, "{} segments were recycled meanwhile", found.recycled)?;
    }
    if let Some(tail) = &found.tail {
        let seqs = tail.seqs.map(|seqs| format!(" of {seqs} seqs")).unwrap_or_default();
        writeln!(
            out,
            "tail: {} from byte {}: a block{seqs} that was torn, or is being written",
            tail.file, tail.from
        )?;
    }
    for damage in &found.damages {
        let seqs = damage.seqs.map(|seqs| format!(", seqs {}", span(Some(seqs)))).unwrap_or_default();
        writeln!(out, "damage: {} bytes {}..{}{seqs}: {}", damage.file, damage.from, damage.to, damage.what)?;
    }
    if found.damages.is_empty() {
        writeln!(out, "no damage")?;
    }
    Ok(())
}

/// What is said of a log, and of the archive beside it.
pub fn with_archive(mut said: Value, archive: Option<&ArchiveSurvey>) -> Value {
    if let (Some(fields), Some(ArchiveSurvey { volumes, aside, rooms_lost })) =
        (said.as_object_mut(), archive)
    {
        let volumes = volumes.iter().map(|volume| {
            json!({
                "file": volume.file, "bytes": volume.bytes, "log": id(volume.log.0),
                "first": volume.seqs.0.0, "last": volume.seqs.1.0, "rooms": volume.rooms,
                "entries": volume.held.map(|held| held.entries), "lost": volume.held.map(|held| held.lost),
                "damaged": volume.held.map(|held| held.damaged),
                "unframed": volume.held.map(|held| held.unframed),
            })
        });
        let aside = aside.iter().map(|(file, bytes)| json!({ "file": file, "bytes": bytes }));
        let (volumes, aside): (Vec<Value>, Vec<Value>) = (volumes.collect(), aside.collect());
        let archive = json!({ "volumes": volumes, "aside": aside, "rooms_lost": rooms_lost });
        fields.insert("archive".into(), archive);
    }
    said
}

pub fn archive_text(out: &mut impl Write, archive: &ArchiveSurvey) -> io::Result<()> {
    let ArchiveSurvey { volumes, aside, rooms_lost } = archive;
    let bytes: u64 = volumes.iter().map(|volume| volume.bytes).sum();
    writeln!(out, "archive: {} volumes, {bytes} bytes", volumes.len())?;
    for volume in volumes {
        let VolumeSurvey { file, bytes, seqs, rooms, held, .. } = volume;
        let rooms =
            rooms.as_ref().map_or_else(|| "unreadable".to_owned(), |rooms| format!("{} rooms", rooms.len()));
        let held = held.map_or_else(String::new, |Held { entries, lost, damaged, unframed }| {
            let frame = if unframed { ", its head or index cannot be read" } else { "" };
            format!(", {entries} entries, {lost} seqs lost before, {damaged} damaged{frame}")
        });
        writeln!(out, "volume {file}: {}, {bytes} bytes, {rooms}{held}", span(Some(*seqs)))?;
    }
    for file in rooms_lost {
        writeln!(out, "damage: {file} does not say since when rooms are archived")?;
    }
    for (file, bytes) in aside {
        writeln!(out, "set aside {file}: {bytes} bytes")?;
    }
    Ok(())
}

fn bytes<D: Disk>(survey: &Survey<D>) -> u64 {
    survey.files.iter().map(|file| file.bytes).sum()
}

/// Ids are hexadecimal everywhere.
fn id(number: u64) -> String {
    format!("{number:016x}")
}

fn span(seqs: Option<(Seq, Seq)>) -> String {
    seqs.map_or_else(|| "none".to_owned(), |(first, last)| format!("{first}..={last}"))
}

/// Fields on one line.
fn line(fields: Option<&Map<String, Value>>) -> String {
    let fields = fields.into_iter().flatten().map(|(name, value)| match (name.as_str(), value) {
        ("wall_ms", value) => format!("wall={}", date(value.as_i64().unwrap_or_default())),
        (name, value) => format!("{name}={value}"),
    });
    fields.collect::<Vec<_>>().join(" ")
}

fn gap_json(gap: &Gap) -> Value {
    json!({ "from": gap.from.0, "to": gap.to.0, "count": gap.count(), "cause": gap.cause.name() })
}

fn record_json(record: &GapRecord) -> Value {
    let rooms: Map<String, Value> =
        record.rooms.iter().map(|(room, count)| (room.to_string(), (*count).into())).collect();
    json!({ "gap": gap_json(&record.gap), "wall_ms": record.when.0, "bytes": record.bytes, "rooms": rooms })
}

fn cursor_json(key: &CursorKey, value: &CursorValue) -> Value {
    let (through, heard) = (value.through.0, value.heard.0);
    match key {
        CursorKey::Uplink(hub) => json!({
            "uplink": { "key": URL_SAFE_NO_PAD.encode(hub.key.0), "log": id(hub.log.0) }, "through": through,
        }),
        CursorKey::Former(hub) => json!({
            "former": { "key": URL_SAFE_NO_PAD.encode(hub.key.0), "log": id(hub.log.0) }, "through": through,
        }),
        CursorKey::Downlink(client) => json!({ "downlink": client.to_string(), "through": through }),
        CursorKey::Relayed(edge, log, epoch) => json!({
            "relay": { "through": edge.to_string(), "log": id(log.0), "epoch": id(epoch.0) },
            "through": through, "heard": heard, "first": value.first.0, "gapped": value.gapped,
        }),
        CursorKey::Ingest(edge, log, epoch) => json!({
            "ingest": { "edge": edge.to_string(), "log": id(log.0), "epoch": id(epoch.0) },
            "through": through, "heard": heard, "first": value.first.0, "gapped": value.gapped,
        }),
    }
}

fn finding(finding: &Finding) -> Value {
    match finding {
        Finding::TailCut { end, bytes, seqs, proven } => {
            json!({ "what": "tail", "end": end.0, "bytes": bytes, "seqs": seqs, "proven": proven })
        }
        Finding::Damage { file, from, to, seqs } => json!({
            "what": "damage", "file": file, "from": from, "to": to,
            "first": seqs.map(|(first, _)| first.0), "last": seqs.map(|(_, last)| last.0),
        }),
        Finding::SetAside { file, why } => json!({ "what": "set_aside", "file": file, "why": why }),
        Finding::CheckpointLost { file } => json!({ "what": "checkpoint_lost", "file": file }),
        Finding::FoldLost => json!({ "what": "fold_lost" }),
        Finding::DrainOnly { reason } => json!({ "what": "drain_only", "why": reason }),
    }
}

/// Milliseconds since 1970 as a date and time in UTC.
pub fn date(wall_ms: i64) -> String {
    let (days, ms) = (wall_ms.div_euclid(86_400_000), wall_ms.rem_euclid(86_400_000));
    // Years begin in March here, so that a leap day is a year's last.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z", year + era * 400)
}
