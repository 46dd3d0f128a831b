//! With other nodes: who watches there is told the same, in the same order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eventwire::process::{Command, ProcessError, Settings, Status};
use eventwire::{Adapter, AdapterError, Io, NodeMessage};
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::Value;

use crate::support::*;
use crate::watch::*;

/// Another node that writes down what it is told, each in so much time.
#[derive(Clone)]
struct Scribe(Arc<Mutex<Vec<(String, Value)>>>, Duration);

#[async_trait]
impl Adapter for Scribe {
    async fn publish(&self, message: NodeMessage) -> Result<(), AdapterError> {
        // Whoever did not await this would overtake it, or be done before.
        tokio::time::sleep(self.1).await;
        let data = serde_json::from_str(message.data.get()).unwrap();
        assert_eq!(message.rooms.len(), 1);
        self.0.lock().unwrap().push((format!("{} {}", message.rooms[0], message.event), data));
        Ok(())
    }

    async fn interest(&self, _room: &str, _interested: bool) -> Result<(), AdapterError> {
        Ok(())
    }

    fn incoming(&self) -> BoxStream<'static, NodeMessage> {
        stream::pending().boxed()
    }

    async fn close(&self) {}
}

impl Scribe {
    fn new(time: Duration) -> Scribe {
        Scribe(Arc::default(), time)
    }

    fn told(&self) -> Vec<(String, Value)> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn other_nodes_are_told_the_same_in_the_same_order() {
    let scribe = Scribe::new(ms(2));
    let server = Server::of(Io::builder().adapter(scribe.clone()).build().unwrap()).await;
    server.io.rooms("process:*").public();
    // What is sent last is not given up when the drain is over.
    let processes = server.io.install(Settings::default().drain(ms(1)));
    let mut viewer = server.client_in("process:p").await;

    let run = processes.spawn("p", Command::new("seq").args(["1", "20000"])).unwrap();
    assert_eq!(within("its end", run.ended()).await, Status::Exited(0));
    assert!(processes.spawn("p", Command::new("/no/such/program")).is_err());
    until("the failure is told", || scribe.told().last().unwrap().1["status"] == "failed").await;
    processes.status("p", Status::Running).await.unwrap();
    processes.output("p", "by hand").await.unwrap();
    processes.status("p", Status::Exited(1)).await.unwrap();

    for (place, told) in scribe.told() {
        let frame = viewer.next().await;
        let here = format!("{} {}", frame["room"].as_str().unwrap(), frame["event"].as_str().unwrap());
        assert_eq!((place, told), (here, frame["data"].clone()));
    }
    viewer.expect_nothing().await;
}

#[tokio::test]
async fn no_place_is_free_while_other_nodes_are_told_of_an_end_that_leaves_somebody_behind() {
    let server = Server::of(Io::builder().adapter(Scribe::new(ms(300))).build().unwrap()).await;
    server.io.rooms("process:*").public();
    let processes = server.io.install(Settings::default().drain(ms(20)).max_running(1));
    let mut viewer = server.client_in("process:p").await;
    processes.spawn("p", sh("sleep 1000 & true")).unwrap();
    // Whoever is told of the end here is told before the others are.
    assert_eq!(Seen::whole(&mut viewer, "p").await.last()["status"], "exited");
    assert_eq!(processes.spawn("q", sh("true")).err(), Some(ProcessError::TooMany));
    processes.kill("p", ms(0)).unwrap();
    until("there is a place", || processes.spawn("q", sh("true")).is_ok()).await;
}
