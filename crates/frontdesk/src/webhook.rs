//! `frontdesk webhook parse`: what deliveries contain, for people who debug webhooks. The same code
//! that ingress runs.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use svc_ingress::describe;

use crate::cli::{WebhookArgs, WebhookCommand};

/// Runs the command; fails when a file cannot be read. Problems inside a delivery are printed, and
/// make the exit status non-zero at the end.
///
/// # Errors
/// When a file cannot be read or holds something that is not wholly understood.
pub(crate) fn run(args: WebhookArgs) -> anyhow::Result<()> {
    let WebhookCommand::Parse { files, json } = args.command;
    let mut out = std::io::stdout().lock();
    let mut problems = 0_usize;
    for file in &files {
        let body = read(file)?;
        if files.len() > 1 && !json {
            writeln!(out, "{}:", file.display())?;
        }
        for line in describe::lines(&body) {
            problems += usize::from(!line.problems.is_empty());
            if json {
                serde_json::to_writer(&mut out, &line)?;
                writeln!(out)?;
            } else {
                writeln!(out, "{}", describe::text(&line))?;
            }
        }
    }
    if problems > 0 {
        anyhow::bail!("{problems} of the items could not be read; ingress would park them");
    }
    Ok(())
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    if file == Path::new("-") {
        std::io::stdin()
            .read_to_end(&mut body)
            .context("cannot read standard input")?;
    } else {
        body = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(body)
}
