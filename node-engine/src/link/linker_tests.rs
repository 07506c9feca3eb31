//! The linker against the language's reference interpreter: random policies come and go, and random
//! calls are judged by the tables, looked up as node-ebpf/src/engine.rs does.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use tetragon_abi::cgroup::{FIRST, HOST, UNKNOWN};
use tetragon_abi::config::*;
use tetragon_abi::engine::Entry;
use tetragon_abi::hash::Hash128;
use tetragon_api::plan::*;
use tetragon_api::policy::LabelSelector;
use tetragon_api::workload::{Container, Pods, Workloads};
use tetragon_compiler::interpret::{Call, Process, Value, Workload, matches};

use super::linker::Linker;
use super::tables::{Layout, NewKey, OldKey, Prefix, Tables, layout};
use super::unit::{Context, Unit};
use super::workloads::Numbered;
use crate::policy::PolicyInput;

const SEED: [u64; 2] = [3, 5];
const HOST_NS: [u32; 10] = [100, 101, 102, 103, 104, 105, 106, 107, 108, 109];

fn context() -> Context {
    let containers = numbered(0..3);
    Context { seed: SEED, host_ns: HOST_NS, kernel_strings: true, fields: Vec::new(), containers }
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
enum From {
    Host,
    Unknown,
    /// A container, by index.
    Container(usize),
}

/// All containers that there are in these tests.
const CONTAINERS: usize = 8;

/// Half of them have no name yet.
fn container(i: usize) -> Container {
    let of = |n: usize, names: [&str; 2]| names[i >> n & 1].to_owned();
    let labels = [("app".to_owned(), of(0, ["web", "db"]))].into();
    Container { namespace: of(1, ["x", "y"]), labels, name: of(2, ["main", ""]), repo: "r".into() }
}

fn numbered(which: std::ops::Range<usize>) -> Numbered {
    which.map(|i| (FIRST + i as u64, Arc::new(container(i)))).collect()
}

/// One call, and where it comes from.
#[derive(Clone, Debug)]
struct Case {
    call: Call,
    from: From,
}

/// The indexes of a hook, as the kernel would hold them.
#[derive(Default)]
struct Indexes {
    exact: HashMap<Hash128, u32>,
    prefix: HashMap<Prefix, u32>,
}

impl Indexes {
    fn take(&mut self, l: &mut Linker) {
        for n in l.take_new() {
            match n {
                NewKey::Exact(k, id) => self.exact.insert(k, id),
                NewKey::Prefix(k, id, _) => self.prefix.insert(k, id),
            };
        }
        let mut ids = Vec::new();
        for o in l.take_old() {
            match o {
                OldKey::Exact(k, id) => {
                    assert_eq!(self.exact.remove(&k), Some(id));
                    ids.push(id);
                }
                OldKey::Prefix(k, id) => {
                    assert_eq!(self.prefix.remove(&k), Some(id));
                    ids.push(id);
                }
            }
        }
        l.free(ids);
    }

    fn longest(&self, tag: u8, data: &[u8]) -> u32 {
        let mut key = vec![tag];
        key.extend(data);
        let fits = |p: &&Prefix| {
            let (n, rest) = ((p.bits / 8) as usize, p.bits % 8);
            n <= key.len()
                && p.data[..n] == key[..n]
                && (rest == 0 || n < key.len() && (p.data[n] ^ key[n]) >> (8 - rest) == 0)
        };
        self.prefix.keys().filter(fits).max_by_key(|p| p.bits).map_or(0, |p| self.prefix[p])
    }

    /// The entry that dimension `d` finds for a call.
    fn find(&self, c: &HookConfig, t: &Tables, d: usize, case: &Case) -> u32 {
        let call = &case.call;
        let dim = &c.dim[d];
        let exact = |v: Hash128| self.exact.get(&v.tagged(d as u8)).copied().unwrap_or(0);
        let number = |n: u64| exact(Hash128 { a: n, b: 0 });
        let hash = |t: &str| exact(Hash128::of(SEED, t.as_bytes()));
        let back = |t: &str| t.bytes().rev().collect::<Vec<u8>>();
        let binary = call.binary.as_deref();
        let parent = call.parent_binary.as_deref();
        let arg = call.args.get(dim.arg as usize);
        let int = match arg {
            Some(Value::Int(n)) => *n as u64,
            _ => 0,
        };
        match dim.kind {
            DIM_BINARY => {
                let found = binary.map_or(0, hash);
                if found != 0 && d == 0 {
                    let (word, bit) = Hash128::of(SEED, binary.unwrap().as_bytes()).in_bloom(c.bloom);
                    let listed = t.bloom[word as usize] >> bit & 1 == 1;
                    assert!(listed || t.entries[found as usize] == Entry::default(), "the filter hides it");
                }
                found
            }
            DIM_BINARY_PREFIX => binary.map_or(0, |t| self.longest(d as u8, t.as_bytes())),
            DIM_BINARY_POSTFIX => binary.map_or(0, |t| self.longest(d as u8, &back(t))),
            DIM_PARENT => parent.map_or(0, hash),
            DIM_PID => number(u64::from(call.lineage[0].pid)),
            DIM_WORKLOAD => number(match case.from {
                From::Host => HOST,
                From::Unknown => UNKNOWN,
                From::Container(i) => FIRST + i as u64,
            }),
            DIM_NSPID => number(u64::from(call.lineage[0].namespace_pid)),
            DIM_PID_FOLLOW => {
                call.lineage.iter().map(|p| number(u64::from(p.pid))).find(|e| *e != 0).unwrap_or(0)
            }
            DIM_NAMESPACE => number(u64::from(call.namespaces[dim.arg as usize])),
            DIM_INT => number(int),
            DIM_INT_RANGE => {
                let signed = c.arg[dim.arg as usize].kind & 0xf0 == ARG_SIGNED;
                self.longest(d as u8, &(int ^ (u64::from(signed) << 63)).to_be_bytes())
            }
            DIM_MASK => {
                if int & dim.param != 0 {
                    dim.entry
                } else {
                    0
                }
            }
            kind => match arg {
                Some(Value::Text(t)) => match kind {
                    DIM_TEXT => hash(t),
                    DIM_TEXT_PREFIX => self.longest(d as u8, t.as_bytes()),
                    _ => self.longest(d as u8, &back(t)),
                },
                _ => dim.entry,
            },
        }
    }

    /// (policy id, selector) of every policy that decides, as the engine finds them.
    fn judge(&self, l: &Linker, call: &Case) -> Vec<(u64, usize)> {
        let (c, t) = (l.config(), &l.tables);
        let (mut live, mut any, mut group) = (t.head.live, 0, 0);
        let mut entries = Vec::new();
        for d in 0..c.dims as usize {
            let e = t.entries[self.find(&c, t, d, call) as usize];
            any |= e.sum;
            group |= e.sum;
            live &= t.head.dim[d] | e.sum;
            if c.dim[d].flags & LAST != 0 {
                live &= t.head.group[c.dim[d].group as usize] | group;
                group = 0;
            }
            entries.push(e);
        }
        live &= t.head.base | any;
        let mut found = Vec::new();
        for w in (0..t.words.len()).filter(|w| live >> w & 1 == 1) {
            let mut r = t.words[w].active;
            for (d, e) in entries.iter().enumerate() {
                let inline = if e.word as usize == w { e.bits } else { 0 };
                r &= t.defaults[d].words[w] ^ t.sets[e.set as usize].words[w] ^ inline;
            }
            let (a, b, h) = (!r, t.words[w].start, t.words[w].top);
            let first = r & (((a & !h).wrapping_add(b & !h)) ^ ((a ^ b) & h));
            for bit in (0..64).filter(|bit| first >> bit & 1 == 1) {
                let o = l.owners[w * 64 + bit].as_ref().expect("a bit that matches has an owner");
                found.push((o.unit.policy.id, o.selector as usize));
            }
        }
        found.sort_unstable();
        found
    }
}

/// Few letters, so that texts often begin and end alike.
fn text() -> impl Strategy<Value = String> {
    "/[ab]{0,3}(/[ab]{1,2})?"
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(text(), 1..4)
}

fn op() -> impl Strategy<Value = TextOp> {
    prop_oneof![Just(TextOp::Equal), Just(TextOp::Prefix), Just(TextOp::Postfix)]
}

fn range() -> impl Strategy<Value = IntRange> {
    (-20i128..20, 0i128..25).prop_map(|(min, n)| IntRange { min, max: min + n })
}

fn label(key: &str, values: Vec<String>) -> LabelSelector {
    let match_labels = values.into_iter().map(|v| (key.to_owned(), v)).collect();
    LabelSelector { match_labels, ..LabelSelector::default() }
}

fn workloads() -> impl Strategy<Value = Workloads> {
    let one = |values: &'static [&'static str]| prop::option::of(prop::sample::select(values));
    let pods = (one(&["x", "y"]), one(&["web", "db", "none"]), one(&["main", "side"])).prop_map(
        |(namespace, app, name)| Pods {
            namespace: namespace.map(str::to_owned),
            labels: app.map(|v| label("app", vec![v.to_owned()])),
            containers: name.map(|v| label("name", vec![v.to_owned()])),
        },
    );
    (any::<bool>(), prop::option::of(pods)).prop_map(|(host, pods)| Workloads { host, pods })
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let not = any::<bool>;
    prop_oneof![
        (op(), not(), texts()).prop_map(|(op, not, values)| Matcher::Binary { op, not, values }),
        (not(), texts()).prop_map(|(not, values)| Matcher::ParentBinary { op: TextOp::Equal, not, values }),
        (not(), any::<bool>(), prop::collection::vec(1u32..6, 1..3)).prop_map(
            |(not, follow_forks, values)| Matcher::Pid { not, follow_forks, namespace_pid: false, values }
        ),
        (not(), prop_oneof![Just(NamespaceValue::Host), (100u32..106).prop_map(NamespaceValue::Inum)])
            .prop_map(|(not, v)| Matcher::Namespace { namespace: NamespaceKind::Pid, not, values: vec![v] }),
        (op(), not(), texts()).prop_map(|(op, not, values)| Matcher::Text { arg: 0, op, not, values }),
        (not(), range()).prop_map(|(not, r)| Matcher::Int { arg: 1, not, ranges: vec![r] }),
        (1u64..16).prop_map(|mask| Matcher::Mask { arg: 1, mask }),
        workloads().prop_map(Matcher::Workload),
    ]
}

fn policy(id: u64) -> impl Strategy<Value = Arc<PolicyInput>> {
    let selector = prop::collection::vec(matcher(), 0..4).prop_map(|matchers| Selector {
        label: None,
        matchers,
        actions: Actions::default(),
    });
    let unknown = prop_oneof![Just(UnknownContainers::FailOpen), Just(UnknownContainers::FailClosed)];
    let all = (prop::collection::vec(selector, 1..4), prop::option::of(workloads()), unknown);
    all.prop_map(move |(selectors, workloads, unknown_containers)| {
        let arg = |index, ty| Arg { index, ty, label: None };
        let args = vec![arg(0, ArgType::File), arg(1, ArgType::Int32)];
        let hook = Hook { args, selectors, ..Hook::new("spec.kprobes[0]", Target::Function("f".into())) };
        let plan = Plan { workloads, unknown_containers, ..Plan::new(&format!("p{id}"), vec![hook]) };
        Arc::new(PolicyInput { id, policy: id, plan: Arc::new(plan), enforce: true })
    })
}

fn policies() -> impl Strategy<Value = Vec<Arc<PolicyInput>>> {
    (2usize..40).prop_flat_map(|n| (0..n as u64).map(policy).collect::<Vec<_>>())
}

fn case() -> impl Strategy<Value = Case> {
    let from = prop_oneof![
        1 => Just(From::Host),
        1 => Just(From::Unknown),
        4 => (0..CONTAINERS).prop_map(From::Container),
    ];
    (call(), from).prop_map(|(call, from)| Case { call, from })
}

fn call() -> impl Strategy<Value = Call> {
    let value = prop_oneof![8 => text().prop_map(Value::Text), 1 => Just(Value::Missing)];
    (text(), text(), prop::collection::vec(1u32..6, 1..4), 100u32..106, value, -25i128..25).prop_map(
        |(binary, parent, pids, pid_ns, file, int)| {
            let mut namespaces = HOST_NS;
            namespaces[NamespaceKind::Pid as usize] = pid_ns;
            Call {
                binary: Some(binary),
                parent_binary: Some(parent),
                lineage: pids.into_iter().map(|pid| Process { pid, namespace_pid: 0 }).collect(),
                namespaces,
                host_namespaces: HOST_NS,
                args: vec![file, Value::Int(int)],
                // Asked apart: the interpreter knows no containers that have just gone.
                workload: Workload::Host,
            }
        },
    )
}

/// A question about the workload; `there`: containers that are known.
fn runs_in(asked: &Workloads, plan: &Plan, from: From, there: usize) -> bool {
    let pods = asked.pods.as_ref();
    match from {
        From::Host => asked.select(None),
        From::Container(i) if i < there => {
            let may = pods.is_some_and(|pods| pods.may_select(&container(i)));
            let closed = plan.unknown_containers == UnknownContainers::FailClosed;
            asked.select(Some(&container(i))) || closed && may
        }
        // Its number is in nobody's list.
        From::Container(_) => false,
        From::Unknown => match plan.unknown_containers {
            UnknownContainers::FailClosed => pods.is_some(),
            UnknownContainers::FailOpen => asked.is_everything(),
        },
    }
}

fn expected(all: &[Arc<Unit>], case: &Case, there: usize) -> Vec<(u64, usize)> {
    let decide = |u: &Arc<Unit>| {
        let plan = &u.policy.plan;
        let asked = |w: &Workloads| runs_in(w, plan, case.from, there);
        let holds = |m: &Matcher| match m {
            Matcher::Workload(w) => asked(w),
            _ => matches(m, plan.unknown_containers, &case.call),
        };
        let first = u.plan().selectors.iter().position(|s| s.matchers.iter().all(holds))?;
        plan.workloads.as_ref().is_none_or(asked).then_some((u.policy.id, first))
    };
    let mut found: Vec<_> = all.iter().filter_map(decide).collect();
    found.sort_unstable();
    found
}

/// What does not fit is said, and fits in the shape that is made next.
#[test]
fn there_is_room_for_containers_and_then_for_more() {
    let selector = Selector { label: None, matchers: Vec::new(), actions: Actions::default() };
    let hook = Hook { selectors: vec![selector], ..Hook::new("f", Target::Function("f".into())) };
    let pods = Workloads { host: false, pods: Some(Pods::default()) };
    let plan = Plan { workloads: Some(pods), ..Plan::new("p", vec![hook]) };
    let policy = Arc::new(PolicyInput { id: 1, policy: 1, plan: Arc::new(plan), enforce: true });
    let unit = Arc::new(Unit { policy, hook: 0 });
    let mut l = Linker::build(context(), std::slice::from_ref(&unit), &Layout::new()).0;
    let c = Arc::new(container(0));
    let fit = (10..).take_while(|n| l.add_container(*n, &c)).count() as u64;
    assert!(fit > 1000 && l.is_nearly_full());
    assert!(!l.context().containers.contains_key(&(10 + fit)), "what has no room is not known");
    l.remove_container(10);
    l.take_old();
    assert!(l.add_container(9999, &c), "who goes makes room");
    let mut larger = Linker::build(l.context().clone(), &[unit], &Layout::new()).0;
    assert!(!larger.is_nearly_full() && larger.add_container(5000, &c));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn tables_decide_as_the_interpreter(all in policies(), calls in prop::collection::vec(case(), 30), keep in any::<u64>()) {
        let units: Vec<Arc<Unit>> = all.into_iter().map(|policy| Arc::new(Unit { policy, hook: 0 })).collect();
        let (mut l, errors) = Linker::build(context(), &units, &Layout::new());
        // Too many different lineages and masks do not fit one hook; they are named.
        let mut there: Vec<_> = units.iter().filter(|u| errors.iter().all(|(k, _)| *k != u.key())).cloned().collect();
        let mut indexes = Indexes::default();
        indexes.take(&mut l);
        for c in &calls {
            prop_assert_eq!(indexes.judge(&l, c), expected(&there, c, 3));
        }
        // Containers come.
        for (number, container) in numbered(3..6) {
            prop_assert!(l.add_container(number, &container));
        }
        indexes.take(&mut l);
        for c in &calls {
            prop_assert_eq!(indexes.judge(&l, c), expected(&there, c, 6));
        }
        // Some go, others come back: what is left decides alone, as if it had always been so.
        for (i, u) in units.iter().enumerate() {
            if keep >> (i % 64) & 1 == 0 {
                l.remove(u.key());
                there.retain(|t| t.key() != u.key());
            }
        }
        indexes.take(&mut l);
        for c in &calls {
            prop_assert_eq!(indexes.judge(&l, c), expected(&there, c, 6));
        }
        // Linked anew, each is where it was.
        let at = layout(&l.owners);
        let others: Vec<_> = there.iter().rev().cloned().collect();
        let (anew, errors) = Linker::build(l.context().clone(), &others, &at);
        prop_assert!(errors.is_empty());
        prop_assert_eq!(layout(&anew.owners), at);
        for u in &units {
            if !there.iter().any(|t| t.key() == u.key()) && l.add(u) {
                there.push(u.clone());
            }
        }
        // Those who went do not count, those who came do.
        numbered(5..6).keys().for_each(|n| l.remove_container(*n));
        for (number, container) in numbered(6..8) {
            prop_assert!(l.add_container(number, &container));
        }
        indexes.take(&mut l);
        for c in calls.iter().filter(|c| !matches!(c.from, From::Container(5))) {
            prop_assert_eq!(indexes.judge(&l, c), expected(&there, c, 8));
        }
        numbered(0..8).keys().for_each(|n| l.remove_container(*n));
        indexes.take(&mut l);
        for c in &calls {
            prop_assert_eq!(indexes.judge(&l, c), expected(&there, c, 0));
        }
    }
}
