use std::slice::from_ref;

use bytes::Bytes;

use super::*;

/// A module in Rust: of the elements of its inputs, all 32-bit floats.
struct Module<F>(F);

impl<F: Fn(&[Array]) -> Result<Vec<Array>, String>> Runs for Module<F> {
    fn run(&self, _arguments: Arguments, inputs: &[(String, Array)]) -> Result<Vec<(String, Array)>, String> {
        let inputs: Vec<Array> = inputs.iter().map(|(_, array)| array.clone()).collect();
        let outputs = (self.0)(&inputs)?.into_iter().enumerate();
        Ok(outputs.map(|(index, array)| (format!("output_{index}"), array)).collect())
    }
}

fn array(shape: &[usize], values: &[f32]) -> Array {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Array { dtype: Dtype::Float32, shape: shape.to_vec(), bytes: Bytes::from(bytes) }
}

fn values(array: &Array) -> Vec<f32> {
    array.bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

fn example(inputs: &[Array]) -> Example {
    let inputs = inputs.iter().zip('a'..).map(|(array, name)| (name.to_string(), array.clone())).collect();
    Example { place: "rows.npz".into(), inputs }
}

fn derived(run: impl Fn(&[Array]) -> Result<Vec<Array>, String>, examples: &[Example]) -> Result<Derived, String> {
    derive(&Module(run), Arguments::Tensors, examples)
}

/// The sum of each row.
fn sums(inputs: &[Array]) -> Result<Vec<Array>, String> {
    let [rows, width] = inputs[0].shape[..] else { return Err("wanted two dimensions".into()) };
    let sums: Vec<f32> = values(&inputs[0]).chunks(width).map(|row| row.iter().sum()).collect();
    Ok(vec![array(&[rows], &sums)])
}

#[test]
fn sizes_that_differ_between_examples_are_open() {
    let examples =
        [example(&[array(&[2, 2], &[1.0, 2.0, 3.0, 4.0])]), example(&[array(&[1, 3], &[1.0, 1.0, f32::INFINITY])])];
    let found = derived(sums, &examples).unwrap();
    assert_eq!(found.not_batched, None);
    assert_eq!(
        (found.inputs[0].to_string(), found.outputs[0].to_string()),
        ("a float32[-1]".into(), "output_0 float32[]".into())
    );
    assert!(found.outputs[0].non_finite && found.inputs[0].non_finite);
    let lines: Vec<String> = found.golden.iter().map(Value::to_string).collect();
    assert_eq!(
        lines,
        [
            r#"{"inputs":{"a":[1.0,2.0]},"outputs":{"output_0":3.0}}"#,
            r#"{"inputs":{"a":[3.0,4.0]},"outputs":{"output_0":7.0}}"#,
            r#"{"inputs":{"a":[1.0,1.0,"Infinity"]},"outputs":{"output_0":"Infinity"}}"#,
            // Which the one before ran with.
            r#"{"inputs":{"a":[1.0,"Infinity",1.0]},"outputs":{"output_0":"Infinity"}}"#,
        ]
    );
}

#[test]
fn a_module_whose_rows_depend_on_each_other_has_no_dimension_of_rows() {
    let shares = |inputs: &[Array]| {
        let all = values(&inputs[0]);
        let sum: f32 = all.iter().sum();
        let shares: Vec<f32> = all.iter().map(|value| value / sum).collect();
        Ok(vec![array(&inputs[0].shape, &shares)])
    };
    for rows in [array(&[2], &[1.0, 3.0]), array(&[2, 1], &[1.0, 3.0]), array(&[1, 2], &[2.0, 4.0])] {
        let found = derived(shares, &[example(&[rows])]).unwrap();
        assert!(found.not_batched.is_some_and(|why| why.contains("differs")));
        assert_eq!(found.golden.len(), 1);
    }
    let found =
        derived(shares, &[example(&[array(&[2], &[1.0, 3.0])]), example(&[array(&[3], &[1.0, 1.0, 2.0])])]).unwrap();
    assert_eq!(
        (found.inputs[0].shape.as_slice(), found.outputs[0].shape.as_slice()),
        ([-1].as_slice(), [-1].as_slice())
    );
}

/// Each row less the mean of all: nothing is left of a row alone, nor of two equal ones.
fn less_the_mean(inputs: &[Array]) -> Result<Vec<Array>, String> {
    let [rows, width] = inputs[0].shape[..] else { return Err("wanted two dimensions".into()) };
    let all = values(&inputs[0]);
    let mean = |column: usize| all.iter().skip(column).step_by(width).sum::<f32>() / rows as f32;
    let less: Vec<f32> = all.iter().enumerate().map(|(at, value)| value - mean(at % width)).collect();
    Ok(vec![array(&[rows, width], &less)])
}

#[test]
fn one_row_is_tried_with_another_one() {
    let found = derived(less_the_mean, &[example(&[array(&[1, 2], &[1.0, 3.0])])]).unwrap();
    assert!(found.not_batched.is_some_and(|why| why.contains("differs among others")));
    let equal = example(&[array(&[3, 2], &[1.0, 3.0, 1.0, 3.0, 1.0, 3.0])]);
    assert!(derived(less_the_mean, &[equal]).unwrap().not_batched.is_some());
    let found = derived(sums, &[example(&[array(&[1, 2], &[1.0, 3.0])])]).unwrap();
    assert_eq!((found.not_batched, found.golden.len()), (None, 2));
    assert_eq!(found.golden[1].to_string(), r#"{"inputs":{"a":[3.0,1.0]},"outputs":{"output_0":4.0}}"#);
    let alike = derived(sums, &[example(&[array(&[2, 2], &[1.0; 4])])]).unwrap();
    assert!(alike.not_batched.unwrap().contains("all alike"));
}

#[test]
fn a_try_that_fails_leaves_the_tolerance_as_it_was() {
    // Far beyond the narrowest tolerance in a batch's first row, and beyond all in its second.
    let worse = |inputs: &[Array]| {
        let moved = values(&inputs[0]).into_iter().enumerate().map(|(at, value)| value * [1.0, 1.0005, 2.0][at.min(2)]);
        Ok(vec![array(&inputs[0].shape, &moved.collect::<Vec<_>>())])
    };
    let found = derived(worse, &[example(&[array(&[3], &[1.0, 3.0, 4.0])])]).unwrap();
    assert_eq!((found.not_batched.is_some(), found.tolerance), (true, Tolerance::default()));
}

#[test]
fn inputs_of_different_lengths_are_one_request() {
    let bags = |inputs: &[Array]| Ok(vec![inputs[1].clone()]);
    let found = derived(bags, &[example(&[array(&[3], &[1.0, 2.0, 3.0]), array(&[2], &[0.0, 1.0])])]).unwrap();
    assert_eq!(found.not_batched.as_deref(), Some("input b has 2 rows, and another one 3"));
}

#[test]
fn what_differs_a_little_in_batches_has_a_wider_tolerance() {
    let noisy = |inputs: &[Array]| {
        let rows = inputs[0].shape[0];
        let moved: Vec<f32> = values(&inputs[0]).iter().map(|value| value * (1.0 + 5e-5 * rows as f32)).collect();
        Ok(vec![array(&inputs[0].shape, &moved)])
    };
    let found = derived(noisy, &[example(&[array(&[2], &[1.0, 3.0])])]).unwrap();
    assert_eq!((found.not_batched, found.tolerance), (None, TOLERANCES[1]));
    assert_eq!(TOLERANCES[0], Tolerance::default());
}

#[test]
fn what_can_not_be_proved_is_refused() {
    let calls = std::cell::Cell::new(0.0);
    let counting = |_: &[Array]| {
        calls.set(calls.get() + 1.0);
        Ok(vec![array(&[1], &[calls.get()])])
    };
    let one = example(&[array(&[1], &[1.0])]);
    assert!(derived(counting, from_ref(&one)).unwrap_err().contains("other outputs a second time"));
    let raises = |_: &[Array]| Err("it raised: thirteen".into());
    assert_eq!(derived(raises, from_ref(&one)).unwrap_err(), "rows.npz: it raised: thirteen");
    assert_eq!(derived(|_| Ok(vec![]), from_ref(&one)).unwrap_err(), "rows.npz: it returned no tensor");
    let two = [example(&[array(&[2], &[1.0, 2.0])]), example(&[array(&[2, 1], &[1.0, 2.0])])];
    let said = derived(|inputs| Ok(inputs.to_vec()), &two).unwrap_err();
    assert_eq!(said, "rows.npz: its inputs are a float32[1], those of the first example a float32[]");
}

#[test]
fn large_rows_make_few_golden_ones() {
    let numbers = |count: u16| (0..count).map(f32::from).collect::<Vec<_>>();
    let wide = array(&[4, 1 << 19], &numbers(4).iter().flat_map(|row| vec![*row; 1 << 19]).collect::<Vec<_>>());
    let found = derived(|inputs| Ok(inputs.to_vec()), &[example(&[wide])]).unwrap();
    assert_eq!(found.golden.len(), 2);
    let many = array(&[100, 1], &numbers(100));
    assert_eq!(derived(sums, &[example(&[many])]).unwrap().golden.len(), 64);
}
