//! What Souk is attacked with: chaos, hostile clients, and half an hour of everything.
//!
//! `make attack` and `make soak` run it; `tests/attack/README.md` says how to read its tables. It is also its
//! own children: the server with an engine that misbehaves, clients to be killed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people, who read what it prints")]

mod chaos;
mod client;
mod evil;
mod honest;
mod marked;
mod process;
mod questions;
mod report;
mod server;

use std::{net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};

use self::chaos::Chaos;

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
    /// The server with an engine that misbehaves.
    #[command(hide = true)]
    Evil,
    /// A client to be killed.
    #[command(hide = true)]
    Client { target: SocketAddr },
}

fn main() -> ExitCode {
    let done = match Command::parse().role {
        Role::Chaos(chaos) => on_threads(chaos::run(&chaos)),
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
