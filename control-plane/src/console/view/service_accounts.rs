//! Service accounts: the list, and one of them with its keys and clients.

use askama::Template;

use super::keys::{KeyForm, KeyRow};
use super::parts::{Field, Moment};
use super::shell::{Person, Shell};
use super::tabs::Tabs;

/// One of them in the list.
pub struct ServiceAccountRow {
    pub id: String,
    pub name: String,
    pub description: String,
    pub disabled: bool,
    /// Keys and clients that work.
    pub keys: i64,
    pub clients: i64,
    pub last_used: Option<Moment>,
}

impl ServiceAccountRow {
    /// What it gets in with: `2 keys, 1 client`.
    #[must_use]
    pub fn ways_in(&self) -> String {
        let count =
            |n: i64, what: &str| (n > 0).then(|| format!("{n} {what}{}", if n == 1 { "" } else { "s" }));
        let ways: Vec<String> =
            [count(self.keys, "key"), count(self.clients, "client")].into_iter().flatten().collect();
        if ways.is_empty() { "none yet".to_owned() } else { ways.join(", ") }
    }
}

/// GET and POST /w/{slug}/service-accounts.
#[derive(Template)]
#[template(path = "service_accounts.html")]
pub struct ServiceAccountsPage {
    pub shell: Shell,
    pub tabs: Option<Tabs>,
    pub rows: Vec<ServiceAccountRow>,
    pub name: Field,
    pub description: Field,
}

/// A client that acts as one of them.
pub struct MachineClientRow {
    pub client_id: String,
    pub name: String,
    /// Where its keys are fetched; they were pasted where there is none.
    pub keys_at: Option<String>,
    pub registered: Moment,
    pub last_used: Option<Moment>,
}

/// GET /w/{slug}/service-accounts/{id}, and the answers to its forms that have to be mended.
#[derive(Template)]
#[template(path = "service_account.html")]
pub struct ServiceAccountPage {
    pub shell: Shell,
    pub id: String,
    pub name: Field,
    pub description: Field,
    pub created: Moment,
    pub created_by: Person,
    pub disabled: Option<Moment>,
    pub last_used: Option<Moment>,
    /// `svc_…`, as tokens and logs of others name it.
    pub subject: String,
    pub rows: Vec<KeyRow>,
    pub form: KeyForm,
    pub clients: Vec<MachineClientRow>,
    pub client_name: Field,
    pub client_keys: Field,
    /// Where its clients ask for tokens.
    pub token_endpoint: String,
    pub confirm: Field,
    /// Where to prove again who one is, before secrets and what cannot be undone.
    pub prove: Option<String>,
}

impl ServiceAccountPage {
    /// A path of this account.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        self.shell.path(&format!("/service-accounts/{}{rest}", self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_in_are_counted_in_words() {
        let row = |keys, clients| ServiceAccountRow {
            id: String::new(),
            name: String::new(),
            description: String::new(),
            disabled: false,
            keys,
            clients,
            last_used: None,
        };
        assert_eq!(row(0, 0).ways_in(), "none yet");
        assert_eq!(row(2, 1).ways_in(), "2 keys, 1 client");
        assert_eq!(row(0, 3).ways_in(), "3 clients");
    }
}
