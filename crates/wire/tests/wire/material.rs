//! Random field values, and one record of every kind built from them.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use wire::record::*;
use wire::{Acl, AclList, Opcode, Stat, acl};

/// Fields for one record of every kind.
#[derive(Clone, Debug)]
pub(crate) struct Material {
    pub(crate) path: String,
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) acl: Option<Vec<Acl>>,
    pub(crate) paths: Vec<String>,
    pub(crate) more_paths: Vec<String>,
    pub(crate) stat: Stat,
    pub(crate) int: i32,
    pub(crate) long: i64,
    pub(crate) flag: bool,
}

pub(crate) fn material() -> impl Strategy<Value = Material> {
    let acl =
        ("[a-z]{0,6}", ".{0,8}", any::<i32>()).prop_map(|(scheme, id, perms)| Acl::new(perms, scheme, id));
    (
        ".{0,20}",
        option::of(vec(any::<u8>(), 0..40)),
        option::of(vec(acl, 0..4)),
        vec(".{0,10}", 0..4),
        vec("[a-z/]{0,10}", 0..4),
        stat(),
        any::<i32>(),
        any::<i64>(),
        any::<bool>(),
    )
        .prop_map(|(path, data, acl, paths, more_paths, stat, int, long, flag)| Material {
            path,
            data,
            acl,
            paths,
            more_paths,
            stat,
            int,
            long,
            flag,
        })
}

fn stat() -> impl Strategy<Value = Stat> {
    (any::<[i64; 6]>(), any::<[i32; 5]>()).prop_map(|(longs, ints)| Stat {
        czxid: longs[0],
        mzxid: longs[1],
        ctime: longs[2],
        mtime: longs[3],
        version: ints[0],
        cversion: ints[1],
        aversion: ints[2],
        ephemeral_owner: longs[4],
        data_length: ints[3],
        num_children: ints[4],
        pzxid: longs[5],
    })
}

fn strs(strings: &[String]) -> impl Iterator<Item = &str> {
    strings.iter().map(String::as_str)
}

impl Material {
    fn acl_bytes(&self) -> Vec<u8> {
        let mut raw = Vec::new();
        match &self.acl {
            Some(list) => acl::encode_list(list, &mut raw),
            None => AclList::NULL.encode(&mut raw),
        }
        raw
    }

    fn kind(&self) -> ListKind {
        [ListKind::All, ListKind::PersistentOnly, ListKind::EphemeralOnly][self.int.rem_euclid(3) as usize]
    }

    /// Hands one request of every operation to `test`.
    pub(crate) fn with_requests(&self, test: impl FnOnce(&[Request<'_>])) {
        let acl = self.acl_bytes();
        let acl = AclList::from_raw(&acl).unwrap();
        let (mut some, mut others) = (Vec::new(), Vec::new());
        let some = PathList::encode_into(strs(&self.paths), &mut some);
        let others = PathList::encode_into(strs(&self.more_paths), &mut others);
        let mut requests = self.creates(acl);
        requests.extend(self.path_requests(acl));
        let mut operations = Vec::new();
        let parts = requests.iter().copied().filter(|request| request.opcode().is_multi_part());
        let multi = Multi::encode_into(parts, &mut operations);
        requests.extend([Request::Multi(multi), Request::MultiRead(multi)]);
        requests.extend(self.session_requests(some, others));
        test(&requests);
    }

    fn creates<'a>(&'a self, acl: AclList<'a>) -> Vec<Request<'a>> {
        let kinds = Opcode::ALL.iter().copied().filter(|op| op.is_create());
        kinds
            .map(|kind| {
                let ttl = (kind == Opcode::CreateTtl).then_some(self.long);
                let data = self.data.as_deref();
                Request::Create(Create { path: &self.path, data, acl, flags: self.int, ttl, kind })
            })
            .collect()
    }

    fn path_requests<'a>(&'a self, acl: AclList<'a>) -> Vec<Request<'a>> {
        let (path, watch, version) = (self.path.as_str(), self.flag, self.int);
        let (kind, limit, stat) = (self.kind(), self.int.cast_unsigned(), self.stat);
        vec![
            Request::Delete(Delete { path, version }),
            Request::Exists(Exists { path, watch }),
            Request::GetData(GetData { path, watch }),
            Request::SetData(SetData { path, data: self.data.as_deref(), version }),
            Request::GetAcl(GetAcl { path }),
            Request::SetAcl(SetAcl { path, acl, version }),
            Request::GetChildren(GetChildren { path, watch }),
            Request::Sync(Sync { path }),
            Request::GetChildren2(GetChildren2 { path, watch }),
            Request::Check(Check { path, version }),
            Request::CheckWatches(CheckWatches { path, watcher_type: version }),
            Request::RemoveWatches(RemoveWatches { path, watcher_type: version }),
            Request::DeleteContainer(DeleteContainer { path }),
            Request::GetEphemerals(GetEphemerals { prefix_path: path }),
            Request::GetAllChildrenNumber(GetAllChildrenNumber { path }),
            Request::AddWatch(AddWatch { path, mode: version }),
            Request::FilteredList(FilteredList { path, watch, kind }),
            Request::CheckNotExists(CheckNotExists { path, version }),
            Request::RemoveRecursive(RemoveRecursive { path, limit }),
            Request::CheckStat(CheckStat { path, version, stat }),
            Request::TryRemove(TryRemove { path, version }),
            Request::FilteredListWithStatsAndData(FilteredListWithStatsAndData {
                path,
                watch,
                kind,
                with_stat: !watch,
                with_data: watch,
            }),
            Request::ListRecursive(ListRecursive { path, limit }),
        ]
    }

    fn session_requests<'a>(&'a self, some: PathList<'a>, others: PathList<'a>) -> Vec<Request<'a>> {
        let data = self.data.as_deref();
        let watches = SetWatches {
            relative_zxid: self.long,
            data: some,
            exist: others,
            child: some,
            persistent: PathList::EMPTY,
            persistent_recursive: PathList::EMPTY,
            kind: Opcode::SetWatches,
        };
        let watches2 = SetWatches {
            persistent: others,
            persistent_recursive: some,
            kind: Opcode::SetWatches2,
            ..watches
        };
        let reconfig = Reconfig {
            joining_servers: self.flag.then_some(&self.path),
            leaving_servers: self.paths.first().map(String::as_str),
            new_members: self.more_paths.first().map(String::as_str),
            cur_config_id: self.long,
        };
        vec![
            Request::SetWatches(watches),
            Request::SetWatches(watches2),
            Request::Reconfig(reconfig),
            Request::Auth(Auth { auth_type: self.int, scheme: &self.path, auth: data }),
            Request::Sasl(Sasl { token: data }),
            Request::Ping,
            Request::WhoAmI,
            Request::CloseSession,
        ]
    }

    /// Hands one reply of every shape to `test`, each with an operation that has such a reply.
    pub(crate) fn with_replies(&self, test: impl FnOnce(&[(Opcode, Reply<'_>)])) {
        let acl = self.acl_bytes();
        let (mut names, mut stats, mut data, mut clients, mut results) = Default::default();
        let children = PathList::encode_into(strs(&self.paths), &mut names);
        let stats = List::encode_into(self.paths.iter().map(|_| self.stat), &mut stats);
        let data = List::encode_into(self.paths.iter().map(|_| self.data.as_deref()), &mut data);
        let who = strs(&self.paths).map(|scheme| ClientInfo { auth_scheme: scheme, user: &self.path });
        let who = List::encode_into(who, &mut clients);
        let listing = FilteredListWithStatsAndDataReply { children, stat: self.stat, stats, data };
        let results = MultiReply::encode_into(self.results(listing), &mut results);
        let stat = self.stat;
        let one = GetDataReply { data: self.data.as_deref(), stat };
        let acl = AclList::from_raw(&acl).unwrap();
        test(&[
            (Opcode::Delete, Reply::Empty),
            (Opcode::Create, Reply::Create(CreateReply { path: &self.path })),
            (Opcode::Create2, Reply::Create2(Create2Reply { path: &self.path, stat })),
            (Opcode::Exists, Reply::Exists(ExistsReply { stat })),
            (Opcode::GetData, Reply::GetData(one)),
            (Opcode::SetData, Reply::SetData(SetDataReply { stat })),
            (Opcode::GetAcl, Reply::GetAcl(GetAclReply { acl, stat })),
            (Opcode::SetAcl, Reply::SetAcl(SetAclReply { stat })),
            (Opcode::GetChildren, Reply::GetChildren(GetChildrenReply { children })),
            (Opcode::GetChildren2, Reply::GetChildren2(GetChildren2Reply { children, stat })),
            (Opcode::Sync, Reply::Sync(SyncReply { path: &self.path })),
            (Opcode::Multi, Reply::Multi(results)),
            (Opcode::Sasl, Reply::Sasl(SaslReply { token: self.data.as_deref() })),
            (Opcode::GetEphemerals, Reply::GetEphemerals(GetEphemeralsReply { ephemerals: children })),
            (
                Opcode::GetAllChildrenNumber,
                Reply::GetAllChildrenNumber(GetAllChildrenNumberReply { total_number: self.int }),
            ),
            (Opcode::AddWatch, Reply::AddWatch(ErrorReply { err: self.int })),
            (Opcode::WhoAmI, Reply::WhoAmI(WhoAmIReply { client_info: who })),
            (Opcode::FilteredListWithStatsAndData, Reply::FilteredListWithStatsAndData(listing)),
            (Opcode::ListRecursive, Reply::ListRecursive(ListRecursiveReply { paths: children })),
        ]);
    }

    /// One result of every kind.
    pub(crate) fn results<'a>(
        &'a self,
        listing: FilteredListWithStatsAndDataReply<'a>,
    ) -> [MultiResult<'a>; 18] {
        let (path, stat, children) = (self.path.as_str(), self.stat, listing.children);
        let data = self.data.as_deref();
        [
            MultiResult::Create(CreateReply { path }),
            MultiResult::Create2(Create2Reply { path, stat }),
            MultiResult::CreateIfNotExists(CreateReply { path }),
            MultiResult::Delete,
            MultiResult::SetData(SetDataReply { stat }),
            MultiResult::Check,
            MultiResult::CheckNotExists,
            MultiResult::RemoveRecursive,
            MultiResult::CheckStat,
            MultiResult::TryRemove,
            MultiResult::Exists(ExistsReply { stat }),
            MultiResult::GetData(GetDataReply { data, stat }),
            MultiResult::GetChildren(GetChildrenReply { children }),
            MultiResult::GetChildren2(GetChildren2Reply { children, stat }),
            MultiResult::FilteredList(GetChildren2Reply { children, stat }),
            MultiResult::FilteredListWithStatsAndData(listing),
            MultiResult::Error(self.int),
            MultiResult::Failed { opcode: Opcode::GetData, err: self.int | 1 },
        ]
    }
}
