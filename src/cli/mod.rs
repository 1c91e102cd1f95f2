//! The command line. Standard output is for results, standard error for people.
//!
//! Exit codes: 0 done; 1 it failed, or what was checked is wrong; 2 it was asked
//! wrongly (arguments, configuration). Where whoever reads the results leaves, as
//! `head` does, a command ends without a word, and with 0 as `ripgrep` does.

mod check;
mod client;
mod health;
#[cfg(feature = "torch")]
mod import;
mod models;
mod score;
mod serve;
mod settings;
mod signing;
mod token;

use std::{
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};

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
    /// Ask the server of this machine whether requests are welcome: for health checks of containers.
    Health(health::Health),
    /// Examine every version below a folder, as the server would before serving it.
    Check(check::Check),
    /// Make a version out of a TorchScript file.
    #[cfg(feature = "torch")]
    Import(import::Import),
    /// Make a pair of keys to sign versions with.
    Keygen(signing::Keygen),
    /// Sign versions, so that servers know who made them.
    Sign(signing::Sign),
    /// Verify who signed versions, and that their files are whole. Nothing is loaded.
    Verify(signing::Verify),
    /// Score a file of rows through a running server.
    Score(score::Score),
    /// Look at a running server's models, and change which version answers whom.
    Models(models::Models),
    /// Make a secret for a client, and its hash for the server.
    Token(token::NewToken),
    /// Print what there is: the JSON Schema of a version's manifest, or the table of all metrics.
    Schema {
        /// Of what.
        #[arg(value_enum, default_value_t)]
        of: Described,
    },
}

/// What `souk schema` describes.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Described {
    /// A version's manifest, as JSON Schema.
    #[default]
    Manifest,
    /// What the server tells of itself, as a table in Markdown.
    Metrics,
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

/// Whoever read the results left.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the results")]
struct ReaderLeft;

impl Cli {
    /// Runs the command to its end.
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Serve(serve) => leave(end(serve.run())),
            Command::Health(health) => health.run(),
            Command::Check(check) => check.run(),
            #[cfg(feature = "torch")]
            Command::Import(import) => import.run(),
            Command::Keygen(keygen) => keygen.run(),
            Command::Sign(sign) => sign.run(),
            Command::Verify(verify) => verify.run(),
            Command::Score(score) => score.run(),
            Command::Models(models) => models.run(),
            Command::Token(token) => token.run(),
            Command::Schema { of } => schema(of),
        };
        ExitCode::from(end(done))
    }
}

/// Ends the process as it is. Threads may be in libtorch still, which a version's
/// preparation can't be called back from; its destructors, which an ordinary exit
/// runs, would take from under them what they use.
fn leave(code: u8) -> ! {
    signal_hook::low_level::exit(code.into())
}

/// Says what there is to say at the end; the exit code.
fn end(done: Result<(), Failure>) -> u8 {
    match done {
        Ok(()) => 0,
        Err(Failure::Bad) => 1,
        Err(Failure::Failed(error)) if error.is::<ReaderLeft>() => 0,
        Err(Failure::Failed(error)) => failed(1, &error),
        Err(Failure::Usage(error)) => failed(2, &error),
    }
}

fn failed(code: u8, error: &anyhow::Error) -> u8 {
    say(format_args!("souk: {}", sentence(error)));
    code
}

/// An error and its causes, each once: some messages of other crates hold their
/// cause's already.
fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}

/// A line for people, on standard error.
fn say(line: fmt::Arguments<'_>) {
    // Where nobody listens there is nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}

/// A result, on standard output. Where it can't be written, that is the end of
/// the program and not of this function only: what else a command might find out
/// would reach nobody.
fn print(line: fmt::Arguments<'_>) {
    if let Err(error) = written(writeln!(io::stdout(), "{line}")) {
        std::process::exit(end(Err(error.into())).into());
    }
}

/// What became of a result.
fn written(outcome: io::Result<()>) -> anyhow::Result<()> {
    outcome.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => ReaderLeft.into(),
        _ => anyhow::Error::new(error).context("can't write the results"),
    })
}

fn schema(of: Described) -> Result<(), Failure> {
    let text = match of {
        Described::Manifest => serde_json::to_string_pretty(&crate::manifest::json_schema())?,
        Described::Metrics => crate::telemetry::markdown(),
    };
    print(format_args!("{}", text.trim_end()));
    Ok(())
}

/// The engines of this program.
fn engines(max_rows: std::num::NonZeroUsize) -> std::sync::Arc<dyn crate::model::Engines> {
    #[cfg(feature = "torch")]
    return std::sync::Arc::new(crate::model::torch::TorchEngines { max_rows });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no port: {source}")]
    struct Repeats {
        source: io::Error,
    }

    #[test]
    fn a_cause_is_said_once_whoever_says_it() {
        let error = anyhow::Error::new(Repeats { source: io::Error::other("taken") }).context("no server");
        assert_eq!(sentence(&error), "no server: no port: taken");
        let error = anyhow::Error::new(io::Error::other("taken")).context("no port");
        assert_eq!(sentence(&error), "no port: taken");
    }

    #[test]
    fn only_a_reader_who_left_makes_a_quiet_end() {
        assert_eq!(end(written(Err(io::ErrorKind::BrokenPipe.into())).map_err(Failure::from)), 0);
        assert_eq!(end(written(Err(io::ErrorKind::StorageFull.into())).map_err(Failure::from)), 1);
        // Not a result: a connection, say.
        assert_eq!(end(Err(io::Error::from(io::ErrorKind::BrokenPipe).into())), 1);
    }
}
