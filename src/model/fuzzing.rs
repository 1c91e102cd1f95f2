//! What reads a version's files. For fuzzing and unit tests alone.

use std::io::Cursor;

use super::{
    Place, RowReader, Version, archive, golden,
    import::{self, Archive, Signature},
    state,
    weights::Weights,
};
use crate::{
    features::Encoder,
    heads::Head,
    manifest::{Architecture, Manifest},
};

/// A manifest: what is parsed is sound, and everything can be made of it.
pub(crate) fn manifest(rows: &dyn RowReader, bytes: &[u8]) {
    match Manifest::parse(bytes) {
        Ok(manifest) => {
            assert_eq!(manifest.check(), [""; 0]);
            let _head = Head::new(&manifest);
            let _made = Encoder::new(&manifest, rows.fields(manifest.task)).map(|encoder| encoder.empty_rows(1));
        }
        Err(error) => assert!(!error.problems.is_empty(), "it is refused for nothing"),
    }
}

/// Golden rows.
pub(crate) fn golden(rows: &dyn RowReader, version: &Version, bytes: &[u8]) {
    let read = golden::read(&version.manifest, rows, &version.encoder, bytes);
    let lines = String::from_utf8_lossy(bytes).lines().count();
    assert!(read.len() <= lines, "{} rows in {lines} lines", read.len());
    let _rows = read.into_most_alike();
}

/// A TorchScript archive.
pub(crate) fn torchscript(bytes: &[u8]) {
    let is_sound = archive::check(&Place::Bytes(bytes)).is_ok();
    let read = Archive::of(Cursor::new(bytes));
    assert!(is_sound || read.is_err(), "an archive is read that is none");
    let _known = state::writes_to_itself(&Place::Bytes(bytes));
}

/// A source out of an archive.
pub(crate) fn source(bytes: &[u8]) {
    let source = String::from_utf8_lossy(bytes).into_owned();
    if let Some(signature) = Signature::of_source(&source, "Module") {
        let _call = signature.call().map(|_| signature.to_string());
    }
    let _known = state::writes(&[source]);
}

/// NumPy's arrays, in their archive and one by itself.
pub(crate) fn arrays(bytes: &[u8]) {
    let all = import::npz_of(Cursor::new(bytes)).unwrap_or_default();
    for array in all.into_iter().map(|(_, array)| array).chain(import::npy_of(bytes)) {
        let values = array.shape.iter().product::<usize>();
        assert_eq!(values * array.dtype.size(), array.bytes.len());
    }
}

/// Weights of a DeepFM of this architecture.
pub(crate) fn weights(architecture: &Architecture, bytes: &[u8]) {
    if let Ok(weights) = Weights::read(bytes.to_vec(), architecture) {
        for (field, ids) in architecture.cardinalities.iter().enumerate() {
            assert_eq!(weights.table.ids(field), *ids);
            let last = i64::try_from(*ids).unwrap_or(i64::MAX) - 1;
            assert!(weights.table.row(field, last).is_some() && weights.table.row(field, last + 1).is_none());
        }
    }
}
