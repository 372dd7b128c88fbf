//! Sends approved templates. Whether one is approved, and what it says, is looked up when it is sent:
//! here it is a name, and what fills its places.

use core_types::{Content, TemplateButtonParameter, TemplateHeaderParameter, TemplateSend};

use super::Run;
use crate::compile::{Header, TemplateMessage};
use crate::session::Sent;
use crate::step::Failure;

impl<'f> Run<'f, '_> {
    /// Sends a template; its refusal leads somewhere only where the widget says so.
    pub(super) fn send_template(
        &mut self,
        widget: u16,
        template: &'f TemplateMessage,
    ) -> Result<(), Failure> {
        let first = self.effects.len() as u32;
        let header = template.header.as_ref().map(|header| match header {
            Header::Text(name, text) => {
                let name = name.as_ref().map(ToString::to_string);
                TemplateHeaderParameter::Text(name, self.line(text))
            }
            Header::Media(media) => TemplateHeaderParameter::Media((**media).clone()),
        });
        let body = template.body.iter();
        let body =
            body.map(|(name, text)| (name.as_ref().map(ToString::to_string), self.line(text)));
        let buttons = template.buttons.iter();
        let buttons = buttons.map(|(index, kind, value)| TemplateButtonParameter {
            index: *index,
            kind: (*kind).to_owned(),
            value: self.line(value),
        });
        let send = TemplateSend {
            name: template.name.to_string(),
            language: template.language.to_string(),
            header,
            body: body.collect(),
            buttons: buttons.collect(),
            ..TemplateSend::default()
        };
        self.send(Content::Template(send))?;
        if template.failed.is_some() {
            self.waiting.sends.push(Sent {
                first,
                count: 1,
                widget,
            });
        }
        Ok(())
    }

    /// A text in one line: WhatsApp refuses line ends, tabs and more than four spaces in a row within
    /// a template's places.
    fn line(&self, text: &'f crate::compile::Text) -> String {
        let rendered = self.render(text);
        let words: Vec<&str> = rendered.split_whitespace().collect();
        words.join(" ")
    }
}
