//! `frontdesk flow versions`, `export`, `import` and `roll-back`: the life of a flow in an
//! installation.

use anyhow::{Context as _, bail};
use lib_proto::timestamp_from_proto;
use serde_json::json;

use super::live::Installation;
use super::source::{Flow, read};
use crate::cli::{FlowExportArgs, FlowImportArgs, FlowRollBackArgs, FlowVersionsArgs};
use crate::terminal::{print_line, printable};

/// Lists versions.
pub(super) async fn list(args: &FlowVersionsArgs) -> anyhow::Result<()> {
    let installation = Installation::open(&args.server)?;
    let versions = installation.versions(&args.flow).await?;
    if versions.is_empty() && !args.json {
        print_line("no version is published")?;
    }
    for version in versions {
        let at = timestamp_from_proto("published_at", version.published_at)?;
        let at = at.and_then(|at| jiff::Timestamp::from_microsecond(at.as_micros()).ok());
        let at = at.map(|at| at.to_string()).unwrap_or_default();
        let line = if args.json {
            json!({"version": version.version, "published_at": at, "author": version.author,
                "note": version.note})
            .to_string()
        } else {
            let (author, note) = (printable(&version.author), printable(&version.note));
            format!("{:>4}  {at}  {author}  {note}", version.version)
        };
        if !print_line(line.trim_end())? {
            break;
        }
    }
    Ok(())
}

/// Writes a definition out, as it was stored.
pub(super) async fn export(args: &FlowExportArgs) -> anyhow::Result<()> {
    let installation = Installation::open(&args.server)?;
    let definition = installation.definition(&args.flow).await?;
    let Some(file) = &args.output else {
        print_line(definition.trim_end())?;
        return Ok(());
    };
    std::fs::write(file, definition).with_context(|| format!("cannot write {}", file.display()))
}

/// Makes a file a draft. One with errors stays here: a draft may have them, a file has an editor.
pub(super) async fn import(args: &FlowImportArgs) -> anyhow::Result<()> {
    let flow = Flow::read(&args.file)?;
    if let Some(error) = flow.problems.iter().find(|problem| problem.is_error()) {
        bail!(
            "{}: {error} (`frontdesk flow check {0}` lists all)",
            args.file.display()
        );
    }
    let definition = flow.definition.context("a flow without errors")?;
    let installation = Installation::open(&args.server)?;
    // As it was written: indented it may be longer than what is kept.
    let draft = read(&args.file)?;
    installation
        .import(&args.id, &definition.name, &draft)
        .await?;
    let id = printable(&args.id);
    let line = if args.publish {
        let version = installation.publish(&args.id, &args.note).await?;
        format!("{id}: version {version} is published")
    } else {
        format!("{id}: the draft is stored")
    };
    print_line(&line)?;
    Ok(())
}

/// Goes back.
pub(super) async fn roll_back(args: &FlowRollBackArgs) -> anyhow::Result<()> {
    let installation = Installation::open(&args.server)?;
    let made = installation
        .roll_back(&args.flow, args.version, &args.note)
        .await?;
    let flow = printable(&args.flow);
    print_line(&format!(
        "{flow}: version {made} is published and says what version {} says",
        args.version
    ))?;
    Ok(())
}
