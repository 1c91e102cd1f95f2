//! The program, as a command.

use std::{path::Path, process, time::Duration};

use assert_cmd::Command;

/// Longer than any command here takes on a busy machine: a test that hangs fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// `souk` in `folder`, with no setting from whoever runs the tests.
#[allow(clippy::disallowed_methods, reason = "a test is no program that could read it once")]
pub(crate) fn program(folder: &Path) -> process::Command {
    let mut command = process::Command::new(env!("CARGO_BIN_EXE_souk"));
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SOUK") {
            command.env_remove(name);
        }
    }
    command
}

/// The same, to be run to its end.
pub(crate) fn souk(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::from_std(program(folder));
    command.args(arguments).timeout(PATIENCE);
    command
}

/// What a command said on standard error.
pub(crate) fn stderr(output: &process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command gave on standard output.
pub(crate) fn stdout(output: &process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
