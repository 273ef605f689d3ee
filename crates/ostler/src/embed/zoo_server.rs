//! The methods that a program implements.

use wire::ErrorCode;
use wire::acl::Acl;

use super::call::Call;
use super::calling;
use super::handler::Handler;
use super::method::Methods;
use super::request::Request;
use super::value::{AclList, Children, Created, Data, Done};

/// What a method says: a value for the client, `None` to let the built-in tree go on, or the
/// client's error.
pub type Answer<T> = Result<Option<T>, ErrorCode>;

/// A server of one's own. Each method lets the built-in tree go on unless it is implemented.
#[expect(unused_variables, reason = "the names document the methods")]
pub trait ZooServer: Send + Sync + 'static {
    /// The methods that are implemented. The others are never called, and requests that concern
    /// none of these are as fast as without them.
    fn methods(&self) -> Methods {
        Methods::all()
    }

    /// A client reads data.
    fn get_data(&self, call: &Call<'_>, path: &str) -> Answer<Data> {
        Ok(None)
    }

    /// A client lists children.
    fn get_children(&self, call: &Call<'_>, path: &str) -> Answer<Children> {
        Ok(None)
    }

    /// A client asks whether a znode exists: `NoNode` if not. What `get_data` knows exists.
    fn exists(&self, call: &Call<'_>, path: &str) -> Answer<Done> {
        let data = self.get_data(call, path)?;
        Ok(data.map(|Data { bytes, mut stat }| {
            stat.data_length = bytes.len() as i32;
            Done { stat }
        }))
    }

    /// A client creates a znode.
    fn create(&self, call: &Call<'_>, path: &str, data: &[u8]) -> Answer<Created> {
        Ok(None)
    }

    /// A client deletes a znode.
    fn delete(&self, call: &Call<'_>, path: &str) -> Answer<Done> {
        Ok(None)
    }

    /// A client sets data.
    fn set_data(&self, call: &Call<'_>, path: &str, data: &[u8]) -> Answer<Done> {
        Ok(None)
    }

    /// A client reads an ACL.
    fn get_acl(&self, call: &Call<'_>, path: &str) -> Answer<AclList> {
        Ok(None)
    }

    /// A client sets an ACL.
    fn set_acl(&self, call: &Call<'_>, path: &str, acl: &[Acl]) -> Answer<Done> {
        Ok(None)
    }

    /// A client shows credentials under a scheme: the identity that they prove, `AuthFailed` if
    /// none. The client then has this identity, for methods to look at; ACLs may name it only if it
    /// is of a scheme that the server knows.
    fn authenticate(&self, call: &Call<'_>, scheme: &str, credentials: &[u8]) -> Answer<String> {
        Ok(None)
    }

    /// A client asks for anything; called before the request's own method, for each part of a
    /// `multi`. An error refuses the request.
    ///
    /// # Errors
    /// What the client gets.
    fn check(&self, call: &Call<'_>) -> Result<(), ErrorCode> {
        Ok(())
    }

    /// A client has opened a session.
    fn session_opened(&self, session: i64) {}

    /// A session has been closed or has expired.
    fn session_closed(&self, session: i64) {}
}

/// Calls the methods of a [`ZooServer`].
pub(super) struct Calls<Z>(pub(super) Z);

impl<Z: ZooServer> Handler for Calls<Z> {
    fn methods(&self) -> Methods {
        self.0.methods()
    }

    fn handle(&self, request: Request) {
        let methods = self.0.methods();
        request.answer_parts(&mut |subject| calling::ask(&self.0, methods, &request, subject));
    }

    fn session_opened(&self, session: i64) {
        self.0.session_opened(session);
    }

    fn session_closed(&self, session: i64) {
        self.0.session_closed(session);
    }
}
