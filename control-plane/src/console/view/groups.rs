//! Groups: the list, and one of them with who is in it.

use askama::Template;

use super::parts::Field;
use super::shell::{Person, Shell};
use super::tabs::Tabs;

/// One group.
pub struct GroupRow {
    pub id: String,
    pub name: String,
    /// What the identity provider calls it.
    pub external_name: Option<String>,
    pub members: i64,
}

/// GET and POST /w/{slug}/groups.
#[derive(Template)]
#[template(path = "groups.html")]
pub struct GroupsPage {
    pub shell: Shell,
    pub tabs: Tabs,
    pub rows: Vec<GroupRow>,
    pub name: Field,
}

/// Somebody in a group.
pub struct GroupMemberRow {
    pub user_id: String,
    pub person: Person,
    /// Put in by the identity provider.
    pub by_sign_in: bool,
    pub suspended: bool,
}

/// GET and POST /w/{slug}/groups/{id}.
#[derive(Template)]
#[template(path = "group.html")]
pub struct GroupPage {
    pub shell: Shell,
    pub id: String,
    pub members: Vec<GroupMemberRow>,
    /// Members of the workspace who are not in it: id and person.
    pub others: Vec<(String, Person)>,
    pub name: Field,
    pub external_name: Field,
}

impl GroupPage {
    /// A path below the group's.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        self.shell.path(&format!("/groups/{}{rest}", self.id))
    }
}
