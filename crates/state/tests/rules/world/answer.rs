//! Converting replies to text.

use wire::code::ErrorCode;
use wire::opcode::Opcode;
use wire::record::{MultiResult, Reply};
use wire::stat::Stat;

/// The reply in the format of scripts: the name of a code other than `Ok`, otherwise the content of
/// the body.
pub(crate) fn answer(opcode: Opcode, code: ErrorCode, body: &[u8]) -> String {
    if code != ErrorCode::Ok {
        assert!(body.is_empty(), "a refusal has no body");
        return code.name().to_owned();
    }
    match Reply::decode(opcode, body).expect("a reply that clients can decode") {
        Reply::Empty => "ok".to_owned(),
        Reply::Create(reply) => reply.path.to_owned(),
        Reply::Create2(reply) => format!("{} {}", reply.path, stat(&reply.stat)),
        Reply::Exists(reply) => stat(&reply.stat),
        Reply::GetData(reply) if opcode == Opcode::Reconfig => {
            format!("{} {}", data(reply.data), stat(&reply.stat))
        }
        Reply::GetData(reply) => data(reply.data),
        Reply::SetData(reply) => format!("v{}", reply.stat.version),
        Reply::SetAcl(reply) => format!("a{}", reply.stat.aversion),
        Reply::GetAcl(reply) => {
            let entries = reply.acl.iter().map(|(perms, scheme, id)| {
                let letters: String = "rwcda"
                    .chars()
                    .enumerate()
                    .filter(|(bit, _)| perms >> bit & 1 == 1)
                    .map(|(_, c)| c)
                    .collect();
                format!("{scheme}:{id}:{letters}")
            });
            entries.collect::<Vec<_>>().join(",")
        }
        Reply::GetChildren(reply) => names(reply.children),
        Reply::GetChildren2(reply) => format!("{} c{}", names(reply.children), reply.stat.cversion),
        Reply::GetEphemerals(reply) => names(reply.ephemerals),
        Reply::ListRecursive(reply) => names(reply.paths),
        Reply::GetAllChildrenNumber(reply) => reply.total_number.to_string(),
        Reply::WhoAmI(reply) => {
            let who = reply.client_info.iter().map(|info| format!("{}:{}", info.auth_scheme, info.user));
            who.collect::<Vec<_>>().join(" ")
        }
        Reply::FilteredListWithStatsAndData(reply) => {
            let stats: Vec<_> = reply.stats.iter().map(|stat| format!("v{}", stat.version)).collect();
            let contents: Vec<_> = reply.data.iter().map(data).collect();
            format!("{} {stats:?} {contents:?}", names(reply.children))
        }
        Reply::Multi(reply) => reply.iter().map(result).collect::<Vec<_>>().join(" | "),
        other => panic!("no text for {other:?}"),
    }
}

fn result(result: MultiResult<'_>) -> String {
    match result {
        MultiResult::Create(reply) | MultiResult::CreateIfNotExists(reply) => reply.path.to_owned(),
        MultiResult::Create2(reply) => format!("{} {}", reply.path, stat(&reply.stat)),
        MultiResult::SetData(reply) => format!("v{}", reply.stat.version),
        MultiResult::GetData(reply) => data(reply.data),
        MultiResult::GetChildren(reply) => names(reply.children),
        MultiResult::Exists(reply) => stat(&reply.stat),
        MultiResult::Error(code) | MultiResult::Failed { err: code, .. } => {
            ErrorCode::from_i32(code).expect("a code").name().to_owned()
        }
        MultiResult::Delete
        | MultiResult::Check
        | MultiResult::CheckNotExists
        | MultiResult::RemoveRecursive
        | MultiResult::CheckStat
        | MultiResult::TryRemove => "ok".to_owned(),
        other => panic!("no text for {other:?}"),
    }
}

fn data(data: Option<&[u8]>) -> String {
    data.map_or("null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    format!("[{}]", names.into_iter().collect::<Vec<_>>().join(" "))
}

/// zxids of creation, data and children; versions of data, children and ACL; owner, length, number
/// of children.
fn stat(stat: &Stat) -> String {
    let Stat { czxid, mzxid, pzxid, version, cversion, aversion, .. } = stat;
    let (owner, length, children) = (stat.ephemeral_owner, stat.data_length, stat.num_children);
    format!("z{czxid}/{mzxid}/{pzxid} v{version}/{cversion}/{aversion} o{owner} l{length} n{children}")
}
