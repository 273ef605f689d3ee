//! Service discovery: registrations, live sets and health checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::{Client, CreateMode, ErrorCode, Settings as ClientSettings, acl};
use recipes::Error;
use recipes::discovery::{
    Discovery, Health, HealthCheck, Instance, Known, Probe, Service, Settings, Thresholds, Weight,
};
use testing::{TestServer, listen};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{client, expire, soon};

const BASE: &str = "/deep/services";

fn instance(id: &str) -> Instance {
    let mut instance = Instance::new("web", "127.0.0.1", 8080);
    instance.id = id.to_owned();
    instance
}

async fn follow(discovery: &Discovery, strategy: &str) -> Service {
    soon(discovery.service("web", strategy.parse().unwrap(), Settings::default())).await.unwrap()
}

/// Waits until what is known of a service is as wanted.
async fn until(service: &mut Service, is_wanted: impl Fn(&Known) -> bool) -> Arc<Known> {
    let mut known = service.known();
    while !is_wanted(&known) {
        known = soon(service.changed()).await.unwrap();
    }
    known
}

fn ids(known: &Known) -> Vec<&str> {
    known.found.instances.iter().map(|instance| &*instance.id).collect()
}

fn available(known: &Known) -> Vec<&str> {
    known.picker.instances().map(|(instance, _)| instance.id()).collect()
}

#[tokio::test]
async fn a_set_has_the_instances_that_are_registered() {
    let server = TestServer::start();
    let (one, two) = (client(&server).await, client(&server).await);
    let (here, there) = (Discovery::new(&one, BASE).unwrap(), Discovery::new(&two, BASE).unwrap());
    assert!(here.services().await.unwrap().is_empty());
    let mut service = follow(&there, "round-robin").await;
    assert!(service.pick(b"").is_none() && service.is_live());

    let mut described = instance("a");
    described.weight = Weight::new(7).unwrap();
    described.zone = Some("north".to_owned());
    described.metadata.insert("version".to_owned(), "3".to_owned());
    let a = here.register(described.clone()).await.unwrap();
    assert_eq!(a.path(), "/deep/services/web/a");
    let known = until(&mut service, |known| ids(known) == ["a"]).await;
    described.registered_ms = known.found.instances[0].registered_ms;
    assert!(described.registered_ms > 0);
    assert_eq!(*known.found.instances[0], described);
    assert_eq!(service.pick(b"").unwrap().instance().endpoint(), "127.0.0.1:8080");

    let b = there.register(instance("b")).await.unwrap();
    until(&mut service, |known| available(known) == ["a", "b"]).await;
    // What is disabled or failing is listed, and not chosen.
    a.update(|a| a.is_enabled = false).unwrap();
    until(&mut service, |known| available(known) == ["b"] && ids(known) == ["a", "b"]).await;
    b.set_health(Health::Failing);
    until(&mut service, |known| available(known).is_empty()).await;
    assert!(service.pick(b"").is_none());
    b.set_health(Health::Passing);
    until(&mut service, |known| available(known) == ["b"]).await;
    assert_eq!(here.services().await.unwrap(), ["web"]);
    assert_eq!(here.instances("web").await.unwrap(), service.known().found);

    a.leave().await.unwrap();
    until(&mut service, |known| ids(known) == ["b"]).await;
    drop(b);
    until(&mut service, |known| ids(known).is_empty()).await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_or_skipped() {
    let server = TestServer::start();
    let client = client(&server).await;
    for base in ["", "services", "/a//b", "/a/../b"] {
        assert!(matches!(Discovery::new(&client, base), Err(Error::Argument { .. })), "{base}");
    }
    let discovery = Discovery::new(&client, "/").unwrap();
    for change in [
        (|i: &mut Instance| i.id = "a/b".to_owned()) as fn(&mut Instance),
        |i| i.id = String::new(),
        |i| i.service = "..".to_owned(),
        |i| i.port = 0,
        |i| i.address = "http://host".to_owned(),
        |i| i.zone = Some(String::new()),
    ] {
        let mut instance = instance("a");
        change(&mut instance);
        assert!(matches!(discovery.register(instance).await, Err(Error::Argument { .. })));
    }
    let zone_first = discovery.service("web", "zone-first".parse().unwrap(), Settings::default()).await;
    assert!(matches!(zone_first, Err(Error::Argument { .. })));

    let registration = discovery.register(instance("good")).await.unwrap();
    assert!(matches!(registration.update(|it| it.port = 0), Err(Error::Argument { .. })));
    let mut service = follow(&discovery, "ring").await;
    for (path, json) in [("/web/bad", &b"{\"name\":7}"[..]), ("/web/empty", b"")] {
        client.create(path, Some(json), &acl::open_acl(), CreateMode::Ephemeral).await.unwrap();
    }
    let known = until(&mut service, |known| known.found.skipped.len() == 2).await;
    assert_eq!((ids(&known), &*known.found.skipped[0].id), (vec!["good"], "bad"));
    assert_eq!(service.pick(b"key").unwrap().instance().id, "good");
}

/// Golden: the bytes that Curator 5 writes, by another client, and the bytes that it reads.
#[tokio::test]
async fn curator_and_this_share_a_service() {
    let server = TestServer::start();
    let client = client(&server).await;
    let discovery = Discovery::new(&client, BASE).unwrap();
    let mut service = follow(&discovery, "weighted").await;
    let theirs = br#"{"name":"web","id":"j","address":"10.0.0.9","port":8081,"sslPort":null,"payload":null,"registrationTimeUTC":1700000000000,"serviceType":"DYNAMIC","uriSpec":null,"enabled":true}"#;
    client.create_all("/deep/services/web", &acl::open_acl()).await.unwrap();
    let open = acl::open_acl();
    client.create("/deep/services/web/j", Some(theirs), &open, CreateMode::Ephemeral).await.unwrap();
    until(&mut service, |known| available(known) == ["j"]).await;
    assert_eq!(service.pick(b"").unwrap().instance().endpoint(), "10.0.0.9:8081");

    let ours = discovery.register(instance("r")).await.unwrap();
    let (data, stat) = client.get_data(ours.path(), false).await.unwrap();
    let text = String::from_utf8(data.unwrap()).unwrap();
    let (before, after) = text.split_once("\"registrationTimeUTC\":").unwrap();
    assert_eq!(
        before,
        r#"{"name":"web","id":"r","address":"127.0.0.1","port":8080,"sslPort":null,"payload":null,"#
    );
    assert!(after.ends_with(r#","serviceType":"DYNAMIC","uriSpec":null,"enabled":true}"#), "{after}");
    assert_eq!(stat.ephemeral_owner, client.identity().id);
}

/// A process that was killed and comes back does not wait for its old session.
#[tokio::test]
async fn an_instance_of_the_same_id_replaces_the_one_of_an_earlier_session() {
    let server = TestServer::start();
    let (one, two) = (client(&server).await, client(&server).await);
    let first = Discovery::new(&one, BASE).unwrap().register(instance("a")).await.unwrap();
    let second = Discovery::new(&two, BASE).unwrap().register(instance("a")).await.unwrap();
    soon(first.ended()).await;
    assert!(matches!(first.leave().await, Err(Error::Deleted { .. })));
    // The one that was replaced has not taken the other away.
    let stat = one.linearizable().exists(second.path(), false).await.unwrap().expect("the second one");
    assert_eq!(stat.ephemeral_owner, two.identity().id);
    one.delete(second.path(), -1).await.unwrap();
    soon(second.ended()).await;
    assert!(matches!(second.leave().await, Err(Error::Deleted { .. })));
}

#[tokio::test]
async fn what_is_kept_lives_over_the_end_of_sessions_and_the_rest_does_not() {
    let server = TestServer::start();
    let watcher = client(&server).await;
    let opened = Arc::new(AtomicUsize::new(0));
    let (last, mut newest) = tokio::sync::watch::channel(None);
    let (servers, count) = (server.address().parse().unwrap(), Arc::clone(&opened));
    let connect = move || {
        let (servers, count, last): (client::ConnectString, _, _) =
            (Clone::clone(&servers), count.clone(), last.clone());
        async move {
            let client = Client::open(&servers, ClientSettings::default()).await?;
            count.fetch_add(1, Ordering::SeqCst);
            last.send_replace(Some(client.clone()));
            Ok(client)
        }
    };
    let kept = Discovery::keep(connect, BASE).await.unwrap();
    let registration = kept.register(instance("kept")).await.unwrap();
    let mut followed = follow(&kept, "random").await;
    registration.update(|it| it.weight = Weight::new(9).unwrap()).unwrap();

    let lost_client = client(&server).await;
    let lost = Discovery::new(&lost_client, BASE).unwrap();
    let lost_registration = lost.register(instance("lost")).await.unwrap();
    let mut lost_service = follow(&lost, "random").await;
    until(&mut followed, |known| ids(known) == ["kept", "lost"]).await;

    let first = newest.borrow_and_update().clone().unwrap();
    expire(&server, &first).await;
    expire(&server, &lost_client).await;
    soon(lost_registration.ended()).await;
    assert_eq!(lost_registration.leave().await.unwrap_err().code(), Some(ErrorCode::SessionExpired));
    // The last known set stays in use, and says that it is not live.
    let error = loop {
        match soon(lost_service.changed()).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Some(ErrorCode::SessionExpired));
    assert!(!lost_service.is_live() && lost_service.pick(b"").is_some());

    let mut judge = follow(&Discovery::new(&watcher, BASE).unwrap(), "random").await;
    let second = loop {
        soon(newest.changed()).await.unwrap();
        let newest = newest.borrow_and_update().clone().unwrap();
        if newest.identity().id != first.identity().id {
            break newest;
        }
    };
    let known =
        until(&mut judge, |known| ids(known) == ["kept"] && known.found.instances[0].weight.get() == 9).await;
    assert_eq!(available(&known), ["kept"]);
    let owner = watcher.exists(registration.path(), false).await.unwrap().unwrap().ephemeral_owner;
    assert_eq!(owner, second.identity().id);
    // The set that is kept is followed in the new session.
    let other = Discovery::new(&watcher, BASE).unwrap().register(instance("new")).await.unwrap();
    until(&mut followed, |known| ids(known) == ["kept", "new"]).await;
    assert!(followed.is_live());
    assert_eq!(opened.load(Ordering::SeqCst), 2, "registration and set share a session");
    other.leave().await.unwrap();
    kept.close().await.unwrap();
    soon(registration.ended()).await;
}

#[tokio::test]
async fn the_last_set_stays_in_use_while_there_is_no_server() {
    let mut server = TestServer::start();
    let client = client(&server).await;
    let discovery = Discovery::new(&client, BASE).unwrap();
    let _registration = discovery.register(instance("a")).await.unwrap();
    let mut service = follow(&discovery, "ring").await;
    until(&mut service, |known| ids(known) == ["a"]).await;
    let mut events = client.subscribe();
    server.stop();
    soon(events.recv()).await.unwrap();
    assert!(!service.is_live());
    assert_eq!(service.pick(b"key").unwrap().instance().id, "a");
    server.resume();
    while !service.is_live() {
        soon(events.recv()).await.unwrap();
    }
    let _other = discovery.register(instance("b")).await.unwrap();
    until(&mut service, |known| available(known) == ["a", "b"]).await;
}

#[tokio::test]
async fn an_avoided_instance_is_not_chosen_for_a_while_unless_all_are() {
    let server = TestServer::start();
    let client = client(&server).await;
    let discovery = Discovery::new(&client, BASE).unwrap();
    let _a = discovery.register(instance("a")).await.unwrap();
    let _b = discovery.register(instance("b")).await.unwrap();
    let mut service = follow(&discovery, "rendezvous").await;
    until(&mut service, |known| ids(known) == ["a", "b"]).await;
    let long = Duration::from_secs(3_600);
    let owner = service.pick(b"key").unwrap().instance().id.clone();
    service.avoid(&owner, long);
    let other = service.pick(b"key").unwrap().instance().id.clone();
    assert_ne!(other, owner);
    service.avoid(&other, long);
    assert_eq!(service.pick(b"key").unwrap().instance().id, owner, "all are avoided, so all are chosen");
    service.avoid(&other, Duration::ZERO);
    until(&mut service, |known| available(known) == [&*other]).await;
    service.avoid(&owner, Duration::from_millis(1));
    until(&mut service, |known| available(known) == ["a", "b"]).await;
}

#[tokio::test]
async fn the_busy_instance_keeps_its_count_when_the_set_changes() {
    let server = TestServer::start();
    let client = client(&server).await;
    let discovery = Discovery::new(&client, BASE).unwrap();
    let _a = discovery.register(instance("a")).await.unwrap();
    let mut service = follow(&discovery, "least-loaded").await;
    until(&mut service, |known| ids(known) == ["a"]).await;
    let held: Vec<_> = (0..3).map(|_| service.pick(b"").unwrap()).collect();
    let _b = discovery.register(instance("b")).await.unwrap();
    until(&mut service, |known| ids(known) == ["a", "b"]).await;
    let next: Vec<_> = (0..3).map(|_| service.pick(b"").unwrap()).collect();
    assert!(next.iter().all(|picked| picked.instance().id == "b"));
    drop(held);
    assert_eq!(service.pick(b"").unwrap().instance().id, "a");
}

/// Answers each connection with these bytes, and closes it.
async fn answering(bytes: &'static [u8]) -> (String, tokio::task::JoinHandle<()>) {
    let listener = listen();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1_024];
            if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                let _ = stream.write_all(bytes).await;
            }
        }
    });
    (address, task)
}

#[tokio::test]
async fn a_probe_tells_whether_an_instance_works() {
    for (answer, works) in [
        (&b"HTTP/1.1 200 OK\r\n\r\n"[..], true),
        (b"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n", true),
        (b"HTTP/1.1 503 Busy\r\n\r\n", false),
        (b"hello\n", false),
        (b"", false),
        (&[b'x'; 100_000], false),
    ] {
        let (address, task) = answering(answer).await;
        let probe = Probe::http(&format!("http://{address}/health")).unwrap();
        assert_eq!(soon(probe.run()).await.is_ok(), works, "{answer:.40?}");
        soon(Probe::tcp(&address).unwrap().run()).await.unwrap();
        task.abort();
        let _ = task.await;
        assert!(soon(probe.run()).await.is_err(), "nobody listens");
        assert!(soon(Probe::tcp(&address).unwrap().run()).await.is_err(), "nobody listens");
    }
    for (line, works) in [("true", true), ("exit 3", false), ("kill -9 $$", false)] {
        let words = ["sh", "-c", line].map(str::to_owned).to_vec();
        assert_eq!(soon(Probe::command(words).unwrap().run()).await.is_ok(), works, "{line}");
    }
    assert!(Probe::command(vec!["/no/such/program".to_owned()]).unwrap().run().await.is_err());
}

/// Whether a process of that group lives.
fn lives(group: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut stats = processes.filter_map(|one| std::fs::read_to_string(one.path().join("stat")).ok());
    stats.any(|stat| {
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[2] == group && fields[0] != "Z"
    })
}

#[tokio::test]
async fn a_check_that_hangs_fails_and_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    // Succeeds the first time.
    let line = format!("cd {path}; if test -e once; then echo $$ > group; sleep 600; fi; touch once");
    let probe = Probe::command(["sh", "-c", &line].map(str::to_owned).to_vec()).unwrap();
    let (interval, timeout) = (Duration::from_millis(100), Duration::from_secs(3));
    let check = HealthCheck::new(probe, Thresholds { interval, timeout, rise: 1, fall: 1 }).unwrap();
    let (reported, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let run = check.run(|health, reason| reported.send((health, reason.map(ToString::to_string))).unwrap());
    tokio::select! {
        () = run => unreachable!("it never ends"),
        () = async {
            assert_eq!(soon(reports.recv()).await, Some((Health::Passing, None)));
            let hung = Some("no answer within 3s".to_owned());
            assert_eq!(soon(reports.recv()).await, Some((Health::Failing, hung)));
        } => {}
    }
    let group = std::fs::read_to_string(folder.path().join("group")).unwrap();
    soon(async {
        while lives(group.trim()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_check_marks_an_instance_and_brings_it_back() {
    let server = TestServer::start();
    let client = client(&server).await;
    let discovery = Discovery::new(&client, BASE).unwrap();
    let mut described = instance("a");
    described.health = Health::Failing;
    let registration = discovery.register(described).await.unwrap();
    let mut service = follow(&discovery, "random").await;
    until(&mut service, |known| ids(known) == ["a"] && available(known).is_empty()).await;

    let (address, task) = answering(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let thresholds = Thresholds {
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(10),
        rise: 2,
        fall: 2,
    };
    let check = HealthCheck::new(Probe::http(&format!("http://{address}")).unwrap(), thresholds).unwrap();
    let reports = std::sync::Mutex::new(Vec::new());
    let run = check.run(|health, reason| {
        registration.set_health(health);
        reports.lock().unwrap().push((health, reason.is_some()));
    });
    let story = async {
        until(&mut service, |known| available(known) == ["a"]).await;
        task.abort();
        let _ = task.await;
        until(&mut service, |known| available(known).is_empty()).await;
        assert_eq!(ids(&service.known()), ["a"], "it stays listed");
        let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            }
        });
        until(&mut service, |known| available(known) == ["a"]).await;
    };
    tokio::select! {
        () = run => unreachable!("it never ends"),
        () = story => {}
    }
    let expected = [(Health::Passing, false), (Health::Failing, true), (Health::Passing, false)];
    assert_eq!(*reports.lock().unwrap(), expected);
}
