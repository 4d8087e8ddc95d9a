//! What the faulty disk promises to those who trust their tests to it.

use super::*;

fn written(seed: u64) -> (FaultDisk, FaultFile) {
    let disk = FaultDisk::new(seed);
    let file = disk.create("a").unwrap();
    disk.write_at(&file, 0, &[1; 8192]).unwrap();
    disk.sync_all(&file).unwrap();
    disk.sync_dir().unwrap();
    (disk, file)
}

#[test]
fn synced_bytes_and_names_survive_and_others_need_not() {
    let mut fates = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let (disk, file) = written(seed);
        disk.write_at(&file, 4096, &[2; 4096]).unwrap();
        disk.rename("a", "b").unwrap();
        disk.crash();
        assert!(disk.list().is_err());
        disk.restart();
        let image = disk.snapshot();
        let (name, bytes) = image.first_key_value().unwrap();
        assert_eq!(bytes[..4096], [1; 4096]);
        fates.insert((name.clone(), bytes[4096..].iter().filter(|b| **b == 2).count()));
        assert!(disk.read_at(&file, 0, &mut [0]).is_err());
    }
    for name in ["a", "b"] {
        assert!(fates.contains(&(name.to_owned(), 0)));
        assert!(fates.contains(&(name.to_owned(), 4096)));
    }
    assert!(fates.iter().any(|(_, kept)| (1..4096).contains(kept)));
}

#[test]
fn same_seed_same_bytes() {
    let run = |seed| {
        let (disk, file) = written(seed);
        disk.write_at(&file, 0, &[3; 8192]).unwrap();
        disk.crash();
        disk.restart();
        disk.snapshot()
    };
    assert!((0..8).all(|seed| run(seed) == run(seed)));
}

#[test]
fn after_a_failed_sync_the_next_one_says_ok_and_the_bytes_are_gone() {
    let lost = (0..32).any(|seed| {
        let (disk, file) = written(seed);
        disk.write_at(&file, 0, &[2; 512]).unwrap();
        disk.fail_sync(2);
        assert!(disk.sync_data(&file).is_err());
        disk.sync_data(&file).unwrap();
        disk.crash();
        disk.restart();
        disk.snapshot()["a"][0] == 1
    });
    assert!(lost);
}

#[test]
fn full_disk_refuses_growth_and_takes_overwrites() {
    let (disk, file) = written(1);
    disk.set_capacity(Some(8192));
    assert_eq!(disk.write_at(&file, 8192, &[0]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.write_at(&file, 0, &[9; 512]).unwrap();
    assert_eq!(disk.free_space().unwrap(), 0);
}

#[test]
fn a_killed_process_loses_its_handles_and_nothing_else() {
    let (disk, file) = written(1);
    disk.write_at(&file, 0, &[7]).unwrap();
    disk.kill();
    assert!(disk.sync_data(&file).is_err());
    assert_eq!(disk.snapshot()["a"][0], 7);
}

#[test]
fn a_backup_can_be_put_back() {
    let (disk, file) = written(1);
    let image = disk.snapshot();
    disk.write_at(&file, 0, &[7]).unwrap();
    disk.restore(&image);
    assert_eq!(disk.snapshot(), image);
    disk.crash_at(disk.counts().calls + 2);
    assert!(disk.list().is_ok());
    assert!(disk.list().is_err());
}

#[test]
fn fate_says_what_a_crash_leaves_of_the_write_in_flight_and_of_the_name() {
    for (fate, name, byte) in [(Fate::Lost, "a", 1), (Fate::Kept, "b", 2)] {
        let (disk, file) = written(1);
        disk.set_fate(fate);
        disk.write_at(&file, 0, &[2; 8192]).unwrap();
        disk.rename("a", "b").unwrap();
        disk.crash();
        disk.restart();
        let image = disk.snapshot();
        assert_eq!(image[name], vec![byte; 8192], "{fate:?}");
    }
}

#[test]
fn planned_call_fails_once_with_what_was_planned() {
    let (disk, file) = written(1);
    let call = disk.counts().calls;
    disk.set_fate(Fate::Lost);
    disk.fail_call(call + 1, Failure::Full);
    disk.fail_call(call + 3, Failure::Io);
    disk.fail_call(call + 4, Failure::Io);
    assert_eq!(disk.write_at(&file, 0, &[2; 512]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.write_at(&file, 0, &[3; 512]).unwrap();
    assert_eq!(disk.sync_data(&file).unwrap_err().raw_os_error(), Some(5));
    assert!(disk.list().is_err());
    disk.sync_data(&file).unwrap();
    disk.crash();
    disk.restart();
    assert_eq!(disk.snapshot()["a"], vec![1; 8192]);
}

#[test]
fn planned_kill_leaves_what_was_written_and_closes_files() {
    let (disk, file) = written(1);
    disk.kill_at(disk.counts().calls + 2);
    disk.write_at(&file, 0, &[7]).unwrap();
    assert!(disk.sync_data(&file).is_err() && !disk.is_up());
    assert!(disk.list().is_err());
    disk.restart();
    assert!(disk.sync_data(&file).is_err() && disk.is_up());
    assert_eq!(disk.snapshot()["a"][0], 7);
    disk.set_fate(Fate::Lost);
    disk.crash();
    disk.restart();
    assert_eq!(disk.snapshot()["a"][0], 1, "and the power can take it still");
}
