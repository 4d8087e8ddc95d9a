//! What a run says while it goes: one line per event, in the order of time, the same for the same seed.

use riser_model::Time;

/// See the module.
#[derive(Debug, Default)]
pub struct Trace {
    kept: Option<Vec<String>>,
    /// What was not as it must be: when, and what.
    pub wrong: Vec<(Time, String)>,
}

/// A run that is wrong in this many ways is wrong enough.
const WRONG_MAX: usize = 24;

impl Trace {
    /// One that keeps its lines, or not.
    pub fn new(kept: bool) -> Self {
        Self { kept: kept.then(Vec::new), wrong: Vec::new() }
    }

    /// Something happened. The line is made only if somebody will read it.
    pub fn line(&mut self, at: Time, line: impl FnOnce() -> String) {
        if let Some(kept) = &mut self.kept {
            kept.push(format!("{} {}", shown(at), line()));
        }
    }

    /// Something is not as it must be.
    pub fn wrong(&mut self, at: Time, what: String) {
        if self.wrong.len() < WRONG_MAX {
            self.line(at, || format!("VIOLATION {what}"));
            self.wrong.push((at, what));
        }
    }

    /// The lines.
    pub fn lines(&self) -> &[String] {
        self.kept.as_deref().unwrap_or_default()
    }
}

/// A time as people read it: seconds with six places.
pub fn shown(at: Time) -> String {
    format!("{:>5}.{:06}", at.0 / 1_000_000_000, at.0 / 1000 % 1_000_000)
}
