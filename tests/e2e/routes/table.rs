//! Who may ask for what. A new route needs a line here: who it is for, and what a form sends.

/// Who a route is for.
#[derive(Debug, Clone, Copy)]
pub enum Who {
    /// Everybody gets one of these.
    Anybody(&'static [u16]),
    /// Whoever is logged in, about themselves; what has an id belongs to one person alone.
    Person,
    /// Members of the workspace in one of these roles.
    Roles(&'static [&'static str]),
}

use Who::{Anybody, Person, Roles};

/// One route.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// Method and path, as `toolmesh-control-plane routes` says it.
    pub route: &'static str,
    pub who: Who,
    /// What the form sends; `{…}` is looked up as in a path.
    pub fields: &'static [(&'static str, &'static str)],
}

const fn page(route: &'static str, who: Who) -> Line {
    Line { route, who, fields: &[] }
}

const fn form(route: &'static str, who: Who, fields: &'static [(&'static str, &'static str)]) -> Line {
    Line { route, who, fields }
}

/// Every role there is.
pub const ROLES: &[&str] = &["member", "billing", "auditor", "connector_manager", "admin", "owner"];

// Each kind of thing, and the roles that it is for.
const MEMBERS: Who = Roles(ROLES);
const CONNECTORS: Who = Roles(&["connector_manager", "admin", "owner"]);
const PEOPLE: Who = Roles(&["admin", "owner"]);
const OWNERS: Who = Roles(&["owner"]);
const AUDIT: Who = Roles(&["auditor", "admin", "owner"]);
const CLIENTS: Who = Roles(&["admin", "owner"]);
const SETTINGS: Who = Roles(&["admin", "owner"]);
/// Everybody has keys of their own; the walk asks for one of the owner's.
const OTHERS_KEYS: Who = Roles(&["admin", "owner"]);

/// Where somebody may always go; they are sent on where they have been.
const OPEN: Who = Anybody(&[200, 303]);
/// A link or form that leads nowhere for anybody without what was sent to them.
const SECRET: Who = Anybody(&[303, 400, 410, 422]);
/// Named by an id that nobody in the walk has: log in first, and then it is not found. Whose it is, is tested elsewhere.
const NOBODYS: Who = Anybody(&[303, 404]);
/// Clients' endpoints tell nobody more than that the request is wrong.
const CLIENT: Who = Anybody(&[400, 401]);

pub const TABLE: &[Line] = &[
    page("GET /", OPEN),
    page("GET /healthz", Anybody(&[200])),
    page("GET /readyz", Anybody(&[200])),
    page("GET /static/{*path}", Anybody(&[200])),
    page("GET /signup", OPEN),
    form("POST /signup", Anybody(&[422]), &[("name", ""), ("email", "no address"), ("password", "short")]),
    page("GET /signup/sent", OPEN),
    page("GET /verify", SECRET),
    form("POST /verify", SECRET, &[("token", "no such token")]),
    page("GET /login", OPEN),
    form("POST /login", Anybody(&[422]), &[("email", "nobody@example.org"), ("password", "wrong")]),
    form("POST /signup/code", Anybody(&[303, 422]), &[("code", "0000 0000")]),
    form("POST /signup/resend", Anybody(&[303]), &[]),
    page("GET /reset", Anybody(&[200])),
    form("POST /reset", Anybody(&[303]), &[("email", "nobody@example.org")]),
    page("GET /reset/sent", Anybody(&[200])),
    page("GET /reset/new", SECRET),
    form("POST /reset/new", SECRET, &[("token", "no such token"), ("password", "short")]),
    // A person's own account.
    page("GET /account", Person),
    form("POST /account", Person, &[("name", "")]),
    page("GET /account/email", Person),
    form("POST /account/email", Person, &[("email", "no address")]),
    form("POST /account/email/code", Person, &[("code", "0000 0000")]),
    form("POST /account/email/cancel", Person, &[]),
    // Back from a provider with no state that anybody has.
    page("GET /connections/callback", SECRET),
    page("GET /client-metadata.json", Anybody(&[200])),
    page("GET /account/email/confirm", Person),
    form("POST /account/email/confirm", Person, &[("token", "no such token")]),
    page("GET /account/email/undo", SECRET),
    form("POST /account/email/undo", SECRET, &[("token", "no such token")]),
    page("GET /account/password", Person),
    form("POST /account/password", Person, &[("current", "wrong"), ("password", "short")]),
    page("GET /account/sessions", Person),
    form("POST /account/sessions/{handle}/end", Person, &[]),
    form("POST /account/sessions/end-others", Person, &[]),
    form("POST /account/sessions/end-everywhere", Person, &[]),
    // Logging in elsewhere; this ToolMesh has no provider.
    form("POST /login/with/{provider}", Anybody(&[404]), &[]),
    page("GET /login/callback/{provider}", Anybody(&[410])),
    page("GET /login/company", OPEN),
    form("POST /login/company", Anybody(&[303]), &[("email", "nobody@example.org")]),
    page("GET /login/link", SECRET),
    form("POST /login/link", SECRET, &[("ticket", "forged")]),
    page("GET /login/link/confirm", SECRET),
    form("POST /login/link/confirm", SECRET, &[("ticket", "forged")]),
    page("GET /account/sign-in", Person),
    form("POST /account/sign-in/add", Person, &[("provider", "google")]),
    form("POST /account/sign-in/remove", Person, &[("identity", "{workspace}")]),
    page("GET /account/sign-in/link", Person),
    form("POST /account/sign-in/link", Person, &[("ticket", "forged")]),
    page("GET /account/confirm", Person),
    form("POST /account/confirm", Person, &[("password", "wrong")]),
    form("POST /account/confirm/passkey", Person, &[("credential", "{}")]),
    form("POST /account/confirm/passkey/options", Person, &[]),
    form("POST /login/passkey", Anybody(&[422]), &[("credential", "{}")]),
    form("POST /login/passkey/options", Anybody(&[200]), &[]),
    page("GET /login/second-factor", Anybody(&[303])),
    form("POST /login/second-factor", Anybody(&[303]), &[("code", "000000")]),
    form("POST /login/second-factor/options", Anybody(&[422]), &[]),
    page("GET /account/security", Person),
    page("GET /account/security/app", Person),
    form("POST /account/security/app", Person, &[("code", "000000")]),
    form("POST /account/security/app/remove", Person, &[]),
    form("POST /account/security/passkeys", Person, &[("name", "walked"), ("credential", "{}")]),
    form("POST /account/security/passkeys/options", Person, &[]),
    form("POST /account/security/passkeys/{id}/remove", NOBODYS, &[]),
    form("POST /account/security/passkeys/{id}/rename", NOBODYS, &[("name", "walked")]),
    page("GET /account/security/recovery-codes", Person),
    form("POST /account/security/recovery-codes", Person, &[]),
    form("POST /logout", Anybody(&[303]), &[]),
    page("GET /invitation", SECRET),
    form("POST /invitation", SECRET, &[("token", "{workspace}.no-such-token")]),
    page("GET /workspaces", Person),
    page("GET /workspaces/new", Person),
    form("POST /workspaces/new", Person, &[("name", ""), ("slug", "-")]),
    page("GET /workspaces/check-slug", Person),
    // Clients of the workspace's authorization server.
    page("GET /oauth/{slug}/authorize", CLIENT),
    form(
        "POST /oauth/{slug}/authorize",
        Anybody(&[400, 404]),
        &[("request", "forged"), ("decision", "allow")],
    ),
    page("GET /oauth/{slug}/jwks.json", Anybody(&[200])),
    form("POST /oauth/{slug}/register", CLIENT, &[("redirect_uris", "javascript:alert(1)")]),
    form("POST /oauth/{slug}/revoke", Anybody(&[200, 400, 401]), &[("token", "no such token")]),
    form(
        "POST /oauth/{slug}/token",
        CLIENT,
        &[("grant_type", "refresh_token"), ("refresh_token", "no such")],
    ),
    // A workspace.
    page("GET /w/{slug}", MEMBERS),
    page("GET /w/{slug}/add", MEMBERS),
    page("GET /w/{slug}/audit", AUDIT),
    page("GET /w/{slug}/audit/{id}", AUDIT),
    page("GET /w/{slug}/catalog", CONNECTORS),
    page("GET /w/{slug}/catalog/{connector}", CONNECTORS),
    page("GET /w/{slug}/catalog/{connector}/enable", CONNECTORS),
    form("POST /w/{slug}/catalog/{connector}/enable", CONNECTORS, ENABLE),
    form("POST /w/{slug}/catalog/{connector}/test", CONNECTORS, ENABLE),
    page("GET /w/{slug}/own", CONNECTORS),
    page("GET /w/{slug}/own/new", CONNECTORS),
    page("GET /w/{slug}/own/editor", CONNECTORS),
    form("POST /w/{slug}/own/editor", CONNECTORS, &[("source", "no connector"), ("do", "save")]),
    form("POST /w/{slug}/own/upload", CONNECTORS, &[]),
    form("POST /w/{slug}/own/openapi", CONNECTORS, &[("url", "http://127.0.0.1:1/openapi.json")]),
    page("GET /w/{slug}/own/openapi/{import}", CONNECTORS),
    form("POST /w/{slug}/own/openapi/{import}/pick", CONNECTORS, &[("do", "none")]),
    page("GET /w/{slug}/own/{id}", CONNECTORS),
    page("GET /w/{slug}/own/{id}/edit", CONNECTORS),
    form("POST /w/{slug}/own/{id}/edit", CONNECTORS, &[("source", "no connector"), ("do", "check")]),
    page("GET /w/{slug}/own/{id}/versions/{number}", CONNECTORS),
    page("GET /w/{slug}/own/{id}/enable", CONNECTORS),
    form("POST /w/{slug}/own/{id}/enable", CONNECTORS, ENABLE),
    form("POST /w/{slug}/own/{id}/test", CONNECTORS, ENABLE),
    form("POST /w/{slug}/own/{id}/delete", CONNECTORS, &[("confirm", "another name")]),
    page("GET /w/{slug}/connectors/{id}/update", CONNECTORS),
    form("POST /w/{slug}/connectors/{id}/update", CONNECTORS, &[("hash", "of nothing")]),
    page("GET /w/{slug}/connectors", CONNECTORS),
    page("GET /w/{slug}/connectors/{id}", CONNECTORS),
    // The connector of the scene has a token of its own, so there is nothing to connect for those who may.
    form("POST /w/{slug}/connectors/{id}/connect", CONNECTORS, &[]),
    form("POST /w/{slug}/connectors/{id}/disconnect", CONNECTORS, &[]),
    form("POST /w/{slug}/connectors/{id}/client", CONNECTORS, &[("client_id", "walked")]),
    form("POST /w/{slug}/connectors/{id}/exposure", CONNECTORS, &[("exposure", "both")]),
    form("POST /w/{slug}/connectors/{id}/promote", CONNECTORS, &[("tool", "whoami"), ("promoted", "true")]),
    form("POST /w/{slug}/connectors/{id}/credential", CONNECTORS, &[("credential.token", "another token")]),
    form("POST /w/{slug}/connectors/{id}/remove", CONNECTORS, &[("confirm", "echo")]),
    form("POST /w/{slug}/connectors/{id}/settings", CONNECTORS, &[("base_url", "http://127.0.0.1:1")]),
    form("POST /w/{slug}/connectors/{id}/test", CONNECTORS, &[]),
    form("POST /w/{slug}/connectors/{id}/tools", CONNECTORS, &[("tool", "whoami"), ("enabled", "false")]),
    form("POST /w/{slug}/connectors/{id}/tools/bulk", CONNECTORS, &[("access", "all"), ("enabled", "false")]),
    page("GET /w/{slug}/connectors/{id}/override", CONNECTORS),
    form("POST /w/{slug}/connectors/{id}/override", CONNECTORS, &[("tool", "whoami"), ("title", "Who am I")]),
    form("POST /w/{slug}/connectors/{id}/offering", CONNECTORS, &[("timeout", "an hour")]),
    page("GET /w/{slug}/servers/new", CONNECTORS),
    form("POST /w/{slug}/servers/new", CONNECTORS, &[("name", "walked"), ("url", "http://127.0.0.1:1/mcp")]),
    page("GET /w/{slug}/servers/{id}", CONNECTORS),
    form("POST /w/{slug}/servers/{id}", CONNECTORS, &[("do", "begin")]),
    form(
        "POST /w/{slug}/servers/{id}/switch",
        CONNECTORS,
        &[("kind", "prompt"), ("name", "summary"), ("on", "false")],
    ),
    form("POST /w/{slug}/servers/{id}/refresh", CONNECTORS, &[]),
    form(
        "POST /w/{slug}/servers/{id}/headers",
        CONNECTORS,
        &[("header", "X-Walked"), ("credential", "a-key")],
    ),
    // A connector that asks each member for an account of their own.
    form("POST /w/{slug}/connectors/{id}/accounts", CONNECTORS, &[("accounts", "workspace")]),
    page("GET /w/{slug}/connections", MEMBERS),
    page("GET /w/{slug}/connections/{id}", MEMBERS),
    form("POST /w/{slug}/connections/{id}/connect", MEMBERS, &[]),
    form("POST /w/{slug}/connections/{id}/enter", MEMBERS, &[("credential.token", "a-token-of-ones-own")]),
    form("POST /w/{slug}/connections/{id}/lend", MEMBERS, &[("lent", "true")]),
    form("POST /w/{slug}/connections/{id}/disconnect", MEMBERS, &[]),
    page("GET /w/{slug}/groups", PEOPLE),
    form("POST /w/{slug}/groups", PEOPLE, &[("name", "Walkers")]),
    page("GET /w/{slug}/groups/{id}", PEOPLE),
    form("POST /w/{slug}/groups/{id}", PEOPLE, &[("name", "Another name"), ("external_name", "walkers")]),
    form("POST /w/{slug}/groups/{id}/delete", PEOPLE, &[]),
    form("POST /w/{slug}/groups/{id}/members", PEOPLE, &[("user", "{members}")]),
    form("POST /w/{slug}/groups/{id}/members/{user}/remove", PEOPLE, &[]),
    form("POST /w/{slug}/invitations/{id}/resend", PEOPLE, &[]),
    form("POST /w/{slug}/invitations/{id}/revoke", PEOPLE, &[]),
    page("GET /w/{slug}/connected-apps", MEMBERS),
    page("GET /w/{slug}/connected-apps/end", PEOPLE),
    form("POST /w/{slug}/connected-apps/end", PEOPLE, &[("confirm", "not the name")]),
    form("POST /w/{slug}/connected-apps/{id}/revoke", NOBODYS, &[]),
    page("GET /w/{slug}/keys", MEMBERS),
    form("POST /w/{slug}/keys", MEMBERS, &[("name", "one more")]),
    page("GET /w/{slug}/keys/{id}", OTHERS_KEYS),
    // What would act as somebody else is theirs alone to have; the walk asks for one of the owner's.
    form("POST /w/{slug}/keys/{id}/roll", Roles(&["owner"]), &[("grace", "24")]),
    form("POST /w/{slug}/keys/{id}/revoke", OTHERS_KEYS, &[]),
    page("GET /w/{slug}/leave", MEMBERS),
    form("POST /w/{slug}/leave", MEMBERS, &[]),
    page("GET /w/{slug}/members", PEOPLE),
    page("GET /w/{slug}/members/{user}", PEOPLE),
    page("GET /w/{slug}/members/{user}/owner", OWNERS),
    form("POST /w/{slug}/members/{user}/owner", OWNERS, &[("confirm", "somebody else")]),
    page("GET /w/{slug}/members/{user}/remove", PEOPLE),
    form("POST /w/{slug}/members/{user}/resume", PEOPLE, &[]),
    page("GET /w/{slug}/members/{user}/suspend", PEOPLE),
    form("POST /w/{slug}/members/{user}/suspend", PEOPLE, &[]),
    form("POST /w/{slug}/members/invite", PEOPLE, &[("email", "guest@example.org"), ("role", "member")]),
    form("POST /w/{slug}/members/{user}/remove", PEOPLE, &[]),
    form("POST /w/{slug}/members/{user}/role", PEOPLE, &[("role", "admin")]),
    page("GET /w/{slug}/clients", CLIENTS),
    page("GET /w/{slug}/clients/new", CLIENTS),
    form("POST /w/{slug}/clients/new", CLIENTS, &[("name", ""), ("method", "none")]),
    page("GET /w/{slug}/clients/refusals", CLIENTS),
    page("GET /w/{slug}/clients/{client}", CLIENTS),
    form("POST /w/{slug}/clients/{client}/allow", CLIENTS, &[]),
    form("POST /w/{slug}/clients/{client}/block", CLIENTS, &[]),
    form("POST /w/{slug}/clients/{client}/delete", CLIENTS, &[]),
    form(
        "POST /w/{slug}/clients/{client}/redirects",
        CLIENTS,
        &[("redirects", "https://client.example/moved")],
    ),
    form("POST /w/{slug}/clients/{client}/secret", CLIENTS, &[("overlap", "0")]),
    page("GET /w/{slug}/service-accounts", PEOPLE),
    form("POST /w/{slug}/service-accounts", PEOPLE, &[("name", "")]),
    page("GET /w/{slug}/service-accounts/{id}", PEOPLE),
    form("POST /w/{slug}/service-accounts/{id}/describe", PEOPLE, &[("name", "walked")]),
    form("POST /w/{slug}/service-accounts/{id}/state", PEOPLE, &[("disabled", "true")]),
    form("POST /w/{slug}/service-accounts/{id}/delete", PEOPLE, &[("confirm", "another name")]),
    form("POST /w/{slug}/service-accounts/{id}/keys", PEOPLE, &[("name", "one more")]),
    form("POST /w/{slug}/service-accounts/{id}/clients", PEOPLE, MACHINE),
    form(
        "POST /w/{slug}/service-accounts/{id}/clients/remove",
        PEOPLE,
        &[("client_id", "{machine-clients}")],
    ),
    page("GET /w/{slug}/settings", SETTINGS),
    page("GET /w/{slug}/settings/access", SETTINGS),
    form("POST /w/{slug}/settings/access", SETTINGS, &[("writes_need_scope", "false")]),
    form("POST /w/{slug}/settings/access/cut-off", SETTINGS, &[("strict_when_cut_off", "false")]),
    page("GET /w/{slug}/settings/endpoint", SETTINGS),
    form("POST /w/{slug}/settings/endpoint/origins", SETTINGS, &[("browser_origins", "")]),
    form("POST /w/{slug}/settings/endpoint/limits", SETTINGS, &[("tenant_per_minute", "")]),
    form("POST /w/{slug}/settings/endpoint/chatgpt", SETTINGS, &[("openai_apps_challenge", "")]),
    page("GET /w/{slug}/settings/identity-providers", SETTINGS),
    form("POST /w/{slug}/settings/identity-providers", SETTINGS, &[("issuer", "http://127.0.0.1:1")]),
    form("POST /w/{slug}/settings/identity-providers/{id}/remove", SETTINGS, &[]),
    page("GET /w/{slug}/settings/clients", CLIENTS),
    form("POST /w/{slug}/settings/clients", CLIENTS, &[("policy", "approve")]),
    form("POST /w/{slug}/settings", SETTINGS, &[("name", "Another name")]),
    page("GET /w/{slug}/settings/second-factor", SETTINGS),
    form("POST /w/{slug}/settings/second-factor", SETTINGS, &[("grace", "never")]),
    page("GET /w/{slug}/settings/sign-in", SETTINGS),
    form(
        "POST /w/{slug}/settings/sign-in",
        SETTINGS,
        &[("issuer", "http://127.0.0.1:1"), ("client_id", "a")],
    ),
    form("POST /w/{slug}/settings/sign-in/test", SETTINGS, &[]),
    form("POST /w/{slug}/settings/sign-in/require", SETTINGS, &[]),
    form("POST /w/{slug}/settings/sign-in/relax", SETTINGS, &[]),
    form("POST /w/{slug}/settings/sign-in/remove", SETTINGS, &[]),
    form("POST /w/{slug}/settings/sign-in/domains", SETTINGS, &[("domain", "walked.example")]),
    form("POST /w/{slug}/settings/sign-in/domains/check", SETTINGS, &[("domain", "unlisted.example")]),
    form("POST /w/{slug}/settings/sign-in/domains/remove", SETTINGS, &[("domain", "unlisted.example")]),
];

const ENABLE: &[(&str, &str)] =
    &[("name", "walked"), ("base_url", "http://127.0.0.1:1"), ("credential.token", "a token")];

/// A client of a service account, with a public key.
pub const MACHINE: &[(&str, &str)] = &[
    ("client_name", "robot"),
    ("keys", r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#),
];

/// What stands for a parameter: the part of the path before it, and the row that it is.
pub const PARAMETERS: &[(&str, &str)] = &[
    ("service-accounts", "SELECT id::text FROM service_accounts WHERE tenant_id = {tenant} LIMIT 1"),
    (
        "machine-clients",
        "SELECT client_id FROM oauth_clients WHERE tenant_id = {tenant} AND service_account_id IS NOT NULL LIMIT 1",
    ),
    ("identity-providers", "SELECT id::text FROM identity_providers WHERE tenant_id = {tenant} LIMIT 1"),
    (
        "clients",
        "SELECT encode(sha256(convert_to(client_id, 'UTF8')), 'hex') FROM oauth_clients \
         WHERE tenant_id = {tenant} AND kind = 'manual' AND service_account_id IS NULL LIMIT 1",
    ),
    ("audit", "SELECT id::text FROM audit_events WHERE tenant_id = {tenant} ORDER BY at LIMIT 1"),
    ("own", "SELECT id::text FROM private_connectors WHERE tenant_id = {tenant} LIMIT 1"),
    ("versions", "SELECT number::text FROM private_connector_versions WHERE tenant_id = {tenant} LIMIT 1"),
    ("openapi", "SELECT id::text FROM openapi_imports WHERE tenant_id = {tenant} LIMIT 1"),
    ("groups", "SELECT id::text FROM groups WHERE tenant_id = {tenant} LIMIT 1"),
    ("servers", "SELECT installation_id::text FROM upstream_servers WHERE tenant_id = {tenant} LIMIT 1"),
    ("connectors", "SELECT id::text FROM installations WHERE tenant_id = {tenant} AND name = 'echo'"),
    ("connections", "SELECT id::text FROM installations WHERE tenant_id = {tenant} AND personal LIMIT 1"),
    (
        "invitations",
        "SELECT id::text FROM invitations WHERE tenant_id = {tenant} AND accepted_at IS NULL LIMIT 1",
    ),
    (
        "keys",
        "SELECT k.id::text FROM api_keys k JOIN memberships m USING (tenant_id, user_id) \
         WHERE k.tenant_id = {tenant} AND m.role = 'owner' AND k.revoked_at IS NULL ORDER BY k.created_at LIMIT 1",
    ),
    // The first of the owner's sessions; the one that walks came later.
    (
        "sessions",
        "SELECT s.handle::text FROM sessions s JOIN memberships m USING (user_id) \
         WHERE m.tenant_id = {tenant} AND m.role = 'owner' ORDER BY s.created_at LIMIT 1",
    ),
    ("passkeys", "SELECT gen_random_uuid()::text"),
    ("connected-apps", "SELECT gen_random_uuid()::text"),
    // The first plain member; the one who walks as a member came later.
    (
        "members",
        "SELECT user_id::text FROM memberships WHERE tenant_id = {tenant} AND role = 'member' \
         ORDER BY created_at LIMIT 1",
    ),
];
