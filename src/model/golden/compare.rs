//! Whether a tensor of one row is the one that training computed.

use serde_json::Value;

use super::shaped::{Shaped, element_to_json};
use crate::{manifest::Tolerance, rows::Dtype};

/// The first difference between a row and what training computed, with `place` before it.
///
/// Floats may differ by the tolerance, and those of 16 bits by one step of their type on
/// top: where two kernels round a value between two neighbours, they may choose either.
/// NaN is equal to NaN here, and to nothing else. All other types are equal or not.
pub(in crate::model) fn compare_row(
    place: &str,
    (dtype, tolerance): (Dtype, Tolerance),
    found: &Shaped,
    wanted: &Shaped,
) -> Option<String> {
    if found.sizes != wanted.sizes {
        return Some(format!("{place}: served the shape {:?}, training computed {:?}", found.sizes, wanted.sizes));
    }
    let element = if dtype.is_float() {
        let near = |(found, wanted): (&f64, &f64)| tolerance.allows(*found, *wanted, step(dtype, *wanted));
        found.numbers(dtype).iter().zip(&wanted.numbers(dtype)).position(|pair| !near(pair))
    } else {
        let elements = |shaped| Shaped::bytes(shaped).chunks(dtype.size());
        elements(found).zip(elements(wanted)).position(|(found, wanted)| found != wanted)
    }?;
    let text = |shaped: &Shaped| match element_to_json(dtype, shaped.element(element, dtype)) {
        Value::String(name) => name,
        number => number.to_string(),
    };
    let (served, computed) = (text(found), text(wanted));
    Some(format!("{place}{}: served {served}, training computed {computed}", wanted.place(element)))
}

/// At least the distance to the next value of a 16-bit type, and less than twice that:
/// by the bits of its fraction, and that of the smallest numbers. 0 for other types.
fn step(dtype: Dtype, value: f64) -> f64 {
    match dtype {
        Dtype::Float16 => (value.abs() * 2_f64.powi(-10)).max(2_f64.powi(-24)),
        Dtype::Bfloat16 => (value.abs() * 2_f64.powi(-7)).max(2_f64.powi(-133)),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::Dim;

    fn compared(dtype: Dtype, found: &Value, wanted: &Value) -> Option<String> {
        let shape = [Dim::OPEN];
        let read = |value| Shaped::of_json(value, dtype, &shape).unwrap();
        compare_row("y", (dtype, Tolerance::default()), &read(found), &read(wanted))
    }

    #[test]
    fn floats_may_differ_by_the_tolerance() {
        for dtype in [Dtype::Float32, Dtype::Float64] {
            assert_eq!(compared(dtype, &json!([1.0, 100.0005]), &json!([1.000001, 100.0])), None);
            let said = compared(dtype, &json!([1.0, 1.001]), &json!([1.0, 1.0])).unwrap();
            assert_eq!(said, "y[1]: served 1.001, training computed 1.0");
        }
    }

    #[test]
    fn floats_of_16_bits_may_differ_by_one_step_too() {
        let of = |dtype: Dtype, steps: f64, epsilon: f64| {
            let near = json!([1.0 + steps * epsilon, -8.0 * (1.0 + steps * epsilon)]);
            compared(dtype, &near, &json!([1.0, -8.0]))
        };
        assert_eq!(of(Dtype::Float16, 1.0, 2_f64.powi(-10)), None);
        assert!(of(Dtype::Float16, 2.0, 2_f64.powi(-10)).is_some());
        assert_eq!(of(Dtype::Bfloat16, 1.0, 2_f64.powi(-7)), None);
        assert!(of(Dtype::Bfloat16, 2.0, 2_f64.powi(-7)).is_some());
    }

    #[test]
    fn other_types_are_equal_or_not() {
        let big = 9_007_199_254_740_993_i64;
        assert_eq!(compared(Dtype::Int64, &json!([big]), &json!([big])), None);
        let said = compared(Dtype::Int64, &json!([big]), &json!([big - 1])).unwrap();
        assert_eq!(said, "y[0]: served 9007199254740993, training computed 9007199254740992");
        let said = compared(Dtype::Bool, &json!([true]), &json!([false])).unwrap();
        assert_eq!(said, "y[0]: served true, training computed false");
    }

    #[test]
    fn what_is_no_number_is_equal_to_itself_alone() {
        let all = json!(["NaN", "Infinity", "-Infinity"]);
        assert_eq!(compared(Dtype::Float32, &all, &all), None);
        let said = compared(Dtype::Float32, &json!([1.0]), &json!(["NaN"])).unwrap();
        assert_eq!(said, "y[0]: served 1.0, training computed NaN");
        assert!(compared(Dtype::Float32, &json!(["Infinity"]), &json!(["-Infinity"])).is_some());
        assert!(compared(Dtype::Float32, &json!(["NaN"]), &json!([0.0])).is_some());
    }

    #[test]
    fn other_sizes_are_a_difference() {
        let said = compared(Dtype::Float32, &json!([1.0]), &json!([1.0, 2.0])).unwrap();
        assert_eq!(said, "y: served the shape [1], training computed [2]");
    }
}
