//! `ostler config`: values with a history, and files rendered from them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ostler_tests::process::{Kind, Server, Signal, ostler_binary};
use ostler_tests::session::{Session, create, set_data};
use ostler_tests::waiting::await_that;
use serde_json::{Value, json};

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

const ROOT: &str = "/config/shop";

fn command(server: &Server, words: &[&str]) -> Command {
    let mut command = Command::new(ostler_binary());
    command.arg("config").args(words).arg("-s").arg(server.address().to_string());
    command
}

fn run(server: &Server, words: &[&str]) -> Output {
    command(server, words).output().expect("ostler runs")
}

/// What a command that succeeds prints.
fn done(server: &Server, words: &[&str]) -> String {
    let output = run(server, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The exit code and the message of a command that fails.
fn failed(server: &Server, words: &[&str]) -> (i32, String) {
    let output = run(server, words);
    let code = output.status.code().expect("an exit code");
    assert_ne!(code, 0, "{words:?}: {}", String::from_utf8_lossy(&output.stdout));
    (code, String::from_utf8(output.stderr).expect("text"))
}

fn set(server: &Server, pairs: &[&str]) {
    done(server, &[&["set", ROOT], pairs].concat());
}

/// A command that runs until it is stopped.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("ostler runs");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("its output"));
        // Ends with the process.
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line")
    }

    fn event(&self) -> Value {
        serde_json::from_str(&self.line()).expect("JSON")
    }

    /// Stops it as an operator does, and returns its exit code.
    fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::TERM).expect("signal it");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something that a process does.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    await_that(PATIENCE, what, || is_so().then_some(()));
}

/// A folder with a template.
struct Files {
    folder: tempfile::TempDir,
    target: PathBuf,
    reloads: PathBuf,
}

impl Files {
    fn new(template: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("template"), template).expect("a template");
        let (target, reloads) = (folder.path().join("target"), folder.path().join("reloads"));
        Self { folder, target, reloads }
    }

    fn pair(&self) -> String {
        format!("{}:{}", self.folder.path().join("template").display(), self.target.display())
    }

    /// Notes each reload with what the target holds then.
    fn reload(&self) -> String {
        format!("cat {} >> {}", self.target.display(), self.reloads.display())
    }

    fn content(&self) -> String {
        fs::read_to_string(&self.target).unwrap_or_default()
    }

    /// The files beside template, target and reloads.
    fn others(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.folder.path()).expect("the folder");
        let paths = all.map(|entry| entry.expect("an entry").path());
        let known =
            |path: &PathBuf| ["template", "target", "reloads"].iter().any(|name| path.ends_with(name));
        paths.filter(|path| !known(path)).collect()
    }
}

fn server() -> Server {
    Server::start_with(Kind::Ostler, &[]).expect("the server")
}

#[test]
fn values_are_set_read_explained_and_rolled_back() {
    let server = server();
    let first = done(&server, &["set", ROOT, "size=8", "name=a = b", "-m", "the first", "--by", "alice"]);
    assert!(first.starts_with("revision 1, 20") && first.contains("change by alice: the first\n"), "{first}");
    assert!(first.ends_with("+name=a = b\n+size=8\n"), "{first}");
    assert_eq!(done(&server, &["get", ROOT, "size"]), "8\n");
    assert_eq!(done(&server, &["get", ROOT]), "name=a = b\nsize=8\n");
    assert_eq!(done(&server, &["set", ROOT, "size=8"]), "there is nothing to change\n");
    set(&server, &["size=9", "--unset", "name", "--at", "1"]);
    let got: Value = serde_json::from_str(&done(&server, &["get", ROOT, "--json"])).expect("JSON");
    assert_eq!(got, json!({ "revision": 2, "values": { "size": "9" } }));

    let history = done(&server, &["history", ROOT, "--json"]);
    let lines: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&lines[0]["revision"], &lines[1]["author"]), (&json!(2), &json!("alice")));
    assert_eq!(lines[0]["changes"]["size"], json!({ "before": "8", "after": "9" }));
    assert_eq!(done(&server, &["history", ROOT, "--diff", "1", "2"]), "-name=a = b\n-size=8\n+size=9\n");
    assert_eq!(done(&server, &["get", ROOT, "--revision", "1", "size"]), "8\n");

    let shown = done(&server, &["rollback", ROOT, "1", "--dry-run"]);
    assert_eq!(shown, "+name=a = b\n-size=9\n+size=8\n");
    assert!(done(&server, &["rollback", ROOT, "1"]).contains("rollback to 1 by "));
    assert_eq!(done(&server, &["get", ROOT]), "name=a = b\nsize=8\n");
}

#[test]
fn exit_codes_tell_what_is_wrong() {
    let server = server();
    set(&server, &["size=8"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let schema = file("schema", r#"{"keys":{"size":{"type":"integer","min":1,"max":9}}}"#);
    done(&server, &["schema", ROOT, "--set", &schema]);
    let wrong = file("wrong", r#"{"keys":{"size":{"type":"colour"}}}"#);
    let values = file("values", r#"{"size":7,"list":[1,2],"text":"x"}"#);
    done(&server, &["set", ROOT, "--from", &values]);
    assert_eq!(done(&server, &["get", ROOT]), "list=[1,2]\nsize=7\ntext=x\n");
    for (words, code, message) in [
        (&["get", ROOT, "none"][..], 3, "there is no key none"),
        (&["rollback", ROOT, "9"], 3, "revision 9 is not kept"),
        (&["set", ROOT, "size=10"], 4, "size cannot be \"10\": a whole number from 1 to 9"),
        (&["set", ROOT, "a/b=1"], 4, "letters, digits"),
        (&["schema", ROOT, "--set", &wrong], 4, "colour"),
        (&["rollout", "promote", ROOT], 4, "no rollout is under way"),
        (&["set", ROOT, "size=1", "--at", "1"], 5, "has revision 3, not 1"),
        (&["set", ROOT, "--from", "/none"], 1, "No such file"),
        (&["get", "shop"], 4, "begin with a slash"),
        (&["set", ROOT, "size"], 2, "expected KEY=VALUE"),
        (&["render", ROOT, "a:"], 2, "TEMPLATE:TARGET"),
    ] {
        let (actual, text) = failed(&server, words);
        assert!(actual == code && text.contains(message), "{words:?}: {actual} {text}");
    }
    let nowhere = ["config", "get", ROOT, "-s", "127.0.0.1:1", "--timeout", "1000"];
    let output = Command::new(ostler_binary()).args(nowhere).output().expect("ostler runs");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_rollout_goes_from_a_share_to_all() {
    let server = server();
    set(&server, &["a=old"]);
    done(&server, &["rollout", "start", ROOT, "--percent", "0", "a=new"]);
    let seen = || done(&server, &["get", ROOT, "a", "--subscriber", "host-1"]);
    assert_eq!(seen(), "old\n");
    done(&server, &["rollout", "share", ROOT, "--percent", "100"]);
    assert_eq!((seen(), done(&server, &["get", ROOT, "a"])), ("new\n".to_owned(), "old\n".to_owned()));
    let shown = done(&server, &["rollout", "show", ROOT, "--subscriber", "host-1"]);
    assert!(shown.contains("this subscriber sees it\n-a=old\n+a=new\n"), "{shown}");
    done(&server, &["rollout", "promote", ROOT]);
    assert_eq!(done(&server, &["get", ROOT, "a"]), "new\n");
    done(&server, &["rollout", "start", ROOT, "--percent", "1", "a=newer"]);
    done(&server, &["rollout", "abort", ROOT]);
    assert_eq!(done(&server, &["rollout", "show", ROOT, "--json"]), "{\"included\":null,\"rollout\":null}\n");
}

#[test]
fn a_watch_prints_each_change() {
    let server = server();
    let watch = Running::start(&mut command(&server, &["watch", ROOT, "a", "--json"]));
    assert_eq!(watch.event(), json!({ "revision": 0, "values": {}, "changes": {} }));
    set(&server, &["a=1", "b=1"]);
    let event = watch.event();
    assert_eq!((&event["revision"], &event["values"]), (&json!(1), &json!({ "a": "1" })));
    set(&server, &["b=2"]);
    set(&server, &["a=2"]);
    assert_eq!(watch.event()["changes"], json!({ "a": { "before": "1", "after": "2" } }));
    assert_eq!(watch.stop(), Some(0));
    let once = Running::start(&mut command(&server, &["watch", ROOT, "--once"]));
    assert_eq!([once.line(), once.line(), once.line()], ["# revision 3", "a=2", "b=2"]);
    set(&server, &["b=3"]);
    assert_eq!([once.line(), once.line(), once.line()], ["# revision 4", "-b=2", "+b=3"]);
    let mut once = once;
    assert_eq!(once.child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_file_is_rendered_once_or_only_shown() {
    let server = server();
    let files = Files::new("size = {{ config.size }}\n");
    let pair = files.pair();
    fs::write(&files.target, "size = 1\n").expect("the old file");
    fs::set_permissions(&files.target, fs::Permissions::from_mode(0o640)).expect("its permissions");
    // A value that does not exist leaves the file.
    let (code, text) = failed(&server, &["render", ROOT, &pair, "--once"]);
    assert!(code == 4 && text.contains("undefined value"), "{code} {text}");
    assert_eq!(files.content(), "size = 1\n");
    set(&server, &["size=8"]);
    let shown = done(&server, &["render", ROOT, &pair, "--dry-run", "--reload", "false"]);
    assert!(shown.ends_with("-size = 1\n+size = 8\n"), "{shown}");
    assert_eq!(files.content(), "size = 1\n");
    let (code, text) = failed(&server, &["render", ROOT, &pair, "--once", "--check", "grep -q 9 {}"]);
    assert!(code == 4 && text.contains("stays as it was"), "{code} {text}");
    assert_eq!((files.content().as_str(), files.others()), ("size = 1\n", Vec::new()));
    let (code, _) = failed(&server, &["render", ROOT, &pair, "--once", "--reload", "exit 3"]);
    assert_eq!((code, files.content().as_str()), (6, "size = 8\n"));
    assert_eq!(fs::metadata(&files.target).expect("the file").permissions().mode() & 0o777, 0o640);
    // The reload is owed still, and runs without a change until it succeeds.
    let (code, _) =
        failed(&server, &["render", ROOT, &pair, "--once", "--check", "false", "--reload", "false"]);
    assert_eq!((code, files.others().len()), (6, 1));
    done(&server, &["render", ROOT, &pair, "--once", "--check", "false", "--reload", "true"]);
    assert_eq!(files.others(), Vec::<PathBuf>::new());
    // Nothing has changed: neither check nor reload runs.
    done(&server, &["render", ROOT, &pair, "--once", "--check", "false", "--reload", "false"]);
}

#[test]
fn a_file_follows_the_values_and_the_program_reloads_once_for_each_change() {
    let server = server();
    set(&server, &["a=1", "b=1"]);
    let files = Files::new("{{ config.a }} {{ config.b }}\n");
    let (pair, reload) = (files.pair(), files.reload());
    let words = [
        "render",
        ROOT,
        &pair,
        "--json",
        "--retry",
        "0.05",
        "--check",
        "! grep -q bad {}",
        "--reload",
        &reload,
    ];
    let render = Running::start(&mut command(&server, &words));
    assert_eq!(
        (render.event()["event"].clone(), render.event()["event"].clone()),
        (json!("replaced"), json!("reloaded"))
    );
    set(&server, &["a=2", "b=2"]);
    assert_eq!(
        (render.event()["event"].clone(), render.event()["event"].clone()),
        (json!("replaced"), json!("reloaded"))
    );
    // A change that does not show in the file replaces nothing.
    set(&server, &["c=1"]);
    set(&server, &["a=bad"]);
    let event = render.event();
    assert!(
        event["event"] == "failed" && event["why"].as_str().is_some_and(|why| why.contains("stays")),
        "{event}"
    );
    assert_eq!(files.content(), "2 2\n");
    set(&server, &["a=3"]);
    let events = std::iter::from_fn(|| Some(render.event()["event"].clone()));
    let after: Vec<Value> = events.skip_while(|event| event == "failed").take(2).collect();
    assert_eq!(after, [json!("replaced"), json!("reloaded")]);
    assert_eq!(fs::read_to_string(&files.reloads).expect("reloads"), "1 1\n2 2\n3 2\n");
    // A value that is removed leaves the file.
    set(&server, &["--unset", "a"]);
    assert_eq!(render.event()["event"], "failed");
    assert_eq!((files.content().as_str(), files.others()), ("3 2\n", Vec::new()));
    assert_eq!(render.stop(), Some(0));
}

/// All lines of the file are the same value. A reader that sees another file than a whole one sees
/// it cut off, mixed or missing.
#[test]
fn a_reader_never_sees_half_a_file() {
    const LINES: usize = 9_000;
    let server = server();
    set(&server, &["a=0"]);
    let files = Files::new(&format!("{{% for _ in range({LINES}) %}}{{{{ config.a }}}}\n{{% endfor %}}"));
    let pair = files.pair();
    let render = Running::start(&mut command(&server, &["render", ROOT, &pair, "--json", "--min-wait", "0"]));
    assert_eq!(render.event()["event"], "replaced");
    let (stop, stopped) = channel::<()>();
    let target = files.target.clone();
    let reader = std::thread::spawn(move || {
        let mut seen = std::collections::BTreeSet::new();
        while stopped.try_recv().is_err() {
            let text = fs::read_to_string(&target).expect("there always is a file");
            let first = text.lines().next().expect("a line").to_owned();
            assert!(text.lines().all(|line| line == first) && text.lines().count() == LINES);
            seen.insert(first);
        }
        seen.len()
    });
    for number in 1..=15 {
        set(&server, &[&format!("a={number}")]);
        assert_eq!(render.event()["event"], "replaced");
    }
    stop.send(()).expect("the reader runs");
    assert!(reader.join().expect("the reader saw whole files") > 1);
    assert_eq!(render.stop(), Some(0));
}

#[test]
fn a_template_reads_znodes_and_follows_them() {
    let server = server();
    let template = "{% for name in children('/web') -%}\n\
        server {{ json(data('/web/' ~ name)).address }}:{{ json(data('/web/' ~ name)).port }};\n\
        {% endfor %}{{ data('/motd', 'none') }}\n";
    let files = Files::new(template);
    let pair = files.pair();
    let render = Running::start(&mut command(&server, &["render", ROOT, &pair, "--retry", "600"]));
    let mut session = Session::open(server.address(), 30_000).expect("a session");
    session.must(&create("/web", b"", 0));
    eventually("no servers", || files.content() == "none\n");
    session.must(&create("/web/b", br#"{"address":"10.0.0.2","port":80}"#, 1));
    session.must(&create("/web/a", br#"{"address":"10.0.0.1","port":80}"#, 1));
    eventually("two servers", || files.content() == "server 10.0.0.1:80;\nserver 10.0.0.2:80;\nnone\n");
    session.must(&set_data("/web/a", br#"{"address":"10.0.0.1","port":81}"#));
    session.must(&create("/motd", b"hello", 0));
    eventually("a new port", || files.content() == "server 10.0.0.1:81;\nserver 10.0.0.2:80;\nhello\n");
    // The template itself is read again at HUP.
    fs::write(files.folder.path().join("template"), "{{ data('/motd') }}!\n").expect("a template");
    let pid = rustix::process::Pid::from_child(&render.child);
    rustix::process::kill_process(pid, Signal::HUP).expect("signal it");
    eventually("another template", || files.content() == "hello!\n");
    assert_eq!(render.stop(), Some(0));
}

#[test]
fn a_file_follows_the_values_over_a_restart_of_the_server() {
    let mut server = server();
    set(&server, &["a=1"]);
    let files = Files::new("{{ config.a }}\n");
    let pair = files.pair();
    let render = Running::start(&mut command(&server, &["render", ROOT, &pair, "--retry", "0.1"]));
    eventually("the first", || files.content() == "1\n");
    server.kill();
    server.launch();
    set(&server, &["a=2"]);
    eventually("the second", || files.content() == "2\n");
    assert_eq!(render.stop(), Some(0));
}

/// A kill between the new file and the reload: the next start finds nothing to replace, and
/// reloads.
#[test]
fn a_reload_that_a_kill_has_prevented_runs_at_the_next_start() {
    let server = server();
    set(&server, &["a=1"]);
    let files = Files::new("{{ config.a }}\n");
    let (pair, deadly) = (files.pair(), files.folder.path().join("deadly"));
    fs::write(&deadly, "").expect("a file");
    let reload = format!(
        "if test -e {0}; then rm {0}; kill -9 $PPID; exit; fi; {1}",
        deadly.display(),
        files.reload()
    );
    let words = ["render", ROOT, &pair, "--json", "--reload", &reload];
    let mut killed = Running::start(&mut command(&server, &words));
    assert_eq!(killed.event()["event"], "replaced");
    assert_eq!(killed.child.wait().expect("it ends").signal(), Some(9));
    assert_eq!((files.content().as_str(), files.reloads.exists()), ("1\n", false));
    // Without a reload command nothing is owed to anybody, and what is owed stays.
    done(&server, &["render", ROOT, &pair, "--once"]);
    let render = Running::start(&mut command(&server, &words));
    assert_eq!(render.event()["event"], "reloaded");
    set(&server, &["a=2"]);
    assert_eq!([render.event()["event"].clone(), render.event()["event"].clone()], ["replaced", "reloaded"]);
    assert_eq!(render.stop(), Some(0));
    assert_eq!(fs::read_to_string(&files.reloads).expect("reloads"), "1\n2\n");
    done(&server, &["render", ROOT, &pair, "--once", "--reload", "false"]);
}

#[test]
fn a_program_that_does_not_reload_is_asked_again() {
    let server = server();
    set(&server, &["a=1"]);
    let files = Files::new("{{ config.a }}\n");
    let (pair, allowed) = (files.pair(), files.folder.path().join("reloads"));
    let reload = format!("test -e {}", allowed.display());
    let words = ["render", ROOT, &pair, "--json", "--retry", "0.05", "--reload", &reload];
    let render = Running::start(&mut command(&server, &words));
    assert_eq!(render.event()["event"], "replaced");
    assert_eq!(render.event()["event"], "failed");
    fs::write(&allowed, "").expect("a file");
    let mut events = std::iter::from_fn(|| Some(render.event()["event"].clone()));
    assert_eq!(events.find(|event| event != "failed"), Some(json!("reloaded")));
    assert_eq!(render.stop(), Some(0));
    assert!(Path::new(&files.target).exists());
}
