//! The format file of a tracepoint: which fields an event has, and how a policy's argument can read one.

use tetragon_abi::config::{FIELD_CHARS, FIELD_LOCATED, FIELD_SIGNED, FIELD_UNSIGNED, FROM_FIELD, FieldSpec};
use tetragon_api::plan::ArgType;

/// Bytes at the beginning of an event that its programs do not get: a pointer of the kernel's own lies
/// there instead of the common fields.
const COMMON: u32 = 8;

/// A field of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// As the file declares it: `char comm[16]`.
    pub declared: String,
    /// Bytes from the event's beginning.
    pub offset: u32,
    /// Bytes that it takes.
    pub size: u32,
    /// It may be below zero.
    pub signed: bool,
}

/// What is in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds<'f> {
    Integer,
    /// A text that lies in the field.
    Chars,
    /// Where a text lies in the event, and its length.
    LocatedChars,
    /// The address of a struct of that name.
    StructPointer(&'f str),
    /// The address of characters.
    CharPointer,
    /// Another address.
    Pointer,
    /// What cannot be read: other arrays, structs.
    Other,
}

/// The fields, in the order of the file.
pub fn fields(text: &str) -> Vec<Field> {
    text.lines().filter_map(field).collect()
}

fn field(line: &str) -> Option<Field> {
    let line = line.trim_start();
    let number = |key: &str| -> Option<u32> {
        let rest = &line[line.find(key)? + key.len()..];
        rest[..rest.find(';')?].trim().parse().ok()
    };
    let declared = line.strip_prefix("field:")?.split(';').next()?;
    Some(Field {
        declared: declared.split_whitespace().collect::<Vec<_>>().join(" "),
        offset: number("offset:")?,
        size: number("size:")?,
        signed: number("signed:")? == 1,
    })
}

impl Field {
    fn holds(&self) -> Holds<'_> {
        let of_chars =
            |ty: &str| matches!(ty.trim().trim_start_matches("const ").trim(), "char" | "signed char");
        if let Some(located) = self.declared.strip_prefix("__data_loc ") {
            let of = located.split('[').next().unwrap_or_default();
            return if of_chars(of) { Holds::LocatedChars } else { Holds::Other };
        }
        if let Some((before, _)) = self.declared.split_once('[') {
            let of = before.rsplit_once(' ').map_or("", |(ty, _)| ty);
            return if of_chars(of) { Holds::Chars } else { Holds::Other };
        }
        let Some((to, _)) = self.declared.split_once('*') else {
            let whole = self.declared.starts_with("struct ") || self.declared.starts_with("union ");
            let known = matches!(self.size, 1 | 2 | 4 | 8);
            return if known && !whole { Holds::Integer } else { Holds::Other };
        };
        let words: Vec<_> = to.split(' ').filter(|w| !["const", "volatile", ""].contains(w)).collect();
        match words[..] {
            // A pointer to a pointer is only an address.
            _ if self.declared.matches('*').count() > 1 => Holds::Pointer,
            ["struct" | "union", name, ..] => Holds::StructPointer(name),
            ["char", ..] => Holds::CharPointer,
            _ => Holds::Pointer,
        }
    }

    /// How a program gets it into a register, or what leads to its text.
    pub fn spec(&self) -> FieldSpec {
        let kind = match self.holds() {
            Holds::Chars => FIELD_CHARS,
            Holds::LocatedChars => FIELD_LOCATED,
            _ if self.signed => FIELD_SIGNED,
            _ => FIELD_UNSIGNED,
        };
        FieldSpec { offset: self.offset as u16, size: self.size as u16, kind, ..FieldSpec::default() }
    }

    /// What a string's reading must know besides: `FROM_*`.
    pub fn from(&self) -> u8 {
        if matches!(self.holds(), Holds::Chars | Holds::LocatedChars) { FROM_FIELD } else { 0 }
    }

    /// The type that `auto` means.
    pub fn auto(&self) -> ArgType {
        match (self.size, self.signed) {
            (1, true) => ArgType::Int8,
            (1, false) => ArgType::Uint8,
            (2, true) => ArgType::Int16,
            (2, false) => ArgType::Uint16,
            (4, true) => ArgType::Int32,
            (4, false) => ArgType::Uint32,
            (_, true) => ArgType::Int64,
            (_, false) => ArgType::Uint64,
        }
    }

    /// Whether an argument of type `ty` can read this field of an event of `subsystem`; if not: why, and
    /// what would be right.
    pub fn fits(&self, subsystem: &str, ty: ArgType) -> Result<(), String> {
        let holds = self.holds();
        if ty == ArgType::Nop {
            return Ok(());
        }
        if self.offset < COMMON {
            return Err(format!(
                "is {}, one of the common fields, which the kernel does not give to programs; an event has the \
                 process, its pid and flags in process",
                self.declared
            ));
        }
        // Programs get the call's arguments as they are, not what the kernel has read of them for its trace.
        if subsystem == "syscalls" && holds == Holds::LocatedChars {
            return Err(format!(
                "is {}, which the kernel does not give to programs; read the argument itself, as type: string",
                self.declared
            ));
        }
        if holds.is_read_as(ty) {
            return Ok(());
        }
        Err(format!(
            "is {} ({} bytes), which type {} does not fit; {}",
            self.declared,
            self.size,
            ty.name(),
            self.right(holds)
        ))
    }

    /// The type to write.
    fn right(&self, holds: Holds<'_>) -> String {
        match holds {
            Holds::Integer => format!("write type: {}", self.auto().name()),
            Holds::Chars | Holds::LocatedChars => "write type: string".into(),
            Holds::StructPointer(to @ ("file" | "path" | "dentry" | "linux_binprm")) => {
                format!("write type: {to}")
            }
            Holds::StructPointer(_) => "write type: uint64 for the address".into(),
            Holds::CharPointer | Holds::Pointer => {
                "write type: string if there is text, or type: uint64 for the address".into()
            }
            Holds::Other => "no type reads it: leave it out".into(),
        }
    }
}

impl Holds<'_> {
    fn is_read_as(self, ty: ArgType) -> bool {
        let address = matches!(self, Holds::StructPointer(_) | Holds::CharPointer | Holds::Pointer);
        match ty {
            ArgType::Nop => true,
            ArgType::File | ArgType::Path | ArgType::Dentry | ArgType::LinuxBinprm => {
                self == Holds::StructPointer(ty.name())
            }
            ArgType::String => {
                matches!(self, Holds::Chars | Holds::LocatedChars | Holds::CharPointer | Holds::Pointer)
            }
            ArgType::Auto => self == Holds::Integer || address && self != Holds::CharPointer,
            ArgType::Int64 | ArgType::Uint64 | ArgType::Size => self == Holds::Integer || address,
            // A narrower integer than the field takes its lowest bytes, a wider one all there are.
            _ => self == Holds::Integer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of the kernel's own files, of several events and versions.
    const FORMAT: &str = "\
name: many
ID: 1
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:int sig;\toffset:8;\tsize:4;\tsigned:1;
\tfield:pid_t pid;\toffset:12;\tsize:4;\tsigned:1;
\tfield:char comm[16];\toffset:16;\tsize:16;\tsigned:0;
\tfield:__data_loc char[] filename;\toffset:32;\tsize:4;\tsigned:1;
\tfield:const char * path;\toffset:40;\tsize:8;\tsigned:0;
\tfield:const char __attribute__((btf_type_tag(\"user\"))) * tagged;\toffset:48;\tsize:8;\tsigned:0;
\tfield:struct file * filp;\toffset:56;\tsize:8;\tsigned:0;
\tfield:const char *const * argv;\toffset:64;\tsize:8;\tsigned:0;
\tfield:unsigned long args[6];\toffset:72;\tsize:48;\tsigned:0;
\tfield:struct key_val kv;\toffset:120;\tsize:8;\tsigned:0;
\tfield:__data_loc u8[] bytes;\toffset:128;\tsize:4;\tsigned:0;
\tfield:long ret;\toffset:136;\tsize:8;\tsigned:1;
\tfield:bool flag;\toffset:144;\tsize:1;\tsigned:0;

print fmt: \"field:int no;\"
";

    fn named(name: &str) -> Field {
        let last = |f: &Field| f.declared.rsplit(' ').next().map(|w| w.split('[').next() == Some(name));
        fields(FORMAT).into_iter().find(|f| last(f) == Some(true)).expect(name)
    }

    #[test]
    fn a_file_is_read_line_by_line() {
        let all = fields(FORMAT);
        assert_eq!(all.len(), 15);
        assert_eq!(all[2], Field { declared: "int sig".into(), offset: 8, size: 4, signed: true });
        assert_eq!(all[5].declared, "__data_loc char[] filename");
        assert!(fields("field:int x;\toffset:a;\tsize:4;\tsigned:0;\nfield:\n\u{0}").is_empty());
    }

    #[test]
    fn types_that_fit_are_read() {
        use ArgType::*;
        for (field, types) in [
            ("sig", &[Auto, Int8, Int32, Uint32, Int64, Uint64, Size, Fd, Capability, Nop][..]),
            ("comm", &[String, Nop]),
            ("filename", &[String]),
            ("path", &[String, Uint64]),
            ("tagged", &[String]),
            ("filp", &[File, Auto, Uint64]),
            ("argv", &[Auto, Uint64, String]),
            ("args", &[Nop]),
            ("common_pid", &[Nop]),
            ("ret", &[Int64, Auto, Int32]),
            ("flag", &[Uint8, Auto, Int32]),
        ] {
            for ty in types {
                assert_eq!(named(field).fits("sched", *ty), Ok(()), "{field} {ty:?}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        use ArgType::*;
        for (field, ty, why) in [
            ("sig", String, "is int sig (4 bytes), which type string does not fit; write type: int"),
            ("pid", File, "is pid_t pid (4 bytes), which type file does not fit; write type: int"),
            ("comm", Auto, "is char comm[16] (16 bytes), which type auto does not fit; write type: string"),
            ("comm", Int64, "is char comm[16] (16 bytes), which type int64 does not fit; write type: string"),
            (
                "filename",
                Auto,
                "is __data_loc char[] filename (4 bytes), which type auto does not fit; write type: string",
            ),
            (
                "path",
                Auto,
                "is const char * path (8 bytes), which type auto does not fit; write type: string if there is text, or type: uint64 for the address",
            ),
            (
                "path",
                Int32,
                "is const char * path (8 bytes), which type int does not fit; write type: string if there is text, or type: uint64 for the address",
            ),
            ("filp", Path, "is struct file * filp (8 bytes), which type path does not fit; write type: file"),
            (
                "args",
                Uint64,
                "is unsigned long args[6] (48 bytes), which type uint64 does not fit; no type reads it: leave it out",
            ),
            (
                "kv",
                Auto,
                "is struct key_val kv (8 bytes), which type auto does not fit; no type reads it: leave it out",
            ),
            (
                "bytes",
                String,
                "is __data_loc u8[] bytes (4 bytes), which type string does not fit; no type reads it: leave it out",
            ),
            (
                "common_pid",
                Int32,
                "is int common_pid, one of the common fields, which the kernel does not give to programs; an event has the process, its pid and flags in process",
            ),
        ] {
            assert_eq!(named(field).fits("sched", ty), Err(why.to_owned()), "{field} {ty:?}");
        }
        let located = named("filename").fits("syscalls", String).expect_err("not given");
        assert!(located.contains("read the argument itself"), "{located}");
    }

    #[test]
    fn programs_are_told_where_and_how() {
        let spec = |name: &str| {
            let s = named(name).spec();
            (s.offset, s.size, s.kind)
        };
        assert_eq!(spec("sig"), (8, 4, FIELD_SIGNED));
        assert_eq!(spec("flag"), (144, 1, FIELD_UNSIGNED));
        assert_eq!(spec("comm"), (16, 16, FIELD_CHARS));
        assert_eq!(spec("filename"), (32, 4, FIELD_LOCATED));
        assert_eq!(spec("path"), (40, 8, FIELD_UNSIGNED));
        assert_eq!((named("comm").from(), named("path").from()), (FROM_FIELD, 0));
    }
}
