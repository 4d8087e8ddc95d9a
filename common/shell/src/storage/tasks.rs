//! The workers as tasks of a simulation, in which a commit takes virtual time. A host that crashes takes them along:
//! what was ordered and not committed by then is gone.

use super::{Answer, Committing, Order, Pause, Reading};
use riser_log::{Disk, Fold};
use riser_model::Read;
use std::{io, time::Duration};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinSet,
    time,
};

/// What a commit takes: enough for others to be ordered meanwhile.
const COMMIT_TAKES: Duration = Duration::from_millis(3);
/// What a read takes.
const READ_TAKES: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Workers {
    orders: UnboundedSender<Order>,
    reads: UnboundedSender<(u64, Read)>,
    _tasks: JoinSet<()>,
}

impl Workers {
    pub(super) fn start<D: Disk, F: Fold, A: Fn(Answer) + Send + 'static>(
        committing: Committing<D, F, A>,
        reading: Reading<D, A>,
    ) -> io::Result<Self> {
        let (orders, ordered) = mpsc::unbounded_channel();
        let (reads, asked) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(commit(committing, ordered));
        tasks.spawn(read(reading, asked));
        Ok(Self { orders, reads, _tasks: tasks })
    }

    pub(super) fn order(&self, order: Order) {
        // A task that has ended panicked, and the simulation with it.
        let _ = self.orders.send(order);
    }

    pub(super) fn read(&self, ticket: u64, read: Read) {
        let _ = self.reads.send((ticket, read));
    }
}

async fn commit<D: Disk, F: Fold, A: Fn(Answer)>(
    mut committing: Committing<D, F, A>,
    mut orders: UnboundedReceiver<Order>,
) {
    loop {
        let next = match committing.pause() {
            Pause::None => Ok(None),
            Pause::AtMost(time) => {
                time::timeout(time, orders.recv()).await.map_or(Ok(None), |next| next.map(Some).ok_or(()))
            }
            Pause::Order => orders.recv().await.map(Some).ok_or(()),
        };
        let Ok(order) = next else { return committing.commit() };
        order.into_iter().for_each(|order| committing.take(order));
        while let Ok(order) = orders.try_recv() {
            committing.take(order);
        }
        time::sleep(COMMIT_TAKES).await;
        committing.work();
    }
}

async fn read<D: Disk, A: Fn(Answer)>(mut reading: Reading<D, A>, mut reads: UnboundedReceiver<(u64, Read)>) {
    while let Some((ticket, read)) = reads.recv().await {
        time::sleep(READ_TAKES).await;
        reading.perform(ticket, &read);
        while reading.teach() {}
    }
}
