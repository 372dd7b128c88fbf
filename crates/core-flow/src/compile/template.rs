//! Templates made ready to run.

use core_types::{Media, MediaKind};

use super::{Compiler, Exit, Text};
use crate::definition::{SendTemplate, TemplateHeader, TemplateValue, Widget};
use crate::problem::Problem;

/// A Send Template widget.
#[derive(Debug)]
pub(crate) struct TemplateMessage {
    pub(crate) name: Box<str>,
    pub(crate) language: Box<str>,
    pub(crate) header: Option<Header>,
    /// Names of the places, where they have names, and what stands there.
    pub(crate) body: Box<[(Option<Box<str>>, Text)]>,
    pub(crate) buttons: Box<[(u8, &'static str, Text)]>,
    pub(crate) next: Exit,
    /// `None` when a failure changes nothing.
    pub(crate) failed: Option<Exit>,
}

/// What a header is filled with.
#[derive(Debug)]
pub(crate) enum Header {
    Text(Option<Box<str>>, Text),
    Media(Box<Media>),
}

impl Compiler<'_> {
    pub(super) fn template_message(
        &mut self,
        widget: &Widget,
        settings: &SendTemplate,
    ) -> Result<TemplateMessage, Problem> {
        let header = match &settings.header {
            None => None,
            Some(TemplateHeader::Text(value)) => {
                let (name, text) = self.place(widget, "settings.header.text", value)?;
                Some(Header::Text(name, text))
            }
            Some(TemplateHeader::Image(link)) => Some(media(MediaKind::Image, link)),
            Some(TemplateHeader::Video(link)) => Some(media(MediaKind::Video, link)),
            Some(TemplateHeader::Document(link)) => Some(media(MediaKind::Document, link)),
        };
        let body = settings.body.iter().enumerate();
        let body = body
            .map(|(at, value)| self.place(widget, &format!("settings.body[{at}]"), value))
            .collect::<Result<_, Problem>>()?;
        let buttons = settings.buttons.iter().enumerate().map(|(at, button)| {
            let field = format!("settings.buttons[{at}].value");
            let value = self.text(widget, &field, &button.value)?;
            Ok((button.index, button.kind.name(), value))
        });
        Ok(TemplateMessage {
            name: settings.template.as_str().into(),
            language: settings.language.as_str().into(),
            header,
            body,
            buttons: buttons.collect::<Result<_, Problem>>()?,
            next: self.exit(widget, "next")?,
            failed: Some(self.exit(widget, "failed")?).filter(|exit| exit.target.is_some()),
        })
    }

    fn place(
        &mut self,
        widget: &Widget,
        field: &str,
        value: &TemplateValue,
    ) -> Result<(Option<Box<str>>, Text), Problem> {
        let (name, text) = value.parts();
        Ok((name.map(Into::into), self.text(widget, field, text)?))
    }
}

fn media(kind: MediaKind, link: &str) -> Header {
    Header::Media(Box::new(Media {
        kind,
        id: None,
        link: Some(link.to_owned()),
        mime_type: None,
        sha256: None,
        caption: None,
        filename: None,
        voice: false,
        animated: false,
    }))
}
