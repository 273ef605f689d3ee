//! Three servers without processes that serve, for targets that play one of them or a stranger.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use server::clock::ManualTime;
use server::config::{self, CommandLine, EngineKind, Ensemble, ServerId};
use server::simulation::{GroupId, Member};
use storage::SimDisk;

const STEP_US: u64 = 2_000;

pub struct Trio {
    time: Arc<ManualTime>,
    pub members: BTreeMap<ServerId, Member>,
}

impl Trio {
    /// Servers that have founded an ensemble and serve.
    pub fn serving(engine: EngineKind) -> Trio {
        let time = ManualTime::new(1_700_000_000_000);
        let start = |server: ServerId| {
            let disk = Arc::new(SimDisk::new(u64::from(server)));
            let member = Member::start(disk, config_of(server, engine), &time).expect("it starts");
            (server, member)
        };
        let members = (1..=3).map(start).collect();
        let mut trio = Trio { time, members };
        while !trio.members.values().all(|member| member.is_serving(GroupId::ROOT)) {
            trio.step();
        }
        trio
    }

    /// Time goes by, and everybody works and is heard; what went over the wires.
    pub fn step(&mut self) -> Vec<Bytes> {
        self.time.advance_us(STEP_US);
        let mut frames = Vec::new();
        for (server, member) in &mut self.members {
            member.peers_polled();
            member.cycle().expect("it goes on");
            frames.extend(member.take_frames().into_iter().map(|(to, frame)| (*server, to, frame)));
        }
        let carried = frames.iter().map(|(.., frame)| frame.clone()).collect();
        for (from, to, frame) in frames {
            if let Some(member) = self.members.get_mut(&to) {
                member.receive(from, frame).expect("it goes on");
            }
        }
        carried
    }
}

fn config_of(server: ServerId, engine: EngineKind) -> config::Config {
    let command_line = CommandLine { data_dir: Some(PathBuf::from("/data")), ..CommandLine::default() };
    let mut config = config::load(&command_line).expect("a valid configuration").config;
    config.server_id = server;
    config.storage.segment_bytes = 64 << 10;
    let member = |n: ServerId| format!("10.0.0.{n}:2888:3888;2181").parse().expect("a server");
    config.ensemble = Some(Ensemble {
        members: (1..=3).map(|n| (n, member(n))).collect(),
        engine,
        election_timeout_ms: 300,
        heartbeat_ms: 30,
        linearizable_reads: false,
        listen_on_all_ips: false,
        secret: None,
        is_secret_required: true,
    });
    config
}
