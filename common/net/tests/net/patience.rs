//! Who does not take what it is sent, and who is not read from.

use crate::house::{Client, Heard, House, bytes_of, door, limits, soon, storing_door};
use riser_model::door::{Door, Input, Output, Tell};
use riser_net::{
    Limits, Listener,
    tls::{self, Trust},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// Writes as much as it is offered, as long as there are rounds.
pub fn flooding_door(rounds: usize, written: Arc<AtomicU64>) -> Box<dyn Door> {
    let mut rounds = rounds;
    door(move |input, _, script| match input {
        Input::Bytes(_) => script.enter(),
        Input::Room(room) if rounds > 0 => {
            rounds -= 1;
            written.fetch_add(u64::from(room), Ordering::Relaxed);
            script.say(vec![rounds as u8; room as usize]);
        }
        Input::Room(_) => script.out.push_back(Output::Done),
        Input::Gone(cause) => script.leave(cause),
        Input::Tell(Tell::Refused(refusal)) => script.close(refusal),
        Input::Text(_) | Input::Tell(_) | Input::Deadline | Input::Unheard => {}
    })
}

#[tokio::test]
async fn a_door_is_offered_room_only_when_all_was_written() {
    let house = House::new(limits());
    let written = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&written);
    let address = house.serve(move || flooding_door(200, Arc::clone(&counting)));
    let mut client = Client::connect(address).await;
    client.write(b"x").await;
    let mut expected = (0..200u32).rev().flat_map(|round| vec![round as u8; 65_536]);
    let mut buffer = vec![0; 8192];
    let mut read = 0;
    loop {
        let count = soon("reading", client.0.read(&mut buffer)).await.unwrap();
        if count == 0 {
            break;
        }
        read += count as u64;
        assert!(buffer[..count].iter().all(|byte| Some(*byte) == expected.next()), "at {read}");
        // What is neither here nor with the system is at most one offer.
        let counters = house.entrance.counters();
        let waiting = written.load(Ordering::Relaxed).saturating_sub(counters.written_bytes.read());
        assert!(waiting <= 2 * 65_536, "{waiting} bytes wait");
    }
    assert_eq!(read, 200 * 65_536);
}

#[tokio::test]
async fn who_takes_nothing_is_closed_and_hurts_nobody() {
    let mut house = House::new(Limits { stall_ms: 150, ..limits() });
    let written = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&written);
    let flooding = house.serve(move || flooding_door(usize::MAX, Arc::clone(&counting)));
    let storing = house.serve(storing_door);
    let mut slow = Client::connect(flooding).await;
    slow.write(b"x").await;
    let mut quick = Client::connect(storing).await;
    quick.write(b"x").await;
    assert_eq!(quick.read_line().await, "ok 1\n");
    loop {
        if let Heard::Left(_, cause) = house.hear().await {
            assert_eq!(cause, "stalled");
            break;
        }
    }
    assert_eq!(house.entrance.counters().stalled.read(), 1);
    quick.write(b"y").await;
    assert_eq!(quick.read_line().await, "ok 2\n");
}

#[tokio::test]
async fn who_takes_nothing_over_tls_is_closed_too() {
    let pem = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let certificate = pem.cert.der().clone();
    let acceptor =
        tls::server_from(vec![certificate.clone()], pem.signing_key.serialize_der().try_into().unwrap());
    let mut house = House::new(Limits { stall_ms: 150, ..limits() });
    let listener = Listener::bind("mqtts", "127.0.0.1:0".parse().unwrap(), Some(acceptor.unwrap())).unwrap();
    let address = listener.address().unwrap();
    let doors = Arc::new(move |_, _: &_| flooding_door(usize::MAX, Arc::default()));
    tokio::spawn(riser_net::serve_mqtt(listener, Arc::clone(&house.entrance), doors));
    let connector = tls::client(Trust::Pinned(vec![certificate])).unwrap();
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut slow = soon("tls", connector.connect("localhost".try_into().unwrap(), tcp)).await.unwrap();
    slow.write_all(b"x").await.unwrap();
    slow.flush().await.unwrap();
    assert_eq!(house.hear_out().await.1, "stalled");
    assert_eq!(house.entrance.counters().stalled.read(), 1);
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answers_is_not_read_from() {
    // Every byte is answered with a thousand.
    let house = House::new(limits());
    let address = house.serve(|| {
        let mut entered = false;
        door(move |input, _, script| {
            if let Input::Bytes(bytes) = input {
                if !std::mem::replace(&mut entered, true) {
                    script.enter();
                }
                for _ in bytes {
                    script.say(vec![0; 1000]);
                }
            }
        })
    });
    let mut client = Client::connect(address).await;
    client.write(b"x").await;
    client.0.read_u8().await.unwrap();
    for _ in 0..200 {
        if timeout(Duration::from_millis(200), client.0.write_all(&[0; 1000])).await.is_err() {
            break;
        }
    }
    // One read of at most 64 KiB may be answered beyond the bound; a second one is not made.
    let counters = house.entrance.counters();
    let all = async {
        while counters.read_bytes.read() < 190_000 {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(Duration::from_millis(300), all).await.is_err(), "all was read");
    let taken = counters.read_bytes.read();
    assert!(
        taken * 1000 <= counters.written_bytes.read() + 65_536 + 65_536 * 1000,
        "{taken} bytes were read"
    );
}

#[tokio::test]
async fn who_publishes_more_than_it_may_is_read_from_slowly_and_loses_nothing() {
    // 100,000 bytes, of which 40,000 may come at once and as many in each second after that.
    let mut house = House::new(Limits { published_bytes_per_s: 40_000, ..limits() });
    let address = house.serve(storing_door);
    let mut client = Client::connect(address).await;
    let (sent, began) = (bytes_of(100_000), std::time::Instant::now());
    for piece in sent.chunks(10_000) {
        client.write(piece).await;
    }
    client.0.shutdown().await.unwrap();
    let (heard, cause) = house.hear_out().await;
    assert!(heard == sent && cause == "peer_closed", "{} of {} bytes, {cause}", heard.len(), sent.len());
    let least = Duration::from_millis(1000);
    assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    assert!(house.entrance.counters().paced.read() > 0);
}

/// A door that demands a byte every 1.5 s once it has entered, as MQTT's keepalive does.
fn keepalive_door() -> Box<dyn Door> {
    let mut entered = false;
    let within = Duration::from_millis(1500);
    door(move |input, now, script| match input {
        Input::Bytes(bytes) => {
            if !std::mem::replace(&mut entered, true) {
                script.enter();
            }
            script.deadline = Some(now.time.plus(within));
            script.publish(bytes);
        }
        Input::Unheard => script.deadline = script.deadline.map(|_| now.time.plus(within)),
        Input::Deadline if script.deadline.is_some_and(|by| by <= now.time) => {
            script.deadline = None;
            script.leave("keepalive");
            script.out.push_back(Output::Done);
        }
        Input::Gone(cause) => script.leave(cause),
        Input::Tell(_) | Input::Room(_) | Input::Deadline | Input::Text(_) => {}
    })
}

#[tokio::test]
async fn who_is_not_read_from_is_not_silent() {
    // 3 s are to be made up for after the first second's worth, in silence.
    let mut house = House::new(Limits { published_bytes_per_s: 10_000, ..limits() });
    let address = house.serve(keepalive_door);
    let mut client = Client::connect(address).await;
    client.write(b"enter").await;
    client.write(&bytes_of(40_000)).await;
    client.write(&bytes_of(100)).await;
    let mut heard = 0;
    while heard < 40_105 {
        match house.hear().await {
            Heard::Published(_, bytes) => heard += bytes.len(),
            Heard::Left(_, cause) => panic!("{cause} after {heard} bytes"),
            Heard::Opened(_) | Heard::Entered(_) | Heard::Closed(_) => {}
        }
    }
    // Read from again, it is silent when it says nothing.
    let (_, cause) = house.hear_out().await;
    assert_eq!(cause, "keepalive");
}
