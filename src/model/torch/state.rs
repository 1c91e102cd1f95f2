//! Whether a module writes to itself: then one pass at a time runs, since libtorch guards
//! nothing where several threads run one module. An attribute that is put anew while another
//! pass reads it ends the process; a buffer that is written in place mixes what passes work on.
//!
//! It is read off the source in the archive, which PyTorch writes, one statement a line, and
//! always alike. In doubt a module writes to itself, which costs passes at the same time and
//! nothing else. Rejected: a copy of the module for each thread, which costs its memory as often.
//!
//! What it does not see is a buffer that a function of its own, to which it was handed, writes to.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufReader, Cursor, Read, Seek},
};

use zip::ZipArchive;

use crate::model::Place;

/// Most bytes of a source file that are read: those of the largest models have a few millions.
const MOST_BYTES: u64 = 64 << 20;

/// Functions that change a list or a dictionary.
const CHANGES: [&str; 11] =
    ["append", "_set_item", "insert", "pop", "clear", "extend", "remove", "Delete", "update", "popitem", "setdefault"];

/// Functions whose result is the same memory.
const VIEWS: [&str; 16] = [
    "select",
    "slice",
    "view",
    "reshape",
    "narrow",
    "unsqueeze",
    "squeeze",
    "transpose",
    "t",
    "detach",
    "expand",
    "permute",
    "flatten",
    "diagonal",
    "unflatten",
    "view_as",
];

/// What batch normalisation counts in, in training alone.
const TRAINING_ALONE: &str = ".num_batches_tracked";

/// Whether the module in this archive does.
pub(super) fn writes_to_itself(place: &Place<'_>) -> bool {
    let sources = match place {
        Place::Path(path) => File::open(path).ok().and_then(|file| sources(BufReader::new(file))),
        Place::Bytes(bytes) => sources(Cursor::new(bytes)),
    };
    sources.is_none_or(|sources| sources.iter().any(|source| writes(source)))
}

fn sources(archive: impl Read + Seek) -> Option<Vec<String>> {
    let mut archive = ZipArchive::new(archive).ok()?;
    let is_source = |name: &&str| name.contains("/code/") && name.ends_with(".py");
    let names: Vec<String> = archive.file_names().filter(is_source).map(str::to_owned).collect();
    let mut source = |name: &String| {
        let mut text = String::new();
        archive.by_name(name).ok()?.take(MOST_BYTES).read_to_string(&mut text).ok()?;
        Some(text)
    };
    names.iter().map(&mut source).collect()
}

fn writes(source: &str) -> bool {
    let mut method = Method::default();
    source.lines().map(str::trim).any(|line| {
        if line.starts_with("def ") {
            method = Method::default();
        }
        method.writes(line)
    })
}

/// What the statements of a method so far made names of.
#[derive(Default)]
struct Method<'s> {
    /// What belongs to the module: attributes, and views of them.
    own: HashSet<&'s str>,
    /// Lists and dictionaries that were made here.
    fresh: HashSet<&'s str>,
}

impl<'s> Method<'s> {
    /// Whether this statement writes to the module.
    fn writes(&mut self, statement: &'s str) -> bool {
        let (name, value) = statement.split_once(" = ").unwrap_or(("", statement));
        if (is_path(name) && name.contains('.')) || self.changes(value) {
            return true;
        }
        if is_path(name) {
            let (root, rest) = root(value);
            if self.is_own(root) && matches!(rest.chars().next(), None | Some('[' | ',' | ')')) {
                self.own.insert(name);
            }
            if ["annotate(", "[", "{"].iter().any(|made| value.starts_with(made)) || self.fresh.contains(value) {
                self.fresh.insert(name);
            }
        }
        false
    }

    /// Whether a function within the expression changes what is the module's.
    fn changes(&self, value: &str) -> bool {
        let call = |(start, prefix): (usize, &str)| value.get(start + prefix.len()..)?.split_once('(');
        let is_change = |(function, arguments): (&str, &str)| {
            let (changed, _) = root(arguments);
            let in_place = function.ends_with('_') && !function.starts_with("__");
            let changes_container = CHANGES.contains(&function) && !self.fresh.contains(changed);
            changes_container || in_place && self.is_own(changed)
        };
        let into =
            |(start, prefix): (usize, &str)| self.is_own(root(value.get(start + prefix.len()..)?).0).then_some(());
        value.match_indices("torch.").filter_map(call).any(is_change)
            || value.match_indices("out=").any(|found| into(found).is_some())
    }

    fn is_own(&self, name: &str) -> bool {
        (name.contains('.') || self.own.contains(name)) && !name.ends_with(TRAINING_ALONE)
    }
}

/// The name or path at the beginning of an expression, or of that of which it is a view;
/// with what follows.
fn root(mut expression: &str) -> (&str, &str) {
    while let Some((function, arguments)) = expression.strip_prefix("torch.").and_then(|call| call.split_once('(')) {
        if !VIEWS.contains(&function) {
            return ("", expression);
        }
        expression = arguments;
    }
    let end = expression.find(|c| !is_of_path(c)).unwrap_or(expression.len());
    expression.split_at_checked(end).unwrap_or(("", expression))
}

/// Whether it is a name, or attributes of one.
fn is_path(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_of_path)
}

fn is_of_path(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.')
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn what_is_put_or_written_in_place_is_found() {
        let cases = [
            "self.calls = torch.add(calls, 1)",
            "self.block.calls = torch.add(calls, 1)",
            "calls = self.calls\n    _0 = torch.add_(calls, 1)",
            "_0 = torch.mul(torch.add_(self.calls, 1), 2)",
            "scratch = self.scratch\n    part = torch.select(scratch, 0, 0)\n    _0 = torch.copy_(part, x)",
            "scratch = self.scratch\n    _0 = torch.mul(x, x, out=torch.select(scratch, 0, 1))",
            "seen = self.seen\n    _0 = torch.append(seen, x)",
            "seen = self.seen\n    first = seen[0]\n    _0 = torch.zero_(first)",
            // Whoever calls may hand over what is the module's.
            "_0 = torch._set_item(given, \"key\", x)",
        ];
        for case in cases {
            assert!(writes(&format!("  def forward(self,\n    {case}\n    return x\n")), "{case}");
        }
    }

    #[test]
    fn what_is_read_or_made_in_the_pass_is_not() {
        let cases = [
            "found = annotate(List[Tensor], [])\n    _0 = torch.append(found, x)",
            "weight = self.weight\n    y = torch.linear(x, weight)\n    _0 = torch.relu_(y)",
            "_0 = torch.copy_(torch.select(x, 0, 0), y)",
            "tracked = self.num_batches_tracked\n    _0 = torch.add_(tracked, 1)",
            "_0 = torch.__contains__(self.names, name)",
            "eps : Final[__torch__.a.B] = 1.",
        ];
        for case in cases {
            assert!(!writes(&format!("  def forward(self,\n    {case}\n    return x\n")), "{case}");
        }
        // Names are those of their method.
        assert!(!writes(
            "  def one(self,\n    y = self.y\n  def other(self,\n    y = torch.add(x, 1)\n    _0 = torch.relu_(y)"
        ));
    }

    #[test]
    fn modules_that_write_to_themselves_are_told_from_all_others() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/modules");
        let models = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        let does = |path: &Path| {
            let file = path.join("1/model.pt");
            let of_bytes = writes_to_itself(&Place::Bytes(&fs::read(&file).unwrap()));
            assert_eq!(of_bytes, writes_to_itself(&Place::Path(file.to_str().unwrap().to_owned())));
            of_bytes
        };
        let found = models.filter(|path| does(path)).map(|path| path.file_name().unwrap().to_owned());
        let mut found: Vec<_> = found.collect();
        found.sort();
        assert_eq!(found, ["counts_calls", "remembers_the_last", "scratch_buffer"]);
        assert!(writes_to_itself(&Place::Bytes(b"no archive")));
    }
}
