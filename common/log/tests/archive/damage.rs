//! Volumes that are damaged, cut, removed, or cannot be opened or read for a time.

use crate::world::*;

#[test]
fn every_flipped_bit_of_a_volume_is_a_gap_in_place_at_most_and_nothing_is_deleted() {
    let mut world = filled();
    let name = world.volumes()[1].clone();
    let image = world.disk.snapshot();
    let length = image.iter().find(|(file, _)| **file == name).unwrap().1.len() as u64;
    let mut lost = 0;
    for offset in 0..length {
        assert!(world.disk.flip(&name, offset, (offset % 8) as u8));
        lost += damaged(&mut world, &name);
        assert!(world.volumes().contains(&name));
        assert!(world.disk.flip(&name, offset, (offset % 8) as u8));
    }
    assert!(lost > 0, "damage of what is stored is seen");
    assert_eq!(damaged(&mut world, &name), 0);
}

#[test]
fn a_volume_that_ends_anywhere_is_a_gap_in_place_from_there() {
    let mut world = filled();
    let name = world.volumes()[1].clone();
    let image = world.disk.snapshot();
    let length = image.iter().find(|(file, _)| **file == name).unwrap().1.len();
    for end in (0..length).rev().step_by(3) {
        let mut cut = image.clone();
        for (file, bytes) in &mut cut {
            if *file == name {
                bytes.truncate(end);
            }
        }
        world.disk.restore(&cut);
        damaged(&mut world, &name);
        assert!(world.volumes().contains(&name));
    }
}

#[test]
fn a_volume_that_is_waited_for_no_more_is_a_gap_until_it_can_be_read() {
    let mut world = filled();
    let name = world.volumes()[1].clone();
    let first = Seq(u64::from_str_radix(name.split('-').nth(1).unwrap(), 16).unwrap());
    let read = |world: &mut World, fails: bool| {
        if fails {
            // Not the medium: the disk cannot be asked.
            let next = world.disk.counts().calls;
            (1..20).for_each(|call| world.disk.fail_call(next + call, Failure::Full));
        }
        let mut log = world.writer.as_ref().unwrap().reader();
        let of = World::of([room(0), room(1)]);
        let read = Read::Of { from: first, max_bytes: 1, of };
        let found = world.reader.as_mut().unwrap().perform(&mut log, &read, &mut ());
        world.disk.calm();
        found
    };
    for _ in 0..5 {
        let error = read(&mut world, true).unwrap_err();
        assert_eq!(world.reader.as_ref().unwrap().volume_of(error.at), Some(first));
    }
    assert_eq!(world.reader.as_mut().unwrap().take_damaged(), 0);
    world.reader.as_mut().unwrap().give_up(first);
    let found = read(&mut world, true).unwrap();
    assert!(matches!(found.chunk.runs[..], [Run::Gap(Gap { cause: Cause::Damage, .. })]), "{found:?}");
    assert_eq!(world.reader.as_mut().unwrap().take_damaged(), 1);
    assert!(read(&mut world, false).unwrap().chunk.runs.iter().all(|run| !matches!(run, Run::Gap(_))));
    world.check();
}

#[test]
fn what_was_waited_for_is_not_waited_for_again_for_the_next_one_that_cannot_be_read() {
    let mut world = filled();
    let first_of = |name: &String| u64::from_str_radix(name.split('-').nth(1).unwrap(), 16).unwrap();
    let (given_up, next) = (Seq(first_of(&world.volumes()[1])), Seq(first_of(&world.volumes()[2])));
    world.reader.as_mut().unwrap().give_up(given_up);
    let call = world.disk.counts().calls;
    (1..40).for_each(|n| world.disk.fail_call(call + n, Failure::Full));
    let mut log = world.writer.as_ref().unwrap().reader();
    let read = |from| Read::Of { from, max_bytes: 1 << 20, of: World::of([room(0), room(1)]) };
    let found = world.reader.as_mut().unwrap().perform(&mut log, &read(given_up), &mut ()).unwrap();
    assert!(matches!(found.chunk.runs[..], [Run::Gap(Gap { cause: Cause::Damage, .. })]), "{found:?}");
    assert_eq!(found.chunk.next, next);
    world.reader.as_mut().unwrap().perform(&mut log, &read(next), &mut ()).unwrap_err();
    world.disk.calm();
    world.check();
}

#[test]
fn of_a_volume_that_is_waited_for_no_more_only_what_cannot_be_read_is_a_gap() {
    let mut world = World::new(&[0, 1]);
    world.segment = 256 << 10;
    assert!(world.open());
    world.run(4000);
    let name = world.volumes()[1].clone();
    let mut numbers = name.split('-').skip(1).map(|part| u64::from_str_radix(part, 16).unwrap());
    let (first, last) = (Seq(numbers.next().unwrap()), numbers.next().unwrap());
    assert!(world.oldest() > last);
    let replay = |world: &mut World| {
        let (found, gaps) = world.replay(1, &[0, 1]);
        let mut expected = world.expected(1, &[0, 1]);
        expected.retain(|seq, _| !gaps.iter().any(|gap| (gap.from.0..=gap.to.0).contains(seq)));
        assert_eq!(found, expected);
        gaps.iter().map(Gap::count).sum::<u64>()
    };
    assert_eq!(replay(&mut world), 0);
    // Not the medium: who is asked refuses, of a piece, or of what says where the pieces are. It is waited for at first.
    let (all, length) = (last - first.0 + 1, sizes(&world)[&name]);
    for bytes in [20_000..20_001, length - 40..length] {
        world.disk.refuse_reads(&name, bytes.clone(), Failure::Full);
        assert!(world.open_archive());
        let mut log = world.writer.as_ref().unwrap().reader();
        let read = Read::Of { from: first, max_bytes: 1 << 20, of: World::of([room(0), room(1)]) };
        world.reader.as_mut().unwrap().perform(&mut log, &read, &mut ()).unwrap_err();
        world.reader.as_mut().unwrap().give_up(first);
        let lost = replay(&mut world);
        assert!(0 < lost && lost < all * 2 / 3, "{lost} of {all} without {bytes:?}");
        let _ = world.backwards(&[0, 1]);
        world.disk.allow_reads(&name);
        world.reader.as_mut().unwrap().wait_again(first);
        assert_eq!(replay(&mut world), 0);
    }
    // Where that is much of it, or it cannot even be opened, nobody waits for each piece.
    world.disk.refuse_reads(&name, 0..length, Failure::Full);
    world.reader.as_mut().unwrap().give_up(first);
    let before = world.disk.counts().calls;
    assert_eq!(replay(&mut world), all);
    assert!(world.disk.counts().calls - before < 3000);
    world.disk.allow_reads(&name);
    world.reader.as_mut().unwrap().wait_again(first);
    world.check();
}

#[test]
fn a_folder_that_is_not_there_for_a_time_is_waited_for() {
    let mut world = filled();
    let image = world.disk.snapshot();
    world.disk.restore(&Default::default());
    let mut log = world.writer.as_ref().unwrap().reader();
    let of = World::of([room(0), room(1)]);
    for read in [
        Read::Of { from: Seq(1), max_bytes: 1 << 20, of: of.clone() },
        Read::Before { before: log.oldest(), of },
    ] {
        let found = world.reader.as_mut().unwrap().perform(&mut log, &read, &mut ());
        assert!(found.is_err(), "{found:?}");
    }
    assert_eq!(world.reader.as_mut().unwrap().take_damaged(), 0);
    world.disk.restore(&image);
    world.check();
}

#[test]
fn pages_tell_what_is_missing_between_volumes_and_in_them() {
    let mut world = filled();
    let names = world.volumes();
    let mut image = world.disk.snapshot();
    image.remove(&names[1]);
    world.disk.restore(&image);
    let (_, mut gaps) = world.replay(1, &[0, 1]);
    assert_eq!((gaps.len(), gaps[0].cause), (1, Cause::Damage));
    let backwards = |world: &mut World| {
        let of = World::of([room(0), room(1)]);
        let (mut told, mut before) = (Vec::new(), Seq(world.oldest()));
        while before > Seq(1) {
            let part = world.perform(&Read::Before { before, of: of.clone() });
            let first = part.chunk.runs.first().map_or(part.chunk.next, Run::first);
            assert!(first < before, "it goes on");
            told.extend(part.chunk.runs.iter().filter_map(|run| match run {
                Run::Gap(gap) => Some(*gap),
                Run::Entries { .. } => None,
            }));
            before = first;
        }
        told
    };
    assert_eq!(backwards(&mut world), gaps);
    // After a start it is a hole.
    assert!(world.open_archive());
    gaps[0].cause = Cause::HubQuota;
    assert_eq!(backwards(&mut world), gaps);
}

#[test]
fn a_survey_counts_what_a_volume_holds_and_what_of_it_cannot_be_read() {
    let mut world = filled();
    let oldest = world.oldest();
    let look = |world: &World| ArchiveSurvey::of(&world.disk, true).unwrap();
    let survey = look(&world);
    assert_eq!(survey.volumes.iter().map(|volume| volume.file.clone()).collect::<Vec<_>>(), world.volumes());
    assert!(survey.volumes.iter().all(|volume| !volume.is_damaged()));
    let through = survey.volumes.last().unwrap().seqs.1;
    let held: u64 = survey.volumes.iter().map(|volume| volume.held.unwrap().entries).sum();
    let expected = world.expected(1, &[0, 1]).range(..=through.0).count() as u64;
    assert!(oldest > 1 && held == expected, "{held} of {expected}");
    let name = world.volumes()[1].clone();
    let length = survey.volumes[1].bytes;
    assert!(world.disk.flip(&name, length / 2, 1));
    let survey = look(&world);
    let damaged: Vec<&String> =
        survey.volumes.iter().filter(|one| one.is_damaged()).map(|one| &one.file).collect();
    assert_eq!(damaged, [&name]);
    assert!(world.open_archive());
    let (_, gaps) = world.replay(1, &[0, 1]);
    let told: u64 = gaps.iter().map(Gap::count).sum();
    assert_eq!(survey.volumes[1].held.unwrap().damaged, told);
}

#[test]
fn a_survey_of_all_sees_every_flipped_bit_that_says_anything() {
    let mut world = filled();
    let image = world.disk.snapshot();
    let files: Vec<&String> = image.keys().filter(|name| name.starts_with("rooms-")).collect();
    let damaged = |world: &World| ArchiveSurvey::of(&world.disk, true).unwrap().damages();
    assert_eq!((files.len(), damaged(&world)), (1, 0));
    for name in [&world.volumes()[1], files[0]] {
        let bytes = &image[name];
        // Records of a volume begin on multiples of 64 bytes, and its end says where the index is.
        let begins = |at: usize| {
            at + 16 == bytes.len() || bytes.get(at..).is_some_and(|rest| rest.starts_with(b"RSRv"))
        };
        for at in 0..bytes.len() {
            let next = at.next_multiple_of(64);
            let fills = name.starts_with("volume")
                && begins(next)
                && bytes[at..next.min(bytes.len())].iter().all(|byte| *byte == 0);
            assert!(world.disk.flip(name, at as u64, (at % 8) as u8));
            assert!(damaged(&world) == 1 || fills, "byte {at} of {name}");
            assert!(world.disk.flip(name, at as u64, (at % 8) as u8));
        }
    }
    assert_eq!(damaged(&world), 0);
    world.check();
}

#[test]
fn pages_of_a_volume_whose_index_is_torn_are_read_piece_by_piece() {
    let mut world = World::new(&[0, 1, 2]);
    // Volumes of several pieces.
    world.segment = 512 << 10;
    assert!(world.open());
    while world.oldest() < 10 {
        world.run(200);
    }
    let name = world.volumes()[0].clone();
    let mut image = world.disk.snapshot();
    let bytes = image.iter_mut().find(|(file, _)| **file == name).unwrap().1;
    let length = bytes.len();
    bytes.truncate(length - 8);
    world.disk.restore(&image);
    assert!(world.open_archive());
    let mut before = Seq(u64::from_str_radix(name.split('-').nth(2).unwrap(), 16).unwrap()).next();
    let of = World::of([room(0), room(1), room(2)]);
    let mut reads = 0;
    while before > Seq(1) {
        let part = world.perform(&Read::Before { before, of: of.clone() });
        let bytes: usize = part
            .chunk
            .runs
            .iter()
            .map(|run| match run {
                Run::Entries { entries, .. } => entries.len(),
                Run::Gap(_) => 0,
            })
            .sum();
        assert!(bytes < length / 2, "{bytes} of {length}");
        before = part.chunk.runs.first().map_or(part.chunk.next, Run::first);
        reads += 1;
    }
    assert!(reads > 2);
}

#[test]
fn what_the_log_had_lost_when_it_was_copied_is_told_to_who_has_nothing_beside_it() {
    // Room 7 is archived and nobody publishes there.
    let quiet = RoomId(uuid::Uuid::from_u128(7));
    let (mut world, segment) = sealed(&[0]);
    world.wanted.insert(quiet, Seq::ZERO);
    world.want();
    assert!(world.log.flip(&segment, SEGMENT / 2, 3));
    world.run(100);
    let (of, mut gaps) = (World::of([quiet]), Vec::new());
    let mut at = Seq(1);
    while at.0 < world.oldest() {
        let part = world.perform(&Read::Of { from: at, max_bytes: 1 << 20, of: of.clone() });
        gaps.extend(part.chunk.runs.iter().filter_map(|run| match run {
            Run::Gap(gap) => Some(*gap),
            Run::Entries { .. } => None,
        }));
        at = part.chunk.next;
    }
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap.cause == Cause::Damage), "{gaps:?}");
}

#[test]
fn what_the_medium_cannot_read_for_a_time_is_archived_when_it_can() {
    let (mut world, segment) = sealed(&[0, 1]);
    let image = world.log.snapshot();
    world.log.make_unreadable(&segment, SEGMENT / 2..SEGMENT / 2 + 4096);
    assert!(!world.archive() && !world.archive());
    world.log.restore(&image);
    assert!(world.open());
    world.run(100);
    world.check();
}

#[test]
fn what_the_medium_can_never_read_is_a_gap_and_the_rest_is_archived() {
    let (mut world, segment) = sealed(&[0, 1]);
    world.log.make_unreadable(&segment, SEGMENT / 2..SEGMENT / 2 + 4096);
    let tries = (0..100).take_while(|_| !world.archive()).count();
    assert!(tries > 1 && tries < 100, "{tries}");
    world.run(100);
    let (found, gaps) = world.replay(1, &[0, 1]);
    // The log uses the file again, with what is wrong with it: of what came after the first gap nothing is said here.
    assert!(gaps[0].cause == Cause::Damage && gaps[0].count() < 20, "{gaps:?}");
    let around = |seq: &u64| (gaps[0].from.0 - 10..gaps[0].to.0 + 10).contains(seq);
    let mut expected = world.expected(1, &[0, 1]);
    expected.retain(|seq, _| around(seq) && !(gaps[0].from.0..=gaps[0].to.0).contains(seq));
    assert!(expected.iter().all(|(seq, entry)| found.get(seq) == Some(entry)));
}

#[test]
fn an_older_volume_that_is_whole_is_read_where_nothing_is_known_of_the_newer_one() {
    let mut world = filled();
    let name = world.volumes()[1].clone();
    let mut image = world.disk.snapshot();
    let (_, bytes) = image.iter().find(|(file, _)| **file == name).unwrap();
    let cut = bytes[..40].to_vec();
    let mut parts: Vec<&str> = name.split('-').collect();
    parts[3] = "000fffff";
    let newer = parts.join("-");
    image.insert(newer.clone(), cut);
    world.disk.restore(&image);
    assert_eq!(damaged(&mut world, &name), 0);
    let volumes = world.volumes();
    assert!(volumes.contains(&name) && !volumes.contains(&newer));
}

#[test]
fn a_volume_that_somebody_removed_is_a_gap_in_place() {
    let mut world = filled();
    let name = world.volumes()[1].clone();
    let mut image = world.disk.snapshot();
    image.remove(&name);
    world.disk.restore(&image);
    let (found, gaps) = world.replay(1, &[0, 1]);
    assert!(gaps.len() == 1 && gaps[0].cause == Cause::Damage, "{gaps:?}");
    let mut expected = world.expected(1, &[0, 1]);
    expected.retain(|seq, _| !(gaps[0].from.0..=gaps[0].to.0).contains(seq));
    assert_eq!(found, expected);
    assert_eq!(world.backwards(&[0, 1]), expected);
}

#[test]
fn what_keeps_one_file_from_being_opened_costs_that_file_alone() {
    let mut world = filled();
    let before = world.disk.counts().calls;
    assert!(world.open_archive());
    let calls = world.disk.counts().calls - before;
    let volumes = world.volumes();
    // The first three are the list of the folder, and since when which room is archived: what is to be shown of it.
    for call in 4..=calls {
        let next = world.disk.counts().calls + call;
        world.disk.fail_call(next, Failure::Full);
        assert!(world.open_archive(), "call {call}");
        assert_eq!(world.volumes(), volumes);
        assert!(world.findings.len() <= 1);
        world.disk.calm();
    }
    assert!(world.open_archive());
    world.check();
}
