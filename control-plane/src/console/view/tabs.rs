//! Tabs: pages that belong together, each with an address of its own.

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Tab {
    pub label: &'static str,
    /// Below the tabs' common address; "" for the first.
    pub path: &'static str,
}

/// Pages that belong together, and which of them is shown.
#[derive(Clone, Debug)]
pub struct Tabs {
    /// What the row of tabs is called for those who do not see it.
    pub label: &'static str,
    base: String,
    tabs: &'static [Tab],
    current: &'static str,
}

const fn tab(label: &'static str, path: &'static str) -> Tab {
    Tab { label, path }
}

/// The clients of a workspace, at `/w/SLUG/clients` and below.
const CLIENTS: &[Tab] = &[tab("Clients", ""), tab("Sign-in problems", "/refusals")];

/// The pages of a workspace's settings, at `/w/SLUG/settings` and below.
const SETTINGS: &[Tab] = &[
    tab("General", ""),
    tab("Access", "/access"),
    tab("Endpoint", "/endpoint"),
    tab("Clients", "/clients"),
    tab("Sign-in", "/sign-in"),
    tab("Second factor", "/second-factor"),
    tab("Identity providers", "/identity-providers"),
];

/// The ways in for what has no login, below `/w/SLUG`.
const KEYS: &[Tab] = &[tab("API keys", "/keys"), tab("Service accounts", "/service-accounts")];
/// Connectors that can be enabled, below `/w/SLUG`.
const CATALOG: &[Tab] = &[tab("Built in", "/catalog"), tab("Your own", "/own")];
/// The people of a workspace, at `/w/SLUG`.
const PEOPLE: &[Tab] = &[tab("Members", "/members"), tab("Groups", "/groups")];

/// The pages of a person's own account, at `/account` and below.
const ACCOUNT: &[Tab] = &[
    tab("Profile", ""),
    tab("Sign-in", "/sign-in"),
    tab("Security", "/security"),
    tab("Sessions", "/sessions"),
];

impl Tabs {
    /// Of the settings at `base` (`/w/SLUG/settings`).
    #[must_use]
    pub const fn settings(base: String, current: &'static str) -> Self {
        Self { label: "Settings", base, tabs: SETTINGS, current }
    }

    /// Of keys and service accounts in a workspace at `base` (`/w/SLUG`).
    #[must_use]
    pub const fn keys(base: String, current: &'static str) -> Self {
        Self { label: "Keys", base, tabs: KEYS, current }
    }

    /// Of connectors that can be enabled in the workspace at `base` (`/w/SLUG`).
    #[must_use]
    pub const fn catalog(base: String, current: &'static str) -> Self {
        Self { label: "Connectors", base, tabs: CATALOG, current }
    }

    /// Of the people of the workspace at `base` (`/w/SLUG`).
    #[must_use]
    pub const fn people(base: String, current: &'static str) -> Self {
        Self { label: "People", base, tabs: PEOPLE, current }
    }

    /// Of the clients at `base` (`/w/SLUG/clients`).
    #[must_use]
    pub const fn clients(base: String, current: &'static str) -> Self {
        Self { label: "Clients", base, tabs: CLIENTS, current }
    }

    /// Of a person's account.
    #[must_use]
    pub fn account(current: &'static str) -> Self {
        Self { label: "Your account", base: "/account".to_owned(), tabs: ACCOUNT, current }
    }

    /// Each tab's label and address, and whether it is the one that is shown.
    pub fn links(&self) -> impl Iterator<Item = (&'static str, String, bool)> + '_ {
        self.tabs
            .iter()
            .map(|tab| (tab.label, format!("{}{}", self.base, tab.path), tab.path == self.current))
    }
}
