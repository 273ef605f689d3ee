//! What a session reports without being asked.

use crate::connection::WatchEvent;

/// Something that happened to a session or to what it watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// A watch fired, or was removed by this client. The path is as this client knows it.
    Watch(WatchEvent),
    /// The connection is lost. The session still exists, and may expire before a server is found;
    /// until [`Self::Reconnected`] nothing is known about watched znodes.
    Disconnected {
        /// Why, as a text for people.
        reason: String,
        /// Whether the server hung up because it had refused the credentials of an
        /// [`add_auth`](crate::Client::add_auth), as servers do.
        after_refused_auth: bool,
    },
    /// The session continues. The server reports what happened to watched znodes meanwhile.
    Reconnected {
        /// The server, as `host:port`.
        server: String,
        /// Whether this follows a [`Self::Disconnected`] with the same mark.
        after_refused_auth: bool,
    },
    /// The session has expired. Nothing is reported after this.
    Expired,
    /// A server refused credentials that an earlier one had accepted, and the session was given up.
    /// Nothing is reported after this.
    AuthFailed,
}

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// There is a connection.
    Connected,
    /// As `Connected`, to a server that can only read.
    ConnectedReadOnly,
    /// The session looks for a server.
    Connecting,
    /// The session has expired.
    Expired,
    /// The session was given up because a server refused its credentials.
    AuthFailed,
    /// The session was closed by this client.
    Closed,
}

impl SessionState {
    /// Whether there is a connection.
    pub fn is_connected(self) -> bool {
        matches!(self, Self::Connected | Self::ConnectedReadOnly)
    }

    /// Whether the session has ended.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Expired | Self::AuthFailed | Self::Closed)
    }

    /// ZooKeeper's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connected => "CONNECTED",
            Self::ConnectedReadOnly => "CONNECTEDREADONLY",
            Self::Connecting => "CONNECTING",
            Self::Expired => "EXPIRED",
            Self::AuthFailed => "AUTH_FAILED",
            Self::Closed => "CLOSED",
        }
    }
}
