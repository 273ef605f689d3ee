//! What methods answer, and the records that clients get for it.

use wire::acl::{self, Acl};
use wire::opcode::Opcode;
use wire::record::{
    Create2Reply, CreateReply, ExistsReply, GetAclReply, GetChildren2Reply, GetChildrenReply, GetDataReply,
    PathList, SetDataReply,
};
use wire::stat::Stat;

use super::method::Method;

/// Data of a znode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Its `Stat`; the server fills in the length of the data.
    pub stat: Stat,
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Data {
        Data { bytes, stat: Stat::default() }
    }
}

/// The children of a znode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Children {
    /// Their names, not paths.
    pub names: Vec<String>,
    /// The `Stat` of the znode; the server fills in the number of children.
    pub stat: Stat,
}

impl From<Vec<String>> for Children {
    fn from(names: Vec<String>) -> Children {
        Children { names, stat: Stat::default() }
    }
}

/// A new znode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Created {
    /// Its path, which begins with the path that was asked for.
    pub path: String,
    /// Its `Stat`.
    pub stat: Stat,
}

impl From<String> for Created {
    fn from(path: String) -> Created {
        Created { path, stat: Stat::default() }
    }
}

/// The method has done what was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The `Stat` after it.
    pub stat: Stat,
}

/// The ACL of a znode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclList {
    /// Its entries.
    pub entries: Vec<Acl>,
    /// The `Stat` of the znode.
    pub stat: Stat,
}

/// What any method answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of `get_data`.
    Data(Data),
    /// Of `get_children`.
    Children(Children),
    /// Of `create`.
    Created(Created),
    /// Of `exists`, `delete`, `set_data` and `set_acl`.
    Done(Done),
    /// Of `get_acl`.
    Acl(AclList),
    /// Of `authenticate`: the credentials prove this identity, under the scheme of the request.
    Identity(String),
}

impl Value {
    /// Whether a method answers with such a value.
    pub(super) fn fits(&self, method: Method) -> bool {
        use Method as M;
        match self {
            Value::Data(_) => method == M::GetData,
            Value::Children(_) => method == M::GetChildren,
            Value::Created(_) => method == M::Create,
            Value::Done(_) => matches!(method, M::Exists | M::Delete | M::SetData | M::SetAcl),
            Value::Acl(_) => method == M::GetAcl,
            Value::Identity(_) => method == M::Authenticate,
        }
    }

    /// Appends the reply to a request of this operation. The value must fit the operation's method.
    pub(super) fn encode(&self, operation: Opcode, out: &mut Vec<u8>) {
        match self {
            Value::Data(Data { bytes, stat }) => {
                let stat = Stat { data_length: bytes.len() as i32, ..*stat };
                GetDataReply { data: Some(bytes), stat }.encode(out);
            }
            Value::Children(Children { names, stat }) => {
                let mut buffer = Vec::new();
                let stat = Stat { num_children: names.len() as i32, ..*stat };
                let children = PathList::encode_into(names.iter().map(String::as_str), &mut buffer);
                match operation {
                    Opcode::GetChildren => GetChildrenReply { children }.encode(out),
                    _ => GetChildren2Reply { children, stat }.encode(out),
                }
            }
            Value::Created(Created { path, stat }) => match operation {
                Opcode::Create => CreateReply { path }.encode(out),
                _ => Create2Reply { path, stat: *stat }.encode(out),
            },
            Value::Done(Done { stat }) => match operation {
                Opcode::Delete => {}
                Opcode::Exists => ExistsReply { stat: *stat }.encode(out),
                _ => SetDataReply { stat: *stat }.encode(out),
            },
            Value::Acl(AclList { entries, stat }) => {
                let mut buffer = Vec::new();
                let acl = acl::AclList::encode_into(entries, &mut buffer);
                GetAclReply { acl, stat: *stat }.encode(out);
            }
            Value::Identity(_) => {}
        }
    }
}
