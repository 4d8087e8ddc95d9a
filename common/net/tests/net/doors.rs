//! The recipe of a connection, over plain sockets.

use crate::house::{Client, Heard, House, SOON, bytes_of, door, limits, soon, stored, storing_door};
use riser_model::{
    Time,
    door::{Input, Output, Tell},
};
use riser_net::{
    Limits, Listener,
    tls::{self, Trust},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

#[tokio::test]
async fn bytes_arrive_in_order_however_they_are_cut() {
    let mut house = House::new(limits());
    let address = house.serve(storing_door);
    let mut client = Client::connect(address).await;
    let sent = bytes_of(300_000);
    for byte in &sent[..50] {
        client.write(&[*byte]).await;
    }
    client.write(&sent[50..]).await;
    client.0.shutdown().await.unwrap();
    let (heard, cause) = house.hear_out().await;
    assert!(heard == sent, "{} of {} bytes", heard.len(), sent.len());
    assert_eq!(cause, "peer_closed");
}

#[tokio::test]
async fn opened_comes_first_and_leave_and_closed_come_last_and_once() {
    let mut house = House::new(limits());
    let address = house.serve(storing_door);
    let mut client = Client::connect(address).await;
    client.write(b"x").await;
    assert_eq!(client.read_line().await, "ok 1\n");
    drop(client);
    let Heard::Opened(id) = house.hear().await else { panic!("opened comes first") };
    assert_eq!(house.hear().await, Heard::Entered(id));
    assert_eq!(house.hear().await, Heard::Published(id, "x".into()));
    assert!(matches!(house.hear().await, Heard::Left(left, _) if left == id));
    assert_eq!(house.hear().await, Heard::Closed(id));
    soon("emptying", house.entrance.emptied()).await;
    assert!(house.heard.try_recv().is_err());
}

#[tokio::test]
async fn a_door_that_panics_still_leaves() {
    let mut house = House::new(limits());
    let address = house.serve(|| {
        door(|input, _, script| match input {
            Input::Bytes(_) => script.enter(),
            Input::Tell(Tell::Entered { .. }) => panic!("a defect in a door"),
            _ => {}
        })
    });
    let mut client = Client::connect(address).await;
    client.write(b"x").await;
    assert_eq!(house.hear_out().await.1, "cut");
    soon("emptying", house.entrance.emptied()).await;
}

#[tokio::test]
async fn a_full_core_stops_the_reading_and_loses_nothing() {
    const INBOX: u32 = 256 * 1024;
    let mut house = House::with_inbox(limits(), INBOX);
    let address = house.serve(storing_door);
    let mut client = Client::connect(address).await;
    client.write(b"hello").await;
    assert_eq!(client.read_line().await, "ok 1\n");
    house.open.send_replace(false);

    // More than the buffers of both sockets can ever take.
    let sent = Arc::new(bytes_of(16 << 20));
    let (mut read, mut write) = client.0.into_split();
    let writing = Arc::clone(&sent);
    let mut writer = tokio::spawn(async move { write.write_all(&writing).await.map(|()| write) });
    assert!(timeout(Duration::from_millis(300), &mut writer).await.is_err(), "all was read into a full core");
    let taken = house.entrance.counters().read_bytes.read();
    assert!(taken <= u64::from(INBOX) + 2 * 65_536, "{taken} bytes were read");
    assert!(taken >= u64::from(INBOX) / 2, "only {taken} bytes were read");

    // What is told comes through all the same.
    let tells = house.doors.borrow().values().next().unwrap().clone();
    tells.tell(stored(777, 1));
    let mut line = [0; 7];
    soon("being told", read.read_exact(&mut line)).await.unwrap();
    assert_eq!(&line, b"ok 777\n");

    house.open.send_replace(true);
    let drain = tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    let write = soon("writing on", writer).await.unwrap().unwrap();
    drop(write);
    let (heard, _) = house.hear_out().await;
    assert!(heard[5..] == sent[..], "{} of {} bytes", heard.len() - 5, sent.len());
    drain.abort();
}

#[tokio::test]
async fn asks_of_many_connections_get_their_turn_in_a_small_inbox() {
    let mut house = House::with_inbox(limits(), 1024);
    let address = house.serve(storing_door);
    house.open.send_replace(false);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(address).await;
        client.write(&bytes_of(1000)).await;
        clients.push(client);
    }
    house.open.send_replace(true);
    for client in &mut clients {
        assert_eq!(client.read_line().await, "ok 1\n");
    }
    drop(clients);
    let mut published = 0;
    let mut closed = 0;
    while closed < 20 {
        match house.hear().await {
            Heard::Published(_, bytes) => published += bytes.len(),
            Heard::Closed(_) => closed += 1,
            Heard::Opened(_) | Heard::Entered(_) | Heard::Left(..) => {}
        }
    }
    assert_eq!(published, 20_000);
}

#[tokio::test]
async fn who_says_nothing_is_told_and_closed_in_time() {
    let mut house = House::new(Limits { first_frame_ms: 100, ..limits() });
    let address = house.serve(storing_door);
    let mut client = Client::connect(address).await;
    assert_eq!(client.read_out().await, b"timeout\n");
    // Never in, so it cannot leave but as its door words it.
    assert_eq!(house.hear_out().await.1, "timeout");
    assert_eq!(house.entrance.counters().first_frame_late.read(), 1);
}

#[tokio::test]
async fn first_frame_that_a_door_itself_waits_for_is_counted_too_and_once() {
    let mut house = House::new(Limits { first_frame_ms: 60_000, ..limits() });
    let address = house.serve(|| {
        let mut waits = None;
        door(move |input, now, script| match input {
            Input::Room(_) => {
                waits = waits.or(Some(now.time.plus(Duration::from_millis(50))));
                script.deadline = waits;
            }
            Input::Deadline => {
                script.deadline = None;
                let (what, want) = (String::new(), String::new());
                script.close(riser_model::door::Refusal {
                    code: riser_model::door::Code::Timeout,
                    what,
                    want,
                });
            }
            Input::Bytes(_) | Input::Text(_) | Input::Tell(_) | Input::Unheard | Input::Gone(_) => {}
        })
    });
    let mut client = Client::connect(address).await;
    client.read_out().await;
    house.hear_out().await;
    assert_eq!(house.entrance.counters().first_frame_late.read(), 1);
}

#[tokio::test]
async fn who_drips_without_a_credential_is_closed_in_time() {
    let house = House::new(Limits { first_frame_ms: 150, ..limits() });
    let address = house.serve(|| {
        door(|input, _, script| {
            if let Input::Tell(Tell::Refused(refusal)) = input {
                script.close(refusal);
            }
        })
    });
    let mut client = Client::connect(address).await;
    let started = std::time::Instant::now();
    let mut drip = tokio::time::interval(Duration::from_millis(10));
    loop {
        drip.tick().await;
        if client.0.write_all(b"x").await.is_err() {
            break;
        }
        assert!(started.elapsed() < SOON, "it drips for ever");
    }
    soon("emptying", house.entrance.emptied()).await;
}

#[tokio::test]
async fn a_peer_without_a_credential_is_read_up_to_its_allowance() {
    let mut house = House::new(limits());
    let refusing = || {
        door(|input, _, script| {
            if let Input::Tell(Tell::Refused(refusal)) = input {
                script.say(refusal.code.name());
                script.close(refusal);
            }
        })
    };
    let address = house.serve(refusing);
    let mut client = Client::connect(address).await;
    let _ = client.0.write_all(&bytes_of(100_000)).await;
    assert_eq!(client.read_out().await, b"too_large");
    assert_eq!(house.hear_out().await.1, "too_large");
    assert_eq!(house.entrance.counters().too_large.read(), 1);
}

#[tokio::test]
async fn who_is_refused_and_sends_on_and_on_is_not_read_from_for_ever() {
    let house = House::new(Limits { linger_ms: 600_000, ..limits() });
    let refusing = || {
        door(|input, _, script| {
            if let Input::Tell(Tell::Refused(refusal)) = input {
                script.close(refusal);
            }
        })
    };
    let mut client = Client::connect(house.serve(refusing)).await;
    let sending = async { while client.0.write_all(&bytes_of(16 * 1024)).await.is_ok() {} };
    soon("being cut off", sending).await;
    soon("emptying", house.entrance.emptied()).await;
}

#[tokio::test]
async fn what_follows_a_credential_waits_for_the_answer_and_is_not_lost() {
    let mut house = House::new(limits());
    let address = house.serve(storing_door);
    house.open.send_replace(false);
    let mut client = Client::connect(address).await;
    let sent = bytes_of(60_000);
    client.write(&sent).await;
    // The door has knocked; until it is answered no more than the allowance is read.
    assert!(timeout(Duration::from_millis(200), client.0.read_u8()).await.is_err());
    assert_eq!(house.entrance.counters().read_bytes.read(), 16 * 1024);
    house.open.send_replace(true);
    client.read_line().await;
    client.0.shutdown().await.unwrap();
    assert!(house.hear_out().await.0 == sent);
}

#[tokio::test]
async fn deadlines_reach_the_door_when_they_move_either_way() {
    let house = House::new(limits());
    let address = house.serve(|| {
        let mut entered = false;
        door(move |input, now, script| match input {
            Input::Bytes(bytes) => {
                if !std::mem::replace(&mut entered, true) {
                    script.enter();
                }
                let ms = if bytes[0] == b'l' { 60_000 } else { 20 };
                script.deadline = Some(now.time.plus(Duration::from_millis(ms)));
            }
            Input::Deadline => {
                assert!(script.deadline.take().is_some_and(|deadline: Time| deadline <= now.time));
                script.say("late\n");
            }
            _ => {}
        })
    });
    let mut client = Client::connect(address).await;
    for order in [b"s", b"l", b"s"] {
        client.write(order).await;
        if order == b"l" {
            continue;
        }
        assert_eq!(client.read_line().await, "late\n");
    }
}

#[tokio::test]
async fn stopping_finishes_what_was_taken_and_says_goodbye() {
    let mut house = House::new(limits());
    let address = house.serve(storing_door);
    let mut client = Client::connect(address).await;
    client.write(b"a").await;
    assert_eq!(client.read_line().await, "ok 1\n");
    let mut idle = Client::connect(address).await;
    idle.write(b"i").await;
    assert_eq!(idle.read_line().await, "ok 1\n");
    house.open.send_replace(false);
    client.write(b"b").await;
    // The ask is on its way when the inbox is no longer all free.
    let free = house.core.free();
    soon("asking", async {
        while house.core.free() == 1 << 20 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(free <= 1 << 20);
    house.entrance.stop();
    assert_eq!(idle.read_out().await, b"shutting_down\n");
    house.open.send_replace(true);
    assert_eq!(client.read_out().await, b"ok 2\nshutting_down\n");
    soon("emptying", house.entrance.emptied()).await;
    assert!(timeout(SOON, tokio::net::TcpStream::connect(address)).await.unwrap().is_err());
    let mut causes = vec![];
    while let Ok(heard) = house.heard.try_recv() {
        if let Heard::Left(_, cause) = heard {
            causes.push(cause);
        }
    }
    assert_eq!(causes, ["shutting_down"; 2]);
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever_for_a_stuck_core() {
    let house = House::new(Limits { stop_ms: 100, ..limits() });
    let address = house.serve(storing_door);
    let mut client = Client::connect(address).await;
    client.write(b"a").await;
    assert_eq!(client.read_line().await, "ok 1\n");
    house.open.send_replace(false);
    client.write(b"b").await;
    soon("asking", async {
        while house.core.free() == 1 << 20 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    house.entrance.stop();
    assert_eq!(client.read_out().await, b"shutting_down\n");
    soon("emptying", house.entrance.emptied()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_are_served_and_forgotten() {
    let house = House::new(limits());
    let address = house.serve(storing_door);
    let mut clients = Vec::new();
    for _ in 0..1000 {
        clients.push(Client::connect(address).await);
    }
    for client in &mut clients {
        client.write(b"hello").await;
    }
    for client in &mut clients {
        assert_eq!(client.read_line().await, "ok 1\n");
    }
    assert_eq!(house.entrance.open(), 1000);
    drop(clients);
    soon("emptying", house.entrance.emptied()).await;
    assert!(house.doors.borrow().is_empty() || soon("closing", wait_empty(&house)).await);
}

async fn wait_empty(house: &House) -> bool {
    house.doors.clone().wait_for(std::collections::BTreeMap::is_empty).await.is_ok()
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_at_once() {
    let house = House::new(Limits { connections_max: 2, ..limits() });
    let address = house.serve(storing_door);
    let mut first = Client::connect(address).await;
    let mut second = Client::connect(address).await;
    for client in [&mut first, &mut second] {
        client.write(b"x").await;
        assert_eq!(client.read_line().await, "ok 1\n");
    }
    let mut third = Client::connect(address).await;
    assert_eq!(third.read_out().await, b"");
    assert_eq!(house.entrance.counters().refused_total.read(), 1);
    drop(first);
    soon("a place", async {
        while house.entrance.open() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut fourth = Client::connect(address).await;
    fourth.write(b"x").await;
    assert_eq!(fourth.read_line().await, "ok 1\n");
}

#[tokio::test]
async fn tls_carries_doors_both_ways_and_to_the_last_byte() {
    let pem = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let certificate = pem.cert.der().clone();
    let acceptor =
        tls::server_from(vec![certificate.clone()], pem.signing_key.serialize_der().try_into().unwrap());
    let mut house = House::new(limits());
    let listener = Listener::bind("mqtts", "127.0.0.1:0".parse().unwrap(), Some(acceptor.unwrap())).unwrap();
    let address = listener.address().unwrap();
    // Answers with what it heard, and closes after the last of it.
    let sent = bytes_of(700_000);
    let count = sent.len();
    let doors = Arc::new(move |_, _: &_| {
        let mut heard = 0;
        door(move |input, _, script| {
            if let Input::Bytes(bytes) = input {
                if heard == 0 {
                    script.enter();
                }
                heard += bytes.len();
                script.publish(bytes.clone());
                script.say(bytes);
                if heard == count {
                    script.leave("normal");
                    script.out.push_back(Output::Done);
                }
            }
        })
    });
    tokio::spawn(riser_net::serve_mqtt(listener, Arc::clone(&house.entrance), doors));
    let connector = tls::client(Trust::Pinned(vec![certificate])).unwrap();
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let client = soon("tls", connector.connect(name, tcp)).await.unwrap();
    let (mut read, mut write) = tokio::io::split(client);
    let writing = sent.clone();
    let writer = tokio::spawn(async move {
        for piece in writing.chunks(7_777) {
            write.write_all(piece).await.unwrap();
            write.flush().await.unwrap();
        }
        write
    });
    let mut echoed = Vec::new();
    soon("the end", read.read_to_end(&mut echoed)).await.unwrap();
    assert!(echoed == sent, "{} of {count}", echoed.len());
    writer.await.unwrap();
    assert!(house.hear_out().await == (sent, "normal".into()));
}
