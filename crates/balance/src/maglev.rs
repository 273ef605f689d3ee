//! The lookup table of Maglev (Eisenbud et al. 2016): nearly exact shares and one memory access for
//! a lookup, but a change of the set also moves keys between instances that stay.

use std::sync::Arc;

use crate::hash;
use crate::load::Member;

/// The owner of each slot, as its position in the set. The rule is in [`hash`].
#[derive(Debug)]
pub(crate) struct Maglev {
    slots: Vec<u32>,
}

/// An instance that fills the table.
struct Filler {
    weight: u64,
    taken: u64,
    place: usize,
    skip: usize,
}

const FREE: u32 = u32::MAX;

impl Maglev {
    /// A table of `slot_count` slots: a prime, so that each instance visits all slots, and at least
    /// the number of members, so that each gets one in the first round. The caller has checked
    /// both.
    pub(crate) fn new(members: &[Arc<Member>], slot_count: usize) -> Maglev {
        let mut fillers: Vec<Filler> = members.iter().map(|member| Filler::new(member, slot_count)).collect();
        let heaviest = fillers.iter().map(|filler| filler.weight).max().unwrap_or(1);
        let mut slots = vec![FREE; if members.is_empty() { 0 } else { slot_count }];
        let mut free = slots.len();
        let mut round = 0;
        while free > 0 {
            round += 1;
            for (owner, filler) in (0..).zip(&mut fillers) {
                if free > 0 && filler.taken * heaviest < round * filler.weight {
                    filler.take(&mut slots, owner);
                    free -= 1;
                }
            }
        }
        Maglev { slots }
    }

    pub(crate) fn owner(&self, key_hash: u64) -> Option<usize> {
        let slot = key_hash.checked_rem(self.slots.len() as u64)?;
        Some(self.slots[slot as usize] as usize)
    }

    pub(crate) fn table_bytes(&self) -> usize {
        size_of_val(&self.slots[..])
    }
}

impl Filler {
    fn new(member: &Member, slot_count: usize) -> Filler {
        let (offset, skip) = hash::maglev(member.instance.id());
        let slot_count = slot_count as u64;
        Filler {
            weight: member.weight(),
            taken: 0,
            place: (offset % slot_count) as usize,
            skip: (skip % (slot_count - 1) + 1) as usize,
        }
    }

    /// Takes the next free slot of this instance's order. There is one.
    fn take(&mut self, slots: &mut [u32], owner: u32) {
        while slots[self.place] != FREE {
            self.place = (self.place + self.skip) % slots.len();
        }
        slots[self.place] = owner;
        self.taken += 1;
    }
}
