//! Deletes the records that nobody needs any more, several in one write.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::TransactionId;
use crate::log::Log;
use crate::observer::{Step, When};
use crate::shared::Running;

/// How long records are gathered. Until they are deleted they do no harm.
const GATHER: Duration = Duration::from_millis(50);
/// Most records in one write.
const BATCH_MAX: usize = 200;

/// A record to be deleted. The process does not end in order before that.
pub(crate) type Forgotten = (TransactionId, Running);

/// Deletes records until nobody can ask for it.
pub(crate) async fn run(log: Log, mut queue: mpsc::UnboundedReceiver<Forgotten>) {
    while let Some(first) = queue.recv().await {
        tokio::time::sleep(GATHER).await;
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        batch.iter().for_each(|(id, shared)| shared.observe(id, When::Before, &Step::Forget));
        let ids: Vec<TransactionId> = batch.iter().map(|(id, _)| *id).collect();
        // Recovery deletes what stays.
        let _stays = log.forget_all(&ids).await;
        batch.iter().for_each(|(id, shared)| shared.observe(id, When::After, &Step::Forget));
    }
}
