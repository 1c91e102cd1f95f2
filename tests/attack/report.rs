//! What people read: tables on standard output, progress on standard error.

use std::{
    fmt::{Display, Formatter, Result as FmtResult},
    time::Duration,
};

use comfy_table::{CellAlignment, presets};

/// Rows of cells below a head; Markdown.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// An empty one.
    pub(crate) fn new(head: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header(head);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        Self(table)
    }

    /// Adds a row.
    pub(crate) fn row<const CELLS: usize>(&mut self, cells: [String; CELLS]) {
        self.0.add_row(cells);
    }
}

impl Display for Table {
    fn fmt(&self, out: &mut Formatter<'_>) -> FmtResult {
        self.0.fmt(out)
    }
}

/// What happens now.
pub(crate) fn progress(what: &str) {
    eprintln!("attack: {what}");
}

/// What must not have happened.
pub(crate) fn problems(problems: &[String]) {
    for problem in problems {
        println!("PROBLEM {problem}");
    }
}

/// In milliseconds.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
