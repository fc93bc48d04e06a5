//! Text forms of JSON values in paths, queries, headers and forms. Pure functions; knows nothing of connectors.

use serde_json::{Number, Value};

/// A number as a person writes it: exact, without exponent, without `.0`.
pub fn number(number: &Number) -> String {
    match number.as_f64() {
        // Integers are kept as they came; only what is a fraction or too large for 64 bits is a float here.
        Some(float) if !(number.is_i64() || number.is_u64()) => float.to_string(),
        _ => number.to_string(),
    }
}

/// The text of a string, number or boolean; `None` for what has no plain text.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(n) => Some(number(n)),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// As [`scalar`], with compact JSON for the rest.
pub fn text(value: &Value) -> String {
    scalar(value).unwrap_or_else(|| value.to_string())
}

/// Percent-encodes everything but RFC 3986's unreserved characters, so that a value can never end its place in a URL.
pub fn percent(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Adds a query parameter: a list as repeated keys, an object as `key[name]`, null not at all.
pub fn query(out: &mut String, key: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Array(items) => items.iter().for_each(|item| pair(out, key, &text(item))),
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| query(out, &format!("{key}[{name}]"), member));
        }
        other => pair(out, key, &text(other)),
    }
}

/// Adds `key=value` to a query string, both encoded.
pub fn pair(out: &mut String, key: &str, value: &str) {
    if !out.is_empty() {
        out.push('&');
    }
    percent(key, out);
    out.push('=');
    percent(value, out);
}

/// Adds a form field in bracket form: `a[b]=1&c[0]=2`, null not at all.
pub fn form(out: &mut url::form_urlencoded::Serializer<'_, String>, key: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| form(out, &format!("{key}[{index}]"), item));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| form(out, &format!("{key}[{name}]"), member));
        }
        other => {
            out.append_pair(key, &text(other));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn query_of(key: &str, value: &Value) -> String {
        let mut out = String::new();
        query(&mut out, key, value);
        out
    }

    fn form_of(key: &str, value: &Value) -> String {
        let mut out = url::form_urlencoded::Serializer::new(String::new());
        form(&mut out, key, value);
        out.finish()
    }

    #[test]
    fn numbers_are_exact_and_never_in_exponent_form() {
        for (value, wanted) in [
            (json!(1_234_567), "1234567"),
            (json!(9_007_199_254_740_993_u64), "9007199254740993"),
            (json!(18_446_744_073_709_551_615_u64), "18446744073709551615"),
            (json!(-5), "-5"),
            (json!(3.0), "3"),
            (json!(0.1), "0.1"),
            (json!(1e21), "1000000000000000000000"),
        ] {
            assert_eq!(text(&value), wanted);
        }
    }

    #[test]
    fn lists_repeat_their_key_and_objects_use_brackets() {
        assert_eq!(query_of("k", &json!(["a", 2, true])), "k=a&k=2&k=true");
        assert_eq!(
            query_of("k", &json!({"a": 1, "b": {"c": [1, 2]}})),
            "k%5Ba%5D=1&k%5Bb%5D%5Bc%5D=1&k%5Bb%5D%5Bc%5D=2"
        );
        assert_eq!(query_of("k", &json!(null)), "");
        assert_eq!(query_of("k", &json!([{"a": 1}])), "k=%7B%22a%22%3A1%7D");
    }

    #[test]
    fn a_form_uses_brackets_and_drops_null() {
        assert_eq!(form_of("a", &json!({"b": 1, "c": null})), "a%5Bb%5D=1");
        assert_eq!(form_of("c", &json!([2, "x y"])), "c%5B0%5D=2&c%5B1%5D=x+y");
    }

    proptest! {
        #[test]
        fn a_query_value_comes_back_as_it_went_in(key in "\\PC{1,8}", value in any::<String>()) {
            let encoded = query_of(&key, &Value::String(value.clone()));
            let back: Vec<(String, String)> =
                url::form_urlencoded::parse(encoded.as_bytes()).into_owned().collect();
            prop_assert_eq!(back, vec![(key, value)]);
        }
    }
}
