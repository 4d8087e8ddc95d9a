//! The workers as threads.

use super::{
    Answer, Asked, Committing, Order, Pause, Reading,
    archiving::{self, Archiving, Next},
};
use riser_log::{Disk, Fold};
use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError},
    thread::{self, JoinHandle},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Workers {
    orders: Option<Sender<Order>>,
    reads: Option<Sender<Asked>>,
    archive: Option<Sender<archiving::Order>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(super) fn start<D: Disk, F: Fold, A: Fn(Answer) + Send + 'static>(
        mut committing: Committing<D, F, A>,
        reading: Reading<D, A>,
        archiving: Option<Archiving<D, A>>,
    ) -> io::Result<Self> {
        let (orders, ordered) = mpsc::channel();
        let (reads, asked) = mpsc::channel();
        let (mut threads, mut archive) = (Vec::new(), None);
        if let Some(archiving) = archiving {
            let (wake, woken) = mpsc::channel();
            let sealed = wake.clone();
            // A thread that has ended panicked, and took the process's answer with it.
            committing.sealed = Some(Box::new(move || drop(sealed.send(archiving::Order::Sealed))));
            archive = Some(wake);
            let orders = orders.clone();
            let thread = thread::Builder::new().name("log-archive".into());
            threads.push(thread.spawn(move || self::archive(archiving, &woken, &orders))?);
        }
        threads.extend([
            thread::Builder::new().name("log-commit".into()).spawn(move || commit(committing, &ordered))?,
            thread::Builder::new().name("log-read".into()).spawn(move || read(reading, &asked))?,
        ]);
        Ok(Self { orders: Some(orders), reads: Some(reads), archive, threads })
    }

    pub(super) fn archive(&self, order: archiving::Order) {
        if let Some(archive) = &self.archive {
            let _ = archive.send(order);
        }
    }

    pub(super) fn order(&self, order: Order) {
        let orders = self.orders.as_ref().expect("only drop takes it");
        // A thread that has ended panicked, and took the process's answer with it.
        let _ = orders.send(order);
    }

    pub(super) fn read(&self, asked: Asked) {
        let reads = self.reads.as_ref().expect("only drop takes it");
        let _ = reads.send(asked);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // It has a way to the committing thread, which ends when nobody has.
        self.archive(archiving::Order::Stop);
        self.orders = None;
        self.reads = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a log thread panicked");
            }
        }
    }
}

fn commit<D: Disk, F: Fold, A: Fn(Answer)>(mut committing: Committing<D, F, A>, orders: &Receiver<Order>) {
    loop {
        let next = match committing.pause() {
            Pause::None => Err(RecvTimeoutError::Timeout),
            Pause::AtMost(time) => orders.recv_timeout(time),
            Pause::Order => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(order) => committing.take(order),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return committing.commit(),
        }
        while let Ok(order) = orders.try_recv() {
            committing.take(order);
        }
        committing.work();
    }
}

fn archive<D: Disk, A: Fn(Answer)>(
    mut archiving: Archiving<D, A>,
    woken: &Receiver<archiving::Order>,
    orders: &Sender<Order>,
) {
    let mut next = Next::Step;
    loop {
        let order = match next {
            Next::Step => woken.try_recv().map_err(|empty| empty == TryRecvError::Disconnected),
            Next::Wait(None) => woken.recv().map_err(|_| true),
            Next::Wait(Some(time)) => {
                woken.recv_timeout(time).map_err(|error| error == RecvTimeoutError::Disconnected)
            }
        };
        match order {
            Ok(order) => {
                if !archiving.take(order) {
                    return;
                }
            }
            Err(true) => return,
            Err(false) => {}
        }
        next = archiving.step();
        let _ = orders.send(Order::Archived(archiving.through()));
    }
}

fn read<D: Disk, A: Fn(Answer)>(mut reading: Reading<D, A>, reads: &Receiver<Asked>) {
    let mut learning = true;
    loop {
        // What the index does not know it is told while nobody waits.
        let next =
            if learning { reads.try_recv() } else { reads.recv().map_err(|_| TryRecvError::Disconnected) };
        match next {
            Ok(asked) => {
                reading.answer(&asked);
                learning = true;
            }
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => learning = reading.teach(),
        }
    }
}
