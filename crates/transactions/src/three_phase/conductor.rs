//! The coordinator of three-phase commit: it keeps nothing, and the agents can do without it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use commit::decision::{Answer, Outcome};
use commit::three_phase::{Coordinator, CoordinatorAction, CoordinatorEvent, Party};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::agents::AgentSettings;
use super::frame::{Frame, Parties};
use super::mail::{self, Post};
use crate::transaction::{CommitError, Committed};
use crate::{BranchId, TransactionId};

/// Begins three-phase commits, and listens to what agents say.
#[derive(Debug)]
pub struct Conductor {
    address: SocketAddr,
    settings: AgentSettings,
    started: Instant,
    post: Arc<Post>,
    running: Arc<Mutex<HashMap<TransactionId, mpsc::UnboundedSender<CoordinatorEvent>>>>,
    tasks: Vec<JoinHandle<()>>,
}

/// Why a transaction is not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConductorError {
    /// It has no branches.
    #[error("a transaction needs a participant")]
    None,
    /// A branch is one of another transaction.
    #[error("{0} is a branch of another transaction")]
    Foreign(BranchId),
    /// It ended otherwise.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

type Running = HashMap<TransactionId, mpsc::UnboundedSender<CoordinatorEvent>>;

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Conductor {
    /// Listens for the answers of agents, which need `address` to reach it.
    ///
    /// # Errors
    /// The listener has no address.
    pub async fn open(listener: TcpListener, settings: AgentSettings) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (inbox, mut frames) = mpsc::unbounded_channel::<Frame>();
        let running: Arc<Mutex<Running>> = Arc::default();
        let known = Arc::clone(&running);
        let deliver = async move {
            while let Some(frame) = frames.recv().await {
                if let (Some(id), Party::Agent(from), Some(message)) =
                    (frame.id(), frame.from(), frame.message())
                {
                    let coordinator = lock(&known).get(&id).cloned();
                    // One that has ended hears nothing.
                    let event = CoordinatorEvent::Received { from, message };
                    let _ended = coordinator.map(|coordinator| coordinator.send(event));
                }
            }
        };
        let tasks = vec![tokio::spawn(mail::receive(listener, inbox)), tokio::spawn(deliver)];
        Ok(Self { address, settings, started: Instant::now(), post: Arc::default(), running, tasks })
    }

    /// Commits the branches of a transaction, whose agents listen at these addresses.
    ///
    /// # Errors
    /// [`ConductorError`]; [`CommitError::Unknown`] if no agent said in time what it knows.
    pub async fn commit(
        &self,
        id: TransactionId,
        branches: &[(BranchId, SocketAddr)],
    ) -> Result<Committed, ConductorError> {
        if branches.is_empty() {
            return Err(ConductorError::None);
        }
        if let Some((foreign, _)) = branches.iter().find(|(branch, _)| branch.transaction != id) {
            return Err(ConductorError::Foreign(foreign.clone()));
        }
        let agents = branches.iter().map(|(branch, address)| (branch.to_string(), *address)).collect();
        let parties = Parties { coordinator: self.address, agents };
        let names = branches.iter().map(|(branch, _)| branch.branch.clone()).collect();
        let machine = Coordinator::new(names, self.settings.settings, self.settings.timing);
        let (events, incoming) = mpsc::unbounded_channel();
        lock(&self.running).insert(id, events);
        let (answer, answered) = oneshot::channel();
        let way = Way { id, parties, post: Arc::clone(&self.post), started: self.started };
        let drive = drive(machine, way, incoming, answer);
        let running = Arc::clone(&self.running);
        tokio::spawn(async move {
            drive.await;
            lock(&running).remove(&id);
        });
        let Ok(Answer { outcome, unfinished, heuristics }) = answered.await else {
            let reason = "the runtime is ending".to_owned();
            return Err(CommitError::Unknown { id, reason }.into());
        };
        match outcome {
            Outcome::Committed => Ok(Committed { unfinished, heuristics }),
            Outcome::Aborted(reason) => Err(CommitError::Aborted { reason, unfinished }.into()),
            Outcome::Unknown(reason) => Err(CommitError::Unknown { id, reason }.into()),
        }
    }
}

impl Drop for Conductor {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        // Transactions that are under way end without their coordinator.
        lock(&self.running).clear();
    }
}

/// What a coordinator needs besides itself.
struct Way {
    id: TransactionId,
    parties: Parties,
    post: Arc<Post>,
    started: Instant,
}

async fn drive(
    mut machine: Coordinator,
    way: Way,
    mut incoming: mpsc::UnboundedReceiver<CoordinatorEvent>,
    answer: oneshot::Sender<Answer>,
) {
    let Way { id, parties, post, started } = way;
    let now_ms = || started.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    let mut answer = Some(answer);
    let mut event = CoordinatorEvent::Begin;
    loop {
        for action in machine.handle(now_ms(), event) {
            match action {
                CoordinatorAction::Send { to, message } => {
                    let to = Party::Agent(to);
                    if let Some(address) = parties.address(to) {
                        post.send(address, &Frame::new(id, &parties, Party::Coordinator, to, &message));
                    }
                }
                CoordinatorAction::Answer(told) => {
                    // The caller may have gone.
                    let _gone = answer.take().map(|caller| caller.send(told));
                }
                CoordinatorAction::End => return,
            }
        }
        let due: u64 = machine.due_ms().unwrap_or(u64::MAX);
        let wait = Duration::from_millis(due.saturating_sub(now_ms()).min(3_600_000));
        event = tokio::select! {
            received = incoming.recv() => match received {
                Some(received) => received,
                None => return,
            },
            () = tokio::time::sleep(wait) => CoordinatorEvent::Tick,
        };
    }
}
