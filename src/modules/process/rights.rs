use std::fmt;
use std::ops::BitOr;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::Socket;

/// What a socket may do with a process: a set, joined by `|`.
///
/// ```
/// use eventwire::process::Rights;
///
/// let operator = Rights::VIEW | Rights::SIGNAL;
/// assert!(operator.contains(Rights::VIEW) && !operator.contains(Rights::START));
/// assert!(!Rights::ALL.contains(Rights::COMMAND), "commands of the client's own are never in it");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// None.
    pub const NONE: Rights = Rights(0);
    /// Subscribe to its room, and see it in `process_list`.
    pub const VIEW: Rights = Rights(1);
    /// `process_input` and `process_stdin_close`.
    pub const WRITE: Rights = Rights(1 << 1);
    /// `process_signal` and `process_kill`.
    pub const SIGNAL: Rights = Rights(1 << 2);
    /// `process_start` from a profile of the server's.
    pub const START: Rights = Rights(1 << 3);
    /// Those four.
    pub const ALL: Rights = Rights((1 << 4) - 1);
    /// `process_start` of any command: whoever has it may do what the server may, so that it is not in
    /// [`ALL`](Rights::ALL) and has to be named.
    pub const COMMAND: Rights = Rights(1 << 4);

    /// Whether all of these are in it.
    pub const fn contains(self, rights: Rights) -> bool {
        self.0 & rights.0 == rights.0
    }
}

impl BitOr for Rights {
    type Output = Rights;
    fn bitor(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("VIEW", Rights::VIEW),
            ("WRITE", Rights::WRITE),
            ("SIGNAL", Rights::SIGNAL),
            ("START", Rights::START),
            ("COMMAND", Rights::COMMAND),
        ];
        let names: Vec<&str> = all.iter().filter(|(_, right)| self.contains(*right)).map(|(name, _)| *name).collect();
        write!(f, "Rights({})", names.join(" | "))
    }
}

/// Tells what a socket may do with the process of an id.
#[derive(Clone)]
pub(super) struct Rule(Arc<dyn Fn(Socket, String) -> BoxFuture<'static, Rights> + Send + Sync>);

impl Rule {
    pub(super) fn new<F, Fut>(rule: F) -> Rule
    where
        F: Fn(Socket, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Rights> + Send + 'static,
    {
        Rule(Arc::new(move |socket, id| Box::pin(rule(socket, id))))
    }

    pub(super) async fn rights(&self, socket: &Socket, id: &str) -> Rights {
        (self.0)(socket.clone(), id.to_owned()).await
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rule")
    }
}
