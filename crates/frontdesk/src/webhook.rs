//! `frontdesk webhook parse`: what deliveries contain, for people who debug webhooks. The same code
//! that ingress runs.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use svc_ingress::describe;

use crate::cli::{WebhookArgs, WebhookCommand};
use crate::terminal::print_line;

/// Runs the command; fails when a file cannot be read. Problems inside a delivery are printed, and
/// make the exit status non-zero at the end.
///
/// # Errors
/// When a file cannot be read or holds something that is not wholly understood.
pub(crate) fn run(args: WebhookArgs) -> anyhow::Result<()> {
    let WebhookCommand::Parse { files, json } = args.command;
    let mut problems = 0_usize;
    for file in &files {
        let body = read(file)?;
        if files.len() > 1 && !json {
            // Whether anybody still reads shows at the next line.
            print_line(&format!("{}:", file.display()))?;
        }
        for line in describe::lines(&body) {
            problems += usize::from(!line.problems.is_empty());
            let text = if json {
                serde_json::to_string(&line)?
            } else {
                describe::text(&line)
            };
            if !print_line(&text)? {
                return Ok(());
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
