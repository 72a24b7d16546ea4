//! Completes the OpenAPI document for readers and for generators of clients.
//!
//! utoipa writes parameters, responses and generic or flattened types where they are used. Here they become named
//! components, so that a generated client has one type with a good name for each of them.

use axum::http::StatusCode;
use indexmap::{IndexMap, IndexSet};
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::problem::{ProblemCode, ProblemDoc};

/// Schemas whose properties are optional although they can be null: `fields` selects them.
const SELECTABLE: [&str; 1] = ["UserDay"];

/// The prefix of the names that utoipa gives to lists of items, see `ListResponse`.
const LIST_PREFIX: &str = "List_";

/// The fields of a path item that are operations.
const METHODS: [&str; 4] = ["get", "put", "post", "delete"];

/// The media type of problems.
const PROBLEM_TYPE: &str = "application/problem+json";

/// The document as it is served and published.
#[must_use]
pub(super) fn complete(document: &OpenApi) -> Value {
    // All keys are texts, so the document can be represented as JSON.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let schemas = document["components"]["schemas"].take();
    let Value::Object(schemas) = schemas else { return document };
    let mut schemas: IndexMap<String, Value> = schemas.into_iter().collect();
    flatten(&mut schemas);
    for (name, schema) in &mut schemas {
        let is_selectable = SELECTABLE.contains(&name.as_str());
        let parts = if is_selectable { &mut schema["properties"] } else { schema };
        visit_objects(parts, &mut require_nullable);
    }
    document["components"]["schemas"] = schemas.into_iter().collect::<Map<_, _>>().into();
    visit_objects(&mut document, &mut unwrap_text);
    name_inline_schemas(&mut document);
    rename_lists(&mut document);
    add_problem_examples(&mut document);
    share(&mut document, "parameters");
    share(&mut document, "responses");
    remove_unused_schemas(&mut document);
    document
}

/// Merges `allOf`, which stands for `#[serde(flatten)]`, into one object. The object's own properties come first.
fn flatten(schemas: &mut IndexMap<String, Value>) {
    let all = schemas.clone();
    for schema in schemas.values_mut() {
        visit_objects(schema, &mut |object| {
            let Some(Value::Array(parts)) = object.get("allOf") else { return };
            let mut parts: Vec<Value> = parts.iter().map(|part| resolved(part, &all)).collect();
            if !parts.iter().all(|part| part["type"] == "object") {
                return;
            }
            let (mut required, mut properties) = (Vec::new(), Map::new());
            // utoipa puts the object's own properties last.
            parts.rotate_right(1);
            for part in &parts {
                required.extend(part["required"].as_array().into_iter().flatten().cloned());
                let own = part["properties"].as_object().into_iter().flatten();
                properties.extend(own.map(|(name, schema)| (name.clone(), schema.clone())));
            }
            object.remove("allOf");
            let description = object.remove("description");
            object.insert("type".to_owned(), "object".into());
            object.extend(description.map(|description| ("description".to_owned(), description)));
            object.insert("required".to_owned(), required.into());
            object.insert("properties".to_owned(), properties.into());
        });
    }
}

fn resolved(schema: &Value, all: &IndexMap<String, Value>) -> Value {
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    name.and_then(|name| all.get(name)).unwrap_or(schema).clone()
}

/// A property that can be null is always sent; one that can be absent is never null.
fn require_nullable(object: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = object.get("properties") else { return };
    let is_null = |schema: &Value| schema["type"] == "null";
    let is_nullable = |schema: &Value| {
        let types = schema["type"].as_array();
        types.is_some_and(|types| types.iter().any(|one| one == "null"))
            || schema["oneOf"].as_array().is_some_and(|parts| parts.iter().any(is_null))
    };
    let listed: Vec<&str> =
        object.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let required = properties.iter().filter(|(name, schema)| listed.contains(&name.as_str()) || is_nullable(schema));
    let required: Vec<Value> = required.map(|(name, _)| name.as_str().into()).collect();
    if !required.is_empty() {
        object.insert("required".to_owned(), required.into());
    }
}

/// Joins the lines of paragraphs in descriptions: comments in the source have line ends at the width of the source.
fn unwrap_text(object: &mut Map<String, Value>) {
    let Some(Value::String(description)) = object.get_mut("description") else { return };
    let paragraphs =
        description.split("\n\n").map(|paragraph| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    *description = paragraphs.collect::<Vec<_>>().join("\n\n");
}

/// Replaces schemas that equal a named one by a reference to it.
fn name_inline_schemas(document: &mut Value) {
    let Value::Object(schemas) = document["components"]["schemas"].clone() else { return };
    let mut names: Vec<(Value, String)> = schemas
        .iter()
        .filter(|(_, schema)| schema.get("properties").is_some() || schema.get("enum").is_some())
        .map(|(name, schema)| (schema.clone(), reference("schemas", name)))
        .collect();
    // An outer schema is replaced before its parts change.
    names.sort_by_key(|(schema, _)| std::cmp::Reverse(schema.to_string().len()));
    for (schema, name) in names {
        let replace = |value: &mut Value| {
            if *value == schema {
                *value = json!({"$ref": name});
            }
        };
        for (own, component) in document["components"]["schemas"].as_object_mut().into_iter().flatten() {
            // Each schema keeps its own definition.
            if reference("schemas", own) != name {
                visit_values(component, &mut |value| replace(value));
            } else if let Value::Object(fields) = component {
                fields.values_mut().for_each(|field| visit_values(field, &mut |value| replace(value)));
            }
        }
        visit_values(&mut document["paths"], &mut |value| replace(value));
    }
}

/// Names lists after their items: `ActivityList` is a list of `ActivityItem`.
fn rename_lists(document: &mut Value) {
    let list_name = |name: &str| {
        let item = name.strip_prefix(LIST_PREFIX)?;
        Some(format!("{}List", item.strip_suffix("Item").unwrap_or(item)))
    };
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        let renamed = std::mem::take(schemas).into_iter();
        *schemas = renamed.map(|(name, schema)| (list_name(&name).unwrap_or(name), schema)).collect();
    }
    visit_objects(document, &mut |object| {
        let Some(Value::String(target)) = object.get_mut("$ref") else { return };
        let name = target.rsplit('/').next().unwrap_or_default();
        if let Some(name) = list_name(name) {
            *target = reference("schemas", &name);
        }
    });
}

/// Adds an example to each response with a problem: the first code that its description names.
fn add_problem_examples(document: &mut Value) {
    for response in operations(document)
        .filter_map(|operation| operation["responses"].as_object_mut())
        .flat_map(|all| all.values_mut())
    {
        let description = response["description"].as_str().unwrap_or_default();
        let named = description.split('`').nth(1);
        let code = named.and_then(|name| ProblemCode::ALL.iter().find(|code| code.name() == name));
        let content = response.get_mut("content").and_then(|content| content.get_mut(PROBLEM_TYPE));
        if let (Some(code), Some(content)) = (code, content) {
            content["example"] = problem_example(*code);
        }
    }
}

fn problem_example(code: ProblemCode) -> Value {
    let ProblemDoc { status, title, cause, .. } = code.doc();
    let name = code.name();
    let mut example = json!({
        "type": format!("/problems/{name}"), "title": title, "status": status.as_u16(), "code": name, "detail": cause,
        "request_id": "01JD5W3Q2M8Z",
    });
    if status == StatusCode::BAD_REQUEST {
        example["errors"] =
            json!([{"parameter": "start_date", "detail": "expected a calendar day written YYYY-MM-DD"}]);
    }
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        example["retry_after"] = 10.into();
    }
    example
}

/// Moves the parameters or responses that several operations have into the components.
fn share(document: &mut Value, kind: &str) {
    let mut uses: IndexMap<String, SharedPart> = IndexMap::new();
    for operation in operations(document) {
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        for (name, part) in parts(operation, kind) {
            let entry = uses.entry(part.to_string());
            entry.or_insert_with(|| SharedPart { name, first_operation: id.clone(), count: 0 }).count += 1;
        }
    }
    uses.retain(|_, part| part.count > 1);
    let most_used = |name: &str| {
        let same_name = uses.iter().filter(|(_, part)| part.name == name);
        // The first of several maxima.
        same_name.rev().max_by_key(|(_, part)| part.count).map(|(text, _)| text.clone())
    };
    let names: IndexMap<String, String> = uses
        .iter()
        .map(|(text, part)| {
            let is_main = most_used(&part.name).as_ref() == Some(text);
            let name = if is_main { part.name.clone() } else { format!("{}_{}", part.first_operation, part.name) };
            (text.clone(), name)
        })
        .collect();
    let mut shared = Map::new();
    for operation in operations(document) {
        for (_, part) in parts(operation, kind) {
            if let Some(name) = names.get(&part.to_string()) {
                let part = std::mem::replace(part, json!({"$ref": reference(kind, name)}));
                shared.insert(name.clone(), part);
            }
        }
    }
    shared.sort_keys();
    document["components"][kind] = shared.into();
}

/// A parameter or response that several operations have.
struct SharedPart {
    name: String,
    first_operation: String,
    count: usize,
}

/// The parameters or responses of an operation, with the names that they have as components.
fn parts<'a>(operation: &'a mut Value, kind: &str) -> Vec<(String, &'a mut Value)> {
    match operation.get_mut(kind) {
        Some(Value::Array(parameters)) => {
            let name = |parameter: &Value| parameter["name"].as_str().unwrap_or_default().to_owned();
            parameters.iter_mut().map(|parameter| (name(parameter), parameter)).collect()
        }
        Some(Value::Object(responses)) => {
            responses.iter_mut().map(|(status, response)| (response_name(status), response)).collect()
        }
        _ => Vec::new(),
    }
}

/// The name of a response component: `NotFound` for 404.
fn response_name(status: &str) -> String {
    let reason = status.parse().ok().and_then(|status: StatusCode| status.canonical_reason());
    reason.unwrap_or(status).replace([' ', '-'], "")
}

/// Removes schemas that nothing refers to.
fn remove_unused_schemas(document: &mut Value) {
    loop {
        let mut used = IndexSet::new();
        visit_objects(document, &mut |object| {
            used.extend(object.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
        });
        let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
        let before = schemas.len();
        schemas.retain(|name, _| used.contains(&reference("schemas", name)));
        if schemas.len() == before {
            schemas.sort_keys();
            return;
        }
    }
}

fn reference(kind: &str, name: &str) -> String {
    format!("#/components/{kind}/{name}")
}

/// All operations.
fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let methods = paths.filter_map(Value::as_object_mut).flat_map(|item| item.iter_mut());
    methods.filter(|(method, _)| METHODS.contains(&method.as_str())).map(|(_, operation)| operation)
}

/// Visits a value and all values in it, the outer ones first.
fn visit_values(value: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    visit(value);
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|field| visit_values(field, visit)),
        Value::Array(items) => items.iter_mut().for_each(|item| visit_values(item, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn visit_objects(value: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    visit_values(value, &mut |value| {
        if let Value::Object(object) = value {
            visit(object);
        }
    });
}
