//! A Markdown table that can be read as it is.

use std::fmt::Write as _;

use crate::spread::Spread;

/// Rows of cells below a head.
pub(crate) struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    /// An empty one.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { lines: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.lines.push(cells);
    }

    /// As Markdown, the first column to the left, all others to the right.
    pub(crate) fn markdown(&self) -> String {
        let mut widths = vec![3; self.lines.first().map_or(0, Vec::len)];
        for line in &self.lines {
            for (cell, width) in line.iter().zip(&mut widths) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        for (number, line) in self.lines.iter().enumerate() {
            push(&mut text, line, &widths);
            if number == 0 {
                let rules: Vec<String> =
                    widths.iter().enumerate().map(|(column, &width)| rule(column, width)).collect();
                push(&mut text, &rules, &widths);
            }
        }
        text
    }
}

fn push(text: &mut String, cells: &[String], widths: &[usize]) {
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        // Writing to a String can't fail.
        let _ = if column == 0 { write!(text, "| {cell:<width$} ") } else { write!(text, "| {cell:>width$} ") };
    }
    text.push_str("|\n");
}

fn rule(column: usize, width: usize) -> String {
    if column == 0 { "-".repeat(width) } else { format!("{}:", "-".repeat(width - 1)) }
}

/// A figure with so many digits after the point.
pub(crate) fn number(figure: Option<Spread>, digits: usize) -> String {
    figure.map_or_else(|| "–".into(), |figure| grouped(figure.median, digits))
}

/// A ratio with the range of its repetitions.
pub(crate) fn ratio(figure: Option<Spread>) -> String {
    figure.map_or_else(|| "–".into(), |figure| figure.to_string())
}

fn grouped(figure: f64, digits: usize) -> String {
    let text = format!("{figure:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), String::new()), |(w, r)| (w, format!(".{r}")));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 && grouped != "-" {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + &rest
}
