//! Serves HTTP so that no client can keep others out.
//!
//! A connection has a time limit for its handshake of TLS, for each request and for the pause
//! between two ([`Bounds`]), and has to read its reply ([`Progress`]). A connection that sends or
//! reads slowly within these limits is closed when its place is needed ([`Places`]).

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::time::{Instant, Sleep, timeout};

use super::places::{Place, Places};
use super::transport::{HttpStream, Transport, over_tls};
use crate::descriptors::{self, Use};
use crate::reader_progress::{Progress, WINDOW_MS};

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// From the first byte of a request to its last; also from the connection's start to its first
    /// byte, and to the end of its handshake.
    request: Duration,
    /// Between two requests.
    idle: Duration,
}

/// ZooKeeper's `admin.idleTimeout` has the same default.
pub(super) const BOUNDS: Bounds = Bounds { request: Duration::from_secs(10), idle: Duration::from_secs(30) };

/// Pause after the system refused to accept.
const PAUSE: Duration = Duration::from_millis(500);

/// Connections accepted before existing ones are served: fewer than there are places, so that a
/// request that arrives with its connection is served before its place is needed.
const ACCEPTS_IN_A_ROW: usize = 32;

/// Bytes of a reply that the system buffers. Small, to show early what the other side reads.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// Who sent a request; an extension of it.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Its address.
    pub(super) address: IpAddr,
    /// The subject of its certificate, if it has proven one.
    pub(super) subject: Option<String>,
    /// What is being done for it.
    pub(super) work: Work,
}

/// What is being done for the requests of a connection, which is not closed meanwhile: the limit of
/// a request's time is for its sender.
#[derive(Clone, Debug, Default)]
pub(super) struct Work(Arc<AtomicUsize>);

/// Something that is being done. It ends on drop.
#[derive(Debug)]
pub(super) struct Underway(Work);

impl Work {
    pub(super) fn begin(&self) -> Underway {
        self.0.fetch_add(1, Ordering::Relaxed);
        Underway(self.clone())
    }

    fn is_underway(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves all connections, for ever.
pub(super) async fn serve(listener: TcpListener, routes: Router, transport: Transport, bounds: Bounds) {
    let places = Places::default();
    let plain = routes.layer(axum::middleware::from_fn(yield_first));
    let secure = over_tls(plain.clone());
    for accepted in 1.. {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                if !descriptors::is_gone(&e) {
                    tracing::warn!("the AdminServer cannot accept a connection for now: {e}");
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
        };
        if !descriptors::leaves_room(&stream, Use::Operator) {
            tracing::warn!(
                "the AdminServer refused a connection: file descriptors are running out (ulimit -n)"
            );
            continue;
        }
        // If this fails, replies are served all the same, and slow readers are noticed later.
        let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES);
        let place = places.enter(peer.ip());
        let number = place.number;
        let (transport, plain, secure) = (transport.clone(), plain.clone(), secure.clone());
        let task = tokio::spawn(async move {
            // An error of one connection concerns its client only.
            let Ok(Ok(stream)) = timeout(bounds.request, transport.open(stream)).await else { return };
            let routes = TowerToHyperService::new(if stream.is_secure() { secure } else { plain });
            let address = peer.ip().to_canonical();
            let caller = Caller { address, subject: stream.subject(), work: Work::default() };
            let work = caller.work.clone();
            let service = service_fn(move |mut request: hyper::Request<Incoming>| {
                request.extensions_mut().insert(caller.clone());
                routes.call(request)
            });
            let connection = TokioIo::new(Connection::new(stream, place, bounds, work));
            let _ = http1::Builder::new().serve_connection(connection, service).await;
        });
        places.attach(number, task.abort_handle());
        if accepted % ACCEPTS_IN_A_ROW == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Lets other connections go first: one that sends a hundred requests at once gets one answer per
/// round.
async fn yield_first(request: Request, next: Next) -> Response {
    tokio::task::yield_now().await;
    next.run(request).await
}

/// The phase of a connection, with its time limit.
#[derive(Debug)]
enum Phase {
    /// No part of a request has arrived.
    Rest,
    /// Part of a request has arrived.
    Request,
    /// A reply is being written; how far the other side has read it.
    Reply(Progress),
}

/// A connection with its time limits.
struct Connection {
    stream: HttpStream,
    place: Place,
    bounds: Bounds,
    work: Work,
    phase: Phase,
    /// Fires at the end of the present limit.
    timer: Pin<Box<Sleep>>,
    begun: Instant,
}

impl Connection {
    fn new(stream: HttpStream, place: Place, bounds: Bounds, work: Work) -> Connection {
        let timer = Box::pin(tokio::time::sleep(bounds.request));
        Connection { stream, place, bounds, work, phase: Phase::Rest, timer, begun: Instant::now() }
    }

    fn enter(&mut self, phase: Phase, bound: Duration) {
        self.phase = phase;
        self.timer.as_mut().reset(Instant::now() + bound);
    }

    /// Whether the other side has let its time for a request pass.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        while self.timer.as_mut().poll(cx).is_ready() {
            if !self.work.is_underway() {
                return true;
            }
            self.timer.as_mut().reset(Instant::now() + self.bounds.request);
        }
        false
    }

    fn now_ms(&self) -> i64 {
        self.begun.elapsed().as_millis() as i64
    }

    fn reply_window() -> Duration {
        Duration::from_millis(WINDOW_MS as u64)
    }

    /// The other side takes nothing now: waits for it, within limits.
    fn wait_for_reader<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now_ms = self.now_ms();
            let has_ceased = match &mut self.phase {
                Phase::Reply(progress) => progress.has_ceased(now_ms),
                Phase::Rest | Phase::Request => true,
            };
            if has_ceased {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.timer.as_mut().reset(Instant::now() + Connection::reply_window());
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let is_replying = matches!(self.phase, Phase::Reply(_));
        if !is_replying && self.is_late(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if matches!(self.phase, Phase::Rest) {
            let bound = self.bounds.request;
            self.enter(Phase::Request, bound);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !matches!(self.phase, Phase::Reply(_)) {
            self.place.begin_reply();
            let progress = Progress::begin(self.now_ms());
            self.enter(Phase::Reply(progress), Connection::reply_window());
        }
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => self.wait_for_reader(cx),
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Ready(Ok(taken)) => {
                if let Phase::Reply(progress) = &mut self.phase {
                    progress.add(taken as u64);
                }
                Poll::Ready(Ok(taken))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => return self.wait_for_reader(cx),
            Poll::Ready(flushed) => flushed?,
        }
        // Everything has been written.
        if matches!(self.phase, Phase::Reply(_)) {
            self.place.await_request();
            let bound = self.bounds.idle;
            self.enter(Phase::Rest, bound);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.wait_for_reader(cx),
            ended => ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use axum::Extension;
    use axum::routing::get;

    use super::*;
    use crate::observe::admin::tests::free_address;

    /// Serves these routes on a thread of the runtime.
    fn serving(routes: Router, bounds: Bounds) -> (std::net::SocketAddr, tokio::runtime::Runtime) {
        let address = free_address();
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            serve(TcpListener::from_std(listener).unwrap(), routes, Transport::Plain, bounds).await;
        });
        (address, runtime)
    }

    /// The limit is for who sends: a snapshot takes as long as it needs.
    #[test]
    fn work_for_a_request_may_take_longer_than_the_request() {
        let bounds = Bounds { request: Duration::from_millis(200), idle: Duration::from_secs(60) };
        let work = |Extension(caller): Extension<Caller>| async move {
            let _underway = caller.work.begin();
            tokio::time::sleep(Duration::from_secs(1)).await;
            "done"
        };
        let (address, _runtime) = serving(Router::new().route("/", get(work)), bounds);
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("done"), "{answer}");
    }

    /// Each byte restarted the time limit, so that a connection could stay as long as it sent one
    /// now and then.
    #[test]
    fn the_time_for_a_request_is_limited_however_slowly_it_comes() {
        let bounds = Bounds { request: Duration::from_millis(500), idle: Duration::from_secs(60) };
        let (address, _runtime) = serving(Router::new().route("/", get(|| async { "here" })), bounds);

        let mut slow = std::net::TcpStream::connect(address).unwrap();
        slow.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let begun = std::time::Instant::now();
        let ended = loop {
            assert!(begun.elapsed() < Duration::from_secs(30), "it is never closed");
            let sent = slow.write_all(if begun.elapsed().as_millis() < 60 {
                b"GET / HTTP/1.1\r\nX: "
            } else {
                b"x"
            });
            match slow.read(&mut [0; 16]) {
                Err(e)
                    if sent.is_ok()
                        && matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                other => break other,
            }
        };
        assert!(ended.map_or(true, |bytes| bytes == 0), "it gets no reply");

        // The limit of a request is not that of the connection: the pause between two requests may
        // be longer.
        let mut patient = std::net::TcpStream::connect(address).unwrap();
        patient.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        for _ in 0..2 {
            patient.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"here") {
                let mut part = [0; 512];
                let n = patient.read(&mut part).unwrap();
                assert!(n > 0, "closed after {}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&part[..n]);
            }
            std::thread::sleep(Duration::from_millis(700));
        }
    }
}
