//! What is wrong with a script, as far as can be seen without running it.

use super::is_name;
use super::settings::Checker;
use crate::definition::Script;
use crate::interpolation::{Placeholder, single};
use crate::limits::{MAX_EXITS, MAX_SCRIPT};
use crate::problem::quote;
use crate::scope::{OWN, Unresolved};

impl Checker<'_, '_> {
    pub(super) fn script(&mut self, settings: &Script) {
        let code = settings.code.text();
        if code.len() > MAX_SCRIPT {
            let message = format!("the script has {} bytes", code.len());
            return self.error("code", message, format!("use at most {MAX_SCRIPT}"));
        }
        if let Some(mistake) = crate::script::mistake(&code) {
            return self.error("code", mistake, "write JavaScript, with a function main");
        }
        if !code.contains("main") {
            let message = "there is no function main";
            self.error("code", message, "write async function main() { … }");
        }
        for (function, to_set) in [("get", false), ("set", true)] {
            let (names, computed) = named(&code, function);
            for name in names {
                self.known(&code, name, to_set);
            }
            if computed {
                self.scope.may_use_all(to_set);
            }
        }
        self.own_exits(&settings.exits);
    }

    fn own_exits(&mut self, exits: &[String]) {
        if exits.len() > MAX_EXITS - 2 {
            let message = format!("there are {} exits", exits.len());
            self.error("exits", message, format!("use at most {}", MAX_EXITS - 2));
        }
        for (at, exit) in exits.iter().enumerate().take(MAX_EXITS) {
            let field = format!("exits[{at}]");
            if !is_name(exit) {
                let message = format!("`{}` is not an exit's name", quote(exit));
                self.error(&field, message, "use letters, digits and _");
            } else if ["next", "failed"].contains(&exit.as_str()) || exits[..at].contains(exit) {
                let message = format!("the exit `{exit}` is there already");
                self.error(&field, message, "remove it");
            }
        }
    }

    /// Whether a name that stands in a script means something.
    fn known(&mut self, code: &str, name: &str, to_set: bool) {
        let line = code
            .find(name)
            .map_or(0, |at| code[..at].matches('\n').count() + 1);
        let full = if name.contains('.') {
            format!("{{{{{name}}}}}")
        } else {
            format!("{{{{{OWN}.{name}}}}}")
        };
        let looked = match single(&full) {
            Ok(place) => self.look(place, to_set),
            Err(_) => Err(Unresolved {
                message: format!("`{}` is not a variable", quote(name)),
                remedy: "use a name such as flow.count or Ask.value".to_owned(),
            }),
        };
        if let Err(unresolved) = looked {
            let message = format!("line {line}: {}", unresolved.message);
            self.error("code", message, unresolved.remedy);
        }
    }

    fn look(&self, place: Placeholder<'_>, to_set: bool) -> Result<(), Unresolved> {
        if to_set {
            self.scope.to_set(place).map(|_| ())
        } else {
            self.scope.variable(place).map(|_| ())
        }
    }
}

/// Texts that stand as they are in `get("…")`, not in `http.get("…")`; and whether some call names what
/// it computes.
fn named<'c>(code: &'c str, function: &str) -> (Vec<&'c str>, bool) {
    let (mut found, mut computed) = (Vec::new(), false);
    let call = format!("{function}(");
    for (at, _) in code.match_indices(&call) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || "._$".contains(c)) {
            continue;
        }
        match literal(&code[at + call.len()..]) {
            Some(name) => found.push(name),
            None => computed = true,
        }
    }
    (found, computed)
}

/// The text that an argument is, if it is one as it stands.
fn literal(argument: &str) -> Option<&str> {
    let argument = argument.trim_start();
    let quote = argument.chars().next().filter(|c| "\"'`".contains(*c))?;
    let (inside, behind) = argument[1..].split_once(quote)?;
    let whole = behind.trim_start().starts_with([',', ')']);
    (whole && !inside.contains(['$', '\\', '\n'])).then_some(inside)
}

#[cfg(test)]
mod tests {
    const SOUND: &str = r#"{"format":1,"name":"Script","start":"Start","variables":[
{"name":"count","type":"number","default":"0"}],"widgets":[
{"name":"Start","type":"start","exits":{"next":"Ask"}},
{"name":"Ask","type":"collect_input","settings":{"prompt":{"text":"How many?"},"timeout_seconds":60},
 "exits":{"match":"Reckon","no_match":null,"timeout":null}},
{"name":"Reckon","type":"script","settings":{"code":["async function main() {",
 "  set('count', get('flow.count') + Number(get(\"Ask.value\")));",
 "  await http.get('https://shop.example.com/');",
 "  return get(`count`) > 3 ? 'many' : null;","}"],"exits":["many"]},
 "exits":{"next":"Say","failed":"Say","many":"Say"}},
{"name":"Say","type":"send_media","settings":{"parts":[{"type":"text","text":"So many: {{flow.count}} ({{Reckon.value}})"}]},
 "exits":{"next":null,"failed":null}}]}"#;

    const MISTAKES: &[(&str, &str, &str, &str)] = &[
        (
            "{{Reckon.value}}",
            "{{Reckon.status}}",
            "Say.settings.parts[0].text",
            "`Reckon.status` is not a variable",
        ),
        (
            "get('flow.count')",
            "get('flow.cuont')",
            "Reckon.settings.code",
            "line 2: the flow has no variable `cuont`",
        ),
        (
            "set('count'",
            "set('Ask.value'",
            "Reckon.settings.code",
            "cannot be set",
        ),
        (
            "set('count'",
            "set('two words'",
            "Reckon.settings.code",
            "not a variable",
        ),
        (
            "get(`count`)",
            "get(`Nobody.value`)",
            "Reckon.settings.code",
            "line 4: `Nobody.value` is not a variable",
        ),
        (
            "async function main() {",
            "async function main( {",
            "Reckon.settings.code",
            "line",
        ),
        (
            "function main()",
            "function mian()",
            "Reckon.settings.code",
            "no function main",
        ),
        (
            "\"exits\":[\"many\"]",
            "\"exits\":[\"next\"]",
            "Reckon.settings.exits[0]",
            "is there already",
        ),
        (
            "\"exits\":[\"many\"]",
            "\"exits\":[\"many\",\"so many\"]",
            "Reckon.settings.exits[1]",
            "not an exit's name",
        ),
        (
            "\"many\":\"Say\"",
            "\"mnay\":\"Say\"",
            "Reckon.exits.mnay",
            "no exit `mnay`",
        ),
        (
            "\"failed\":\"Say\",\"many\"",
            "\"failed\":\"Reckon\",\"many\"",
            "Reckon.exits",
            "only a script ends this loop",
        ),
    ];

    #[test]
    fn every_seeded_mistake_is_found() {
        crate::validate::tests::are_found(SOUND, MISTAKES);
    }
}
