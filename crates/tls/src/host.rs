//! Whether a certificate is that of a host.

use std::net::IpAddr;

use crate::certificate::{AlternativeName, Certificate};

/// Whether the certificate is for this host name or address, as ZooKeeper's
/// `ZKHostnameVerifier` judges: by the alternative names if there are any of names and addresses,
/// else by the common name.
pub fn is_valid_for(certificate: &Certificate, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let address = host.parse::<IpAddr>().ok();
    let names = certificate.alternative_names();
    if names.iter().all(|name| *name == AlternativeName::Other) {
        return certificate.common_name().is_some_and(|name| match address {
            Some(address) => name.parse() == Ok(address),
            None => matches_name(name, host),
        });
    }
    names.iter().any(|name| match (name, address) {
        (AlternativeName::Address(known), Some(address)) => *known == address,
        (AlternativeName::Dns(known), None) => matches_name(known, host),
        _ => false,
    })
}

/// A wildcard stands for one whole label, the first, and two labels at least must follow it.
fn matches_name(pattern: &str, host: &str) -> bool {
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
    if pattern.is_empty() || host.is_empty() {
        return false;
    }
    match pattern.strip_prefix("*.") {
        None => !pattern.contains('*') && pattern.eq_ignore_ascii_case(host),
        Some(parent) => {
            let of_host = host.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, rest)| rest);
            parent.contains('.')
                && !parent.contains('*')
                && of_host.is_some_and(|rest| rest.eq_ignore_ascii_case(parent))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        for (pattern, host, expected) in [
            ("zoo1.example.org", "ZOO1.example.org", true),
            ("zoo1.example.org.", "zoo1.example.org", true),
            ("*.example.org", "zoo1.example.org", true),
            ("*.example.org", "a.zoo1.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("zoo*.example.org", "zoo1.example.org", false),
            ("*", "zoo1", false),
            ("*.org", "example.org", false),
            ("*.*.org", "a.b.org", false),
            ("", "", false),
        ] {
            assert_eq!(matches_name(pattern, host), expected, "{pattern} {host}");
        }
    }
}
