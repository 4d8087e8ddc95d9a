//! The description of the interface, OpenAPI 3.1, made of its table of routes and the types that these name.

use super::routes::Route;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// Of these routes.
pub(super) fn description(routes: &[Route]) -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let mut paths = Map::new();
    for route in routes {
        let operation = operation(route, &mut generator);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(route.method.to_owned(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Riser: the admin interface of a hub",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Accounts, users, clients, credentials, rooms, grants, connections and the audit log.",
        },
        "security": [{ "token": [] }, { "password": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "password": { "type": "http", "scheme": "basic" },
            },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if let Some(query) = route.query {
        parameters.push(json!({ "name": "query", "in": "query", "style": "form", "explode": true, "schema": query(generator) }));
    }
    if route.matches {
        let does = "the tag of what was looked at; 412 where somebody else changed it meanwhile";
        parameters.push(json!({ "name": "If-Match", "in": "header", "description": does, "schema": { "type": "string" } }));
    }
    let content = |schema: schemars::Schema| json!({ "application/json": { "schema": schema } });
    let error = json!({
        "description": "What was wrong, and what would be right",
        "content": { "application/json": { "schema": {
            "type": "object",
            "properties": { "error": { "type": "object", "properties": {
                "code": { "type": "string" }, "what": { "type": "string" }, "want": { "type": "string" },
            } } },
        } } },
    });
    let mut operation = json!({
        "summary": route.does,
        "parameters": parameters,
        "responses": {
            "200": { "description": "Done", "content": content((route.answer)(generator)) },
            "default": error,
        },
    });
    if let (Some(body), Value::Object(fields)) = (route.body, &mut operation) {
        let body = json!({ "required": true, "content": content(body(generator)) });
        fields.insert("requestBody".to_owned(), body);
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::{super::routes::table, *};

    /// Every reference in a description leads somewhere.
    fn references(value: &Value, all: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                all.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| references(field, all));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, all)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn the_description_names_every_route_and_every_type_that_it_speaks_of() {
        let routes = table();
        let description = description(&routes);
        for route in &routes {
            let operation = &description["paths"][route.path][route.method];
            assert_eq!(operation["summary"], route.does);
            assert_eq!(operation["requestBody"].is_object(), route.body.is_some(), "{}", route.path);
            let named = operation["parameters"].as_array().unwrap();
            assert!(named.len() >= route.path.matches('{').count());
        }
        let mut all = Vec::new();
        references(&description, &mut all);
        assert!(all.len() > 15);
        for reference in all {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
        let account = &description["components"]["schemas"]["NewAccount"]["properties"];
        assert!(account["name"].is_object() && account["user"].is_object());
    }
}
