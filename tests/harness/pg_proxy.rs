//! Between the product and its database: takes the condition on the tenant out of every statement that passes, so that what
//! still keeps tenants apart is the database's own row-level security.
//!
//! Speaks as much of PostgreSQL's protocol 3 as it needs to find the statements: all else passes as it came.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;
use url::Url;

/// Largest message that passes.
const MESSAGE_MAX: usize = 64 << 20;
/// What a client asks before it says who it is, instead of a protocol version.
const TLS_PLEASE: u32 = 80_877_103;
const GSS_PLEASE: u32 = 80_877_104;

/// The running proxy.
#[derive(Debug)]
pub struct PgProxy {
    /// The database, through the proxy.
    pub url: String,
    unfiltered: Arc<AtomicUsize>,
    listen: JoinHandle<()>,
}

/// Where the database really is.
#[derive(Debug, Clone)]
enum Target {
    Port(String),
    Socket(PathBuf),
}

impl PgProxy {
    /// Stands before a database of the server that `url` names.
    ///
    /// # Errors
    /// When the address cannot be read or there is no free port.
    pub async fn before(url: &str, database: &str) -> Result<Self> {
        let url = Url::parse(url)?;
        let target = Target::of(&url)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut through = url;
        through.set_query(Some("sslmode=disable"));
        through.set_path(database);
        through.set_host(Some("127.0.0.1"))?;
        through
            .set_port(Some(listener.local_addr()?.port()))
            .map_err(|()| anyhow::anyhow!("no port in {through}"))?;
        let unfiltered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&unfiltered);
        let listen = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (target, count) = (target.clone(), Arc::clone(&count));
                // A connection that breaks is the business of its two ends.
                tokio::spawn(async move { connect(near, &target, &count).await });
            }
        });
        Ok(Self { url: through.into(), unfiltered, listen })
    }

    /// How many statements lost a condition.
    #[must_use]
    pub fn unfiltered(&self) -> usize {
        self.unfiltered.load(Ordering::Relaxed)
    }
}

impl Drop for PgProxy {
    fn drop(&mut self) {
        self.listen.abort();
    }
}

impl Target {
    fn of(url: &Url) -> Result<Self> {
        let given =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let port = url.port().map(|port| port.to_string()).or_else(|| given("port"));
        let port = port.unwrap_or_else(|| "5432".to_owned());
        let host = given("host").or_else(|| url.host_str().map(str::to_owned)).context("no host")?;
        Ok(if host.starts_with('/') {
            Self::Socket(PathBuf::from(host).join(format!(".s.PGSQL.{port}")))
        } else {
            Self::Port(format!("{host}:{port}"))
        })
    }
}

async fn connect(near: TcpStream, target: &Target, count: &AtomicUsize) -> Result<()> {
    match target {
        Target::Port(address) => {
            let (read, write) = TcpStream::connect(address).await?.into_split();
            carry(near, read, write, count).await
        }
        Target::Socket(path) => {
            let (read, write) = UnixStream::connect(path).await?.into_split();
            carry(near, read, write, count).await
        }
    }
}

async fn carry<R, W>(near: TcpStream, mut answers: R, mut questions: W, count: &AtomicUsize) -> Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (mut asks, mut gets) = near.into_split();
    // The first message has no type; encryption is declined, since nothing could be read then.
    let first = loop {
        let message = sized(&mut asks).await?;
        let code = message.get(..4).and_then(|code| code.try_into().ok()).map(u32::from_be_bytes);
        if !matches!(code, Some(TLS_PLEASE | GSS_PLEASE)) {
            break message;
        }
        gets.write_all(b"N").await?;
    };
    send(&mut questions, &first).await?;
    let there = async {
        loop {
            let kind = asks.read_u8().await?;
            let mut message = sized(&mut asks).await?;
            if kind == b'P' && forget_the_tenant(&mut message)? {
                count.fetch_add(1, Ordering::Relaxed);
            }
            questions.write_u8(kind).await?;
            send(&mut questions, &message).await?;
        }
    };
    tokio::select! {
        ended = there => ended,
        copied = copy(&mut answers, &mut gets) => { copied?; Ok(()) }
    }
}

async fn sized(from: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let length = from.read_u32().await? as usize;
    ensure!((4..MESSAGE_MAX).contains(&length), "a message of {length} bytes");
    let mut body = vec![0; length - 4];
    from.read_exact(&mut body).await?;
    Ok(body)
}

async fn send(to: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> Result<()> {
    to.write_u32(u32::try_from(body.len() + 4)?).await?;
    to.write_all(body).await?;
    Ok(to.flush().await?)
}

/// Rewrites the statement of a Parse message (name, statement, parameter types), and says whether it did.
fn forget_the_tenant(message: &mut Vec<u8>) -> Result<bool> {
    let end = |from: usize| message[from..].iter().position(|byte| *byte == 0).map(|at| from + at);
    let Some((start, stop)) = end(0).and_then(|name| Some((name + 1, end(name + 1)?))) else {
        bail!("a statement without an end");
    };
    let statement = std::str::from_utf8(&message[start..stop])?;
    let Some(without) = without_tenant(statement) else { return Ok(false) };
    message.splice(start..stop, without.into_bytes());
    Ok(true)
}

/// The statement without its conditions on the tenant; `None` where it has none. What is inserted stays: a row needs a tenant.
fn without_tenant(statement: &str) -> Option<String> {
    let mut words = statement.split_whitespace();
    let first = words.next()?.to_ascii_uppercase();
    if first == "INSERT" {
        return None;
    }
    let mut text = replace(statement, "tenant_id");
    // The table of tenants calls it `id`; who may read there is no secret, who may write is.
    if first == "UPDATE" && words.next() == Some("tenants") {
        text = replace(&text, "id");
    }
    (text != statement).then_some(text)
}

/// Puts `($n::uuid IS NOT NULL)` in the place of each `column = $n`, with or without the table's name before it.
fn replace(statement: &str, column: &str) -> String {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut out = String::with_capacity(statement.len());
    let mut rest = statement;
    while let Some(at) = rest.find(column) {
        let (before, after) = (&rest[..at], &rest[at + column.len()..]);
        let digits = after.trim_start().strip_prefix('=').map(str::trim_start);
        let digits = digits.and_then(|text| text.strip_prefix('$'));
        let number: String = digits.unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        let whole = !before.as_bytes().last().is_some_and(|byte| word(*byte));
        let (Some(digits), true, false) = (digits, whole, number.is_empty()) else {
            out.push_str(&rest[..at + column.len()]);
            rest = after;
            continue;
        };
        let qualified = before.strip_suffix('.');
        let bare = qualified.map(|text| text.trim_end_matches(|c: char| c.is_ascii() && word(c as u8)));
        out.push_str(bare.unwrap_or(before));
        out.push_str(&format!("(${number}::uuid IS NOT NULL)"));
        rest = &digits[number.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_on_the_tenant_goes_and_all_else_stays() {
        for (given, wanted) in [
            (
                "SELECT name FROM keys WHERE tenant_id = $1 AND id = $2",
                "SELECT name FROM keys WHERE ($1::uuid IS NOT NULL) AND id = $2",
            ),
            (
                "SELECT 1 FROM a JOIN b ON b.tenant_id = a.tenant_id WHERE a.tenant_id=$12 OR b.tenant_id = $1",
                "SELECT 1 FROM a JOIN b ON b.tenant_id = a.tenant_id WHERE ($12::uuid IS NOT NULL) OR ($1::uuid IS NOT NULL)",
            ),
            ("DELETE FROM a WHERE tenant_id = $1", "DELETE FROM a WHERE ($1::uuid IS NOT NULL)"),
            (
                "UPDATE tenants SET name = $2 WHERE id = $1",
                "UPDATE tenants SET name = $2 WHERE ($1::uuid IS NOT NULL)",
            ),
        ] {
            assert_eq!(without_tenant(given).as_deref(), Some(wanted));
        }
        for same in [
            "INSERT INTO a (tenant_id) SELECT 1 WHERE tenant_id = $1",
            "SELECT name FROM tenants WHERE id = $1",
            "SELECT 1 FROM a WHERE other_tenant_id = $1 AND tenant_id = b.tenant_id",
        ] {
            assert_eq!(without_tenant(same), None, "{same}");
        }
    }

    #[test]
    fn a_parse_message_keeps_its_name_and_its_types() -> Result<()> {
        let mut message = b"s1\0SELECT 1 FROM a WHERE tenant_id = $1\0\0\x01\0\0\x0b\x86".to_vec();
        assert!(forget_the_tenant(&mut message)?);
        assert_eq!(message, b"s1\0SELECT 1 FROM a WHERE ($1::uuid IS NOT NULL)\0\0\x01\0\0\x0b\x86");
        Ok(())
    }
}
