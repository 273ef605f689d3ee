//! The command line of `ostler bench`.

use super::workload::Workload;
use clap::Args;

use super::prepare::TLS_PREFIX;
use crate::tls_options::TlsArgs;

/// Measure a server, or two of them in turn.
///
/// Workloads: get, exists, list, set, create, delete, lock (create a sequential ephemeral znode,
/// then delete it), multi, mixes such as mix:get=90,set=10, fanout (set one znode, until all
/// sessions that watch it are notified), churn (open and close sessions), start (start a server
/// process, until it answers).
///
/// Everything is created below /ostler-bench-<random> and deleted at the end. A run with errors
/// exits with status 1.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    /// What to do.
    #[arg(default_value = "get")]
    pub(crate) workload: Workload,
    /// The server, any that speaks the ZooKeeper protocol; or, separated by commas, those of an
    /// ensemble, over which the connections are spread. A semicolon separates servers whose znodes
    /// are not the same: the znodes are created at each, and the connections spread over all.
    #[arg(short, long, default_value = "127.0.0.1:2181")]
    pub(crate) server: String,
    /// A second server; rounds alternate between the two, and ratios are printed.
    #[arg(long)]
    pub(crate) against: Option<String>,
    /// Process id of the server, on this machine: its CPU time, context switches and memory are
    /// reported. For several, separated by commas, the sums.
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub(crate) server_pid: Vec<u32>,
    /// Process id of the second server.
    #[arg(long, value_name = "PID", requires = "against", value_delimiter = ',')]
    pub(crate) against_pid: Vec<u32>,
    /// Concurrent sessions; for fanout, the watchers.
    #[arg(short, long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,
    /// Operations in flight on each connection. With --rate only an upper bound, 1000 unless given.
    /// [default: 1]
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) depth: Option<u32>,
    /// Operations a second on schedule (open loop), instead of as many as the server can take.
    #[arg(short, long)]
    pub(crate) rate: Option<f64>,
    /// Measured time of a round, in seconds.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Warm-up before it, in seconds; not counted.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warmup: f64,
    /// Rounds for each server; the median is reported. [default: 5 with two servers, otherwise 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,
    /// Threads of the load generator.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
    /// Length of the data of znodes.
    #[arg(long, default_value_t = 100)]
    pub(crate) data_bytes: usize,
    /// Znodes to read and set, in all namespaces together.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..100_000_000))]
    pub(crate) paths: u64,
    /// Further znodes that are not accessed, under one parent.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..100_000_000))]
    pub(crate) preload: u64,
    /// Length of the names of znodes.
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(9..=200))]
    pub(crate) name_bytes: u32,
    /// Children of the znode that list lists.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..100_000_000))]
    pub(crate) children: u64,
    /// Znodes prepared for each round of delete, which ends when they are gone.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..100_000_000))]
    pub(crate) stock: u64,
    /// Operations in each multi.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) multi_ops: u32,
    /// A shell command to run at the start of the measured time, for example one that makes the
    /// server write a snapshot. Rounds alternate between without and with it, on the same server.
    #[arg(long, value_name = "COMMAND", conflicts_with = "against")]
    pub(crate) during: Option<String>,
    /// The shell command of the start workload. It must stay in the foreground.
    #[arg(long, value_name = "COMMAND", required_if_eq("workload", "start"))]
    pub(crate) start_command: Option<String>,
    /// The same for the second server.
    #[arg(long, value_name = "COMMAND", requires_all = ["against", "start_command"])]
    pub(crate) against_start_command: Option<String>,
    /// Keep the znodes.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// For servers whose address begins with tls://, as in tls://127.0.0.1:2281.
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

impl BenchArgs {
    /// Whether the address of a server begins with tls://.
    pub(super) fn has_tls_address(&self) -> bool {
        let mut servers = std::iter::once(&self.server).chain(&self.against);
        servers.any(|servers| servers.contains(TLS_PREFIX))
    }

    /// Checks options that conflict with each other.
    ///
    /// # Errors
    /// A sentence for the user.
    pub(super) fn check(&self) -> Result<(), String> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        if !positive(self.seconds) || self.seconds > 86_400.0 {
            return Err(format!("--seconds {}: must be above 0 and at most a day", self.seconds));
        }
        if !(self.warmup == 0.0 || positive(self.warmup)) || self.warmup > 86_400.0 {
            return Err(format!("--warmup {}: must be at least 0 and at most a day", self.warmup));
        }
        if let Some(rate) = self.rate.filter(|rate| !positive(*rate) || *rate > 1e8) {
            return Err(format!("--rate {rate}: must be above 0 and at most 100 million"));
        }
        if self.data_bytes > 1_000_000 {
            return Err(format!(
                "--data-bytes {}: servers take no more than about a million",
                self.data_bytes
            ));
        }
        if self.has_tls_address() {
            if !self.tls.is_wanted() {
                return Err("an address that begins with tls:// needs --ca or --client-configuration".into());
            }
            if self.workload == Workload::Start {
                return Err("the workload start does not speak TLS".into());
            }
        }
        if self.workload == Workload::Start && self.against.is_some() != self.against_start_command.is_some()
        {
            return Err("--against with start needs --against-start-command".into());
        }
        if self.workload != Workload::Start && self.start_command.is_some() {
            return Err("--start-command is for the workload start only".into());
        }
        Ok(())
    }

    /// Operations in flight on each connection.
    pub(super) fn depth(&self) -> usize {
        self.depth.unwrap_or(if self.rate.is_some() { 1000 } else { 1 }) as usize
    }

    /// Rounds for each server.
    pub(super) fn rounds(&self) -> u32 {
        let alternates = self.against.is_some() || self.during.is_some();
        self.rounds.unwrap_or(if alternates { 5 } else { 1 })
    }
}
