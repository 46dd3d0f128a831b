//! Every byte arrives, as it was written, before the last status.

use eventwire::process::{Command, Settings};

use crate::support::*;
use crate::watch::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_runs_none_is_truncated() {
    let (server, processes) = start(Settings::default()).await;
    let wanted = truth("seq 1 2000");
    let lanes = (0..8).map(|lane| {
        let (processes, wanted) = (processes.clone(), wanted.clone());
        let id = format!("seq-{lane}");
        let address = server.address;
        tokio::spawn(async move {
            let mut viewer = Client::connect(address, "/ws").await;
            viewer.request("subscribe", format!("process:{id}").into()).await.unwrap();
            for _ in 0..25 {
                processes.spawn(&id, Command::new("seq").args(["1", "2000"])).unwrap();
                let seen = Seen::whole(&mut viewer, &id).await;
                assert_same(&seen.stdout(), &wanted);
                assert_eq!((&seen.last()["exitCode"], &seen.last()["drained"]), (&0.into(), &true.into()));
            }
            viewer.expect_nothing().await;
        })
    });
    for lane in futures::future::join_all(lanes).await {
        lane.unwrap();
    }
}

/// The output of a line for the shell, as a viewer has got it.
async fn streamed(line: &str) -> Seen {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    let run = processes.spawn("p", sh(line)).unwrap();
    let seen = Seen::whole(&mut viewer, "p").await;
    viewer.expect_nothing().await;
    assert_eq!(seen.last()["drained"], true, "{line}");
    let bytes = (seen.stdout().len() + seen.stderr().len()) as u64;
    assert_eq!(processes.list()[0].bytes, bytes, "the list counts them too");
    run.ended().await;
    seen
}

#[tokio::test]
async fn random_bytes_arrive_as_they_are() {
    let folder = Folder::new();
    let file = folder.file("random");
    truth(&format!("head -c 1048576 /dev/urandom > {}", file.display()));
    let seen = streamed(&format!("cat {}", file.display())).await;
    assert_same(&seen.stdout(), &std::fs::read(&file).unwrap());
    assert!(seen.chunks.iter().any(|chunk| chunk.b64), "they are no text");
}

#[tokio::test]
async fn a_line_of_a_mebibyte_without_its_end() {
    let seen = streamed("head -c 1048576 /dev/zero | tr '\\0' x").await;
    assert_same(&seen.stdout(), &vec![b'x'; 1 << 20]);
    assert!(seen.chunks.iter().all(|chunk| !chunk.b64));
}

#[tokio::test]
async fn a_line_that_is_not_ended() {
    let seen = streamed("printf x").await;
    assert_eq!(seen.stdout(), b"x");
    assert_eq!(seen.chunks.len(), 1);
}

#[tokio::test]
async fn no_output_at_all() {
    let seen = streamed("true").await;
    assert_eq!(seen.chunks.len(), 0);
    assert_eq!(seen.statuses.len(), 2);
}

#[tokio::test]
async fn progress_by_carriage_returns() {
    // One write each, as a progress bar does.
    let seen = streamed("n=0; while [ $n -lt 20000 ]; do printf '\\r%d of 20000' $n; n=$((n+1)); done").await;
    let wanted: String = (0..20_000).map(|n| format!("\r{n} of 20000")).collect();
    assert_same(&seen.stdout(), wanted.as_bytes());
}

#[tokio::test]
async fn escapes_and_control_characters() {
    let seen = streamed(r#"printf '\033[1;31mred\033[0m\t"\\"\0\001\177\r\n\342\200\250</script>'"#).await;
    assert_eq!(seen.out_text(), "\x1b[1;31mred\x1b[0m\t\"\\\"\0\u{1}\u{7f}\r\n\u{2028}</script>");
}

#[tokio::test]
async fn both_outputs_are_whole_and_in_their_own_order() {
    let line = "n=0; while [ $n -lt 5000 ]; do echo out $n; echo err $n >&2; n=$((n+1)); done";
    let seen = streamed(line).await;
    let wanted = |name: &str| (0..5000).map(|n| format!("{name} {n}\n")).collect::<String>();
    assert_same(&seen.stdout(), wanted("out").as_bytes());
    assert_same(&seen.stderr(), wanted("err").as_bytes());
}

#[tokio::test]
async fn an_output_that_is_closed_early_ends_nothing() {
    let seen = streamed("echo out; exec >&-; sleep 0.1; echo err >&2; exec 2>&-; sleep 0.1; exit 4").await;
    assert_eq!((seen.stdout(), seen.stderr()), (b"out\n".to_vec(), b"err\n".to_vec()));
    assert_eq!(seen.last()["exitCode"], 4, "its end is awaited, though it can print no more");
}

// ---- characters

const TEXT: &str = "aé€😀ßz漢字";

/// `printf` of one byte.
fn byte(byte: u8) -> String {
    format!("printf '\\{byte:03o}'")
}

#[tokio::test]
async fn a_character_is_not_cut_by_the_size_of_a_read() {
    // Three bytes each: no power of two is a multiple of it.
    let seen = streamed("n=0; while [ $n -lt 100 ]; do printf '─%.0s' $(seq 1000); n=$((n+1)); done").await;
    assert_same(&seen.stdout(), "─".repeat(100_000).as_bytes());
    assert!(seen.chunks.iter().all(|chunk| !chunk.b64), "every chunk is text");
}

#[tokio::test]
async fn a_character_written_bytewise_is_not_cut() {
    // `sleep` with its start takes a few ms. On a machine that is busy it may take more than the 100 ms that a
    // character waits, and then it is rightly cut: hence the further tries.
    let line: Vec<String> = TEXT.bytes().map(byte).collect();
    let line = line.join("; sleep 0.015; ");
    for last_try in [false, false, false, true] {
        let seen = streamed(&line).await;
        assert_eq!(seen.out_text(), TEXT);
        if seen.chunks.iter().all(|chunk| !chunk.b64) {
            assert!(seen.chunks.len() > 3, "it came bit by bit");
            return;
        }
        assert!(!last_try, "characters were cut: {:?}", seen.chunks);
    }
}

#[tokio::test]
async fn each_output_waits_for_its_own_character() {
    // The first bytes of both lie held back while the other output goes on.
    let line = "printf 'a\\342\\202'; printf 'b\\303' >&2; sleep 0.015; printf '\\254c'; printf '\\251d' >&2";
    for last_try in [false, false, false, true] {
        let seen = streamed(line).await;
        assert_eq!((seen.stdout(), seen.stderr()), ("a€c".into(), "béd".into()));
        if seen.chunks.iter().all(|chunk| !chunk.b64) {
            return;
        }
        assert!(!last_try, "characters were cut: {:?}", seen.chunks);
    }
}

#[tokio::test]
async fn the_beginning_of_a_character_is_sent_after_100_ms() {
    let (server, processes) = start(Settings::default()).await;
    let mut viewer = server.client_in("process:p").await;
    let folder = Folder::new();
    let go = folder.file("go");
    // It writes the rest only once the viewer has got the beginning.
    let line = format!("printf 'a\\342\\202'; while [ ! -e {} ]; do sleep 0.01; done; printf '\\254b'", go.display());
    processes.spawn("p", sh(line)).unwrap();
    let mut seen = Seen::default();
    while seen.stdout().len() < 3 {
        seen.take(&mut viewer, "p").await;
    }
    assert!(!seen.is_over());
    std::fs::write(&go, "").unwrap();
    let seen = seen.rest(&mut viewer, "p").await;
    let chunks: Vec<_> = seen.chunks.iter().map(|chunk| (&chunk.bytes[..], chunk.b64)).collect();
    assert_eq!(chunks, [(&b"a"[..], false), (b"\xe2\x82", true), (b"\xacb", true)]);
}

#[tokio::test]
async fn the_beginning_of_a_character_is_sent_at_the_end() {
    let seen = streamed("printf 'a\\342\\202'; printf '\\360\\237\\230' >&2").await;
    assert_eq!((seen.stdout(), seen.stderr()), (b"a\xe2\x82".to_vec(), b"\xf0\x9f\x98".to_vec()));
}
