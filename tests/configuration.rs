//! A server from one document: what it may say, what it is told when it is wrong, and that its schema says the same.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use eventwire::{Config, DeliveryMode, Io, Setup, Subject, SubjectKind};
use serde_json::{Map, Value, json};
use support::*;

fn setup(document: Value) -> Setup {
    Setup::from_json(&document.to_string()).unwrap_or_else(|error| panic!("{document}: {error}"))
}

fn error(document: &Value) -> String {
    Setup::from_json(&document.to_string()).expect_err(&document.to_string()).to_string()
}

/// As StreamKit's manual has it, all keys.
fn of_streamkit() -> Value {
    json!({
        "ports": {"inputs": [
            {"name": "metrics", "type": "nats", "subject": "metrics.>", "required": true},
            {"name": "events", "type": "jetstream", "subject": "events.*", "required": false, "stream": "EVENTS"},
        ]},
        "subjects": ["stream.>"],
        "delivery_mode": "at-least-once", "ack_timeout": "7s", "write_timeout": "5s", "read_timeout": "60s",
        "ping_interval": "30s", "port": 8081, "path": "/ws",
    })
}

#[test]
fn streamkits_keys_are_read_as_they_are() {
    let setup = setup(of_streamkit());
    let secs = Duration::from_secs;
    let config = &setup.config;
    assert_eq!((config.ping_interval, config.silence_timeout, config.write_timeout), (secs(30), secs(60), secs(5)));
    assert_eq!(config.ack_timeout, secs(7));
    assert_eq!(setup.delivery, DeliveryMode::AtLeastOnce { ack_timeout: secs(7) });
    assert_eq!((setup.listen.port, setup.listen.path.as_str()), (8081, "/ws"));
    let mut metrics = Subject::new("metrics.>");
    (metrics.name, metrics.required) = ("metrics".to_owned(), true);
    let mut events = Subject::new("events.*");
    (events.name, events.required) = ("events".to_owned(), false);
    events.kind = SubjectKind::JetStream { stream: "EVENTS".to_owned(), durable: None };
    assert_eq!(setup.source.subjects, [metrics, events, Subject::new("stream.>")]);
    let io = Io::from_config(&of_streamkit().to_string()).unwrap();
    assert_eq!((io.config(), &*io.setup().unwrap()), (config, &setup));
}

#[test]
fn ours_and_the_defaults() {
    assert_eq!(setup(json!({})), Setup::default());
    let default = Setup::default();
    assert_eq!(default.config, Config::default());
    assert_eq!(
        (default.listen.host.as_str(), default.listen.port, default.listen.path.as_str()),
        ("127.0.0.1", 8081, "/ws")
    );
    assert_eq!((default.delivery, default.source.subjects), (DeliveryMode::AtMostOnce, vec![Subject::new("stream.>")]));
    assert_eq!(
        (default.source.servers, default.source.name.as_str()),
        (vec!["nats://127.0.0.1:4222".to_owned()], "nats")
    );
    let made = setup(json!({"outbox": {"bytes": "1MiB"}, "maxMessage": "2KiB", "host": "::1", "allowed_origins": "*"}));
    assert_eq!(
        (made.config.outbox.bytes, made.config.max_message, made.listen.host.as_str()),
        (1024 * 1024, 2048, "::1")
    );
    // For deliveries the time is 5 s, for requests 10 s, unless it is said.
    let made = setup(json!({"deliveryMode": "at-least-once"}));
    assert_eq!(made.delivery, DeliveryMode::AtLeastOnce { ack_timeout: Duration::from_secs(5) });
    assert_eq!(made.config.ack_timeout, Duration::from_secs(10));
    // An input alone has no companion that nobody asked for.
    let made = setup(json!({"ports": {"inputs": [{"subject": "a"}]}}));
    assert_eq!(made.source.subjects, [Subject::new("a")]);
    assert_eq!(setup(json!({"subjects": "a.*"})).source.subjects, [Subject::new("a.*")]);
    // Other formats than JSON.
    let toml: Setup =
        toml::from_str("port = 9000\n[[ports.inputs]]\nsubject = \"a.b\"\n[nats]\nservers = \"nats://n\"\n").unwrap();
    assert_eq!(
        (toml.listen.port, toml.source.subjects, toml.source.servers),
        (9000, vec![Subject::new("a.b")], vec!["nats://n".to_owned()])
    );
}

#[test]
fn each_error_names_its_key_what_is_expected_and_what_came() {
    let inputs = |inputs: Value| json!({"ports": {"inputs": inputs}});
    for (document, message) in [
        (json!({"port": 80}), "`port`: must be a whole number from 1024 to 65535, not 80"),
        (json!({"port": 65536}), "`port`: must be a whole number from 1024 to 65535, not 65536"),
        (json!({"port": "8081"}), "`port`: must be a whole number from 1024 to 65535, not \"8081\""),
        (json!({"host": "localhost:80"}), "`host`: must be an address or a name, without a port, not \"localhost:80\""),
        (json!({"path": "ws"}), "`path`: must be a path such as \"/ws\", not \"ws\""),
        (json!({"path": "/ws?a"}), "`path`: must be a path such as \"/ws\", not \"/ws?a\""),
        (
            json!({"ack_timeout": "soon"}),
            "`ack_timeout` (`ackTimeout`): must be a duration such as \"25s\" or a number of milliseconds, not \"soon\"",
        ),
        (
            json!({"delivery_mode": "exactly-once"}),
            "`delivery_mode` (`deliveryMode`): must be \"at-most-once\" or \"at-least-once\", not \"exactly-once\"",
        ),
        (
            json!({"read_timeout": "10s"}),
            "`read_timeout` (`silenceTimeout`): must be longer than `pingInterval`, or every quiet peer is cut",
        ),
        (
            json!({"read_timeout": "60s", "silenceTimeout": "60s"}),
            "`read_timeout` (`silenceTimeout`): is given twice: it is `silenceTimeout`",
        ),
        (json!({"ports": {"outputs": []}}), "`ports.outputs`: is no key of the configuration"),
        (json!({"ports": {"input": []}}), "`ports.input`: is no key of the configuration; `inputs` is one"),
        (json!({"ports": 5}), "`ports`: must be an object, not a number"),
        (inputs(json!({})), "`ports.inputs`: must be a list of objects, not an object"),
        (inputs(json!([7])), "`ports.inputs[0]`: must be an object, not a number"),
        (inputs(json!([{"subject": "a"}, {}])), "`ports.inputs[1].subject`: is missing"),
        (
            inputs(json!([{"subject": "a"}, {"subject": "b..c"}])),
            "`ports.inputs[1].subject`: must be a subject of NATS such as `metrics.>`: its token 2 is empty, not \"b..c\"",
        ),
        (
            inputs(json!([{"subject": "a", "type": "kafka"}])),
            "`ports.inputs[0].type`: must be \"nats\" or \"jetstream\", not \"kafka\"",
        ),
        (
            inputs(json!([{"subject": "a", "required": "yes"}])),
            "`ports.inputs[0].required`: must be true or false, not \"yes\"",
        ),
        (
            inputs(json!([{"subject": "a", "type": "jetstream"}])),
            "`ports.inputs[0].stream`: is missing: which one has the subject",
        ),
        (inputs(json!([{"subject": "a", "stream": "A"}])), "`ports.inputs[0].stream`: is for `jetstream` alone"),
        (inputs(json!([{"subject": "a", "durable": "d"}])), "`ports.inputs[0].durable`: is for `jetstream` alone"),
        (json!({"subjects": []}), "`subjects`: must have at least one entry"),
        (
            json!({"subjects": ["a", "b c"]}),
            "`subjects[1]`: must be a subject of NATS such as `metrics.>`: its token 1 has a space or a control character in it, not \"b c\"",
        ),
        (
            json!({"subjects": ["a", "a"]}),
            "`subjects[1]`: names a subject that is there already: each message would come twice",
        ),
        (
            json!({"subjects": ["a"], "ports": {"inputs": [{"subject": "a"}]}}),
            "`subjects[0]`: names a subject that is there already: each message would come twice",
        ),
        (json!({"nats": {"user": "ann"}}), "`nats.user`: needs both `user` and `password`"),
        (json!({"nats": {"password": "s3cret"}}), "`nats.password`: needs both `user` and `password`"),
        (
            json!({"nats": {"user": "ann", "password": "s3cret", "token": "t"}}),
            "`nats.token`: excludes the other ways to say who one is",
        ),
    ] {
        assert_eq!(error(&document), message, "{document}");
    }
    let whole = Setup::from_json("[]").unwrap_err();
    assert_eq!((whole.key(), whole.to_string().as_str()), ("", "the configuration must be a JSON object"));
    let whole = Setup::from_json("{").unwrap_err().to_string();
    assert!(whole.starts_with("the configuration is no JSON: ") && whole.contains("line 1"), "{whole}");
    let both = Io::from_config(r#"{"port": 1, "subjects": "a..b"}"#).unwrap_err();
    assert_eq!(both.problems().map(|(key, _)| key).collect::<Vec<_>>(), ["port", "subjects"]);
}

#[test]
fn secrets_are_told_by_no_error_and_no_debug() {
    let secret = "s3cret";
    let good = json!({"nats": {"servers": [format!("nats://ann:{secret}@host:4222"), format!("{secret}@host")], "user": "ann", "password": secret}});
    let token = json!({"nats": {"token": secret}});
    let file = json!({"nats": {"servers": "tls://n1", "credentials": format!("/etc/{secret}.creds")}});
    for document in [good, token, file] {
        let setup = setup(document.clone());
        assert!(!format!("{setup:?} {:#?}", setup.source).contains(secret), "{setup:?}");
        let io = setup.io().unwrap();
        assert!(!format!("{io:?}").contains(secret));
    }
    for nats in [
        json!(format!("http://ann:{secret}@host")),
        json!([format!("nats://ann:{secret}@")]),
        json!({"servers": format!("nats://ann:{secret}@host:port")}),
        json!({"servers": [[secret]]}),
        json!({"password": [secret], "user": "ann"}),
        json!({"token": {"is": secret}}),
        json!({"credentials": [secret]}),
        json!({"user": [secret]}),
        json!({"token": secret, "user": "ann", "password": secret}),
        json!({"token": secret, "pasword": secret}),
    ] {
        let error = error(&json!({"nats": nats}));
        assert!(error.starts_with("`nats.") && !error.contains(secret), "{error}");
    }
}

// ---- the schema

fn properties(schema: &Value) -> &Map<String, Value> {
    schema["properties"].as_object().or_else(|| schema["anyOf"][0]["properties"].as_object()).unwrap()
}

/// Each key of the schema: its path, and how a document is made that has a value there.
fn leaves(schema: &Value, path: &[String], found: &mut Vec<(Vec<String>, Value)>) {
    for (name, property) in properties(schema) {
        let path = [path, std::slice::from_ref(name)].concat();
        found.push((path.clone(), property.clone()));
        let inner = if property["items"].is_object() { &property["items"] } else { property };
        if inner.get("properties").or_else(|| inner["anyOf"][0].get("properties")).is_some() {
            leaves(inner, &path, found);
        }
    }
}

/// A document with a value at a path, and with what has to stand beside it.
fn document_at(path: &[String], value: Value) -> Value {
    let Some((name, rest)) = path.split_first() else { return value };
    let inner = document_at(rest, value);
    match (name.as_str(), rest.first().map(String::as_str)) {
        ("inputs", Some("subject")) => json!({name: [inner]}),
        ("inputs", Some(key)) => json!({name: [{"subject": "a.b", key: inner[key]}]}),
        ("eventsPerSecond" | "events_per_second", Some("burst")) => json!({name: {"rate": 1, "burst": inner["burst"]}}),
        _ => json!({name: inner}),
    }
}

/// What it means is in one place; that the two walks over it agree is shown key by key.
#[test]
fn the_schema_and_the_reader_know_the_same_keys_and_values() {
    let schema = Io::config_schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    let mut found = Vec::new();
    leaves(&schema, &[], &mut found);
    let names: Vec<&str> = found.iter().map(|(path, _)| path.last().unwrap().as_str()).collect();
    for name in [
        "port",
        "path",
        "host",
        "subjects",
        "inputs",
        "subject",
        "type",
        "required",
        "delivery_mode",
        "ack_timeout",
        "write_timeout",
        "read_timeout",
        "ping_interval",
        "pingInterval",
        "silenceTimeout",
        "servers",
        "burst",
        "overflow",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let mut defaults = 0;
    for (path, property) in &found {
        // Another spelling says where the first is.
        let is_alias = property.get("$ref").is_some();
        let main =
            property["$ref"].as_str().map_or(property, |place| schema.pointer(place.trim_start_matches('#')).unwrap());
        assert!(main["description"].as_str().is_some_and(|about| about.ends_with('.')), "{path:?} has no description");
        if let Some(default) = main.get("default") {
            defaults += 1;
            let document = document_at(path, default.clone());
            assert!(validator.is_valid(&document), "the schema refuses its own default: {document}");
            let read = setup(document.clone());
            // An input that is there takes the place of `stream.>`.
            if !path.contains(&"inputs".to_owned())
                && !path.iter().any(|name| name.replace('_', "").eq_ignore_ascii_case("eventsPerSecond"))
            {
                let expected = if path.last().unwrap().replace('_', "") == "ackTimeout" {
                    setup(document)
                } else {
                    Setup::default()
                };
                assert_eq!(read, expected, "{path:?} is not the default");
            }
        } else {
            assert!(
                matches!(path.last().unwrap().as_str(), "subject" | "rate" | "burst" | "name"),
                "{path:?} has no default"
            );
        }
        // What is no value of any key: both refuse it, and the reader names it.
        for wrong in [json!({"no": "such"}), json!([[]]), json!(-1)] {
            let document = document_at(path, wrong.clone());
            assert!(!validator.is_valid(&document), "the schema takes {document}");
            let error = error(&document);
            assert!(error.contains(path.last().unwrap().as_str()), "{document}: {error}");
        }
        // Two spellings of one key exclude each other, for both.
        if is_alias {
            let main = property["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let mut twice = document_at(path, json!(null));
            let section = path[..path.len() - 1].iter().fold(&mut twice, |at, name| &mut at[name.as_str()]);
            let default =
                schema.pointer(property["$ref"].as_str().unwrap().trim_start_matches('#')).unwrap()["default"].clone();
            (section[main], section[path.last().unwrap()]) = (default.clone(), default);
            assert!(!validator.is_valid(&twice), "the schema takes {twice}");
            assert!(error(&twice).contains("is given twice"), "{twice}");
        }
    }
    assert!(found.len() > 60 && defaults > 50, "{} keys, {defaults} defaults", found.len());
    // The other way round: whatever a whole configuration is written as stands in the schema.
    let written = serde_json::to_value(Config::default()).unwrap();
    assert!(validator.is_valid(&written), "{written}");
    assert!(written.as_object().unwrap().len() > 12);
}

#[test]
fn the_schema_takes_what_the_reader_takes_and_refuses_what_it_refuses() {
    let schema = Io::config_schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for (good, document) in [
        (true, of_streamkit()),
        (true, json!({"$schema": "./schema.json", "nats": "nats://n:4222"})),
        (true, json!({"nats": ["n1", "tls://n2:4222"], "subjects": "größe.*.>"})),
        (
            true,
            json!({"nats": {"servers": "nats://[::1]:4222", "token": "t"}, "allowedOrigins": ["https://a.example"]}),
        ),
        (
            true,
            json!({"maxMessage": "1.5MiB", "pingInterval": "0.5s", "silence_timeout": " 90 s ", "readBuffer": 4096.0}),
        ),
        (
            true,
            json!({"eventsPerSecond": {"rate": 0.5}, "maxConnections": null, "outbox": {"overflow": "drop_oldest"}}),
        ),
        (false, json!({"port": 1023})),
        (false, json!({"path": "ws"})),
        (false, json!({"path": "/a b"})),
        (false, json!({"host": ""})),
        (false, json!({"pingInterval": "25 parsecs"})),
        (false, json!({"pingInterval": "s"})),
        (false, json!({"pingInterval": 0})),
        (false, json!({"maxMessage": "5 apples"})),
        (false, json!({"maxMessage": 5})),
        (false, json!({"maxPendingAcks": 1.5})),
        (false, json!({"subjects": ["a..b"]})),
        (false, json!({"subjects": ["a.>.b"]})),
        (false, json!({"subjects": ["a*"]})),
        (false, json!({"nats": "http://n"})),
        (false, json!({"nats": []})),
        (false, json!({"nats": {"server": "n"}})),
        (false, json!({"eventsPerSecond": {}})),
        (false, json!({"eventsPerSecond": {"rate": 0}})),
        (false, json!({"ports": {"inputs": [{"name": "a"}]}})),
        (false, json!({"outbox": {"overflow": "explode"}})),
        (false, json!({"deliveryMode": "maybe"})),
        (false, json!({"Port": 8081})),
        (false, json!([])),
    ] {
        let read = Setup::from_json(&document.to_string());
        assert_eq!(read.is_ok(), good, "the reader: {document}: {read:?}");
        let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert_eq!(errors.is_empty(), good, "the schema: {document}: {errors:?}");
    }
}

// ---- listening as it says

/// A setup that listens at a port of its own.
fn anywhere(document: Value) -> Setup {
    let mut setup = setup(document);
    setup.listen.port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    setup
}

#[tokio::test]
async fn run_listens_where_it_says_and_serves_its_path_and_those_of_dialects() {
    let setup = anywhere(json!({"path": "/stream", "host": "localhost", "maxMessage": "2KiB"}));
    let port = setup.listen.port;
    let io = setup.io_with(Io::builder().dialect(eventwire::dialects::GoWs::default())).unwrap();
    let running = tokio::spawn({
        let io = io.clone();
        async move { io.run().await }
    });
    let address = tokio::net::lookup_host(("localhost", port)).await.unwrap().next().unwrap();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while tokio::net::TcpStream::connect(address).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline && !running.is_finished());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut client = Client::connect(address, "/stream?a=b").await;
    assert_eq!(client.connected["maxMessage"], 2048);
    for path in ["/", "/ws", "/stream/", "/streams", "/STREAM"] {
        let mut raw = Raw::connect(address).await;
        let (status, response) = raw.shake(&handshake(address, &format!("GET {path} HTTP/1.1"), &[])).await;
        let body: Value = serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!((status, &body["code"]), (404, &json!("not_found")), "{path}: {response}");
    }
    let mut raw = Raw::connect(address).await;
    assert_eq!(raw.shake(&handshake(address, "GET /go-ws HTTP/1.1", &[])).await.0, 101, "a dialect's own path");
    assert_eq!(io.stats().connected, 2);
    io.shutdown(Duration::from_secs(5)).await;
    assert_eq!(client.closed().await.0, 1001);
    within("run returns", running).await.unwrap().unwrap();
    std::net::TcpListener::bind(address).unwrap();
}

#[tokio::test]
async fn run_says_why_it_cannot() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut setup = setup(json!({}));
    setup.listen.port = taken.local_addr().unwrap().port();
    let error = within("run returns", setup.io().unwrap().run()).await.unwrap_err();
    assert_eq!(error.code(), "listen");
    assert!(error.to_string().contains(&format!("cannot listen at {}", taken.local_addr().unwrap())), "{error}");
    let error = within("run returns", Io::new().run()).await.unwrap_err();
    assert!(error.to_string().contains("`Setup`"), "{error}");
}
