//! The file of the audit log. It begins anew each day (UTC) and when it is full; the earlier ones
//! get the ending `.1` and up, `.1` the newest.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::event::DAY_MS;
use crate::config::Audit;

/// The current file, and how it makes room.
#[derive(Debug)]
pub struct RotatedFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// The day of its lines, counted since 1970.
    day: i64,
    bytes_max: u64,
    /// Earlier files that are kept.
    kept: u32,
    /// The last line may lack its end.
    is_torn: bool,
}

impl RotatedFile {
    /// Opens the file, and goes on with what is in it.
    pub(super) fn open(path: &Path, settings: &Audit, now_ms: i64) -> io::Result<RotatedFile> {
        let file = create(path)?;
        let metadata = file.metadata()?;
        let bytes = metadata.len();
        let written = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let written_ms = written.and_then(|since| i64::try_from(since.as_millis()).ok());
        let day = if bytes == 0 { now_ms } else { written_ms.unwrap_or(now_ms) }.div_euclid(DAY_MS);
        Ok(RotatedFile {
            path: path.to_owned(),
            file,
            bytes,
            day,
            bytes_max: settings.file_bytes_max,
            kept: settings.files_kept,
            // A crash may have ended the last line early.
            is_torn: bytes > 0 && !ends_with_a_line(path),
        })
    }

    /// Appends whole lines.
    pub(super) fn write(&mut self, mut lines: &str, now_ms: i64) -> io::Result<()> {
        let day = now_ms.div_euclid(DAY_MS);
        if day != self.day {
            if self.bytes > 0 {
                self.rotate()?;
            }
            self.day = day;
        }
        while !lines.is_empty() {
            let room = usize::try_from(self.bytes_max.saturating_sub(self.bytes)).unwrap_or(usize::MAX);
            let fits = end_of_lines(lines, room);
            let end = match fits {
                0 if self.bytes > 0 => {
                    self.rotate()?;
                    continue;
                }
                0 => lines.find('\n').map_or(lines.len(), |at| at + 1),
                end => end,
            };
            self.append(&lines[..end])?;
            lines = &lines[end..];
        }
        Ok(())
    }

    fn append(&mut self, lines: &str) -> io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.bytes += 1;
        }
        self.is_torn = true;
        self.file.write_all(lines.as_bytes())?;
        self.is_torn = false;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.kept == 0 {
            fs::remove_file(&self.path)?;
        }
        for number in (0..self.kept).rev() {
            match fs::rename(self.earlier(number), self.earlier(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = create(&self.path)?;
        (self.bytes, self.is_torn) = (0, false);
        Ok(())
    }

    /// The file with this number; 0 is the current one.
    fn earlier(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

/// Opens a file for appending that only its owner may write and strangers may not read.
fn create(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o640).open(path)
}

fn ends_with_a_line(path: &Path) -> bool {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let last = || -> io::Result<u8> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        Ok(byte[0])
    };
    last().is_ok_and(|byte| byte == b'\n')
}

/// Where the last line ends that lies within the first `room` bytes; 0 if none does.
fn end_of_lines(lines: &str, room: usize) -> usize {
    let within = &lines.as_bytes()[..room.min(lines.len())];
    within.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}
