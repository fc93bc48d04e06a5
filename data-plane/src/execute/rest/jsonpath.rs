//! JSONPath (RFC 9535) as connectors use it: shorthand names may hold hyphens, which real definitions have.

use serde_json::Value;
use serde_json_path::JsonPath;

/// A path into an answer.
#[derive(Clone, Debug)]
pub struct ResultPath {
    source: String,
    path: JsonPath,
    /// Names exactly one place, so that finding nothing is a failure and not an empty list.
    single: bool,
}

/// A path that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no JSONPath")]
pub struct PathError(String);

impl ResultPath {
    /// Reads a path; `None` for an empty one or `$`, which mean the whole answer.
    ///
    /// # Errors
    /// When it is no JSONPath.
    pub fn parse(source: &str) -> Result<Option<Self>, PathError> {
        let source = source.trim();
        if source.is_empty() || source == "$" {
            return Ok(None);
        }
        let path = JsonPath::parse(source)
            .or_else(|_| JsonPath::parse(&quote_hyphenated(source)))
            .map_err(|_| PathError(source.to_owned()))?;
        Ok(Some(Self { source: source.to_owned(), path, single: is_single(source) }))
    }

    /// What the path finds: the value itself for a path to one place, a list for others. `None` if it finds nothing there.
    #[must_use]
    pub fn find(&self, value: &Value) -> Option<Value> {
        let nodes = self.path.query(value);
        if self.single {
            return nodes.first().cloned();
        }
        Some(Value::Array(nodes.all().into_iter().cloned().collect()))
    }

    /// The path as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// Whether a path has neither wildcard, slice, union, filter nor descent, outside of quoted names.
fn is_single(path: &str) -> bool {
    let (mut quote, mut previous) = (None, ' ');
    for c in path.chars() {
        match quote {
            Some(open) if c == open && previous != '\\' => quote = None,
            Some(_) => {}
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None if matches!(c, '*' | ':' | ',' | '?') || (c == '.' && previous == '.') => return false,
            None => {}
        }
        previous = c;
    }
    true
}

/// `$.a-b.c` as `$['a-b'].c`.
fn quote_hyphenated(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 8);
    let mut rest = path;
    while let Some(dot) = rest.find('.') {
        out.push_str(&rest[..dot]);
        let after = &rest[dot + 1..];
        let end =
            after.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(after.len());
        let name = &after[..end];
        if name.contains('-') {
            out.push_str(&format!("['{name}']"));
        } else {
            out.push('.');
            out.push_str(name);
        }
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(path: &str, value: &Value) -> Option<Value> {
        ResultPath::parse(path).unwrap().unwrap().find(value)
    }

    #[test]
    fn a_path_to_one_place_gives_the_value_and_others_give_a_list() {
        let value = json!({"data": {"items": [{"id": 1}, {"id": 2}]}, "invoice-items": {"all": [7]}});
        assert_eq!(find("$.data.items", &value), Some(json!([{"id": 1}, {"id": 2}])));
        assert_eq!(find("$.data.items[-1].id", &value), Some(json!(2)));
        assert_eq!(find("$.data.items[*].id", &value), Some(json!([1, 2])));
        assert_eq!(find("$.data.none[*]", &value), Some(json!([])));
        assert_eq!(find("$.data.none", &value), None);
        assert_eq!(find("$.invoice-items.all", &value), Some(json!([7])));
    }

    #[test]
    fn the_whole_answer_needs_no_path_and_nonsense_is_refused() {
        assert!(ResultPath::parse("$").unwrap().is_none());
        assert!(ResultPath::parse("").unwrap().is_none());
        assert!(ResultPath::parse("$.a[").is_err());
    }
}
