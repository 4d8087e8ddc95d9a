//! A log that is looked into without being opened: what a survey says of it and what a verification finds, and
//! that neither changes anything.

use crate::{
    layout::{Block, FOOTER, HEADER},
    script::{COMMITS, calls, play, ring, roomy},
    support::{Digest, Model, frame, now, uplink},
    written::Written,
};
use riser_log::{
    Disk, FileState, Survey, SurveyError, Verification, Writer,
    fault::{Fate, FaultDisk, FaultFile, Image},
    verify,
};
use riser_model::{Batch, RouteNumber, Run, Seq};
use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex},
};

fn disk(image: &Image) -> FaultDisk {
    let disk = FaultDisk::new(1);
    disk.restore(image);
    disk
}

/// Verifies an image, which must not change.
fn verified(image: &Image) -> Verification {
    let disk = disk(image);
    let found = verify(disk.clone(), &ring()).unwrap();
    assert_eq!(disk.snapshot(), *image);
    assert_eq!((disk.counts().writes, disk.counts().syncs), (0, 0));
    found
}

#[test]
fn survey_says_what_an_opening_finds_and_changes_nothing() {
    for config in [roomy(), ring()] {
        let mut model = Model::new(1, config.clone());
        play(&mut model, COMMITS);
        let image = model.disk.snapshot();
        let disk = disk(&image);
        let mut survey = Survey::of(disk.clone(), &config).unwrap();
        let next = Seq(model.acked.len() as u64 + 1);
        assert_eq!((survey.next, survey.oldest), (next, model.reader.as_ref().unwrap().oldest()));
        let epochs: BTreeSet<u64> = survey.chain.iter().map(|span| span.epoch.0).collect();
        assert_eq!(epochs, model.epochs, "no epoch of its own");
        assert_eq!(survey.chain.last().map(|span| span.last), Some(next.prev()));
        assert!(survey.findings.is_empty(), "{:?}", survey.findings);
        let cursor = survey.cursors.iter().find(|(key, _)| *key == uplink(1)).unwrap();
        assert_eq!(cursor.1.through.0, model.cursors[&uplink(1)].through.0);
        let dropped: Vec<_> = survey.gaps.iter().map(|record| (record.gap.from.0, record.gap.to.0)).collect();
        assert_eq!(dropped.is_empty(), model.dropped.is_empty());
        let states: Vec<FileState> = survey.files.iter().map(|file| file.state).collect();
        let (last, sealed) = (FileState::Last, FileState::Sealed);
        assert!(
            states.starts_with(&[sealed]) && states.contains(&last) && states.contains(&FileState::Spare)
        );
        let mut at = survey.oldest;
        for (first, last) in survey.files.iter().filter_map(|file| file.seqs) {
            assert_eq!(first, at, "segments follow on one another");
            at = last.next();
        }
        assert_eq!(at, next);
        let chunk = survey.read(survey.oldest, 1 << 20).unwrap();
        assert_eq!(chunk.next, next);
        assert!(chunk.runs.iter().all(|run| matches!(run, Run::Entries { .. })));
        assert_eq!(disk.snapshot(), image);
        assert_eq!((disk.counts().writes, disk.counts().syncs), (0, 0));
    }
}

#[test]
fn verification_of_an_undamaged_log_counts_every_block_and_entry() {
    for config in [roomy(), ring()] {
        let written = Written::new(config, COMMITS);
        let found = verified(&written.image);
        assert_eq!((found.damages.as_slice(), found.tail), (&[][..], None));
        let blocks = || written.blocks.iter().filter(|block| block.kind != FOOTER);
        assert_eq!(found.blocks, blocks().count() as u64);
        assert_eq!(found.entries, blocks().map(|block| block.count).sum::<u64>());
        assert_eq!(found.entry_bytes, blocks().map(|block| block.entries_bytes as u64).sum::<u64>());
        assert_eq!(found.last.0, written.tail().last());
    }
}

#[test]
fn verification_finds_a_flip_in_every_block_where_it_is_with_exactly_its_seqs() {
    for config in [roomy(), ring()] {
        let written = Written::new(config, COMMITS);
        let tail = written.tail().clone();
        for block in &written.blocks {
            let body = HEADER..block.bytes();
            for at in [0, 20, 45, 70, 100].into_iter().chain(body.step_by(97)) {
                let mut image = written.image.clone();
                image.get_mut(&*block.file).unwrap()[block.at + at] ^= 4;
                let found = verified(&image);
                if *block == tail {
                    let tail = found.tail.unwrap();
                    assert_eq!((&*tail.file, tail.from), (&*block.file, block.at as u64));
                    assert_eq!(found.damages, []);
                    continue;
                }
                let [damage] = found.damages.as_slice() else {
                    panic!("{block:?} {at}: {:?}", found.damages)
                };
                let place = damage.from..damage.to;
                assert!(
                    damage.file == *block.file && place.contains(&(block.at as u64)),
                    "{block:?} {damage:?}"
                );
                let seqs = (block.count > 0).then_some((Seq(block.first), Seq(block.last())));
                assert_eq!(damage.seqs, seqs, "{block:?} {damage:?}");
            }
        }
    }
}

#[test]
fn verification_finds_a_flip_in_what_leads_to_a_footer() {
    let written = Written::new(roomy(), COMMITS);
    let sealed: Vec<&Block> = written.blocks.iter().filter(|block| block.kind == FOOTER).collect();
    assert!(!sealed.is_empty());
    for block in sealed {
        for at in block.padded() - 8..block.padded() {
            let mut image = written.image.clone();
            image.get_mut(&*block.file).unwrap()[block.at + at] ^= 4;
            assert_eq!(verified(&image).damages.len(), 1);
        }
    }
}

#[test]
fn between_any_two_calls_of_a_run_a_log_looks_undamaged() {
    for config in [roomy(), ring()] {
        for call in calls(&config) {
            let mut model = Model::new(1, config.clone());
            model.disk.set_fate(Fate::Dice);
            model.plan = Box::new(move |disk| disk.kill_at(call));
            play(&mut model, COMMITS);
            model.disk.restart();
            match verify(model.disk.clone(), &config) {
                Ok(found) => assert_eq!(found.damages, [], "call {call}"),
                Err(SurveyError::NoLog { .. }) => assert!(model.acked.is_empty()),
                Err(error) => panic!("call {call}: {error}"),
            }
        }
    }
}

#[test]
fn folder_without_a_log_is_said_to_be_none() {
    let error = verify(FaultDisk::new(1), &roomy()).unwrap_err();
    assert!(matches!(error, SurveyError::NoLog { files: 0 }), "{error}");
    let other = Image::from([("notes.txt".to_owned(), b"hello".to_vec())]);
    let error = Survey::of(disk(&other), &roomy()).err().unwrap();
    assert!(matches!(error, SurveyError::NoLog { files: 1 }), "{error}");
    let mut newer = Written::new(roomy(), 4).image;
    newer.retain(|_, bytes| bytes.iter().any(|byte| *byte != 0));
    for bytes in newer.values_mut() {
        bytes.fill(0);
        bytes[..5].copy_from_slice(b"RSRb\x02");
    }
    let error = verify(disk(&newer), &roomy()).unwrap_err();
    assert!(matches!(error, SurveyError::SetAside { .. }), "{error}");
}

/// A disk on which a program goes on writing while it is looked at: a commit for every few reads.
#[derive(Clone)]
struct InUse {
    disk: FaultDisk,
    program: Arc<Mutex<Program>>,
}

struct Program {
    writer: Writer<FaultDisk, Digest>,
    reads: u64,
    every: u64,
}

impl InUse {
    fn step(&self) {
        let mut program = self.program.lock().unwrap();
        program.reads += 1;
        let (reads, every) = (program.reads, program.every);
        if !reads.is_multiple_of(every) {
            return;
        }
        let mut entries = Vec::new();
        frame(&mut entries, RouteNumber::NONE.0, &[reads as u8; 1500]);
        let first = program.writer.next();
        let batch = Batch { first, entries: entries.into(), count: 1, ..Batch::default() };
        program.writer.stage(batch).unwrap();
        program.writer.commit(now(reads)).unwrap();
        while program.writer.prepare(now(reads)).unwrap() {}
    }
}

impl Disk for InUse {
    type File = FaultFile;

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn open(&self, name: &str) -> io::Result<(FaultFile, u64)> {
        self.disk.open(name)
    }

    fn create(&self, _: &str) -> io::Result<FaultFile> {
        unreachable!("it is only looked at")
    }

    fn read_at(&self, file: &FaultFile, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.step();
        self.disk.read_at(file, offset, bytes)
    }

    fn write_at(&self, _: &FaultFile, _: u64, _: &[u8]) -> io::Result<()> {
        unreachable!("it is only looked at")
    }

    fn sync_data(&self, _: &FaultFile) -> io::Result<()> {
        unreachable!("it is only looked at")
    }

    fn sync_all(&self, _: &FaultFile) -> io::Result<()> {
        unreachable!("it is only looked at")
    }

    fn forget_cached(&self, _: &FaultFile) -> io::Result<()> {
        unreachable!("it is only looked at")
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        unreachable!("it is only looked at")
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        unreachable!("it is only looked at")
    }

    fn sync_dir(&self) -> io::Result<()> {
        unreachable!("it is only looked at")
    }

    fn free_space(&self) -> io::Result<u64> {
        unreachable!("it is only looked at")
    }
}

#[test]
fn log_in_use_is_never_called_damaged_however_fast_its_segments_are_recycled() {
    let mut recycled = 0;
    for every in 1..12 {
        let mut model = Model::new(1, ring());
        play(&mut model, COMMITS);
        let program = Program { writer: model.writer.take().unwrap(), reads: 0, every };
        let disk = InUse { disk: model.disk.clone(), program: Arc::new(Mutex::new(program)) };
        for _ in 0..20 {
            let found = verify(disk.clone(), &ring()).unwrap();
            assert_eq!(found.damages, [], "a commit for {every} reads");
            recycled += found.recycled;
            let mut survey = Survey::of(disk.clone(), &ring()).unwrap();
            let chunk = survey.read(survey.oldest, 1 << 20).unwrap();
            let damaged = chunk.runs.iter().any(|run| match run {
                Run::Gap(gap) => gap.cause == riser_model::Cause::Damage,
                Run::Entries { .. } => false,
            });
            assert!(!damaged, "a commit for {every} reads");
        }
    }
    assert!(recycled > 0, "some were recycled under the reading");
}
