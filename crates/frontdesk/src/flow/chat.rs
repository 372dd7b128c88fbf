//! `frontdesk flow chat`: a flow played by hand, without a server. Time stands still until it is
//! told to pass. What was played can be kept as a scenario.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use core_flow::lab::{
    Act, Answered, Line, Player, PlayerError, Routed, Said, Scenario, Shown, ShownCall,
};

use super::source::{Flow, begins, keep};
use crate::cli::FlowChatArgs;
use crate::terminal::{is_interactive, print_line, printable};

const HELP: &str = "\
Write what the customer writes. Or:
  /tap TITLE        tap a button or choose a row
  /image CAPTION    send a picture
  /place 52.5,13.4  send a place
  /sticker          send a sticker
  /wait 10m         let time pass (30s, 1h30m, 7d)
  /unsent N         WhatsApp refuses the flow's N-th last message
  /answer 200 JSON  answer the call the flow waits for; the JSON may be left away
  /fail REASON      that call gets no answer
  /save FILE TITLE  keep what was played as a scenario
  /quit             leave";

/// Plays the flow until input ends.
pub(super) fn run(args: &FlowChatArgs) -> anyhow::Result<()> {
    let (definition, flow) = Flow::ready(&args.file)?;
    let mut scenario = Scenario {
        title: String::new(),
        at: None,
        contact: contact(&args.contact)?,
        splits: BTreeMap::new(),
        calls: Vec::new(),
        steps: Vec::new(),
    };
    let mut player = Player::new(&flow, &scenario.contact, begins(&scenario)?);
    let person = is_interactive();
    if person {
        print_line(&format!(
            "{}: {} widgets. /help tells what can be done.",
            definition.name,
            flow.widgets()
        ))?;
    }
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    loop {
        if person {
            print!("> ");
            std::io::stdout().flush()?;
        }
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let answer = match command(line.trim_end_matches(['\r', '\n'])) {
            Ok(Command::Nothing) => continue,
            Ok(Command::Quit) => return Ok(()),
            Ok(Command::Help) => Ok(HELP.to_owned()),
            Ok(Command::Save(file, title)) => save(&args.file, &file, title, &scenario),
            Ok(Command::Play(step)) => {
                play(&mut player, step, &mut scenario.steps).map_err(Into::into)
            }
            Err(error) => Err(error),
        };
        let text = answer.unwrap_or_else(|error| format!("({error:#})"));
        if !text.is_empty() && !print_line(&text)? {
            return Ok(());
        }
    }
}

/// What was typed.
enum Command {
    Play(Line),
    Save(PathBuf, String),
    Help,
    Quit,
    Nothing,
}

fn command(line: &str) -> anyhow::Result<Command> {
    let Some(typed) = line.strip_prefix('/') else {
        return Ok(match line.trim() {
            "" => Command::Nothing,
            _ => Command::Play(Line::Customer(Said::Text(line.to_owned()))),
        });
    };
    let (word, rest) = typed.split_once(' ').unwrap_or((typed, ""));
    let rest = rest.trim();
    let act = |act| Command::Play(Line::Customer(Said::Act(Box::new(act))));
    Ok(match word {
        "tap" => act(Act::Tap(rest.to_owned())),
        "image" => act(Act::Image(rest.to_owned())),
        "place" => act(Act::Place(rest.to_owned())),
        "sticker" => act(Act::Sticker(String::new())),
        "wait" => Command::Play(Line::Wait(rest.parse()?)),
        "unsent" => Command::Play(Line::Unsent(
            rest.parse()
                .context("a number is missing, such as /unsent 1")?,
        )),
        "answer" => Command::Play(Line::Answer(Box::new(answer(rest)?))),
        "fail" => Command::Play(Line::Answer(Box::new(Answered {
            failed: Some(rest.to_owned()),
            ..Answered::default()
        }))),
        "save" => {
            let (file, title) = rest.split_once(' ').context("write /save FILE TITLE")?;
            Command::Save(file.into(), title.trim().to_owned())
        }
        "help" => Command::Help,
        "quit" | "exit" => Command::Quit,
        _ => bail!(
            "there is no /{}; /help tells what there is",
            printable(word)
        ),
    })
}

/// `200 {"price": 5}`: a status, and what is answered.
fn answer(text: &str) -> anyhow::Result<Answered> {
    let (status, body) = text.split_once(' ').unwrap_or((text, ""));
    let status = status.parse();
    let status = status.context("a status is missing, such as /answer 200 {\"price\": 5}")?;
    let mut answered = Answered {
        status: Some(status),
        ..Answered::default()
    };
    match (body.trim(), serde_json::from_str(body)) {
        ("", _) => {}
        (_, Ok(json)) => answered.body = Some(json),
        (text, Err(_)) => answered.text = Some(text.to_owned()),
    }
    Ok(answered)
}

fn play(player: &mut Player<'_>, step: Line, kept: &mut Vec<Line>) -> Result<String, PlayerError> {
    let answers = match &step {
        Line::Customer(said) => player.customer(said)?,
        Line::Wait(span) => player.wait(*span)?,
        Line::Unsent(number) => player.unsent(*number)?,
        Line::Answer(answered) => player.answer(answered)?,
        Line::Flow(_) | Line::Call(_) | Line::Set(_) | Line::Route(_) | Line::End(_) => Vec::new(),
    };
    let mut text: Vec<String> = answers.iter().map(told).collect();
    if answers.is_empty() {
        text.push("(nothing happens)".to_owned());
    }
    if let Some(until) = player.waits_until() {
        let left = until.since(player.now()).as_secs();
        let left = core_flow::lab::Span::from_seconds(left);
        text.push(format!("(waits {left} for an answer)"));
    }
    kept.push(step);
    kept.extend(answers);
    Ok(text.join("\n"))
}

fn told(line: &Line) -> String {
    match line {
        Line::Flow(Shown::Text(text)) => printable(text),
        Line::Flow(Shown::Parts(parts)) => {
            let files = [
                ("image", &parts.image),
                ("video", &parts.video),
                ("audio", &parts.audio),
                ("document", &parts.document),
                ("sticker", &parts.sticker),
            ];
            let mut lines: Vec<String> = files
                .iter()
                .filter_map(|(kind, link)| Some(format!("[{kind} {}]", link.as_deref()?)))
                .collect();
            lines.extend(parts.text.clone());
            lines.extend(parts.buttons.iter().map(|button| format!("  ( {button} )")));
            if let Some(list) = &parts.list {
                lines.push(format!("  [ {} ]", list.button));
                lines.extend(list.rows.iter().map(|row| format!("  - {row}")));
            }
            if parts.place_button {
                lines.push("  ( send a place )".to_owned());
            }
            lines.extend(
                parts
                    .content
                    .as_ref()
                    .map(|content| format!("[{content:?}]")),
            );
            printable(&lines.join("\n"))
        }
        Line::Set(values) => {
            let values: Vec<String> = values
                .iter()
                .map(|(name, value)| format!("({name} = {})", printable(value)))
                .collect();
            values.join("\n")
        }
        Line::Call(ShownCall::Bare(request)) => format!("(asks {})", printable(request)),
        Line::Call(ShownCall::Full(call)) => {
            let body = call.body.as_ref().map(|body| format!(" {body}"));
            let credential = call.credential.as_ref();
            let credential = credential.map(|name| format!(", signed by {name}"));
            let more = [body, credential].map(Option::unwrap_or_default).concat();
            format!("(asks {})", printable(&format!("{}{more}", call.request)))
        }
        Line::Route(Routed { queue, priority: 0 }) => format!("(goes to the queue {queue})"),
        Line::Route(Routed { queue, priority }) => {
            format!("(goes to the queue {queue}, priority {priority})")
        }
        Line::End(exit) => format!("(ends at {exit})"),
        Line::Customer(_) | Line::Wait(_) | Line::Unsent(_) | Line::Answer(_) => String::new(),
    }
}

fn contact(given: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut contact = BTreeMap::new();
    for one in given {
        let (name, value) = one.split_once('=').with_context(|| {
            format!("--contact {one}: write it as --contact display_name=Maria")
        })?;
        let known = core_flow::FACTS.contains(&format!("contact.{name}").as_str());
        ensure!(
            known,
            "--contact {name}: of a customer {} are known",
            core_flow::FACTS.join(", ")
        );
        contact.insert(name.to_owned(), value.to_owned());
    }
    Ok(contact)
}

/// Adds what was played to a file of scenarios, or begins one.
fn save(flow: &Path, file: &Path, title: String, played: &Scenario) -> anyhow::Result<String> {
    ensure!(!played.steps.is_empty(), "nothing was played yet");
    let scenario = Scenario {
        title,
        ..played.clone()
    };
    keep(flow, file, &scenario)?;
    Ok(format!("(kept in {})", file.display()))
}
