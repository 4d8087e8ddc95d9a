use super::*;
use riser_model::{BootId, Stamp, Wall};
use riser_wire::link::Opening;

pub(crate) fn hello() -> Hello {
    let span = EpochSpan { epoch: Epoch(5), first: Seq(1), last: Seq(10) };
    Hello {
        edge: ClientId::SYSTEM,
        log: LogId(1),
        chain: vec![Opening { span, anchor: None }],
        live: Epoch(5),
        last_added: Seq(10),
        cursor: CursorValue::default(),
        boot: BootId(6),
        clock: Stamp { boot_us: 1, wall: Wall(2), uncertainty_ms: 3 },
        nonce: Nonce([1; 32]),
    }
}
