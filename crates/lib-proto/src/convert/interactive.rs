//! Messages that ask for a tap, and templates.

use core_types::{
    Button, Interactive, InteractiveAction, InteractiveHeader, ListRow, ListSection, Media,
    TemplateButtonParameter, TemplateHeaderParameter, TemplateSend,
};

use super::{FieldError, list, required, some, text};
use crate::common as pb;

impl From<&Interactive> for pb::Interactive {
    fn from(interactive: &Interactive) -> Self {
        let header = interactive.header.as_ref().map(|header| match header {
            InteractiveHeader::Text(text) => pb::interactive::Header::HeaderText(text.clone()),
            InteractiveHeader::Media(media) => pb::interactive::Header::HeaderMedia(media.into()),
        });
        Self {
            header,
            body: interactive.body.clone(),
            footer: text(interactive.footer.as_ref()),
            action: Some(action_to_proto(&interactive.action)),
        }
    }
}

impl TryFrom<pb::Interactive> for Interactive {
    type Error = FieldError;

    fn try_from(interactive: pb::Interactive) -> Result<Self, FieldError> {
        let header = match interactive.header {
            None => None,
            Some(pb::interactive::Header::HeaderText(text)) => {
                some(text).map(InteractiveHeader::Text)
            }
            Some(pb::interactive::Header::HeaderMedia(media)) => Some(InteractiveHeader::Media(
                Media::try_from(media).map_err(|error| error.within("header_media"))?,
            )),
        };
        Ok(Self {
            header,
            body: interactive.body,
            footer: some(interactive.footer),
            action: action_from_proto(required("action", interactive.action)?),
        })
    }
}

fn action_to_proto(action: &InteractiveAction) -> pb::interactive::Action {
    match action {
        InteractiveAction::Buttons { buttons } => pb::interactive::Action::Buttons(pb::Buttons {
            buttons: buttons
                .iter()
                .map(|button| pb::Button {
                    id: button.id.clone(),
                    title: button.title.clone(),
                })
                .collect(),
        }),
        InteractiveAction::List { button, sections } => {
            pb::interactive::Action::List(pb::ListMenu {
                button: button.clone(),
                sections: sections.iter().map(section_to_proto).collect(),
            })
        }
        InteractiveAction::Link { text, url } => pb::interactive::Action::Link(pb::LinkButton {
            text: text.clone(),
            url: url.clone(),
        }),
        InteractiveAction::LocationRequest => {
            pb::interactive::Action::LocationRequest(pb::LocationRequest {})
        }
    }
}

fn section_to_proto(section: &ListSection) -> pb::ListSection {
    pb::ListSection {
        title: section.title.clone(),
        rows: section
            .rows
            .iter()
            .map(|row| pb::ListRow {
                id: row.id.clone(),
                title: row.title.clone(),
                description: text(row.description.as_ref()),
            })
            .collect(),
    }
}

fn action_from_proto(action: pb::interactive::Action) -> InteractiveAction {
    match action {
        pb::interactive::Action::Buttons(buttons) => InteractiveAction::Buttons {
            buttons: buttons
                .buttons
                .into_iter()
                .map(|button| Button {
                    id: button.id,
                    title: button.title,
                })
                .collect(),
        },
        pb::interactive::Action::List(menu) => InteractiveAction::List {
            button: menu.button,
            sections: menu.sections.into_iter().map(section_from_proto).collect(),
        },
        pb::interactive::Action::Link(link) => InteractiveAction::Link {
            text: link.text,
            url: link.url,
        },
        pb::interactive::Action::LocationRequest(_) => InteractiveAction::LocationRequest,
    }
}

fn section_from_proto(section: pb::ListSection) -> ListSection {
    ListSection {
        title: section.title,
        rows: section
            .rows
            .into_iter()
            .map(|row| ListRow {
                id: row.id,
                title: row.title,
                description: some(row.description),
            })
            .collect(),
    }
}

impl From<&TemplateSend> for pb::TemplateSend {
    fn from(template: &TemplateSend) -> Self {
        let header = template.header.as_ref().map(|header| match header {
            TemplateHeaderParameter::Text(name, value) => {
                pb::template_send::Header::HeaderText(pb::TemplateText {
                    name: text(name.as_ref()),
                    text: value.clone(),
                })
            }
            TemplateHeaderParameter::Media(media) => {
                pb::template_send::Header::HeaderMedia(media.into())
            }
        });
        Self {
            name: template.name.clone(),
            language: template.language.clone(),
            header,
            body: template
                .body
                .iter()
                .map(|(name, value)| pb::TemplateText {
                    name: text(name.as_ref()),
                    text: value.clone(),
                })
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

impl TryFrom<pb::TemplateSend> for TemplateSend {
    type Error = FieldError;

    fn try_from(template: pb::TemplateSend) -> Result<Self, FieldError> {
        for (field, value) in [("name", &template.name), ("language", &template.language)] {
            if value.is_empty() {
                return Err(FieldError::new(field, "must be set"));
            }
        }
        let header = match template.header {
            None => None,
            Some(pb::template_send::Header::HeaderText(value)) => {
                Some(TemplateHeaderParameter::Text(some(value.name), value.text))
            }
            Some(pb::template_send::Header::HeaderMedia(media)) => {
                Some(TemplateHeaderParameter::Media(
                    Media::try_from(media).map_err(|error| error.within("header_media"))?,
                ))
            }
        };
        Ok(Self {
            name: template.name,
            language: template.language,
            header,
            body: template
                .body
                .into_iter()
                .map(|value| (some(value.name), value.text))
                .collect(),
            buttons: list("buttons", template.buttons)?,
            rendered: template.rendered,
            category: template.category,
        })
    }
}

impl TryFrom<pb::TemplateButton> for TemplateButtonParameter {
    type Error = FieldError;

    fn try_from(button: pb::TemplateButton) -> Result<Self, FieldError> {
        Ok(Self {
            index: u8::try_from(button.index)
                .map_err(|_| FieldError::new("index", "must be at most 255"))?,
            kind: button.kind,
            value: button.value,
        })
    }
}
