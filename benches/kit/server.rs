//! A server in a thread of its own, so that the CPU time of this thread is that of the server.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use eventwire::{Config, Io};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::system::thread_cpu;

pub struct Server {
    pub io: Io,
    pub address: SocketAddr,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts one on a single worker, on port 0.
    pub fn start(config: Config, register: impl FnOnce(&Io) + Send + 'static) -> Server {
        let (sender, started) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        // Named, for who looks on with `perf`.
        let thread = std::thread::Builder::new().name("server".into());
        let thread = thread.spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let io = Io::builder().config(config).build().unwrap();
                register(&io);
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                sender.send((io.clone(), address, Handle::current())).unwrap();
                tokio::spawn(async move { io.serve(listener).await });
                // Dropped, the runtime drops all connections.
                let _ = stopped.await;
            });
        });
        let thread = thread.unwrap();
        let (io, address, runtime) = started.recv().unwrap();
        Server { io, address, runtime, stop: Some(stop), thread: Some(thread) }
    }

    /// Runs something in its thread, and waits for what comes of it.
    pub fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let (sender, done) = mpsc::channel();
        self.runtime.spawn(async move {
            let _ = sender.send(work.await);
        });
        done.recv().expect("it has panicked")
    }

    /// Nanoseconds of CPU that its thread has used.
    pub fn cpu(&self) -> u64 {
        self.run(async { thread_cpu() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
