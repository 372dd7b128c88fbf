//! Limits of what is sent (`whatsapp-cloud-api.md`, section 2.2). All problems are reported at once,
//! each with its field, so a form can show them.

use std::collections::BTreeSet;

use core_types::{
    Button, ContactCard, Content, Interactive, InteractiveAction, InteractiveHeader, ListSection,
    Location, Media, MediaKind, TemplateHeaderParameter, TemplateSend,
};

use super::LimitProblem;
use crate::text::Findings;

/// Longest text message, in characters.
pub(crate) const TEXT: usize = 4_096;
/// Longest caption of an image, video or document.
const CAPTION: usize = 1_024;
/// Longest body of an interactive message that is not a list.
const BODY: usize = 1_024;
/// Longest body of a list.
const LIST_BODY: usize = 4_096;
/// Longest header text and footer.
const SMALL: usize = 60;
/// Most address cards in one message.
const CARDS: usize = 257;
/// Most sections of a list, and most rows over all its sections.
const LIST_ENTRIES: usize = 10;

/// Checks `content` against Meta's limits; nothing is wrong when the list is empty. Template
/// parameters are only checked for what holds for every template: see
/// [`crate::template::Definition::check`].
pub fn check(content: &Content) -> Vec<LimitProblem> {
    let mut findings = Findings::default();
    match content {
        Content::Text { body, .. } => findings.required("text.body", body, TEXT),
        Content::Media(media) => message_media(&mut findings, media),
        Content::Location(place) => location(&mut findings, place),
        Content::Contacts { cards, .. } => contacts(&mut findings, cards),
        Content::Interactive(message) => interactive(&mut findings, message),
        Content::Template(send) => template(&mut findings, send),
        Content::Reaction { emoji, .. } => {
            if emoji.as_ref().is_some_and(|emoji| emoji.trim().is_empty()) {
                findings.add(
                    "reaction.emoji",
                    "must be an emoji, or absent to take it away",
                );
            }
        }
        Content::Reply(_) => received_only(&mut findings, "reply"),
        Content::Order { .. } => received_only(&mut findings, "order"),
        Content::System(_) => received_only(&mut findings, "system"),
        Content::Edit { .. } => received_only(&mut findings, "edit"),
        Content::Revoke { .. } => received_only(&mut findings, "revoke"),
        Content::Unsupported { .. } => received_only(&mut findings, "unsupported"),
        Content::Unknown { .. } => received_only(&mut findings, "unknown"),
    }
    findings.0
}

fn received_only(findings: &mut Findings, kind: &str) {
    findings.add(kind, "can only be received, not sent");
}

/// An id or a link, not both, and a link Meta can fetch.
pub(crate) fn media_source(findings: &mut Findings, field: &str, media: &Media) {
    match (&media.id, &media.link) {
        (Some(id), None) => findings.required(&format!("{field}.id"), id, 256),
        (None, Some(link)) => findings.web_address(&format!("{field}.link"), link),
        (Some(_), Some(_)) => findings.add(field, "must have an id or a link, not both"),
        (None, None) => findings.add(field, "must have an id or a link"),
    }
}

fn message_media(findings: &mut Findings, media: &Media) {
    let field = "media";
    media_source(findings, field, media);
    let kind = media.kind;
    if let Some(caption) = &media.caption {
        if matches!(
            kind,
            MediaKind::Image | MediaKind::Video | MediaKind::Document
        ) {
            findings.at_most("media.caption", caption, CAPTION);
        } else {
            findings.add(
                "media.caption",
                "is only allowed for images, videos and documents",
            );
        }
    }
    if media.filename.is_some() && kind != MediaKind::Document {
        findings.add("media.filename", "is only allowed for documents");
    }
    if media.voice && kind != MediaKind::Audio {
        findings.add("media.voice", "is only allowed for audio");
    }
}

fn location(findings: &mut Findings, place: &Location) {
    if !(-90.0..=90.0).contains(&place.latitude) {
        findings.add("location.latitude", "must be between -90 and 90 degrees");
    }
    if !(-180.0..=180.0).contains(&place.longitude) {
        findings.add("location.longitude", "must be between -180 and 180 degrees");
    }
}

fn contacts(findings: &mut Findings, cards: &[ContactCard]) {
    if cards.is_empty() || cards.len() > CARDS {
        findings.add(
            "contacts.cards",
            format!("holds {} cards; 1 to {CARDS} are allowed", cards.len()),
        );
    }
    for (index, card) in cards.iter().enumerate() {
        if card.name.trim().is_empty() && card.raw.is_empty() {
            findings.add(format!("contacts.cards[{index}].name"), "must not be empty");
        }
    }
}

fn interactive(findings: &mut Findings, message: &Interactive) {
    let list = matches!(message.action, InteractiveAction::List { .. });
    let body = if list { LIST_BODY } else { BODY };
    findings.required("interactive.body", &message.body, body);
    if let Some(footer) = &message.footer {
        findings.required("interactive.footer", footer, SMALL);
    }
    header(findings, message.header.as_ref(), list);
    match &message.action {
        InteractiveAction::Buttons { buttons } => reply_buttons(findings, buttons),
        InteractiveAction::List { button, sections } => {
            findings.required("interactive.action.button", button, 20);
            list_sections(findings, sections);
        }
        InteractiveAction::Link { text, url } => {
            findings.required("interactive.action.text", text, 20);
            findings.web_address("interactive.action.url", url);
        }
        InteractiveAction::LocationRequest => {
            if message.header.is_some() || message.footer.is_some() {
                findings.add(
                    "interactive",
                    "a request for a place has neither header nor footer",
                );
            }
        }
    }
}

fn header(findings: &mut Findings, header: Option<&InteractiveHeader>, list: bool) {
    match header {
        None => {}
        Some(InteractiveHeader::Text(text)) => {
            findings.required("interactive.header", text, SMALL);
        }
        Some(InteractiveHeader::Media(_)) if list => {
            findings.add("interactive.header", "of a list must be text");
        }
        Some(InteractiveHeader::Media(media)) => {
            media_source(findings, "interactive.header", media);
            if matches!(media.kind, MediaKind::Audio | MediaKind::Sticker) {
                findings.add(
                    "interactive.header",
                    "must be text, an image, a video or a document",
                );
            }
        }
    }
}

fn reply_buttons(findings: &mut Findings, buttons: &[Button]) {
    let field = "interactive.action.buttons";
    if !(1..=3).contains(&buttons.len()) {
        findings.add(
            field,
            format!("has {} buttons; 1 to 3 are allowed", buttons.len()),
        );
    }
    let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for (index, button) in buttons.iter().enumerate() {
        let (id, title) = (
            format!("{field}[{index}].id"),
            format!("{field}[{index}].title"),
        );
        findings.required(&id, &button.id, 256);
        findings.required(&title, &button.title, 20);
        if !ids.insert(&button.id) {
            findings.add(id, "is used by another button");
        }
        if !titles.insert(&button.title) {
            findings.add(title, "is used by another button");
        }
    }
}

fn list_sections(findings: &mut Findings, sections: &[ListSection]) {
    let field = "interactive.action.sections";
    let rows: usize = sections.iter().map(|section| section.rows.len()).sum();
    if !(1..=LIST_ENTRIES).contains(&sections.len()) {
        findings.add(
            field,
            format!("has {} sections; 1 to 10 are allowed", sections.len()),
        );
    }
    if rows == 0 || rows > LIST_ENTRIES {
        findings.add(
            field,
            format!("has {rows} rows over all sections; 1 to 10 are allowed"),
        );
    }
    let mut ids = BTreeSet::new();
    for (index, section) in sections.iter().enumerate() {
        let at = format!("{field}[{index}]");
        if sections.len() > 1 {
            findings.required(&format!("{at}.title"), &section.title, 24);
        } else {
            findings.at_most(&format!("{at}.title"), &section.title, 24);
        }
        if section.rows.is_empty() {
            findings.add(format!("{at}.rows"), "must not be empty");
        }
        for (index, row) in section.rows.iter().enumerate() {
            let at = format!("{at}.rows[{index}]");
            findings.required(&format!("{at}.id"), &row.id, 200);
            findings.required(&format!("{at}.title"), &row.title, 24);
            if let Some(description) = &row.description {
                findings.at_most(&format!("{at}.description"), description, 72);
            }
            if !ids.insert(&row.id) {
                findings.add(format!("{at}.id"), "is used by another row");
            }
        }
    }
}

fn template(findings: &mut Findings, send: &TemplateSend) {
    let name_ok = (1..=512).contains(&send.name.len())
        && send
            .name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !name_ok {
        findings.add(
            "template.name",
            "must be 1 to 512 lower-case letters, digits or underscores",
        );
    }
    findings.required("template.language", &send.language, 20);
    match &send.header {
        None => {}
        Some(TemplateHeaderParameter::Text(_, text)) => {
            parameter(findings, "template.header", text);
        }
        Some(TemplateHeaderParameter::Media(media)) => {
            media_source(findings, "template.header", media);
        }
    }
    for (index, (_, text)) in send.body.iter().enumerate() {
        parameter(findings, &format!("template.body[{index}]"), text);
    }
    for (index, button) in send.buttons.iter().enumerate() {
        let field = format!("template.buttons[{index}]");
        if !matches!(button.kind.as_str(), "url" | "quick_reply" | "copy_code") {
            findings.add(
                format!("{field}.kind"),
                "must be url, quick_reply or copy_code",
            );
        }
        if button.index > 9 {
            findings.add(format!("{field}.index"), "must be 0 to 9");
        }
    }
}

/// What holds for every text parameter of a template (Meta refuses the rest with 132018).
pub(crate) fn parameter(findings: &mut Findings, field: &str, text: &str) {
    findings.required(field, text, 32_768);
    if text.contains(['\n', '\r', '\t']) {
        findings.add(field, "must not hold line breaks or tabs");
    }
    if text.contains("    ") {
        findings.add(field, "must not hold more than three spaces in a row");
    }
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        findings.add(field, "must not hold control characters");
    }
}
