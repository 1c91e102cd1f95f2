//! Reads Rust as far as paths go: no comments, no strings, no unit tests.

use std::{collections::BTreeSet, iter::Peekable, str::Chars};

/// What only tests see, and what is fuzzed with them.
const FUZZED: [&str; 2] = [
    r#"#[cfg(any(test, feature = "fuzzing"))]"#,
    r#"#[cfg(any(all(test, feature = "archives"), feature = "fuzzing"))]"#,
];
const TESTED: &str = "#[cfg(test)]";

/// The code without comments, strings, characters, lifetimes, and without the
/// inline modules that only tests see.
pub(super) fn code(text: &str) -> String {
    without_tests(&without_text(&unfuzzed(text)))
}

fn unfuzzed(text: &str) -> String {
    FUZZED.iter().fold(text.to_owned(), |text, fuzzed| text.replace(fuzzed, TESTED))
}

/// The files of modules that only tests see, from `src/` on, and the folders (`x/`) of
/// what is below them.
pub(super) fn test_modules(file: &str, text: &str) -> Vec<String> {
    let folder = match file.rsplit_once('/') {
        _ if file == "lib.rs" => String::new(),
        Some((folder, "mod.rs")) => format!("{folder}/"),
        _ => format!("{}/", file.trim_end_matches(".rs")),
    };
    let code = without_text(&unfuzzed(text));
    let declared = code.split(TESTED).skip(1).filter_map(|rest| {
        let (declaration, _) = rest.split_once(';')?;
        let name = declaration.split_whitespace().last()?;
        (declaration.contains("mod") && !declaration.contains('{')).then(|| format!("{folder}{name}"))
    });
    declared.flat_map(|module| [format!("{module}.rs"), format!("{module}/")]).collect()
}

fn without_text(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = skipped(rest, code.chars().last());
        if skipped > 0 {
            code.push(' ');
            rest = &rest[skipped..];
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    code
}

/// Bytes at the start of `rest` that are no code.
fn skipped(rest: &str, before: Option<char>) -> usize {
    let within_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        block_comment(rest)
    } else if rest.starts_with('"') {
        quoted(rest, '"')
    } else if rest.starts_with('\'') {
        character_or_lifetime(rest)
    } else if rest.starts_with('r') && !within_word {
        raw_string(rest)
    } else {
        0
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        match rest.get(at..at + 2) {
            Some("/*") => (depth, at) = (depth + 1, at + 2),
            Some("*/") => (depth, at) = (depth - 1, at + 2),
            None if at + 2 > rest.len() => return rest.len(),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

fn character_or_lifetime(rest: &str) -> usize {
    let mut after = rest.chars().skip(1);
    match (after.next(), after.next()) {
        (Some('\\'), _) | (_, Some('\'')) => quoted(rest, '\''),
        _ => {
            let name = |(_, c): &(usize, char)| !c.is_alphanumeric() && *c != '_';
            rest.char_indices().skip(1).find(name).map_or(rest.len(), |(at, _)| at)
        }
    }
}

fn raw_string(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    if !rest[1 + hashes..].starts_with('"') {
        return 0;
    }
    let begun = hashes + 2;
    let end = format!("\"{}", "#".repeat(hashes));
    rest[begun..].find(&end).map_or(rest.len(), |at| begun + at + end.len())
}

fn without_tests(code: &str) -> String {
    let Some((before, rest)) = code.split_once(TESTED) else { return code.to_owned() };
    let declaration = rest.find(['{', ';']).unwrap_or(rest.len());
    let end = if rest[declaration..].starts_with('{') { closed(&rest[declaration..]) } else { 1 };
    let after = rest.get(declaration + end..).unwrap_or_default();
    format!("{before}{}", without_tests(after))
}

/// Bytes up to the brace that closes the first one.
fn closed(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Every path with a `::` and every leaf of a `use`, from the crate's root on.
/// `module` is the file's own path.
pub(super) fn paths(code: &str, module: &[&str]) -> BTreeSet<String> {
    let words = words(code);
    let mut words = words.iter().map(String::as_str).peekable();
    let mut found = BTreeSet::new();
    while let Some(word) = words.next() {
        // `use<…>` is about lifetimes.
        if word == "use" && words.peek() != Some(&"<") {
            tree(&mut words, &mut Vec::new(), &mut found);
        } else if is_name(word) && words.peek() == Some(&"::") {
            let mut path = vec![word.to_owned()];
            while words.next_if_eq(&"::").is_some() {
                let Some(name) = words.next_if(|word| is_name(word)) else { break };
                path.push(name.to_owned());
            }
            found.insert(path.join("::"));
        }
    }
    found.into_iter().map(|path| resolved(&path, module)).collect()
}

/// One branch of a `use` tree after `prefix`, up to its `,`, `}` or `;`.
fn tree<'w>(
    words: &mut Peekable<impl Iterator<Item = &'w str>>,
    prefix: &mut Vec<String>,
    found: &mut BTreeSet<String>,
) {
    let depth = prefix.len();
    let mut leaf = true;
    while let Some(word) = words.next_if(|word| !matches!(*word, "," | "}" | ";")) {
        match word {
            "{" => {
                leaf = false;
                while words.peek().is_some_and(|word| *word != "}") {
                    tree(words, prefix, found);
                    words.next_if_eq(&",");
                }
                words.next();
            }
            "as" => drop(words.next()),
            "::" => {}
            name => prefix.push(name.to_owned()),
        }
    }
    if leaf {
        found.insert(prefix.join("::"));
    }
    prefix.truncate(depth);
}

/// `self` and `super` by the file's own place.
fn resolved(path: &str, module: &[&str]) -> String {
    let mut place: Vec<&str> = std::iter::once("crate").chain(module.iter().copied()).collect();
    let mut names = path.split("::").peekable();
    if !matches!(names.peek(), Some(&("self" | "super"))) {
        return path.to_owned();
    }
    while let Some(step) = names.next_if(|name| matches!(*name, "self" | "super")) {
        if step == "super" {
            place.pop();
        }
    }
    place.extend(names);
    place.join("::")
}

fn words(code: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            words.push(name(c, &mut chars));
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            words.push("::".into());
        } else if !c.is_whitespace() {
            words.push(c.into());
        }
    }
    words
}

fn name(first: char, chars: &mut Peekable<Chars<'_>>) -> String {
    let mut name = String::from(first);
    while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
        name.push(c);
    }
    name
}

fn is_name(word: &str) -> bool {
    word.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}
