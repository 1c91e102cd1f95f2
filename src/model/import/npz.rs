//! NumPy's `.npz` files: arrays by their names.
//!
//! Own code, since tch's reader panics on archives that are not sound and knows fewer
//! types. Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::{
    fs::File,
    io::{BufReader, Read, Seek},
    path::Path,
};

use super::{
    super::archive::{ARRAYS, Entries},
    Array,
};
use crate::rows::Dtype;

const MAGIC: &[u8] = b"\x93NUMPY";

/// The arrays of a file, in its order.
///
/// # Errors
///
/// What is wrong with the file, for people.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Array)>, String> {
    let file = File::open(path).map_err(|error| format!("can't be read: {error}"))?;
    arrays(BufReader::new(file))
}

/// The same, of a file that is open.
pub(super) fn arrays(file: impl Read + Seek) -> Result<Vec<(String, Array)>, String> {
    let mut entries =
        Entries::new(file, &ARRAYS).map_err(|fault| format!("is no .npz file, as np.savez writes it: {fault}"))?;
    let mut arrays = Vec::new();
    for (entry, _) in entries.names() {
        let name = entry.strip_suffix(".npy").unwrap_or(&entry);
        let array = array(&entries.read(&entry)?).map_err(|reason| format!("array {name}: {reason}"))?;
        arrays.push((name.to_owned(), array));
    }
    if arrays.is_empty() {
        return Err("holds no array".into());
    }
    Ok(arrays)
}

pub(super) fn array(bytes: &[u8]) -> Result<Array, String> {
    let (header, data) = header(bytes).ok_or("is no .npy array of version 1 or 2")?;
    let dtype = dtype(quoted(header, "descr").ok_or("its header has no descr")?)?;
    if value(header, "fortran_order").is_some_and(|order| order.starts_with("True")) {
        return Err("lies in Fortran order, wanted C order: np.ascontiguousarray(...)".into());
    }
    let shape = shape(header).ok_or("its header has no shape")?;
    let size = shape.iter().try_fold(dtype.size(), |size, dim| size.checked_mul(*dim));
    if size != Some(data.len()) {
        return Err(format!("has {} bytes for the shape {shape:?} of {dtype}", data.len()));
    }
    Ok(Array { dtype, shape, bytes: data.to_vec().into() })
}

/// The dictionary that says what the array is, and the elements behind it.
fn header(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, rest) = match rest {
        [1, _, low, high, rest @ ..] => (usize::from(u16::from_le_bytes([*low, *high])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(length)?;
    Some((str::from_utf8(header).ok()?, data))
}

/// What is behind a key of the dictionary.
fn value<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let (_, rest) = header.split_once(&format!("'{key}':"))?;
    Some(rest.trim_start())
}

fn quoted<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    value(header, key)?.strip_prefix('\'')?.split('\'').next()
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let (sizes, _) = value(header, "shape")?.strip_prefix('(')?.split_once(')')?;
    sizes.split(',').map(str::trim).filter(|size| !size.is_empty()).map(|size| size.parse().ok()).collect()
}

fn dtype(descr: &str) -> Result<Dtype, String> {
    if descr.starts_with('>') {
        return Err(format!("is big-endian ({descr}), wanted little-endian"));
    }
    Ok(match descr.trim_start_matches(['<', '|', '=']) {
        "b1" | "?" => Dtype::Bool,
        "u1" => Dtype::Uint8,
        "i1" => Dtype::Int8,
        "i2" => Dtype::Int16,
        "i4" => Dtype::Int32,
        "i8" => Dtype::Int64,
        "f2" => Dtype::Float16,
        // Which NumPy has no type for; so it writes that of `ml_dtypes`.
        "V2" => Dtype::Bfloat16,
        "f4" => Dtype::Float32,
        "f8" => Dtype::Float64,
        _ => {
            let known: Vec<_> = Dtype::ALL.iter().map(|dtype| dtype.as_str()).collect();
            return Err(format!("is of the NumPy type {descr}, wanted one of {}", known.join(", ")));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes()].concat();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn an_array_is_read_with_its_type_and_shape() {
        let read = |header, data: &[u8]| array(&npy(header, data));
        let found = read("{'descr': '<i2', 'fortran_order': False, 'shape': (2, 1), }", b"abcd").unwrap();
        assert_eq!(
            (found.dtype, found.shape.as_slice(), found.bytes.as_ref()),
            (Dtype::Int16, [2, 1].as_slice(), b"abcd".as_slice())
        );
        assert_eq!(read("{'descr': '|b1', 'fortran_order': False, 'shape': (), }", &[1]).unwrap().shape, [0_usize; 0]);
        assert_eq!(
            read("{'descr': '<V2', 'fortran_order': False, 'shape': (1,), }", b"ab").unwrap().dtype,
            Dtype::Bfloat16
        );
    }

    #[test]
    fn what_can_not_be_read_says_why() {
        let said = |header, data: &[u8]| array(&npy(header, data)).unwrap_err();
        assert!(
            said("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", b"abcd")
                .contains("has 4 bytes for the shape [2]")
        );
        assert!(said("{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", b"abcd").contains("Fortran"));
        assert!(said("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", b"abcd").contains("big-endian"));
        assert!(said("{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }", b"abcd").contains("NumPy type <U3"));
        assert!(said("{'descr': '<f8', 'shape': (4611686018427387904, 8)}", b"").contains("has 0 bytes"));
        assert!(array(b"\x93NUMPY\x01\x00\xff\xff").is_err());
    }
}
