//! Each setting as a field of [`Config`], with its bounds and the error outside of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use sasl::jaas::JaasFile;
use state::members::parse_server_id;

use super::ensemble::Membership;
use super::loader::{CommandLine, Outside};
use super::settings::Settings;
use super::{
    Admin, Config, ConfigError, Connection, ConnectionThrottle, Containers, Listen, Requests, SERVER_ID_MAX,
    ServerId, Session, SessionPasswords, Storage, WordList, java, limits, memory, properties,
};

/// Reads all settings, one part of [`Config`] after another.
pub(super) struct Loader<'a> {
    /// Whether there is a zoo.cfg: with one the rules for missing keys are ZooKeeper's, otherwise
    /// those for trying the server out locally.
    pub(super) from_file: bool,
    pub(super) settings: &'a mut Settings,
    pub(super) outside: &'a dyn Outside,
}

impl Loader<'_> {
    /// The whole configuration. Errors are added to the settings' problems, and the field gets a
    /// harmless value.
    pub(super) fn config(mut self, command_line: &CommandLine) -> Result<Config, ConfigError> {
        self.settings.refuse_what_is_missing();
        let storage = self.storage(command_line.data_dir.as_deref());
        let audit = self.audit(&storage.data_dir);
        let myid = self.myid(&storage.data_dir)?;
        let Membership { server_id, client, ensemble } = self.membership(myid, &storage.data_dir);
        let is_tls_only = self.is_tls_only(client.is_some());
        let listen = self.listen(client, is_tls_only);
        let is_ensemble = ensemble.is_some();
        self.key_files();
        let jaas = self.jaas();
        let tick_time_ms = self.settings.decimal("tickTime", 1..=i32::MAX, "ms");
        let tick_time_ms = tick_time_ms.map_or(limits::TICK_TIME_MS, i32::unsigned_abs);
        #[cfg(feature = "net")]
        let (quorum_tls, admin_tls) = self.quorum_and_admin_tls(is_ensemble);
        let config = Config {
            file: command_line.config.clone(),
            settings: self.settings.listed(),
            server_id,
            ensemble,
            tick_time_ms,
            listen,
            #[cfg(feature = "net")]
            tls: self.tls(is_tls_only),
            #[cfg(feature = "net")]
            quorum_tls,
            quorum_sasl: self.quorum_sasl(jaas.as_ref(), is_ensemble),
            session: self.session(tick_time_ms),
            connection: self.connection(is_ensemble),
            storage,
            requests: self.requests(jaas.as_ref()),
            containers: self.containers(),
            words: self.words(),
            admin: self.admin(),
            #[cfg(feature = "net")]
            admin_tls,
            metrics: self.metrics(),
            audit,
            io_threads: self
                .settings
                .number("ostler.ioThreads", 0..=1024, "0 = half as many as processors")
                .unwrap_or(0),
            groups: self.settings.number("ostler.testGroups", 1..=1024, "at least 1").unwrap_or(1),
        };
        self.relations(&config);
        Ok(config)
    }

    /// `option` is `--data-dir` as given: a path need not be valid text.
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
        let force_sync = !s.says("forceSync", "no");
        if !force_sync {
            s.note(
                "forceSync",
                "writes are acknowledged before they are on the disk and can be lost in a crash",
            );
        }
        Storage {
            data_dir,
            log_dir,
            create_data: s.flag_property("db.autocreate", true),
            create_dirs: s.flag_property("datadir.autocreate", true),
            force_sync,
            flush_warning_ms: self.flush_warning_ms(),
            snapshot_piece_bytes: limits::SNAPSHOT_PIECE_BYTES,
            segment_bytes: self.segment_bytes(),
            snapshot_commands: self.snapshot_commands(),
            snapshot_log_bytes: self.snapshot_log_bytes(),
            snapshots_kept: self.snapshots_kept(),
            purge_interval_hours: self
                .settings
                .decimal("autopurge.purgeInterval", i32::MIN..=i32::MAX, "hours, 0 = never")
                .and_then(positive),
        }
    }

    fn flush_warning_ms(&mut self) -> u32 {
        let Some(wanted) = self.settings.long_property("fsync.warningthresholdms") else {
            return limits::FLUSH_WARNING_MS;
        };
        // Below zero every flush is logged, as at zero.
        u32::try_from(wanted.max(0)).unwrap_or(u32::MAX)
    }

    /// ZooKeeper does not preallocate at 0 and below; here the log always consists of segments.
    fn segment_bytes(&mut self) -> u64 {
        let key = "preAllocSize";
        let Some(wanted_kib) = self.settings.property(key, java::parse_long) else {
            return limits::LOG_SEGMENT_BYTES;
        };
        let (least, most) = (limits::LOG_SEGMENT_BYTES_MIN >> 10, storage::log::SEGMENT_BYTES_MAX >> 10);
        (self.settings.nearest(key, wanted_kib, least as i64..=most as i64) as u64) << 10
    }

    /// ZooKeeper raises values below 2 to 2 and says so.
    fn snapshot_commands(&mut self) -> u64 {
        match self.settings.integer_property("snapCount") {
            Some(wanted) => self.settings.nearest("snapCount", wanted, 2..=i32::MAX).unsigned_abs().into(),
            None => limits::SNAPSHOT_COMMANDS,
        }
    }

    /// Both of ZooKeeper's size limits lead to a snapshot and a new log segment here; 0 and less
    /// mean no limit.
    fn snapshot_log_bytes(&mut self) -> Option<u64> {
        let by_snapshot = self.settings.long_property("snapSizeLimitInKb");
        let by_log = self.settings.long_property("txnLogSizeLimitInKb");
        let bytes = |kib: i64| u64::try_from(kib).ok().filter(|&kib| kib > 0)?.checked_mul(1 << 10);
        let by_snapshot = by_snapshot.map_or(Some(limits::SNAPSHOT_LOG_BYTES), bytes);
        [by_snapshot, by_log.and_then(bytes)].into_iter().flatten().min()
    }

    /// ZooKeeper raises values below 3 to 3 and says so.
    fn snapshots_kept(&mut self) -> u32 {
        let key = "autopurge.snapRetainCount";
        let least = limits::SNAPSHOTS_KEPT_MIN as i32;
        match self.settings.decimal(key, i32::MIN..=i32::MAX, "snapshots") {
            Some(wanted) => self.settings.nearest(key, wanted, least..=i32::MAX).unsigned_abs(),
            None => limits::SNAPSHOTS_KEPT_MIN,
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

    fn listen(&mut self, from_member: Option<(Option<String>, u16)>, is_tls_only: bool) -> Listen {
        let port = self.settings.decimal("clientPort", 0..=u16::MAX.into(), "0 = any free port");
        let port = port.map(|port| port as u16);
        let member_port = from_member.as_ref().map(|(_, port)| *port);
        if let (Some(port), Some(member_port)) = (port, member_port)
            && port != member_port
        {
            self.settings
                .refuse("clientPort", format!("differs from the client port {member_port} of server.N"));
        }
        let host = self.settings.text("clientPortAddress");
        let host = host.or(from_member.and_then(|(host, _)| host));
        let address = match host {
            // As `InetAddress.getByName("")` does.
            Some(host) if host.is_empty() => {
                self.settings
                    .note("clientPortAddress", "is empty; clients connect to 127.0.0.1, as in ZooKeeper");
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            }
            Some(host) => self.address("clientPortAddress", &host),
            None if self.from_file => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let port = port.or(member_port).unwrap_or_else(|| {
            if self.from_file && !is_tls_only {
                self.settings
                    .note("clientPort", format!("is not set; clients connect to {}", limits::CLIENT_PORT));
            }
            limits::CLIENT_PORT
        });
        let backlog = self.settings.decimal("clientPortListenBacklog", i32::MIN..=i32::MAX, "connections");
        let backlog = backlog.and_then(positive).unwrap_or(limits::LISTEN_BACKLOG);
        Listen { address, port, backlog }
    }

    /// Whether clients are served by TLS only: there is a port for that, and no other is named.
    fn is_tls_only(&self, has_member_port: bool) -> bool {
        let is_set = |key| self.settings.is_set(key);
        is_set("secureClientPort") && !is_set("clientPort") && !has_member_port
    }

    /// The address of a host name or number; `*` is ZooKeeper's older spelling of all addresses.
    pub(super) fn address(&mut self, key: &'static str, host: &str) -> IpAddr {
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
            // ZooKeeper takes -1 as "not set".
            match s.decimal(key, i32::MIN..=i32::MAX, "ms, -1 = a multiple of tickTime") {
                None | Some(-1) => tick_time_ms.saturating_mul(ticks).min(i32::MAX as u32),
                Some(ms) => s.nearest(key, ms, 0..=i32::MAX).unsigned_abs(),
            }
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

    fn connection(&mut self, is_ensemble: bool) -> Connection {
        let throttle = self.connection_throttle();
        let request_bytes_max = self.request_bytes_max(is_ensemble);
        let s = &mut *self.settings;
        // Below zero, the limit on connections of one address means the same as zero.
        let per_address_max = s.decimal("maxClientCnxns", i32::MIN..=i32::MAX, "connections, 0 = no limit");
        let bytes = 1..=1u64 << 50;
        let by_memory = memory::memory_bytes(self.outside).map_or(0, |bytes| bytes / 4);
        let total_output_bytes_max = s
            .number("ostler.outputBytesMax", bytes.clone(), "bytes")
            .unwrap_or(limits::OUTPUT_BYTES_MAX.max(by_memory).max(2 * u64::from(request_bytes_max)));
        let reply_bytes_max =
            s.number("ostler.replyBytesMax", limits::REPLY_BYTES_MAX_MIN..=2_000_000_000, "bytes").unwrap_or(
                limits::REPLY_BYTES_MAX.min(u32::try_from(total_output_bytes_max).unwrap_or(u32::MAX)),
            );
        Connection {
            count_max: s.integer_property("maxCnxns").map_or(0, |count| count.max(0).unsigned_abs()),
            per_address_max: per_address_max
                .map_or(limits::CONNECTIONS_PER_ADDRESS_MAX, |count| count.max(0).unsigned_abs()),
            handshake_timeout_ms: at_least_one(s, "nio.sessionlessCnxnTimeout")
                .unwrap_or(limits::HANDSHAKE_TIMEOUT_MS),
            tls_handshake_timeout_ms: at_least_one(s, "ssl.handshakeDetectionTimeoutMillis")
                .unwrap_or(limits::TLS_HANDSHAKE_TIMEOUT_MS),
            outstanding_requests_max: at_least_one(s, "globalOutstandingLimit")
                .unwrap_or(limits::OUTSTANDING_REQUESTS_MAX),
            throttle_requests_max: s
                .integer_property("request_throttle_max_requests")
                .map_or(0, |count| count.max(0).unsigned_abs()),
            outstanding_bytes_max: s
                .number("ostler.outstandingBytesMax", bytes.clone(), "bytes")
                .unwrap_or(limits::OUTSTANDING_BYTES_MAX),
            output_bytes_max: s
                .number("ostler.outputBytesPerConnectionMax", bytes, "bytes")
                .unwrap_or(limits::OUTPUT_BYTES_PER_CONNECTION_MAX),
            output_pause_bytes: limits::OUTPUT_PAUSE_BYTES,
            total_output_bytes_max,
            reply_bytes_max,
            request_bytes_max,
            // ZooKeeper changes 0 and values below -1 to -1, and says so.
            large_request_bytes_min: s.integer_property("largeRequestThreshold").and_then(positive),
            large_requests_bytes_max: s
                .integer_property("largeRequestMaxBytes")
                .and_then(positive)
                .map_or(limits::LARGE_REQUESTS_BYTES_MAX, u64::from),
            throttled_wait_ms_max: s.integer_property("throttled_op_wait_time").and_then(positive),
            throttle,
        }
    }

    /// A client's request must at least be able to open a session. Zero and less would keep every
    /// client out, and their authors mean that there is no limit.
    fn request_bytes_max(&mut self, is_ensemble: bool) -> u32 {
        let key = "jute.maxbuffer";
        match self.settings.integer_property(key) {
            None => limits::REQUEST_BYTES_MAX,
            Some(wanted) if wanted <= 0 => {
                let default = limits::REQUEST_BYTES_MAX;
                self.settings.note(key, format!("{wanted} leaves no room for a request; {default} is used"));
                default
            }
            Some(wanted) => {
                let most = match is_ensemble {
                    true => limits::ENSEMBLE_REQUEST_BYTES_MAX,
                    false => limits::LONGEST_REQUEST_BYTES,
                };
                self.settings.nearest(key, wanted.unsigned_abs(), limits::SHORTEST_REQUEST_BYTES..=most)
            }
        }
    }

    /// As in ZooKeeper, there is a bucket only if it holds a token. A negative number would keep
    /// every client out.
    fn connection_throttle(&mut self) -> Option<ConnectionThrottle> {
        let mut number = |key, default, least| match self.settings.integer_property(key) {
            Some(wanted) => self.settings.nearest(key, wanted, least..=i32::MAX).unsigned_abs(),
            None => default,
        };
        let throttle = ConnectionThrottle {
            tokens_max: number("connection_throttle_tokens", 0, 0),
            fill_interval_ms: number("connection_throttle_fill_time", 1, 1),
            fill_tokens: number("connection_throttle_fill_count", 1, 0),
        };
        (throttle.tokens_max > 0).then_some(throttle)
    }

    fn requests(&mut self, jaas: Option<&JaasFile>) -> Requests {
        let schemes = self.schemes();
        let super_digest = self.super_digest(schemes.digest_hash);
        let enforced_schemes = self.enforced_schemes(&schemes);
        let sasl = self.sasl(jaas);
        let s = &mut *self.settings;
        let skip_acl = s.says("skipACL", "yes");
        if skip_acl {
            s.note("skipACL", "every client may do everything");
        }
        Requests {
            skip_acl,
            enforce_quota: s.flag_property("enforceQuota", false),
            extended_types: s.flag_property("extendedTypesEnabled", false),
            read_only_mode: s.flag_property("readonlymode.enabled", false),
            reconfig: s.flag("reconfigEnabled", false),
            standalone: s.flag("standaloneEnabled", true),
            grants: s.flag("ostler.grants", false),
            keeper_extensions: s.flag("ostler.keeperExtensions", true),
            schemes,
            super_digest,
            x509_super: s.text("X509AuthenticationProvider.superUser").filter(|name| !name.is_empty()),
            sasl,
            enforced_schemes,
            failed_logins_max: s
                .number("ostler.failedLoginsPerMinute", 0..=1 << 20, "0 = no limit")
                .unwrap_or(limits::FAILED_LOGINS_PER_MINUTE),
            watches_max: s.number("ostler.watchesMax", 1..=1 << 40, "watches").unwrap_or(limits::WATCHES_MAX),
        }
    }

    /// Whether clients on the client port may speak TLS.
    pub(super) fn is_port_unified(&self) -> bool {
        self.settings.text("client.portUnification").is_some_and(|text| text.eq_ignore_ascii_case("true"))
            && self.settings.is_set("ssl.keyStore.location")
    }

    fn containers(&mut self) -> Containers {
        let s = &mut *self.settings;
        let per_minute_max = s.integer_property("znode.container.maxPerMinute");
        Containers {
            check_interval_ms: at_least_one(s, "znode.container.checkIntervalMs")
                .unwrap_or(limits::CONTAINER_CHECK_INTERVAL_MS),
            // ZooKeeper pauses for a minute divided by this number: below zero it does not pause.
            per_minute_max: per_minute_max
                .map_or(limits::CONTAINERS_PER_MINUTE_MAX, |count| u32::try_from(count).unwrap_or(u32::MAX)),
            never_used_ms_max: match s.long_property("znode.container.maxNeverUsedIntervalMs") {
                None | Some(0) => None,
                Some(ms) => {
                    let key = "znode.container.maxNeverUsedIntervalMs";
                    Some(s.nearest(key, ms, 1..=i64::MAX).unsigned_abs())
                }
            },
        }
    }

    /// `srvr` is always allowed, since `zkServer.sh status` asks for it, and so is `isro` in
    /// read-only mode, since clients that look for a writable server ask for it.
    fn words(&mut self) -> WordList {
        let text = self.settings.text("4lw.commands.whitelist").unwrap_or_default();
        let listed = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let read_only = self.settings.flag_property("readonlymode.enabled", false);
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
        let enabled = !self.settings.says("admin.enableServer", "false");
        let port = self.settings.integer_property("admin.serverPort").unwrap_or(limits::ADMIN_PORT.into());
        let host = self.settings.text("admin.serverAddress").filter(|host| !host.is_empty());
        let url = self.settings.text("admin.commandURL");
        let listed = self.settings.text("ostler.adminHosts").unwrap_or_default();
        let snapshots = self.settings.flag_property("admin.snapshot.enabled", true);
        let interval_ms = self.settings.integer_property("admin.rateLimiterIntervalInMS");
        let trusts_forwarded_for =
            self.settings.flag_property("IPAuthenticationProvider.usexforwardedfor", false);
        if !enabled {
            return None;
        }
        let port = self.port("admin.serverPort", port);
        let address = match &host {
            Some(host) => self.address("admin.serverAddress", host),
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let listed = listed.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_owned);
        let hosts = listed.chain(host).collect();
        let url = url.unwrap_or_else(|| limits::ADMIN_COMMAND_URL.to_owned());
        let command_url = url.trim_end_matches('/').to_owned();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
        if command_url.len() < 2 || !command_url.starts_with('/') || !command_url.chars().all(is_plain) {
            self.settings.refuse("admin.commandURL", "must be a path such as /commands");
        }
        Some(Admin {
            address: SocketAddr::new(address, port),
            command_url,
            hosts,
            snapshots,
            // As in ZooKeeper, there is no limit below 0.
            snapshot_interval_ms: interval_ms
                .map_or(limits::ADMIN_SNAPSHOT_INTERVAL_MS, |ms| u32::try_from(ms).unwrap_or(0)),
            trusts_forwarded_for,
        })
    }

    pub(super) fn port(&mut self, key: &'static str, port: i32) -> u16 {
        u16::try_from(port).unwrap_or_else(|_| {
            self.settings.refuse(key, "must be a port from 0 to 65535, 0 = any free port");
            0
        })
    }

    /// Relations between values that are each valid by themselves.
    fn relations(&mut self, config: &Config) {
        let s = &mut *self.settings;
        let Config { session, connection, .. } = config;
        if session.timeout_ms_min > session.timeout_ms_max {
            let (min, max) = (session.timeout_ms_min, session.timeout_ms_max);
            let key = if s.is_set("minSessionTimeout") { "minSessionTimeout" } else { "maxSessionTimeout" };
            s.refuse(
                key,
                format!("the shortest session timeout ({min} ms) must not exceed the longest ({max} ms)"),
            );
        }
        // The defaults of Ostler's own limits have room for a request; configured values must have
        // it too.
        let request = u64::from(connection.request_bytes_max);
        for (key, limit) in [
            ("ostler.outstandingBytesMax", connection.outstanding_bytes_max),
            ("ostler.outputBytesPerConnectionMax", connection.output_bytes_max),
            ("ostler.outputBytesMax", connection.total_output_bytes_max),
        ] {
            if s.is_set(key) && limit < request {
                let allowed =
                    format!("one request (jute.maxbuffer, {request} bytes) must fit into {limit} bytes");
                s.refuse(key, allowed);
            }
        }
        let readable = connection.request_bytes_max.saturating_add(limits::REPLY_OVERHEAD_BYTES);
        let reply = connection.reply_bytes_max;
        if s.is_set("ostler.replyBytesMax") && reply < readable {
            let allowed = format!(
                "what one request writes (jute.maxbuffer, {request} bytes) must fit into a reply ({reply} bytes)"
            );
            s.refuse("ostler.replyBytesMax", allowed);
        }
        if config.requests.extended_types && config.server_id > 254 {
            s.refuse(
                "extendedTypesEnabled",
                "with TTL nodes the number of a server (myid) must be at most 254",
            );
        }
        if config.groups > 1 && config.requests.reconfig {
            s.refuse("ostler.testGroups", "with several groups reconfigEnabled must be false");
        }
    }
}

/// A system property that cannot be below 1.
fn at_least_one(settings: &mut Settings, key: &'static str) -> Option<u32> {
    let wanted = settings.integer_property(key)?;
    Some(settings.nearest(key, wanted, 1..=i32::MAX).unsigned_abs())
}

/// The number if it is above zero; `None` otherwise.
fn positive(number: i32) -> Option<u32> {
    u32::try_from(number).ok().filter(|&number| number > 0)
}

/// Reads every key from empty settings, so that a test sees which keys are asked for.
#[cfg(test)]
pub(super) fn read_all(settings: &mut Settings, outside: &dyn Outside) {
    let loader = Loader { from_file: false, settings, outside };
    let config = loader.config(&CommandLine::default());
    assert!(config.is_ok(), "defaults are a configuration");
}
