//! The signature of `forward`, as it is written in the source that an archive holds.

use crate::manifest::Arguments;

/// What `forward` takes and returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Without `self`.
    pub arguments: Vec<Argument>,
    /// E.g. `Tuple[Tensor, Tensor]`.
    pub returns: String,
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its type, e.g. `Dict[str, Tensor]`.
    pub kind: String,
    /// Whether calls may leave it out.
    pub has_default: bool,
}

impl Argument {
    fn is_tensor(&self) -> bool {
        matches!(self.kind.as_str(), "Tensor" | "Optional[Tensor]")
    }
}

impl Signature {
    /// Finds `forward` of a class in a source file of TorchScript, which is written by
    /// PyTorch and always alike.
    pub(in crate::model) fn of_source(source: &str, class: &str) -> Option<Self> {
        let (_, class) = source.split_once(&format!("class {class}(Module):"))?;
        let class = class.split("\nclass ").next()?;
        let (_, rest) = class.split_once("def forward(")?;
        let (arguments, rest) = rest.split_at_checked(closing(rest)?)?;
        let (returns, _) = rest.strip_prefix(')')?.trim_start().strip_prefix("->")?.split_once(":\n")?;
        let arguments = split(arguments).into_iter().skip(1).map(argument).collect::<Option<_>>()?;
        Some(Self { arguments, returns: one_line(returns) })
    }

    /// How a manifest says that such a module is called, with the arguments that a call
    /// has to or may have.
    ///
    /// # Errors
    ///
    /// The first argument that no tensors can fill, for people.
    pub fn call(&self) -> Result<(Arguments, &[Argument]), String> {
        let tensors = self.arguments.iter().take_while(|argument| argument.is_tensor()).count();
        let (call, taken) = match self.arguments.first().map(|argument| argument.kind.as_str()) {
            None => return Err("forward takes no argument: there is nothing to send".into()),
            Some("List[Tensor]") => (Arguments::List, 1),
            Some("Dict[str, Tensor]") => (Arguments::Dict, 1),
            Some(_) => (Arguments::Tensors, tensors),
        };
        let (taken, rest) = self.arguments.split_at_checked(taken).unwrap_or_default();
        match rest.iter().find(|argument| !argument.has_default || taken.is_empty()) {
            None => Ok((call, taken)),
            Some(Argument { name, kind, .. }) => Err(format!(
                "its argument {name} is of the type {kind}, and clients send tensors: wanted arguments of the type \
                 Tensor, or one alone of the type List[Tensor] or Dict[str, Tensor]; wrap the module in one whose \
                 forward takes those"
            )),
        }
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let argument = |argument: &Argument| {
            let default = if argument.has_default { " = …" } else { "" };
            format!("{}: {}{default}", argument.name, argument.kind)
        };
        let arguments: Vec<String> = self.arguments.iter().map(argument).collect();
        write!(f, "forward({}) -> {}", arguments.join(", "), self.returns)
    }
}

/// Where the parenthesis ends that begins before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (at, character) in text.char_indices() {
        match character {
            '(' | '[' => open += 1,
            ')' | ']' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

/// The arguments between the commas that are in no brackets.
fn split(arguments: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_i32, 0, Vec::new());
    for (at, character) in arguments.char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(arguments.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    found.extend(arguments.get(start..));
    found
}

fn argument(text: &str) -> Option<Argument> {
    let (name, kind) = text.split_once(':')?;
    let (kind, default) = kind.split_once('=').map_or((kind, None), |(kind, default)| (kind, Some(default)));
    Some(Argument { name: name.trim().to_owned(), kind: one_line(kind), has_default: default.is_some() })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(arguments: &str, returns: &str) -> Signature {
        let source = format!(
            "class Inner(Module):\n  def forward(self: __torch__.Inner,\n    wrong: int) -> int:\n    return wrong\n\
             class Outer(Module):\n  __parameters__ = []\n  scale : Final[float] = 2.\n  \
             def forward(self: __torch__.Outer{arguments}) -> {returns}:\n    return x\n  \
             def other(self: __torch__.Outer) -> int:\n    return 1\n"
        );
        Signature::of_source(&source, "Outer").unwrap()
    }

    #[test]
    fn arguments_are_read_with_their_types_and_defaults() {
        let found = signature(
            ",\n    tokens: Tensor,\n    mask: Optional[Tensor]=None,\n    sizes: List[int]=[1, 2]",
            "Tuple[Tensor,\n    Dict[str, Tensor]]",
        );
        assert_eq!(
            found.to_string(),
            "forward(tokens: Tensor, mask: Optional[Tensor] = …, sizes: List[int] = …) -> Tuple[Tensor, Dict[str, Tensor]]"
        );
        let (call, taken) = found.call().unwrap();
        let names: Vec<_> = taken.iter().map(|argument| argument.name.as_str()).collect();
        assert_eq!((call, names), (Arguments::Tensors, vec!["tokens", "mask"]));
    }

    #[test]
    fn lists_and_dictionaries_are_taken_alone() {
        assert_eq!(signature(",\n    parts: List[Tensor]", "Tensor").call().unwrap().0, Arguments::List);
        assert_eq!(signature(",\n    by: Dict[str, Tensor], k: int=3", "Tensor").call().unwrap().0, Arguments::Dict);
    }

    #[test]
    fn what_no_tensor_can_fill_is_named() {
        let said = |arguments| signature(arguments, "Tensor").call().unwrap_err();
        assert!(said("").contains("takes no argument"));
        assert!(said(",\n    x: Tensor, k: int").contains("its argument k is of the type int"));
        assert!(said(",\n    k: int=3").contains("its argument k is of the type int"));
        assert!(
            said(",\n    x: Tensor, parts: List[Tensor]").contains("its argument parts is of the type List[Tensor]")
        );
        assert!(said(",\n    pair: Tuple[Tensor, Tensor]").contains("Tuple[Tensor, Tensor]"));
    }
}
