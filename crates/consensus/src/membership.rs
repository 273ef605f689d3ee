//! The members of a group, and how they change: one member at a time, through the log.

use bytes::Bytes;

use crate::codec::{Reader, put_u64};
use crate::engine::StepError;
use crate::entry::{MemberId, Position};

/// Most members (voters and learners together) of one group; memberships from the network are
/// checked against it.
pub const MEMBERS_MAX: usize = 64;

/// The members of a group at one position of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Members whose majority commits; sorted, no duplicates, disjoint from the learners.
    pub voters: Vec<MemberId>,
    /// Members that only receive the log; sorted, no duplicates.
    pub learners: Vec<MemberId>,
}

impl Membership {
    /// A membership of voters only, in any order.
    #[must_use]
    pub fn of_voters(voters: &[MemberId]) -> Self {
        let mut voters = voters.to_vec();
        voters.sort_unstable();
        voters.dedup();
        Self { voters, learners: Vec::new() }
    }

    /// Whether the member is a voter or learner.
    #[must_use]
    pub fn contains(&self, member: MemberId) -> bool {
        self.voters.contains(&member) || self.learners.contains(&member)
    }

    /// The membership after `change`; `None` if it would leave no voter, or have more members than
    /// [`MEMBERS_MAX`].
    #[must_use]
    pub fn with(&self, change: MembershipChange) -> Option<Self> {
        let target = change.member();
        let mut next = self.clone();
        next.voters.retain(|member| *member != target);
        next.learners.retain(|member| *member != target);
        match change {
            MembershipChange::AddVoter(_) => next.voters.push(target),
            MembershipChange::AddLearner(_) => next.learners.push(target),
            MembershipChange::Remove(_) => {}
        }
        next.voters.sort_unstable();
        next.learners.sort_unstable();
        let count = next.voters.len() + next.learners.len();
        (!next.voters.is_empty() && count <= MEMBERS_MAX).then_some(next)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for list in [&self.voters, &self.learners] {
            out.push(u8::try_from(list.len()).expect("a group has at most MEMBERS_MAX members"));
            list.iter().for_each(|member| put_u64(out, member.0));
        }
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Self, StepError> {
        let voters = decode_list(reader)?;
        let learners = decode_list(reader)?;
        let disjoint = voters.iter().all(|member| !learners.contains(member));
        if voters.is_empty() || !disjoint || voters.len() + learners.len() > MEMBERS_MAX {
            return Err(StepError::Malformed("membership"));
        }
        Ok(Self { voters, learners })
    }
}

fn decode_list(reader: &mut Reader) -> Result<Vec<MemberId>, StepError> {
    let count = reader.u8()?;
    let list = (0..count).map(|_| reader.u64().map(MemberId)).collect::<Result<Vec<_>, _>>()?;
    let rising = list.windows(2).all(|pair| pair[0] < pair[1]);
    if !rising || list.first() == Some(&MemberId(0)) {
        return Err(StepError::Malformed("membership order"));
    }
    Ok(list)
}

/// One membership change: every majority before it and every majority after it have a voter in
/// common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    /// Add a voter, or promote a learner.
    AddVoter(MemberId),
    /// Add a member that receives the log without voting, or demote a voter.
    AddLearner(MemberId),
    /// Remove a voter or learner. The id MUST not be used again.
    Remove(MemberId),
}

impl MembershipChange {
    /// The member that is added or removed.
    #[must_use]
    pub fn member(self) -> MemberId {
        match self {
            Self::AddVoter(member) | Self::AddLearner(member) | Self::Remove(member) => member,
        }
    }

    /// `kind: u8, member: u64` – data of an entry of kind `Membership`. The numbers are stored and
    /// never change.
    pub(crate) fn to_bytes(self) -> Bytes {
        let kind = match self {
            Self::AddVoter(_) => 0,
            Self::AddLearner(_) => 1,
            Self::Remove(_) => 2,
        };
        let mut out = vec![kind];
        put_u64(&mut out, self.member().0);
        out.into()
    }

    /// Reads the data of an entry of kind `Membership`.
    ///
    /// # Errors
    /// [`StepError::Malformed`] if it is not a membership change.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, StepError> {
        let mut reader = Reader::new(bytes.clone());
        let kind = reader.u8()?;
        let member = MemberId(reader.u64()?);
        reader.finish()?;
        match kind {
            _ if member == MemberId(0) => Err(StepError::Malformed("member zero")),
            0 => Ok(Self::AddVoter(member)),
            1 => Ok(Self::AddLearner(member)),
            2 => Ok(Self::Remove(member)),
            _ => Err(StepError::Malformed("membership change")),
        }
    }
}

/// What a snapshot covers: the state after the entry at `position`, and the membership there.
///
/// The bytes of a snapshot never pass through an engine. The host writes, sends and loads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// Last entry the snapshot contains.
    pub position: Position,
    /// Members once that entry is applied.
    pub membership: Membership,
}

impl SnapshotMeta {
    /// Position at which every group starts. There is no entry at it; it stands for the empty state
    /// with the first members.
    pub const BOOTSTRAP: Position = Position { term: 1, index: 1 };

    /// The start of a new group, the same on all founders.
    ///
    /// The first entry of a log has index 2, so a member that joins later, with an empty log, can
    /// never be sent all entries from the first one: it would not know the first members, and could
    /// believe it is the only one. It always begins with a snapshot, which lists the members.
    #[must_use]
    pub fn bootstrap(voters: &[MemberId]) -> Self {
        Self { position: Self::BOOTSTRAP, membership: Membership::of_voters(voters) }
    }

    /// `term, index: u64, membership`, for hosts that store it beside the snapshot's bytes, and for
    /// offers to peers.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.position.term);
        put_u64(out, self.position.index);
        self.membership.encode(out);
    }

    /// Replaces `known` if it covers more.
    pub(crate) fn replace_older(self, known: &mut Option<Self>) {
        if known.as_ref().is_none_or(|known| known.position.index < self.position.index) {
            *known = Some(self);
        }
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, StepError> {
        let position = reader.position()?;
        Ok(Self { position, membership: Membership::decode(reader)? })
    }

    /// Reads what [`encode`](Self::encode) wrote, and nothing more.
    ///
    /// # Errors
    /// [`StepError::Malformed`] if the bytes are not exactly that.
    pub fn decode(bytes: Bytes) -> Result<Self, StepError> {
        let mut reader = Reader::new(bytes);
        let meta = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(meta)
    }
}
