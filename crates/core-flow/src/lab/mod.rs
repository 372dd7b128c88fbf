//! The flow lab: conversations played on the production engine, without a server and with a clock
//! of their own. Time passes only when a scenario says so, so a flow of thirty days takes no
//! longer than one of a minute.
//!
//! A [`Scenario`] is a list of [`Line`]s: what the customer does, and what the flow answers. A
//! [`Player`] takes what the customer does and gives back the answers; [`play`] does that for a
//! whole scenario, and [`Coverage`] counts which exits of a flow were taken on the way. [`retrace`]
//! takes the steps of a live session again.

mod call;
mod coverage;
mod player;
mod record;
mod scenario;
mod shown;
mod span;

pub use call::{Answered, CallParts, ShownCall, Stub};
pub use coverage::{Coverage, ExitCoverage, WidgetCoverage};
pub use player::{Played, Player, PlayerError, play};
pub use record::{Recorded, RetraceError, Retraced, retrace};
pub use scenario::{Act, Line, Routed, Said, Scenario, Suite};
pub use shown::{Shown, ShownList, ShownParts};
pub use span::{Span, SpanError};
