//! Whether a module writes to itself: then one pass at a time runs, since libtorch guards
//! nothing where several threads run one module. An attribute that is put anew while another
//! pass reads it ends the process; a buffer that is written in place mixes what passes work on.
//!
//! It is read off the source in the archive, which PyTorch writes, one statement a line, and
//! always alike. In doubt a module writes to itself, which costs passes at the same time and
//! nothing else. Rejected: a copy of the module for each thread, which costs its memory as often.
//!
//! What an expression may share memory with is followed through names, views, containers and
//! calls. Types are not known: functions and methods of one name are taken for one.

mod expression;
mod operators;
mod scope;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Cursor, Read, Seek},
};

use self::scope::Scope;
use crate::model::{
    Place,
    archive::{Entries, TORCHSCRIPT},
};

/// Rounds through all functions, after which it is taken that they write: a round more is
/// needed for each call that another one is handed on in.
const MOST_ROUNDS: usize = 64;

/// Whether the module in this archive does.
pub(super) fn writes_to_itself(place: &Place<'_>) -> bool {
    let sources = match place {
        Place::Path(path) => File::open(path).ok().and_then(|file| sources(BufReader::new(file))),
        Place::Bytes(bytes) => sources(Cursor::new(bytes)),
    };
    sources.is_none_or(|sources| writes(&sources))
}

/// All sources; none where one of them can't be read to its end.
fn sources(archive: impl Read + Seek) -> Option<Vec<String>> {
    let mut entries = Entries::new(archive, &TORCHSCRIPT).ok()?;
    let mut names = entries.names();
    names.retain(|(name, _)| name.contains("/code/") && name.ends_with(".py"));
    names.iter().map(|(name, _)| String::from_utf8(entries.read(name).ok()?).ok()).collect()
}

/// What may be behind a value: a bit for what belongs to the module, and one for each
/// argument of the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Origins(u64);

impl Origins {
    const NONE: Self = Self(0);
    const MODULE: Self = Self(1 << 63);

    /// Of an argument, from 0; the last bit is that of all others.
    fn argument(index: usize) -> Self {
        Self(1 << index.min(62))
    }

    fn holds(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Adds others; whether one of them is new.
    fn add(&mut self, other: Self) -> bool {
        let before = *self;
        *self = self.and(other);
        *self != before
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What is known of a function: what it writes to, and what it may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Known {
    writes: Origins,
    returns: Origins,
}

/// A function or method.
struct Function<'s> {
    name: &'s str,
    /// Without `self`.
    arguments: Vec<&'s str>,
    statements: Vec<&'s str>,
}

pub(super) fn writes(sources: &[String]) -> bool {
    let functions: Vec<Function<'_>> = sources.iter().flat_map(|source| functions(source)).collect();
    let mut known: HashMap<&str, Known> = functions.iter().map(|function| (function.name, Known::default())).collect();
    for _ in 0..MOST_ROUNDS {
        let mut is_more = false;
        for function in &functions {
            let found = Scope::of(function, &known);
            if found.writes.holds(Origins::MODULE) {
                return true;
            }
            let known = known.entry(function.name).or_default();
            is_more |= known.writes.add(found.writes) | known.returns.add(found.returns);
        }
        if !is_more {
            return false;
        }
    }
    true
}

/// The functions of a source file. Arguments are a line each, statements too.
fn functions(source: &str) -> Vec<Function<'_>> {
    let mut functions: Vec<Function<'_>> = Vec::new();
    let mut in_head = false;
    for line in source.lines().map(str::trim) {
        let mut head = line;
        if let Some((name, rest)) = line.strip_prefix("def ").and_then(|rest| rest.split_once('(')) {
            functions.push(Function { name, arguments: Vec::new(), statements: Vec::new() });
            (in_head, head) = (true, rest);
        }
        let Some(function) = functions.last_mut() else { continue };
        if in_head {
            let argument = head.split([':', ',', ')']).next().unwrap_or_default();
            function.arguments.extend(Some(argument).filter(|name| !matches!(*name, "" | "self")));
            in_head = !line.ends_with(':');
        } else if line.starts_with("class ") {
            // Its attributes are no statements of the method before.
            functions.push(Function { name: "", arguments: Vec::new(), statements: Vec::new() });
        } else {
            function.statements.push(line);
        }
    }
    functions.retain(|function| !function.name.is_empty());
    functions
}
