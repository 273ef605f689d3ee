//! A log of decisions in a local file. What is written at the same time is flushed together.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc;

use tokio::sync::oneshot;

type Entry = (String, oneshot::Sender<()>);

/// The log. Clones write to the same file.
#[derive(Clone)]
pub(crate) struct FileLog {
    entries: mpsc::Sender<Entry>,
}

impl FileLog {
    pub(crate) fn open(path: &Path) -> FileLog {
        let file = File::create(path).expect("a log");
        let (entries, incoming) = mpsc::channel();
        // Ends with the last clone.
        std::thread::spawn(move || run(file, &incoming));
        FileLog { entries }
    }

    /// Returns when the line is durable.
    pub(crate) async fn write(&self, line: String) {
        let (done, written) = oneshot::channel();
        self.entries.send((line, done)).expect("the log's thread");
        written.await.expect("a flush");
    }
}

fn run(mut file: File, incoming: &mpsc::Receiver<Entry>) {
    while let Ok(first) = incoming.recv() {
        let entries: Vec<Entry> = [first].into_iter().chain(incoming.try_iter()).collect();
        let text: String = entries.iter().map(|(line, _)| line.as_str()).collect();
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).expect("a flush");
        for (_, done) in entries {
            // The client may have ended.
            let _ended = done.send(());
        }
    }
}
