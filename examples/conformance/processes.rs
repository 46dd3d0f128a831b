//! The processes that a client may start here, with all rights for everyone.

use eventwire::process::{Command, Param, Processes, Profile, Rights, Settings};
use eventwire::{History, Io};

pub(crate) fn install(io: &Io, allow_shell: bool) -> Processes {
    let mut settings = Settings::default()
        .history(History::bytes(64 * 1024 * 1024))
        .rights(async |_, _| Rights::ALL)
        .profile("seq", Profile::new("seq").arg("1").param("n", Param::integer(0..=100_000_000)))
        .profile("cat", Command::new("cat").input())
        // These three cannot start: it is not there; a directory; a file that nobody may execute.
        .profile("missing", Command::new("/no/such/program"))
        .profile("directory", Command::new("/etc"))
        .profile("forbidden", Command::new("/etc/passwd"));
    if allow_shell {
        let script = Param::text(64 * 1024);
        settings = settings.profile("sh", Profile::new("sh").arg("-c").param("script", script));
    }
    io.install(settings)
}
