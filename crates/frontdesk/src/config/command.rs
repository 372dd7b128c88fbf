//! `frontdesk config`: which settings there are, and what is wrong with those given.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::{ConfigArgs, ConfigCommand};
use crate::config::{example, explain, read, table};
use crate::exit::{CONFIG, Exit};
use crate::terminal::print_line;

/// Runs the command.
///
/// # Errors
/// With [`CONFIG`] when a setting is wrong; when standard output fails.
pub(crate) fn run(args: ConfigArgs) -> anyhow::Result<()> {
    match args.command {
        ConfigCommand::Check { role, config, json } => check(role.as_deref(), config, json),
        ConfigCommand::Keys {
            role,
            json,
            markdown,
        } => {
            let mut table = table();
            if let Some(role) = role {
                table.retain(|key| key.is_used_by(Some(&role)));
            }
            let text = if json {
                serde_json::to_string_pretty(&example::json(&table))?
            } else if markdown {
                example::markdown(&table)
            } else {
                example::list(&table)
            };
            print_line(text.trim_end())?;
            Ok(())
        }
        ConfigCommand::Example => {
            print_line(example::toml(&table()).trim_end())?;
            Ok(())
        }
    }
}

fn check(role: Option<&str>, config: Option<PathBuf>, json: bool) -> anyhow::Result<()> {
    let outcome = read(role, config);
    let who = role.unwrap_or("every role but sandbox");
    let good = outcome.problems.is_empty();
    if json {
        let text = json!({
            "ok": good,
            "role": role,
            "problems": outcome.problems,
            "warnings": outcome.warnings,
            "overridden": outcome.overridden,
            "settings": if good { Some(outcome.settings.shown()) } else { None },
        });
        print_line(&serde_json::to_string_pretty(&text)?)?;
        return if good {
            Ok(())
        } else {
            Err(Exit {
                code: CONFIG,
                message: String::new(),
            }
            .into())
        };
    }
    for warning in &outcome.warnings {
        print_line(&format!("warning: {warning}"))?;
    }
    if !good {
        return Err(Exit::config(explain(who, &outcome.problems)));
    }
    for (name, shown) in outcome.settings.shown() {
        print_line(&format!("{name} = {shown}"))?;
    }
    print_line(&format!("The settings of {who} are right."))?;
    Ok(())
}
