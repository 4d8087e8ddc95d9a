//! The workers as threads.

use super::{Answer, Committing, Order, Pause, Reading};
use riser_log::{Disk, Fold};
use riser_model::Read;
use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError},
    thread::{self, JoinHandle},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Workers {
    orders: Option<Sender<Order>>,
    reads: Option<Sender<(u64, Read)>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(super) fn start<D: Disk, F: Fold, A: Fn(Answer) + Send + 'static>(
        committing: Committing<D, F, A>,
        reading: Reading<D, A>,
    ) -> io::Result<Self> {
        let (orders, ordered) = mpsc::channel();
        let (reads, asked) = mpsc::channel();
        let threads = vec![
            thread::Builder::new().name("log-commit".into()).spawn(move || commit(committing, &ordered))?,
            thread::Builder::new().name("log-read".into()).spawn(move || read(reading, &asked))?,
        ];
        Ok(Self { orders: Some(orders), reads: Some(reads), threads })
    }

    pub(super) fn order(&self, order: Order) {
        let orders = self.orders.as_ref().expect("only drop takes it");
        // A thread that has ended panicked, and took the process's answer with it.
        let _ = orders.send(order);
    }

    pub(super) fn read(&self, ticket: u64, read: Read) {
        let reads = self.reads.as_ref().expect("only drop takes it");
        let _ = reads.send((ticket, read));
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
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

fn read<D: Disk, A: Fn(Answer)>(mut reading: Reading<D, A>, reads: &Receiver<(u64, Read)>) {
    let mut learning = true;
    loop {
        // What the index does not know it is told while nobody waits.
        let next =
            if learning { reads.try_recv() } else { reads.recv().map_err(|_| TryRecvError::Disconnected) };
        match next {
            Ok((ticket, read)) => {
                reading.perform(ticket, &read);
                learning = true;
            }
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => learning = reading.teach(),
        }
    }
}
