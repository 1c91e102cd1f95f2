//! The engine beside what the eager module computed, and files that are bent.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::*;
use crate::{
    api::JsonForms,
    model::{Means, Version, VersionFolder, examine, torch::TorchEngines},
    trust::Trust,
};

/// Between batches of different sizes: sums of some twenty float32 in another order.
const TOLERANCE: f32 = 1e-6;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/deepfm/merchant_gmv/1")
}

fn manifest() -> Manifest {
    Manifest::parse(&fs::read(folder().join("manifest.json")).unwrap()).unwrap()
}

fn file() -> Vec<u8> {
    fs::read(folder().join("model.safetensors")).unwrap()
}

/// The engine, and the encoded golden rows.
fn version() -> Version {
    let engines = TorchEngines { max_rows: NonZeroUsize::new(1024).unwrap() };
    let folder = VersionFolder::at(&folder()).unwrap();
    let (rows, trust) = (JsonForms::new().unwrap(), Trust::default());
    let means = Means { rows: &rows, engines: &engines, slowest_row: Duration::MAX, trust: &trust };
    let examination = examine(&folder, &means);
    assert_eq!(examination.problems, [""; 0]);
    examination.version.unwrap()
}

/// So many rows: the golden ones over and over.
fn rows(version: &Version, count: usize) -> Rows {
    let mut rows = version.golden.slice(0..count);
    while rows.len() < count {
        rows.append(&version.golden.slice(0..count - rows.len())).unwrap();
    }
    rows
}

fn outputs(version: &Version, parts: &[&Rows]) -> Vec<f32> {
    match &version.engine.forward(parts).unwrap().columns()[0].values {
        Values::F32(values) => values.clone(),
        other => unreachable!("{other:?}"),
    }
}

fn assert_near(found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    let near = |(found, wanted): (&f32, &f32)| (found - wanted).abs() <= TOLERANCE * (1.0 + wanted.abs());
    let far = found.iter().zip(wanted).position(|pair| !near(pair));
    assert_eq!(far, None, "{:?}", far.map(|index| (found[index], wanted[index])));
}

#[test]
fn golden_rows_get_what_the_eager_module_computed() {
    // The fixture's tolerance is 1e-6, and the examination compares.
    let version = version();
    assert_eq!(version.manifest.tolerance.absolute, 1e-6);
    assert_eq!(version.manifest.tolerance.relative, 1e-6);
}

#[test]
fn a_row_alone_gets_what_it_gets_in_company() {
    let version = version();
    let one_by_one: Vec<f32> =
        (0..version.golden.len()).flat_map(|row| outputs(&version, &[&version.golden.slice(row..row + 1)])).collect();
    for count in [2, 3, 12, 47, 48, 255, 256, 257, 700] {
        let rows = rows(&version, count);
        let wanted: Vec<f32> = one_by_one.iter().copied().cycle().take(3 * count).collect();
        assert_near(&outputs(&version, &[&rows]), &wanted);
        let cut = count / 3;
        assert_near(&outputs(&version, &[&rows.slice(0..cut), &rows.slice(cut..count)]), &wanted);
    }
}

#[test]
fn rows_that_came_as_bytes_get_the_same() {
    let version = version();
    // One byte before: nothing is aligned.
    let raw = |column: &Column| {
        let bytes = [&[7], column.values.as_bytes()].concat();
        let bytes = bytes::Bytes::from(bytes).slice(1..);
        Column::new(column.width, Values::Raw { dtype: column.values.dtype(), bytes })
    };
    let columns = version.golden.columns().iter().map(raw).collect();
    let raw = Rows::new(version.golden.len(), columns).unwrap();
    assert_eq!(outputs(&version, &[&raw]), outputs(&version, &[&version.golden]));
}

/// The golden rows with another value in the first row.
fn bent(version: &Version, column: usize, place: usize, value: f64) -> Rows {
    let mut columns = version.golden.columns().to_vec();
    match &mut columns[column].values {
        Values::I64(values) => values[place] = value as i64,
        Values::F32(values) => values[place] = value as f32,
        Values::Raw { .. } => unreachable!("features give typed values"),
    }
    Rows::new(version.golden.len(), columns).unwrap()
}

#[test]
fn an_id_that_its_field_has_not_is_named() {
    let version = version();
    for (field, id, most) in [(0, 4, 3), (0, -1, 3), (1, 7, 6), (2, i64::MAX, 10), (2, i64::MIN, 10)] {
        let wrong = bent(&version, 0, field, id as f64);
        let error = version.engine.forward(&[&version.golden, &wrong]).unwrap_err().to_string();
        assert_eq!(error, format!("it raised: ids[{field}] is {id}, wanted an id of 0 to {most}"));
        // Nothing of it is left for the next pass.
        assert_eq!(outputs(&version, &[&version.golden]).len(), 3 * version.golden.len());
    }
}

#[test]
fn what_is_no_number_stays_none_in_its_row_alone() {
    let version = version();
    let wanted = outputs(&version, &[&version.golden]);
    let all = outputs(&version, &[&bent(&version, 1, 0, f64::NAN)]);
    assert!(all[..3].iter().all(|value| value.is_nan()), "{all:?}");
    assert_near(&all[3..], &wanted[3..]);
    let wrong = bent(&version, 1, 0, f64::NAN);
    let many: Vec<&Rows> = [&wrong].into_iter().chain([&version.golden; 10]).collect();
    let all = outputs(&version, &many);
    assert!(all[..3].iter().all(|value| value.is_nan()), "{all:?}");
    assert_near(&all[3..wanted.len()], &wanted[3..]);
    let alone = outputs(&version, &[&bent(&version, 1, 0, f64::NAN).slice(0..1)]);
    assert!(alone.iter().all(|value| value.is_nan()), "{alone:?}");
}

#[test]
fn rows_of_other_widths_are_refused() {
    let version = version();
    let ids = Column::new(2, Values::I64(vec![1, 2]));
    let dense = Column::new(2, Values::F32(vec![1.0, 2.0]));
    let rows = Rows::new(1, vec![ids, dense]).unwrap();
    let error = version.engine.forward(&[&rows]).unwrap_err().to_string();
    assert_eq!(error, "its inputs don't fit together: column 0 holds 2 values, wanted 1 rows of 3");
}

#[test]
fn passes_at_the_same_time_have_places_of_their_own() {
    let version = version();
    let wanted = outputs(&version, &[&version.golden]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| assert_eq!(outputs(&version, &[&version.golden]), wanted)));
        }
    });
}

/// A file's tensors: type, shape and bytes by name.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn tensors() -> Tensors {
    let file = file();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let owned = |(name, view): (&str, TensorView<'_>)| {
        (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
    };
    tensors.iter().map(owned).collect()
}

/// What is said of a file that was bent.
fn said(bend: impl FnOnce(&mut Tensors)) -> String {
    let mut tensors = tensors();
    bend(&mut tensors);
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    said_of(safetensors::serialize(views, None).unwrap())
}

fn said_of(file: Vec<u8>) -> String {
    DeepFm::new(file, &manifest(), NonZeroUsize::MIN).err().unwrap()
}

fn zeros(shape: &[usize]) -> (Dtype, Vec<usize>, Vec<u8>) {
    (Dtype::F32, shape.to_vec(), vec![0; 4 * shape.iter().product::<usize>()])
}

#[test]
fn a_tensor_that_the_architecture_has_not_is_named() {
    let missing = said(|tensors| drop(tensors.insert("hiden".into(), tensors["hidden.1.bias"].clone())));
    assert_eq!(missing, "tensor \"hiden\": the architecture has none of this name");
    let renamed = said(|tensors| {
        let bias = tensors.remove("hidden.1.bias").unwrap();
        tensors.insert("hidden.2.bias".into(), bias);
    });
    assert_eq!(
        renamed,
        "tensor hidden.1.bias: missing, wanted F32 [6]; \
         tensor \"hidden.2.bias\": the architecture has none of this name"
    );
}

#[test]
fn a_tensor_of_another_shape_or_type_is_named() {
    let shape = said(|tensors| drop(tensors.insert("table".into(), zeros(&[23, 8]))));
    assert_eq!(shape, "tensor table: found F32 [23, 8], wanted F32 [22, 8]");
    let turned = said(|tensors| drop(tensors.insert("last.weight".into(), zeros(&[3, 6]))));
    assert_eq!(turned, "tensor last.weight: found F32 [3, 6], wanted F32 [6, 3]");
    let dtype = said(|tensors| tensors.get_mut("bias").unwrap().0 = Dtype::I32);
    assert_eq!(dtype, "tensor bias: found I32 [3], wanted F32 [3]");
    let shorter = said(|tensors| drop(tensors.insert("table".into(), zeros(&[1, 8]))));
    assert_eq!(shorter, "tensor table: found F32 [1, 8], wanted F32 [22, 8]");
}

#[test]
fn a_weight_that_is_no_number_is_named() {
    for (name, value) in [("table", f32::NAN), ("hidden.0.weight", f32::INFINITY), ("last.bias", f32::NEG_INFINITY)] {
        let said = said(|tensors| {
            let bytes = &mut tensors.get_mut(name).unwrap().2;
            bytes[8..12].copy_from_slice(&value.to_le_bytes());
        });
        assert_eq!(said, format!("tensor {name}: value 2 is NaN or infinite"));
    }
}

#[test]
fn what_is_no_safetensors_is_refused_by_its_first_bytes() {
    let with_header = |length: u64| {
        let mut file = file();
        file[..8].copy_from_slice(&length.to_le_bytes());
        said_of(file)
    };
    assert_eq!(with_header(1 << 40), "its header has 1099511627776 bytes, wanted at most 65536");
    assert_eq!(with_header(u64::MAX), "its header has 18446744073709551615 bytes, wanted at most 65536");
    assert!(with_header(0).starts_with("is no safetensors: "), "{}", with_header(0));
    assert!(with_header(60_000).starts_with("is no safetensors: "), "{}", with_header(60_000));
    assert!(said_of(b"PK\x03\x04".repeat(600)).starts_with("its header has "));
    assert!(said_of(Vec::new()).starts_with("has 0 bytes, "));
}

#[test]
fn no_cut_and_no_changed_byte_of_a_header_is_a_panic() {
    let whole = file();
    for cut in (0..whole.len()).step_by(7) {
        assert!(DeepFm::new(whole[..cut].to_vec(), &manifest(), NonZeroUsize::MIN).is_err(), "cut at {cut}");
    }
    let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    for place in (0..header).step_by(3) {
        for byte in [b'9', 0xff] {
            let mut file = whole.clone();
            file[place] = byte;
            // It may still be what it was.
            let _ = DeepFm::new(file, &manifest(), NonZeroUsize::MIN);
        }
    }
}

#[test]
fn an_architecture_of_more_than_there_is_memory_is_refused_before_anything_is_made_of_it() {
    let mut manifest = manifest();
    let architecture = manifest.architecture.as_mut().unwrap();
    architecture.cardinalities = vec![usize::MAX, usize::MAX];
    let said = DeepFm::new(file(), &manifest, NonZeroUsize::MIN).err().unwrap();
    assert!(said.contains("for the tensors of its architecture"), "{said}");
}
