//! Examples of what goes into a module, in the order of its arguments.

use std::path::Path;

use super::{Argument, Array, npz};
use crate::{manifest::Arguments, rows::Dtype};

/// What goes into one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Where it is from, for messages.
    pub place: String,
    /// The inputs by the names that clients will use, in order.
    pub inputs: Vec<(String, Array)>,
}

impl Example {
    /// Reads an `.npz` file whose arrays have the names of the arguments, or those that
    /// NumPy gives: `arr_0`, `arr_1`….
    ///
    /// # Errors
    ///
    /// What is wrong with the file, or which arrays it lacks, for people.
    pub fn read(path: &Path, (call, arguments): (Arguments, &[Argument])) -> Result<Self, String> {
        let place = path.display().to_string();
        let arrays = npz::read(path).map_err(|reason| format!("{place} {reason}"))?;
        let inputs = match call {
            Arguments::Tensors => matched(arrays, arguments).map_err(|reason| format!("{place}: {reason}"))?,
            Arguments::Dict => arrays,
            Arguments::List => listed(arrays, arguments.first().map_or("input", |argument| argument.name.as_str())),
        };
        Ok(Self { place, inputs })
    }

    /// Some rows of one input of 32-bit floats between -1 and 1, for who has no better.
    pub fn of_numbers(name: &str, width: usize) -> Self {
        let (rows, period) = (8, 17.0);
        // No two rows are alike, and no number of one is far from those of training.
        let number = |index: usize| ((index * 5) as f32 % period) / period * 2.0 - 1.0;
        let bytes = (0..rows * width).flat_map(|index| number(index).to_le_bytes()).collect();
        let array = Array { dtype: Dtype::Float32, shape: vec![rows, width], bytes };
        Self { place: "made-up numbers".into(), inputs: vec![(name.to_owned(), array)] }
    }
}

/// The arrays in the order of the arguments. Those that have a default may be missing,
/// the last ones first.
fn matched(mut arrays: Vec<(String, Array)>, arguments: &[Argument]) -> Result<Vec<(String, Array)>, String> {
    if arrays.iter().all(|(name, _)| numbered(name).is_some()) {
        arrays.sort_by_key(|(name, _)| numbered(name));
        let names = arguments.iter().map(|argument| argument.name.clone());
        arrays = names
            .zip(arrays.iter().map(|(_, array)| array.clone()))
            .chain(arrays.iter().skip(arguments.len()).cloned())
            .collect();
    }
    let names =
        |arrays: &[(String, Array)]| arrays.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let held = names(&arrays);
    let mut inputs: Vec<(String, Array)> = Vec::new();
    let mut left_out = None;
    for argument in arguments {
        let place = arrays.iter().position(|(name, _)| *name == argument.name);
        match (place, left_out) {
            (Some(place), None) => inputs.push(arrays.remove(place)),
            (None, _) if argument.has_default => left_out = Some(&argument.name),
            (None, _) => return Err(format!("it has no array {}; it has {held}", argument.name)),
            (Some(_), Some(before)) => {
                return Err(format!("it has an array {}, and none for {before}, which comes before it", argument.name));
            }
        }
    }
    if arrays.is_empty() {
        return Ok(inputs);
    }
    let wanted: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).collect();
    Err(format!("forward has no argument for {}; it has {}", names(&arrays), wanted.join(", ")))
}

/// The arrays of a list; where NumPy named them, by the argument.
fn listed(mut arrays: Vec<(String, Array)>, argument: &str) -> Vec<(String, Array)> {
    if arrays.iter().all(|(name, _)| numbered(name).is_some()) {
        arrays.sort_by_key(|(name, _)| numbered(name));
        let named = |(index, (_, array))| (format!("{argument}_{index}"), array);
        return arrays.into_iter().enumerate().map(named).collect();
    }
    arrays
}

/// The number of an array that NumPy named.
fn numbered(name: &str) -> Option<usize> {
    name.strip_prefix("arr_")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn arrays(names: &[&str]) -> Vec<(String, Array)> {
        let array =
            |number: u8| Array { dtype: Dtype::Uint8, shape: vec![1], bytes: Bytes::copy_from_slice(&[number]) };
        names.iter().zip(0..).map(|(name, number)| ((*name).to_owned(), array(number))).collect()
    }

    fn arguments(names: &[(&str, bool)]) -> Vec<Argument> {
        let argument = |(name, has_default): &(&str, bool)| Argument {
            name: (*name).into(),
            kind: "Tensor".into(),
            has_default: *has_default,
        };
        names.iter().map(argument).collect()
    }

    /// Names and first bytes, or what is wrong.
    fn matching(held: &[&str], wanted: &[(&str, bool)]) -> Result<Vec<(String, u8)>, String> {
        let inputs = matched(arrays(held), &arguments(wanted))?;
        Ok(inputs.into_iter().map(|(name, array)| (name, array.bytes[0])).collect())
    }

    #[test]
    fn arrays_are_matched_by_name_or_by_order() {
        let two = [("a", false), ("b", false)];
        assert_eq!(matching(&["b", "a"], &two), Ok(vec![("a".into(), 1), ("b".into(), 0)]));
        assert_eq!(matching(&["arr_1", "arr_0"], &two), Ok(vec![("a".into(), 1), ("b".into(), 0)]));
        assert_eq!(matching(&["a"], &[("a", false), ("b", true)]), Ok(vec![("a".into(), 0)]));
    }

    #[test]
    fn what_does_not_match_is_named() {
        let said = |held: &[&str], wanted: &[(&str, bool)]| matching(held, wanted).unwrap_err();
        assert_eq!(said(&["a", "c"], &[("a", false), ("b", false)]), "it has no array b; it has a, c");
        assert_eq!(said(&["a", "c"], &[("a", false)]), "forward has no argument for c; it has a");
        assert_eq!(said(&["arr_0", "arr_1"], &[("a", false)]), "forward has no argument for arr_1; it has a");
        let optional = [("a", false), ("b", true), ("c", true)];
        assert_eq!(said(&["a", "c"], &optional), "it has an array c, and none for b, which comes before it");
    }

    #[test]
    fn a_list_has_names_all_the_same() {
        let names = |held: &[&str]| listed(arrays(held), "parts").into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&["arr_1", "arr_0"]), ["parts_0", "parts_1"]);
        assert_eq!(names(&["left", "right"]), ["left", "right"]);
    }
}
