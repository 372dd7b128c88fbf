//! Texts with `{{…}}` in them, cut into pieces once, when a flow is compiled. At run time a piece
//! is copied or looked up; what a variable holds is data and is never read as a text with `{{…}}`
//! again.

/// A piece of a text as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// Stands as it is.
    Literal(&'t str),
    /// `{{scope.field}}`.
    Placeholder(Placeholder<'t>),
    /// `{{…}}` around anything else: an expression, not read yet.
    Expression(&'t str),
}

/// The inside of `{{scope.field}}`: `{{Menu.value}}`, `{{contact.display_name}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placeholder<'t> {
    /// A widget's name or a group of facts.
    pub(crate) scope: &'t str,
    /// One value of it.
    pub(crate) field: &'t str,
}

/// Cuts a text into pieces.
///
/// # Errors
/// A sentence about the first `{{…}}` that cannot be read.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        if open > 0 {
            pieces.push(Piece::Literal(&rest[..open]));
        }
        let inside = &rest[open + 2..];
        let Some(close) = inside.find("}}") else {
            return Err(format!(
                "`{{{{` at byte {} is never closed",
                text.len() - rest.len() + open
            ));
        };
        pieces.push(piece(&inside[..close])?);
        rest = &inside[close + 2..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest));
    }
    Ok(pieces)
}

/// The one placeholder a text consists of.
///
/// # Errors
/// A sentence about what it is instead.
pub(crate) fn single(text: &str) -> Result<Placeholder<'_>, String> {
    match pieces(text.trim())?.as_slice() {
        [Piece::Placeholder(placeholder)] => Ok(*placeholder),
        _ => Err("is not exactly one variable".to_owned()),
    }
}

/// Most characters of a text that are certain to be there, whatever its variables hold.
pub(crate) fn literal_chars(pieces: &[Piece<'_>]) -> usize {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Literal(text) => text.chars().count(),
            Piece::Placeholder(_) | Piece::Expression(_) => 0,
        })
        .sum()
}

/// Whether something readable is certain to be there, whatever its variables hold.
pub(crate) fn says_something(pieces: &[Piece<'_>]) -> bool {
    pieces
        .iter()
        .any(|piece| matches!(piece, Piece::Literal(text) if !text.trim().is_empty()))
}

fn piece(inside: &str) -> Result<Piece<'_>, String> {
    let name = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    match inside.trim().split_once('.') {
        Some((scope, field)) if name(scope) && name(field) => {
            Ok(Piece::Placeholder(Placeholder { scope, field }))
        }
        // None of these is an expression: they are what is left of a variable.
        None if inside.trim().is_empty() || name(inside.trim()) => Err(not_a_variable(inside)),
        _ if inside.contains("{{") => Err(not_a_variable(inside)),
        _ => Ok(Piece::Expression(inside)),
    }
}

fn not_a_variable(inside: &str) -> String {
    let inside = crate::problem::quote(inside);
    format!("`{{{{{inside}}}}}` is not of the form {{{{Widget.value}}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_their_placeholders() {
        let cut = pieces("Hi {{ contact.display_name }}, you said {{Menu.value}}").unwrap();
        assert_eq!(cut.len(), 4);
        let menu = Placeholder {
            scope: "Menu",
            field: "value",
        };
        assert_eq!(cut[3], Piece::Placeholder(menu));
        assert_eq!(single(" {{Menu.value}} "), Ok(menu));
        assert!(says_something(&cut));
        assert_eq!(literal_chars(&cut), "Hi , you said ".chars().count());
        assert_eq!(pieces("} }} {x}").unwrap(), [Piece::Literal("} }} {x}")]);
    }

    #[test]
    fn broken_placeholders_are_explained() {
        assert!(pieces("a {{b").unwrap_err().contains("byte 2"));
        for bad in ["{{}}", "{{ }}", "{{a}}"] {
            assert!(pieces(bad).is_err(), "{bad}");
        }
        assert!(single("x {{a.b}}").is_err());
        assert!(single("{{a.b + 1}}").is_err());
    }

    #[test]
    fn what_is_no_variable_is_an_expression() {
        for expression in ["a.b.c", " a.b or \"x\" ", "a.", "a b.c", "ä.b"] {
            let text = format!("{{{{{expression}}}}}");
            assert_eq!(pieces(&text).unwrap(), [Piece::Expression(expression)]);
        }
    }
}
