//! Coverage in numbers.

use core_flow::lab::WidgetCoverage;

/// How much of a flow was played.
pub(super) struct Share {
    pub(super) widgets: (usize, usize),
    pub(super) exits: (usize, usize),
    /// Exits that were not taken: `Menu/timeout`.
    pub(super) missed: Vec<String>,
}

impl Share {
    pub(super) fn of(widgets: &[WidgetCoverage]) -> Self {
        let visited = widgets.iter().filter(|widget| widget.is_visited());
        let exits = widgets
            .iter()
            .flat_map(|widget| widget.exits.iter().map(move |exit| (widget, exit)));
        let missed = exits.clone().filter(|(_, exit)| exit.taken == 0);
        let missed: Vec<String> = missed
            .map(|(widget, exit)| format!("{}/{}", widget.name, exit.name))
            .collect();
        let all = exits.count();
        Self {
            widgets: (visited.count(), widgets.len()),
            exits: (all - missed.len(), all),
            missed,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.missed.is_empty()
    }

    pub(super) fn line(&self) -> String {
        let ((widgets, all), (exits, every)) = (self.widgets, self.exits);
        format!("widgets {widgets} of {all}, exits {exits} of {every}")
    }
}
