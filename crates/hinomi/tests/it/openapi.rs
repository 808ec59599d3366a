//! `/api/v1/openapi.yaml` against the server that serves it: every path answers, with a status that is described and a body that
//! fits its schema.

use std::time::Duration;

use serde_json::Value;

use crate::harness::target::{Reply, Target};
use crate::harness::{Hinomi, wait_for};

const JSON: &str = "application/json";

/// Why `value` does not fit `schema`: the part of JSON Schema that the document uses.
fn misfit(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(path) = schema["$ref"].as_str() {
        return misfit(document, document.pointer(path.trim_start_matches('#')).unwrap(), value, at);
    }
    let fits = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some(other) => panic!("the test does not know type {other}"),
    };
    if !fits {
        return Some(format!("{at} is no {}: {value:.200}", schema["type"]));
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        return Some(format!("{at} is {value}, not of {allowed:?}"));
    }
    let bound = |key: &str| schema[key].as_u64();
    let length = value.as_array().map_or(0, Vec::len) as u64;
    if bound("minItems").is_some_and(|least| length < least)
        || bound("maxItems").is_some_and(|most| length > most)
    {
        return Some(format!("{at} has {length} items"));
    }
    for (nth, item) in value.as_array().into_iter().flatten().enumerate() {
        let found = misfit(document, &schema["items"], item, &format!("{at}[{nth}]"));
        if found.is_some() {
            return found;
        }
    }
    let fields = value.as_object()?;
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            return Some(format!("{at} has no {name}"));
        }
    }
    fields.iter().find_map(|(name, field)| {
        let at = format!("{at}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => Some(format!("{at} is not described")),
            (Value::Null, more) => misfit(document, more, field, &at),
            (described, _) => misfit(document, described, field, &at),
        }
    })
}

/// The path with the examples of its parameters.
fn filled(path: &str, operation: &Value) -> String {
    let (mut path, mut query) =
        (format!("/api/v1{path}"), url::form_urlencoded::Serializer::new(String::new()));
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let (name, example) = (parameter["name"].as_str().unwrap(), &parameter["example"]);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match (parameter["in"].as_str(), example) {
            (Some("path"), example) => path = path.replace(&format!("{{{name}}}"), &text(example)),
            (_, Value::Null) => {}
            (_, example) => drop(query.append_pair(name, &text(example))),
        }
    }
    format!("{path}?{}", query.finish())
}

fn asked(server: &Hinomi, method: &str, path: &str) -> (u16, String) {
    let url = format!("{}{path}", server.base);
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)));
    let agent: ureq::Agent = config.build().into();
    let answer = match method {
        "get" => agent.get(&url).call(),
        "delete" => agent.delete(&url).call(),
        "put" => agent.put(&url).content_type("application/x-www-form-urlencoded").send(""),
        _ => agent.post(&url).content_type("application/x-www-form-urlencoded").send(""),
    };
    let mut answer = answer.unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

#[test]
fn every_path_answers_as_it_is_described() {
    let target = Target::start(|_| Reply::text("# HELP m Help.\n# TYPE m gauge\nm 1\n"));
    let rules = "groups:\n- name: g\n  interval: 1s\n  rules:\n  - {record: r, expr: m}\n  - {alert: A, expr: m == 1}\n";
    let config = format!(
        "global: {{scrape_interval: 1s}}\nrule_files: [r.yml]\nscrape_configs:\n- job_name: a\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("r.yml"), rules).unwrap();
    let path = folder.path().join("prometheus.yml");
    std::fs::write(&path, config).unwrap();
    let flags =
        ["--web.enable-admin-api", "--web.enable-remote-write-receiver", "--web.enable-otlp-receiver"];
    let mut args: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    args.push(format!("--config.file={}", path.display()));
    let server = Hinomi::start_in(folder, args);
    wait_for("an alert", Duration::from_secs(20), || server.number("ALERTS"));

    let text = server.get("/api/v1/openapi.yaml").body;
    let document: Value = model::yaml::parse("openapi.yaml", &text).unwrap();
    let (mut wrong, mut n_asked) = (Vec::new(), 0);
    // A stream without end answers elsewhere.
    let paths =
        document["paths"].as_object().unwrap().iter().filter(|(path, _)| *path != "/notifications/live");
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            let (status, body) = asked(&server, method, &filled(path, operation));
            n_asked += 1;
            let described = &operation["responses"][status.to_string()];
            let schema = &described["content"][JSON]["schema"];
            if described.is_null() {
                wrong.push(format!("{method} {path}: {status} is not described: {body:.200}"));
            } else if !schema.is_null() {
                let value: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
                wrong.extend(
                    misfit(&document, schema, &value, "$")
                        .map(|why| format!("{method} {path}: {status}: {why}")),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(n_asked > 40, "{n_asked}");
}
