//! A TCP connection's way through this process, which can be cut, made slow and made whole again while both its ends go on.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What is carried at once.
const PART_BYTES: usize = 4096;

/// See the module. It ends with the process.
pub struct Wire {
    /// Where to dial.
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    cut: bool,
    open: Vec<TcpStream>,
    /// Bytes a second that pass each way of each connection; none for as many as there are.
    pace: Option<u64>,
}

impl Wire {
    /// One to a port of this machine.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let own = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // Who dials a cut wire is closed at once, as is who dials somebody who is not there.
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                let _ = join(&shared, near, far);
            }
        });
        Self { port: own, state }
    }

    /// Everything on it ends, and nothing new begins.
    pub fn cut(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cut = true;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// So many bytes a second pass each way of each connection, or as many as there are.
    pub fn pace(&self, bytes_per_s: Option<u64>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).pace = bytes_per_s;
    }

    /// It is whole again.
    pub fn restore(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).cut = false;
    }
}

fn join(shared: &Arc<Mutex<State>>, near: TcpStream, far: TcpStream) -> io::Result<()> {
    let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if state.cut {
        return Ok(());
    }
    state.open.extend([near.try_clone()?, far.try_clone()?]);
    for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
        let shared = Arc::clone(shared);
        thread::spawn(move || carry(from, to, &shared));
    }
    Ok(())
}

fn carry(mut from: TcpStream, mut to: TcpStream, state: &Mutex<State>) {
    let mut part = [0; PART_BYTES];
    while let Ok(count @ 1..) = from.read(&mut part) {
        if to.write_all(&part[..count]).is_err() {
            break;
        }
        let pace = state.lock().unwrap_or_else(PoisonError::into_inner).pace;
        if let Some(bytes_per_s) = pace {
            thread::sleep(Duration::from_secs_f64(count as f64 / bytes_per_s as f64));
        }
    }
    for end in [from, to] {
        let _ = end.shutdown(Shutdown::Both);
    }
}
