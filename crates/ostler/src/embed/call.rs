//! What a method knows of the request it is asked about, and what it can do meanwhile.

use std::net::SocketAddr;

use wire::ErrorCode;
use wire::acl::Acl;

use super::request::Request;
use super::subject::Subject;
use super::value::{AclList, Children, Created, Data, Done};

/// One call of a method. Its functions let the built-in tree execute something for the client in
/// between, with the client's rights.
///
/// They fail with the error that the client would get; with `ConnectionLoss` if the client has gone
/// or the deadline has passed, after which a write may have been done or not; and writes fail with
/// `Unimplemented` in a `multi`, whose parts cannot be done one by one.
#[derive(Debug)]
pub struct Call<'r> {
    request: &'r Request,
    subject: &'r Subject<'r>,
}

impl<'r> Call<'r> {
    /// A call about one part of a request, or about all of it.
    pub fn new(request: &'r Request, subject: &'r Subject<'r>) -> Call<'r> {
        Call { request, subject }
    }

    /// What the client asks for.
    pub fn subject(&self) -> &Subject<'r> {
        self.subject
    }

    /// The version that the znode must have; -1 for any.
    pub fn version(&self) -> i32 {
        self.subject.version
    }

    /// The client's session.
    pub fn session(&self) -> i64 {
        self.request.session()
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.request.peer()
    }

    /// Who the client is: schemes and ids, as in ACLs.
    pub fn identities(&self) -> impl Iterator<Item = (&str, &str)> {
        self.request.identities()
    }

    /// Whether this is a part of a `multi`.
    pub fn is_in_multi(&self) -> bool {
        self.request.is_multi()
    }

    /// Reads data.
    ///
    /// # Errors
    /// See [`Call`].
    pub fn get_data(&self, path: &str) -> Result<Data, ErrorCode> {
        self.request.built_in_data(path)
    }

    /// Reads the names of children.
    ///
    /// # Errors
    /// See [`Call`].
    pub fn get_children(&self, path: &str) -> Result<Children, ErrorCode> {
        self.request.built_in_children(path)
    }

    /// Whether there is a znode.
    ///
    /// # Errors
    /// `NoNode` if not, and see [`Call`].
    pub fn exists(&self, path: &str) -> Result<Done, ErrorCode> {
        self.request.built_in_exists(path)
    }

    /// Creates a znode: as the client asked for one, else a persistent one that is open to all.
    ///
    /// # Errors
    /// See [`Call`].
    pub fn create(&self, path: &str, data: &[u8]) -> Result<Created, ErrorCode> {
        self.request.built_in_create(path, data)
    }

    /// Deletes a znode; the one that the client asked for, only in the version it named.
    ///
    /// # Errors
    /// See [`Call`].
    pub fn delete(&self, path: &str) -> Result<Done, ErrorCode> {
        self.request.built_in_delete(path)
    }

    /// Sets data; of the znode that the client asked for, only in the version it named.
    ///
    /// # Errors
    /// See [`Call`].
    pub fn set_data(&self, path: &str, data: &[u8]) -> Result<Done, ErrorCode> {
        self.request.built_in_set_data(path, data)
    }

    /// Reads an ACL.
    ///
    /// # Errors
    /// See [`Call`].
    pub fn get_acl(&self, path: &str) -> Result<AclList, ErrorCode> {
        self.request.built_in_acl(path)
    }

    /// Sets an ACL; of the znode that the client asked for, only in the version it named.
    ///
    /// # Errors
    /// See [`Call`].
    pub fn set_acl(&self, path: &str, acl: &[Acl]) -> Result<Done, ErrorCode> {
        self.request.built_in_set_acl(path, acl)
    }
}
