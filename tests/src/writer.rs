//! A client at work while an ensemble changes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::ensemble::Ensemble;
use crate::roaming_client::RoamingClient;
use crate::session::create;

/// A client that writes until it is told to stop.
#[derive(Debug)]
pub struct Writer {
    written: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Writer {
    /// Starts it at these servers.
    pub fn start(addresses: Vec<SocketAddr>) -> Writer {
        let (written, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (written, is_over) = (Arc::clone(&written), Arc::clone(&is_over));
            move || {
                let mut client = RoamingClient::new(addresses, 0, 20_000);
                let mut number = 0;
                while !is_over.load(Ordering::SeqCst) {
                    if !client.is_connected() {
                        client.connect();
                        std::thread::sleep(Duration::from_millis(10));
                        continue;
                    }
                    let path = format!("/written-{number:06}");
                    // It exists if an earlier attempt got no reply.
                    if let Some(reply) = client.ask_one(&create(&path, b"data", 0)) {
                        assert!([0, -110].contains(&reply.err), "{path}: {reply:?}");
                        number += 1;
                        written.store(number, Ordering::SeqCst);
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
                number
            }
        });
        Writer { written, is_over, thread }
    }

    /// Waits until it has written some more.
    pub fn await_progress(&self, ensemble: &mut Ensemble) {
        let before = self.written.load(Ordering::SeqCst);
        ensemble.await_that("a client writes", |_| {
            (self.written.load(Ordering::SeqCst) > before + 20).then_some(())
        });
    }

    /// Stops it; how much it has written: the znodes `/written-000000` and on.
    pub fn end(self) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        self.thread.join().expect("the client")
    }
}
