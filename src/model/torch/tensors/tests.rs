use super::*;

const BATCH: Batch = Batch { of_rows: true, raw: true };

fn dims(sizes: &[i64]) -> Vec<Dim> {
    sizes.iter().map(|size| usize::try_from(*size).map_or(Dim::OPEN, Dim::from)).collect()
}

fn input(dtype: Dtype, shape: &[i64], padding: Option<f64>) -> InputSpec {
    InputSpec { name: "x".into(), dtype, shape: dims(shape), features: Vec::new(), padding, range: None }
}

fn output(dtype: Dtype, shape: &[i64]) -> OutputSpec {
    OutputSpec { name: "y".into(), dtype, shape: dims(shape), non_finite: false }
}

/// Rows of 16-bit integers, of these open sizes.
fn part(rows: usize, varying: &[usize], values: &[i16]) -> Rows {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let values = Values::Raw { dtype: Dtype::Int16, bytes: bytes.into() };
    Rows::new(rows, vec![Column { width: values.len() / rows.max(1), varying: varying.to_vec(), values }]).unwrap()
}

/// Shape and values of the only input.
fn joined_of(spec: InputSpec, parts: &[Rows], batch: Batch) -> Result<(Vec<i64>, Vec<i16>), ForwardError> {
    let parts: Vec<&Rows> = parts.iter().collect();
    let tensors = inputs(&[spec], &parts, batch)?;
    let values = tensors[0].f_flatten(0, -1).map_err(raised)?;
    Ok((tensors[0].size(), Vec::<i16>::try_from(values).unwrap()))
}

#[test]
fn shorter_rows_are_filled_up_behind_their_own() {
    let spec = || input(Dtype::Int16, &[-1], Some(-1.0));
    let parts = [part(2, &[2], &[1, 2, 3, 4]), part(1, &[3], &[5, 6, 7]), part(1, &[0], &[])];
    let wanted = (vec![4, 3], vec![1, 2, -1, 3, 4, -1, 5, 6, 7, -1, -1, -1]);
    assert_eq!(joined_of(spec(), &parts, BATCH), Ok(wanted));
    assert_eq!(joined_of(spec(), &parts[..1], BATCH), Ok((vec![2, 2], vec![1, 2, 3, 4])));
}

#[test]
fn rows_of_two_open_sizes_are_filled_up_in_both() {
    let spec = input(Dtype::Int16, &[-1, 2, -1], Some(0.0));
    let parts = [part(1, &[1, 2], &[1, 2, 3, 4]), part(1, &[2, 1], &[5, 6, 7, 8])];
    let wanted = (vec![2, 2, 2, 2], vec![1, 2, 3, 4, 0, 0, 0, 0, 5, 0, 6, 0, 7, 0, 8, 0]);
    assert_eq!(joined_of(spec, &parts, BATCH), Ok(wanted));
}

#[test]
fn parts_of_one_shape_follow_each_other_and_a_request_without_rows_keeps_its_shape() {
    let parts = [part(1, &[], &[1, 2]), part(2, &[], &[3, 4, 5, 6])];
    let wanted = (vec![3, 2], vec![1, 2, 3, 4, 5, 6]);
    assert_eq!(joined_of(input(Dtype::Int16, &[2], None), &parts, BATCH), Ok(wanted));
    let whole = Batch { of_rows: false, raw: true };
    assert_eq!(
        joined_of(input(Dtype::Int16, &[-1], None), &[part(1, &[2], &[1, 2])], whole),
        Ok((vec![2], vec![1, 2]))
    );
    assert_eq!(joined_of(input(Dtype::Int16, &[], None), &[part(1, &[], &[7])], whole), Ok((vec![], vec![7])));
}

#[test]
fn bytes_that_are_not_those_of_the_shape_never_reach_libtorch() {
    let refused = |spec: InputSpec, part: Rows| {
        let parts = [part];
        assert!(matches!(joined_of(spec, &parts, BATCH), Err(ForwardError::Inputs(_))));
    };
    refused(input(Dtype::Int16, &[3], None), part(1, &[], &[1, 2]));
    refused(input(Dtype::Int64, &[2], None), part(1, &[], &[1, 2]));
    refused(input(Dtype::Int16, &[-1], None), part(1, &[3], &[1, 2]));
    // No size at all for the open one, and sizes whose product overflows.
    refused(input(Dtype::Int16, &[-1], None), part(1, &[], &[1, 2]));
    refused(input(Dtype::Int16, &[-1, -1], None), part(1, &[1 << 40, 1 << 40], &[1, 2]));
    let short = [part(1, &[4], &[1, 2]), part(1, &[2], &[1, 2])];
    assert!(joined_of(input(Dtype::Int16, &[-1], Some(0.0)), &short, BATCH).is_err());
}

#[test]
fn every_type_is_the_same_in_a_tensor_and_back() {
    for dtype in Dtype::ALL {
        let bytes: Vec<u8> = [0.0, 1.0, 1.0, 0.0].iter().flat_map(|value| dtype.element(*value)).collect();
        let values = Values::Raw { dtype, bytes: bytes.into() };
        let rows = Rows::new(2, vec![Column::new(2, values)]).unwrap();
        let tensors = inputs(&[input(dtype, &[2], None)], &[&rows], BATCH).unwrap();
        assert_eq!(tensors[0].f_kind().unwrap(), kind(dtype));
        assert_eq!(outputs(&[output(dtype, &[2])], &tensors, 2, BATCH).unwrap(), rows, "{dtype}");
    }
}

#[test]
fn rows_fill_up_near_sizes_only() {
    let near = |spec: &InputSpec, one: &[usize], other: &[usize]| {
        let of = |sizes: &[usize]| part(1, sizes, &vec![0; sizes.iter().product()]);
        fit(std::slice::from_ref(spec), &of(one), &of(other))
    };
    let padded = input(Dtype::Int16, &[-1], Some(0.0));
    assert!(near(&padded, &[10], &[52]) && near(&padded, &[52], &[10]));
    assert!(!near(&padded, &[10], &[53]) && !near(&padded, &[53], &[10]));
    // Whose product would be much.
    let three = input(Dtype::Int16, &[-1, -1, -1], Some(0.0));
    assert!(near(&three, &[1, 1, 1], &[3, 3, 3]) && !near(&three, &[1, 1, 1], &[4, 1, 1]));
    let equal = input(Dtype::Int16, &[-1], None);
    assert!(near(&equal, &[3], &[3]) && !near(&equal, &[3], &[4]));
}

#[test]
fn a_batch_that_is_filled_up_is_little_more_than_four_times_what_came() {
    let sizes = [0, 1, 2, 3, 5, 8, 30, 33, 34, 40, 70, 100, 250, 1000];
    let all: Vec<[usize; 2]> = sizes.iter().flat_map(|a| sizes.map(|b| [*a, b])).collect();
    for first in &all {
        let batch: Vec<_> = all.iter().filter(|more| *more == first || super::near(first, *more)).collect();
        let largest = |dim: usize| batch.iter().map(|sizes| sizes[dim]).max().unwrap();
        let filled = largest(0) * largest(1);
        for own in batch.iter().map(|sizes| sizes.iter().product::<usize>()) {
            assert!(filled <= 4 * own + 96, "{first:?}: {own} of {filled}");
        }
    }
}

#[test]
fn an_output_that_needs_too_much_memory_is_an_error() {
    let number = Tensor::f_zeros([1], (Kind::Float, tch::Device::Cpu)).unwrap();
    let large = number.f_expand([(1 << 28) + 1], false).unwrap();
    let whole = Batch { of_rows: false, raw: true };
    let said = outputs(&[output(Dtype::Float32, &[-1])], &[large], 1, whole).unwrap_err().to_string();
    assert_eq!(said, "it raised: its outputs have 1073741828 bytes, wanted at most 1073741824");
    assert!(zeroed::<f32>(usize::MAX / 8).unwrap_err().to_string().contains("no memory for an output of"));
}

#[test]
fn an_output_of_another_type_or_shape_is_named_with_what_was_wanted() {
    let said =
        |spec: OutputSpec, tensor: Tensor, batch: Batch| outputs(&[spec], &[tensor], 2, batch).unwrap_err().to_string();
    let floats = || Tensor::f_from_slice(&[1.0_f32, 2.0, 3.0, 4.0]).unwrap();
    let two = || floats().f_reshape([2, 2]).unwrap();
    assert_eq!(said(output(Dtype::Float32, &[3]), two(), BATCH), "output y is Float [2, 2], wanted Float [2, 3]");
    assert_eq!(said(output(Dtype::Int64, &[2]), two(), BATCH), "output y is Float [2, 2], wanted Int64 [2, 2]");
    assert_eq!(said(output(Dtype::Float32, &[]), floats(), BATCH), "output y is Float [4], wanted Float [2]");
    assert_eq!(
        said(output(Dtype::Float32, &[-1, 2]), two(), BATCH),
        "output y is Float [2, 2], wanted Float [2, -1, 2]"
    );
    let rowless = Batch { of_rows: false, raw: true };
    assert_eq!(said(output(Dtype::Float32, &[-1]), two(), rowless), "output y is Float [2, 2], wanted Float [-1]");
}

#[test]
fn an_output_that_lies_otherwise_in_memory_is_read_in_its_order() {
    let turned = Tensor::f_from_slice(&[1_i16, 2, 3, 4]).unwrap().f_reshape([2, 2]).unwrap().f_transpose(0, 1).unwrap();
    let found = outputs(&[output(Dtype::Int16, &[-1])], &[turned], 2, BATCH).unwrap();
    assert_eq!(found, part(2, &[2], &[1, 3, 2, 4]));
}
