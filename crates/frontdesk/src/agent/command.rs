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
    /// Send a template: its name or number in the list, and what comes after it.
    Template { name: String, rest: String },
    /// Stop talking and start wrap-up.
    WrapUp,
    /// File and close: disposition (or its number) and note.
    Done { disposition: String, note: String },
    /// Hand over to a queue; empty asks which there are.
    Transfer(String),
    /// Show the next conversation.
    Next,
    /// Take the desk back from another terminal.
    Reopen,
    /// Show the commands.
    Help,
    /// Leave.
    Quit,
}

/// The keys and commands, with what they do.
pub(crate) const HELP: [(&str, &str); 14] = [
    ("/ready  /away", "be offered conversations, or not (Ctrl-R)"),
    ("/accept  /decline", "the offer on show (Enter, Esc)"),
    ("text", "goes to the customer (Alt-Enter: new line)"),
    ("/templates", "what may be sent when the window is closed"),
    ("/template NAME VALUE | VALUE", "sends one, filled in"),
    ("/wrap", "stop talking, start wrap-up"),
    (
        "/done DISPOSITION -- NOTE",
        "file and close; a number will do",
    ),
    (
        "/transfer QUEUE",
        "hand over to a queue; alone: which there are",
    ),
    ("/next", "show the next conversation (Tab)"),
    ("/open", "take the desk back from another terminal"),
    ("//text", "sends a text that begins with a slash"),
    ("PgUp  PgDn", "scroll"),
    ("Up  Down", "what was typed before"),
    ("/quit", "leave; your conversations stay yours (Ctrl-C)"),
];

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
    let (word, rest) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    let rest = rest.trim();
    match (word, rest) {
        ("ready", _) => Ok(Command::Ready),
        ("away" | "break", _) => Ok(Command::Away),
        ("accept" | "a", _) => Ok(Command::Accept),
        ("decline" | "d", _) => Ok(Command::Decline),
        ("templates", _) | ("template" | "t", "") => Ok(Command::Templates),
        ("template" | "t", rest) => {
            let (name, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            Ok(Command::Template {
                name: name.to_owned(),
                rest: rest.trim().to_owned(),
            })
        }
        ("wrap", _) => Ok(Command::WrapUp),
        ("done", rest) => Ok(filed(rest)),
        ("transfer", queue) => Ok(Command::Transfer(queue.to_owned())),
        ("next", _) => Ok(Command::Next),
        ("open", _) => Ok(Command::Reopen),
        ("help" | "?", _) => Ok(Command::Help),
        ("quit" | "q", _) => Ok(Command::Quit),
        (other, _) => Err(format!("There is no command /{other}; /help lists them.")),
    }
}

/// A disposition and, after two dashes, a note.
pub(crate) fn filed(text: &str) -> Command {
    let (disposition, note) = text.split_once("--").unwrap_or((text, ""));
    Command::Done {
        disposition: disposition.trim().to_owned(),
        note: note.trim().to_owned(),
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
    }

    #[test]
    fn a_template_has_a_name_and_the_rest() {
        let expected = Command::Template {
            name: "follow_up".into(),
            rest: "en_US Maria | FD 1042".into(),
        };
        let typed = parse("/template follow_up en_US Maria | FD 1042").unwrap();
        assert_eq!(typed, expected);
        assert_eq!(parse("/template").unwrap(), Command::Templates);
    }

    #[test]
    fn a_disposition_may_have_spaces_and_a_note() {
        let expected = Command::Done {
            disposition: "no answer".into(),
            note: "rang twice".into(),
        };
        assert_eq!(parse("/done no answer -- rang twice").unwrap(), expected);
    }

    #[test]
    fn the_help_fits_80_columns() {
        for (command, meaning) in HELP {
            assert!(command.len() <= 29 && meaning.len() <= 46, "{command}");
        }
    }
}
