//! Members, invitations, and accepting one.

use askama::Template;

use super::parts::{Field, Moment};
use super::shell::{Focus, Person, Role, Shell};

/// One member.
pub struct MemberRow {
    pub user_id: String,
    pub person: Person,
    pub role: Role,
    pub joined: Moment,
    /// Whether they have one.
    pub second_factor: bool,
    /// The last call or page; `None` before the first.
    pub last_seen: Option<Moment>,
    /// The viewer themselves.
    pub you: bool,
    /// Roles the viewer may give them; empty where they may give none.
    pub roles: Vec<Role>,
    /// Whether the viewer may remove them: not the last owner, not somebody above.
    pub removable: bool,
}

/// One open invitation.
pub struct InvitationRow {
    pub id: String,
    pub email: String,
    pub role: Role,
    pub by: Person,
    pub sent: Moment,
    pub expires: Moment,
    pub expired: bool,
}

/// The form that invites somebody.
pub struct InviteForm {
    pub email: Field,
    /// The chosen role.
    pub role: Role,
    /// Roles the viewer may give.
    pub roles: Vec<Role>,
}

impl InviteForm {
    /// The form as it is first shown.
    #[must_use]
    pub fn new(roles: Vec<Role>) -> Self {
        Self { email: Field::empty(), role: Role::Member, roles }
    }
}

/// GET /w/{slug}/members.
#[derive(Template)]
#[template(path = "members.html")]
pub struct MembersPage {
    pub shell: Shell,
    pub members: Vec<MemberRow>,
    pub invitations: Vec<InvitationRow>,
    pub invite: InviteForm,
}

/// What the invitation page can say.
pub enum InvitationState {
    /// Logged in with the invited address: one button.
    Ready,
    /// Not logged in: log in or sign up with that address, and come back. The paths carry `next`.
    NeedsLogin { login: String, signup: String },
    /// Logged in with another address.
    OtherAddress,
    /// Too old, used, withdrawn, or not one of ours.
    Dead,
}

/// GET and POST /invitation.
#[derive(Template)]
#[template(path = "invitation.html")]
pub struct InvitationPage {
    pub focus: Focus,
    pub token: String,
    /// Empty where the invitation is dead.
    pub workspace: String,
    pub invited_by: String,
    /// The invited address.
    pub email: String,
    pub role: Role,
    pub state: InvitationState,
}
