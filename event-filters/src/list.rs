//! Allow and deny lists: which events are let through.

use std::collections::HashSet;

use regex::RegexSet;
use tetragon_api::event::{
    CapFilter, CapFilterSet, Capabilities, EventType, Filter, GetEventsResponse, Process,
};
use tetragon_api::selector::TextSelector;

use crate::cel::Expressions;
use crate::{FilterError, Reason, re2};

/// Kinds of events that can have ancestors.
const WITH_ANCESTORS: [EventType; 5] = [
    EventType::ProcessExec,
    EventType::ProcessExit,
    EventType::ProcessKprobe,
    EventType::ProcessTracepoint,
    EventType::ProcessLsm,
];

/// What events say only where it is asked for: a filter about something else would never match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Processes have capabilities.
    pub capabilities: bool,
    /// The kinds of events that have ancestors.
    pub ancestors: Vec<EventType>,
}

impl Default for Shown {
    /// All there is.
    fn default() -> Shown {
        Shown { capabilities: true, ancestors: WITH_ANCESTORS.to_vec() }
    }
}

impl Shown {
    /// The filter asks for nothing else.
    fn check(&self, filter: &Filter) -> Result<(), Reason> {
        if filter.capabilities.is_some() && !self.capabilities {
            return Err(Reason::NoCapabilities);
        }
        if filter.ancestor_binary_regex.is_empty() {
            return Ok(());
        }
        let all = WITH_ANCESTORS.map(i32::from);
        let kinds = if filter.event_set.is_empty() { &all[..] } else { &filter.event_set };
        let without = kinds.iter().find(|kind| !self.ancestors.iter().any(|a| i32::from(*a) == **kind));
        match without.map(|kind| EventType::try_from(*kind)) {
            None => Ok(()),
            Some(kind) => Err(Reason::NoAncestors(kind.map_or("that kind", |k| k.as_str_name()))),
        }
    }
}

/// Filters of which one is enough.
#[derive(Debug, Default)]
pub struct FilterList {
    filters: Vec<Compiled>,
}

impl FilterList {
    /// Compiles them, for events that say all there is. The error says which one it is about, from 0.
    pub fn new(filters: &[Filter]) -> Result<FilterList, FilterError> {
        FilterList::of(filters, &Shown::default())
    }

    /// The same for events that say only this.
    pub fn of(filters: &[Filter], shown: &Shown) -> Result<FilterList, FilterError> {
        let compile = |(index, filter)| {
            let compiled = shown.check(filter).and_then(|()| Compiled::new(filter));
            compiled.map_err(|reason| FilterError { index, reason })
        };
        Ok(FilterList { filters: filters.iter().enumerate().map(compile).collect::<Result<_, _>>()? })
    }

    /// Some filter takes the event.
    fn takes(&mut self, event: &GetEventsResponse) -> bool {
        // All are asked: each follows the descendants of its pid_set, whatever the others say.
        self.filters.iter_mut().fold(false, |taken, filter| filter.matches(event) | taken)
    }
}

/// An allow list and a deny list.
#[derive(Debug, Default)]
pub struct Filters {
    allow: FilterList,
    deny: FilterList,
}

impl Filters {
    /// Both lists.
    pub fn new(allow: FilterList, deny: FilterList) -> Filters {
        Filters { allow, deny }
    }

    /// The event passes: some filter allows it, if there is an allow list, and none denies it.
    pub fn pass(&mut self, event: &GetEventsResponse) -> bool {
        let allowed = self.allow.filters.is_empty() || self.allow.takes(event);
        !self.deny.takes(event) && allowed
    }

    /// What went wrong in an expression since the last call, once for each: for the log.
    pub fn complaint(&mut self) -> Option<String> {
        let lists = [&mut self.allow, &mut self.deny];
        lists.into_iter().flat_map(|l| &mut l.filters).find_map(|f| f.cel.complaint())
    }
}

/// A filter with its expressions compiled.
#[derive(Debug)]
struct Compiled {
    filter: Filter,
    binary: Option<RegexSet>,
    parent_binary: Option<RegexSet>,
    ancestor_binary: Option<RegexSet>,
    arguments: Option<RegexSet>,
    parent_arguments: Option<RegexSet>,
    namespace: Option<RegexSet>,
    pod: Option<RegexSet>,
    container_id: Option<RegexSet>,
    container_name: Option<RegexSet>,
    labels: Vec<TextSelector>,
    cel: Expressions,
    /// `pid_set` and the descendants seen so far.
    family: HashSet<u32>,
}

fn expressions(field: &'static str, list: &[String]) -> Result<Option<RegexSet>, Reason> {
    if list.is_empty() {
        return Ok(None);
    }
    re2::any(list).build().map(Some).map_err(|source| {
        // A set does not say which of its expressions is wrong.
        let one = |text: &String| re2::one(text).build().err();
        match list.iter().enumerate().find_map(|(index, text)| Some((index, one(text)?))) {
            Some((index, source)) => Reason::Regex { field, index, source },
            None => Reason::Regexes { field, source },
        }
    })
}

impl Compiled {
    fn new(filter: &Filter) -> Result<Compiled, Reason> {
        if let Some(caps) = &filter.capabilities {
            check_capabilities(caps)?;
        }
        Ok(Compiled {
            binary: expressions("binary_regex", &filter.binary_regex)?,
            parent_binary: expressions("parent_binary_regex", &filter.parent_binary_regex)?,
            ancestor_binary: expressions("ancestor_binary_regex", &filter.ancestor_binary_regex)?,
            arguments: expressions("arguments_regex", &filter.arguments_regex)?,
            parent_arguments: expressions("parent_arguments_regex", &filter.parent_arguments_regex)?,
            namespace: expressions("namespace_regex", &filter.namespace_regex)?,
            pod: expressions("pod_regex", &filter.pod_regex)?,
            container_id: expressions("container_id", &filter.container_id)?,
            container_name: expressions("container_name_regex", &filter.container_name_regex)?,
            labels: filter.labels.iter().map(|l| TextSelector::parse(l)).collect::<Result<_, _>>()?,
            cel: Expressions::new(&filter.cel_expression)?,
            family: filter.pid_set.iter().copied().collect(),
            filter: filter.clone(),
        })
    }

    /// All members hold.
    fn matches(&mut self, event: &GetEventsResponse) -> bool {
        let family = self.family(event);
        family
            && self.kind(event)
            && self.texts(event)
            && self.workload(event)
            && self.state(event)
            // What costs most comes last.
            && self.cel.match_event(event)
    }

    /// The process or an ancestor is in `pid_set`. A child of a member becomes one.
    fn family(&mut self, event: &GetEventsResponse) -> bool {
        if self.filter.pid_set.is_empty() {
            return true;
        }
        let pid = |p: Option<&Process>| p.and_then(|p| p.pid);
        let Some(process) = pid(event.process()) else { return false };
        if self.family.contains(&process) {
            return true;
        }
        let born = pid(event.parent()).is_some_and(|parent| self.family.contains(&parent));
        if born {
            self.family.insert(process);
        }
        born
    }

    fn kind(&self, event: &GetEventsResponse) -> bool {
        let f = &self.filter;
        let kind: i32 = event.event_type().into();
        (f.event_set.is_empty() || f.event_set.contains(&kind))
            && (f.policy_names.is_empty()
                || event.policy_name().is_some_and(|name| f.policy_names.iter().any(|n| n == name)))
    }

    fn texts(&self, event: &GetEventsResponse) -> bool {
        let on = |set: &Option<RegexSet>, text: Option<&str>| {
            set.as_ref().is_none_or(|set| text.is_some_and(|text| set.is_match(text)))
        };
        let process = event.process();
        let parent = event.parent();
        on(&self.binary, process.map(|p| p.binary.as_str()))
            && on(&self.arguments, process.map(|p| p.arguments.as_str()))
            && on(&self.container_id, process.map(|p| p.docker.as_str()))
            && on(&self.parent_binary, parent.map(|p| p.binary.as_str()))
            && on(&self.parent_arguments, parent.map(|p| p.arguments.as_str()))
            && self
                .ancestor_binary
                .as_ref()
                .is_none_or(|set| event.ancestors().iter().any(|a| set.is_match(&a.binary)))
    }

    /// A process of the host has no pod: only the namespace "" matches it.
    fn workload(&self, event: &GetEventsResponse) -> bool {
        let f = &self.filter;
        let Some(process) = event.process() else {
            return f.namespace.is_empty()
                && f.labels.is_empty()
                // What is of no process is of no probe.
                && f.health_check != Some(true)
                && self.namespace.is_none()
                && self.pod.is_none()
                && self.container_name.is_none();
        };
        let pod = process.pod.as_ref();
        let container = pod.and_then(|p| p.container.as_ref());
        let namespace = pod.map_or("", |p| p.namespace.as_str());
        // What a probe starts is of the probe.
        let is_probe = |p: &Process| {
            let container = p.pod.as_ref().and_then(|pod| pod.container.as_ref());
            container.is_some_and(|c| c.maybe_exec_probe)
        };
        let probe = is_probe(process) || event.parent().is_some_and(is_probe);
        (f.namespace.is_empty() || f.namespace.iter().any(|n| n == namespace))
            && self.namespace.as_ref().is_none_or(|set| set.is_match(namespace))
            && self.pod.as_ref().is_none_or(|set| pod.is_some_and(|p| set.is_match(&p.name)))
            && self.container_name.as_ref().is_none_or(|set| container.is_some_and(|c| set.is_match(&c.name)))
            && f.health_check.is_none_or(|wanted| wanted == probe)
            && (self.labels.is_empty()
                || pod.is_some_and(|p| self.labels.iter().any(|l| l.matches(&p.pod_labels))))
    }

    fn state(&self, event: &GetEventsResponse) -> bool {
        let f = &self.filter;
        if f.pid.is_empty() && f.in_init_tree.is_none() && f.capabilities.is_none() {
            return true;
        }
        let Some(process) = event.process() else { return false };
        (f.pid.is_empty() || process.pid.is_some_and(|pid| f.pid.contains(&pid)))
            && f.in_init_tree.is_none_or(|wanted| wanted == process.in_init_tree.unwrap_or(false))
            && f.capabilities
                .as_ref()
                .is_none_or(|caps| process.cap.as_ref().is_some_and(|has| match_capabilities(caps, has)))
    }
}

fn check_capabilities(caps: &CapFilter) -> Result<(), Reason> {
    for (set, filter) in
        [("permitted", &caps.permitted), ("effective", &caps.effective), ("inheritable", &caps.inheritable)]
    {
        let Some(f) = filter else { continue };
        let count = [&f.any, &f.all, &f.exactly, &f.none].iter().filter(|l| !l.is_empty()).count();
        if count != 1 {
            return Err(Reason::Capabilities { set, count });
        }
    }
    Ok(())
}

fn match_capabilities(filter: &CapFilter, has: &Capabilities) -> bool {
    let set = |filter: &Option<CapFilterSet>, has: &[i32]| {
        let Some(f) = filter else { return true };
        if !f.any.is_empty() {
            f.any.iter().any(|c| has.contains(c))
        } else if !f.all.is_empty() {
            f.all.iter().all(|c| has.contains(c))
        } else if !f.exactly.is_empty() {
            f.exactly.iter().all(|c| has.contains(c)) && has.iter().all(|c| f.exactly.contains(c))
        } else {
            !f.none.iter().any(|c| has.contains(c))
        }
    };
    set(&filter.permitted, &has.permitted)
        && set(&filter.effective, &has.effective)
        && set(&filter.inheritable, &has.inheritable)
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
