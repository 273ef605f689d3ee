//! What the proxy counts, as text for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use recipes::discovery::Service;

/// What is counted for one instance, since the proxy began or the instance came back.
#[derive(Default)]
pub(super) struct InstanceCounters {
    connections: AtomicU64,
    open: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) bytes_to_instance: AtomicU64,
    pub(super) bytes_to_client: AtomicU64,
}

/// What is counted.
pub(super) struct Counters {
    service: String,
    instances: Mutex<BTreeMap<String, Arc<InstanceCounters>>>,
    /// Connections for which no instance could be connected to.
    pub(super) unserved: AtomicU64,
    is_draining: AtomicBool,
}

/// Counts a connection as open until it is dropped.
pub(super) struct Open(Arc<InstanceCounters>);

impl Open {
    pub(super) fn new(counters: &Arc<InstanceCounters>) -> Self {
        counters.connections.fetch_add(1, Relaxed);
        counters.open.fetch_add(1, Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Counters {
    pub(super) fn new(service: &str) -> Self {
        Self {
            service: escaped(service),
            instances: Mutex::default(),
            unserved: AtomicU64::new(0),
            is_draining: AtomicBool::new(false),
        }
    }

    pub(super) fn begin_to_drain(&self) {
        self.is_draining.store(true, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<InstanceCounters>>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters of an instance.
    pub(super) fn of(&self, id: &str) -> Arc<InstanceCounters> {
        Arc::clone(self.lock().entry(id.to_owned()).or_default())
    }

    /// The text for Prometheus. Instances that have left and have no connection any more are
    /// forgotten.
    pub(super) fn text(&self, service: &Service) -> String {
        let known = service.known();
        let instances = {
            let mut instances = self.lock();
            let is_listed = |id: &str| known.found.instances.iter().any(|instance| instance.id == id);
            instances.retain(|id, counters| counters.open.load(Relaxed) > 0 || is_listed(id));
            instances.clone()
        };
        let available = known.found.instances.iter().filter(|instance| instance.is_available()).count();
        let mut text = String::new();
        for (name, kind, help, value) in [
            ("instances", "gauge", "Instances that can be chosen.", available as u64),
            ("set_live", "gauge", "Whether changes of the set are heard of.", service.is_live().into()),
            (
                "draining",
                "gauge",
                "Whether no more connections are taken.",
                self.is_draining.load(Relaxed).into(),
            ),
            ("unserved_total", "counter", "Connections that no instance took.", self.unserved.load(Relaxed)),
        ] {
            self.family(&mut text, name, kind, help, [(String::new(), value)]);
        }
        let each = |labels: &str, value: fn(&InstanceCounters) -> &AtomicU64| {
            let of = |(id, counters): (&String, &Arc<InstanceCounters>)| {
                (format!(",instance=\"{}\"{labels}", escaped(id)), value(counters).load(Relaxed))
            };
            instances.iter().map(of).collect::<Vec<_>>()
        };
        let connections = each("", |counters| &counters.connections);
        self.family(&mut text, "connections_total", "counter", "Connections forwarded.", connections);
        let open = each("", |counters| &counters.open);
        self.family(&mut text, "connections_open", "gauge", "Connections now.", open);
        let failures = each("", |counters| &counters.failures);
        self.family(&mut text, "connect_failures_total", "counter", "Connections not made.", failures);
        let mut bytes = each(",direction=\"to_instance\"", |counters| &counters.bytes_to_instance);
        bytes.extend(each(",direction=\"to_client\"", |counters| &counters.bytes_to_client));
        self.family(&mut text, "bytes_total", "counter", "Bytes forwarded.", bytes);
        text
    }

    fn family(
        &self,
        text: &mut String,
        name: &str,
        kind: &str,
        help: &str,
        values: impl IntoIterator<Item = (String, u64)>,
    ) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP ostler_proxy_{name} {help}\n# TYPE ostler_proxy_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "ostler_proxy_{name}{{service=\"{}\"{labels}}} {value}", self.service);
        }
    }
}

/// The value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
