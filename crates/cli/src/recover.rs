//! `ostler recover`: a new ensemble out of one server, when the quorum is lost for good.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use server::config::{self, CommandLine, Loaded};
use server::force_new_cluster::{self, ForceNewClusterError, Found};

use crate::serve::fail;

/// Makes this server the only voter of a new ensemble that continues from its data. For when more
/// than half of the voters are lost for good.
///
/// Without --yes it only prints what the server has. Run it this way on every remaining server, all
/// of them stopped, and use the one with the highest term, and among those the one with the highest
/// index. Then the others start with empty data directories and are reseeded.
#[derive(Args, Debug)]
pub(crate) struct RecoverArgs {
    /// The server's zoo.cfg.
    #[arg(long, value_name = "ZOO.CFG")]
    config: Option<PathBuf>,
    /// Where snapshots, the log and `myid` are; overrides `dataDir`.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Do it. No other server of the old ensemble may run with its old data, now or later.
    #[arg(long)]
    yes: bool,
}

/// Prints what the server has, or forces the new ensemble.
pub(crate) fn run(args: RecoverArgs) -> ExitCode {
    let command_line = CommandLine { config: args.config, data_dir: args.data_dir, ..CommandLine::default() };
    let config = match config::load(&command_line) {
        Ok(Loaded { config, .. }) => config,
        Err(e) => return fail(&e),
    };
    let done: Result<Found, ForceNewClusterError> = if args.yes {
        force_new_cluster::force_new_cluster(&config)
    } else {
        force_new_cluster::look(&config)
    };
    match done {
        Ok(found) => match std::io::stdout().write_all(report(&found, args.yes).as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(&e),
        },
        Err(e) => fail(&e),
    }
}

fn report(found: &Found, done: bool) -> String {
    let Found { server, cluster, term, index, zxid, znodes, sessions } = found;
    let mut text = format!(
        "server.{server} of cluster {cluster:#018x}\n  last entry: term {term}, index {index}\n  zxid:       {zxid:#x}\n  \
         holds:      {znodes} znodes, {sessions} sessions\n"
    );
    text.push_str(if done {
        "It is the only voter of a new ensemble now.\n\
         Next: start it; then empty the data directories of the others and start them. Each is refilled and gets its vote by itself.\n"
    } else {
        "Nothing was changed. Compare this with the other remaining servers: the one with the highest term, then index, has most.\n\
         With --yes that one becomes the only voter of a new ensemble.\n"
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_to_do_next() {
        let found = Found {
            server: 2,
            cluster: 0xAB,
            term: 7,
            index: 90,
            zxid: 0x1_0000_0005,
            znodes: 12,
            sessions: 3,
        };
        let looked = report(&found, false);
        assert!(
            looked.starts_with("server.2 of cluster 0x00000000000000ab\n  last entry: term 7, index 90\n")
        );
        assert!(looked.contains("Nothing was changed.") && looked.contains("12 znodes, 3 sessions"));
        let done = report(&found, true);
        assert!(done.contains("only voter of a new ensemble now") && !done.contains("Nothing was changed"));
    }
}
