//! What goes wrong, and when.

use crate::network::Way;
use crate::random::Random;
use server::config::ServerId;

/// Whom a fault befalls; decided when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This member.
    Member(ServerId),
    /// Whoever leads, or this member if nobody does.
    Leader(ServerId),
}

/// The shape of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nobody hears the target, nor does it hear anybody.
    Full,
    /// The target hears the others, and they do not hear it.
    Mute,
    /// The others hear the target, and it hears nobody.
    Deaf,
    /// Two halves that only the target can hear both of.
    Bridge,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Power is lost, at once or at some operation of the disk to come.
    Crash {
        /// Whose.
        target: Target,
        /// Operations of the disk that still succeed; `None`: the power is lost now.
        operations: Option<u64>,
        /// How long the machine stays off.
        off_us: u64,
    },
    /// The process is asked to stop, and started again.
    Stop {
        /// Which.
        target: Target,
        /// How long it stays off.
        off_us: u64,
    },
    /// The connections of a member's clients break.
    Disconnect {
        /// Whose.
        target: Target,
    },
    /// The disk fails an operation to come.
    DiskError {
        /// Whose.
        target: Target,
        /// Operations that still succeed.
        operations: u64,
    },
    /// The disk has no room.
    DiskFull {
        /// Whose.
        target: Target,
        /// For how long.
        for_us: u64,
    },
    /// The disk is slow.
    DiskSlow {
        /// Whose.
        target: Target,
        /// For how long.
        for_us: u64,
        /// Time of a cycle.
        cycle_us: u64,
    },
    /// The next flush takes long.
    DiskStall {
        /// Whose; everybody's if all are on one disk.
        target: Option<Target>,
        /// How long.
        for_us: u64,
    },
    /// The process is stopped for a while.
    Pause {
        /// Which.
        target: Target,
        /// For how long.
        for_us: u64,
    },
    /// All processes are stopped for a while, as if their machine was.
    Suspend {
        /// For how long.
        for_us: u64,
        /// Whether the clients run on that machine too.
        with_clients: bool,
    },
    /// The connection thread is busy with something else.
    Busy {
        /// Whose.
        target: Target,
        /// For how long.
        for_us: u64,
    },
    /// The clients of a member read slowly.
    SlowReaders {
        /// Whose.
        target: Target,
        /// For how long.
        for_us: u64,
    },
    /// Members cannot hear each other.
    Cut {
        /// At the centre of it.
        target: Target,
        /// Who hears whom.
        shape: Shape,
        /// What becomes of frames.
        way: Way,
        /// For how long.
        for_us: u64,
    },
    /// Connections between members break, and are made again.
    Break {
        /// All of this member.
        target: Target,
    },
    /// Frames vanish one by one.
    Loss {
        /// Of all links.
        percent: u64,
        /// For how long.
        for_us: u64,
    },
    /// The machine comes back with an empty disk.
    Wipe {
        /// Whose.
        target: Target,
        /// How long the machine stays off.
        off_us: u64,
    },
    /// A bit of something that was safe on the disk is another one when the machine comes back.
    Flip {
        /// Whose.
        target: Target,
        /// How long the machine stays off.
        off_us: u64,
    },
    /// The next member that is elected is cut off before it sends anything, and the others lose power
    /// for up to 30 ms.
    CutNextLeader {
        /// How long it is cut off.
        for_us: u64,
    },
    /// The leadership is transferred to this member, if the ensemble can do so.
    Lead {
        /// Which.
        member: ServerId,
    },
    /// The member takes a snapshot.
    Snapshot {
        /// Which.
        target: Target,
    },
}

/// Whom the next fault befalls.
pub fn target(random: &mut Random, members: ServerId) -> Target {
    let member = random.between(1, u64::from(members)) as ServerId;
    if random.percent(50) { Target::Leader(member) } else { Target::Member(member) }
}

/// Mostly short, sometimes long enough for others to go far ahead.
fn duration_us(random: &mut Random) -> u64 {
    match random.below(10) {
        0..5 => random.between(5_000, 300_000),
        5..9 => random.between(200_000, 1_500_000),
        _ => random.between(1_000_000, 5_000_000),
    }
}

/// A disk that stands still, one's own or one that all share.
pub fn draw_stall(random: &mut Random, members: ServerId) -> Fault {
    let target = random.percent(50).then(|| target(random, members));
    Fault::DiskStall { target, for_us: random.between(50_000, 3_000_000) }
}

/// Something that keeps servers from hearing clients that live.
pub fn draw_deafness(random: &mut Random, members: ServerId) -> Fault {
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

/// A member is cut off for less time than most clients stay with a silent server. Meanwhile the others
/// restart, and lose the entries that they keep in memory for members that lag: it needs a snapshot.
pub fn draw_lag(random: &mut Random, members: ServerId, at_us: u64) -> Vec<(u64, Fault)> {
    let behind = random.between(1, u64::from(members)) as ServerId;
    let way = *random.pick(&[Way::Held, Way::Lost]);
    let for_us = random.between(300_000, 1_200_000);
    let cut = Fault::Cut { target: Target::Member(behind), shape: Shape::Full, way, for_us };
    let mut faults = vec![(at_us, cut)];
    for other in (1..=members).filter(|other| *other != behind) {
        let target = Target::Member(other);
        let crash = Fault::Crash { target, operations: None, off_us: random.between(1_000, 30_000) };
        faults.push((at_us + random.below(for_us / 2), crash));
    }
    faults
}

/// The leadership is transferred to another member and back, while what a follower sends is held back:
/// what it forwarded in the first term arrives in the last one. `voters` is at least 3.
pub fn draw_transfers(random: &mut Random, voters: ServerId, at_us: u64) -> Vec<(u64, Fault)> {
    let unheard = random.between(1, u64::from(voters)) as ServerId;
    let first = unheard % voters + 1;
    let other = first % voters + 1;
    let cut_us = at_us + 300_000;
    let away_us = cut_us + random.between(30_000, 200_000);
    let back_us = away_us + random.between(50_000, 200_000);
    let for_us = back_us - cut_us + random.between(50_000, 300_000);
    let cut = Fault::Cut { target: Target::Member(unheard), shape: Shape::Mute, way: Way::Held, for_us };
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

/// One fault of any kind but these.
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
            Fault::Cut { target, shape, way: *random.pick(&[Way::Held, Way::Lost]), for_us }
        }
        78..86 => Fault::Break { target },
        86..92 => Fault::Loss { percent: random.between(1, 40), for_us },
        _ => Fault::Snapshot { target },
    }
}
