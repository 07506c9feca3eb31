//! Documents as the text of a `_bulk` request: the one form that they have in memory, in the spool and
//! on the wire. Each is two lines, the action with the document's id and the document itself.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What the first line of each document begins with.
const ACTION: &[u8] = br#"{"create":{"_id":""#;
/// What it ends with.
const ACTION_END: &[u8] = br#""}}"#;
/// What tells the id of a record of losses from an event's, behind the run's part of it.
const LOSS_MARK: u8 = b'm';
/// Characters of the run's part of an id.
const RUN_LEN: usize = 16;

/// How much one request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Documents.
    pub documents: usize,
    /// Bytes. A longer document goes alone.
    pub bytes: usize,
}

/// The id of an event: unique over nodes and restarts, so that a document sent twice is stored once.
pub fn event_id(run: u64, sequence: u64) -> String {
    format!("{run:016x}-{sequence}")
}

/// The id of a record of losses.
pub fn loss_id(run: u64, number: u64) -> String {
    format!("{run:016x}-{}{number}", char::from(LOSS_MARK))
}

/// Adds a document to a text. The id is one of those above, the document JSON without line breaks.
pub fn write_document(text: &mut Vec<u8>, id: &str, document: &[u8]) {
    text.extend_from_slice(ACTION);
    text.extend_from_slice(id.as_bytes());
    text.extend_from_slice(ACTION_END);
    text.push(b'\n');
    text.extend_from_slice(document);
    text.push(b'\n');
}

/// Some documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    text: Bytes,
    /// Where each document ends.
    ends: Vec<usize>,
}

impl Batch {
    /// A batch of a text and the ends of its documents.
    pub fn new(text: Vec<u8>, ends: Vec<usize>) -> Batch {
        debug_assert_eq!(ends.last().copied().unwrap_or(0), text.len());
        Batch { text: text.into(), ends }
    }

    /// What is whole in a text that may be damaged: cut off, or overwritten in the middle. The number
    /// is that of the documents that are not.
    pub fn parse(text: Bytes) -> (Batch, usize) {
        let mut starts: Vec<usize> = memchr::memmem::find_iter(&text, ACTION).collect();
        let mut damaged = usize::from(starts.first().copied().unwrap_or(text.len()) > 0);
        starts.push(text.len());
        let mut good = Vec::new();
        for pair in starts.windows(2) {
            let length = whole(&text[pair[0]..pair[1]]);
            good.extend(length.map(|length| pair[0]..pair[0] + length));
            damaged += usize::from(length != Some(pair[1] - pair[0]));
        }
        if damaged == 0 {
            starts.remove(0);
            return (Batch { text, ends: starts }, 0);
        }
        let mut batch = Builder::default();
        good.into_iter().for_each(|span| batch.push(&text[span]));
        (batch.build(), damaged)
    }

    /// Documents.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Documents that are events: all but records of losses.
    pub fn events(&self) -> usize {
        self.items().filter(|item| !item.is_loss()).count()
    }

    /// The whole text.
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// Where each document ends in it.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// How many documents from the front fit into a request: one at least, if there is one.
    pub fn fitting(&self, limit: Limit) -> usize {
        let fits = self.ends.partition_point(|end| *end <= limit.bytes);
        fits.min(limit.documents).max(1).min(self.len())
    }

    /// How many documents from the front have no more bytes than these.
    pub fn within(&self, bytes: u64) -> usize {
        self.ends.partition_point(|end| *end as u64 <= bytes)
    }

    /// The first `count` documents. Nothing is copied but the ends.
    pub fn first(&self, count: usize) -> Batch {
        let ends = self.ends[..count.min(self.len())].to_vec();
        Batch { text: self.text.slice(..ends.last().copied().unwrap_or(0)), ends }
    }

    /// All but the first `count` documents.
    pub fn rest(&self, count: usize) -> Batch {
        let count = count.min(self.len());
        let start = self.ends[..count].last().copied().unwrap_or(0);
        let ends = self.ends[count..].iter().map(|end| end - start).collect();
        Batch { text: self.text.slice(start..), ends }
    }

    /// The documents for whose numbers `keep` says so, in a text of their own.
    pub fn filtered(&self, mut keep: impl FnMut(usize) -> bool) -> Batch {
        let mut batch = Builder::default();
        self.items().enumerate().filter(|(i, _)| keep(*i)).for_each(|(_, item)| batch.push(item.0));
        batch.build()
    }

    /// This batch behind another one.
    pub fn behind(&self, before: &Batch) -> Batch {
        if before.is_empty() {
            return self.clone();
        }
        let mut text = BytesMut::with_capacity(before.text.len() + self.text.len());
        text.extend_from_slice(&before.text);
        text.extend_from_slice(&self.text);
        let mut ends = before.ends.clone();
        ends.extend(self.ends.iter().map(|end| end + before.text.len()));
        Batch { text: text.freeze(), ends }
    }

    /// The documents, one by one.
    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| Item(&self.text[start..*end]))
    }
}

/// Collects documents that are text already.
#[derive(Default)]
struct Builder {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Builder {
    fn push(&mut self, document: &[u8]) {
        self.text.extend_from_slice(document);
        self.ends.push(self.text.len());
    }

    fn build(self) -> Batch {
        Batch::new(self.text, self.ends)
    }
}

/// A document of a batch: both of its lines.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a>(&'a [u8]);

impl Item<'_> {
    /// Its id, for messages.
    pub fn id(&self) -> &str {
        let rest = self.0.get(ACTION.len()..).unwrap_or_default();
        let end = rest.iter().position(|b| *b == b'"').unwrap_or(0);
        std::str::from_utf8(&rest[..end]).unwrap_or_default()
    }

    /// It is a record of losses, not an event.
    pub fn is_loss(&self) -> bool {
        self.0.get(ACTION.len() + RUN_LEN + 1) == Some(&LOSS_MARK)
    }

    /// The policy whose event it is; empty if it is of none.
    pub fn policy(&self) -> String {
        #[derive(Default, Deserialize)]
        struct Rule {
            #[serde(default)]
            name: String,
        }
        #[derive(Deserialize)]
        struct Document {
            #[serde(default)]
            rule: Rule,
        }
        let line = self.0.iter().position(|b| *b == b'\n').map_or(0, |end| end + 1);
        serde_json::from_slice::<Document>(&self.0[line..]).map(|d| d.rule.name).unwrap_or_default()
    }
}

/// The length of a document, action and all, that a text begins with.
fn whole(text: &[u8]) -> Option<usize> {
    let mut breaks = memchr::memchr_iter(b'\n', text);
    let (first, second) = (breaks.next()?, breaks.next()?);
    let known = first > ACTION.len() + RUN_LEN && text[..first].ends_with(ACTION_END);
    let json = serde_json::from_slice::<IgnoredAny>(&text[first..second]);
    (known && json.is_ok()).then_some(second + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn batch(sizes: &[usize]) -> Batch {
        let mut text = Vec::new();
        let mut ends = Vec::new();
        for (n, size) in sizes.iter().enumerate() {
            let document = format!(r#"{{"n":{n},"rule":{{"name":"p{n}"}},"x":"{}"}}"#, "x".repeat(*size));
            write_document(&mut text, &event_id(7, n as u64), document.as_bytes());
            ends.push(text.len());
        }
        Batch::new(text, ends)
    }

    #[test]
    fn a_document_is_two_lines() {
        let b = batch(&[0, 3]);
        let text = String::from_utf8(b.text().to_vec()).unwrap();
        assert_eq!(
            text.lines().collect::<Vec<_>>()[2..],
            [r#"{"create":{"_id":"0000000000000007-1"}}"#, r#"{"n":1,"rule":{"name":"p1"},"x":"xxx"}"#]
        );
        let items: Vec<_> = b.items().map(|i| (i.id().to_owned(), i.policy(), i.is_loss())).collect();
        assert_eq!(items[1], ("0000000000000007-1".to_owned(), "p1".to_owned(), false));
        let mut text = Vec::new();
        write_document(&mut text, &loss_id(7, 4), b"{}");
        let end = text.len();
        let b = b.behind(&Batch::new(text, vec![end]));
        assert_eq!((b.len(), b.events()), (3, 2));
        let loss = b.items().next().unwrap();
        assert_eq!((loss.is_loss(), loss.policy().as_str()), (true, ""));
    }

    #[test]
    fn a_request_has_its_limits() {
        let b = batch(&[10, 10, 1000, 10]);
        let one = b.first(1).text().len();
        let fits = |documents, bytes| b.fitting(Limit { documents, bytes });
        assert_eq!(fits(100, 1 << 20), 4);
        assert_eq!(fits(3, 1 << 20), 3);
        assert_eq!(fits(100, 2 * one), 2);
        assert_eq!(fits(100, 2 * one - 1), 1);
        // A document that is too long goes alone.
        assert_eq!(fits(100, 1), 1);
        assert_eq!(b.within(2 * one as u64 - 1), 1);
        assert_eq!(Batch::default().fitting(Limit { documents: 1, bytes: 1 }), 0);
    }

    #[test]
    fn what_is_damaged_is_counted_and_the_rest_is_kept() {
        let b = batch(&[1, 2, 3]);
        let text = b.text();
        let second = b.first(1).text().len();
        // Cut in the third document, in its action, and right before its line break.
        let third = b.first(2).text().len();
        for cut in [third + 50, third + 3, text.len() - 1] {
            assert_eq!(Batch::parse(text.slice(..cut)), (b.first(2), 1), "{cut}");
        }
        // Zeros instead of the second, as a file system may leave them.
        let mut zeros = text.to_vec();
        zeros[second..third].fill(0);
        let (rest, damaged) = Batch::parse(zeros.into());
        assert_eq!((rest, damaged), (b.filtered(|i| i != 1), 1));
        let mut broken = text.to_vec();
        broken[second + 45] = 0;
        assert_eq!(Batch::parse(broken.into()), (b.filtered(|i| i != 1), 1));
        assert_eq!(Batch::parse(Bytes::new()), (Batch::default(), 0));
        assert_eq!(Batch::parse(Bytes::from_static(b"\n\nx\n")), (Batch::default(), 1));
    }

    proptest! {
        #[test]
        fn cutting_and_joining_loses_nothing(sizes in prop::collection::vec(0usize..50, 0..20), at in 0usize..22) {
            let b = batch(&sizes);
            prop_assert_eq!(&b.rest(at).behind(&b.first(at)), &b);
            prop_assert_eq!(b.filtered(|i| i < at), b.first(at));
            prop_assert_eq!(Batch::parse(b.text().clone()), (b, 0));
        }

        #[test]
        fn any_text_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200), sizes in prop::collection::vec(0usize..9, 1..6), at in 0usize..600) {
            // Garbage somewhere: what is found was there before, or is whole all the same.
            let b = batch(&sizes);
            let mut text = b.text().to_vec();
            let at = at.min(text.len());
            text.splice(at..at, bytes);
            let (found, _) = Batch::parse(text.into());
            prop_assert!(found.len() <= sizes.len() + 100);
            prop_assert_eq!(Batch::parse(found.text().clone()), (found, 0));
        }
    }
}
