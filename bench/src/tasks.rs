//! The same answers with one tokio task per connection, the usual way to use that runtime, without
//! a log.

use crate::answer::{Canned, Progress};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const READ_BYTES: usize = 64 << 10;

/// Serves connections of `listener` on `threads` workers until the process ends.
///
/// # Errors
/// When the runtime cannot be built or the listener fails.
pub fn serve(listener: TcpListener, threads: usize, data_bytes: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_io().build()?;
    let canned = Arc::new(Canned::new(data_bytes));
    runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        // Accepting in a task of its own keeps it on the workers: the thread in `block_on` is not a
        // worker.
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(connection(stream, Arc::clone(&canned)));
            }
        });
        accepting.await.map_err(io::Error::other)?
    })
}

async fn connection(mut stream: TcpStream, canned: Arc<Canned>) {
    let mut progress = Progress::default();
    let mut input = Vec::with_capacity(READ_BYTES);
    let (mut out, mut log) = (Vec::new(), Vec::new());
    // A connection fails when its client has left.
    while let Ok(1..) = stream.read_buf(&mut input).await {
        let answered = progress.answer(&canned, &input, &mut out, &mut log);
        input.drain(..answered.consumed);
        log.clear();
        if stream.write_all(&out).await.is_err() || answered.close {
            return;
        }
        out.clear();
    }
}
