//! What was measured as one page: a chart for each figure, medians with the smallest and the largest round, what each
//! acknowledgement promises beside its number, and what was claimed.
//!
//! The page asks for nothing from anywhere: no script, no font, no other file.

use crate::{
    report::{Figure, Report, number},
    series::Claim,
};
use std::fmt::Write as _;

/// Above this many times the smallest, the largest would leave nothing to see of it: lengths are logarithms then.
const LINEAR_UP_TO: f64 = 60.0;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1d2530;--soft:#66707e;--ground:#fbfaf8;--line:#dfdcd6;--other:#9aa7b6;--own:#0b7a75;--whisker:#1d2530;--missed:#b3261e}
@media (prefers-color-scheme:dark){:root{--ink:#e6e3dd;--soft:#9aa3ad;--ground:#14181d;--line:#2c333b;--other:#5d6b7a;--own:#3fb8af;--whisker:#e6e3dd;--missed:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:56rem;padding:1.25rem;background:var(--ground);color:var(--ink);font:16px/1.45 system-ui,sans-serif}
h1{font-size:1.6rem;margin:0 0 .5rem}h2{margin:2.5rem 0 .25rem;border-bottom:1px solid var(--line)}h3{font-size:1rem;margin:1.4rem 0 .4rem;font-weight:600}
p,li{color:var(--soft);margin:.2rem 0}code{overflow-wrap:anywhere;color:var(--ink)}
.row{display:grid;grid-template-columns:11rem 1fr 6.5rem;gap:0 .75rem;align-items:center;padding:.15rem 0}
.row svg{width:100%;height:1.1rem;display:block}.row .who{font-weight:500}.row .many{text-align:right;font-variant-numeric:tabular-nums}
.row small{grid-column:1/-1;color:var(--soft);font-size:.78rem}
.bar{fill:var(--other)}.own .bar{fill:var(--own)}.range{stroke:var(--whisker);stroke-width:1.5;vector-effect:non-scaling-stroke}
table{border-collapse:collapse;width:100%}td{padding:.3rem .6rem .3rem 0;border-top:1px solid var(--line);vertical-align:top}
td.many{white-space:nowrap;font-variant-numeric:tabular-nums}.met{color:var(--own)}.missed{color:var(--missed);font-weight:600}
@media (max-width:34rem){.row{grid-template-columns:1fr 6.5rem}.row svg{grid-column:1/-1;grid-row:2}}
";

/// The page.
pub fn of(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>Riser beside its peers</title>\n<style>{STYLE}</style>\n<body>\n<h1>Riser beside its peers</h1>\n"
    );
    write(&mut page, format_args!("<p><code>{}</code></p>\n", escaped(&report.command)));
    write(&mut page, format_args!("<p>{}</p>\n<ul>\n", escaped(&report.machine)));
    for version in &report.versions {
        write(&mut page, format_args!("<li>{}</li>\n", escaped(version)));
    }
    page.push_str(
        "</ul>\n<p>A bar is the median of the rounds, the line on it goes from the smallest to the largest. Below are \
         these two, and what that server's acknowledgement promises when the power fails in the next moment.</p>\n",
    );
    claims(&mut page, &report.claims);
    let mut scenario = "";
    for (at, first) in report.figures.iter().enumerate() {
        let is_same = |other: &&Figure| (other.scenario, &other.what) == (first.scenario, &first.what);
        if report.figures[..at].iter().any(|earlier| is_same(&earlier)) {
            continue;
        }
        if first.scenario != scenario {
            scenario = first.scenario;
            write(&mut page, format_args!("<h2>{}</h2>\n", escaped(scenario)));
        }
        let same: Vec<&Figure> = report.figures.iter().filter(is_same).collect();
        chart(&mut page, &same);
    }
    if !report.missing.is_empty() {
        page.push_str("<h2>not measured</h2>\n<ul>\n");
        for missing in &report.missing {
            write(&mut page, format_args!("<li>{}</li>\n", escaped(missing)));
        }
        page.push_str("</ul>\n");
    }
    page.push_str("</body></html>\n");
    page
}

fn claims(page: &mut String, claims: &[Claim]) {
    if claims.is_empty() {
        return;
    }
    page.push_str("<h2>claims</h2>\n<table>\n");
    for claim in claims {
        let (class, verdict) = if claim.holds() { ("met", "met") } else { ("missed", "missed") };
        let bound = if claim.at_least { "at least" } else { "at most" };
        write(
            page,
            format_args!(
                "<tr><td class=\"{class}\">{verdict}</td><td class=\"many\">{}, {bound} {}</td><td>{}</td></tr>\n",
                number(claim.measured),
                number(claim.goal),
                escaped(&claim.what)
            ),
        );
    }
    page.push_str("</table>\n");
}

/// One figure of everybody of whom it was taken.
fn chart(page: &mut String, figures: &[&Figure]) {
    let Some(first) = figures.first() else { return };
    let values = || figures.iter().flat_map(|figure| figure.series.values.iter().copied());
    let scale = Scale::of(values());
    let note = if scale.is_logarithmic() { ", logarithmic" } else { "" };
    write(page, format_args!("<h3>{} ({}{note})</h3>\n", escaped(&first.what), escaped(first.unit)));
    for figure in figures {
        let (least, most) = figure.series.spread();
        let [bar, from, to] = [figure.median, least, most].map(|value| scale.place(value));
        let promise = escaped(figure.promise);
        let below = match (figure.series.values.len(), promise.is_empty()) {
            (..2, _) => promise,
            (_, true) => format!("{} to {}", number(least), number(most)),
            (_, false) => format!("{} to {}; {promise}", number(least), number(most)),
        };
        let own = if figure.subject.starts_with("riser") { " own" } else { "" };
        write(
            page,
            format_args!(
                "<div class=\"row{own}\"><span class=\"who\">{who}</span>\
                 <svg viewBox=\"0 0 1000 20\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{who}: {median} ({low} to {high}) {unit}\">\
                 <rect class=\"bar\" y=\"3\" width=\"{bar:.1}\" height=\"14\"/>\
                 <path class=\"range\" d=\"M{from:.1} 10H{to:.1}M{from:.1} 6V14M{to:.1} 6V14\"/></svg>\
                 <span class=\"many\">{median}</span><small>{below}</small></div>\n",
                who = escaped(&figure.subject),
                median = number(figure.median),
                low = number(least),
                high = number(most),
                unit = escaped(figure.unit),
            ),
        );
    }
}

/// Where a value ends, of a thousand.
enum Scale {
    Linear { most: f64 },
    Logarithmic { least: f64, most: f64 },
}

impl Scale {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let most = values.clone().fold(0.0, f64::max);
        let least = values.clone().filter(|value| *value > 0.0).fold(most, f64::min);
        // Of no logarithm is nothing: who has none of it is at the left.
        if least > 0.0 && most / least > LINEAR_UP_TO {
            Self::Logarithmic { least: least / 2.0, most }
        } else {
            Self::Linear { most }
        }
    }

    fn is_logarithmic(&self) -> bool {
        matches!(self, Self::Logarithmic { .. })
    }

    fn place(&self, value: f64) -> f64 {
        let share = match *self {
            Self::Linear { most } => value / most,
            Self::Logarithmic { least, most } => (value / least).ln() / (most / least).ln(),
        };
        // What is no number has no length.
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) * 1000.0 }
    }
}

fn write(page: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = page.write_fmt(words);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_shows_every_figure_and_asks_for_nothing() {
        let mut report = Report { command: "bench --only <ingest>".into(), ..Report::default() };
        for (subject, value) in [("riser", 500.0), ("riser", 700.0), ("nats", 100.0)] {
            report.add("ingest", "50 x 100", subject, "msg/s", value);
        }
        report.add("kill", "lost", "mosquitto", "messages", 0.0);
        report.lacks("backlog: nats: not in 20 s".into());
        report.claims = vec![
            Claim::at_least("five \"times\"", 6.0, 5.0),
            Claim::at_most("of whom is missing", f64::NAN, 5.0),
        ];
        let page = of(&report);
        for part in [
            "bench --only &lt;ingest&gt;",
            "<h2>ingest</h2>",
            "50 x 100 (msg/s)",
            "aria-label=\"riser: 600 (500 to 700) msg/s\"",
            "500 to 700; on disk: fdatasync",
            "five &quot;times&quot;",
            "class=\"met\"",
            "class=\"missed\"",
            "not in 20 s",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        for foreign in ["http:", "https:", "src=", "<script", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign} is in it");
        }
        assert_eq!(page.matches("class=\"row").count(), 3);
    }

    #[test]
    fn lengths_are_shares_of_the_largest_and_logarithms_where_that_shows_nothing() {
        let linear = Scale::of([10.0, 5.0].into_iter());
        assert!(!linear.is_logarithmic());
        assert_eq!((linear.place(10.0), linear.place(5.0), linear.place(0.0)), (1000.0, 500.0, 0.0));
        let logarithmic = Scale::of([1.0, 1e6, 0.0].into_iter());
        assert!(logarithmic.is_logarithmic());
        let (small, large) = (logarithmic.place(1.0), logarithmic.place(1e6));
        assert!(small > 10.0 && large == 1000.0 && logarithmic.place(0.0) == 0.0, "{small} {large}");
        assert_eq!(Scale::of(std::iter::empty()).place(f64::NAN), 0.0);
    }
}
