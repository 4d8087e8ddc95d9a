//! What an admin interface answers, for people.

use serde_json::Value;

/// JSON for people: a line for each value.
pub(super) fn plain(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::Null => {}
                    Value::Array(items) if items.is_empty() => {}
                    Value::Object(_) | Value::Array(_) => {
                        out.push_str(&format!("{indent}{name}:\n"));
                        plain(field, depth + 1, out);
                    }
                    Value::String(text) => out.push_str(&format!("{indent}{name}: {text}\n")),
                    Value::Bool(_) | Value::Number(_) => out.push_str(&format!("{indent}{name}: {field}\n")),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Object(fields) => {
                        let flat = |value: &Value| match value {
                            Value::String(text) => text.clone(),
                            other => other.to_string(),
                        };
                        let shown = fields.iter().filter(|(_, value)| !value.is_null());
                        let shown: Vec<String> =
                            shown.map(|(name, value)| format!("{name}={}", flat(value))).collect();
                        out.push_str(&format!("{indent}{}\n", shown.join(" ")));
                    }
                    other => out.push_str(&format!("{indent}{other}\n")),
                }
            }
        }
        other => out.push_str(&format!("{indent}{other}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_lines_for_people() {
        let mut text = String::new();
        plain(
            &json!({ "name": "a", "none": null, "users": [{ "name": "ann", "id": 7 }], "empty": [] }),
            0,
            &mut text,
        );
        assert_eq!(text, "name: a\nusers:\n  id=7 name=ann\n");
    }
}
