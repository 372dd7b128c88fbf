//! What the demo tells: the timeline, the checks, the bill; as a story or as one JSON object.

use core_types::Timestamp;
use crossterm::style::Stylize as _;
use serde::Serialize;

/// One line of the story.
#[derive(Debug, Serialize)]
struct Line {
    /// Virtual time, RFC 3339.
    at: String,
    /// Who acts: `Maria`, `flow`, `Ana`, `Ben`, `routing`, `billing`, ….
    who: String,
    /// What happens.
    what: String,
}

/// One promise looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
}

/// One line of the bill.
#[derive(Debug, Serialize)]
pub(crate) struct BillLine {
    pub(crate) category: String,
    pub(crate) pricing_type: String,
    pub(crate) country: String,
    pub(crate) messages: u64,
    pub(crate) amount: String,
}

/// The bill of the month.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Bill {
    pub(crate) month: String,
    pub(crate) lines: Vec<BillLine>,
    pub(crate) total: String,
}

/// Everything told.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    ok: bool,
    checks: Vec<Check>,
    timeline: Vec<Line>,
    bill: Bill,
    #[serde(skip)]
    live: bool,
    #[serde(skip)]
    colour: bool,
    #[serde(skip)]
    day: String,
}

impl Report {
    /// Nothing told yet. `live` prints lines as they come.
    pub(crate) fn new(live: bool, colour: bool) -> Self {
        let (checks, timeline) = (Vec::new(), Vec::new());
        Self {
            ok: true,
            checks,
            timeline,
            bill: Bill::default(),
            live,
            colour,
            day: String::new(),
        }
    }

    /// Adds a line to the story.
    pub(crate) fn tell(&mut self, at: Timestamp, who: &str, what: impl Into<String>) {
        let line = Line {
            at: at.to_string(),
            who: who.to_owned(),
            what: what.into(),
        };
        if self.live {
            let (day, time) = line.at.split_once('T').unwrap_or((&line.at, ""));
            if self.day != day {
                println!("\n{}", self.paint(day, |text| text.bold().to_string()));
                day.clone_into(&mut self.day);
            }
            let time = time.get(..8).unwrap_or(time);
            let who = self.paint(&format!("{:>8}", line.who), |text| text.cyan().to_string());
            let mut text = line.what.split('\n').filter(|part| !part.is_empty());
            println!("  {time}  {who}  {}", text.next().unwrap_or_default());
            for part in text {
                println!("  {:8}  {:8}  {part}", "", "");
            }
        }
        self.timeline.push(line);
    }

    /// Records whether a promise held.
    pub(crate) fn check(&mut self, name: &str, ok: bool, detail: impl Into<String>) {
        self.ok &= ok;
        self.checks.push(Check {
            name: name.to_owned(),
            ok,
            detail: detail.into(),
        });
    }

    /// Records that two values are what they should be.
    pub(crate) fn check_equal<T: PartialEq + std::fmt::Debug>(
        &mut self,
        name: &str,
        found: &T,
        expected: &T,
    ) {
        let ok = found == expected;
        let detail = if ok {
            format!("{found:?}")
        } else {
            format!("{found:?} instead of {expected:?}")
        };
        self.check(name, ok, detail);
    }

    /// Takes the bill in.
    pub(crate) fn set_bill(&mut self, bill: Bill) {
        self.bill = bill;
    }

    fn paint(&self, text: &str, style: impl Fn(&str) -> String) -> String {
        if self.colour {
            style(text)
        } else {
            text.to_owned()
        }
    }

    /// Prints what is left to print.
    ///
    /// # Errors
    /// When a check failed.
    pub(crate) fn finish(self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string(&self)?);
        } else {
            self.print_tables();
        }
        let failed = self.checks.iter().filter(|check| !check.ok).count();
        if failed > 0 {
            anyhow::bail!("{failed} of {} checks failed", self.checks.len());
        }
        Ok(())
    }

    fn print_tables(&self) {
        println!("\n{}", self.paint("Bill", |text| text.bold().to_string()));
        for line in &self.bill.lines {
            println!(
                "  {:3} × {:12} {:24} {:3} {:>14}",
                line.messages, line.category, line.pricing_type, line.country, line.amount
            );
        }
        println!(
            "  {:47} {:>14}",
            format!("Total {}", self.bill.month),
            self.bill.total
        );
        println!("\n{}", self.paint("Checks", |text| text.bold().to_string()));
        for check in &self.checks {
            let mark = if check.ok {
                self.paint("ok  ", |text| text.green().to_string())
            } else {
                self.paint("FAIL", |text| text.red().to_string())
            };
            println!("  {mark}  {:54}  {}", check.name, check.detail);
        }
        let passed = self.checks.iter().filter(|check| check.ok).count();
        println!("\n  {passed} of {} checks passed", self.checks.len());
    }
}
