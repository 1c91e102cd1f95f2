//! What people read of a run.

mod acceptance;
mod machine;
mod overload;
mod plot;
mod swap;
mod table;
mod telemetry;
mod throughput;

use std::{fs, process::ExitCode};

use anyhow::Context as _;

use self::acceptance::Line;
use crate::{results::Results, settings::Settings};

/// Prints the tables, writes them with their plots where that is wanted, and says
/// whether the acceptance is met where that is asked.
pub(crate) fn report(results: &Results, settings: &Settings) -> anyhow::Result<ExitCode> {
    let lines = acceptance::lines(results);
    let page = page(results, settings, &lines);
    println!("{page}");
    if let Some(out) = settings.out.as_ref().filter(|_| !settings.quick) {
        fs::create_dir_all(out).with_context(|| out.display().to_string())?;
        fs::write(out.join("serving.md"), &page)?;
        plot::all(results, out)?;
    }
    let unmet: Vec<&Line> = lines.iter().filter(|line| line.met == Some(false)).collect();
    for line in unmet.iter().filter(|_| settings.check) {
        eprintln!("not met: {}: {}", line.claim, line.found);
    }
    Ok(if settings.check && !unmet.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn page(results: &Results, settings: &Settings, lines: &[Line]) -> String {
    let sections = [
        format!("# Serving\n\n{}\n", machine::described(settings)),
        "Medians of the repetitions, in brackets their range; `benches/README.md` says what each column is.\n".into(),
        acceptance::table(lines),
        throughput::tables(results),
        overload::tables(results),
        swap::tables(results),
        telemetry::table(results),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}
