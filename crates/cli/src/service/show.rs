//! `ostler service list`, `watch` and `resolve`.

use std::io::{self, Write as _};

use clap::Args;
use recipes::discovery::{Discovery, Found, Health, Instance, Known};
use serde_json::{Value, json};

use super::{ChoiceArgs, ConnectArgs, ServiceError, say};

/// As `grep` has it: there is nothing.
const NOTHING: u8 = 1;

/// Lists the services, or the instances of one.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler service list
  ostler service list --json web | jq -r '.instances[].address'")]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
    /// Print JSON: an object with the services, or with the instances.
    #[arg(long)]
    json: bool,
    /// The service.
    name: Option<String>,
}

/// Prints the instances of a service, and again whenever they change.
///
/// While no server can be reached the last known instances stay; a message says so.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ostler service watch web
  ostler service watch --json web | while read -r set; do echo \"$set\" | jq length; done")]
pub(super) struct WatchArgs {
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
    /// Print one line of JSON for each change.
    #[arg(long)]
    json: bool,
    /// The service.
    name: String,
}

/// Chooses an instance of a service and prints where it is.
///
/// Exit code: 1 if there is no instance to choose.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  curl http://$(ostler service resolve web)/
  ostler service resolve --strategy ring --hash-key user-17 --json cache
  ostler service resolve --zone north web")]
pub(super) struct ResolveArgs {
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// The key, for strategies that choose by key.
    #[arg(long, value_name = "TEXT")]
    hash_key: Option<String>,
    /// Print the instance as JSON.
    #[arg(long)]
    json: bool,
    /// The service.
    name: String,
}

pub(super) async fn list(args: &ListArgs, discovery: &Discovery) -> Result<u8, ServiceError> {
    let mut out = io::stdout().lock();
    match &args.name {
        Some(name) => {
            let found = discovery.instances(name).await?;
            match args.json {
                true => writeln!(out, "{}", found_json(name, &found))?,
                false => print(&mut out, &found)?,
            }
        }
        None => {
            let names = discovery.services().await?;
            match args.json {
                true => writeln!(out, "{}", json!({ "services": names }))?,
                false => names.iter().try_for_each(|name| writeln!(out, "{name}"))?,
            }
        }
    }
    Ok(0)
}

pub(super) async fn watch(args: &WatchArgs, discovery: &Discovery) -> Result<u8, ServiceError> {
    let any = "random".parse().map_err(|error| ServiceError::Option(format!("{error}")))?;
    let mut service = discovery.service(&args.name, any, Default::default()).await?;
    let mut known = service.known();
    let mut last: Option<Found> = None;
    let (mut was_live, mut glance) = (true, tokio::time::interval(std::time::Duration::from_secs(1)));
    loop {
        if last.as_ref() != Some(&known.found) {
            show(args, &known)?;
            last = Some(known.found.clone());
        }
        tokio::select! {
            changed = service.changed() => known = changed?,
            _ = glance.tick() => {
                let is_live = service.is_live();
                match (was_live, is_live) {
                    (true, false) => say(format_args!("no server: these instances may be out of date")),
                    (false, true) => say(format_args!("connected again")),
                    _ => {}
                }
                was_live = is_live;
            }
        }
    }
}

fn show(args: &WatchArgs, known: &Known) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", found_json(&args.name, &known.found))?,
        false => {
            print(&mut out, &known.found)?;
            writeln!(out)?;
        }
    }
    out.flush()
}

pub(super) async fn resolve(args: &ResolveArgs, discovery: &Discovery) -> Result<u8, ServiceError> {
    let strategy = args.choice.strategy();
    if strategy.choice.uses_key() && args.hash_key.is_none() {
        return Err(ServiceError::Option(format!("the strategy {strategy} needs --hash-key")));
    }
    let service = discovery.service(&args.name, strategy, args.choice.settings()?).await?;
    if let Some(fault) = &service.known().fault {
        return Err(ServiceError::Option(fault.to_string()));
    }
    let Some(picked) = service.pick(args.hash_key.as_deref().unwrap_or_default().as_bytes()) else {
        say(format_args!("the service {} has no instance to choose", args.name));
        return Ok(NOTHING);
    };
    let mut out = io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", instance_json(picked.instance()))?,
        false => writeln!(out, "{}", picked.instance().endpoint())?,
    }
    Ok(0)
}

fn found_json(service: &str, found: &Found) -> Value {
    let instances: Vec<Value> = found.instances.iter().map(|instance| instance_json(instance)).collect();
    let skipped = found.skipped.iter().map(|one| json!({ "id": one.id, "why": one.why }));
    json!({ "service": service, "instances": instances, "skipped": skipped.collect::<Vec<_>>() })
}

fn instance_json(instance: &Instance) -> Value {
    json!({
        "id": instance.id,
        "address": instance.endpoint(),
        "host": instance.address,
        "port": instance.port,
        "sslPort": instance.ssl_port,
        "weight": instance.weight.get(),
        "zone": instance.zone,
        "metadata": instance.metadata,
        "enabled": instance.is_enabled,
        "health": instance.health.to_string(),
        "available": instance.is_available(),
        "registrationTimeUTC": instance.registered_ms,
    })
}

fn print(out: &mut impl io::Write, found: &Found) -> io::Result<()> {
    for instance in &found.instances {
        let state = match (instance.health, instance.is_enabled) {
            (Health::Failing, _) => "failing",
            (Health::Passing, false) => "disabled",
            (Health::Passing, true) => "passing",
        };
        let zone = instance.zone.as_deref().unwrap_or("-");
        let (id, endpoint, weight) = (&instance.id, instance.endpoint(), instance.weight);
        writeln!(out, "{endpoint:<21} {state:<8} weight {weight:<3} zone {zone:<8} {id}")?;
    }
    for skipped in &found.skipped {
        say(format_args!("{} is skipped: {}", skipped.id, skipped.why));
    }
    Ok(())
}
