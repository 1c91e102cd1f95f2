//! The command line. Standard output is for results, standard error for people.
//!
//! Exit codes: 0 done; 1 it failed, or what was checked is wrong; 2 it was asked
//! wrongly (arguments, configuration).

mod check;
mod score;
mod serve;

use std::{fmt, process::ExitCode};

use clap::{Parser, Subcommand};

/// Serves the models of a marketplace over gRPC: merchants' GMV and users'
/// portraits.
#[derive(Debug, Parser)]
#[command(name = "souk", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the models of a folder.
    Serve(serve::Serve),
    /// Examine every version below a folder, as the server would before serving it.
    Check(check::Check),
    /// Score a file of rows through a running server.
    Score(score::Score),
    /// Print the JSON Schema of a version's manifest.
    Schema,
}

/// Why a command ends with something else than 0.
enum Failure {
    /// Asked wrongly: exit code 2.
    Usage(anyhow::Error),
    /// Failed: exit code 1.
    Failed(anyhow::Error),
    /// Ran to its end, and the result is not good; all was said. Exit code 1.
    Bad,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Cli {
    /// Runs the command to its end.
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Check(check) => check.run(),
            Command::Score(score) => score.run(),
            Command::Schema => schema(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failure::Bad) => ExitCode::from(1),
            Err(Failure::Failed(error)) => failed(1, &error),
            Err(Failure::Usage(error)) => failed(2, &error),
        }
    }
}

fn failed(code: u8, error: &anyhow::Error) -> ExitCode {
    say(format_args!("souk: {error:#}"));
    ExitCode::from(code)
}

/// A line for people, on standard error.
#[allow(clippy::print_stderr, reason = "the command line talks to people here")]
fn say(line: fmt::Arguments<'_>) {
    eprintln!("{line}");
}

/// A result, on standard output.
#[allow(clippy::print_stdout, reason = "results of commands go to standard output")]
fn print(line: fmt::Arguments<'_>) {
    println!("{line}");
}

fn schema() -> Result<(), Failure> {
    print(format_args!("{}", serde_json::to_string_pretty(&crate::manifest::json_schema())?));
    Ok(())
}

/// The engines of this program.
fn engines(max_rows: std::num::NonZeroUsize) -> std::sync::Arc<dyn crate::model::Engines> {
    #[cfg(feature = "torch")]
    return std::sync::Arc::new(crate::model::torch::TorchScriptEngines { max_rows });
    #[cfg(not(feature = "torch"))]
    {
        let _ = max_rows;
        std::sync::Arc::new(crate::model::NoEngines)
    }
}

/// What a thread needs before it runs models.
fn thread_setup(threads: std::num::NonZeroUsize) -> crate::stack::ThreadSetup {
    #[cfg(feature = "torch")]
    return std::sync::Arc::new(move || crate::model::torch::thread_setup(threads));
    #[cfg(not(feature = "torch"))]
    {
        let _ = threads;
        std::sync::Arc::new(|| Box::new(()))
    }
}
