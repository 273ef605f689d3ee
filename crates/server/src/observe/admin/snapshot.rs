//! The command `snapshot`: takes a snapshot and sends its file to a client that may have
//! everything.

use std::fs::File;
use std::future::Future as _;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use serde_json::{Value, json};
use state::auth::{DIGEST, IP, Identities, SUPER, X509};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::commands::{Reply, error, fields};
use super::listener::Caller;
use crate::config::Config;
use crate::inbox::{SnapshotWaiter, WrittenSnapshot};
use crate::observe::stats::Source;

/// The primary name of the command.
const NAME: &str = "snapshot";

/// The zxid up to which the snapshot reaches, in hexadecimal digits after `0x`.
const LAST_ZXID: HeaderName = HeaderName::from_static("last_zxid");
/// Bytes of its file.
const SNAPSHOT_SIZE: HeaderName = HeaderName::from_static("snapshot_size");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Bytes of the file that are read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// A request for a snapshot.
pub(super) struct Asked<'a> {
    pub(super) caller: &'a Caller,
    pub(super) headers: &'a HeaderMap,
    pub(super) arguments: &'a [(String, String)],
}

/// What is known of the snapshots that clients took.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// When the last one was begun.
    last: Mutex<Option<Instant>>,
}

impl Snapshots {
    /// The response with the snapshot, or why the client gets none.
    pub(super) async fn take(&self, source: &dyn Source, asked: &Asked<'_>) -> Result<Response, Reply> {
        let identities = identities(source.config(), asked)?;
        if !source.may_copy(&identities) {
            let text = "Not authorized: the ACL of / has to grant cdrwa to an identity of yours; \
                        what it grants to world:anyone does not count";
            return Err(error(403, NAME, text));
        }
        self.count(source.config())?;
        let _underway = asked.caller.work.begin();
        let (sender, receiver) = oneshot::channel();
        source.take_snapshot(SnapshotWaiter::new(move |ended| drop(sender.send(ended))));
        let ended = receiver.await.unwrap_or_else(|_| Err("the server stops, or is given other data".into()));
        ended.and_then(|snapshot| asked.response(&snapshot)).map_err(|why| {
            tracing::warn!("no snapshot for {}: {why}", asked.caller.address);
            error(500, NAME, &format!("no snapshot: {why}"))
        })
    }

    /// Counts a snapshot, unless they are off or it is too early for another one.
    fn count(&self, config: &Config) -> Result<(), Reply> {
        let Some(admin) = config.admin.as_ref().filter(|admin| admin.snapshots) else {
            return Err(error(503, NAME, "snapshots are off (admin.snapshot.enabled=false)"));
        };
        let pause = Duration::from_millis(admin.snapshot_interval_ms.into());
        let mut last = self.last.lock();
        if last.is_some_and(|last| last.elapsed() < pause) {
            let text = format!(
                "the last snapshot was less than {} ms ago (admin.rateLimiterIntervalInMS)",
                admin.snapshot_interval_ms
            );
            return Err(error(429, NAME, &text));
        }
        *last = Some(Instant::now());
        Ok(())
    }
}

impl Asked<'_> {
    /// As ZooKeeper's: the file alone, or the fields that every command has. In ZooKeeper the file
    /// has no name.
    fn response(&self, snapshot: &WrittenSnapshot) -> Result<Response, String> {
        let file = File::open(&snapshot.path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = file.map_err(|e| format!("cannot read it: {e}"))?;
        let zxid = format!("{:#x}", snapshot.zxid);
        tracing::info!(zxid, bytes, to = %self.caller.address, "snapshot for a client of the AdminServer");
        let name = snapshot.path.file_name().unwrap_or_default().to_string_lossy();
        let described = [(LAST_ZXID, zxid), (SNAPSHOT_SIZE, bytes.to_string())];
        if !self.wants_file() {
            let fields = fields(json!({ "command": NAME, "error": Value::Null }));
            return Ok((described, Reply { status: 200, fields }).into_response());
        }
        let as_file = [
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        ];
        let body = Body::new(FileBody { left: bytes, reading: Reading::Idle(file) });
        Ok((described, as_file, body).into_response())
    }

    /// Whether the client asks for the file, too.
    fn wants_file(&self) -> bool {
        let streaming = self.arguments.iter().find(|(name, _)| name == "streaming");
        streaming.is_none_or(|(_, value)| value.eq_ignore_ascii_case("true"))
    }

    /// The address of the client, which a proxy may have passed on.
    fn address(&self, config: &Config) -> String {
        let trusts = config.admin.as_ref().is_some_and(|admin| admin.trusts_forwarded_for);
        let passed_on = self.headers.get(FORWARDED_FOR).filter(|_| trusts);
        let first = passed_on
            .and_then(|all| all.to_str().ok()?.split(',').map(str::trim).find(|one| !one.is_empty()));
        first.map_or_else(|| self.caller.address.to_string(), str::to_owned)
    }
}

/// What a client proves by the header `Authorization`, which has a scheme and, for `digest`, name
/// and password.
fn identities(config: &Config, asked: &Asked<'_>) -> Result<Identities, Reply> {
    let Some(header) = asked.headers.get(header::AUTHORIZATION) else {
        return Err(error(401, NAME, "Auth info is missing for the command"));
    };
    let not_authenticated = || error(401, NAME, "Not authenticated");
    let text = std::str::from_utf8(header.as_bytes()).map_err(|_| not_authenticated())?;
    let (scheme, proof) = match text.trim_end_matches(' ').split_once(' ') {
        None => (text.trim_end_matches(' '), None),
        Some((_, proof)) if proof.contains(' ') => return Err(not_authenticated()),
        Some((scheme, proof)) => (scheme, Some(proof)),
    };
    let requests = &config.requests;
    let mut identities = Identities::new();
    let is_proven = match (scheme, proof, &asked.caller.subject) {
        (DIGEST, Some(proof), _) if requests.schemes.digest => {
            let (hash, root) = (requests.schemes.digest_hash, requests.super_digest.as_deref());
            state::auth::add_digest(&mut identities, proof.as_bytes(), hash, root)
        }
        (IP, ..) => identities.try_add(IP, &asked.address(config)),
        (X509, _, Some(subject)) if requests.schemes.x509 => {
            let is_super = requests.x509_super.as_ref() == Some(subject);
            (!is_super || identities.try_add(SUPER, "")) && identities.try_add(X509, subject)
        }
        _ => false,
    };
    if is_proven { Ok(identities) } else { Err(not_authenticated()) }
}

/// A file as the body of a response. Threads for such work read it, piece by piece.
struct FileBody {
    left: u64,
    reading: Reading,
}

enum Reading {
    Idle(File),
    Busy(JoinHandle<io::Result<(File, Bytes)>>),
    Ended,
}

/// The file, and the next `bytes` of it.
fn read_piece(mut file: File, bytes: usize) -> io::Result<(File, Bytes)> {
    let mut piece = vec![0; bytes];
    file.read_exact(&mut piece)?;
    Ok((file, piece.into()))
}

impl hyper::body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let mut reading = match std::mem::replace(&mut self.reading, Reading::Ended) {
            Reading::Idle(file) => tokio::task::spawn_blocking(move || read_piece(file, most)),
            Reading::Busy(reading) => reading,
            Reading::Ended => return Poll::Ready(None),
        };
        let Poll::Ready(done) = Pin::new(&mut reading).poll(cx) else {
            self.reading = Reading::Busy(reading);
            return Poll::Pending;
        };
        let (file, piece) = done.map_err(io::Error::other)??;
        self.left -= piece.len() as u64;
        self.reading = Reading::Idle(file);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
