//! A server's stream keeps the contract of streams, whatever its client does.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use tls::rustls::crypto::ring;
use tls::rustls::pki_types::pem::PemObject as _;
use tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tls::rustls::{ClientConfig, ClientConnection, RootCertStore};
use tls::{CipherSuites, ClientAuth, ClientSettings, Protocols, Secret, ServerSettings, StoreFile};

use super::super::pipe::{self, End};
use super::super::{PeerIdentity, Stream};
use super::{Acceptor, TlsStream};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata/tls", name].iter().collect()
}

fn store(name: &str) -> StoreFile {
    StoreFile { path: path(name), password: Secret::default(), password_path: None }
}

fn acceptor(client_auth: ClientAuth, checks_hosts: bool, handshakes_max: Option<u32>) -> Arc<Acceptor> {
    let settings = ServerSettings {
        key_store: store("server.pem"),
        trust_store: Some(store("ca.pem")),
        client_auth,
        crl_file: None,
        strict: false,
        protocols: Protocols::default(),
        cipher_suites: CipherSuites::default(),
    };
    Arc::new(Acceptor::new(settings, checks_hosts, handshakes_max).expect("its files"))
}

/// A client over its end of a pipe.
struct Client {
    tls: ClientConnection,
    end: End,
}

impl Client {
    fn new(end: End, has_certificate: bool) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let config = if has_certificate {
            let own = CertificateDer::from_pem_file(path("client.pem")).unwrap();
            let key = PrivateKeyDer::from_pem_file(path("client.pem")).unwrap();
            builder.with_client_auth_cert(vec![own], key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        let tls = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        Client { tls, end }
    }

    /// Moves what can be moved; answers whether all is well.
    fn turn(&mut self) -> bool {
        let mut is_well = true;
        loop {
            match self.tls.read_tls(&mut self.end) {
                Ok(0) | Err(_) => break,
                Ok(_) => is_well &= self.tls.process_new_packets().is_ok(),
            }
        }
        while self.tls.wants_write() && self.tls.write_tls(&mut self.end).is_ok() {}
        is_well
    }

    fn say(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
        self.turn();
    }

    fn hear(&mut self) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
        self.turn();
        while let Ok(n @ 1..) = self.tls.reader().read(&mut buffer) {
            all.extend_from_slice(&buffer[..n]);
            self.turn();
        }
        all
    }
}

/// Reads until nothing is left; the error that ended it, if it was another.
fn read_all(stream: &mut dyn Stream) -> (Vec<u8>, Option<ErrorKind>) {
    let (mut all, mut buffer) = (Vec::new(), [0; 300]);
    loop {
        match stream.try_read(&mut buffer) {
            Ok(None) => return (all, None),
            Ok(Some(0)) => return (all, Some(ErrorKind::UnexpectedEof)),
            Ok(Some(n)) => all.extend_from_slice(&buffer[..n]),
            Err(e) => return (all, Some(e.kind())),
        }
    }
}

/// Shakes hands.
fn shake(client: &mut Client, server: &mut TlsStream<End>) -> Result<(), ErrorKind> {
    for _ in 0..100_000 {
        client.turn();
        if let (_, Some(error)) = read_all(server) {
            client.turn();
            return Err(error);
        }
        if !server.is_handshaking() && !client.tls.is_handshaking() {
            return Ok(());
        }
    }
    panic!("the handshake does not end")
}

fn connected(room: usize) -> (Client, TlsStream<End>) {
    let (near, far) = pipe::pair(room);
    let mut client = Client::new(near, true);
    let mut server = TlsStream::secure(far, &acceptor(ClientAuth::Need, false, None), HOME).unwrap();
    assert!(server.is_handshaking() && server.peer_identity().is_none());
    shake(&mut client, &mut server).unwrap();
    (client, server)
}

#[test]
fn a_client_is_known_after_the_handshake() {
    for room in [1, 100, 1 << 20] {
        let (_, server) = connected(room);
        let PeerIdentity { subject, certificates } = server.peer_identity().unwrap();
        assert_eq!((subject.as_str(), certificates.len()), ("CN=client,O=Ostler tests", 1));
    }
}

#[test]
fn a_client_without_a_certificate_is_served_only_where_none_is_needed() {
    for (client_auth, expected) in
        [(ClientAuth::Want, true), (ClientAuth::None, true), (ClientAuth::Need, false)]
    {
        let (near, far) = pipe::pair(1 << 20);
        let mut client = Client::new(near, false);
        let mut server = TlsStream::secure(far, &acceptor(client_auth, false, None), HOME).unwrap();
        assert_eq!(shake(&mut client, &mut server).is_ok(), expected, "{client_auth:?}");
        assert_eq!(server.peer_identity(), None);
    }
}

#[test]
fn a_certificate_must_be_for_the_address_where_that_is_asked() {
    for (peer, checks_hosts, expected) in
        [(HOME, true, true), (ELSEWHERE, true, false), (ELSEWHERE, false, true)]
    {
        let (near, far) = pipe::pair(1 << 20);
        let mut client = Client::new(near, true);
        let acceptor = acceptor(ClientAuth::Need, checks_hosts, None);
        let mut server = TlsStream::secure(far, &acceptor, peer).unwrap();
        let shaken = shake(&mut client, &mut server);
        assert_eq!(shaken, if expected { Ok(()) } else { Err(ErrorKind::PermissionDenied) }, "{peer}");
    }
}

/// What the dialling side writes at once is for the host that it has dialled, and nobody else.
#[test]
fn a_dialled_server_must_be_the_one_that_was_meant() {
    let settings = ClientSettings {
        key_store: Some(store("client.pem")),
        checks_host: false,
        ..ClientSettings::trusting(store("ca.pem"))
    };
    let config = settings.build().expect("its files");
    for (hosts, expected) in [
        (&[][..], true),
        (&["localhost"], true),
        (&["zoo1.example.org", "localhost"], true),
        (&["zoo1.example.org"], false),
    ] {
        let (near, far) = pipe::pair(1 << 20);
        let names = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut dialled = TlsStream::dialled(near, Arc::clone(&config), HOME, names).unwrap();
        let mut accepted = TlsStream::secure(far, &acceptor(ClientAuth::Need, false, None), HOME).unwrap();
        dialled.write_all(b"a greeting").unwrap();
        let (mut heard, mut error) = (Vec::new(), None);
        for _ in 0..10 {
            heard.extend(read_all(&mut accepted).0);
            error = error.or(read_all(&mut dialled).1);
        }
        if expected {
            assert_eq!((heard.as_slice(), error), (&b"a greeting"[..], None), "{hosts:?}");
            assert!(accepted.peer_identity().is_some() && dialled.peer_identity().is_some());
            continue;
        }
        dialled.close();
        heard.extend(read_all(&mut accepted).0);
        assert_eq!((heard.as_slice(), error), (&b""[..], Some(ErrorKind::PermissionDenied)), "{hosts:?}");
    }
}

#[test]
fn everything_arrives_in_both_directions_however_little_the_socket_takes() {
    let request: Vec<u8> = (0..50_000_u32).map(|n| n as u8).collect();
    for room in [500, 1 << 20] {
        let (mut client, mut server) = connected(room);
        client.tls.set_buffer_limit(None);
        client.say(&request);
        let (mut written, mut heard, mut received) = (0, Vec::new(), Vec::new());
        while heard.len() < request.len() || received.len() < request.len() {
            received.extend(read_all(&mut server).0);
            match server.write(&request[written..]) {
                Ok(n) => written += n,
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
            assert_eq!(server.wants_write(), server.held_bytes() > 0, "what waits is counted");
            assert!(server.held_bytes() < 80 << 10, "and bounded");
            server.flush().unwrap();
            heard.extend(client.hear());
        }
        assert!(received == request && heard == request);
        assert_eq!((server.held_bytes(), server.wants_write()), (0, false));
    }
}

#[test]
fn a_batch_of_replies_is_one_record() {
    let (mut client, mut server) = connected(1 << 20);
    client.hear();
    assert_eq!(server.write(&[7; 8_000]).unwrap(), 8_000);
    let mut record = vec![0; 20_000];
    let n = client.end.read(&mut record).unwrap();
    assert_eq!(usize::from(u16::from_be_bytes([record[3], record[4]])) + 5, n);
    assert!(n > 8_000 && n < 8_100);
}

#[test]
fn reads_stop_without_another_call_once_the_socket_is_empty() {
    let (mut client, mut server) = connected(1 << 20);
    read_all(&mut server);
    client.say(&[7; 100]);
    let mut buffer = [0; 60];
    assert_eq!(server.read(&mut buffer).unwrap(), 60);
    assert!(server.has_buffered() && server.may_hold_more(60, 60), "no event announces the other 40");
    assert_eq!(server.read(&mut buffer).unwrap(), 40);
    assert!(!server.has_buffered());
}

#[test]
fn the_end_of_a_client_is_the_end_of_the_stream() {
    let (mut client, mut server) = connected(1 << 20);
    client.say(b"last");
    client.tls.send_close_notify();
    client.turn();
    let mut buffer = [0; 60];
    assert_eq!(server.read(&mut buffer).unwrap(), 4);
    assert_eq!(server.read(&mut buffer).unwrap(), 0);
    let (mut client, mut server) = connected(1 << 20);
    client.end.close();
    assert_eq!(read_all(&mut server), (Vec::new(), Some(ErrorKind::UnexpectedEof)));
    let (mut client, mut server) = connected(1 << 20);
    server.close();
    client.turn();
    assert_eq!(client.tls.reader().read(&mut buffer).unwrap(), 0, "the server says that it ends");
}

#[test]
fn the_first_byte_tells_tls_from_the_rest() {
    let acceptor = acceptor(ClientAuth::Need, false, None);
    let (near, far) = pipe::pair(1 << 20);
    let mut client = Client::new(near, true);
    let mut server = TlsStream::either(far, &acceptor, HOME);
    assert_eq!(read_all(&mut server), (Vec::new(), None));
    assert!(server.is_handshaking(), "as long as nothing is known");
    shake(&mut client, &mut server).unwrap();
    client.say(b"secret");
    assert_eq!(read_all(&mut server).0, b"secret");
    for bytes in [&b"ruok"[..], &[0, 0, 0, 44, 0, 0]] {
        let (mut near, far) = pipe::pair(1 << 20);
        let mut server = TlsStream::either(far, &acceptor, HOME);
        near.write_all(bytes).unwrap();
        assert_eq!(read_all(&mut server).0, bytes);
        server.write_all(b"imok").unwrap();
        let mut buffer = [0; 4];
        near.read_exact(&mut buffer).unwrap();
        assert_eq!((&buffer, server.is_handshaking(), server.peer_identity()), (b"imok", false, None));
    }
}

#[test]
fn what_is_no_tls_is_refused_with_an_alert() {
    let acceptor = acceptor(ClientAuth::Need, false, None);
    for bytes in [&b"ruok"[..], &[0x16, 3, 1, 0xff, 0xff, 0], &[0x16, 3, 1, 0, 4, 1, 0, 0, 0]] {
        let (mut near, far) = pipe::pair(1 << 20);
        let mut server = TlsStream::secure(far, &acceptor, HOME).unwrap();
        near.write_all(bytes).unwrap();
        assert_eq!(read_all(&mut server), (Vec::new(), Some(ErrorKind::InvalidData)), "{bytes:?}");
        let mut alert = [0; 7];
        near.read_exact(&mut alert).unwrap();
        assert_eq!(alert[0], 0x15, "{bytes:?}");
    }
    assert_eq!(acceptor.handshakes(), 0, "none is left");
}

#[test]
fn handshakes_are_limited_until_they_are_complete() {
    let acceptor = acceptor(ClientAuth::Need, false, Some(2));
    let begin = || {
        let (near, far) = pipe::pair(1 << 20);
        TlsStream::secure(far, &acceptor, HOME).map(|server| (Client::new(near, true), server))
    };
    let (mut first, second) = (begin().unwrap(), begin().unwrap());
    assert!(begin().is_none());
    let (mut near, far) = pipe::pair(1 << 20);
    let mut either = TlsStream::either(far, &acceptor, HOME);
    near.write_all(&[0x16, 3, 1]).unwrap();
    assert_eq!(read_all(&mut either).1, Some(ErrorKind::QuotaExceeded));
    shake(&mut first.0, &mut first.1).unwrap();
    assert_eq!(acceptor.handshakes(), 1);
    let third = begin().unwrap();
    drop((second, third));
    assert_eq!(acceptor.handshakes(), 0);
}

#[test]
fn changed_files_are_used_once_they_have_been_the_same_twice() {
    let folder = std::env::temp_dir().join(format!("ostler-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("server.pem");
    std::fs::copy(path("server.pem"), &file).unwrap();
    let settings = ServerSettings {
        key_store: StoreFile { path: file.clone(), ..store("server.pem") },
        trust_store: None,
        client_auth: ClientAuth::None,
        crl_file: None,
        strict: false,
        protocols: Protocols::default(),
        cipher_suites: CipherSuites::default(),
    };
    let acceptor = Acceptor::new(settings, false, None).unwrap();
    let before = acceptor.config();
    assert!(!acceptor.has_news());
    std::fs::write(&file, "half").unwrap();
    assert!(!acceptor.has_news() && acceptor.has_news());
    acceptor.reload().unwrap_err();
    assert!(!acceptor.has_news(), "a bad file is read once");
    assert!(Arc::ptr_eq(&acceptor.config(), &before), "the old one stays in use");
    std::fs::copy(path("server.pem"), folder.join("new")).unwrap();
    std::fs::rename(folder.join("new"), &file).unwrap();
    assert!(!acceptor.has_news() && acceptor.has_news());
    acceptor.reload().unwrap();
    assert!(!Arc::ptr_eq(&acceptor.config(), &before));
    std::fs::remove_dir_all(&folder).unwrap();
}
