//! What the benchmarks are written with.

use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Bencher, BenchmarkGroup};
use eventwire::Io;
use rustix::time::{ClockId, clock_gettime};
use serde_json::value::RawValue;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use crate::peer::{self, Peer};

pub(crate) type Criterion = criterion::Criterion<Cpu>;
pub(crate) type Group<'a> = BenchmarkGroup<'a, Cpu>;

/// No batch of iterations takes more seconds: one that does waits for what never comes.
const DEADLINE: usize = 60;

/// CPU time of this thread.
#[derive(Debug)]
pub(crate) struct Cpu;

/// What this thread has used since it was started.
pub(crate) struct Clock(Duration);

fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(used())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        used() - self.0
    }
}

impl Measurement for Cpu {
    type Intermediate = Clock;
    type Value = Duration;

    fn start(&self) -> Clock {
        Clock::start()
    }

    fn end(&self, clock: Clock) -> Duration {
        clock.elapsed()
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// A server with its peers, in a runtime of its own, made by the first benchmark that runs: others may be left out.
pub(crate) struct Rig<M, W> {
    make: Option<M>,
    made: Option<(Runtime, W)>,
}

impl<M, W> Rig<M, W>
where
    M: Future<Output = W> + Send + 'static,
    W: Clone + Send + 'static,
{
    pub(crate) fn new(make: M) -> Self {
        Rig { make: Some(make), made: None }
    }

    /// `run` does something so many times, and returns how long that took.
    pub(crate) fn bench<R>(&mut self, group: &mut Group<'_>, name: &str, run: impl Fn(W, u64) -> R)
    where
        R: Future<Output = Duration> + Send + 'static,
    {
        group.bench_function(name, |bencher: &mut Bencher<'_, Cpu>| {
            let (runtime, world) = self.made.get_or_insert_with(|| {
                // Only with timers: there is nothing to be polled in the system.
                let runtime = Builder::new_current_thread().enable_time().build().unwrap();
                let world = block_on(&runtime, self.make.take().unwrap());
                (runtime, world)
            });
            bencher.iter_custom(|iterations| block_on(runtime, run(world.clone(), iterations)));
        });
    }
}

/// In a task, so that it is woken as cheaply as the server's tasks are.
fn block_on<T: Send + 'static>(runtime: &Runtime, future: impl Future<Output = T> + Send + 'static) -> T {
    runtime.block_on(async {
        tokio::select! {
            done = tokio::spawn(future) => done.unwrap(),
            () = deadline() => panic!("within {DEADLINE} s: what is waited for"),
        }
    })
}

/// By the second: a process that is stopped for a while, as to have the machine for others, waits for nothing meanwhile.
async fn deadline() {
    for _ in 0..DEADLINE {
        sleep(Duration::from_secs(1)).await;
    }
}

pub(crate) fn server() -> Io {
    Io::builder().config(peer::quiet()).build().unwrap()
}

/// A text in JSON, of so many bytes.
pub(crate) fn payload(bytes: usize) -> Box<RawValue> {
    RawValue::from_string(format!("\"{}\"", "x".repeat(bytes - 2))).unwrap()
}

/// So many iterations in bursts of at most `burst`.
pub(crate) fn bursts(iterations: u64, burst: u64) -> impl Iterator<Item = u64> {
    let rest = Some(iterations % burst).filter(|rest| *rest > 0);
    std::iter::repeat_n(burst, (iterations / burst) as usize).chain(rest)
}

/// A block of so many messages, again and again, each time once all of the last are answered or handled. Returns what so many
/// iterations, as messages, have taken.
pub(crate) async fn in_rounds(peer: Peer, block: Bytes, in_flight: u64, iterations: u64) -> Duration {
    let rounds = iterations.div_ceil(in_flight);
    let clock = Clock::start();
    peer.rounds(&block, in_flight, rounds).await;
    // The last block is a whole one, too.
    clock.elapsed().mul_f64(iterations as f64 / (rounds * in_flight) as f64)
}
