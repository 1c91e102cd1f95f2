//! The architecture of the engine `deepfm`.

use super::*;

/// A manifest of the engine that needs an architecture.
fn deepfm() -> Value {
    let mut manifest = fixture::gmv();
    manifest["engine"] = json!("deepfm");
    manifest["files"] = json!({"model.safetensors": fixture::DIGEST, "golden.jsonl": fixture::DIGEST});
    manifest["architecture"] = json!({
        "cardinalities": [3, 50, 5, 8], "dense": 3, "embedding_dim": 4, "hidden": [16, 8], "outputs": 3,
        "output": {"ziln": {"log_level": 8.0}},
    });
    manifest["features"].as_array_mut().unwrap().remove(4);
    manifest["inputs"].as_array_mut().unwrap().remove(2);
    manifest
}

#[test]
fn an_architecture_is_for_one_engine_alone_and_fits_its_inputs() {
    assert_eq!(problems(&deepfm()), [""; 0]);
    assert_eq!(problems(&without(deepfm(), "/architecture/output")), [""; 0]);
    assert_eq!(
        said(
            deepfm,
            &[
                ("/engine", json!("torchscript")),
                ("/architecture", json!(null)),
                ("/architecture/members", json!(4)),
                ("/architecture/output", json!("softmax")),
                ("/architecture/output/ziln/log_level", json!(1e9)),
                ("/architecture/cardinalities", json!([3, 50, 0, 1_u64 << 40])),
                ("/architecture/cardinalities", json!([3, 50])),
                ("/architecture/dense", json!(0)),
                ("/architecture/dense", json!(1 << 20)),
                ("/architecture/embedding_dim", json!(0)),
                ("/architecture/hidden", json!([8, 1 << 17])),
                ("/architecture/hidden", json!(vec![1; 17])),
                ("/architecture/outputs", json!(2)),
                ("/inputs/0/dtype", json!("float32")),
                ("/arguments", json!("list")),
            ]
        ),
        r#"files.model.pt: missing
architecture: found one, wanted none for the engine torchscript, whose file holds its code
architecture: found none, wanted one for the engine deepfm
architecture.members: unknown key, wanted one of cardinalities, dense, embedding_dim, hidden, outputs, output
architecture.output: found "softmax", wanted "linear" or {"ziln": ...}
architecture.output.ziln.log_level: found 1000000000, wanted -100 to 100
architecture.cardinalities[2]: found 0, wanted 1 to 2147483648
architecture.cardinalities[3]: found 1099511627776, wanted 1 to 2147483648
inputs[0]: found int64 [4], wanted int64 [2] for the architecture
inputs: found 2, wanted 1 for the architecture
architecture: found a first layer of more values, wanted cardinalities × embedding_dim + dense of at most 1048576
inputs[1]: found float32 [3], wanted float32 [1048576] for the architecture
architecture.embedding_dim: found 0, wanted 1 to 1024
architecture.hidden[1]: found 131072, wanted 1 to 65536
architecture.hidden: found 17, wanted at most 16 layers
architecture.output: found ziln of 2 outputs, wanted 3 outputs
outputs[0]: found float32 [3], wanted float32 [2] for the architecture
inputs[0].features[0]: found "city" of kind category for float32, wanted numbers for float32, a feature with an encoding for int64
inputs[0].features[1]: found "area" of kind category for float32, wanted numbers for float32, a feature with an encoding for int64
inputs[0]: found float32 [4], wanted int64 [4] for the architecture
arguments: found some, wanted none for the engine deepfm"#
    );
}
