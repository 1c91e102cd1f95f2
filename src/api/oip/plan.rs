//! What a request's tensors become by a version's manifest, before an element of them is
//! looked at.
//!
//! All that a request says of shapes is checked here, against each other, the manifest
//! and the bytes that came: memory never follows a number that only a client claims.

use bytes::Bytes;

use super::{
    datatype,
    faults::{fault, named, of_input},
    request::{Input, Request},
};
use crate::{
    error::{ScoreError, shown},
    manifest::{Dim, InputSpec, Manifest, OutputSpec},
    rows::Dtype,
};

/// Most bytes that an element takes here for one that it takes on the wire.
const WIDENED: usize = 8;

/// The columns of a request's rows, in the manifest's order.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) rows: usize,
    pub(super) columns: Vec<Planned>,
}

/// One column.
#[derive(Debug)]
pub(super) struct Planned {
    /// Values of a row.
    pub(super) width: usize,
    /// The sizes that the manifest leaves open.
    pub(super) varying: Vec<usize>,
    pub(super) contents: Contents,
}

/// The elements of a tensor, as they came.
#[derive(Debug)]
pub(super) enum Contents {
    /// As they are to lie in memory, as many as the shape says.
    Raw(Bytes),
    /// An `InferTensorContents`.
    Typed(Bytes),
}

/// What a plan is made by.
pub(super) struct Rules<'m> {
    pub(super) manifest: &'m Manifest,
    /// Most rows in a request.
    pub(super) max_rows: usize,
}

impl Plan {
    /// The plan of a request, which was read from this message.
    ///
    /// # Errors
    ///
    /// [`ScoreError::BadField`] names the first tensor at fault.
    pub(super) fn of(message: &Bytes, request: &Request<'_>, rules: &Rules<'_>) -> Result<Self, ScoreError> {
        let places = places(request, &rules.manifest.inputs)?;
        check_contents(request)?;
        let mut plan = Self { rows: 0, columns: Vec::with_capacity(places.len()) };
        for (spec, place) in rules.manifest.inputs.iter().zip(places) {
            let Some(input) = request.inputs.get(place) else { continue };
            let sizes = sizes(request, input, spec, rules)?;
            plan.check_rows(input, &sizes, rules)?;
            let (width, varying) = (sizes.width, varying(spec, &sizes.row));
            let contents = match request.raw.get(place) {
                Some(raw) => Contents::Raw(message.slice_ref(exact(raw, request, input, spec.dtype, &sizes)?)),
                None => Contents::Typed(message.slice_ref(input.contents)),
            };
            plan.columns.push(Planned { width, varying, contents });
        }
        Ok(plan)
    }

    /// Bytes that the rows take beside the message.
    pub(super) fn bytes(&self) -> usize {
        let of = |planned: &Planned| match &planned.contents {
            Contents::Raw(_) => 0,
            Contents::Typed(bytes) => WIDENED * bytes.len(),
        };
        self.columns.iter().map(of).sum()
    }

    fn check_rows(&mut self, input: &Input<'_>, sizes: &Sizes, rules: &Rules<'_>) -> Result<(), ScoreError> {
        if self.columns.is_empty() {
            self.rows = sizes.rows;
        }
        let first = rules.manifest.inputs.first().map(|spec| spec.name.as_str()).unwrap_or_default();
        if sizes.rows > rules.max_rows {
            let description = format!("has {} rows, wanted 1 to {}", sizes.rows, rules.max_rows);
            return Err(of_input(input.name, ".shape", description));
        }
        if sizes.rows != self.rows {
            let description = format!("has {} rows, wanted {} as {first:?} has", sizes.rows, self.rows);
            return Err(of_input(input.name, ".shape", description));
        }
        Ok(())
    }
}

/// The input of the request for each of the manifest's.
fn places(request: &Request<'_>, specs: &[InputSpec]) -> Result<Vec<usize>, ScoreError> {
    const NONE: usize = usize::MAX;
    let mut places = vec![NONE; specs.len()];
    for (index, input) in request.inputs.iter().enumerate() {
        let position = specs.iter().position(|spec| spec.name == input.name);
        match position.and_then(|position| places.get_mut(position)) {
            Some(place) if *place == NONE => *place = index,
            Some(_) => return Err(of_input(input.name, "", "is there twice, wanted it once")),
            None => {
                let wanted = named(specs.iter().map(|spec| spec.name.as_str()));
                return Err(of_input(input.name, "", format!("is no input of the model, wanted {wanted}")));
            }
        }
    }
    match specs.iter().zip(&places).find(|(_, place)| **place == NONE) {
        Some((spec, _)) => {
            let found = named(request.inputs.iter().map(|input| input.name));
            let found = if found.is_empty() { "no input".to_owned() } else { found };
            Err(of_input(&spec.name, "", format!("is missing, found {found}")))
        }
        None => Ok(places),
    }
}

/// Either all inputs have raw contents or each its own.
fn check_contents(request: &Request<'_>) -> Result<(), ScoreError> {
    let (inputs, raw) = (&request.inputs, &request.raw);
    if raw.is_empty() {
        return match inputs.iter().find(|input| input.contents.is_empty()) {
            Some(input) => Err(of_input(input.name, ".contents", "is empty, wanted contents or raw_input_contents")),
            None => Ok(()),
        };
    }
    if let Some(input) = inputs.iter().find(|input| !input.contents.is_empty()) {
        return Err(of_input(input.name, ".contents", "is there beside raw_input_contents, wanted one of them"));
    }
    if raw.len() != inputs.len() {
        return Err(fault(
            "raw_input_contents",
            format!("has {}, wanted {}: one for each input", raw.len(), inputs.len()),
        ));
    }
    Ok(())
}

/// What a shape says, once it was checked.
struct Sizes {
    rows: usize,
    /// The sizes of a row.
    row: Vec<usize>,
    /// Their product.
    width: usize,
    /// Bytes of all rows.
    bytes: usize,
}

/// The sizes of an input of the manifest's datatype and shape.
fn sizes(request: &Request<'_>, input: &Input<'_>, spec: &InputSpec, rules: &Rules<'_>) -> Result<Sizes, ScoreError> {
    if input.datatype != datatype::name(spec.dtype) {
        let description = format!("is {:?}, wanted {:?}", shown(input.datatype), datatype::name(spec.dtype));
        return Err(of_input(input.name, ".datatype", description));
    }
    let (shape, of_rows) = (request.shape(input), rules.manifest.has_rows());
    let wrong = |what: &str| {
        of_input(input.name, ".shape", format!("is {shape:?}{what}, wanted {:?}", dimensions(&spec.shape, of_rows)))
    };
    if shape.len() != spec.shape.len() + usize::from(of_rows) {
        return Err(wrong(""));
    }
    if shape.iter().any(|size| *size < 1) {
        return Err(wrong(" with a size below 1"));
    }
    let sizes = shape.iter().map(|size| usize::try_from(*size).ok()).collect::<Option<Vec<usize>>>();
    let checked =
        sizes.and_then(|sizes| Sizes::of(sizes, of_rows, spec.dtype)).ok_or_else(|| wrong(", more than there is"))?;
    let fixed = |(dim, size): (&Dim, &usize)| dim.size().is_none_or(|wanted| wanted == *size);
    if spec.shape.iter().zip(&checked.row).all(fixed) { Ok(checked) } else { Err(wrong("")) }
}

impl Sizes {
    /// `None` where they can't be counted.
    fn of(mut sizes: Vec<usize>, of_rows: bool, dtype: Dtype) -> Option<Self> {
        let row = sizes.split_off(usize::from(of_rows).min(sizes.len()));
        let rows = sizes.first().copied().unwrap_or(1);
        let width = row.iter().try_fold(1_usize, |width, size| width.checked_mul(*size))?;
        let bytes = width.checked_mul(rows)?.checked_mul(dtype.size())?;
        Some(Self { rows, row, width, bytes })
    }
}

/// As many raw bytes as the shape says.
fn exact<'r>(
    raw: &'r [u8],
    request: &Request<'_>,
    input: &Input<'_>,
    dtype: Dtype,
    sizes: &Sizes,
) -> Result<&'r [u8], ScoreError> {
    if raw.len() == sizes.bytes {
        return Ok(raw);
    }
    let (found, wanted, datatype, shape) = (raw.len(), sizes.bytes, datatype::name(dtype), request.shape(input));
    let description = format!("has {found} bytes in raw_input_contents, wanted {wanted} for {datatype} {shape:?}");
    Err(of_input(input.name, "", description))
}

fn varying(spec: &InputSpec, row: &[usize]) -> Vec<usize> {
    spec.shape.iter().zip(row).filter(|(dim, _)| dim.size().is_none()).map(|(_, size)| *size).collect()
}

/// A shape as clients read it: -1 where they choose.
pub(super) fn dimensions(shape: &[Dim], of_rows: bool) -> Vec<i64> {
    let size = |dim: &Dim| dim.size().map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX));
    of_rows.then_some(-1).into_iter().chain(shape.iter().map(size)).collect()
}

/// The places of the outputs that are wanted among the manifest's.
///
/// # Errors
///
/// [`ScoreError::BadField`] names the first one that is unknown or there twice.
pub(super) fn outputs(names: &[&str], specs: &[OutputSpec]) -> Result<Vec<usize>, ScoreError> {
    if names.is_empty() {
        return Ok((0..specs.len()).collect());
    }
    let mut places = Vec::with_capacity(names.len().min(specs.len()));
    for name in names {
        match specs.iter().position(|spec| spec.name == *name) {
            Some(place) if !places.contains(&place) => places.push(place),
            Some(_) => return Err(super::faults::of_output(name, "", "is wanted twice, wanted once")),
            None => {
                let known = named(specs.iter().map(|spec| spec.name.as_str()));
                return Err(super::faults::of_output(name, "", format!("is no output of the model, wanted {known}")));
            }
        }
    }
    Ok(places)
}
