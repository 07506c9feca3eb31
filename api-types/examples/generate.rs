//! Writes `src/generated/*.rs` from `proto/`, without protoc:
//! `cargo run -p tetragon-api --example generate`.
//!
//! Messages come from prost, with serde attributes chosen from the descriptors so that
//! `serde_json` writes Tetragon's export JSON; the service comes from tonic. The tables of
//! `event::fields` have the members of events by name.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

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

/// On top of what is written.
const NOTICE: &str =
    "// Generated from proto/ by `cargo run -p tetragon-api --example generate`. Do not edit.\n";

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
    let fields = Tables::of(&set).render()?;
    Ok(vec![("tetragon.rs", messages(&set)?), ("service.rs", service(&set)?), ("fields.rs", fields)])
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
    Ok(format!("{NOTICE}{body}"))
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
        return if is_map(field, owner) { "std::collections::BTreeMap::is_empty" } else { "Vec::is_empty" };
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
    let name = last(field);
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

/// What `event::fields` asks of the proto files: the messages that events are made of.
struct Tables<'a> {
    messages: BTreeMap<&'a str, &'a DescriptorProto>,
    enums: BTreeMap<&'a str, &'a EnumDescriptorProto>,
}

impl<'a> Tables<'a> {
    fn of(set: &'a FileDescriptorSet) -> Self {
        let files = || set.file.iter().filter(|f| f.package() == "tetragon");
        Tables {
            messages: files().flat_map(|f| &f.message_type).map(|m| (m.name(), m)).collect(),
            enums: files().flat_map(|f| &f.enum_type).map(|e| (e.name(), e)).collect(),
        }
    }

    fn render(&self) -> Result<String, Box<dyn Error>> {
        let envelope = self.messages.get("GetEventsResponse").ok_or("no GetEventsResponse")?;
        let events: Vec<_> = envelope.field.iter().filter(|f| f.oneof_index.is_some()).collect();
        let mut out = format!("{NOTICE}\nuse crate::event::get_events_response::Event;\n");
        out.push_str("use super::{Enum, Field, FieldSchema, Kind, Message, Schema, ToField, list};\n\n");
        out.push_str("/// The kinds of events: the member that holds one, and its message.\n");
        out.push_str("pub static EVENTS: &[(&str, &Schema)] = &[\n");
        for field in &events {
            writeln!(out, "    (\"{}\", &{}),", field.name(), constant(last(field)))?;
        }
        out.push_str("];\n\n/// The enums that members hold.\npub static ENUMS: &[Enum] = &[\n");
        let reached = self.reached(events.iter().map(|f| last(f)));
        let enums = reached.iter().flat_map(|m| &m.field).filter(|f| f.r#type() == Type::Enum).map(last);
        for name in enums.collect::<std::collections::BTreeSet<_>>() {
            let values = self.enums[name].value.iter().map(|v| format!("(\"{}\", {})", v.name(), v.number()));
            writeln!(out, "    (\"{name}\", &[{}]),", values.collect::<Vec<_>>().join(", "))?;
        }
        out.push_str(
            "];\n\npub(super) fn body(event: &Event) -> (&'static str, &dyn Message) {\n    match event {\n",
        );
        for field in &events {
            writeln!(out, "        Event::{}(e) => (\"{}\", e),", camel(field.name()), field.name())?;
        }
        out.push_str("    }\n}\n");
        for message in reached {
            self.message(&mut out, message)?;
        }
        Ok(out)
    }

    /// The messages that these are made of, by name.
    fn reached<'n>(&self, roots: impl Iterator<Item = &'n str>) -> Vec<&'a DescriptorProto> {
        let mut wanted: Vec<&str> = roots.filter_map(|n| self.messages.get(n).map(|m| m.name())).collect();
        let mut found = BTreeMap::new();
        while let Some(message) = wanted.pop().and_then(|name| self.messages.get(name)) {
            if found.insert(message.name(), *message).is_none() {
                wanted.extend(message.field.iter().map(last).filter(|n| self.messages.contains_key(n)));
            }
        }
        found.into_values().collect()
    }

    fn message(&self, out: &mut String, message: &DescriptorProto) -> Result<(), Box<dyn Error>> {
        let name = message.name();
        let table = constant(name);
        writeln!(out, "\nstatic {table}: Schema = Schema {{\n    name: \"{name}\",\n    fields: &[")?;
        for f in &message.field {
            let (kind, explicit) = (self.kind(f, message)?, f.oneof_index.is_some());
            writeln!(
                out,
                "        FieldSchema {{ name: \"{}\", kind: {kind}, explicit: {explicit} }},",
                f.name()
            )?;
        }
        writeln!(out, "    ],\n}};\n\nimpl Message for crate::event::{name} {{")?;
        writeln!(out, "    fn schema(&self) -> &'static Schema {{\n        &{table}\n    }}\n")?;
        let used = if message.field.is_empty() { "_name" } else { "name" };
        writeln!(out, "    fn field(&self, {used}: &str) -> Option<Field<'_>> {{")?;
        if message.field.is_empty() {
            out.push_str("        None\n    }\n}\n");
        } else {
            out.push_str("        Some(match name {\n");
            for field in &message.field {
                writeln!(out, "            \"{}\" => {},", field.name(), value(field, message))?;
            }
            out.push_str("            _ => return None,\n        })\n    }\n}\n");
        }
        writeln!(out, "\nimpl ToField for crate::event::{name} {{")?;
        out.push_str("    fn to_field(&self) -> Field<'_> {\n        Field::Message(self)\n    }\n}\n");
        Ok(())
    }

    /// The `Kind` of a field, as Rust.
    fn kind(&self, field: &FieldDescriptorProto, owner: &DescriptorProto) -> Result<String, Box<dyn Error>> {
        let one = match (field.r#type(), field.type_name()) {
            (Type::Message, _) if is_map(field, owner) => return Ok("Kind::Map".to_owned()),
            (Type::Bool, _) => "Kind::Bool".to_owned(),
            (Type::Int32 | Type::Int64 | Type::Enum, _) => "Kind::Int".to_owned(),
            (Type::Uint32 | Type::Uint64, _) => "Kind::Uint".to_owned(),
            (Type::String, _) => "Kind::Text".to_owned(),
            (Type::Bytes, _) => "Kind::Bytes".to_owned(),
            (Type::Message, ".google.protobuf.Timestamp") => "Kind::Timestamp".to_owned(),
            (Type::Message, ".google.protobuf.Duration") => "Kind::Duration".to_owned(),
            (Type::Message, ".google.protobuf.BoolValue") => "Kind::Wrapper(&Kind::Bool)".to_owned(),
            (Type::Message, ".google.protobuf.Int32Value") => "Kind::Wrapper(&Kind::Int)".to_owned(),
            (Type::Message, ".google.protobuf.UInt32Value") => "Kind::Wrapper(&Kind::Uint)".to_owned(),
            (Type::Message, _) if self.messages.contains_key(last(field)) => {
                format!("Kind::Message(&{})", constant(last(field)))
            }
            (other, name) => return Err(format!("{}: no kind for {other:?} {name}", field.name()).into()),
        };
        Ok(if field.label() == Label::Repeated { format!("Kind::List(&{one})") } else { one })
    }
}

/// The expression that reads a field, as Rust.
fn value(field: &FieldDescriptorProto, owner: &DescriptorProto) -> String {
    let name = field.name();
    if let Some(oneof) = field.oneof_index.and_then(|i| owner.oneof_decl.get(i as usize)) {
        let path = format!("crate::event::{}::{}", snake(owner.name()), camel(oneof.name()));
        return format!(
            "match &self.{} {{ Some({path}::{}(v)) => v.to_field(), _ => Field::Unset }}",
            oneof.name(),
            camel(name)
        );
    }
    let member = snake(name);
    let raw = if matches!(member.as_str(), "type" | "return") { "r#" } else { "" };
    if field.label() == Label::Repeated && !is_map(field, owner) {
        format!("list(&self.{raw}{member})")
    } else {
        format!("self.{raw}{member}.to_field()")
    }
}

fn is_map(field: &FieldDescriptorProto, owner: &DescriptorProto) -> bool {
    let entry = owner.nested_type.iter().find(|n| n.name() == last(field));
    entry.is_some_and(|n| n.options.as_ref().is_some_and(|o| o.map_entry()))
}

/// The last part of the name of a field's type.
fn last(field: &FieldDescriptorProto) -> &str {
    field.type_name().rsplit('.').next().unwrap_or_default()
}

/// `KprobeFunc` is `kprobe_func`, as prost names members and modules.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// `process_exec` is `ProcessExec`, as prost names variants.
fn camel(name: &str) -> String {
    let upper = |part: &str| {
        part.get(..1).unwrap_or_default().to_ascii_uppercase() + part.get(1..).unwrap_or_default()
    };
    name.split('_').map(upper).collect()
}

/// The name of a message's table.
fn constant(name: &str) -> String {
    snake(name).to_ascii_uppercase()
}
