//! What an answer of the server means for the documents of a request.

use std::fmt;

use serde::Deserialize;

/// What became of a request.
#[derive(Debug)]
pub enum Reply {
    /// It was answered.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The body, or its beginning.
        body: Vec<u8>,
    },
    /// There is no answer: no connection, no time left, no credentials to send. The text says why.
    None(String),
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Each document has an answer of its own.
    Items(Vec<ItemAnswer>),
    /// Nothing was taken; the same again.
    Again(Pause, String),
    /// It was too long; the same in smaller parts.
    Smaller(String),
    /// The server wants none of it, now or later.
    Lost(String),
}

/// How long to wait before the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pause {
    /// The server is away or busy: it comes back by itself.
    Backoff,
    /// The account, the URL or the index is wrong: somebody must change something.
    Long,
}

/// What to do with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is stored.
    Delivered,
    /// It was stored by an attempt before, whose answer did not arrive.
    Duplicate,
    /// The same again.
    Again(Pause),
    /// The server does not want this one.
    Lost,
}

/// The answer to a document.
#[derive(Debug, PartialEq, Eq)]
pub struct ItemAnswer {
    /// What to do.
    pub fate: Fate,
    /// The kind of error and its text, if it is one.
    pub error: Option<ItemError>,
}

/// An error of a document, in the server's words.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
pub struct ItemError {
    /// `mapper_parsing_exception`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// A sentence.
    #[serde(default)]
    pub reason: String,
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.reason)
    }
}

/// Characters of an answer that a message shows.
const SHOWN: usize = 512;

/// Judges the answer to a request of `count` documents.
pub fn judge(reply: Reply, count: usize) -> Verdict {
    let (status, body) = match reply {
        Reply::None(why) => return Verdict::Again(Pause::Backoff, why),
        Reply::Answer { status, body } => (status, body),
    };
    let said = || format!("the answer is {status}: {}", shown(&body));
    match status {
        200 | 201 => match items(&body, count) {
            Ok(items) => Verdict::Items(items),
            // A login page, a proxy's own words: not the server that was meant.
            Err(why) => Verdict::Again(
                Pause::Long,
                format!("the answer is {status} and not that of _bulk ({why}): {}", shown(&body)),
            ),
        },
        // 502 and 504 are a proxy's way to say that it has no connection.
        429 | 502..=504 => Verdict::Again(Pause::Backoff, said()),
        413 => Verdict::Smaller(said()),
        // About the URL or the account, whatever the documents are.
        300..=399 | 401 | 403 | 404 | 405 | 407 => Verdict::Again(Pause::Long, said()),
        _ => Verdict::Lost(said()),
    }
}

/// Judges the answer to a document.
fn fate(status: u16) -> Fate {
    match status {
        200 | 201 => Fate::Delivered,
        409 => Fate::Duplicate,
        429 | 503 => Fate::Again(Pause::Backoff),
        // About the account or the index, whatever the document is.
        401 | 403 | 404 => Fate::Again(Pause::Long),
        _ => Fate::Lost,
    }
}

fn items(body: &[u8], count: usize) -> Result<Vec<ItemAnswer>, String> {
    #[derive(Deserialize)]
    struct Bulk {
        items: Vec<Operation>,
    }
    #[derive(Deserialize)]
    struct Operation {
        create: Item,
    }
    #[derive(Deserialize)]
    struct Item {
        status: u16,
        error: Option<ItemError>,
    }
    let bulk: Bulk = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    if bulk.items.len() != count {
        return Err(format!("{} answers to {count} documents", bulk.items.len()));
    }
    let judged =
        bulk.items.into_iter().map(|i| ItemAnswer { fate: fate(i.create.status), error: i.create.error });
    Ok(judged.collect())
}

/// The beginning of an answer, in one line.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut short: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = short.char_indices().nth(SHOWN) {
        short.truncate(at);
        short.push_str("...");
    }
    if short.is_empty() { "(nothing)".to_owned() } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Verdict {
        judge(Reply::Answer { status, body: body.as_bytes().to_vec() }, 2)
    }

    #[test]
    fn requests() {
        for (status, expected) in [
            (429, "again"),
            (502, "again"),
            (503, "again"),
            (504, "again"),
            (301, "long"),
            (401, "long"),
            (403, "long"),
            (404, "long"),
            (405, "long"),
            (413, "smaller"),
            (400, "lost"),
            (406, "lost"),
            (422, "lost"),
            (500, "lost"),
            (501, "lost"),
            (505, "lost"),
        ] {
            let verdict = answer(status, "some\n  words");
            let (found, why) = match &verdict {
                Verdict::Items(_) => panic!("{status}"),
                Verdict::Again(Pause::Backoff, why) => ("again", why),
                Verdict::Again(Pause::Long, why) => ("long", why),
                Verdict::Smaller(why) => ("smaller", why),
                Verdict::Lost(why) => ("lost", why),
            };
            assert_eq!(
                (found, why.as_str()),
                (expected, format!("the answer is {status}: some words").as_str())
            );
        }
        assert_eq!(judge(Reply::None("x".into()), 2), Verdict::Again(Pause::Backoff, "x".into()));
    }

    #[test]
    fn documents() {
        for (status, expected) in [
            (201, Fate::Delivered),
            (409, Fate::Duplicate),
            (429, Fate::Again(Pause::Backoff)),
            (503, Fate::Again(Pause::Backoff)),
            (401, Fate::Again(Pause::Long)),
            (403, Fate::Again(Pause::Long)),
            (404, Fate::Again(Pause::Long)),
            (400, Fate::Lost),
            (413, Fate::Lost),
            (500, Fate::Lost),
        ] {
            assert_eq!(fate(status), expected, "{status}");
        }
    }

    #[test]
    fn each_document_has_its_answer() {
        let body = r#"{"errors":true,"items":[{"create":{"status":201}},
            {"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"no"}}}]}"#;
        let error = ItemError { kind: "mapper_parsing_exception".into(), reason: "no".into() };
        assert_eq!(error.to_string(), "mapper_parsing_exception: no");
        let expected = vec![
            ItemAnswer { fate: Fate::Delivered, error: None },
            ItemAnswer { fate: Fate::Lost, error: Some(error) },
        ];
        assert_eq!(answer(200, body), Verdict::Items(expected));
    }

    #[test]
    fn what_is_no_answer_of_bulk_delivers_nothing() {
        let one = r#"{"items":[{"create":{"status":201}}]}"#;
        for (body, part) in
            [("<html>log in</html>", "<html>log in"), (one, "1 answers to 2"), ("", "(nothing)")]
        {
            let Verdict::Again(Pause::Long, why) = answer(200, body) else { panic!("{body}") };
            assert!(why.contains(part), "{why}");
        }
        let Verdict::Lost(why) = answer(400, &"long ".repeat(1000)) else { panic!("400") };
        assert!(why.len() < 600 && why.ends_with("..."), "{why}");
    }
}
