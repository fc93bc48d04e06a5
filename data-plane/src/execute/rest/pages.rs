//! Going through a list: where the next page is, and whether there is one.
//!
//! Pure functions of an answer and of what was asked for. Whether the node follows or the caller is told is not decided here.

use http::HeaderMap;
use http::header::{HeaderName, LINK};
use serde_json::{Map, Value};
use toolmesh_proto::v1;
use toolmesh_proto::v1::condition::Comparison;
use toolmesh_proto::v1::paging::Strategy;
use url::Url;

use super::jsonpath::{PathError, ResultPath};
use super::plan::Param;
use super::{Plan, encode};

/// Pages that are followed where the connector does not say, and at most.
const USUAL_PAGES: u32 = 20;
const MOST_PAGES: u32 = 50;
/// Longest cursor that is passed on.
const CURSOR_BYTES: usize = 4 << 10;

/// How a list is paged.
#[derive(Clone, Debug)]
pub struct Paging {
    pub strategy: Strategy,
    /// The node follows the pages.
    pub auto: bool,
    /// Argument for the position; empty for none.
    pub position: String,
    limit: String,
    limit_default: u32,
    next_cursor: Option<ResultPath>,
    has_more: Option<Condition>,
    total_pages: Option<HeaderName>,
    total_count: Option<HeaderName>,
    pub max_pages: usize,
}

/// What must hold of an answer for there to be more.
#[derive(Clone, Debug)]
struct Condition {
    path: Option<ResultPath>,
    comparison: Comparison,
    other: Other,
    negated: bool,
}

#[derive(Clone, Debug)]
enum Other {
    Path(Option<ResultPath>),
    Value(Value),
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// The value of the argument for the position.
    Argument(Value),
    /// The query of the URL that the API names.
    Query(String),
}

/// Whether there is another page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum More {
    No,
    /// The page is full, and nothing says that it is the last.
    Maybe(Position),
    Yes(Position),
}

/// A page that has come.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    pub url: &'a Url,
    pub headers: &'a HeaderMap,
    /// The whole answer, JSON.
    pub json: &'a str,
    /// How many items were in it, if it was a list.
    pub items: Option<usize>,
}

impl Paging {
    /// Reads a rule.
    ///
    /// # Errors
    /// When a path in it is none.
    pub fn compile(rule: &v1::Paging) -> Result<Option<Self>, PathError> {
        let header = |name: &str| HeaderName::from_bytes(name.as_bytes()).ok();
        if rule.strategy() == Strategy::Unspecified {
            return Ok(None);
        }
        let max_pages = if rule.max_pages == 0 { USUAL_PAGES } else { rule.max_pages.min(MOST_PAGES) };
        Ok(Some(Self {
            strategy: rule.strategy(),
            auto: rule.auto,
            position: rule.position_param.clone(),
            limit: rule.limit_param.clone(),
            limit_default: rule.limit_default,
            next_cursor: ResultPath::parse(&rule.next_cursor)?,
            has_more: rule.has_more.as_ref().map(Condition::compile).transpose()?,
            total_pages: header(&rule.total_pages_header),
            total_count: header(&rule.total_count_header),
            max_pages: max_pages as usize,
        }))
    }

    /// Goes by the arguments' own names where a file names the parameters of the request.
    pub(super) fn go_by_arguments(&mut self, params: &[Param]) {
        for name in [&mut self.position, &mut self.limit] {
            if let Some(param) = params.iter().find(|param| param.wire_name == *name) {
                name.clone_from(&param.name);
            }
        }
    }

    /// The arguments with the usual size of a page, where the node follows and the caller says nothing of it: without a
    /// known size, the last page could not be told.
    #[must_use]
    pub fn arguments(&self, plan: &Plan, arguments: &Map<String, Value>) -> Map<String, Value> {
        let mut arguments = arguments.clone();
        let declared = plan.params.iter().find(|param| param.name == self.limit);
        let open =
            declared.is_some_and(|param| param.default.is_none()) && !arguments.contains_key(&self.limit);
        if self.auto && open && self.limit_default > 0 {
            arguments.insert(self.limit.clone(), self.limit_default.into());
        }
        arguments
    }

    /// Where the page after this one begins. `arguments` are those that this page was asked for with.
    #[must_use]
    pub fn next(&self, plan: &Plan, arguments: &Map<String, Value>, page: Page<'_>) -> More {
        let said = self.has_more.as_ref().map(|condition| condition.holds(page.json));
        if said == Some(false) {
            return More::No;
        }
        let count = |name: &Option<HeaderName>| number(page.headers, name.as_ref());
        match self.strategy {
            Strategy::Cursor => self.cursor(arguments, page.json),
            Strategy::LinkHeader => link(page),
            Strategy::Offset => {
                let at = self.number(plan, arguments, &self.position).unwrap_or(0);
                let limit = self.limit(plan, arguments);
                let step = page.items.map(|items| items as u64).or(limit).unwrap_or(0);
                let next = at.saturating_add(step);
                let total = count(&self.total_count).map(|total| next < total);
                self.verdict(page.items, limit, said.or(total), next)
            }
            Strategy::Page => {
                let at = self.number(plan, arguments, &self.position).unwrap_or(1);
                let limit = self.limit(plan, arguments);
                let pages = count(&self.total_pages).map(|pages| at < pages);
                let total = count(&self.total_count)
                    .zip(limit)
                    .map(|(total, limit)| at.saturating_mul(limit) < total);
                self.verdict(page.items, limit, said.or(pages).or(total), at.saturating_add(1))
            }
            Strategy::Unspecified => More::No,
        }
    }

    fn verdict(&self, items: Option<usize>, limit: Option<u64>, said: Option<bool>, next: u64) -> More {
        let position = Position::Argument(next.into());
        let short = items.zip(limit).is_some_and(|(items, limit)| (items as u64) < limit);
        match said {
            _ if items == Some(0) || self.position.is_empty() => More::No,
            Some(true) => More::Yes(position),
            Some(false) => More::No,
            None if short || items.is_none() => More::No,
            None => More::Maybe(position),
        }
    }

    fn cursor(&self, arguments: &Map<String, Value>, json: &str) -> More {
        let found = self.next_cursor.as_ref().and_then(|path| path.find_text(json)).unwrap_or_default();
        // A number keeps its digits: it is passed on as it was sent.
        let cursor = match serde_json::from_str(&found) {
            Ok(Value::String(cursor)) if !cursor.is_empty() => Value::String(cursor),
            Ok(Value::Number(number)) if number.is_i64() || number.is_u64() => Value::Number(number),
            Ok(Value::Number(_)) => Value::String(found),
            _ => return More::No,
        };
        let repeated =
            arguments.get(&self.position).is_some_and(|now| encode::text(now) == encode::text(&cursor));
        if repeated || self.position.is_empty() || encode::text(&cursor).len() > CURSOR_BYTES {
            return More::No;
        }
        More::Yes(Position::Argument(cursor))
    }

    fn limit(&self, plan: &Plan, arguments: &Map<String, Value>) -> Option<u64> {
        let known = self.number(plan, arguments, &self.limit);
        Some(known.unwrap_or_else(|| self.limit_default.into())).filter(|limit| *limit > 0)
    }

    /// A number among the arguments or their defaults.
    fn number(&self, plan: &Plan, arguments: &Map<String, Value>, name: &str) -> Option<u64> {
        let default =
            || plan.params.iter().find(|param| param.name == name).and_then(|param| param.default.as_ref());
        match arguments.get(name).filter(|value| !value.is_null()).or_else(default)? {
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_u64(),
        }
    }

    /// What to tell a caller who pages; empty for nothing.
    #[must_use]
    pub fn told(&self, plan: &Plan, more: &More, url: &Url) -> String {
        let (sure, position) = match more {
            More::No => return String::new(),
            More::Maybe(position) => ("There may be more", position),
            More::Yes(position) => ("There is more", position),
        };
        let arguments = match position {
            Position::Argument(value) => vec![format!("{}={}", self.position, encode::text(value))],
            Position::Query(query) => {
                let before: Vec<_> = url.query_pairs().into_owned().collect();
                let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
                let new = pairs.filter(|pair| !before.contains(pair));
                let argument = |name: &str| plan.params.iter().find(|param| param.wire_name == name);
                new.filter_map(|(name, value)| Some(format!("{}={value}", argument(&name)?.name))).collect()
            }
        };
        if arguments.is_empty() {
            return format!("{sure} than this page.");
        }
        format!("{sure}: call again with {}.", arguments.join(" and "))
    }
}

impl Condition {
    fn compile(rule: &v1::Condition) -> Result<Self, PathError> {
        let other = match rule.other_path.as_str() {
            "" => Other::Value(serde_json::from_str(&rule.other_json).unwrap_or_default()),
            path => Other::Path(ResultPath::parse(path)?),
        };
        Ok(Self {
            path: ResultPath::parse(&rule.path)?,
            comparison: rule.comparison(),
            other,
            negated: rule.negated,
        })
    }

    fn holds(&self, json: &str) -> bool {
        let find = |path: &Option<ResultPath>| {
            let text = path.as_ref().map_or_else(|| Some(json.to_owned()), |path| path.find_text(json));
            text.and_then(|text| serde_json::from_str::<Value>(&text).ok()).unwrap_or_default()
        };
        let left = find(&self.path);
        let holds = if self.comparison == Comparison::None {
            is_something(&left)
        } else {
            let right = match &self.other {
                Other::Path(path) => find(path),
                Other::Value(value) => value.clone(),
            };
            compares(&left, self.comparison, &right)
        };
        holds != self.negated
    }
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.as_str(), "" | "false" | "0"),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

fn compares(left: &Value, comparison: Comparison, right: &Value) -> bool {
    let order = match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => (left == right).then_some(std::cmp::Ordering::Equal),
    };
    match comparison {
        Comparison::None => false,
        Comparison::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::NotEqual => !order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Comparison::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Comparison::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
        Comparison::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

fn number(headers: &HeaderMap, name: Option<&HeaderName>) -> Option<u64> {
    headers.get(name?)?.to_str().ok()?.trim().parse().ok()
}

/// The query of the URL that the answer's Link header calls the next. One on another origin is no page of this list.
fn link(page: Page<'_>) -> More {
    let values = page.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    for entry in values.flat_map(entries) {
        let Some((target, attributes)) = entry.strip_prefix('<').and_then(|rest| rest.split_once('>')) else {
            continue;
        };
        let next =
            attributes.split(';').filter_map(|attribute| attribute.split_once('=')).any(|(name, value)| {
                let words = value.trim().trim_matches('"').split_whitespace();
                name.trim().eq_ignore_ascii_case("rel")
                    && words.into_iter().any(|word| word.eq_ignore_ascii_case("next"))
            });
        let Some(url) = page.url.join(target.trim()).ok().filter(|_| next) else { continue };
        let query = url.query().unwrap_or_default();
        let same = url.origin() == page.url.origin();
        if same && !query.is_empty() && Some(query) != page.url.query() && page.items != Some(0) {
            return More::Yes(Position::Query(query.to_owned()));
        }
    }
    More::No
}

/// The entries of a Link header; commas within `<…>` and quotes part nothing.
fn entries(value: &str) -> Vec<&str> {
    let (mut entries, mut start, mut angle, mut quoted) = (Vec::new(), 0, false, false);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'<' if !quoted => angle = true,
            b'>' if !quoted => angle = false,
            b'"' if !angle => quoted = !quoted,
            b',' if !angle && !quoted => {
                entries.push(value.get(start..at).unwrap_or_default().trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    entries.push(value.get(start..).unwrap_or_default().trim());
    entries
}

/// A query without the parameters that are neither the caller's nor the API's to set.
#[must_use]
pub fn query_without(query: &str, reserved: impl Fn(&str) -> bool) -> String {
    let mut out = String::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if !reserved(&name) {
            encode::pair(&mut out, &name, &value);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;
    use toolmesh_proto::v1::param::Place;

    use super::*;

    fn plan() -> Plan {
        let param =
            |name: &str| v1::Param { name: name.into(), place: Place::Query.into(), ..Default::default() };
        let params = ["page", "limit", "max_id"].map(param).to_vec();
        let body = v1::BodyEncoding::None.into();
        Plan::compile(&v1::RestCall {
            method: "GET".into(),
            path: "/x".into(),
            params,
            body,
            ..Default::default()
        })
        .unwrap()
    }

    fn paging(strategy: Strategy) -> v1::Paging {
        v1::Paging {
            strategy: strategy.into(),
            position_param: "page".into(),
            limit_param: "limit".into(),
            ..Default::default()
        }
    }

    fn next(
        rule: &v1::Paging,
        arguments: Value,
        json: &str,
        items: usize,
        headers: &[(&'static str, &str)],
    ) -> More {
        let headers =
            headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap()));
        let (headers, url) = (headers.collect(), Url::parse("https://a.example/v1/x?limit=2").unwrap());
        let page = Page { url: &url, headers: &headers, json, items: Some(items) };
        Paging::compile(rule).unwrap().unwrap().next(&plan(), arguments.as_object().unwrap(), page)
    }

    fn yes(value: impl Into<Value>) -> More {
        More::Yes(Position::Argument(value.into()))
    }

    fn condition(path: &str, comparison: Comparison, other: &str) -> Option<v1::Condition> {
        let (other_path, other_json) = if other.starts_with('$') { (other, "") } else { ("", other) };
        Some(v1::Condition {
            path: path.into(),
            comparison: comparison.into(),
            other_path: other_path.into(),
            other_json: other_json.into(),
            negated: false,
        })
    }

    #[test]
    fn a_cursor_leads_on_until_it_is_missing_empty_or_repeated() {
        let rule = v1::Paging { next_cursor: "$.next".into(), ..paging(Strategy::Cursor) };
        assert_eq!(next(&rule, json!({}), r#"{"next":"c2"}"#, 1, &[]), yes("c2"));
        assert_eq!(next(&rule, json!({}), r#"{"next":18446744073709551615}"#, 1, &[]), yes(u64::MAX));
        for last in [r#"{}"#, r#"{"next":null}"#, r#"{"next":""}"#, r#"{"next":{}}"#] {
            assert_eq!(next(&rule, json!({}), last, 1, &[]), More::No, "{last}");
        }
        assert_eq!(next(&rule, json!({"page": "c2"}), r#"{"next":"c2"}"#, 1, &[]), More::No);
        let told = v1::Paging { has_more: condition("$.more", Comparison::None, ""), ..rule };
        assert_eq!(next(&told, json!({}), r#"{"next":"c2","more":false}"#, 1, &[]), More::No);
    }

    #[test]
    fn pages_are_counted_until_the_api_or_a_short_page_says_enough() {
        let rule = v1::Paging { limit_default: 2, ..paging(Strategy::Page) };
        let maybe = |n: u64| More::Maybe(Position::Argument(n.into()));
        assert_eq!(next(&rule, json!({}), "[]", 2, &[]), maybe(2));
        assert_eq!(next(&rule, json!({"page": "3"}), "[]", 2, &[]), maybe(4));
        assert_eq!(next(&rule, json!({}), "[]", 1, &[]), More::No);
        assert_eq!(next(&rule, json!({}), "[]", 0, &[]), More::No);
        let headed = v1::Paging {
            total_pages_header: "x-pages".into(),
            total_count_header: "x-total".into(),
            ..rule.clone()
        };
        assert_eq!(next(&headed, json!({}), "[]", 1, &[("x-pages", "2")]), yes(2));
        assert_eq!(next(&headed, json!({"page": 2}), "[]", 2, &[("x-pages", "2")]), More::No);
        assert_eq!(next(&headed, json!({}), "[]", 2, &[("x-total", "3")]), yes(2));
        assert_eq!(next(&headed, json!({"page": 2}), "[]", 2, &[("x-total", "4")]), More::No);
        let less = v1::Paging { has_more: condition("$.page", Comparison::Less, "$.pages"), ..rule };
        assert_eq!(next(&less, json!({}), r#"{"page":1,"pages":3}"#, 1, &[]), yes(2));
        assert_eq!(next(&less, json!({"page": 3}), r#"{"page":3,"pages":3}"#, 2, &[]), More::No);
    }

    #[test]
    fn an_offset_moves_by_what_came() {
        let rule = v1::Paging {
            has_more: condition("$.next", Comparison::NotEqual, "null"),
            ..paging(Strategy::Offset)
        };
        assert_eq!(next(&rule, json!({}), r#"{"next":"u"}"#, 2, &[]), yes(2));
        assert_eq!(next(&rule, json!({"page": 4, "limit": 2}), r#"{"next":"u"}"#, 2, &[]), yes(6));
        assert_eq!(next(&rule, json!({}), r#"{"next":null}"#, 2, &[]), More::No);
    }

    #[test]
    fn a_link_header_is_followed_on_the_same_origin_only() {
        let rule = v1::Paging { position_param: String::new(), ..paging(Strategy::LinkHeader) };
        let link = |value: &str| next(&rule, json!({}), "[]", 2, &[("link", value)]);
        let query = |query: &str| More::Yes(Position::Query(query.into()));
        let two = r#"<https://a.example/v1/x?min_id=9>; rel="prev", <https://a.example/v1/x?a=1,2&max_id=5>; rel="next""#;
        assert_eq!(link(two), query("a=1,2&max_id=5"));
        assert_eq!(link("</v1/x?max_id=5>; rel=next"), query("max_id=5"));
        for bad in [
            "<https://evil.example/v1/x?max_id=5>; rel=\"next\"",
            "<http://a.example/v1/x?max_id=5>; rel=\"next\"",
            "<https://a.example/v1/x?limit=2>; rel=\"next\"",
            "<https://a.example/v1/x?max_id=5>; rel=\"prev\"",
            "<<>;;,,=\"",
            "",
        ] {
            assert_eq!(link(bad), More::No, "{bad}");
        }
    }

    #[test]
    fn a_caller_is_told_which_argument_leads_on() {
        let url = Url::parse("https://a.example/v1/x?limit=2").unwrap();
        let told = |strategy, more: &More| {
            Paging::compile(&paging(strategy)).unwrap().unwrap().told(&plan(), more, &url)
        };
        assert_eq!(told(Strategy::Page, &yes(2)), "There is more: call again with page=2.");
        assert_eq!(told(Strategy::Page, &More::No), "");
        let query = More::Yes(Position::Query("limit=2&max_id=5&other=1".into()));
        assert_eq!(told(Strategy::LinkHeader, &query), "There is more: call again with max_id=5.");
        let unknown = More::Yes(Position::Query("other=1".into()));
        assert_eq!(told(Strategy::LinkHeader, &unknown), "There is more than this page.");
    }

    #[test]
    fn a_credential_in_a_followed_query_is_not_the_apis_to_set() {
        let mut plan = plan();
        plan.reserve_query("key");
        let without = |query| query_without(query, |name| plan.is_reserved_query(name));
        assert_eq!(without("a=1&KEY=x&key%5Ba%5D=y&b=%26"), "a=1&b=%26");
    }
}
