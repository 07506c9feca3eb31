//! Label selectors as text, as `kubectl get -l` takes them: `app=web,tier in (front,back),!canary`.

use std::collections::BTreeMap;

use thiserror::Error;

/// All of its requirements must hold; none selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{text:?} is no label selector: {why}; right would be app=web, app!=web, app in (web,shop), app notin (web), app, !app, level>3 or several with commas between them"
)]
pub struct SelectorError {
    text: String,
    why: String,
}

impl TextSelector {
    /// Reads a text.
    pub fn parse(text: &str) -> Result<TextSelector, SelectorError> {
        let wrong = |why: String| SelectorError { text: text.to_owned(), why };
        if text.trim().is_empty() {
            return Ok(TextSelector::default());
        }
        parts(text).into_iter().map(requirement).collect::<Result<_, _>>().map(TextSelector).map_err(wrong)
    }

    /// The labels fulfil all of it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|r| r.test.holds(labels.get(&r.key)))
    }
}

impl Test {
    fn holds(&self, value: Option<&String>) -> bool {
        let number = || value.and_then(|v| v.parse::<i64>().ok());
        match self {
            Test::Exists => value.is_some(),
            Test::Missing => value.is_none(),
            Test::In(values) => value.is_some_and(|v| values.contains(v)),
            // What lacks the label is not in it.
            Test::NotIn(values) => value.is_none_or(|v| !values.contains(v)),
            Test::Greater(limit) => number().is_some_and(|n| n > *limit),
            Test::Less(limit) => number().is_some_and(|n| n < *limit),
        }
    }
}

/// The text between commas that are not in parentheses.
fn parts(text: &str) -> Vec<&str> {
    let mut depth = 0u32;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn requirement(part: &str) -> Result<Requirement, String> {
    let part = part.trim();
    if let Some(key) = part.strip_prefix('!') {
        return Ok(Requirement { key: name(key)?, test: Test::Missing });
    }
    if let Some(at) = part.find(['=', '!', '<', '>']) {
        let (key, rest) = part.split_at(at);
        let of = |op: &str| rest.strip_prefix(op).map(str::trim);
        let value = |text: &str| -> Result<Vec<String>, String> { Ok(vec![value(text)?]) };
        let number = |text: &str| text.parse::<i64>().map_err(|_| format!("{text:?} is no number"));
        let test = match (of("!="), of("==").or_else(|| of("=")), of(">"), of("<")) {
            (Some(text), ..) => Test::NotIn(value(text)?),
            (_, Some(text), ..) => Test::In(value(text)?),
            (_, _, Some(text), _) => Test::Greater(number(text)?),
            (.., Some(text)) => Test::Less(number(text)?),
            _ => return Err(format!("{rest:?} begins with no operator")),
        };
        return Ok(Requirement { key: name(key)?, test });
    }
    let Some((key, rest)) = part.split_once(|c: char| c.is_whitespace()) else {
        return Ok(Requirement { key: name(part)?, test: Test::Exists });
    };
    let rest = rest.trim_start();
    let (not, list) = match (rest.strip_prefix("notin"), rest.strip_prefix("in")) {
        (Some(list), _) => (true, list),
        (None, Some(list)) => (false, list),
        (None, None) => return Err(format!("{rest:?} begins with no operator")),
    };
    let list = list.trim().strip_prefix('(').and_then(|l| l.strip_suffix(')'));
    let list = list.ok_or_else(|| format!("the values of {key} are not in parentheses"))?;
    let values = list.split(',').map(|v| value(v.trim())).collect::<Result<_, _>>()?;
    Ok(Requirement { key: name(key)?, test: if not { Test::NotIn(values) } else { Test::In(values) } })
}

/// The name of a label.
fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    // `k8s:` is Tetragon's.
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if text.is_empty() || !text.chars().all(fits) {
        return Err(format!("{text:?} is no name of a label"));
    }
    Ok(text.to_owned())
}

/// The value of a label.
fn value(text: &str) -> Result<String, String> {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && text.len() <= 63 {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is no value of a label"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_select_as_kubectls() {
        let labels = [("app", "web"), ("level", "4"), ("example.com/tier", "front"), ("empty", "")];
        let labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        for (text, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app = shop", false),
            ("app!=web", false),
            ("none!=web", true),
            ("app", true),
            ("none", false),
            ("!none", true),
            ("! app", false),
            ("app in (shop, web)", true),
            ("app in (shop)", false),
            ("app notin (shop)", true),
            ("none notin (shop)", true),
            ("empty in (,x)", true),
            ("empty=", true),
            ("level>3", true),
            ("level>4", false),
            ("level<5,app=web", true),
            ("app<5", false),
            ("example.com/tier in (front,back),app=web,!canary", true),
            ("example.com/tier in (front,back),app=shop", false),
        ] {
            assert_eq!(TextSelector::parse(text).unwrap().matches(&labels), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_says_why() {
        for (text, why) in [
            ("app in web", "not in parentheses"),
            ("app is web", "no operator"),
            ("=web", "no name"),
            ("app=we b", "no value"),
            ("app=web,,x", "no name"),
            ("level>high", "no number"),
            ("app!web", "no operator"),
        ] {
            let error = TextSelector::parse(text).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("right would be"), "{text}: {error}");
        }
    }
}
