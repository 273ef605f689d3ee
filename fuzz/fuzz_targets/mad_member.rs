//! A member gone mad: what it says is proven to be of a member, and makes no sense. The others live
//! on and keep their promises: their engines by themselves (`consensus::conformance::mad_member`),
//! and whole servers that get altered frames of each other.
#![no_main]

use consensus::conformance::mad_member;
use consensus::paxos::PaxosEngine;
use consensus::raft::RaftEngine;
use libfuzzer_sys::fuzz_target;
use server::config::EngineKind;

mod ensemble;
use ensemble::Trio;

/// Frames that are kept to be altered.
const KEPT_MAX: usize = 32;

fuzz_target!(|input: &[u8]| {
    let Some((&way, script)) = input.split_first() else { return };
    let engine = if way % 2 == 0 { EngineKind::Raft } else { EngineKind::Paxos };
    match engine {
        EngineKind::Raft => {
            mad_member(&|settings, start| Box::new(RaftEngine::new(settings, start)), script);
        }
        EngineKind::Paxos => {
            mad_member(&|settings, start| Box::new(PaxosEngine::new(settings, start)), script);
        }
    }
    let mut trio = Trio::serving(engine);
    let mut kept = Vec::new();
    for choice in script.chunks_exact(11) {
        kept.extend(trio.step().into_iter().filter(|frame| frame.len() < 4_096));
        kept.drain(..kept.len().saturating_sub(KEPT_MAX));
        let Some(frame) = kept.get(usize::from(choice[0]) % kept.len().max(1)) else { continue };
        let mut bytes = frame.to_vec();
        let place = usize::from(choice[1]) % bytes.len();
        let length = usize::from(choice[2] % 8) + 1;
        for (byte, new) in bytes[place..].iter_mut().zip(&choice[3..3 + length]) {
            *byte = *new;
        }
        for to in [1, 2] {
            let member = trio.members.get_mut(&to).expect("a member");
            let heard = member.receive(3, bytes.clone().into());
            assert!(heard.is_ok(), "{heard:?}");
        }
    }
});
