//! "Did you mean": the nearest known name.

/// The help for `wrong`, of which only `known` are right: the nearest one, or all of them.
pub(crate) fn one_of(wrong: &str, known: &[&str]) -> String {
    one_of_those(wrong, known, known)
}

/// The same, when the nearest one may be any of `known` and only `shown` are worth listing.
pub(crate) fn one_of_those(wrong: &str, known: &[&str], shown: &[&str]) -> String {
    if let Some(near) = nearest(wrong, known) {
        return format!("did you mean {near:?}?");
    }
    match shown {
        [] => "nothing is possible here".into(),
        [only] => format!("only {only} is possible here"),
        many => format!("possible here: {}", many.join(", ")),
    }
}

/// The nearest of `known`, when it is near enough to be meant.
pub(crate) fn nearest<'k>(wrong: &str, known: &[&'k str]) -> Option<&'k str> {
    let most = match wrong.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        6.. => 3,
    };
    let folded = fold(wrong);
    known
        .iter()
        .map(|k| (distance(&folded, &fold(k)), *k))
        .filter(|(d, k)| *d <= most && *d < k.chars().count())
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
        .or_else(|| only_one_with(&folded, known))
}

/// The only name that has all of `part` in it: `Kill` for `Sigkill`.
fn only_one_with<'k>(part: &[char], known: &[&'k str]) -> Option<&'k str> {
    let mut with = known.iter().filter(|k| part.len() >= 4 && fold(k).windows(part.len()).any(|w| w == part));
    let first = with.next()?;
    with.next().is_none().then_some(*first)
}

/// Case and separators are what people get wrong first: they count for nothing.
fn fold(name: &str) -> Vec<char> {
    name.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).take(64).collect()
}

/// Edits from `a` to `b`: insert, delete, replace, swap of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["Equal", "NotEqual", "Prefix", "In", "NotIn", "matchArgs"];
        for (wrong, right) in [
            ("equal", Some("Equal")),
            ("EqualTo", Some("Equal")),
            ("Perfix", Some("Prefix")),
            ("match_args", Some("matchArgs")),
            ("matchArg", Some("matchArgs")),
            ("IN", Some("In")),
            ("qual", Some("Equal")),
            ("banana", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, &known), right, "{wrong}");
        }
    }

    #[test]
    fn a_swap_is_one_edit() {
        let d = |a: &str, b: &str| distance(&fold(a), &fold(b));
        assert_eq!((d("ab", "ba"), d("abc", "abc"), d("abc", ""), d("kitten", "sitting")), (1, 0, 3, 3));
    }
}
