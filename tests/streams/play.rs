//! One process and its ten viewers, from before it begins to after it has ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eventwire::process::{Command, Status};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::dice::{Dice, SEED, seed};
use crate::stage::{ALL, ID, Stage, run};
use crate::viewer::Viewer;

/// A process that is fed prints so much for each token.
const ROUND: u64 = 32 * 1024;

/// Who watches what, and how.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// How many bytes it prints, more or less.
    pub(crate) about: u64,
    pub(crate) history: usize,
    /// Viewers that watch all the time.
    pub(crate) steady: usize,
    /// Viewers that lose their connection, and about how often.
    pub(crate) cut: usize,
    pub(crate) every: Duration,
    /// For how long the slow one is slow, and, where the history is overtaken, until it has been.
    pub(crate) slow: Duration,
    /// The history is so small that it is overtaken.
    pub(crate) is_overtaken: bool,
    /// How often the process is fed: each time when all who are there have got what it printed but who is slow.
    pub(crate) rounds: u64,
    pub(crate) limit: Duration,
    pub(crate) seed: u64,
}

impl Case {
    pub(crate) fn new(name: &'static str, about: u64) -> Case {
        Case {
            name,
            about,
            history: ALL,
            steady: 5,
            cut: 2,
            every: Duration::from_millis(100),
            slow: Duration::from_secs(2),
            is_overtaken: false,
            rounds: 0,
            limit: Duration::from_secs(60),
            seed: seed(),
        }
    }

    /// Plays it. `command` is given the file that is to have its output when it has ended, and where it is fed from.
    pub(crate) fn play(self, command: impl FnOnce(&Path, &Path) -> Command) {
        let folder = Folder::new();
        let (file, pipe) = (folder.0.join("output"), folder.0.join("tokens"));
        if self.rounds > 0 {
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        }
        let command = command(&file, &pipe);
        let seed = self.seed;
        let name = self.name;
        if let Err(error) = run(self.perform(command, file, pipe)) {
            panic!("{name}: {error} ({SEED}={seed})");
        }
    }

    async fn perform(self, command: Command, file: PathBuf, pipe: PathBuf) -> Result<(), String> {
        let begun = Instant::now();
        let slow = self.steady + 2 + self.cut;
        let stage = Arc::new(Stage::new(self.history, self.is_overtaken, slow + 1).await);
        let dice = |who| Dice::new(self.seed, who);
        let mut steady = Vec::new();
        for place in 0..self.steady {
            steady.push(Viewer::enter(&stage, place, "who watches all the time", false).await?);
        }
        let mut cut = Vec::new();
        for place in self.steady + 2..slow {
            cut.push(Viewer::enter(&stage, place, "who is cut", false).await?);
        }
        let mut last = Viewer::enter(&stage, slow, "who is slow", true).await?;

        let process = Arc::new(stage.processes.spawn(ID, command).map_err(|error| error.to_string())?);
        let mut viewers = JoinSet::new();
        for mut viewer in steady {
            viewers.spawn(async move {
                let all = viewer.follow().await;
                (viewer, all)
            });
        }
        for mut viewer in cut {
            let (dice, every) = (dice(viewer.place), self.every);
            viewers.spawn(async move {
                let all = viewer.follow_with_cuts(every, dice).await;
                (viewer, all)
            });
        }
        let hurry = last.wire.slow_down();
        viewers.spawn(async move {
            let all = last.follow().await;
            (last, all)
        });
        let (time, overtaken) = (self.slow, if self.is_overtaken { 3 * self.history as u64 } else { 0 });
        tokio::spawn({
            let stage = stage.clone();
            async move {
                sleep(time).await;
                printed(&stage, overtaken).await;
                hurry.store(true, Ordering::Relaxed);
            }
        });
        let mut from = dice(self.steady).below(self.about.max(2) - 1) + 1;
        if self.rounds > 0 {
            // Between two rounds, when nothing is under way that could overtake it at once.
            from = from.next_multiple_of(ROUND);
        }
        let late = [(self.steady, "who comes late", from), (self.steady + 1, "who comes last", u64::MAX)];
        for (place, name, from) in late {
            let (stage, process) = (stage.clone(), process.clone());
            viewers.spawn(async move {
                tokio::select! {
                    _ = process.ended() => {}
                    () = printed(&stage, from) => {}
                }
                let mut viewer = Viewer::enter(&stage, place, name, false).await.expect("to enter");
                let all = viewer.follow().await;
                (viewer, all)
            });
        }
        // From how many bytes on each is there and waited for.
        let mut waited = vec![0; slow];
        late.iter().for_each(|(place, _, from)| waited[*place] = *from);
        let feeding = tokio::spawn(feed(stage.clone(), self.rounds, pipe, waited));

        let mut done = Vec::new();
        let all = async {
            while let Some(viewer) = viewers.join_next().await {
                let (viewer, all) = viewer.map_err(|error| error.to_string())?;
                all.map_err(|error| format!("{}: {error}", viewer.name))?;
                done.push(viewer);
            }
            Ok::<_, String>(())
        };
        timeout(self.limit, all).await.map_err(|_| format!("not within {:?}: {:?}", self.limit, stage.far()))??;
        let fed = timeout(self.limit, feeding).await.map_err(|_| format!("not fed within {:?}", self.limit))?;
        fed.map_err(|error| error.to_string())?;
        let status = process.ended().await;
        if status != Status::Exited(0) {
            return Err(format!("it ended as {status:?}"));
        }
        self.judge(&stage, done, &file, begun.elapsed())
    }

    fn judge(&self, stage: &Stage, viewers: Vec<Viewer>, file: &Path, time: Duration) -> Result<(), String> {
        let (mut gaps, mut cuts, mut inside) = (0, [0; 5], 0);
        for viewer in &viewers {
            viewer.seen.is_whole(file, &stage.records).map_err(|error| format!("{}: {error}", viewer.name))?;
            let may_miss = self.is_overtaken && viewer.name.contains("slow");
            if viewer.seen.gaps > 0 && !may_miss {
                return Err(format!("{} was told {} gaps", viewer.name, viewer.seen.gaps));
            }
            if viewer.seen.first != Some(1) && !self.is_overtaken {
                return Err(format!("{} began with {:?}", viewer.name, viewer.seen.first));
            }
            gaps += viewer.seen.gaps;
            cuts.iter_mut().zip(viewer.cuts).for_each(|(sum, cuts)| *sum += cuts);
            inside += viewer.inside;
        }
        // Each is cut once at the end.
        if self.about >= 8 << 20 && cuts.iter().sum::<usize>() <= self.cut {
            return Err(format!("nobody was cut while it ran: {cuts:?}"));
        }
        let stats = stage.server.io.stats();
        if (stats.gaps, stats.dropped, stats.panics) != (gaps, 0, 0) || (gaps > 0) != self.is_overtaken {
            return Err(format!("{gaps} gaps were heard, and the server tells {stats:?}"));
        }
        let bytes = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
        let events = viewers[0].seen.records.len();
        let name = self.name;
        println!(
            "{name}: {bytes} bytes in {events} events for {} viewers, {gaps} gaps, cuts {cuts:?}, {inside} of them \
             within a frame, in {time:.1?}",
            viewers.len()
        );
        Ok(())
    }
}

/// Waits until so much has been printed.
async fn printed(stage: &Stage, bytes: u64) {
    while stage.far()[0] < bytes {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Gives the process a token whenever everyone who is there has what it printed, and its end when they have all of it.
/// Nobody waits for who is slow.
async fn feed(stage: Arc<Stage>, rounds: u64, pipe: PathBuf, waited: Vec<u64>) {
    if rounds == 0 {
        return;
    }
    let mut pipe = tokio::fs::OpenOptions::new().write(true).open(pipe).await.expect("the pipe of tokens");
    for round in 0..=rounds {
        let printed = round * ROUND;
        let has_all = |(far, from): (u64, &u64)| far >= printed || printed < *from;
        while !stage.far().into_iter().zip(&waited).all(has_all) {
            sleep(Duration::from_millis(1)).await;
        }
        if round < rounds {
            pipe.write_all(format!("{}\n", printed / 8).as_bytes()).await.expect("it takes tokens");
            pipe.flush().await.expect("it takes tokens");
        }
    }
}

/// A folder of a case's own, gone with it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        use std::sync::atomic::AtomicU32;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("eventwire-streams-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
