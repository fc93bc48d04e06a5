//! The node's configuration: read once from the environment, checked whole before anything is bound.
//!
//! The only module that knows `std::env`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use toolmesh_proto::egress::EgressPolicy;
use url::Url;

/// Everything a node is told from outside.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the control plane's gRPC port is.
    pub control_url: Url,
    /// What proves that this node may join; also opens credentials and the ledger.
    pub join_secret: SecretString,
    pub http_listen: SocketAddr,
    /// Where other nodes reach this one; `None` for a node that is alone.
    pub peer: Option<PeerConfig>,
    /// Folder of the ledger and the audit spool; of this node alone.
    pub state_dir: PathBuf,
    /// A name operators recognise, unique in the deployment.
    pub node_name: String,
    pub egress: EgressPolicy,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub limits: Limits,
}

/// The door for other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    pub listen: SocketAddr,
    /// What the others connect to, `host:port`; `None` for the address that it listens on.
    pub address: Option<String>,
}

/// How much may wait for clients at a time.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub caller: usize,
    pub tenant: usize,
    pub node: usize,
}

/// Requests per minute; 0 for no limit.
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    pub tenant: u32,
    /// Of one caller, over all their clients and keys.
    pub caller: u32,
    pub api_key: u32,
}

/// Every bound on size and time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of a request's body.
    pub request_bytes: usize,
    /// Longest wait for a request's body.
    pub request_read: Duration,
    /// Most bytes of requests' bodies that are in memory at a time, over all tenants.
    pub bodies_bytes: usize,
    /// Most calls of one tenant's tools at a time.
    pub tenant_calls: usize,
    /// Most calls at a time, over all tenants.
    pub node_calls: usize,
    /// Most streams of one caller that listen for changes at a time.
    pub caller_streams: usize,
    /// The same, of one tenant.
    pub tenant_streams: usize,
    /// The same, over all tenants.
    pub node_streams: usize,
    /// How often callers may ask; a tenant may lower it for itself.
    pub rates: RateLimits,
    /// Most questions to clients that wait for an answer, and as many calls that wait for their clients' next request.
    pub waiting: Waiting,
    /// Most names of APIs that are looked up at a time.
    pub lookups: usize,
    /// Longest wait for a name's addresses, the wait for a turn included.
    pub lookup: Duration,
    /// Most bytes of an API's answer.
    pub answer_bytes: usize,
    /// Longest wait for a connection to an API, TLS included.
    pub connect: Duration,
    /// Longest wait for an API's whole answer.
    pub call: Duration,
    /// A call that takes longer is answered as an event stream, if the client takes one.
    pub stream_after: Duration,
    /// How often such a stream shows that it lives.
    pub stream_beat: Duration,
    /// Most connections at a time; more wait to be accepted.
    pub connections: usize,
    /// Most bytes of audit events that wait on disk for the control plane.
    pub spool_bytes: u64,
    /// Longest wait for open requests and calls when the node stops.
    pub drain: Duration,
    /// Longest a stop takes in all: the drain, and what is left to be shipped.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 4 << 20,
            request_read: Duration::from_secs(30),
            bodies_bytes: 256 << 20,
            tenant_calls: 256,
            node_calls: 1024,
            caller_streams: 16,
            tenant_streams: 512,
            node_streams: 4096,
            rates: RateLimits { tenant: 6000, caller: 600, api_key: 600 },
            waiting: Waiting { caller: 32, tenant: 512, node: 4096 },
            lookups: 64,
            lookup: Duration::from_secs(5),
            answer_bytes: 4 << 20,
            connect: Duration::from_secs(5),
            call: Duration::from_secs(30),
            stream_after: Duration::from_secs(5),
            stream_beat: Duration::from_secs(10),
            connections: 10_000,
            spool_bytes: 256 << 20,
            drain: Duration::from_secs(11),
            stop: Duration::from_secs(15),
        }
    }
}

/// How the process logs.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// A `tracing` filter.
    pub filter: String,
    pub json: bool,
}

/// A setting that is missing or wrong, and what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{0} is not set; it must hold {1}")]
    Missing(&'static str, &'static str),
    #[error("{name} is wrong: {reason}")]
    Invalid { name: &'static str, reason: String },
}

type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// Names the first setting that is missing or wrong.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(&environment)
    }

    fn read(get: Read<'_>) -> Result<Self, ConfigError> {
        let control = required(get, "TOOLMESH_CONTROL_URL", "the control plane's address, http://host:port")?;
        let secret =
            required(get, "TOOLMESH_JOIN_SECRET_FILE", "the path of the file that holds the join secret")?;
        let state = required(get, "TOOLMESH_STATE_DIR", "a folder for this node's own files")?;
        let listen = get("TOOLMESH_HTTP_LISTEN").unwrap_or_else(|| "127.0.0.1:0".to_owned());
        Ok(Self {
            control_url: control_url(&control)?,
            join_secret: join_secret(&PathBuf::from(secret))?,
            http_listen: listen
                .parse()
                .map_err(|_| invalid("TOOLMESH_HTTP_LISTEN", "write it as address:port"))?,
            peer: peer(get)?,
            state_dir: state.into(),
            node_name: node_name(required(
                get,
                "TOOLMESH_NODE_NAME",
                "a name for this node, unique among nodes",
            )?)?,
            egress: EgressPolicy { allow_private: flag(get, "TOOLMESH_ALLOW_PRIVATE_UPSTREAMS")? },
            trusted_proxies: networks(get)?,
            limits: Limits { rates: rates(get)?, ..Limits::default() },
        })
    }
}

impl LogConfig {
    /// Reads the environment; what is missing has a default.
    ///
    /// # Errors
    /// When the format is none that is known.
    pub fn from_env() -> Result<Self, ConfigError> {
        let json = match environment("TOOLMESH_LOG_FORMAT").as_deref() {
            None | Some("text") => false,
            Some("json") => true,
            Some(_) => return Err(invalid("TOOLMESH_LOG_FORMAT", "use json or text")),
        };
        Ok(Self { filter: environment("TOOLMESH_LOG").unwrap_or_else(|| "info".to_owned()), json })
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn invalid(name: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { name, reason: reason.into() }
}

fn required(get: Read<'_>, name: &'static str, what: &'static str) -> Result<String, ConfigError> {
    get(name).ok_or(ConfigError::Missing(name, what))
}

fn control_url(text: &str) -> Result<Url, ConfigError> {
    let name = "TOOLMESH_CONTROL_URL";
    let url = Url::parse(text.trim()).map_err(|_| invalid(name, "write it as http://host:port"))?;
    // The stream is authenticated and credentials in it are sealed; TLS in front of it is the network's.
    if url.scheme() != "http" || url.host_str().is_none() {
        return Err(invalid(name, "write it as http://host:port"));
    }
    Ok(url)
}

fn join_secret(path: &std::path::Path) -> Result<SecretString, ConfigError> {
    let name = "TOOLMESH_JOIN_SECRET_FILE";
    let text = std::fs::read_to_string(path)
        .map_err(|error| invalid(name, format!("{} cannot be read ({error})", path.display())))?;
    let text = zeroize::Zeroizing::new(text);
    if text.trim().len() < 32 {
        return Err(invalid(name, format!("{} holds fewer than 32 characters", path.display())));
    }
    Ok(SecretString::from(text.trim()))
}

fn node_name(name: String) -> Result<String, ConfigError> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fits {
        Ok(name)
    } else {
        Err(invalid("TOOLMESH_NODE_NAME", "use 1 to 64 letters, digits, hyphens, dots and underscores"))
    }
}

fn peer(get: Read<'_>) -> Result<Option<PeerConfig>, ConfigError> {
    let (listen_name, address_name) = ("TOOLMESH_PEER_LISTEN", "TOOLMESH_PEER_ADDRESS");
    let address = get(address_name).map(|text| text.trim().to_owned());
    let Some(listen) = get(listen_name) else {
        return match address {
            None => Ok(None),
            Some(_) => Err(invalid(listen_name, "it must be set where TOOLMESH_PEER_ADDRESS is")),
        };
    };
    let listen: SocketAddr = listen.parse().map_err(|_| invalid(listen_name, "write it as address:port"))?;
    let sound = |text: &String| {
        Url::parse(&format!("http://{text}/")).is_ok_and(|url| {
            url.path() == "/" && url.port().is_some() && url.username().is_empty() && url.query().is_none()
        })
    };
    match address {
        Some(address) if !sound(&address) => Err(invalid(address_name, "write it as host:port")),
        None if listen.ip().is_unspecified() => {
            Err(invalid(address_name, "say what other nodes reach this one by, as host:port"))
        }
        address => Ok(Some(PeerConfig { listen, address })),
    }
}

fn rates(get: Read<'_>) -> Result<RateLimits, ConfigError> {
    let default = Limits::default().rates;
    let read = |name: &'static str, default: u32| match get(name) {
        None => Ok(default),
        Some(text) => {
            text.trim().parse().map_err(|_| invalid(name, "write requests per minute, 0 for no limit"))
        }
    };
    Ok(RateLimits {
        tenant: read("TOOLMESH_TENANT_REQUESTS_PER_MINUTE", default.tenant)?,
        caller: read("TOOLMESH_CALLER_REQUESTS_PER_MINUTE", default.caller)?,
        api_key: read("TOOLMESH_API_KEY_REQUESTS_PER_MINUTE", default.api_key)?,
    })
}

fn flag(get: Read<'_>, name: &'static str) -> Result<bool, ConfigError> {
    match get(name).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(invalid(name, "use true or false")),
    }
}

fn networks(get: Read<'_>) -> Result<Vec<IpNet>, ConfigError> {
    let name = "TOOLMESH_TRUSTED_PROXIES";
    let text = get(name).unwrap_or_default();
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            part.parse().map_err(|_| invalid(name, format!("{part:?} is no network; write 10.0.0.0/8")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "0123456789012345678901234567890123456789\n").unwrap();
        let mut all: HashMap<String, String> = [
            ("TOOLMESH_CONTROL_URL", "http://127.0.0.1:9000"),
            ("TOOLMESH_JOIN_SECRET_FILE", secret.to_str().unwrap()),
            ("TOOLMESH_STATE_DIR", "/tmp/x"),
            ("TOOLMESH_NODE_NAME", "node-1"),
        ]
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        all.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Config::read(&|name| all.get(name).cloned().filter(|value| !value.is_empty()))
    }

    #[test]
    fn a_whole_configuration_is_read_and_the_secret_stays_out_of_debug_output() {
        let config = read(&[("TOOLMESH_TRUSTED_PROXIES", "127.0.0.1/32, 10.0.0.0/8")]).unwrap();
        assert_eq!(config.trusted_proxies.len(), 2);
        assert!(!format!("{config:?}").contains("0123456789"));
    }

    #[test]
    fn a_node_has_a_door_for_others_only_where_it_is_told_so_and_they_can_reach_it() {
        assert_eq!(read(&[]).unwrap().peer, None);
        let local = read(&[("TOOLMESH_PEER_LISTEN", "127.0.0.1:0")]).unwrap().peer.unwrap();
        assert_eq!(local.address, None);
        let (listen, address) = ("TOOLMESH_PEER_LISTEN", "TOOLMESH_PEER_ADDRESS");
        let named = read(&[(listen, "0.0.0.0:9100"), (address, "node-1.nodes:9100")]).unwrap();
        assert_eq!(named.peer.unwrap().address.as_deref(), Some("node-1.nodes:9100"));
        assert!(read(&[(listen, "0.0.0.0:9100")]).unwrap_err().to_string().contains(address));
        assert!(read(&[(address, "node-1.nodes:9100")]).unwrap_err().to_string().contains(listen));
        for wrong in ["node-1", "http://node-1:9100", "node-1:9100/x", "me@node-1:9100"] {
            assert!(read(&[(listen, "0.0.0.0:9100"), (address, wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (name, value) in [
            ("TOOLMESH_CONTROL_URL", ""),
            ("TOOLMESH_CONTROL_URL", "control:9000"),
            ("TOOLMESH_JOIN_SECRET_FILE", "/does/not/exist"),
            ("TOOLMESH_HTTP_LISTEN", "8080"),
            ("TOOLMESH_PEER_LISTEN", "8081"),
            ("TOOLMESH_CALLER_REQUESTS_PER_MINUTE", "many"),
            ("TOOLMESH_NODE_NAME", "a b"),
            ("TOOLMESH_ALLOW_PRIVATE_UPSTREAMS", "yes"),
            ("TOOLMESH_TRUSTED_PROXIES", "localhost"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
