//! Java's own key store format, JKS.
//!
//! ```text
//! store    = FEEDFEED │ version u32 (1 or 2) │ count u32 │ entry* │ SHA-1 over password, salt and all before
//! entry    = 1 u32 │ alias utf │ time u64 │ key blob │ count u32 │ certificate*      a private key
//!          │ 2 u32 │ alias utf │ time u64 │ certificate                             a trusted one
//! certificate = type utf (version 2 only) │ blob
//! utf      = length u16 │ bytes          blob = length u32 │ bytes
//! key blob = EncryptedPrivateKeyInfo { algorithm, salt (20) │ encrypted │ SHA-1 over password and key (20) }
//! ```
//!
//! A key is combined with a stream of SHA-1 digests, each over the password and the digest before;
//! the first over the password and the salt. Passwords are in UTF-16, as Java's characters are.

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha1::{Digest as _, Sha1};
use zeroize::Zeroizing;

use super::{Content, Entry, StoreError, damaged};
use crate::der;
use crate::secret::Secret;

const DIGEST_BYTES: usize = 20;
/// What Java mixes into the digest of a whole store.
const SALT: &[u8] = b"Mighty Aphrodite";
/// The content of the object identifier of the encryption of keys, 1.3.6.1.4.1.42.2.17.1.1.
const KEY_ENCRYPTION: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];
const OBJECT_IDENTIFIER: u8 = 0x06;
const PRIVATE_KEY: u32 = 1;
const TRUSTED: u32 = 2;

/// As Java: without a password nothing is checked, which suffices for trusted certificates.
pub(super) fn read(bytes: &[u8], password: &Secret) -> Result<Content, StoreError> {
    let password = utf16(password);
    let Some((body, digest)) = bytes.split_last_chunk::<DIGEST_BYTES>() else { return Err(truncated()) };
    if !password.is_empty() && !is_same(&sha1(&[&password, SALT, body]), digest) {
        return Err(StoreError::Password);
    }
    let mut input = Input(body);
    let (_magic, version, count) = (input.u32()?, input.u32()?, input.u32()?);
    if !(1..=2).contains(&version) {
        return Err(damaged(format!("it is a JKS file of version {version}")));
    }
    let mut content = Content::default();
    for _ in 0..count {
        let kind = input.u32()?;
        let _alias = input.utf()?;
        let _time = input.bytes(8)?;
        match kind {
            PRIVATE_KEY => content.keys.push(private_key(&mut input, version, &password)?),
            TRUSTED => content.trusted.push(input.certificate(version)?),
            _ => return Err(damaged(format!("it has an entry of the unknown kind {kind}"))),
        }
    }
    if input.0.is_empty() { Ok(content) } else { Err(damaged("there is more behind its last entry")) }
}

fn private_key(input: &mut Input<'_>, version: u32, password: &[u8]) -> Result<Entry, StoreError> {
    let encrypted = input.blob()?;
    let count = input.u32()?;
    let mut chain = Vec::new();
    for _ in 0..count {
        chain.push(input.certificate(version)?);
    }
    if chain.is_empty() {
        return Err(damaged("it has a private key without a certificate"));
    }
    let key = decrypt(encrypted, password)?;
    Ok(Entry { key: PrivatePkcs8KeyDer::from(key.to_vec()).into(), chain })
}

/// Decrypts a private key, and checks that the password was right.
fn decrypt(mut info: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let is_malformed = || damaged("it has a malformed private key");
    let mut inner = der::take_tagged(&mut info, der::SEQUENCE).ok_or_else(is_malformed)?.content;
    let mut algorithm = der::take_tagged(&mut inner, der::SEQUENCE).ok_or_else(is_malformed)?.content;
    let algorithm = der::take_tagged(&mut algorithm, OBJECT_IDENTIFIER).ok_or_else(is_malformed)?.content;
    let sealed = der::take_tagged(&mut inner, der::OCTET_STRING).ok_or_else(is_malformed)?.content;
    if algorithm != KEY_ENCRYPTION {
        return Err(damaged("its private key is encrypted by an unknown algorithm"));
    }
    let (salt, rest) = sealed.split_first_chunk::<DIGEST_BYTES>().ok_or_else(is_malformed)?;
    let (encrypted, digest) = rest.split_last_chunk::<DIGEST_BYTES>().ok_or_else(is_malformed)?;
    let mut key = Zeroizing::new(Vec::with_capacity(encrypted.len()));
    let mut stream = *salt;
    for block in encrypted.chunks(DIGEST_BYTES) {
        stream = sha1(&[password, &stream]);
        key.extend(block.iter().zip(stream).map(|(byte, mask)| byte ^ mask));
    }
    if is_same(&sha1(&[password, &key]), digest) { Ok(key) } else { Err(StoreError::Password) }
}

fn sha1(parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut digest = Sha1::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().into()
}

/// Compares in a time independent of where the two differ.
fn is_same(a: &[u8; DIGEST_BYTES], b: &[u8; DIGEST_BYTES]) -> bool {
    a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn utf16(password: &Secret) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(password.reveal().encode_utf16().flat_map(u16::to_be_bytes).collect())
}

fn truncated() -> StoreError {
    damaged("it ends too early")
}

/// What has not been read yet. No length is believed beyond it.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], StoreError> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or_else(truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, StoreError> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(truncated)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    fn utf(&mut self) -> Result<&'a [u8], StoreError> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(truncated)?;
        self.0 = rest;
        self.bytes(usize::from(u16::from_be_bytes(*bytes)))
    }

    fn blob(&mut self) -> Result<&'a [u8], StoreError> {
        let length = self.u32()?;
        self.bytes(usize::try_from(length).map_err(|_| truncated())?)
    }

    fn certificate(&mut self, version: u32) -> Result<CertificateDer<'static>, StoreError> {
        let kind = if version == 2 { self.utf()? } else { b"X.509" };
        if kind != b"X.509" {
            return Err(damaged("it has a certificate that is not X.509"));
        }
        Ok(CertificateDer::from(self.blob()?.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    const PASSWORD: &str = "secret";

    fn utf(text: &str) -> Vec<u8> {
        [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
    }

    fn blob(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
    }

    fn certificate(version: u32, bytes: &[u8]) -> Vec<u8> {
        [if version == 2 { utf("X.509") } else { Vec::new() }, blob(bytes)].concat()
    }

    /// A key, encrypted as Java does.
    fn sealed(key: &[u8], salt: [u8; DIGEST_BYTES]) -> Vec<u8> {
        let password = utf16(&Secret::new(PASSWORD));
        let mut sealed = salt.to_vec();
        let mut stream = salt;
        for block in key.chunks(DIGEST_BYTES) {
            stream = sha1(&[&password, &stream]);
            sealed.extend(block.iter().zip(stream).map(|(byte, mask)| byte ^ mask));
        }
        sealed.extend(sha1(&[&password, key]));
        let element = |tag: u8, content: &[u8]| {
            [&[tag, 0x82][..], &(content.len() as u16).to_be_bytes(), content].concat()
        };
        let algorithm = element(der::SEQUENCE, &element(OBJECT_IDENTIFIER, KEY_ENCRYPTION));
        element(der::SEQUENCE, &[algorithm, element(der::OCTET_STRING, &sealed)].concat())
    }

    fn store(version: u32, count: u32, entries: &[u8]) -> Vec<u8> {
        let numbers = [0xfeed_feed_u32, version, count].map(u32::to_be_bytes).concat();
        let body = [&numbers, entries].concat();
        let digest = sha1(&[&utf16(&Secret::new(PASSWORD)), SALT, &body]);
        [&body[..], &digest].concat()
    }

    fn head(kind: u32) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &utf("alias"), &[0; 8]].concat()
    }

    proptest! {
        #[test]
        fn what_was_stored_is_read(
            version in 1..=2u32,
            key in proptest::collection::vec(any::<u8>(), 0..100),
            salt in any::<[u8; DIGEST_BYTES]>(),
            chain in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 1..4),
        ) {
            let certificates: Vec<u8> = chain.iter().flat_map(|bytes| certificate(version, bytes)).collect();
            let private = [head(PRIVATE_KEY), blob(&sealed(&key, salt)), (chain.len() as u32).to_be_bytes().to_vec(), certificates].concat();
            let trusted = [head(TRUSTED), certificate(version, b"trusted")].concat();
            let bytes = store(version, 2, &[private, trusted].concat());
            let content = read(&bytes, &Secret::new(PASSWORD)).unwrap();
            prop_assert_eq!(content.keys[0].key.secret_der(), &key);
            prop_assert_eq!(&content.keys[0].chain, &chain.into_iter().map(CertificateDer::from).collect::<Vec<_>>());
            prop_assert_eq!(content.trusted, [CertificateDer::from(b"trusted".to_vec())]);
            prop_assert_eq!(read(&bytes, &Secret::new("other")).unwrap_err(), StoreError::Password);
        }

        #[test]
        fn an_altered_store_is_refused(at in any::<Index>(), bit in 0..8u32) {
            let mut bytes = store(2, 1, &[head(TRUSTED), certificate(2, b"trusted")].concat());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(read(&bytes, &Secret::new(PASSWORD)).unwrap_err(), StoreError::Password);
        }

        #[test]
        fn any_entries_are_read_or_refused(count in any::<u32>(), entries in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&store(2, count, &entries), &Secret::new(PASSWORD));
            let altered = [head(PRIVATE_KEY), entries].concat();
            let _ = read(&store(2, count, &altered), &Secret::default());
        }
    }

    #[test]
    fn trusted_certificates_need_no_password() {
        let bytes = store(2, 1, &[head(TRUSTED), certificate(2, b"trusted")].concat());
        assert_eq!(read(&bytes, &Secret::default()).unwrap().trusted.len(), 1);
    }
}
