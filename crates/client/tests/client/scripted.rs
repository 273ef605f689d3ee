//! A server that answers by a script.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use testing::listen;
use wire::frame;
use wire::record::{ConnectResponse, ReplyHeader};

/// The server's end: the test scripts its answers frame by frame.
pub(crate) struct Server(TcpStream);

impl Server {
    pub(crate) fn read(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut payload = vec![0; i32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut payload).unwrap();
        payload
    }

    pub(crate) fn write(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        let mark = frame::begin(&mut out);
        encode(&mut out);
        frame::finish(&mut out, mark);
        self.0.write_all(&out).unwrap();
    }

    pub(crate) fn welcome(&mut self, timeout_ms: i32) -> Vec<u8> {
        let request = self.read();
        let passwd: &[u8] = &[7; 16];
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id: 99,
            passwd,
            read_only: Some(false),
        };
        self.write(|out| response.encode(out));
        request
    }

    pub(crate) fn reply(&mut self, xid: i32, zxid: i64, err: i32, body: impl FnOnce(&mut Vec<u8>)) {
        self.write(|out| {
            ReplyHeader { xid, zxid, err }.encode(out);
            body(out);
        });
    }
}

/// Serves one connection.
pub(crate) fn serve<T: Send + 'static>(
    script: impl FnOnce(Server) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    serve_all(|listener| script(accept(&listener)))
}

/// Serves connections as the script accepts them.
pub(crate) fn serve_all<T: Send + 'static>(
    script: impl FnOnce(TcpListener) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = listen();
    let address = listener.local_addr().unwrap();
    (address, std::thread::spawn(move || script(listener)))
}

/// The next connection.
pub(crate) fn accept(listener: &TcpListener) -> Server {
    Server(listener.accept().unwrap().0)
}
