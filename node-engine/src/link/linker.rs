//! The linker: the policies of one hook, as the tables of the engine. Pure: no kernel.
//!
//! It is incremental, because a node may have a thousand policies on a hook: adding one touches its
//! own values, a few words, and the entries of longer prefixes. What must change in a slot's tables
//! is found by comparison with what the slot holds (see `load/hook.rs`).
//!
//! What cannot be changed without loading a program is the [`Shape`]: which arguments are read,
//! which dimensions exist, how large the tables are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tetragon_abi::config::HookConfig;
use tetragon_abi::engine::*;
use tetragon_abi::hash::Hash128;
use tetragon_api::plan::Arg;
use tetragon_api::workload::Container;

use super::dims::{Conjunct, DimKey, IndexKey, conjuncts, means, workloads};
use super::shape::{LinkError, Needs, Position, Shape, bits, free};
use super::tables::{Bits, EMPTY, Layout, NewKey, OldKey, Owner, Owners, Placed, Prefix, Tables, Value};
use super::unit::{Context, Unit, UnitKey};
use super::workloads::Containers;
use crate::record::Reading;

/// All policies of one hook, linked.
#[derive(Debug)]
pub struct Linker {
    context: Context,
    shape: Shape,
    /// What the tables should hold.
    pub tables: Tables,
    /// By bit.
    pub owners: Owners,
    units: BTreeMap<UnitKey, Placed>,
    exact: HashMap<Hash128, Value>,
    prefix: BTreeMap<Prefix, Value>,
    /// How many of the listed binaries have a bit of the filter: by word and bit.
    in_bloom: HashMap<(u32, u32), u32>,
    /// By dimension: the entry for "no text" or of a predicate.
    special: Vec<Value>,
    /// Lengths in bits of the keys of the prefix index, and how many have them.
    lengths: BTreeMap<u32, usize>,
    free_ids: Vec<u32>,
    next_id: u32,
    free_sets: Vec<u32>,
    next_set: u32,
    /// Number of the last rate limit.
    next_limit: u32,
    /// Values that are new since [`Linker::take_new`].
    new: Vec<NewKey>,
    /// Values that nobody listed at some time since [`Linker::take_old`].
    idle_exact: Vec<Hash128>,
    idle_prefix: Vec<Prefix>,
    /// Exact values that are numbers of workloads.
    workload_values: usize,
}

impl Linker {
    /// Links `units` from scratch into a shape that fits them with some room. A unit whose policy has a position with
    /// enough bits keeps it, before others get theirs: those that fitted together still do. Units that do not
    /// fit are left out and returned with the reason.
    pub fn build(
        context: Context,
        units: &[Arc<Unit>],
        layout: &Layout,
    ) -> (Linker, Vec<(UnitKey, LinkError)>) {
        let mut errors = Vec::new();
        let mut needs = Needs::default();
        let mut fit = Vec::new();
        let kept = |u: &Arc<Unit>| {
            let (at, room) = layout.get(&(u.policy.policy, u.hook))?;
            (u.plan().selectors.len() <= *room).then_some(*at)
        };
        let (old, new): (Vec<_>, Vec<_>) = units.iter().map(|u| (u, kept(u))).partition(|(_, p)| p.is_some());
        for (u, at) in old.into_iter().chain(new) {
            let at = at.map_or_else(|| needs.room_for(u), Ok);
            match at.and_then(|at| Ok((at, needs.with(u, at, &context)?))) {
                Ok((at, n)) => {
                    needs = n;
                    fit.push((u, at));
                }
                Err(e) => errors.push((u.key(), e)),
            }
        }
        let shape = needs.shape(context.containers.len());
        let mut linker = Linker::empty(context, shape);
        for (u, at) in fit {
            linker.insert(u, at);
        }
        // How many values lie in more than one word was not known before.
        linker.shape.sets = linker.shape.sets.max((linker.next_set as usize * 2).next_power_of_two());
        linker.tables.sets.resize(linker.shape.sets, EMPTY);
        linker.shape.entries = linker.shape.entries.max(linker.tables.entries.len());
        (linker, errors)
    }

    fn empty(context: Context, shape: Shape) -> Linker {
        let dims = shape.dims.len();
        let mut l = Linker {
            context,
            tables: Tables {
                entries: vec![Entry::default(); shape.entries],
                sets: vec![EMPTY; shape.sets],
                words: vec![Word::default(); shape.words],
                defaults: vec![EMPTY; dims],
                acts: vec![Act::default(); shape.words * 64],
                bloom: vec![0; shape.bloom],
                head: Head::default(),
            },
            owners: vec![None; shape.words * 64],
            units: BTreeMap::new(),
            exact: HashMap::new(),
            prefix: BTreeMap::new(),
            in_bloom: HashMap::new(),
            special: Vec::new(),
            lengths: BTreeMap::new(),
            free_ids: Vec::new(),
            next_id: 1,
            free_sets: Vec::new(),
            next_set: 1,
            next_limit: 0,
            new: Vec::new(),
            idle_exact: Vec::new(),
            idle_prefix: Vec::new(),
            workload_values: 0,
            shape,
        };
        for d in 0..dims {
            let value = Value { id: l.next_id, ..Value::default() };
            l.next_id += 1;
            // All ids that a lineage may hold share the predicate's entry.
            if let DimKey::Lineage { values, .. } = &l.shape.dims[d] {
                for v in values {
                    let key = Hash128 { a: u64::from(*v), b: 0 }.tagged(d as u8);
                    l.new.push(NewKey::Exact(key, value.id));
                }
            }
            l.special.push(value);
        }
        l
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The units that are linked.
    pub fn units(&self) -> impl Iterator<Item = &Arc<Unit>> {
        self.units.values().map(|p| &p.unit)
    }

    /// Adds a policy. `false`: it needs another shape ([`Linker::build`] anew); nothing changed.
    pub fn add(&mut self, unit: &Arc<Unit>) -> bool {
        let active = self.tables.words.iter().map(|w| w.active);
        let Some(at) = free(active, unit.plan().selectors.len()) else { return false };
        let Ok(needs) = Needs::of(&self.shape).with(unit, at, &self.context) else { return false };
        if needs.args.len() > self.shape.args.len()
            || needs.dims.len() > self.shape.dims.len()
            || needs.lpm_bytes > self.shape.lpm_bytes
            || needs.limits != self.shape.limits
            || !self.has_room(needs.values)
        {
            return false;
        }
        self.insert(unit, at);
        let fits = self.next_set as usize <= self.shape.sets;
        if !fits {
            self.remove(unit.key());
        }
        fits
    }

    /// There is room for `n` values more that are no workloads.
    fn has_room(&self, n: usize) -> bool {
        let kept = self.shape.workloads * self.workload_dims();
        let used = self.next_id as usize - self.free_ids.len();
        used - self.workload_values + n + kept <= self.shape.entries
            && self.exact.len() - self.workload_values + n + kept <= self.shape.exact
    }

    /// Dimensions that ask for the workload.
    fn workload_dims(&self) -> usize {
        self.shape.dims.iter().filter(|d| d.is_workload()).count()
    }

    /// Some policy asks for the workload.
    pub fn asks_workload(&self) -> bool {
        self.shape.workloads > 0
    }

    /// Most of the room for containers is used.
    pub fn is_nearly_full(&self) -> bool {
        self.asks_workload() && self.context.containers.len() > self.shape.workloads / 4 * 3
    }

    /// What it was told of the node and the hook.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// A container is new: all selectors that it is meant by list its number. `false`: it needs another
    /// shape ([`Linker::build`] anew, which knows it).
    pub fn add_container(&mut self, number: u64, container: &Arc<Container>) -> bool {
        if !self.asks_workload() {
            return true;
        }
        // The host's number and that of unknown ones are not among them.
        let fits = self.context.containers.len() + 3 <= self.shape.workloads;
        let ids = self.shape.entries - self.next_id as usize + self.free_ids.len();
        if !fits || ids < self.workload_dims() {
            return false;
        }
        for (key, word, bit) in self.meant(number, container) {
            self.exact_value(key, word, bit, true, true);
        }
        if self.next_set as usize > self.shape.sets {
            return false;
        }
        self.context.containers.insert(number, container.clone());
        true
    }

    /// A container is no more. Its values stay in the index until [`Linker::take_old`].
    pub fn remove_container(&mut self, number: u64) {
        let Some(container) = self.context.containers.remove(&number) else { return };
        for (key, word, bit) in self.meant(number, &container) {
            self.exact_value(key, word, bit, false, true);
        }
    }

    /// The selectors that mean a container: its number in their dimension, and their bit.
    fn meant(&self, number: u64, container: &Container) -> Vec<(Hash128, u8, u64)> {
        let mut tags: Vec<(u8, u8)> = Vec::new();
        for (d, dim) in self.shape.dims.iter().enumerate() {
            if let DimKey::Workload(lane) = dim {
                tags.push((*lane, d as u8));
            }
        }
        let mut all = Vec::new();
        for p in self.units.values() {
            let plan = &p.unit.policy.plan;
            let of_policy = plan.workloads.as_ref().map(|w| means(w, plan, container));
            for (i, s) in p.unit.plan().selectors.iter().enumerate() {
                for (lane, w) in workloads(plan, s).enumerate() {
                    // The policy's answer is the same for all its selectors.
                    let holds = of_policy.filter(|_| lane == 0).unwrap_or_else(|| means(w, plan, container));
                    let tag = tags.iter().find(|(l, _)| usize::from(*l) == lane).filter(|_| holds);
                    let key = |(_, d): &(u8, u8)| Hash128 { a: number, b: 0 }.tagged(*d);
                    all.extend(tag.map(|t| (key(t), p.word, 1u64 << (p.first as usize + i))));
                }
            }
        }
        all
    }

    /// Puts a unit whose dimensions exist into the tables, where there is room for its selectors.
    fn insert(&mut self, unit: &Arc<Unit>, (word, first): Position) {
        let selectors = &unit.plan().selectors;
        let reading = |a: &Arg| {
            let (index, ty) = self.context.reading(a);
            let index = self.shape.args.iter().position(|r| *r == (index, ty)).unwrap_or(usize::MAX);
            Reading { index, ty }
        };
        let args: Arc<[Reading]> = unit.plan().args.iter().map(reading).collect();
        self.units.insert(unit.key(), Placed { unit: unit.clone(), word, first });
        for (i, s) in selectors.iter().enumerate() {
            let bit = 1u64 << (first as usize + i);
            let all = conjuncts(s, unit, &self.shape.args, &self.context);
            self.selector(word, bit, &all, true);
            let a = &s.actions;
            let w = &mut self.tables.words[word as usize];
            w.active |= bit;
            w.post |= if a.post { bit } else { 0 };
            let act = &mut self.tables.acts[word as usize * 64 + first as usize + i];
            if let Some(limit) = a.rate_limit {
                w.limited |= bit;
                self.next_limit += 1;
                *act = Act {
                    window_ms: limit.window_ms,
                    scope: limit.scope as u32,
                    id: self.next_limit,
                    ..*act
                };
            }
            if unit.policy.enforce {
                match a.signal {
                    Some(9) => w.kill |= bit,
                    Some(s) => {
                        w.signal |= bit;
                        act.signal = u16::from(s);
                    }
                    None => {}
                }
                if let Some(errno) = a.deny {
                    w.deny |= bit;
                    act.errno = errno;
                }
            }
            self.owners[word as usize * 64 + first as usize + i] =
                Some(Owner { unit: unit.clone(), selector: i as u8, args: args.clone() });
        }
        let w = &mut self.tables.words[word as usize];
        w.start |= 1 << first;
        w.top |= 1 << (first as usize + selectors.len() - 1);
        self.summarise();
    }

    /// Takes a policy out. Its values stay in the indexes until [`Linker::take_old`].
    pub fn remove(&mut self, key: UnitKey) {
        let Some(p) = self.units.remove(&key) else { return };
        let n = p.unit.plan().selectors.len();
        for (i, s) in p.unit.plan().selectors.iter().enumerate() {
            let bit = 1u64 << (p.first as usize + i);
            let all = conjuncts(s, &p.unit, &self.shape.args, &self.context);
            self.selector(p.word, bit, &all, false);
            let at = p.word as usize * 64 + p.first as usize + i;
            self.tables.acts[at] = Act::default();
            self.owners[at] = None;
        }
        let mask = bits(n) << p.first;
        let w = &mut self.tables.words[p.word as usize];
        for f in [
            &mut w.active,
            &mut w.start,
            &mut w.top,
            &mut w.post,
            &mut w.kill,
            &mut w.signal,
            &mut w.deny,
            &mut w.limited,
        ] {
            *f &= !mask;
        }
        self.summarise();
    }

    /// Turns one selector's bit on or off: in every dimension's default set and in the values that
    /// it lists.
    fn selector(&mut self, word: u8, bit: u64, all: &[Conjunct], on: bool) {
        for d in 0..self.shape.dims.len() {
            let c = all.iter().find(|c| c.dim == self.shape.dims[d]);
            // What does not ask passes; so does "not in", until a value says otherwise.
            let passes = on && c.is_none_or(|c| c.not);
            let w = &mut self.tables.defaults[d].words[word as usize];
            if passes {
                *w |= bit;
            } else {
                *w &= !bit;
            }
            let Some(c) = c else { continue };
            // A predicate has one entry. A text that is not there satisfies nobody, "not in" too.
            if c.dim.is_predicate() || (c.dim.is_text() && c.not) {
                self.special[d].direct.change(word, bit, on);
                let v = self.special[d].clone();
                self.write(v.id, &v.direct);
            }
            for key in &c.keys {
                match key {
                    IndexKey::Exact(v) => {
                        let key = v.tagged(d as u8);
                        let (was, is) = self.exact_value(key, word, bit, on, c.dim.is_workload());
                        if was != is && d == 0 && self.shape.bloom > 0 {
                            self.bloom(key, is);
                        }
                    }
                    IndexKey::Prefix(data, bits) => {
                        let mut tagged = vec![d as u8];
                        tagged.extend(data);
                        self.prefix_value(&Prefix { data: tagged, bits: bits + 8 }, word, bit, on);
                    }
                }
            }
        }
    }

    /// Puts a selector to those that list a value, or takes it from them: whether there were any before, and
    /// whether there are now.
    fn exact_value(&mut self, key: Hash128, word: u8, bit: u64, on: bool, of_workload: bool) -> (bool, bool) {
        if !self.exact.contains_key(&key) {
            let id = self.id();
            self.new.push(NewKey::Exact(key, id));
            self.exact.insert(key, Value { id, of_workload, ..Value::default() });
            self.workload_values += usize::from(of_workload);
        }
        let v = self.exact.get_mut(&key).expect("just put in");
        let was = !v.direct.0.is_empty();
        v.direct.change(word, bit, on);
        let v = v.clone();
        self.write(v.id, &v.direct);
        let is = !v.direct.0.is_empty();
        if !is {
            self.idle_exact.push(key);
        }
        (was, is)
    }

    /// A binary is listed from here on, or no more.
    fn bloom(&mut self, binary: Hash128, listed: bool) {
        let place = binary.in_bloom(self.shape.bloom as u32 - 1);
        let n = self.in_bloom.entry(place).or_default();
        *n = if listed { *n + 1 } else { *n - 1 };
        let bit = 1u64 << place.1;
        let word = &mut self.tables.bloom[place.0 as usize];
        if *n == 0 {
            self.in_bloom.remove(&place);
            *word &= !bit;
        } else {
            *word |= bit;
        }
    }

    fn prefix_value(&mut self, key: &Prefix, word: u8, bit: u64, on: bool) {
        if !self.prefix.contains_key(key) {
            let id = self.id();
            let above = self.above(key).map_or(0, |p| self.prefix[&p].id);
            self.new.push(NewKey::Prefix(key.clone(), id, above));
            self.prefix.insert(key.clone(), Value { id, ..Value::default() });
            *self.lengths.entry(key.bits).or_default() += 1;
        }
        let direct = &mut self.prefix.get_mut(key).expect("just put in").direct;
        direct.change(word, bit, on);
        if direct.0.is_empty() {
            self.idle_prefix.push(key.clone());
        }
        // The kernel finds the longest key only: each holds what all that begin it hold.
        let below: Vec<Prefix> =
            self.prefix.range(key..).map(|(k, _)| k).take_while(|k| key.begins(k)).cloned().collect();
        for k in below {
            let mut all = self.prefix[&k].direct.clone();
            let mut at = k.clone();
            while let Some(p) = self.above(&at) {
                all.union(&self.prefix[&p].direct);
                at = p;
            }
            self.write(self.prefix[&k].id, &all);
        }
    }

    /// The longest key that begins `key`.
    fn above(&self, key: &Prefix) -> Option<Prefix> {
        self.lengths
            .range(..key.bits)
            .rev()
            .map(|(bits, _)| key.cut(*bits))
            .find(|k| k.data[0] == key.data[0] && self.prefix.contains_key(k))
    }

    fn id(&mut self) -> u32 {
        self.free_ids.pop().unwrap_or_else(|| {
            self.next_id += 1;
            if self.next_id as usize > self.tables.entries.len() {
                self.tables.entries.push(Entry::default());
            }
            self.next_id - 1
        })
    }

    /// Writes entry `id`: bits of one word stand in it, more take a set.
    fn write(&mut self, id: u32, bits: &Bits) {
        let old = self.tables.entries[id as usize].set;
        let sum = bits.0.iter().fold(0u64, |s, (w, _)| s | 1 << w);
        let mut e = Entry { sum, ..Entry::default() };
        match bits.0.as_slice() {
            [] => {}
            [(word, bits)] => (e.word, e.bits) = (u32::from(*word), *bits),
            all => {
                e.set = if old == 0 { self.set_id() } else { old };
                let mut set = EMPTY;
                for (w, b) in all {
                    set.words[*w as usize] = *b;
                }
                self.tables.sets[e.set as usize] = set;
            }
        }
        if old != 0 && e.set == 0 {
            self.free_sets.push(old);
        }
        self.tables.entries[id as usize] = e;
    }

    fn set_id(&mut self) -> u32 {
        self.free_sets.pop().unwrap_or_else(|| {
            self.next_set += 1;
            if self.next_set as usize > self.tables.sets.len() {
                self.tables.sets.push(EMPTY);
            }
            self.next_set - 1
        })
    }

    /// Summaries of the default sets.
    fn summarise(&mut self) {
        let t = &mut self.tables;
        let mut head = Head { group: [0; MAX_GROUPS], ..Head::default() };
        let groups = self.shape.groups();
        for (w, word) in t.words.iter().enumerate() {
            let mark = |bits: u64| u64::from(bits != 0) << w;
            head.live |= mark(word.active);
            let (mut base, mut group) = (word.active, [word.active; MAX_GROUPS]);
            for (d, default) in t.defaults.iter().enumerate() {
                head.dim[d] |= mark(default.words[w] & word.active);
                base &= default.words[w];
                group[groups[d] as usize] &= default.words[w];
            }
            head.base |= mark(base);
            for (g, bits) in group.into_iter().enumerate() {
                head.group[g] |= mark(bits);
            }
        }
        // The last group is for dimensions that have none: it holds nobody back.
        head.group[MAX_GROUPS - 1] = u64::MAX;
        t.head = head;
    }

    /// The values that are new since the last call.
    pub fn take_new(&mut self) -> Vec<NewKey> {
        std::mem::take(&mut self.new)
    }

    /// Takes values that nobody lists out. Their entries must not be used again before every
    /// program that may have found them has ended: then [`Linker::free`].
    pub fn take_old(&mut self) -> Vec<OldKey> {
        let mut old = Vec::new();
        for key in std::mem::take(&mut self.idle_exact) {
            let Some(v) = self.exact.get(&key).filter(|v| v.direct.0.is_empty()) else { continue };
            old.push(OldKey::Exact(key, v.id));
            self.workload_values -= usize::from(v.of_workload);
            self.exact.remove(&key);
        }
        for key in std::mem::take(&mut self.idle_prefix) {
            let Some(v) = self.prefix.get(&key).filter(|v| v.direct.0.is_empty()) else { continue };
            let (id, bits) = (v.id, key.bits);
            self.prefix.remove(&key);
            old.push(OldKey::Prefix(key, id));
            if let Some(n) = self.lengths.get_mut(&bits) {
                *n -= 1;
                if *n == 0 {
                    self.lengths.remove(&bits);
                }
            }
        }
        old
    }

    /// Makes entries usable again.
    pub fn free(&mut self, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            self.write(id, &Bits::default());
            self.free_ids.push(id);
        }
    }

    /// What the engine of this shape is told.
    pub fn config(&self) -> HookConfig {
        let special: Vec<u32> = self.special.iter().map(|v| v.id).collect();
        let mut c = self.shape.config(&special, self.context.kernel_strings);
        if !self.context.fields.is_empty() {
            // A tracepoint's arguments are copied from its fields, one by one.
            c.raw_args = c.args;
            for (a, (index, _)) in self.shape.args.iter().enumerate() {
                c.arg[a].raw = a as u8;
                if let Some(field) = self.context.fields.get(*index as usize) {
                    c.field[a] = field.spec();
                    c.arg[a].from |= field.from();
                }
            }
        }
        c
    }
}

impl Containers {
    /// A linker knows them all.
    pub fn is_known_to(&self, linker: &Linker) -> bool {
        !linker.asks_workload() || self.all.keys().all(|n| linker.context().containers.contains_key(n))
    }

    /// Tells a linker of those that it does not know, as far as it has room.
    pub fn introduce(&self, linker: &mut Linker) {
        for (number, (container, _)) in &self.all {
            let known = linker.context().containers.contains_key(number);
            if !known && !linker.add_container(*number, container) {
                return;
            }
        }
    }
}
