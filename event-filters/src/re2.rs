//! Regular expressions as Tetragon takes them: in the language of RE2, which Go's `regexp` has too. It is
//! nearly that of the crate that matches them here; what differs is written in another way before it is
//! compiled.
//!
//! | RE2 | here |
//! | --- | --- |
//! | `\d`, `\w`, `\s`, `\b` are about ASCII | would be about Unicode |
//! | a brace that begins no repetition is a brace | would be an error |
//! | `[`, `&&`, `--`, `~~` in a class are characters | would be nested classes and set operations |
//! | `\Q...\E` quotes, `\101` is octal, `\p{^Greek}` is not Greek | would be errors |
//! | `\<`, `\>` are characters | would be ends of words |

use regex::{RegexBuilder, RegexSetBuilder};

/// Memory that expressions may take when they are compiled: filters come from clients, too.
const SIZE_MAX: usize = 8 << 20;
/// Memory for what is known of them while they match; when it is full, it is made anew.
const CACHE_MAX: usize = 1 << 20;

/// How an expression is compiled.
pub(crate) fn one(expression: &str) -> RegexBuilder {
    let mut builder = RegexBuilder::new(&translate(expression));
    builder.size_limit(SIZE_MAX).dfa_size_limit(CACHE_MAX);
    builder
}

/// How several are compiled, of which one is enough.
pub(crate) fn any(expressions: &[String]) -> RegexSetBuilder {
    let mut builder = RegexSetBuilder::new(expressions.iter().map(|e| translate(e)));
    builder.size_limit(SIZE_MAX).dfa_size_limit(CACHE_MAX);
    builder
}

/// An expression in the language of the regex crate. What is wrong stays wrong.
fn translate(expression: &str) -> String {
    let mut t = Translation { rest: expression, out: String::with_capacity(expression.len() + 16) };
    while let Some(c) = t.next() {
        match c {
            '\\' => t.escape(),
            '[' => t.class(),
            '{' if t.repetition() => {}
            '{' | '}' => t.literal(c),
            c => t.out.push(c),
        }
    }
    t.out
}

struct Translation<'a> {
    rest: &'a str,
    out: String,
}

impl Translation<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// The next character, if it is one of these.
    fn next_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        self.rest.chars().next().filter(|c| wanted(*c))?;
        self.next()
    }

    /// A character that means itself.
    fn literal(&mut self, c: char) {
        self.out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    /// As much of what follows as it is long.
    fn copy(&mut self, len: usize) {
        let (now, rest) = self.rest.split_at(len);
        self.out.push_str(now);
        self.rest = rest;
    }

    /// What follows a brace is a repetition: `{2}`, `{2,}`, `{2,5}`.
    fn repetition(&mut self) -> bool {
        let Some(end) = self.rest.find('}') else { return false };
        let number = |text: &str| {
            text == "0"
                || !text.starts_with('0') && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
        };
        let is_one = match self.rest[..end].split_once(',') {
            None => number(&self.rest[..end]),
            Some((least, most)) => number(least) && (most.is_empty() || number(most)),
        };
        if is_one {
            self.out.push('{');
            self.copy(end + 1);
        }
        is_one
    }

    /// What follows a backslash outside of a class.
    fn escape(&mut self) {
        match self.next() {
            None => self.out.push('\\'),
            Some('Q') => {
                let (quoted, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                self.out.push_str(&regex::escape(quoted));
                self.rest = rest;
            }
            Some('b') => self.out.push_str(r"(?-u:\b)"),
            Some('B') => self.out.push_str(r"(?-u:\B)"),
            Some(c) => match perl(c) {
                Some((inside, true)) => self.out.push_str(&format!("[^{inside}]")),
                Some((inside, false)) => self.out.push_str(&format!("[{inside}]")),
                None if matches!(c, 'p' | 'P') => self.property(c),
                None => self.character(c),
            },
        }
    }

    /// What follows a bracket, up to the one that ends it.
    fn class(&mut self) {
        self.out.push('[');
        if self.next_if(|c| c == '^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        while let Some(c) = self.next() {
            match c {
                ']' if !first => return self.out.push(']'),
                '[' if self.posix() => {}
                '\\' => self.in_class(),
                c => {
                    self.literal(c);
                    self.range();
                }
            }
            first = false;
        }
    }

    /// `[:alpha:]`, of which the first bracket is read.
    fn posix(&mut self) -> bool {
        let name = self.rest.strip_prefix(':').and_then(|rest| rest.split_once(":]")).map(|(name, _)| name);
        let letters = |name: &str| name.trim_start_matches('^').bytes().all(|b| b.is_ascii_lowercase());
        let Some(name) = name.filter(|name| letters(name)) else { return false };
        self.out.push('[');
        self.copy(name.len() + 3);
        true
    }

    /// What follows a backslash in a class.
    fn in_class(&mut self) {
        match self.next() {
            None => self.out.push('\\'),
            Some(c) => match perl(c) {
                Some((inside, true)) => self.out.push_str(&format!("[^{inside}]")),
                Some((inside, false)) => self.out.push_str(inside),
                None if matches!(c, 'p' | 'P') => self.property(c),
                None => {
                    self.character(c);
                    self.range();
                }
            },
        }
    }

    /// The rest of a range of which the first character is read, if it is one: `-z`.
    fn range(&mut self) {
        let Some(to) = self.rest.strip_prefix('-').and_then(|rest| rest.chars().next()) else { return };
        if to == ']' {
            return;
        }
        self.copy(1);
        match self.next() {
            Some('\\') => match self.next() {
                Some(c) => self.character(c),
                None => self.out.push('\\'),
            },
            Some(c) => self.literal(c),
            None => {}
        }
    }

    /// `\pL`, `\p{Greek}`, `\p{^Greek}`, of which the letter is read.
    fn property(&mut self, letter: char) {
        let negated = self.rest.starts_with("{^");
        let letter = match letter {
            'p' if negated => 'P',
            'P' if negated => 'p',
            letter => letter,
        };
        self.out.extend(['\\', letter]);
        if negated {
            self.out.push('{');
            self.rest = &self.rest[2..];
        }
        let len = if negated || self.rest.starts_with('{') {
            self.rest.find('}').map_or(0, |end| end + 1)
        } else {
            self.rest.chars().next().map_or(0, char::len_utf8)
        };
        self.copy(len);
    }

    /// One character that is written with a backslash, or something that the crate knows or refuses.
    fn character(&mut self, c: char) {
        let octal = |c: char| ('0'..='7').contains(&c);
        match c {
            // RE2 has no back references: one digit alone is wrong there, too.
            '0' | '1'..='7' if c == '0' || self.rest.starts_with(octal) => {
                let mut code = c.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    let digit = self.next_if(octal).and_then(|c| c.to_digit(8));
                    code = digit.map_or(code, |digit| code * 8 + digit);
                }
                self.out.push_str(&format!("\\x{{{code:x}}}"));
            }
            'x' if self.rest.starts_with('{') => {
                self.out.push_str("\\x");
                self.copy(self.rest.find('}').map_or(self.rest.len(), |n| n + 1));
            }
            c if c.is_ascii_punctuation() => self.literal(c),
            c => self.out.extend(['\\', c]),
        }
    }
}

/// What a class of Perl has, and whether that is what it has not.
fn perl(letter: char) -> Option<(&'static str, bool)> {
    let inside = match letter.to_ascii_lowercase() {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => r"\t\n\f\r ",
        _ => return None,
    };
    Some((inside, letter.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go's regexp says of these.
    #[test]
    fn expressions_mean_what_they_mean_in_re2() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("^/usr/bin/(curl|wget)$", &["/usr/bin/curl"], &["/usr/bin/curl2", "usr/bin/curl"]),
            // ASCII.
            (r"^\d+$", &["19"], &["١٩", "1a"]),
            (r"^\w+$", &["a_9"], &["é", "a b"]),
            (r"^\W$", &["é", " "], &["_"]),
            (r"^\s$", &["\t", " "], &["\u{a0}", "\u{b}", "x"]),
            (r"^[\d.]+$", &["1.2"], &["١"]),
            (r"^[^\w]+$", &["é-"], &["a"]),
            (r"^[\D]+$", &["a١"], &["1"]),
            (r"^[\S\n]+$", &["a\n"], &[" "]),
            (r"\bcat\b", &["a cat", "écat"], &["scat"]),
            (r"a\Bb", &["ab"], &["a b"]),
            (r"(?i)^\w$", &["Z", "\u{212a}"], &["é"]),
            // Braces.
            (r#"^{"a":1}$"#, &[r#"{"a":1}"#], &["a"]),
            ("^a{$", &["a{"], &["a"]),
            ("^a{,2}$", &["a{,2}"], &["aa"]),
            ("^a{01}$", &["a{01}"], &["a"]),
            ("^a{2}b{1,}c{0,2}$", &["aab", "aabbcc"], &["ab", "aabccc"]),
            ("^${HOME}", &[], &["${HOME}"]),
            (r"^\${HOME}$", &["${HOME}"], &["$HOME"]),
            (r"^a}\{$", &["a}{"], &["a"]),
            // Classes.
            ("^[[]$", &["["], &["]"]),
            ("^[[a-c]+$", &["[ab"], &["d"]),
            ("^[]a]+$", &["]a"], &["b"]),
            ("^[^]a]+$", &["b"], &["]"]),
            ("^[a&&b]+$", &["a&b"], &["c"]),
            ("^[a~~b]+$", &["a~b"], &["c"]),
            ("^[+--]+$", &["+,-"], &["."]),
            ("^[a-]+$", &["a-"], &["b"]),
            ("^[a-c-e]+$", &["b-e"], &["d"]),
            (r"^[\]\-x]+$", &["]-x"], &["\\"]),
            (r"^[\x41-\x{43}]+$", &["ABC"], &["D"]),
            ("^[[:alpha:]_]+$", &["a_"], &["1", ":"]),
            ("^[[:^digit:]]$", &["a"], &["1"]),
            ("^[[:]+$", &["[:"], &["a"]),
            ("^[#{} ]+$", &["# {}"], &["x"]),
            // Quotes, octal, properties, punctuation.
            (r"^\Qa.b[\E+$", &["a.b[", "a.b[["], &["axb["]),
            (r"\Q{(", &["x{("], &["x"]),
            (r"^\101\07[\0-\177]$", &["A\u{7}z"], &["A7z", "A\u{7}é"]),
            (r"^\pL\p{Greek}\p{^Greek}$", &["aαa"], &["aαα"]),
            (r"^[\P{^Greek}a]+$", &["αa"], &["b"]),
            (r"^[\pN-x]+$", &["1-x"], &["a"]),
            (r"^[\d-x]+$", &["1-x"], &["a"]),
            (r"^\<\/\_\>$", &["</_>"], &["/"]),
            // Too large before.
            (r"^\w{500}$", &[], &["a"]),
            (r"^(\w+[.]){1,100}[a-z]{2,63}$", &["a.b.example"], &["a"]),
        ];
        for (expression, yes, no) in cases {
            let regex = one(expression).build().unwrap_or_else(|e| panic!("{expression}: {e}"));
            for (texts, wanted) in [(yes, true), (no, false)] {
                for text in *texts {
                    assert_eq!(regex.is_match(text), wanted, "{expression} on {text:?}: {regex}");
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_stays_wrong() {
        for expression in [
            "(", ")", "[", "[a", "[]", "[^]", "a\\", "[\\", r"\1", r"\8", r"\E", "*", "[b-a]", r"[a-\d]",
            r"\x{41", r"\p{", r"\pé",
        ] {
            assert!(one(expression).build().is_err(), "{expression}: {}", translate(expression));
        }
    }
}
