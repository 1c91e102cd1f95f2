//! What the figures were measured on.

use std::{fs, process::Command, thread::available_parallelism};

use crate::settings::Settings;

/// Machine, day, commit and lengths, in a sentence each.
pub(super) fn described(settings: &Settings) -> String {
    let cores = available_parallelism().map_or(0, usize::from);
    let repetitions = settings.repetitions();
    format!(
        "{cores} cores of {}, which the load generator shares; {}; commit {}; {repetitions} × {} s a point.",
        processor().unwrap_or_else(|| "an unknown processor".into()),
        jiff::Zoned::now().date(),
        commit().unwrap_or_else(|| "unknown".into()),
        settings.length().as_secs_f64(),
    )
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    Some(format!("{} (family {}, model {})", field("model name")?, field("cpu family")?, field("model\t")?))
}

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(git(&["rev-parse", "--short", "HEAD"])? + if changed { " with changes" } else { "" })
}
