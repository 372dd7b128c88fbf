//! What an agent can type: text for the customer, or a command that starts with a slash.

/// Something the agent wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Be offered conversations.
    Ready,
    /// Be left alone.
    Away,
    /// Take the offer on show.
    Accept,
    /// Leave the offer on show to others.
    Decline,
    /// Write to the customer.
    Say(String),
    /// List approved templates.
    Templates,
    /// Send a template: name, language (empty means the only one), body values.
    Template {
        name: String,
        language: String,
        values: Vec<String>,
    },
    /// Stop talking and start wrap-up.
    WrapUp,
    /// File and close: disposition and note.
    Done { disposition: String, note: String },
    /// Hand over to a queue.
    Transfer(String),
    /// Show the next conversation.
    Next,
    /// Show the commands.
    Help,
    /// Leave.
    Quit,
}

/// The commands, for the help line.
pub(crate) const HELP: &str = "/ready /away /accept /decline /templates /template NAME [LANGUAGE] \
     VALUE | VALUE … /wrap /done DISPOSITION [-- NOTE] /transfer QUEUE /next /quit";

/// Reads a typed line.
///
/// # Errors
/// With what is wrong and how it should be.
pub(crate) fn parse(line: &str) -> Result<Command, String> {
    let line = line.trim();
    let Some(command) = line.strip_prefix('/') else {
        return Ok(Command::Say(line.to_owned()));
    };
    // Two slashes send a text that starts with one.
    if command.starts_with('/') {
        return Ok(Command::Say(command.to_owned()));
    }
    let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim();
    match (word, rest) {
        ("ready", _) => Ok(Command::Ready),
        ("away" | "break", _) => Ok(Command::Away),
        ("accept" | "a", _) => Ok(Command::Accept),
        ("decline" | "d", _) => Ok(Command::Decline),
        ("templates", _) => Ok(Command::Templates),
        ("template" | "t", "") => Err("which one? /template NAME VALUE | VALUE".to_owned()),
        ("template" | "t", rest) => Ok(template(rest)),
        ("wrap", _) => Ok(Command::WrapUp),
        ("done", rest) => {
            let (disposition, note) = rest.split_once("--").unwrap_or((rest, ""));
            Ok(Command::Done {
                disposition: disposition.trim().to_owned(),
                note: note.trim().to_owned(),
            })
        }
        ("transfer", "") => Err("where to? /transfer QUEUE".to_owned()),
        ("transfer", queue) => Ok(Command::Transfer(queue.to_owned())),
        ("next", _) => Ok(Command::Next),
        ("help" | "?", _) => Ok(Command::Help),
        ("quit" | "q", _) => Ok(Command::Quit),
        (other, _) => Err(format!("there is no command /{other}; /help lists them")),
    }
}

fn template(rest: &str) -> Command {
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (first, others) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
    let is_language = |word: &str| {
        let (base, region) = word.split_once('_').unwrap_or((word, ""));
        (2..=3).contains(&base.len())
            && base.bytes().all(|byte| byte.is_ascii_lowercase())
            && word.contains('_')
            && (2..=3).contains(&region.len())
    };
    let (language, values) = if is_language(first) {
        (first, others)
    } else {
        ("", rest)
    };
    let values = values
        .split('|')
        .map(str::trim)
        .filter(|value| !value.is_empty());
    Command::Template {
        name: name.to_owned(),
        language: language.to_owned(),
        values: values.map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_commands_are_told_apart() {
        assert_eq!(
            parse("Hello /ready").unwrap(),
            Command::Say("Hello /ready".into())
        );
        assert_eq!(
            parse("//etc is a folder").unwrap(),
            Command::Say("/etc is a folder".into())
        );
        assert_eq!(parse(" /ready ").unwrap(), Command::Ready);
        assert!(parse("/fly").unwrap_err().contains("/help"));
        assert!(parse("/transfer").is_err());
    }

    #[test]
    fn templates_take_a_language_and_values() {
        let command = parse("/template follow_up en_US Maria | FD 1042").unwrap();
        let expected = Command::Template {
            name: "follow_up".into(),
            language: "en_US".into(),
            values: vec!["Maria".into(), "FD 1042".into()],
        };
        assert_eq!(command, expected);
        let Command::Template {
            language, values, ..
        } = parse("/t follow_up Maria").unwrap()
        else {
            panic!("not a template");
        };
        assert_eq!((language.as_str(), values), ("", vec!["Maria".to_owned()]));
    }

    #[test]
    fn a_disposition_may_have_spaces_and_a_note() {
        let expected = Command::Done {
            disposition: "no answer".into(),
            note: "rang twice".into(),
        };
        assert_eq!(parse("/done no answer -- rang twice").unwrap(), expected);
    }
}
