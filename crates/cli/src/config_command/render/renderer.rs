//! One rendering after the other.

use serde_json::{Value, json};

use super::super::error::CommandError;
use super::super::view;
use super::RenderArgs;
use super::command;
use super::diff::diff;
use super::sources::{Debounce, Sources};
use super::target::{Staged, Target};
use super::template::Templates;

/// What is kept between two renderings.
pub(super) struct Renderer<'a> {
    args: &'a RenderArgs,
    templates: Templates,
    targets: Vec<Target>,
    /// `None` before the first session, and after one has ended.
    sources: Option<Sources>,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(args: &'a RenderArgs) -> Self {
        let target = |path: &std::path::PathBuf| Target { path: path.clone(), mode: args.mode };
        Self {
            args,
            templates: Templates::new(args.pairs.iter().map(|(template, _)| template.clone()).collect()),
            targets: args.pairs.iter().map(|(_, path)| target(path)).collect(),
            sources: None,
        }
    }

    /// Renders all templates. Can be called again if its future was dropped.
    pub(super) async fn render(&mut self) -> Result<Vec<String>, CommandError> {
        let sources = match &mut self.sources {
            Some(sources) => sources,
            none => {
                self.templates.forget_all();
                let client = self.args.connect.open().await?;
                none.insert(Sources::open(client, &self.args.root, self.args.subscriber.clone()).await?)
            }
        };
        let rendered = sources.render(&self.templates).await;
        if rendered.is_err() && sources.is_over() {
            self.sources = None;
        }
        rendered
    }

    /// Waits for a change of what was read; for ever without a session.
    pub(super) async fn changed(&mut self) {
        let Some(sources) = &mut self.sources else { return std::future::pending().await };
        let debounce = Debounce { min: self.args.min_wait, max: self.args.max_wait };
        if let Err(error) = sources.changed(&self.templates, debounce).await {
            view::complain(&format!("{error}; another session begins"));
            self.sources = None;
        }
    }

    pub(super) async fn close(&mut self) {
        if let Some(sources) = self.sources.take() {
            sources.close().await;
        }
    }

    /// Replaces the files whose content differs, after all of them were checked, and has them
    /// read.
    pub(super) async fn apply(&self, contents: &[String]) -> Result<(), CommandError> {
        let mut staged: Vec<(&Target, Staged)> = Vec::new();
        for (target, content) in self.targets.iter().zip(contents) {
            let failed = CommandError::file(&target.path);
            let stage = || match target.content()? {
                Some(old) if old == content.as_bytes() => Ok(None),
                _ => target.stage(content.as_bytes()).map(Some),
            };
            staged.extend(stage().map_err(failed)?.map(|new| (target, new)));
        }
        if let Some(check) = &self.args.check {
            for (target, new) in &staged {
                let checked = command::run(check, Some(&new.path), self.args.command_timeout).await;
                checked.map_err(|why| CommandError::Check { target: target.path.clone(), why })?;
            }
        }
        if self.args.reload.is_some() {
            for (target, new) in &staged {
                new.note_reload().map_err(CommandError::file(&target.path))?;
            }
        }
        for (target, new) in staged {
            new.commit().map_err(CommandError::file(&target.path))?;
            let event = json!({ "event": "replaced", "target": target.path });
            self.report(&format!("{} is replaced", target.path.display()), &event);
        }
        self.reload().await
    }

    /// Runs the reload command if files were replaced since it last succeeded, by this process or
    /// by one before it.
    async fn reload(&self) -> Result<(), CommandError> {
        let Some(reload) = &self.args.reload else { return Ok(()) };
        let mut owed = Vec::new();
        for target in &self.targets {
            if target.owes_reload().map_err(CommandError::file(&target.path))? {
                owed.push(target);
            }
        }
        if owed.is_empty() {
            return Ok(());
        }
        let done = command::run(reload, None, self.args.command_timeout).await;
        done.map_err(CommandError::Reload)?;
        for target in owed {
            target.forget_reload().map_err(CommandError::file(&target.path))?;
        }
        self.report("the reload command is done", &json!({ "event": "reloaded" }));
        Ok(())
    }

    /// Prints how the files would change.
    pub(super) fn show(&self, contents: &[String]) -> Result<(), CommandError> {
        for (target, content) in self.targets.iter().zip(contents) {
            let old = target.content().map_err(CommandError::file(&target.path))?;
            let is_new = old.is_none();
            let old = old.unwrap_or_default();
            let path = target.path.display();
            if !is_new && old == content.as_bytes() {
                continue;
            }
            let difference = diff(&String::from_utf8_lossy(&old), content);
            let from = if is_new { "/dev/null".to_owned() } else { path.to_string() };
            let event = json!({ "event": "would replace", "target": target.path, "diff": difference });
            self.report(&format!("--- {from}\n+++ {path}\n{}", difference.trim_end_matches('\n')), &event);
        }
        Ok(())
    }

    /// Tells of a failure. Another attempt follows.
    pub(super) fn report_failure(&self, error: &CommandError) {
        let mut why = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            why.push_str(&format!(": {error}"));
            cause = error.source();
        }
        match self.args.json {
            true => self.report("", &json!({ "event": "failed", "why": why })),
            false => view::complain(&why),
        }
    }

    fn report(&self, text: &str, event: &Value) {
        let line = if self.args.json { format!("{event}\n") } else { format!("{text}\n") };
        // The files are more important than a reader of our output that is gone.
        let _ = view::print(&line);
    }
}
