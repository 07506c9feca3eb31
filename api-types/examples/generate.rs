//! Writes `src/generated/*.rs` from `proto/`, without protoc:
//! `cargo run -p tetragon-api --example generate`.
//!
//! Messages come from prost, with serde attributes chosen from the descriptors so that
//! `serde_json` writes Tetragon's export JSON; the service comes from tonic.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// The proto files that have their own content; the others come in as imports.
const ROOTS: [&str; 3] = ["tetragon/sensors.proto", "tetragon/events.proto", "tetragon/tetragon.proto"];

/// Messages that no JSON shows: they hold `Any`, or oneofs that only gRPC carries.
const NO_JSON: [&str; 14] = [
    "GetInfoResponse",
    "ConfVal",
    "GetDebugRequest",
    "GetDebugResponse",
    "SetDebugRequest",
    "SetDebugResponse",
    "RuntimeHookRequest",
    "CreateContainer",
    "Mount",
    "ProcessInternal",
    "DumpProcessCacheReqArgs",
    "DumpProcessCacheResArgs",
    "ConfigureTracingPolicyRequest",
    "Probe",
];

/// Messages with a oneof: each has a counterpart in `event::json` that reads it.
const ONEOFS: [&str; 2] = ["GetEventsResponse", "KprobeArgument"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, text) in render(root)? {
        let path = root.join("src/generated").join(name);
        fs::write(&path, text)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// The generated files of the crate at `root`: name and content.
pub(crate) fn render(root: &Path) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let mut compiler = protox::Compiler::new([root.join("proto")])?;
    compiler.include_source_info(true).include_imports(true).open_files(ROOTS)?;
    let set = compiler.file_descriptor_set();
    Ok(vec![("tetragon.rs", messages(&set)?), ("service.rs", service(&set)?)])
}

fn messages(set: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let out = scratch("messages")?;
    let mut config = prost_build::Config::new();
    config.out_dir(&out).btree_map(["."]);
    for file in set.file.iter().filter(|f| f.package() == "tetragon") {
        for message in &file.message_type {
            attributes(&mut config, ".tetragon", message);
        }
    }
    config.compile_fds(set.clone())?;
    // prost gives an attribute of a oneof to its members as well, where this one has no place.
    Ok(finish(&out)?.replace("#[serde(flatten)]\n        #[serde(", "#[serde("))
}

fn service(set: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let out = scratch("service")?;
    tonic_prost_build::configure()
        .out_dir(&out)
        .build_transport(false)
        .generate_default_stubs(true)
        .extern_path(".tetragon", "crate::event")
        .compile_fds(set.clone())?;
    // A method that is left out answers with its name.
    let methods = set.file.iter().flat_map(|f| &f.service).flat_map(|s| &s.method);
    Ok(methods.fold(finish(&out)?, |text, method| {
        text.replacen("Not yet implemented", &format!("{} is not supported by this agent", method.name()), 1)
    }))
}

/// An empty folder for the generators, which only write files.
fn scratch(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("tetragon-api-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Takes the package's file out of `dir`, removes `dir` and puts the notice on top.
fn finish(dir: &Path) -> Result<String, Box<dyn Error>> {
    let text = fs::read_to_string(dir.join("tetragon.rs"))?;
    fs::remove_dir_all(dir)?;
    let body = text.split_once('\n').map_or("", |(_, body)| body);
    Ok(format!(
        "// Generated from proto/ by `cargo run -p tetragon-api --example generate`. Do not edit.\n{body}"
    ))
}

/// Adds the serde attributes of `message` and of the messages inside it.
fn attributes(config: &mut prost_build::Config, scope: &str, message: &DescriptorProto) {
    let path = format!("{scope}.{}", message.name());
    for nested in message.nested_type.iter().filter(|n| !n.options.as_ref().is_some_and(|o| o.map_entry())) {
        attributes(config, &path, nested);
    }
    if NO_JSON.contains(&message.name()) {
        return;
    }
    let derive = match message.name() {
        "GetEventsResponse" => {
            "#[derive(serde::Deserialize)]\n#[serde(from = \"crate::event::json::Envelope\")]".to_owned()
        }
        name if ONEOFS.contains(&name) => {
            format!(
                "#[derive(serde::Serialize, serde::Deserialize)]\n#[serde(from = \"crate::event::json::{name}Json\")]"
            )
        }
        _ => "#[derive(serde::Serialize, serde::Deserialize)]\n#[serde(default)]".to_owned(),
    };
    config.message_attribute(&path, derive);
    // GetEventsResponse writes itself, envelope last: event::json.
    let plain = message.name() == "GetEventsResponse";
    for (index, oneof) in message.oneof_decl.iter().enumerate() {
        let members: Vec<_> = message
            .field
            .iter()
            .filter(|f| f.oneof_index == Some(index as i32) && !f.proto3_optional())
            .collect();
        if members.is_empty() {
            continue;
        }
        let oneof_path = format!("{path}.{}", oneof.name());
        config.enum_attribute(&oneof_path, "#[derive(serde::Serialize)]");
        if !plain {
            config.field_attribute(&oneof_path, "#[serde(flatten)]");
        }
        for field in members {
            let mut parts = vec![format!("rename = \"{}\"", field.name())];
            parts.extend(encoding(field));
            config.field_attribute(
                format!("{oneof_path}.{}", field.name()),
                format!("#[serde({})]", parts.join(", ")),
            );
        }
    }
    if plain {
        return;
    }
    for field in message.field.iter().filter(|f| f.oneof_index.is_none() || f.proto3_optional()) {
        let mut parts = Vec::new();
        if field.name().contains(|c: char| c.is_ascii_uppercase()) {
            parts.push(format!("rename = \"{}\"", field.name()));
        }
        parts.push(format!("skip_serializing_if = \"{}\"", absent(field, message)));
        parts.extend(encoding(field));
        config.field_attribute(format!("{path}.{}", field.name()), format!("#[serde({})]", parts.join(", ")));
    }
}

/// The test for a value that the JSON leaves out.
fn absent(field: &FieldDescriptorProto, owner: &DescriptorProto) -> &'static str {
    if field.label() == Label::Repeated {
        let entry = field.type_name().rsplit('.').next().unwrap_or_default();
        let map = owner
            .nested_type
            .iter()
            .any(|n| n.name() == entry && n.options.as_ref().is_some_and(|o| o.map_entry()));
        return if map { "std::collections::BTreeMap::is_empty" } else { "Vec::is_empty" };
    }
    if field.proto3_optional() {
        return "Option::is_none";
    }
    match field.r#type() {
        Type::Message => "Option::is_none",
        Type::String => "String::is_empty",
        Type::Bytes => "Vec::is_empty",
        _ => "crate::event::json::is_default",
    }
}

/// How a value that serde would write differently is written and read.
fn encoding(field: &FieldDescriptorProto) -> Option<String> {
    let name = field.type_name().rsplit('.').next().unwrap_or_default();
    let many = field.label() == Label::Repeated;
    match (field.r#type(), field.type_name()) {
        (Type::Int64 | Type::Uint64, _) => Some("with = \"crate::event::json::decimal\"".into()),
        (Type::Bytes, _) => Some("with = \"crate::event::json::base64\"".into()),
        (Type::Enum, _) => {
            let list = if many { "_list" } else { "" };
            Some(format!(
                "serialize_with = \"crate::event::json::write_name{list}::<crate::event::{name}, _>\", \
                 deserialize_with = \"crate::event::json::read_name{list}::<crate::event::{name}, _>\""
            ))
        }
        (Type::Message, ".google.protobuf.Timestamp") => {
            Some("with = \"crate::event::json::timestamp\"".into())
        }
        (Type::Message, ".google.protobuf.Duration") => {
            Some("with = \"crate::event::json::duration\"".into())
        }
        (Type::Message, ".google.protobuf.FieldMask") => {
            Some("with = \"crate::event::json::field_mask\"".into())
        }
        _ => None,
    }
}
