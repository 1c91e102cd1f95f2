//! One row of a tensor, and its form in `golden.jsonl`: nested arrays of numbers,
//! `true` and `false`, with NaN and infinities as strings.
//!
//! It knows no names and no tolerance.

use serde_json::{Number, Value};

use crate::{
    manifest::Dim,
    rows::{Column, Dtype, Values},
};

/// What is no number in JSON.
const NOT_FINITE: [(&str, f64); 3] = [("NaN", f64::NAN), ("Infinity", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY)];

/// One row of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::model) struct Shaped {
    /// Its shape, without open sizes.
    pub(in crate::model) sizes: Vec<usize>,
    /// As they lie in memory, row-major.
    pub(in crate::model) bytes: Vec<u8>,
}

impl Shaped {
    /// Reads nested arrays that fit `shape`; a size that it leaves open is as the arrays
    /// say, all alike.
    ///
    /// # Errors
    ///
    /// What was found and what was wanted, behind the place in the arrays.
    pub(in crate::model) fn of_json(value: &Value, dtype: Dtype, shape: &[Dim]) -> Result<Self, String> {
        let sizes = shape.iter().map(|dim| dim.size()).collect();
        let mut reading = Reading { dtype, shape, sizes, bytes: Vec::new(), place: Vec::new() };
        if let Err(reason) = reading.nested(value) {
            return Err(format!("{}: {reason}", place(&reading.place)));
        }
        // Below an empty array no size is seen.
        let sizes = reading.sizes.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Self { sizes, bytes: reading.bytes })
    }

    /// One row of a column whose rows have this shape.
    pub(in crate::model) fn of_row(column: &Column, row: usize, shape: &[Dim]) -> Self {
        let mut open = column.varying.iter().copied();
        let sizes = shape.iter().map(|dim| dim.size().or_else(|| open.next()).unwrap_or_default()).collect();
        Self { sizes, bytes: column.row_bytes(row).to_vec() }
    }

    /// A column of this row alone.
    pub(in crate::model) fn into_column(self, dtype: Dtype, shape: &[Dim]) -> Column {
        let open = shape.iter().zip(&self.sizes).filter(|(dim, _)| dim.size().is_none());
        let varying = open.map(|(_, size)| *size).collect();
        Column { width: self.sizes.iter().product(), varying, values: Values::Raw { dtype, bytes: self.bytes.into() } }
    }

    /// The nested arrays.
    #[cfg_attr(not(feature = "torch"), allow(dead_code, reason = "only an import records rows"))]
    pub(in crate::model) fn to_json(&self, dtype: Dtype) -> Value {
        fn nested(sizes: &[usize], bytes: &[u8], dtype: Dtype) -> Value {
            let [count, inner @ ..] = sizes else { return element_to_json(dtype, bytes) };
            let step = inner.iter().product::<usize>() * dtype.size();
            let item = |index: usize| bytes.get(index * step..(index + 1) * step).unwrap_or_default();
            Value::Array((0..*count).map(|index| nested(inner, item(index), dtype)).collect())
        }
        nested(&self.sizes, &self.bytes, dtype)
    }

    /// The elements as they lie in memory.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// One element as it lies in memory.
    pub(super) fn element(&self, element: usize, dtype: Dtype) -> &[u8] {
        self.bytes.get(element * dtype.size()..(element + 1) * dtype.size()).unwrap_or_default()
    }

    /// The elements, each as the nearest 64-bit float.
    pub(super) fn numbers(&self, dtype: Dtype) -> Vec<f64> {
        numbers(dtype, &self.bytes)
    }

    /// The place of an element in the nested arrays, e.g. `[2][0]`.
    pub(super) fn place(&self, element: usize) -> String {
        let mut rest = element;
        let mut indices: Vec<usize> = Vec::with_capacity(self.sizes.len());
        for size in self.sizes.iter().rev() {
            indices.push(rest % (*size).max(1));
            rest /= (*size).max(1);
        }
        indices.reverse();
        place(&indices)
    }
}

fn place(indices: &[usize]) -> String {
    indices.iter().map(|index| format!("[{index}]")).collect()
}

/// The state of reading nested arrays.
struct Reading<'s> {
    dtype: Dtype,
    shape: &'s [Dim],
    /// As far as they are known.
    sizes: Vec<Option<usize>>,
    bytes: Vec<u8>,
    /// Where it is.
    place: Vec<usize>,
}

impl Reading<'_> {
    fn nested(&mut self, value: &Value) -> Result<(), String> {
        let depth = self.place.len();
        let Some(size) = self.sizes.get_mut(depth) else {
            self.bytes.extend(element(value, self.dtype)?);
            return Ok(());
        };
        let Value::Array(items) = value else {
            return Err(format!("found {}, wanted nested arrays of the shape {:?}", kind(value), self.shape));
        };
        let wanted = *size.get_or_insert(items.len());
        if items.len() != wanted {
            let who = if self.shape.get(depth) == Some(&Dim::OPEN) { "those beside it" } else { "the manifest says" };
            return Err(format!("has {} values, {who} {wanted}", items.len()));
        }
        for (index, item) in items.iter().enumerate() {
            self.place.push(index);
            self.nested(item)?;
            self.place.pop();
        }
        Ok(())
    }
}

/// An element as it lies in memory.
fn element(value: &Value, dtype: Dtype) -> Result<Vec<u8>, String> {
    let read = match value {
        Value::Bool(value) if dtype == Dtype::Bool => Some(vec![u8::from(*value)]),
        Value::Number(number) => number_element(number, dtype),
        Value::String(text) if dtype.is_float() => {
            NOT_FINITE.iter().find(|(name, _)| name == text).map(|(_, value)| dtype.element(*value))
        }
        _ => None,
    };
    read.ok_or_else(|| format!("found {}, wanted a value of {dtype}", kind(value)))
}

/// Integers are not read as floats, which would round those beyond 2^53.
fn number_element(number: &Number, dtype: Dtype) -> Option<Vec<u8>> {
    match (number.as_i64(), dtype) {
        (Some(value), Dtype::Int64) => Some(value.to_le_bytes().into()),
        _ => number.as_f64().filter(|value| dtype.holds(*value)).map(|value| dtype.element(value)),
    }
}

/// An element in JSON.
pub(super) fn element_to_json(dtype: Dtype, bytes: &[u8]) -> Value {
    let number = numbers(dtype, bytes).first().copied().unwrap_or(f64::NAN);
    match dtype {
        Dtype::Bool => Value::Bool(number != 0.0),
        Dtype::Int64 => bytes.try_into().map_or(Value::Null, |bytes| i64::from_le_bytes(bytes).into()),
        Dtype::Uint8 | Dtype::Int8 | Dtype::Int16 | Dtype::Int32 => (number as i64).into(),
        Dtype::Float16 | Dtype::Bfloat16 | Dtype::Float32 | Dtype::Float64 => float(dtype, number),
    }
}

fn float(dtype: Dtype, value: f64) -> Value {
    let name =
        NOT_FINITE.iter().find(|(_, other)| other.is_nan() == value.is_nan() && (value.is_nan() || *other == value));
    match name {
        Some((name, _)) => Value::from(*name),
        None => Value::from(shortest(dtype, value)),
    }
}

/// The float with the fewest digits that is this one in its own type.
fn shortest(dtype: Dtype, value: f64) -> f64 {
    let short = (value as f32).to_string().parse::<f64>();
    let same = |short: &f64| dtype.holds(*short) && dtype.element(*short) == dtype.element(value);
    short.ok().filter(|short| dtype != Dtype::Float64 && same(short)).unwrap_or(value)
}

fn numbers(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    let width = bytes.len() / dtype.size();
    Column::new(width, Values::Raw { dtype, bytes: bytes.to_vec().into() }).row_numbers(0)
}

/// A value in words: never longer than a number.
fn kind(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
        Value::String(_) => "a string".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn dims(sizes: &[i64]) -> Vec<Dim> {
        sizes.iter().map(|size| usize::try_from(*size).map_or(Dim::OPEN, Dim::from)).collect()
    }

    fn read(value: &Value, dtype: Dtype, shape: &[i64]) -> Result<Shaped, String> {
        Shaped::of_json(value, dtype, &dims(shape))
    }

    #[test]
    fn every_type_comes_back_as_it_was() {
        let cases = [
            (Dtype::Bool, json!([true, false])),
            (Dtype::Uint8, json!([0, 255])),
            (Dtype::Int8, json!([-128, 127])),
            (Dtype::Int16, json!([-32768, 32767])),
            (Dtype::Int32, json!([i32::MIN, i32::MAX])),
            (Dtype::Int64, json!([i64::MIN, 9_007_199_254_740_993_i64])),
            (Dtype::Float16, json!([0.1, 65504.0])),
            (Dtype::Bfloat16, json!([0.1, -3.0])),
            (Dtype::Float32, json!([0.1, 3.4028234663852886e38])),
            (Dtype::Float64, json!([0.1, 1e300])),
        ];
        for (dtype, value) in cases {
            let shaped = read(&value, dtype, &[2]).unwrap();
            assert_eq!(shaped.bytes.len(), 2 * dtype.size());
            let again = shaped.to_json(dtype);
            assert_eq!(read(&again, dtype, &[2]).unwrap(), shaped, "{dtype}");
            if !matches!(dtype, Dtype::Float16 | Dtype::Bfloat16) {
                assert_eq!(again, value, "{dtype}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_a_string() {
        for dtype in Dtype::ALL.into_iter().filter(|dtype| dtype.is_float()) {
            let value = json!(["NaN", "Infinity", "-Infinity", 1.0]);
            assert_eq!(read(&value, dtype, &[4]).unwrap().to_json(dtype), value);
        }
        assert!(read(&json!(["NaN"]), Dtype::Int32, &[1]).is_err());
    }

    #[test]
    fn the_nesting_gives_the_open_sizes() {
        let shaped = read(&json!([[[1, 2]], [[3, 4]], [[5, 6]]]), Dtype::Int16, &[-1, 1, -1]).unwrap();
        assert_eq!(shaped.sizes, [3, 1, 2]);
        assert_eq!(shaped.place(3), "[1][0][1]");
        let column = shaped.clone().into_column(Dtype::Int16, &dims(&[-1, 1, -1]));
        assert_eq!((column.width, column.varying.as_slice()), (6, [3, 2].as_slice()));
        assert_eq!(Shaped::of_row(&column, 0, &dims(&[-1, 1, -1])), shaped);
        assert_eq!(read(&json!(7), Dtype::Int64, &[]).unwrap().sizes, [0_usize; 0]);
        assert_eq!(read(&json!([]), Dtype::Int64, &[-1, 3]).unwrap().sizes, [0, 3]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let said = |value: Value, dtype, shape: &[i64]| read(&value, dtype, shape).unwrap_err();
        assert_eq!(said(json!([1, 2]), Dtype::Int32, &[3]), ": has 2 values, the manifest says 3");
        assert_eq!(said(json!([[1], [1, 2]]), Dtype::Int32, &[2, -1]), "[1]: has 2 values, those beside it 1");
        assert_eq!(said(json!([1, 2.5]), Dtype::Int32, &[2]), "[1]: found 2.5, wanted a value of int32");
        assert_eq!(said(json!([300]), Dtype::Uint8, &[1]), "[0]: found 300, wanted a value of uint8");
        assert_eq!(said(json!([1e39]), Dtype::Float32, &[1]), "[0]: found 1e+39, wanted a value of float32");
        assert_eq!(said(json!(["abc"]), Dtype::Float32, &[1]), "[0]: found a string, wanted a value of float32");
        assert_eq!(said(json!([[1]]), Dtype::Int32, &[1]), "[0]: found an array, wanted a value of int32");
        assert_eq!(said(json!(1), Dtype::Int32, &[-1]), ": found 1, wanted nested arrays of the shape [-1]");
    }
}
