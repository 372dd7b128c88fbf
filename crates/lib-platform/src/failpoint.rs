//! Places in the code where a test of survival can make the process die, stop, wait or fail, by
//! name. Compiled in development builds only; a release build holds nothing of it.
//!
//! `FRONTDESK_FAILPOINTS="ingress.kept=abort;egress.write=stop@3"` names them. Actions: `abort`
//! ends the process at once, `stop` suspends it (as `SIGSTOP` does, until `SIGCONT`), `pause:20s`
//! or `pause:200ms` holds the thread, `error` takes the failure branch of the place that has one.
//! `@3` means: only the third time the place is reached; without it, every time.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The environment variable.
pub const VARIABLE: &str = "FRONTDESK_FAILPOINTS";

/// By when a process has stopped after it was told to.
const STOPS_WITHIN: Duration = Duration::from_millis(100);

/// A named place: `failpoint!("name")`, `failpoint!("name", if condition)` for a place that counts
/// only then, `failpoint!("name", return value)` for one that can fail.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::failpoint::reached($name);
    };
    ($name:literal, if $condition:expr) => {
        #[cfg(debug_assertions)]
        if $condition {
            $crate::failpoint::reached($name);
        }
    };
    ($name:literal, return $value:expr) => {
        #[cfg(debug_assertions)]
        if $crate::failpoint::reached($name) {
            return $value;
        }
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Abort,
    Stop,
    Pause(Duration),
    Error,
}

#[derive(Debug)]
struct Point {
    action: Action,
    /// Acts at this time only, from 1; at every one when absent.
    at: Option<u64>,
    reached: AtomicU64,
}

/// The process is at `name`. Whether the place is to fail.
///
/// # Panics
/// When the variable does not say what to do: a test that injects nothing must not pass.
#[expect(
    clippy::disallowed_methods,
    reason = "only a test of survival sets it, never an operator"
)]
pub fn reached(name: &str) -> bool {
    static POINTS: OnceLock<BTreeMap<String, Point>> = OnceLock::new();
    let points = POINTS.get_or_init(|| {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        parse(&text).unwrap_or_else(|problem| panic!("{VARIABLE}: {problem}"))
    });
    let Some(point) = points.get(name) else {
        return false;
    };
    let count = point.reached.fetch_add(1, Ordering::Relaxed) + 1;
    if point.at.is_some_and(|at| at != count) {
        return false;
    }
    act(name, point.action)
}

fn act(name: &str, action: Action) -> bool {
    tracing::warn!(failpoint = name, ?action, "reached");
    match action {
        Action::Abort => std::process::abort(),
        Action::Stop => {
            let own = std::process::id().to_string();
            let told = Command::new("kill").args(["-STOP", &own]).status();
            // Whoever reads the log must not believe that it was suspended.
            if !told.is_ok_and(|status| status.success()) {
                tracing::error!(failpoint = name, "`kill -STOP` cannot be run");
            }
            // The signal takes effect a moment after it was sent; nothing may happen in between.
            std::thread::sleep(STOPS_WITHIN);
            false
        }
        Action::Pause(time) => {
            std::thread::sleep(time);
            false
        }
        Action::Error => true,
    }
}

fn parse(text: &str) -> Result<BTreeMap<String, Point>, String> {
    let parts = text.split(';').map(str::trim);
    parts.filter(|part| !part.is_empty()).map(point).collect()
}

fn point(part: &str) -> Result<(String, Point), String> {
    let wrong = || format!("`{part}` is not `name=abort|stop|error|pause:20s`, with `@3` at most");
    let (name, what) = part.split_once('=').ok_or_else(wrong)?;
    let (what, at) = match what.split_once('@') {
        Some((what, at)) => (what, Some(at.parse().map_err(|_| wrong())?)),
        None => (what, None),
    };
    let action = match what {
        "abort" => Action::Abort,
        "stop" => Action::Stop,
        "error" => Action::Error,
        other => {
            Action::Pause(time(other.strip_prefix("pause:").ok_or_else(wrong)?).ok_or_else(wrong)?)
        }
    };
    let reached = AtomicU64::new(0);
    Ok((
        name.to_owned(),
        Point {
            action,
            at,
            reached,
        },
    ))
}

fn time(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse().ok().map(Duration::from_millis);
    }
    let seconds = text.strip_suffix('s')?;
    seconds.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_with_what_happens_there() {
        let points = parse("a=abort; b=pause:20s@3;c=pause:50ms;d=error;e=stop").unwrap();
        let action = |name: &str| (points[name].action, points[name].at);
        assert_eq!(action("a"), (Action::Abort, None));
        assert_eq!(
            action("b"),
            (Action::Pause(Duration::from_secs(20)), Some(3))
        );
        assert_eq!(
            action("c"),
            (Action::Pause(Duration::from_millis(50)), None)
        );
        assert_eq!(action("d"), (Action::Error, None));
        assert_eq!(action("e"), (Action::Stop, None));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in ["a", "a=die", "a=pause:20", "a=abort@x", "a=pause"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_nobody_named_does_nothing() {
        fn place() -> Result<(), ()> {
            crate::failpoint!("a.place.of.no.test");
            crate::failpoint!("a.place.of.no.test", if true);
            crate::failpoint!("a.place.of.no.test", return Err(()));
            Ok(())
        }
        assert_eq!(place(), Ok(()));
    }
}
