//! A service as a live set, from which instances are chosen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use balance::{Picker, PickerError, Settings, Strategy};
use client::{Client, ErrorCode, SessionEvent};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::instance::Instance;
use super::sessions::Sessions;
use super::{Found, json};
use crate::error::Error;

/// A service that is followed: its instances, and what chooses among them.
///
/// Clones follow the same service and each has its own view of what has [changed](Self::changed);
/// they share what [`Self::avoid`] says, and the counts of outstanding requests.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
    known: watch::Receiver<Arc<Known>>,
    /// Ends with the last clone.
    _follower: Arc<Follower>,
}

/// What is known of a service at one moment.
#[derive(Debug)]
pub struct Known {
    /// All instances that are registered, and what was skipped.
    pub found: Found,
    /// Chooses among the instances that are available and not avoided.
    pub picker: Arc<Picker>,
    /// Why the newest instances are not those of the picker: the strategy cannot have them. The
    /// picker is then an older one.
    pub fault: Option<PickerError>,
    by_id: BTreeMap<String, Arc<Instance>>,
    end: Option<End>,
}

/// A chosen instance. It counts as one of its outstanding requests until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it says that the request is over"]
pub struct Picked {
    _pick: balance::Pick,
    instance: Arc<Instance>,
}

impl Picked {
    /// The instance.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }
}

/// Why a service is not followed any more.
#[derive(Debug, Clone)]
enum End {
    SessionOver,
    Refused(ErrorCode),
}

struct Shared {
    path: String,
    sessions: Arc<Sessions>,
    state: Mutex<State>,
    known: watch::Sender<Arc<Known>>,
}

/// What the picker is made of.
#[derive(Default)]
struct State {
    found: Found,
    /// Instances that are not chosen before that time.
    avoided: BTreeMap<String, Instant>,
    is_read: bool,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

/// The task that follows the service; it ends with this value.
struct Follower(JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Service {
    pub(super) async fn follow(
        sessions: Arc<Sessions>,
        name: &str,
        path: String,
        strategy: Strategy,
        settings: Settings,
    ) -> Result<Self, Error> {
        let seed = getrandom::u64().expect("the system has random numbers");
        let picker = Picker::new(strategy, settings, Vec::new(), seed)
            .map_err(|error| Error::Argument { what: "the strategy", why: error.to_string() })?;
        let nothing = Known {
            found: Found::default(),
            picker: Arc::new(picker),
            fault: None,
            by_id: BTreeMap::new(),
            end: None,
        };
        let (sender, known) = watch::channel(Arc::new(nothing));
        let shared = Arc::new(Shared { path, sessions, state: Mutex::default(), known: sender });
        let follower = tokio::spawn(follow(Arc::clone(&shared), name.to_owned()));
        let mut service = Self { shared, known, _follower: Arc::new(Follower(follower)) };
        service.changed().await?;
        Ok(service)
    }

    /// Chooses an instance; `None` if there is nothing to choose. The key counts only if the
    /// strategy uses it.
    pub fn pick(&self, key: &[u8]) -> Option<Picked> {
        let known = self.known();
        let pick = known.picker.pick(key)?;
        let instance = Arc::clone(known.by_id.get(pick.instance().id())?);
        Some(Picked { _pick: pick, instance })
    }

    /// What is known at this moment.
    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.borrow())
    }

    /// Waits until what is known is other than this handle returned last from here.
    ///
    /// # Errors
    /// The service is not followed any more, because the session is over or may not read it. The
    /// last known set stays in use.
    pub async fn changed(&mut self) -> Result<Arc<Known>, Error> {
        let end = self.known.borrow().end.clone();
        if end.is_none() && self.known.changed().await.is_err() {
            return Err(client::Error::Closed.into());
        }
        let known = Arc::clone(&self.known.borrow_and_update());
        match &known.end {
            None => Ok(known),
            Some(End::SessionOver) => Err(client::Error::SessionExpired.into()),
            Some(End::Refused(code)) => {
                let path = Some(self.shared.path.clone());
                Err(client::Error::Refused { code: *code as i32, path }.into())
            }
        }
    }

    /// Whether there is a connection by which changes are heard of. Without one, the last known set
    /// stays in use, however old it gets.
    pub fn is_live(&self) -> bool {
        self.known.borrow().end.is_none() && self.shared.sessions.current().state().is_connected()
    }

    /// Does not choose an instance for a while, because it did not answer. If all that are
    /// available are avoided, they are chosen all the same: one of them may work again.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn avoid(&self, id: &str, duration: Duration) {
        self.shared.lock().avoided.insert(id.to_owned(), Instant::now() + duration);
        self.shared.rebuild();
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            if let Some(shared) = shared.upgrade() {
                shared.rebuild();
            }
        });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what was read.
    fn learn(&self, found: Found) {
        let mut state = self.lock();
        if !state.is_read || state.found != found {
            state.found = found;
            state.is_read = true;
            drop(state);
            self.rebuild();
        }
    }

    /// Makes a picker for the instances that are available and not avoided.
    fn rebuild(&self) {
        // Held to the end, so that an older picker never replaces a newer one.
        let mut state = self.lock();
        let now = Instant::now();
        state.avoided.retain(|_, until| *until > now);
        let available = || state.found.instances.iter().filter(|instance| instance.is_available());
        let mut usable: Vec<_> = available().filter(|one| !state.avoided.contains_key(&one.id)).collect();
        if usable.is_empty() {
            usable = available().collect();
        }
        let described =
            usable.iter().map(|one| balance::Instance::new(&*one.id, one.weight, one.zone.as_deref()));
        // Ids and zones have lengths that `balance` takes: the instances were checked.
        let described = described.filter_map(Result::ok).collect();
        let old = Arc::clone(&self.known.borrow());
        let (picker, fault, by_id) = match old.picker.updated(described) {
            Ok(picker) => {
                let by_id = usable.iter().map(|one| (one.id.clone(), Arc::clone(one))).collect();
                (Arc::new(picker), None, by_id)
            }
            Err(error) => (Arc::clone(&old.picker), Some(error), old.by_id.clone()),
        };
        let known = Known { found: state.found.clone(), picker, fault, by_id, end: old.end.clone() };
        self.known.send_replace(Arc::new(known));
    }

    fn end(&self, end: End) {
        let _state = self.lock();
        self.known.send_modify(|known| {
            let old = Arc::clone(known);
            *known = Arc::new(Known {
                found: old.found.clone(),
                picker: Arc::clone(&old.picker),
                fault: old.fault.clone(),
                by_id: old.by_id.clone(),
                end: Some(end),
            });
        });
    }
}

/// Follows a service through the sessions.
async fn follow(shared: Arc<Shared>, name: String) {
    loop {
        let Ok(client) = shared.sessions.live().await else { return shared.end(End::SessionOver) };
        match follow_in(&shared, &name, &client).await {
            _ if client.state().is_over() => {}
            Ok(()) => {}
            // A read that was under way when the connection was lost.
            Err(error) if error.code() == Some(ErrorCode::ConnectionLoss) => {}
            Err(error) => {
                return shared.end(error.code().map_or(End::SessionOver, End::Refused));
            }
        }
    }
}

/// Follows a service until the session is over.
async fn follow_in(shared: &Shared, name: &str, client: &Client) -> Result<(), client::Error> {
    let mut events = client.subscribe();
    let cache = client.tree_cache(&shared.path).await?;
    let mut changes = cache.changes();
    loop {
        let children = cache.children(&shared.path).await?;
        let read = children.iter().map(|(id, node)| json::read(name, id, &node.data));
        shared.learn(Found::of(read));
        tokio::select! {
            // One that is behind the changes learns so, and reads the cache all the same.
            _ = changes.recv() => while changes.try_recv().is_ok() {},
            () = until_over(&mut events) => return Ok(()),
        }
    }
}

async fn until_over(events: &mut tokio::sync::mpsc::UnboundedReceiver<SessionEvent>) {
    loop {
        if let None | Some(SessionEvent::Expired | SessionEvent::AuthFailed) = events.recv().await {
            return;
        }
    }
}
