//! The conversations of the golden transcripts. Adding one here and recording it is all there is to
//! a new transcript.
//!
//! Each conversation stays below nodes of its own, so that all can be spoken with one server, and
//! lists no directory with more than one child, whose order is not guaranteed.

use crate::connection::{Identity, handshake};
use crate::field::Expect;
use crate::golden::{Act, spell};
use crate::jute::Record;
use crate::request::{AclEntry, Place, Request, op, open_acl};

/// A conversation and the file that holds its transcript.
#[derive(Debug)]
pub struct Conversation {
    /// The file's name without `.txt`.
    pub name: &'static str,
    /// Its first line.
    pub title: &'static str,
    /// The requests and answers.
    pub acts: Vec<Act>,
}

/// A conversation's name, its title, and what writes it.
type Entry = (&'static str, &'static str, fn(&mut Script));

/// All conversations.
pub fn conversations() -> Vec<Conversation> {
    let all: [Entry; 9] = [
        ("handshake", "Sessions begin, are resumed, moved, refused and closed", sessions),
        ("nodes", "Every kind of node is created, read, changed and deleted", nodes),
        ("refusals", "Requests that a server understands and refuses", refusals),
        ("watches", "One-time watches of all kinds, and where their events stand among replies", watches),
        (
            "persistent-watches",
            "Watches that stay, recursive ones, their check and removal",
            persistent_watches,
        ),
        ("set-watches", "What a client that was away is told at its return", set_watches),
        ("multi", "Several operations as one, in writing and in reading", multi),
        ("acl", "Who may do what, and how sessions say who they are", acl),
        ("malformed", "Frames that are no requests, and how connections end over them", malformed),
    ];
    all.map(|(name, title, write)| {
        let mut script = Script { folder: format!("/{name}"), acts: Vec::new(), xid: 0 };
        write(&mut script);
        Conversation { name, title, acts: script.acts }
    })
    .into()
}

struct Script {
    folder: String,
    acts: Vec<Act>,
    xid: i32,
}

impl Script {
    fn say(&mut self, remark: &'static str) {
        self.acts.push(Act::Say(remark));
    }
    fn send(&mut self, who: &'static str, tokens: String, expect: Expect) {
        self.acts.push(Act::Send { who, tokens, expect });
    }
    fn leave(&mut self, who: &'static str) {
        self.acts.push(Act::Leave(who));
    }
    /// The connection still answers; then it has served.
    fn still_there(&mut self, who: &'static str) {
        self.bare(who, op::PING);
        self.leave(who);
    }
    fn connect(&mut self, who: &'static str) {
        self.send(who, spell(&handshake(&Identity::new_session(), 0, 30_000)), Expect::Handshake);
    }
    /// Resumes the session of another connection.
    fn resume(&mut self, who: &'static str, session: &str) {
        let head = "0000002d 00000000 0000000000000000 00007530";
        let tokens = format!("{head} session:{session} 00000010 password:{session} 00");
        self.send(who, tokens, Expect::Handshake);
    }
    fn ask(&mut self, who: &'static str, request: Request) {
        self.xid += 1;
        let place = Place { folder: self.folder.clone(), zxid_base: 0 };
        let frame = request.frame(self.xid, &place);
        // Length, xid, opcode, record.
        let parts = [&frame[..4], &frame[4..8], &frame[8..12], &frame[12..]].map(spell);
        self.send(who, parts.join(" ").trim_end().to_owned(), Expect::Reply(request.op()));
    }
    fn create(&mut self, who: &'static str, path: &str, flags: i32) {
        self.create_as(who, op::CREATE, path, flags, open_acl());
    }
    fn create_as(&mut self, who: &'static str, op: i32, path: &str, flags: i32, acl: Option<Vec<AclEntry>>) {
        let data = Some(b"data".to_vec());
        self.ask(who, Request::Create { op, path: path.to_owned(), data, acl, flags, ttl_ms: 3_600_000 });
    }
    fn set(&mut self, who: &'static str, path: &str, data: Option<&[u8]>, version: i32) {
        self.ask(who, Request::SetData { path: path.to_owned(), data: data.map(Into::into), version });
    }
    fn delete(&mut self, who: &'static str, path: &str, version: i32) {
        self.ask(who, Request::Versioned { op: op::DELETE, path: path.to_owned(), version });
    }
    fn read(&mut self, who: &'static str, op: i32, path: &str, watch: bool) {
        self.ask(who, Request::Read { op, path: path.to_owned(), watch });
    }
    fn path(&mut self, who: &'static str, op: i32, path: &str) {
        self.ask(who, Request::Path { op, path: path.to_owned() });
    }
    fn watch(&mut self, who: &'static str, op: i32, path: &str, kind: i32) {
        self.ask(who, Request::Watches { op, path: path.to_owned(), kind });
    }
    fn auth(&mut self, who: &'static str, scheme: &str, auth: &str) {
        self.ask(who, Request::Auth { scheme: scheme.to_owned(), auth: Some(auth.into()) });
    }
    fn bare(&mut self, who: &'static str, op: i32) {
        self.ask(who, Request::Raw { op, body: Vec::new() });
    }
    fn raw(&mut self, who: &'static str, op: i32, body: Record) {
        self.ask(who, Request::Raw { op, body: body.0 });
    }
}

fn sessions(s: &mut Script) {
    s.say("A new session; the timeout asked for is granted");
    s.connect("A");
    s.say("The smallest timeout is 2 ticks, the largest 20");
    s.send("B", spell(&handshake(&Identity::new_session(), 0, 1)), Expect::Handshake);
    s.leave("B");
    s.send("C", spell(&handshake(&Identity::new_session(), 0, i32::MAX)), Expect::Handshake);
    s.say("An old client sends no readOnly and gets none back");
    let old = Record::new().int(0).long(0).int(30_000).long(0).buffer(Some(&[0; 16])).framed();
    s.send("D", spell(&old), Expect::Handshake);
    s.leave("D");
    s.say("A null password asks for a new session too");
    let null = Record::new().int(0).long(0).int(30_000).long(0).buffer(None).bool(false).framed();
    s.send("E", spell(&null), Expect::Handshake);
    s.leave("E");
    s.say("An ephemeral, and then the session on a new connection: the old one is closed, the node stays");
    s.create("A", "%", 1);
    s.resume("F", "A");
    s.read("F", op::EXISTS, "%", false);
    s.bare("F", op::PING);
    s.leave("F");
    s.say("A wrong password is refused with a session id of 0");
    let head = "0000002d 00000000 0000000000000000 00007530";
    let wrong = format!("{head} session:A 00000010 00000000000000000000000000000001 00");
    s.send("G", wrong, Expect::Handshake);
    s.say("So is a session nobody has");
    let nobody = Identity { id: 0x7777_7777, password: vec![7; 16] };
    s.send("H", spell(&handshake(&nobody, 0, 30_000)), Expect::Handshake);
    s.say("A client that has seen the future must try another server");
    s.send("I", spell(&handshake(&Identity::new_session(), i64::MAX, 30_000)), Expect::Handshake);
    s.say("Closing takes the ephemeral along; the session cannot be resumed");
    s.resume("J", "A");
    s.bare("J", op::CLOSE_SESSION);
    s.read("C", op::EXISTS, "%", false);
    s.resume("K", "A");
}

fn nodes(s: &mut Script) {
    s.connect("A");
    s.create("A", "%", 0);
    s.say("create2 answers the Stat");
    s.create_as("A", op::CREATE2, "%/two", 0, open_acl());
    s.say("Sequential: the number is the count of creates below the parent");
    s.create("A", "%/s-", 2);
    s.create("A", "%/", 2);
    s.create_as("A", op::CREATE2, "%/e-", 3, open_acl());
    s.say("A container and nodes with a time to live show no owner");
    s.create_as("A", op::CREATE_CONTAINER, "%/container", 4, open_acl());
    s.create_as("A", op::CREATE_TTL, "%/ttl", 5, open_acl());
    s.create_as("A", op::CREATE_TTL, "%/ttl-", 6, open_acl());
    s.say("Reads");
    s.read("A", op::EXISTS, "%", false);
    s.read("A", op::GET_DATA, "%/two", false);
    s.create("A", "%/two/below", 0);
    s.read("A", op::GET_CHILDREN, "%/two", false);
    s.read("A", op::GET_CHILDREN2, "%/two", false);
    s.read("A", op::GET_CHILDREN2, "%/two/below", false);
    s.path("A", op::GET_ACL, "%");
    s.path("A", op::GET_EPHEMERALS, "%");
    s.path("A", op::GET_EPHEMERALS, "/other");
    s.path("A", op::GET_ALL_CHILDREN_NUMBER, "%");
    s.path("A", op::SYNC, "%");
    s.path("A", op::SYNC, "/no/such/node");
    s.bare("A", op::WHO_AM_I);
    s.say("Data: empty, none at all, and as it was");
    s.set("A", "%/two", Some(b""), 0);
    s.read("A", op::GET_DATA, "%/two", false);
    s.set("A", "%/two", None, -1);
    s.read("A", op::GET_DATA, "%/two", false);
    s.set("A", "%/two", Some(b"data"), 2);
    s.say("Deletes, and what they leave in the parent's Stat");
    s.delete("A", "%/two/below", 0);
    s.delete("A", "%/two", -1);
    s.read("A", op::EXISTS, "%", false);
    s.say("A node every server has from its first day");
    s.read("A", op::GET_DATA, "/zookeeper/quota", false);
    s.bare("A", op::CLOSE_SESSION);
}

fn refusals(s: &mut Script) {
    s.connect("A");
    s.create("A", "%", 0);
    s.say("NodeExists, NoNode, BadVersion, NotEmpty");
    s.create("A", "%", 0);
    s.create("A", "%/no/parent", 0);
    s.read("A", op::EXISTS, "%/none", false);
    s.read("A", op::GET_DATA, "%/none", false);
    s.read("A", op::GET_CHILDREN, "%/none", false);
    s.read("A", op::GET_CHILDREN2, "%/none", false);
    s.path("A", op::GET_ACL, "%/none");
    s.path("A", op::GET_ALL_CHILDREN_NUMBER, "%/none");
    s.set("A", "%/none", None, -1);
    s.delete("A", "%/none", -1);
    s.set("A", "%", None, 1);
    s.delete("A", "%", 1);
    s.delete("A", "/zookeeper", 1);
    s.say("Ephemerals have no children");
    s.create("A", "%/e", 1);
    s.create("A", "%/e/child", 0);
    s.delete("A", "%", 0);
    s.say("Paths");
    for path in ["", "x", "//", "%/", "%//a", "%/.", "%/../a", "%/\u{1}", "%/\u{7f}", "%/\u{e000}"] {
        s.create("A", path, 0);
        // An empty path reads the root, whose Stat tells what else a server keeps there.
        if !path.is_empty() {
            s.read("A", op::GET_DATA, path, false);
        }
    }
    s.delete("A", "/", -1);
    s.delete("A", "/zookeeper/config", -1);
    s.say("Invalid flags, and flags of another opcode");
    s.create("A", "%/f", 7);
    s.create("A", "%/f", -1);
    s.create("A", "%/f", 5);
    s.create_as("A", op::CREATE_CONTAINER, "%/f", 0, open_acl());
    s.create_as("A", op::CREATE_TTL, "%/g", 0, open_acl());
    s.say("A time to live of 0");
    s.ask(
        "A",
        Request::Create {
            op: op::CREATE_TTL,
            path: "%/t".into(),
            data: None,
            acl: open_acl(),
            flags: 5,
            ttl_ms: 0,
        },
    );
    s.say("ACLs");
    s.create_as("A", op::CREATE, "%/x", 0, Some(Vec::new()));
    s.create_as("A", op::CREATE, "%/x", 0, None);
    s.create_as("A", op::CREATE, "%/x", 0, Some(vec![(31, "nonesuch".into(), "x".into())]));
    s.create_as("A", op::CREATE, "%/x", 0, Some(vec![(31, "auth".into(), String::new())]));
    s.say("Reconfiguration and SASL are not for this server");
    s.raw("A", op::RECONFIG, Record::new().int(-1).int(-1).string("server.1=h:1:2;3").long(-1));
    s.raw("A", op::SASL, Record::new().buffer(Some(b"token")));
    s.bare("A", op::PING);
}

fn watches(s: &mut Script) {
    s.connect("A");
    s.connect("B");
    s.create("A", "%", 0);
    s.say("exists waits for a create, also one of its own session: the event stands before the reply");
    s.read("A", op::EXISTS, "%/a", true);
    s.read("B", op::EXISTS, "%/a", true);
    s.create("A", "%/a", 0);
    s.say("getData waits for a change, once");
    s.read("B", op::GET_DATA, "%/a", true);
    s.read("B", op::GET_DATA, "%/a", true);
    s.set("A", "%/a", None, -1);
    s.set("A", "%/a", None, -1);
    s.say("getChildren waits for a child to come or go, not for its data");
    s.read("B", op::GET_CHILDREN, "%", true);
    s.set("A", "%/a", None, -1);
    s.create("A", "%/b", 0);
    s.read("B", op::GET_CHILDREN2, "%/a", true);
    s.create("A", "%/a/child", 0);
    s.say("A delete: the node's watches, then its children's, then the parent's");
    s.delete("A", "%/a/child", -1);
    s.read("B", op::GET_DATA, "%/a", true);
    s.read("B", op::GET_CHILDREN, "%/a", true);
    s.read("A", op::GET_CHILDREN2, "%/a", true);
    s.delete("A", "%/b", -1);
    s.read("B", op::GET_CHILDREN, "%", true);
    s.delete("A", "%/a", -1);
    s.say("A read that fails sets no watch; exists does");
    s.read("B", op::GET_DATA, "%/none", true);
    s.read("B", op::GET_CHILDREN, "%/none", true);
    s.create("A", "%/none", 0);
    s.say("A session's end is told as any delete");
    s.create("A", "%/ephemeral", 1);
    s.read("B", op::EXISTS, "%/ephemeral", true);
    s.bare("A", op::CLOSE_SESSION);
    s.bare("B", op::PING);
}

fn persistent_watches(s: &mut Script) {
    s.connect("A");
    s.connect("B");
    s.create("A", "%", 0);
    s.say("Persistent: data and children of one node, again and again");
    s.watch("B", op::ADD_WATCH, "%", 0);
    s.create("A", "%/a", 0);
    s.set("A", "%", None, -1);
    s.set("A", "%", None, -1);
    s.set("A", "%/a", None, -1);
    s.say("Recursive: everything below, but no event of children");
    s.watch("B", op::REMOVE_WATCHES, "%", 4);
    s.watch("B", op::ADD_WATCH, "%", 1);
    s.create("A", "%/a/b", 0);
    s.set("A", "%/a/b", None, -1);
    s.delete("A", "%/a/b", -1);
    s.set("A", "%", None, -1);
    s.say("Several watches of one session on one node bring one event for each table");
    s.watch("B", op::ADD_WATCH, "%", 0);
    s.read("B", op::GET_DATA, "%", true);
    s.read("B", op::GET_CHILDREN, "%", true);
    s.set("A", "%", None, -1);
    s.create("A", "%/c", 0);
    s.say("Checks of watches that are there and that are not");
    s.read("B", op::GET_DATA, "%/c", true);
    for kind in [1, 2, 3, 4, 5, 0, 6] {
        s.watch("B", op::CHECK_WATCHES, "%/c", kind);
        s.watch("B", op::CHECK_WATCHES, "%", kind);
    }
    s.say("Removal");
    s.watch("B", op::REMOVE_WATCHES, "%/c", 1);
    s.watch("B", op::REMOVE_WATCHES, "%/c", 2);
    s.watch("B", op::REMOVE_WATCHES, "%/c", 2);
    s.watch("B", op::REMOVE_WATCHES, "%", 3);
    s.watch("B", op::REMOVE_WATCHES, "%", 3);
    s.set("A", "%", None, -1);
    s.say("An invalid mode, an invalid path");
    s.watch("B", op::ADD_WATCH, "%", 2);
    s.watch("B", op::ADD_WATCH, "nowhere", 0);
}

fn set_watches(s: &mut Script) {
    s.connect("A");
    s.connect("B");
    s.create("A", "%", 0);
    s.create("A", "%/a", 0);
    let list = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect::<Vec<_>>();
    s.say("Seen before everything: all that is there now is news, and so is what is missing");
    let lists = vec![list(&["%/a", "%/gone"]), list(&["%/a", "%/later"]), list(&["%", "%/gone"])];
    s.ask("B", Request::SetWatches { op: op::SET_WATCHES, zxid: 0, lists });
    s.say("Seen everything: no news, and the watches stand");
    let lists = vec![list(&["%/a"]), list(&["%/later"]), list(&["%"])];
    s.ask("B", Request::SetWatches { op: op::SET_WATCHES, zxid: i64::MAX, lists });
    s.set("A", "%/a", None, -1);
    s.create("A", "%/later", 0);
    s.say("The kinds that stay are set again without news");
    let lists = vec![list(&[]), list(&[]), list(&[]), list(&["%"]), list(&["%"])];
    s.ask("B", Request::SetWatches { op: op::SET_WATCHES2, zxid: 0, lists });
    s.create("A", "%/a/b", 0);
    s.create("A", "%/c", 0);
    s.say("Nothing to set");
    s.ask("B", Request::SetWatches { op: op::SET_WATCHES, zxid: 0, lists: vec![Vec::new(); 3] });
}

fn multi(s: &mut Script) {
    let create = |op, path: &str, flags| Request::Create {
        op,
        path: path.to_owned(),
        data: Some(b"data".to_vec()),
        acl: open_acl(),
        flags,
        ttl_ms: 3_600_000,
    };
    let versioned = |op, path: &str, version| Request::Versioned { op, path: path.to_owned(), version };
    let set = |path: &str, version| Request::SetData { path: path.to_owned(), data: None, version };
    let read = |op, path: &str| Request::Read { op, path: path.to_owned(), watch: false };
    let all = |parts| Request::Multi { op: op::MULTI, parts };
    let reads = |parts| Request::Multi { op: op::MULTI_READ, parts };
    s.connect("A");
    s.connect("B");
    s.create("A", "%", 0);
    s.say("Nothing is something");
    s.ask("A", all(vec![]));
    s.ask("A", reads(vec![]));
    s.say("Every kind of part; they see each other; events come after all of it");
    s.watch("B", op::ADD_WATCH, "%", 1);
    let parts = vec![
        versioned(op::CHECK, "%", 0),
        create(op::CREATE, "%/a", 0),
        create(op::CREATE2, "%/s-", 2),
        create(op::CREATE, "%/s-", 3),
        create(op::CREATE_CONTAINER, "%/c", 4),
        create(op::CREATE_TTL, "%/t", 5),
        set("%/a", 0),
        set("%/a", 1),
        versioned(op::CHECK, "%/a", 2),
        versioned(op::DELETE, "%/a", 2),
    ];
    s.ask("A", all(parts));
    s.say("All or nothing: what stood before the failure, the failure, what came after");
    s.ask(
        "A",
        all(vec![create(op::CREATE, "%/n", 2), versioned(op::CHECK, "%", 9), set("%", 0), set("%", 0)]),
    );
    s.ask("A", all(vec![versioned(op::DELETE, "%/none", -1)]));
    s.ask("A", all(vec![create(op::CREATE, "bad", 0)]));
    s.create("A", "%/n", 2);
    s.say("Reads fail one by one");
    let parts = vec![read(op::GET_DATA, "%"), read(op::GET_DATA, "%/none"), read(op::GET_CHILDREN, "%/c")];
    s.ask("A", reads(parts));
    s.say("check alone is no request; reads and writes do not mix");
    s.ask("A", all(vec![set("%", 0), read(op::GET_DATA, "%")]));
    s.connect("C");
    s.ask("C", all(vec![read(op::GET_DATA, "%")]));
    s.connect("D");
    s.ask("D", reads(vec![set("%", 0)]));
    s.connect("E");
    s.ask("E", reads(vec![read(op::EXISTS, "%")]));
    s.connect("F");
    s.ask("F", versioned(op::CHECK, "%", 0));
    s.bare("B", op::PING);
}

fn acl(s: &mut Script) {
    let entry = |perms, scheme: &str, id: &str| (perms, scheme.to_owned(), id.to_owned());
    let set = |path: &str, acl, version| Request::SetAcl { path: path.to_owned(), acl: Some(acl), version };
    s.connect("A");
    s.connect("B");
    s.create("A", "%", 0);
    s.say("An identity; auth in an ACL means all of a session's, but for its address");
    s.auth("A", "digest", "ann:secret");
    s.create_as("A", op::CREATE, "%/auth", 0, Some(vec![entry(31, "auth", "ignored")]));
    s.path("A", op::GET_ACL, "%/auth");
    s.say("A stranger");
    for op in [op::EXISTS, op::GET_DATA, op::GET_CHILDREN, op::GET_CHILDREN2] {
        s.read("B", op, "%/auth", false);
    }
    s.path("B", op::GET_ACL, "%/auth");
    s.set("B", "%/auth", None, -1);
    s.create("B", "%/auth/x", 0);
    s.path("B", op::GET_ALL_CHILDREN_NUMBER, "%/auth");
    s.ask("B", set("%/auth", vec![entry(31, "world", "anyone")], -1));
    s.say("Reading alone shows an ACL without its secrets");
    s.ask(
        "A",
        set(
            "%/auth",
            vec![entry(31, "digest", "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM="), entry(1, "world", "anyone")],
            0,
        ),
    );
    s.path("B", op::GET_ACL, "%/auth");
    s.path("A", op::GET_ACL, "%/auth");
    s.ask("A", set("%/auth", vec![entry(31, "world", "anyone")], 0));
    s.ask("A", set("%/none", vec![entry(31, "world", "anyone")], 0));
    s.say("Deletes ask the parent");
    s.create_as("A", op::CREATE, "%/closed", 0, Some(vec![entry(7, "world", "anyone")]));
    s.create("A", "%/closed/child", 0);
    s.delete("A", "%/closed/child", -1);
    s.say("By address");
    s.create_as("A", op::CREATE, "%/ip", 0, Some(vec![entry(31, "ip", "127.0.0.0/8")]));
    s.read("B", op::GET_DATA, "%/ip", false);
    s.create_as("A", op::CREATE, "%/far", 0, Some(vec![entry(31, "ip", "10.0.0.1")]));
    s.read("B", op::GET_DATA, "%/far", false);
    s.create_as("A", op::CREATE, "%/bad", 0, Some(vec![entry(31, "ip", "10.0.0.1/99")]));
    s.say("The super user may everything");
    s.auth("B", "digest", "super:test");
    s.read("B", op::GET_DATA, "%/far", false);
    s.say("A scheme nobody knows ends the connection, not the session");
    s.auth("A", "nonesuch", "x");
    s.resume("C", "A");
}

fn malformed(s: &mut Script) {
    s.connect("A");
    s.create("A", "%", 0);
    s.say("An unknown opcode: refused, and the connection ends");
    s.bare("A", 999);
    s.say("Opcodes of the log and of the server's own messages");
    s.connect("B");
    s.bare("B", 0);
    s.say("A record that breaks off");
    s.connect("C");
    s.raw("C", op::CREATE, Record::new().int(9).raw(b"/"));
    s.still_there("C");
    s.connect("D");
    s.raw("D", op::GET_DATA, Record::new().int(2).raw(b"/a"));
    s.still_there("D");
    s.connect("E");
    s.raw("E", op::SET_DATA, Record::new().string("/a").int(100));
    s.still_there("E");
    s.connect("F");
    s.raw("F", op::SET_WATCHES, Record::new().long(0).int(1_000_000));
    s.still_there("F");
    s.connect("G");
    s.raw("G", op::MULTI, Record::new().int(1).bool(false));
    s.still_there("G");
    s.say("A null path, a negative length");
    s.connect("H");
    s.raw("H", op::GET_DATA, Record::new().int(-1).bool(false));
    s.still_there("H");
    s.connect("I");
    s.raw("I", op::GET_DATA, Record::new().int(-2).bool(false));
    s.still_there("I");
    s.say("More than the record needs is left unread");
    s.connect("J");
    s.raw("J", op::EXISTS, Record::new().string("/none").bool(false).raw(b"more"));
    s.still_there("J");
    s.say("A frame without a whole header");
    s.connect("K");
    s.send("K", "00000004 00000001".into(), Expect::Reply(0));
    s.connect("L");
    s.send("L", "00000000".into(), Expect::Reply(0));
    s.say("Lengths beyond the limit, and below 0");
    s.connect("M");
    s.send("M", "00100000".into(), Expect::Reply(0));
    s.connect("N");
    s.send("N", "ffffffff".into(), Expect::Reply(0));
    s.say("An invalid handshake");
    s.send("O", "00000004 00000000".into(), Expect::Handshake);
    s.send("P", "7fffffff".into(), Expect::Handshake);
}
