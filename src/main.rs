//! The `souk` program: see [`souk::cli`].

use std::process::ExitCode;

use clap::Parser as _;

// For the whole process, libtorch included: unlike glibc's it gives memory back
// after a peak, and its threads don't wait for each other.
#[cfg(all(target_os = "linux", not(miri)))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    souk::cli::Cli::parse().run()
}
