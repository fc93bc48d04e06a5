//! The addresses people use: the console's origin and the pattern of the workspaces' origins.

use toolmesh_proto::slug::{TenantOrigins, host_of};
use url::{Host, Url};

/// Where the console and the workspaces are, as a browser sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    /// `http://localhost:8080`, no trailing slash.
    pub console: String,
    /// `http://{slug}.localhost:8080`
    pub tenant: String,
    /// Host of the console, lower case, without port.
    pub console_host: String,
    /// `http` or `https`, as a browser speaks it.
    pub scheme: &'static str,
    /// Whether a proxy or tunnel stands in front, named by `--public-url`.
    pub public: bool,
}

/// A `--public-url` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--public-url {given:?} cannot be used: {reason}. Write it like https://tools.example.com.")]
pub struct PublicUrlError {
    given: String,
    reason: &'static str,
}

impl Origins {
    /// On this machine only.
    #[must_use]
    pub fn local(port: u16) -> Self {
        let port = if port == 80 { String::new() } else { format!(":{port}") };
        Self {
            console: format!("http://localhost{port}"),
            tenant: format!("http://{{slug}}.localhost{port}"),
            console_host: "localhost".to_owned(),
            scheme: "http",
            public: false,
        }
    }

    /// Behind a TLS proxy or tunnel. Workspaces are subdomains of the console's host.
    ///
    /// # Errors
    /// When the URL is no plain origin with a domain name.
    pub fn public(text: &str) -> Result<Self, PublicUrlError> {
        let error = |reason| PublicUrlError { given: text.to_owned(), reason };
        let url = Url::parse(text).map_err(|_| error("it is no URL"))?;
        let scheme = match url.scheme() {
            "https" => "https",
            "http" => "http",
            _ => return Err(error("it must start with https:// or http://")),
        };
        if url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
        {
            return Err(error("it must be an origin alone, without path, query or user"));
        }
        let Some(Host::Domain(domain)) = url.host() else {
            return Err(error("an IP address has no subdomains for the workspaces"));
        };
        let host = host_of(domain).ok_or_else(|| error("its host is no domain name"))?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let tenant = format!("{scheme}://{{slug}}.{host}{port}");
        TenantOrigins::parse(&tenant).map_err(|_| error("its subdomains would be no valid origins"))?;
        Ok(Self {
            console: format!("{scheme}://{host}{port}"),
            tenant,
            console_host: host,
            scheme,
            public: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_one_machine_workspaces_are_subdomains_of_localhost() {
        let origins = Origins::local(8080);
        assert_eq!(origins.console, "http://localhost:8080");
        assert_eq!(origins.tenant, "http://{slug}.localhost:8080");
        assert_eq!(Origins::local(80).console, "http://localhost");
    }

    #[test]
    fn a_public_url_gives_both_origins() {
        let origins = Origins::public("https://Tools.Example.com/").unwrap();
        assert_eq!(origins.console, "https://tools.example.com");
        assert_eq!(origins.tenant, "https://{slug}.tools.example.com");
        assert_eq!(
            Origins::public("https://t.example.com:8443").unwrap().console,
            "https://t.example.com:8443"
        );
    }

    #[test]
    fn a_public_url_that_cannot_work_says_why() {
        for bad in [
            "tools.example.com",
            "ftp://x.com",
            "https://1.2.3.4",
            "https://x.com/app",
            "https://u@x.com",
            "https://[::1]",
        ] {
            let error = Origins::public(bad).unwrap_err().to_string();
            assert!(error.contains("--public-url") && error.contains("https://tools.example.com"), "{error}");
        }
    }
}
