//! The names of one function, and what may be behind them.

use std::collections::{HashMap, HashSet};

use super::{
    Function, Known, Origins,
    expression::{Expression, Given, is_path},
    operators::{self, Does},
};

/// What batch normalisation counts in, in training alone.
const TRAINING_ALONE: &str = ".num_batches_tracked";

/// What the statements of a function made names of, in any order: a loop runs again.
pub(super) struct Scope<'s, 'k> {
    known: &'k HashMap<&'s str, Known>,
    names: HashMap<&'s str, Origins>,
    /// Lists and dictionaries that were made here.
    fresh: HashSet<&'s str>,
    /// Names of functions.
    functions: HashMap<&'s str, &'s str>,
    found: Known,
    is_more: bool,
}

impl<'s, 'k> Scope<'s, 'k> {
    /// What a function does, by what is known of those that it calls.
    pub(super) fn of(function: &Function<'s>, known: &'k HashMap<&'s str, Known>) -> Known {
        let arguments = function.arguments.iter().enumerate();
        let mut names: HashMap<_, _> =
            arguments.map(|(index, argument)| (*argument, Origins::argument(index))).collect();
        names.insert("self", Origins::MODULE);
        let (fresh, functions) = (HashSet::new(), HashMap::new());
        let mut scope = Self { known, names, fresh, functions, found: Known::default(), is_more: true };
        while std::mem::take(&mut scope.is_more) {
            function.statements.iter().for_each(|statement| scope.statement(statement));
        }
        scope.found
    }

    fn statement(&mut self, statement: &'s str) {
        if let Some(value) = statement.strip_prefix("return ") {
            let origins = self.origins(value);
            self.found.returns.add(origins);
        } else if let Some((target, value)) = statement.strip_prefix("for ").and_then(|rest| rest.split_once(" in ")) {
            let origins = self.origins(value);
            self.put(target, origins);
        } else if let Some((targets, value)) = assignment(statement) {
            self.assign(targets, value);
        } else {
            self.origins(statement);
        }
    }

    fn assign(&mut self, targets: &'s str, value: &'s str) {
        let origins = self.origins(value);
        self.put(targets, origins);
        if ["[", "{"].iter().any(|made| value.starts_with(made))
            || value.starts_with("annotate(") && ["[])", "{})"].iter().any(|empty| value.ends_with(empty))
            || self.fresh.contains(value)
        {
            self.is_more |= self.fresh.insert(targets);
        }
        if is_path(value)
            && let Some(function) = function_of(value)
        {
            self.is_more |= self.functions.insert(targets, function).is_none();
        }
    }

    /// All names may be any of it.
    fn put(&mut self, targets: &'s str, origins: Origins) {
        for target in names(targets) {
            if target.contains('.') {
                self.writes(Origins::MODULE);
            }
            self.is_more |= self.names.entry(target).or_default().add(origins);
        }
    }

    /// What is behind all of a text; several values are separated by commas.
    fn origins(&mut self, mut text: &'s str) -> Origins {
        let mut all = Origins::NONE;
        while !text.is_empty() {
            let mut expression = Expression::new(text, self);
            all = all.and(expression.origins());
            text = expression.after();
        }
        all
    }

    pub(super) fn writes(&mut self, origins: Origins) {
        self.found.writes.add(origins);
    }

    /// What is behind a name, or behind attributes of one.
    pub(super) fn origins_of(&self, path: &str) -> Origins {
        let root = path.split('.').next().unwrap_or_default();
        if root.starts_with(|c: char| c.is_numeric()) || root == "__torch__" || path.ends_with(TRAINING_ALONE) {
            return Origins::NONE;
        }
        // Such as constants.
        let unknown = if path.contains('.') { Origins::MODULE } else { Origins::NONE };
        self.names.get(root).copied().unwrap_or(unknown)
    }

    /// What a call of a function by its path may return.
    pub(super) fn called(&mut self, path: &'s str, given: &[Given<'s>]) -> Origins {
        if let Some(function) = path.strip_prefix("torch.").or_else(|| path.strip_prefix("ops.aten.")) {
            return self.called_torch(function, given);
        }
        // The first one is a type.
        if let "annotate" | "unchecked_cast" | "uninitialized" = path {
            return any(given.get(1..).unwrap_or_default());
        }
        match function_of(path).or_else(|| self.functions.get(path).copied()) {
            Some(function) => self.called_function(function, given, Origins::NONE),
            None => any(given),
        }
    }

    /// What a call of a function of the archive may return; of one that is not there, what
    /// it is given, and what it is a method of.
    pub(super) fn called_function(&mut self, name: &str, given: &[Given<'s>], of: Origins) -> Origins {
        let Some(Known { writes, returns }) = self.known.get(name).copied() else { return any(given).and(of) };
        let behind = |origins: Origins| {
            let module = if origins.holds(Origins::MODULE) { Origins::MODULE } else { Origins::NONE };
            let handed = given.iter().enumerate().filter(|(index, _)| origins.holds(Origins::argument(*index)));
            handed.fold(module, |all, (_, given)| all.and(given.origins))
        };
        self.writes(behind(writes));
        behind(returns)
    }

    fn called_torch(&mut self, function: &str, given: &[Given<'s>]) -> Origins {
        let first = given.first().map(|given| given.origins).unwrap_or_default();
        let into = given.iter().filter(|given| given.text.starts_with("out="));
        into.for_each(|given| self.writes(given.origins));
        self.normalise(function, given);
        match Does::of(function) {
            Does::Write => self.writes(first),
            Does::Change => return self.change(given),
            Does::View => {}
            Does::Make => return Origins::NONE,
            Does::Anything => return any(given),
        }
        first
    }

    fn normalise(&mut self, function: &str, given: &[Given<'s>]) {
        let Some((averages, training)) = operators::averages(function) else { return };
        if given.get(training).is_some_and(|given| given.text == "True") {
            averages.iter().filter_map(|index| given.get(*index)).for_each(|given| self.writes(given.origins));
        }
    }

    /// Changes a container, which then holds what it was given too.
    fn change(&mut self, given: &[Given<'s>]) -> Origins {
        let all = any(given);
        if let Some(container) = given.first() {
            if !self.fresh.contains(container.text) {
                self.writes(container.origins);
            }
            if is_path(container.text) {
                self.is_more |= self.names.entry(container.text).or_default().add(all);
            }
        }
        all
    }
}

fn any(given: &[Given<'_>]) -> Origins {
    given.iter().fold(Origins::NONE, |all, given| all.and(given.origins))
}

/// The name of a function that lies in the archive.
fn function_of(path: &str) -> Option<&str> {
    path.starts_with("__torch__.").then(|| path.rsplit('.').next())?
}

/// Names and value of an assignment.
fn assignment(statement: &str) -> Option<(&str, &str)> {
    let (targets, value) = statement.split_once(" = ")?;
    let targets = targets.split_once(" : ").map_or(targets, |(name, _type)| name);
    names(targets).all(is_path).then_some((targets, value))
}

/// Of `a`, or of `a, b, `.
fn names(targets: &str) -> impl Iterator<Item = &str> {
    targets.split(',').map(str::trim).filter(|name| !name.is_empty())
}
