//! What the MCP servers behind a workspace offer beside tools: prompts, resources, templates of resources.
//!
//! Owns which server a prompt's name or a resource's URI means. A prompt has a public name as a tool has. A URI stays its
//! server's own, since other texts name it; where it would lead to another server, as where two list the same, it is wrapped,
//! so that each can be read. Pages of apps keep their scheme `ui`, by which clients know them (MCP Apps, SEP-1865).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::value::RawValue;
use toolmesh_proto::ids::InstallationId;
use toolmesh_proto::v1;

use super::entries::public_name;
use super::installation::Installation;
use super::server::{Definition, Server};
use super::template::{Template, TooMuch, Work};
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
    template_at: HashMap<String, usize>,
    listed: HashMap<InstallationId, Listed>,
}

/// What one server lists, as it calls it.
#[derive(Debug, Default)]
struct Listed {
    /// Where its resources are.
    resource_at: HashMap<String, usize>,
    /// Where its templates are, in their order.
    templates: Vec<(usize, Template)>,
    /// Scheme and authority of all of them.
    places: HashSet<String>,
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
        let listed = self.listed.entry(installation.id).or_default();
        for resource in &server.resources {
            // What reads as another server's wrapped URI would take that one's place.
            let taken = self.resource_at.contains_key(&resource.name) || unwrap(&resource.name).is_some();
            let uri = if taken { wrap(&installation.name, &resource.name) } else { resource.name.clone() };
            if self.resource_at.contains_key(&uri) {
                faults.push(BundleError::Twice(uri));
                continue;
            }
            let at = self.resources.len();
            self.resource_at.insert(uri.clone(), at);
            listed.resource_at.entry(resource.name.clone()).or_insert(at);
            listed.places.extend(authority(&resource.name).map(str::to_owned));
            self.resources.push(offer(resource, "uri", uri));
        }
        for template in &server.templates {
            let taken = self.template_at.contains_key(&template.name);
            let text =
                if taken { wrap_template(&installation.name, &template.name) } else { template.name.clone() };
            let at = self.templates.len();
            self.template_at.entry(text.clone()).or_insert(at);
            listed.templates.push((at, Template::new(&template.name)));
            listed.places.extend(authority(&template.name).map(str::to_owned));
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
        self.templates.get(*self.template_at.get(text)?)
    }

    /// Which server a URI is asked of; none where it is more work to find out than is left. `installations` are those in the
    /// caller's reach that offer resources, in order.
    #[must_use]
    pub fn route<'a>(
        &'a self,
        installations: &[&'a Arc<Installation>],
        uri: &str,
        work: &Work,
    ) -> Option<Route<'a>> {
        let route = self.target(installations, uri, work).ok()??;
        let offered = self.offers(route.installation, &route.uri, work).ok()?;
        offered.then_some(route)
    }

    /// The URI by which clients reach what a server calls `own`, where that is another: its own would lead elsewhere, or
    /// nowhere. `installations` are those in the caller's reach that offer resources, in order.
    ///
    /// A web address that the server offers nothing of stays as it is, since clients open it by themselves; so does what is
    /// more work to look up than is left.
    #[must_use]
    pub fn public_uri(
        &self,
        installations: &[&Arc<Installation>],
        installation: &Installation,
        own: &str,
        work: &Work,
    ) -> Option<String> {
        if !installations.iter().any(|one| one.id == installation.id) {
            // It can be read nowhere.
            return None;
        }
        self.led(installations, installation, own, work).ok().flatten()
    }

    /// The same of a server in reach.
    fn led(
        &self,
        installations: &[&Arc<Installation>],
        installation: &Installation,
        own: &str,
        work: &Work,
    ) -> Result<Option<String>, TooMuch> {
        let leads = |uri: &str| -> Result<bool, TooMuch> {
            let route = self.target(installations, uri, work)?;
            Ok(route.is_some_and(|route| route.installation.id == installation.id && route.uri == own))
        };
        let wrapped = wrap(&installation.name, own);
        let listed = self.resource_at.contains_key(&wrapped) && leads(&wrapped)?;
        let stays = !listed && (leads(own)? || (is_web(own) && !self.knows(installation, own, work)?));
        Ok((!stays).then_some(wrapped))
    }

    /// Where a URI leads: what the list says of it, the server that it is wrapped for, or the one that it means.
    fn target<'a>(
        &'a self,
        installations: &[&'a Arc<Installation>],
        uri: &str,
        work: &Work,
    ) -> Result<Option<Route<'a>>, TooMuch> {
        work.take(installations.len())?;
        let listed = self.resource_at.get(uri).and_then(|at| self.resources.get(*at));
        let reach = |offer: &&Offer| installations.iter().any(|one| one.id == offer.installation.id);
        if let Some(offer) = listed.filter(reach) {
            return Ok(Some(Route { installation: &offer.installation, uri: offer.own.clone() }));
        }
        let wrapped = unwrap(uri)
            .and_then(|(name, own)| Some((*installations.iter().find(|one| one.name == name)?, own)));
        if let Some((installation, uri)) = wrapped {
            return Ok(Some(Route { installation, uri }));
        }
        let meant = self.meant(installations, uri, work)?;
        Ok(meant.map(|installation| Route { installation, uri: uri.to_owned() }))
    }

    /// Of a template, of the one server with this scheme and authority, of the only server: in this order.
    fn meant<'a>(
        &self,
        installations: &[&'a Arc<Installation>],
        uri: &str,
        work: &Work,
    ) -> Result<Option<&'a Arc<Installation>>, TooMuch> {
        for installation in installations.iter().copied() {
            if self.matches(installation, uri, work, |offer| offer.enabled)? {
                return Ok(Some(installation));
            }
        }
        let place = authority(uri);
        // Each server looks for the whole of it.
        work.take(installations.len().saturating_mul(1 + place.map_or(0, str::len) / 4))?;
        let mut near = installations.iter().copied().filter(|one| self.is_near(one, place));
        Ok(match (near.next(), near.next()) {
            (Some(only), None) => Some(only),
            (None, _) => match installations {
                [only] => Some(*only),
                _ => None,
            },
            (Some(_), Some(_)) => None,
        })
    }

    /// Whether a URI is of a server's template of some kind.
    fn matches(
        &self,
        installation: &Installation,
        uri: &str,
        work: &Work,
        kind: impl Fn(&Offer) -> bool,
    ) -> Result<bool, TooMuch> {
        let Some(listed) = self.listed.get(&installation.id) else { return Ok(false) };
        for (at, template) in &listed.templates {
            if self.templates.get(*at).is_some_and(&kind) && template.matches(uri, work)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a server lists something of a scheme and authority.
    fn is_near(&self, installation: &Installation, place: Option<&str>) -> bool {
        let listed = self.listed.get(&installation.id);
        place.zip(listed).is_some_and(|(place, listed)| listed.places.contains(place))
    }

    /// A resource in a server's list.
    fn resource(&self, installation: &Installation, own: &str) -> Option<&Offer> {
        self.resources.get(*self.listed.get(&installation.id)?.resource_at.get(own)?)
    }

    /// Whether a URI is one of those that a server says it has.
    fn knows(&self, installation: &Installation, own: &str, work: &Work) -> Result<bool, TooMuch> {
        Ok(self.resource(installation, own).is_some()
            || self.is_near(installation, authority(own))
            || self.matches(installation, own, work, |_| true)?)
    }

    /// Whether a server's own URI is not switched off, by itself or with the template that it is of.
    fn offers(&self, installation: &Installation, own: &str, work: &Work) -> Result<bool, TooMuch> {
        if let Some(listed) = self.resource(installation, own) {
            return Ok(listed.enabled);
        }
        Ok(!self.matches(installation, own, work, |offer| !offer.enabled)?
            || self.matches(installation, own, work, |offer| offer.enabled)?)
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

/// What a URI begins with: its scheme and authority, for comparing.
fn authority(uri: &str) -> Option<&str> {
    let begin = uri.find("://")? + "://".len();
    let rest = uri.get(begin..)?;
    let end = rest.find(['/', '?', '#', '{']).unwrap_or(rest.len());
    uri.get(..begin + end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Tenant, samples};

    /// The second template of the first server is switched off.
    fn tenant() -> Tenant {
        let mut bundle = samples::with_servers(&[
            ("first", &["a://one"], &["a://{x}/on", "a://{+x}/off"]),
            ("second", &["a://one", "b://one"], &[]),
        ]);
        bundle.0.installations[0].disabled_definitions = vec!["a://{+x}/off".into()];
        samples::compile_with(&bundle)
    }

    #[test]
    fn a_uri_leads_to_one_server_by_its_list_its_template_or_its_place() {
        let tenant = tenant();
        let servers = tenant.readable();
        for (uri, server) in [
            ("a://one", Some(("first", "a://one"))),
            ("mcp+second://a%3A%2F%2Fone", Some(("second", "a://one"))),
            ("a://x/on", Some(("first", "a://x/on"))),
            ("a://x/off", None),
            ("mcp+first://a%3A%2F%2Fx%2Foff", None),
            ("b://one/more", Some(("second", "b://one/more"))),
            ("c://one", None),
        ] {
            let route = tenant.offers.route(&servers, uri, &Work::of_request());
            let found = route.as_ref().map(|route| (route.installation.name.as_str(), route.uri.as_str()));
            assert_eq!(found, server, "{uri}");
        }
    }

    #[test]
    fn too_long_a_uri_is_read_where_a_list_or_a_wrapping_says_where() {
        let long = format!("{}/on", "l".repeat(9000));
        let listed = format!("a://{long}");
        let bundle = samples::with_servers(&[
            ("first", &[listed.as_str()], &["a://{x}/on"]),
            ("second", &[], &["b://{x}/on"]),
        ]);
        let tenant = samples::compile_with(&bundle);
        let servers = tenant.readable();
        let leads = |uri: &str| {
            let route = tenant.offers.route(&servers, uri, &Work::of_request());
            route.map(|route| route.installation.name.clone())
        };
        assert_eq!(leads(&listed).as_deref(), Some("first"));
        assert_eq!(leads(&wrap("second", &listed)).as_deref(), Some("second"));
        assert_eq!(leads(&format!("a://{long}/on")), None);
        assert_eq!(leads(&format!("b://{long}")), None);
    }

    #[test]
    fn one_request_is_only_so_much_work() {
        let tenant = samples::compile_with(&samples::with_servers(&[("deep", &[], &samples::deep())]));
        let servers = tenant.readable();
        let work = Work::of_request();
        assert!(tenant.offers.route(&servers, &format!("x://{}", "a".repeat(8000)), &work).is_none());
        assert!(work.left() < 8000 * samples::DEEP_PARTS, "{work:?}");
        assert!(tenant.offers.route(&servers, "x://a", &Work::of_request()).is_some());
    }
}
