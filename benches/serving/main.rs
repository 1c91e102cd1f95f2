//! The serving benchmark: Souk beside an echo server with the same messages (the
//! ceiling of gRPC) and beside the bare forward pass (the ceiling of the model).
//!
//! One run starts everything that it compares, each in a process of its own, one
//! after the other within each repetition; what it tells are ratios within the run.
//! `benches/README.md` says how to read them. This program is also its own children:
//! echo server, load generator, forward pass. `serving libtorch` compares libtorch's
//! settings instead.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people, who read what it prints")]

mod children;
mod collector;
mod echo;
mod libtorch;
mod load;
mod probe;
mod process;
mod raw;
mod report;
mod results;
mod scenarios;
mod settings;
mod spread;
mod swapped;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use self::{results::Results, settings::Settings};

// The server's own, so that echo server and forward pass are not slower for it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug, Parser)]
#[command(name = "serving", about = "Souk beside an echo server and beside the bare forward pass")]
struct Command {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    settings: Settings,
    /// What cargo passes to every benchmark.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

/// What else this program does, and what it is where it is its own child.
#[derive(Debug, Subcommand)]
enum Role {
    /// The forward pass by libtorch's settings, each in a process of its own.
    Libtorch(libtorch::Wanted),
    /// The forward pass by one choice of settings.
    #[command(hide = true)]
    Chosen { folder: PathBuf, choice: String, seconds: f64 },
    /// The echo server.
    #[command(hide = true)]
    Echo { listen: SocketAddr },
    /// A collector of telemetry.
    #[command(hide = true)]
    Collector { listen: SocketAddr, manner: collector::Manner },
    /// The forward pass alone.
    #[command(hide = true)]
    Raw { folder: PathBuf, seconds: f64 },
    /// The load generator.
    #[command(hide = true)]
    Load { spec: String },
}

fn main() -> ExitCode {
    let command = Command::parse();
    let done = match command.role {
        Some(Role::Echo { listen }) => echo::run(listen).map(|()| ExitCode::SUCCESS),
        Some(Role::Collector { listen, manner }) => collector::run(listen, manner).map(|()| ExitCode::SUCCESS),
        Some(Role::Libtorch(wanted)) => libtorch::run(&wanted, &command.settings).map(|()| ExitCode::SUCCESS),
        Some(Role::Chosen { folder, choice, seconds }) => {
            libtorch::measure::run(&folder, &choice, Duration::from_secs_f64(seconds)).map(|()| ExitCode::SUCCESS)
        }
        Some(Role::Raw { folder, seconds }) => {
            raw::run(&folder, Duration::from_secs_f64(seconds)).map(|()| ExitCode::SUCCESS)
        }
        Some(Role::Load { spec }) => load::run(&spec).map(|()| ExitCode::SUCCESS),
        None => compare(&command.settings),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Runs the scenarios and reports.
fn compare(settings: &Settings) -> anyhow::Result<ExitCode> {
    if settings.again {
        return report::report(&Results::read(&settings.figures)?, settings);
    }
    let results = measure(settings)?;
    results.write(&settings.figures)?;
    report::report(&results, settings)
}

/// Runs the scenarios. Children end with their handles, also where this is told to stop.
fn measure(settings: &Settings) -> anyhow::Result<Results> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            results = scenarios::run(settings) => results,
            _ = interrupt.recv() => anyhow::bail!("interrupted"),
            _ = terminate.recv() => anyhow::bail!("told to stop"),
        }
    })
}
