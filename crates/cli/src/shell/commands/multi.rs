//! Many operations in one request, line by line.

use serde_json::{Value, json};
use wire::record::{Check, Delete, GetChildren, GetData, MultiResult, Reply, Request, SetData};
use wire::{AclList, ErrorCode};

use super::data::{CREATE_OPTIONS, Creation, SET_OPTIONS, VERSION_OPTION, creation, data_operand, version};
use super::{Outcome, Spec, path_operand};
use crate::shell::Shell;
use crate::shell::bytes;
use crate::shell::failure::{self, Failure};
use crate::shell::input::Line;
use crate::shell::options::{Opt, Parsed};
use crate::shell::output::{Output, list};
use crate::shell::session::{Answer, Session, create_request};
use crate::shell::target::Target;
use crate::shell::words;

pub(super) const SPECS: &[Spec] = &[Spec {
    name: "multi",
    usage: "",
    about: "Reads operations, one on a line, up to 'commit' or 'abort', and executes them all or none: create, set, \
            delete, check [-v version] path. Or only reads, each with its own result: get path, ls path.",
    json: "results (list of {op, path} or of {error, code}; get adds data, encoding, ls adds children)",
    options: &[],
    operands: 0..=0,
    run: multi,
}];

/// One operation, as typed.
enum Operation {
    Create(Creation),
    Set { path: String, data: Vec<u8>, version: i32 },
    Delete { path: String, version: i32 },
    Check { path: String, version: i32 },
    Get { path: String },
    List { path: String },
}

impl Operation {
    fn parse(shell: &mut Shell, words: &[String]) -> Result<Self, Failure> {
        let (name, rest) = words.split_first().expect("the caller skips empty lines");
        let (options, operands): (&[Opt], _) = match name.as_str() {
            "create" => (CREATE_OPTIONS, 1..=3),
            "set" => (SET_OPTIONS, 2..=2),
            "delete" | "check" => (VERSION_OPTION, 1..=2),
            "get" | "ls" => (&[], 1..=1),
            _ => return Err(Failure::Usage(format!("'{name}' cannot stand in a multi; 'help multi'"))),
        };
        let parsed = Parsed::new(rest, options)?;
        if !operands.contains(&parsed.operands.len()) {
            return Err(Failure::Usage(format!("wrong number of arguments for {name}")));
        }
        if name == "create" {
            return creation(shell, &parsed).map(Self::Create);
        }
        let path = path_operand(&parsed, 0)?.to_owned();
        Ok(match name.as_str() {
            "set" => {
                let data = data_operand(shell, &parsed, parsed.operand(1).unwrap_or_default())?;
                Self::Set { path, data, version: version(&parsed, 2)? }
            }
            "delete" => Self::Delete { path, version: version(&parsed, 1)? },
            "check" => Self::Check { path, version: version(&parsed, 1)? },
            "get" => Self::Get { path },
            _ => Self::List { path },
        })
    }

    fn is_read(&self) -> bool {
        matches!(self, Self::Get { .. } | Self::List { .. })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Set { .. } => "set",
            Self::Delete { .. } => "delete",
            Self::Check { .. } => "check",
            Self::Get { .. } => "get",
            Self::List { .. } => "ls",
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Create(Creation { path, .. })
            | Self::Set { path, .. }
            | Self::Delete { path, .. }
            | Self::Check { path, .. }
            | Self::Get { path }
            | Self::List { path } => path,
        }
    }

    /// The request, of the path as the server knows it. `acl` is that of a create, encoded.
    fn request<'a>(&'a self, path: &'a str, acl: AclList<'a>) -> Request<'a> {
        match self {
            Self::Create(creation) => create_request(path, creation.data.as_deref(), acl, creation.mode),
            Self::Set { data, version, .. } => {
                Request::SetData(SetData { path, data: Some(data), version: *version })
            }
            Self::Delete { version, .. } => Request::Delete(Delete { path, version: *version }),
            Self::Check { version, .. } => Request::Check(Check { path, version: *version }),
            Self::Get { .. } => Request::GetData(GetData { path, watch: false }),
            Self::List { .. } => Request::GetChildren(GetChildren { path, watch: false }),
        }
    }
}

fn multi(shell: &mut Shell, _: &Parsed) -> Outcome {
    let Some(operations) = read(shell)? else { return Ok(Output::default().line("aborted")) };
    let reads = operations.iter().filter(|operation| operation.is_read()).count();
    if reads != 0 && reads != operations.len() {
        return Err(Failure::Usage("a multi has either reads or writes, not both".to_owned()));
    }
    let session = shell.session()?;
    let answer = send(&session, &operations, reads != 0)?;
    let Reply::Multi(reply) = answer.reply()? else { unreachable!("a multi is answered by a multi") };
    if reads == 0 {
        refusal(&operations, reply.iter())?;
    }
    let mut output = Output::default();
    let mut results = Vec::new();
    for (operation, result) in operations.iter().zip(reply.iter()) {
        let (line, object) = show(shell, session.target(), operation, &result);
        output = output.line(line);
        results.push(object);
    }
    Ok(output.field("results", results))
}

/// The operations up to `commit`, or nothing after `abort`. A line that cannot be understood makes
/// the whole multi fail, but only after its last line was read: what follows it must not be taken
/// for commands.
fn read(shell: &mut Shell) -> Result<Option<Vec<Operation>>, Failure> {
    let mut operations = Ok(Vec::new());
    loop {
        let line = match shell.read_line("multi> ")? {
            Line::Text(line) => line,
            Line::Interrupted => return Ok(None),
            Line::End => return Err(Failure::Usage("the multi has no 'commit'".to_owned())),
        };
        let words = words::split(&line).map_err(Failure::Usage);
        match words.as_deref() {
            Ok([]) => {}
            Ok([only]) if only == "commit" => return operations.map(Some),
            Ok([only]) if only == "abort" => return Ok(None),
            Ok(words) => {
                if let Ok(list) = &mut operations {
                    match Operation::parse(shell, words) {
                        Ok(operation) => list.push(operation),
                        Err(failure) => operations = Err(failure),
                    }
                }
            }
            Err(_) => operations = operations.and_then(|_| Err(words.expect_err("it was matched"))),
        }
    }
}

fn send(session: &Session, operations: &[Operation], only_reads: bool) -> Result<Answer, Failure> {
    let mut acls = Vec::new();
    for operation in operations {
        let mut buffer = Vec::new();
        if let Operation::Create(creation) = operation {
            AclList::encode_into(&creation.acl, &mut buffer);
        }
        acls.push(buffer);
    }
    let paths: Vec<_> = operations.iter().map(|operation| session.target().full(operation.path())).collect();
    let acl = |raw| AclList::from_raw(raw).unwrap_or(AclList::OPEN);
    let requests: Vec<Request<'_>> = operations
        .iter()
        .zip(paths.iter().zip(&acls))
        .map(|(operation, (path, raw))| operation.request(path, acl(raw)))
        .collect();
    session.multi(&requests, only_reads)
}

/// The refusal of the one operation that made the whole multi fail.
fn refusal<'r>(
    operations: &[Operation],
    results: impl Iterator<Item = MultiResult<'r>>,
) -> Result<(), Failure> {
    let unimportant = [ErrorCode::Ok as i32, ErrorCode::RuntimeInconsistency as i32];
    for (index, (operation, result)) in operations.iter().zip(results).enumerate() {
        if let Some(code) = result.error()
            && !unimportant.contains(&code)
        {
            let plain = Failure::Refused { code, path: None, message: None };
            let why = plain.json()["message"].as_str().unwrap_or_default().to_owned();
            let message = format!(
                "operation {}, {} {}: {why}; none was executed",
                index + 1,
                operation.name(),
                operation.path()
            );
            return Err(Failure::Refused {
                code,
                path: Some(operation.path().to_owned()),
                message: Some(message),
            });
        }
    }
    Ok(())
}

/// One result for people and for scripts.
fn show(shell: &Shell, target: &Target, operation: &Operation, result: &MultiResult<'_>) -> (String, Value) {
    let style = shell.style;
    let (name, path) = (operation.name(), operation.path());
    let mut object = json!({ "op": name, "path": path });
    let line = match result {
        MultiResult::Error(code) | MultiResult::Failed { err: code, .. } => {
            let error = failure::name(*code);
            let line = format!("{name} {}: {}", style.path(path), style.error(&error));
            object["error"] = json!(error);
            object["code"] = json!(code);
            line
        }
        MultiResult::Create(_) | MultiResult::Create2(_) => {
            let created = match result {
                MultiResult::Create(reply) => reply.path,
                MultiResult::Create2(reply) => reply.path,
                _ => unreachable!("only creates are matched"),
            };
            let created = target.shown(created);
            object["path"] = json!(created);
            format!("Created {}", style.path(created))
        }
        MultiResult::GetData(reply) => {
            let fields = Output::default().data_field(reply.data, false).json;
            object.as_object_mut().expect("it was made as one").extend(fields);
            let data = reply.data.map_or("null".into(), |data| bytes::readable(data, style.colours));
            format!("{name} {}: {data}", style.path(path))
        }
        MultiResult::GetChildren(reply) => {
            let mut names: Vec<String> = reply.children.iter().map(str::to_owned).collect();
            names.sort_unstable();
            let line = format!("{name} {}: {}", style.path(path), list(&names, style));
            object["children"] = json!(names);
            line
        }
        _ => format!("{name} {}: ok", style.path(path)),
    };
    (line, object)
}
