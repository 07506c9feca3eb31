//! The `args` of a hook.

use tetragon_api::plan::ArgType;
use tetragon_api::policy::TypeName;

use crate::codes::Code;
use crate::context::Cx;
use crate::draft::{ArgDraft, HookKind};
use crate::feature::Feature;
use crate::node::{Fields, Item, quote};
use crate::{schema, suggest};

/// Most arguments of a hook.
const MAX_ARGS: usize = 8;

/// What works, for those who asked for something else.
const WORKING: &str = "integers of 8 to 64 bits, size_t, string, file, path, dentry, fd, linux_binprm, \
                       capability and nop work";

/// Reads `args`. An entry with errors keeps its position.
pub(crate) fn args(cx: &mut Cx<'_>, hook: &Fields<'_>, kind: HookKind) -> Vec<ArgDraft> {
    let items = hook.items(cx, "args");
    if let Some(item) = items.get(MAX_ARGS) {
        cx.report(Code::TooMany, &item.place, format!("{} args; {MAX_ARGS} are possible", items.len()))
            .help("leave out those that no matcher needs");
    }
    items.iter().map(|item| arg(cx, item, kind)).collect()
}

fn arg(cx: &mut Cx<'_>, item: &Item<'_>, kind: HookKind) -> ArgDraft {
    let Some(fields) = item.fields(cx, schema::ARG) else {
        return ArgDraft { place: item.place.clone(), index: None, ty: None, label: None };
    };
    let index = fields.require(cx, "index", "write index: N, the argument's position from 0");
    let index = index.and_then(|i| position(cx, i, kind));
    let ty = match fields.get("type") {
        Some(item) => item.text(cx).and_then(|name| arg_type(cx, item, name, kind)),
        None => auto(cx, &fields.place.clone(), kind, false),
    };
    let label = fields.text(cx, "label").map(str::to_owned);
    let place = fields.get("index").map_or(&item.place, |i| &i.place).clone();
    ArgDraft { place, index, ty, label }
}

/// The highest position that a hook of this kind can have.
fn last_index(kind: HookKind) -> i128 {
    match kind {
        // Six registers hold arguments.
        HookKind::Function | HookKind::Syscall => 5,
        // Tetragon's limit for LSM hooks; TP_PROTO arguments that a raw tracepoint sees.
        HookKind::Lsm | HookKind::RawTracepoint => 4,
        // Fields of a format file.
        HookKind::Tracepoint => 127,
    }
}

fn position(cx: &mut Cx<'_>, item: &Item<'_>, kind: HookKind) -> Option<u32> {
    let index = item.integer(cx, i128::from(i32::MIN)..=i128::from(i32::MAX))?;
    let last = last_index(kind);
    if !(0..=last).contains(&index) {
        let message = format!("{} has no argument {index}", kind.describe());
        cx.report(Code::BadIndex, &item.place, message).help(format!("from 0 to {last} is possible"));
        return None;
    }
    u32::try_from(index).ok()
}

fn arg_type(cx: &mut Cx<'_>, item: &Item<'_>, name: &str, kind: HookKind) -> Option<ArgType> {
    let Some(known) = TypeName::from_name(name) else {
        let names: Vec<_> = TypeName::ALL.iter().map(|t| t.name()).collect();
        let help = match suggest::nearest(name, &names) {
            Some(near) => format!("did you mean {near:?}?"),
            None => WORKING.to_owned(),
        };
        cx.report(Code::UnknownType, &item.place, format!("unknown type {}", quote(name))).help(help);
        return None;
    };
    if known == TypeName::Auto {
        return auto(cx, &item.place, kind, true);
    }
    let Some(ty) = supported(known) else {
        let feature = Feature::ArgumentType(known.name());
        cx.lacks(feature, &item.place, format!("not supported yet: arguments of type {name}")).help(WORKING);
        return None;
    };
    let kernel_struct = matches!(ty, ArgType::File | ArgType::Path | ArgType::Dentry | ArgType::LinuxBinprm);
    if kind == HookKind::Syscall && kernel_struct {
        cx.report(
            Code::TypeMismatch,
            &item.place,
            format!("no system call takes a kernel's struct, as type {name} is"),
        )
        .help("use fd for a descriptor, string for a path, or hook the kernel's function");
        return None;
    }
    Some(ty)
}

/// `auto`, written or by default.
fn auto(cx: &mut Cx<'_>, place: &crate::source::Place, kind: HookKind, written: bool) -> Option<ArgType> {
    match kind {
        HookKind::Tracepoint => return Some(ArgType::Auto),
        HookKind::Function | HookKind::Syscall if written => {
            cx.report(Code::TypeMismatch, place, "auto is no type for kprobes")
                .help("write the argument's type, as type: int");
        }
        HookKind::Function | HookKind::Syscall => {
            cx.report(Code::MissingField, place, "type is missing")
                .help("write the argument's type, as type: int");
        }
        HookKind::Lsm | HookKind::RawTracepoint => {
            let message = format!("not supported yet: type auto on {}", kind.describe());
            let feature = Feature::Field("argument type `auto` of LSM hooks and raw tracepoints");
            cx.lacks(feature, place, message).help("write the argument's type, as type: file");
        }
    }
    None
}

fn supported(name: TypeName) -> Option<ArgType> {
    Some(match name {
        TypeName::Auto => ArgType::Auto,
        TypeName::Int | TypeName::Sint32 | TypeName::Int32 => ArgType::Int32,
        TypeName::Sint8 | TypeName::Int8 => ArgType::Int8,
        TypeName::Uint8 => ArgType::Uint8,
        TypeName::Sint16 | TypeName::Int16 => ArgType::Int16,
        TypeName::Uint16 => ArgType::Uint16,
        TypeName::Uint32 => ArgType::Uint32,
        TypeName::Long | TypeName::Sint64 | TypeName::Int64 => ArgType::Int64,
        TypeName::Ulong | TypeName::Uint64 => ArgType::Uint64,
        TypeName::Size => ArgType::Size,
        TypeName::String => ArgType::String,
        TypeName::File => ArgType::File,
        TypeName::Path => ArgType::Path,
        TypeName::Dentry => ArgType::Dentry,
        TypeName::Fd => ArgType::Fd,
        TypeName::LinuxBinprm => ArgType::LinuxBinprm,
        TypeName::Capability => ArgType::Capability,
        TypeName::Nop => ArgType::Nop,
        _ => return None,
    })
}
