//! The OpenAPI document: it describes all endpoints and parameters of the service, and nothing else.

use feishu_pulse::api;
use feishu_simulator::{Simulator, SimulatorConfig, TenantGeo, TenantProfile};
use proptest::prelude::*;
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{Setup, day};

/// The document, with the shared parameters and responses in place of the references to them.
fn document() -> Value {
    let mut document = api::openapi();
    let components = document["components"].take();
    let shared = |value: &mut Value| {
        let Some(path) = value["$ref"].as_str().and_then(|path| path.strip_prefix("#/components")) else { return };
        *value = components.pointer(path).unwrap_or_else(|| panic!("{path} does not exist")).clone();
    };
    let paths = document["paths"].as_object_mut().expect("paths").values_mut();
    for operation in paths.flat_map(|methods| methods.as_object_mut().expect("methods").values_mut()) {
        operation["parameters"].as_array_mut().into_iter().flatten().for_each(shared);
        operation["responses"].as_object_mut().into_iter().flatten().for_each(|(_, response)| shared(response));
    }
    document["components"] = components;
    document
}

/// The path with an example in place of the format.
fn with_format(path: &str) -> String {
    path.replace("{format}", "csv")
}

/// Every operation with its path.
fn operations(document: &Value) -> Vec<(&str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().expect("methods").values().map(move |one| (path.as_str(), one))
    });
    operations.collect()
}

/// The GET operations with their paths, without those below `/open-apis/`: these have Feishu's rules for parameters and
/// errors.
fn get_operations(document: &Value) -> Vec<(&str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let own = paths.iter().filter(|(path, _)| !path.starts_with("/open-apis/"));
    own.filter_map(|(path, methods)| Some((path.as_str(), methods.get("get")?))).collect()
}

/// The operation's query parameters.
fn query_parameters(operation: &Value) -> Vec<&Value> {
    let all = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter(|parameter| parameter["in"] == "query").collect()
}

fn name(parameter: &Value) -> &str {
    parameter["name"].as_str().expect("a name")
}

async fn small_setup() -> Setup {
    Setup::new(SimulatorConfig { users: 5, days: 30, ..SimulatorConfig::default() }).await
}

#[test]
fn the_file_in_the_repository_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");

    let written = std::fs::read_to_string(path).expect("openapi/openapi.json");

    assert!(written == format!("{:#}\n", api::openapi()), "openapi/openapi.json is stale: run `just generate`");
}

#[tokio::test]
async fn the_served_document_equals_the_file() {
    let setup = small_setup().await;

    let served = setup.get("/openapi.json").await.json();

    assert_eq!(served, api::openapi());
    assert_eq!(served["openapi"], "3.1.0");
}

#[tokio::test]
async fn swagger_ui_loads_nothing_from_other_hosts() {
    let setup = small_setup().await;

    let page = setup.get("/docs/").await;
    let script = setup.get("/docs/swagger-ui-bundle.js").await;
    let start = setup.get("/docs/swagger-initializer.js").await;

    assert_eq!((page.status, start.status), (StatusCode::OK, StatusCode::OK));
    assert!(page.headers["content-type"].to_str().is_ok_and(|kind| kind.starts_with("text/html")));
    assert!(!page.text.contains("http://") && !page.text.contains("https://"), "{}", page.text);
    assert!(script.status.is_success() && script.text.len() > 100_000);
    assert!(start.text.contains("/openapi.json"), "{}", start.text);
}

#[test]
fn every_operation_documents_its_purpose_and_its_errors() {
    let document = document();
    for (path, operation) in operations(&document) {
        assert!(operation["summary"].is_string() && operation["operationId"].is_string(), "{path}");
        let responses = operation["responses"].as_object().expect("responses");
        assert!(
            responses.values().all(|one| one["description"].as_str().is_some_and(|text| !text.is_empty())),
            "{path}"
        );
        if !query_parameters(operation).is_empty() {
            assert!(responses.contains_key("400") && responses.contains_key("500"), "{path}");
        }
        if path.starts_with("/v1/") {
            let failures = responses.iter().filter(|(status, _)| !status.starts_with('2'));
            for (status, failure) in failures {
                let schema = &failure["content"]["application/problem+json"]["schema"];
                assert_eq!(schema["$ref"], "#/components/schemas/Problem", "{status} of {path}");
            }
        }
    }
}

/// Calls `visit` with each object in `value` and its path.
fn visit_objects(value: &Value, path: &str, visit: &mut impl FnMut(&str, &serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(path, object);
            object.iter().for_each(|(name, field)| visit_objects(field, &format!("{path}/{name}"), visit));
        }
        Value::Array(items) => items.iter().for_each(|item| visit_objects(item, path, visit)),
        _ => {}
    }
}

#[test]
fn an_operation_has_one_media_type_and_each_table_an_export() {
    let document = document();
    let mut exports = 0;
    for (path, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let types: Vec<_> = response["content"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
            if path.ends_with(".{format}") && status == "200" {
                assert_eq!(types.len(), 4, "{path}");
                exports += 1;
            } else {
                assert!(types.len() <= 1, "{status} of {path}: {types:?}");
            }
        }
        // A second success would make every result a union in generated clients.
        let responses = operation["responses"].as_object().expect("responses");
        assert_eq!(responses.keys().filter(|status| status.starts_with('2')).count(), 1, "{path}");
    }
    assert_eq!(exports, 9);
}

#[test]
fn every_object_has_a_name() {
    let document = api::openapi();
    let mut references = 0;
    visit_objects(&document, "", &mut |path, object| {
        let is_definition = path.starts_with("/components/schemas/") && path.matches('/').count() == 3;
        assert!(is_definition || !object.contains_key("properties") || path.ends_with("/properties"), "{path}");
        assert!(!object.contains_key("allOf") && !object.contains_key("anyOf"), "{path}");
        if let Some(target) = object.get("$ref").and_then(Value::as_str) {
            assert!(document.pointer(&target[1..]).is_some(), "{target}");
            references += 1;
        }
    });
    assert!(references > 100);
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for name in ["ActivityItem", "ActivityList", "FeatureUse", "UserIdType", "DepartmentIdType", "Format", "Problem"] {
        assert!(schemas.contains_key(name), "{name}");
    }
}

#[test]
fn a_figure_that_can_be_null_is_always_sent_and_a_share_has_bounds() {
    let document = api::openapi();
    let mut shares = 0;
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        // `fields` selects the properties of a row.
        let properties = schema["properties"].as_object().filter(|_| name != "UserDay");
        for (property, of) in properties.into_iter().flatten() {
            let is_nullable = of["type"].as_array().is_some_and(|types| types.contains(&"null".into()));
            let is_required = schema["required"].as_array().is_some_and(|all| all.contains(&property.as_str().into()));
            assert!(is_required || !is_nullable, "{property} of {name}");
            if property.ends_with("_rate") || ["share", "adoption", "stickiness"].contains(&property.as_str()) {
                assert_eq!((&of["minimum"], &of["maximum"]), (&0.into(), &1.into()), "{property} of {name}");
                shares += 1;
            }
        }
    }
    assert!(shares > 10);
}

#[test]
fn an_example_of_a_problem_has_the_status_of_its_response() {
    let document = document();
    let mut examples = 0;
    for (path, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let problem = &response["content"]["application/problem+json"];
            if problem.is_object() {
                assert_eq!(problem["example"]["status"].to_string(), *status, "{path}");
                examples += 1;
            }
        }
    }
    assert!(examples > 100);
}

#[test]
fn descriptions_name_nothing_of_the_source() {
    let mut descriptions = 0;
    visit_objects(&api::openapi(), "", &mut |path, object| {
        let Some(text) = object.get("description").and_then(Value::as_str) else { return };
        assert!(!text.contains("[`") && !text.contains("::"), "{path}: {text}");
        descriptions += 1;
    });
    assert!(descriptions > 200);
}

#[test]
fn every_parameter_is_described() {
    let document = document();
    for (path, operation) in operations(&document) {
        for parameter in query_parameters(operation) {
            assert!(parameter["description"].is_string(), "{} of {path}", name(parameter));
        }
    }
}

#[tokio::test]
async fn every_documented_parameter_is_parsed() {
    let (setup, document) = (small_setup().await, document());
    for (path, operation) in get_operations(&document) {
        // People without a department path are selected with an empty value.
        let parameters = query_parameters(operation).into_iter().filter(|one| name(one) != "department_path");
        for parameter in parameters {
            // A parsed parameter rejects an empty value. An unknown name is a different fault.
            let answer = setup.get(&format!("{}?{}=", with_format(path), name(parameter))).await;

            let problem = answer.problem();
            let faults = problem["errors"].as_array().expect("errors");
            let is_reported =
                faults.iter().any(|one| one["parameter"] == name(parameter) && one["detail"] == "is empty");
            assert!(is_reported, "{} of {path}: {problem}", name(parameter));
        }
    }
    assert_eq!(setup.upstream_calls(), 0);
}

#[tokio::test]
async fn the_examples_in_the_document_work() {
    let (setup, document) = (small_setup().await, document());
    let person = setup.simulator.tenant().rows_of(setup.home(), day("2026-11-05").date())[0].open_id.clone();
    // The example id of a job does not exist.
    for (path, operation) in get_operations(&document).into_iter().filter(|(path, _)| !path.contains("{id}")) {
        let examples = query_parameters(operation).into_iter().filter(|one| !one["example"].is_null());
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let query: Vec<_> = examples.map(|one| format!("{}={}", name(one), text(&one["example"]))).collect();
        let code = with_format(path).replace("{code}", "invalid_parameters").replace("{user_id}", &person);

        let answer = setup.get(&format!("{code}?{}", query.join("&"))).await;

        assert!(answer.status.is_success(), "{path}: {}", answer.text);
    }
}

#[test]
fn no_undocumented_parameter_is_accepted() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (setup, document) = (runtime.block_on(small_setup()), document());
    let with_parameters: Vec<_> =
        get_operations(&document).into_iter().filter(|(_, one)| !query_parameters(one).is_empty()).collect();
    proptest!(ProptestConfig::with_cases(48), |(unknown in "[a-zA-Z_.-]{1,20}")| {
        for (path, operation) in &with_parameters {
            prop_assume!(query_parameters(operation).into_iter().all(|one| name(one) != unknown));
            let answer = runtime.block_on(setup.get(&format!("{}?period=7d&{unknown}=1", with_format(path))));
            let problem = answer.problem();
            prop_assert_eq!(&problem["errors"][0]["parameter"], &unknown);
            prop_assert_eq!(problem["status"].as_u64(), Some(400));
        }
    });
    assert_eq!(setup.upstream_calls(), 0);
}

/// Swagger UI fills the fields of a request with the examples, and most readers send their first request to the demo.
#[tokio::test]
async fn the_examples_of_parameters_work_on_the_demo() {
    let document = document();
    let demo = SimulatorConfig { users: 2000, days: 400, profile: TenantProfile::Story, ..SimulatorConfig::default() };
    let demo = Simulator::start(demo, || "2026-11-21T12:00:00Z".parse().expect("a time")).await.unwrap();

    let user = document["paths"]["/v1/users/{user_id}"]["get"]["parameters"].as_array().expect("parameters");
    let user = user.iter().find(|parameter| parameter["in"] == "path").expect("the id");
    let rows = demo.tenant().rows_of(TenantGeo::Cn, day("2026-11-20").date());
    assert!(rows.iter().any(|row| user["example"] == row.open_id), "{user}");
    assert!(document.to_string().contains("\"example\":\"7d\""));
}

#[tokio::test]
async fn swagger_ui_is_folded_keeps_no_key_unasked_and_links_to_the_chinese_documents() {
    let setup = small_setup().await;

    let script = setup.get("/docs/swagger-initializer.js").await.text;
    for expected in ["BaseLayout", "docExpansion: \"none\"", "persistAuthorization: isKept()", "zh/metrics.html"] {
        assert!(script.contains(expected), "{expected} is not in\n{script}");
    }
    for page in ["metrics", "access", "settings", "drop-in"] {
        let page = setup.get(&format!("/docs/zh/{page}.html")).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains(">English</a>"), "{}", page.text);
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
    }
}
