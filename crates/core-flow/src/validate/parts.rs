//! What is wrong with the messages of Send Media.

use super::settings::{Blank, Checker};
use crate::definition::{CardPart, MediaPart, Part, PlacePart, SendMedia};
use crate::limits::{CAPTION, CARDS, MAX_LINE, MAX_PARTS, TEXT_BODY};
use crate::problem::quote;

impl Checker<'_, '_> {
    /// The parts, against WhatsApp's limits.
    pub(super) fn send_media(&mut self, settings: &SendMedia) {
        if !(1..=MAX_PARTS).contains(&settings.parts.len()) {
            let message = format!("there are {} parts", settings.parts.len());
            self.error("parts", message, format!("give 1 to {MAX_PARTS}"));
        }
        for (index, part) in settings.parts.iter().enumerate().take(MAX_PARTS) {
            let place_of = format!("parts[{index}]");
            match part {
                Part::Text { text } => {
                    self.text(&format!("{place_of}.text"), text, TEXT_BODY, Blank::Warned);
                }
                Part::Image(media) | Part::Video(media) => {
                    self.media(&place_of, media, true, false);
                }
                Part::Location(place) => self.place(&place_of, place),
                Part::Contacts { cards } => self.cards(&place_of, cards),
                Part::Document(media) => self.media(&place_of, media, true, true),
                Part::Audio(media) | Part::Sticker(media) => {
                    self.media(&place_of, media, false, false);
                }
            }
        }
    }

    fn media(&mut self, place: &str, media: &MediaPart, captioned: bool, named: bool) {
        let link = media.link.as_str();
        let host = link
            .strip_prefix("https://")
            .and_then(|rest| rest.split(['/', '?', '#']).next());
        let visible = !link.chars().any(|c| c.is_whitespace() || c.is_control());
        if host.is_none_or(str::is_empty) || !visible || link.len() > 2_000 {
            self.error(
                &format!("{place}.link"),
                format!("`{}` is not a public HTTPS address", quote(link)),
                "give an address that begins with https:// and that WhatsApp can reach",
            );
        }
        if let Some(caption) = &media.caption {
            let field = format!("{place}.caption");
            if captioned {
                self.text(&field, caption, CAPTION, Blank::Warned);
            } else {
                let message = "WhatsApp shows no caption here";
                self.error(&field, message, "send the words as a text part");
            }
        }
        if let Some(filename) = &media.filename {
            let field = format!("{place}.filename");
            if named {
                self.fixed(&field, filename, 240);
            } else {
                self.error(&field, "only documents have a file name", "remove it");
            }
        }
    }

    fn place(&mut self, field: &str, place: &PlacePart) {
        for (name, degrees, most) in [
            ("latitude", place.latitude, 90),
            ("longitude", place.longitude, 180),
        ] {
            if !degrees.is_within(most) {
                let message = format!("{} is further than {most} degrees", degrees.degrees());
                let remedy = format!("use -{most} to {most}");
                self.error(&format!("{field}.{name}"), message, remedy);
            }
        }
        for (name, text) in [("name", &place.name), ("address", &place.address)] {
            if let Some(text) = text {
                self.fixed(&format!("{field}.{name}"), text, MAX_LINE);
            }
        }
    }

    fn cards(&mut self, field: &str, cards: &[CardPart]) {
        if !(1..=CARDS).contains(&cards.len()) {
            let message = format!("there are {} cards", cards.len());
            self.error(
                &format!("{field}.cards"),
                message,
                format!("give 1 to {CARDS}"),
            );
        }
        for (index, card) in cards.iter().enumerate().take(CARDS) {
            let field = format!("{field}.cards[{index}]");
            self.fixed(&format!("{field}.name"), &card.name, MAX_LINE);
            if card.phones.is_empty() && card.emails.is_empty() {
                let message = "the card says neither where to call nor where to write";
                self.warning(&field, message, "add phones or emails");
            }
            for text in card.phones.iter().chain(&card.emails) {
                self.fixed(&field, text, MAX_LINE);
            }
        }
    }
}
