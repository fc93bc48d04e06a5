//! What the MCP servers behind a workspace offer beside tools: prompts, resources, templates of resources.
//!
//! Owns which server a prompt's name or a resource's URI means. A prompt has a public name as a tool has. A URI stays its
//! server's own, since other texts name it; where it would lead to another server, as where two list the same, it is wrapped,
//! so that each can be read. Pages of apps keep their scheme `ui`, by which clients know them (MCP Apps, SEP-1865).

use std::collections::HashMap;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::value::RawValue;
use toolmesh_proto::v1;

use super::entries::public_name;
use super::installation::Installation;
use super::server::{Definition, Server};
use super::template::Template;
use super::tenant::BundleError;

/// What stays as it is within a wrapped URI (RFC 3986, unreserved).
const WRAPPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A prompt, a resource or a template.
#[derive(Debug)]
pub struct Offer {
    /// The name, URI or template that clients are told.
    pub name: String,
    /// The server's own.
    pub own: String,
    pub installation: Arc<Installation>,
    pub enabled: bool,
    /// Its entry in the list.
    pub listing: Box<RawValue>,
}

/// All of a workspace, in the order of its installations.
#[derive(Debug, Default)]
pub struct Offers {
    pub prompts: Vec<Offer>,
    pub resources: Vec<Offer>,
    pub templates: Vec<Offer>,
    prompt_at: HashMap<String, usize>,
    resource_at: HashMap<String, usize>,
    matchers: Vec<Template>,
}

/// Where a resource is read.
#[derive(Clone, Debug)]
pub struct Route<'a> {
    pub installation: &'a Arc<Installation>,
    /// The server's own URI.
    pub uri: String,
}

impl Offers {
    /// Adds what an installation's server offers.
    pub(super) fn add(
        &mut self,
        installation: &Arc<Installation>,
        sent: &v1::Installation,
        faults: &mut Vec<BundleError>,
    ) {
        let Some(server) = &installation.connector.server else { return };
        let offer = |definition: &Definition, member: &str, name: String| {
            let mut members = definition.members.clone();
            members.set_value(member, &name);
            Offer {
                name,
                own: definition.name.clone(),
                installation: Arc::clone(installation),
                enabled: !sent.disabled_definitions.contains(&definition.name),
                listing: members.write(),
            }
        };
        for prompt in &server.prompts {
            let name = public_name(installation, &prompt.name);
            if self.prompt_at.contains_key(&name) {
                faults.push(BundleError::Twice(name));
                continue;
            }
            self.prompt_at.insert(name.clone(), self.prompts.len());
            self.prompts.push(offer(prompt, "name", name));
        }
        for resource in &server.resources {
            // What reads as another server's wrapped URI would take that one's place.
            let taken = self.resource_at.contains_key(&resource.name) || unwrap(&resource.name).is_some();
            let uri = if taken { wrap(&installation.name, &resource.name) } else { resource.name.clone() };
            if self.resource_at.contains_key(&uri) {
                faults.push(BundleError::Twice(uri));
                continue;
            }
            self.resource_at.insert(uri.clone(), self.resources.len());
            self.resources.push(offer(resource, "uri", uri));
        }
        for template in &server.templates {
            let taken = self.templates.iter().any(|other| other.name == template.name);
            let text =
                if taken { wrap_template(&installation.name, &template.name) } else { template.name.clone() };
            self.matchers.push(Template::new(&template.name));
            self.templates.push(offer(template, "uriTemplate", text));
        }
    }

    /// The prompt with a public name, offered or not.
    #[must_use]
    pub fn prompt(&self, name: &str) -> Option<&Offer> {
        self.prompts.get(*self.prompt_at.get(name)?)
    }

    /// The template with a public text, offered or not.
    #[must_use]
    pub fn template(&self, text: &str) -> Option<&Offer> {
        self.templates.iter().find(|one| one.name == text)
    }

    /// Which server a URI is asked of. `installations` are those in the caller's reach that offer resources, in order.
    #[must_use]
    pub fn route<'a>(&'a self, installations: &[&'a Arc<Installation>], uri: &str) -> Option<Route<'a>> {
        let route = self.target(installations, uri)?;
        self.offers(route.installation, &route.uri).then_some(route)
    }

    /// The URI by which clients reach what a server calls `own`, where that is another: its own would lead elsewhere, or
    /// nowhere. `installations` are those in the caller's reach that offer resources, in order.
    ///
    /// A web address that the server offers nothing of stays as it is, since clients open it by themselves.
    #[must_use]
    pub fn public_uri(
        &self,
        installations: &[&Arc<Installation>],
        installation: &Installation,
        own: &str,
    ) -> Option<String> {
        if !installations.iter().any(|one| one.id == installation.id) {
            // It can be read nowhere.
            return None;
        }
        let leads = |uri: &str| {
            self.target(installations, uri)
                .is_some_and(|route| route.installation.id == installation.id && route.uri == own)
        };
        let wrapped = wrap(&installation.name, own);
        let listed = self.resource_at.contains_key(&wrapped) && leads(&wrapped);
        let stays = !listed && (leads(own) || (is_web(own) && !self.knows(installation, own)));
        (!stays).then_some(wrapped)
    }

    /// Where a URI leads: what the list says of it, the server that it is wrapped for, or the one that it means.
    fn target<'a>(&'a self, installations: &[&'a Arc<Installation>], uri: &str) -> Option<Route<'a>> {
        let listed = self.resource_at.get(uri).and_then(|at| self.resources.get(*at));
        let reach = |offer: &&Offer| installations.iter().any(|one| one.id == offer.installation.id);
        if let Some(offer) = listed.filter(reach) {
            return Some(Route { installation: &offer.installation, uri: offer.own.clone() });
        }
        let wrapped = unwrap(uri)
            .and_then(|(name, own)| Some((*installations.iter().find(|one| one.name == name)?, own)));
        if let Some((installation, uri)) = wrapped {
            return Some(Route { installation, uri });
        }
        Some(Route { installation: self.meant(installations, uri)?, uri: uri.to_owned() })
    }

    /// Of a template, of the one server with this scheme and authority, of the only server: in this order.
    fn meant<'a>(
        &'a self,
        installations: &[&'a Arc<Installation>],
        uri: &str,
    ) -> Option<&'a Arc<Installation>> {
        let reach = |offer: &&Offer| installations.iter().any(|one| one.id == offer.installation.id);
        let mut matching = self.templates.iter().zip(&self.matchers).filter(|(_, one)| one.matches(uri));
        if let Some((offer, _)) = matching.find(|(offer, _)| offer.enabled && reach(offer)) {
            return Some(&offer.installation);
        }
        let mut near = installations.iter().copied().filter(|one| self.is_near(one, uri));
        match (near.next(), near.next()) {
            (Some(only), None) => Some(only),
            (None, _) => match installations {
                [only] => Some(only),
                _ => None,
            },
            (Some(_), Some(_)) => None,
        }
    }

    /// Whether a server lists something of a URI's scheme and authority.
    fn is_near(&self, installation: &Installation, uri: &str) -> bool {
        let place = authority(uri);
        let all = self.resources.iter().chain(&self.templates);
        let mut mine = all.filter(|offer| offer.installation.id == installation.id);
        place.is_some() && mine.any(|offer| authority(&offer.own) == place)
    }

    /// Whether a URI is one of those that a server says it has.
    fn knows(&self, installation: &Installation, own: &str) -> bool {
        let listed = self.resources.iter();
        let mut listed = listed.filter(|offer| offer.installation.id == installation.id);
        let mut templates = self.templates.iter().zip(&self.matchers);
        listed.any(|offer| offer.own == own)
            || templates.any(|(offer, one)| offer.installation.id == installation.id && one.matches(own))
            || self.is_near(installation, own)
    }

    /// Whether a server's own URI is not switched off, by itself or with the template that it is of.
    fn offers(&self, installation: &Installation, own: &str) -> bool {
        let mine = |offer: &&Offer| offer.installation.id == installation.id;
        if let Some(listed) = self.resources.iter().filter(mine).find(|offer| offer.own == own) {
            return listed.enabled;
        }
        let templates = self.templates.iter().zip(&self.matchers);
        let mut matching = templates.filter(|(offer, one)| mine(offer) && one.matches(own)).peekable();
        matching.peek().is_none() || matching.any(|(offer, _)| offer.enabled)
    }
}

/// The installations whose server has resources.
pub(super) fn readable(installations: &[Arc<Installation>]) -> Vec<&Arc<Installation>> {
    let has = |one: &&Arc<Installation>| one.connector.server.as_ref().is_some_and(Server::has_resources);
    installations.iter().filter(has).collect()
}

fn wrap(installation: &str, uri: &str) -> String {
    format!("{}{}", before(installation, uri), utf8_percent_encode(uri, WRAPPED))
}

/// What stands before a URI that is wrapped.
fn before(installation: &str, uri: &str) -> String {
    if uri.starts_with("ui://") {
        format!("ui://mcp+{installation}/")
    } else {
        format!("mcp+{installation}://")
    }
}

/// The expressions stay what they are, for clients to fill in.
fn wrap_template(installation: &str, template: &str) -> String {
    let (mut out, mut rest) = (before(installation, template), template);
    while let Some((literal, after)) = rest.split_once('{') {
        let Some((expression, after)) = after.split_once('}') else { break };
        out.extend(utf8_percent_encode(literal, WRAPPED));
        out.push_str(&format!("{{{expression}}}"));
        rest = after;
    }
    out.extend(utf8_percent_encode(rest, WRAPPED));
    out
}

fn unwrap(uri: &str) -> Option<(&str, String)> {
    let (name, own) = match uri.strip_prefix("ui://mcp+") {
        Some(page) => page.split_once('/')?,
        None => uri.strip_prefix("mcp+")?.split_once("://")?,
    };
    Some((name, percent_decode_str(own).decode_utf8().ok()?.into_owned()))
}

fn is_web(uri: &str) -> bool {
    uri.starts_with("https://") || uri.starts_with("http://")
}

/// Scheme and authority, for comparing.
fn authority(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once("://")?;
    let end = rest.find(['/', '?', '#', '{']).unwrap_or(rest.len());
    Some((scheme, rest.get(..end)?))
}
