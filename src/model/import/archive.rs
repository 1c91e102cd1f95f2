//! What a TorchScript archive says of itself, without running it.
//!
//! It is a zip file: `data.pkl` begins with the class of the module, `code/` has the
//! source of all classes, `data/` and `constants/` have the tensors.

use std::{
    fs::File,
    io::{BufReader, Read, Seek},
    path::Path,
};

use super::{
    super::archive::{Entries, TORCHSCRIPT},
    Signature,
};

/// An archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// What `forward` takes and returns.
    pub signature: Signature,
    /// Bytes of all tensors: parameters, buffers and constants.
    pub tensor_bytes: u64,
}

impl Archive {
    /// Looks at a file.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub fn read(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| format!("can't be read: {error}"))?;
        Self::of(BufReader::new(file))
    }

    /// The same, of a file that is open.
    pub(in crate::model) fn of(file: impl Read + Seek) -> Result<Self, String> {
        let no_archive = |why: &str| format!("is no TorchScript archive, as torch.jit.save writes it: {why}");
        let mut entries = Entries::new(file, &TORCHSCRIPT).map_err(|fault| no_archive(&fault.to_string()))?;
        let names = entries.names();
        let Some(root) = names.iter().find_map(|(name, _)| name.strip_suffix("data.pkl")) else {
            return Err(no_archive("it has no data.pkl"));
        };
        if !names.iter().any(|(name, _)| name.starts_with(&format!("{root}code/"))) {
            return Err(no_archive(
                "it has no code; torch.save writes weights alone, and torch.jit.script or \
                torch.jit.trace make a module with its code",
            ));
        }
        let pickle = entries.read(&format!("{root}data.pkl"))?;
        let (module, class) = class(&pickle).ok_or_else(|| no_archive("data.pkl names no class"))?;
        let source = entries.read(&format!("{root}code/{}.py", module.replace('.', "/")))?;
        let signature = Signature::of_source(&String::from_utf8_lossy(&source), class)
            .ok_or_else(|| format!("its class {class} has no method forward that can be read"))?;
        let tensors = [format!("{root}data/"), format!("{root}constants/")];
        let is_tensor = |(name, _): &&(String, u64)| tensors.iter().any(|folder| name.starts_with(folder));
        let tensor_bytes = names.iter().filter(is_tensor).fold(0, |sum: u64, (_, bytes)| sum.saturating_add(*bytes));
        Ok(Self { signature, tensor_bytes })
    }
}

/// The first class that a pickle names: module and name, each ended by a line break.
fn class(pickle: &[u8]) -> Option<(&str, &str)> {
    // Protocol 2, then the opcode GLOBAL.
    let rest = pickle.strip_prefix(b"\x80\x02c")?;
    let mut lines = rest.split(|byte| *byte == b'\n').map(|line| str::from_utf8(line).ok());
    Some((lines.next()??, lines.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Result<Archive, String> {
        Archive::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name))
    }

    #[test]
    fn the_signature_is_that_of_the_outermost_class() {
        let found = |name| fixture(name).unwrap().signature.to_string();
        assert_eq!(found("import/tagger.pt"), "forward(tokens: Tensor, numbers: Tensor) -> Dict[str, Tensor]");
        assert_eq!(found("import/listed.pt"), "forward(parts: List[Tensor]) -> List[Tensor]");
        assert_eq!(found("marked.pt"), "forward(ids: Tensor, dense: Tensor) -> Tensor");
        assert_eq!(fixture("import/tagger.pt").unwrap().tensor_bytes, 320 + 56 + 8);
    }

    #[test]
    fn what_is_no_archive_is_called_so() {
        assert!(fixture("import/tagger.jsonl").unwrap_err().starts_with("is no TorchScript archive"));
        assert!(fixture("import/tagger-3.npz").unwrap_err().contains("lies in no folder"));
        assert!(fixture("nothing.pt").unwrap_err().starts_with("can't be read"));
    }
}
