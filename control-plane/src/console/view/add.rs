//! Adding the workspace to a client: the endpoint to copy, and the steps in that client's own words.

use askama::Template;

use super::clients::{Client, Guide};
use super::shell::Shell;

/// GET /w/{slug}/add?client=.
#[derive(Template)]
#[template(path = "add.html")]
pub struct AddPage {
    pub shell: Shell,
    pub client: &'static Client,
    pub clients: &'static [Client],
    pub guides: Vec<Guide>,
    /// Whether the endpoint can be reached from the internet. Clients that run in a cloud need that.
    pub reachable: bool,
    /// How many tools a member gets now.
    pub tools: usize,
}

impl AddPage {
    /// The page for a client by its id; an unknown one shows the first.
    #[must_use]
    pub fn new(shell: Shell, client: &str, tools: usize) -> Self {
        let client = Client::find(client);
        let guides = client.guides(&shell.endpoint(), &shell.workspace.slug, &shell.workspace.name);
        let reachable = shell.workspace.tenant_url.starts_with("https://");
        Self { shell, client, clients: Client::all(), guides, reachable, tools }
    }
}
