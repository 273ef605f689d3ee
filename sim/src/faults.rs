//! The kinds of faults, and how they are drawn.

use crate::network::LinkState;
use crate::random::Random;
use server::config::ServerId;

/// Which member a fault hits; decided when the fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This member.
    Member(ServerId),
    /// The current leader, or this member if there is none.
    Leader(ServerId),
}

/// The shape of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The target and the others do not receive each other's frames.
    Full,
    /// The target receives from the others, but they do not receive from it.
    Mute,
    /// The others receive from the target, but it does not receive from them.
    Deaf,
    /// Two halves that both communicate only with the target.
    Bridge,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The machine loses power, at once or at a later disk operation.
    Crash {
        /// The machine.
        target: Target,
        /// Disk operations that still succeed; `None`: the power is lost now.
        operations: Option<u64>,
        /// How long the machine stays off.
        off_us: u64,
    },
    /// The process shuts down in order, and is started again.
    Stop {
        /// The process.
        target: Target,
        /// How long it stays off.
        off_us: u64,
    },
    /// The connections of a member's clients break.
    Disconnect {
        /// The member.
        target: Target,
    },
    /// A later disk operation fails.
    DiskError {
        /// The member.
        target: Target,
        /// Operations that still succeed.
        operations: u64,
    },
    /// The disk is full.
    DiskFull {
        /// The member.
        target: Target,
        /// Duration.
        for_us: u64,
    },
    /// The disk is slow.
    DiskSlow {
        /// The member.
        target: Target,
        /// Duration.
        for_us: u64,
        /// Duration of a cycle.
        cycle_us: u64,
    },
    /// The next flush takes long.
    DiskStall {
        /// The member; `None`: all members, as if they shared a disk.
        target: Option<Target>,
        /// Duration.
        for_us: u64,
    },
    /// The process is suspended.
    Pause {
        /// The process.
        target: Target,
        /// Duration.
        for_us: u64,
    },
    /// All processes are suspended, as if their common machine was.
    Suspend {
        /// Duration.
        for_us: u64,
        /// Whether the clients run on that machine too.
        with_clients: bool,
    },
    /// The connection thread is busy with something else.
    Busy {
        /// The member.
        target: Target,
        /// Duration.
        for_us: u64,
    },
    /// The clients of a member read slowly.
    SlowReaders {
        /// The member.
        target: Target,
        /// Duration.
        for_us: u64,
    },
    /// A partition between members.
    Cut {
        /// The member at its centre.
        target: Target,
        /// Which links are cut.
        shape: Shape,
        /// What happens to frames on them.
        link: LinkState,
        /// Duration.
        for_us: u64,
    },
    /// Connections between members break, and are established again.
    Break {
        /// The member whose connections all break.
        target: Target,
    },
    /// Individual frames are lost.
    Loss {
        /// Percentage of lost frames, on all links.
        percent: u64,
        /// Duration.
        for_us: u64,
    },
    /// The machine comes back with an empty disk.
    Wipe {
        /// The machine.
        target: Target,
        /// How long the machine stays off.
        off_us: u64,
    },
    /// The machine comes back with one bit of its flushed data flipped.
    Flip {
        /// The machine.
        target: Target,
        /// How long the machine stays off.
        off_us: u64,
    },
    /// The next member that is elected is cut off before it sends anything, and the others lose
    /// power for up to 30 ms.
    CutNextLeader {
        /// Duration of the cut.
        for_us: u64,
    },
    /// The leadership is transferred to this member, if the ensemble can do so.
    Lead {
        /// The member.
        member: ServerId,
    },
    /// The member takes a snapshot.
    Snapshot {
        /// The member.
        target: Target,
    },
}

/// Draws the target of a fault.
pub fn target(random: &mut Random, members: ServerId) -> Target {
    let member = random.between(1, u64::from(members)) as ServerId;
    if random.percent(50) { Target::Leader(member) } else { Target::Member(member) }
}

/// Usually short, sometimes long enough for the others to get far ahead.
fn duration_us(random: &mut Random) -> u64 {
    match random.below(10) {
        0..5 => random.between(5_000, 300_000),
        5..9 => random.between(200_000, 1_500_000),
        _ => random.between(1_000_000, 5_000_000),
    }
}

/// A stalled disk, of one member or shared by all.
pub fn draw_stall(random: &mut Random, members: ServerId) -> Fault {
    let target = random.percent(50).then(|| target(random, members));
    Fault::DiskStall { target, for_us: random.between(50_000, 3_000_000) }
}

/// A fault that keeps servers from reading clients that are alive.
pub fn draw_read_delay(random: &mut Random, members: ServerId) -> Fault {
    let target = target(random, members);
    match random.below(10) {
        0..2 => {
            let for_us = random.between(300_000, 8_000_000);
            Fault::Suspend { for_us, with_clients: random.percent(50) }
        }
        2..5 => Fault::Busy { target, for_us: random.between(50_000, 2_500_000) },
        5..8 => Fault::SlowReaders { target, for_us: random.between(500_000, 6_000_000) },
        _ => draw_stall(random, members),
    }
}

/// A member is cut off for less time than most clients stay with a silent server. Meanwhile the
/// others restart, and lose the entries that they keep in memory for members that lag: it needs a
/// snapshot.
pub fn draw_lag(random: &mut Random, members: ServerId, at_us: u64) -> Vec<(u64, Fault)> {
    let behind = random.between(1, u64::from(members)) as ServerId;
    let link = *random.pick(&[LinkState::Held, LinkState::Lost]);
    let for_us = random.between(300_000, 1_200_000);
    let cut = Fault::Cut { target: Target::Member(behind), shape: Shape::Full, link, for_us };
    let mut faults = vec![(at_us, cut)];
    for other in (1..=members).filter(|other| *other != behind) {
        let target = Target::Member(other);
        let crash = Fault::Crash { target, operations: None, off_us: random.between(1_000, 30_000) };
        faults.push((at_us + random.below(for_us / 2), crash));
    }
    faults
}

/// The leadership is transferred to another member and back, while what a follower sends is held
/// back: what it forwarded in the first term arrives in the last one. `voters` is at least 3.
pub fn draw_transfers(random: &mut Random, voters: ServerId, at_us: u64) -> Vec<(u64, Fault)> {
    let unheard = random.between(1, u64::from(voters)) as ServerId;
    let first = unheard % voters + 1;
    let other = first % voters + 1;
    let cut_us = at_us + 300_000;
    let away_us = cut_us + random.between(30_000, 200_000);
    let back_us = away_us + random.between(50_000, 200_000);
    let for_us = back_us - cut_us + random.between(50_000, 300_000);
    let cut =
        Fault::Cut { target: Target::Member(unheard), shape: Shape::Mute, link: LinkState::Held, for_us };
    vec![
        (at_us, Fault::Lead { member: first }),
        (cut_us, cut),
        (away_us, Fault::Lead { member: other }),
        (back_us, Fault::Lead { member: first }),
    ]
}

/// A member loses power, often the leader, and the next leader is cut off as soon as it is elected.
pub fn draw_cut_leader(random: &mut Random, members: ServerId, at_us: u64) -> Vec<(u64, Fault)> {
    let off_us = random.between(300_000, 1_000_000);
    let cut = Fault::CutNextLeader { for_us: random.between(500_000, 2_000_000) };
    let crash = Fault::Crash { target: target(random, members), operations: None, off_us };
    vec![(at_us, cut), (at_us + 1_000, crash)]
}

/// A fault of any other kind.
pub fn draw(random: &mut Random, members: ServerId) -> Fault {
    let target = target(random, members);
    let for_us = duration_us(random);
    match random.below(100) {
        0..4 => Fault::Stop { target, off_us: for_us },
        4..8 => Fault::Disconnect { target },
        8..30 => {
            let operations = random.percent(60).then(|| random.below(60));
            Fault::Crash { target, operations, off_us: for_us }
        }
        30..34 => Fault::DiskError { target, operations: random.below(40) },
        34..38 => Fault::DiskFull { target, for_us },
        38..43 => Fault::DiskSlow { target, for_us, cycle_us: random.between(5_000, 200_000) },
        43..55 => Fault::Pause { target, for_us },
        55..78 => {
            let shape = *random.pick(&[Shape::Full, Shape::Full, Shape::Mute, Shape::Deaf, Shape::Bridge]);
            Fault::Cut { target, shape, link: *random.pick(&[LinkState::Held, LinkState::Lost]), for_us }
        }
        78..86 => Fault::Break { target },
        86..92 => Fault::Loss { percent: random.between(1, 40), for_us },
        _ => Fault::Snapshot { target },
    }
}
