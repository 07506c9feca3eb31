//! What a command of `cargo xtask` needs of the machine and how long it takes: one row each.

use crate::machine::Needs;
use crate::packages::{ALL, Kind};

/// What is said at a command's start, and checked.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The command's name.
    pub name: &'static str,
    /// How long it takes on a machine with two cores, the first time and later, as the sentences say it.
    pub takes: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// What is installed while xtask is compiled. The rest is installed by the step that needs it.
    pub first: &'static [Kind],
}

/// Commands that are not here need nothing but xtask itself.
const ROWS: &[Row] = &[
    Row {
        name: "demo",
        takes: "the first event after 4 minutes, the end with a cluster after 12; the second time after 10 and \
                100 seconds",
        needs: Needs { disk: 12, memory: 6, cluster: true, packages: DEMO },
        first: &[Kind::Guests],
    },
    Row {
        name: "demo alone",
        takes: "the first event after 4 minutes, the second time after 10 seconds",
        needs: Needs { disk: 5, memory: 3, cluster: false, packages: &[Kind::Guests] },
        first: &[Kind::Guests],
    },
    Row {
        name: "test",
        takes: "40 minutes the first time, 10 afterwards",
        needs: Needs { disk: 15, memory: 8, cluster: true, packages: ALL },
        first: ALL,
    },
    Row {
        name: "setup",
        takes: "2 minutes the first time",
        needs: Needs { disk: 5, memory: 2, cluster: false, packages: ALL },
        first: &[],
    },
];

const DEMO: &[Kind] = &[Kind::Guests, Kind::Cluster];

/// The row of a command line: of its first two words if they have one, else of the first.
#[must_use]
pub fn row(words: &[&str]) -> Option<&'static Row> {
    let of = |name: &str| ROWS.iter().find(|r| r.name == name);
    words.get(..2).and_then(|two| of(&two.join(" "))).or_else(|| of(words.first()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_name_counts() {
        for (words, is) in [
            (&["demo"][..], Some("demo")),
            (&["demo", "alone"], Some("demo alone")),
            (&["demo", "--keep"], Some("demo")),
            (&["vm", "run"], None),
            (&[], None),
        ] {
            assert_eq!(row(words).map(|r| r.name), is, "{words:?}");
        }
    }
}
