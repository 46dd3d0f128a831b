//! What `tracing` sees: who it is and which event, in the application's own lines, and no secret anywhere.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventwire::{Ack, Handshake, Refusal, Socket};
use serde_json::json;
use tracing::Level;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::kit::*;
use crate::support::*;

/// What is written on this thread, line by line.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn on_this_thread(level: Level) -> (Written, DefaultGuard) {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_span_events(FmtSpan::FULL)
            .with_writer(move || writer.clone())
            .finish();
        (written, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The line that the application wrote.
    async fn line(&self, said: &str) -> String {
        let mut found = None;
        until(said, || {
            found = self.text().lines().find(|line| line.contains(&format!("said=\"{said}\""))).map(str::to_owned);
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

/// Handlers that say something, before and after they have waited.
fn handlers(io: &eventwire::Io) {
    let pause = || tokio::time::sleep(Duration::from_millis(5));
    io.on_connect(|_: Socket| async move { tracing::info!(said = "connect") });
    io.on_disconnect(|_, _| async move { tracing::info!(said = "disconnect") });
    io.on::<String>("at once", |_: Socket, _| async move { tracing::info!(said = "at once") });
    io.on::<String>("waits", move |_: Socket, _| async move {
        tracing::info!(said = "before");
        pause().await;
        tracing::info!(said = "after");
    });
    io.on::<String>("queued", |_: Socket, _| async move { tracing::info!(said = "queued") });
    io.on::<String>("later", move |_: Socket, _| async move {
        Ack::later(async move {
            pause().await;
            tracing::info!(said = "later");
        })
    });
    let beside = move |_: Socket, _| async move {
        pause().await;
        tracing::info!(said = "beside");
    };
    io.on::<String>("beside", beside).concurrent(2);
}

const SAID: [(&str, &str); 6] = [
    ("at once", "at once"),
    ("before", "waits"),
    ("after", "waits"),
    ("queued", "queued"),
    ("later", "later"),
    ("beside", "beside"),
];

#[tokio::test]
async fn what_handlers_write_carries_the_socket_and_the_event() {
    let (written, _guard) = Written::on_this_thread(Level::DEBUG);
    let server = server("spans", json!({})).await;
    handlers(&server.io);
    let mut client = Client::connect(server.address, "/ws?token=s3cret").await;
    let id = client.id.clone();
    let mut asked = Vec::new();
    for event in ["at once", "waits", "queued", "later", "beside"] {
        asked.push((event, client.ask(event, json!("payl0ad")).await));
    }
    for (_, id) in &asked {
        client.answer(*id).await.unwrap();
    }
    let peer = client.ws.get_ref().local_addr().unwrap();
    client.close().await;
    let of_connection = format!("connection{{socket={id} peer={peer} dialect=\"eventwire.v1.json\" path=\"/ws\"}}");
    for (said, event) in SAID {
        let line = written.line(said).await;
        let (_, request) = asked.iter().find(|(asked, _)| *asked == event).unwrap();
        let spans = format!("{of_connection}:event{{event=\"{event}\" id={request}}}:");
        assert!(line.contains(&spans), "{line}\n{spans}");
        assert_eq!(line.matches("event{").count(), 1, "in no other event's: {line}");
    }
    for said in ["connect", "disconnect"] {
        let line = written.line(said).await;
        assert!(line.contains(&of_connection), "{line}");
    }
    // The span ends with the connection.
    until("it is closed", || {
        written.text().lines().any(|line| line.contains(&of_connection) && line.contains("close time.busy"))
    })
    .await;
}

#[tokio::test]
async fn at_the_usual_level_there_is_the_socket_and_events_cost_nothing() {
    let (written, _guard) = Written::on_this_thread(Level::INFO);
    let server = server("usual", json!({})).await;
    handlers(&server.io);
    let mut client = server.client().await;
    for event in ["at once", "waits", "queued", "later", "beside"] {
        client.request(event, json!("payl0ad")).await.unwrap();
    }
    for (said, _) in SAID {
        let line = written.line(said).await;
        assert!(line.contains(&format!("connection{{socket={} ", client.id)) && !line.contains("event{"), "{line}");
    }
}

/// Also what other crates log, by `log`, is looked at.
#[tokio::test]
async fn no_secret_is_written_at_any_level() {
    tracing_log::LogTracer::init().unwrap();
    let (written, _guard) = Written::on_this_thread(Level::TRACE);
    let server = server("secrets", json!({})).await;
    handlers(&server.io);
    server.io.rooms("room").public();
    server.io.authenticate(|handshake: Handshake| async move {
        match handshake.query_param("token").as_deref() {
            Some("t0ken-in-query") => Ok(Some("ann".to_owned())),
            _ => Err(Refusal::unauthorized("the token is not valid")),
        }
    });
    let headers = [
        ("Authorization", "Bearer b3arer-secret"),
        ("X-Api-Key", "api-k3y-secret"),
        ("Cookie", "session=c00kie-secret"),
        ("Sec-WebSocket-Protocol", "eventwire.v1.json, pr0tocol-secret"),
    ];
    // One that is let in, one that is not, and one that breaks off.
    let mut raw = Raw::connect(server.address).await;
    let line = "GET /ws?token=t0ken-in-query&x=other-qu3ry HTTP/1.1";
    assert_eq!(raw.shake(&handshake(server.address, line, &headers)).await.0, 101);
    let refused = handshake(server.address, "GET /ws?token=wr0ng-token HTTP/1.1", &headers);
    assert_eq!(Raw::connect(server.address).await.shake(&refused).await.0, 401);
    drop(raw_half(&server, &refused).await);
    for event in ["at once", "waits", "queued", "later", "beside", "nobody"] {
        let text = json!({"event": event, "data": "payl0ad-secret", "id": "an id"}).to_string();
        raw.write(&text_frame(&text)).await;
    }
    raw.write(&text_frame(r#"{"event":"at once","data":{"payl0ad-secret":1}}"#)).await;
    raw.write(&text_frame(r#"{"event":"subscribe","data":"room"}"#)).await;
    raw.write(&text_frame("payl0ad-secret that is no envelope")).await;
    server.io.to("room").emit("said", "payl0ad-secret").await.unwrap();
    written.line("beside").await;
    raw.is_alive().await;
    raw.write(&frame(0x82, b"payl0ad-secret")).await;
    assert_eq!(raw.closed().await.0, 1003);
    written.line("disconnect").await;
    tracing::trace!("the lowest level is written, too");
    let text = written.text();
    for secret in ["t0ken", "qu3ry", "b3arer", "api-k3y", "c00kie", "pr0tocol", "wr0ng", "payl0ad"] {
        let found: Vec<&str> = text.lines().filter(|line| line.contains(secret)).collect();
        assert!(found.is_empty(), "{secret}: {found:#?}");
    }
    assert!(text.contains("refused") && text.contains("TRACE"), "all was looked at: {text}");
}

async fn raw_half(server: &Server, request: &str) -> Raw {
    let mut raw = Raw::connect(server.address).await;
    raw.write(&request.as_bytes()[..request.len() / 2]).await;
    raw
}
