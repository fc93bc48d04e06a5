//! A workspace's settings.

use askama::Template;

use super::parts::{Field, Moment};
use super::shell::Shell;
use super::tabs::Tabs;

/// GET and POST /w/{slug}/settings.
#[derive(Template)]
#[template(path = "settings.html")]
pub struct SettingsPage {
    pub shell: Shell,
    pub tabs: Tabs,
    pub name: Field,
    pub tenant_id: String,
    pub created: Moment,
}
