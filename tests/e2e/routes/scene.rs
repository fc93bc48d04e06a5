//! A workspace with something of everything in it, and a person in each role.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::json;
use toolmesh_tests::rows::Rows;
use toolmesh_tests::servers::ServerAuth;
use toolmesh_tests::upstream::{Auth, connector};
use toolmesh_tests::wait::SOON;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Console, Person, System, Upstream, Workspace, eventually, paths};

use crate::mcp_servers::scripted::{Scripted, tool};

use super::table::{MACHINE, PARAMETERS, ROLES};

/// A connector of the workspace's own.
const OWN_CONNECTOR: &str = "spec: https://dadl.ai/spec/dadl-spec-v0.2.md
backend:
  name: walked
  type: rest
  base_url: http://127.0.0.1:1
  description: Nothing is there.
  auth: {type: bearer, credential: token}
  tools:
    look: {method: GET, path: /, access: read, description: Looks.}
";

/// A document that operations are picked from.
const OPENAPI: &str =
    r#"{"openapi": "3.1.0", "info": {"title": "Walked", "version": "1"}, "paths": {"/a": {"get": {}}}}"#;

pub struct Scene {
    pub workspace: Workspace,
    /// A browser of someone in each role, logged in.
    pub people: BTreeMap<&'static str, (Person, Console)>,
    pub rows: Rows,
    /// What stands for a parameter, by the part of the path before it.
    ids: BTreeMap<&'static str, String>,
    _upstream: Upstream,
    _server: Scripted,
}

impl Scene {
    /// With the owner, and a member who only stands by.
    pub async fn new(system: &System) -> Result<Self> {
        Self::with(system, &["owner"]).await
    }

    /// With somebody in every role.
    pub async fn full(system: &System) -> Result<Self> {
        Self::with(system, ROLES).await
    }

    async fn with(system: &System, roles: &[&'static str]) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let workspace = system.workspace().await?;
        let folder = paths::scratch("toolmesh-walk-")?;
        let dadl = connector(folder.path(), Auth::Bearer)?;
        let credential = [("token", "a-token-of-the-upstream")];
        let made = system.enable_file(&workspace.slug, &dadl, "echo", &upstream.url(), &credential).await?;
        system.offered_everywhere(&workspace, "echo_whoami").await?;
        system.mcp(&workspace, &workspace.key).call("echo_whoami", json!({})).await?.text()?;
        system.tokens(&workspace, &workspace.owner).await?;

        let bystander = system.person().await?;
        system.join(&workspace, &bystander, "member").await?;
        let owner = system.console(&workspace.owner).await?;
        let mut people = BTreeMap::new();
        for role in roles.iter().copied().filter(|role| *role != "owner") {
            let person = system.person().await?;
            let console = system.join(&workspace, &person, role).await?;
            people.insert(role, (person, console));
        }
        let base = format!("/w/{}", workspace.slug);
        let guest = format!("{}@example.org", unique());
        let client = [
            ("name", "By hand"),
            ("redirects", "https://client.example/cb"),
            ("method", "client_secret_basic"),
        ];
        for (page, action, fields) in [
            ("members", "members/invite".to_owned(), &[("email", guest.as_str()), ("role", "member")][..]),
            (
                "connectors",
                format!("connectors/{}/tools", made.id),
                &[("tool", "delete_item"), ("enabled", "false")],
            ),
            ("clients/new", "clients/new".to_owned(), &client),
        ] {
            let (page, action) = (format!("{base}/{page}"), format!("{base}/{action}"));
            owner.submit(&page, &action, fields).await?.ok().with_context(|| action)?;
        }
        let groups = format!("{base}/groups");
        let group = owner.submit(&groups, &groups, &[("name", "Bystanders")]).await?;
        let group = group.location().context("no group was made")?.path().to_owned();
        owner.submit(&group, &format!("{group}/members"), &[("user", &bystander.user_id)]).await?.ok()?;
        let accounts = format!("{base}/service-accounts");
        let account = owner.submit(&accounts, &accounts, &[("name", "robot")]).await?.ok()?;
        let account = account.location().context("the service account has no page")?.path().to_owned();
        owner.submit(&account, &format!("{account}/clients"), MACHINE).await?.ok()?;
        // Beside the product: not every system in the walk trusts the tests' https sites, where its keys would be.
        let provider = format!(
            "INSERT INTO identity_providers (tenant_id, id, issuer, jwks_uri, created_by) \
             VALUES ('{}', gen_random_uuid(), 'https://idp.example', 'https://idp.example/keys', '{}')",
            workspace.tenant_id, workspace.owner.user_id
        );
        system.sql(&provider).await?;
        let own = format!("{base}/own/editor");
        let source = [("source", OWN_CONNECTOR), ("do", "save")];
        owner.submit(&own, &own, &source).await?.location().context("no connector of one's own was saved")?;
        let imports = format!("{base}/own/openapi");
        let document = [("document", OPENAPI)];
        let page = format!("{base}/own/new");
        owner.submit(&page, &imports, &document).await?.location().context("no document was read")?;
        let server = Scripted::start(&[tool("look", "Looks.", "at")], None).await?;
        let found = owner.find_mcp_server(&workspace.slug, "orders", &server.url(), ServerAuth::None).await?;
        owner.begin_mcp_server(&workspace.slug, &found).await?;
        let mine = system.enable_file(&workspace.slug, &dadl, "mine", &upstream.url(), &[]).await?;
        let (page, accounts) =
            (format!("{base}/connectors/{}", mine.id), format!("{base}/connectors/{}/accounts", mine.id));
        owner.submit(&page, &accounts, &[("accounts", "personal")]).await?.ok()?;
        people.insert("owner", (workspace.owner.clone(), owner));

        let rows = Rows::of(system, &workspace.tenant_id).await?;
        let mut scene =
            Self { workspace, people, rows, ids: BTreeMap::new(), _upstream: upstream, _server: server };
        scene.settle().await?;
        for (before, sql) in PARAMETERS {
            let id = scene.rows.value(sql).await.with_context(|| format!("nothing stands for {before}/…"))?;
            scene.ids.insert(before, id);
        }
        Ok(scene)
    }

    /// Waits until the call has reached the audit log, and nothing changes by itself any more.
    async fn settle(&mut self) -> Result<()> {
        let rows = tokio::sync::Mutex::new(&mut self.rows);
        eventually("the call is in the audit log", SOON, || async {
            let now = rows.lock().await.snapshot().await?;
            Ok(now.get("audit_events").is_some_and(|rows| !rows.is_empty()).then_some(()))
        })
        .await
    }

    /// A path with this workspace's address and ids in the place of its parameters.
    pub fn path(&self, pattern: &str) -> Result<String> {
        self.fill(pattern, &self.workspace.slug)
    }

    /// The same, under another workspace's address.
    pub fn fill(&self, pattern: &str, slug: &str) -> Result<String> {
        filled(pattern, slug, |before| {
            let known = self.ids.get(before).cloned();
            known.with_context(|| {
                format!("e2e/routes/table.rs: say in PARAMETERS what stands behind `{before}/`")
            })
        })
    }

    /// What a form sends.
    pub fn fields(&self, fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |value: &str| {
            let value = value.replace("{workspace}", &self.workspace.tenant_id);
            self.ids.iter().fold(value, |value, (name, id)| value.replace(&format!("{{{name}}}"), id))
        };
        fields.iter().map(|(name, value)| ((*name).to_owned(), own(value))).collect()
    }
}

/// A pattern with ids in it that belong to nothing.
pub fn unknown(pattern: &str, slug: &str) -> Result<String> {
    filled(pattern, slug, |_| Ok(uuid::Uuid::now_v7().to_string()))
}

/// Whether the pattern names something by an id, beside the workspace.
pub fn has_id(pattern: &str) -> bool {
    pattern.split('/').any(|part| part.starts_with('{') && !NAMED.contains(&part))
}

/// Parameters that are no ids: what they name belongs to nobody.
const NAMED: &[&str] = &["{slug}", "{connector}", "{provider}", "{*path}"];

fn filled(pattern: &str, slug: &str, id: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut before = "";
    let mut parts = Vec::new();
    for part in pattern.split('/') {
        parts.push(match part {
            "{slug}" => slug.to_owned(),
            "{connector}" => "github".to_owned(),
            "{provider}" => "google".to_owned(),
            "{*path}" => "favicon.svg".to_owned(),
            part if part.starts_with('{') => id(before)?,
            part => part.to_owned(),
        });
        before = part;
    }
    Ok(parts.join("/"))
}
