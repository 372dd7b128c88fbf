//! `frontdesk flow diff`: what differs between two flows, whatever the order of their files.

use std::path::Path;

use anyhow::Context as _;
use core_flow::{Change, Definition, diff};
use serde_json::json;

use super::live::Installation;
use super::source::read;
use crate::cli::FlowDiffArgs;
use crate::exit::Exit;
use crate::terminal::{print_line, printable};

/// Compares the two.
pub(super) async fn run(args: &FlowDiffArgs) -> anyhow::Result<()> {
    let (from, to) = (load(args, &args.from).await?, load(args, &args.to).await?);
    let changes = diff(&from, &to);
    if args.json {
        let changes = changes.iter();
        let changes = changes.map(|it| json!({"place": it.place, "from": it.from, "to": it.to}));
        let changes: Vec<_> = changes.collect();
        print_line(&json!({"same": changes.is_empty(), "changes": changes}).to_string())?;
    } else if changes.is_empty() {
        print_line("the same")?;
    } else {
        for change in &changes {
            print_line(&told(change))?;
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    let message = String::new();
    Err(Exit { code: 1, message }.into())
}

/// A flow in a file, or one of an installation.
async fn load(args: &FlowDiffArgs, name: &str) -> anyhow::Result<Definition> {
    let text = if Path::new(name).exists() {
        read(Path::new(name))?
    } else {
        let installation = Installation::open(&args.server)?;
        let text = installation.definition(name).await;
        text.with_context(|| format!("there is no file `{}`", printable(name)))?
    };
    core_flow::parse(&text).map_err(|problems| {
        let first = problems.first().map(ToString::to_string);
        anyhow::anyhow!("{}: {}", printable(name), first.unwrap_or_default())
    })
}

fn told(change: &Change) -> String {
    let indented = |sign: &str, text: &str| {
        let lines = text
            .lines()
            .map(|line| format!("\n  {sign} {}", printable(line)));
        lines.collect::<String>()
    };
    let from = change.from.as_deref().map(|text| indented("-", text));
    let to = change.to.as_deref().map(|text| indented("+", text));
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
    format!("{}{from}{to}", printable(&change.place))
}
