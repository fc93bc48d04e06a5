//! JSONPath as connectors use it: names, indexes and wildcards of RFC 9535, over JSON text, so that what is found is what
//! was sent. Shorthand names may hold hyphens, which real definitions have. Anything else is refused.

use serde_json::Value;

use super::json;

/// What stands where a value was that a connector hides.
const MASK: &str = "\"[REDACTED]\"";

/// A path into an answer.
#[derive(Clone, Debug)]
pub struct ResultPath {
    source: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    /// From the end where negative.
    Index(i64),
    All,
}

/// A path that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no JSONPath")]
pub struct PathError(String);

impl ResultPath {
    /// Reads a path; `None` for an empty one or `$`, which mean the whole answer.
    ///
    /// # Errors
    /// When it is no JSONPath of names, indexes and wildcards.
    pub fn parse(source: &str) -> Result<Option<Self>, PathError> {
        let path = Self::whole_or_part(source.trim())?;
        Ok(path.filter(|path| !path.steps.is_empty()))
    }

    /// Reads a path; `None` for an empty one alone, a path without steps for `$`.
    ///
    /// # Errors
    /// As for [`Self::parse`].
    pub fn whole_or_part(source: &str) -> Result<Option<Self>, PathError> {
        if source.is_empty() {
            return Ok(None);
        }
        let steps = steps(source).ok_or_else(|| PathError(source.to_owned()))?;
        Ok(Some(Self { source: source.to_owned(), steps }))
    }

    /// What the path finds in a value.
    #[must_use]
    pub fn find(&self, value: &Value) -> Option<Value> {
        serde_json::from_str(&self.find_text(&value.to_string())?).ok()
    }

    /// What the path finds in a JSON text: the text itself for a path to one place, a list for others. `None` if it finds
    /// nothing there.
    #[must_use]
    pub fn find_text(&self, text: &str) -> Option<String> {
        let mut found = vec![text];
        for step in &self.steps {
            found = found.into_iter().flat_map(|text| below(text, step)).collect();
        }
        if self.steps.contains(&Step::All) {
            return Some(json::array(found));
        }
        found.first().map(|text| (*text).to_owned())
    }

    /// A JSON text with what the path finds hidden. The text must be valid.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        mask(text, &self.steps)
    }

    /// The path as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

fn steps(source: &str) -> Option<Vec<Step>> {
    let mut rest = source.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, next) = step(rest)?;
        steps.push(step);
        rest = next;
    }
    Some(steps)
}

fn step(rest: &str) -> Option<(Step, &str)> {
    if let Some(after) = rest.strip_prefix('.') {
        let end = after.find(['.', '[']).unwrap_or(after.len());
        let (name, next) = after.split_at(end);
        let plain = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | ':' | '$'));
        return match name {
            "*" => Some((Step::All, next)),
            "" => None,
            name => plain.then(|| (Step::Name(name.to_owned()), next)),
        };
    }
    let inner = rest.strip_prefix('[')?;
    if let Some(quote) = inner.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        return quoted(inner.get(1..)?, quote);
    }
    let (word, next) = inner.split_once(']')?;
    match word.trim() {
        "*" => Some((Step::All, next)),
        number => Some((Step::Index(number.parse().ok()?), next)),
    }
}

/// A name in quotes, up to the bracket behind it.
fn quoted(inner: &str, quote: char) -> Option<(Step, &str)> {
    let (mut name, mut chars) = (String::new(), inner.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let (_, escaped) = chars.next()?;
                name.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'u' => {
                        let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                        char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                    }
                    other => other,
                });
            }
            c if c == quote => {
                let next = inner.get(at + 1..)?.strip_prefix(']')?;
                return Some((Step::Name(name), next));
            }
            c => name.push(c),
        }
    }
    None
}

/// What one step finds in a text.
fn below<'a>(text: &'a str, step: &Step) -> Vec<&'a str> {
    match step {
        // Of a name that is there twice, readers take the last.
        Step::Name(wanted) => {
            let members = json::members(text).unwrap_or_default();
            members
                .iter()
                .rfind(|(name, _)| name == wanted)
                .map(|(_, value)| value.get())
                .into_iter()
                .collect()
        }
        Step::Index(at) => {
            let items = json::items(text).unwrap_or_default();
            place(*at, items.len())
                .and_then(|at| items.get(at))
                .map(|value| value.get())
                .into_iter()
                .collect()
        }
        Step::All => match json::items(text) {
            Some(items) => items.into_iter().map(|value| value.get()).collect(),
            None => {
                json::members(text).unwrap_or_default().into_iter().map(|(_, value)| value.get()).collect()
            }
        },
    }
}

fn place(at: i64, len: usize) -> Option<usize> {
    match usize::try_from(at) {
        Ok(at) => Some(at),
        Err(_) => len.checked_sub(usize::try_from(at.unsigned_abs()).ok()?),
    }
}

fn mask(text: &str, steps: &[Step]) -> String {
    let Some((step, rest)) = steps.split_first() else { return MASK.to_owned() };
    if let Some(items) = json::items(text) {
        let chosen = |at: usize| match step {
            Step::All => true,
            Step::Index(wanted) => place(*wanted, items.len()) == Some(at),
            Step::Name(_) => false,
        };
        let items = items.iter().enumerate();
        let masked =
            items.map(|(at, item)| if chosen(at) { mask(item.get(), rest) } else { item.get().to_owned() });
        return json::array(masked.collect::<Vec<_>>().iter().map(String::as_str));
    }
    let Some(members) = json::members(text) else { return text.to_owned() };
    let mut out = String::from("{");
    for (name, value) in members {
        if out.len() > 1 {
            out.push(',');
        }
        let chosen = *step == Step::All || *step == Step::Name(name.clone());
        out.push_str(&json::string(&name));
        out.push(':');
        out.push_str(&if chosen { mask(value.get(), rest) } else { value.get().to_owned() });
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn path(source: &str) -> ResultPath {
        ResultPath::parse(source).unwrap().unwrap()
    }

    #[test]
    fn a_path_to_one_place_gives_the_value_and_others_give_a_list() {
        let value = json!({"data": {"items": [{"id": 1}, {"id": 2}]}, "invoice-items": {"all": [7]}});
        let find = |source: &str| path(source).find(&value);
        assert_eq!(find("$.data.items"), Some(json!([{"id": 1}, {"id": 2}])));
        assert_eq!(find("$.data.items[-1].id"), Some(json!(2)));
        assert_eq!(find("$.data.items[*].id"), Some(json!([1, 2])));
        assert_eq!(find("$.data.none[*]"), Some(json!([])));
        assert_eq!(find("$.data.none"), None);
        assert_eq!(find("$.invoice-items.all"), Some(json!([7])));
        assert_eq!(find("$['invoice-items'][\"all\"][0]"), Some(json!(7)));
        assert_eq!(find("$.data.items[5]"), None);
        assert_eq!(find("$.data.items[-3]"), None);
    }

    #[test]
    fn what_is_found_is_what_was_sent() {
        let text = r#"{"a":{"id":12345678901234567890123,"p":1.10,"e":1E5}}"#;
        assert_eq!(
            path("$.a").find_text(text).unwrap(),
            r#"{"id":12345678901234567890123,"p":1.10,"e":1E5}"#
        );
        assert_eq!(path("$.a.*").find_text(text).unwrap(), "[12345678901234567890123,1.10,1E5]");
    }

    #[test]
    fn masks_hide_what_they_name_and_leave_the_rest_as_it_was() {
        let text = r#"{"users":[{"n":1.10,"token":"t"},{"token":{"a":[1]}}],"token":"kept","a\"b":1}"#;
        let masked = path("$.users[*].token").mask(text);
        assert_eq!(
            masked,
            r#"{"users":[{"n":1.10,"token":"[REDACTED]"},{"token":"[REDACTED]"}],"token":"kept","a\"b":1}"#
        );
        assert_eq!(path("$[0]").mask("[1,2]"), r#"["[REDACTED]",2]"#);
        assert_eq!(path("$[-1].x").mask(r#"[{"x":1},{"x":2}]"#), r#"[{"x":1},{"x":"[REDACTED]"}]"#);
        assert_eq!(path("$.*").mask(r#"{"x":1,"x":2}"#), r#"{"x":"[REDACTED]","x":"[REDACTED]"}"#);
        assert_eq!(path("$.a").mask("5"), "5");
    }

    proptest! {
        #[test]
        fn whatever_is_read_or_masked_is_json_still(
            value in any_json(),
            path in "\\$(\\.(a|b|\\*)|\\[(0|-1|\\*)\\]){1,4}",
        ) {
            let (path, text) = (ResultPath::parse(&path).unwrap().unwrap(), value.to_string());
            let masked: Value = serde_json::from_str(&path.mask(&text)).unwrap();
            match (path.find(&masked), path.find(&value)) {
                (Some(Value::Array(hidden)), Some(Value::Array(found))) if path.steps.contains(&Step::All) => {
                    prop_assert_eq!(hidden.len(), found.len());
                    prop_assert!(hidden.iter().all(|value| value == "[REDACTED]"));
                }
                (hidden, found) => prop_assert_eq!(hidden, found.map(|_| json!("[REDACTED]"))),
            }
        }

        #[test]
        fn no_text_is_a_path_that_cannot_be_used(source in "\\PC{0,40}") {
            if let Ok(Some(path)) = ResultPath::parse(&source) {
                let _ = path.find(&json!({"a": [1]}));
            }
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[ab]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn the_whole_answer_needs_no_path_and_nonsense_is_refused() {
        assert!(ResultPath::parse("$").unwrap().is_none());
        assert!(ResultPath::parse("").unwrap().is_none());
        for bad in
            ["$.a[", "a", "$..a", "$.", "$[?@.a]", "$[0:2]", "$[0,1]", "$['a'", "$.a < 3", "$['a\\u12']"]
        {
            assert!(ResultPath::parse(bad).is_err(), "{bad}");
        }
    }
}
