//! Socket options of the links.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use mio::net::{TcpListener, TcpStream};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use super::limits::{KEEPALIVE_S, LISTEN_BACKLOG, UNCONFIRMED_MS_MAX};

/// Opens a port for the other servers. The unspecified IPv6 address accepts IPv4 too.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(StdListener::from(socket)))
}

/// Sends small frames at once, and detects a peer that has vanished without closing.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, std::time::Duration::from_secs(KEEPALIVE_S.into()))?;
    sockopt::set_tcp_keepintvl(stream, std::time::Duration::from_secs(KEEPALIVE_S.into()))?;
    sockopt::set_tcp_user_timeout(stream, UNCONFIRMED_MS_MAX)?;
    Ok(())
}
