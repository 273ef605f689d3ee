//! Asks the stores what has become of the money.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Told;
use super::world::{ACCOUNTS, BALANCE, TRANSACTIONS, World};

/// How long records of decisions may stay after the last transfer. Only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The money in each store.
///
/// # Panics
/// If the money is not what it was, if a transfer was done in part, if a teller was told what is
/// not so, or if a decision stays in the log.
pub(super) async fn audit(world: &World, told: &BTreeMap<String, Told>) -> [i64; 4] {
    let client = world.client().await.linearizable();
    let sum = "SELECT CAST(sum(balance) AS CHAR(20)) FROM accounts";
    let one = |rows: Vec<String>| rows[0].trim().parse::<i64>().expect("a sum");
    let service = world.service.accounts().await;
    let in_service = service.balances.iter().sum();
    let mut balances = [one(world.postgres(sum).await), one(world.mariadb(sum).await), 0, in_service];
    for id in 0..ACCOUNTS {
        let (data, _) = client.get_data(&format!("/bank/accounts/{id}"), false).await.expect("an account");
        let balance = String::from_utf8(data.unwrap_or_default()).expect("a number");
        balances[2] += balance.parse::<i64>().expect("a number");
    }
    assert_eq!(
        balances.iter().sum::<i64>(),
        4 * ACCOUNTS as i64 * BALANCE,
        "money was lost or made: {balances:?}"
    );
    let moved = "SELECT id FROM moved";
    let in_postgres: BTreeSet<String> = world.postgres(moved).await.into_iter().collect();
    let in_mariadb: BTreeSet<String> = world.mariadb(moved).await.into_iter().collect();
    let (names, _) = client.get_children("/bank/moved", false).await.expect("the transfers");
    let in_znodes: BTreeSet<String> = names.into_iter().collect();
    let others = [("MariaDB", &in_mariadb), ("the znodes", &in_znodes), ("the service", &service.moved)];
    for (name, store) in others {
        let partial: Vec<_> = in_postgres.symmetric_difference(store).collect();
        assert!(partial.is_empty(), "done in only one of PostgreSQL and {name}: {partial:?}");
    }
    for (id, told) in told {
        match told {
            Told::Committed => assert!(in_postgres.contains(id), "{id} was told to be committed"),
            Told::Aborted => assert!(!in_postgres.contains(id), "{id} was told to be aborted"),
            Told::Unknown => {}
        }
    }
    await_no_decision(&client).await;
    balances
}

async fn await_no_decision(client: &client::Client) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (decisions, _) =
            client.get_children(&format!("{TRANSACTIONS}/decisions"), false).await.expect("decisions");
        if decisions.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "these stay in the log: {decisions:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
