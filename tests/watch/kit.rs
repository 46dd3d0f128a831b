//! A recorder of this thread's own, what it tells, and servers by name.

use std::collections::BTreeMap;

use eventwire::{Config, Io, IoBuilder};
use metrics::LocalRecorderGuard;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::Value;

use crate::support::*;

/// The recorder of a test. It is this thread's, and so of all tasks of a runtime with one thread.
pub struct Recorder {
    pub handle: PrometheusHandle,
    _here: LocalRecorderGuard<'static>,
}

impl Recorder {
    pub fn new() -> Recorder {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let recorder = Box::leak(Box::new(recorder));
        Recorder { handle, _here: metrics::set_default_local_recorder(recorder) }
    }

    /// What is told of an `Io` now.
    pub fn read(&self, io: &Io) -> Told {
        io.publish_metrics();
        Told::parse(&self.handle.render())
    }
}

/// The values of the series, by how they are written but for the label `io`.
#[derive(Debug)]
pub struct Told(pub BTreeMap<String, f64>);

impl Told {
    pub fn parse(text: &str) -> Told {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels: Vec<&str> =
                labels.trim_end_matches('}').split(',').filter(|l| !l.is_empty() && !l.starts_with("io=")).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            (format!("{name}{labels}"), value.parse().unwrap())
        });
        Told(series.collect())
    }

    pub fn get(&self, series: &str) -> u64 {
        let value = self.0.get(series).unwrap_or_else(|| panic!("no {series} in {self:#?}"));
        assert!(value.fract() == 0.0 && *value >= 0.0, "{series}: {value}");
        *value as u64
    }

    /// Those of a family that are not 0, by the value of their label.
    pub fn family(&self, name: &str) -> BTreeMap<&str, u64> {
        let of = |series: &&String| series.split('{').next() == Some(name);
        let label = |series: &'_ str| -> std::ops::Range<usize> {
            let start = series.find('"').unwrap() + 1;
            start..series.len() - 2
        };
        let all = self.0.keys().filter(of);
        let named: BTreeMap<&str, u64> = all.map(|series| (&series[label(series)], self.get(series))).collect();
        assert!(!named.is_empty(), "no {name} in {self:#?}");
        named.into_iter().filter(|(_, value)| *value > 0).collect()
    }
}

pub fn builder(name: &str, config: Value) -> IoBuilder {
    let config: Config = serde_json::from_value(config).unwrap();
    Io::builder().name(name).config(config)
}

/// A server whose `Io` has a name.
pub async fn server(name: &str, config: Value) -> Server {
    Server::of(builder(name, config).build().unwrap()).await
}

/// What a client has sent and got, as it came over the wire.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counted {
    pub sent: u64,
    pub sent_bytes: u64,
    pub got: u64,
    /// With the headers of the frames.
    pub got_bytes: u64,
    /// By code.
    pub errors: BTreeMap<String, u64>,
}

/// A client that counts.
pub struct Counting {
    pub raw: Raw,
    pub counted: Counted,
}

impl Counting {
    pub async fn new(server: &Server) -> Counting {
        let mut raw = Raw::connect(server.address).await;
        assert_eq!(raw.shake(&handshake(server.address, "GET /ws HTTP/1.1", &[])).await.0, 101);
        let mut client = Counting { raw, counted: Counted::default() };
        assert_eq!(client.next().await["event"], "connected");
        client
    }

    pub async fn send(&mut self, text: &str) {
        self.counted.sent += 1;
        self.counted.sent_bytes += text.len() as u64;
        assert!(self.raw.write(&text_frame(text)).await);
    }

    pub async fn next(&mut self) -> Value {
        let frame = self.raw.frame().await.expect("a frame");
        assert_eq!(frame.opcode, 1, "a message: {frame:?}");
        self.counted.got += 1;
        let header = if frame.payload.len() < 126 { 2 } else { 4 };
        self.counted.got_bytes += header + frame.payload.len() as u64;
        let json = frame.json();
        if json["event"] == "error" {
            *self.counted.errors.entry(json["data"]["code"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        json
    }

    /// Reads until everything has come that was caused by what was sent.
    pub async fn settle(&mut self) {
        self.send(r#"{"event":"ping","id":"settled"}"#).await;
        while self.next().await["id"] != "settled" {}
    }
}

impl std::ops::AddAssign for Counted {
    fn add_assign(&mut self, other: Counted) {
        self.sent += other.sent;
        self.sent_bytes += other.sent_bytes;
        self.got += other.got;
        self.got_bytes += other.got_bytes;
        for (code, n) in other.errors {
            *self.errors.entry(code).or_default() += n;
        }
    }
}
