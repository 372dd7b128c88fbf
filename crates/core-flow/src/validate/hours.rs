//! What is wrong with business hours.

use std::collections::BTreeSet;

use super::settings::Checker;
use crate::definition::BusinessHours;
use crate::hours::Hours;
use crate::limits::{MAX_HOURS, MAX_LINE};

impl Checker<'_, '_> {
    /// A zone that is known, times and days that can be read, and some time at which it is open.
    pub(super) fn hours(&mut self, settings: &BusinessHours) {
        for (field, count) in [
            ("open", settings.open.len()),
            ("closures", settings.closures.len()),
        ] {
            if count > MAX_HOURS {
                let message = format!("there are {count} of them");
                self.error(field, message, format!("use at most {MAX_HOURS}"));
            }
        }
        if settings.open.is_empty() {
            let remedy = "add a time, or leave out the widget";
            self.error("open", "it is never open", remedy);
        }
        for (index, opening) in settings.open.iter().enumerate().take(MAX_HOURS) {
            let days: BTreeSet<_> = opening.days.iter().collect();
            if days.is_empty() || days.len() < opening.days.len() {
                let field = format!("open[{index}].days");
                self.error(&field, "no day, or one named twice", "name each day once");
            }
        }
        for (index, closure) in settings.closures.iter().enumerate().take(MAX_HOURS) {
            if let Some(name) = &closure.name {
                self.fixed(&format!("closures[{index}].name"), name, MAX_LINE);
            }
        }
        if let Err(wrong) = Hours::read(settings) {
            for one in wrong.into_iter().take(MAX_HOURS) {
                self.error(&one.field, one.message, one.remedy);
            }
        }
    }
}
