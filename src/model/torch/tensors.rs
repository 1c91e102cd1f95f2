//! From the columns of rows to tensors, and back.

use std::borrow::Cow;

use bytes::Bytes;
use tch::{Kind, TchError, Tensor};

use super::raised;
use crate::{
    manifest::{Dim, InputSpec, OutputSpec},
    rows::{Column, Dtype, ForwardError, Ragged, Rows, Values},
};

/// How tensors hold rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    /// Whether the first dimension is that of rows. Without one a row is a whole request.
    pub(super) of_rows: bool,
    /// Whether outputs stay as they lie in memory, for who sends them on.
    pub(super) raw: bool,
}

/// A row is filled up to this many times the values that its open sizes ask for, and some
/// more. That bounds what the first rows of a batch become, and what the first would make of
/// each other: so all values are at most 4 times what came, and 96 more for each row.
const FILLING: (f64, f64) = (2.0, 32.0);

/// Whether `more` rows may run with the `first` ones: of the same sizes, or of sizes near
/// enough to fill the shorter ones up.
pub(super) fn fit(specs: &[InputSpec], first: &Rows, more: &Rows) -> bool {
    let fits = |(spec, (one, other)): (&InputSpec, (&Column, &Column))| {
        one.fits(other) || spec.padding.is_some() && near(&one.varying, &other.varying)
    };
    first.columns().len() == more.columns().len()
        && specs.iter().zip(first.columns().iter().zip(more.columns())).all(fits)
}

/// Whether rows of these open sizes may share a batch. Each dimension has its share of what
/// the first rows may grow by: no others, which know nothing of these, make more of it.
fn near(first: &[usize], more: &[usize]) -> bool {
    let filled = |values: f64| FILLING.0 * values + FILLING.1;
    let product = |sizes: &[usize], least: usize| sizes.iter().map(|size| (*size).max(least) as f64).product::<f64>();
    let share = (filled(product(first, 0)) / product(first, 1)).powf(1.0 / first.len().max(1) as f64);
    // Powers are not exact.
    let within = |(first, more): (&usize, &usize)| *more as f64 <= (*first).max(1) as f64 * share + 1e-6;
    let larger: Vec<usize> = first.iter().zip(more).map(|(first, more)| *first.max(more)).collect();
    first.len() == more.len() && first.iter().zip(more).all(within) && product(&larger, 1) <= filled(product(more, 0))
}

/// The tensors of all rows of `parts`, one for each input.
pub(super) fn inputs(specs: &[InputSpec], parts: &[&Rows], batch: Batch) -> Result<Vec<Tensor>, ForwardError> {
    let input = |(index, spec): (usize, &InputSpec)| {
        let columns: Vec<(&Column, usize)> =
            parts.iter().filter_map(|part| Some((part.columns().get(index)?, part.len()))).collect();
        joined(spec, &columns, batch).map_err(|found| match found {
            Unfit::Torch(error) => raised(error),
            Unfit::Bytes { found, rows, width } => {
                ForwardError::Inputs(Ragged { column: index, found: found / spec.dtype.size(), rows, width })
            }
        })
    };
    specs.iter().enumerate().map(input).collect()
}

/// Why columns don't become a tensor.
enum Unfit {
    Torch(TchError),
    /// Other bytes than the shape says.
    Bytes {
        found: usize,
        rows: usize,
        width: usize,
    },
}

/// One piece of memory for all rows. A single request's is what it sent.
fn joined(spec: &InputSpec, columns: &[(&Column, usize)], batch: Batch) -> Result<Tensor, Unfit> {
    // libtorch would read beyond the end, and a filling would hide what is missing.
    columns.iter().try_for_each(|(column, rows)| whole(spec, column, *rows))?;
    let rows: usize = columns.iter().map(|(_, rows)| rows).sum();
    let sizes = sizes(spec, columns);
    let width = sizes.iter().product::<usize>();
    let bytes: Cow<'_, [u8]> = match columns {
        [(only, _)] => Cow::Borrowed(only.values.as_bytes()),
        several if several.iter().all(|(column, _)| column.width == width) => {
            Cow::Owned(several.iter().map(|(column, _)| column.values.as_bytes()).collect::<Vec<_>>().concat())
        }
        several => Cow::Owned(filled_up(spec, several, &sizes)),
    };
    if bytes.len() != rows * width * spec.dtype.size() {
        return Err(Unfit::Bytes { found: bytes.len(), rows, width });
    }
    let dims = dimensions(if batch.of_rows { Some(rows) } else { None }, &sizes);
    Tensor::f_from_data_size(&bytes, &dims, kind(spec.dtype)).map_err(Unfit::Torch)
}

/// Whether a column holds as many bytes as its own shape says.
fn whole(spec: &InputSpec, column: &Column, rows: usize) -> Result<(), Unfit> {
    let own = own_sizes(spec, column).try_fold(1_usize, usize::checked_mul);
    let bytes = own.and_then(|width| width.checked_mul(rows)?.checked_mul(spec.dtype.size()));
    let found = column.values.as_bytes().len();
    if own == Some(column.width) && bytes == Some(found) {
        return Ok(());
    }
    Err(Unfit::Bytes { found, rows, width: own.unwrap_or(usize::MAX) })
}

/// The shape per row, open sizes as large as the largest of them.
fn sizes(spec: &InputSpec, columns: &[(&Column, usize)]) -> Vec<usize> {
    let mut open = 0..;
    let largest = |index: usize| columns.iter().filter_map(|(column, _)| column.varying.get(index)).max();
    let size = |dim: &Dim| dim.size().or_else(|| open.next().and_then(largest).copied()).unwrap_or_default();
    spec.shape.iter().map(size).collect()
}

/// All rows in rows of `sizes`, what is behind the shorter ones' own filled up.
fn filled_up(spec: &InputSpec, columns: &[(&Column, usize)], sizes: &[usize]) -> Vec<u8> {
    let rows: usize = columns.iter().map(|(_, rows)| rows).sum();
    let element = spec.dtype.element(spec.padding.unwrap_or_default());
    let width = sizes.iter().product::<usize>() * element.len();
    let mut all = element.repeat(rows * sizes.iter().product::<usize>());
    let places = all.chunks_mut(width.max(1));
    let each = columns.iter().flat_map(|(column, rows)| {
        let own: Vec<usize> = own_sizes(spec, column).collect();
        let row = column.width * spec.dtype.size();
        let bytes = column.values.as_bytes();
        (0..*rows).map(move |index| (own.clone(), bytes.get(index * row..(index + 1) * row).unwrap_or_default()))
    });
    for (place, (own, row)) in places.zip(each) {
        copy(place, row, sizes, &own, element.len());
    }
    all
}

/// The shape of one of the column's own rows.
fn own_sizes(spec: &InputSpec, column: &Column) -> impl Iterator<Item = usize> {
    let mut own = column.varying.iter().copied();
    spec.shape.iter().map(move |dim| dim.size().or_else(|| own.next()).unwrap_or_default())
}

/// Copies a block of `own` sizes to the front corner of one of larger `sizes`.
fn copy(place: &mut [u8], block: &[u8], sizes: &[usize], own: &[usize], element: usize) {
    match (sizes, own) {
        ([_, inner_sizes @ ..], [count, inner @ ..]) if inner_sizes != inner => {
            let there = inner_sizes.iter().product::<usize>() * element;
            let here = inner.iter().product::<usize>() * element;
            for (place, block) in place.chunks_mut(there.max(1)).zip(block.chunks(here.max(1))).take(*count) {
                copy(place, block, inner_sizes, inner, element);
            }
        }
        _ => {
            if let Some(place) = place.get_mut(..block.len()) {
                place.copy_from_slice(block);
            }
        }
    }
}

/// Most bytes of all outputs of one pass, whose sizes may follow what a request says: what
/// is larger is no reply that anybody waits for.
const MOST_OUTPUT: usize = 1 << 30;

/// Whether the outputs may be copied. What lies in memory once may be claimed many times.
fn check_size(tensors: &[Tensor]) -> Result<(), ForwardError> {
    let mut all: usize = 0;
    for tensor in tensors {
        let element = tensor.f_kind().map_err(raised)?.elt_size_in_bytes();
        let sizes = tensor.size().into_iter().map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        all = all.saturating_add(sizes.fold(element, usize::saturating_mul));
    }
    if all > MOST_OUTPUT {
        return Err(ForwardError::Raised(format!("its outputs have {all} bytes, wanted at most {MOST_OUTPUT}")));
    }
    Ok(())
}

/// The columns of so many rows out of the tensors of a pass.
pub(super) fn outputs(
    specs: &[OutputSpec],
    tensors: &[Tensor],
    rows: usize,
    batch: Batch,
) -> Result<Rows, ForwardError> {
    check_size(tensors)?;
    let columns = specs.iter().zip(tensors).map(|(spec, tensor)| column(spec, tensor, rows, batch));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    Rows::new(rows, columns).map_err(|ragged| ForwardError::Raised(ragged.to_string()))
}

fn column(spec: &OutputSpec, output: &Tensor, rows: usize, batch: Batch) -> Result<Column, ForwardError> {
    let (found_kind, found) = (output.f_kind().map_err(raised)?, output.size());
    let mismatch = || ForwardError::Mismatch {
        output: spec.name.clone(),
        found: format!("{found_kind:?} {found:?}"),
        wanted: format!("{:?} {}", kind(spec.dtype), wanted(spec, rows, batch)),
    };
    let own = match (batch.of_rows, found.as_slice()) {
        (true, [first, own @ ..]) if usize::try_from(*first) == Ok(rows) => own,
        (false, own) => own,
        (true, _) => return Err(mismatch()),
    };
    let own: Vec<usize> = own.iter().filter_map(|size| usize::try_from(*size).ok()).collect();
    let fits = |(dim, size): (&Dim, &usize)| dim.size().is_none_or(|wanted| wanted == *size);
    if found_kind != kind(spec.dtype) || own.len() != spec.shape.len() || !spec.shape.iter().zip(&own).all(fits) {
        return Err(mismatch());
    }
    let open = spec.shape.iter().zip(&own).filter(|(dim, _)| dim.size().is_none());
    let varying = open.map(|(_, size)| *size).collect();
    let width = own.iter().product();
    Ok(Column { width, varying, values: values(output, rows * width, spec.dtype, batch)? })
}

/// The shape that was wanted, for messages.
fn wanted(spec: &OutputSpec, rows: usize, batch: Batch) -> String {
    let rows = batch.of_rows.then(|| Dim::from(rows));
    format!("{:?}", rows.into_iter().chain(spec.shape.iter().copied()).collect::<Vec<_>>())
}

fn values(output: &Tensor, count: usize, dtype: Dtype, batch: Batch) -> Result<Values, ForwardError> {
    let output = output.f_contiguous().map_err(raised)?;
    match dtype {
        Dtype::Float32 if !batch.raw => Ok(Values::F32(copied(&output, count)?)),
        Dtype::Int64 if !batch.raw => Ok(Values::I64(copied(&output, count)?)),
        _ => {
            let mut bytes = zeroed(count.saturating_mul(dtype.size()))?;
            output.f_copy_data_u8(&mut bytes, count).map_err(raised)?;
            Ok(Values::Raw { dtype, bytes: Bytes::from(bytes) })
        }
    }
}

fn copied<T: tch::kind::Element + Default + Clone>(output: &Tensor, values: usize) -> Result<Vec<T>, ForwardError> {
    let mut copy = zeroed(values)?;
    output.f_copy_data(&mut copy, values).map_err(raised)?;
    Ok(copy)
}

/// Memory for so many values, or that the system has none: else it would end the process,
/// and all other requests with it.
pub(super) fn zeroed<T: Default + Clone>(count: usize) -> Result<Vec<T>, ForwardError> {
    let mut values = Vec::new();
    let refused = |error| ForwardError::Raised(format!("no memory for an output of {count} values: {error}"));
    values.try_reserve_exact(count).map_err(refused)?;
    values.resize(count, T::default());
    Ok(values)
}

/// What a request claims is checked with the request, and far below 2^63.
pub(super) fn dimensions(rows: Option<usize>, sizes: &[usize]) -> Vec<i64> {
    rows.iter().chain(sizes).map(|size| i64::try_from(*size).unwrap_or(i64::MAX)).collect()
}

pub(super) fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::Bool => Kind::Bool,
        Dtype::Uint8 => Kind::Uint8,
        Dtype::Int8 => Kind::Int8,
        Dtype::Int16 => Kind::Int16,
        Dtype::Int32 => Kind::Int,
        Dtype::Int64 => Kind::Int64,
        Dtype::Float16 => Kind::Half,
        Dtype::Bfloat16 => Kind::BFloat16,
        Dtype::Float32 => Kind::Float,
        Dtype::Float64 => Kind::Double,
    }
}

#[cfg(test)]
mod tests;
