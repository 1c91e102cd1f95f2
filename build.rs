//! Generates from the protos: messages and services, the descriptor set for
//! reflection and JSON, and the views through which the server reads features.
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

/// The domain services.
const PROTOS: [&str; 3] = ["souk/v1/feature.proto", "souk/v1/merchant_gmv.proto", "souk/v1/user_portrait.proto"];

/// The Open Inference Protocol, which both ports serve, each its part.
const INFERENCE: &str = "inference/grpc_service.proto";

/// What only the admin port serves. A set of its own, so that neither port's reflection
/// tells of the other's services.
const ADMIN_PROTOS: [&str; 1] = ["souk/v1/model_service.proto"];

/// The messages whose fields are features.
const FEATURES: [&str; 2] = ["MerchantFeatures", "UserFeatures"];

/// The requests whose entities the server reads one by one, and their replies,
/// whose results it writes one by one.
const FRAMED: [(&str, &str); 2] =
    [("PredictGmvRequest", "PredictGmvResponse"), ("GetPortraitsRequest", "GetPortraitsResponse")];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let data = protox::compile(PROTOS.iter().chain([&INFERENCE]), ["proto"])?;
    let admin = protox::compile(ADMIN_PROTOS.iter().chain([&INFERENCE]), ["proto"])?;
    fs::write(out.join("souk_descriptor.bin"), data.encode_to_vec())?;
    fs::write(out.join("admin_descriptor.bin"), admin.encode_to_vec())?;
    fs::write(out.join("views.rs"), views(&descriptors)?)?;
    tonic_prost_build::configure()
        // In one order, so that the same row gives the same message each time.
        .btree_map(".")
        .compile_fds(protox::compile(PROTOS.iter().chain(&ADMIN_PROTOS).chain([&INFERENCE]), ["proto"])?)?;
    framed_services(descriptors, &out.join("framed"))?;
    inference_service(protox::compile([INFERENCE], ["proto"])?, &out.join("oip"))?;

    run_path();
    Ok(())
}

/// The services once more, for the server alone: their requests leave the
/// entities encoded (see `src/api/frames.rs`), and so do their replies the results.
fn framed_services(descriptors: FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out)?;
    let mut services = tonic_prost_build::configure()
        .build_client(false)
        .out_dir(out)
        .codec_path("crate::api::frames::FrameCodec")
        .extern_path(".souk.v1", "crate::api::proto::v1");
    for (request, reply) in FRAMED {
        services = services
            .extern_path(format!(".souk.v1.{request}"), format!("crate::api::frames::{request}"))
            .extern_path(format!(".souk.v1.{reply}"), "crate::api::reply::Reply");
    }
    Ok(services.compile_fds(descriptors)?)
}

/// The inference service once more, for the server alone: requests stay as they came,
/// and replies are written piece by piece (see `src/api/oip/codec.rs`).
fn inference_service(descriptors: FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out)?;
    let mut services = tonic_prost_build::configure()
        .build_client(false)
        .out_dir(out)
        .codec_path("crate::api::oip::codec::Wired")
        .extern_path(".inference", "crate::api::proto::inference");
    for (message, ours) in
        [("ModelInferRequest", "Received"), ("ModelInferResponse", "Reply"), ("ModelStreamInferResponse", "Streamed")]
    {
        services = services.extern_path(format!(".inference.{message}"), format!("crate::api::oip::codec::{ours}"));
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

/// Views of every message of [`FEATURES`] and of the events that they repeat:
/// structs that borrow from the message's bytes, `impl View`, which reads the
/// bytes, and `impl Row`, which tells the features.
fn views(descriptors: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let messages: Vec<&DescriptorProto> = descriptors.file.iter().flat_map(|file| &file.message_type).collect();
    let find = |name: &str| {
        messages.iter().copied().find(|message| message.name() == name).ok_or(format!("no message {name}"))
    };
    let mut code = String::new();
    for name in FEATURES {
        let message = find(name)?;
        for event in message.field.iter().filter_map(events_of).filter(|event| *event != "ExtraEntry") {
            write_events(&mut code, find(event)?)?;
        }
        let members =
            message.field.iter().map(|field| Member::of_features(field, &find)).collect::<Result<Vec<_>, _>>()?;
        write_view(&mut code, message.name(), &members)?;
        write_row(&mut code, message.name(), &members)?;
    }
    Ok(code)
}

/// A field of a view.
struct Member {
    name: String,
    number: i32,
    rust_type: String,
    /// Takes in `value` from the wire.
    read: String,
    clear: String,
    /// The features that it holds, with their kinds, and how each is told.
    features: Vec<(String, &'static str, String)>,
    /// Whether it keeps only so much.
    bounded: bool,
}

impl Member {
    fn new(field: &FieldDescriptorProto, rust_type: &str, read: &str, clear: &str) -> Self {
        let (name, number) = (field.name().to_owned(), field.number());
        let (read, clear) = (read.replace('@', &name), clear.replace('@', &name));
        Self { name, number, rust_type: rust_type.to_owned(), read, clear, features: Vec::new(), bounded: false }
    }

    fn of_features<'a>(
        field: &FieldDescriptorProto,
        find: &impl Fn(&str) -> Result<&'a DescriptorProto, String>,
    ) -> Result<Self, String> {
        let emptied = "self.@.clear()";
        match events_of(field) {
            Some("ExtraEntry") => {
                Ok(Self { bounded: true, ..Self::new(field, "Extra<'a>", "self.@.add(value.bytes()?)", emptied) })
            }
            Some(event) => {
                let mut member = Self::new(field, &format!("{event}s<'a>"), "self.@.add(value.bytes()?)", emptied);
                for cell in &find(event)?.field {
                    let (kind, column) = (kind(cell)?, cell.name());
                    let told = format!("{}(&self.{}.{column})", plural(kind).to_lowercase(), field.name());
                    member.features.push((format!("{}.{column}", field.name()), plural(kind), told));
                }
                Ok(Self { bounded: true, ..member })
            }
            None => Self::of_feature(field),
        }
    }

    fn of_feature(field: &FieldDescriptorProto) -> Result<Self, String> {
        let (kind, repeated) = (kind(field)?, field.label() == Label::Repeated);
        let mut member = match (kind, repeated) {
            ("Number", true) => Self::new(field, "Vec<f64>", "value.numbers(&mut self.@)", "self.@.clear()"),
            ("Number", false) => {
                Self::new(field, "Option<f64>", "value.number().map(|found| self.@ = Some(found))", "self.@ = None")
            }
            ("Category", false) => {
                Self::new(field, "&'a str", "value.text().map(|found| self.@ = found)", "self.@ = \"\"")
            }
            _ => return Err(format!("field {}: no view of a {kind}, repeated or not", field.name())),
        };
        let kind = if repeated { plural(kind) } else { kind };
        let borrowed = if repeated { "&" } else { "" };
        let told = format!("{}({borrowed}self.{})", kind.to_lowercase(), field.name());
        member.features.push((field.name().to_owned(), kind, told));
        Ok(member)
    }

    /// A field of an event.
    fn of_event(field: &FieldDescriptorProto) -> Result<Self, String> {
        Ok(match kind(field)? {
            "Number" => Self::new(field, "f64", "value.number().map(|found| self.@ = found)", "self.@ = 0.0"),
            "Category" => Self::new(field, "&'a str", "value.text().map(|found| self.@ = found)", "self.@ = \"\""),
            _ => Self::new(
                field,
                "Option<Moment>",
                "self.@.get_or_insert_default().merge(value.bytes()?)",
                "self.@ = None",
            ),
        })
    }
}

fn write_view(code: &mut String, name: &str, members: &[Member]) -> Result<(), Box<dyn Error>> {
    writeln!(code, "/// `souk.v1.{name}`.\n#[derive(Debug, Clone, Default)]\npub(super) struct {name}<'a> {{")?;
    for Member { name, rust_type, .. } in members {
        writeln!(code, "    {name}: {rust_type},")?;
    }
    writeln!(code, "}}\n\nimpl<'a> View<'a> for {name}<'a> {{")?;
    writeln!(
        code,
        "    fn field(&mut self, number: u32, value: Wire<'a>) -> Result<(), Malformed> {{\n        match number {{"
    )?;
    for Member { number, read, .. } in members {
        writeln!(code, "            {number} => {read},")?;
    }
    writeln!(code, "            _ => Ok(()),\n        }}\n    }}\n\n    fn clear(&mut self) {{")?;
    for Member { clear, .. } in members {
        writeln!(code, "        {clear};")?;
    }
    writeln!(code, "    }}\n}}\n")?;
    Ok(())
}

fn write_row(code: &mut String, name: &str, members: &[Member]) -> Result<(), Box<dyn Error>> {
    writeln!(code, "impl Row for {name}<'_> {{\n    fn fields() -> &'static [Field] {{\n        &[")?;
    for (name, kind, _) in members.iter().flat_map(|member| &member.features) {
        writeln!(code, "            Field {{ name: {name:?}, kind: FieldKind::{kind} }},")?;
    }
    writeln!(
        code,
        "        ]\n    }}\n\n    fn values<'r>(&'r self, into: &mut Vec<Value<'r>>) {{\n        into.extend(["
    )?;
    for (_, _, told) in members.iter().flat_map(|member| &member.features) {
        writeln!(code, "            {told},")?;
    }
    writeln!(code, "        ]);\n    }}\n")?;
    writeln!(code, "    fn extra(&self, index: usize) -> Option<(&str, Value<'_>)> {{ self.extra.get(index) }}\n")?;
    writeln!(code, "    fn excess(&self) -> Vec<Excess> {{\n        let mut excess = Vec::new();")?;
    for Member { name, .. } in members.iter().filter(|member| member.bounded) {
        writeln!(code, "        self.{name}.excess({name:?}, &mut excess);")?;
    }
    writeln!(code, "        excess\n    }}\n}}\n")?;
    Ok(())
}

/// The view of an event, and that of all events of a row, column by column.
fn write_events(code: &mut String, event: &DescriptorProto) -> Result<(), Box<dyn Error>> {
    let members = event.field.iter().map(Member::of_event).collect::<Result<Vec<_>, _>>()?;
    let name = event.name();
    write_view(code, name, &members)?;
    writeln!(
        code,
        "/// All `souk.v1.{name}` of a row.\n#[derive(Debug, Clone, Default)]\npub(super) struct {name}s<'a> {{"
    )?;
    writeln!(code, "    sent: usize,")?;
    for Member { name, rust_type, .. } in &members {
        let element = if rust_type.starts_with('&') { rust_type } else { "f64" };
        writeln!(code, "    {name}: Vec<{element}>,")?;
    }
    writeln!(code, "}}\n\nimpl<'a> {name}s<'a> {{")?;
    writeln!(code, "    fn add(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {{")?;
    writeln!(
        code,
        "        let mut event = {name}::default();\n        event.merge(bytes)?;\n        self.sent += 1;"
    )?;
    writeln!(code, "        if self.sent > MOST_ELEMENTS {{\n            return Ok(());\n        }}")?;
    for Member { name, rust_type, .. } in &members {
        let element =
            if rust_type.starts_with("Option") { format!("seconds(event.{name})") } else { format!("event.{name}") };
        writeln!(code, "        self.{name}.push({element});")?;
    }
    writeln!(code, "        Ok(())\n    }}\n\n    fn clear(&mut self) {{\n        self.sent = 0;")?;
    for Member { name, .. } in &members {
        writeln!(code, "        self.{name}.clear();")?;
    }
    writeln!(code, "    }}\n\n    fn excess(&self, field: &'static str, into: &mut Vec<Excess>) {{")?;
    writeln!(code, "        into.extend(too_many(field, \"elements\", self.sent, MOST_ELEMENTS));\n    }}\n}}\n")?;
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
