//! Requests with tensors, held against prost, and what becomes of them. For fuzzing and
//! unit tests alone.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use prost::Message as _;

use super::{
    plan::{self, Plan, Rules},
    reply::{About, reply},
    request::Request,
    typed,
};
use crate::{
    api::proto::inference::{InferTensorContents, ModelInferRequest, ModelInferResponse},
    model::Version,
    registry::Resolved,
    rows::Dtype,
};

pub(crate) use super::datatype::name as datatype;

/// Runs what waits for nothing but its turn.
fn run<F: Future>(future: F) -> F::Output {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// A request to a model that answers its inputs, and the reply.
pub(crate) fn infer(version: &Arc<Version>, bytes: &[u8]) {
    let message = Bytes::copy_from_slice(bytes);
    let Ok(request) = Request::read(&message) else { return };
    let plain = ModelInferRequest::decode(bytes).ok();
    if let Some(plain) = &plain {
        same(&request, plain);
    }
    let manifest = &version.manifest;
    let Ok(wanted) = plan::outputs(&request.outputs, &manifest.outputs) else { return };
    let Ok(plan) = Plan::of(&message, &request, &Rules { manifest, max_rows: 64 }) else { return };
    let (rows, id) = (plan.rows, request.id);
    let Ok(filled) = run(plan.fill(Arc::clone(version))) else { return };
    assert_eq!(filled.len(), rows);
    let by = Resolved { version: Arc::clone(version), label: "stable".into() };
    let columns = filled.into_columns();
    let mut outputs = Vec::new();
    for place in wanted {
        outputs.extend(manifest.outputs.get(place).zip(columns.get(place).cloned()));
    }
    let elements: Vec<Bytes> = outputs.iter().map(|(_, column)| column.values.clone().into_bytes()).collect();
    let names: Vec<&str> = outputs.iter().map(|(spec, _)| spec.name.as_str()).collect();
    let mut written = BytesMut::new();
    reply(&About { by: &by, id, rows, timed: None, streamed: false }, None, outputs).put(&mut written);
    let reply = ModelInferResponse::decode(written);
    let reply = reply.map(|reply| {
        let found: Vec<String> = reply.outputs.into_iter().map(|output| output.name).collect();
        (reply.id, found, reply.raw_output_contents.into_iter().map(Bytes::from).collect())
    });
    assert_eq!(reply, Ok((id.to_owned(), names.into_iter().map(str::to_owned).collect(), elements)));
}

/// What both say of a request.
fn same(request: &Request<'_>, plain: &ModelInferRequest) {
    let around = (plain.model_name.as_str(), plain.model_version.as_str(), plain.id.as_str());
    assert_eq!((request.model, request.version, request.id), around);
    let found: Vec<_> =
        request.inputs.iter().map(|input| (input.name, input.datatype, request.shape(input).to_vec())).collect();
    let wanted = plain.inputs.iter().map(|input| (input.name.as_str(), input.datatype.as_str(), input.shape.clone()));
    assert_eq!(found, wanted.collect::<Vec<_>>());
    assert_eq!(request.outputs, plain.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>());
    assert_eq!(request.raw, plain.raw_input_contents);
}

/// Typed contents: the first byte chooses a type, the second how many elements are wanted.
pub(crate) fn contents(bytes: &[u8]) {
    let [dtype, count, bytes @ ..] = bytes else { return };
    let (Some(dtype), count) = (Dtype::ALL.get(usize::from(*dtype) % Dtype::ALL.len()), usize::from(*count)) else {
        return;
    };
    let Ok(read) = run(typed::read(*dtype, &Bytes::copy_from_slice(bytes), count)) else { return };
    assert_eq!(read.len(), count * dtype.size());
    let plain = InferTensorContents::decode(bytes);
    assert_eq!(plain.as_ref().map(|plain| elements(*dtype, plain)), Ok(read.to_vec()), "{dtype}");
}

#[allow(clippy::cast_possible_truncation, reason = "what was read is in range")]
fn elements(dtype: Dtype, plain: &InferTensorContents) -> Vec<u8> {
    let ints = || plain.int_contents.iter();
    match dtype {
        Dtype::Bool => plain.bool_contents.iter().map(|value| u8::from(*value)).collect(),
        Dtype::Uint8 => plain.uint_contents.iter().map(|value| *value as u8).collect(),
        Dtype::Int8 => ints().flat_map(|value| (*value as i8).to_le_bytes()).collect(),
        Dtype::Int16 => ints().flat_map(|value| (*value as i16).to_le_bytes()).collect(),
        Dtype::Int32 => ints().flat_map(|value| value.to_le_bytes()).collect(),
        Dtype::Int64 => plain.int64_contents.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Dtype::Float32 => plain.fp32_contents.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Dtype::Float64 => plain.fp64_contents.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Dtype::Float16 | Dtype::Bfloat16 => Vec::new(),
    }
}
