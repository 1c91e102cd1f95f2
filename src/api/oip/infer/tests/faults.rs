//! What is said of requests that are wrong.

use std::collections::HashMap;

use super::*;

/// What is said of a request that is wrong in one way.
async fn refused(change: impl FnOnce(&mut ModelInferRequest)) -> String {
    let mut request = right();
    change(&mut request);
    match asked(&scoring_of(version(1, 4)), &request).await {
        Err(error @ ScoreError::BadField { .. }) => error.to_string(),
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn a_tensor_at_fault_is_named_with_what_was_found_and_wanted() {
    let names = r#"wanted "ids", "dense", "flag""#;
    let said = refused(|request| request.inputs[0].name = "dens".into()).await;
    assert_eq!(said, format!(r#"inputs["dens"]: is no input of the model, {names}"#));
    let said = refused(|request| request.inputs[0].name = "ids".into()).await;
    assert_eq!(said, r#"inputs["ids"]: is there twice, wanted it once"#);
    let said = refused(|request| drop((request.inputs.pop(), request.raw_input_contents.pop()))).await;
    assert_eq!(said, r#"inputs["flag"]: is missing, found "dense", "ids""#);
    let said = refused(|request| request.outputs = vec![output("sum")]).await;
    assert_eq!(said, format!(r#"outputs["sum"]: is no output of the model, {names}"#));
    let said = refused(|request| request.outputs = vec![output("ids"), output("ids")]).await;
    assert_eq!(said, r#"outputs["ids"]: is wanted twice, wanted once"#);
    for datatype in ["FP64", "BYTES", "UINT16", "UINT32", "UINT64", "fp32", ""] {
        let said = refused(|request| request.inputs[0].datatype = datatype.into()).await;
        assert_eq!(said, format!(r#"inputs["dense"].datatype: is "{datatype}", wanted "FP32""#));
    }
}

#[tokio::test]
async fn a_shape_at_fault_is_named_before_anything_is_made_of_it() {
    const HUGE: i64 = 1 << 40;
    let cases: [(usize, &[i64], &str); 12] = [
        (1, &[2, 3], r#"inputs["ids"].shape: is [2, 3], wanted [-1, 2]"#),
        (1, &[2], r#"inputs["ids"].shape: is [2], wanted [-1, 2]"#),
        (1, &[], r#"inputs["ids"].shape: is [], wanted [-1, 2]"#),
        (1, &[2, 2, 1], r#"inputs["ids"].shape: is [2, 2, 1], wanted [-1, 2]"#),
        (0, &[0, 3], r#"inputs["dense"].shape: is [0, 3] with a size below 1, wanted [-1, -1]"#),
        (0, &[2, 0], r#"inputs["dense"].shape: is [2, 0] with a size below 1, wanted [-1, -1]"#),
        (0, &[2, -3], r#"inputs["dense"].shape: is [2, -3] with a size below 1, wanted [-1, -1]"#),
        (
            0,
            &[HUGE, HUGE],
            r#"inputs["dense"].shape: is [1099511627776, 1099511627776], more than there is, wanted [-1, -1]"#,
        ),
        (
            0,
            &[2, HUGE],
            r#"inputs["dense"]: has 24 bytes in raw_input_contents, wanted 8796093022208 for FP32 [2, 1099511627776]"#,
        ),
        (1, &[HUGE, 2], r#"inputs["ids"].shape: has 1099511627776 rows, wanted 1 to 8"#),
        (1, &[9, 2], r#"inputs["ids"].shape: has 9 rows, wanted 1 to 8"#),
        (2, &[3], r#"inputs["flag"].shape: has 3 rows, wanted 2 as "ids" has"#),
    ];
    for (place, shape, wanted) in cases {
        assert_eq!(refused(|request| request.inputs[place].shape = shape.into()).await, wanted);
    }
    let many = refused(|request| request.inputs[0].shape = vec![1; 65]).await;
    assert_eq!(many, r#"inputs["dense"].shape: has more than 64 sizes"#);
}

#[tokio::test]
async fn contents_at_fault_are_named() {
    let said = refused(|request| request.raw_input_contents[0].truncate(23)).await;
    assert_eq!(said, r#"inputs["dense"]: has 23 bytes in raw_input_contents, wanted 24 for FP32 [2, 3]"#);
    let said = refused(|request| drop(request.raw_input_contents.pop())).await;
    assert_eq!(said, "raw_input_contents: has 2, wanted 3: one for each input");
    let said = refused(|request| request.raw_input_contents.push(vec![])).await;
    assert_eq!(said, "raw_input_contents: has 4, wanted 3: one for each input");
    let contents = || Some(InferTensorContents { bool_contents: vec![true], ..Default::default() });
    let said = refused(|request| request.inputs[2].contents = contents()).await;
    assert_eq!(said, r#"inputs["flag"].contents: is there beside raw_input_contents, wanted one of them"#);
    let said = refused(|request| request.raw_input_contents.clear()).await;
    assert_eq!(said, r#"inputs["dense"].contents: is empty, wanted contents or raw_input_contents"#);
    let said = refused(|request| request.raw_input_contents[2][1] = 2).await;
    assert_eq!(said, r#"inputs["flag"][1, 0]: is 2, wanted 0 or 1"#);
    let said = refused(|request| request.raw_input_contents[1][16] = 10).await;
    assert_eq!(said, r#"inputs["ids"][1, 0]: is 10, wanted 0 to 9"#);
}

#[tokio::test]
async fn typed_contents_at_fault_are_named() {
    let int8 = json!([{"name": "x", "dtype": "int8", "shape": [2]}]);
    let scoring = scoring_of(fixture::echo(1, &json!({"inputs": int8, "outputs": int8}), 4));
    let ints = |ints: &[i32]| InferTensorContents { int_contents: ints.into(), ..Default::default() };
    let cases = [
        (ints(&[1]), "has 1 values in int_contents, wanted 2 by its shape"),
        (ints(&[1, 2, 3]), "has 3 values in int_contents, wanted 2 by its shape"),
        (ints(&[1, -129]), "has -129 as int_contents[1], wanted -128 to 127"),
        (
            InferTensorContents { uint_contents: vec![1, 2], ..Default::default() },
            "has uint_contents, wanted int_contents for INT8",
        ),
        (
            InferTensorContents { bytes_contents: vec![b"x".to_vec()], ..ints(&[1, 2]) },
            "has bytes_contents, wanted int_contents for INT8",
        ),
    ];
    for (contents, wanted) in cases {
        let inputs = vec![InferInputTensor { contents: Some(contents), ..input("x", "INT8", &[1, 2]) }];
        let request = ModelInferRequest { model_name: "echo".into(), inputs, ..Default::default() };
        let said = asked(&scoring, &request).await.unwrap_err().to_string();
        assert_eq!(said, format!(r#"inputs["x"].contents: {wanted}"#));
    }
}

#[tokio::test]
async fn what_is_no_request_is_said_to_be_none() {
    let scoring = scoring_of(version(1, 4));
    for message in [&[0x0a, 0x05][..], &[0x2a, 0x02, 0x0a, 0x05], &[0x08, 0x01], &[0xff]] {
        let asked = Asked { message: message.to_vec().into(), call: CALL, streamed: false };
        assert!(matches!(infer(&scoring, &asked).await, Err(ScoreError::BadField { .. })), "{message:?}");
    }
    let many = Asked { message: [0x2a, 0x00].repeat(1025).into(), call: CALL, streamed: false };
    let said = infer(&scoring, &many).await.unwrap_err().to_string();
    assert_eq!(said, "inputs: there are more than 1024 in one request");
}

#[tokio::test]
async fn a_parameter_that_would_change_the_answer_is_refused_by_its_tensor() {
    let one = |key: &str, choice| HashMap::from([(key.to_owned(), parameter(choice))]);
    let output = |key| InferRequestedOutputTensor {
        name: "ids".into(),
        parameters: one(key, ParameterChoice::Int64Param(3)).into_iter().collect(),
    };
    let said = refused(|request| request.outputs = vec![output("classification")]).await;
    let wanted =
        r#"outputs["ids"].parameters["classification"]: is there, wanted none: this server has whole tensors alone"#;
    assert_eq!(said, wanted);
    let inputs = ["shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"];
    for key in inputs {
        let region = || one(key, ParameterChoice::StringParam("r".into())).into_iter().collect();
        let said = refused(|request| request.inputs[1].parameters = region()).await;
        assert!(said.starts_with(&format!(r#"inputs["ids"].parameters["{key}"]: is there, wanted none"#)), "{said}");
        let said = refused(|request| request.outputs = vec![output(key)]).await;
        assert!(said.starts_with(&format!(r#"outputs["ids"].parameters["{key}"]: is there, wanted none"#)), "{said}");
    }
    let request = ModelInferRequest { outputs: vec![output("binary_data")], ..right() };
    assert!(asked(&scoring_of(version(1, 4)), &request).await.is_ok());
}

#[tokio::test]
async fn what_is_no_element_is_bounded() {
    let many = || (0..65).map(|key| (format!("k{key}"), InferParameter::default()));
    let said = refused(|request| request.parameters = many().collect()).await;
    assert_eq!(said, "parameters: there are more than 64 in one request");
    let said = refused(|request| request.inputs[1].parameters = many().collect()).await;
    assert_eq!(said, r#"inputs["ids"].parameters: there are more than 64 of one tensor"#);
    let said = refused(|request| {
        request.outputs = vec![InferRequestedOutputTensor { parameters: many().collect(), ..output("ids") }];
    });
    assert_eq!(said.await, r#"outputs["ids"].parameters: there are more than 64 of one tensor"#);
    let said = refused(|request| request.id = "七".repeat(100_000)).await;
    assert_eq!(said, "request: there are more than 262144 bytes of text");
    let scoring = scoring_of(version(1, 4));
    for (unknown, wanted) in [
        ([0x78, 0x01].repeat(20_000), "request: there are more than 16384 fields"),
        ([&[0x7b][..], &[0x08, 0x01].repeat(1000), &[0x7c]].concat(), "request: a group is longer than 1024 bytes"),
    ] {
        let asked = Asked { message: unknown.into(), call: CALL, streamed: false };
        assert_eq!(infer(&scoring, &asked).await.unwrap_err().to_string(), wanted);
    }
    let group = [&[0x7b][..], &[0x08, 0x01].repeat(100), &[0x7c]].concat();
    let asked = Asked { message: [right().encode_to_vec(), group].concat().into(), call: CALL, streamed: false };
    assert!(infer(&scoring, &asked).await.is_ok());
}

#[tokio::test]
async fn a_model_or_version_that_is_not_there_is_answered_with_what_is() {
    let scoring = scoring_of(version(1, 4));
    let request = |model: &str, version: &str| ModelInferRequest {
        model_name: model.into(),
        model_version: version.into(),
        ..right()
    };
    let said = |error: Result<_, ScoreError>| error.map(|_: ModelInferResponse| ()).unwrap_err().to_string();
    assert_eq!(said(asked(&scoring, &request("ech", "")).await), "no model ech; there is: echo");
    let wanted = "no live version 2 of model echo; there is: version 1 (label \"stable\")";
    assert_eq!(said(asked(&scoring, &request("echo", "2")).await), wanted);
    assert!(said(asked(&scoring, &request("", "")).await).starts_with("model_name: is empty"));
}
