//! Profiles: what a client may choose of a command, and that nothing else comes through.

use eventwire::process::{Command, Mode, Param, Processes, Profile, Settings};
use eventwire::{Error, code};
use serde_json::{Value, json};

use crate::support::*;
use crate::watch::*;

/// Prints its arguments, each between brackets and on a line of its own.
fn shows() -> Profile {
    Profile::new("sh").arg("-c").arg(r#"for arg; do printf '[%s]\n' "$arg"; done"#).arg("sh")
}

struct Bench {
    server: Server,
    processes: Processes,
    client: Client,
}

impl Bench {
    async fn new(profile: impl Into<Profile>) -> Bench {
        Bench::with(Settings::default().profile("it", profile)).await
    }

    async fn with(settings: Settings) -> Bench {
        let (server, processes) = open(settings).await;
        let client = server.client_in("process:p").await;
        Bench { server, processes, client }
    }

    async fn start(&mut self, more: Value) -> Result<Value, Value> {
        let mut data = json!({"processId": "p", "profile": "it"});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.client.request("process_start", data).await
    }

    /// What it prints with these parameters.
    async fn prints(&mut self, params: Value) -> String {
        self.start(json!({ "params": params })).await.unwrap();
        Seen::whole(&mut self.client, "p").await.out_text()
    }

    async fn refuses(&mut self, params: Value) -> (String, String) {
        let refusal = refusal(self.start(json!({ "params": params })).await);
        assert_eq!(self.processes.list().iter().filter(|info| !info.status.is_end()).count(), 0, "nothing is started");
        refusal
    }
}

const NASTY: [&str; 14] = [
    "; rm -rf /",
    "$(id)",
    "`id`",
    "a b",
    "a\nb",
    "'\"",
    "*",
    "$HOME",
    "&& true",
    "| cat",
    "> /tmp/x",
    "\\",
    "é─😀\u{2028}",
    "",
];

#[tokio::test]
async fn a_value_is_one_argument_whatever_is_in_it() {
    let profile =
        shows().arg("before").param("text", Param::text(100)).param("more", Param::text(100).prefix("--more="));
    let mut bench = Bench::new(profile.arg("after")).await;
    for nasty in NASTY {
        let printed = bench.prints(json!({"text": nasty, "more": nasty})).await;
        assert_eq!(printed, format!("[before]\n[{nasty}]\n[--more={nasty}]\n[after]\n"), "{nasty:?}");
    }
    // After a prefix it is no option by itself.
    assert!(bench.prints(json!({"text": "x", "more": "-x"})).await.contains("[--more=-x]\n"));
}

#[tokio::test]
async fn what_would_be_an_option_or_can_be_no_argument_is_refused() {
    let mut bench = Bench::new(shows().param("text", Param::text(100))).await;
    for bad in ["-", "-x", "--help", "-\n", "a\0b", "\0", &"x".repeat(101), &"é".repeat(51)] {
        assert_eq!(bench.refuses(json!({"text": bad})).await, refused("invalid_payload", "params.text"), "{bad:?}");
    }
    assert_eq!(bench.prints(json!({"text": "x".repeat(100)})).await.len(), 103);
    let mut bench = Bench::new(shows().arg("--").param("text", Param::text(100).may_begin_with_dash())).await;
    assert_eq!(bench.prints(json!({"text": "--help"})).await, "[--]\n[--help]\n");
    assert_eq!(bench.refuses(json!({"text": "-\0"})).await, refused("invalid_payload", "params.text"));
}

#[tokio::test]
async fn values_are_checked_by_their_kind() {
    let word = Param::text(8).of(|c| c.is_ascii_alphanumeric());
    let profile = shows()
        .param("n", Param::integer(-3..=10))
        .param("level", Param::one_of(["debug", "release"]).default("debug"))
        .param("word", word.prefix("w:").optional());
    let mut bench = Bench::new(profile).await;
    assert_eq!(bench.prints(json!({"n": 10})).await, "[10]\n[debug]\n", "without what may be left out");
    assert_eq!(bench.prints(json!({"n": -3, "level": null, "word": null})).await, "[-3]\n[debug]\n", "null is nothing");
    assert_eq!(bench.prints(json!({"n": 1, "level": "release", "word": "abc9"})).await, "[1]\n[release]\n[w:abc9]\n");
    let cases = [
        (json!({}), "n"),
        (json!({"n": null}), "n"),
        (json!({"n": 11}), "n"),
        (json!({"n": -4}), "n"),
        (json!({"n": "1"}), "n"),
        (json!({"n": 1.5}), "n"),
        (json!({"n": [1]}), "n"),
        (json!({"n": 1e300}), "n"),
        (json!({"n": 18446744073709551615u64}), "n"),
        (json!({"n": 1, "level": "Release"}), "level"),
        (json!({"n": 1, "level": ""}), "level"),
        (json!({"n": 1, "level": 1}), "level"),
        (json!({"n": 1, "word": "a b"}), "word"),
        (json!({"n": 1, "word": "é"}), "word"),
        (json!({"n": 1, "word": "123456789"}), "word"),
        (json!({"n": 1, "other": 1}), "other"),
        (json!({"N": 1, "n": 1}), "N"),
    ];
    for (params, field) in cases {
        let path = format!("params.{field}");
        let answer = bench.start(json!({ "params": params })).await;
        let message = answer.as_ref().unwrap_err()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(&path), "{params}: {message}");
        assert_eq!(refusal(answer), refused("invalid_payload", &path), "{params}");
    }
    assert_eq!(bench.processes.list().len(), 1);
}

#[tokio::test]
async fn a_profile_carries_a_whole_command() {
    let folder = Folder::new();
    let command =
        sh("echo $A; pwd; echo err >&2; read line; echo got $line").cwd(folder.path()).env("A", "is set").input();
    let mut bench = Bench::new(command.merge().mode(Mode::Lines).time_limit(DEADLINE)).await;
    let started = bench.start(json!({})).await.unwrap();
    assert_eq!(started["processId"], "p");
    bench.client.request("process_input", json!({"processId": "p", "data": "a line\n"})).await.unwrap();
    let seen = Seen::whole(&mut bench.client, "p").await;
    assert_eq!(started, json!({"processId": "p", "run": seen.run}));
    let folder = std::fs::canonicalize(folder.path()).unwrap();
    assert_eq!(seen.out_text(), format!("is set\n{}\nerr\ngot a line\n", folder.display()));
    assert_eq!(bench.processes.list()[0].profile.as_deref(), Some("it"));
}

#[tokio::test]
async fn the_server_starts_from_profiles_too() {
    let mut bench = Bench::new(Profile::new("seq").arg("1").param("n", Param::integer(1..=9))).await;
    bench.processes.start("p", "it", json!({"n": 3})).unwrap();
    assert_eq!(Seen::whole(&mut bench.client, "p").await.out_text(), "1\n2\n3\n");
    let refusals = [
        (bench.processes.start("p", "it", json!({"n": 10})), code::INVALID_PAYLOAD),
        (bench.processes.start("p", "it", Value::Null), code::INVALID_PAYLOAD),
        (bench.processes.start("p", "it", json!([3])), code::INVALID_PAYLOAD),
        (bench.processes.start("p", "other", json!({})), code::NOT_FOUND),
        (bench.processes.start("no id", "it", json!({"n": 3})), code::INVALID_PAYLOAD),
    ];
    for (refused, expected) in refusals {
        assert_eq!(Error::from(refused.unwrap_err()).code(), expected);
    }
}

#[tokio::test]
async fn a_function_makes_commands_too() {
    let settings = Settings::default().profile_fn("it", |params: Value| {
        let words = params["words"].as_array().ok_or(Error::new("no_words", "there are no words"))?;
        Ok(Command::new("echo").args(words.iter().filter_map(|word| word.as_str())))
    });
    let mut bench = Bench::with(settings).await;
    assert_eq!(bench.prints(json!({"words": ["a", "b  c", "$HOME"]})).await, "a b  c $HOME\n");
    assert_eq!(bench.refuses(json!({})).await, refused("no_words", ""));
    assert_eq!(refusal(bench.start(json!({})).await), refused("no_words", ""), "without any");
    assert_eq!(refusal(bench.start(json!({"cwd": "/"})).await), refused("forbidden", "cwd"));
    assert_eq!(refusal(bench.start(json!({"env": {"A": "b"}})).await), refused("forbidden", "env"));
}

// ---- what else a client may choose

#[tokio::test]
async fn the_directory_is_below_the_one_that_the_server_gives() {
    let folder = Folder::new();
    for inside in ["root/a/b", "root-beside", "elsewhere"] {
        std::fs::create_dir_all(folder.file(inside)).unwrap();
    }
    std::fs::write(folder.file("root/file"), "").unwrap();
    std::os::unix::fs::symlink("../elsewhere", folder.file("root/out")).unwrap();
    std::os::unix::fs::symlink("a/b", folder.file("root/in")).unwrap();
    let root = std::fs::canonicalize(folder.file("root")).unwrap();
    let mut bench = Bench::new(Profile::new("pwd").arg("-P").client_cwd(&root)).await;
    let absolute = root.join("a");
    for (cwd, expected) in [
        (json!(null), ""),
        (json!("."), ""),
        (json!(""), ""),
        (json!("a"), "/a"),
        (json!("a/b/.."), "/a"),
        (json!("in"), "/a/b"),
        (json!(absolute.to_str().unwrap()), "/a"),
    ] {
        bench.start(json!({ "cwd": cwd })).await.unwrap();
        let printed = Seen::whole(&mut bench.client, "p").await.out_text();
        assert_eq!(printed, format!("{}{expected}\n", root.display()), "{cwd}");
    }
    for cwd in [
        "..",
        "../root-beside",
        "../elsewhere",
        "out",
        "out/.",
        "/",
        "/etc",
        "a/../../elsewhere",
        "file",
        "none",
        "../none",
        "a\0",
    ] {
        let answer = bench.start(json!({ "cwd": cwd })).await;
        assert_eq!(refusal(answer), refused("forbidden", "cwd"), "{cwd:?}");
    }
    let mut bench = Bench::new(Profile::new("pwd")).await;
    assert_eq!(refusal(bench.start(json!({"cwd": "/tmp"})).await), refused("forbidden", "cwd"), "not without a root");
}

#[tokio::test]
async fn the_process_has_no_descriptor_of_the_directory() {
    let folder = Folder::new();
    std::fs::create_dir(folder.file("a")).unwrap();
    let mut bench = Bench::new(Profile::from(sh("readlink /proc/$$/fd/*; true")).client_cwd(folder.path())).await;
    bench.start(json!({"cwd": "a"})).await.unwrap();
    let printed = Seen::whole(&mut bench.client, "p").await.out_text();
    assert!(printed.contains("pipe:") && !printed.contains(folder.path().to_str().unwrap()), "{printed}");
}

#[test]
#[should_panic(expected = "by a relative path")]
fn the_directory_does_not_choose_the_program() {
    let _ = Profile::new("./run.sh").client_cwd("/tmp");
}

#[tokio::test]
async fn variables_are_those_that_are_named() {
    let mut bench =
        Bench::new(Profile::from(sh("echo \"$LEVEL $OTHER\"")).client_env(["LEVEL", "EVENTWIRE_RUN"])).await;
    bench.start(json!({"env": {"LEVEL": "a b;\n$(id)"}})).await.unwrap();
    assert_eq!(Seen::whole(&mut bench.client, "p").await.out_text(), "a b;\n$(id) \n");
    for name in ["OTHER", "PATH", "LD_PRELOAD", "level", "LEVEL=x", "", "LEVEL\0"] {
        let answer = bench.start(json!({"env": {name: "x", "LEVEL": "y"}})).await;
        assert_eq!(refusal(answer), refused("forbidden", &format!("env.{name}")), "{name:?}");
    }
    let answer = bench.start(json!({"env": {"LEVEL": "a\0b"}})).await;
    assert_eq!(refusal(answer), refused("invalid_payload", "env.LEVEL"));
    let answer = bench.start(json!({"env": {"LEVEL": 3}})).await;
    assert_eq!(refusal(answer), refused("invalid_payload", "env.LEVEL"));
    drop(bench.server);
}

#[test]
#[should_panic(expected = "the parameter `n` is there already")]
fn a_parameter_has_one_place() {
    let _ = Profile::new("x").param("n", Param::integer(0..=1)).param("n", Param::text(1));
}
