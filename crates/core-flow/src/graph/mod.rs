//! Draws a flow: layers from the start downwards, every exit with its name, as SVG or Mermaid.
//!
//! The layout is that of Sugiyama, Tagawa and Toda (1981): roads that lead back are turned round,
//! widgets are put into layers, the order within layers is chosen so that few roads cross, and
//! places are pulled towards their neighbours. Whole numbers only: the same flow gives the same
//! drawing everywhere.

mod layers;
mod layout;
mod mermaid;
mod svg;

pub use mermaid::mermaid;
pub use svg::svg;

/// Text that is only text in XML and HTML. Characters XML cannot hold become U+FFFD.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}
