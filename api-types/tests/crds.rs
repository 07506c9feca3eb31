//! The definitions in `config/crd/` are those that the types make, and a structural schema.
//! After a change of the types: `cargo xtask crds`, look at the diff, and count CRD_VERSION up.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tetragon_api::crd;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/crd").join(format!("{name}.yaml"))
}

#[test]
fn the_files_are_those_of_the_types() {
    let mut names = Vec::new();
    for definition in crd::all() {
        let name = definition.metadata.name.clone().unwrap();
        let text = std::fs::read_to_string(file(&name)).unwrap_or_default();
        assert!(text == crd::yaml(&definition), "config/crd/{name}.yaml is stale: run `cargo xtask crds`");
        names.push(format!("{name}.yaml"));
    }
    let mut found: Vec<String> = std::fs::read_dir(file("x").parent().unwrap())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.ends_with(".yaml") && n != "kustomization.yaml")
        .collect();
    found.sort();
    names.sort();
    assert_eq!(found, names);
}

/// What `kubectl apply` keeps in an annotation has at most 256 KiB.
#[test]
fn a_definition_can_be_applied_by_any_client() {
    for definition in crd::all() {
        let bytes = serde_json::to_vec(&definition).unwrap().len();
        assert!(bytes < 250_000, "{:?}: {bytes} bytes", definition.metadata.name);
    }
}

#[test]
fn schemas_are_structural() {
    for definition in crd::all() {
        let object = serde_json::to_value(&definition).unwrap();
        let schema = &object["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        check(schema, definition.metadata.name.as_deref().unwrap());
    }
}

fn check(schema: &Value, path: &str) {
    let map = schema.as_object().unwrap_or_else(|| panic!("{path}: no schema"));
    assert!(map["type"].is_string(), "{path}: a type is needed");
    for key in ["default", "nullable", "oneOf", "anyOf", "allOf", "$ref", "title"] {
        assert!(!map.contains_key(key), "{path}: {key}");
    }
    assert!(
        map["type"] != "object" || !map.contains_key("x-kubernetes-preserve-unknown-fields"),
        "{path}: a typo would be kept"
    );
    for (name, property) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        check(property, &format!("{path}.{name}"));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get(key) {
            check(inner, &format!("{path}.{key}"));
        }
    }
}
