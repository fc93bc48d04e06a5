//! Lists: what a caller may see of tools, prompts, resources and templates, page by page.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::envelope::{self, INVALID_PARAMS, Id};
use super::reply;
use super::revision::Revision;
use crate::call::{self, Caller};
use crate::catalog::{Offer, Tenant};
use crate::identity::Principal;
use crate::policy::{Feed, authorize, authorize_reading};

/// Most entries on a page.
const PAGE: usize = 250;

const UNKNOWN_CURSOR: &str =
    "Unknown cursor, or the list has changed since. Ask for the list without one, from its beginning.";

/// A list that a client can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Tools,
    Prompts,
    Resources,
    Templates,
}

impl List {
    pub(super) fn named(method: &str) -> Option<Self> {
        match method {
            "tools/list" => Some(Self::Tools),
            "prompts/list" => Some(Self::Prompts),
            "resources/list" => Some(Self::Resources),
            "resources/templates/list" => Some(Self::Templates),
            _ => None,
        }
    }

    const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The entries that a principal may see, in their order.
    pub(super) fn entries<'a>(
        self,
        tenant: &'a Tenant,
        principal: &Principal,
        revision: Revision,
    ) -> Vec<Cow<'a, RawValue>> {
        match self {
            Self::Tools => tools(tenant, principal, revision),
            Self::Prompts => offers(tenant, principal, &tenant.offers.prompts),
            Self::Resources => offers(tenant, principal, &tenant.offers.resources),
            Self::Templates => offers(tenant, principal, &tenant.offers.templates),
        }
    }
}

fn tools<'a>(tenant: &'a Tenant, principal: &Principal, revision: Revision) -> Vec<Cow<'a, RawValue>> {
    let own = call::code_mode_listings(tenant, principal).into_iter().map(Cow::Owned);
    let listed = tenant.tools.iter().filter(|entry| entry.listed);
    let allowed = listed.filter(|entry| authorize(tenant, principal, entry, Feed::Heard).is_listed());
    let listing = |entry: &'a crate::catalog::ToolEntry| match &entry.older {
        Some(older) if revision < Revision::MODERN => &**older,
        _ => &*entry.listing,
    };
    own.chain(allowed.map(|entry| Cow::Borrowed(listing(entry)))).collect()
}

fn offers<'a>(tenant: &Tenant, principal: &Principal, all: &'a [Offer]) -> Vec<Cow<'a, RawValue>> {
    let may = |one: &&Offer| authorize_reading(tenant, principal, &one.installation, one.enabled).is_allow();
    all.iter().filter(may).map(|one| Cow::Borrowed(&*one.listing)).collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    cursor: Option<String>,
}

/// The page that is asked for. `more` are further members of the result, each with a comma before it.
pub(super) fn answer(
    caller: &Caller,
    id: &Id,
    list: List,
    params: Option<&RawValue>,
    revision: Revision,
    more: &str,
) -> Bytes {
    let asked: Params = match envelope::params(params) {
        Ok(asked) => asked,
        Err(reason) => return reply::error(Some(id), INVALID_PARAMS, &reason),
    };
    let tenant = &caller.visit.tenant;
    let entries = list.entries(tenant, &caller.principal, revision);
    let Some(begin) = begin(asked.cursor.as_deref(), tenant.revision, entries.len()) else {
        return reply::error(Some(id), INVALID_PARAMS, UNKNOWN_CURSOR);
    };
    let end = (begin + PAGE).min(entries.len());
    let page = entries.get(begin..end).unwrap_or_default();
    let next = if end < entries.len() {
        format!(",\"nextCursor\":\"{}\"", cursor(tenant.revision, end))
    } else {
        String::new()
    };
    reply::list(id, list.member(), page.iter().map(|entry| &**entry), &format!("{next}{more}"))
}

/// A place in the list of one revision of the workspace: of another it might skip something.
fn cursor(revision: u64, begin: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("{revision}.{begin}"))
}

/// Where a page begins; `None` for a cursor that was not given out for this list.
fn begin(cursor: Option<&str>, revision: u64, length: usize) -> Option<usize> {
    let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) else { return Some(0) };
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (of, begin) = text.split_once('.')?;
    let (of, begin): (u64, usize) = (of.parse().ok()?, begin.parse().ok()?);
    (of == revision && begin < length && begin > 0).then_some(begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_one_revision_and_a_place_in_the_list() {
        let given = cursor(7, 250);
        assert_eq!(begin(Some(&given), 7, 300), Some(250));
        assert_eq!((begin(None, 7, 0), begin(Some(""), 7, 0)), (Some(0), Some(0)));
        assert_eq!(begin(Some(&given), 8, 300), None);
        assert_eq!(begin(Some(&given), 7, 250), None);
        for bad in ["x", "%", "MA", &URL_SAFE_NO_PAD.encode("7.0"), &URL_SAFE_NO_PAD.encode("7.-1")] {
            assert_eq!(begin(Some(bad), 7, 300), None, "{bad}");
        }
    }
}
