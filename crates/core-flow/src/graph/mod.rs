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
