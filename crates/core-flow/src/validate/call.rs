//! What is wrong with a call to another system.

use super::settings::Checker;
use super::variables::takes;
use crate::definition::{Header, HttpCall, Method, Saving};
use crate::expression::check;
use crate::interpolation::{Piece, pieces};
use crate::limits::{
    MAX_ASSIGNMENTS, MAX_CALL, MAX_CALL_BODY, MAX_CALL_RETRIES, MAX_HEADERS, MAX_URL,
};
use crate::problem::quote;

/// Headers that belong to HTTP itself (RFC 9110, sections 7.2, 7.6, 8.6; RFC 9112, section 6.1).
const OF_HTTP: [&str; 7] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];
/// Headers that hold secrets.
const OF_CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

impl Checker<'_, '_> {
    pub(super) fn http_call(&mut self, settings: &HttpCall) {
        self.address(&settings.url);
        for (field, text) in settings.texts() {
            match pieces(text) {
                Ok(cut) => self.resolved(&field, &cut),
                Err(message) => self.error(&field, message, "write variables as {{Widget.value}}"),
            }
        }
        if settings.headers.len() > MAX_HEADERS {
            let message = format!("there are {} headers", settings.headers.len());
            self.error("headers", message, format!("use at most {MAX_HEADERS}"));
        }
        for (at, header) in settings.headers.iter().enumerate().take(MAX_HEADERS) {
            self.header(&format!("headers[{at}]"), header);
        }
        self.sent(settings);
        if let Some(credential) = &settings.credential
            && (credential.is_empty() || !credential.bytes().all(is_name_byte))
        {
            let message = format!("`{}` is not a credential's name", quote(credential));
            self.error("credential", message, "use letters, digits, - and _");
        }
        if !(1..=MAX_CALL).contains(&settings.timeout_seconds) {
            let message = format!("{} seconds cannot be waited for", settings.timeout_seconds);
            self.error(
                "timeout_seconds",
                message,
                format!("use 1 to {MAX_CALL} seconds"),
            );
        }
        self.tries(settings.method, settings.retries);
        if settings.save.len() > MAX_ASSIGNMENTS {
            let message = format!("{} values are kept", settings.save.len());
            self.error("save", message, format!("keep at most {MAX_ASSIGNMENTS}"));
        }
        for (at, saving) in settings.save.iter().enumerate().take(MAX_ASSIGNMENTS) {
            self.saving(&format!("save[{at}]"), saving);
        }
    }

    /// The scheme and the host are the author's: a customer must not be able to choose whom we ask.
    fn address(&mut self, url: &str) {
        let rest = match url.split_once("://") {
            Some(("https", rest)) => rest,
            Some(("http", rest)) => {
                let message = "the call is not encrypted: anybody on the way can read it";
                self.warning("url", message, "use https://");
                rest
            }
            _ => {
                let message = format!("`{}` is not the address of a web service", quote(url));
                return self.error("url", message, "write https://host/path");
            }
        };
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.contains("{{") {
            let message = "the host is made of variables";
            self.error(
                "url",
                message,
                "write the host out; variables may follow behind it",
            );
        } else if host.contains('@') {
            let message = "the address holds a name or a password";
            self.error("url", message, "use a credential");
        } else if host.is_empty() || !host.bytes().all(is_host_byte) {
            let message = format!("`{}` is not a host", quote(host));
            self.error("url", message, "write https://host/path");
        }
        if url.len() > MAX_URL {
            let message = format!("the address has {} bytes", url.len());
            self.error("url", message, format!("use at most {MAX_URL}"));
        }
        if url.chars().any(|c| c.is_control() || c == '\\') || outside(url).contains(' ') {
            let message = "the address holds a space or another character no address has";
            self.error("url", message, "write %20 for a space");
        }
    }

    fn header(&mut self, field: &str, header: &Header) {
        let name = header.name.to_ascii_lowercase();
        let place = format!("{field}.name");
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            let message = format!("`{}` is not a header's name", quote(&header.name));
            self.error(&place, message, "use letters, digits and -");
        } else if OF_HTTP.contains(&&*name) {
            let message = format!("`{name}` is set by HTTP itself");
            self.error(&place, message, "remove it");
        } else if OF_CREDENTIALS.contains(&&*name) {
            let message =
                format!("`{name}` holds a secret, and everybody who may see the flow sees it");
            self.error(
                &place,
                message,
                "keep it as a credential and name that in `credential`",
            );
        }
        if header.value.chars().any(char::is_control) {
            let message = "the value holds a line end or another control character";
            self.error(&format!("{field}.value"), message, "remove it");
        }
    }

    fn sent(&mut self, settings: &HttpCall) {
        let Some(body) = &settings.body else { return };
        let method = settings.method;
        if !method.has_body() {
            let message = format!("a {} carries no body", method.name());
            self.error("body", message, "remove it, or use POST, PUT or PATCH");
        }
        let length = body.to_string().len();
        if length > MAX_CALL_BODY {
            let message = format!("the body has {length} bytes");
            self.error("body", message, format!("use at most {MAX_CALL_BODY}"));
        }
    }

    fn tries(&mut self, method: Method, retries: u8) {
        if retries > MAX_CALL_RETRIES {
            let message = format!("{retries} more tries are too many");
            self.error("retries", message, format!("use 0 to {MAX_CALL_RETRIES}"));
        } else if retries > 0 && !method.is_idempotent() {
            let message = format!(
                "a {} that is tried again may be done twice; every try has the same Idempotency-Key",
                method.name()
            );
            let remedy = "let the other system look at that header, or write 0";
            self.warning("retries", message, remedy);
        }
    }

    fn saving(&mut self, place: &str, saving: &Saving) {
        let target = self.target_of(&format!("{place}.variable"), &saving.variable);
        let field = format!("{place}.expression");
        let checked = self
            .scope
            .of_response(|scope| check(&saving.expression, scope));
        match (checked, target) {
            (Err(wrong), _) => self.error(&field, wrong.message, wrong.remedy),
            (Ok(checked), Some(target)) => {
                let kind = self.scope.own_type(target);
                if !takes(kind, checked.kind) {
                    let message = format!(
                        "the variable is a {}; this gives {}",
                        kind.name(),
                        checked.kind.name()
                    );
                    self.error(
                        &field,
                        message,
                        "keep something else, or change the variable's type",
                    );
                }
            }
            (Ok(_), None) => {}
        }
    }
}

/// What stands outside of `{{…}}`.
fn outside(text: &str) -> String {
    let cut = pieces(text).unwrap_or_default();
    let literals = cut.into_iter().filter_map(|piece| match piece {
        Piece::Literal(literal) => Some(literal),
        Piece::Placeholder(_) | Piece::Expression(_) => None,
    });
    literals.collect()
}

/// Whether a header belongs to HTTP itself.
pub(crate) fn is_of_http(name: &str) -> bool {
    OF_HTTP.contains(&&*name.to_ascii_lowercase())
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte)
}

/// RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    const SOUND: &str = r#"{"format":1,"name":"Calls","start":"Start","variables":[
{"name":"price","type":"currency"},{"name":"items","type":"list"}],"widgets":[
{"name":"Start","type":"start","exits":{"next":"Ask"}},
{"name":"Ask","type":"collect_input","settings":{"prompt":{"text":"Which order?"},"timeout_seconds":60},
 "exits":{"match":"Shop","no_match":null,"timeout":null}},
{"name":"Shop","type":"http_call","settings":{"method":"POST","url":"https://shop.example.com/orders/{{Ask.value}}",
 "headers":[{"name":"X-Customer","value":"{{contact.phone}}"}],"credential":"shop",
 "body":{"order":"{{Ask.value}}","count":2},"timeout_seconds":5,
 "save":[{"variable":"{{flow.price}}","expression":"response.body.total"},
         {"variable":"{{flow.items}}","expression":"response.body.items"}]},
 "exits":{"next":"Say","failed":"Say","timeout":"Say"}},
{"name":"Say","type":"send_media","settings":{"parts":[{"type":"text","text":"{{flow.price}} {{flow.items | length}} ({{Shop.status}})"}]},
 "exits":{"next":null,"failed":null}}]}"#;

    const MISTAKES: &[(&str, &str, &str, &str)] = &[
        (
            "https://shop",
            "shop",
            "Shop.settings.url",
            "not the address of a web service",
        ),
        (
            "https://shop",
            "http://shop",
            "Shop.settings.url",
            "not encrypted",
        ),
        (
            "https://shop.example.com",
            "https://{{Ask.value}}",
            "Shop.settings.url",
            "host is made of variables",
        ),
        (
            "https://shop.example.com",
            "https://me:secret@shop.example.com",
            "Shop.settings.url",
            "a name or a password",
        ),
        (
            "https://shop.example.com",
            "https://shop!",
            "Shop.settings.url",
            "is not a host",
        ),
        ("/orders/", "/the orders/", "Shop.settings.url", "a space"),
        (
            "orders/{{Ask.value}}",
            "orders/{{Ask.text.x}}",
            "Shop.settings.url",
            "not a map",
        ),
        (
            "orders/{{Ask.value}}",
            "orders/{{Aks.value}}",
            "Shop.settings.url",
            "`Aks.value` is not a variable",
        ),
        (
            "X-Customer",
            "X Customer",
            "Shop.settings.headers[0].name",
            "not a header's name",
        ),
        (
            "X-Customer",
            "Content-Length",
            "Shop.settings.headers[0].name",
            "set by HTTP itself",
        ),
        (
            "X-Customer",
            "Authorization",
            "Shop.settings.headers[0].name",
            "holds a secret",
        ),
        (
            "{{contact.phone}}",
            "a\\r\\nb",
            "Shop.settings.headers[0].value",
            "a line end",
        ),
        (
            "\"shop\"",
            "\"my shop\"",
            "Shop.settings.credential",
            "not a credential's name",
        ),
        ("POST", "GET", "Shop.settings.body", "carries no body"),
        ("POST", "FETCH", "Shop.settings", "unknown variant `FETCH`"),
        (
            "{\"order\":\"{{Ask.value}}\"",
            "{\"order\":\"{{Ask.vaule}}\"",
            "Shop.settings.body.order",
            "not a variable",
        ),
        (
            "\"timeout_seconds\":5",
            "\"timeout_seconds\":31",
            "Shop.settings.timeout_seconds",
            "cannot be waited for",
        ),
        (
            "\"timeout_seconds\":5",
            "\"timeout_seconds\":5,\"retries\":4",
            "Shop.settings.retries",
            "too many",
        ),
        (
            "\"timeout_seconds\":5",
            "\"timeout_seconds\":5,\"retries\":1",
            "Shop.settings.retries",
            "may be done twice",
        ),
        (
            "{{flow.price}}\",\"exp",
            "{{flow.prize}}\",\"exp",
            "Shop.settings.save[0].variable",
            "no variable `prize`",
        ),
        (
            "response.body.total",
            "Ask.value",
            "Shop.settings.save[0].expression",
            "not known where an answer is read",
        ),
        (
            "response.body.total",
            "response.header",
            "Shop.settings.save[0].expression",
            "not known where an answer is read",
        ),
        (
            "response.body.total",
            "response.text == 'a'",
            "Shop.settings.save[0].expression",
            "this gives true or false",
        ),
        (
            "response.body.items",
            "response.status",
            "Shop.settings.save[1].expression",
            "the variable is a list",
        ),
        (
            "({{Shop.status}})",
            "({{Shop.value}})",
            "Say.settings.parts[0].text",
            "`Shop.value` is not a variable",
        ),
        (
            "({{Shop.status}})",
            "({{response.status}})",
            "Say.settings.parts[0].text",
            "not a variable",
        ),
        (
            "\"timeout\":\"Say\"",
            "\"timeuot\":\"Say\"",
            "Shop.exits.timeuot",
            "no exit `timeuot`",
        ),
        (
            "\"failed\":\"Say\",\"timeout\"",
            "\"failed\":\"Shop\",\"timeout\"",
            "Shop.exits",
            "a loop without a question",
        ),
    ];

    #[test]
    fn every_seeded_mistake_is_found() {
        crate::validate::tests::are_found(SOUND, MISTAKES);
    }
}
