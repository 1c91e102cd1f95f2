//! Everything that keeps a JSON value from being a manifest, by a walk along
//! the manifest's JSON Schema.
//!
//! serde alone stops at the first error, with a line instead of a path, and
//! takes a list for an object. The walk knows only the keywords that `schemars`
//! writes for our types. A general validator was left out because it answers a
//! wrong value in a tagged union with every branch that did not fit.

use std::fmt;

use serde_json::{Map, Value};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    /// The place, for people: `features[3].range`.
    shown: String,
    /// The place, as a JSON pointer.
    pub(super) pointer: String,
    /// What was found and what was wanted.
    message: String,
    /// The key, where it is one that is not known at that place.
    pub(super) unknown_key: Option<String>,
}

/// A place in the value.
#[derive(Clone, Default)]
struct Place {
    shown: String,
    pointer: String,
}

struct Walk<'s> {
    definitions: Option<&'s Map<String, Value>>,
}

/// All faults of `value` under `schema`, in the order of the keys.
pub(super) fn explain(value: &Value, schema: &Value) -> Vec<Fault> {
    let walk = Walk { definitions: schema.get("$defs").and_then(Value::as_object) };
    walk.check(value, schema, &Place::default())
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shown.as_str() {
            "" => f.write_str(&self.message),
            shown => write!(f, "{shown}: {}", self.message),
        }
    }
}

impl Place {
    fn key(&self, key: &str) -> Self {
        let dot = if self.shown.is_empty() { "" } else { "." };
        let escaped = key.replace('~', "~0").replace('/', "~1");
        Self { shown: format!("{}{dot}{key}", self.shown), pointer: format!("{}/{escaped}", self.pointer) }
    }

    fn item(&self, index: usize) -> Self {
        Self { shown: format!("{}[{index}]", self.shown), pointer: format!("{}/{index}", self.pointer) }
    }

    fn fault(&self, message: String) -> Fault {
        Fault { shown: self.shown.clone(), pointer: self.pointer.clone(), message, unknown_key: None }
    }

    fn unknown(&self, key: &str, known: &Map<String, Value>) -> Fault {
        let known = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let message = format!("unknown key, wanted one of {known}");
        Fault { shown: self.key(key).shown, pointer: self.pointer.clone(), message, unknown_key: Some(key.to_owned()) }
    }
}

impl<'s> Walk<'s> {
    fn check(&self, value: &Value, schema: &'s Value, at: &Place) -> Vec<Fault> {
        let schema = self.resolve(schema);
        if let Some(wanted) = refused_by(value, schema) {
            return vec![at.fault(format!("found {}, wanted {wanted}", shown(value)))];
        }
        let mut faults = match value {
            Value::Object(object) => self.check_object(object, schema, at),
            Value::Array(items) => self.check_items(items, schema, at),
            _ => Vec::new(),
        };
        faults.extend(self.check_union(value, schema, at));
        faults
    }

    fn resolve(&self, schema: &'s Value) -> &'s Value {
        schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|path| path.strip_prefix("#/$defs/"))
            .and_then(|name| self.definitions?.get(name))
            .unwrap_or(schema)
    }

    fn check_object(&self, object: &Map<String, Value>, schema: &'s Value, at: &Place) -> Vec<Fault> {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return self.check_values(object, schema, at);
        };
        let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
        let mut faults = Vec::new();
        for (key, value) in object {
            match properties.get(key) {
                Some(property) => faults.extend(self.check(value, property, &at.key(key))),
                None if closed => faults.push(at.unknown(key, properties)),
                None => {}
            }
        }
        let missing = strings(schema.get("required")).filter(|key| !object.contains_key(*key));
        faults.extend(missing.map(|key| at.key(key).fault("missing".to_owned())));
        faults
    }

    /// A map: any keys, values of one schema.
    fn check_values(&self, object: &Map<String, Value>, schema: &'s Value, at: &Place) -> Vec<Fault> {
        let Some(values) = schema.get("additionalProperties") else { return Vec::new() };
        object.iter().flat_map(|(key, value)| self.check(value, values, &at.key(key))).collect()
    }

    fn check_items(&self, items: &[Value], schema: &'s Value, at: &Place) -> Vec<Fault> {
        let Some(wanted) = schema.get("items") else { return Vec::new() };
        items.iter().enumerate().flat_map(|(index, item)| self.check(item, wanted, &at.item(index))).collect()
    }

    /// A union: fine where one branch is; otherwise the faults of the branch
    /// that the value's tag chooses.
    fn check_union(&self, value: &Value, schema: &'s Value, at: &Place) -> Vec<Fault> {
        let branches = self.branches(schema);
        let tried: Vec<_> = branches.iter().map(|branch| (branch, self.check(value, branch, at))).collect();
        if tried.is_empty() || tried.iter().any(|(_, faults)| faults.is_empty()) {
            return Vec::new();
        }
        let chosen = tried.into_iter().find(|(branch, _)| chooses(value, branch));
        chosen.map(|(_, faults)| faults).unwrap_or_else(|| {
            let wanted = branches.iter().flat_map(|branch| names(branch)).collect::<Vec<_>>();
            vec![at.fault(format!("found {}, wanted {}", shown(value), wanted.join(" or ")))]
        })
    }

    /// The branches of a union, those of unions within it included; none of
    /// anything else.
    fn branches(&self, schema: &'s Value) -> Vec<&'s Value> {
        let listed = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array);
        let branches = listed.into_iter().flatten().map(|branch| self.resolve(branch));
        branches
            .flat_map(|branch| match self.branches(branch) {
                inner if inner.is_empty() => vec![branch],
                inner => inner,
            })
            .collect()
    }
}

/// What the schema wants instead of `value`, by the value alone and not by what is in it.
fn refused_by(value: &Value, schema: &Value) -> Option<String> {
    let listed = |key| schema.get(key).and_then(Value::as_array);
    if schema.get("const").is_some_and(|only| only != value)
        || listed("enum").is_some_and(|names| !names.contains(value))
    {
        return Some(names(schema).join(" or "));
    }
    let types: Vec<_> = strings(schema.get("type")).collect();
    if !types.is_empty() && !types.iter().any(|name| is_of_type(value, name)) {
        return Some(types.join(" or "));
    }
    let limit = |key| schema.get(key).and_then(Value::as_u64);
    if limit("minimum").is_some_and(|least| value.as_i64().is_some_and(|found| found < 0) && least == 0) {
        return Some("0 or more".to_owned());
    }
    let len = value.as_array().map(|items| items.len() as u64);
    let wrong_len = len.zip(limit("minItems")).is_some_and(|(len, least)| len < least)
        || len.zip(limit("maxItems")).is_some_and(|(len, most)| len > most);
    wrong_len.then(|| format!("{} items", limit("minItems").unwrap_or_default()))
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        // Stricter than JSON Schema, as serde is: 1.0 is no integer.
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

/// Whether the value's tag (`"kind": "ziln"`, or its only key) is this branch's.
fn chooses(value: &Value, branch: &Value) -> bool {
    let Some(properties) = branch.get("properties").and_then(Value::as_object) else { return false };
    let mut tags = properties.iter().filter_map(|(key, schema)| Some((key, schema.get("const")?))).peekable();
    match tags.peek() {
        Some(_) => tags.all(|(key, tag)| value.get(key) == Some(tag)),
        None => strings(branch.get("required")).all(|key| value.get(key).is_some()),
    }
}

/// What a branch is called where none fits.
fn names(branch: &Value) -> Vec<String> {
    if let Some(only) = branch.get("const") {
        return vec![only.to_string()];
    }
    if let Some(listed) = branch.get("enum").and_then(Value::as_array) {
        return listed.iter().map(Value::to_string).collect();
    }
    if let Some(properties) = branch.get("properties").and_then(Value::as_object) {
        let tag = properties.iter().find_map(|(key, schema)| Some(format!("{{\"{key}\": {}}}", schema.get("const")?)));
        let keys = strings(branch.get("required")).map(|key| format!("{{\"{key}\": ...}}"));
        return tag.map_or_else(|| keys.collect(), |tag| vec![tag]);
    }
    let elements = branch.get("items").map(names).unwrap_or_default();
    let of = if elements.is_empty() { String::new() } else { format!(" of {}s", elements.join(" or ")) };
    strings(branch.get("type")).map(|name| format!("{name}{of}")).collect()
}

/// A string, or the strings of a list.
fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let one = value.and_then(Value::as_str);
    let many = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    one.into_iter().chain(many.iter().filter_map(Value::as_str))
}

/// The value in few words.
fn shown(value: &Value) -> String {
    const MOST_CHARS: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
