//! URIs in what another server answers, as clients reach them: a link in a tool's result leads to the server that gave it.
//!
//! Text is nobody's to rewrite, and neither is structured content, whose members only its server knows.

use serde_json::value::{RawValue, to_raw_value};

use super::{Caller, servers_in_reach};
use crate::catalog::{Installation, Route, Server, Work};
use crate::members::Members;

/// Most URIs of one answer that are looked at; the others stay as they came.
const MOST: usize = 1000;

/// What a tool or a prompt answered.
pub(super) fn linked(
    caller: &Caller,
    installation: &Installation,
    method: &str,
    result: Box<RawValue>,
) -> Box<RawValue> {
    if !result.get().contains("\"uri\"") {
        return result;
    }
    let mut public = public(caller, installation);
    let changed = match method {
        "tools/call" => each(&result, "content", |content| block(content, &mut public)),
        "prompts/get" => each(&result, "messages", |message| {
            within(message, "content", |content| block(content, &mut public))
        }),
        _ => None,
    };
    changed.unwrap_or(result)
}

/// What was read, under the URI that was asked for; a server may give parts of it under others.
pub(super) fn read(caller: &Caller, route: &Route<'_>, asked: &str, result: Box<RawValue>) -> Box<RawValue> {
    let mut public = public(caller, route.installation);
    let mut known = |own: &str| {
        if own == route.uri { (own != asked).then(|| asked.to_owned()) } else { public(own) }
    };
    each(&result, "contents", |one| uri(one, &mut known)).unwrap_or(result)
}

/// Gives the URI that the caller reaches a server's own by, where that is another.
fn public<'a>(caller: &'a Caller, installation: &'a Installation) -> impl FnMut(&str) -> Option<String> + 'a {
    let tenant = &caller.visit.tenant;
    let servers = servers_in_reach(tenant, &caller.principal, Server::has_resources);
    let (mut left, work) = (MOST, Work::of_answer());
    move |own| {
        left = left.checked_sub(1)?;
        tenant.offers.public_uri(&servers, installation, own, &work)
    }
}

type Public<'a> = &'a mut dyn FnMut(&str) -> Option<String>;

/// A block of content with the URI that clients reach it by; `None` where that is the server's own.
fn block(content: &RawValue, public: Public<'_>) -> Option<Box<RawValue>> {
    let kind: String = Members::read(content.get())?.read_as("type")?;
    match kind.as_str() {
        "resource_link" => uri(content, public),
        "resource" => within(content, "resource", |resource| uri(resource, public)),
        _ => None,
    }
}

fn uri(object: &RawValue, public: Public<'_>) -> Option<Box<RawValue>> {
    within(object, "uri", |own| {
        let own: String = serde_json::from_str(own.get()).ok()?;
        to_raw_value(&public(&own)?).ok()
    })
}

/// An object with another value of a member; `None` where it keeps its own.
fn within(
    object: &RawValue,
    member: &str,
    with: impl FnOnce(&RawValue) -> Option<Box<RawValue>>,
) -> Option<Box<RawValue>> {
    let mut members = Members::read(object.get())?;
    let other = with(members.get(member)?)?;
    members.set(member, other);
    Some(members.write())
}

/// An object with other elements in a list of its; `None` where all stay.
fn each(
    object: &RawValue,
    list: &str,
    mut with: impl FnMut(&RawValue) -> Option<Box<RawValue>>,
) -> Option<Box<RawValue>> {
    within(object, list, |elements| {
        let mut elements: Vec<Box<RawValue>> = serde_json::from_str(elements.get()).ok()?;
        let mut changed = false;
        for element in &mut elements {
            if let Some(other) = with(element) {
                *element = other;
                changed = true;
            }
        }
        if changed { to_raw_value(&elements).ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::samples;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn only_links_and_embedded_resources_are_led_and_every_other_byte_stays() {
        let sent = r#"{"content":[{"type":"text","text":"a://1","uri":"a://1"},{"type":"resource_link","uri":"a://1","name":"n","x":1.0},{"type":"resource","resource":{"uri":"a://1","text":"a://1"},"y":[1 ]},{"type":"resource_link","uri":"a:\/\/2"}],"structuredContent":{"uri":"a://1"}}"#;
        let mut public = |own: &str| (own == "a://1").then(|| "b://1".to_owned());
        let led = each(&raw(sent), "content", |content| block(content, &mut public)).unwrap();
        let expected = sent
            .replace(r#""resource_link","uri":"a://1""#, r#""resource_link","uri":"b://1""#)
            .replace(r#""resource":{"uri":"a://1""#, r#""resource":{"uri":"b://1""#);
        assert_eq!(led.get(), expected);
        let mut none = |_: &str| None;
        for whole in [sent, r#"{"content":"no list"}"#, r#"{"content":[1,null]}"#, "[]"] {
            assert!(each(&raw(whole), "content", |content| block(content, &mut none)).is_none(), "{whole}");
        }
    }

    #[test]
    fn long_links_and_many_deep_templates_are_only_so_much_work() {
        let deep = samples::deep();
        let bundle = samples::with_servers(&[("deep", &[], &deep), ("other", &[], &["b://{x}"])]);
        let tenant = samples::compile_with(&bundle);
        let servers = tenant.readable();
        let other = servers[1];
        let answer = |uris: &[String]| {
            let links = uris.iter().map(|uri| json!({ "type": "resource_link", "uri": uri }));
            raw(&json!({ "content": links.collect::<Vec<_>>() }).to_string())
        };
        let led = |uris: &[String]| {
            let work = Work::of_answer();
            let mut public = |own: &str| tenant.offers.public_uri(&servers, other, own, &work);
            let led = each(&answer(uris), "content", |content| block(content, &mut public));
            (led.map(|led| led.get().to_owned()), work.left())
        };
        let (short, _) = led(&["c://x".to_owned()]);
        assert!(short.unwrap().contains(r#""uri":"mcp+other://c%3A%2F%2Fx""#), "within the bound it is led");
        let long: Vec<String> = (100..600).map(|at| format!("c://{at}{}", "a".repeat(8192 - 7))).collect();
        let (long, left) = led(&long);
        assert!(long.is_none(), "all stay as they came");
        assert!(left < 8192 * samples::DEEP_PARTS, "{left}: the bound has stopped it");
    }
}
