//! What this endpoint says of itself: who it is, what it can do, how it is used. Only what something behind it has is told.

use serde_json::{Map, Value, json};

use super::revision::Revision;
use crate::call::{self, Caller};
use crate::catalog::{Server, Tenant};

/// Most installations that are named, and most characters of all that other servers say of themselves, and of one.
const NAMED: usize = 12;
const SAID_CHARS: usize = 1500;
const ONE_CHARS: usize = 400;

/// Kinds of things that may be behind the endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offered {
    pub prompts: bool,
    pub resources: bool,
    /// Some server tells when a resource changes.
    pub subscriptions: bool,
    pub completions: bool,
    pub logging: bool,
}

impl Offered {
    /// To a caller.
    pub(super) fn to(caller: &Caller) -> Self {
        let has = |offers: &dyn Fn(&Server) -> bool| {
            !call::servers_in_reach(&caller.visit.tenant, &caller.principal, offers).is_empty()
        };
        Self {
            prompts: has(&Server::has_prompts),
            resources: has(&Server::has_resources),
            subscriptions: has(&|server| server.tells("resources", "subscribe")),
            completions: has(&|server| server.can("completions")),
            logging: has(&|server| server.can("logging")),
        }
    }

    /// Whether a method is among what a caller is offered.
    pub(super) fn includes(caller: &Caller, method: &str) -> bool {
        let some = |offers: &dyn Fn(&Server) -> bool| {
            !call::servers_in_reach(&caller.visit.tenant, &caller.principal, offers).is_empty()
        };
        match method {
            "prompts/list" | "prompts/get" => some(&Server::has_prompts),
            "resources/list" | "resources/templates/list" | "resources/read" => some(&Server::has_resources),
            "resources/subscribe" | "resources/unsubscribe" => {
                some(&|server| server.tells("resources", "subscribe"))
            }
            "completion/complete" => some(&|server| server.can("completions")),
            "logging/setLevel" => some(&|server| server.can("logging")),
            _ => true,
        }
    }

    pub(super) fn capabilities(self, revision: Revision) -> Value {
        let tells = revision == Revision::MODERN;
        let mut all = Map::new();
        all.insert("tools".to_owned(), json!({ "listChanged": tells }));
        if self.prompts {
            all.insert("prompts".to_owned(), json!({ "listChanged": tells }));
        }
        if self.resources {
            // Older clients may ask for it, and have no stream on which they would hear of it.
            let subscribe = tells && self.subscriptions;
            all.insert("resources".to_owned(), json!({ "subscribe": subscribe, "listChanged": tells }));
        }
        if self.completions && revision >= Revision::V2025_03_26 {
            all.insert("completions".to_owned(), json!({}));
        }
        if self.logging {
            all.insert("logging".to_owned(), json!({}));
        }
        Value::Object(all)
    }
}

/// Who answers.
pub(super) fn server_info(tenant: &Tenant, revision: Revision) -> Value {
    let mut info = json!({ "name": tenant.slug, "version": env!("CARGO_PKG_VERSION") });
    if let Value::Object(info) = &mut info {
        if revision >= Revision::V2025_06_18 {
            info.insert("title".to_owned(), tenant.name.clone().into());
        }
        if revision >= Revision::V2025_11_25 {
            info.insert("websiteUrl".to_owned(), tenant.origin.clone().into());
        }
    }
    info
}

/// Clients give weight to the first few hundred characters.
pub(super) fn instructions(tenant: &Tenant) -> String {
    if tenant.installations.is_empty() {
        return format!(
            "The workspace {} has no connectors yet; an admin can enable some in the console.",
            tenant.name
        );
    }
    let named = tenant.installations.iter().take(NAMED).map(|one| {
        let form = if one.bare_names { "without a prefix".to_owned() } else { format!("{}_…", one.name) };
        format!("{} ({form})", one.connector.title)
    });
    let listed: Vec<String> = named.collect();
    let code = tenant.installations.iter().any(|installation| installation.exposure.in_code());
    let how = if code {
        " Tools that are not in the list are found with discover_tools and called in execute_code."
    } else {
        ""
    };
    let mut text = format!(
        "Tools of the workspace {}: {}. A tool's name begins with its connector's.{how}",
        tenant.name,
        listed.join(", ")
    );
    let mut left = SAID_CHARS;
    for (installation, server) in tenant.servers() {
        let said: String = server.instructions.chars().take(ONE_CHARS.min(left)).collect();
        if said.is_empty() {
            continue;
        }
        left = left.saturating_sub(ONE_CHARS);
        let rest = if said.len() < server.instructions.len() { "…" } else { "" };
        text.push_str(&format!("\n\n{} says: {said}{rest}", installation.connector.title));
    }
    text
}
