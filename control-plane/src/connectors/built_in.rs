//! Which connectors come with the product: their files, their place in the catalog, their logos. Knows nothing of what is in them.

/// One file of the folder `catalog`.
pub(super) struct BuiltIn {
    pub name: &'static str,
    pub category: &'static str,
    /// Path below the static folder.
    pub logo: &'static str,
    pub source: &'static str,
}

/// What a connector without a picture of its own is shown with.
const GENERIC_LOGO: &str = "connectors/generic.svg";

macro_rules! built_in {
    ($($category:literal: $($name:literal)+;)+) => {
        &[$($(BuiltIn {
            name: $name,
            category: $category,
            logo: concat!("connectors/", $name, ".svg"),
            source: include_str!(concat!("../../catalog/", $name, ".dadl")),
        },)+)+]
    };
}

/// The files, in the order in which they are shown.
pub(super) const BUILT_IN: &[BuiltIn] = built_in! {
    "Development": "github" "gitlab" "linear" "jira" "sentry";
    "Communication": "slack" "gmail" "outlook" "discord";
    "Productivity": "google-calendar" "notion" "asana" "todoist" "airtable";
    "Files": "google-drive";
    "Knowledge": "confluence" "dokuwiki" "wikipedia";
    "Support & CRM": "zendesk" "hubspot";
    "Finance": "stripe";
    "Operations": "cloudflare" "hetzner-cloud" "pagerduty" "prometheus" "alertmanager" "grafana";
    "News": "hackernews" "hackernews-search";
    "Places": "openstreetmap";
};

/// The path of a connector's logo below the static folder.
#[must_use]
pub fn logo(connector: &str) -> &'static str {
    BUILT_IN.iter().find(|built_in| built_in.name == connector).map_or(GENERIC_LOGO, |found| found.logo)
}
