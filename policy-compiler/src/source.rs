//! The text of a file and the positions in it.

use std::cell::Cell;
use std::ops::Range;

use serde::Serialize;

/// A part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
    /// Line of the first byte, from 1.
    pub line: usize,
    /// Column of the first byte in characters, from 1.
    pub column: usize,
}

/// Where something stands: its field path and, in a text, its bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) path: String,
    pub(crate) span: Option<Range<usize>>,
}

impl Place {
    pub(crate) fn field(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// A file's name and text, with an index of its lines.
pub(crate) struct Source<'a> {
    /// Name for messages; empty for an object that has no text.
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
    lines: Vec<usize>,
    /// The beginning of a line, a byte in it and the characters between them. Findings are near each other, and
    /// a line may be the whole of a long text.
    counted: Cell<(usize, usize, usize)>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Source { file, text, lines, counted: Cell::new((0, 0, 0)) }
    }

    /// The span of a byte range. A range outside the text or within a character is moved into it.
    pub(crate) fn span(&self, range: &Range<usize>) -> Span {
        let start = self.text.floor_char_boundary(range.start);
        let end = self.text.ceil_char_boundary(range.end.max(start));
        let line = self.lines.partition_point(|&l| l <= start).max(1);
        let column = self.characters(self.lines[line - 1], start) + 1;
        Span { start, end, line, column }
    }

    /// How many characters stand between two bytes, the beginning of a line and one in that line.
    fn characters(&self, line: usize, at: usize) -> usize {
        let count = |from: usize, to: usize| self.text[from..to].chars().count();
        let characters = match self.counted.get() {
            (same, from, before) if same == line && from <= at => before + count(from, at),
            (same, from, before) if same == line && from - at < at - line => before - count(at, from),
            _ => count(line, at),
        };
        self.counted.set((line, at, characters));
        characters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let source = Source::new("f", "a: ü\nbé: x\n");
        let at = |range| {
            let s = source.span(&range);
            (s.line, s.column)
        };
        assert_eq!(at(0..1), (1, 1));
        assert_eq!(at(3..5), (1, 4));
        let x = source.text.find('x').expect("x is there");
        assert_eq!(at(x..x + 1), (2, 5));
        assert_eq!(at(x + 1..x + 2), (2, 6), "goes on from the last one");
        assert_eq!(at(x - 1..x), (2, 4), "goes back");
        assert_eq!(at(6..7), (2, 1));
        assert_eq!(at(999..1000), (3, 1));
        assert_eq!(source.span(&(4..4)).start, 3, "inside ü");
    }
}
