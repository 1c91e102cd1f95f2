//! The policies of all models, in one small file beside them. It is there only once
//! somebody wanted something else than the newest version of each.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Policy;

/// The file's name, below the models' root.
const FILE: &str = "policy.json";

/// What the names of files that are being written begin with; none is a model's.
const UNFINISHED: &str = ".policy-";

/// The policies by model.
pub(in crate::registry) type Policies = BTreeMap<String, Policy>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<T> {
    format_version: u32,
    models: BTreeMap<String, T>,
}

const FORMAT: u32 = 1;

/// What the file says.
pub(in crate::registry) struct Read {
    /// The policies that can be followed.
    pub(in crate::registry) policies: Policies,
    /// What is wrong with those of other models, or (`None`) with the whole file.
    pub(in crate::registry) problems: BTreeMap<Option<String>, Vec<String>>,
}

/// Where the file is.
#[derive(Debug, Clone)]
pub(in crate::registry) struct PolicyFile {
    path: PathBuf,
}

impl PolicyFile {
    /// The file below `root`.
    pub(in crate::registry) fn below(root: &Path) -> Self {
        Self { path: root.join(FILE) }
    }

    pub(in crate::registry) fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes; none where there is no file.
    pub(in crate::registry) fn bytes(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes all policies, so that whoever reads finds the old ones or the new ones.
    pub(in crate::registry) fn write(&self, policies: &Policies) -> io::Result<()> {
        replace(&self.path, text(policies)?.as_bytes())
    }

    /// Removes what processes left behind that were killed while they wrote.
    pub(in crate::registry) fn tidy(&self) {
        let Some(folder) = self.path.parent() else { return };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let unfinished = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED));
        // Another server may be about to rename its own: that one is young.
        let old = |entry: &fs::DirEntry| {
            let age = entry.metadata().and_then(|seen| seen.modified()).map(|changed| changed.elapsed());
            age.is_ok_and(|age| age.is_ok_and(|age| age.as_secs() > 60))
        };
        for entry in unfinished.filter(old) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What the file says of these policies.
pub(in crate::registry) fn text(policies: &Policies) -> io::Result<String> {
    let written = Written { format_version: FORMAT, models: policies.clone() };
    Ok(serde_json::to_string_pretty(&written)? + "\n")
}

/// Understands the file's bytes.
pub(in crate::registry) fn parse(bytes: &[u8]) -> Read {
    let whole = |problem: String| Read { policies: Policies::new(), problems: [(None, vec![problem])].into() };
    let written: Written<serde_json::Value> = match serde_json::from_slice(bytes) {
        Ok(written) => written,
        Err(error) => return whole(format!("{FILE}: {error}")),
    };
    if written.format_version != FORMAT {
        return whole(format!("{FILE}: format_version is {}, wanted {FORMAT}", written.format_version));
    }
    let mut read = Read { policies: Policies::new(), problems: BTreeMap::new() };
    for (model, value) in written.models {
        match understood(value) {
            Ok(policy) => drop(read.policies.insert(model, policy)),
            Err(problems) => {
                let named = problems.into_iter().map(|problem| format!("{FILE}: {problem}")).collect();
                read.problems.insert(Some(model), named);
            }
        }
    }
    read
}

fn understood(value: serde_json::Value) -> Result<Policy, Vec<String>> {
    let policy: Policy = serde_json::from_value(value).map_err(|error| vec![error.to_string()])?;
    let problems = policy.problems();
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

/// Puts `bytes` in the place of the file in one step: a crash leaves the old file or
/// the new one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    readable_by_all(new.as_file())?;
    new.persist(path).map_err(|error| error.error)?;
    // The name, too.
    File::open(folder)?.sync_all()
}

/// As other programs create files, and not for the owner alone as temporary ones are.
fn readable_by_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}
