//! A template as a form: which values it takes, in which order, and how it reads filled in.

use lib_proto::common::template_send::Header;
use lib_proto::common::{Media, MediaKind, TemplateButton, TemplateSend, TemplateText};
use lib_proto::templates::{Template, TemplateParameter};

use crate::terminal::printable;

/// The template and the values meant by a name and what was typed after it: a language, where the
/// name has it, then values with `|` between them.
///
/// # Errors
/// With a sentence for the agent.
pub(crate) fn find<'a>(
    templates: &'a [Template],
    name: &str,
    rest: &str,
) -> Result<(&'a Template, Vec<String>), String> {
    let named: Vec<&Template> = templates
        .iter()
        .filter(|template| template.name == name)
        .collect();
    let (first, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let in_language = named.iter().find(|template| template.language == first);
    let languages: Vec<&str> = named.iter().map(|t| t.language.as_str()).collect();
    match (named.as_slice(), in_language) {
        ([], _) => Err(format!(
            "there is no approved template `{name}`; /templates lists them"
        )),
        (_, Some(template)) => Ok((template, values(after))),
        ([only], None) => Ok((only, values(rest))),
        _ => Err(format!(
            "which language? /template {name} {} VALUE | VALUE",
            languages.join(" or ")
        )),
    }
}

fn values(text: &str) -> Vec<String> {
    let values = text.split('|').map(str::trim);
    let given = values.filter(|value| !value.is_empty());
    given.map(str::to_owned).collect()
}

/// What the agent must give, in order.
pub(crate) fn needed(template: &Template) -> Vec<&TemplateParameter> {
    let required = template.parameters.iter().filter(|given| given.required);
    required.collect()
}

/// The template with its values, in the order of [`needed`].
///
/// # Errors
/// With a sentence for the agent, when the number of values is not the template's.
pub(crate) fn fill(template: &Template, values: &[String]) -> Result<TemplateSend, String> {
    let needed = needed(template);
    if needed.len() != values.len() {
        return Err(format!(
            "`{}` takes {}; {} given",
            template.name,
            takes(template),
            values.len()
        ));
    }
    let mut send = TemplateSend {
        name: template.name.clone(),
        language: template.language.clone(),
        ..Default::default()
    };
    let named = template.parameter_format == "named";
    for (parameter, value) in needed.into_iter().zip(values) {
        let text = || TemplateText {
            name: if named {
                parameter.name.clone()
            } else {
                String::new()
            },
            text: value.clone(),
        };
        match parameter.component.as_str() {
            "header" => send.header = Some(header(&parameter.kind, text(), value)),
            "button" => send.buttons.push(TemplateButton {
                index: parameter.name.parse().unwrap_or(0),
                kind: parameter.kind.clone(),
                value: value.clone(),
            }),
            _ => send.body.push(text()),
        }
    }
    Ok(send)
}

fn header(kind: &str, text: TemplateText, link: &str) -> Header {
    let kind = match kind {
        "image" => MediaKind::Image,
        "video" => MediaKind::Video,
        "document" => MediaKind::Document,
        _ => return Header::HeaderText(text),
    };
    Header::HeaderMedia(Media {
        kind: kind.into(),
        link: link.to_owned(),
        ..Default::default()
    })
}

/// What a template takes, in words: `2 values: 1 (such as Maria) | 2 (such as FD-1042)`.
pub(crate) fn takes(template: &Template) -> String {
    let needed = needed(template);
    let words: Vec<String> = needed.iter().map(|parameter| word(parameter)).collect();
    match words.as_slice() {
        [] => "no values".to_owned(),
        [one] => format!("1 value: {one}"),
        several => format!("{} values: {}", several.len(), several.join(" | ")),
    }
}

fn word(parameter: &TemplateParameter) -> String {
    let place = match parameter.component.as_str() {
        "body" => format!("{{{{{}}}}}", parameter.name),
        "header" if parameter.kind == "text" => "the header's text".to_owned(),
        "header" => format!("a link to the header's {}", parameter.kind),
        _ => format!("the button's {}", parameter.kind),
    };
    if parameter.example.is_empty() {
        place
    } else {
        format!("{place} such as {}", printable(&parameter.example))
    }
}

/// The body as the customer will read it; what is not given yet stays a placeholder.
pub(crate) fn preview(template: &Template, values: &[String]) -> String {
    let mut text = printable(&template.body);
    for (parameter, value) in needed(template).into_iter().zip(values) {
        if parameter.component == "body" {
            let place = format!("{{{{{}}}}}", parameter.name);
            text = text.replacen(&place, &printable(value), 1);
        }
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A template with two values in its body and a quick reply.
    pub(crate) fn follow_up() -> Template {
        let parameter = |component: &str, name: &str, kind: &str, required| TemplateParameter {
            component: component.into(),
            name: name.into(),
            kind: kind.into(),
            example: format!("x{name}"),
            required,
        };
        Template {
            name: "follow_up".into(),
            language: "en_US".into(),
            category: "UTILITY".into(),
            body: "Hello {{1}}, about {{2}}.".into(),
            parameters: vec![
                parameter("body", "1", "text", true),
                parameter("body", "2", "text", true),
                parameter("button", "0", "quick_reply", false),
            ],
            ..Default::default()
        }
    }

    #[test]
    fn a_name_is_enough_where_there_is_one_language() {
        let templates = [follow_up()];
        let (_, values) = find(&templates, "follow_up", "Maria Lopez | FD 7").unwrap();
        assert_eq!(values, ["Maria Lopez", "FD 7"]);
        let (_, values) = find(&templates, "follow_up", "en_US Maria").unwrap();
        assert_eq!(values, ["Maria"]);
        let problem = find(&templates, "other", "").unwrap_err();
        assert!(problem.contains("/templates"));
    }

    #[test]
    fn several_languages_must_be_told_apart() {
        let german = Template {
            language: "de".into(),
            ..follow_up()
        };
        let templates = [follow_up(), german];
        let problem = find(&templates, "follow_up", "Maria").unwrap_err();
        assert!(problem.contains("en_US or de"), "{problem}");
        let (found, values) = find(&templates, "follow_up", "de Maria").unwrap();
        assert_eq!((found.language.as_str(), values.len()), ("de", 1));
    }

    #[test]
    fn values_go_where_the_template_takes_them() {
        let mut template = follow_up();
        template.parameters.insert(
            0,
            TemplateParameter {
                component: "header".into(),
                kind: "image".into(),
                required: true,
                ..Default::default()
            },
        );
        let values = ["https://x/y.jpg", "Maria", "FD-7"].map(String::from);
        let send = fill(&template, &values).unwrap();
        assert!(
            matches!(send.header, Some(Header::HeaderMedia(media)) if media.link.ends_with("y.jpg"))
        );
        let body: Vec<_> = send.body.iter().map(|value| value.text.as_str()).collect();
        assert_eq!(body, ["Maria", "FD-7"]);
        assert!(send.buttons.is_empty());
    }

    #[test]
    fn a_wrong_number_of_values_is_explained() {
        let problem = fill(&follow_up(), &["Maria".to_owned()]).unwrap_err();
        assert_eq!(
            problem,
            "`follow_up` takes 2 values: {{1}} such as x1 | {{2}} such as x2; 1 given"
        );
    }

    #[test]
    fn the_preview_shows_what_is_still_missing() {
        let shown = preview(&follow_up(), &["Maria".to_owned()]);
        assert_eq!(shown, "Hello Maria, about {{2}}.");
    }
}
