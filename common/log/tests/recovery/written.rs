//! A log as it was written, and the judge of what is read from damaged copies of it.
//!
//! What must be there is taken from the damaged image itself: the blocks that are good in it, found by a parser of
//! the tests' own.

use crate::{
    layout::{Block, CHECKPOINT, FOOTER, blocks},
    script::play,
    support::{Digest, Entry, Model, frame, now, read_all, uplink},
};
use riser_log::{
    Config, Entropy, Finding, Reader, Recovered, Writer,
    fault::{FaultDisk, Image},
};
use riser_model::{Batch, Cause, Gap, Route, Seq};
use std::collections::{BTreeMap, BTreeSet};

pub struct Written {
    pub image: Image,
    pub blocks: Vec<Block>,
    pub config: Config,
    acked: BTreeMap<u64, Entry>,
    routes: BTreeMap<u32, Route>,
    epochs: BTreeSet<u64>,
    /// The blocks in the order of writing, and where the uplink's cursor was after each.
    cursors: Vec<(Block, Option<u64>)>,
    dropped: Vec<(u64, u64)>,
    /// The oldest seq in the undamaged image.
    oldest: u64,
    trials: u64,
}

/// What the damage may have left of the log's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    /// If the last block is not good, that is a finding.
    Found,
    /// The last block may have gone without a trace: nothing tells a lost first sector from what an earlier use of
    /// the file left there.
    MayVanish,
}

impl Written {
    pub fn new(config: Config, commits: u32) -> Self {
        let mut model = Model::new(1, config);
        play(&mut model, commits);
        let mut written = Self::by(model);
        let blocks = written.blocks.iter().filter(|block| block.kind != FOOTER);
        written.cursors = blocks.map(|block| (block.clone(), written.ending_with(block).cursor())).collect();
        written
    }

    /// What a run left. Where cursors are is not judged.
    pub fn by(model: Model) -> Self {
        let image = model.disk.snapshot();
        Self {
            blocks: blocks(&image),
            image,
            config: model.config,
            oldest: model.reader.as_ref().unwrap().oldest().0,
            cursors: Vec::new(),
            acked: model.acked,
            routes: model.routes,
            epochs: model.epochs,
            dropped: model.dropped,
            trials: 0,
        }
    }

    /// Where the uplink's cursor is in the undamaged image.
    fn cursor(&self) -> Option<u64> {
        let disk = FaultDisk::new(0);
        disk.restore(&self.image);
        let opened = Writer::<_, Digest>::open(disk, self.config.clone(), Entropy(u64::MAX), now(99));
        cursor(&opened.unwrap().1)
    }

    /// The log's last block with entries: footers lie before it in the order of writing.
    pub fn tail(&self) -> &Block {
        self.blocks.iter().rev().find(|block| block.kind != FOOTER).unwrap()
    }

    /// The same log as it was when that block was its last.
    pub fn ending_with(&self, last: &Block) -> Self {
        let mut image = self.image.clone();
        image.retain(|name, _| **name <= *last.file);
        image.get_mut(&*last.file).unwrap()[last.at + last.padded()..].fill(0);
        Self {
            blocks: blocks(&image),
            image,
            config: self.config.clone(),
            acked: self.acked.clone(),
            routes: self.routes.clone(),
            epochs: self.epochs.clone(),
            cursors: self.cursors.clone(),
            dropped: self.dropped.clone(),
            ..*self
        }
    }

    /// Opens a damaged copy, and reads all of it.
    pub fn judge(&mut self, image: &Image, tail: Tail) -> Trial {
        self.judge_on(image, tail, |_| {})
    }

    /// The same, on a disk with a fault of its own that makes it read as that image.
    pub fn judge_on(&mut self, image: &Image, tail: Tail, fault: impl Fn(&FaultDisk)) -> Trial {
        self.trials += 1;
        let disk = FaultDisk::new(self.trials);
        disk.restore(image);
        fault(&disk);
        let (writer, recovered) =
            Writer::<_, Digest>::open(disk.clone(), self.config.clone(), Entropy(self.trials << 32), now(99))
                .unwrap();
        let expected = Expected::of(self, image);
        expected.check(self, &recovered, tail);
        let (entries, gaps) = read_all(&mut writer.reader(), 1, [1, 700, 1 << 20][self.trials as usize % 3]);
        expected.check_read(self, &entries, &gaps);
        for (number, ..) in entries.values() {
            let known = recovered.routes.iter().find(|(n, _)| n.0 == *number).map(|(_, route)| route);
            assert_eq!(known, self.routes.get(number), "route {number} of what can be read is known");
        }
        Trial { disk, writer, entries, gaps, recovered, config: self.config.clone() }
    }
}

/// A damaged copy that was opened.
pub struct Trial {
    pub disk: FaultDisk,
    pub writer: Writer<FaultDisk, Digest>,
    pub entries: BTreeMap<u64, Entry>,
    pub gaps: Vec<Gap>,
    pub recovered: Recovered<Digest>,
    config: Config,
}

impl Trial {
    /// It takes more, keeps it over power loss, and says the same again of what was damaged.
    pub fn goes_on(mut self) {
        let first = self.recovered.next;
        let mut entries = Vec::new();
        (0..3).for_each(|n| frame(&mut entries, 7, &[n; 40]));
        let routes = vec![(riser_model::RouteNumber(7), crate::support::route(7))];
        let known = self.recovered.routes.iter().any(|(number, _)| number.0 == 7);
        let routes = if known { vec![] } else { routes };
        let batch = Batch { first, entries: entries.into(), count: 3, routes, ..Batch::default() };
        self.writer.stage(batch).unwrap();
        self.writer.commit(now(100)).unwrap();
        let epoch = self.recovered.epoch.0;
        let before = self.same(&mut self.writer.reader(), first, epoch);
        self.disk.crash();
        self.disk.restart();
        let (writer, recovered) =
            Writer::<_, Digest>::open(self.disk.clone(), self.config.clone(), Entropy(u64::MAX), now(101))
                .unwrap();
        assert_eq!(recovered.next, first.plus(3));
        assert_ne!(recovered.epoch.0, epoch);
        let after = self.same(&mut writer.reader(), first, epoch);
        assert_eq!(before, after);
    }

    /// What was there is there, what was gone is gone, and three entries more.
    fn same(&self, reader: &mut Reader<FaultDisk>, first: Seq, epoch: u64) -> BTreeMap<u64, Entry> {
        let (mut entries, gaps) = read_all(reader, 1, 1 << 20);
        assert_eq!(gaps, self.gaps);
        let more = entries.split_off(&first.0);
        assert_eq!(entries, self.entries);
        assert_eq!(more.keys().copied().collect::<Vec<_>>(), [first.0, first.0 + 1, first.0 + 2]);
        assert!(more.values().all(|entry| entry.2 == epoch));
        more
    }
}

/// What a damaged image must give.
struct Expected {
    /// The last seq that is known to have been given.
    end: u64,
    /// Seqs up to the end that no good block has.
    missing: BTreeSet<u64>,
    /// The first seq after the newest good checkpoint that begins a segment: from there on the opening reads all.
    rolled_from: u64,
    /// The first seq after the newest good checkpoint.
    folded_from: u64,
    tail_lost: bool,
    /// The first seq of the first file that has a good block.
    first: u64,
    cursor: Option<u64>,
}

fn cursor(recovered: &Recovered<Digest>) -> Option<u64> {
    recovered.cursors.iter().find(|(key, _)| *key == uplink(1)).map(|(_, value)| value.through.0)
}

impl Expected {
    fn of(written: &Written, image: &Image) -> Self {
        let good = blocks(image);
        let end = good.iter().map(Block::last).max().unwrap();
        let held: BTreeSet<u64> =
            good.iter().flat_map(|block| block.first..block.first + block.count).collect();
        let missing = (written.oldest..=end).filter(|seq| !held.contains(seq)).collect();
        let places: BTreeSet<(&str, usize)> = good.iter().map(|block| (&*block.file, block.at)).collect();
        let is_good = |block: &Block| places.contains(&(&*block.file, block.at));
        let checkpoints = || good.iter().rev().filter(|block| block.kind == CHECKPOINT);
        let tail = written.tail();
        // The newest good block that says where the cursor is.
        let before = [None].into_iter().chain(written.cursors.iter().map(|(_, cursor)| *cursor));
        let saying = written.cursors.iter().zip(before).filter(|((block, cursor), before)| {
            is_good(block) && (block.kind == CHECKPOINT || cursor != before)
        });
        Self {
            cursor: saying.last().and_then(|((_, cursor), _)| *cursor),
            end,
            missing,
            rolled_from: checkpoints().find(|block| block.at == 0).map_or(1, |block| block.first),
            folded_from: checkpoints().next().map_or(1, |block| block.first),
            tail_lost: !is_good(tail),
            first: good.first().map_or(1, |block| block.segment_first),
        }
    }

    fn check(&self, written: &Written, recovered: &Recovered<Digest>, tail: Tail) {
        let findings = &recovered.findings;
        assert_eq!(recovered.next.0, self.end + 1, "{findings:?}");
        assert!(!written.epochs.contains(&recovered.epoch.0), "the epoch is new");
        assert_eq!(recovered.chain.last().map(|span| span.epoch), Some(recovered.epoch));
        let cut = findings.iter().any(|finding| matches!(finding, Finding::TailCut { .. }));
        assert!(cut || !self.tail_lost || tail == Tail::MayVanish, "a cut tail is a finding: {findings:?}");
        let mut found = BTreeSet::new();
        for finding in findings {
            match finding {
                Finding::Damage { seqs, .. } => {
                    found.extend(seqs.iter().flat_map(|(from, to)| from.0..=to.0));
                }
                Finding::TailCut { end, proven, .. } => {
                    assert_eq!((end.0, *proven), (self.end, 0), "{findings:?}");
                }
                Finding::CheckpointLost { .. } => {}
                Finding::SetAside { .. } | Finding::FoldLost | Finding::DrainOnly { .. } => {
                    panic!("damage is nothing else: {findings:?}")
                }
            }
        }
        let rolled: BTreeSet<u64> = self.missing.range(self.rolled_from..).copied().collect();
        assert_eq!(found, rolled, "exactly what is gone is found: {findings:?}");
        let there = |seq: &u64| *seq < self.folded_from || !self.missing.contains(seq);
        let folded = written.acked.range(..=self.end).filter(|(seq, _)| there(seq));
        let digest = folded.fold(0u64, |d, (seq, entry)| d.wrapping_add(Digest::of(Seq(*seq), entry.1)));
        assert_eq!(recovered.fold, Digest(digest), "the fold knows what is there");
        assert!(
            written.cursors.is_empty() || cursor(recovered) == self.cursor,
            "the cursor is where the newest good block has it"
        );
    }

    fn check_read(&self, written: &Written, entries: &BTreeMap<u64, Entry>, gaps: &[Gap]) {
        for seq in written.oldest..=self.end {
            let entry = written.acked.get(&seq).filter(|_| !self.missing.contains(&seq));
            assert_eq!(entries.get(&seq), entry, "{seq} of {}..={}", written.oldest, self.end);
        }
        let gap = |seq: &u64| gaps.iter().find(|gap| (gap.from.0..=gap.to.0).contains(seq));
        for seq in &self.missing {
            // Of a whole oldest file nothing tells whether it was trimmed.
            let cause = if *seq < self.first { Cause::Retention } else { Cause::Damage };
            assert_eq!(gap(seq).map(|gap| gap.cause), Some(cause), "{seq} is a gap: {gaps:?}");
        }
        for seq in 1..written.oldest {
            let dropped = written.dropped.iter().any(|(from, to)| (*from..=*to).contains(&seq));
            let cause = if dropped { Cause::Quota } else { Cause::Retention };
            match entries.get(&seq) {
                // Trimmed, and its file was not needed yet.
                Some(entry) => assert_eq!(Some(entry), written.acked.get(&seq)),
                None => assert_eq!(gap(&seq).map(|gap| gap.cause), Some(cause), "{seq} is a gap: {gaps:?}"),
            }
        }
        let counted: u64 = gaps.iter().map(Gap::count).sum();
        assert_eq!(counted + entries.len() as u64, self.end, "gaps and entries are all there was");
    }
}
