//! Filters of events, for the export and for each gRPC client: which events (allow and deny lists),
//! and which of their fields.

use std::collections::HashSet;

use regex::{RegexSet, RegexSetBuilder};
use serde_json::{Map, Value};
use tetragon_api::event::{
    CapFilter, CapFilterSet, Capabilities, EventType, FieldFilter, FieldFilterAction, Filter,
    GetEventsResponse, Process,
};
use tetragon_api::selector::{SelectorError, TextSelector};
use thiserror::Error;

/// Why a filter cannot be used.
#[derive(Debug, Error)]
pub enum FilterError {
    /// It is no JSON, or no filter.
    #[error("filter {index}: {source}")]
    Json {
        /// Which, from 0.
        index: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A member that filters do not have.
    #[error("filter {index}: there is no member `{name}`; there are {known}")]
    Unknown {
        /// Which filter, from 0.
        index: usize,
        /// The member.
        name: String,
        /// What there is.
        known: String,
    },
    /// A regular expression that does not parse.
    #[error("{field}: {source}")]
    Regex {
        /// The member.
        field: &'static str,
        /// Why.
        source: regex::Error,
    },
    /// A text that is no label selector.
    #[error("labels: {0}")]
    Labels(#[from] SelectorError),
    /// A member that does nothing here yet.
    #[error("{field}: not supported yet: {instead}")]
    Unsupported {
        /// The member.
        field: &'static str,
        /// What works.
        instead: &'static str,
    },
    /// Members that exclude each other.
    #[error("capabilities.{set}: one of any, all, exactly and none can be given, not {count}")]
    Capabilities {
        /// permitted, effective or inheritable.
        set: &'static str,
        /// How many are.
        count: usize,
    },
    /// A field filter that names nothing.
    #[error(
        "field filter {index}: `fields` is missing; right would be {{\"fields\":\"process.cap,parent\",\"action\":\"EXCLUDE\"}}"
    )]
    NoFields {
        /// Which, from 0.
        index: usize,
    },
}

/// Members of a filter.
const FILTER_MEMBERS: &[&str] = &[
    "ancestor_binary_regex",
    "arguments_regex",
    "binary_regex",
    "capabilities",
    "cel_expression",
    "container_id",
    "container_name_regex",
    "event_set",
    "health_check",
    "in_init_tree",
    "labels",
    "namespace",
    "namespace_regex",
    "parent_arguments_regex",
    "parent_binary_regex",
    "pid",
    "pid_set",
    "pod_regex",
    "policy_names",
];

const FIELD_FILTER_MEMBERS: &[&str] = &["action", "event_set", "fields", "invert_event_set"];

/// Reads filters: JSON objects, one after the other.
pub fn parse_filters(text: &str) -> Result<Vec<Filter>, FilterError> {
    parse(text, FILTER_MEMBERS)
}

/// Reads field filters: JSON objects, one after the other.
pub fn parse_field_filters(text: &str) -> Result<Vec<FieldFilter>, FilterError> {
    parse(text, FIELD_FILTER_MEMBERS)
}

fn parse<T: serde::de::DeserializeOwned>(text: &str, members: &[&str]) -> Result<Vec<T>, FilterError> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<Map<String, Value>>();
    let mut list = Vec::new();
    for (index, value) in values.enumerate() {
        let value = value.map_err(|source| FilterError::Json { index, source })?;
        if let Some(name) = value.keys().find(|k| !members.contains(&k.as_str())) {
            return Err(FilterError::Unknown { index, name: name.clone(), known: members.join(", ") });
        }
        let value = serde_json::from_value(Value::Object(value));
        list.push(value.map_err(|source| FilterError::Json { index, source })?);
    }
    Ok(list)
}

/// An allow list and a deny list.
#[derive(Debug, Default)]
pub struct Filters {
    allow: Vec<Compiled>,
    deny: Vec<Compiled>,
}

impl Filters {
    /// Compiles both lists.
    pub fn new(allow: &[Filter], deny: &[Filter]) -> Result<Filters, FilterError> {
        let compile = |list: &[Filter]| list.iter().map(Compiled::new).collect::<Result<Vec<_>, _>>();
        Ok(Filters { allow: compile(allow)?, deny: compile(deny)? })
    }

    /// The event passes: some filter allows it, if there is an allow list, and none denies it.
    pub fn pass(&mut self, event: &GetEventsResponse) -> bool {
        // All are asked: each follows the descendants of its pid_set, whatever the others say.
        let hit = |list: &mut Vec<Compiled>| {
            let mut hit = false;
            for filter in list {
                hit |= filter.matches(event);
            }
            hit
        };
        let allowed = self.allow.is_empty() || hit(&mut self.allow);
        !hit(&mut self.deny) && allowed
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
    /// `pid_set` and the descendants seen so far.
    family: HashSet<u32>,
}

fn expressions(field: &'static str, list: &[String]) -> Result<Option<RegexSet>, FilterError> {
    if list.is_empty() {
        return Ok(None);
    }
    // Filters come from clients: an expression must not take the agent's memory.
    let set = RegexSetBuilder::new(list).size_limit(1 << 20).dfa_size_limit(1 << 20).build();
    set.map(Some).map_err(|source| FilterError::Regex { field, source })
}

impl Compiled {
    fn new(filter: &Filter) -> Result<Compiled, FilterError> {
        if !filter.cel_expression.is_empty() {
            let instead = "use the other members of the filter, such as binary_regex or arguments_regex";
            return Err(FilterError::Unsupported { field: "cel_expression", instead });
        }
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
            family: filter.pid_set.iter().copied().collect(),
            filter: filter.clone(),
        })
    }

    /// All members hold.
    fn matches(&mut self, event: &GetEventsResponse) -> bool {
        let family = self.family(event);
        family && self.kind(event) && self.texts(event) && self.workload(event) && self.state(event)
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
                && f.health_check.is_none()
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

fn check_capabilities(caps: &CapFilter) -> Result<(), FilterError> {
    for (set, filter) in
        [("permitted", &caps.permitted), ("effective", &caps.effective), ("inheritable", &caps.inheritable)]
    {
        let Some(f) = filter else { continue };
        let count = [&f.any, &f.all, &f.exactly, &f.none].iter().filter(|l| !l.is_empty()).count();
        if count > 1 {
            return Err(FilterError::Capabilities { set, count });
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

/// Which fields of which events are sent. Without filters: all.
#[derive(Debug, Default)]
pub struct Fields {
    filters: Vec<FieldsOf>,
}

#[derive(Debug)]
struct FieldsOf {
    kinds: Vec<i32>,
    invert: bool,
    include: bool,
    paths: Vec<Vec<String>>,
}

impl Fields {
    /// Takes the filters as they were given.
    pub fn new(filters: &[FieldFilter]) -> Result<Fields, FilterError> {
        let mut list = Vec::new();
        for (index, filter) in filters.iter().enumerate() {
            let paths = filter.fields.as_ref().map_or(&[][..], |f| &f.paths);
            if paths.is_empty() {
                return Err(FilterError::NoFields { index });
            }
            list.push(FieldsOf {
                kinds: filter.event_set.clone(),
                invert: filter.invert_event_set.unwrap_or(false),
                include: filter.action == i32::from(FieldFilterAction::Include),
                paths: paths.iter().map(|p| p.split('.').map(snake_case).collect()).collect(),
            });
        }
        Ok(Fields { filters: list })
    }

    /// Nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// The event's JSON without what is not wanted; `None`: it is wanted as it is.
    pub fn apply(&self, event: &GetEventsResponse) -> Option<Value> {
        let kind = event.event_type();
        let applies = |f: &&FieldsOf| f.applies(kind);
        self.filters.iter().find(applies)?;
        let mut value = serde_json::to_value(event).ok()?;
        let member = kind.as_str_name().to_lowercase();
        let body = value.get_mut(member)?;
        let included: Vec<&Vec<String>> =
            self.filters.iter().filter(applies).filter(|f| f.include).flat_map(|f| &f.paths).collect();
        if !included.is_empty() {
            let mut kept = Value::Object(Map::new());
            for path in included {
                copy(body, &mut kept, path);
            }
            *body = kept;
        }
        for path in self.filters.iter().filter(applies).filter(|f| !f.include).flat_map(|f| &f.paths) {
            remove(body, path);
        }
        Some(value)
    }
}

impl FieldsOf {
    fn applies(&self, kind: EventType) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind.into()) != self.invert
    }
}

/// `startTime` is `start_time`.
fn snake_case(name: &str) -> String {
    // Some names of the protocol have capitals of their own.
    if name.starts_with(|c: char| c.is_ascii_uppercase()) {
        return name.to_owned();
    }
    let mut text = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// Copies what is at a path; lists are walked element by element.
fn copy(from: &Value, to: &mut Value, path: &[String]) {
    let Some((name, rest)) = path.split_first() else {
        *to = from.clone();
        return;
    };
    match from {
        Value::Object(map) => {
            let Some(inner) = map.get(name) else { return };
            if !to.is_object() {
                *to = Value::Object(Map::new());
            }
            if let Value::Object(target) = to {
                copy(inner, target.entry(name).or_insert(Value::Null), rest);
            }
        }
        Value::Array(list) => {
            if !to.is_array() {
                *to = Value::Array(vec![Value::Object(Map::new()); list.len()]);
            }
            if let Value::Array(target) = to {
                list.iter().zip(target).for_each(|(from, to)| copy(from, to, path));
            }
        }
        _ => {}
    }
}

fn remove(value: &mut Value, path: &[String]) {
    match (value, path) {
        (Value::Object(map), [name]) => {
            map.remove(name);
        }
        (Value::Object(map), [name, rest @ ..]) => {
            if let Some(inner) = map.get_mut(name) {
                remove(inner, rest);
            }
        }
        (Value::Array(list), path) => list.iter_mut().for_each(|v| remove(v, path)),
        _ => {}
    }
}

#[cfg(test)]
#[path = "filters_tests.rs"]
mod tests;
