//! The client's side of DIGEST-MD5, enough of it to be right or wrong in one place.

use md5::{Digest as _, Md5};

/// A client's answer to a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login<'a> {
    /// Who it is.
    pub user: &'a str,
    /// Its password.
    pub password: &'a str,
    /// Whom it wants to act for, if it says so.
    pub authzid: Option<&'a str>,
}

const REALM: &str = "zk-sasl-md5";
const URI: &str = "zookeeper/zk-sasl-md5";
const CNONCE: &str = "a nonce of the client";

impl Login<'_> {
    /// The response to the server's challenge.
    pub fn response(&self, challenge: &[u8]) -> Vec<u8> {
        let challenge = String::from_utf8_lossy(challenge);
        let nonce = challenge.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next());
        let nonce = nonce.unwrap_or_else(|| panic!("no nonce in {challenge}"));
        let response = self.proof(nonce, "AUTHENTICATE");
        let authzid = self.authzid.map(|id| format!(",authzid=\"{id}\"")).unwrap_or_default();
        format!(
            "charset=utf-8,username=\"{}\",realm=\"{REALM}\",nonce=\"{nonce}\",nc=00000001,\
             cnonce=\"{CNONCE}\",digest-uri=\"{URI}\",maxbuf=65536,response={response},qop=auth{authzid}",
            self.user
        )
        .into_bytes()
    }

    fn proof(&self, nonce: &str, method: &str) -> String {
        let secret = Md5::digest(format!("{}:{REALM}:{}", self.user, self.password));
        let authzid = self.authzid.map(|id| format!(":{id}")).unwrap_or_default();
        let a1 = [&secret[..], format!(":{nonce}:{CNONCE}{authzid}").as_bytes()].concat();
        let a1 = hex(&Md5::digest(a1));
        let a2 = hex(&Md5::digest(format!("{method}:{URI}")));
        hex(&Md5::digest(format!("{a1}:{nonce}:00000001:{CNONCE}:auth:{a2}")))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
