//! Where a subscription begins, and what its acknowledgement tells.

use eventwire::History;
use serde_json::{Value, json};

use crate::follow::*;
use crate::support::*;

/// Of 20 messages, the last 8 are there: 13 to 20.
async fn eight_of_twenty() -> (Server, String) {
    let server = server(History::messages(8)).await;
    publish(&server.io, "log", 20).await;
    let epoch = server.io.room("log").epoch().unwrap().to_string();
    (server, epoch)
}

#[tokio::test]
async fn the_ack_tells_the_room_its_epoch_the_last_number_and_the_first_to_come() {
    let (server, epoch) = eight_of_twenty().await;
    let mut client = server.client().await;
    let ack = client.request("subscribe", json!("log")).await;
    assert_eq!(ack, Ok(json!({"room": "log", "epoch": epoch, "seq": 20, "from": 13})));
    let frames = arrived(&mut client).await;
    assert_eq!(seqs(&frames), (13..=20).collect::<Vec<u64>>(), "the whole ring, without a gap");
    assert_eq!(frames[0], json!({"event": "n", "room": "log", "seq": 13, "data": 13}));
    publish(&server.io, "log", 1).await;
    assert_eq!(client.next().await, json!({"event": "n", "room": "log", "seq": 21, "data": 21}));
}

#[tokio::test]
async fn a_room_without_history_is_acknowledged_by_its_name_alone() {
    let server = server(History::default()).await;
    let mut client = server.client().await;
    for data in
        [json!("plain"), json!({"room": "plain", "since": 5, "epoch": "x"}), json!({"room": "plain", "last": 3})]
    {
        assert_eq!(client.request("subscribe", data).await, Ok(json!({"room": "plain"})));
    }
    server.io.to("plain").emit("n", 1).await.unwrap();
    assert_eq!(client.next().await, json!({"event": "n", "room": "plain", "data": 1}));
}

#[tokio::test]
async fn an_empty_ring_begins_with_one() {
    let server = server(History::default()).await;
    let mut client = server.client().await;
    for data in [json!("log"), json!({"room": "log:2", "last": 5}), json!({"room": "log:3", "last": 0})] {
        let ack = client.request("subscribe", data).await.unwrap();
        assert_eq!((&ack["seq"], &ack["from"]), (&json!(0), &json!(1)), "{ack}");
    }
    publish(&server.io, "log:2", 1).await;
    assert_eq!(client.next().await, json!({"event": "n", "room": "log:2", "seq": 1, "data": 1}));
}

#[tokio::test]
async fn last_gives_as_many_of_the_newest_as_there_are() {
    let (server, _) = eight_of_twenty().await;
    for (last, from) in [(0, 21), (1, 20), (3, 18), (8, 13), (9, 13), (20, 13), (u64::MAX, 13)] {
        let mut client = server.client().await;
        let ack = client.request("subscribe", json!({"room": "log", "last": last})).await.unwrap();
        assert_eq!((&ack["seq"], &ack["from"]), (&json!(20), &json!(from)), "last {last}");
        assert_eq!(seqs(&arrived(&mut client).await), (from..=20).collect::<Vec<u64>>(), "last {last}");
    }
}

#[tokio::test]
async fn since_goes_on_behind_the_number() {
    let (server, epoch) = eight_of_twenty().await;
    for since in [12, 13, 17, 19, 20] {
        let mut client = server.client().await;
        let ack = client.request("subscribe", json!({"room": "log", "since": since, "epoch": epoch})).await.unwrap();
        assert_eq!((&ack["seq"], &ack["from"]), (&json!(20), &json!(since + 1)), "since {since}");
        assert_eq!(seqs(&arrived(&mut client).await), (since + 1..=20).collect::<Vec<u64>>(), "since {since}");
    }
}

#[tokio::test]
async fn what_was_evicted_is_named_exactly_before_the_ring() {
    let (server, epoch) = eight_of_twenty().await;
    for since in [0, 5, 10, 11] {
        let mut client = server.client().await;
        let ack = client.request("subscribe", json!({"room": "log", "since": since, "epoch": epoch})).await.unwrap();
        assert_eq!((&ack["seq"], &ack["from"]), (&json!(20), &json!(13)), "since {since}");
        let gap = json!({"room": "log", "epoch": epoch, "from": since + 1, "to": 12, "reason": "evicted"});
        assert_eq!(client.next().await, json!({"event": "gap", "data": gap}));
        assert_eq!(seqs(&arrived(&mut client).await), (13..=20).collect::<Vec<u64>>());
    }
    assert_eq!(server.io.stats().gaps, 4);
}

#[tokio::test]
async fn another_epoch_or_a_number_to_come_is_an_epoch_gap_and_the_whole_ring() {
    let (server, epoch) = eight_of_twenty().await;
    for (since, named) in [(21, &*epoch), (u64::MAX, &*epoch), (15, "another"), (0, ""), (20, &*epoch.to_uppercase())] {
        let mut client = server.client().await;
        let ack = client.request("subscribe", json!({"room": "log", "since": since, "epoch": named})).await.unwrap();
        assert_eq!(ack, json!({"room": "log", "epoch": epoch, "seq": 20, "from": 13}));
        let gap = json!({"room": "log", "epoch": epoch, "from": null, "to": null, "reason": "epoch"});
        assert_eq!(client.next().await, json!({"event": "gap", "data": gap}), "since {since} of {named:?}");
        assert_eq!(seqs(&arrived(&mut client).await), (13..=20).collect::<Vec<u64>>());
    }
}

#[tokio::test]
async fn what_is_no_place_is_refused_and_names_the_field() {
    let (server, epoch) = eight_of_twenty().await;
    let mut client = server.client().await;
    for (data, path) in [
        (json!({"room": "log", "since": 3}), "epoch"),
        (json!({"room": "log", "since": 3, "epoch": null}), "epoch"),
        (json!({"room": "log", "since": 3, "epoch": epoch, "last": 1}), "last"),
        (json!({"room": "log", "since": "3", "epoch": epoch}), "since"),
        (json!({"room": "log", "since": -1, "epoch": epoch}), "since"),
        (json!({"room": "log", "since": 1.5, "epoch": epoch}), "since"),
        (json!({"room": "log", "since": 3, "epoch": 7}), "epoch"),
        (json!({"room": "log", "last": -1}), "last"),
        (json!({"room": "log", "last": [1]}), "last"),
        (json!({"room": 5}), "room"),
        (json!({"room": ["log"]}), "room"),
        (json!(5), "."),
        (json!([{"room": "log"}]), "."),
    ] {
        let refused = client.request("subscribe", data.clone()).await.unwrap_err();
        assert_eq!(
            (&refused["code"], &refused["details"]["path"]),
            (&json!("invalid_payload"), &json!(path)),
            "{data}"
        );
    }
    let refused = client.request("subscribe", json!({"since": 1, "epoch": epoch})).await.unwrap_err();
    assert!(refused["message"].as_str().unwrap().contains("room"), "{refused}");
    assert_eq!(server.io.room_len("log"), 0);
    client.expect_nothing().await;
}

#[tokio::test]
async fn subscribing_again_changes_nothing_but_since_moves_the_cursor() {
    let (server, epoch) = eight_of_twenty().await;
    let mut client = server.client().await;
    client.request("subscribe", json!({"room": "log", "last": 2})).await.unwrap();
    assert_eq!(seqs(&arrived(&mut client).await), [19, 20]);
    for data in
        [json!("log"), json!({"room": "log"}), json!({"room": "log", "last": 5}), json!({"room": "log", "epoch": "x"})]
    {
        let ack = client.request("subscribe", data).await.unwrap();
        assert_eq!((&ack["seq"], &ack["from"]), (&json!(20), &json!(21)));
        client.expect_nothing().await;
    }
    // Back, to where it is, and back again with a gap.
    for (since, from) in [(17, 18), (20, 21), (12, 13), (4, 13)] {
        let ack = client.request("subscribe", json!({"room": "log", "since": since, "epoch": epoch})).await.unwrap();
        assert_eq!((&ack["seq"], &ack["from"]), (&json!(20), &json!(from)), "since {since}");
        let mut frames = arrived(&mut client).await;
        if since + 1 < from {
            assert_eq!(frames.remove(0)["data"]["to"], from - 1);
        }
        assert_eq!(seqs(&frames), (from..=20).collect::<Vec<u64>>(), "since {since}");
    }
    publish(&server.io, "log", 1).await;
    assert_eq!(seqs(&arrived(&mut client).await), [21], "one copy, however often it has subscribed");
    assert_eq!(server.io.room_len("log"), 1);
}

#[tokio::test]
async fn a_list_is_settled_room_by_room() {
    let (server, epoch) = eight_of_twenty().await;
    let mut client = server.client().await;
    let list = json!(["plain:1", "log", "no-rule", "log:empty", "bad name", "log"]);
    let entries = client.request("subscribe", list).await.unwrap();
    let logged = json!({"room": "log", "epoch": epoch, "seq": 20, "from": 13});
    assert_eq!((&entries[0], &entries[1], &entries[5]), (&json!({"room": "plain:1"}), &logged, &logged));
    assert_eq!((&entries[3]["seq"], &entries[3]["from"]), (&json!(0), &json!(1)));
    for refused in [2, 4] {
        assert_eq!(entries[refused]["error"]["code"], "forbidden", "{entries}");
        assert!(entries[refused].get("epoch").is_none(), "{entries}");
    }
    assert_eq!(seqs(&arrived(&mut client).await), (13..=20).collect::<Vec<u64>>());
}

#[tokio::test]
async fn without_an_id_there_is_no_ack() {
    let (server, epoch) = eight_of_twenty().await;
    let mut client = server.client().await;
    client.send("subscribe", json!({"room": "log", "since": 18, "epoch": epoch})).await;
    assert_eq!(seqs(&[client.next().await, client.next().await]), [19, 20]);
    client.send("subscribe", json!({"room": "log", "since": 18})).await;
    let refused = client.expect("error").await;
    assert_eq!((&refused["code"], &refused["details"]["path"]), (&json!("invalid_payload"), &json!("epoch")));
    client.send("unsubscribe", json!("log")).await;
    assert_eq!(arrived(&mut client).await, Vec::<Value>::new());
    assert_eq!(server.io.room_len("log"), 0);
}

#[tokio::test]
async fn live_only_begins_with_what_comes_unless_more_is_asked_for() {
    let server = server(History::messages(8).live_only()).await;
    publish(&server.io, "log", 20).await;
    let epoch = server.io.room("log").epoch().unwrap();
    for (data, from) in [
        (json!("log"), 21),
        (json!({"room": "log", "last": 3}), 18),
        (json!({"room": "log", "since": 15, "epoch": &*epoch}), 16),
    ] {
        let mut client = server.client().await;
        let mut follower = follow(&mut client, data.clone()).await;
        assert_eq!(follower.next, Some(from), "{data}");
        follower.read_to(&mut client, 20).await;
        client.expect_nothing().await;
    }
}

#[tokio::test]
async fn a_join_by_the_server_starts_live() {
    let (server, epoch) = eight_of_twenty().await;
    let mut client = server.client().await;
    server.socket(&client).join("log").await.unwrap();
    client.expect_nothing().await;
    publish(&server.io, "log", 1).await;
    assert_eq!(client.next().await["seq"], 21);
    // It is a member by now: nothing changes, until it asks for a place.
    assert_eq!(client.request("subscribe", json!("log")).await.unwrap()["from"], 22);
    client.expect_nothing().await;
    assert_eq!(
        client.request("subscribe", json!({"room": "log", "since": 19, "epoch": epoch})).await.unwrap()["from"],
        20
    );
    assert_eq!(seqs(&arrived(&mut client).await), [20, 21]);
}

#[tokio::test]
async fn who_leaves_and_comes_again_begins_anew() {
    let (server, _) = eight_of_twenty().await;
    let mut client = server.client().await;
    for round in 0..5 {
        client.request("subscribe", json!("log")).await.unwrap();
        assert_eq!(seqs(&arrived(&mut client).await), (13..=20).collect::<Vec<u64>>(), "round {round}");
        assert_eq!(client.request("unsubscribe", json!("log")).await, Ok(json!({"room": "log"})));
        assert_eq!(server.io.room_len("log"), 0);
    }
    // In one go, faster than anything is written.
    let ids = [
        client.ask("subscribe", json!("log")).await,
        client.ask("unsubscribe", json!("log")).await,
        client.ask("subscribe", json!({"room": "log", "last": 2})).await,
    ];
    let mut frames = Vec::new();
    while frames.last().is_none_or(|last: &Value| last["seq"] != 20) || !frames.iter().any(|ack| ack["id"] == ids[2]) {
        frames.push(client.next().await);
    }
    let acks: Vec<usize> =
        ids.iter().map(|id| frames.iter().position(|frame| frame["id"] == *id).expect("an ack")).collect();
    assert!(acks.is_sorted());
    assert!(frames[acks[1] + 1..acks[2]].is_empty(), "nothing of a room that it has left: {frames:?}");
    assert_eq!(seqs(&frames[acks[2] + 1..]), [19, 20]);
    client.expect_nothing().await;
}

#[tokio::test]
async fn who_was_joined_by_the_server_reads_no_past_that_no_rule_lets_it() {
    let server = Server::new().await;
    // No rule lets clients into these rooms.
    server.io.rooms("closed").history(History::default());
    server.io.to("closed").emit("n", "secret").await.unwrap();
    let mut client = server.client().await;
    server.socket(&client).join("closed").await.unwrap();
    let epoch = server.io.room("closed").epoch().unwrap();
    for epoch in [&*epoch, "another"] {
        let place = json!({"room": "closed", "since": 0, "epoch": epoch});
        let refused = client.request("subscribe", place).await.unwrap_err();
        assert_eq!(refused["code"], "forbidden");
    }
    server.io.to("closed").emit("n", "news").await.unwrap();
    let frame = client.next().await;
    assert_eq!((&frame["seq"], &frame["data"]), (&json!(2), &json!("news")), "what comes is for it");
}
