//! The protocol's own JSON schemas, revision by revision, and messages held to them. The folder with the schemas is named by
//! `TOOLMESH_MCP_SCHEMA`; without it nothing is checked, and the run says so once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use http::HeaderMap;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// The revision without handshake.
pub const MODERN: &str = "2026-07-28";
/// Those that begin with `initialize`, oldest first.
pub const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

const FOLDER: &str = "TOOLMESH_MCP_SCHEMA";
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Longest part of a broken rule that is shown.
const SHOWN: usize = 600;

/// All revisions.
pub struct Schemas(BTreeMap<String, Revision>);

struct Revision {
    document: Value,
    /// Where definitions stand in it.
    place: &'static str,
    /// By the method of a request or notification: the name of its definition.
    methods: BTreeMap<String, String>,
    built: Mutex<BTreeMap<String, Arc<Validator>>>,
}

static SCHEMAS: OnceLock<Option<Schemas>> = OnceLock::new();

impl Schemas {
    /// The schemas of this machine, if it has them.
    ///
    /// # Panics
    /// When the folder is named and cannot be read: a check that is left out by mistake is worse than none.
    #[expect(clippy::expect_used, reason = "the folder is part of how the tests are started")]
    pub fn shared() -> Option<&'static Self> {
        SCHEMAS
            .get_or_init(|| {
                let Some(folder) = std::env::var_os(FOLDER) else {
                    eprintln!("{FOLDER} is not set: messages are not checked against the protocol's schemas");
                    return None;
                };
                Some(Self::read(Path::new(&folder)).expect("the protocol's schemas cannot be read"))
            })
            .as_ref()
    }

    fn read(folder: &Path) -> Result<Self> {
        let revisions = LEGACY.into_iter().chain([MODERN]).map(|revision| {
            let file = folder.join(format!("{revision}.json"));
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            Ok((revision.to_owned(), Revision::new(serde_json::from_str(&text)?)?))
        });
        Ok(Self(revisions.collect::<Result<_>>()?))
    }

    fn revision(&self, name: &str) -> Result<&Revision> {
        self.0.get(name).with_context(|| format!("there is no schema of revision {name}"))
    }

    /// Holds a request or notification to the definition of its method. Methods that the revision does not have are held to the
    /// envelope alone.
    ///
    /// # Errors
    /// Names the part that breaks a rule, and the rule.
    pub fn said(&self, revision: &str, message: &Value) -> Result<()> {
        let schema = self.revision(revision)?;
        let method = message.get("method").and_then(Value::as_str).context("no method")?;
        let envelope = if message.get("id").is_some() { "JSONRPCRequest" } else { "JSONRPCNotification" };
        schema.check(envelope, message)?;
        schema.methods.get(method).map_or(Ok(()), |definition| schema.check(definition, message))
    }

    /// Holds an answer to what the revision says about answers to this method.
    ///
    /// # Errors
    /// Names the part that breaks a rule, and the rule.
    pub fn answered(&self, revision: &str, method: Option<&str>, message: &Value) -> Result<()> {
        let schema = self.revision(revision)?;
        if let Some(error) = message.get("error") {
            return schema.failed(revision, error, message);
        }
        let result =
            message.get("result").with_context(|| format!("neither result nor error in {message}"))?;
        let envelope = schema.first_of(&["JSONRPCResultResponse", "JSONRPCResponse"])?;
        schema.check(envelope, message)?;
        let Some(request) = method.and_then(|method| schema.methods.get(method)) else { return Ok(()) };
        if result.get("resultType").and_then(Value::as_str) == Some("input_required") {
            return schema.asked(result);
        }
        ensure!(
            revision == MODERN || result.get("resultType").is_none(),
            "resultType is not of revision {revision}: {result}"
        );
        let name = request.strip_suffix("Request").unwrap_or(request);
        let definition = format!("{name}Result");
        let definition = schema.first_of(&[&definition, "EmptyResult"])?;
        schema.check(definition, result)
    }
}

impl Revision {
    fn new(document: Value) -> Result<Self> {
        let place = if document.get("$defs").is_some() { "$defs" } else { "definitions" };
        let definitions = document.get(place).and_then(Value::as_object).context("no definitions")?;
        let methods = definitions.iter().filter(|(name, _)| {
            // These two stand for all that a side sends.
            !name.starts_with("Client") && !name.starts_with("Server")
        });
        let methods = methods.filter_map(|(name, definition)| {
            let method = definition.pointer("/properties/method/const")?.as_str()?;
            Some((method.to_owned(), name.clone()))
        });
        Ok(Self { methods: methods.collect(), place, built: Mutex::default(), document })
    }

    fn has(&self, definition: &str) -> bool {
        self.document.get(self.place).is_some_and(|all| all.get(definition).is_some())
    }

    fn first_of<'a>(&self, names: &[&'a str]) -> Result<&'a str> {
        let found = names.iter().copied().find(|name| self.has(name));
        found.with_context(|| format!("the schema defines none of {names:?}"))
    }

    fn validator(&self, definition: &str) -> Result<Arc<Validator>> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = built.get(definition) {
            return Ok(Arc::clone(validator));
        }
        let mut root: Map<String, Value> = self.document.as_object().cloned().unwrap_or_default();
        root.insert("allOf".to_owned(), json!([{ "$ref": format!("#/{}/{definition}", self.place) }]));
        let validator = jsonschema::validator_for(&Value::Object(root))
            .map_err(|error| anyhow::anyhow!("the definition {definition} is none: {error}"))?;
        let validator = Arc::new(validator);
        built.insert(definition.to_owned(), Arc::clone(&validator));
        Ok(validator)
    }

    fn check(&self, definition: &str, value: &Value) -> Result<()> {
        let validator = self.validator(definition)?;
        let Some(error) = validator.iter_errors(value).next() else { return Ok(()) };
        let (at, rule) = (error.instance_path().to_string(), error.schema_path().to_string());
        let said: String = error.to_string().chars().take(SHOWN).collect();
        let place = if at.is_empty() { "the whole".to_owned() } else { at };
        bail!("{definition}: {place} breaks {rule}: {said}")
    }

    /// An error, in the shape of its code where it has one.
    fn failed(&self, revision: &str, error: &Value, message: &Value) -> Result<()> {
        let code = error.get("code").and_then(Value::as_i64).context("an error without a code")?;
        let mut message = message.clone();
        let envelope = self.first_of(&["JSONRPCErrorResponse", "JSONRPCError"])?;
        if envelope == "JSONRPCError" && message.get("id").is_none_or(Value::is_null) {
            // JSON-RPC wants null where no id could be read; these revisions forgot that.
            message["id"] = json!(0);
        }
        self.check(envelope, &message)?;
        if revision == MODERN {
            ensure!(code != -32002 && code != -32042, "code {code} is not given to clients of this revision");
        }
        let shape = match code {
            -32020 => "HeaderMismatchError",
            -32021 => "MissingRequiredClientCapabilityError",
            -32022 => "UnsupportedProtocolVersionError",
            -32042 => "URLElicitationRequiredError",
            _ => return Ok(()),
        };
        if self.has(shape) { self.check(shape, &message) } else { Ok(()) }
    }

    /// A result that asks the client: each of its questions is a request of its own kind.
    fn asked(&self, result: &Value) -> Result<()> {
        self.check("InputRequiredResult", result)?;
        let requests = result.get("inputRequests").and_then(Value::as_object);
        ensure!(
            requests.is_some_and(|requests| !requests.is_empty()) || result.get("requestState").is_some(),
            "a result that asks nothing: {result}"
        );
        for (key, request) in requests.into_iter().flatten() {
            let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
            let definition = match method {
                "elicitation/create" => "ElicitRequest",
                "sampling/createMessage" => "CreateMessageRequest",
                "roots/list" => "ListRootsRequest",
                _ => bail!("{key} asks {method:?}, which no client is asked"),
            };
            self.check(definition, request).with_context(|| format!("inputRequests.{key}"))?;
        }
        Ok(())
    }
}

/// One POST: which revision it is in, and what was asked under which id.
#[derive(Debug, Clone)]
pub struct Exchange {
    revision: String,
    asked: BTreeMap<String, String>,
}

/// The messages of a body, one by one.
#[must_use]
pub fn messages(body: &[u8]) -> Vec<Value> {
    match serde_json::from_slice(body) {
        Ok(Value::Array(batch)) => batch,
        Ok(message) => vec![message],
        Err(_) => Vec::new(),
    }
}

fn is_date(text: &str) -> bool {
    let form = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    form.eq(*b"0000-00-00")
}

impl Exchange {
    /// Reads a request as a server would, however wrong it is.
    #[must_use]
    pub fn of(headers: &HeaderMap, body: &[u8]) -> Self {
        let header = headers.get("mcp-protocol-version").and_then(|value| value.to_str().ok());
        let messages = messages(body);
        let within = |pointer: &str| messages.iter().find_map(|message| message.pointer(pointer)?.as_str());
        let in_body = within(&format!("/params/_meta/{}", VERSION.replace('/', "~1")));
        let is_initialize = within("/method") == Some("initialize");
        let legacy = |text: &str| LEGACY.contains(&text).then(|| text.to_owned());
        let revision = match (header, in_body) {
            (Some(header), Some(body)) if header == body && LEGACY.contains(&header) => header.to_owned(),
            (_, Some(_)) => MODERN.to_owned(),
            (Some(header), None) if !is_initialize && is_date(header) && header >= MODERN => {
                MODERN.to_owned()
            }
            (Some(header), None) => legacy(header).unwrap_or_else(|| "2025-11-25".to_owned()),
            (None, None) => "2025-03-26".to_owned(),
        };
        let asked = messages.iter().filter_map(|message| {
            Some((message.get("id")?.to_string(), message.get("method")?.as_str()?.to_owned()))
        });
        Self { revision, asked: asked.collect() }
    }

    /// Holds a message that came back to the schema of its revision, if this machine has it.
    ///
    /// # Errors
    /// Names the part that breaks a rule, and the rule.
    pub fn check(&self, message: &Value) -> Result<()> {
        let Some(schemas) = Schemas::shared() else { return Ok(()) };
        let shown = || {
            let text: String = message.to_string().chars().take(SHOWN).collect();
            format!("against the schema of {}: {text}", self.revision)
        };
        if message.get("method").is_some() {
            ensure!(
                self.revision != MODERN || message.get("id").is_none(),
                "a server of {MODERN} asks nothing on a stream: {message}"
            );
            return schemas.said(&self.revision, message).with_context(shown);
        }
        let id = message.get("id").map(Value::to_string);
        let method = id.as_ref().and_then(|id| self.asked.get(id)).map(String::as_str);
        ensure!(
            method.is_some() || message.get("result").is_none(),
            "the answer {message} is to none of {:?}",
            self.asked
        );
        // What `initialize` agreed on holds for its own answer.
        let agreed = message.pointer("/result/protocolVersion").and_then(Value::as_str);
        let revision = match agreed.filter(|_| method == Some("initialize")) {
            Some(agreed) => agreed,
            None => &self.revision,
        };
        schemas.answered(revision, method, message).with_context(shown)
    }

    /// The same for all messages of a body that is JSON-RPC; other bodies are none of this.
    ///
    /// # Errors
    /// As of one message.
    pub fn check_body(&self, body: &[u8]) -> Result<()> {
        let messages = messages(body);
        let spoken = messages.iter().filter(|message| message.get("jsonrpc").is_some());
        spoken.into_iter().try_for_each(|message| self.check(message))
    }

    /// The same for the messages that were sent.
    ///
    /// # Errors
    /// As of one message.
    pub fn check_sent(&self, body: &[u8]) -> Result<()> {
        let Some(schemas) = Schemas::shared() else { return Ok(()) };
        for message in messages(body).iter().filter(|message| message.get("method").is_some()) {
            let asked = message.pointer("/params/protocolVersion").and_then(Value::as_str);
            let revision = match message.get("method").and_then(Value::as_str) {
                Some("initialize") => asked.unwrap_or("2025-11-25"),
                _ => &self.revision,
            };
            schemas
                .said(revision, message)
                .with_context(|| format!("against the schema of {revision}: {message}"))?;
        }
        Ok(())
    }

    /// The revision it is in.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// What was asked, in no order.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.asked.values().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(revision: &str, method: &str) -> Exchange {
        let mut headers = HeaderMap::new();
        headers.insert("mcp-protocol-version", revision.parse().unwrap());
        Exchange::of(&headers, json!({"jsonrpc": "2.0", "id": 1, "method": method}).to_string().as_bytes())
    }

    #[test]
    fn a_message_that_breaks_its_revisions_schema_is_named_with_the_rule() {
        if Schemas::shared().is_none() {
            return;
        }
        let good = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "a", "inputSchema": {"type": "object"}}]}});
        for revision in LEGACY {
            exchange(revision, "tools/list").check(&good).unwrap();
        }
        let modern = format!("{:#}", exchange(MODERN, "tools/list").check(&good).unwrap_err());
        assert!(modern.contains("resultType"), "{modern}");
        let bad = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "a"}]}});
        let said = format!("{:#}", exchange("2025-06-18", "tools/list").check(&bad).unwrap_err());
        assert!(said.contains("/tools/0") && said.contains("inputSchema"), "{said}");
        let stranger = json!({"jsonrpc": "2.0", "id": 2, "result": {}});
        exchange("2025-06-18", "ping").check(&stranger).unwrap_err();
    }

    #[test]
    fn a_question_within_a_result_is_held_to_the_schema_too() {
        if Schemas::shared().is_none() {
            return;
        }
        let asks = |request: Value| json!({"jsonrpc": "2.0", "id": 1, "result": {"resultType": "input_required", "inputRequests": {"a": request}}});
        let call = exchange(MODERN, "tools/call");
        call.check(&asks(json!({"method": "roots/list"}))).unwrap();
        call.check(&asks(json!({"method": "elicitation/create", "params": {}}))).unwrap_err();
        call.check(&asks(json!({"method": "tools/list"}))).unwrap_err();
        call.check(&json!({"jsonrpc": "2.0", "id": "x", "method": "roots/list"})).unwrap_err();
    }
}
