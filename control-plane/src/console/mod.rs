//! The console: pages, one file per screen. Handlers are thin: they read the request, ask a capability, fill a view.
//!
//! Knows every capability and no SQL. What every page needs stands in `session` (who, where), `forms` (reading input safely),
//! `respond` (errors and headers).

pub mod assets;
pub mod view;

mod access;
mod account;
mod account_sign_in;
mod add;
mod audit;
mod catalog;
mod clients;
mod confirm;
mod connect;
mod connected_apps;
mod connections;
mod consent;
mod csrf;
mod endpoint;
mod exposure;
mod forms;
mod groups;
mod headers;
mod identity_providers;
mod installations;
mod invitations;
mod keys;
mod login;
mod members;
mod overrides;
mod overview;
mod own;
mod profile;
mod reset;
mod respond;
mod routes;
mod second_factor;
mod second_factor_rule;
mod security;
mod servers;
mod service_accounts;
mod session;
mod sessions;
mod settings;
mod settings_sign_in;
mod sign_in;
mod tests_of_connections;
mod updates;
mod upload;
mod workspaces;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::sync::Semaphore;
use toolmesh_proto::slug::TenantOrigins;

use crate::accounts::external::External;
use crate::accounts::factors::Factors;
use crate::accounts::{Accounts, sessions as session_store};
use crate::connectors::catalog::Catalog;
use crate::connectors::private::PrivateConnectors;
use crate::connectors::{Connections, Grants, Installations, Upstreams};
use crate::credentials::envelope::Vault;
use crate::db::Db;
use crate::mail::Mailer;
use crate::oauth::Oauth;
use crate::outbound::Outbound;
use crate::push::Hub;

/// Largest form, in bytes; a private key as a credential fits.
const MAX_FORM: usize = 256 * 1024;

/// What handlers work with.
pub struct Console {
    pub db: Db,
    pub vault: Vault,
    pub accounts: Accounts,
    pub factors: Factors,
    pub installations: Installations,
    pub grants: Grants,
    /// Other MCP servers.
    pub upstreams: Upstreams,
    /// Members' own accounts.
    pub connections: Connections,
    pub catalog: Arc<Catalog>,
    /// Connectors of workspaces' own.
    pub private: PrivateConnectors,
    /// Turns for forms with files.
    pub uploads: Arc<Semaphore>,
    pub oauth: Oauth,
    pub hub: Hub,
    pub mailer: Mailer,
    pub origins: TenantOrigins,
    pub console_origin: String,
    /// Fetches what strangers name: client metadata, keys, discovery documents.
    pub outbound: Outbound,
    /// Logging in elsewhere.
    pub external: External,
    pub https: bool,
    /// Where mail can be read, where it stays on this machine.
    pub mailbox_url: Option<String>,
    pub forms: FormTokens,
}

pub use csrf::FormTokens;
pub use headers::security_headers;
pub use routes::{Route, Routes, get, post};

type App = Arc<Console>;

/// All pages.
pub fn router(console: App) -> Router {
    let sessions = session_store::layer(console.db.clone(), console.https);
    let state = Arc::clone(&console);
    let pages = pages().map(|router| {
        router
            .fallback(respond::not_found)
            .layer(DefaultBodyLimit::max(MAX_FORM))
            .layer(from_fn_with_state(state, csrf::nonce))
            .layer(sessions)
            .layer(from_fn(respond::page_errors))
            .with_state(console)
    });
    files().merge(pages).into_router()
}

/// Every route of the console.
#[must_use]
pub fn routes() -> Vec<Route> {
    let mut all = files::<()>().into_list();
    all.extend(pages().into_list());
    all
}

fn files<S: Clone + Send + Sync + 'static>() -> Routes<S> {
    Routes::new().route("/static/{*path}", get(assets::serve))
}

fn pages() -> Routes<App> {
    Routes::new()
        .route("/", get(account::landing))
        .route("/signup", get(account::signup_form).post(account::signup))
        .route("/signup/sent", get(account::signup_sent))
        .route("/signup/code", post(account::signup_code))
        .route("/signup/resend", post(account::signup_resend))
        .route("/verify", get(account::verify_form).post(account::verify))
        .route("/login", get(account::login_form).post(account::login))
        .route("/login/passkey", post(second_factor::login))
        .route("/login/passkey/options", post(second_factor::login_options))
        .route("/login/second-factor", get(second_factor::show).post(second_factor::check))
        .route("/login/second-factor/options", post(second_factor::options))
        .route("/logout", post(account::logout))
        .route("/reset", get(reset::show).post(reset::ask))
        .route("/reset/sent", get(reset::sent))
        .route("/reset/new", get(reset::form).post(reset::set))
        .route("/account", get(profile::show).post(profile::rename))
        .route("/account/email", get(profile::email_form).post(profile::change_email))
        .route("/account/email/code", post(profile::email_code))
        .route("/account/email/cancel", post(profile::cancel_email))
        .route("/account/email/confirm", get(profile::email_link).post(profile::confirm_email))
        .route("/account/email/undo", get(profile::undo_form).post(profile::undo))
        .route("/account/password", get(profile::password_form).post(profile::change_password))
        .route("/account/sessions", get(sessions::list))
        .route("/account/sessions/end-others", post(sessions::end_others))
        .route("/account/sessions/end-everywhere", post(sessions::end_everywhere))
        .route("/account/sessions/{handle}/end", post(sessions::end))
        .route("/login/with/{provider}", post(sign_in::start))
        .route("/login/callback/{provider}", get(sign_in::callback))
        .route("/login/company", get(sign_in::company_form).post(sign_in::company))
        .route("/login/link", get(sign_in::link_form).post(sign_in::mail_link))
        .route("/login/link/confirm", get(sign_in::confirm_form).post(sign_in::confirm))
        .route("/account/sign-in", get(account_sign_in::show))
        .route("/account/sign-in/link", get(account_sign_in::link_form).post(account_sign_in::link))
        .route("/account/sign-in/add", post(account_sign_in::add))
        .route("/account/sign-in/remove", post(account_sign_in::remove))
        .route("/account/confirm", get(confirm::show).post(confirm::confirm))
        .route("/account/confirm/passkey", post(second_factor::confirm))
        .route("/account/confirm/passkey/options", post(second_factor::confirm_options))
        .nest("/account/security", security_pages())
        .route("/connections/callback", get(connect::callback))
        .route("/client-metadata.json", get(connect::client_document))
        .route("/invitation", get(invitations::show).post(invitations::accept))
        .route("/workspaces", get(workspaces::list))
        .route("/workspaces/new", get(workspaces::new_form).post(workspaces::create))
        .route("/workspaces/check-slug", get(workspaces::check_slug))
        .route("/oauth/{slug}/authorize", get(consent::show).post(consent::decide))
        .nest("/w/{slug}", workspace_pages().merge(own_pages()).merge(uploads()))
}

fn security_pages() -> Routes<App> {
    Routes::new()
        .route("/", get(security::show))
        .route("/app", get(security::app_form).post(security::enable_app))
        .route("/app/remove", post(security::remove_app))
        .route("/passkeys", post(security::add_passkey))
        .route("/passkeys/options", post(security::passkey_options))
        .route("/passkeys/{id}/rename", post(security::rename_passkey))
        .route("/passkeys/{id}/remove", post(security::remove_passkey))
        .route("/recovery-codes", get(security::codes).post(security::new_codes))
}

/// Connectors of the workspace's own.
fn own_pages() -> Routes<App> {
    Routes::new()
        .route("/own", get(own::list))
        .route("/own/new", get(own::edit::new_form))
        .route("/own/openapi/{import}", get(own::import::show))
        .route("/own/openapi/{import}/pick", post(own::import::pick))
        .route("/own/{id}", get(own::show))
        .route("/own/{id}/delete", post(own::delete))
        .route("/own/{id}/versions/{number}", get(own::version))
        .route("/own/{id}/enable", get(own::enable_form).post(own::enable))
        .route("/own/{id}/test", post(own::test))
}

/// Forms with files and large texts.
fn uploads() -> Routes<App> {
    let pages = Routes::new()
        .route("/own/upload", post(own::edit::upload))
        .route("/own/openapi", post(own::import::start))
        .route("/own/editor", get(own::edit::blank).post(own::edit::create))
        .route("/own/{id}/edit", get(own::edit::form).post(own::edit::save));
    pages.map(|router| router.layer(DefaultBodyLimit::max(upload::MAX_UPLOAD)))
}

fn workspace_pages() -> Routes<App> {
    Routes::new()
        .route("/", get(overview::show))
        .route("/catalog", get(catalog::list))
        .route("/catalog/{connector}", get(catalog::show))
        .route("/catalog/{connector}/enable", get(catalog::enable_form).post(catalog::enable))
        .route("/catalog/{connector}/test", post(tests_of_connections::draft))
        .route("/connectors", get(installations::list))
        .route("/connectors/{id}", get(installations::show))
        .route("/connectors/{id}/test", post(tests_of_connections::saved))
        .route("/connectors/{id}/tools", post(installations::set_tool))
        .route("/connectors/{id}/tools/bulk", post(installations::set_access))
        .route("/connectors/{id}/credential", post(installations::replace_credential))
        .route("/connectors/{id}/connect", post(connect::start))
        .route("/connectors/{id}/client", post(connect::enter_client))
        .route("/connectors/{id}/disconnect", post(connect::disconnect))
        .route("/connectors/{id}/accounts", post(connections::set_accounts))
        .route("/connectors/{id}/settings", post(installations::set_base_url))
        .route("/connectors/{id}/exposure", post(exposure::set))
        .route("/connectors/{id}/promote", post(exposure::promote))
        .route("/connectors/{id}/update", get(updates::show).post(updates::update))
        .route("/connectors/{id}/remove", post(installations::remove))
        .route("/connectors/{id}/override", get(overrides::show).post(overrides::save))
        .route("/connectors/{id}/offering", post(overrides::set_offering))
        .route("/servers/new", get(servers::new_form).post(servers::create))
        .route("/servers/{id}", get(servers::show).post(servers::decide))
        .route("/servers/{id}/switch", post(servers::switch))
        .route("/servers/{id}/refresh", post(servers::refresh))
        .route("/servers/{id}/headers", post(servers::set_headers))
        .route("/connections", get(connections::list))
        .route("/connections/{id}", get(connections::show))
        .route("/connections/{id}/connect", post(connections::connect))
        .route("/connections/{id}/enter", post(connections::enter))
        .route("/connections/{id}/lend", post(connections::lend))
        .route("/connections/{id}/disconnect", post(connections::disconnect))
        .route("/add", get(add::show))
        .route("/members", get(members::list))
        .route("/members/invite", post(invitations::invite))
        .route("/members/{user}", get(members::show))
        .route("/members/{user}/role", post(members::set_role))
        .route("/members/{user}/remove", get(members::remove_preview).post(members::remove))
        .route("/members/{user}/suspend", get(members::suspend_preview).post(members::suspend))
        .route("/members/{user}/resume", post(members::resume))
        .route("/members/{user}/owner", get(members::hand_over_form).post(members::hand_over))
        .route("/leave", get(members::leave_preview).post(members::leave))
        .route("/invitations/{id}/resend", post(invitations::resend))
        .route("/invitations/{id}/revoke", post(invitations::revoke))
        .route("/groups", get(groups::list).post(groups::create))
        .route("/groups/{id}", get(groups::show).post(groups::change))
        .route("/groups/{id}/delete", post(groups::delete))
        .route("/groups/{id}/members", post(groups::add))
        .route("/groups/{id}/members/{user}/remove", post(groups::take_out))
        .route("/connected-apps", get(connected_apps::list))
        .route("/connected-apps/end", get(connected_apps::end_form).post(connected_apps::end))
        .route("/connected-apps/{id}/revoke", post(connected_apps::revoke))
        .route("/clients", get(clients::list))
        .route("/clients/new", get(clients::new_form).post(clients::create))
        .route("/clients/refusals", get(clients::problems))
        .route("/clients/{client}", get(clients::show))
        .route("/clients/{client}/allow", post(clients::allow))
        .route("/clients/{client}/block", post(clients::block))
        .route("/clients/{client}/delete", post(clients::delete))
        .route("/clients/{client}/secret", post(clients::new_secret))
        .route("/clients/{client}/redirects", post(clients::set_redirects))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", get(keys::show))
        .route("/keys/{id}/roll", post(keys::roll))
        .route("/keys/{id}/revoke", post(keys::revoke))
        .route("/service-accounts", get(service_accounts::list).post(service_accounts::create))
        .route("/service-accounts/{id}", get(service_accounts::show))
        .route("/service-accounts/{id}/describe", post(service_accounts::describe))
        .route("/service-accounts/{id}/state", post(service_accounts::set_state))
        .route("/service-accounts/{id}/delete", post(service_accounts::delete))
        .route("/service-accounts/{id}/keys", post(service_accounts::create_key))
        .route("/service-accounts/{id}/clients", post(service_accounts::register_client))
        .route("/service-accounts/{id}/clients/remove", post(service_accounts::remove_client))
        .route("/audit", get(audit::list))
        .route("/audit/{id}", get(audit::show))
        .route("/settings", get(settings::show).post(settings::save))
        .route("/settings/clients", get(clients::rules).post(clients::set_rules))
        .route("/settings/second-factor", get(second_factor_rule::show).post(second_factor_rule::save))
        .route("/settings/sign-in", get(settings_sign_in::show).post(settings_sign_in::save))
        .route("/settings/sign-in/test", post(settings_sign_in::test))
        .route("/settings/sign-in/require", post(settings_sign_in::require))
        .route("/settings/sign-in/relax", post(settings_sign_in::relax))
        .route("/settings/sign-in/remove", post(settings_sign_in::remove))
        .route("/settings/sign-in/domains", post(settings_sign_in::add_domain))
        .route("/settings/sign-in/domains/check", post(settings_sign_in::check_domain))
        .route("/settings/sign-in/domains/remove", post(settings_sign_in::remove_domain))
        .route("/settings/access", get(access::show).post(access::save))
        .route("/settings/access/cut-off", post(access::save_cut_off))
        .route("/settings/endpoint", get(endpoint::show))
        .route("/settings/endpoint/origins", post(endpoint::save_origins))
        .route("/settings/endpoint/limits", post(endpoint::save_limits))
        .route("/settings/endpoint/chatgpt", post(endpoint::save_chatgpt))
        .route("/settings/identity-providers", get(identity_providers::list).post(identity_providers::add))
        .route("/settings/identity-providers/{id}/remove", post(identity_providers::remove))
}
