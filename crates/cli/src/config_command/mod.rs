//! `ostler config`: values with a history, and files rendered from them.

// A stream whose reader has gone makes these panic.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod change;
mod connect;
mod error;
mod read;
mod render;
mod rollout;
mod schema;
mod view;
mod watch;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::serve::fail;
use error::CommandError;

/// Reads and changes configuration, and keeps files rendered from it.
///
/// A configuration is a set of values below a znode, its ROOT, which are changed together. Each
/// change is a revision of the history and can be rolled back.
///
/// Exit code: 0 done; 1 failed; 2 wrong arguments; 3 there is no such key, value or revision;
/// 4 refused by the schema, a template, a check or a limit; 5 somebody else has changed it; 6 the
/// reload command failed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler config set /config/shop pool.size=8 log.level=info -m 'more load'
  ostler config get /config/shop pool.size
  ostler config history /config/shop
  ostler config rollback /config/shop 3
  ostler config render /config/shop nginx.tmpl:/etc/nginx/nginx.conf --reload 'nginx -s reload'")]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    Get(read::GetArgs),
    Set(change::SetArgs),
    History(read::HistoryArgs),
    Rollback(change::RollbackArgs),
    Watch(watch::WatchArgs),
    Schema(schema::SchemaArgs),
    Rollout(rollout::RolloutArgs),
    Render(Box<render::RenderArgs>),
}

/// Runs the command.
pub(crate) fn run(args: &ConfigArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(CommandError::Io).and_then(|runtime| {
        runtime.block_on(async {
            match &args.command {
                ConfigCommand::Get(args) => read::get(args).await,
                ConfigCommand::Set(args) => change::set(args).await,
                ConfigCommand::History(args) => read::history(args).await,
                ConfigCommand::Rollback(args) => change::roll_back(args).await,
                ConfigCommand::Watch(args) => watch::run(args).await,
                ConfigCommand::Schema(args) => schema::run(args).await,
                ConfigCommand::Rollout(args) => rollout::run(args).await,
                ConfigCommand::Render(args) => render::run(args).await,
            }
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
