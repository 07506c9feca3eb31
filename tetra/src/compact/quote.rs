//! Quoting of strings that a process chose: one with a blank or with something that is not printable
//! is shown as a Go string literal, so that it can neither confuse the columns nor the terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` itself, or `text` as a Go string literal if it has a blank or an unprintable character.
pub(super) fn quoted(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| c != ' ' && printable(c)) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(literal(text))
    }
}

/// Letters, marks, numbers, punctuation, symbols and the ASCII blank.
fn printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // The standard library knows what is printable, but says so only by how it escapes. The letter in
    // front keeps it from escaping a combining mark, as it does at the start of a string.
    let mut text = [0; 5];
    text[0] = b'a';
    let end = 1 + c.encode_utf8(&mut text[1..]).len();
    str::from_utf8(&text[..end]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0x1f | 0x7f => write!(out, "\\x{code:02x}"),
                    0x80..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_strings_stay() {
        for text in ["", "/usr/bin/curl", "a\"b\\c", "Grüße", "日本", "e\u{301}", "\u{fffd}", "🐝"] {
            assert_eq!(quoted(text), text);
        }
    }

    #[test]
    fn others_are_go_literals() {
        for (text, wanted) in [
            ("a b", r#""a b""#),
            ("say \"hi\"", r#""say \"hi\"""#),
            ("a\nb\\c d", r#""a\nb\\c d""#),
            ("\x07\x08\x0c\r\t\x0b", r#""\a\b\f\r\t\v""#),
            ("\x1b[31m", r#""\x1b[31m""#),
            ("\x7f", r#""\x7f""#),
            ("\u{85}", r#""\u0085""#),
            ("a\u{a0}b", r#""a\u00a0b""#),
            ("\u{200b}", r#""\u200b""#),
            ("\u{202e}x", r#""\u202ex""#),
            ("\u{e0001}", r#""\U000e0001""#),
            ("é \u{301}", "\"é \u{301}\""),
        ] {
            assert_eq!(quoted(text), wanted);
        }
    }
}
