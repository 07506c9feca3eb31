use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::nodes::{Group, Part};

fn time(seconds: i64) -> Time {
    Time(Timestamp::from_second(1_800_000_000 + seconds).unwrap())
}

#[test]
fn annotations_are_read_strictly() {
    let ok = |text: &str| parse(text).unwrap();
    assert_eq!(ok("off"), None);
    assert_eq!(ok("soak=5m"), Some(Ask::default()));
    let all = Ask { steps: vec![1, 25, 100], soak: Duration::from_secs(5400), max_actions: Some(20) };
    assert_eq!(ok("percent=1,25,100  max-actions=20 soak=1h30m"), Some(all));
    assert_eq!(ok("percent=100 soak=0s").unwrap().soak, Duration::ZERO);
    for (text, expected) in [
        ("", "it is empty"),
        ("on", "no KEY=VALUE"),
        ("percent=10,50", "the last one must be 100"),
        ("percent=50,10,100", "larger than the one before"),
        ("percent=10,10,100", "larger than the one before"),
        ("percent=0,100", "from 1 to 100"),
        ("percent=10,,100", "from 1 to 100"),
        ("percent=10%,100", "from 1 to 100"),
        ("percent=101", "from 1 to 100"),
        ("soak=5", "it has no unit"),
        ("soak=", "it is no time"),
        ("soak=m", "it is no time"),
        ("soak=5d", "it is no time"),
        ("soak=-5m", "it is no time"),
        ("soak=99999999999999999999s", "it is no time"),
        ("soak=99999999999999999h", "it is no time"),
        ("soak=5€", "it is no time"),
        ("soak=169h", "more than a week"),
        ("max-actions=0", "1 or more"),
        ("max-actions=many", "1 or more"),
        ("max-action=3", "\"max-action\" is not known"),
        ("soak=5m soak=6m", "soak stands twice"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn soaks_are_shown_as_they_are_written() {
    for text in ["5m", "90s", "1h30m", "0s", "168h"] {
        let time = soak(text).unwrap();
        assert_eq!(soak(&show(time)).unwrap(), time, "{text}");
    }
    assert_eq!(show(Duration::from_secs(90)), "1m30s");
}

/// A policy, driven as the controller drives it.
struct Driver {
    annotation: Option<String>,
    digest: String,
    generation: i64,
    recorded: (String, i64, Option<RolloutStatus>),
    published: std::collections::BTreeMap<String, u8>,
    clock: i64,
}

impl Driver {
    fn new(annotation: &str) -> Self {
        Driver {
            annotation: Some(annotation.to_owned()),
            digest: "a".into(),
            generation: 1,
            recorded: (String::new(), 0, None),
            published: Default::default(),
            clock: 0,
        }
    }

    fn stage(&self) -> Stage {
        let ask = self.annotation.as_deref().and_then(|a| parse(a).unwrap());
        let (digest, generation, rollout) = &self.recorded;
        Stage::of(
            Recorded { digest, generation: *generation, rollout: rollout.as_ref() },
            Now {
                ask: self.annotation.as_deref().zip(ask.as_ref()),
                digest: &self.digest,
                generation: self.generation,
                published: self.published.get(&self.digest).copied(),
                time: &time(self.clock),
            },
        )
    }

    /// One reconciliation.
    fn round(&mut self, tally: &Tally, healthy: Option<u64>) -> Stage {
        self.clock += 1;
        let stage = self.stage();
        let before = self.published.insert(self.digest.clone(), stage.percent);
        assert!(before.is_none_or(|b| b <= stage.percent), "a percentage went down");
        let ask = self.annotation.as_deref().and_then(|a| parse(a).unwrap());
        let now = time(self.clock);
        let healthy = healthy.map(Duration::from_secs);
        let watched = Watched { tally, healthy, settled: !stage.resumed, time: &now };
        let (next, _) = advance(&stage, ask.as_ref(), watched);
        self.recorded = (self.digest.clone(), self.generation, next);
        stage
    }

    fn shown(&self) -> String {
        let rollout = self.recorded.2.as_ref().unwrap();
        format!("{} {} %: {}", rollout.phase, rollout.percent, rollout.message)
    }
}

fn tally(loaded: usize, pending: usize, of: usize) -> Tally {
    let reached = Part { loaded, pending, failed: 0 };
    Tally { reached, matched: Part { pending: of - loaded, ..reached }, ..Tally::default() }
}

fn failing(reason: &str) -> Tally {
    let group = Group {
        reason: reason.into(),
        failed: true,
        nodes: 1,
        samples: vec!["node-a".into()],
        ..Group::default()
    };
    Tally { reached: Part { failed: 1, ..Part::default() }, groups: vec![group], ..tally(0, 0, 10) }
}

#[test]
fn it_advances_after_each_soak() {
    let mut d = Driver::new("percent=10,50,100 soak=5m");
    assert_eq!(d.round(&tally(0, 1, 10), None).percent, 10);
    assert_eq!(d.shown(), "Progressing 10 %: 1 of 1 node reached have not loaded it yet");
    d.round(&tally(1, 0, 10), Some(0));
    assert_eq!(d.shown(), "Progressing 10 %: 50 % after 5m without a failure");
    assert_eq!(d.round(&tally(1, 0, 10), Some(300)).percent, 10, "recorded first");
    assert_eq!((d.shown().as_str(), d.stage().percent), ("Progressing 50 %: ", 50));
    d.round(&tally(1, 4, 10), None);
    d.round(&tally(5, 0, 10), Some(300));
    d.round(&tally(10, 0, 10), Some(1));
    assert_eq!(d.shown(), "Progressing 100 %: complete after 5m without a failure");
    d.round(&tally(10, 0, 10), Some(301));
    assert_eq!(d.shown(), "Complete 100 %: all nodes may load it");
    let before = d.recorded.clone();
    d.round(&failing("LoadFailed"), None);
    assert_eq!(d.recorded, before, "what is complete is no rollout any more");
    assert_eq!(d.stage(), Stage { rollout: before.2, ..Stage::everything() });
}

#[test]
fn it_stops_at_a_failure_and_goes_on_after_an_edit() {
    for (reason, message) in [
        ("ActionLimit", "more than 20 enforcing actions in a minute on 1 node (node-a)"),
        ("LoadFailed", "LoadFailed on 1 node (node-a)"),
    ] {
        let mut d = Driver::new("max-actions=20 soak=1m");
        assert_eq!(d.round(&failing(reason), None).max_actions, Some(20));
        let way = "; it is in monitor mode until the policy or its annotation changes";
        assert_eq!(d.shown(), format!("Stopped 10 %: {message}{way}"));
        for _ in 0..2 {
            let stage = d.round(&tally(1, 0, 10), Some(9999));
            assert_eq!((stage.mode, stage.percent), (Some(Mode::Monitor), 10), "it stays stopped");
        }
        let stopped = d.recorded.clone();
        d.annotation = Some("max-actions=99 soak=1m".into());
        let stage = d.round(&failing(reason), None);
        assert!(stage.resumed && stage.mode.is_none() && stage.max_actions == Some(99));
        assert!(d.shown().starts_with("Progressing 10 %"), "what was said before does not stop it again");
        assert!(!d.stage().resumed);

        d.annotation = Some("max-actions=20 soak=1m".into());
        d.recorded = stopped.clone();
        d.generation = 2;
        assert!(d.round(&failing(reason), None).resumed, "an edit that changes nothing in the plan");

        d.recorded = stopped;
        d.annotation = None;
        assert_eq!(d.round(&failing(reason), None), Stage::everything());
    }
}

#[test]
fn a_new_version_begins_anew_and_an_old_one_is_never_taken_back() {
    let mut d = Driver::new("percent=10,100 soak=1m");
    d.published.insert("a".into(), 100);
    d.recorded = ("a".into(), 1, None);
    d.round(&tally(10, 0, 10), Some(0));
    assert_eq!(d.shown(), "Complete 100 %: versions to come are rolled out in steps");
    (d.digest, d.generation) = ("b".into(), 2);
    assert_eq!(d.round(&tally(0, 1, 10), None).percent, 10);
    (d.digest, d.generation) = ("a".into(), 3);
    let stage = d.round(&tally(10, 0, 10), None);
    assert_eq!((stage.percent, stage.resumed), (100, true), "it is still out on all nodes");
}

#[test]
fn steps_that_reach_no_node_are_passed() {
    let mut d = Driver::new("percent=10,50,100 soak=1h");
    d.round(&tally(0, 0, 2), None);
    assert_eq!(d.stage().percent, 50);
    d.round(&tally(0, 0, 2), None);
    assert_eq!(d.stage().percent, 100);
    d.round(&tally(2, 0, 2), Some(0));
    assert_eq!(d.shown(), "Progressing 100 %: complete after 1h without a failure");
    // With no node at all there is nothing to hurry for.
    let mut d = Driver::new("percent=10,100 soak=1h");
    d.round(&tally(0, 0, 0), None);
    assert_eq!(d.stage().percent, 10);
}

#[test]
fn a_kept_version_stops_and_does_not_advance() {
    let old = RolloutStatus { phase: PROGRESSING.into(), percent: 10, ..RolloutStatus::default() };
    let stage = Stage::kept(Some(&old), (10, None, Some(3)));
    let now = time(1);
    let look = |tally: &Tally| {
        let watched = Watched { tally, healthy: Some(MAX_SOAK), settled: true, time: &now };
        advance(&stage, None, watched).0.unwrap()
    };
    assert_eq!(look(&tally(1, 0, 10)).percent, 10);
    assert_eq!(look(&failing("ActionLimit")).phase, STOPPED);
    let stopped = RolloutStatus { phase: STOPPED.into(), ..old };
    assert_eq!(Stage::kept(Some(&stopped), (10, None, None)).mode, Some(Mode::Monitor));
    assert_eq!(Stage::kept(None, (100, None, None)), Stage::everything());
}
