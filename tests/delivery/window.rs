//! How much is sent at a time, and who waits for whom: nobody but the socket itself.

use eventwire::{GivenUp, Pace};

use super::*;

fn narrow() -> Value {
    json!({"maxInFlight": 4, "outbox": {"messages": 8}})
}

#[tokio::test]
async fn no_more_is_sent_than_may_be_in_flight() {
    for room in ["once:a", "plain:a"] {
        let (server, letters) = server_with(patient(), narrow()).await;
        let mut client = server.client_in(room).await;
        emit(&server, room, 1..=10).await;
        let mut ids = Vec::new();
        for n in 1..=4 {
            let frame = client.next().await;
            assert_eq!(frame["data"], n);
            ids.push(frame["id"].clone());
        }
        client.expect_nothing().await;
        match room {
            "once:a" => ack(&mut client, room, 2).await,
            _ => {
                for id in &ids[..2] {
                    client.send_text(json!({"event": "ack", "id": id}).to_string()).await;
                }
            }
        }
        assert_eq!(numbers(&mut client, 2).await, [(5, 0), (6, 0)], "{room}");
        client.expect_nothing().await;
        assert_eq!(server.io.stats().delivered, 6);
        drop(client);
        until("it is gone", || server.io.stats().sockets == 0).await;
        until("all is told", || letters.count() as u64 == server.io.stats().dead_letters).await;
        balance(&server, &letters);
    }
}

#[tokio::test]
async fn two_rooms_share_what_may_be_in_flight() {
    let (server, _) = server_with(patient(), narrow()).await;
    let mut client = server.client_in("once:a").await;
    client.request("subscribe", json!("once:b")).await.unwrap();
    emit(&server, "once:a", 1..=4).await;
    numbers(&mut client, 4).await;
    emit(&server, "once:b", 11..=14).await;
    emit(&server, "once:a", 5..=8).await;
    client.expect_nothing().await;
    ack(&mut client, "once:a", 4).await;
    let mut got = numbers(&mut client, 4).await;
    ack(&mut client, "once:a", 8).await;
    ack(&mut client, "once:b", 4).await;
    got.extend(numbers(&mut client, 4).await);
    got.sort();
    assert_eq!(got, [5, 6, 7, 8, 11, 12, 13, 14].map(|n| (n, 0)));
}

#[tokio::test]
async fn a_slow_client_gets_half_until_it_recovers() {
    let (server, _) = server_with(patient(), json!({"maxInFlight": 8})).await;
    let mut client = server.client_in("once:a").await;
    client.send("slow", json!({"utilization": 0.9})).await;
    client.expect_nothing().await;
    emit(&server, "once:a", 1..=40).await;
    assert_eq!(numbers(&mut client, 4).await.last(), Some(&(4, 0)));
    client.expect_nothing().await;
    client.send("slow", json!({"utilization": 0.9})).await;
    ack(&mut client, "once:a", 4).await;
    assert_eq!(numbers(&mut client, 2).await.last(), Some(&(6, 0)));
    client.expect_nothing().await;
    client.send("slow", json!({"utilization": 0.1})).await;
    assert_eq!(numbers(&mut client, 6).await.last(), Some(&(12, 0)), "all eight");
    client.expect_nothing().await;
    for _ in 0..10 {
        client.send("slow", Value::Null).await;
    }
    ack(&mut client, "once:a", 12).await;
    assert_eq!(number(&mut client).await, (13, 0), "one at least");
    client.expect_nothing().await;
    // Every 5 s without a word it is twice as much again.
    let mut got = 13;
    let started = std::time::Instant::now();
    loop {
        assert!(started.elapsed() < DEADLINE, "it recovers");
        ack(&mut client, "once:a", got).await;
        client.send("ping", json!(got)).await;
        let mut came = 0;
        loop {
            let frame = client.next().await;
            if frame["event"] == "pong" {
                break;
            }
            came += 1;
            got = frame["seq"].as_u64().unwrap();
        }
        if came > 1 {
            break;
        }
        emit(&server, "once:a", 1..=1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn who_never_acknowledges_holds_up_nobody() {
    for room in ["once:a", "plain:a"] {
        let (server, letters) =
            server_with(quick().ack_timeout(Duration::from_secs(5)), json!({"maxInFlight": 16})).await;
        let mut silent = server.client_in(room).await;
        let mut good = server.client_in(room).await;
        for n in 1..=500 {
            server.io.to(room).emit("n", n).await.unwrap();
            let frame = good.next().await;
            assert_eq!((&frame["data"], &frame["again"]), (&json!(n), &Value::Null));
            match room {
                "once:a" => ack(&mut good, room, n).await,
                _ => good.send_text(json!({"event": "ack", "id": frame["id"]}).to_string()).await,
            }
        }
        assert_eq!(numbers(&mut silent, 16).await.last(), Some(&(16, 0)), "{room}");
        silent.expect_nothing().await;
        until("all of the good one are settled", || server.io.stats().acked == 500).await;
        assert_eq!(letters.count(), 0);
    }
}

#[tokio::test]
async fn what_waits_is_bounded_and_the_rest_told() {
    let (server, letters) = server_with(patient(), narrow()).await;
    let mut client = server.client_in("plain:a").await;
    emit(&server, "plain:a", 1..=20).await;
    let full = letters.wait(8).await;
    assert_eq!(full.len(), 8, "4 are sent and 8 wait");
    for (letter, n) in full.iter().zip(13..) {
        assert_eq!((&letter.reason, letter.tries), (&GivenUp::Full, 0));
        assert_eq!(letter.data.as_ref().unwrap().get(), n.to_string());
    }
    for n in 1..=12 {
        let frame = client.next().await;
        assert_eq!(frame["data"], n);
        client.send_text(json!({"event": "ack", "id": frame["id"]}).to_string()).await;
    }
    until("all are settled", || server.io.stats().acked == 12).await;
    balance(&server, &letters);
}

#[tokio::test]
async fn a_ring_that_overtakes_is_told_to_both() {
    let server = Server::with(narrow()).await;
    server.io.rooms("short").public().history(History::messages(10)).at_least_once(patient());
    let letters = Letters::of(&server.io);
    let mut client = server.client_in("short").await;
    emit(&server, "short", 1..=4).await;
    assert_eq!(numbers(&mut client, 4).await.last(), Some(&(4, 0)));
    emit(&server, "short", 5..=30).await;
    ack(&mut client, "short", 4).await;
    let gap = client.expect("gap").await;
    assert_eq!((&gap["from"], &gap["to"], &gap["reason"]), (&json!(5), &json!(20), &json!("slow")));
    let letter = letters.wait(1).await.remove(0);
    assert_eq!((letter.seq, letter.count, letter.tries), (Some(5), 16, 0));
    assert_eq!((letter.reason, letter.event), (GivenUp::Overtaken, None));
    assert_eq!(number(&mut client).await, (21, 0));
    nack(&mut client, "short", 21).await;
    emit(&server, "short", 31..=60).await;
    // Its place is then free for the next, which the ring has overtaken as well.
    letters.wait(3).await;
    let letter = letters.all().remove(1);
    assert_eq!((letter.seq, letter.count, letter.tries, letter.reason), (Some(21), 1, 1, GivenUp::Overtaken));
    let letter = letters.all().remove(2);
    assert_eq!((letter.seq, letter.count, letter.tries), (Some(25), 26, 0));
}

#[tokio::test]
async fn a_single_message_that_is_overtaken_is_told_too() {
    let server = Server::with(json!({"maxInFlight": 1})).await;
    server.io.rooms("short").public().history(History::messages(4));
    let letters = Letters::of(&server.io);
    let mut client = server.client_in("short").await;
    for n in 1..=20 {
        let asked = server.io.to("short");
        let asked = if n % 5 == 1 { asked.at_least_once(patient()) } else { asked };
        asked.emit("n", n).await.unwrap();
        if n == 1 {
            assert_eq!(number(&mut client).await, (1, 0));
        }
    }
    ack(&mut client, "short", 1).await;
    let gap = client.expect("gap").await;
    let letter = letters.wait(1).await.remove(0);
    let to = gap["to"].as_u64().unwrap();
    let lost: Vec<u64> = [6, 11, 16].into_iter().filter(|n| (gap["from"].as_u64().unwrap()..=to).contains(n)).collect();
    assert_eq!((letter.seq, letter.count, letter.reason), (Some(lost[0]), lost.len() as u64, GivenUp::Overtaken));
    assert!(!lost.is_empty());
}

#[tokio::test]
async fn a_paced_emit_does_not_wait_for_who_never_acknowledges() {
    let (server, _) = server_with(patient(), narrow()).await;
    let mut silent = server.client_in("once:a").await;
    emit(&server, "once:a", 1..=4).await;
    numbers(&mut silent, 4).await;
    for n in 5..=200 {
        // Bytes of a few messages: whoever waited for the silent one would do so for the whole minute.
        let paced = server.io.to("once:a").paced(Pace::slowest(200).at_most(Duration::from_secs(60)));
        within("the emit", paced.emit("n", n)).await.unwrap();
    }
    silent.expect_nothing().await;
    ack(&mut silent, "once:a", 4).await;
    assert_eq!(number(&mut silent).await, (5, 0));
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_sent_nothing_again_before_it_has() {
    let (server, letters) = server_with(quick(), json!({"outbox": {"messages": 16, "bytes": "4MiB"}})).await;
    let mut raw = server.raw().await;
    raw.write(&text_frame(r#"{"event":"subscribe","data":"once:a"}"#)).await;
    until("it is there", || server.io.room_len("once:a") == 1).await;
    // More than the kernel takes.
    let large = "x".repeat(256 * 1024);
    for _ in 0..64 {
        server.io.to("once:a").emit("n", &large).await.unwrap();
    }
    let again = settled_for(Duration::from_millis(600), || server.io.stats().again).await;
    assert!(again <= 16, "no more than an outbox holds: {again}");
    assert!(letters.count() <= 8, "what was not sent again is not given up: {}", letters.count());
    let mut good = server.client().await;
    good.request("subscribe", json!({"room": "once:a", "last": 0})).await.unwrap();
    server.io.to("once:a").emit("n", 7).await.unwrap();
    assert_eq!(good.next().await["data"], 7, "and others are served");
}

#[tokio::test]
async fn readers_of_dead_letters_get_those_of_one_socket_one_after_another() {
    let (server, _) = server(patient().tries(1)).await;
    let (running, most) = (Arc::new(Mutex::new((0, 0))), 20);
    let seen = running.clone();
    let told = Arc::new(Mutex::new(Vec::new()));
    let list = told.clone();
    server.io.on_dead_letter(move |letter| {
        let (seen, list) = (seen.clone(), list.clone());
        async move {
            {
                let mut seen = seen.lock().unwrap();
                *seen = (seen.0 + 1, seen.1.max(seen.0 + 1));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            seen.lock().unwrap().0 -= 1;
            list.lock().unwrap().push(letter.seq.unwrap());
        }
    });
    let mut client = server.client_in("once:a").await;
    emit(&server, "once:a", 1..=most).await;
    for n in 1..=most {
        assert_eq!(number(&mut client).await, (n, 0));
        nack(&mut client, "once:a", n).await;
    }
    until("all are told", || told.lock().unwrap().len() as u64 == most).await;
    assert_eq!((running.lock().unwrap().1, told.lock().unwrap().clone()), (1, (1..=most).collect::<Vec<_>>()));
}

#[tokio::test]
async fn a_window_that_recovers_lets_go_on_without_an_acknowledgement() {
    let (server, _) = server_with(patient(), json!({"maxInFlight": 8})).await;
    let mut client = server.client_in("once:a").await;
    emit(&server, "once:a", 1..=5).await;
    numbers(&mut client, 5).await;
    client.send("slow", json!({"utilization": 1})).await;
    client.expect_nothing().await;
    emit(&server, "once:a", 6..=6).await;
    client.expect_nothing().await;
    assert_eq!(number(&mut client).await, (6, 0), "after 5 s");
}
