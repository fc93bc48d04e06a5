//! The control plane's configuration: read once from the environment, checked whole before anything is bound.
//!
//! The only module that knows `std::env`.

use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine as _;
use ipnet::IpNet;
use lettre::message::Mailbox;
use lettre::{AsyncSmtpTransport, Tokio1Executor};
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use toolmesh_proto::egress::EgressPolicy;
use toolmesh_proto::slug::TenantOrigins;
use url::Url;
use zeroize::Zeroizing;

use crate::accounts::external::providers::{GithubRegistration, Registration, Registrations};

/// Everything the control plane is told from outside.
#[derive(Clone)]
pub struct Config {
    pub database_url: SecretString,
    /// Origin of the console, no trailing slash.
    pub console_origin: String,
    pub tenant_origins: TenantOrigins,
    pub http_listen: SocketAddr,
    pub grpc_listen: SocketAddr,
    /// The key-encryption key, which wraps every tenant's key.
    pub kek: Zeroizing<[u8; 32]>,
    /// What a node must know to join.
    pub join_secret: SecretString,
    pub smtp_url: SecretString,
    pub mail_from: String,
    /// Where mail can be read, where it stays on this machine; shown after sign-up.
    pub mailbox_url: Option<String>,
    pub egress: EgressPolicy,
    /// Certificate authorities (PEM) that are trusted besides the system's; empty for none.
    pub extra_roots: Vec<u8>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where people may log in besides here.
    pub sign_in: Registrations,
    /// Who is asked about companies' domains; None for the system's resolver.
    pub dns_server: Option<SocketAddr>,
}

/// A setting that is missing or wrong, and what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{0} is not set: {1}")]
    Missing(&'static str, &'static str),
    #[error("{name} is wrong: {reason}")]
    Invalid { name: &'static str, reason: String },
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// Names the first setting that is missing or wrong.
    pub fn from_env() -> Result<Self, ConfigError> {
        let console = required("TOOLMESH_CONSOLE_URL", "the console's origin, e.g. https://app.example.com")?;
        let tenants =
            required("TOOLMESH_TENANT_URL", "the tenants' origins, e.g. https://{slug}.example.net")?;
        Ok(Self {
            database_url: database_url()?,
            console_origin: origin("TOOLMESH_CONSOLE_URL", &console)?,
            tenant_origins: TenantOrigins::parse(&tenants).map_err(invalid("TOOLMESH_TENANT_URL"))?,
            http_listen: listen("TOOLMESH_HTTP_LISTEN")?,
            grpc_listen: listen("TOOLMESH_GRPC_LISTEN")?,
            kek: kek_from_file(
                &required("TOOLMESH_KEK_FILE", "a file with 32 random bytes in base64")?.into(),
            )?,
            join_secret: join_secret_from_file(
                &required("TOOLMESH_JOIN_SECRET_FILE", "a file with the secret that nodes join with")?.into(),
            )?,
            smtp_url: smtp_url()?,
            mail_from: mail_from()?,
            mailbox_url: optional("TOOLMESH_MAILBOX_URL"),
            egress: EgressPolicy { allow_private: flag("TOOLMESH_ALLOW_PRIVATE_UPSTREAMS")? },
            extra_roots: extra_roots("TOOLMESH_CA_FILE")?,
            trusted_proxies: networks("TOOLMESH_TRUSTED_PROXIES")?,
            sign_in: sign_in()?,
            dns_server: dns_server("TOOLMESH_DNS_SERVER")?,
        })
    }

    /// Whether people reach the console over TLS; decides `Secure` cookies and their `__Host-` names.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.console_origin.starts_with("https://")
    }
}

/// The providers that are configured: each has a client id, and a file with its secret.
fn sign_in() -> Result<Registrations, ConfigError> {
    let google = registration(
        ["TOOLMESH_GOOGLE_CLIENT_ID", "TOOLMESH_GOOGLE_CLIENT_SECRET_FILE", "TOOLMESH_GOOGLE_ISSUER"],
        "https://accounts.google.com",
    )?;
    let microsoft = registration(
        [
            "TOOLMESH_MICROSOFT_CLIENT_ID",
            "TOOLMESH_MICROSOFT_CLIENT_SECRET_FILE",
            "TOOLMESH_MICROSOFT_ISSUER",
        ],
        "https://login.microsoftonline.com/common/v2.0",
    )?;
    let github = registration(
        ["TOOLMESH_GITHUB_CLIENT_ID", "TOOLMESH_GITHUB_CLIENT_SECRET_FILE", "TOOLMESH_GITHUB_URL"],
        "https://github.com",
    )?;
    let api = optional("TOOLMESH_GITHUB_API_URL").unwrap_or_else(|| "https://api.github.com".to_owned());
    let api = address("TOOLMESH_GITHUB_API_URL", &api)?.trim_end_matches('/').to_owned();
    let of_github = |client: Registration| {
        let issuer = client.issuer.trim_end_matches('/').to_owned();
        GithubRegistration { client: Registration { issuer, ..client }, api }
    };
    Ok(Registrations {
        google,
        microsoft: microsoft.map(|client| Registration { shared: true, ..client }),
        github: github.map(of_github),
    })
}

fn registration(
    [id, secret, issuer]: [&'static str; 3],
    usual: &str,
) -> Result<Option<Registration>, ConfigError> {
    let Some(client_id) = optional(id) else { return Ok(None) };
    let path = required(secret, "a file with the client secret that the provider gave")?;
    let text = file(secret, &path.into())?;
    if text.trim().is_empty() {
        return Err(ConfigError::Invalid { name: secret, reason: "the file is empty".to_owned() });
    }
    let issuer_text = optional(issuer).unwrap_or_else(|| usual.to_owned());
    Ok(Some(Registration {
        issuer: address(issuer, &issuer_text)?,
        client_id,
        client_secret: Some(SecretString::from(text.trim().to_owned())),
        shared: false,
    }))
}

/// A URL, kept as it was written: an issuer is compared letter by letter.
fn address(name: &'static str, text: &str) -> Result<String, ConfigError> {
    let url = Url::parse(text).map_err(invalid(name))?;
    if matches!(url.scheme(), "http" | "https") && url.query().is_none() {
        Ok(text.to_owned())
    } else {
        Err(ConfigError::Invalid { name, reason: "write it as https://host/path".to_owned() })
    }
}

/// An address with or without a port; 53 without.
fn dns_server(name: &'static str) -> Result<Option<SocketAddr>, ConfigError> {
    let Some(text) = optional(name) else { return Ok(None) };
    let bare = text.parse::<std::net::IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    bare.or_else(|_| text.parse()).map(Some).map_err(invalid(name))
}

/// What `tracing` shows, e.g. `info` or `toolmesh_control_plane=debug`, and whether as JSON.
#[must_use]
pub fn log_settings() -> (String, bool) {
    let filter = optional("TOOLMESH_LOG").unwrap_or_else(|| "info".to_owned());
    (filter, optional("TOOLMESH_LOG_FORMAT").as_deref() == Some("json"))
}

/// Different characters that a join secret has at least: one drawn at random has more, "changeme…" and "0123…" fewer.
const MIN_LETTERS: usize = 11;

/// Reads a key-encryption key: base64 of 32 bytes.
///
/// # Errors
/// When the file cannot be read or holds something else.
pub fn kek_from_file(path: &PathBuf) -> Result<Zeroizing<[u8; 32]>, ConfigError> {
    let text = file("TOOLMESH_KEK_FILE", path)?;
    let bytes = Zeroizing::new(
        base64::engine::general_purpose::STANDARD
            .decode(text.trim())
            .map_err(invalid("TOOLMESH_KEK_FILE"))?,
    );
    let key: [u8; 32] = bytes.as_slice().try_into().map_err(|_| ConfigError::Invalid {
        name: "TOOLMESH_KEK_FILE",
        reason: format!("{} must hold 32 bytes in base64, and holds {}", path.display(), bytes.len()),
    })?;
    if different(&key) < 2 {
        let reason =
            format!("{} holds a placeholder; make a key with `openssl rand -base64 32`", path.display());
        return Err(ConfigError::Invalid { name: "TOOLMESH_KEK_FILE", reason });
    }
    Ok(Zeroizing::new(key))
}

/// Reads the join secret: at least 32 characters.
///
/// # Errors
/// When the file cannot be read or the secret is short.
pub fn join_secret_from_file(path: &PathBuf) -> Result<SecretString, ConfigError> {
    let text = file("TOOLMESH_JOIN_SECRET_FILE", path)?;
    let secret = text.trim();
    if secret.len() < 32 {
        let reason = format!("{} must hold at least 32 characters", path.display());
        return Err(ConfigError::Invalid { name: "TOOLMESH_JOIN_SECRET_FILE", reason });
    }
    if different(secret.as_bytes()) < MIN_LETTERS {
        let reason =
            format!("{} holds a placeholder; make a secret with `openssl rand -hex 32`", path.display());
        return Err(ConfigError::Invalid { name: "TOOLMESH_JOIN_SECRET_FILE", reason });
    }
    Ok(SecretString::from(secret.to_owned()))
}

fn different(bytes: &[u8]) -> usize {
    bytes.iter().collect::<std::collections::BTreeSet<_>>().len()
}

fn file(name: &'static str, path: &PathBuf) -> Result<Zeroizing<String>, ConfigError> {
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|e| ConfigError::Invalid { name, reason: format!("{}: {e}", path.display()) })
}

/// The certificate authorities of a company that runs its own, from a PEM file.
fn extra_roots(name: &'static str) -> Result<Vec<u8>, ConfigError> {
    let Some(path) = optional(name) else { return Ok(Vec::new()) };
    let wrong = |reason: String| ConfigError::Invalid { name, reason };
    let bytes = std::fs::read(&path).map_err(|e| wrong(format!("{path}: {e}")))?;
    match reqwest::Certificate::from_pem_bundle(&bytes) {
        Ok(found) if !found.is_empty() => Ok(bytes),
        _ => Err(wrong(format!("{path} must hold certificates in PEM"))),
    }
}

fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &'static str, meaning: &'static str) -> Result<String, ConfigError> {
    optional(name).ok_or(ConfigError::Missing(name, meaning))
}

fn database_url() -> Result<SecretString, ConfigError> {
    let text = required("DATABASE_URL", "e.g. postgres://user:password@host/toolmesh")?;
    // The parser's own words may quote the password.
    let wrong = |_| "write it as postgres://user:password@host/toolmesh".to_owned();
    text.parse::<PgConnectOptions>().map_err(wrong).map_err(invalid("DATABASE_URL"))?;
    Ok(text.into())
}

fn smtp_url() -> Result<SecretString, ConfigError> {
    let text = required("SMTP_URL", "e.g. smtp://127.0.0.1:2525 or smtps://user:password@host")?;
    let wrong = |_| "write it as smtp://host:port or smtps://user:password@host".to_owned();
    AsyncSmtpTransport::<Tokio1Executor>::from_url(&text).map_err(wrong).map_err(invalid("SMTP_URL"))?;
    Ok(text.into())
}

fn mail_from() -> Result<String, ConfigError> {
    let text = optional("TOOLMESH_MAIL_FROM").unwrap_or_else(|| "ToolMesh <no-reply@localhost>".to_owned());
    text.parse::<Mailbox>().map_err(invalid("TOOLMESH_MAIL_FROM"))?;
    Ok(text)
}

fn invalid<E: std::fmt::Display>(name: &'static str) -> impl FnOnce(E) -> ConfigError {
    move |error| ConfigError::Invalid { name, reason: error.to_string() }
}

fn listen(name: &'static str) -> Result<SocketAddr, ConfigError> {
    optional(name).as_deref().unwrap_or("127.0.0.1:0").parse().map_err(invalid(name))
}

fn flag(name: &'static str) -> Result<bool, ConfigError> {
    optional(name).as_deref().unwrap_or("false").parse().map_err(invalid(name))
}

fn networks(name: &'static str) -> Result<Vec<IpNet>, ConfigError> {
    let text = optional(name).unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|t| !t.is_empty())
        .map(|t| t.parse().map_err(invalid(name)))
        .collect()
}

fn origin(name: &'static str, text: &str) -> Result<String, ConfigError> {
    let url = Url::parse(text).map_err(invalid(name))?;
    let plain = matches!(url.scheme(), "http" | "https") && url.path() == "/" && url.query().is_none();
    if plain {
        Ok(url.origin().ascii_serialization())
    } else {
        Err(ConfigError::Invalid {
            name,
            reason: "write an origin without a path, e.g. https://app.example.com".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("toolmesh-config-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_placeholder_is_no_key_and_no_secret() {
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        for placeholder in [[0; 32], [255; 32]] {
            let error = kek_from_file(&written(&encode(&placeholder))).unwrap_err().to_string();
            assert!(error.contains("placeholder") && error.contains("openssl"), "{error}");
        }
        kek_from_file(&written(&encode(&rand::random::<[u8; 32]>()))).unwrap();
        for placeholder in ["x".repeat(40), "changeme".repeat(5), "0123456789".repeat(4)] {
            let error = join_secret_from_file(&written(&placeholder)).unwrap_err().to_string();
            assert!(error.contains("placeholder") && !error.contains(&placeholder), "{error}");
        }
        join_secret_from_file(&written("4f0c2a97d1b86e35f0a94c7be2d15836")).unwrap();
    }
}
