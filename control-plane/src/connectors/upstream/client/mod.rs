//! Looking at an MCP server: which era and transport it speaks, and everything that it lists.
//!
//! It is asked as the newest revision wants it first, then as the older ones do, then by the oldest transport. Each answer is
//! bounded in size and time, and so is all of them together. Knows nothing of workspaces and keeps nothing.

mod events;
mod trouble;
mod wire;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use toolmesh_proto::v1;
use url::Url;

pub use self::trouble::Trouble;
use self::trouble::quoted;
use self::wire::{Reply, Wire};
use super::definitions::{Definition, Kind};
use crate::outbound::Outbound;

/// Longest look at one server.
const LOOK: Duration = Duration::from_secs(30);
/// Pages of one list.
const MAX_PAGES: usize = 100;
/// Things of one kind.
const MAX_OF_KIND: usize = 1_000;
/// What is said of itself to models, in characters.
const MAX_INSTRUCTIONS: usize = 20_000;
/// Sentences about what was left out.
const MAX_NOTES: usize = 20;

/// The stateless revision.
const MODERN: &str = "2026-07-28";
/// Those before it, from the newest.
const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// JSON-RPC: the version of the protocol is not one that the server speaks.
const UNSUPPORTED_VERSION: i64 = -32022;
const METHOD_NOT_FOUND: i64 = -32601;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub transport: v1::mcp_server::Transport,
    pub revision: String,
    pub name: String,
    pub title: String,
    pub version: String,
    /// As it told them.
    pub capabilities: String,
    pub definitions: Vec<Definition>,
    /// Kinds whose list could not be read: what was known of them still holds.
    pub unread: Vec<Kind>,
    /// What was left out and why, in sentences.
    pub notes: Vec<String>,
}

/// Looks at a server; `credentials` are the headers that it is shown.
///
/// # Errors
/// Says why there is nothing to see.
pub async fn look(outbound: &Outbound, url: &Url, credentials: &HeaderMap) -> Result<Found, Trouble> {
    tokio::time::timeout(LOOK, by_any_way(outbound, url, credentials))
        .await
        .map_err(|_| Trouble::Slow(LOOK))?
}

async fn by_any_way(outbound: &Outbound, url: &Url, credentials: &HeaderMap) -> Result<Found, Trouble> {
    let wire = || Wire::new(outbound, url.clone(), credentials.clone());
    match modern(wire()).await {
        Ok(Some(found)) => return Ok(found),
        Ok(None) => {}
        Err(trouble) if trouble.may_be_the_way() => {}
        Err(trouble) => return Err(trouble),
    }
    let first = match legacy(wire()).await {
        Ok(found) => return Ok(found),
        Err(trouble) if trouble.may_be_the_way() => trouble,
        Err(trouble) => return Err(trouble),
    };
    let mut older = wire();
    match older.listen().await {
        Ok(()) => legacy(older).await,
        // What the newer transport said is closer to what is wrong.
        Err(Trouble::Unauthorized(challenge)) => Err(Trouble::Unauthorized(challenge)),
        Err(_) => Err(first),
    }
}

/// The stateless era; `None` where the server is of the older one.
async fn modern(mut wire: Wire<'_>) -> Result<Option<Found>, Trouble> {
    wire.revision = Some(HeaderValue::from_static(MODERN));
    wire.names_methods = true;
    let speaks = |data: &Json, version: &str| {
        data["supported"].as_array().is_some_and(|all| all.contains(&version.into()))
    };
    let mut asked = wire.ask("server/discover", params(true, None)).await?;
    if matches!(&asked, Reply::Error { code: UNSUPPORTED_VERSION, data, .. } if speaks(data, MODERN)) {
        // It names what it was asked in: once more, as it wants.
        asked = wire.ask("server/discover", params(true, None)).await?;
    }
    let result = match asked {
        Reply::Result(result) => result,
        Reply::Error { code: UNSUPPORTED_VERSION, data, .. } => {
            if LEGACY.into_iter().any(|version| speaks(&data, version)) {
                return Ok(None);
            }
            let text = "it speaks none of the revisions of the protocol that are known here";
            return Err(Trouble::NotMcp(text.to_owned()));
        }
        Reply::Error { .. } => return Ok(None),
    };
    let told: Json = read(&result)?;
    if !told["supportedVersions"].as_array().is_some_and(|all| all.contains(&MODERN.into())) {
        return Ok(None);
    }
    let info = told["_meta"]["io.modelcontextprotocol/serverInfo"].clone();
    let mut found = Found::of(MODERN, v1::mcp_server::Transport::StreamableHttp, &told, &info);
    found.list(&mut wire, &told["capabilities"], true).await?;
    Ok(Some(found))
}

/// The era of sessions, over either transport.
async fn legacy(mut wire: Wire<'_>) -> Result<Found, Trouble> {
    let hello = json!({
        "protocolVersion": LEGACY[0],
        "capabilities": can(),
        "clientInfo": { "name": "ToolMesh", "version": env!("CARGO_PKG_VERSION") },
    });
    let result = wire.ask("initialize", hello).await?.result("initialize")?;
    let told: Json = read(&result)?;
    let revision = told["protocolVersion"].as_str().unwrap_or_default();
    let Some(revision) = LEGACY.into_iter().find(|known| *known == revision) else {
        let text = format!(
            "it answers in the revision {:?} of the protocol, which is not known here",
            quoted(revision)
        );
        return Err(Trouble::NotMcp(text));
    };
    // The revisions before it do not know the header.
    if revision >= "2025-06-18" {
        wire.revision = Some(HeaderValue::from_static(revision));
    }
    wire.tell("notifications/initialized").await?;
    let transport = if wire.is_sse() {
        v1::mcp_server::Transport::HttpSse
    } else {
        v1::mcp_server::Transport::StreamableHttp
    };
    let mut found = Found::of(revision, transport, &told, &told["serverInfo"]);
    let listed = found.list(&mut wire, &told["capabilities"], false).await;
    wire.goodbye().await;
    listed.map(|()| found)
}

/// The list of one kind.
struct List {
    kind: Kind,
    capability: &'static str,
    method: &'static str,
    member: &'static str,
    words: &'static str,
}

const LISTS: [List; 4] = [
    List { kind: Kind::Tool, capability: "tools", method: "tools/list", member: "tools", words: "tools" },
    List {
        kind: Kind::Prompt,
        capability: "prompts",
        method: "prompts/list",
        member: "prompts",
        words: "prompts",
    },
    List {
        kind: Kind::Resource,
        capability: "resources",
        method: "resources/list",
        member: "resources",
        words: "resources",
    },
    List {
        kind: Kind::Template,
        capability: "resources",
        method: "resources/templates/list",
        member: "resourceTemplates",
        words: "resource templates",
    },
];

impl Found {
    fn of(revision: &str, transport: v1::mcp_server::Transport, told: &Json, info: &Json) -> Self {
        let text = |name: &str| quoted(info[name].as_str().unwrap_or_default()).chars().take(120).collect();
        let capabilities = &told["capabilities"];
        let instructions: String =
            told["instructions"].as_str().unwrap_or_default().chars().take(MAX_INSTRUCTIONS).collect();
        let said = Some(instructions).filter(|text| !text.trim().is_empty());
        Self {
            transport,
            revision: revision.to_owned(),
            name: text("name"),
            title: text("title"),
            version: text("version"),
            capabilities: if capabilities.is_object() { capabilities.to_string() } else { "{}".to_owned() },
            definitions: said.iter().map(|text| Definition::instructions(text)).collect(),
            ..Self::default()
        }
    }

    /// Reads every list that the server says it has. Without its tools there is nothing to go by; another list that fails is
    /// noted and what was known of it holds.
    async fn list(&mut self, wire: &mut Wire<'_>, capabilities: &Json, modern: bool) -> Result<(), Trouble> {
        for list in LISTS.iter().filter(|list| capabilities.get(list.capability).is_some()) {
            match self.read_list(wire, list, modern).await {
                Ok(()) => {}
                Err(Trouble::Refused { message, .. }) if list.kind != Kind::Tool => {
                    self.definitions.retain(|known| known.kind != list.kind);
                    self.unread.push(list.kind);
                    self.note(format!("Its {} could not be read; it answered: {message}", list.words));
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }

    async fn read_list(&mut self, wire: &mut Wire<'_>, list: &List, modern: bool) -> Result<(), Trouble> {
        let mut cursor: Option<String> = None;
        let mut seen = HashSet::new();
        for _ in 0..MAX_PAGES {
            let result = match wire.ask(list.method, params(modern, cursor.as_deref())).await? {
                Reply::Result(result) => result,
                // Some servers tell of a capability and lack the method.
                Reply::Error { code: METHOD_NOT_FOUND, .. } if list.kind != Kind::Tool => return Ok(()),
                error @ Reply::Error { .. } => error.result(list.method)?,
            };
            let page: Page<'_> = read(&result)?;
            for raw in page.items(list.member)? {
                match Definition::read(list.kind, raw.get()) {
                    Ok(definition) if !seen.insert(definition.name.clone()) => {
                        self.note(format!(
                            "The {} {} is named twice; the first counts.",
                            list.kind.as_str(),
                            definition.name
                        ));
                    }
                    Ok(_) if seen.len() > MAX_OF_KIND => return Err(Trouble::Endless(list.words)),
                    Ok(definition) => {
                        let bad = definition.bad_headers(modern);
                        if bad.is_none() || !modern {
                            self.definitions.push(definition);
                        }
                        bad.into_iter().for_each(|why| self.note(why));
                    }
                    Err(why) => self.note(why),
                }
            }
            match page.next() {
                None => return Ok(()),
                // A cursor that leads back to itself leads nowhere else.
                Some(next) if cursor.as_ref() == Some(&next) => return Err(Trouble::Endless(list.words)),
                next => cursor = next,
            }
        }
        Err(Trouble::Endless(list.words))
    }

    fn note(&mut self, sentence: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(sentence);
        }
    }
}

/// A page of a list, its items unread.
#[derive(Deserialize)]
struct Page<'a>(#[serde(borrow)] HashMap<String, &'a RawValue>);

impl<'a> Page<'a> {
    fn items(&self, member: &str) -> Result<Vec<&'a RawValue>, Trouble> {
        let wrong = || Trouble::NotMcp(format!("its answer has no list of {member}"));
        let items = self.0.get(member).ok_or_else(wrong)?;
        serde_json::from_str(items.get()).map_err(|_| wrong())
    }

    fn next(&self) -> Option<String> {
        let next: Option<String> = serde_json::from_str(self.0.get("nextCursor")?.get()).ok()?;
        next
    }
}

fn read<'a, T: Deserialize<'a>>(result: &'a RawValue) -> Result<T, Trouble> {
    serde_json::from_str(result.get())
        .map_err(|_| Trouble::NotMcp("its answer is not what the protocol has".to_owned()))
}

/// What members' clients may be able to do. Some servers offer a tool only to clients that can be asked what it asks; here it is
/// found, and whoever calls it is told if their client cannot.
fn can() -> Json {
    json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} })
}

/// What each request of the stateless era says of its sender.
fn params(modern: bool, cursor: Option<&str>) -> Json {
    let mut params = json!({});
    if modern {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": { "name": "ToolMesh", "version": env!("CARGO_PKG_VERSION") },
            "io.modelcontextprotocol/clientCapabilities": can(),
        });
    }
    if let Some(cursor) = cursor {
        params["cursor"] = cursor.into();
    }
    params
}
