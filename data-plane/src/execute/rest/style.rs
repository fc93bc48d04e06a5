//! The serialization styles of OpenAPI: how a list or an object is written into a path, a query, a header or a form.
//!
//! Every part of a value is encoded on its own, so that only the delimiters of the style stand plain and no value can pass for
//! two. Pure functions; knows nothing of connectors.

use serde_json::Value;
use toolmesh_proto::v1::ParamStyle;

use super::encode;

/// How a parameter is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// The gateway's own way: repeated keys, brackets, plain text.
    #[default]
    Own,
    Form {
        explode: bool,
    },
    /// `form` with another delimiter, which is written percent-encoded.
    Delimited(&'static str),
    DeepObject,
    Simple {
        explode: bool,
    },
    Label {
        explode: bool,
    },
    Matrix {
        explode: bool,
    },
    Json,
}

impl Style {
    /// The style that a definition names.
    #[must_use]
    pub const fn of(style: ParamStyle) -> Self {
        match style {
            ParamStyle::Unspecified => Self::Own,
            ParamStyle::Form => Self::Form { explode: false },
            ParamStyle::FormExplode => Self::Form { explode: true },
            ParamStyle::SpaceDelimited => Self::Delimited("%20"),
            ParamStyle::PipeDelimited => Self::Delimited("%7C"),
            ParamStyle::TabDelimited => Self::Delimited("%09"),
            ParamStyle::DeepObject => Self::DeepObject,
            ParamStyle::Simple => Self::Simple { explode: false },
            ParamStyle::SimpleExplode => Self::Simple { explode: true },
            ParamStyle::Label => Self::Label { explode: false },
            ParamStyle::LabelExplode => Self::Label { explode: true },
            ParamStyle::Matrix => Self::Matrix { explode: false },
            ParamStyle::MatrixExplode => Self::Matrix { explode: true },
            ParamStyle::Json => Self::Json,
        }
    }

    /// Whether the definition names a style.
    #[must_use]
    pub fn is_named(self) -> bool {
        self != Self::Own
    }
}

/// A text for a path, twice: as it is sent, and as whoever decodes it reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathText {
    pub encoded: String,
    pub plain: String,
}

impl PathText {
    fn of(text: &str) -> Self {
        let mut encoded = String::new();
        encode::percent(text, &mut encoded);
        Self { encoded, plain: text.to_owned() }
    }

    /// A delimiter, which is not encoded.
    fn delimiter(&mut self, text: &str) {
        self.encoded.push_str(text);
        self.plain.push_str(text);
    }

    fn push(&mut self, other: &Self) {
        self.encoded.push_str(&other.encoded);
        self.plain.push_str(&other.plain);
    }

    /// `name=value`.
    fn pair(name: &str, value: &Value) -> Self {
        let mut pair = Self::of(name);
        pair.delimiter("=");
        pair.push(&Self::of(&encode::text(value)));
        pair
    }

    fn join(parts: &[Self], delimiter: &str) -> Self {
        let mut joined = Self::default();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                joined.delimiter(delimiter);
            }
            joined.push(part);
        }
        joined
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }
}

/// The texts of a value one by one: items of a list, names and values of an object in turn.
fn flat(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(encode::text).collect(),
        Value::Object(members) => {
            members.iter().flat_map(|(name, member)| [name.clone(), encode::text(member)]).collect()
        }
        other => vec![encode::text(other)],
    }
}

/// A value in a path; `None` for one that the style cannot write. An empty list or object is empty text.
pub fn path(key: &str, value: &Value, style: Style) -> Option<PathText> {
    let parts = |value: &Value| flat(value).iter().map(|text| PathText::of(text)).collect::<Vec<_>>();
    let pairs = |value: &Value| {
        let members = value.as_object().into_iter().flatten();
        members.map(|(name, member)| PathText::pair(name, member)).collect::<Vec<_>>()
    };
    let inner = match (style, value) {
        (_, Value::Null) => return None,
        (Style::Json, _) => return Some(PathText::of(&value.to_string())),
        (Style::Simple { explode: true }, Value::Object(_)) => PathText::join(&pairs(value), ","),
        (Style::Simple { .. }, _) => PathText::join(&parts(value), ","),
        (Style::Label { explode: true }, Value::Object(_)) => PathText::join(&pairs(value), "."),
        (Style::Label { explode: true }, _) => PathText::join(&parts(value), "."),
        (Style::Label { explode: false }, _) => PathText::join(&parts(value), ","),
        (Style::Matrix { explode: true }, Value::Object(_)) => PathText::join(&pairs(value), ";"),
        (Style::Matrix { explode: true }, Value::Array(items)) => {
            let each: Vec<_> = items.iter().map(|item| PathText::pair(key, item)).collect();
            PathText::join(&each, ";")
        }
        (Style::Matrix { .. }, _) => {
            let values = PathText::join(&parts(value), ",");
            if values.is_empty() {
                return Some(values);
            }
            let mut named = PathText::of(key);
            named.delimiter("=");
            named.push(&values);
            named
        }
        (Style::Own, Value::Array(_)) => PathText::join(&parts(value), ","),
        // The other styles are not for paths; a plain value needs none.
        _ => return encode::scalar(value).map(|text| PathText::of(&text)),
    };
    let before = match style {
        Style::Label { .. } => ".",
        Style::Matrix { .. } => ";",
        _ => "",
    };
    if inner.is_empty() {
        return Some(inner);
    }
    let mut text = PathText::default();
    text.delimiter(before);
    text.push(&inner);
    Some(text)
}

/// Adds a parameter to a query or a form body; null not at all.
pub fn query(out: &mut String, key: &str, value: &Value, style: Style) {
    match (style, value) {
        (_, Value::Null) => {}
        (Style::Json, _) => encode::pair(out, key, &value.to_string()),
        (Style::Form { explode: true }, Value::Object(members)) => {
            members.iter().for_each(|(name, member)| encode::pair(out, name, &encode::text(member)));
        }
        (Style::Form { explode: true }, Value::Array(items)) => {
            items.iter().for_each(|item| encode::pair(out, key, &encode::text(item)));
        }
        (Style::Form { .. } | Style::Simple { .. }, _) => joined(out, key, value, ","),
        (Style::Delimited(delimiter), _) => joined(out, key, value, delimiter),
        (Style::DeepObject, _) => deep(out, key, value),
        // The styles of paths are not for queries.
        (Style::Own | Style::Label { .. } | Style::Matrix { .. }, _) => {
            encode::query(out, key, value);
        }
    }
}

/// `key[name]=1`. The specification leaves lists open; servers read `key[]=1`, and `key[0][name]=1` for lists of objects.
fn deep(out: &mut String, key: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| match item {
            Value::Array(_) | Value::Object(_) => deep(out, &format!("{key}[{index}]"), item),
            plain => deep(out, &format!("{key}[]"), plain),
        }),
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| deep(out, &format!("{key}[{name}]"), member));
        }
        plain => encode::pair(out, key, &encode::text(plain)),
    }
}

/// Names in the query that a caller chooses, because the members of an object stand there as parameters.
pub fn spread_names(value: &Value, style: Style) -> impl Iterator<Item = &str> {
    let spread = value.as_object().filter(|_| style == Style::Form { explode: true });
    spread.into_iter().flat_map(|members| members.keys().map(String::as_str))
}

/// `key=a,b`; nothing at all for an empty list.
fn joined(out: &mut String, key: &str, value: &Value, delimiter: &str) {
    let texts = flat(value);
    if texts.is_empty() {
        return;
    }
    encode::pair(out, key, "");
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.push_str(delimiter);
        }
        encode::percent(text, out);
    }
}

/// Adds a parameter to the pairs of a `Cookie` header, each `name=value`; null not at all. The name is one that a cookie can have.
pub fn cookie(out: &mut Vec<String>, key: &str, value: &Value, style: Style) {
    let encoded = |text: &str| {
        let mut out = String::new();
        encode::percent(text, &mut out);
        out
    };
    match (style, value) {
        (_, Value::Null) => {}
        (Style::Own | Style::Form { explode: true }, Value::Array(items)) => {
            out.extend(items.iter().map(|item| format!("{key}={}", encoded(&encode::text(item)))));
        }
        (Style::Form { explode: true }, Value::Object(members)) => {
            let pair = |(name, member): (&String, &Value)| {
                format!("{}={}", encoded(name), encoded(&encode::text(member)))
            };
            out.extend(members.iter().filter(|(name, _)| !name.is_empty()).map(pair));
        }
        (Style::Form { explode: false }, Value::Array(_) | Value::Object(_)) => {
            let texts: Vec<String> = flat(value).iter().map(|text| encoded(text)).collect();
            out.push(format!("{key}={}", texts.join(",")));
        }
        (Style::Json, _) => out.push(format!("{key}={}", encoded(&value.to_string()))),
        _ => out.push(format!("{key}={}", encoded(&encode::text(value)))),
    }
}

/// A value in a header.
pub fn header(value: &Value, style: Style) -> String {
    match (style, value) {
        (Style::Json, _) => value.to_string(),
        (Style::Simple { explode: true }, Value::Object(members)) => {
            let pair = |(name, member): (&String, &Value)| format!("{name}={}", encode::text(member));
            members.iter().map(pair).collect::<Vec<_>>().join(",")
        }
        (Style::Simple { .. }, _) => flat(value).join(","),
        (_, Value::Array(items)) => items.iter().map(encode::text).collect::<Vec<_>>().join(", "),
        (_, other) => encode::text(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const EXPLODED: bool = true;

    /// The examples of the OpenAPI specification: an empty text, a text, a list, an object.
    fn colours() -> [Value; 3] {
        [json!("blue"), json!(["blue", "black", "brown"]), json!({"R": 100, "G": 200, "B": 150})]
    }

    fn in_path(style: Style) -> Vec<String> {
        colours().iter().map(|value| path("color", value, style).unwrap().encoded).collect()
    }

    fn in_query(style: Style) -> Vec<String> {
        let written = |value: &Value| {
            let mut out = String::new();
            query(&mut out, "color", value, style);
            out
        };
        colours().iter().map(written).collect()
    }

    #[test]
    fn paths_are_written_as_the_specification_shows() {
        let (plain, exploded) = (false, EXPLODED);
        assert_eq!(
            in_path(Style::Simple { explode: plain }),
            ["blue", "blue,black,brown", "R,100,G,200,B,150"]
        );
        assert_eq!(
            in_path(Style::Simple { explode: exploded }),
            ["blue", "blue,black,brown", "R=100,G=200,B=150"]
        );
        assert_eq!(
            in_path(Style::Label { explode: plain }),
            [".blue", ".blue,black,brown", ".R,100,G,200,B,150"]
        );
        assert_eq!(
            in_path(Style::Label { explode: exploded }),
            [".blue", ".blue.black.brown", ".R=100.G=200.B=150"]
        );
        assert_eq!(
            in_path(Style::Matrix { explode: plain }),
            [";color=blue", ";color=blue,black,brown", ";color=R,100,G,200,B,150"]
        );
        assert_eq!(
            in_path(Style::Matrix { explode: exploded }),
            [";color=blue", ";color=blue;color=black;color=brown", ";R=100;G=200;B=150"]
        );
    }

    #[test]
    fn queries_are_written_as_the_specification_shows() {
        assert_eq!(
            in_query(Style::Form { explode: false }),
            ["color=blue", "color=blue,black,brown", "color=R,100,G,200,B,150"]
        );
        assert_eq!(
            in_query(Style::Form { explode: EXPLODED }),
            ["color=blue", "color=blue&color=black&color=brown", "R=100&G=200&B=150"]
        );
        assert_eq!(in_query(Style::of(ParamStyle::SpaceDelimited))[1], "color=blue%20black%20brown");
        assert_eq!(in_query(Style::of(ParamStyle::PipeDelimited))[2], "color=R%7C100%7CG%7C200%7CB%7C150");
        assert_eq!(in_query(Style::DeepObject)[2], "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150");
        assert_eq!(in_query(Style::Json)[1], "color=%5B%22blue%22%2C%22black%22%2C%22brown%22%5D");
    }

    #[test]
    fn cookies_stand_one_beside_the_other() {
        let written = |style: Style| {
            colours().map(|value| {
                let mut out = Vec::new();
                cookie(&mut out, "color", &value, style);
                out.join("; ")
            })
        };
        assert_eq!(
            written(Style::Form { explode: EXPLODED }),
            ["color=blue", "color=blue; color=black; color=brown", "R=100; G=200; B=150"]
        );
        assert_eq!(
            written(Style::Form { explode: false }),
            ["color=blue", "color=blue,black,brown", "color=R,100,G,200,B,150"]
        );
        assert_eq!(written(Style::Own)[1], "color=blue; color=black; color=brown");
    }

    #[test]
    fn headers_hold_lists_and_objects_with_commas() {
        let [text, list, object] = colours();
        assert_eq!(header(&text, Style::Simple { explode: false }), "blue");
        assert_eq!(header(&list, Style::Simple { explode: false }), "blue,black,brown");
        assert_eq!(header(&object, Style::Simple { explode: EXPLODED }), "R=100,G=200,B=150");
    }

    #[test]
    fn a_value_cannot_pass_for_two() {
        let mut out = String::new();
        query(&mut out, "a", &json!(["x,y", "z&b=1"]), Style::Form { explode: false });
        assert_eq!(out, "a=x%2Cy,z%26b%3D1");
        let text = path("a", &json!(["x;y", "a/b"]), Style::Matrix { explode: EXPLODED }).unwrap();
        assert_eq!(text.encoded, ";a=x%3By;a=a%2Fb");
    }

    #[test]
    fn what_is_empty_is_not_sent() {
        let mut out = String::new();
        query(&mut out, "a", &json!([]), Style::Form { explode: false });
        query(&mut out, "a", &json!(null), Style::Json);
        assert_eq!(out, "");
        assert!(path("a", &json!([]), Style::Matrix { explode: false }).unwrap().is_empty());
        assert!(path("a", &json!(null), Style::Simple { explode: false }).is_none());
        assert!(path("a", &json!({"x": 1}), Style::Own).is_none());
        assert_eq!(path("a", &json!(["x,y", 2]), Style::Own).unwrap().encoded, "x%2Cy,2");
    }

    proptest! {
        #[test]
        fn a_cookie_is_one_pair_and_comes_back_as_it_went_in(text in any::<String>(), name in "\\PC{1,6}") {
            let mut out = Vec::new();
            cookie(&mut out, "k", &json!(text), Style::Own);
            cookie(&mut out, "k", &json!({ name.clone(): text.clone() }), Style::Form { explode: true });
            prop_assert_eq!(out.len(), 2);
            for pair in &out {
                prop_assert!(pair.bytes().all(|b| b.is_ascii_alphanumeric() || b"=%-._~".contains(&b)), "{}", pair);
                let (_, value) = pair.split_once('=').unwrap();
                // In a query, a plus sign would be read as a space; none is written.
                let back = url::form_urlencoded::parse(format!("k={value}").as_bytes()).next().unwrap().1.into_owned();
                prop_assert_eq!(&back, &text);
            }
        }

        #[test]
        fn a_list_comes_back_as_it_went_in(items in prop::collection::vec(".{1,8}", 1..4)) {
            for style in [Style::Form { explode: false }, Style::Delimited("%20"), Style::Delimited("%7C")] {
                let mut out = String::new();
                query(&mut out, "k", &json!(items), style);
                let (_, value) = out.split_once('=').unwrap();
                let delimiter = match style { Style::Delimited(text) => text, _ => "," };
                // An item may hold the delimiter itself only where that is written encoded.
                if items.iter().all(|item| !item.contains([' ', '|'])) {
                    let back: Vec<String> = value.split(delimiter).map(|part| {
                        url::form_urlencoded::parse(format!("k={part}").as_bytes()).next().unwrap().1.into_owned()
                    }).collect();
                    prop_assert_eq!(&back, &items);
                }
            }
        }
    }
}
