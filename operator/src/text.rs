//! Texts that others wrote, made fit for a status: bounded, and without control characters.

/// The text, cut to `max` bytes; what is cut ends with an ellipsis.
pub fn cut(text: &str, max: usize) -> String {
    const MORE: &str = "…";
    let clean: String = text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    if clean.len() <= max {
        return clean;
    }
    let end = (0..=max.saturating_sub(MORE.len())).rev().find(|i| clean.is_char_boundary(*i)).unwrap_or(0);
    format!("{}{MORE}", &clean[..end])
}

/// The word, if conditions can have it as their reason.
pub fn reason(word: &str) -> String {
    let fit = word.len() <= 64
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric());
    if fit { word.to_owned() } else { "Unknown".to_owned() }
}

/// `1 node`, `2 nodes`.
pub fn nodes(count: usize) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcdef", 5), "ab…");
        assert_eq!(cut("äöü", 6), "äöü");
        assert_eq!(cut("äöüä", 7), "äö…");
        assert_eq!(cut("äöüä", 6), "ä…");
        assert_eq!(cut("a\u{1b}[0m\nb", 99), "a [0m\nb");
        for max in 0..12 {
            assert!(cut("äöü€€", max).len() <= max.max(3), "{max}");
        }
    }

    #[test]
    fn reasons_are_words() {
        assert_eq!(reason("HookNotAvailable"), "HookNotAvailable");
        for wrong in ["", "two words", "7up", &"a".repeat(65), "é"] {
            assert_eq!(reason(wrong), "Unknown");
        }
    }
}
