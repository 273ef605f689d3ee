//! `ostler config render`: keeps files rendered from templates.

mod command;
mod diff;
mod renderer;
mod sources;
mod target;
mod template;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::connect::ConnectArgs;
use super::error::CommandError;
use crate::session_options::seconds;
use renderer::Renderer;

/// Keeps files rendered from templates, until it is stopped.
///
/// A change is awaited until nothing more follows, then everything that has changed is read and all
/// templates are rendered. Files whose content differs are written beside the old ones, checked,
/// and replace them; then the reload command runs once. If anything fails, no file is replaced, and
/// after a while it is tried again. HUP reads the templates again.
///
/// In templates `config` has the values, and there are the functions data(path), data(path,
/// default), children(path), exists(path) and json(text). What does not exist is an error.
///
/// Exit code: 0 stopped, or with --once done; otherwise as of `ostler config`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler config render /config/shop nginx.tmpl:/etc/nginx/nginx.conf \\
    --check 'nginx -t -c {}' --reload 'nginx -s reload'
  ostler config render /config/shop app.tmpl:/etc/app.toml --once
  ostler config render /config/shop app.tmpl:/etc/app.toml --dry-run

A template:
  workers = {{ config[\"pool.size\"] }}
  {% for name in children(\"/services/web\") -%}
  server = {{ json(data(\"/services/web/\" ~ name)).address }}
  {% endfor -%}")]
pub(super) struct RenderArgs {
    /// The znode of the configuration. It need not exist if the templates use none of its values.
    root: String,
    /// Templates and the files that they become.
    #[arg(value_name = "TEMPLATE:TARGET", required = true, value_parser = pair)]
    pairs: Vec<(PathBuf, PathBuf)>,
    /// A command for the shell that checks each new file before it replaces the old one. {} stands
    /// for its path, as does $OSTLER_FILE.
    #[arg(long, value_name = "COMMAND")]
    check: Option<String>,
    /// A command for the shell that runs once after files were replaced.
    #[arg(long, value_name = "COMMAND")]
    reload: Option<String>,
    /// Kill a check or reload that takes longer.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    command_timeout: Duration,
    /// Render once, and exit.
    #[arg(long)]
    once: bool,
    /// Only print how the files would change, and exit. No command runs.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Wait until nothing has changed for this time.
    #[arg(long, value_name = "SECONDS", default_value = "0.1", value_parser = seconds)]
    min_wait: Duration,
    /// Wait no longer than this after the first change.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    max_wait: Duration,
    /// Wait this time after the first failure, and twice as long after each further one up to a
    /// minute.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    retry: Duration,
    /// Permissions of files that do not exist yet, in octal. Others keep theirs, and their owner.
    #[arg(long, value_name = "MODE", default_value = "644", value_parser = mode)]
    mode: u32,
    /// Render the values as this subscriber sees them while a rollout is under way.
    #[arg(long, value_name = "ID")]
    subscriber: Option<String>,
    /// Print one JSON object a line for each file that is replaced, each reload and each failure.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// The longest time between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(60);

fn pair(text: &str) -> Result<(PathBuf, PathBuf), String> {
    match text.split_once(':') {
        Some((template, target)) if !template.is_empty() && !target.is_empty() => {
            Ok((template.into(), target.into()))
        }
        _ => Err("expected TEMPLATE:TARGET, two paths of files".to_owned()),
    }
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| format!("'{text}' is not between 0 and 777, in octal"))
}

pub(super) async fn run(args: &RenderArgs) -> Result<(), CommandError> {
    if !args.root.starts_with('/') {
        let what = format!("ROOT {}", args.root);
        let why = "it has to begin with a slash".to_owned();
        return Err(recipes::config::Error::Argument { what, why }.into());
    }
    let mut renderer = Renderer::new(args);
    let mut signals = Signals::new()?;
    let done = keep_rendered(args, &mut renderer, &mut signals).await;
    renderer.close().await;
    done
}

async fn keep_rendered(
    args: &RenderArgs,
    renderer: &mut Renderer<'_>,
    signals: &mut Signals,
) -> Result<(), CommandError> {
    let mut pause = args.retry;
    loop {
        let rendered = tokio::select! {
            rendered = renderer.render() => rendered,
            heard = signals.next() => match heard {
                Heard::Stop => return Ok(()),
                Heard::HangUp => continue,
            },
        };
        // A signal waits meanwhile: files are replaced all or none, and then there is a reload.
        let done = match rendered {
            Ok(contents) if args.dry_run => renderer.show(&contents),
            Ok(contents) => renderer.apply(&contents).await,
            Err(error) => Err(error),
        };
        if args.once || args.dry_run {
            return done;
        }
        let wait = match &done {
            Ok(()) => {
                pause = args.retry;
                None
            }
            Err(error) => {
                renderer.report_failure(error);
                let wait = pause;
                pause = (pause * 2).min(RETRY_MAX);
                Some(wait)
            }
        };
        tokio::select! {
            heard = signals.next() => if heard == Heard::Stop { return Ok(()) },
            () = sleep_or_never(wait) => {}
            () = renderer.changed() => {}
        }
    }
}

async fn sleep_or_never(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Stop,
    HangUp,
}

/// What asks this process to stop, or to read the templates again.
struct Signals {
    terminated: Signal,
    interrupted: Signal,
    hung_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminated: signal(SignalKind::terminate())?,
            interrupted: signal(SignalKind::interrupt())?,
            hung_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.terminated.recv() => Heard::Stop,
            _ = self.interrupted.recv() => Heard::Stop,
            _ = self.hung_up.recv() => Heard::HangUp,
        }
    }
}
