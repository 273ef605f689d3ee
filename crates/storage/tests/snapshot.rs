//! A snapshot is complete or absent, and damage to it is detected before its bytes are used.

mod support;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use storage::disk::{Disk, Fault, SimDisk};
use storage::snapshot::{self, SnapshotWriterOptions};
use storage::{SnapshotError, SnapshotName, SnapshotReader, SnapshotWriter};
use support::Dice;
use support::snapshot::{DIR, content, name, new_disk};

fn write(disk: &SimDisk, name: SnapshotName, content: &[u8], piece: usize) -> Result<(), SnapshotError> {
    let options = SnapshotWriterOptions { sync_every_bytes: 100_000, ..Default::default() };
    let mut writer = SnapshotWriter::with_options(Arc::new(disk.clone()), Path::new(DIR), name, options)?;
    for bytes in content.chunks(piece) {
        writer.write(bytes)?;
    }
    assert_eq!(writer.finish()?.raw_bytes, content.len() as u64);
    Ok(())
}

fn read(disk: &SimDisk, name: SnapshotName) -> Result<Vec<u8>, SnapshotError> {
    let mut reader = SnapshotReader::open(disk, Path::new(DIR), name)?;
    let mut content = Vec::new();
    while let Some(block) = reader.next_block()? {
        content.extend_from_slice(block);
    }
    let (read, len) = reader.progress();
    assert_eq!(read, len);
    Ok(content)
}

#[test]
fn a_snapshot_written_in_any_pieces_is_read_back() {
    let disk = new_disk(1);
    for (index, len) in [0, 1, 256 << 10, (256 << 10) + 1, 900_000].into_iter().enumerate() {
        for piece in [1000, 300_000, 1 << 20] {
            let content = content(len, index as u64);
            write(&disk, name(index as u64), &content, piece).unwrap();
            assert_eq!(read(&disk, name(index as u64)).unwrap(), content);
            let mut streamed = Vec::new();
            let mut reader = SnapshotReader::open(&disk, Path::new(DIR), name(index as u64)).unwrap();
            reader.read_to_end(&mut streamed).unwrap();
            assert_eq!(streamed, content);
            SnapshotReader::open(&disk, Path::new(DIR), name(index as u64)).unwrap().verify().unwrap();
        }
    }
}

#[test]
fn a_crash_at_every_operation_leaves_all_or_nothing() {
    let (old, new) = (content(300_000, 1), content(700_000, 2));
    for operation in 0.. {
        let disk = new_disk(operation);
        write(&disk, name(10), &old, 1 << 20).unwrap();
        disk.fault_at(disk.operations() + operation, Fault::Crash);
        let written = write(&disk, name(20), &new, 100_000).is_ok();
        let purged = snapshot::purge(&disk, Path::new(DIR), 1, 1, &|_| false).is_ok();
        let finished = !disk.is_off();
        assert!(!finished || (written && purged));
        for fate in 0..6 {
            let disk = disk.fork(fate);
            disk.crash();
            snapshot::remove_unfinished(&disk, Path::new(DIR)).unwrap();
            let listed = snapshot::list(&disk, Path::new(DIR), 1).unwrap();
            let newest = listed.first().expect("a snapshot always exists");
            assert_eq!(read(&disk, *newest).unwrap(), if newest.index == 20 { &new[..] } else { &old[..] });
            assert!(!written || newest.index == 20, "operation {operation}: a finished snapshot is lost");
            if finished {
                assert_eq!(listed, [name(20)]);
            }
        }
        if finished {
            return;
        }
    }
}

#[test]
fn a_failed_operation_leaves_the_old_snapshot_and_no_new_one() {
    let (old, new) = (content(1000, 1), content(700_000, 2));
    for fault in [Fault::Io, Fault::Full] {
        for operation in 0.. {
            let disk = new_disk(operation);
            write(&disk, name(10), &old, 1 << 20).unwrap();
            disk.fault_at(disk.operations() + operation, fault);
            let written = write(&disk, name(20), &new, 100_000);
            let listed = snapshot::list(&disk, Path::new(DIR), 1);
            match written {
                Ok(()) => break,
                Err(error) => assert!(error.to_string().contains(DIR), "{error}"),
            }
            let listed = listed.unwrap();
            assert_eq!(listed.last(), Some(&name(10)));
            // Only a failed sync of the directory may leave the complete new snapshot in place.
            for name in listed {
                assert_eq!(read(&disk, name).unwrap(), if name.index == 20 { &new[..] } else { &old[..] });
            }
            let files = disk.list(Path::new(DIR)).unwrap();
            assert!(!files.iter().any(|name| name.ends_with(".tmp")), "{files:?}");
        }
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_detected() {
    let disk = new_disk(3);
    let content = content(600_000, 9);
    write(&disk, name(1), &content, 1 << 20).unwrap();
    let path = name(1).path(Path::new(DIR));
    let bytes = disk.contents(&path).unwrap();
    let mut dice = Dice::new(4);
    let interesting = (0..70).chain(bytes.len() as u64 - 30..bytes.len() as u64);
    let random: Vec<u64> = (0..100).map(|_| dice.below(bytes.len() as u64)).collect();
    for offset in interesting.chain(random) {
        let disk = disk.fork(0);
        disk.flip_bit(&path, offset, (offset % 8) as u8);
        match read(&disk, name(1)) {
            Err(SnapshotError::Damaged { path: named, offset: at, .. }) => {
                assert_eq!(named, path);
                assert!(at <= offset, "flip at {offset} detected at {at}");
            }
            other => panic!("flip at {offset}: {:?}", other.map(|content| content.len())),
        }
    }
    for len in (0..100).chain([bytes.len() / 2, bytes.len() - 1]) {
        disk.put(&path, &bytes[..len]);
        assert!(matches!(read(&disk, name(1)), Err(SnapshotError::Damaged { .. })), "truncated to {len}");
    }
    let longer = [&bytes[..], b"x"].concat();
    disk.put(&path, &longer);
    let error = read(&disk, name(1)).unwrap_err();
    assert!(error.to_string().contains("there are bytes after the trailer"), "{error}");
    disk.put(&name(2).path(Path::new(DIR)), &bytes);
    let error = read(&disk, name(2)).unwrap_err();
    assert!(error.to_string().contains("does not match the file's name"), "{error}");
}

#[test]
fn snapshots_are_listed_newest_first_and_purged_by_group() {
    let disk = new_disk(5);
    for index in [5, 300, 40] {
        write(&disk, name(index), b"x", 1).unwrap();
        write(&disk, SnapshotName { group: 2, ..name(index) }, b"y", 1).unwrap();
    }
    disk.put(&Path::new(DIR).join("snapshot.1234"), b"another program's");
    disk.put(&Path::new(DIR).join(name(7).file_name() + ".tmp"), b"unfinished");
    assert_eq!(snapshot::list(&disk, Path::new(DIR), 1).unwrap(), [name(300), name(40), name(5)]);
    let purge = |retain_count, in_use: &dyn Fn(&SnapshotName) -> bool| {
        snapshot::purge(&disk, Path::new(DIR), 1, retain_count, in_use).unwrap()
    };
    assert_eq!(purge(2, &|name| name.index == 5), [], "it is in use");
    assert_eq!(purge(2, &|_| false), [name(5)]);
    assert_eq!(purge(0, &|_| false), [name(40)], "the newest always stays");
    assert_eq!(snapshot::list(&disk, Path::new(DIR), 2).unwrap().len(), 3);
    assert_eq!(snapshot::remove_unfinished(&disk, Path::new(DIR)).unwrap(), 1);
    let files = disk.list(Path::new(DIR)).unwrap();
    assert!(files.contains(&"snapshot.1234".to_owned()), "{files:?}");
}

#[test]
fn a_block_cannot_demand_more_memory_than_its_maximum() {
    // A frame of zeros, 64 MiB when decompressed, in a block that claims the maximum length and has
    // a valid checksum.
    let disk = new_disk(6);
    write(&disk, name(1), b"x", 1).unwrap();
    let path = name(1).path(Path::new(DIR));
    let header = disk.contents(&path).unwrap()[..48].to_vec();
    let frame = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    let lengths = [(1u32 << 20).to_le_bytes(), (frame.len() as u32).to_le_bytes()].concat();
    let crc =
        crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&0u64.to_le_bytes()), &lengths), &frame);
    disk.put(&path, &[&header[..], &lengths, &crc.to_le_bytes(), &frame, &[0; 28]].concat());
    let error = read(&disk, name(1)).unwrap_err();
    assert!(error.to_string().contains("byte 48: a block does not decompress to its length"), "{error}");
}
