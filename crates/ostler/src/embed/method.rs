//! The methods of a server of one's own, and which requests each is asked about.

use wire::opcode::Opcode;

/// A method of [`ZooServer`](super::ZooServer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Data of a znode.
    GetData,
    /// Names of its children.
    GetChildren,
    /// Whether it exists.
    Exists,
    /// Its creation.
    Create,
    /// Its deletion.
    Delete,
    /// A change of its data.
    SetData,
    /// Its ACL.
    GetAcl,
    /// A change of its ACL.
    SetAcl,
    /// A client's credentials.
    Authenticate,
    /// Every request, before any other method.
    Check,
    /// A new session.
    SessionOpened,
    /// The end of a session.
    SessionClosed,
}

impl Method {
    /// All methods.
    pub const ALL: [Method; 12] = [
        Method::GetData,
        Method::GetChildren,
        Method::Exists,
        Method::Create,
        Method::Delete,
        Method::SetData,
        Method::GetAcl,
        Method::SetAcl,
        Method::Authenticate,
        Method::Check,
        Method::SessionOpened,
        Method::SessionClosed,
    ];

    /// Whether the method answers or refuses writes: only a single server may have it.
    pub fn concerns_writes(self) -> bool {
        use Method as M;
        matches!(self, M::Create | M::Delete | M::SetData | M::SetAcl | M::Check)
    }

    fn operations(self) -> &'static [Opcode] {
        use Opcode as O;
        match self {
            Method::GetData => &[O::GetData, O::Exists, O::MultiRead],
            Method::GetChildren => &[O::GetChildren, O::GetChildren2, O::MultiRead],
            Method::Exists => &[O::Exists],
            Method::Create => &[O::Create, O::Create2, O::CreateContainer, O::CreateTtl, O::Multi],
            Method::Delete => &[O::Delete, O::Multi],
            Method::SetData => &[O::SetData, O::Multi],
            Method::GetAcl => &[O::GetAcl],
            Method::SetAcl => &[O::SetAcl],
            Method::Authenticate => &[O::Auth],
            Method::Check => &[
                O::GetData,
                O::Exists,
                O::GetChildren,
                O::GetChildren2,
                O::GetAcl,
                O::MultiRead,
                O::Create,
                O::Create2,
                O::CreateContainer,
                O::CreateTtl,
                O::Delete,
                O::SetData,
                O::SetAcl,
                O::Multi,
            ],
            Method::SessionOpened | Method::SessionClosed => &[],
        }
    }
}

/// A set of methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Methods(u16);

impl Methods {
    /// No method.
    pub const NONE: Methods = Methods(0);

    /// These methods.
    pub fn of(methods: &[Method]) -> Methods {
        Methods(methods.iter().fold(0, |all, method| all | bit(*method)))
    }

    /// All methods.
    pub fn all() -> Methods {
        Methods::of(&Method::ALL)
    }

    /// Whether the method is among them.
    pub fn has(self, method: Method) -> bool {
        self.0 & bit(method) != 0
    }

    /// The methods.
    pub fn iter(self) -> impl Iterator<Item = Method> {
        Method::ALL.into_iter().filter(move |method| self.has(*method))
    }

    /// The operations that some of them are asked about.
    pub(super) fn operations(self) -> Vec<Opcode> {
        let mut operations: Vec<Opcode> =
            self.iter().flat_map(|method| method.operations()).copied().collect();
        operations.sort_unstable();
        operations.dedup();
        operations
    }
}

fn bit(method: Method) -> u16 {
    1 << method as u16
}
