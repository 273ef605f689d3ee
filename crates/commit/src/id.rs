//! Names of transactions, and of their branches in databases.

use std::fmt;
use std::str::FromStr;

use crate::branch::Branch;

/// Which installation a transaction belongs to: a number drawn once, when the installation keeps
/// its first transaction, and stored there. Two installations that use one database tell their
/// branches apart by it, and each leaves the other's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cluster(pub u64);

/// What the text of every id begins with.
const MARK: &str = "ostler";

/// The name of a transaction. Its text is its `gtrid` in XA, and the first part of its name in
/// PostgreSQL: `ostler-CLUSTER-COORDINATOR-NUMBER`, three numbers of 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId {
    /// The installation.
    pub cluster: Cluster,
    /// The start of a coordinator that began it: a number that no other start of any coordinator of
    /// this cluster has, now or later, such as the zxid that created its znode.
    pub coordinator: u64,
    /// The transaction among those of this coordinator.
    pub number: u64,
}

impl TransactionId {
    /// Bytes of the text of an id. XA allows 64 for a `gtrid`.
    pub const TEXT_BYTES: usize = MARK.len() + 3 * 17;
}

/// A text is not the name of a transaction or branch of Ostler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// It does not have the form of an id.
    #[error("{0:?} is not the id of a transaction of Ostler")]
    Id(String),
    /// It does not have the form of the name of a branch.
    #[error("{0:?} is not the name of a branch of a transaction of Ostler")]
    Branch(String),
}

impl Cluster {
    /// What the ids of this cluster begin with, and no others: to select them in a database. It has
    /// no character that is special in SQL's `LIKE`.
    pub fn prefix(self) -> String {
        format!("{MARK}-{:016x}-", self.0)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TransactionId { cluster: Cluster(cluster), coordinator, number } = self;
        write!(f, "{MARK}-{cluster:016x}-{coordinator:016x}-{number:016x}")
    }
}

/// A number as ids write it: 16 digits, lower case.
fn number(digits: &str) -> Option<u64> {
    let is_written_so = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let is_ours = digits.len() == 16 && digits.bytes().all(is_written_so);
    is_ours.then(|| u64::from_str_radix(digits, 16).expect("16 hexadecimal digits fit"))
}

impl FromStr for TransactionId {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<TransactionId, NotOurs> {
        let parse = || {
            let mut numbers = text.strip_prefix(MARK)?.strip_prefix('-')?.split('-').map(number);
            let cluster = Cluster(numbers.next()??);
            let id = TransactionId { cluster, coordinator: numbers.next()??, number: numbers.next()?? };
            numbers.next().is_none().then_some(id)
        };
        parse().ok_or_else(|| NotOurs::Id(text.to_owned()))
    }
}

/// The name of one branch of one transaction. Its text, `ID:QUALIFIER`, is the name of a prepared
/// transaction in PostgreSQL; in XA the two parts are `gtrid` and `bqual`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BranchId {
    /// The transaction.
    pub transaction: TransactionId,
    /// The branch in it.
    pub branch: Branch,
}

impl BranchId {
    /// The branch with this `gtrid` and `bqual`.
    ///
    /// # Errors
    /// The two do not name a branch of this format: another program made them.
    pub fn from_xa(gtrid: &str, bqual: &str) -> Result<BranchId, NotOurs> {
        let not_ours = |_| NotOurs::Branch(format!("{gtrid}:{bqual}"));
        let transaction = gtrid.parse().map_err(not_ours)?;
        let branch =
            Branch::from_qualifier(bqual).map_err(|_| NotOurs::Branch(format!("{gtrid}:{bqual}")))?;
        Ok(BranchId { transaction, branch })
    }
}

impl fmt::Display for BranchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transaction, self.branch.qualifier())
    }
}

impl FromStr for BranchId {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<BranchId, NotOurs> {
        let (gtrid, bqual) = text.split_once(':').ok_or_else(|| NotOurs::Branch(text.to_owned()))?;
        BranchId::from_xa(gtrid, bqual)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::branch::ResourceName;

    fn id(cluster: u64, coordinator: u64, number: u64) -> TransactionId {
        TransactionId { cluster: Cluster(cluster), coordinator, number }
    }

    #[test]
    fn an_id_is_written_with_its_cluster_first() {
        let text = "ostler-00000000000000ab-0000000100000002-0000000000000003";
        assert_eq!(id(0xab, 0x1_0000_0002, 3).to_string(), text);
        assert_eq!(text.parse(), Ok(id(0xab, 0x1_0000_0002, 3)));
        assert!(text.starts_with(&Cluster(0xab).prefix()));
        assert_eq!(text.len(), TransactionId::TEXT_BYTES);
    }

    #[test]
    fn names_of_others_are_refused() {
        let ours = id(1, 2, 3).to_string();
        let others = [
            "",
            "ostler",
            "ostler-1-2-3",
            "_Ym9ndXM=_",
            "vt_0000000000000001-0000000000000002-0000000000000003",
            &ours[..ours.len() - 1],
            &format!("{ours}0"),
            &format!("{ours}-"),
            &format!("{ours}-0000000000000004"),
            &format!(" {ours}"),
            &ours.to_uppercase(),
            &ours.replace("0000000000000003", "+000000000000003"),
            &id(0xab, 2, 3).to_string().replace("ab", "AB"),
        ];
        for other in others {
            assert_eq!(other.parse::<TransactionId>(), Err(NotOurs::Id(other.to_owned())), "{other:?}");
        }
    }

    #[test]
    fn the_name_of_a_branch_has_both_parts() {
        let branch = Branch { resource: ResourceName::new("bank").expect("a name"), session: Some(42) };
        let name = BranchId { transaction: id(1, 2, 3), branch };
        assert_eq!(name.to_string(), format!("{}:bank:2a", id(1, 2, 3)));
        assert_eq!(name.to_string().parse(), Ok(name));
        for other in [id(1, 2, 3).to_string(), format!("{}:", id(1, 2, 3)), "x:bank".to_owned()] {
            assert_eq!(other.parse::<BranchId>(), Err(NotOurs::Branch(other)));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            cluster: u64, coordinator: u64, n: u64, name in "[a-z0-9._-]{1,40}", session: Option<u64>,
        ) {
            let transaction = id(cluster, coordinator, n);
            let branch = Branch { resource: ResourceName::new(&name).expect("a name"), session };
            let name = BranchId { transaction, branch };
            let text = name.to_string();
            prop_assert!(text.len() < 200, "PostgreSQL takes no longer names");
            prop_assert!(transaction.to_string().len() <= 64 && name.branch.qualifier().len() <= 64);
            prop_assert!(text.starts_with(&Cluster(cluster).prefix()));
            prop_assert_eq!(text.parse(), Ok(name));
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "(ostler-)?[0-9a-fA-F:-]{0,70}[a-z:0-9]{0,20}") {
            if let Ok(id) = text.parse::<TransactionId>() {
                prop_assert_eq!(id.to_string(), &*text);
            }
            if let Ok(name) = text.parse::<BranchId>() {
                prop_assert_eq!(name.to_string(), &*text);
            }
        }

        #[test]
        fn no_two_clusters_share_a_prefix(one: u64, other: u64, coordinator: u64, n: u64) {
            prop_assume!(one != other);
            prop_assert!(!id(other, coordinator, n).to_string().starts_with(&Cluster(one).prefix()));
        }
    }
}
