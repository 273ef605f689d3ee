//! Operations that only some servers have, with and without them.

use client::{CreateMode, Error, ErrorCode, OperationResult, Transaction, acl};

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
