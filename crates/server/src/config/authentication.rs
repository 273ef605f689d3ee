//! The settings that say who a client is: schemes, SASL, and what an unauthenticated client may do.

use std::path::Path;

use sasl::jaas::{JaasFile, Module};
use sasl::kerberos::{Principal, Rules};

use super::fields::Loader;
use super::settings::Setting;
use super::{KerberosKey, Mechanism, Naming, PasswordHash, Sasl, Schemes, Secret};

/// The file with the users and passwords of SASL. In Java it is a system property.
pub(super) const JAAS_FILE: &str = "java.security.auth.login.config";
const SECTION: &str = "sasl.serverconfig";
const RULES: &str = "security.auth_to_local";
const DIGEST_ALGORITHM: &str = "DigestAuthenticationProvider.digestAlg";

/// Beginning of the names of options that are users of DIGEST-MD5.
const USER_PREFIX: &str = "user_";
/// The class of a login module with a key of Kerberos.
pub(super) const KERBEROS_MODULE: &str = "com.sun.security.auth.module.Krb5LoginModule";
/// The class of one with users of DIGEST-MD5.
pub(super) const DIGEST_MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";

impl Loader<'_> {
    /// The classes are ZooKeeper's own providers; the start is refused for others, because someone
    /// may rely on their protection.
    pub(super) fn schemes(&mut self) -> Schemes {
        let mut schemes = Schemes {
            digest: self.settings.flag_property("DigestAuthenticationProvider.enabled", true),
            digest_hash: self.digest_hash(),
            // ZooKeeper registers the provider itself where there is a secure port.
            x509: self.settings.is_set("secureClientPort") || self.is_port_unified(),
            ..Schemes::default()
        };
        for (number, Setting { value, place }) in self.settings.with_prefix("authProvider.") {
            match value.strip_prefix("org.apache.zookeeper.server.auth.").unwrap_or_default() {
                // Naming it switches it on, in ZooKeeper too.
                "DigestAuthenticationProvider" => schemes.digest = true,
                "IPAuthenticationProvider" => {}
                "EnsembleAuthenticationProvider" => schemes.ensemble = true,
                "KeyAuthenticationProvider" => schemes.key = true,
                "SASLAuthenticationProvider" => schemes.sasl = true,
                "X509AuthenticationProvider" => schemes.x509 = true,
                _ if value.is_empty() => {
                    self.settings.note("authProvider.*", format!("authProvider.{number} names no provider"));
                }
                _ => {
                    let allowed = "must be ….DigestAuthenticationProvider, ….IPAuthenticationProvider, \
                        ….EnsembleAuthenticationProvider, ….KeyAuthenticationProvider, \
                        ….SASLAuthenticationProvider or ….X509AuthenticationProvider \
                        of org.apache.zookeeper.server.auth; there are no others yet";
                    self.settings.problem(&place, &format!("authProvider.{number}"), &value, allowed);
                }
            }
        }
        let names = self.settings.text("ensembleAuthName");
        schemes.ensemble_names = names.map(|names| names.split(',').map(|name| name.trim().into()).collect());
        schemes
    }

    /// The names are those of Java's message digests.
    fn digest_hash(&mut self) -> PasswordHash {
        let Some(name) = self.settings.text(DIGEST_ALGORITHM) else { return PasswordHash::default() };
        PasswordHash::by_name(&name).unwrap_or_else(|| {
            let names: Vec<&str> = PasswordHash::names().collect();
            self.settings.refuse(DIGEST_ALGORITHM, format!("must be one of {}", names.join(", ")));
            PasswordHash::default()
        })
    }

    /// `DigestAuthenticationProvider.superDigest`, if a password can have it.
    pub(super) fn super_digest(&mut self, hash: PasswordHash) -> Option<String> {
        let key = "DigestAuthenticationProvider.superDigest";
        let digest = self.settings.text(key).filter(|digest| !digest.is_empty())?;
        let is_usable = hash.is_digest_id(&digest);
        if !is_usable {
            self.settings.note(
                key,
                "is not super:<base64 of the digest of super:password>, so no password makes a client the \
                 super user",
            );
        }
        is_usable.then_some(digest)
    }

    /// The schemes of which a client must have an identity; `None` = none is needed.
    pub(super) fn enforced_schemes(&mut self, schemes: &Schemes) -> Option<Vec<String>> {
        let s = &mut *self.settings;
        let (enabled, listed) = ("enforce.auth.enabled", "enforce.auth.schemes");
        let by_sasl = s.flag_property("sessionRequireClientSASLAuth", false);
        let is_enforced = s.flag_property(enabled, false);
        let names = s.text(listed);
        let (key, names) = match (by_sasl, is_enforced) {
            (true, _) => ("sessionRequireClientSASLAuth", vec!["sasl".to_owned()]),
            (false, false) => return None,
            (false, true) => {
                (enabled, names.iter().flat_map(|names| names.split(',')).map(|n| n.trim().into()).collect())
            }
        };
        if names.is_empty() {
            s.refuse(enabled, format!("needs {listed}, the schemes of which a client must have one"));
        }
        for name in names.iter().filter(|name| !schemes.has(name)) {
            let allowed = match name.as_str() {
                "sasl" => {
                    "needs authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider".into()
                }
                _ => format!("there is no scheme \"{name}\""),
            };
            s.refuse(key, allowed);
        }
        Some(names)
    }

    /// SASL for clients, if the JAAS file has a section for it.
    pub(super) fn sasl(&mut self, jaas: Option<&JaasFile>) -> Option<Sasl> {
        let mut naming = self.naming();
        let super_password = self.settings.text("SASLAuthenticationProvider.superPassword");
        let mut super_users: Vec<String> = self.settings.text("superUser").into_iter().collect();
        super_users.extend(self.settings.with_prefix("superUser.").into_iter().map(|(_, user)| user.value));
        super_users.retain(|user| !user.is_empty());
        let keep_failed = self.settings.flag_property("allowSaslFailedClients", false);
        let wanted = self.settings.text(SECTION);
        let Some(path) = self.settings.text(JAAS_FILE) else {
            if wanted.is_some() {
                self.settings.refuse(SECTION, format!("needs the file {JAAS_FILE}"));
            }
            return None;
        };
        let section = wanted.clone().unwrap_or_else(|| "Server".to_owned());
        let Some(modules) = jaas?.section(&section) else {
            let missing = format!("{path} has no section {section}");
            match wanted {
                Some(_) => self.settings.refuse(SECTION, missing),
                // The file may be for servers only.
                None if self.settings.is_set("quorum.auth.enableSasl") => {}
                None => self.settings.note(JAAS_FILE, format!("{missing}, so clients cannot use SASL")),
            }
            return None;
        };
        let mechanism = self.mechanism(modules, super_password)?;
        if let Mechanism::Kerberos(key) = &mechanism {
            let realm = Principal::parse(&key.principal).and_then(|principal| principal.realm);
            naming.rules.set_default_realm(realm.unwrap_or_default());
        }
        Some(Sasl { mechanism, naming, super_users, keep_failed })
    }

    /// The file with the passwords and keys of SASL, for clients and between servers.
    pub(super) fn jaas(&mut self) -> Option<JaasFile> {
        let path = self.settings.text(JAAS_FILE)?;
        let path = Path::new(&path);
        self.check_key_file(JAAS_FILE, path);
        let parsed = match self.outside.read(path) {
            Ok(bytes) => JaasFile::parse(&bytes).map_err(|error| error.to_string()),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        parsed.map_err(|error| self.settings.refuse(JAAS_FILE, error)).ok()
    }

    /// The login module says by which mechanism clients authenticate.
    pub(super) fn mechanism(
        &mut self,
        modules: &[Module],
        super_password: Option<String>,
    ) -> Option<Mechanism> {
        let is_known = |module: &&Module| [DIGEST_MODULE, KERBEROS_MODULE].contains(&module.class.as_str());
        if let Some(other) = modules.iter().find(|module| !is_known(module)) {
            let known = format!("{DIGEST_MODULE} or {KERBEROS_MODULE}");
            self.settings.refuse(JAAS_FILE, format!("a login module must be {known}, not {}", other.class));
            return None;
        }
        if let Some(module) = modules.iter().find(|module| module.class == KERBEROS_MODULE) {
            return self.kerberos_key(module).map(Mechanism::Kerberos);
        }
        let mut users = users(modules);
        if let Some(password) = super_password
            && let Some((_, known)) = users.iter_mut().find(|(user, _)| user == "super")
        {
            *known = Secret::new(password);
        }
        Some(Mechanism::DigestMd5(users))
    }

    pub(super) fn kerberos_key(&mut self, module: &Module) -> Option<KerberosKey> {
        let text = |key: &str| module.option(key).map(|value| value.reveal().to_owned());
        let principal = text("principal").unwrap_or_default();
        let is_whole =
            Principal::parse(&principal).is_some_and(|name| name.host.is_some() && name.realm.is_some());
        if !is_whole {
            let allowed = "principal of the Krb5LoginModule must be such as zookeeper/host@REALM";
            self.settings.refuse(JAAS_FILE, allowed);
            return None;
        }
        let keytab = text("keyTab").filter(|path| !path.is_empty());
        if let Some(path) = &keytab {
            self.check_key_file(JAAS_FILE, Path::new(path.strip_prefix("FILE:").unwrap_or(path)));
        }
        Some(KerberosKey { keytab, principal })
    }

    fn naming(&mut self) -> Naming {
        let text = self.settings.text(RULES).unwrap_or_else(|| "DEFAULT".to_owned());
        let rules = Rules::parse(&text, "").unwrap_or_else(|error| {
            self.settings.refuse(RULES, error.to_string());
            Rules::default()
        });
        Naming {
            rules,
            remove_host: self.settings.says("kerberos.removeHostFromPrincipal", "true"),
            remove_realm: self.settings.says("kerberos.removeRealmFromPrincipal", "true"),
        }
    }
}

/// The users of DIGEST-MD5. As in ZooKeeper, the later of two options of one name counts.
fn users(modules: &[Module]) -> Vec<(String, Secret)> {
    let mut users: Vec<(String, Secret)> = Vec::new();
    for (key, password) in modules.iter().flat_map(Module::options) {
        let Some(user) = key.strip_prefix(USER_PREFIX) else { continue };
        users.retain(|(known, _)| known != user);
        users.push((user.to_owned(), password.clone()));
    }
    users
}
