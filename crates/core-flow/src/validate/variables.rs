//! What is wrong with a flow's own variables and with what they are set to.

use std::collections::BTreeMap;

use super::is_name;
use super::settings::Checker;
use crate::definition::{Assignment, Definition, SetVariables, VariableType};
use crate::expression::{Kind, check};
use crate::interpolation::{Piece, pieces, single};
use crate::limits::{MAX_ANSWER, MAX_ASSIGNMENTS, MAX_NAME, MAX_VARIABLES};
use crate::problem::{Problem, quote};
use crate::scope::Scope;

/// The declarations.
pub(super) fn declared(definition: &Definition, problems: &mut Vec<Problem>) {
    let variables = &definition.variables;
    if variables.len() > MAX_VARIABLES {
        let message = format!("the flow has {} variables of its own", variables.len());
        let remedy = format!("use at most {MAX_VARIABLES}");
        problems.push(Problem::error("", "variables", message, remedy));
    }
    let mut seen = BTreeMap::new();
    for (position, variable) in variables.iter().enumerate().take(MAX_VARIABLES) {
        let mut error = |part: &str, message: String, remedy: &str| {
            let field = format!("variables[{position}].{part}");
            problems.push(Problem::error("", field, message, remedy));
        };
        let name = variable.name.as_str();
        if !is_name(name) || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let message = format!("`{}` is not a variable's name", quote(name));
            let remedy = format!("use a letter, then letters, digits and _; at most {MAX_NAME}");
            error("name", message, &remedy);
        }
        if let Some(first) = seen.insert(name, position) {
            let message = format!("variables[{first}] has the same name");
            error("name", message, "give every variable a name of its own");
        }
        if let Some(default) = &variable.default
            && variable.r#type.literal(default).is_none()
        {
            let kind = variable.r#type.name();
            let message = format!("`{}` is not a {kind}", quote(default));
            error("default", message, example(variable.r#type));
        }
    }
}

/// Variables that mean nothing, once every text has been looked at.
pub(super) fn unused(definition: &Definition, scope: &Scope<'_>, problems: &mut Vec<Problem>) {
    let variables = (0_u16..).zip(&definition.variables).take(MAX_VARIABLES);
    for (position, variable) in variables {
        let (message, remedy) = match scope.is_used(position) {
            (false, false) => ("nothing reads or sets it", "remove it"),
            (false, true) => ("it is set, and nothing reads it", "remove it, or use it"),
            (true, false) if variable.default.is_none() => (
                "nothing sets it: it is always empty",
                "give it a default, or set it",
            ),
            (true, _) => continue,
        };
        let field = format!("variables[{position}]");
        let message = format!("{}: {message}", quote(&variable.name));
        problems.push(Problem::warning("", field, message, remedy));
    }
}

/// How a value of a type is written.
fn example(kind: VariableType) -> &'static str {
    match kind {
        VariableType::Text => "use at most 4096 characters",
        VariableType::Number | VariableType::Percent => "write a number such as 18 or 2.5",
        VariableType::Currency => "write an amount such as 59.90",
        VariableType::Boolean => "write true or false",
        VariableType::Date => "write a day such as 2026-11-30",
        VariableType::Time => "write a time of day such as 14:30",
        VariableType::Email => "write an address such as ann@example.com",
        VariableType::Phone => "write a number such as +49 30 1234567",
        VariableType::Url => "write an address such as https://example.com",
        VariableType::Json => "write JSON of at most 16384 bytes",
        VariableType::List => "write a JSON array of at most 16384 bytes",
    }
}

/// Whether what an expression gives can be kept as `kind`.
pub(super) fn takes(kind: VariableType, given: Kind) -> bool {
    match kind {
        VariableType::Text => !matches!(given, Kind::List | Kind::Map),
        VariableType::Number | VariableType::Currency | VariableType::Percent => {
            given.may_be(Kind::Number)
        }
        VariableType::Boolean => given.may_be(Kind::Boolean),
        VariableType::Json => true,
        VariableType::List => given.may_be(Kind::List),
        VariableType::Date
        | VariableType::Time
        | VariableType::Email
        | VariableType::Phone
        | VariableType::Url => given.may_be(Kind::Text),
    }
}

impl Checker<'_, '_> {
    pub(super) fn set_variables(&mut self, settings: &SetVariables) {
        let set = &settings.set;
        if !(1..=MAX_ASSIGNMENTS).contains(&set.len()) {
            let message = format!("there are {} assignments", set.len());
            self.error("set", message, format!("give 1 to {MAX_ASSIGNMENTS}"));
        }
        for (index, assignment) in set.iter().enumerate().take(MAX_ASSIGNMENTS) {
            self.assignment(&format!("set[{index}]"), assignment);
        }
    }

    /// The own variable that is set, if `text` names one.
    pub(super) fn target_of(&mut self, field: &str, text: &str) -> Option<u16> {
        match single(text).map(|target| self.scope.to_set(target)) {
            Ok(Ok(target)) => Some(target),
            Ok(Err(unresolved)) => {
                self.error(field, unresolved.message, unresolved.remedy);
                None
            }
            Err(message) => {
                let message = format!("the variable {message}");
                self.error(field, message, "write one, such as {{flow.count}}");
                None
            }
        }
    }

    fn assignment(&mut self, place: &str, assignment: &Assignment) {
        let target = self.target_of(&format!("{place}.variable"), &assignment.variable);
        let kind = target.map(|target| self.scope.own_type(target));
        match (&assignment.value, &assignment.expression) {
            (Some(text), None) => self.assigned_text(&format!("{place}.value"), text, kind),
            (None, Some(source)) => {
                self.assigned_expression(&format!("{place}.expression"), source, kind);
            }
            (None, None) => {
                let remedy = "add a value or an expression; an empty value takes the value away";
                self.error(place, "nothing is assigned", remedy);
            }
            (Some(_), Some(_)) => {
                let message = "there are a value and an expression";
                self.error(place, message, "keep one of them");
            }
        }
    }

    fn assigned_text(&mut self, field: &str, text: &str, kind: Option<VariableType>) {
        let cut = match pieces(text) {
            Ok(cut) => cut,
            Err(message) => {
                return self.error(field, message, "write variables as {{Widget.value}}");
            }
        };
        let literal = cut.iter().all(|piece| matches!(piece, Piece::Literal(_)));
        match kind {
            Some(kind) if literal && kind.literal(text).is_none() => {
                let message = format!("`{}` is not a {}", quote(text), kind.name());
                self.error(field, message, example(kind));
            }
            _ if text.chars().count() > MAX_ANSWER => {
                let message = "the text is too long";
                self.error(
                    field,
                    message,
                    format!("use at most {MAX_ANSWER} characters"),
                );
            }
            _ => self.resolved(field, &cut),
        }
        let mixed = cut.len() > 1 && !literal;
        if mixed && matches!(kind, Some(VariableType::Json | VariableType::List)) {
            let message = "what customers write may change the JSON around it";
            let remedy = "use an expression: {\"name\": Ask.value}";
            self.warning(field, message, remedy);
        }
    }

    fn assigned_expression(&mut self, field: &str, source: &str, kind: Option<VariableType>) {
        let checked = match check(source, self.scope) {
            Ok(checked) => checked,
            Err(wrong) => return self.error(field, wrong.message, wrong.remedy),
        };
        if let Some(kind) = kind
            && !takes(kind, checked.kind)
        {
            let message = format!(
                "the variable is a {}; this gives {}",
                kind.name(),
                checked.kind.name()
            );
            let remedy = "give a value of the variable's type, or change its type";
            self.error(field, message, remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    const SOUND: &str = r#"{"format":1,"name":"Test","start":"Start","variables":[
        {"name":"count","type":"number","default":"0"},
        {"name":"order","type":"json"}],"widgets":[
        {"name":"Start","type":"start","exits":{"next":"Ask"}},
        {"name":"Ask","type":"collect_input","settings":{
            "prompt":{"text":"Hi {{contact.display_name or \"there\"}}: {{flow.count + 1}}"},
            "timeout_seconds":60},"exits":{"match":"Set","no_match":"Queue","timeout":"Queue"}},
        {"name":"Set","type":"set_variables","settings":{"set":[
            {"variable":"{{flow.count}}","expression":"flow.count + 1"},
            {"variable":"{{flow.order}}","value":"{\"n\":1}"}]},
         "exits":{"next":"Enough","failed":null}},
        {"name":"Enough","type":"condition","settings":{"branches":[
            {"exit":"yes","expression":"flow.count >= 3 or flow.order.n == 2"}]},
         "exits":{"yes":"Queue","no_match":"Ask"}},
        {"name":"Queue","type":"route_to","settings":{"queue":"sales"}}]}"#;

    #[test]
    fn a_sound_flow_raises_no_alarm() {
        let (definition, problems) = check(SOUND);
        assert_eq!(problems, []);
        let definition = definition.unwrap();
        assert_eq!(crate::parse(&definition.to_json()).unwrap(), definition);
    }

    /// What is replaced, by what; the place and words of the problem that is told.
    const MISTAKES: &[(&str, &str, &str, &str)] = &[
        (
            "\"count\",\"type\"",
            "\"2nd\",\"type\"",
            "variables[0].name",
            "not a variable's name",
        ),
        (
            "\"count\",\"type\"",
            "\"__proto__\",\"type\"",
            "variables[0].name",
            "not a variable's name",
        ),
        (
            "\"order\",\"type\"",
            "\"count\",\"type\"",
            "variables[1].name",
            "has the same name",
        ),
        ("\"number\"", "\"numbre\"", "", "unknown variant `numbre`"),
        (
            "\"default\":\"0\"",
            "\"default\":\"zero\"",
            "variables[0].default",
            "`zero` is not a number",
        ),
        (
            "\"default\":\"0\"",
            "\"mask\":true",
            "",
            "unknown field `mask`",
        ),
        (
            "\"json\"}",
            "\"json\"},{\"name\":\"idle\",\"type\":\"text\"}",
            "variables[2]",
            "nothing reads or sets it",
        ),
        (
            "{{flow.count}}",
            "{{flow.cuont}}",
            "Set.settings.set[0].variable",
            "no variable `cuont`",
        ),
        (
            "{{flow.count}}",
            "{{Ask.value}}",
            "Set.settings.set[0].variable",
            "cannot be set",
        ),
        (
            "{{flow.count}}",
            "{{contact.phone}}",
            "Set.settings.set[0].variable",
            "cannot be set",
        ),
        (
            "\"{{flow.count}}\"",
            "\"count\"",
            "Set.settings.set[0].variable",
            "not exactly one variable",
        ),
        (
            "\"expression\":\"flow.count + 1\"",
            "\"value\":\"many\"",
            "Set.settings.set[0].value",
            "`many` is not a number",
        ),
        (
            "\"expression\":\"flow.count + 1\"",
            "\"value\":\"{{Nobody.value}}\"",
            "Set.settings.set[0].value",
            "not a variable",
        ),
        (
            "\"expression\":\"flow.count + 1\"",
            "\"value\":\"1\",\"expression\":\"1\"",
            "Set.settings.set[0]",
            "a value and an expression",
        ),
        (
            ",\"expression\":\"flow.count + 1\"",
            "",
            "Set.settings.set[0]",
            "nothing is assigned",
        ),
        (
            "\"flow.count + 1\"",
            "\"flow.count +\"",
            "Set.settings.set[0].expression",
            "unexpected end",
        ),
        (
            "\"flow.count + 1\"",
            "\"Ask.value\"",
            "Set.settings.set[0].expression",
            "the variable is a number; this gives a text",
        ),
        (
            "\"flow.count + 1\"",
            "\"Ask.value + 1\"",
            "Set.settings.set[0].expression",
            "a text + a number",
        ),
        (
            "\"flow.count + 1\"",
            "\"flow.count / 0\"",
            "Set.settings.set[0].expression",
            "divides by zero",
        ),
        (
            "{\\\"n\\\":1}",
            "{n:1}",
            "Set.settings.set[1].value",
            "is not a json",
        ),
        (
            "flow.count >= 3",
            "flow.count >= \\\"3\\\"",
            "Enough.settings.branches[0].expression",
            "have no order",
        ),
        (
            "flow.count >= 3",
            "flow.tries >= 3",
            "Enough.settings.branches[0].expression",
            "no variable `tries`",
        ),
        (
            "flow.count >= 3",
            "system(3)",
            "Enough.settings.branches[0].expression",
            "no functions",
        ),
        (
            "\"expression\":\"flow.count >=",
            "\"value\":\"3\",\"expression\":\"flow.count >=",
            "Enough.settings.branches[0]",
            "compares in one way",
        ),
        (
            "{{flow.count + 1}}",
            "{{flow.count + }}",
            "Ask.settings.prompt.text",
            "unexpected end",
        ),
        (
            "{{flow.count + 1}}",
            "{{flow.count | shorten}}",
            "Ask.settings.prompt.text",
            "no filter `shorten`",
        ),
        (
            "\"failed\":null",
            "\"faild\":null",
            "Set.exits.faild",
            "no exit `faild`",
        ),
    ];

    #[test]
    fn every_seeded_mistake_is_found() {
        crate::validate::tests::are_found(SOUND, MISTAKES);
    }

    #[test]
    fn variables_that_nobody_sets_or_reads_are_told() {
        let cases = [
            (
                "{\"variable\":\"{{flow.count}}\",\"expression\":\"flow.count + 1\"},",
                "",
                None,
            ),
            (",\"default\":\"0\"", "", None),
            (
                "flow.order.n == 2",
                "flow.count == 9",
                Some("nothing reads it"),
            ),
            (
                "\"variable\":\"{{flow.order}}\",\"value\":\"{\\\"n\\\":1}\"",
                "\"variable\":\"{{flow.count}}\",\"value\":\"1\"",
                Some("always empty"),
            ),
        ];
        for (from, to, words) in cases {
            assert!(SOUND.contains(from), "{from}");
            let problems = check(&SOUND.replacen(from, to, 1)).1;
            let told = problems
                .iter()
                .find(|it| it.place().starts_with("variables"));
            let told = told.map(|it| it.message.as_str());
            assert!(
                told.is_some() == words.is_some()
                    && told.unwrap_or_default().contains(words.unwrap_or_default()),
                "{from}: {problems:#?}"
            );
        }
        let many: Vec<String> = (0..201)
            .map(|n| format!(r#"{{"name":"v{n}","type":"text"}}"#))
            .collect();
        let text = SOUND.replace(
            "{\"name\":\"order\"",
            &format!("{},{{\"name\":\"order\"", many.join(",")),
        );
        let problems = check(&text).1;
        assert!(
            problems
                .iter()
                .any(|it| it.message.contains("203 variables")),
            "{problems:#?}"
        );
    }
}
