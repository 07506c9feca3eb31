//! Warnings within the API server's limits. It counts characters: warnings of more than 4,096 in all
//! are each cut to 256 by it, and after 4,096 more it stops; one with a control character is dropped
//! without a word (apiserver, pkg/endpoints/filters/warning.go). Its own warnings count as well.

/// Characters of all warnings; the rest is left to others.
const ALL: usize = 3072;
/// Characters of one, where not all fit whole.
const ONE: usize = 256;
/// Room for the line that says how many are missing.
const REST: usize = 80;

/// Makes them fit: the first ones whole if they can be, all of them shorter if not, and the last
/// line says how many are missing.
pub fn within_limits(warnings: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let clean = |w: String| -> String { w.chars().map(|c| if c.is_control() { ' ' } else { c }).collect() };
    let warnings = warnings.into_iter().map(clean).filter(|w| !w.is_empty() && seen.insert(w.clone()));
    let warnings: Vec<String> = warnings.collect();
    if warnings.iter().map(|w| w.chars().count()).sum::<usize>() <= ALL {
        return warnings;
    }
    let shorter: Vec<String> = warnings.iter().map(|w| cut(w)).collect();
    let mut room = ALL - REST;
    let fit = shorter.iter().take_while(|w| {
        let fits = w.chars().count() <= room;
        room = room.saturating_sub(w.chars().count());
        fits
    });
    let count = fit.count();
    let mut fit: Vec<String> = shorter.into_iter().take(count).collect();
    if count < warnings.len() {
        fit.push(format!("{} more warnings are in the policy's status", warnings.len() - count));
    }
    fit
}

/// Between two characters, with an ellipsis.
fn cut(text: &str) -> String {
    if text.chars().count() <= ONE {
        return text.to_owned();
    }
    let first: String = text.chars().take(ONE - 1).collect();
    format!("{first}…")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_stay_whole() {
        let long = "x".repeat(1000);
        assert_eq!(within_limits(vec!["a".into(), long.clone(), "a".into()]), ["a".to_owned(), long]);
        assert_eq!(within_limits(vec!["a\nb\u{1b}c".into(), String::new()]), ["a b c"]);
    }

    #[test]
    fn many_are_cut_and_counted() {
        let many: Vec<String> = (0..100).map(|i| format!("{i} {}", "ä".repeat(400))).collect();
        let fit = within_limits(many);
        assert_eq!(fit.len(), 12);
        assert_eq!(fit[0].chars().count(), ONE);
        assert!(fit[0].starts_with("0 ä") && fit[0].ends_with('…'));
        assert_eq!(fit[11], "89 more warnings are in the policy's status");
    }

    proptest! {
        #[test]
        fn they_always_fit(texts in prop::collection::vec("\\PC{0,400}", 0..60)) {
            let fit = within_limits(texts.clone());
            prop_assert!(fit.iter().map(|w| w.chars().count()).sum::<usize>() <= ALL);
            prop_assert!(fit.iter().all(|w| !w.is_empty() && !w.chars().any(char::is_control)));
            // The first one is always there.
            if let Some(first) = texts.iter().find(|t| !t.is_empty()) {
                prop_assert!(first.starts_with(fit[0].trim_end_matches('…')), "{:?}", fit[0]);
            }
        }
    }
}
