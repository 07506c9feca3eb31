//! The kernel's own type information: offsets of members, functions and their signatures.
//! Format: Documentation/bpf/btf.rst. Nothing in it is trusted: every read is checked.

const KIND_STRUCT: u8 = 4;
const KIND_UNION: u8 = 5;
const KIND_ENUM: u8 = 6;
const KIND_FUNC: u8 = 12;
const KIND_FUNC_PROTO: u8 = 13;

/// Parsed BTF of a kernel.
#[derive(Debug)]
pub struct Btf {
    data: Vec<u8>,
    strings: usize,
    /// Offset of each type's header, by id; 0 is void.
    types: Vec<usize>,
    /// Ids of structs and unions, and of functions. Found by going through them: a map by name
    /// would take more memory than the whole of the rest.
    structs: Vec<u32>,
    functions: Vec<u32>,
}

/// A type, roughly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Described<'a> {
    /// A pointer to a struct or union of that name.
    StructPointer(&'a str),
    /// Another pointer.
    Pointer,
    /// An integer or enum.
    Integer,
    /// Anything else.
    Other,
}

/// Why BTF could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// There is no file, or it cannot be read.
    #[error("/sys/kernel/btf/vmlinux: {0} (the kernel needs CONFIG_DEBUG_INFO_BTF)")]
    Read(#[from] std::io::Error),
    /// It does not hold together.
    #[error("the kernel's BTF is damaged at byte {0}")]
    Damaged(usize),
}

impl Btf {
    /// Reads the running kernel's.
    pub fn of_kernel() -> Result<Btf, BtfError> {
        Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux")?)
    }

    /// Parses raw BTF.
    pub fn parse(data: Vec<u8>) -> Result<Btf, BtfError> {
        let mut b = Btf { data, strings: 0, types: vec![0], structs: Vec::new(), functions: Vec::new() };
        if b.half(0)? & 0xffff != 0xeb9f {
            return Err(BtfError::Damaged(0));
        }
        let header = b.half(4)? as usize;
        let at = |n: u32| header.checked_add(n as usize).ok_or(BtfError::Damaged(4));
        let (mut p, len) = (at(b.half(8)?)?, b.half(12)? as usize);
        b.strings = at(b.half(16)?)?;
        let end = p + len;
        while p < end {
            let info = b.half(p + 4)?;
            let (kind, n) = (((info >> 24) & 0x1f) as u8, (info & 0xffff) as usize);
            let id = b.types.len() as u32;
            b.types.push(p);
            match kind {
                KIND_STRUCT | KIND_UNION => b.structs.push(id),
                KIND_FUNC => b.functions.push(id),
                _ => {}
            }
            p += 12
                + match kind {
                    1 | 14 | 17 => 4,
                    3 => 12,
                    KIND_STRUCT | KIND_UNION | 15 | 19 => 12 * n,
                    6 | KIND_FUNC_PROTO => 8 * n,
                    _ => 0,
                };
        }
        Ok(b)
    }

    fn half(&self, at: usize) -> Result<u32, BtfError> {
        let b = self.data.get(at..at + 4).ok_or(BtfError::Damaged(at))?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn field(&self, at: usize) -> Option<u32> {
        self.half(at).ok()
    }

    fn name(&self, off: u32) -> &str {
        text(&self.data, self.strings, off).unwrap_or("")
    }

    /// (kind, number of members, offset of the header) of a type.
    fn header(&self, id: u32) -> Option<(u8, usize, usize)> {
        let p = *self.types.get(id as usize).filter(|_| id != 0)?;
        let info = self.field(p + 4)?;
        Some((((info >> 24) & 0x1f) as u8, (info & 0xffff) as usize, p))
    }

    /// The first of `ids` that has the name.
    fn find(&self, ids: &[u32], name: &str) -> Option<u32> {
        let named = |id: &&u32| {
            let off = self.types.get(**id as usize).and_then(|p| self.field(*p)).unwrap_or(0) as usize;
            let rest = self.data.get(self.strings + off..).unwrap_or_default();
            rest.starts_with(name.as_bytes()) && rest.get(name.len()) == Some(&0)
        };
        ids.iter().find(named).copied()
    }

    /// BTF id of a function.
    pub fn function(&self, name: &str) -> Option<u32> {
        self.find(&self.functions, name)
    }

    fn structure(&self, name: &str) -> Option<u32> {
        self.find(&self.structs, name)
    }

    /// The value of a constant of an enum.
    pub fn constant(&self, name: &str) -> Option<u32> {
        let enums = (1..self.types.len() as u32).filter_map(|id| self.header(id));
        let mut all =
            enums.filter(|h| h.0 == KIND_ENUM).flat_map(|(_, n, p)| (0..n).map(move |i| p + 12 + 8 * i));
        let at = all.find(|at| self.field(*at).is_some_and(|off| self.name(off) == name))?;
        self.field(at + 4)
    }

    /// Names of a function's parameters.
    pub fn parameters(&self, function: &str) -> Option<Vec<&str>> {
        let (_, _, p) = self.header(self.function(function)?)?;
        let (_, n, p) = self.header(self.field(p + 8)?)?;
        (0..n).map(|i| Some(self.name(self.field(p + 12 + 8 * i)?))).collect()
    }

    /// Types of a function's parameters, and whether it returns something.
    pub fn signature(&self, function: &str) -> Option<(Vec<u32>, bool)> {
        let (_, _, p) = self.header(self.function(function)?)?;
        let (kind, n, p) = self.header(self.field(p + 8)?)?;
        if kind != KIND_FUNC_PROTO {
            return None;
        }
        let params = (0..n).map(|i| self.field(p + 12 + 8 * i + 4)).collect::<Option<_>>()?;
        Some((params, self.field(p + 8)? != 0))
    }

    /// A parameter's type, as far as it matters: the struct that it points to, or what it is.
    pub fn describe(&self, id: u32) -> Described<'_> {
        const INT: u8 = 1;
        const PTR: u8 = 2;
        const ENUM: u8 = 6;
        const ENUM64: u8 = 19;
        match self.header(self.strip(id)) {
            Some((PTR, _, p)) => match self.header(self.strip(self.field(p + 8).unwrap_or(0))) {
                Some((KIND_STRUCT | KIND_UNION, _, p)) => {
                    Described::StructPointer(self.name(self.field(p).unwrap_or(0)))
                }
                _ => Described::Pointer,
            },
            Some((INT | ENUM | ENUM64, _, _)) => Described::Integer,
            _ => Described::Other,
        }
    }

    /// Size of a struct in bytes.
    pub fn size(&self, name: &str) -> Option<u32> {
        let (_, _, p) = self.header(self.structure(name)?)?;
        self.field(p + 8)
    }

    /// Byte offset of `path` (`f_path.dentry`) in struct `name`.
    pub fn offset(&self, name: &str, path: &str) -> Option<u32> {
        let mut id = self.structure(name)?;
        let mut bits = 0;
        for member in path.split('.') {
            let (off, of) = self.member(self.strip(id), member, 0)?;
            bits += off;
            id = of;
        }
        (bits % 8 == 0).then_some(bits / 8)
    }

    /// Goes through typedefs and qualifiers.
    fn strip(&self, mut id: u32) -> u32 {
        for _ in 0..32 {
            match self.header(id) {
                Some((8..=11 | 18, _, p)) => id = self.field(p + 8).unwrap_or(0),
                _ => break,
            }
        }
        id
    }

    /// (offset in bits, type) of a member; members of unnamed members are its own.
    fn member(&self, id: u32, name: &str, depth: u32) -> Option<(u32, u32)> {
        let (kind, n, p) = self.header(id)?;
        if depth > 16 || !matches!(kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        let bitfields = self.field(p + 4)? >> 31 == 1;
        for i in 0..n {
            let q = p + 12 + 12 * i;
            let (called, of, off) = (self.name(self.field(q)?), self.field(q + 4)?, self.field(q + 8)?);
            let off = if bitfields { off & 0xff_ffff } else { off };
            if called == name {
                return Some((off, of));
            }
            if called.is_empty()
                && let Some((inner, of)) = self.member(self.strip(of), name, depth + 1)
            {
                return Some((off + inner, of));
            }
        }
        None
    }
}

fn text(data: &[u8], strings: usize, off: u32) -> Option<&str> {
    let rest = data.get(strings.checked_add(off as usize)?..)?;
    let end = rest.iter().position(|c| *c == 0)?;
    std::str::from_utf8(&rest[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_input_is_refused_and_never_panics() {
        for cut in [0, 3, 4, 23, 24] {
            let mut d = vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0];
            d.truncate(cut);
            assert!(matches!(Btf::parse(d), Err(BtfError::Damaged(_))));
        }
    }
}
