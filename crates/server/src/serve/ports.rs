//! The ports for clients.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use group::GroupId;
use socket2::{Domain, Protocol, Socket, Type};

use super::StartError;
use crate::client::listener::{Listener, ListenerKind};
use crate::config::{Config, Listen};
use crate::stream::{Acceptor, ClientStreams};

/// The ports for clients, open.
pub(super) struct Ports {
    pub(super) listeners: Vec<Listener>,
    /// Where clients of the root group connect, with or without TLS; `None` if only with.
    pub(super) plain: Option<SocketAddr>,
    /// Where they connect with TLS.
    pub(super) secure: Option<SocketAddr>,
}

impl Ports {
    /// Opens the ports. Each group beside the root group has its own, which follow the client port.
    pub(super) fn open(config: &Config, acceptor: Option<&Arc<Acceptor>>) -> Result<Ports, StartError> {
        let mut ports = Ports { listeners: Vec::new(), plain: None, secure: None };
        let tls = config.tls.as_ref().zip(acceptor);
        if tls.is_none_or(|(tls, _)| !tls.is_only) {
            let unified = tls.filter(|(tls, _)| tls.is_unified);
            let streams = unified
                .map_or(ClientStreams::Plain, |(_, acceptor)| ClientStreams::Either(Arc::clone(acceptor)));
            ports.plain = Some(ports.add(config.listen, GroupId::ROOT, streams)?);
        }
        if let Some((tls, acceptor)) = tls
            && let Some(secure) = tls.port
        {
            let listen = Listen { address: secure.address, port: secure.port, ..config.listen };
            let streams = ClientStreams::Secure(Arc::clone(acceptor));
            ports.secure = Some(ports.add(listen, GroupId::ROOT, streams)?);
        }
        let first = ports.plain.map_or(config.listen.port, |address| address.port());
        for number in 1..config.groups {
            let listen = Listen { port: first.saturating_add(number), ..config.listen };
            ports.add(listen, GroupId(number.into()), ClientStreams::Plain)?;
        }
        Ok(ports)
    }

    fn add(
        &mut self,
        listen: Listen,
        group: GroupId,
        streams: ClientStreams,
    ) -> Result<SocketAddr, StartError> {
        let refused = |source| StartError::Listen { address: wanted(&listen), source };
        let (socket, address) = open_port(&listen).map_err(refused)?;
        self.listeners.push(Listener::new(socket, ListenerKind { group, streams }));
        Ok(address)
    }
}

/// The address in the configuration.
pub(super) fn wanted(listen: &Listen) -> SocketAddr {
    SocketAddr::new(listen.address, listen.port)
}

/// Opens a client port. The unspecified IPv6 address accepts IPv4 clients too, as in Java, and
/// falls back to IPv4 if the system has no IPv6.
fn open_port(listen: &Listen) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let unspecified = listen.address == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let listener = match bind(wanted(listen), listen.backlog) {
        Err(_) if unspecified => {
            bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), listen.port), listen.backlog)?
        }
        bound => bound?,
    };
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn bind(address: SocketAddr, backlog: u32) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
