//! One attempt to find out whether an instance works.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use client::Tls;
use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

/// The longest status line of HTTP that is accepted, in bytes.
const STATUS_LINE_BYTES_MAX: usize = 1_024;

/// How much of the rest of a response is read, in bytes, and for how long: servers complain of
/// clients that hang up before.
const REST_BYTES_MAX: u64 = 64 << 10;
const REST_PATIENCE: Duration = Duration::from_millis(250);

/// How to find out whether an instance works.
#[derive(Debug, Clone)]
pub struct Probe(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// It works if a connection is accepted.
    Tcp { address: String },
    /// It works if it answers with a status of 200 to 399.
    Http { url: Url, tls: Option<Tls> },
    /// It works if a command exits with 0.
    Command { words: Vec<String> },
}

/// What to ask whom for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Url {
    /// Where to connect to, with the port.
    address: String,
    /// As the URL has it.
    host: String,
    target: String,
}

/// Why an instance does not work, or is no instance that can be probed.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The address has no port, or is empty.
    #[error("{0:?} is not an address: host:port is allowed, with a port from 1 to 65535")]
    Address(String),
    /// It is no URL that can be asked for.
    #[error("{0:?} is not a URL: http[s]://host[:port][/path] is allowed, in ASCII and without spaces")]
    Url(String),
    /// There is no command.
    #[error("the command is empty")]
    NoCommand,
    /// It takes no connection, or the connection was lost.
    #[error("{0}")]
    Connection(#[from] io::Error),
    /// It does not speak HTTP.
    #[error("the answer is not HTTP")]
    NotHttp,
    /// Its status says that it does not work.
    #[error("it answers with the status {0}")]
    Status(u16),
    /// The command did not succeed.
    #[error("the command ends with {0}")]
    Command(std::process::ExitStatus),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

impl Probe {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// [`ProbeError::Address`].
    pub fn tcp(address: &str) -> Result<Self, ProbeError> {
        check_address(address)?;
        Ok(Self(Kind::Tcp { address: address.to_owned() }))
    }

    /// Asks for a URL, which begins with `http://`, by GET, with HTTP/1.1. A redirection is
    /// success, and is not followed. Of the answer only the first line counts; at most 64 KiB more
    /// are read.
    ///
    /// # Errors
    /// [`ProbeError::Url`].
    pub fn http(url: &str) -> Result<Self, ProbeError> {
        Ok(Self(Kind::Http { url: Url::parse(url, "http://", 80)?, tls: None }))
    }

    /// As [`Self::http`], for a URL that begins with `https://`. The certificate has to be one that
    /// `tls` trusts, for the host of the URL.
    ///
    /// # Errors
    /// [`ProbeError::Url`].
    pub fn https(url: &str, tls: Tls) -> Result<Self, ProbeError> {
        Ok(Self(Kind::Http { url: Url::parse(url, "https://", 443)?, tls: Some(tls) }))
    }

    /// Runs a command. Its input and output are those of `/dev/null`. When it takes too long it is
    /// killed, with its process group.
    ///
    /// # Errors
    /// [`ProbeError::NoCommand`].
    pub fn command(words: Vec<String>) -> Result<Self, ProbeError> {
        match words.first().is_some_and(|word| !word.is_empty()) {
            true => Ok(Self(Kind::Command { words })),
            false => Err(ProbeError::NoCommand),
        }
    }

    /// Probes once. There is no limit on the time; dropping the future ends the attempt.
    ///
    /// # Errors
    /// Why the instance does not work.
    pub async fn run(&self) -> Result<(), ProbeError> {
        match &self.0 {
            Kind::Tcp { address } => TcpStream::connect(address).await.map(drop).map_err(ProbeError::from),
            Kind::Http { url, tls } => {
                let tcp = TcpStream::connect(&url.address).await?;
                match tls {
                    None => ask(tcp, url).await,
                    Some(tls) => ask(tls.secure(&url.address, tcp).await?, url).await,
                }
            }
            Kind::Command { words } => command(words).await,
        }
    }
}

impl Url {
    fn parse(url: &str, scheme: &str, port: u16) -> Result<Self, ProbeError> {
        let wrong = || ProbeError::Url(url.chars().take(200).collect());
        let rest = url.strip_prefix(scheme).ok_or_else(wrong)?;
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) || url.contains(['@', '#']) {
            return Err(wrong());
        }
        let (host, target) = rest.find(['/', '?']).map_or((rest, ""), |end| rest.split_at(end));
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        // A colon outside of the brackets of IPv6 is before the port.
        let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
        let address = if has_port { host.to_owned() } else { format!("{host}:{port}") };
        check_address(&address).map_err(|_| wrong())?;
        Ok(Self { address, host: host.to_owned(), target })
    }
}

fn check_address(address: &str) -> Result<(), ProbeError> {
    let wrong = || ProbeError::Address(address.chars().take(200).collect());
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0) && port.bytes().all(|b| b.is_ascii_digit());
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match inner {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains([':', '[', ']', '/', ' ']),
    };
    if is_port && is_host { Ok(()) } else { Err(wrong()) }
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, url: &Url) -> Result<(), ProbeError> {
    let Url { host, target, .. } = url;
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ostler\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut received = Vec::new();
    while !received.contains(&b'\n') && received.len() < STATUS_LINE_BYTES_MAX {
        let left = (STATUS_LINE_BYTES_MAX - received.len()) as u64;
        if (&mut stream).take(left).read_buf(&mut received).await? == 0 {
            break;
        }
    }
    let status = status(&received).ok_or(ProbeError::NotHttp)?;
    let mut rest = stream.take(REST_BYTES_MAX);
    let mut nowhere = tokio::io::sink();
    // What it is, and whether it ends, changes nothing.
    let _ = tokio::time::timeout(REST_PATIENCE, tokio::io::copy(&mut rest, &mut nowhere)).await;
    if (200..400).contains(&status) { Ok(()) } else { Err(ProbeError::Status(status)) }
}

/// The status in the first line of a response.
fn status(received: &[u8]) -> Option<u16> {
    let line = received.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.trim_end_matches('\r').splitn(3, ' ');
    let is_http = words.next()?.starts_with("HTTP/1.");
    let number = words.next().filter(|word| word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit()));
    number.filter(|_| is_http)?.parse().ok()
}

/// Kills a process group unless its leader has ended and was waited for.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended at this moment.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn command(words: &[String]) -> Result<(), ProbeError> {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id as i32)));
    let status = child.wait().await?;
    group.0 = None;
    if status.success() { Ok(()) } else { Err(ProbeError::Command(status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_urls_are_checked() {
        for address in
            ["", "host", "host:", ":80", "host:0", "host:+80", "host:65536", "a b:80", "::1:80", "[x]:80"]
        {
            assert!(matches!(Probe::tcp(address), Err(ProbeError::Address(_))), "{address}");
        }
        for address in ["host:80", "127.0.0.1:65535", "[::1]:80"] {
            assert!(Probe::tcp(address).is_ok(), "{address}");
        }
        for url in
            ["", "host", "https://host/", "http://", "http:///", "http://h:x/", "http://h/ä", "http://h/a b"]
        {
            assert!(matches!(Probe::http(url), Err(ProbeError::Url(_))), "{url}");
        }
        for (url, address, target) in [
            ("http://h", "h:80", "/"),
            ("http://h:81/x?y", "h:81", "/x?y"),
            ("http://h?y=/", "h:80", "/?y=/"),
            ("http://[::1]/", "[::1]:80", "/"),
            ("http://[::1]:9/", "[::1]:9", "/"),
        ] {
            let host = url[7..].split(['/', '?']).next().unwrap().to_owned();
            let expected = Url { address: address.to_owned(), host, target: target.to_owned() };
            assert_eq!(Url::parse(url, "http://", 80).unwrap(), expected, "{url}");
        }
        assert_eq!(Url::parse("https://h/", "https://", 443).unwrap().address, "h:443");
        assert!(Url::parse("http://h/", "https://", 443).is_err());
        assert!(matches!(Probe::command(Vec::new()), Err(ProbeError::NoCommand)));
    }

    #[test]
    fn a_status_is_three_digits_behind_the_version() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 503\r\nHTTP/1.1 200 OK", Some(503)),
            ("HTTP/1.1 2000 OK\r\n", None),
            ("HTTP/1.1 +20 OK\r\n", None),
            ("SSH-2.0-OpenSSH 200 x\r\n", None),
            ("HTTP/1.1", None),
            ("", None),
        ] {
            assert_eq!(status(line.as_bytes()), expected, "{line:?}");
        }
        assert_eq!(status(b"\xff\xfe 200"), None);
    }
}
