//! Invitations: the form that sends them, those that are open, and accepting one.

use askama::Template;

use super::parts::{Field, Moment};
use super::shell::{Focus, Person, Role};

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

/// The form that invites people.
pub struct InviteForm {
    /// What was typed: addresses, however separated. After a go in which some were refused, those alone.
    pub email: Field,
    /// Addresses that got no invitation, each with why.
    pub problems: Vec<(String, String)>,
    /// Addresses that did get one, in a sentence; empty where nothing was sent.
    pub sent: String,
    /// The chosen role.
    pub role: Role,
    /// Roles the viewer may give.
    pub roles: Vec<Role>,
}

impl InviteForm {
    /// The form as it is first shown.
    #[must_use]
    pub fn new(roles: Vec<Role>) -> Self {
        let (problems, sent) = (Vec::new(), String::new());
        Self { email: Field::empty(), problems, sent, role: Role::Member, roles }
    }
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
