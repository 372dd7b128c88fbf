//! Template parameters, to and from the wire.

use core_types::{TemplateButtonParameter, TemplateHeaderParameter, TemplateSend};

use super::{FieldError, media_from_proto, some, text};
use crate::common as pb;
use pb::template_send::Header;

impl From<&TemplateSend> for pb::TemplateSend {
    fn from(template: &TemplateSend) -> Self {
        let parameter = |name: &Option<String>, value: &String| pb::TemplateText {
            name: text(name.as_ref()),
            text: value.clone(),
        };
        let header = template.header.as_ref().map(|header| match header {
            TemplateHeaderParameter::Text(name, value) => {
                Header::HeaderText(parameter(name, value))
            }
            TemplateHeaderParameter::Media(media) => Header::HeaderMedia(media.into()),
        });
        Self {
            name: template.name.clone(),
            language: template.language.clone(),
            header,
            body: template
                .body
                .iter()
                .map(|(name, value)| parameter(name, value))
                .collect(),
            buttons: template
                .buttons
                .iter()
                .map(|button| pb::TemplateButton {
                    index: u32::from(button.index),
                    kind: button.kind.clone(),
                    value: button.value.clone(),
                })
                .collect(),
            rendered: template.rendered.clone(),
            category: template.category.clone(),
        }
    }
}

/// A template and its parameters from the wire.
///
/// # Errors
/// When the name or language is missing, or a header or button cannot be used.
pub fn template_from_proto(template: pb::TemplateSend) -> Result<TemplateSend, FieldError> {
    for (field, value) in [("name", &template.name), ("language", &template.language)] {
        if value.is_empty() {
            return Err(FieldError::new(field, "must be set"));
        }
    }
    let header = match template.header {
        None => None,
        Some(Header::HeaderText(value)) => {
            Some(TemplateHeaderParameter::Text(some(value.name), value.text))
        }
        Some(Header::HeaderMedia(media)) => Some(TemplateHeaderParameter::Media(
            media_from_proto(media).map_err(|error| error.within("header"))?,
        )),
    };
    let buttons = template.buttons.into_iter().map(|button| {
        let index = u8::try_from(button.index)
            .map_err(|_| FieldError::new("buttons.index", "must be at most 255"))?;
        Ok(TemplateButtonParameter {
            index,
            kind: button.kind,
            value: button.value,
        })
    });
    Ok(TemplateSend {
        name: template.name,
        language: template.language,
        header,
        body: template
            .body
            .into_iter()
            .map(|value| (some(value.name), value.text))
            .collect(),
        buttons: buttons.collect::<Result<_, FieldError>>()?,
        rendered: template.rendered,
        category: template.category,
    })
}
