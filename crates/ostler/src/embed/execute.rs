//! Requests that the built-in tree executes in the middle of a method.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};

use server::handler::Answer;
use wire::ErrorCode;
use wire::acl::AclList as AclRecord;
use wire::opcode::Opcode;
use wire::record::{
    Create, Delete, Exists, GetAcl, GetChildren2, GetData, Reply, Request as Record, SetAcl, SetData,
};

use super::request::Request;
use super::value::{AclList, Children, Created, Data, Done};
use wire::acl::Acl;

/// The result of a request to the built-in tree. `ConnectionLoss`: the client has gone, or the
/// deadline has passed, and a write may have been done or not.
pub(super) type Executed<T> = Result<T, ErrorCode>;

impl Request {
    pub(super) fn built_in_data(&self, path: &str) -> Executed<Data> {
        self.execute(&Record::GetData(GetData { path, watch: false }), |reply| match reply {
            Reply::GetData(data) => {
                Some(Data { bytes: data.data.unwrap_or_default().to_vec(), stat: data.stat })
            }
            _ => None,
        })
    }

    pub(super) fn built_in_children(&self, path: &str) -> Executed<Children> {
        self.execute(&Record::GetChildren2(GetChildren2 { path, watch: false }), |reply| match reply {
            Reply::GetChildren2(list) => {
                Some(Children { names: list.children.iter().map(str::to_owned).collect(), stat: list.stat })
            }
            _ => None,
        })
    }

    pub(super) fn built_in_exists(&self, path: &str) -> Executed<Done> {
        self.execute(&Record::Exists(Exists { path, watch: false }), |reply| match reply {
            Reply::Exists(found) => Some(Done { stat: found.stat }),
            _ => None,
        })
    }

    /// Mode, ACL and time to live are those of the request, if that creates a znode.
    pub(super) fn built_in_create(&self, path: &str, data: &[u8]) -> Executed<Created> {
        let asked = match self.record() {
            Some(Record::Create(create)) => create,
            _ => {
                Create { path, data: None, acl: AclRecord::OPEN, flags: 0, ttl: None, kind: Opcode::Create2 }
            }
        };
        // The reply of `create` has no `Stat`.
        let kind = if asked.kind == Opcode::Create { Opcode::Create2 } else { asked.kind };
        let create = Create { path, data: Some(data), kind, ..asked };
        self.execute(&Record::Create(create), |reply| match reply {
            Reply::Create2(created) => Some(Created { path: created.path.to_owned(), stat: created.stat }),
            _ => None,
        })
    }

    /// The version is that of the request, if that deletes the same znode.
    pub(super) fn built_in_delete(&self, path: &str) -> Executed<Done> {
        let version = match self.record() {
            Some(Record::Delete(delete)) if delete.path == path => delete.version,
            _ => -1,
        };
        self.execute(&Record::Delete(Delete { path, version }), |_| Some(Done::default()))
    }

    /// The version is that of the request, if that sets the data of the same znode.
    pub(super) fn built_in_set_data(&self, path: &str, data: &[u8]) -> Executed<Done> {
        let version = match self.record() {
            Some(Record::SetData(set)) if set.path == path => set.version,
            _ => -1,
        };
        self.execute(&Record::SetData(SetData { path, data: Some(data), version }), |reply| match reply {
            Reply::SetData(set) => Some(Done { stat: set.stat }),
            _ => None,
        })
    }

    pub(super) fn built_in_acl(&self, path: &str) -> Executed<AclList> {
        self.execute(&Record::GetAcl(GetAcl { path }), |reply| match reply {
            Reply::GetAcl(acl) => Some(AclList { entries: acl.acl.to_vec(), stat: acl.stat }),
            _ => None,
        })
    }

    /// The version is that of the request, if that sets the ACL of the same znode.
    pub(super) fn built_in_set_acl(&self, path: &str, acl: &[Acl]) -> Executed<Done> {
        let version = match self.record() {
            Some(Record::SetAcl(set)) if set.path == path => set.version,
            _ => -1,
        };
        let mut buffer = Vec::new();
        let acl = AclRecord::encode_into(acl, &mut buffer);
        self.execute(&Record::SetAcl(SetAcl { path, acl, version }), |reply| match reply {
            Reply::SetAcl(set) => Some(Done { stat: set.stat }),
            _ => None,
        })
    }

    fn execute<T>(&self, record: &Record<'_>, take: impl FnOnce(Reply<'_>) -> Option<T>) -> Executed<T> {
        let operation = record.opcode();
        let body = self.execute_raw(record)?;
        let reply = Reply::decode(operation, &body).ok();
        reply.and_then(take).ok_or(ErrorCode::MarshallingError)
    }

    /// The record of the reply.
    pub(super) fn execute_raw(&self, record: &Record<'_>) -> Executed<Vec<u8>> {
        let operation = record.opcode();
        if self.is_multi() && operation.is_write() {
            tracing::error!("a method that is asked about a part of a multi writes, which is refused");
            return Err(ErrorCode::Unimplemented);
        }
        let mut body = Vec::new();
        record.encode(&mut body);
        let (result, receiver) = sync_channel(1);
        self.shared.answer(self.question.id, Answer::Execute { operation, body, result });
        let handler = self.shared.handler.as_ref().ok_or(ErrorCode::SystemError)?;
        // The server drops the other end when the deadline has passed. This is for its end.
        let patience = handler.deadline() * 2;
        match receiver.recv_timeout(patience) {
            Ok(executed) if executed.code == 0 => Ok(executed.body),
            Ok(executed) => Err(ErrorCode::from_i32(executed.code).unwrap_or(ErrorCode::SystemError)),
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => Err(ErrorCode::ConnectionLoss),
        }
    }
}
