//! How a workspace's endpoint answers: from which web pages, how often, and what ChatGPT looks for.

use toolmesh_proto::v1;
use url::{Host, Url};

use super::store;
use crate::accounts::members::{self, Membership, Permission};
use crate::db::{Db, TenantTx};
use crate::error::{Error, Result};

const MAX_ORIGINS: usize = 50;
/// Nobody needs to write more to say "no limit of ours".
const MAX_PER_MINUTE: i32 = 1_000_000;
const MAX_CHALLENGE: usize = 200;

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Endpoint {
    pub browser_origins: Vec<String>,
    #[sqlx(flatten)]
    pub limits: Limits,
    /// What is served for ChatGPT to see whose the host is; empty for nothing.
    pub openai_apps_challenge: String,
}

/// Requests per minute; 0 for what the operator allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Limits {
    pub tenant_per_minute: i32,
    pub caller_per_minute: i32,
    pub api_key_per_minute: i32,
}

impl Limits {
    /// As nodes are told; nothing where the operator's limits are in force.
    #[must_use]
    pub fn sent(&self) -> Option<v1::RateLimits> {
        let sent = |number: i32| u32::try_from(number).unwrap_or_default();
        (*self != Self::default()).then(|| v1::RateLimits {
            tenant_per_minute: sent(self.tenant_per_minute),
            caller_per_minute: sent(self.caller_per_minute),
            api_key_per_minute: sent(self.api_key_per_minute),
        })
    }
}

/// Limits as somebody typed them.
#[derive(Clone, Copy, Debug)]
pub struct TypedLimits<'a> {
    pub tenant: &'a str,
    pub caller: &'a str,
    pub api_key: &'a str,
}

/// What nodes are told.
///
/// # Errors
/// When the database fails.
pub async fn for_nodes(tx: &mut TenantTx) -> Result<Endpoint> {
    store::endpoint(tx).await
}

/// What is in force, for a page.
///
/// # Errors
/// `Forbidden` for who may not see settings.
pub async fn get(db: &Db, by: &Membership) -> Result<Endpoint> {
    by.require(Permission::Settings)?;
    let mut tx = db.tenant(by.tenant).await?;
    store::endpoint(&mut tx).await
}

/// Says which web pages may call the endpoint from a browser; one origin in a line.
///
/// # Errors
/// `Forbidden` for who may not change settings; `browser_origins` for what is no origin.
pub async fn set_browser_origins(db: &Db, by: &Membership, text: &str) -> Result<()> {
    let origins = parse_origins(text)?;
    change(db, by, |endpoint| endpoint.browser_origins = origins).await
}

/// Says how often callers may ask.
///
/// # Errors
/// `Forbidden` for who may not change settings; names the field that has to be mended.
pub async fn set_limits(db: &Db, by: &Membership, typed: TypedLimits<'_>) -> Result<()> {
    let limits = Limits {
        tenant_per_minute: per_minute("tenant_per_minute", typed.tenant)?,
        caller_per_minute: per_minute("caller_per_minute", typed.caller)?,
        api_key_per_minute: per_minute("api_key_per_minute", typed.api_key)?,
    };
    change(db, by, |endpoint| endpoint.limits = limits).await
}

/// Says what ChatGPT finds when it looks whose the host is; nothing for an empty text.
///
/// # Errors
/// `Forbidden` for who may not change settings; `openai_apps_challenge` for what cannot be a token.
pub async fn set_challenge(db: &Db, by: &Membership, token: &str) -> Result<()> {
    let token = token.trim();
    if token.len() > MAX_CHALLENGE || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let message =
            "Paste the token as OpenAI shows it: up to 200 letters, digits and signs, without spaces.";
        return Err(Error::field("openai_apps_challenge", message));
    }
    change(db, by, |endpoint| token.clone_into(&mut endpoint.openai_apps_challenge)).await
}

async fn change(db: &Db, by: &Membership, what: impl FnOnce(&mut Endpoint)) -> Result<()> {
    let mut tx = db.tenant(by.tenant).await?;
    let by = members::still(&mut tx, by).await?;
    by.require(Permission::Settings)?;
    store::lock_endpoint(&mut tx, by.user).await?;
    let mut endpoint = store::endpoint(&mut tx).await?;
    what(&mut endpoint);
    store::set_endpoint(&mut tx, &endpoint, by.user).await?;
    tx.commit_change().await?;
    Ok(())
}

fn per_minute(field: &'static str, text: &str) -> Result<i32> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(0);
    }
    let number: Option<i32> = text.parse().ok().filter(|number| (1..=MAX_PER_MINUTE).contains(number));
    number.ok_or_else(|| {
        Error::field(
            field,
            "Write a whole number from 1 to 1000000, or leave it empty for the operator's limit.",
        )
    })
}

fn parse_origins(text: &str) -> Result<Vec<String>> {
    let mut origins: Vec<String> = Vec::new();
    for word in text.split([',', ' ', '\n', '\r', '\t']).filter(|word| !word.is_empty()) {
        let origin = origin(word)?;
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    if origins.len() > MAX_ORIGINS {
        return Err(Error::field("browser_origins", "Use 50 origins or fewer."));
    }
    Ok(origins)
}

/// One origin as browsers write it: lower case, without the usual port, without a path.
fn origin(word: &str) -> Result<String> {
    let shown: String = word.chars().take(100).collect();
    let wrong = |why: &str| Error::field("browser_origins", format!("{shown} {why}"));
    let url = Url::parse(word).ok().filter(Url::has_host);
    let url = url.ok_or_else(|| wrong("is no origin. Write it as https://app.example.com."))?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(wrong("is more than an origin. Leave out what comes after the host and its port."));
    }
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if url.host_str().is_some_and(|host| host.contains('*')) {
        return Err(wrong("stands for many origins. List each one that may call."));
    }
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        _ => return Err(wrong("is not protected on its way. Use https, or http on localhost.")),
    }
    Ok(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_kept_as_browsers_write_them_and_each_once() {
        let text = "https://App.Example.com\nhttps://app.example.com:443/, http://localhost:6274 http://127.0.0.1:3000";
        let read = parse_origins(text).unwrap();
        assert_eq!(read, ["https://app.example.com", "http://localhost:6274", "http://127.0.0.1:3000"]);
        assert!(parse_origins(" \n").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_single_protected_origin_is_refused_and_named() {
        for wrong in [
            "app.example.com",
            "*",
            "null",
            "https://*.example.com",
            "http://app.example.com",
            "https://app.example.com/chat",
            "https://app.example.com?x",
            "https://ada@app.example.com",
            "chrome-extension://abcdef",
            "javascript:alert(1)",
        ] {
            let error = parse_origins(wrong).unwrap_err();
            assert!(
                matches!(&error, Error::Field { field: "browser_origins", message } if message.starts_with(wrong)),
                "{wrong}: {error:?}"
            );
        }
        let many: Vec<String> = (0..=MAX_ORIGINS).map(|n| format!("https://a{n}.example.com")).collect();
        assert!(parse_origins(&many.join("\n")).is_err());
    }

    #[test]
    fn a_limit_is_a_number_or_nothing() {
        assert_eq!(per_minute("f", " 60 ").unwrap(), 60);
        assert_eq!(per_minute("f", "").unwrap(), 0);
        for wrong in ["0", "-1", "many", "1.5", "1000001", "99999999999"] {
            assert!(per_minute("f", wrong).is_err(), "{wrong}");
        }
        assert_eq!(Limits::default().sent(), None);
        let limits = Limits { caller_per_minute: 60, ..Limits::default() };
        assert_eq!(limits.sent().unwrap().caller_per_minute, 60);
    }
}
