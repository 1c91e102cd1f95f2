//! A version as something that people vouch for: its manifest, and files that are what the
//! manifest says. Nothing of it is loaded or run.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};

use super::{
    examine::{mismatched_place, readable, signed},
    folder::{MANIFEST, SIGNATURE, VersionFolder},
};
use crate::trust::{SecretError, SecretKey, Signed, Trust};

/// A version whose files are those of its manifest.
pub struct Whole<'f> {
    folder: &'f VersionFolder,
    manifest: Vec<u8>,
}

impl<'f> Whole<'f> {
    /// Reads manifest and files.
    ///
    /// # Errors
    ///
    /// All that is wrong: with the manifest, with where it lies, and with each file.
    pub fn read(folder: &'f VersionFolder) -> Result<Self, Vec<String>> {
        let manifest = manifest(folder)?;
        let problems = problems(folder, &manifest);
        if problems.is_empty() { Ok(Self { folder, manifest }) } else { Err(problems) }
    }

    /// Who vouches for a version, of those whose signatures count.
    ///
    /// # Errors
    ///
    /// Why that is nobody, and all else that is wrong with it.
    pub fn signed(folder: &VersionFolder, trust: &Trust) -> Result<Option<Signed>, Vec<String>> {
        let manifest = manifest(folder)?;
        let mut problems = problems(folder, &manifest);
        match signed(folder, &manifest, trust) {
            Ok(signed) if problems.is_empty() => Ok(signed),
            Ok(_signed) => Err(problems),
            Err(problem) => {
                problems.insert(0, problem);
                Err(problems)
            }
        }
    }

    /// Signs the manifest, and so all files that it holds the digests of. The signature
    /// takes the place of one that is there, in one step.
    ///
    /// # Errors
    ///
    /// [`SecretError`] where the key can't sign, or the file can't be written.
    pub fn sign(&self, key: &SecretKey) -> Result<PathBuf, SecretError> {
        let VersionFolder { path, model, version } = self.folder;
        let now = jiff::Timestamp::now().as_second();
        // As minisign writes it, and which version it is.
        let comment = format!("timestamp:{now}\tfile:{MANIFEST}\thashed\tmodel:{model}\tversion:{version}");
        let signature = key.sign(&self.manifest, &comment)?;
        let place = path.join(SIGNATURE);
        match self.write(&place, signature.as_bytes()) {
            Ok(()) => Ok(place),
            Err(source) => Err(SecretError::File { path: place, source }),
        }
    }

    fn write(&self, place: &PathBuf, signature: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder.path)?;
        file.write_all(signature)?;
        // Whoever may read the manifest may read this.
        let seen = fs::metadata(self.folder.path.join(MANIFEST))?.permissions().mode();
        file.as_file().set_permissions(fs::Permissions::from_mode(0o600 | (seen & 0o666)))?;
        let file: File = file.persist(place).map_err(|error| error.error)?;
        file.sync_all()
    }
}

fn manifest(folder: &VersionFolder) -> Result<Vec<u8>, Vec<String>> {
    folder.manifest().map_err(|fault| vec![format!("{MANIFEST}: {fault}")])
}

/// What is wrong with the manifest and the files.
fn problems(folder: &VersionFolder, manifest: &[u8]) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(readable) = readable(manifest, &mut problems) {
        problems.extend(mismatched_place(folder, &readable));
        let wanted = readable.files.iter().map(|(name, digest)| (name.as_str(), digest.as_str()));
        problems.extend(folder.differences(readable.engine.model_file(), wanted));
    }
    problems
}
