//! What every page has around it: who is looking, where they are, what the navigation offers, what just happened.

/// A person as pages name them.
#[derive(Clone, Debug)]
pub struct Person {
    pub name: String,
    pub email: String,
}

impl Person {
    /// One or two letters for the round mark.
    #[must_use]
    pub fn initials(&self) -> String {
        initials(if self.name.trim().is_empty() { &self.email } else { &self.name })
    }
}

pub(super) fn initials(name: &str) -> String {
    let mut letters = name.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
    let first = letters.next();
    first.into_iter().chain(letters.next_back()).collect()
}

/// What a member may do in a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Owner,
    Admin,
    ConnectorManager,
    Auditor,
    Billing,
    Member,
}

impl Role {
    /// By its stored word; a word nobody knows gives the least.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "owner" => Self::Owner,
            "admin" => Self::Admin,
            "connector_manager" => Self::ConnectorManager,
            "auditor" => Self::Auditor,
            "billing" => Self::Billing,
            _ => Self::Member,
        }
    }

    /// The word in forms and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::ConnectorManager => "connector_manager",
            Self::Auditor => "auditor",
            Self::Billing => "billing",
            Self::Member => "member",
        }
    }

    /// What people read.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Admin => "Admin",
            Self::ConnectorManager => "Connector manager",
            Self::Auditor => "Auditor",
            Self::Billing => "Billing",
            Self::Member => "Member",
        }
    }

    /// What somebody with it does, beside using the tools.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Owner => "Does everything, and makes other owners.",
            Self::Admin => "Runs the workspace: connectors, members, clients, settings, the audit log.",
            Self::ConnectorManager => "Enables and changes connectors and their credentials.",
            Self::Auditor => "Reads everybody's calls in the audit log.",
            Self::Billing => "Sees to the plan and its invoices.",
            Self::Member => "Uses the tools.",
        }
    }
}

/// What the viewer may do here; the pages offer what is allowed and nothing else. Every action is judged again where it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each permission")]
pub struct May {
    pub connectors: bool,
    pub members: bool,
    pub clients: bool,
    pub settings: bool,
    pub audit: bool,
    pub billing: bool,
    pub ownership: bool,
}

/// The workspace a console page belongs to.
#[derive(Clone, Debug)]
pub struct Workspace {
    pub slug: String,
    pub name: String,
    /// The viewer's role in it.
    pub role: Role,
    /// What that role may do.
    pub may: May,
    /// The tenant's origin, `https://acme.example.com`, without a slash at the end.
    pub tenant_url: String,
}

/// Another workspace of the viewer, for the switcher.
#[derive(Clone, Debug)]
pub struct WorkspaceLink {
    pub slug: String,
    pub name: String,
}

/// The four meanings a notice can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Fine,
    Attention,
    Danger,
    Info,
}

impl Tone {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Fine => "tone-fine",
            Self::Attention => "tone-attention",
            Self::Danger => "tone-danger",
            Self::Info => "tone-info",
        }
    }

    pub(super) const fn icon(self) -> &'static str {
        match self {
            Self::Fine => "check-circle",
            Self::Attention | Self::Danger => "warning",
            Self::Info => "info",
        }
    }
}

/// What just happened, said once on the next page.
#[derive(Clone, Debug)]
pub struct Flash {
    pub tone: Tone,
    pub text: String,
}

impl Flash {
    #[must_use]
    pub fn fine(text: impl Into<String>) -> Self {
        Self { tone: Tone::Fine, text: text.into() }
    }

    #[must_use]
    pub fn attention(text: impl Into<String>) -> Self {
        Self { tone: Tone::Attention, text: text.into() }
    }

    #[must_use]
    pub fn danger(text: impl Into<String>) -> Self {
        Self { tone: Tone::Danger, text: text.into() }
    }
}

/// The entries of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nav {
    Overview,
    Connectors,
    Catalog,
    Connections,
    Add,
    Members,
    Clients,
    ConnectedApps,
    Keys,
    Audit,
    Settings,
}

/// One link of the navigation, ready to print.
pub struct NavLink {
    pub label: &'static str,
    pub icon: &'static str,
    pub href: String,
    pub current: bool,
}

impl Nav {
    const fn look(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Overview => ("Overview", "home", ""),
            Self::Connectors => ("Connectors", "plug", "/connectors"),
            Self::Catalog => ("Catalog", "grid", "/catalog"),
            Self::Connections => ("Connections", "person", "/connections"),
            Self::Add => ("Add to ChatGPT", "chat", "/add"),
            Self::Members => ("Members", "people", "/members"),
            Self::Clients => ("Clients", "bolt", "/clients"),
            Self::ConnectedApps => ("Connected apps", "link", "/connected-apps"),
            Self::Keys => ("Keys", "key", "/keys"),
            Self::Audit => ("Audit", "list", "/audit"),
            Self::Settings => ("Settings", "sliders", "/settings"),
        }
    }

    /// Whether somebody who may do this has any use for the page.
    const fn is_for(self, may: May) -> bool {
        match self {
            Self::Overview | Self::Connections | Self::Add | Self::ConnectedApps | Self::Keys => true,
            Self::Connectors | Self::Catalog => may.connectors,
            Self::Members => may.members,
            Self::Clients => may.clients,
            Self::Audit => may.audit,
            Self::Settings => may.settings,
        }
    }

    /// The word in the navigation and in the line above the page.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.look().0
    }
}

/// What a console page has around it.
#[derive(Clone, Debug)]
pub struct Shell {
    /// The page's own name, for the browser's title and the last crumb.
    pub title: String,
    pub csrf: String,
    pub active: Nav,
    pub user: Person,
    pub workspace: Workspace,
    /// The viewer's other workspaces.
    pub others: Vec<WorkspaceLink>,
    pub flash: Option<Flash>,
}

impl Shell {
    /// A path inside the workspace: `shell.path("/audit")`.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        format!("/w/{}{rest}", self.workspace.slug)
    }

    /// The MCP endpoint, as people paste it into a client.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{}/mcp", self.workspace.tenant_url)
    }

    /// The navigation as this role sees it: the daily work, then the running of the workspace.
    #[must_use]
    pub fn links(&self) -> [Vec<NavLink>; 2] {
        let shown = |entries: &[Nav]| -> Vec<NavLink> {
            entries
                .iter()
                .filter(|entry| entry.is_for(self.workspace.may))
                .map(|entry| self.link(*entry))
                .collect()
        };
        let daily = shown(&[Nav::Overview, Nav::Connectors, Nav::Catalog, Nav::Connections, Nav::Add]);
        let running =
            shown(&[Nav::Members, Nav::Clients, Nav::ConnectedApps, Nav::Keys, Nav::Audit, Nav::Settings]);
        // One entry is no group.
        if running.len() == 1 {
            [daily.into_iter().chain(running).collect(), Vec::new()]
        } else {
            [daily, running]
        }
    }

    fn link(&self, entry: Nav) -> NavLink {
        let (label, icon, path) = entry.look();
        NavLink { label, icon, href: self.path(path), current: entry == self.active }
    }

    /// Whether the page is the entry itself, and not something below it.
    #[must_use]
    pub fn at_entry(&self) -> bool {
        self.title == self.active.label()
    }

    /// The link of the current entry, for the crumbs.
    #[must_use]
    pub fn entry(&self) -> NavLink {
        self.link(self.active)
    }

    /// One or two letters for the workspace's mark.
    #[must_use]
    pub fn workspace_initials(&self) -> String {
        initials(&self.workspace.name)
    }
}

/// What a single-column page has around it: sign-up, login, consent, errors.
#[derive(Clone, Debug, Default)]
pub struct Focus {
    pub title: String,
    /// Empty where the page has no form.
    pub csrf: String,
    /// The person logged in, if any; shows who they are and a way to log out.
    pub user: Option<Person>,
    pub flash: Option<Flash>,
}

impl Focus {
    /// A page without anybody logged in.
    #[must_use]
    pub fn new(title: impl Into<String>, csrf: impl Into<String>) -> Self {
        Self { title: title.into(), csrf: csrf.into(), user: None, flash: None }
    }

    #[must_use]
    pub fn with_user(mut self, user: Person) -> Self {
        self.user = Some(user);
        self
    }

    #[must_use]
    pub fn with_flash(mut self, flash: Option<Flash>) -> Self {
        self.flash = flash;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(may: May) -> [Vec<&'static str>; 2] {
        let workspace = Workspace {
            slug: "acme".to_owned(),
            name: "Acme".to_owned(),
            role: Role::Member,
            may,
            tenant_url: String::new(),
        };
        let user = Person { name: "Ana".to_owned(), email: "ana@example.com".to_owned() };
        let shell = Shell {
            title: String::new(),
            csrf: String::new(),
            active: Nav::Overview,
            user,
            workspace,
            others: Vec::new(),
            flash: None,
        };
        shell.links().map(|group| group.into_iter().map(|link| link.label).collect())
    }

    #[test]
    fn the_navigation_offers_what_may_be_done() {
        assert_eq!(
            words(May::default()),
            [vec!["Overview", "Connections", "Add to ChatGPT"], vec!["Connected apps", "Keys"]]
        );
        let auditor = May { audit: true, ..May::default() };
        assert_eq!(
            words(auditor),
            [vec!["Overview", "Connections", "Add to ChatGPT"], vec!["Connected apps", "Keys", "Audit"]]
        );
        let manager = May { connectors: true, ..May::default() };
        assert_eq!(
            words(manager),
            [
                vec!["Overview", "Connectors", "Catalog", "Connections", "Add to ChatGPT"],
                vec!["Connected apps", "Keys"]
            ]
        );
    }
}
