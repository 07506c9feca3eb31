//! Kubernetes label selectors: what they match, as the API server decides it.

use std::collections::BTreeMap;

use crate::policy::{LabelOperator, LabelRequirement, LabelSelector};

impl LabelSelector {
    /// The labels fulfil all of it; an empty selector matches everything.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|r| r.matches(labels))
    }

    /// It selects everything.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
}

impl LabelRequirement {
    /// The labels fulfil it. `NotIn` holds for what lacks the label.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            LabelOperator::In => value.is_some_and(|v| self.values.contains(v)),
            LabelOperator::NotIn => value.is_none_or(|v| !self.values.contains(v)),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_match_as_in_kubernetes() {
        let labels: BTreeMap<String, String> =
            [("os", "linux"), ("zone", "a")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let requirement = |key: &str, operator, values: &[&str]| LabelRequirement {
            key: key.to_owned(),
            operator,
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        use LabelOperator::{DoesNotExist, Exists, In, NotIn};
        for (key, operator, values, expected) in [
            ("zone", In, &["a", "b"][..], true),
            ("zone", In, &["b"], false),
            ("none", In, &["a"], false),
            ("zone", NotIn, &["b"], true),
            ("zone", NotIn, &["a"], false),
            ("none", NotIn, &["a"], true),
            ("os", Exists, &[], true),
            ("none", Exists, &[], false),
            ("none", DoesNotExist, &[], true),
            ("os", DoesNotExist, &[], false),
        ] {
            let selector = LabelSelector {
                match_expressions: vec![requirement(key, operator, values)],
                ..LabelSelector::default()
            };
            assert_eq!(selector.matches(&labels), expected, "{key} {} {values:?}", operator.name());
        }
        let both = LabelSelector {
            match_labels: [("os".to_owned(), "linux".to_owned())].into(),
            match_expressions: vec![requirement("zone", In, &["b"])],
        };
        assert!(!both.matches(&labels), "all parts must hold");
        assert!(LabelSelector::default().matches(&labels) && LabelSelector::default().is_empty());
    }
}
