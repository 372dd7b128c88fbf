//! What is wrong with a template that a flow sends, as far as the flow alone tells it. Whether it is
//! approved, and whether its places are filled, an installation knows (`frontdesk flow check --live`).

use super::settings::{Blank, Checker};
use crate::definition::{SendTemplate, TemplateHeader, TemplateValue};
use crate::interpolation::pieces;
use crate::limits::{MAX_TEMPLATE_BUTTONS, MAX_TEMPLATE_PLACES, TEMPLATE_NAME, TEMPLATE_TEXT};
use crate::problem::quote;

impl Checker<'_, '_> {
    pub(super) fn send_template(&mut self, settings: &SendTemplate) {
        let name = settings.template.as_str();
        let of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !(1..=TEMPLATE_NAME).contains(&name.len()) || !name.bytes().all(of_name) {
            let message = format!("`{}` is not a template's name", quote(name));
            self.error("template", message, "use small letters, digits and _");
        }
        let of_language = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        let language = settings.language.as_str();
        if !(2..=6).contains(&language.len()) || !language.bytes().all(of_language) {
            let message = format!("`{}` is not a language", quote(language));
            self.error(
                "language",
                message,
                "write it as Meta does, such as en_US or de",
            );
        }
        if settings.body.len() > MAX_TEMPLATE_PLACES {
            let message = format!("{} places are filled", settings.body.len());
            self.error(
                "body",
                message,
                format!("fill at most {MAX_TEMPLATE_PLACES}"),
            );
        }
        let named = |value: &&TemplateValue| value.parts().0.is_some();
        let names = settings.body.iter().filter(named).count();
        if names > 0 && names < settings.body.len() {
            let message = "some places have names and some have not";
            self.error("body", message, "give each a name, or none");
        }
        if settings.buttons.len() > MAX_TEMPLATE_BUTTONS {
            let message = format!("there are {} buttons", settings.buttons.len());
            self.error(
                "buttons",
                message,
                format!("use at most {MAX_TEMPLATE_BUTTONS}"),
            );
        }
        for (field, text) in settings.texts() {
            self.filled(&field, text);
        }
        self.shown_above(settings);
    }

    fn shown_above(&mut self, settings: &SendTemplate) {
        let (kind, link) = match &settings.header {
            Some(TemplateHeader::Image(link)) => ("image", link),
            Some(TemplateHeader::Video(link)) => ("video", link),
            Some(TemplateHeader::Document(link)) => ("document", link),
            Some(TemplateHeader::Text(_)) | None => return,
        };
        let visible = !link.chars().any(|c| c.is_whitespace() || c.is_control());
        if !link.starts_with("https://") || !visible || link.len() > 2_000 {
            let message = format!("`{}` is not a public HTTPS address", quote(link));
            let remedy = "give an address that begins with https:// and that WhatsApp can reach";
            self.error(&format!("header.{kind}"), message, remedy);
        }
    }

    /// What fills a place must say something: WhatsApp refuses an empty one.
    fn filled(&mut self, field: &str, text: &str) {
        if pieces(text).is_ok_and(|cut| cut.iter().all(is_fallible)) && !text.trim().is_empty() {
            let message =
                "it may come out empty, and WhatsApp refuses a template with an empty place";
            let remedy = "say what stands there then: {{contact.display_name or \"you\"}}";
            self.warning(field, message, remedy);
        }
        self.text(field, text, TEMPLATE_TEXT, Blank::Allowed);
    }
}

/// Whether a piece may be nothing. What an expression gives is its author's care.
fn is_fallible(piece: &crate::interpolation::Piece<'_>) -> bool {
    matches!(piece, crate::interpolation::Piece::Placeholder(_))
}

#[cfg(test)]
mod tests {
    const SOUND: &str = r#"{"format":1,"name":"Follow-up","start":"Start","widgets":[
{"name":"Start","type":"start","exits":{"next":"Ask"}},
{"name":"Ask","type":"collect_input","settings":{"prompt":{"text":"Which number?"},"timeout_seconds":60},
 "exits":{"match":"Tell","no_match":null,"timeout":null}},
{"name":"Tell","type":"send_template","settings":{"template":"order_update","language":"en_US",
 "header":{"image":"https://shop.example.com/a.png"},
 "body":["{{contact.display_name or \"you\"}}","No. {{Ask.value}}"],
 "buttons":[{"index":0,"kind":"url","value":"orders/{{Ask.value}}"}]},
 "exits":{"next":"Rest","failed":"Rest"}},
{"name":"Rest","type":"wait","settings":{"seconds":60},"exits":{"next":null,"message":null}}]}"#;

    const MISTAKES: &[(&str, &str, &str, &str)] = &[
        (
            "order_update",
            "Order update",
            "Tell.settings.template",
            "not a template's name",
        ),
        ("en_US", "en-US", "Tell.settings.language", "not a language"),
        (
            "https://shop",
            "http://shop",
            "Tell.settings.header.image",
            "not a public HTTPS address",
        ),
        (
            "No. {{Ask.value}}",
            "{{Ask.value}}",
            "Tell.settings.body[1]",
            "may come out empty",
        ),
        (
            "No. {{Ask.value}}",
            "",
            "Tell.settings.body[1]",
            "the text is empty",
        ),
        (
            "No. {{Ask.value}}",
            "No. {{Aks.value}}",
            "Tell.settings.body[1]",
            "not a variable",
        ),
        (
            "\"No. {{Ask.value}}\"",
            "{\"name\":\"no\",\"text\":\"x\"}",
            "Tell.settings.body",
            "some places have names",
        ),
        (
            "\"kind\":\"url\"",
            "\"kind\":\"link\"",
            "Tell.settings",
            "unknown variant `link`",
        ),
        (
            "orders/{{Ask.value}}",
            "orders/{{Ask.value",
            "Tell.settings.buttons[0].value",
            "never closed",
        ),
        (
            "\"failed\":\"Rest\"",
            "\"faild\":\"Rest\"",
            "Tell.exits.faild",
            "no exit `faild`",
        ),
        (
            "\"next\":\"Rest\",\"failed\":\"Rest\"",
            "\"next\":\"Tell\",\"failed\":\"Rest\"",
            "Tell.exits",
            "a loop without a question",
        ),
    ];

    #[test]
    fn every_seeded_mistake_is_found() {
        crate::validate::tests::are_found(SOUND, MISTAKES);
    }
}
