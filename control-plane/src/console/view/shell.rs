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
    Member,
}

impl Role {
    /// By its stored word; a word nobody knows gives the least.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "owner" => Self::Owner,
            "admin" => Self::Admin,
            _ => Self::Member,
        }
    }

    /// The word in forms and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }

    /// What people read.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Admin => "Admin",
            Self::Member => "Member",
        }
    }

    /// Whether this role sees and changes the workspace's set-up.
    #[must_use]
    pub const fn manages(self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }
}

/// The workspace a console page belongs to.
#[derive(Clone, Debug)]
pub struct Workspace {
    pub slug: String,
    pub name: String,
    /// The viewer's role in it.
    pub role: Role,
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
    Add,
    Members,
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
            Self::Add => ("Add to ChatGPT", "chat", "/add"),
            Self::Members => ("Members", "people", "/members"),
            Self::Keys => ("Keys", "key", "/keys"),
            Self::Audit => ("Audit", "list", "/audit"),
            Self::Settings => ("Settings", "sliders", "/settings"),
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
        let (daily, running): (&[Nav], &[Nav]) = if self.workspace.role.manages() {
            (
                &[Nav::Overview, Nav::Connectors, Nav::Catalog, Nav::Add],
                &[Nav::Members, Nav::Keys, Nav::Audit, Nav::Settings],
            )
        } else {
            (&[Nav::Overview, Nav::Add, Nav::Keys], &[])
        };
        [daily, running].map(|entries| entries.iter().map(|entry| self.link(*entry)).collect())
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
