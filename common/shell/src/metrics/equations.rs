//! The equation of promise 3, for each uplink, edge below and log below that: said as a whole, shown as a whole.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
};
use riser_model::Epoch;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

/// Whose equation it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EquationOf {
    /// The uplink's name; of an edge below, its id; of a log below that, the log's id.
    pub name: String,
    /// The epoch of the edge's log.
    pub epoch: Epoch,
}

/// The four numbers of promise 3, each counted where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Equation {
    /// Seqs given by commits.
    pub accepted: u64,
    /// Seqs confirmed by that uplink's hub.
    pub synced: u64,
    /// Seqs not confirmed yet.
    pub queued: u64,
    /// Seqs under a link gap.
    pub gapped: u64,
}

impl Equation {
    /// Whether it adds up.
    pub fn holds(&self) -> bool {
        self.synced.checked_add(self.queued).and_then(|sum| sum.checked_add(self.gapped))
            == Some(self.accepted)
    }
}

/// The equations of all uplinks, of all edges below, or of all logs below those, replaced as a whole.
#[derive(Debug)]
pub(super) struct Equations {
    /// `uplink` or `edge`: what the names and the label begin with.
    pub(super) of: &'static str,
    pub(super) all: Mutex<BTreeMap<EquationOf, Equation>>,
}

impl Equations {
    pub(super) fn say(&self, all: impl IntoIterator<Item = (EquationOf, Equation)>) {
        *self.all.lock().unwrap_or_else(PoisonError::into_inner) = all.into_iter().collect();
    }
}

impl Collector for Equations {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        type Part = fn(&Equation) -> u64;
        let parts: [(&str, &str, Part); 5] = [
            ("accepted", "Seqs given by commits of the edge's log.", |e| e.accepted),
            ("synced", "Seqs that the hub confirmed.", |e| e.synced),
            ("queued", "Seqs that the hub has not confirmed yet.", |e| e.queued),
            ("gapped", "Seqs that are gone, under a gap with a cause.", |e| e.gapped),
            ("unequal", "1 where accepted = synced + queued + gapped does not hold.", |e| {
                u64::from(!e.holds())
            }),
        ];
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for (what, help, part) in parts {
            if all.is_empty() {
                continue;
            }
            let name = format!("{}_{what}", self.of);
            let gauge = ConstGauge::new(0_u64);
            let mut encoder = encoder.encode_descriptor(&name, help, None, gauge.metric_type())?;
            for (EquationOf { name, epoch }, equation) in &*all {
                let labels = [(self.of, name.clone()), ("epoch", format!("{:016x}", epoch.0))];
                ConstGauge::new(part(equation)).encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Metrics, tests::line},
        *,
    };

    #[test]
    fn equations_are_shown_together_and_one_that_does_not_add_up_is_marked() {
        let metrics = Metrics::new("edge", "1.2.3");
        assert!(!metrics.encode().contains("riser_uplink_accepted"));
        let of = |name: &str, epoch| EquationOf { name: name.to_owned(), epoch: Epoch(epoch) };
        let right = Equation { accepted: 10, synced: 6, queued: 3, gapped: 1 };
        let wrong = Equation { accepted: 10, ..Equation::default() };
        metrics.uplinks([(of("a", 1), right), (of("b", 2), wrong)]);
        let text = metrics.encode();
        let at = |name: &str, uplink: &str, epoch: u64| {
            let name = format!("riser_uplink_{name}{{uplink=\"{uplink}\",epoch=\"{epoch:016x}\"}} ");
            line(&text, &name).rsplit(' ').next().unwrap().to_owned()
        };
        assert_eq!(
            ["accepted", "synced", "queued", "gapped", "unequal"].map(|name| at(name, "a", 1)),
            ["10", "6", "3", "1", "0"]
        );
        assert_eq!(at("unequal", "b", 2), "1");
        metrics.uplinks([(of("b", 2), right)]);
        assert!(!metrics.encode().contains("uplink=\"a\""), "an epoch that is over is not shown for ever");
    }

    #[test]
    fn a_hub_says_the_equations_of_its_edges() {
        let metrics = Metrics::new("hub", "1.2.3");
        let edge = EquationOf { name: "e".to_owned(), epoch: Epoch(1) };
        metrics.edges([(edge, Equation { accepted: 2, synced: 2, ..Equation::default() })]);
        let text = metrics.encode();
        assert!(
            line(&text, "riser_edge_synced").ends_with("{edge=\"e\",epoch=\"0000000000000001\"} 2"),
            "{text}"
        );
    }

    #[test]
    fn an_equation_that_overflows_does_not_hold() {
        assert!(!Equation { accepted: 0, synced: u64::MAX, queued: 1, gapped: 0 }.holds());
    }
}
