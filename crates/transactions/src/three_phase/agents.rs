//! The agents beside one participant, one for each transaction.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use commit::Settings;
use commit::decision::{Decision, Finish as Told, Presence, Vote as Voted, Witness};
use commit::record::PreparedBranch;
use commit::three_phase::{Agent, AgentAction, AgentEvent, Message, Party, State, Timing};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::frame::Frame;
use super::mail::{self, Post};
use super::store::{Kept, Store};
use crate::participant::{Ending, Finish, Participant, Vote};
use crate::{BranchId, TransactionId};

/// How often it is looked whether an agent has something to do.
const TICK: Duration = Duration::from_millis(20);

/// How agents work.
#[derive(Debug, Clone, Copy, Default)]
pub struct AgentSettings {
    /// How long each step may take.
    pub settings: Settings,
    /// What the agents believe of processes that are silent.
    pub timing: Timing,
}

/// The agents beside a participant. They end with this value, and what they know stays in their
/// folder.
#[derive(Debug)]
pub struct Agents {
    address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl Agents {
    /// Takes messages from `listener`, and continues with what is in `folder`.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub async fn open(
        participant: Arc<dyn Participant>,
        folder: &Path,
        listener: TcpListener,
        settings: AgentSettings,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let store = Store::open(folder)?;
        let kept = store.all()?;
        let (inbox, frames) = mpsc::unbounded_channel();
        let (events, incoming) = mpsc::unbounded_channel();
        let mut host = Host {
            participant,
            store,
            post: Post::default(),
            settings,
            started: Instant::now(),
            agents: HashMap::new(),
            events,
        };
        for (id, kept) in kept {
            host.restart(id, kept);
        }
        let tasks =
            vec![tokio::spawn(mail::receive(listener, inbox)), tokio::spawn(host.run(frames, incoming))];
        Ok(Self { address, tasks })
    }

    /// Where messages are sent.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Host {
    participant: Arc<dyn Participant>,
    store: Store,
    post: Post,
    settings: AgentSettings,
    started: Instant,
    agents: HashMap<TransactionId, (Agent, Kept)>,
    events: mpsc::UnboundedSender<(TransactionId, Incoming)>,
}

/// What comes to an agent from its participant and its disk.
enum Incoming {
    Event(AgentEvent),
    /// It is prepared, with this receipt.
    Prepared(String),
}

impl Host {
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
    }

    fn new_agent(&self, id: TransactionId, kept: &Kept) -> Option<Agent> {
        let branch = kept.parties.branch(kept.me).filter(|branch| branch.transaction == id)?;
        let count = kept.parties.agents.len();
        let branch = PreparedBranch { branch: branch.branch, witness: Witness::default() };
        let AgentSettings { settings, timing } = self.settings;
        (kept.me < count).then(|| Agent::new(kept.me, count, branch, settings, timing, self.now_ms()))
    }

    fn restart(&mut self, id: TransactionId, kept: Kept) {
        if let (Some(agent), Some(state)) = (self.new_agent(id, &kept), kept.state()) {
            let agent = agent.restart(state, self.now_ms());
            self.agents.insert(id, (agent, kept));
        }
    }

    async fn run(
        mut self,
        mut frames: mpsc::UnboundedReceiver<Frame>,
        mut incoming: mpsc::UnboundedReceiver<(TransactionId, Incoming)>,
    ) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                frame = frames.recv() => match frame {
                    Some(frame) => self.received(frame),
                    None => return,
                },
                Some((id, incoming)) = incoming.recv() => self.take(id, incoming),
                _ = ticks.tick() => self.tick(),
            }
        }
    }

    fn received(&mut self, frame: Frame) {
        let (Some(id), Some(message), Party::Agent(me)) = (frame.id(), frame.message(), frame.to()) else {
            return;
        };
        if !self.agents.contains_key(&id) {
            // Who has ended a transaction and forgotten it has nothing to say of it.
            if message != Message::CanCommit {
                return;
            }
            let kept = Kept::new(frame.parties.clone(), me);
            let Some(agent) = self.new_agent(id, &kept) else { return };
            // Before anything is prepared, so that a crash does not lose who takes part.
            if self.store.write(id, &kept).is_err() {
                return;
            }
            self.agents.insert(id, (agent, kept));
        }
        self.handle(id, AgentEvent::Received { from: frame.from(), message });
    }

    fn take(&mut self, id: TransactionId, incoming: Incoming) {
        match incoming {
            Incoming::Event(event) => self.handle(id, event),
            Incoming::Prepared(receipt) => match Witness::new(&receipt) {
                Ok(witness) => {
                    if let Some((_, kept)) = self.agents.get_mut(&id) {
                        kept.receipt = receipt;
                    }
                    self.handle(id, AgentEvent::Voted(Voted::Prepared(witness)));
                }
                Err(error) => self.handle(id, AgentEvent::PrepareFailed(error.to_string())),
            },
        }
    }

    fn tick(&mut self) {
        let now_ms = self.now_ms();
        let due =
            self.agents.iter().filter(|(_, (agent, _))| agent.due_ms().is_some_and(|due| due <= now_ms));
        let due: Vec<TransactionId> = due.map(|(id, _)| *id).collect();
        due.into_iter().for_each(|id| self.handle(id, AgentEvent::Tick));
    }

    fn handle(&mut self, id: TransactionId, event: AgentEvent) {
        let now_ms = self.now_ms();
        let Some((agent, _)) = self.agents.get_mut(&id) else { return };
        for action in agent.handle(now_ms, event) {
            self.perform(id, action);
        }
    }

    fn perform(&mut self, id: TransactionId, action: AgentAction) {
        let Some((_, kept)) = self.agents.get_mut(&id) else { return };
        let Some(branch) = kept.parties.branch(kept.me) else { return };
        match action {
            AgentAction::Send { to, message } => {
                if let Some(address) = kept.parties.address(to) {
                    self.post
                        .send(address, &Frame::new(id, &kept.parties, Party::Agent(kept.me), to, &message));
                }
            }
            AgentAction::Persist(state) => self.persist(id, state),
            AgentAction::Prepare => {
                self.spawn(id, async move |participant| match participant.prepare(&branch).await {
                    Vote::Prepared { receipt } => Incoming::Prepared(receipt),
                    Vote::ReadOnly => Incoming::Event(AgentEvent::Voted(Voted::ReadOnly)),
                    Vote::Refused(why) => Incoming::Event(AgentEvent::Voted(Voted::Refused(why))),
                    Vote::Unknown(why) => Incoming::Event(AgentEvent::PrepareFailed(why)),
                })
            }
            AgentAction::Finish { decision, release: _ } => {
                let receipt = kept.receipt.clone();
                self.spawn(id, async move |participant| {
                    Incoming::Event(AgentEvent::Finished(
                        finish(&*participant, &branch, &receipt, decision).await,
                    ))
                });
            }
            AgentAction::Inspect => self.spawn(id, async move |participant| {
                Incoming::Event(AgentEvent::Inspected(inspect(&*participant, &branch).await))
            }),
            // Its own decision is on its disk, and stays: people have to put this in order.
            AgentAction::Split { .. } => {}
            AgentAction::Forget => {
                self.agents.remove(&id);
                // What stays is found to be finished after the next start.
                let _stays = self.store.delete(id);
            }
        }
    }

    fn persist(&mut self, id: TransactionId, state: State) {
        let Some((_, kept)) = self.agents.get_mut(&id) else { return };
        kept.set_state(state);
        let (store, kept, events) = (self.store.clone(), kept.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            // An agent whose disk fails says nothing more, as one that has crashed.
            if store.write(id, &kept).is_ok() {
                let _ended = events.send((id, Incoming::Event(AgentEvent::Persisted(state))));
            }
        });
    }

    fn spawn<F: Future<Output = Incoming> + Send + 'static>(
        &self,
        id: TransactionId,
        action: impl FnOnce(Arc<dyn Participant>) -> F + Send + 'static,
    ) {
        let (participant, events) = (Arc::clone(&self.participant), self.events.clone());
        // The agents may have ended.
        tokio::spawn(async move { drop(events.send((id, action(participant).await))) });
    }
}

async fn finish(participant: &dyn Participant, branch: &BranchId, receipt: &str, decision: Decision) -> Told {
    let finish = match decision {
        Decision::Commit => participant.commit(branch, receipt).await,
        Decision::Abort => participant.abort(branch, receipt).await,
    };
    match finish {
        Finish::Done => Told::Done,
        Finish::NotFound => Told::NotFound,
        Finish::Refused(why) | Finish::Unknown(why) => Told::Failed(why),
        Finish::Heuristic(heuristic) => Told::Heuristic(match heuristic.ending {
            Ending::Committed => Decision::Commit,
            Ending::Aborted => Decision::Abort,
            Ending::Overwrote => decision,
        }),
    }
}

async fn inspect(participant: &dyn Participant, branch: &BranchId) -> Presence {
    match participant.prepared(branch.transaction.cluster).await {
        Ok(prepared) if prepared.iter().any(|one| one.branch == *branch) => Presence::Prepared,
        Ok(_) => Presence::Absent,
        Err(trouble) => Presence::Unknown(trouble.to_string()),
    }
}
