//! What was measured, as a table for people and as JSON for machines.

use crate::series::{Claim, Series};
use serde::Serialize;
use std::fmt::Write as _;

/// One figure over all rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Which scenario.
    pub scenario: &'static str,
    /// What was measured.
    pub what: String,
    /// Of whom.
    pub subject: String,
    /// In what.
    pub unit: &'static str,
    /// What that subject's acknowledgement promises.
    pub promise: &'static str,
    /// Round by round.
    pub series: Series,
    /// The middle of them.
    pub median: f64,
}

/// Everything of one run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What made it.
    pub command: String,
    /// Of what kind the machine is.
    pub machine: String,
    /// Who took part, by their own words.
    pub versions: Vec<String>,
    /// What could not be measured, and why.
    pub missing: Vec<String>,
    /// The figures.
    pub figures: Vec<Figure>,
    /// The claims.
    pub claims: Vec<Claim>,
}

/// What a server's acknowledgement promises when the power fails in the next moment.
fn promise(subject: &str) -> &'static str {
    match subject {
        "riser" => "on disk: fdatasync before each acknowledgement, at edge and hub",
        subject if subject.starts_with("riser, ") => "on disk: fdatasync before each acknowledgement",
        "nats, core" | "nats, core, current" => "none: at most once",
        "mosquitto" | "mosquitto, QoS 0" => "in RAM: saved every 30 s",
        "nats" | "nats, current" => "in the page cache: synced every 2 minutes",
        "rumqttd" => "in RAM: never saved",
        "bare, group commit" => "on disk: fdatasync before each acknowledgement",
        "bare" | "bare fan-out" | "bare WebSocket" => "none",
        "raw append" => "on disk: fdatasync after each block",
        _ => "",
    }
}

impl Report {
    /// Adds one round's value.
    pub fn add(
        &mut self,
        scenario: &'static str,
        what: impl Into<String>,
        subject: &str,
        unit: &'static str,
        value: f64,
    ) {
        let what = what.into();
        eprintln!("  {scenario}: {what}, {subject}: {} {unit}", number(value));
        let found = self
            .figures
            .iter_mut()
            .find(|f| f.scenario == scenario && f.what == what && f.subject == subject);
        let figure = match found {
            Some(figure) => figure,
            None => {
                self.figures.push(Figure {
                    scenario,
                    what,
                    subject: subject.into(),
                    unit,
                    promise: promise(subject),
                    series: Series::default(),
                    median: f64::NAN,
                });
                self.figures.last_mut().expect("one was just pushed")
            }
        };
        figure.series.push(value);
        figure.median = figure.series.median();
    }

    /// Says what could not be measured, once for all rounds.
    pub fn lacks(&mut self, what: String) {
        eprintln!("  {what}");
        if !self.missing.contains(&what) {
            self.missing.push(what);
        }
    }

    /// The median of a figure; NaN if it was not taken.
    pub fn median(&self, scenario: &str, what: &str, subject: &str) -> f64 {
        let mut figures = self.figures.iter();
        let found = figures.find(|f| f.scenario == scenario && f.what == what && f.subject == subject);
        found.map_or(f64::NAN, |figure| figure.median)
    }

    /// The smallest and the largest of a figure's rounds; both NaN if it was not taken. What may never happen is judged by the
    /// largest: a median passes over a single round.
    pub fn spread(&self, scenario: &str, what: &str, subject: &str) -> (f64, f64) {
        let mut figures = self.figures.iter();
        let found = figures.find(|f| f.scenario == scenario && f.what == what && f.subject == subject);
        found.map_or((f64::NAN, f64::NAN), |figure| figure.series.spread())
    }

    /// The largest median of those subjects that took part; NaN if none did.
    pub fn most(&self, scenario: &str, what: &str, subjects: &[&str]) -> f64 {
        subjects.iter().map(|subject| self.median(scenario, what, subject)).fold(f64::NAN, f64::max)
    }

    /// The smallest median of those subjects that took part; NaN if none did.
    pub fn least(&self, scenario: &str, what: &str, subjects: &[&str]) -> f64 {
        subjects.iter().map(|subject| self.median(scenario, what, subject)).fold(f64::NAN, f64::min)
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut text = format!("\n{}\n{}\n{}\n", self.command, self.machine, self.versions.join("; "));
        for missing in &self.missing {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "MISSING: {missing}");
        }
        for (at, first) in self.figures.iter().enumerate() {
            let same = |other: &&Figure| (other.scenario, &other.what) == (first.scenario, &first.what);
            if self.figures[..at].iter().any(|earlier| same(&earlier)) {
                continue;
            }
            let _ = writeln!(text, "\n{}: {} ({})", first.scenario, first.what, first.unit);
            for figure in self.figures.iter().filter(same) {
                let (least, most) = figure.series.spread();
                let range = format!("{} .. {}", number(least), number(most));
                let median = number(figure.median);
                let _ = writeln!(text, "  {:<20}{median:>10}  {range:<24}{}", figure.subject, figure.promise);
            }
        }
        if !self.claims.is_empty() {
            text.push_str("\nclaims\n");
        }
        for claim in &self.claims {
            let verdict = if claim.holds() { "met" } else { "MISSED" };
            let bound = if claim.at_least { "at least" } else { "at most" };
            let (measured, goal) = (number(claim.measured), number(claim.goal));
            let _ = writeln!(text, "  {verdict:<8}{measured:>10}  {bound} {goal:<8}{}", claim.what);
        }
        text
    }
}

/// Three digits are what a benchmark is good for.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size.is_nan() => "none".into(),
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e4 => format!("{:.1} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_gathered_over_the_rounds_and_compared() {
        let mut report = Report::default();
        for (riser, nats) in [(500.0, 90.0), (400.0, 100.0), (600.0, 110.0)] {
            report.add("ingest", "50 x 100", "riser", "msg/s", riser);
            report.add("ingest", "50 x 100", "nats", "msg/s", nats);
        }
        assert_eq!(report.median("ingest", "50 x 100", "riser"), 500.0);
        assert_eq!(report.most("ingest", "50 x 100", &["mosquitto", "nats"]), 100.0);
        assert!(report.least("flood", "", &["nats"]).is_nan());
        assert_eq!(report.spread("ingest", "50 x 100", "riser"), (400.0, 600.0));
        let (least, most) = report.spread("ingest", "50 x 100", "mosquitto");
        assert!(least.is_nan() && most.is_nan());
        report.claims.push(Claim::at_least("five times", 500.0 / 100.0, 5.0));
        report.claims.push(Claim::at_least("of whom is missing", f64::NAN, 5.0));
        let table = report.table();
        assert!(table.contains("500  400 .. 600") && table.contains("page cache"), "{table}");
        assert!(table.contains("met") && table.contains("MISSED"), "{table}");
    }
}
