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
        self.0.apply(seq, frame);
    }

    fn save(&self) -> Vec<u8> {
        self.0.save()
    }

    fn load(bytes: &[u8]) -> Option<Self> {
        Sessions::load(bytes).map(Self)
    }
}
