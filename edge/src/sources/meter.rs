//! What one source counts. Each number is counted where it happens.

use riser_model::door::Refusal;
use riser_shell::{
    Metrics,
    metrics::{BySource, Count, Level, SourceRefused},
};
use std::sync::Arc;

/// The numbers of one source; shared by its connections, one after the other.
#[derive(Clone)]
pub(crate) struct Meter {
    /// Its name, for logs too.
    pub(crate) name: Arc<str>,
    metrics: Arc<Metrics>,
    /// 1 while it is subscribed, or its input is open.
    pub(crate) up: Level,
    /// Messages that came.
    pub(crate) received: Count,
    /// Of these, such as were sent before: the source could not know yet that they are here.
    pub(crate) resent: Count,
    /// Messages that are on disk.
    pub(crate) stored: Count,
    /// Acknowledgements that left.
    pub(crate) acknowledged: Count,
    /// Connections after the first.
    pub(crate) reconnects: Count,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Meter {
    /// The numbers of the source of this name.
    pub(crate) fn new(name: &str, metrics: &Arc<Metrics>) -> Self {
        let by = BySource { source: name.to_owned() };
        Self {
            name: name.into(),
            up: metrics.source_up.get_or_create(&by).clone(),
            received: metrics.source_received.get_or_create(&by).clone(),
            resent: metrics.source_resent.get_or_create(&by).clone(),
            stored: metrics.source_stored.get_or_create(&by).clone(),
            acknowledged: metrics.source_acknowledged.get_or_create(&by).clone(),
            reconnects: metrics.source_reconnects.get_or_create(&by).clone(),
            metrics: Arc::clone(metrics),
        }
    }

    /// A message was refused, and will not be asked for again. Says so: the first, and then ever more rarely.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        let Refusal { code, what, want } = refusal;
        let by = SourceRefused { source: self.name.to_string(), code: code.name() };
        let count = self.metrics.source_refused.get_or_create(&by).inc() + 1;
        if count.is_power_of_two() {
            tracing::warn!(source = &*self.name, code = code.name(), count, what, want, "refused");
        }
    }
}
