//! A snapshot received from another member is complete or absent, whatever was sent and whenever
//! power was lost.

mod support;

use std::path::Path;
use std::sync::Arc;
use storage::IoFailure;
use storage::disk::{Disk, Fault, RealDisk, SimDisk};
use storage::snapshot::{self, Incoming, IncomingError, IncomingOptions, SnapshotFile};
use storage::{SnapshotError, SnapshotName, SnapshotReader, SnapshotWriter};
use support::snapshot::{DIR, content, name, new_disk};

fn write(disk: Arc<dyn Disk>, dir: &Path, name: SnapshotName, content: &[u8]) {
    let mut writer = SnapshotWriter::create(disk, dir, name).unwrap();
    writer.write(content).unwrap();
    writer.finish().unwrap();
}

/// The file of a valid snapshot, as a member would send it.
fn good_file(name: SnapshotName, content: &[u8]) -> Vec<u8> {
    let disk = new_disk(77);
    write(Arc::new(disk.clone()), Path::new(DIR), name, content);
    disk.contents(&name.path(Path::new(DIR))).unwrap()
}

fn receive(disk: &SimDisk, name: SnapshotName, bytes: &[u8], piece: usize) -> Result<(), IncomingError> {
    let options = IncomingOptions { sync_every_bytes: 100_000, ..Default::default() };
    let len = bytes.len() as u64;
    let mut incoming = Incoming::with_options(Arc::new(disk.clone()), Path::new(DIR), name, len, options)?;
    for chunk in bytes.chunks(piece) {
        incoming.write_chunk(incoming.written(), chunk)?;
    }
    incoming.finish()
}

fn files(disk: &SimDisk) -> Vec<String> {
    disk.list(Path::new(DIR)).unwrap()
}

/// Transfers a snapshot from one directory to another in chunks of `piece` bytes.
fn transfer(
    from: &dyn Disk,
    from_dir: &Path,
    to: Arc<dyn Disk>,
    to_dir: &Path,
    name: SnapshotName,
    piece: usize,
) {
    let file = SnapshotFile::open(from, from_dir, name).unwrap();
    let mut incoming = Incoming::create(to, to_dir, name, file.len()).unwrap();
    let mut chunk = vec![0; piece];
    loop {
        let offset = incoming.written();
        let len = file.read_chunk(offset, &mut chunk).unwrap();
        assert_eq!(len as u64, (file.len() - offset).min(piece as u64), "all chunks but the last are full");
        if len == 0 {
            break;
        }
        incoming.write_chunk(offset, &chunk[..len]).unwrap();
    }
    assert_eq!(incoming.written(), file.len());
    incoming.finish().unwrap();
}

#[test]
fn a_snapshot_is_transferred_in_any_pieces() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from_sim, to_sim) = (new_disk(1), new_disk(2));
    for (index, len) in [0, 1, 256 << 10, 900_000].into_iter().enumerate() {
        for (i, piece) in [1000, 333_333, 4 << 20].into_iter().enumerate() {
            let name = name((index * 10 + i) as u64);
            let content = content(len, name.index);
            write(Arc::new(RealDisk), from.path(), name, &content);
            transfer(&RealDisk, from.path(), Arc::new(RealDisk), to.path(), name, piece);
            let sent = std::fs::read(name.path(from.path())).unwrap();
            assert!(std::fs::read(name.path(to.path())).unwrap() == sent);

            write(Arc::new(from_sim.clone()), Path::new(DIR), name, &content);
            transfer(&from_sim, Path::new(DIR), Arc::new(to_sim.clone()), Path::new(DIR), name, piece);
            let mut reader = SnapshotReader::open(&to_sim, Path::new(DIR), name).unwrap();
            let mut arrived = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut arrived).unwrap();
            assert!(arrived == content, "{len} bytes in pieces of {piece}");
        }
    }
    assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 12, "no other files remain");
    assert_eq!(files(&to_sim).len(), 12);
}

#[test]
fn a_crash_at_every_operation_leaves_no_snapshot_or_the_whole_one() {
    let (old, new) = (content(1000, 1), good_file(name(20), &content(700_000, 2)));
    let mut unfinished = 0;
    for operation in 0.. {
        let disk = new_disk(operation);
        write(Arc::new(disk.clone()), Path::new(DIR), name(10), &old);
        disk.fault_at(disk.operations() + operation, Fault::Crash);
        let received = receive(&disk, name(20), &new, 70_000).is_ok();
        let finished = !disk.is_off();
        assert!(!finished || received);
        for fate in 0..6 {
            let disk = disk.fork(fate);
            disk.crash();
            unfinished += snapshot::remove_unfinished(&disk, Path::new(DIR)).unwrap();
            let listed = snapshot::list(&disk, Path::new(DIR), 1).unwrap();
            assert_eq!(listed.len(), files(&disk).len(), "no other files remain");
            assert!(listed == [name(10)] || listed == [name(20), name(10)], "{listed:?}");
            assert!(!received || listed.len() == 2, "operation {operation}: a finished snapshot is lost");
            if listed.len() == 2 {
                assert!(disk.contents(&name(20).path(Path::new(DIR))).unwrap() == new);
            }
        }
        if finished {
            assert!(unfinished > 0, "some crashes leave an unfinished file");
            return;
        }
    }
}

#[test]
fn a_failed_operation_leaves_no_snapshot_and_no_unfinished_file() {
    let new = good_file(name(20), &content(700_000, 2));
    for fault in [Fault::Io, Fault::Full] {
        let mut failed = 0;
        for operation in 0.. {
            let disk = new_disk(operation);
            disk.fault_at(disk.operations() + operation, fault);
            let Err(error) = receive(&disk, name(20), &new, 70_000) else { break };
            failed += 1;
            assert!(error.to_string().contains(DIR), "{error}");
            match &files(&disk)[..] {
                [] => {}
                // Only a failed sync of the directory may leave the complete snapshot in place.
                [only] => {
                    assert_eq!(*only, name(20).file_name());
                    assert!(error.to_string().contains("sync the directory"), "{error}");
                    assert!(disk.contents(&name(20).path(Path::new(DIR))).unwrap() == new);
                }
                more => panic!("{more:?}"),
            }
        }
        assert!(failed > 15, "each operation was tried: {failed}");
    }
}

#[test]
fn a_failed_sync_is_final() {
    let bytes = good_file(name(1), &content(500, 2));
    let disk = new_disk(3);
    let options = IncomingOptions { sync_every_bytes: 1, ..Default::default() };
    let len = bytes.len() as u64;
    let create =
        || Incoming::with_options(Arc::new(disk.clone()), Path::new(DIR), name(1), len, options).unwrap();
    let mut incoming = create();
    disk.fault_at(disk.operations() + 1, Fault::Io);
    assert!(matches!(
        incoming.write_chunk(0, &bytes),
        Err(IncomingError::Io(IoFailure { action: "sync", .. }))
    ));
    let again = incoming.write_chunk(incoming.written(), &[]);
    assert!(matches!(again, Err(IncomingError::Failed { .. })), "{again:?}");
    let finished = incoming.finish();
    assert!(matches!(finished, Err(IncomingError::Failed { .. })), "{finished:?}");
    assert_eq!(files(&disk), [""; 0]);
    let mut retried = create();
    retried.write_chunk(0, &bytes).unwrap();
    retried.finish().unwrap();
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let bytes = good_file(name(1), &content(150, 9));
    let path = Path::new(DIR).join(name(1).file_name() + ".incoming");
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let disk = new_disk(0);
        match receive(&disk, name(1), &damaged, 100) {
            Err(IncomingError::Damaged { path: named, offset, .. }) => {
                assert_eq!(named, path);
                assert!(offset <= bit as u64 / 8, "bit {bit} detected at {offset}");
            }
            other => panic!("bit {bit}: {other:?}"),
        }
        assert_eq!(files(&disk), [""; 0], "bit {bit}: no file remains");
    }
    for len in 0..bytes.len() {
        let cut = receive(&new_disk(0), name(1), &bytes[..len], 100);
        assert!(matches!(cut, Err(IncomingError::Damaged { .. })), "truncated to {len}: {cut:?}");
    }
    let longer = receive(&new_disk(0), name(1), &[&bytes[..], b"x"].concat(), 100).unwrap_err();
    assert!(longer.to_string().contains("there are bytes after the trailer"), "{longer}");
    let other = receive(&new_disk(0), name(2), &bytes, 100).unwrap_err();
    assert!(other.to_string().contains("does not match the file's name"), "{other}");
}

#[test]
fn damage_on_the_receivers_disk_is_refused_too() {
    let bytes = good_file(name(1), &content(300_000, 4));
    let disk = new_disk(4);
    let mut incoming =
        Incoming::create(Arc::new(disk.clone()), Path::new(DIR), name(1), bytes.len() as u64).unwrap();
    incoming.write_chunk(0, &bytes).unwrap();
    disk.flip_bit(&Path::new(DIR).join(name(1).file_name() + ".incoming"), 200_000, 5);
    let refused = incoming.finish();
    assert!(matches!(refused, Err(IncomingError::Damaged { offset: 48.., .. })), "{refused:?}");
    assert_eq!(files(&disk), [""; 0]);
}

#[test]
fn a_snapshot_of_another_format_version_is_reported() {
    let mut bytes = good_file(name(1), b"content");
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..44]);
    bytes[44..48].copy_from_slice(&crc.to_le_bytes());
    let refused = receive(&new_disk(0), name(1), &bytes, 100);
    assert!(matches!(refused, Err(IncomingError::Version { version: 2, .. })), "{refused:?}");
}

#[test]
fn a_peers_invalid_chunks_are_rejected_and_change_nothing() {
    let disk = new_disk(5);
    let bytes = good_file(name(1), &content(5000, 4));
    let len = bytes.len() as u64;
    let options = IncomingOptions { len_max: len - 1, ..Default::default() };
    let dir = Path::new(DIR);
    let too_long = Incoming::with_options(Arc::new(disk.clone()), dir, name(1), len, options).map(|_| ());
    assert!(matches!(too_long, Err(IncomingError::TooLong { .. })), "{too_long:?}");
    let too_long = Incoming::create(Arc::new(disk.clone()), dir, name(1), u64::MAX).map(|_| ());
    assert!(matches!(too_long, Err(IncomingError::TooLong { max, .. }) if max == 256 << 30), "{too_long:?}");
    assert_eq!(files(&disk), [""; 0]);

    let mut incoming = Incoming::create(Arc::new(disk.clone()), dir, name(1), len).unwrap();
    incoming.write_chunk(0, &bytes[..100]).unwrap();
    for offset in [0, 99, 101, len, u64::MAX] {
        let refused = incoming.write_chunk(offset, &bytes[..10]);
        assert!(matches!(refused, Err(IncomingError::OutOfOrder { expected: 100, .. })), "{refused:?}");
    }
    let refused = incoming.write_chunk(100, &vec![0; bytes.len() - 99]);
    assert!(matches!(refused, Err(IncomingError::Beyond { offset: 100, .. })), "{refused:?}");
    assert_eq!(incoming.written(), 100);
    incoming.write_chunk(100, &bytes[100..]).unwrap();
    incoming.finish().expect("rejected chunks have no effect");

    let mut incoming = Incoming::create(Arc::new(disk.clone()), dir, name(1), len).unwrap();
    incoming.write_chunk(0, &bytes[..100]).unwrap();
    let refused = incoming.finish();
    assert!(matches!(refused, Err(IncomingError::Incomplete { written: 100, .. })), "{refused:?}");
    assert_eq!(files(&disk), [name(1).file_name()], "the existing snapshot stays");
    assert!(disk.contents(&name(1).path(dir)).unwrap() == bytes);
}

#[test]
fn an_unfinished_file_is_removed_when_dropped_or_at_the_next_start() {
    let disk = new_disk(6);
    let dir = Path::new(DIR);
    let mut incoming = Incoming::create(Arc::new(disk.clone()), dir, name(1), 100).unwrap();
    incoming.write_chunk(0, b"part").unwrap();
    assert_eq!(files(&disk), [name(1).file_name() + ".incoming"]);
    drop(incoming);
    assert_eq!(files(&disk), [""; 0]);
    disk.put(&dir.join(name(1).file_name() + ".incoming"), b"part");
    disk.put(&dir.join("snapshot.1234.incoming"), b"another program's");
    assert_eq!(snapshot::list(&disk, dir, 1).unwrap(), []);
    assert_eq!(snapshot::remove_unfinished(&disk, dir).unwrap(), 1);
    assert_eq!(files(&disk), ["snapshot.1234.incoming"]);
}

#[test]
fn a_member_may_receive_a_snapshot_while_writing_the_same_one() {
    let disk = new_disk(7);
    let (dir, bytes) = (Path::new(DIR), good_file(name(1), b"content"));
    let mut writer = SnapshotWriter::create(Arc::new(disk.clone()), dir, name(1)).unwrap();
    receive(&disk, name(1), &bytes, 10).unwrap();
    writer.write(b"content").unwrap();
    writer.finish().unwrap();
    assert!(disk.contents(&name(1).path(dir)).unwrap() == bytes);
    assert_eq!(files(&disk), [name(1).file_name()]);
}

#[test]
fn a_file_is_readable_at_any_offset_and_after_its_purge() {
    let disk = new_disk(8);
    let dir = Path::new(DIR);
    let bytes = good_file(name(1), &content(5000, 4));
    disk.put(&name(1).path(dir), &bytes);
    disk.put(&name(2).path(dir), &good_file(name(2), b"newer"));
    let file = SnapshotFile::open(&disk, dir, name(1)).unwrap();
    assert_eq!(file.len(), bytes.len() as u64);
    snapshot::purge(&disk, dir, 1, 1, &|_| false).unwrap();
    let mut chunk = [0; 100];
    assert_eq!(file.read_chunk(77, &mut chunk).unwrap(), 100);
    assert_eq!(chunk, bytes[77..177]);
    assert_eq!(file.read_chunk(file.len() - 30, &mut chunk).unwrap(), 30);
    assert_eq!(chunk[..30], bytes[bytes.len() - 30..]);
    for beyond in [file.len(), file.len() + 1, u64::MAX] {
        assert_eq!(file.read_chunk(beyond, &mut chunk).unwrap(), 0);
    }
    assert_eq!(file.read_chunk(0, &mut []).unwrap(), 0);
    let missing = SnapshotFile::open(&disk, dir, name(1)).map(|_| ());
    assert!(matches!(missing, Err(SnapshotError::Io(IoFailure { action: "open", .. }))), "{missing:?}");
    disk.put(&name(3).path(dir), &bytes);
    let renamed = SnapshotFile::open(&disk, dir, name(3)).map(|_| ());
    assert!(matches!(renamed, Err(SnapshotError::Damaged { offset: 0, .. })), "{renamed:?}");
}

#[test]
fn a_file_truncated_while_it_is_read_is_reported_as_damaged() {
    let dir = tempfile::tempdir().unwrap();
    write(Arc::new(RealDisk), dir.path(), name(1), &content(5000, 4));
    let path = name(1).path(dir.path());
    let file = SnapshotFile::open(&RealDisk, dir.path(), name(1)).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(200).unwrap();
    let mut chunk = [0; 150];
    assert_eq!(file.read_chunk(50, &mut chunk).unwrap(), 150);
    let cut = file.read_chunk(51, &mut chunk).unwrap_err();
    assert!(
        matches!(&cut, SnapshotError::Damaged { path: named, offset: 51, .. } if *named == path),
        "{cut}"
    );
}
