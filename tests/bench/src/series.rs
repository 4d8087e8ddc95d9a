//! One figure over several rounds: median and spread, and ratios of medians.

use serde::Serialize;

/// The same measurement, once per round.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Series {
    /// In the order of the rounds.
    pub values: Vec<f64>,
}

impl Series {
    /// Adds a round.
    pub fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// The middle value; NaN of nothing.
    pub fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// Smallest and largest.
    pub fn spread(&self) -> (f64, f64) {
        let fold = |start: f64, pick: fn(f64, f64) -> f64| self.values.iter().copied().fold(start, pick);
        (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max))
    }
}

/// A goal and how it was met.
#[derive(Clone, Debug, Serialize)]
pub struct Claim {
    /// What is compared.
    pub what: String,
    /// The ratio or figure that was measured.
    pub measured: f64,
    /// The bound.
    pub goal: f64,
    /// Whether the bound is a lower one.
    pub at_least: bool,
}

impl Claim {
    /// `measured` must be at least `goal`.
    pub fn at_least(what: impl Into<String>, measured: f64, goal: f64) -> Self {
        Self { what: what.into(), measured, goal, at_least: true }
    }

    /// `measured` must be at most `goal`.
    pub fn at_most(what: impl Into<String>, measured: f64, goal: f64) -> Self {
        Self { what: what.into(), measured, goal, at_least: false }
    }

    /// Whether it is met. A figure that could not be taken is not.
    pub fn holds(&self) -> bool {
        if self.at_least { self.measured >= self.goal } else { self.measured <= self.goal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_claims() {
        let series = Series { values: vec![3.0, 1.0, 2.0, 10.0] };
        assert_eq!(series.median(), 2.5);
        assert_eq!(series.spread(), (1.0, 10.0));
        assert!(Claim::at_least("a", 2.0, 2.0).holds());
        assert!(!Claim::at_most("a", 2.1, 2.0).holds());
        assert!(!Claim::at_least("a", Series::default().median(), 0.0).holds());
    }
}
