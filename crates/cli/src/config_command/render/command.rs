//! The commands that check a new file, and that make a program read it.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// What stands for the path of the new file in a check command.
const PLACEHOLDER: &str = "{}";

/// Runs a command by the shell; `Err` says why it has failed. Its output goes to standard error. It
/// is killed, with what it has started, when it takes longer than `limit`.
pub(super) async fn run(command: &str, file: Option<&Path>, limit: Duration) -> Result<(), String> {
    run_in_group(command, file, limit).await.unwrap_or_else(|error| Err(error.to_string()))
}

async fn run_in_group(command: &str, file: Option<&Path>, limit: Duration) -> io::Result<Result<(), String>> {
    let text = file.map_or_else(
        || command.to_owned(),
        |file| command.replace(PLACEHOLDER, &quoted(&file.to_string_lossy())),
    );
    let output = Stdio::from(io::stderr().as_fd().try_clone_to_owned()?);
    let mut shell = tokio::process::Command::new("/bin/sh");
    shell.arg("-c").arg(text).stdin(Stdio::null()).stdout(output).process_group(0).kill_on_drop(true);
    if let Some(file) = file {
        shell.env("OSTLER_FILE", file);
    }
    let mut child = shell.spawn()?;
    let group = child.id().and_then(|id| Pid::from_raw(id as i32));
    let Ok(ended) = tokio::time::timeout(limit, child.wait()).await else {
        // The shell leads its group. If it has ended in this moment, so has the group's name.
        let killed = group.map_or(Ok(()), |group| kill_process_group(group, Signal::KILL));
        child.wait().await?;
        killed?;
        return Ok(Err(format!("it takes longer than {} s", limit.as_secs_f64())));
    };
    let status = ended?;
    Ok(if status.success() { Ok(()) } else { Err(status.to_string()) })
}

/// A text as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_command_gets_the_path_as_one_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it's a; file");
        std::fs::write(&path, "x").unwrap();
        let limit = Duration::from_secs(60);
        block_on(run(r#"test -f {} && test -f "$OSTLER_FILE""#, Some(&path), limit)).unwrap();
        let failed = block_on(run("test ! -f {}", Some(&path), limit)).unwrap_err();
        assert_eq!(failed, "exit status: 1");
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed() {
        let failed = block_on(run("sleep 600", None, Duration::from_millis(50))).unwrap_err();
        assert_eq!(failed, "it takes longer than 0.05 s");
    }
}
