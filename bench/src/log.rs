//! Writes to disk, one flush for everything waiting.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file filled with zeros in advance, so that a flush writes only data and no metadata. Writing
/// wraps around at the end; the file is never read.
#[derive(Debug)]
pub struct Log {
    file: File,
    bytes: u64,
    at: u64,
}

impl Log {
    /// Creates the file with `bytes` zeros and flushes it.
    ///
    /// # Errors
    /// Any file system error.
    pub fn create(path: &Path, bytes: u64) -> io::Result<Self> {
        const PIECE: usize = 1 << 20;
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
        let zeros = vec![0; PIECE];
        for at in (0..bytes).step_by(PIECE) {
            let length = PIECE.min((bytes - at) as usize);
            file.write_all_at(&zeros[..length], at)?;
        }
        file.sync_all()?;
        Ok(Self { file, bytes, at: 0 })
    }

    /// Writes `batch` and returns once it is on disk. A batch longer than the file is truncated.
    ///
    /// # Errors
    /// Any file system error.
    pub fn flush(&mut self, batch: &[u8]) -> io::Result<()> {
        let batch = &batch[..batch.len().min(self.bytes as usize)];
        if self.at + batch.len() as u64 > self.bytes {
            self.at = 0;
        }
        self.file.write_all_at(batch, self.at)?;
        self.at += batch.len() as u64;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_consecutive_and_wrap_at_the_end() {
        let path = std::env::temp_dir().join(format!("ostler-floor-log-{}", std::process::id()));
        let mut log = Log::create(&path, 8).unwrap();
        log.flush(b"abc").unwrap();
        log.flush(b"def").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdef\0\0");
        log.flush(b"ghi").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"ghidef\0\0");
        std::fs::remove_file(&path).unwrap();
    }
}
