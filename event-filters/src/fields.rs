//! Field filters: which fields of which events are shown.

use serde_json::{Map, Value};
use tetragon_api::event::fields::{EVENTS, Kind, Schema, event_schema, snake_case};
use tetragon_api::event::{EventType, FieldFilter, FieldFilterAction, GetEventsResponse};

use crate::{FilterError, Reason};

/// Members of the envelope, which no field filter touches.
const ENVELOPE: [&str; 5] = ["node_name", "time", "aggregation_info", "cluster_name", "node_labels"];

/// Which fields of which events are sent. Without filters: all. Filters are applied one after the other.
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
        let compile = |(index, filter)| FieldsOf::new(filter).map_err(|reason| FilterError { index, reason });
        Ok(Fields { filters: filters.iter().enumerate().map(compile).collect::<Result<_, _>>()? })
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
        let body = value.get_mut(member(kind))?;
        self.filters.iter().filter(applies).for_each(|f| f.apply(body));
        Some(value)
    }

    /// The same as an event.
    pub fn apply_to_event(&self, event: &GetEventsResponse) -> Option<GetEventsResponse> {
        self.apply(event).and_then(|value| serde_json::from_value(value).ok())
    }
}

impl FieldsOf {
    fn new(filter: &FieldFilter) -> Result<FieldsOf, Reason> {
        let paths = filter.fields.as_ref().map_or(&[][..], |f| &f.paths);
        if paths.is_empty() {
            return Err(Reason::NoFields);
        }
        let action = FieldFilterAction::try_from(filter.action).map_err(|_| Reason::Action(filter.action))?;
        let mut of = FieldsOf {
            kinds: filter.event_set.clone(),
            invert: filter.invert_event_set.unwrap_or(false),
            include: action == FieldFilterAction::Include,
            paths: Vec::new(),
        };
        for path in paths {
            let found = of.find(path).map_err(|why| Reason::NoSuchField { path: path.clone(), why })?;
            of.paths.push(found);
        }
        Ok(of)
    }

    fn applies(&self, kind: EventType) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind.into()) != self.invert
    }

    /// The path as events that the filter is about have it.
    fn find(&self, path: &str) -> Result<Vec<String>, String> {
        let parts: Vec<&str> = path.split('.').collect();
        let about = |name: &str| {
            EventType::from_str_name(&name.to_uppercase()).is_some_and(|kind| self.applies(kind))
        };
        let schemas: Vec<&'static Schema> =
            EVENTS.iter().filter(|(name, _)| about(name)).map(|(_, schema)| *schema).collect();
        let mut nearest: Option<(usize, &Schema)> = None;
        for schema in &schemas {
            match walk(schema, &parts) {
                Ok(found) => return Ok(found),
                Err((depth, at)) => nearest = nearest.filter(|n| n.0 >= depth).or(Some((depth, at))),
            }
        }
        let first = parts.first().copied().unwrap_or_default();
        Err(match nearest {
            _ if ENVELOPE.contains(&first) => {
                "it stands beside the event, where field filters do not reach".to_owned()
            }
            _ if event_schema(first).is_some() => {
                "paths begin below the event's kind, such as process.pod; event_set says which kinds"
                    .to_owned()
            }
            Some((depth, at)) if depth > 0 => format!("a {} has {}", at.name, names(&[at])),
            _ => format!("there are {}", names(&schemas)),
        })
    }

    fn apply(&self, body: &mut Value) {
        if self.include {
            let mut kept = Value::Object(Map::new());
            self.paths.iter().for_each(|path| copy(body, &mut kept, path));
            *body = kept;
        } else {
            self.paths.iter().for_each(|path| remove(body, path));
        }
    }
}

/// The member of the JSON that holds an event of this kind.
fn member(kind: EventType) -> String {
    kind.as_str_name().to_lowercase()
}

/// Follows a path, whose names may be written `startTime` too. The error is how far it went, and where
/// it ended.
fn walk(schema: &'static Schema, path: &[&str]) -> Result<Vec<String>, (usize, &'static Schema)> {
    let mut at = schema;
    let mut found = Vec::new();
    for (depth, name) in path.iter().enumerate() {
        let field = at.field(name).or_else(|| at.field(&snake_case(name))).ok_or((depth, at))?;
        found.push(field.name.to_owned());
        let kind = if let Kind::List(inner) = field.kind { *inner } else { field.kind };
        match kind {
            Kind::Message(inner) => at = inner,
            Kind::Map => {
                // Any key, which may have dots.
                let key = path.get(depth + 1..).unwrap_or_default().join(".");
                found.extend(Some(key).filter(|key| !key.is_empty()));
                return Ok(found);
            }
            _ if depth + 1 == path.len() => {}
            _ => return Err((depth, at)),
        }
    }
    Ok(found)
}

/// The names of members, each once.
fn names(schemas: &[&Schema]) -> String {
    let mut names: Vec<&str> = schemas.iter().flat_map(|s| s.fields).map(|f| f.name).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// Copies what is at a path; lists are walked element by element.
fn copy(from: &Value, to: &mut Value, path: &[String]) {
    let Some((name, rest)) = path.split_first() else {
        *to = from.clone();
        return;
    };
    match from {
        Value::Object(map) => {
            // A message of which nothing is left is empty, and not absent.
            if !to.is_object() {
                *to = Value::Object(Map::new());
            }
            if let (Some(inner), Value::Object(target)) = (map.get(name), to) {
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
#[path = "fields_tests.rs"]
mod tests;
