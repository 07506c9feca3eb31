//! The CustomResourceDefinitions, made from the types of this crate. `cargo xtask crds` writes them
//! to `config/crd/`; the operator installs them.
//!
//! The `spec` of policies takes what Tetragon's own definition takes, and refuses what it refuses:
//! the same names, required fields, enums and rules. It has no defaults: an object stays as it was
//! applied.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use kube::core::schema::StructuralSchemaRewriter;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::policy::{KIND, KIND_NAMESPACED, TracingPolicySpec};
use crate::status::{
    PodInfoSpec, PodInfoStatus, TetragonNode, TracingPolicyStatus, WorkloadObject, WorkloadType,
};

/// Counts up with every change of a definition: an operator does not replace a newer one.
pub const CRD_VERSION: u32 = 4;
/// The annotation that says it.
pub const CRD_VERSION_ANNOTATION: &str = "tetragon-rs.dev/crd-version";

/// All of them.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![policies(KIND), policies(KIND_NAMESPACED), tetragon_node(), pod_info()]
}

/// A definition as a YAML document.
pub fn yaml(crd: &CustomResourceDefinition) -> String {
    let text = serde_saphyr::to_string(crd).expect("a definition serialises");
    format!("# Made by `cargo xtask crds` from api-types/: do not edit.\n{}\n", text.trim_end())
}

/// TracingPolicy or TracingPolicyNamespaced.
fn policies(kind: &str) -> CustomResourceDefinition {
    let namespaced = kind == KIND_NAMESPACED;
    let (plural, short, scope) = if namespaced {
        ("tracingpoliciesnamespaced", "tgtpn", "Namespaced")
    } else {
        ("tracingpolicies", "tgtp", "Cluster")
    };
    let mut spec = schema::<TracingPolicySpec>();
    rules(&mut spec);
    let mut status = schema::<TracingPolicyStatus>();
    keyed_by_type(&mut status);
    let schema = json!({
        "type": "object",
        "description": "What to watch in the kernel, and what to do there.",
        "required": ["metadata", "spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    });
    let ready = |field: &str| format!(r#".status.conditions[?(@.type=="Ready")].{field}"#);
    let columns = json!([
        {"name": "Mode", "type": "string", "jsonPath": ".status.mode"},
        {"name": "Ready", "type": "string", "jsonPath": ready("status")},
        {"name": "Nodes", "type": "string", "jsonPath": ".status.nodes.summary", "description": "loaded/matched"},
        {"name": "Hooks", "type": "integer", "jsonPath": ".status.plan.hooks"},
        {"name": "Reason", "type": "string", "jsonPath": ready("reason")},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Failed", "type": "integer", "jsonPath": ".status.nodes.failed", "priority": 1},
        {"name": "Pods", "type": "integer", "jsonPath": ".status.workloads.pods", "priority": 1, "description": "that it selects"},
        {"name": "Message", "type": "string", "jsonPath": ready("message"), "priority": 1},
    ]);
    definition("cilium.io", kind, plural, short, scope, &schema, Some(&columns), true)
}

fn tetragon_node() -> CustomResourceDefinition {
    let mut object = serde_json::to_value(TetragonNode::crd()).expect("a definition serialises");
    let schema = &mut object["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    clean(schema);
    keyed_by_type(&mut schema["properties"]["status"]);
    // One writer: else the name of each policy would stand once more among the managed fields.
    schema["properties"]["status"]["properties"]["loaded"]["x-kubernetes-map-type"] = "atomic".into();
    if let Some(root) = schema.as_object_mut() {
        // The object is what its status says: nobody writes a spec.
        root.remove("required");
    }
    object["metadata"]["annotations"] = json!({CRD_VERSION_ANNOTATION: CRD_VERSION.to_string()});
    serde_json::from_value(object).expect("a definition is read back")
}

/// Tetragon's PodInfo: its fields stand beside spec and status.
fn pod_info() -> CustomResourceDefinition {
    let schema = json!({
        "type": "object",
        "description": "A pod by its addresses.",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": schema::<PodInfoSpec>(),
            "status": schema::<PodInfoStatus>(),
            "workloadObject": schema::<WorkloadObject>(),
            "workloadType": schema::<WorkloadType>(),
        },
    });
    definition("cilium.io", "PodInfo", "podinfo", "tgpi", "Namespaced", &schema, None, false)
}

#[expect(clippy::too_many_arguments, reason = "each is a field of the definition")]
fn definition(
    group: &str,
    kind: &str,
    plural: &str,
    short: &str,
    scope: &str,
    schema: &Value,
    columns: Option<&Value>,
    status: bool,
) -> CustomResourceDefinition {
    let singular = if kind == "PodInfo" { plural.to_owned() } else { kind.to_lowercase() };
    let mut version = json!({
        "name": "v1alpha1",
        "served": true,
        "storage": true,
        "schema": {"openAPIV3Schema": schema},
    });
    if let Some(columns) = columns {
        version["additionalPrinterColumns"] = columns.clone();
    }
    if status {
        version["subresources"] = json!({"status": {}});
    }
    let object = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {CRD_VERSION_ANNOTATION: CRD_VERSION.to_string()},
        },
        "spec": {
            "group": group,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": singular,
                "shortNames": [short],
                "categories": ["tetragon"],
            },
            "versions": [version],
        },
    });
    serde_json::from_value(object).expect("a definition is well formed")
}

/// The structural schema of a type.
fn schema<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::openapi3()
        .with(|s| {
            s.inline_subschemas = true;
            s.meta_schema = None;
        })
        .with_transform(StructuralSchemaRewriter)
        .into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    clean(&mut schema);
    schema
}

/// Takes out what the API server would act on or complain of, and makes enums plain.
fn clean(value: &mut Value) {
    let Some(map) = value.as_object_mut() else { return };
    map.remove("title");
    // The types have defaults so that fields may be left out. In a definition they would be written
    // into every object.
    map.remove("default");
    // An optional field is left out, not null.
    map.remove("nullable");
    if let Some(values) = map.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|v| !v.is_null());
    }
    if let Some(format) = map.get("format").and_then(Value::as_str)
        && (format.starts_with("uint") || format.starts_with("int"))
    {
        // Only int32 and int64 mean something there, and bounds of unsigned ones are in `minimum`.
        map.remove("format");
        map.remove("maximum");
    }
    flatten_enum(map);
    if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(clean);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key) {
            clean(inner);
        }
    }
}

/// `oneOf: [{enum: [a]}, {enum: [b]}]` (values with descriptions) to `type: string, enum: [a, b]`.
fn flatten_enum(map: &mut Map<String, Value>) {
    for key in ["oneOf", "anyOf"] {
        let Some(list) = map.get(key).and_then(Value::as_array) else { continue };
        let value = |v: &Value| match (v.get("enum"), v.get("const")) {
            (Some(Value::Array(values)), _) => Some(values.clone()),
            (None, Some(value)) => Some(vec![value.clone()]),
            _ => None,
        };
        let Some(values) = list.iter().map(value).collect::<Option<Vec<_>>>() else { continue };
        let values: Vec<Value> = values.into_iter().flatten().collect();
        map.remove(key);
        map.insert("type".into(), "string".into());
        map.insert("enum".into(), values.into());
        return;
    }
}

/// Conditions are a map by their type: writers of different conditions do not collide, and a client
/// that merges patches sees one list.
fn keyed_by_type(status: &mut Value) {
    let conditions = &mut status["properties"]["conditions"];
    conditions["x-kubernetes-list-type"] = "map".into();
    conditions["x-kubernetes-list-map-keys"] = json!(["type"]);
}

/// What the types do not say: required fields, bounds and rules, as in Tetragon's definition.
fn rules(spec: &mut Value) {
    for_each_property(spec, &mut |name, schema| match name {
        "kprobes" | "fentries" => {
            require(schema, &["call"]);
            rule(schema, RETURN_RULE, "ReturnArg not specified with Return=true.");
        }
        "tracepoints" => require(schema, &["subsystem", "event"]),
        "lsmhooks" => require(schema, &["hook"]),
        "uprobes" => {
            require(schema, &["path"]);
            rule(schema, ONE_PLACE_RULE, "uprobe needs at most one of symbols, addrs or offsets defined");
            rule(schema, RETURN_RULE, "ReturnArg not specified with Return=true.");
        }
        "usdts" => require(schema, &["name", "path", "provider"]),
        "enforcers" => require(schema, &["calls"]),
        "lists" => require(schema, &["name"]),
        "options" => require(schema, &["name"]),
        "args" | "data" | "returnArg" => require(schema, &["index"]),
        "matchActions" | "matchReturnActions" => rule(
            schema,
            ONE_TARGET_RULE,
            "override action needs at most one of argNewSymbol, argNewAddr or argNewOffset defined",
        ),
        "matchBinaries" | "matchParentBinaries" => schema["maxItems"] = 1.into(),
        "tags" => schema["maxItems"] = 16.into(),
        "containerSelector" | "podSelector" | "nodeSelector" | "hostSelector" => {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        _ => {}
    });
}

const RETURN_RULE: &str = "!has(self.return) || (!self.return || has(self.returnArg))";
const ONE_PLACE_RULE: &str = "!(has(self.symbols) && has(self.addrs)) && !(has(self.symbols) && \
     has(self.offsets)) && !(has(self.addrs) && has(self.offsets))";
const ONE_TARGET_RULE: &str = "!(has(self.argNewSymbol) && has(self.argNewAddr)) && \
     !(has(self.argNewSymbol) && has(self.argNewOffset)) && !(has(self.argNewAddr) && has(self.argNewOffset))";

fn for_each_property(schema: &mut Value, f: &mut impl FnMut(&str, &mut Value)) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            f(name, property);
            for_each_property(property, f);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(key) {
            for_each_property(inner, f);
        }
    }
}

/// The schema of an entry, if it is a list, or of the object itself.
fn entry(schema: &mut Value) -> &mut Value {
    if schema.get("items").is_some() { &mut schema["items"] } else { schema }
}

fn require(schema: &mut Value, fields: &[&str]) {
    let entry = entry(schema);
    // `args` of matchArgs is a list of numbers.
    if entry.get("properties").is_some() {
        entry["required"] = json!(fields);
    }
}

fn rule(schema: &mut Value, rule: &str, message: &str) {
    let entry = entry(schema);
    let list = entry.as_object_mut().map(|e| e.entry("x-kubernetes-validations").or_insert(json!([])));
    if let Some(Value::Array(list)) = list {
        list.push(json!({"rule": rule, "message": message}));
    }
}
