//! Keeps web pages away from the AdminServer.
//!
//! A browser on a machine that reaches the AdminServer gives every page it shows the same access,
//! with two risks. A page whose host name was made to resolve to this server (DNS rebinding) could
//! read everything; so only requests that use one of this server's own names are answered. And any
//! page can send a request whose answer it does not get to see; so commands that change something
//! are refused to pages of other sites. Scripts and monitoring send no browser headers, and are not
//! affected.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN, REFERER, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Any name is accepted.
const ANY: &str = "*";

/// The names of this server.
#[derive(Clone, Debug)]
pub(super) struct Hosts(Arc<[String]>);

impl Hosts {
    /// The configured names, and that of the machine.
    pub(super) fn new(configured: &[String]) -> Hosts {
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let lower = |name: &String| name.trim_end_matches('.').to_ascii_lowercase();
        Hosts(configured.iter().chain([&machine]).map(lower).collect())
    }

    /// Whether a request with these headers is for this server. Every browser sends `Host`.
    fn include(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(HOST) else { return true };
        host.to_str().is_ok_and(|host| self.has(name_of(host)))
    }

    fn has(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        name == "localhost"
            || name.ends_with(".localhost")
            || name.parse::<IpAddr>().is_ok()
            || self.0.iter().any(|known| *known == name || known == ANY)
    }
}

/// The host in a `Host` header, without the port.
fn name_of(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return if address.parse::<Ipv6Addr>().is_ok() { address } else { host };
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Refuses requests for other host names.
pub(super) async fn check_host(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    if hosts.include(request.headers()) {
        return next.run(request).await;
    }
    let text = "The Host header of the request is not a name of this server. \
                Use its address, or add the name to ostler.adminHosts.\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

/// Why a command that changes something is refused with these headers; `None` if it is not.
pub(super) fn objection(method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let pages = [ORIGIN, REFERER].map(|name| text(name).map(host_of));
    let is_foreign = |page: &Option<&str>| page.is_some() && *page != text(HOST);
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) || pages.iter().any(is_foreign) {
        return Some("pages of other sites may not change anything here");
    }
    let is_browser = text(USER_AGENT).is_some_and(|agent| agent.starts_with("Mozilla/"));
    // Not all browsers tell every server which page a request comes from.
    let is_known = site.is_some() || pages.iter().any(Option::is_some);
    (is_browser && !is_known && *method != Method::POST)
        .then_some("a browser has to use POST for a command that changes something")
}

/// Host and port of a page's address, as in a `Host` header.
fn host_of(page: &str) -> &str {
    let host = page.split_once("://").map_or(page, |(_, rest)| rest);
    host.split(['/', '?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let parsed =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        pairs.iter().map(parsed).collect()
    }

    #[test]
    fn only_requests_with_a_name_of_this_server_are_answered() {
        let hosts = Hosts::new(&["zk1.example.com".to_owned()]);
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "a.localhost:8080",
            "127.0.0.1:8080",
            "10.1.2.3",
            "[::1]:8080",
            "zk1.example.com.",
            "ZK1.example.com:80",
        ] {
            assert!(hosts.include(&headers(&[("host", host)])), "{host}");
        }
        assert!(hosts.include(&headers(&[])), "HTTP/1.0 has no Host header");
        for host in
            ["evil.example", "127.0.0.1.evil.example:8080", "zk1.example.com.evil.example", "[x]:80", "", "*"]
        {
            assert!(!hosts.include(&headers(&[("host", host)])), "{host}");
        }
        assert!(Hosts::new(&[ANY.to_owned()]).include(&headers(&[("host", "evil.example")])));
    }

    #[test]
    fn a_command_that_changes_something_is_refused_to_pages_of_other_sites() {
        let browser = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0");
        let host = ("host", "127.0.0.1:8080");
        let taken: &[(&Method, &[(&str, &str)])] = &[
            (&Method::GET, &[host, ("user-agent", "curl/8.5.0")]),
            (&Method::GET, &[host]),
            (&Method::POST, &[host, ("user-agent", "curl/8.5.0")]),
            (&Method::GET, &[host, browser, ("sec-fetch-site", "same-origin")]),
            (&Method::GET, &[host, browser, ("sec-fetch-site", "none")]),
            (&Method::POST, &[host, browser, ("origin", "http://127.0.0.1:8080")]),
            (&Method::GET, &[host, browser, ("referer", "http://127.0.0.1:8080/commands")]),
        ];
        for (method, pairs) in taken {
            assert_eq!(objection(method, &headers(pairs)), None, "{method} {pairs:?}");
        }
        let refused: &[(&Method, &[(&str, &str)])] = &[
            (&Method::GET, &[host, browser, ("sec-fetch-site", "cross-site")]),
            (&Method::GET, &[host, browser, ("sec-fetch-site", "same-site")]),
            (&Method::GET, &[host, browser]),
            (&Method::GET, &[host, ("referer", "http://evil.example/127.0.0.1:8080")]),
            (&Method::POST, &[host, browser, ("origin", "http://evil.example")]),
            (&Method::POST, &[host, browser, ("origin", "null")]),
            (&Method::POST, &[host, ("origin", "http://127.0.0.1:9090")]),
        ];
        for (method, pairs) in refused {
            assert!(objection(method, &headers(pairs)).is_some(), "{method} {pairs:?}");
        }
    }
}
