//! One request, and its answer.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::participant::Trouble;

/// Longest answer taken, in bytes: a list of ten thousand branches and more.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Where a service is.
#[derive(Debug)]
pub(super) struct Base {
    host: String,
    port: u16,
    path: String,
}

/// What a service has answered.
pub(super) struct Answer {
    pub(super) status: u16,
    body: Bytes,
}

impl Base {
    pub(super) fn parse(url: &str) -> Result<Self, Trouble> {
        let unfit = |why: &str| Trouble::Unfit(format!("the URL {url}: {why}"));
        let uri: Uri = url.parse().map_err(|_| unfit("it is not understood"))?;
        if uri.scheme_str() != Some("http") {
            return Err(unfit("it does not begin with http://"));
        }
        let host = uri.host().ok_or_else(|| unfit("it names no host"))?.to_owned();
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { host, port: uri.port_u16().unwrap_or(80), path })
    }

    /// Sends a request in a connection of its own, so that none is lost with an old connection.
    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: String,
        step: Duration,
    ) -> Result<Answer, Trouble> {
        let answer = tokio::time::timeout(step, self.exchange(method, path, body)).await;
        answer.map_err(|_| Trouble::Away(format!("no answer in {step:?}")))?
    }

    async fn exchange(&self, method: &str, path: &str, body: String) -> Result<Answer, Trouble> {
        let away = |error: &dyn std::fmt::Display| Trouble::Away(error.to_string());
        let host = self.host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, self.port)).await.map_err(|error| away(&error))?;
        stream.set_nodelay(true).map_err(|error| away(&error))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| away(&error))?;
        // Its errors come to the one who waits for the answer.
        tokio::spawn(async move { drop(connection.await) });
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.path))
            .header("host", format!("{}:{}", self.host, self.port))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Trouble::Unfit(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(|error| away(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| away(&error))?.to_bytes();
        Ok(Answer { status, body })
    }
}

impl Answer {
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// The answer in one line, for people.
    pub(super) fn text(&self) -> String {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
        format!("status {}: {}", self.status, body.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let base = Base::parse("http://localhost:8080/bank/").unwrap();
        assert_eq!((base.host.as_str(), base.port, base.path.as_str()), ("localhost", 8080, "/bank"));
        let plain = Base::parse("http://[::1]").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.path.as_str()), ("[::1]", 80, ""));
        for bad in ["", "https://a", "localhost:80", "http://"] {
            assert!(Base::parse(bad).is_err(), "{bad}");
        }
    }
}
