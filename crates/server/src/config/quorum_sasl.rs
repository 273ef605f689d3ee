//! SASL between servers.

use sasl::jaas::{JaasFile, Module};
use sasl::kerberos::Principal;

use super::authentication::{DIGEST_MODULE, JAAS_FILE, KERBEROS_MODULE};
use super::fields::Loader;
use super::{Mechanism, Secret, limits};

const ENABLE: &str = "quorum.auth.enableSasl";
const LEARNER: &str = "quorum.auth.learnerRequireSasl";
const SERVER: &str = "quorum.auth.serverRequireSasl";
const LEARNER_SECTION: &str = "quorum.auth.learner.saslLoginContext";
const SERVER_SECTION: &str = "quorum.auth.server.saslLoginContext";
const SERVICE: &str = "quorum.auth.kerberos.servicePrincipal";
/// Stands for the host of the server that is dialled.
const HOST: &str = "_HOST";

/// SASL between servers. All servers accept it; which of them need it is for the settings to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumSasl {
    /// The section for servers in the JAAS file (`quorum.auth.server.saslLoginContext`): how
    /// servers that connect prove who they are.
    pub accepts: Mechanism,
    /// The section for learners (`quorum.auth.learner.saslLoginContext`): how this server proves
    /// who it is to those that it dials.
    pub login: QuorumLogin,
    /// `quorum.auth.learnerRequireSasl`: this server authenticates where it dials.
    pub is_dialled: bool,
    /// `quorum.auth.serverRequireSasl`: servers that connect must authenticate.
    pub is_required: bool,
    /// `quorum.cnxn.threads.size`: threads that do the steps of Kerberos, at most.
    pub threads_max: u32,
}

/// How a server proves who it is to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuorumLogin {
    /// By DIGEST-MD5.
    DigestMd5 {
        /// `username`.
        user: String,
        /// `password`.
        password: Secret,
    },
    /// By Kerberos.
    Kerberos {
        /// `keyTab`: the key table.
        keytab: String,
        /// `principal`: the own name, with its realm.
        principal: String,
        /// `quorum.auth.kerberos.servicePrincipal`: that of the server that is dialled.
        service: String,
    },
}

impl QuorumLogin {
    /// The principal of the server at this host, as ZooKeeper makes it: `_HOST` stands for the
    /// host, and a name without a realm is of the own one.
    pub fn service_at(service: &str, host: &str, principal: &str) -> String {
        let service = match service.split_once('/') {
            Some((name, HOST)) => format!("{name}/{}", host.to_lowercase()),
            _ => service.to_owned(),
        };
        let realm = Principal::parse(principal).and_then(|own| own.realm).unwrap_or_default();
        if service.contains('@') { service } else { format!("{service}@{realm}") }
    }
}

impl Loader<'_> {
    /// All keys are read, so that mistakes in them are reported, and count for nothing if they ask
    /// for no SASL or there is one server.
    pub(super) fn quorum_sasl(&mut self, jaas: Option<&JaasFile>, is_ensemble: bool) -> Option<QuorumSasl> {
        let s = &mut *self.settings;
        let is_enabled = s.flag(ENABLE, false);
        let (is_dialled, is_required) = (s.flag(LEARNER, false), s.flag(SERVER, false));
        let sections = [(SERVER_SECTION, "QuorumServer"), (LEARNER_SECTION, "QuorumLearner")];
        let sections = sections.map(|(key, default)| s.text(key).unwrap_or_else(|| default.to_owned()));
        let service = s.text(SERVICE).unwrap_or_else(|| "zkquorum/localhost".to_owned());
        let threads = s.decimal("quorum.cnxn.threads.size", i32::MIN..=i32::MAX, "threads").unwrap_or(0);
        // ZooKeeper refuses the same, in the same order.
        for (is_on, key, needed, has_needed) in [
            (is_required, SERVER, ENABLE, is_enabled),
            (is_dialled, LEARNER, ENABLE, is_enabled),
            (is_required, SERVER, LEARNER, is_dialled),
        ] {
            if is_on && !has_needed {
                s.refuse(key, format!("needs {needed}=true"));
                return None;
            }
        }
        if !is_enabled {
            return None;
        }
        if !is_ensemble {
            s.note(ENABLE, "has no effect: there is one server");
            return None;
        }
        let Some(jaas) = jaas else {
            if !s.is_set(JAAS_FILE) {
                s.refuse(ENABLE, format!("needs the file {JAAS_FILE}"));
            }
            return None;
        };
        let [accepts, login] = sections;
        let accepts = self.quorum_section(jaas, SERVER_SECTION, &accepts);
        let login = self.quorum_section(jaas, LEARNER_SECTION, &login);
        let accepts = accepts.and_then(|modules| self.mechanism(modules, None));
        let login = login.and_then(|modules| self.quorum_login(modules, service));
        let threads = threads.unsigned_abs().clamp(limits::QUORUM_THREADS, limits::QUORUM_THREADS_MAX);
        Some(QuorumSasl { accepts: accepts?, login: login?, is_dialled, is_required, threads_max: threads })
    }

    fn quorum_section<'j>(
        &mut self,
        jaas: &'j JaasFile,
        key: &'static str,
        name: &str,
    ) -> Option<&'j [Module]> {
        let modules = jaas.section(name);
        if modules.is_none() {
            let by = if self.settings.is_set(key) { key } else { ENABLE };
            self.settings
                .refuse(by, format!("needs the section {name}, which the file of {JAAS_FILE} lacks"));
        }
        modules
    }

    fn quorum_login(&mut self, modules: &[Module], service: String) -> Option<QuorumLogin> {
        let module = modules.first()?;
        let text = |key: &str| module.option(key).map(|value| value.reveal().to_owned());
        match module.class.as_str() {
            DIGEST_MODULE => {
                let (user, password) = (text("username"), module.option("password").cloned());
                if user.is_none() || password.is_none() {
                    let allowed = "the login module of learners needs username and password";
                    self.settings.refuse(JAAS_FILE, allowed);
                }
                Some(QuorumLogin::DigestMd5 { user: user?, password: password? })
            }
            KERBEROS_MODULE => {
                let key = self.kerberos_key(module)?;
                if key.keytab.is_none() {
                    let allowed =
                        "the Krb5LoginModule of learners needs keyTab: tickets of others are not used";
                    self.settings.refuse(JAAS_FILE, allowed);
                }
                let is_whole = service
                    .split_once('/')
                    .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('/'));
                if !is_whole {
                    self.settings.refuse(SERVICE, "must be such as zkquorum/_HOST or zkquorum/host@REALM");
                }
                Some(QuorumLogin::Kerberos { keytab: key.keytab?, principal: key.principal, service })
            }
            other => {
                let known = format!("{DIGEST_MODULE} or {KERBEROS_MODULE}");
                self.settings.refuse(JAAS_FILE, format!("a login module must be {known}, not {other}"));
                None
            }
        }
    }
}
