//! Servers of one's own, as clients see them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use client::acl::{self, perms};
use client::{
    Acl, Client, ConnectString, CreateMode, Error, EventType, Operation, OperationResult, ReadOperation,
    ReadResult, Session, SessionEvent, SessionOptions, Settings,
};
use ostler::embed::{
    Answer, Builder, Call, Children, Created, Data, Done, ErrorCode, Method, Methods, Server, StartError,
    Stat, ZooServer,
};
use tempfile::TempDir;

/// How long a test waits for what must happen. Only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with a port and data of its own, and a session at it.
struct Running {
    session: Session,
    server: Server,
    _folder: TempDir,
}

fn builder(folder: &TempDir) -> Builder {
    let port = testing::listen().local_addr().expect("an address").port();
    Server::builder().data_dir(folder.path()).port(port).set("admin.enableServer", "false")
}

fn start(methods: impl ZooServer) -> Running {
    start_with(methods, |builder| builder)
}

fn start_with(methods: impl ZooServer, set: impl FnOnce(Builder) -> Builder) -> Running {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = set(builder(&folder)).start(methods).expect("the server starts");
    let session = open(server.address());
    Running { session, server, _folder: folder }
}

fn connect_string(address: SocketAddr) -> ConnectString {
    address.to_string().parse().expect("an address")
}

fn open(address: SocketAddr) -> Session {
    Session::open(&connect_string(address), SessionOptions::default()).expect("a session")
}

fn open_with_events(address: SocketAddr) -> (Session, Receiver<SessionEvent>) {
    let (sender, events) = channel();
    let options = SessionOptions { events: Some(sender), ..SessionOptions::default() };
    (Session::open(&connect_string(address), options).expect("a session"), events)
}

/// The next watch event: its type and path.
fn next_event(events: &Receiver<SessionEvent>) -> (EventType, String) {
    loop {
        if let SessionEvent::Watch(event) = events.recv_timeout(PATIENCE).expect("an event") {
            return (event.event_type, event.path);
        }
    }
}

fn create(session: &Session, path: &str, data: &[u8]) -> Result<String, Error> {
    session.create(path, Some(data), &acl::open_acl(), CreateMode::Persistent)
}

/// The parts of a multi.
struct Part;

impl Part {
    fn create<'a>(path: &'a str, acl: &'a [Acl]) -> Operation<'a> {
        Operation::Create { path, data: Some(b"r"), acl, mode: CreateMode::Persistent }
    }

    fn delete(path: &str) -> Operation<'_> {
        Operation::Delete { path, version: -1 }
    }
}

/// Which part of a multi was refused, and why.
fn refused_part(result: Result<Vec<OperationResult>, Error>) -> (usize, Option<ErrorCode>) {
    match result {
        Err(Error::MultiRefused { index, code, .. }) => (index, ErrorCode::from_i32(code)),
        other => panic!("{other:?}"),
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Option<ErrorCode> {
    result.expect_err("a refusal").code()
}

/// Has all methods and implements none.
struct GoOn;

impl ZooServer for GoOn {}

#[test]
fn methods_that_let_the_server_go_on_change_nothing() {
    let Running { session, server, _folder } = start(GoOn);
    let (watching, events) = open_with_events(server.address());
    assert_eq!(watching.exists("/a", true).unwrap(), None);
    assert_eq!(create(&session, "/a", b"1").unwrap(), "/a");
    assert_eq!(next_event(&events), (EventType::NodeCreated, "/a".to_owned()));
    assert_eq!(code(create(&session, "/a", b"1")), Some(ErrorCode::NodeExists));
    let (data, stat) = watching.get_data("/a", true).unwrap();
    assert_eq!((data.as_deref(), stat.version), (Some(&b"1"[..]), 0));
    assert_eq!(code(session.set_data("/a", Some(b"2"), 7)), Some(ErrorCode::BadVersion));
    assert_eq!(session.set_data("/a", Some(b"2"), 0).unwrap().version, 1);
    assert_eq!(next_event(&events), (EventType::NodeDataChanged, "/a".to_owned()));
    let ephemeral = session.create("/a/e-", None, &acl::open_acl(), CreateMode::EphemeralSequential).unwrap();
    assert_eq!(ephemeral, "/a/e-0000000000");
    let (names, stat) = watching.get_children("/a", true).unwrap();
    assert_eq!((names, stat.num_children), (vec!["e-0000000000".to_owned()], 1));
    session.close().unwrap();
    assert_eq!(next_event(&events), (EventType::NodeChildrenChanged, "/a".to_owned()));
    let read_only = [Acl::new(perms::READ, "world", "anyone")];
    watching.set_acl("/a", &read_only, -1).unwrap();
    assert_eq!(watching.get_acl("/a").unwrap().0, read_only);
    assert_eq!(code(watching.set_data("/a", None, -1)), Some(ErrorCode::NoAuth));
    let open_acl = acl::open_acl();
    let done = watching.multi(&[Part::create("/b", &open_acl), Part::delete("/b")]).unwrap();
    assert_eq!(done.len(), 2);
}

#[test]
fn a_server_of_ones_own_keeps_its_data() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = builder(&folder).start(GoOn).expect("the server starts");
    create(&open(server.address()), "/kept", b"1").unwrap();
    server.stopper().stop();
    server.wait().expect("the server stops");
    let server = builder(&folder).start(GoOn).expect("the server starts again");
    assert_eq!(open(server.address()).get_data("/kept", false).unwrap().0.as_deref(), Some(&b"1"[..]));
}

/// Keeps znodes outside the built-in tree, all below `/d`.
#[derive(Default)]
struct Dictionary(Mutex<BTreeMap<String, (Vec<u8>, i32)>>);

impl Dictionary {
    fn has(path: &str) -> bool {
        path.starts_with("/d/")
    }
}

impl ZooServer for Dictionary {
    fn methods(&self) -> Methods {
        Methods::of(&[Method::GetData, Method::GetChildren, Method::Create, Method::Delete, Method::SetData])
    }

    fn get_data(&self, _: &Call<'_>, path: &str) -> Answer<Data> {
        match self.0.lock().unwrap().get(path) {
            Some((bytes, version)) => {
                Ok(Some(Data { bytes: bytes.clone(), stat: Stat { version: *version, ..Stat::default() } }))
            }
            None if Self::has(path) => Err(ErrorCode::NoNode),
            None => Ok(None),
        }
    }

    fn get_children(&self, _: &Call<'_>, path: &str) -> Answer<Children> {
        let names = || self.0.lock().unwrap().keys().map(|path| path["/d/".len()..].to_owned()).collect();
        Ok((path == "/d").then(|| Children { names: names(), stat: Stat::default() }))
    }

    fn create(&self, _: &Call<'_>, path: &str, data: &[u8]) -> Answer<Created> {
        if !Self::has(path) {
            return Ok(None);
        }
        let mut all = self.0.lock().unwrap();
        if all.contains_key(path) {
            return Err(ErrorCode::NodeExists);
        }
        all.insert(path.to_owned(), (data.to_vec(), 0));
        Ok(Some(path.to_owned().into()))
    }

    fn delete(&self, _: &Call<'_>, path: &str) -> Answer<Done> {
        if !Self::has(path) {
            return Ok(None);
        }
        self.0.lock().unwrap().remove(path).map(|_| Some(Done::default())).ok_or(ErrorCode::NoNode)
    }

    fn set_data(&self, call: &Call<'_>, path: &str, data: &[u8]) -> Answer<Done> {
        let mut all = self.0.lock().unwrap();
        let Some((bytes, version)) = all.get_mut(path) else { return Ok(None) };
        if ![-1, *version].contains(&call.version()) {
            return Err(ErrorCode::BadVersion);
        }
        (*bytes, *version) = (data.to_vec(), *version + 1);
        Ok(Some(Done { stat: Stat { version: *version, ..Stat::default() } }))
    }
}

#[test]
fn methods_answer_for_znodes_outside_the_tree() {
    let Running { session, server: _server, _folder } = start(Dictionary::default());
    assert_eq!(create(&session, "/d/a", b"one").unwrap(), "/d/a");
    assert_eq!(code(create(&session, "/d/a", b"")), Some(ErrorCode::NodeExists));
    let (data, stat) = session.get_data("/d/a", false).unwrap();
    assert_eq!((data.as_deref(), stat.data_length, stat.version), (Some(&b"one"[..]), 3, 0));
    assert_eq!(session.exists("/d/a", false).unwrap().map(|stat| stat.data_length), Some(3));
    assert_eq!(session.exists("/d/none", false).unwrap(), None);
    assert_eq!(session.set_data("/d/a", Some(b"two"), 0).unwrap().version, 1);
    assert_eq!(code(session.set_data("/d/a", Some(b"two"), 0)), Some(ErrorCode::BadVersion));
    let (names, stat) = session.get_children("/d", false).unwrap();
    assert_eq!((names, stat.num_children), (vec!["a".to_owned()], 1));
    session.delete("/d/a", -1).unwrap();
    assert_eq!(code(session.get_data("/d/a", false)), Some(ErrorCode::NoNode));
    // No method is asked about what no znode can be called, and the built-in tree has no `/d`.
    assert_eq!(code(create(&session, "/d/a\u{1}", b"")), Some(ErrorCode::NoNode));
    let open_acl = acl::open_acl();
    let parts = [Part::create("/d/a\u{1}", &open_acl)];
    assert_eq!(refused_part(session.multi(&parts)), (0, Some(ErrorCode::NoNode)));
    assert_eq!(session.get_children("/d", false).unwrap().0, Vec::<String>::new());
    // It is beside all that.
    create(&session, "/real", b"x").unwrap();
    assert_eq!(session.get_data("/real", false).unwrap().0.as_deref(), Some(&b"x"[..]));
    assert_eq!(session.get_children("/", false).unwrap().0, ["real", "zookeeper"]);
}

#[test]
fn a_multi_is_refused_where_it_would_not_be_atomic() {
    let Running { session, server: _server, _folder } = start(Dictionary::default());
    let open_acl = acl::open_acl();
    let parts = ["/real", "/d/virtual", "/other"].map(|path| Part::create(path, &open_acl));
    assert_eq!(refused_part(session.multi(&parts)), (1, Some(ErrorCode::Unimplemented)));
    assert_eq!(session.exists("/real", false).unwrap(), None);
    let parts = [Part::create("/real", &open_acl), Part::delete("/d/none")];
    assert_eq!(refused_part(session.multi(&parts)), (1, Some(ErrorCode::NoNode)));
    let done = session.multi(&[Part::create("/real", &open_acl)]).unwrap();
    assert_eq!(done, [OperationResult::Created("/real".to_owned())]);
    // Reads are independent.
    create(&session, "/d/a", b"v").unwrap();
    let reads = ["/d/a", "/real", "/d/none", "/none"].map(ReadOperation::GetData);
    let read = session.multi_read(&reads).unwrap();
    let data: Vec<_> = read
        .into_iter()
        .map(|result| match result {
            Ok(ReadResult::Data(data, _)) => Ok(data.unwrap_or_default()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.code()),
        })
        .collect();
    let no_node = || Err(Some(ErrorCode::NoNode));
    assert_eq!(data, [Ok(b"v".to_vec()), Ok(b"r".to_vec()), no_node(), no_node()]);
}

/// Writes everything in capitals, and notes when it is done with a request.
struct Capitals {
    began: Mutex<Sender<()>>,
    may_go_on: Mutex<Receiver<()>>,
}

impl ZooServer for Capitals {
    fn methods(&self) -> Methods {
        Methods::of(&[Method::Create, Method::SetData])
    }

    fn create(&self, call: &Call<'_>, path: &str, data: &[u8]) -> Answer<Created> {
        self.began.lock().unwrap().send(()).unwrap();
        self.may_go_on.lock().unwrap().recv().unwrap();
        call.create(path, &data.to_ascii_uppercase()).map(Some)
    }

    fn set_data(&self, call: &Call<'_>, path: &str, data: &[u8]) -> Answer<Done> {
        call.set_data(path, &data.to_ascii_uppercase()).map(Some)
    }
}

#[test]
fn a_method_may_use_the_built_in_tree_and_the_clients_order_holds() {
    let (began, begins) = channel();
    let (go_on, may_go_on) = channel();
    let methods = Capitals { began: Mutex::new(began), may_go_on: Mutex::new(may_go_on) };
    let Running { session, server, _folder } = start(methods);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::open(&connect_string(server.address()), Settings::default()).await.unwrap();
        let acl = acl::open_acl();
        let created = client.create("/a", Some(b"abc"), &acl, CreateMode::Persistent);
        // The method has not returned yet when these are sent.
        let go_on = async {
            tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
            go_on.send(()).unwrap();
        };
        let read = client.get_data("/a", false);
        let set = client.set_data("/a", Some(b"def"), 0);
        let read_again = client.get_data("/a", false);
        let (created, read, set, read_again, ()) = tokio::join!(created, read, set, read_again, go_on);
        assert_eq!(created.unwrap(), "/a");
        assert_eq!(read.unwrap().0.as_deref(), Some(&b"ABC"[..]));
        assert_eq!(set.unwrap().version, 1);
        assert_eq!(read_again.unwrap().0.as_deref(), Some(&b"DEF"[..]));
    });
    // Conditions and rights are those of the client's request.
    assert_eq!(code(session.set_data("/a", Some(b"x"), 7)), Some(ErrorCode::BadVersion));
    assert_eq!(code(session.set_data("/none", Some(b"x"), -1)), Some(ErrorCode::NoNode));
    session.set_acl("/a", &[Acl::new(perms::READ, "world", "anyone")], -1).unwrap();
    assert_eq!(code(session.set_data("/a", Some(b"x"), -1)), Some(ErrorCode::NoAuth));
    // One part of a multi cannot be done before the others.
    let part = Operation::SetData { path: "/a", data: Some(b"x"), version: -1 };
    assert_eq!(refused_part(session.multi(&[part])), (0, Some(ErrorCode::Unimplemented)));
}

/// Never answers for `/stuck` until its sender is dropped.
struct Stuck(Mutex<Option<Receiver<()>>>);

impl ZooServer for Stuck {
    fn methods(&self) -> Methods {
        Methods::of(&[Method::GetData])
    }

    fn get_data(&self, _: &Call<'_>, path: &str) -> Answer<Data> {
        if path == "/stuck" {
            let receiver = self.0.lock().unwrap().take();
            // It returns when the test ends.
            let _ended = receiver.map(|receiver| receiver.recv());
        }
        Ok(Some(b"x".to_vec().into()))
    }
}

#[test]
fn a_method_that_hangs_delays_nobody_else_and_its_client_not_for_ever() {
    let (_ends, receiver) = channel();
    let methods = Stuck(Mutex::new(Some(receiver)));
    let Running { session, server, _folder } =
        start_with(methods, |builder| builder.deadline(Duration::from_millis(3_000)));
    let address = server.address();
    let stuck = std::thread::spawn(move || {
        // Its client would leave after two thirds of this time without an answer to its pings.
        let options = SessionOptions { timeout_ms: 4_000, ..SessionOptions::default() };
        let session = Session::open(&connect_string(address), options).expect("a session");
        let asked = Instant::now();
        let answer = code(session.get_data("/stuck", false));
        assert!(asked.elapsed() >= Duration::from_secs(3), "{:?}", asked.elapsed());
        // It goes on.
        assert_eq!(session.get_data("/other", false).unwrap().0.as_deref(), Some(&b"x"[..]));
        answer
    });
    while !stuck.is_finished() {
        assert_eq!(session.get_data("/other", false).unwrap().0.as_deref(), Some(&b"x"[..]));
        assert_eq!(session.get_children("/", false).unwrap().0, ["zookeeper"]);
    }
    assert_eq!(stuck.join().unwrap(), Some(ErrorCode::OperationTimeout));
}

/// Answers with a value, and lets the test do something before the client gets it.
struct Changing {
    asked: Mutex<Sender<()>>,
    may_answer: Mutex<Receiver<()>>,
}

impl ZooServer for Changing {
    fn methods(&self) -> Methods {
        Methods::of(&[Method::GetData, Method::GetChildren])
    }

    fn get_data(&self, _: &Call<'_>, _: &str) -> Answer<Data> {
        self.asked.lock().unwrap().send(()).unwrap();
        self.may_answer.lock().unwrap().recv().unwrap();
        Ok(Some(b"before".to_vec().into()))
    }

    fn get_children(&self, _: &Call<'_>, _: &str) -> Answer<Children> {
        Ok(Some(vec!["a".to_owned()].into()))
    }
}

#[test]
fn changes_outside_the_tree_fire_watches_even_while_the_method_answers() {
    let (asked, asks) = channel();
    let (answer, may_answer) = channel();
    let Running { server, _folder, .. } =
        start(Changing { asked: Mutex::new(asked), may_answer: Mutex::new(may_answer) });
    let (session, events) = open_with_events(server.address());
    let announcer = server.announcer();
    let reading = session.clone();
    let read = std::thread::spawn(move || reading.get_data("/v", true).unwrap().0);
    asks.recv_timeout(PATIENCE).unwrap();
    // The method has taken its value already.
    announcer.changed("/v").unwrap();
    answer.send(()).unwrap();
    assert_eq!(read.join().unwrap().as_deref(), Some(&b"before"[..]));
    assert_eq!(next_event(&events), (EventType::NodeDataChanged, "/v".to_owned()));

    answer.send(()).unwrap();
    session.get_data("/v", true).unwrap();
    announcer.deleted("/v").unwrap();
    assert_eq!(next_event(&events), (EventType::NodeDeleted, "/v".to_owned()));

    session.get_children("/v", true).unwrap();
    announcer.created("/v/b").unwrap();
    assert_eq!(next_event(&events), (EventType::NodeChildrenChanged, "/v".to_owned()));
    assert!(announcer.changed("no/path").is_err());
}

/// A client of its own server.
#[derive(Default)]
struct Mirror(OnceLock<SocketAddr>);

impl ZooServer for &'static Mirror {
    fn methods(&self) -> Methods {
        Methods::of(&[Method::GetData])
    }

    fn get_data(&self, _: &Call<'_>, path: &str) -> Answer<Data> {
        let Some(source) = path.strip_prefix("/mirror") else { return Ok(None) };
        let session = open(*self.0.get().unwrap());
        let (data, stat) =
            session.get_data(source, false).map_err(|e| e.code().unwrap_or(ErrorCode::SystemError))?;
        Ok(Some(Data { bytes: data.unwrap_or_default(), stat }))
    }
}

#[test]
fn a_method_may_be_a_client_of_its_own_server() {
    static MIRROR: OnceLock<Mirror> = OnceLock::new();
    let mirror = MIRROR.get_or_init(Mirror::default);
    let Running { session, server, _folder } = start(mirror);
    mirror.0.set(server.address()).expect("the first address");
    create(&session, "/a", b"1").unwrap();
    // Each level needs the method again.
    let (data, stat) = session.get_data("/mirror/mirror/a", false).unwrap();
    assert_eq!((data.as_deref(), stat.data_length), (Some(&b"1"[..]), 1));
    assert_eq!(code(session.get_data("/mirror/none", false)), Some(ErrorCode::NoNode));
}

/// Lets clients in by a token, writes down sessions, and lets only known clients write.
#[derive(Default)]
struct Door(Mutex<Vec<String>>);

impl ZooServer for &'static Door {
    fn methods(&self) -> Methods {
        Methods::of(&[Method::Authenticate, Method::Check, Method::SessionOpened, Method::SessionClosed])
    }

    fn authenticate(&self, _: &Call<'_>, scheme: &str, credentials: &[u8]) -> Answer<String> {
        match (scheme, credentials) {
            ("token", b"secret") => Ok(Some("alice".to_owned())),
            ("token", _) => Err(ErrorCode::AuthFailed),
            _ => Ok(None),
        }
    }

    fn check(&self, call: &Call<'_>) -> Result<(), ErrorCode> {
        let is_known = call.identities().any(|identity| identity == ("token", "alice"));
        let writes = matches!(call.subject().method, Method::Create | Method::Delete | Method::SetData);
        if writes && !is_known { Err(ErrorCode::NoAuth) } else { Ok(()) }
    }

    fn session_opened(&self, session: i64) {
        self.0.lock().unwrap().push(format!("opened {session:x}"));
    }

    fn session_closed(&self, session: i64) {
        self.0.lock().unwrap().push(format!("closed {session:x}"));
    }
}

#[test]
fn a_policy_stands_in_front_of_the_tree() {
    static DOOR: OnceLock<Door> = OnceLock::new();
    let door = DOOR.get_or_init(Door::default);
    let Running { session, server, _folder } = start(door);
    assert_eq!(code(create(&session, "/a", b"")), Some(ErrorCode::NoAuth));
    let refused = session.multi(&[Part::create("/a", &acl::open_acl())]);
    assert_eq!(refused_part(refused), (0, Some(ErrorCode::NoAuth)), "a multi is no way around it");
    let stranger = open(server.address());
    assert_eq!(code(stranger.add_auth("token", b"guess")), Some(ErrorCode::AuthFailed));
    session.add_auth("token", b"secret").unwrap();
    create(&session, "/a", b"").unwrap();
    assert!(session.who_am_i().unwrap().contains(&("token".to_owned(), "alice".to_owned())));
    let own = format!("{:x}", session.identity().id);
    session.close().unwrap();
    let told = Instant::now();
    while !door.0.lock().unwrap().contains(&format!("closed {own}")) {
        assert!(told.elapsed() < PATIENCE, "{:?}", door.0.lock().unwrap());
        std::thread::yield_now();
    }
    assert!(door.0.lock().unwrap().contains(&format!("opened {own}")));
}

#[test]
fn what_does_not_go_together_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ensemble = |builder: Builder| {
        builder
            .set("initLimit", "10")
            .set("syncLimit", "5")
            .set("server.1", "127.0.0.1:2888:3888")
            .set("server.2", "127.0.0.1:2889:3889")
            .set("server.3", "127.0.0.1:2890:3890")
    };
    std::fs::write(folder.path().join("myid"), "1").expect("write a file");
    let refused = ensemble(builder(&folder)).start(GoOn);
    let Err(StartError::Unsuited(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("Create") && why.contains("ensemble"), "{why}");
    let refused = builder(&folder).set("tickTime", "never").start(GoOn);
    assert!(matches!(refused, Err(StartError::Config(_))), "{refused:?}");
}
