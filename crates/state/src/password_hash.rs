//! The hash in the ids of scheme `digest` (`DigestAuthenticationProvider.digestAlg`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::Digest;

/// A hash function. All servers of an ensemble must use the same one: an id of another one in an
/// ACL is nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordHash {
    /// SHA-1, ZooKeeper's default.
    #[default]
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA-512/224.
    Sha512To224,
    /// SHA-512/256.
    Sha512To256,
    /// SHA3-224.
    Sha3To224,
    /// SHA3-256.
    Sha3To256,
    /// SHA3-384.
    Sha3To384,
    /// SHA3-512.
    Sha3To512,
}

/// The names in Java, which has several for SHA-1.
const NAMES: &[(&str, PasswordHash)] = &[
    ("SHA1", PasswordHash::Sha1),
    ("SHA-1", PasswordHash::Sha1),
    ("SHA", PasswordHash::Sha1),
    ("SHA-224", PasswordHash::Sha224),
    ("SHA-256", PasswordHash::Sha256),
    ("SHA-384", PasswordHash::Sha384),
    ("SHA-512", PasswordHash::Sha512),
    ("SHA-512/224", PasswordHash::Sha512To224),
    ("SHA-512/256", PasswordHash::Sha512To256),
    ("SHA3-224", PasswordHash::Sha3To224),
    ("SHA3-256", PasswordHash::Sha3To256),
    ("SHA3-384", PasswordHash::Sha3To384),
    ("SHA3-512", PasswordHash::Sha3To512),
];

impl PasswordHash {
    /// The function with this name in Java, in any case.
    pub fn by_name(name: &str) -> Option<PasswordHash> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, hash)| *hash)
    }

    /// All names that [`Self::by_name`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The digest identity of `user:password`: the user and the base64 of the hash of the whole
    /// (`DigestAuthenticationProvider.generateDigest`).
    pub fn digest_id(self, user_password: &str) -> String {
        let user = user_password.split(':').next().unwrap_or_default();
        format!("{user}:{}", BASE64.encode(self.hash(user_password.as_bytes())))
    }

    /// Whether some `user:password` could have this digest identity.
    pub fn is_digest_id(self, id: &str) -> bool {
        id.split_once(':').is_some_and(|(user, hash)| {
            let length = self.hash(b"").len();
            !user.is_empty() && BASE64.decode(hash).is_ok_and(|bytes| bytes.len() == length)
        })
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            PasswordHash::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
            PasswordHash::Sha224 => sha2::Sha224::digest(bytes).to_vec(),
            PasswordHash::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
            PasswordHash::Sha384 => sha2::Sha384::digest(bytes).to_vec(),
            PasswordHash::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
            PasswordHash::Sha512To224 => sha2::Sha512_224::digest(bytes).to_vec(),
            PasswordHash::Sha512To256 => sha2::Sha512_256::digest(bytes).to_vec(),
            PasswordHash::Sha3To224 => sha3::Sha3_224::digest(bytes).to_vec(),
            PasswordHash::Sha3To256 => sha3::Sha3_256::digest(bytes).to_vec(),
            PasswordHash::Sha3To384 => sha3::Sha3_384::digest(bytes).to_vec(),
            PasswordHash::Sha3To512 => sha3::Sha3_512::digest(bytes).to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with ZooKeeper's `DigestAuthenticationProvider` and Java 17.
    #[test]
    fn digest_ids_of_java() {
        for (name, id) in [
            ("SHA1", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="),
            ("SHA-224", "super:opwh3FU/0WUpM+8JAOS98bsQFC+823kv438mIg=="),
            ("SHA-256", "super:wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig="),
            ("SHA-384", "super:FA/2SgoedA21NnGcUl5C1HBsMwuibAPXlAq/FqXTuUQPExUJgxpf8gWeD4eOupjP"),
            (
                "SHA-512",
                "super:cMAGk13FCMtJkaVQImGEKhjqoGELCiVjYdIhiD8stB1FnIpdGeFvKwAHh5mf4tUYmBR2ZY9181dZTXEHMlkVhg==",
            ),
            ("SHA-512/224", "super:Jbob8j2c9tikAuLuqxcIJr3TG4aS6fcELZsiHw=="),
            ("SHA-512/256", "super:GV6U44a5U7SXgFZS9GkWgmwq2+im64wGlYXjCHia3mo="),
            ("SHA3-224", "super:774X6Nz1d3BUO6raVFndfjoMF6e1LHrnHVv5IA=="),
            ("SHA3-256", "super:cRy/KPYuDpW/dtsepniTMpuiuupnWgdU9txltIfv3hA="),
            ("SHA3-384", "super:a3efqz9Fj+qRHgJMpOPAzqpMP86/aPKowwZfSsm/gM+qBf87ZmeQYtueLs53P8Rw"),
            (
                "SHA3-512",
                "super:AdTSPtJYC1bEo1Z0UG5z1VXkw2AEUReEjF0RV0jap6VKcDva8ZPEO/WxrOy888alfiJyM5cm5BKhrI4X/YFcTg==",
            ),
        ] {
            assert_eq!(PasswordHash::by_name(name).expect(name).digest_id("super:test"), id);
        }
        assert_eq!(PasswordHash::by_name("sha-256"), Some(PasswordHash::Sha256));
        assert_eq!(PasswordHash::by_name("MD5"), None);
    }

    #[test]
    fn a_digest_id_has_the_length_of_its_hash() {
        let mut ids: Vec<(PasswordHash, String)> =
            NAMES.iter().map(|(_, hash)| (*hash, hash.digest_id("super:test"))).collect();
        ids.dedup();
        for (hash, id) in &ids {
            assert!(hash.is_digest_id(id), "{id}");
            assert!(!hash.is_digest_id(&id[1 + id.find(':').unwrap()..]), "no user");
            assert!(!hash.is_digest_id(&id[..id.len() - 4]), "{id}");
        }
        assert!(!PasswordHash::Sha1.is_digest_id("super:secret"));
    }
}
