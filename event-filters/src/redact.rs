//! Redaction: what the groups of regular expressions match in a process's arguments is hidden,
//! before anybody sees it.

use std::ops::Range;

use regex::{Captures, Regex};
use serde::Deserialize;

use crate::json::{Kind, Member, parse};
use crate::{FilterError, Reason, re2};

/// What stands in the place of what is hidden.
pub const REDACTED: &str = "*****";

const MEMBERS: &[Member] = &[("binary_regex", Kind::Plain), ("match", Kind::Plain), ("redact", Kind::Plain)];

/// A filter as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    redact: Vec<String>,
    binary_regex: Vec<String>,
    r#match: Option<serde_json::Value>,
}

/// Redaction filters.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    filters: Vec<Compiled>,
}

#[derive(Clone, Debug)]
struct Compiled {
    /// Only of these programs; none: of all.
    binaries: Vec<Regex>,
    redact: Vec<Regex>,
}

impl Redaction {
    /// Reads filters: JSON objects, one after the other.
    pub fn parse(text: &str) -> Result<Redaction, FilterError> {
        let written: Vec<Written> = parse(text, MEMBERS)?;
        let compile =
            |(index, w): (usize, &Written)| Compiled::new(w).map_err(|reason| FilterError { index, reason });
        Ok(Redaction { filters: written.iter().enumerate().map(compile).collect::<Result<_, _>>()? })
    }

    /// Nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// The arguments of a process of this program, with what is to be hidden replaced.
    pub fn apply(&self, binary: &str, arguments: String) -> String {
        let of_program =
            |f: &&Compiled| f.binaries.is_empty() || f.binaries.iter().any(|b| b.is_match(binary));
        let redact = self.filters.iter().filter(of_program).flat_map(|f| &f.redact);
        redact.fold(arguments, |text, regex| hide(regex, text))
    }
}

impl Compiled {
    fn new(written: &Written) -> Result<Compiled, Reason> {
        if written.r#match.is_some() {
            let instead = "it is deprecated in Tetragon; use binary_regex to say of which programs";
            return Err(Reason::Deprecated { field: "match", instead });
        }
        if written.redact.is_empty() {
            return Err(Reason::NoRedact);
        }
        let redact = expressions("redact", &written.redact)?;
        // The whole match is a group of its own.
        if let Some(index) = redact.iter().position(|r| r.captures_len() < 2) {
            return Err(Reason::NoGroup { index, expression: written.redact[index].clone() });
        }
        Ok(Compiled { binaries: expressions("binary_regex", &written.binary_regex)?, redact })
    }
}

fn expressions(field: &'static str, list: &[String]) -> Result<Vec<Regex>, Reason> {
    let compile = |(index, text): (usize, &String)| {
        re2::one(text).build().map_err(|source| Reason::Regex { field, index, source })
    };
    list.iter().enumerate().map(compile).collect()
}

/// Replaces what the groups of each match hold.
fn hide(regex: &Regex, text: String) -> String {
    let mut hidden = String::new();
    let mut done = 0;
    for captures in regex.captures_iter(&text) {
        for range in groups(&captures) {
            // A group inside one that is hidden already.
            if range.start < done {
                continue;
            }
            hidden.push_str(&text[done..range.start]);
            hidden.push_str(REDACTED);
            done = range.end;
        }
    }
    if done == 0 && hidden.is_empty() {
        return text;
    }
    hidden.push_str(&text[done..]);
    hidden
}

/// The groups that took part in a match, from the left; of two that begin together the longer first.
fn groups(captures: &Captures<'_>) -> impl Iterator<Item = Range<usize>> {
    let mut list: Vec<Range<usize>> = captures.iter().skip(1).flatten().map(|m| m.range()).collect();
    list.sort_by_key(|r| (r.start, usize::MAX - r.end));
    list.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(filters: &str, binary: &str, arguments: &str) -> String {
        Redaction::parse(filters).unwrap().apply(binary, arguments.to_owned())
    }

    #[test]
    fn groups_are_hidden() {
        let mysql = "--verbose=true --password ybx511!ackt544 --username foobar";
        for (filters, arguments, wanted) in [
            (
                r#"{"redact":["(?:--password|-p)[\\s=]+(\\S+)"]}"#,
                mysql,
                "--verbose=true --password ***** --username foobar",
            ),
            (r#"{"redact":["(ab)cd"]}"#, "abcd abcd", "*****cd *****cd"),
            (r#"{"redact":["(ab)cd"]}"#, "abef", "abef"),
            // The outer group hides the inner one, whatever their order.
            (r#"{"redact":["(foo(bar))qux"]}"#, "foobarqux", "*****qux"),
            // A group that took no part hides nothing.
            (r#"{"redact":["a(b)|c(d)"]}"#, "cd ab", "c***** a*****"),
            (r#"{"redact":["(\\w+)@(\\w+)"]}"#, "x me@host", "x *****@*****"),
            (r#"{"redact":["(ab)c","(c)$"]}"#, "abc", "**********"),
            (
                "{\"redact\":[\"-p (\\\\S+)\"]}\n{\"redact\":[\"-u (\\\\S+)\"]}",
                "-p x -u y",
                "-p ***** -u *****",
            ),
            // Beginnings and ends are those of the whole text.
            (r#"{"redact":["^(\\S+) .*?(\\S+)$"]}"#, "first é last", "***** é *****"),
            (r#"{"redact":["(é)"]}"#, "é", "*****"),
            ("", "nothing", "nothing"),
        ] {
            assert_eq!(redacted(filters, "/bin/x", arguments), wanted, "{filters}");
        }
    }

    #[test]
    fn only_of_some_programs() {
        let filters = r#"{"binary_regex":["mysql$","/psql$"],"redact":["-p(\\S+)"]}"#;
        assert_eq!(redacted(filters, "/usr/bin/mysql", "-psecret"), "-p*****");
        assert_eq!(redacted(filters, "/usr/bin/psql", "-psecret"), "-p*****");
        assert_eq!(redacted(filters, "/usr/bin/mysqld", "-psecret"), "-psecret");
        let filters = filters.replace("binary_regex", "binaryRegex");
        assert_eq!(redacted(&filters, "/usr/bin/mysqld", "-psecret"), "-psecret", "protobuf's other name");
    }

    /// The example of docs/events.md.
    #[test]
    fn the_example_of_the_docs() {
        let filters = r#"{"binary_regex":["/mysql$"],"redact":["(?:--password|-p)[\\s=]*(\\S+)"]}"#;
        assert!(include_str!("../../docs/events.md").contains(filters));
        for (binary, arguments, wanted) in [
            ("/usr/bin/mysql", "-u me --password=secret db", "-u me --password=***** db"),
            ("/usr/bin/mysql", "-psecret", "-p*****"),
            ("/bin/echo", "-psecret", "-psecret"),
        ] {
            assert_eq!(redacted(filters, binary, arguments), wanted);
        }
    }

    #[test]
    fn wrong_filters_say_which_and_where() {
        for (text, part) in [
            (r#"{"redact":["(a)"]} {"redact":["(a)","("]}"#, "filter 1: redact[1]: regex parse error"),
            (
                r#"{"redact":["(a)"],"binary_regex":["a","["]}"#,
                "filter 0: binary_regex[1]: regex parse error",
            ),
            (
                r#"{"redact":["(a)","--password \\S+"]}"#,
                "filter 0: redact[1]: `--password \\S+` has no group",
            ),
            (r#"{"redact":["(?:a)"]}"#, "has no group"),
            (r#"{"binary_regex":["x"]}"#, "filter 0: `redact` is missing"),
            (r#"{"match":[{"binary_regex":["x"]}],"redact":["(a)"]}"#, "filter 0: `match` is not supported"),
            (
                r#"{"redactions":["(a)"]}"#,
                "there is no member `redactions`; there are binary_regex, match, redact",
            ),
            (r#"{"redact":"(a)"}"#, "filter 0: invalid type: string"),
            ("{", "filter 0: EOF"),
        ] {
            let error = Redaction::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Redaction::parse(" ").unwrap().is_empty());
    }
}
