//! Operations that only some servers have, with and without them.

use client::{Client, CreateMode, Error, ErrorCode, OperationResult, Stat, Transaction, acl};

use crate::server::{Reach as _, TestServer};

fn both() -> [TestServer; 2] {
    [TestServer::start(), TestServer::start_with(&["ostler.keeperExtensions=false"])]
}

#[tokio::test]
async fn extensions_do_the_same_where_the_server_lacks_them() {
    for server in both() {
        let client = server.client().await;
        let open = acl::open_acl();
        client.create_all("/a/b/c", &open).await.unwrap();
        client.create_all("/a/b/c", &open).await.unwrap();
        for _ in 0..2 {
            let path = client.create_if_not_exists("/a/x", Some(b"1"), &open, CreateMode::Ephemeral).await;
            assert_eq!(path.unwrap(), "/a/x");
        }
        let none = client.create_if_not_exists("/none/x", None, &open, CreateMode::Persistent).await;
        assert_eq!(none.unwrap_err().code(), Some(ErrorCode::NoNode));

        let (children, stat) = client.children_with_data("/a").await.unwrap();
        let shown: Vec<_> =
            children.iter().map(|child| (child.name.as_str(), child.data.as_deref())).collect();
        assert_eq!(shown, [("b", None), ("x", Some(&b"1"[..]))]);
        assert_eq!((stat.num_children, children[1].stat.unwrap().data_length), (2, 1));

        assert_eq!(client.list_recursive("/a", 10).await.unwrap(), ["/a", "/a/b", "/a/x", "/a/b/c"]);
        assert!(!client.try_delete("/a", -1).await.unwrap() && !client.try_delete("/a/x", 7).await.unwrap());
        client.discard("/a", -1).await.unwrap();
        assert!(client.try_delete("/a/x", 0).await.unwrap());
        assert!(!client.try_delete("/a/x", -1).await.unwrap());

        let error = client.delete_recursive("/a", 2).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        client.delete_recursive("/a", 3).await.unwrap();
        assert_eq!(client.exists("/a", false).await.unwrap(), None);
        client.delete_recursive("/a", 3).await.unwrap();
    }
}

#[tokio::test]
async fn a_multi_requires_that_a_znode_does_not_exist() {
    for server in both() {
        let client = server.client().await;
        let open = acl::open_acl();
        let once = Transaction::new()
            .check_not_exists("/done")
            .create("/work", Some(b"1"), &open, CreateMode::Persistent)
            .check("/work", 0);
        let results = once.commit(&client).await.unwrap();
        let created = OperationResult::Created("/work".to_owned());
        assert_eq!(results, [OperationResult::Checked, created, OperationResult::Checked]);
        assert_eq!(client.exists("/done", false).await.unwrap(), None, "nothing stays of the check");

        client.create("/done", None, &open, CreateMode::Persistent).await.unwrap();
        let twice = Transaction::new()
            .set_data("/work", Some(b"2"), -1)
            .check_not_exists("/done")
            .delete("/work", -1)
            .commit(&client)
            .await;
        match twice.unwrap_err() {
            Error::MultiRefused { index: 1, code, path } => {
                assert_eq!((code, path.as_str()), (ErrorCode::NodeExists as i32, "/done"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(client.get_data("/work", false).await.unwrap().0.as_deref(), Some(&b"1"[..]));
    }
}

/// Each field once, as it is and as it is not.
async fn compare_every_field(client: &Client, path: &str) {
    let stat = client.exists(path, false).await.unwrap().expect("a znode");
    type Setter = fn(&mut Stat, &Stat, i8);
    let fields: [Setter; 11] = [
        |one, is, more| one.czxid = is.czxid + i64::from(more),
        |one, is, more| one.mzxid = is.mzxid + i64::from(more),
        |one, is, more| one.ctime = is.ctime + i64::from(more),
        |one, is, more| one.mtime = is.mtime + i64::from(more),
        |one, is, more| one.version = is.version + i32::from(more),
        |one, is, more| one.cversion = is.cversion + i32::from(more),
        |one, is, more| one.aversion = is.aversion + i32::from(more),
        |one, is, more| one.ephemeral_owner = is.ephemeral_owner + i64::from(more),
        |one, is, more| one.data_length = is.data_length + i32::from(more),
        |one, is, more| one.num_children = is.num_children + i32::from(more),
        |one, is, more| one.pzxid = is.pzxid + i64::from(more),
    ];
    for (number, set) in fields.iter().enumerate() {
        let (mut right, mut wrong) = (Stat::ANY, Stat::ANY);
        set(&mut right, &stat, 0);
        set(&mut wrong, &stat, 1);
        client.check_stat(path, -1, &right).await.unwrap();
        let error = client.check_stat(path, -1, &wrong).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::BadVersion), "field {number}");
    }
}

#[tokio::test]
async fn a_stat_is_compared_where_the_server_can_and_where_it_cannot() {
    for server in both() {
        let client = server.client().await;
        let open = acl::open_acl();
        client.create_all("/a/b", &open).await.unwrap();
        client.set_data("/a", Some(b"data"), -1).await.unwrap();
        compare_every_field(&client, "/a").await;
        client.check_stat("/a", 1, &Stat { num_children: 1, data_length: 4, ..Stat::ANY }).await.unwrap();
        for (path, version, code) in [("/a", 0, ErrorCode::BadVersion), ("/none", -1, ErrorCode::NoNode)] {
            let error = client.check_stat(path, version, &Stat::ANY).await.unwrap_err();
            assert_eq!(error.code(), Some(code), "{path}");
            assert!(matches!(error, Error::Refused { path: Some(named), .. } if named == path));
        }
    }
}

#[tokio::test]
async fn a_multi_compares_a_stat_or_is_not_sent() {
    let [with, without] = both();
    let open = acl::open_acl();
    let [empty, full] = [0, 1].map(|num_children| Stat { num_children, ..Stat::ANY });
    let client = with.client().await;
    client.create("/a", None, &open, CreateMode::Persistent).await.unwrap();
    let first = Transaction::new()
        .check_stat("/a", 0, &empty)
        .create("/a/first", None, &open, CreateMode::Persistent)
        .check_stat("/a", -1, &full);
    let results = first.commit(&client).await.unwrap();
    let created = OperationResult::Created("/a/first".to_owned());
    assert_eq!(results, [OperationResult::Checked, created, OperationResult::Checked]);
    let again = Transaction::new().delete("/a/first", -1).check_stat("/a", -1, &full).commit(&client).await;
    match again.unwrap_err() {
        Error::MultiRefused { index: 1, code, path } => {
            assert_eq!((code, path.as_str()), (ErrorCode::BadVersion as i32, "/a"));
        }
        other => panic!("{other:?}"),
    }
    assert!(client.exists("/a/first", false).await.unwrap().is_some());

    let client = without.client().await;
    let create = Transaction::new().create("/a", None, &open, CreateMode::Persistent);
    match create.check_stat("/a", -1, &empty).commit(&client).await.unwrap_err() {
        Error::MultiRefused { index: 1, code, path } => {
            assert_eq!((code, path.as_str()), (ErrorCode::Unimplemented as i32, "/a"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(client.exists("/a", false).await.unwrap(), None);
}
