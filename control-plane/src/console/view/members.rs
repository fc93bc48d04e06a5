//! Members of a workspace: the list, one of them, and what stops working when one goes.

use askama::Template;

use super::invitations::{InvitationRow, InviteForm};
use super::parts::{Field, Moment};
use super::shell::{Person, Role, Shell};
use super::tabs::Tabs;

/// One member.
pub struct MemberRow {
    pub user_id: String,
    pub person: Person,
    pub role: Role,
    pub joined: Moment,
    /// Whether they have one.
    pub second_factor: bool,
    /// The last call; `None` before the first.
    pub last_seen: Option<Moment>,
    /// The viewer themselves.
    pub you: bool,
    /// When and by whom they were suspended, if they are.
    pub suspended: Option<Suspended>,
    /// Names of the groups they are in.
    pub groups: Vec<String>,
}

/// A suspension.
pub struct Suspended {
    pub at: Moment,
    pub by: Option<String>,
}

/// GET /w/{slug}/members.
#[derive(Template)]
#[template(path = "members.html")]
pub struct MembersPage {
    pub shell: Shell,
    pub tabs: Tabs,
    pub members: Vec<MemberRow>,
    pub invitations: Vec<InvitationRow>,
    pub invite: InviteForm,
}

/// What the viewer may do with a member.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each thing that can be done")]
pub struct MayChange {
    pub role: bool,
    pub suspend: bool,
    pub remove: bool,
    pub hand_over: bool,
}

/// GET /w/{slug}/members/{user}.
#[derive(Template)]
#[template(path = "member.html")]
pub struct MemberPage {
    pub shell: Shell,
    pub row: MemberRow,
    /// Roles the viewer may give them.
    pub roles: Vec<Role>,
    pub may: MayChange,
    /// Why nothing can be changed, where that is so.
    pub why_not: Option<&'static str>,
    /// Where to prove again who one is before the role can be changed.
    pub prove: Option<String>,
}

impl MemberPage {
    /// A path below the member's.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        self.shell.path(&format!("/members/{}{rest}", self.row.user_id))
    }
}

/// One kind of thing that stops working, and its names.
pub struct Loss {
    /// What becomes of them: `API keys stop working`.
    pub what: &'static str,
    pub names: Vec<String>,
}

/// GET of /w/{slug}/members/{user}/remove and /suspend, and of /w/{slug}/leave: what would stop working, and the button.
#[derive(Template)]
#[template(path = "farewell.html")]
pub struct FarewellPage {
    pub shell: Shell,
    /// Where the form goes.
    pub action: String,
    /// Where to go instead.
    pub back: String,
    pub lede: String,
    pub losses: Vec<Loss>,
    /// What stays, or how it is undone.
    pub after: &'static str,
    pub button: String,
}

/// GET and POST /w/{slug}/members/{user}/owner.
#[derive(Template)]
#[template(path = "hand_over.html")]
pub struct HandOverPage {
    pub shell: Shell,
    pub user_id: String,
    pub person: Person,
    pub confirm: Field,
}

impl HandOverPage {
    /// The label of the field that confirms.
    #[must_use]
    pub fn confirm_label(&self) -> String {
        format!("Type {} to confirm", self.person.email)
    }
}
