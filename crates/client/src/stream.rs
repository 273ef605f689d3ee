//! The bytes of a connection, with or without TLS, for one thread that reads and one that writes.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tls::rustls::pki_types::ServerName;
use tls::rustls::{ClientConfig, ClientConnection};
use tls::{ClientSettings, SettingsError};

/// Bytes read from the socket at a time: the largest TLS record.
const READ_BYTES: usize = 18 << 10;

/// How connections use TLS. Clones share what was read from files, and sessions of TLS that can be
/// resumed.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// A file cannot be used. The message names it.
    pub fn new(settings: &ClientSettings) -> Result<Tls, SettingsError> {
        settings.build().map(Tls)
    }

    /// The state of a new connection, for callers that do their own reading and writing. Nothing is
    /// sent yet. `server` is `host:port`, and has to prove to be that host.
    ///
    /// # Errors
    /// The host is neither a name nor an address.
    pub fn begin(&self, server: &str) -> io::Result<ClientConnection> {
        let host = server.rsplit_once(':').map_or(server, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Stream {
    tcp: TcpStream,
    tls: Option<Arc<Shared>>,
    /// Encrypted bytes that were read, of which `decrypted` are decrypted.
    encrypted: Vec<u8>,
    decrypted: usize,
}

/// What the two threads share.
#[derive(Debug)]
struct Shared {
    /// Held only while bytes are moved in memory.
    state: Mutex<ClientConnection>,
    /// Held while encrypted bytes are written, so that they leave in order. The reader never waits
    /// for it: the server may take nothing more until the reader has read.
    writing: Mutex<()>,
}

impl Stream {
    pub(crate) fn plain(tcp: TcpStream) -> Stream {
        Stream { tcp, tls: None, encrypted: Vec::new(), decrypted: 0 }
    }

    /// Completes the handshake within the socket's timeouts. `server` is `host:port`, and has to
    /// prove to be that host.
    ///
    /// # Errors
    /// The server's certificate is refused, or the server refuses the client's, or speaks no TLS.
    pub(crate) fn secure(tcp: TcpStream, server: &str, tls: &Tls) -> io::Result<Stream> {
        let shared = Shared { state: Mutex::new(tls.begin(server)?), writing: Mutex::new(()) };
        let mut tcp = tcp;
        {
            let mut state = shared.state();
            while state.is_handshaking() {
                state.complete_io(&mut tcp)?;
            }
        }
        let tls = Some(Arc::new(shared));
        Ok(Stream { tcp, tls, encrypted: Vec::new(), decrypted: 0 })
    }

    /// The same connection, for another thread that only writes.
    pub(crate) fn try_clone(&self) -> io::Result<Stream> {
        let (tcp, tls) = (self.tcp.try_clone()?, self.tls.clone());
        Ok(Stream { tcp, tls, encrypted: Vec::new(), decrypted: 0 })
    }

    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp.set_read_timeout(timeout)
    }

    /// Ends the connection, which a thread that reads notices.
    pub(crate) fn shut_down(&self) {
        // An error says that there is no connection any more.
        let _ = self.tcp.shutdown(Shutdown::Both);
    }

    /// The socket and the state of TLS, for callers that do their own reading and writing.
    pub(crate) fn into_parts(self) -> (TcpStream, Option<ClientConnection>) {
        let shared = self.tls.and_then(Arc::into_inner);
        (self.tcp, shared.map(|shared| shared.state.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, ClientConnection> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decrypts some of `bytes`, which came from the socket; empty is the end of the connection.
    /// Returns how many it took. What was decrypted before must have been read.
    fn decrypt(&self, bytes: &[u8], tcp: &TcpStream) -> io::Result<usize> {
        let mut state = self.state();
        let mut rest = bytes;
        state.read_tls(&mut rest)?;
        let processed = state.process_new_packets();
        let has_answers = state.wants_write();
        drop(state);
        // A key update, or the alert that tells the server why this is the end.
        if has_answers {
            let written = self.write_if_free(tcp);
            if processed.is_ok() {
                written?;
            }
        }
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(bytes.len() - rest.len())
    }

    /// Writes what is encrypted, unless the other thread is writing: it then writes this too, or
    /// does so with its next request.
    fn write_if_free(&self, tcp: &TcpStream) -> io::Result<()> {
        match self.writing.try_lock() {
            Ok(_writing) => self.write_out(tcp),
            Err(_) => Ok(()),
        }
    }

    /// Writes what is encrypted. The caller holds `writing`.
    fn write_out(&self, mut tcp: &TcpStream) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            {
                let mut state = self.state();
                while state.wants_write() {
                    state.write_tls(&mut bytes)?;
                }
            }
            if bytes.is_empty() {
                return Ok(());
            }
            tcp.write_all(&bytes)?;
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(shared) = &self.tls else { return self.tcp.read(buffer) };
        loop {
            match shared.state().reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if self.decrypted == self.encrypted.len() {
                self.encrypted.resize(READ_BYTES, 0);
                let read = self.tcp.read(&mut self.encrypted);
                self.decrypted = 0;
                self.encrypted.truncate(*read.as_ref().unwrap_or(&0));
                read?;
            }
            self.decrypted += shared.decrypt(&self.encrypted[self.decrypted..], &self.tcp)?;
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(shared) = &self.tls else { return self.tcp.write(bytes) };
        let _writing = shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = shared.state().writer().write(bytes)?;
        shared.write_out(&self.tcp)?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::Path;
    use std::process::Command;
    use std::thread;

    use tls::rustls::ServerConnection;
    use tls::{CipherSuites, ClientAuth, Protocols, Secret, ServerSettings, StoreFile};

    use super::*;

    /// More than the buffers of two sockets hold.
    const BYTES: usize = 32 << 20;

    fn make_certificate(folder: &Path) -> bool {
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem"];
        let made = Command::new("openssl")
            .args(["req", "-x509", "-subj", "/CN=localhost", "-days", "2", "-out", "cert.pem"])
            .args(curve)
            .current_dir(folder)
            .output();
        let must_run = std::env::var_os("CI").is_some();
        assert!(made.is_ok() || !must_run, "no openssl");
        made.is_ok_and(|made| made.status.success())
    }

    fn file(path: std::path::PathBuf) -> StoreFile {
        StoreFile { path, password: Secret::default(), password_path: None }
    }

    /// A server that writes everything before it reads anything.
    fn serve(listener: &TcpListener, folder: &Path) {
        let both = [std::fs::read(folder.join("key.pem")), std::fs::read(folder.join("cert.pem"))];
        std::fs::write(folder.join("both.pem"), both.map(Result::unwrap).concat()).unwrap();
        let settings = ServerSettings {
            key_store: file(folder.join("both.pem")),
            trust_store: None,
            client_auth: ClientAuth::None,
            crl_file: None,
            strict: false,
            protocols: Protocols::default(),
            cipher_suites: CipherSuites::default(),
        };
        let mut state = ServerConnection::new(settings.build().unwrap()).unwrap();
        let (mut tcp, _) = listener.accept().unwrap();
        let mut stream = tls::rustls::Stream::new(&mut state, &mut tcp);
        let mut block = vec![7; 1 << 16];
        for _ in 0..BYTES / block.len() {
            stream.write_all(&block).unwrap();
        }
        for _ in 0..BYTES / block.len() {
            stream.read_exact(&mut block).unwrap();
            assert!(block.iter().all(|byte| *byte == 9));
        }
    }

    /// The server writes before it reads, and so does the client: both get through only because the
    /// client reads while it writes.
    #[test]
    fn one_thread_reads_while_another_writes() {
        let folder = tempfile::tempdir().unwrap();
        if !make_certificate(folder.path()) {
            println!("skipped: no openssl");
            return;
        }
        let ports = (20_000..32_000).skip(std::process::id() as usize % 8_000);
        let listener = ports.map(|port| TcpListener::bind(("127.0.0.1", port)));
        let listener = listener.flatten().next().expect("a free port");
        let address = listener.local_addr().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| serve(&listener, folder.path()));
            let tls = Tls::new(&ClientSettings::trusting(file(folder.path().join("cert.pem")))).unwrap();
            let tcp = TcpStream::connect(address).unwrap();
            let mut reading = Stream::secure(tcp, "localhost", &tls).unwrap();
            let mut writing = reading.try_clone().unwrap();
            let writer = scope.spawn(move || writing.write_all(&vec![9; BYTES]).unwrap());
            let mut block = vec![0; 1 << 16];
            for _ in 0..BYTES / block.len() {
                reading.read_exact(&mut block).unwrap();
                assert!(block.iter().all(|byte| *byte == 7));
            }
            writer.join().unwrap();
        });
    }
}
