//! A desk of a teller, where one transfer is made after the other.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use client::Client;
use mysql_async::prelude::Queryable as _;
use transactions::{CommitError, Transaction, Transactions, ZnodeOperation};

use super::Told;
use super::service::{self, Work};
use super::world::ACCOUNTS;

/// How long a teller works on a transfer before it gives up.
const WORK_MAX: Duration = Duration::from_secs(2);

/// Where transfers are made.
pub(super) struct Desk<'a> {
    transactions: &'a Transactions,
    client: &'a Client,
    /// The URL of the service.
    service: &'a str,
    random: Random,
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        transactions: &'a Transactions,
        client: &'a Client,
        service: &'a str,
        number: u64,
    ) -> Desk<'a> {
        let random = Random(u64::from(std::process::id()) << 8 | number);
        Desk { transactions, client, service, random }
    }

    /// Transfers until the bank closes or the session ends.
    pub(super) async fn serve(mut self, is_closing: &AtomicBool) {
        while !is_closing.load(SeqCst) && !self.client.state().is_over() {
            let transaction = self.transactions.begin();
            let id = transaction.id();
            let told = self.transfer(transaction).await;
            println!("transfer {id} {told:?}");
        }
    }

    async fn transfer(&mut self, mut transaction: Transaction) -> Told {
        match tokio::time::timeout(WORK_MAX, self.move_money(&mut transaction)).await {
            Ok(Ok(())) => match transaction.commit().await {
                Ok(_) => Told::Committed,
                Err(CommitError::Aborted { .. } | CommitError::Members(_)) => Told::Aborted,
                Err(CommitError::Unknown { .. }) => Told::Unknown,
            },
            Ok(Err(_)) | Err(_) => {
                transaction.abort().await;
                // A store that is away is not asked for a moment.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Told::Aborted
            }
        }
    }

    /// Takes money from one store and gives it to the others.
    async fn move_money(
        &mut self,
        transaction: &mut Transaction,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let id = transaction.id();
        let mut amounts = [0; 4];
        amounts[1..].fill_with(|| self.random.below(50) as i64 + 1);
        amounts[0] = -amounts.iter().sum::<i64>();
        amounts.rotate_left(self.random.below(4) as usize);
        let mut accounts = [0; 4];
        accounts.fill_with(|| self.random.below(ACCOUNTS));
        let update = |amount: i64, account: u64| {
            format!(
                "UPDATE accounts SET balance = balance + {amount} WHERE id = {account}; INSERT INTO moved VALUES ('{id}')"
            )
        };
        let session = transaction.postgres("postgres").await?;
        session.batch_execute(&update(amounts[0], accounts[0])).await?;
        drop(session);
        let mut session = transaction.mariadb("mariadb").await?;
        session.query_drop(update(amounts[1], accounts[1])).await?;
        drop(session);
        let branch = transaction.branch("service")?;
        let work = Work { id: id.to_string(), account: accounts[2], amount: amounts[2] };
        service::work(self.service, &branch, &work).await?;
        let path = format!("/bank/accounts/{}", accounts[3]);
        let (data, stat) = self.client.linearizable().get_data(&path, false).await?;
        let balance: i64 = String::from_utf8(data.unwrap_or_default())?.parse()?;
        let balance = (balance + amounts[3]).to_string();
        transaction.znode("znodes", ZnodeOperation::set_data(&path, balance.as_bytes(), stat.version))?;
        transaction.znode("znodes", ZnodeOperation::create(&format!("/bank/moved/{id}"), b""))?;
        Ok(())
    }
}

/// A generator whose numbers need not be good.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
