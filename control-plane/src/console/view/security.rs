//! Second factors: the second step of a login, a person's own ones, and a workspace's rule.

use askama::Template;

use super::parts::{Choice, Field, Moment};
use super::shell::{Focus, Person, Shell};
use super::tabs::Tabs;

/// GET and POST /login/second-factor.
#[derive(Template)]
#[template(path = "second_factor.html")]
pub struct SecondFactorPage {
    pub focus: Focus,
    /// What the person has.
    pub app: bool,
    pub passkeys: bool,
    pub codes: bool,
    /// Whether the form asks for a recovery code.
    pub recovering: bool,
    pub code: Field,
    pub recovery: Field,
    pub error: Option<String>,
}

/// A workspace that asks for a second factor.
pub struct AskingWorkspace {
    pub name: String,
    pub in_force: bool,
    pub from: Moment,
}

/// The authenticator app of somebody who has one.
pub struct AppState {
    pub added: Moment,
    pub used: Option<Moment>,
}

/// One passkey.
pub struct PasskeyRow {
    pub id: String,
    pub name: String,
    pub added: Moment,
    pub used: Option<Moment>,
    /// The new name with what is wrong with it.
    pub rename: Option<Field>,
}

impl PasskeyRow {
    /// What stands in the field for a new name.
    #[must_use]
    pub fn field(&self) -> Field {
        self.rename.clone().unwrap_or_else(|| Field::of(self.name.clone()))
    }
}

/// GET /account/security.
#[derive(Template)]
#[template(path = "security.html")]
pub struct SecurityPage {
    pub focus: Focus,
    pub tabs: Tabs,
    pub error: Option<String>,
    pub asking: Vec<AskingWorkspace>,
    /// Where the person was going when a workspace asked, now that they have a factor.
    pub next: Option<String>,
    pub has_factor: bool,
    /// Whether the person logs in with a password of ours.
    pub has_password: bool,
    pub app: Option<AppState>,
    pub passkeys: Vec<PasskeyRow>,
    /// Whether they work at the console's address.
    pub passkeys_work: bool,
    pub new_passkey: Field,
    pub codes_left: i64,
    pub codes_all: usize,
}

impl SecurityPage {
    /// The workspaces that let nobody in without a factor now.
    #[must_use]
    pub fn closed(&self) -> Vec<&str> {
        let closed = self.asking.iter().filter(|workspace| workspace.in_force && !self.has_factor);
        closed.map(|workspace| workspace.name.as_str()).collect()
    }

    /// The first workspace that will ask, for who has no factor yet.
    #[must_use]
    pub fn soon(&self) -> Option<&AskingWorkspace> {
        self.asking.iter().find(|workspace| !workspace.in_force && !self.has_factor)
    }
}

/// GET and POST /account/security/app.
#[derive(Template)]
#[template(path = "authenticator.html")]
pub struct AppPage {
    pub focus: Focus,
    pub tabs: Tabs,
    /// An `<svg>` element of ours.
    pub qr: String,
    pub text: String,
    pub email: String,
    pub code: Field,
    pub error: Option<String>,
}

/// GET /account/security/recovery-codes.
#[derive(Template)]
#[template(path = "recovery_codes.html")]
pub struct CodesPage {
    pub focus: Focus,
    pub tabs: Tabs,
    pub left: i64,
}

/// The answer to what makes recovery codes: the only page that shows them.
#[derive(Template)]
#[template(path = "recovery_codes_new.html")]
pub struct NewCodesPage {
    pub focus: Focus,
    pub tabs: Tabs,
    pub email: String,
    pub codes: Vec<String>,
    /// Where to go on.
    pub next: String,
}

impl NewCodesPage {
    /// The file to keep, as people find it again.
    #[must_use]
    pub fn file(&self) -> String {
        format!(
            "ToolMesh recovery codes of {}\nEach one works once.\n\n{}\n",
            self.email,
            self.codes.join("\n")
        )
    }
}

/// A workspace's rule.
pub struct RuleState {
    pub in_force: bool,
    pub from: Moment,
    pub set: Moment,
    pub by: Option<String>,
}

/// GET and POST /w/{slug}/settings/second-factor.
#[derive(Template)]
#[template(path = "second_factor_rule.html")]
pub struct SecondFactorRulePage {
    pub shell: Shell,
    pub tabs: Tabs,
    pub error: Option<String>,
    pub rule: Option<RuleState>,
    /// Whether the viewer has a factor; else they would stop themselves.
    pub you_have_one: bool,
    /// The members who have none.
    pub without: Vec<Person>,
    pub members: usize,
    pub grace: Vec<Choice>,
}
