//! Two workspaces: whatever one owns, the other can neither see nor touch nor guess.

use anyhow::{Context as _, ensure};
use http::StatusCode;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use toolmesh_tests::wait::SOON;
use toolmesh_tests::{Page, System, TestResult, eventually, html};

use crate::Echo;

/// The first id behind a path, in any address of the page.
fn id_after(page: &Page, path: &str) -> Option<String> {
    let addresses = html::tags(&page.body);
    let mut found = addresses.iter().flat_map(|tag| {
        ["href", "action", "hx-get", "hx-post"].into_iter().filter_map(|name| tag.attribute(name))
    });
    found.find_map(|address| {
        let rest = address.split(path).nth(1)?.split(['/', '?', '#']).next()?;
        uuid::Uuid::parse_str(rest).is_ok().then(|| rest.to_owned())
    })
}

/// What the page says, without what differs from request to request.
fn without_ids(page: &Page, slug: &str) -> String {
    let text = page.text().replace(slug, "SLUG");
    let words = text.split(' ').map(|word| if uuid::Uuid::parse_str(word).is_ok() { "ID" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_stranger_finds_none_of_a_workspaces_pages() -> TestResult {
    let ours = Echo::new().await?;
    let system = ours.system;
    let eve = system.workspace().await?;
    let console = system.console(&eve.owner).await?;
    let slug = &ours.workspace.slug;
    let missing = console.get("/w/no-such-workspace-1/connectors").await?;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    for path in [
        "",
        "/catalog",
        "/catalog/github",
        "/catalog/github/enable",
        "/connectors",
        "/add",
        "/members",
        "/keys",
        "/audit",
        "/settings",
    ] {
        let page = console.get(&format!("/w/{slug}{path}")).await?;
        ensure!(page.status == StatusCode::NOT_FOUND, "{path}: {}", page.status);
        let (found, unknown) = (without_ids(&page, slug), without_ids(&missing, "no-such-workspace-1"));
        ensure!(found == unknown, "{path}: the page tells a workspace from none:\n{found}\n{unknown}");
    }
    let page = console.get(&ours.page("")).await?;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn a_strangers_forms_change_nothing() -> TestResult {
    let ours = Echo::new().await?;
    let system = ours.system;
    let owner = system.console(&ours.workspace.owner).await?;
    let eve = Echo::new().await?;
    let console = system.console(&eve.workspace.owner).await?;
    let (slug, eves) = (&ours.workspace.slug, &eve.workspace.slug);
    let keys = owner.visit(&format!("/w/{slug}/keys")).await?.ok()?;
    let key = id_after(&keys, "/keys/").context("no key on the page")?;
    let members = format!("members/{}", ours.workspace.owner.user_id);
    let installation = format!("connectors/{}", ours.installation.id);
    let attacks: [(String, &[(&str, &str)]); 11] = [
        (format!("{installation}/tools"), &[("tool", "get_item"), ("enabled", "false")]),
        (format!("{installation}/tools/bulk"), &[("access", "all"), ("enabled", "false")]),
        (format!("{installation}/credential"), &[("credential.token", "evil")]),
        (format!("{installation}/settings"), &[("base_url", "http://127.0.0.1:1")]),
        (format!("{installation}/remove"), &[("confirm", "echo")]),
        (format!("{installation}/test"), &[]),
        (format!("{members}/remove"), &[]),
        (format!("{members}/role"), &[("role", "member")]),
        (format!("keys/{key}/revoke"), &[]),
        ("members/invite".to_owned(), &[("email", "eve@example.org"), ("role", "admin")]),
        ("settings".to_owned(), &[("name", "Owned")]),
    ];
    let token = console.visit(&format!("/w/{eves}/connectors")).await?.csrf().context("no token")?;
    for (action, fields) in &attacks {
        let mut all = vec![("_csrf".to_owned(), token.clone())];
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        // Through the victim's address, and through one's own with the victim's ids.
        for base in [slug, eves] {
            if base == eves && !(action.contains(&ours.installation.id) || action.contains(&key)) {
                continue;
            }
            let page = console.post(&format!("/w/{base}/{action}"), &all).await?;
            ensure!(page.status == StatusCode::NOT_FOUND, "{base}/{action}: {} {}", page.status, page.text());
        }
    }
    let name = owner.visit(&format!("/w/{slug}/settings")).await?.ok()?;
    assert!(!name.text().contains("Owned"));
    ours.mcp.call("echo_get_item", json!({"id": "1"})).await?.text().context("our tools still work")?;
    assert_eq!(ours.upstream.only()?.header("authorization"), "Bearer s3cret-upstream-token");
    assert_eq!(ours.mcp.names().await?.len() as u64, ours.installation.tools);
    Ok(())
}

#[tokio::test]
async fn nobody_reads_anothers_audit_log() -> TestResult {
    let (ours, eve) = (Echo::new().await?, Echo::new().await?);
    let system = ours.system;
    ours.mcp.call("echo_get_item", json!({"id": "our-private-id"})).await?.text()?;
    let owner = system.console(&ours.workspace.owner).await?;
    let log = format!("/w/{}/audit", ours.workspace.slug);
    let event = eventually("our call is in our log", SOON, || async {
        let page = owner.visit(&log).await?.ok()?;
        Ok(page.text().contains("echo_get_item").then(|| id_after(&page, "/audit/")).flatten())
    })
    .await?;
    owner.visit(&format!("{log}/{event}")).await?.ok()?;

    let console = system.console(&eve.workspace.owner).await?;
    let eves = format!("/w/{}/audit", eve.workspace.slug);
    for path in [format!("{log}/{event}"), format!("{eves}/{event}"), format!("{log}?q=our-private-id")] {
        let page = console.get(&path).await?;
        ensure!(page.status == StatusCode::NOT_FOUND, "{path}: {}", page.status);
    }
    for query in ["our-private-id", "' OR 1=1 --", "%", &ours.workspace.slug] {
        let url = url::Url::parse_with_params(&system.console_url(&eves), [("q", query)])?;
        let page = console.get(url.as_str()).await?.ok()?;
        ensure!(!page.text().contains("echo_get_item"), "{query:?} shows another's call");
    }
    Ok(())
}

#[tokio::test]
async fn keys_work_for_their_own_workspace_only_and_show_their_owners_tools() -> TestResult {
    let (ours, eve) = (Echo::new().await?, Echo::new().await?);
    let foreign = ours.system.mcp(&ours.workspace, &eve.workspace.key).call("echo_whoami", json!({})).await?;
    assert_eq!(foreign.status, StatusCode::UNAUTHORIZED);
    // A key with the victim's host in the header and the attacker's in the address, and the other way round.
    for node in &ours.system.ready.nodes {
        let mcp = ours.system.mcp_on(&node.http, &ours.workspace, &eve.workspace.key);
        assert_eq!(mcp.call("echo_whoami", json!({})).await?.status, StatusCode::UNAUTHORIZED);
        let forwarded = ours
            .system
            .mcp_on(&node.http, &eve.workspace, &eve.workspace.key)
            .header("x-forwarded-host", &ours.system.tenant_host(&ours.workspace.slug))
            .header("forwarded", &format!("host={}", ours.system.tenant_host(&ours.workspace.slug)));
        forwarded.call("echo_whoami", json!({})).await?.text()?;
    }
    assert!(ours.upstream.seen().is_empty(), "another's key reached our API");
    assert!(!eve.upstream.seen().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_member_sees_what_members_see_and_changes_nothing() -> TestResult {
    let echo = Echo::new().await?;
    let member = echo.system.person().await?;
    let console = echo.system.join(&echo.workspace, &member, "member").await?;
    let slug = &echo.workspace.slug;
    for path in ["", "/add", "/keys"] {
        console.visit(&format!("/w/{slug}{path}")).await?.ok().with_context(|| path.to_owned())?;
    }
    for path in ["/members", "/audit", "/settings", "/catalog/github/enable"] {
        let page = console.get(&format!("/w/{slug}{path}")).await?;
        ensure!(page.status.is_client_error(), "{path}: {}", page.status);
    }
    let token = console.visit(&format!("/w/{slug}/keys")).await?.csrf().context("no token")?;
    let fields = |pairs: &[(&str, &str)]| {
        let mut all = vec![("_csrf".to_owned(), token.clone())];
        all.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        all
    };
    let own_role = format!("/w/{slug}/members/{}/role", member.user_id);
    for (path, pairs) in [
        (echo.page("/tools"), [("tool", "get_item"), ("enabled", "false")].as_slice()),
        (echo.page("/credential"), [("credential.token", "evil")].as_slice()),
        (format!("/w/{slug}/members/invite"), [("email", "x@example.org"), ("role", "admin")].as_slice()),
        (own_role, [("role", "owner")].as_slice()),
    ] {
        let page = console.post(&path, &fields(pairs)).await?;
        ensure!(page.status.is_client_error(), "{path}: {}", page.status);
    }
    assert!(echo.mcp.names().await?.contains(&"echo_get_item".to_owned()));
    Ok(())
}

/// Row-level security alone holds: what a query without any condition would see and change.
#[tokio::test]
async fn the_database_itself_keeps_tenants_apart() -> TestResult {
    let (ours, eve) = (Echo::new().await?, Echo::new().await?);
    ours.mcp.call("echo_whoami", json!({})).await?.text()?;
    ours.system.tokens(&ours.workspace, &ours.workspace.owner).await?;
    let system = System::shared().await?;
    let mut connection = system.database().await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.table_name::text FROM information_schema.columns c JOIN information_schema.tables t \
         USING (table_schema, table_name) WHERE c.column_name = 'tenant_id' AND c.table_schema = 'public' \
         AND t.table_type = 'BASE TABLE' ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await?;
    ensure!(tables.len() >= 10, "{tables:?}");
    let (victim, attacker) = (&ours.workspace.tenant_id, &eve.workspace.tenant_id);
    for table in tables.iter().filter(|table| *table != "outbox") {
        let mut transaction = connection.begin().await?;
        let set = format!("SET LOCAL ROLE toolmesh_app; SELECT set_config('app.tenant', '{attacker}', true)");
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut *transaction).await?;
        let count = format!("SELECT count(*) FROM {table} WHERE tenant_id = '{victim}'");
        let seen: i64 = sqlx::query(AssertSqlSafe(count)).fetch_one(&mut *transaction).await?.try_get(0)?;
        ensure!(seen == 0, "{table} shows {seen} rows of another tenant");
        for change in [
            format!("UPDATE {table} SET tenant_id = tenant_id WHERE tenant_id = '{victim}'"),
            format!("DELETE FROM {table} WHERE tenant_id = '{victim}'"),
        ] {
            sqlx::raw_sql("SAVEPOINT before").execute(&mut *transaction).await?;
            // Refused by a missing grant, or it finds nothing: both are right.
            if let Ok(done) = sqlx::raw_sql(AssertSqlSafe(change.clone())).execute(&mut *transaction).await {
                ensure!(done.rows_affected() == 0, "{change} changed {} rows", done.rows_affected());
            }
            sqlx::raw_sql("ROLLBACK TO before").execute(&mut *transaction).await?;
        }
        transaction.rollback().await?;
    }
    connection.close().await?;
    Ok(())
}

/// The same, asked of the schema: what a migration made, not what it says.
#[tokio::test]
async fn every_table_of_a_tenant_is_locked_in_the_database_itself() -> TestResult {
    let system = System::shared().await?;
    let mut connection = system.database().await?;
    let tables = "SELECT c.oid, c.relname::text AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced, \
         EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid) AS policy, \
         pg_get_userbyid(c.relowner) = 'toolmesh_app' AS owned, \
         (SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] \
          WHERE i.indrelid = c.oid AND i.indisprimary) AS key \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' \
         WHERE c.relkind IN ('r', 'p') AND (c.relname = 'tenants' OR EXISTS \
         (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))";
    let rows = sqlx::query(tables).fetch_all(&mut connection).await?;
    ensure!(rows.len() >= 15, "only {} tables", rows.len());
    for row in rows {
        let name: String = row.try_get("name")?;
        ensure!(row.try_get::<bool, _>("forced")?, "{name}: row-level security is not forced");
        ensure!(row.try_get::<bool, _>("policy")?, "{name}: no policy");
        ensure!(!row.try_get::<bool, _>("owned")?, "{name} belongs to the role that the policies are for");
        let key: Option<String> = row.try_get("key")?;
        let fine = key.as_deref() == Some("tenant_id") || ["tenants", "outbox"].contains(&name.as_str());
        ensure!(fine, "{name}: its primary key begins with {key:?}");
    }
    let role =
        "SELECT rolsuper OR rolbypassrls OR rolcreaterole FROM pg_roles WHERE rolname = 'toolmesh_app'";
    let mighty: bool = sqlx::query_scalar(role).fetch_one(&mut connection).await?;
    ensure!(!mighty, "the application's role may go around the policies");
    connection.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_removed_member_is_out_everywhere() -> TestResult {
    let echo = Echo::new().await?;
    let system = echo.system;
    let member = system.person().await?;
    let console = system.join(&echo.workspace, &member, "admin").await?;
    let tokens = system.tokens(&echo.workspace, &member).await?;
    let owner = system.console(&echo.workspace.owner).await?;
    let members = format!("/w/{}/members", echo.workspace.slug);
    let remove = format!("{members}/{}/remove", member.user_id);
    owner.submit(&members, &remove, &[]).await?.ok()?;

    assert_eq!(console.get(&members).await?.status, StatusCode::NOT_FOUND);
    let server = system.oauth(&echo.workspace).await?;
    let refresh = server.refresh(&tokens.client_id, &tokens.refresh).await?;
    assert_eq!(refresh.json()?["error"], "invalid_grant");
    Ok(())
}

#[tokio::test]
async fn the_last_owner_cannot_be_removed_or_demoted() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let owner = system.console(&workspace.owner).await?;
    let members = format!("/w/{}/members", workspace.slug);
    for (action, fields) in [("remove", [].as_slice()), ("role", [("role", "member")].as_slice())] {
        let path = format!("{members}/{}/{action}", workspace.owner.user_id);
        let page = owner.submit(&members, &path, fields).await?;
        ensure!(page.status.is_client_error(), "{action}: {}", page.status);
        ensure!(owner.get(&members).await?.status == StatusCode::OK, "{action} took effect");
    }
    Ok(())
}

#[tokio::test]
async fn an_invitation_is_for_its_address_and_for_once() -> TestResult {
    let system = System::shared().await?;
    let workspace = system.workspace().await?;
    let (guest, eve) = (system.person().await?, system.person().await?);
    let owner = system.console(&workspace.owner).await?;
    let members = format!("/w/{}/members", workspace.slug);
    let fields = [("email", guest.email.as_str()), ("role", "member")];
    owner.submit(&members, &format!("{members}/invite"), &fields).await?.ok()?;
    let mail = system.mail_to(&guest.email).await?;
    let link = mail.link("/invitation").context("no link in the invitation")?;

    let thief = system.console(&eve).await?;
    let path = thief.path_of(link)?;
    let page = thief.visit(&path).await?;
    if page.form("/invitation").is_ok() {
        let page = thief.submit(&path, "/invitation", &[]).await?;
        ensure!(page.status.is_client_error(), "{}", page.status);
    }
    assert_eq!(thief.get(&format!("/w/{}", workspace.slug)).await?.status, StatusCode::NOT_FOUND);

    let console = system.console(&guest).await?;
    console.submit(&path, "/invitation", &[]).await?.ok()?;
    console.visit(&format!("/w/{}", workspace.slug)).await?.ok()?;
    Ok(())
}
