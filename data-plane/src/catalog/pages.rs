//! Pages that a tool's definition names for its results to be shown in: resources of its server, read by clients like others
//! (MCP Apps, SEP-1865, and ChatGPT's own names for them).

use serde_json::value::RawValue;

use super::entries::ToolEntry;
use super::installation::Installation;
use crate::members::Members;

/// Members of `_meta` that name a page, the older and ChatGPT's; the present one is `ui.resourceUri`.
const NAMED: [&str; 2] = ["ui/resourceUri", "openai/outputTemplate"];

/// Has a tool's pages lead to its server. `public` gives the URI that clients reach a page by, where that is another than the
/// server's own.
pub(super) fn lead(entry: &mut ToolEntry, public: impl Fn(&Installation, &str) -> Option<String>) {
    let ToolEntry { installation, listing, older, .. } = entry;
    let installation: &Installation = installation;
    for listing in [Some(listing), older.as_mut()].into_iter().flatten() {
        if listing.get().contains("ui://")
            && let Some(led) = led(listing, |uri| public(installation, uri))
        {
            *listing = led;
        }
    }
}

fn led(listing: &RawValue, public: impl Fn(&str) -> Option<String>) -> Option<Box<RawValue>> {
    let mut members = Members::read(listing.get())?;
    let mut meta: Members = members.read_as("_meta")?;
    let other = |members: &Members, name: &str| public(&members.read_as::<String>(name)?);
    let mut changed = false;
    for name in NAMED {
        if let Some(uri) = other(&meta, name) {
            meta.set_value(name, &uri);
            changed = true;
        }
    }
    if let Some(mut ui) = meta.read_as::<Members>("ui")
        && let Some(uri) = other(&ui, "resourceUri")
    {
        ui.set_value("resourceUri", &uri);
        meta.set_value("ui", &ui);
        changed = true;
    }
    changed.then(|| {
        members.set_value("_meta", &meta);
        members.write()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_page_is_led_and_nothing_else_is_touched() {
        let listing = r#"{"name":"a","_meta":{"x":1.0,"ui":{"csp":[1,  2],"resourceUri":"ui://p"},"openai/outputTemplate":"ui://p","ui/resourceUri":"ui://other"}}"#;
        let raw = RawValue::from_string(listing.to_owned()).unwrap();
        let found = led(&raw, |uri| (uri == "ui://p").then(|| "ui://q".to_owned())).unwrap();
        assert_eq!(found.get(), listing.replace("ui://p", "ui://q"));
        assert!(led(&raw, |_| None).is_none());
    }
}
