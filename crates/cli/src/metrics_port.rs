//! A port that tells metrics as text for Prometheus.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How long a request and its answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests at the same time.
const REQUESTS_MAX: usize = 16;
/// The pause after the system had no connection to give, for example for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Tells the text of the moment to all who ask, until the task is aborted.
pub(crate) async fn serve(listener: TcpListener, text: impl Fn() -> String + Clone + Send + Sync + 'static) {
    let permits = Arc::new(Semaphore::new(REQUESTS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let text = text.clone();
                tokio::spawn(async move {
                    // A reader that is slow or gone gets no answer.
                    let _ = tokio::time::timeout(PATIENCE, answer(stream, &text)).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn answer(mut stream: TcpStream, text: &impl Fn() -> String) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = (HEAD_BYTES_MAX - head.len()) as u64;
        if left == 0 || (&mut stream).take(left).read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = match head.starts_with(b"GET /metrics ") {
        true => ("200 OK", text()),
        false => ("404 Not Found", "GET /metrics\n".to_owned()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
