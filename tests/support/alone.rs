//! Tests in a process of their own, where descriptors, tasks and memory can be counted: other tests have theirs in this one.

use std::process::{Command, Stdio};

/// This program with no other test than this one, run or ignored. Who starts it sets a variable by which the test knows that
/// it is the one that was started.
pub fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--include-ignored", "--nocapture"]);
    command
}

/// Runs a test in a process of its own, and asserts that it passes there. `true`: this is that process.
pub fn is_alone(test: &str) -> bool {
    const ALONE: &str = "EVENTWIRE_TEST_ALONE";
    if std::env::var(ALONE).is_ok_and(|name| name == test) {
        return true;
    }
    let mut program = again(test);
    let program = program.env(ALONE, test).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = program.spawn().unwrap();
    // As long as this is held, who reads the program's own input waits for ever.
    let _input = program.stdin.take();
    let output = program.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{test}, alone: {text}");
    // The figures that some print.
    print!("{text}");
    false
}
