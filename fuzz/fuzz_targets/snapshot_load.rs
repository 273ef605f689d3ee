//! A snapshot's file after anything happened to it: what is read without an error is what was
//! written, and another member takes what can be read and nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;
use storage::snapshot::{BLOCK_BYTES, BLOCK_BYTES_MAX, Incoming, IncomingError};
use storage::{Disk, SimDisk, SnapshotError, SnapshotName, SnapshotReader, SnapshotWriter};

const DIR: &str = "/snapshot";
const NAME: SnapshotName = SnapshotName { group: 1, index: 2, term: 3, zxid: 4 };

fuzz_target!(|input: &[u8]| {
    let Some((&way, input)) = input.split_first() else { return };
    let disk = SimDisk::new(0);
    let path = NAME.path(Path::new(DIR));
    if way % 2 == 0 {
        // The input is the file.
        disk.put(&path, input);
        assert_eq!(read(&disk).is_ok(), receive(input, way).is_ok());
        return;
    }
    // A good file of two blocks, with some bytes of it replaced: four bytes of input each, offset
    // (three) and value.
    let content = vec![way; BLOCK_BYTES + 100];
    write(&disk, &content).expect("the disk works");
    let good = disk.contents(&path).expect("the snapshot is there");
    let mut bytes = good.clone();
    for edit in input.chunks_exact(4).take(64) {
        let offset = u32::from_le_bytes([edit[0], edit[1], edit[2], 0]) as usize;
        if offset < bytes.len() {
            bytes[offset] = edit[3];
        } else {
            bytes.truncate(offset % (good.len() + 1));
        }
    }
    disk.put(&path, &bytes);
    assert_eq!(read(&disk).is_ok(), receive(&bytes, way).is_ok());
    match read(&disk) {
        Ok(read) => assert!(read == content, "damage went unnoticed"),
        Err(_) => assert!(bytes != good, "a good snapshot was refused"),
    }
});

fn write(disk: &SimDisk, content: &[u8]) -> Result<(), SnapshotError> {
    disk.create_dir(Path::new(DIR)).expect("the disk works");
    let mut writer = SnapshotWriter::create(Arc::new(disk.clone()), Path::new(DIR), NAME)?;
    writer.write(content)?;
    writer.finish().map(|_| ())
}

/// Sends the file to another member, in chunks of one length.
fn receive(bytes: &[u8], chunk: u8) -> Result<(), IncomingError> {
    let disk = SimDisk::new(1);
    disk.create_dir(Path::new(DIR)).expect("the disk works");
    let mut incoming = Incoming::create(Arc::new(disk.clone()), Path::new(DIR), NAME, bytes.len() as u64)?;
    for chunk in bytes.chunks((usize::from(chunk) + 1) * 1000) {
        incoming.write_chunk(incoming.written(), chunk)?;
    }
    let result = incoming.finish();
    let files = disk.list(Path::new(DIR)).expect("the disk works");
    assert_eq!(files.len(), usize::from(result.is_ok()), "all or nothing: {files:?}");
    result
}

fn read(disk: &SimDisk) -> Result<Vec<u8>, SnapshotError> {
    let mut reader = SnapshotReader::open(disk, Path::new(DIR), NAME)?;
    let mut content = Vec::new();
    while let Some(block) = reader.next_block()? {
        assert!(block.len() <= BLOCK_BYTES_MAX);
        content.extend_from_slice(block);
    }
    Ok(content)
}
