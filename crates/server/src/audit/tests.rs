use std::fs;
use std::path::PathBuf;

use state::auth::Identities;
use state::command::Command;
use state::machine::Applied;
use wire::ErrorCode;
use wire::acl::{Acl, AclList};
use wire::jute::Put as _;
use wire::opcode::Opcode;
use wire::record::{Create, Delete, Multi, Request, SetAcl};

use super::*;

/// 2026-11-30 07:01:02.034 UTC.
const NOW_MS: i64 = 1_796_022_062_034;
const DAY_MS: i64 = 86_400_000;

fn settings(path: PathBuf, file_bytes_max: u64, files_kept: u32) -> Audit {
    Audit { place: AuditPlace::File(path), file_bytes_max, files_kept, reads: false }
}

fn written(format: Format, event: &Event<'_>) -> String {
    let mut line = String::new();
    event.write(format, NOW_MS, &mut line);
    line
}

#[test]
fn a_line_has_the_fields_of_zookeeper_in_its_order() {
    let event = Event {
        session: Some(0x1000_0abc),
        user: Some("127.0.0.1,bob"),
        ip: Some("127.0.0.1"),
        znode: Some("/a"),
        znode_type: Some("persistent"),
        acl: Some("world:anyone:cdrwa"),
        ..Event::new("create", Outcome::Failure)
    };
    assert_eq!(
        written(Format::Text, &event),
        "2026-11-30 07:01:02,034 ERROR o.a.z.a.Slf4jAuditLogger: session=0x10000abc\tuser=127.0.0.1,bob\t\
         ip=127.0.0.1\toperation=create\tznode=/a\tznode_type=persistent\tacl=world:anyone:cdrwa\t\
         result=failure\n"
    );
    assert_eq!(
        written(Format::Json, &event),
        "{\"time\":\"2026-11-30T07:01:02.034Z\",\"session\":\"0x10000abc\",\"user\":\"127.0.0.1,bob\",\
         \"ip\":\"127.0.0.1\",\"operation\":\"create\",\"znode\":\"/a\",\"znode_type\":\"persistent\",\
         \"acl\":\"world:anyone:cdrwa\",\"result\":\"failure\"}\n"
    );
    let event = Event { session: Some(-1), ..Event::new("serverStop", Outcome::Invoked) };
    assert!(written(Format::Text, &event).ends_with(
        " INFO o.a.z.a.Slf4jAuditLogger: session=0xffffffffffffffff\toperation=serverStop\tresult=invoked\n"
    ));
}

#[test]
fn no_client_can_forge_a_field_or_a_line() {
    let path = "/a\tresult=success\n\r\u{85}\u{2028}\u{202e}\u{0}\\\"";
    let event = Event { znode: Some(path), ..Event::new("create", Outcome::Failure) };
    let text = written(Format::Text, &event);
    assert!(
        text.ends_with(
            "\tznode=/a\\tresult=success\\n\\r\\u0085\\u2028\\u202e\\u0000\\\\\"\tresult=failure\n"
        ),
        "{text}"
    );
    let json = written(Format::Json, &event);
    assert!(
        json.contains("\"znode\":\"/a\\tresult=success\\n\\r\\u0085\\u2028\\u202e\\u0000\\\\\\\"\","),
        "{json}"
    );
}

/// The lines of one write, without time and level.
fn lines_of(opcode: Opcode, request: &Request<'_>, code: ErrorCode, reply: &[u8]) -> Vec<String> {
    let mut identities = Identities::from_ip("10.1.2.3");
    identities.add("super", "");
    identities.add("digest", "bob:aGFzaA==");
    identities.add("key", "secret-key");
    let mut body = Vec::new();
    request.encode(&mut body);
    let command = Command {
        session: 0x15,
        cxid: 1,
        opcode: opcode as i32,
        identities: identities.encoded(),
        body: &body,
    };
    let mut lines = Vec::new();
    requests::events(&command, &Applied { zxid: 7, code }, reply, &mut |event| {
        let line = written(Format::Text, event);
        let fields = line.split_once("Logger: session=0x15\tuser=10.1.2.3,bob,x\tip=10.1.2.3\t");
        lines.push(fields.expect(&line).1.trim_end().replace('\t', " "));
    });
    lines
}

fn create(path: &str, kind: Opcode, flags: i32) -> Request<'_> {
    let ttl = (kind == Opcode::CreateTtl).then_some(1000);
    Request::Create(Create { path, data: Some(b"secret"), acl: AclList::OPEN, flags, ttl, kind })
}

#[test]
fn a_new_znode_is_audited_by_its_path_and_a_refused_one_by_that_asked_for() {
    let mut reply = Vec::new();
    reply.put_str("/a0000000001");
    let request = create("/a", Opcode::Create, 2);
    assert_eq!(
        lines_of(Opcode::Create, &request, ErrorCode::Ok, &reply),
        ["operation=create znode=/a0000000001 znode_type=persistent_sequential result=success"]
    );
    assert_eq!(
        lines_of(Opcode::Create, &request, ErrorCode::NoAuth, &[]),
        ["operation=create znode=/a znode_type=persistent_sequential result=failure"]
    );
}

#[test]
fn hashes_of_passwords_are_not_in_it() {
    let list =
        [Acl::new(31, "digest", "bob:aGFzaA=="), Acl::new(1, "world", "anyone"), Acl::new(2, "key", "77")];
    let mut buffer = Vec::new();
    let acl = AclList::encode_into(&list, &mut buffer);
    assert_eq!(
        lines_of(
            Opcode::SetAcl,
            &Request::SetAcl(SetAcl { path: "/a", acl, version: -1 }),
            ErrorCode::Ok,
            &[]
        ),
        ["operation=setAcl znode=/a acl=digest:bob:x:cdrwaworld:anyone:rkey:x:w result=success"]
    );
}

#[test]
fn a_multi_is_audited_by_its_parts_or_as_one_failure() {
    use wire::record::{CreateReply, MultiReply, MultiResult};
    let (mut body, mut reply) = (Vec::new(), Vec::new());
    let parts = [create("/m", Opcode::Create, 0), Request::Delete(Delete { path: "/n", version: -1 })];
    let multi = Request::Multi(Multi::encode_into(parts, &mut body));
    let results = [MultiResult::Create(CreateReply { path: "/m" }), MultiResult::Delete];
    MultiReply::encode_into(results, &mut reply);
    assert_eq!(
        lines_of(Opcode::Multi, &multi, ErrorCode::Ok, &reply),
        [
            "operation=create znode=/m znode_type=persistent result=success",
            "operation=delete znode=/n result=success"
        ]
    );
    MultiReply::encode_into([MultiResult::Error(0), MultiResult::Error(-101)], &mut reply);
    assert_eq!(
        lines_of(Opcode::Multi, &multi, ErrorCode::Ok, &reply),
        ["operation=multiOperation result=failure"]
    );
}

/// The names of the files, and the bytes of each.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let entry = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())
    };
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(entry).collect();
    files.sort();
    files
}

#[test]
fn files_are_full_at_a_size_and_a_bounded_number_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let mut file = RotatedFile::open(&path, &settings(path.clone(), 100, 2), NOW_MS).unwrap();
    let line = format!("{}\n", "x".repeat(39));
    for _ in 0..3 {
        file.write(&line.repeat(3), NOW_MS).unwrap();
    }
    let name = |ending: &str| format!("audit.log{ending}");
    assert_eq!(files(folder.path()), [(name(""), 40), (name(".1"), 80), (name(".2"), 80)]);
    // A line that is longer than a file may be is written whole.
    file.write(&format!("{}\n", "y".repeat(200)), NOW_MS).unwrap();
    assert_eq!(files(folder.path()), [(name(""), 201), (name(".1"), 40), (name(".2"), 80)]);
    let mut file = RotatedFile::open(&path, &settings(path.clone(), 100, 0), NOW_MS).unwrap();
    file.write("z\n", NOW_MS).unwrap();
    assert_eq!(files(folder.path())[0], (name(""), 2), "none is kept");
}

#[test]
fn a_day_begins_a_file_and_a_start_goes_on_with_the_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let settings = settings(path.clone(), 1 << 20, 9);
    let now_ms = crate::clock::Clock::start().wall_ms();
    let open = || RotatedFile::open(&path, &settings, now_ms).unwrap();
    open().write("one\n", now_ms).unwrap();
    open().write("two\n", now_ms).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    let mut file = open();
    file.write("three\n", now_ms + DAY_MS).unwrap();
    file.write("four\n", now_ms + DAY_MS).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "three\nfour\n");
    assert_eq!(files(folder.path()).len(), 2);
    // The server was killed while it wrote.
    fs::write(&path, "fi").unwrap();
    open().write("six\n", now_ms).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "fi\nsix\n");
}

#[test]
fn a_log_that_takes_no_lines_costs_lines_and_says_how_many() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let settings = settings(path.clone(), 1 << 30, 1);
    let log = AuditLog::new(&settings, "ostler".to_owned());
    let path_of_znode = "/".repeat(1 << 16);
    let event = Event { znode: Some(&path_of_znode), ..Event::new("delete", Outcome::Success) };
    let lost = (0..100).filter(|_| !log.put(NOW_MS, &event)).count();
    assert!((30..50).contains(&lost), "{lost} of 100 lines of 64 KiB");
    let dropped = AtomicU64::new(0);
    let sink = Sink::open(&settings, NOW_MS).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| log.run(sink, &dropped, || NOW_MS));
        log.finish();
    });
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 100 - lost + 1);
    let last = format!("user=ostler\toperation=auditLinesLost\tlines={lost}\tresult=failure");
    assert!(text.trim_end().ends_with(&last), "{}", text.lines().last().unwrap());
    assert_eq!(dropped.into_inner(), 0, "who adds them counts those without room");
}

#[test]
fn lines_that_cannot_be_written_are_counted() {
    let settings = settings(PathBuf::from("/dev/full"), 1 << 20, 0);
    let log = AuditLog::new(&settings, "ostler".to_owned());
    let dropped = AtomicU64::new(0);
    let Ok(sink) = Sink::open(&settings, NOW_MS) else { return };
    assert!(log.put(NOW_MS, &Event::new("delete", Outcome::Success)));
    std::thread::scope(|scope| {
        scope.spawn(|| log.run(sink, &dropped, || NOW_MS));
        log.finish();
    });
    assert_eq!(dropped.into_inner(), 1);
}
