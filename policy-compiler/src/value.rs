//! The values of matchers: from text to typed operands.

use tetragon_api::plan::{ArgType, IntRange};

use crate::node::quote;

/// The integers that a type holds.
pub(crate) fn limits(ty: ArgType) -> IntRange {
    let bits = |n: u32, signed: bool| {
        if signed {
            IntRange { min: -(1i128 << (n - 1)), max: (1i128 << (n - 1)) - 1 }
        } else {
            IntRange { min: 0, max: (1i128 << n) - 1 }
        }
    };
    match ty {
        ArgType::Int8 => bits(8, true),
        ArgType::Uint8 => bits(8, false),
        ArgType::Int16 => bits(16, true),
        ArgType::Uint16 => bits(16, false),
        ArgType::Int32 => bits(32, true),
        ArgType::Uint32 => bits(32, false),
        ArgType::Int64 => bits(64, true),
        ArgType::Uint64 | ArgType::Size => bits(64, false),
        // Its size is known on the node only.
        _ => IntRange { min: bits(64, true).min, max: bits(64, false).max },
    }
}

/// A problem with a value: what is wrong, and what would be right.
pub(crate) type Problem = (String, String);

/// An integer as Go reads it with base 0: decimal, `0x`, `0o` or `0`, `0b`; `_` between digits.
pub(crate) fn int(text: &str, within: IntRange) -> Result<i128, Problem> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, radix) = match unsigned.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (&unsigned[2..], 16),
        Some("0o") => (&unsigned[2..], 8),
        Some("0b") => (&unsigned[2..], 2),
        _ if unsigned.len() > 1 && unsigned.starts_with('0') => (&unsigned[1..], 8),
        _ => (unsigned, 10),
    };
    let well_formed = digits.chars().next().is_some_and(|c| c.is_digit(radix))
        && digits.chars().all(|c| c.is_digit(radix) || c == '_')
        && !digits.ends_with('_')
        && !digits.contains("__");
    if !well_formed {
        return Err((
            format!("{} is not an integer", quote(text)),
            "write it in decimal, as 0x1f or as 017".to_owned(),
        ));
    }
    let digits = digits.replace('_', "");
    let out_of_range =
        || (format!("{text} is out of range"), format!("from {} to {} is possible", within.min, within.max));
    let value = i128::from_str_radix(&digits, radix).map_err(|_| out_of_range())?;
    let value = if text.starts_with('-') { -value } else { value };
    if value < within.min || value > within.max { Err(out_of_range()) } else { Ok(value) }
}

/// `MIN:MAX`, both within the range.
pub(crate) fn range(text: &str, within: IntRange) -> Result<IntRange, Problem> {
    let Some((min, max)) = text.split_once(':') else {
        return Err((
            format!("{} is not a range", quote(text)),
            format!("write MIN:MAX, as {text}:{text}, or use Equal"),
        ));
    };
    let (min, max) = (int(min.trim(), within)?, int(max.trim(), within)?);
    if min > max {
        return Err((format!("the range {text} is empty"), format!("write {max}:{min}")));
    }
    Ok(IntRange { min, max })
}

/// A mask for an integer of this type; negative numbers stand for their bits.
pub(crate) fn mask(text: &str, ty: ArgType) -> Result<u64, Problem> {
    let own = limits(ty);
    let bits = 128 - (own.max - own.min).leading_zeros();
    let all = u64::MAX >> (64 - bits.min(64));
    let value = int(text, IntRange { min: own.min, max: all.into() })?;
    #[expect(clippy::cast_possible_truncation, reason = "the bits of the type are what is wanted")]
    #[expect(clippy::cast_sign_loss, reason = "the bits of the type are what is wanted")]
    let mask = value as u64 & all;
    if mask == 0 {
        return Err(("a mask of 0 never matches".into(), "set the bits to look for".into()));
    }
    Ok(mask)
}

/// A text to compare with. Trailing NULs are stripped, as Tetragon does.
pub(crate) fn text(text: &str) -> Result<String, Problem> {
    let stripped = text.trim_end_matches('\0');
    if stripped.is_empty() {
        return Err(("the value is empty".into(), "write what to compare with".into()));
    }
    if stripped.contains('\0') {
        return Err((
            format!("{} has a NUL within: no text of the kernel has one", quote(text)),
            "write the text up to it".into(),
        ));
    }
    Ok(stripped.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_tetragon_reads_them() {
        let i32s = limits(ArgType::Int32);
        for (text, value) in [
            ("5", Some(5)),
            ("-5", Some(-5)),
            ("+5", Some(5)),
            ("0x115e", Some(4446)),
            ("0X1f", Some(31)),
            ("-0x10", Some(-16)),
            ("017", Some(15)),
            ("0o17", Some(15)),
            ("0b101", Some(5)),
            ("1_000", Some(1000)),
            ("0", Some(0)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", None),
            ("4294967296", None),
            ("-2147483648", Some(-2_147_483_648)),
            ("-2147483649", None),
            ("99999999999999999999999999999999999999999999999", None),
            ("", None),
            ("-", None),
            ("0x", None),
            ("08", None),
            ("1__0", None),
            ("1_", None),
            ("abc", None),
            ("1.5", None),
            (" 1", None),
            ("--1", None),
            ("0x-1", None),
        ] {
            assert_eq!(int(text, i32s).ok(), value, "{text}");
        }
        assert!(int("-1", limits(ArgType::Uint32)).is_err());
        assert_eq!(int("18446744073709551615", limits(ArgType::Size)).ok(), Some(u64::MAX.into()));
    }

    #[test]
    fn ranges_and_masks() {
        let u8s = limits(ArgType::Uint8);
        assert_eq!(range("1:0x10", u8s).ok(), Some(IntRange { min: 1, max: 16 }));
        assert!(range("5", u8s).is_err() && range("5:4", u8s).is_err() && range("5:256", u8s).is_err());
        assert_eq!(range("-5:-1", limits(ArgType::Int8)).ok(), Some(IntRange { min: -5, max: -1 }));
        assert_eq!(mask("0x80000000", ArgType::Int32).ok(), Some(0x8000_0000));
        assert_eq!(mask("-1", ArgType::Int8).ok(), Some(0xff));
        assert_eq!(mask("0xffffffffffffffff", ArgType::Auto).ok(), Some(u64::MAX));
        assert!(mask("0x100000000", ArgType::Uint32).is_err() && mask("0", ArgType::Uint32).is_err());
    }

    #[test]
    fn texts_lose_trailing_nuls_only() {
        assert_eq!(text("/etc/shadow\0\0").ok().as_deref(), Some("/etc/shadow"));
        assert!(text("\0").is_err() && text("a\0b").is_err() && text("").is_err());
    }
}
