//! Leases.

use std::time::{Duration, SystemTime};

use client::{CreateMode, acl};
use recipes::{Error, Granted, Lease, Obtained};
use testing::TestServer;

use crate::client;

const HOUR: Duration = Duration::from_secs(3_600);

fn granted(obtained: Obtained) -> Granted {
    match obtained {
        Obtained::Granted(granted) => granted,
        held => panic!("{held:?}"),
    }
}

#[tokio::test]
async fn a_lease_lasts_until_its_end_and_not_until_the_end_of_a_session() {
    let server = TestServer::start();
    let (first, second) = (client(&server).await, client(&server).await);
    let second = Lease::new(&second, "/leases/nightly", "second");
    let now = SystemTime::now();
    let first_lease = Lease::new(&first, "/leases/nightly", "first");
    assert_eq!(first_lease.holder().await.unwrap(), None);
    let grant = granted(first_lease.obtain_at(now, HOUR).await.unwrap());
    let length = grant.until.duration_since(now).unwrap();
    assert!(length <= HOUR && length > HOUR - Duration::from_secs(1), "{length:?}");
    let held = Obtained::Held { by: "first".to_owned(), until: grant.until };
    assert_eq!(second.obtain_at(now, HOUR).await.unwrap(), held);

    // The holder may renew it, in another session too.
    first.close().await.unwrap();
    let again = client(&server).await;
    let again = Lease::new(&again, "/leases/nightly", "first");
    let renewed = granted(again.obtain_at(now + HOUR / 2, HOUR).await.unwrap());
    assert!(renewed.until > grant.until && renewed.token > grant.token, "{grant:?} {renewed:?}");
    assert!(matches!(second.obtain_at(grant.until, HOUR).await.unwrap(), Obtained::Held { .. }));

    let moved = granted(second.obtain_at(renewed.until, HOUR).await.unwrap());
    assert!(moved.token > renewed.token);
    assert!(!again.give_back().await.unwrap(), "it is the other's");
    assert!(second.give_back().await.unwrap());
    granted(again.obtain_at(now, HOUR).await.unwrap());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = TestServer::start();
    let client = client(&server).await;
    let lease = Lease::new(&client, "/leases/odd", "me");
    for duration in [Duration::from_millis(999), Duration::from_secs(366 * 24 * 3_600), Duration::MAX] {
        assert!(matches!(lease.obtain(duration).await, Err(Error::Argument { .. })), "{duration:?}");
    }
    let open = acl::open_acl();
    client.create_all("/leases/odd", &open).await.unwrap();
    client.create("/leases/odd/lease_holder", None, &open, CreateMode::Persistent).await.unwrap();
    for data in [
        r#"{"version": 2, "holder": "other", "end": "2026-12-01T00:00:00"}"#,
        r#"{"version": 1, "holder": "other", "end": "tomorrow"}"#,
        "",
    ] {
        client.set_data("/leases/odd/lease_holder", Some(data.as_bytes()), -1).await.unwrap();
        assert!(matches!(lease.obtain(HOUR).await, Err(Error::Foreign { .. })), "{data}");
    }
}
