//! MQTT sessions as the log's fold: their snapshot rides in every checkpoint (rule 6.6).

use riser_log::Fold;
use riser_model::Seq;
use riser_mqtt::Sessions;
use riser_wire::entry::Frame;

/// The sessions, folded by the log.
#[derive(Clone, Debug, Default)]
pub struct SessionFold(pub Sessions);

impl Fold for SessionFold {
    fn apply(&mut self, seq: Seq, frame: &Frame<'_>) {
        apply(&mut self.0, seq, frame);
    }

    fn save(&self) -> Vec<u8> {
        self.0.save()
    }

    fn load(bytes: &[u8]) -> Option<Self> {
        Sessions::load(bytes).map(Self)
    }
}

/// Entries of other logs speak of those logs' sessions. [Taken for this log's, a packet id that a device used at an
/// edge would swallow the next message of a device at the hub.]
pub(crate) fn apply(sessions: &mut Sessions, seq: Seq, frame: &Frame<'_>) {
    if frame.origin.is_none() {
        sessions.apply(seq, frame);
    }
}
