//! Generates from the protos: messages and services, the descriptor set for
//! reflection and JSON, and the mapping from typed fields to feature names.
//! Also gives the binary a run path to libtorch.

#![allow(clippy::disallowed_methods, reason = "cargo tells build scripts everything through the environment")]

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use prost::Message as _;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

const PROTOS: [&str; 3] = ["souk/v1/feature.proto", "souk/v1/merchant_gmv.proto", "souk/v1/user_portrait.proto"];

/// The messages whose fields are features.
const FEATURES: [&str; 2] = ["MerchantFeatures", "UserFeatures"];

/// The requests whose entities the server decodes one by one.
const FRAMED: [&str; 2] = ["PredictGmvRequest", "GetPortraitsRequest"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let descriptors = protox::compile(PROTOS, ["proto"])?;
    fs::write(out.join("souk_descriptor.bin"), descriptors.encode_to_vec())?;
    fs::write(out.join("features.rs"), feature_rows(&descriptors)?)?;
    tonic_prost_build::configure()
        // In one order, so that the same row gives the same message each time.
        .btree_map(".")
        .compile_fds(descriptors.clone())?;
    framed_services(descriptors, &out.join("framed"))?;

    run_path();
    Ok(())
}

/// The services once more, for the server alone: their requests leave the
/// entities encoded (see `src/api/frames.rs`).
fn framed_services(descriptors: FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out)?;
    let mut services = tonic_prost_build::configure()
        .build_client(false)
        .out_dir(out)
        .codec_path("crate::api::frames::FrameCodec")
        .extern_path(".souk.v1", "crate::api::proto::v1");
    for request in FRAMED {
        services = services.extern_path(format!(".souk.v1.{request}"), format!("crate::api::frames::{request}"));
    }
    Ok(services.compile_fds(descriptors)?)
}

/// Lets the binary find libtorch without `LD_LIBRARY_PATH`.
fn run_path() {
    // Set by torch-sys' own build script, so it is the folder that was really
    // linked, whether it came from `.libtorch` or a LIBTORCH of the user.
    let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else { return };
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    // Where an image keeps it, beside the binary.
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
    // Nothing refers to libtorch_cuda by symbol: its kernels register themselves
    // when it is loaded, and a linker that drops unused libraries would leave a
    // GPU out without a word.
    if lib.join("libtorch_cuda.so").exists() {
        println!("cargo::rustc-link-arg=-Wl,--push-state,--no-as-needed,-ltorch_cuda,--pop-state");
    }
}

/// `impl Row` for every message of [`FEATURES`], and `impl Table` for the
/// messages that they repeat.
fn feature_rows(descriptors: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let messages: Vec<&DescriptorProto> = descriptors.file.iter().flat_map(|file| &file.message_type).collect();
    let find = |name: &str| {
        messages.iter().copied().find(|message| message.name() == name).ok_or(format!("no message {name}"))
    };
    let mut code = String::new();
    for name in FEATURES {
        write_row(&mut code, find(name)?, &find)?;
    }
    Ok(code)
}

fn write_row<'a>(
    code: &mut String,
    message: &DescriptorProto,
    find: &impl Fn(&str) -> Result<&'a DescriptorProto, String>,
) -> Result<(), Box<dyn Error>> {
    let (mut fields, mut values) = (Vec::new(), Vec::new());
    for field in message.field.iter().filter(|field| field.name() != "extra") {
        let name = field.name();
        match events_of(field) {
            Some(event) => {
                let event = find(event)?;
                write_table(code, event)?;
                for (column, cell) in event.field.iter().enumerate() {
                    let kind = kind(cell)?;
                    fields.push((format!("{name}.{}", cell.name()), plural(kind)));
                    values.push(format!("column(&self.{name}, {column})"));
                }
            }
            None => {
                let kind = kind(field)?;
                let repeated = field.label() == Label::Repeated;
                fields.push((name.to_owned(), if repeated { plural(kind) } else { kind }));
                values.push(match (kind, repeated) {
                    ("Number", true) => format!("numbers(&self.{name})"),
                    ("Category", true) => format!("categories(&self.{name})"),
                    ("Number", false) => format!("number(self.{name})"),
                    ("Category", false) => format!("category(self.{name}.as_deref())"),
                    _ => format!("time(self.{name}.as_ref())"),
                });
            }
        }
    }
    let type_name = message.name();
    writeln!(code, "impl Row for {type_name} {{")?;
    writeln!(code, "    fn fields() -> &'static [Field] {{\n        &[")?;
    for (name, kind) in &fields {
        writeln!(code, "            Field {{ name: {name:?}, kind: FieldKind::{kind} }},")?;
    }
    writeln!(code, "        ]\n    }}")?;
    write_match(code, "value(&self, field: usize)", "field", &values)?;
    writeln!(code, "    fn extra(&self, name: &str) -> Value<'_> {{ extra(&self.extra, name) }}")?;
    writeln!(
        code,
        "    fn extra_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {{ extra_names(&self.extra) }}\n}}"
    )?;
    Ok(())
}

fn write_table(code: &mut String, event: &DescriptorProto) -> Result<(), Box<dyn Error>> {
    let mut cells = Vec::new();
    for field in &event.field {
        let name = field.name();
        cells.push(match kind(field)? {
            "Number" => format!("Value::Number(row.{name})"),
            "Category" => format!("category(Some(&row.{name}))"),
            _ => format!("time(row.{name}.as_ref())"),
        });
    }
    writeln!(code, "impl Table for Vec<{}> {{", event.name())?;
    writeln!(code, "    fn len(&self) -> usize {{ Vec::len(self) }}")?;
    writeln!(code, "    fn cell(&self, row: usize, column: usize) -> Value<'_> {{")?;
    writeln!(code, "        let Some(row) = self.get(row) else {{ return Value::Absent }};")?;
    writeln!(code, "        match column {{")?;
    for (index, cell) in cells.iter().enumerate() {
        writeln!(code, "            {index} => {cell},")?;
    }
    writeln!(code, "            _ => Value::Absent,\n        }}\n    }}\n}}")?;
    Ok(())
}

fn write_match(code: &mut String, signature: &str, on: &str, arms: &[String]) -> Result<(), Box<dyn Error>> {
    writeln!(code, "    fn {signature} -> Value<'_> {{\n        match {on} {{")?;
    for (index, arm) in arms.iter().enumerate() {
        writeln!(code, "            {index} => {arm},")?;
    }
    writeln!(code, "            _ => Value::Absent,\n        }}\n    }}")?;
    Ok(())
}

/// The message that a field repeats, such as `Behaviour` for `events`.
fn events_of(field: &FieldDescriptorProto) -> Option<&str> {
    let repeated = field.label() == Label::Repeated && field.r#type() == Type::Message;
    repeated.then(|| field.type_name().rsplit('.').next().unwrap_or_default())
}

fn kind(field: &FieldDescriptorProto) -> Result<&'static str, String> {
    match (field.r#type(), field.type_name()) {
        (Type::Double, _) => Ok("Number"),
        (Type::String, _) => Ok("Category"),
        (Type::Message, ".google.protobuf.Timestamp") => Ok("Time"),
        (other, name) => {
            Err(format!("field {}: a feature is a double, a string or a Timestamp, not {other:?} {name}", field.name()))
        }
    }
}

fn plural(kind: &str) -> &'static str {
    match kind {
        "Number" => "Numbers",
        "Category" => "Categories",
        _ => "Times",
    }
}
