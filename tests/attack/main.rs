//! What Souk is attacked with: chaos, hostile clients, and half an hour of everything.
//!
//! `make attack` and `make soak` run it; `tests/attack/README.md` says how to read its tables. It is also its
//! own children: the server with an engine that misbehaves, clients to be killed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people, who read what it prints")]

mod attack;
mod chaos;
mod client;
mod evil;
mod foes;
mod honest;
mod marked;
#[path = "../../benches/serving/probe.rs"]
#[allow(dead_code, reason = "the benchmark asks for more")]
mod probe;
mod process;
mod questions;
mod report;
mod server;
mod soak;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use self::{
    attack::{Attack, crowd},
    chaos::Chaos,
    foes::{Foe, Size},
    soak::Soak,
};

/// The program that cargo built beside this one.
const SOUK: &str = env!("CARGO_BIN_EXE_souk");

// The server's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug, Parser)]
#[command(
    name = "attack",
    about = "Attacks a Souk of its own, and checks every answer that honest clients get meanwhile"
)]
struct Command {
    #[command(subcommand)]
    role: Role,
}

/// What is to be done, or what this is where it is its own child.
#[derive(Debug, Subcommand)]
enum Role {
    /// What goes wrong in a server's life: its engine, its machine, signals.
    Chaos(Chaos),
    /// Hostile clients at a server with the shipped models.
    Attack(Attack),
    /// Swaps, streams, tensors, cancellations and bursts, for half an hour.
    Soak(Soak),
    /// The server with an engine that misbehaves.
    #[command(hide = true)]
    Evil,
    /// A client to be killed.
    #[command(hide = true)]
    Client { target: SocketAddr },
    /// Honest clients.
    #[command(hide = true)]
    Crowd { target: SocketAddr, golden: PathBuf },
    /// Hostile clients.
    #[command(hide = true)]
    Foe {
        foe: Foe,
        target: SocketAddr,
        golden: PathBuf,
        #[command(flatten)]
        size: Size,
    },
}

fn main() -> ExitCode {
    let done = match Command::parse().role {
        Role::Chaos(chaos) => on_threads(chaos::run(&chaos)),
        Role::Attack(attack) => on_threads(attack::run(&attack)),
        Role::Soak(soak) => on_threads(soak::run(&soak)),
        Role::Crowd { target, golden } => on_threads(crowd::run(target, golden)).map(|()| true),
        Role::Foe { foe, target, golden, size } => on_threads(foe.run(target, size, &golden)).map(|told| {
            println!("{told}");
            true
        }),
        Role::Evil => evil::run().map(|()| true),
        Role::Client { target } => on_threads(client::run(target)).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn on_threads<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
