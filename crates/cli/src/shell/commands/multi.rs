//! Many operations in one request, line by line.

use client::Error;
use client::session::{Operation, OperationResult, ReadOperation, ReadResult};
use serde_json::{Value, json};

use super::data::{CREATE_OPTIONS, Creation, SET_OPTIONS, VERSION_OPTION, creation, data_operand, version};
use super::{Outcome, Spec, path_operand};
use crate::shell::Shell;
use crate::shell::bytes;
use crate::shell::failure::{self, Failure};
use crate::shell::input::Line;
use crate::shell::options::{Opt, Parsed};
use crate::shell::output::{Output, list};
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
enum Step {
    Create(Creation),
    Set { path: String, data: Vec<u8>, version: i32 },
    Delete { path: String, version: i32 },
    Check { path: String, version: i32 },
    Get { path: String },
    List { path: String },
}

impl Step {
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

    /// It as a write; `None` if it is a read.
    fn write(&self) -> Option<Operation<'_>> {
        match self {
            Self::Create(Creation { path, data, acl, mode }) => {
                Some(Operation::Create { path, data: data.as_deref(), acl, mode: *mode })
            }
            Self::Set { path, data, version } => {
                Some(Operation::SetData { path, data: Some(data), version: *version })
            }
            Self::Delete { path, version } => Some(Operation::Delete { path, version: *version }),
            Self::Check { path, version } => Some(Operation::Check { path, version: *version }),
            Self::Get { .. } | Self::List { .. } => None,
        }
    }

    /// It as a read; `None` if it is a write.
    fn read(&self) -> Option<ReadOperation<'_>> {
        match self {
            Self::Get { path } => Some(ReadOperation::GetData(path)),
            Self::List { path } => Some(ReadOperation::GetChildren(path)),
            _ => None,
        }
    }
}

fn multi(shell: &mut Shell, _: &Parsed) -> Outcome {
    let Some(steps) = read(shell)? else { return Ok(Output::default().line("aborted")) };
    let reads: Vec<_> = steps.iter().filter_map(Step::read).collect();
    let writes: Vec<_> = steps.iter().filter_map(Step::write).collect();
    if !reads.is_empty() && !writes.is_empty() {
        return Err(Failure::Usage("a multi has either reads or writes, not both".to_owned()));
    }
    let session = shell.session()?;
    let shown: Vec<(String, Value)> = if reads.is_empty() {
        let results = session.multi(&writes).map_err(|error| refusal(&steps, error))?;
        steps.iter().zip(&results).map(|(step, result)| show_write(shell, step, result)).collect()
    } else {
        let results = session.multi_read(&reads)?;
        steps.iter().zip(&results).map(|(step, result)| show_read(shell, step, result)).collect()
    };
    let mut output = Output::default();
    let mut objects = Vec::new();
    for (line, object) in shown {
        output = output.line(line);
        objects.push(object);
    }
    Ok(output.field("results", objects))
}

/// The operations up to `commit`, or nothing after `abort`. A line that cannot be understood makes
/// the whole multi fail, but only after its last line was read: what follows it must not be taken
/// for commands.
fn read(shell: &mut Shell) -> Result<Option<Vec<Step>>, Failure> {
    let mut steps = Ok(Vec::new());
    loop {
        let line = match shell.read_line("multi> ")? {
            Line::Text(line) => line,
            Line::Interrupted => return Ok(None),
            Line::End => return Err(Failure::Usage("the multi has no 'commit'".to_owned())),
        };
        let words = words::split(&line).map_err(Failure::Usage);
        match words.as_deref() {
            Ok([]) => {}
            Ok([only]) if only == "commit" => return steps.map(Some),
            Ok([only]) if only == "abort" => return Ok(None),
            Ok(words) => {
                if let Ok(list) = &mut steps {
                    match Step::parse(shell, words) {
                        Ok(step) => list.push(step),
                        Err(failure) => steps = Err(failure),
                    }
                }
            }
            Err(_) => steps = steps.and_then(|_| Err(words.expect_err("it was matched"))),
        }
    }
}

/// The failure of a multi, which names the operation that was refused.
fn refusal(steps: &[Step], error: Error) -> Failure {
    let Error::MultiRefused { index, code, path } = error else { return error.into() };
    let plain = Failure::Refused { code, path: None, message: None };
    let why = plain.json()["message"].as_str().unwrap_or_default().to_owned();
    let name = steps[index].name();
    let message = format!("operation {}, {name} {path}: {why}; none was executed", index + 1);
    Failure::Refused { code, path: Some(path), message: Some(message) }
}

/// The result of a write for people and for scripts.
fn show_write(shell: &Shell, step: &Step, result: &OperationResult) -> (String, Value) {
    let (style, name) = (shell.style, step.name());
    match result {
        OperationResult::Created(path) => {
            (format!("Created {}", style.path(path)), json!({ "op": name, "path": path }))
        }
        _ => {
            let path = step.path();
            (format!("{name} {}: ok", style.path(path)), json!({ "op": name, "path": path }))
        }
    }
}

/// The result of a read for people and for scripts.
fn show_read(shell: &Shell, step: &Step, result: &Result<ReadResult, Error>) -> (String, Value) {
    let style = shell.style;
    let (name, path) = (step.name(), step.path());
    let mut object = json!({ "op": name, "path": path });
    let what = match result {
        Ok(ReadResult::Data(data, _)) => {
            let fields = Output::default().data_field(data.as_deref(), false).json;
            object.as_object_mut().expect("it was created as one").extend(fields);
            data.as_deref().map_or("null".into(), |data| bytes::readable(data, style.colours).into_owned())
        }
        Ok(ReadResult::Children(names)) => {
            object["children"] = json!(names);
            list(names, style)
        }
        Err(Error::Refused { code, .. }) => {
            let error = failure::name(*code);
            object["error"] = json!(error);
            object["code"] = json!(code);
            style.error(&error)
        }
        Err(error) => style.error(&error.to_string()),
    };
    (format!("{name} {}: {what}", style.path(path)), object)
}
