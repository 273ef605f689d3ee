//! Each setting as a field of [`Config`], with its bounds and what is the matter if it is outside.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use state::members::parse_server_id;

use super::ensemble::Membership;
use super::loader::{CommandLine, Outside};
use super::settings::Settings;
use super::{
    Admin, Config, ConfigError, Connection, ConnectionThrottle, Containers, Listen, Requests, SERVER_ID_MAX,
    ServerId, Session, SessionPasswords, Storage, WordList, limits, memory, properties,
};

/// Reads all settings, one part of [`Config`] after the other.
pub(super) struct Loader<'a> {
    /// Whether there is a zoo.cfg: then the rules for missing keys are ZooKeeper's, else those of a first try on one's own machine.
    pub(super) from_file: bool,
    pub(super) settings: &'a mut Settings,
    pub(super) outside: &'a dyn Outside,
}

impl Loader<'_> {
    /// The whole. What is wrong is added to the settings' problems, and has a harmless value here.
    pub(super) fn config(mut self, command_line: &CommandLine) -> Result<Config, ConfigError> {
        let storage = self.storage(command_line.data_dir.as_deref());
        let myid = self.myid(&storage.data_dir)?;
        let Membership { server_id, client, ensemble } = self.membership(myid, &storage.data_dir);
        let listen = self.listen(client);
        let tick_time_ms =
            self.settings.number("tickTime", 1..=i32::MAX as u32, "ms").unwrap_or(limits::TICK_TIME_MS);
        let config = Config {
            file: command_line.config.clone(),
            settings: self.settings.listed(),
            server_id,
            ensemble,
            tick_time_ms,
            listen,
            session: self.session(tick_time_ms),
            connection: self.connection(),
            storage,
            requests: self.requests(),
            containers: self.containers(),
            words: self.words(),
            admin: self.admin(),
            metrics: self.metrics(),
            io_threads: self
                .settings
                .number("ostler.ioThreads", 0..=1024, "0 = half as many as processors")
                .unwrap_or(0),
        };
        self.relations(&config);
        Ok(config)
    }

    /// `option` is `--data-dir` as it was given: a path need not be text.
    fn storage(&mut self, option: Option<&Path>) -> Storage {
        let s = &mut *self.settings;
        let data_dir = match s.text("dataDir") {
            Some(_) if option.is_some_and(|dir| !dir.as_os_str().is_empty()) => {
                option.map(Path::to_owned).unwrap_or_default()
            }
            Some(dir) if !dir.is_empty() => PathBuf::from(dir),
            Some(_) => {
                s.refuse("dataDir", "must be a directory");
                PathBuf::new()
            }
            None if self.from_file => {
                s.refuse("dataDir", "is not set; it must be the directory for the data");
                PathBuf::new()
            }
            None => PathBuf::from("ostler-data"),
        };
        let log_dir = s
            .text("dataLogDir")
            .filter(|dir| !dir.is_empty())
            .map_or_else(|| data_dir.clone(), PathBuf::from);
        let force_sync = s.flag("forceSync", true);
        if !force_sync {
            s.note(
                "forceSync",
                "writes are acknowledged before they are on the disk and can be lost in a crash",
            );
        }
        let segment_kib = s.number(
            "preAllocSize",
            limits::LOG_SEGMENT_BYTES_MIN >> 10..=storage::log::SEGMENT_BYTES_MAX >> 10,
            "KiB",
        );
        Storage {
            data_dir,
            log_dir,
            create_data: s.flag("db.autocreate", true),
            create_dirs: s.flag("datadir.autocreate", true),
            force_sync,
            flush_warning_ms: s
                .number("fsync.warningthresholdms", 0..=i32::MAX as u32, "ms")
                .unwrap_or(limits::FLUSH_WARNING_MS),
            snapshot_piece_bytes: limits::SNAPSHOT_PIECE_BYTES,
            segment_bytes: segment_kib.map_or(limits::LOG_SEGMENT_BYTES, |kib: u64| kib << 10),
            snapshot_commands: self.snapshot_commands(),
            snapshot_log_bytes: self.snapshot_log_bytes(),
            snapshots_kept: self.snapshots_kept(),
            purge_interval_hours: self
                .settings
                .number("autopurge.purgeInterval", i32::MIN..=i32::MAX, "hours, 0 = never")
                .and_then(positive),
        }
    }

    /// ZooKeeper raises what is below 2 to 2 and says so.
    fn snapshot_commands(&mut self) -> u64 {
        let wanted = self.settings.number("snapCount", i32::MIN..=i32::MAX, "requests");
        let wanted = wanted.map_or(limits::SNAPSHOT_COMMANDS as i64, i64::from);
        if wanted < 2 {
            self.settings.note("snapCount", "must be at least 2; 2 is used");
        }
        wanted.max(2).unsigned_abs()
    }

    /// Both of ZooKeeper's size limits end in a snapshot and a new log here; 0 and less mean none.
    fn snapshot_log_bytes(&mut self) -> Option<u64> {
        let range = || i64::MIN..=i64::MAX >> 10;
        let by_snapshot = self.settings.number("snapSizeLimitInKb", range(), "KiB, 0 = no limit");
        let by_log = self.settings.number("txnLogSizeLimitInKb", range(), "KiB, 0 = no limit");
        let bytes = |kib: i64| u64::try_from(kib).ok().filter(|&kib| kib > 0).map(|kib| kib << 10);
        let by_snapshot = by_snapshot.map_or(Some(limits::SNAPSHOT_LOG_BYTES), bytes);
        [by_snapshot, by_log.and_then(bytes)].into_iter().flatten().min()
    }

    /// ZooKeeper raises what is below 3 to 3 and says so.
    fn snapshots_kept(&mut self) -> u32 {
        let least = limits::SNAPSHOTS_KEPT_MIN;
        match self.settings.number("autopurge.snapRetainCount", i32::MIN..=i32::MAX, "snapshots") {
            Some(wanted) if wanted < least as i32 => {
                self.settings
                    .note("autopurge.snapRetainCount", format!("must be at least {least}; {least} is used"));
                least
            }
            Some(wanted) => wanted.unsigned_abs(),
            None => least,
        }
    }

    /// The first line of the file `myid`, if there is one.
    fn myid(&mut self, data_dir: &Path) -> Result<Option<ServerId>, ConfigError> {
        let path = data_dir.join("myid");
        let bytes = match self.outside.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(source) => return Err(ConfigError::Unreadable { what: "myid file", path, source }),
        };
        let text = properties::decode(&bytes);
        let line = text.lines().next().unwrap_or_default().trim();
        let id = parse_server_id(line);
        if id.is_none() {
            let place = path.display().to_string();
            let allowed = format!("must be a whole number from 0 to {SERVER_ID_MAX}");
            self.settings.problem(&place, "myid", line, allowed);
        }
        Ok(id)
    }

    fn listen(&mut self, from_member: Option<(Option<String>, u16)>) -> Listen {
        let port = self.settings.number("clientPort", 0..=u16::MAX as u32, "0 = any free port");
        let port = port.map(|port| port as u16);
        let member_port = from_member.as_ref().map(|(_, port)| *port);
        if let (Some(port), Some(member_port)) = (port, member_port)
            && port != member_port
        {
            self.settings
                .refuse("clientPort", format!("differs from the client port {member_port} of server.N"));
        }
        let host = self.settings.text("clientPortAddress").filter(|host| !host.is_empty());
        let host = host.or(from_member.and_then(|(host, _)| host));
        let address = match host {
            Some(host) => self.address("clientPortAddress", &host),
            None if self.from_file => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let port = port.or(member_port).unwrap_or_else(|| {
            if self.from_file {
                self.settings
                    .note("clientPort", format!("is not set; clients connect to {}", limits::CLIENT_PORT));
            }
            limits::CLIENT_PORT
        });
        let backlog =
            self.settings.number("clientPortListenBacklog", -1..=i32::MAX, "connections, -1 = the default");
        let backlog = backlog.and_then(positive).unwrap_or(limits::LISTEN_BACKLOG);
        Listen { address, port, backlog }
    }

    /// The address of a host name or number; `*` is ZooKeeper's older way to say "all".
    fn address(&mut self, key: &'static str, host: &str) -> IpAddr {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if bare == "*" {
            return IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        }
        if let Ok(address) = bare.parse() {
            return address;
        }
        self.outside.resolve(bare).unwrap_or_else(|error| {
            self.settings.refuse(key, format!("must be an address of this machine ({error})"));
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        })
    }

    fn session(&mut self, tick_time_ms: u32) -> Session {
        let s = &mut *self.settings;
        let mut timeout = |key, ticks: u32| {
            // ZooKeeper takes -1 for "not set".
            let wanted = s.number(key, -1..=i32::MAX, "ms, -1 = a multiple of tickTime");
            wanted
                .filter(|&ms| ms >= 0)
                .map_or(tick_time_ms.saturating_mul(ticks).min(i32::MAX as u32), i32::unsigned_abs)
        };
        let passwords = [("secret", SessionPasswords::Secret), ("zookeeper", SessionPasswords::ZooKeeper)];
        Session {
            timeout_ms_min: timeout("minSessionTimeout", limits::SESSION_TIMEOUT_TICKS_MIN),
            timeout_ms_max: timeout("maxSessionTimeout", limits::SESSION_TIMEOUT_TICKS_MAX),
            passwords: s.choice("ostler.sessionPasswords", &passwords).unwrap_or(SessionPasswords::Secret),
            count_max: s
                .number("ostler.sessionsMax", 1..=1 << 40, "sessions")
                .unwrap_or(limits::SESSIONS_MAX),
        }
    }

    fn connection(&mut self) -> Connection {
        let throttle = self.connection_throttle();
        let s = &mut *self.settings;
        // Below zero ZooKeeper's limits on connections mean the same as zero.
        let mut count = |key, default| {
            s.number(key, i32::MIN..=i32::MAX, "connections, 0 = no limit")
                .map_or(default, |n| n.max(0).unsigned_abs())
        };
        let (count_max, per_address_max) =
            (count("maxCnxns", 0), count("maxClientCnxns", limits::CONNECTIONS_PER_ADDRESS_MAX));
        let bytes = 1..=1u64 << 50;
        let request_bytes_max =
            s.number("jute.maxbuffer", 1024..=i32::MAX as u32, "bytes").unwrap_or(limits::REQUEST_BYTES_MAX);
        let by_memory = memory::memory_bytes(self.outside).map_or(0, |bytes| bytes / 4);
        let total_output_bytes_max = s
            .number("ostler.outputBytesMax", bytes.clone(), "bytes")
            .unwrap_or(limits::OUTPUT_BYTES_MAX.max(by_memory).max(2 * u64::from(request_bytes_max)));
        let reply_bytes_max =
            s.number("ostler.replyBytesMax", limits::REPLY_BYTES_MAX_MIN..=2_000_000_000, "bytes").unwrap_or(
                limits::REPLY_BYTES_MAX.min(u32::try_from(total_output_bytes_max).unwrap_or(u32::MAX)),
            );
        Connection {
            count_max,
            per_address_max,
            handshake_timeout_ms: s
                .number("nio.sessionlessCnxnTimeout", 1..=i32::MAX as u32, "ms")
                .unwrap_or(limits::HANDSHAKE_TIMEOUT_MS),
            outstanding_requests_max: s
                .number("globalOutstandingLimit", 1..=i32::MAX as u32, "requests")
                .unwrap_or(limits::OUTSTANDING_REQUESTS_MAX),
            throttle_requests_max: s
                .number("request_throttle_max_requests", 0..=i32::MAX as u32, "requests, 0 = no limit")
                .unwrap_or(0),
            outstanding_bytes_max: s
                .number("ostler.outstandingBytesMax", bytes.clone(), "bytes")
                .unwrap_or(limits::OUTSTANDING_BYTES_MAX),
            output_bytes_max: s
                .number("ostler.outputBytesPerConnectionMax", bytes.clone(), "bytes")
                .unwrap_or(limits::OUTPUT_BYTES_PER_CONNECTION_MAX),
            output_pause_bytes: limits::OUTPUT_PAUSE_BYTES,
            total_output_bytes_max,
            reply_bytes_max,
            request_bytes_max,
            large_request_bytes_min: s
                .number("largeRequestThreshold", -1..=i32::MAX, "bytes, -1 = none")
                .and_then(positive),
            large_requests_bytes_max: s
                .number("largeRequestMaxBytes", bytes, "bytes")
                .unwrap_or(limits::LARGE_REQUESTS_BYTES_MAX),
            throttled_wait_ms_max: s
                .number("throttled_op_wait_time", -1..=i32::MAX, "ms, -1 = never")
                .and_then(positive),
            throttle,
        }
    }

    /// As in ZooKeeper there is a bucket only when it holds a token.
    fn connection_throttle(&mut self) -> Option<ConnectionThrottle> {
        let mut number = |key, default| self.settings.number(key, 0..=i32::MAX as u32, "").unwrap_or(default);
        let throttle = ConnectionThrottle {
            tokens_max: number("connection_throttle_tokens", 0),
            fill_interval_ms: number("connection_throttle_fill_time", 1).max(1),
            fill_tokens: number("connection_throttle_fill_count", 1),
        };
        (throttle.tokens_max > 0).then_some(throttle)
    }

    fn requests(&mut self) -> Requests {
        let s = &mut *self.settings;
        let skip_acl = s.flag("skipACL", false);
        if skip_acl {
            s.note("skipACL", "every client may do everything");
        }
        let super_digest =
            s.text("DigestAuthenticationProvider.superDigest").filter(|digest| !digest.is_empty());
        if super_digest.as_ref().is_some_and(|digest| !is_digest(digest)) {
            s.refuse(
                "DigestAuthenticationProvider.superDigest",
                "must be super:<base64 of the SHA-1 of super:password>",
            );
        }
        Requests {
            skip_acl,
            enforce_quota: s.flag("enforceQuota", false),
            extended_types: s.flag("extendedTypesEnabled", false),
            read_only_mode: s.flag("readonlymode.enabled", false),
            reconfig: s.flag("reconfigEnabled", false),
            standalone: s.flag("standaloneEnabled", true),
            keeper_extensions: s.flag("ostler.keeperExtensions", true),
            super_digest,
            watches_max: s.number("ostler.watchesMax", 1..=1 << 40, "watches").unwrap_or(limits::WATCHES_MAX),
        }
    }

    fn containers(&mut self) -> Containers {
        let s = &mut *self.settings;
        Containers {
            check_interval_ms: s
                .number("znode.container.checkIntervalMs", 1..=i32::MAX as u32, "ms")
                .unwrap_or(limits::CONTAINER_CHECK_INTERVAL_MS),
            per_minute_max: s
                .number("znode.container.maxPerMinute", 1..=i32::MAX as u32, "znodes")
                .unwrap_or(limits::CONTAINERS_PER_MINUTE_MAX),
            never_used_ms_max: s
                .number("znode.container.maxNeverUsedIntervalMs", 0..=i64::MAX, "ms, 0 = never")
                .filter(|&ms| ms > 0)
                .map(i64::unsigned_abs),
        }
    }

    /// `srvr` is always allowed, since `zkServer.sh status` asks for it, and so is `isro` in read-only mode, since
    /// clients that look for a writable server ask for it.
    fn words(&mut self) -> WordList {
        let text = self.settings.text("4lw.commands.whitelist").unwrap_or_default();
        let listed = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let read_only = self.settings.flag("readonlymode.enabled", false);
        let always = ["srvr", "isro"].into_iter().take(1 + usize::from(read_only));
        let mut words: Vec<String> = Vec::new();
        for word in listed.chain(always) {
            if word == "*" {
                return WordList::All;
            }
            if !words.iter().any(|known| known == word) {
                words.push(word.to_owned());
            }
        }
        WordList::Only(words)
    }

    fn admin(&mut self) -> Option<Admin> {
        let enabled = self.settings.flag("admin.enableServer", true);
        let port = self.settings.number("admin.serverPort", 0..=u16::MAX as u32, "0 = any free port");
        let port = port.map_or(limits::ADMIN_PORT, |port| port as u16);
        let host = self.settings.text("admin.serverAddress").filter(|host| !host.is_empty());
        let address = match &host {
            Some(host) => self.address("admin.serverAddress", host),
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let listed = self.settings.text("ostler.adminHosts").unwrap_or_default();
        let listed = listed.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_owned);
        let hosts = listed.chain(host).collect();
        let url =
            self.settings.text("admin.commandURL").unwrap_or_else(|| limits::ADMIN_COMMAND_URL.to_owned());
        let command_url = url.trim_end_matches('/').to_owned();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
        if command_url.len() < 2 || !command_url.starts_with('/') || !command_url.chars().all(is_plain) {
            self.settings.refuse("admin.commandURL", "must be a path such as /commands");
        }
        enabled.then_some(Admin { address: SocketAddr::new(address, port), command_url, hosts })
    }

    fn metrics(&mut self) -> Option<SocketAddr> {
        let class = self.settings.text("metricsProvider.className").unwrap_or_default();
        let port = self.settings.number("metricsProvider.httpPort", 0..=u16::MAX as u32, "0 = any free port");
        let port = port.map_or(limits::METRICS_PORT, |port| port as u16);
        let host = self.settings.text("metricsProvider.httpHost").filter(|host| !host.is_empty());
        let address = host.map(|host| self.address("metricsProvider.httpHost", &host));
        match class.rsplit('.').next().unwrap_or_default() {
            "PrometheusMetricsProvider" => {
                Some(SocketAddr::new(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), port))
            }
            "" | "DefaultMetricsProvider" | "NullMetricsProvider" => None,
            _ => {
                let allowed = "must be org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider or ….DefaultMetricsProvider";
                self.settings.refuse("metricsProvider.className", allowed);
                None
            }
        }
    }

    /// What must hold between values that are each right by themselves.
    fn relations(&mut self, config: &Config) {
        let s = &mut *self.settings;
        let Config { session, connection, storage, .. } = config;
        if session.timeout_ms_min > session.timeout_ms_max {
            let (min, max) = (session.timeout_ms_min, session.timeout_ms_max);
            let key = if s.is_set("minSessionTimeout") { "minSessionTimeout" } else { "maxSessionTimeout" };
            s.refuse(
                key,
                format!("the shortest session timeout ({min} ms) must not exceed the longest ({max} ms)"),
            );
        }
        let request = u64::from(connection.request_bytes_max);
        for (key, limit) in [
            ("ostler.outstandingBytesMax", connection.outstanding_bytes_max),
            ("ostler.outputBytesPerConnectionMax", connection.output_bytes_max),
            ("ostler.outputBytesMax", connection.total_output_bytes_max),
        ] {
            if limit < request {
                let key = if s.is_set(key) { key } else { "jute.maxbuffer" };
                s.refuse(
                    key,
                    format!("one request (jute.maxbuffer, {request} bytes) must fit into {limit} bytes"),
                );
            }
        }
        let readable = connection.request_bytes_max.saturating_add(limits::REPLY_OVERHEAD_BYTES);
        if connection.reply_bytes_max < readable {
            let key =
                if s.is_set("ostler.replyBytesMax") { "ostler.replyBytesMax" } else { "jute.maxbuffer" };
            let reply = connection.reply_bytes_max;
            s.refuse(key, format!("what one request writes (jute.maxbuffer, {request} bytes) must fit into a reply ({reply} bytes)"));
        }
        if storage.segment_bytes < 2 * request {
            let key = if s.is_set("preAllocSize") { "preAllocSize" } else { "jute.maxbuffer" };
            let segment = storage.segment_bytes;
            s.refuse(key, format!("a log segment ({segment} bytes) must hold two requests of jute.maxbuffer ({request} bytes)"));
        }
        let ensemble_max = u64::from(limits::ENSEMBLE_REQUEST_BYTES_MAX);
        if config.ensemble.is_some() && request > ensemble_max {
            s.refuse("jute.maxbuffer", format!("must be at most {ensemble_max} bytes in an ensemble"));
        }
        if config.requests.extended_types && config.server_id > 254 {
            s.refuse(
                "extendedTypesEnabled",
                "with TTL nodes the number of a server (myid) must be at most 254",
            );
        }
    }
}

/// The number when it is above zero: zero and less mean "none".
fn positive(number: i32) -> Option<u32> {
    u32::try_from(number).ok().filter(|&number| number > 0)
}

/// `user:` and the base64 of 20 bytes.
fn is_digest(text: &str) -> bool {
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    text.split_once(':').is_some_and(|(user, digest)| {
        !user.is_empty()
            && digest.len() == 28
            && digest.strip_suffix('=').is_some_and(|digits| digits.chars().all(base64))
    })
}

/// Reads every key from settings that have none, so that a test sees which are asked for.
#[cfg(test)]
pub(super) fn read_all(settings: &mut Settings, outside: &dyn Outside) {
    let loader = Loader { from_file: false, settings, outside };
    let config = loader.config(&CommandLine::default());
    assert!(config.is_ok(), "defaults are a configuration");
}
