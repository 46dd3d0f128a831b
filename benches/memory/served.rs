//! The server, in a process of its own, and the handle on it.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use eventwire::{Config, EmitError, History, Io, Overflow, Socket};
use tokio::io::{AsyncBufReadExt, BufReader as Lines};
use tokio::net::TcpListener;

use crate::kit::{DEADLINE, system};

pub const ROOM: &str = "room";
/// Of a room with history.
pub const RING: usize = 4 * 1024 * 1024;

fn io(kind: &str) -> Io {
    let mut config = Config::default();
    // Those who never read are to meet their outbox's end, not the clock's.
    config.write_timeout = Duration::from_secs(600);
    if kind == "drop-oldest" {
        config.outbox.overflow = Overflow::DropOldest;
    }
    let io = Io::builder().config(config).build().unwrap();
    let events = || (0..10).map(|number| format!("event-{number}"));
    match kind {
        "handlers" => io.on_connect(move |socket: Socket| {
            for event in events() {
                socket.on::<u64>(&event, |_, number| async move { number });
            }
            async {}
        }),
        "idle" => {
            for event in events() {
                io.on::<u64>(&event, |_, number| async move { number });
            }
        }
        _ => {
            if kind == "history" {
                io.rooms(ROOM).history(History::bytes(RING));
            }
            io.on_connect(|socket: Socket| async move { socket.join(ROOM).await.map_err(Into::into) });
        }
    }
    io
}

/// The child's side: does what it is told, a line each, and answers by a number.
#[tokio::main]
pub async fn serve(kind: &str) {
    let io = io(kind);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let server = io.clone();
    tokio::spawn(async move { server.serve(listener).await });
    let mut lines = Lines::new(tokio::io::stdin()).lines();
    // Without the parent there is no line more.
    while let Some(line) = lines.next_line().await.unwrap() {
        let (command, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number: usize = number.parse().unwrap();
        let answer = match command {
            "heap" => heap(),
            "sockets" => io.stats().sockets as u64,
            "members" => io.room_len(ROOM) as u64,
            "dropped" => io.stats().dropped,
            "messages" => io.stats().messages_out,
            "bytes" => io.stats().bytes_out,
            "emit" => {
                let data = "x".repeat(1024);
                for _ in 0..number {
                    io.to(ROOM).emit("news", &data).await.unwrap();
                }
                0
            }
            "fill" => io.sockets().iter().map(|socket| fill(socket, &"x".repeat(number))).sum(),
            unknown => panic!("`{unknown}`"),
        };
        println!("{answer}");
    }
}

fn heap() -> u64 {
    let stats = crate::HEAP.stats();
    (stats.bytes_allocated - stats.bytes_deallocated) as u64
}

/// Sends messages of its own to a socket until its outbox is full. Returns how many.
fn fill(socket: &Socket, data: &str) -> u64 {
    let mut sent = 0;
    loop {
        match socket.try_emit("own", data) {
            Ok(()) => sent += 1,
            Err(EmitError::Full) => return sent,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The parent's side.
pub struct Served {
    pub address: SocketAddr,
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Served {
    pub fn start(kind: &str) -> Served {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut process = command.args(["serve", kind]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let commands = process.stdin.take().unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut address = String::new();
        answers.read_line(&mut address).unwrap();
        Served { address: address.trim().parse().unwrap(), process, commands, answers }
    }

    pub fn ask(&mut self, command: &str) -> u64 {
        writeln!(self.commands, "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().parse().expect("the server has failed")
    }

    /// Waits until it answers so.
    pub fn until(&mut self, question: &str, expected: u64) {
        let begun = Instant::now();
        loop {
            let answer = self.ask(question);
            if answer == expected {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "{question}: {answer}, not {expected}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn resident(&self) -> u64 {
        system::resident(self.process.id())
    }

    pub fn most_resident(&self) -> u64 {
        system::most_resident(self.process.id())
    }

    /// Has its allocator give back what it has free, by the debugger: no safe function does. Returns whether there is one.
    pub fn trim(&self) -> bool {
        let process = self.process.id().to_string();
        let mut gdb = Command::new("gdb");
        gdb.args(["-p", &process, "-batch", "-ex", "call (int)malloc_trim(0)"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        gdb.status().is_ok_and(|status| status.success())
    }

    /// What is resident once that stands still for half a second.
    pub fn settled(&self) -> u64 {
        let (mut before, mut quiet) = (self.resident(), 0);
        let begun = Instant::now();
        while quiet < 10 && begun.elapsed() < DEADLINE {
            std::thread::sleep(Duration::from_millis(50));
            let now = self.resident();
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
        }
        before
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
