//! The workers as tasks of a simulation, in which a commit takes virtual time. A host that crashes takes them along:
//! what was ordered and not committed by then is gone.

use super::{
    Answer, Asked, Committing, Order, Pause, Reading,
    archiving::{self, Archiving, Next},
};
use riser_log::{Disk, Fold};
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
    reads: UnboundedSender<Asked>,
    archive: UnboundedSender<archiving::Order>,
    _tasks: JoinSet<()>,
}

impl Workers {
    pub(super) fn start<D: Disk, F: Fold, A: Fn(Answer) + Send + 'static>(
        mut committing: Committing<D, F, A>,
        reading: Reading<D, A>,
        archiving: Option<Archiving<D, A>>,
    ) -> io::Result<Self> {
        let (orders, ordered) = mpsc::unbounded_channel();
        let (reads, asked) = mpsc::unbounded_channel();
        let (archive, woken) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        if let Some(archiving) = archiving {
            let sealed = archive.clone();
            committing.sealed = Some(Box::new(move || drop(sealed.send(archiving::Order::Sealed))));
            tasks.spawn(self::archive(archiving, woken, orders.clone()));
        }
        tasks.spawn(commit(committing, ordered));
        tasks.spawn(read(reading, asked));
        Ok(Self { orders, reads, archive, _tasks: tasks })
    }

    pub(super) fn order(&self, order: Order) {
        // A task that has ended panicked, and the simulation with it.
        let _ = self.orders.send(order);
    }

    pub(super) fn archive(&self, order: archiving::Order) {
        let _ = self.archive.send(order);
    }

    pub(super) fn read(&self, asked: Asked) {
        let _ = self.reads.send(asked);
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

async fn archive<D: Disk, A: Fn(Answer)>(
    mut archiving: Archiving<D, A>,
    mut woken: UnboundedReceiver<archiving::Order>,
    orders: UnboundedSender<Order>,
) {
    loop {
        time::sleep(COMMIT_TAKES).await;
        let next = archiving.step();
        let _ = orders.send(Order::Archived(archiving.through()));
        let order = match next {
            Next::Step => woken.try_recv().ok(),
            Next::Wait(None) => woken.recv().await,
            Next::Wait(Some(time)) => time::timeout(time, woken.recv()).await.ok().flatten(),
        };
        if order.is_some_and(|order| !archiving.take(order)) {
            return;
        }
    }
}

async fn read<D: Disk, A: Fn(Answer)>(mut reading: Reading<D, A>, mut reads: UnboundedReceiver<Asked>) {
    while let Some(asked) = reads.recv().await {
        time::sleep(READ_TAKES).await;
        reading.answer(&asked);
        while reading.teach() {}
    }
}
