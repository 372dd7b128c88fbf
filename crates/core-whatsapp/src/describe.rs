//! What a delivery holds, one line per item, for people who debug webhooks.

use core_types::{AccountFact, ContactIdentity, Fact, FactBody, StatusUpdate};
use serde::Serialize;

use crate::errors;
use crate::webhook::{ReadItem, read};

/// One item, for reading.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ItemLine {
    /// Where it stands in the body; `body` when nothing in the body could be told apart.
    pub position: String,
    /// `message`, `status`, `echo`, `account` or `unreadable`.
    pub kind: String,
    /// Meta's id of the message it is, or is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What repeated deliveries of it are told by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedupe_key: Option<String>,
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waba_id: Option<String>,
    /// The business number (`phone_number_id`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_id: Option<String>,
    /// When, in UTC, as far as told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The customer, by every identity known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactIdentity>,
    /// What it says, in one line.
    pub summary: String,
    /// What is wrong with it; empty when all was understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// The items of `body`. A body that cannot be split is one line.
pub fn lines(body: &[u8]) -> Vec<ItemLine> {
    match read(body) {
        Ok(items) => items.iter().map(line).collect(),
        Err(error) => vec![ItemLine {
            position: "body".to_owned(),
            kind: "unreadable".to_owned(),
            summary: format!("{} bytes", body.len()),
            problems: vec![error.to_string()],
            ..ItemLine::default()
        }],
    }
}

/// The line as text: position, kind, who, what, problems.
pub fn text(line: &ItemLine) -> String {
    let number = line.number_id.as_ref().map(|id| format!("number {id}"));
    let account = || line.waba_id.as_ref().map(|id| format!("account {id}"));
    let parts = [
        Some(line.position.clone()),
        Some(line.kind.clone()),
        line.at.clone(),
        number.or_else(account),
        line.contact.as_ref().map(who),
        line.id.clone(),
        Some(one_line(&line.summary)).filter(|summary| !summary.is_empty()),
    ];
    let first: Vec<String> = parts.into_iter().flatten().collect();
    let problems = line.problems.iter();
    let problems = problems.map(|problem| format!("  ! {}", one_line(problem)));
    let all: Vec<String> = std::iter::once(first.join("  ")).chain(problems).collect();
    all.join("\n")
}

/// Terminals must not be steered by what customers write.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn who(contact: &ContactIdentity) -> String {
    let parts = [
        contact.phone.as_ref().map(|phone| format!("+{phone}")),
        contact.user_id.clone(),
        contact.username.as_ref().map(|name| format!("@{name}")),
        contact
            .display_name
            .as_ref()
            .map(|name| format!("\"{name}\"")),
    ];
    one_line(&parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

fn line(item: &ReadItem) -> ItemLine {
    let mut line = ItemLine {
        position: item.position.clone(),
        waba_id: item.waba_id.clone(),
        number_id: item.number_id.clone(),
        ..ItemLine::default()
    };
    match &item.result {
        Ok(fact) => describe(&mut line, fact),
        Err(problem) => {
            line.kind = String::from("unreadable");
            line.summary = format!("{} bytes kept as they came", item.raw.len());
            line.problems.push(problem.to_string());
        }
    }
    line
}

fn describe(line: &mut ItemLine, fact: &Fact) {
    line.dedupe_key = Some(fact.dedupe_key.clone());
    let kind = match &fact.body {
        FactBody::Message(message) => {
            line.id = Some(message.id.to_string());
            line.at = Some(message.sent_at.to_string());
            line.contact = Some(message.from.clone());
            line.summary = message.content.summary();
            if message.referral.is_some() {
                line.summary.push_str("  (came through an advertisement)");
            }
            "message"
        }
        FactBody::Echo(echo) => {
            line.id = Some(echo.id.to_string());
            line.at = Some(echo.sent_at.to_string());
            line.contact = Some(echo.to.clone());
            line.summary = echo.content.summary();
            "echo"
        }
        FactBody::Status(status) => {
            line.id = Some(status.id.to_string());
            line.at = Some(status.occurred_at.to_string());
            line.contact = Some(status.recipient.clone());
            line.summary = status_summary(status);
            "status"
        }
        FactBody::Account(account) => {
            line.at = account.occurred_at.map(|at| at.to_string());
            line.summary = account_summary(account);
            "account"
        }
    };
    line.kind = String::from(kind);
}

fn status_summary(status: &StatusUpdate) -> String {
    let mut parts = vec![status.status.word().to_owned()];
    if let Some(pricing) = &status.pricing {
        let words = [&pricing.kind, &pricing.category];
        let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
        parts.push(format!("priced {}", words.join("/")));
    }
    for error in &status.errors {
        let remedy = errors::remedy(error.code);
        parts.push(format!("error {}: {} ({remedy})", error.code, error.title));
    }
    let callback = status.callback_data.as_ref();
    parts.extend(callback.map(|data| format!("callback {data}")));
    parts.join("  ")
}

fn account_summary(account: &AccountFact) -> String {
    let mut parts = vec![account.field.clone(), account.event.clone()];
    if !account.known {
        parts.push("(not known to Frontdesk; kept as it came)".to_owned());
    }
    let attributes = account.attributes.iter();
    parts.extend(attributes.map(|(word, value)| format!("{word}={value}")));
    parts.retain(|part| !part.is_empty());
    parts.join("  ")
}
