//! Reading an expression: names, calls, brackets and what is behind them. Operators and
//! words between them are passed over: what is on either side counts.

use super::{Origins, scope::Scope};

/// Brackets within brackets, after which it is taken that the module writes.
const DEEPEST: usize = 200;

/// An argument of a call.
pub(super) struct Given<'s> {
    pub(super) origins: Origins,
    pub(super) text: &'s str,
}

/// What is left of an expression.
pub(super) struct Expression<'a, 's, 'k> {
    rest: &'s str,
    depth: usize,
    scope: &'a mut Scope<'s, 'k>,
}

impl<'a, 's, 'k> Expression<'a, 's, 'k> {
    pub(super) fn new(text: &'s str, scope: &'a mut Scope<'s, 'k>) -> Self {
        Self { rest: text, depth: 0, scope }
    }

    /// What is behind the expression, up to a comma or a closing bracket.
    pub(super) fn origins(&mut self) -> Origins {
        let mut origins = Origins::NONE;
        while let Some(next) = self.rest.chars().next() {
            origins = origins.and(match next {
                ',' | ')' | ']' | '}' => break,
                '"' | '\'' => self.string(next),
                '(' | '[' | '{' => self.bracketed(),
                c if is_of_path(c) => self.named(),
                _ => self.skip(next),
            });
        }
        origins
    }

    /// What is behind the comma, or whatever else it ended at.
    pub(super) fn after(self) -> &'s str {
        let mut rest = self.rest.chars();
        rest.next();
        rest.as_str()
    }

    fn skip(&mut self, character: char) -> Origins {
        self.rest = self.rest.get(character.len_utf8()..).unwrap_or_default();
        Origins::NONE
    }

    fn string(&mut self, quote: char) -> Origins {
        let mut is_escaped = true;
        let end = self.rest.find(|c| {
            let ends = c == quote && !is_escaped;
            // The first one opens it.
            is_escaped = c == '\\' && !is_escaped;
            ends
        });
        self.rest = end.and_then(|end| self.rest.get(end + 1..)).unwrap_or_default();
        Origins::NONE
    }

    fn bracketed(&mut self) -> Origins {
        let origins = self.given().iter().fold(Origins::NONE, |all, one| all.and(one.origins));
        self.continued(origins)
    }

    /// What is between brackets, the first of which is next.
    fn given(&mut self) -> Vec<Given<'s>> {
        let mut all = Vec::new();
        self.depth += 1;
        if self.depth > DEEPEST {
            self.scope.writes(Origins::MODULE);
            self.rest = "";
        }
        while let Some(next) = self.rest.chars().next() {
            // The opening bracket, or a comma.
            self.skip(next);
            let before = self.rest;
            let origins = self.origins();
            let text = before.get(..before.len() - self.rest.len()).unwrap_or_default().trim();
            if !text.is_empty() {
                all.push(Given { origins, text });
            }
            if !self.rest.starts_with(',') {
                break;
            }
        }
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.depth -= 1;
        all
    }

    fn path(&mut self) -> &'s str {
        let end = self.rest.find(|c| !is_of_path(c)).unwrap_or(self.rest.len());
        let (path, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest;
        path
    }

    fn named(&mut self) -> Origins {
        let path = self.path();
        let origins = if self.rest.starts_with('(') {
            let given = self.given();
            self.scope.called(path, &given)
        } else {
            self.scope.origins_of(path)
        };
        self.continued(origins)
    }

    /// Elements, attributes and methods of what was read.
    fn continued(&mut self, mut origins: Origins) -> Origins {
        loop {
            if self.rest.starts_with('[') {
                self.given();
            } else if let Some(rest) = self.rest.strip_prefix('.') {
                self.rest = rest;
                let name = self.path();
                if self.rest.starts_with('(') {
                    let given = self.given();
                    origins = self.scope.called_function(name, &given, origins);
                }
            } else {
                return origins;
            }
        }
    }
}

/// Whether it is a name, or attributes of one.
pub(super) fn is_path(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_of_path)
}

fn is_of_path(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.')
}
