//! The servers that this one connects to.

use state::members::Servers;

/// Merges what another member tells of the servers and keeps the known addresses: if the news is
/// wrong, those still reach them.
pub(crate) fn add_newer(directory: &mut Servers, told: &Servers) {
    for (server, newer) in told {
        let known = directory.insert(*server, newer.clone()).unwrap_or_default().addresses;
        let addresses = &mut directory.entry(*server).or_default().addresses;
        for address in known {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use state::members::Member;

    use super::*;

    /// A member may be told wrong addresses and must still find the others.
    #[test]
    fn addresses_that_were_known_are_kept_beside_those_that_are_told() {
        let at = |host: &str| Member { addresses: vec![(host.to_owned(), 1)], ..Member::default() };
        let mut directory = Servers::from([(1, at("old")), (2, at("same"))]);
        add_newer(&mut directory, &Servers::from([(1, at("new")), (2, at("same")), (3, at("more"))]));
        let hosts =
            |server| directory[&server].addresses.iter().map(|(host, _)| host.as_str()).collect::<Vec<_>>();
        assert_eq!([hosts(1), hosts(2), hosts(3)], [vec!["new", "old"], vec!["same"], vec!["more"]]);
    }
}
