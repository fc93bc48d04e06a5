//! Logging in with GitHub: OAuth 2 with PKCE, then its API for who that is. There is no ID token; the account's number is the
//! subject, and only its primary, verified address counts.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Profile;
use super::oidc::{self, Secrets};
use super::providers::GithubRegistration;
use crate::error::{Error, Result};
use crate::outbound::{Outbound, Outgoing};

const WITHIN: Duration = Duration::from_secs(8);
const MAX_ANSWER: usize = 128 * 1024;

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Account {
    id: u64,
    login: String,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Address {
    email: String,
    primary: bool,
    verified: bool,
}

/// Where the browser goes to log in.
///
/// # Errors
/// `Refused` when GitHub's address may not be called.
pub fn way_there(outbound: &Outbound, github: &GithubRegistration, secrets: &Secrets<'_>) -> Result<Url> {
    let mut url = address(outbound, &format!("{}/login/oauth/authorize", github.client.issuer))?;
    url.query_pairs_mut()
        .append_pair("client_id", &github.client.client_id)
        .append_pair("redirect_uri", secrets.redirect_uri)
        .append_pair("scope", "read:user user:email")
        .append_pair("state", secrets.state)
        .append_pair("code_challenge", &oidc::challenge(secrets.verifier))
        .append_pair("code_challenge_method", "S256");
    Ok(url)
}

/// Who the code stands for.
///
/// # Errors
/// `Refused` with what GitHub did not give.
pub async fn way_back(
    outbound: &Outbound,
    github: &GithubRegistration,
    secrets: &Secrets<'_>,
    code: &str,
) -> Result<Profile> {
    let access = redeem(outbound, github, secrets, code).await?;
    let account: Account = get(outbound, github, "/user", &access).await?;
    let addresses: Vec<Address> = get(outbound, github, "/user/emails", &access).await?;
    let email = addresses.into_iter().find(|address| address.primary && address.verified);
    Ok(Profile {
        issuer: github.client.issuer.clone(),
        subject: account.id.to_string(),
        email_verified: email.is_some(),
        email: email.map(|address| address.email),
        name: account.name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| account.login.clone()),
        label: account.login,
        claims: serde_json::Map::new(),
    })
}

async fn redeem(
    outbound: &Outbound,
    github: &GithubRegistration,
    secrets: &Secrets<'_>,
    code: &str,
) -> Result<SecretString> {
    let url = address(outbound, &format!("{}/login/oauth/access_token", github.client.issuer))?;
    let secret = github.client.client_secret.as_ref().map_or("", |secret| secret.expose_secret());
    let fields = [
        ("client_id", github.client.client_id.as_str()),
        ("client_secret", secret),
        ("code", code),
        ("redirect_uri", secrets.redirect_uri),
        ("code_verifier", secrets.verifier),
    ];
    let request = Outgoing::form(url, &fields, MAX_ANSWER, WITHIN);
    let answer = outbound.send(request).await.map_err(oidc::unreachable)?;
    let answer: TokenAnswer = serde_json::from_slice(&answer.body)
        .map_err(|_| Error::Refused("GitHub's answer cannot be read. Try again.".to_owned()))?;
    // GitHub says what is wrong with a status of 200.
    answer.access_token.filter(|_| answer.error.is_none()).map(SecretString::from).ok_or_else(|| {
        let reason = super::code_word(answer.error.as_deref().unwrap_or("no reason given"));
        Error::Refused(format!("GitHub does not take the code: {reason}."))
    })
}

async fn get<T: DeserializeOwned>(
    outbound: &Outbound,
    github: &GithubRegistration,
    path: &str,
    access: &SecretString,
) -> Result<T> {
    let mut request = Outgoing::get(address(outbound, &format!("{}{path}", github.api))?, MAX_ANSWER, WITHIN);
    request.headers.insert(header::AUTHORIZATION, oidc::bearer(access)?);
    request.headers.insert(header::ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    let answer = outbound.send(request).await.map_err(oidc::unreachable)?;
    let read = serde_json::from_slice(&answer.body).ok().filter(|_| answer.status == StatusCode::OK);
    read.ok_or_else(|| {
        Error::Refused(format!("GitHub does not say who this is: it answers {}.", answer.status.as_u16()))
    })
}

fn address(outbound: &Outbound, text: &str) -> Result<Url> {
    outbound
        .policy()
        .parse(text)
        .map_err(|error| Error::Refused(format!("GitHub's address cannot be used: {error}.")))
}
