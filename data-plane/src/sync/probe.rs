//! Test connection: one harmless call with settings that may not be saved yet, told step by step.
//!
//! It goes through the same code as a member's call, from the same place. Nothing of it is kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use toolmesh_proto::ids::TenantId;
use toolmesh_proto::v1;
use url::Url;

use crate::catalog::{Call, Connector, Installation, Tool};
use crate::execute::outbound::{OutboundError, OutboundRequest, Reply};
use crate::execute::rest::Plan;
use crate::execute::rest::response::{AnswerError, status_text};
use crate::execute::{Executor, Failure, arguments, asks_for_html, health, prepare, read};
use crate::record::event::millis;

/// Most probes that run at a time on a node.
const AT_A_TIME: usize = 4;
/// Longest a probe may take, waiting included.
const WITHIN: Duration = Duration::from_secs(15);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Runs probes.
#[derive(Debug)]
pub struct Prober {
    executor: Executor,
    slots: Semaphore,
}

/// The result for a probe that was not run since too many wait.
pub(super) fn too_many(probe_id: String) -> v1::ProbeResult {
    let mut steps = Steps::default();
    steps.fail("address", Instant::now(), "Too many connection tests are running. Try again in a moment.");
    steps.result(probe_id)
}

impl Prober {
    #[must_use]
    pub const fn new(executor: Executor) -> Self {
        Self { executor, slots: Semaphore::const_new(AT_A_TIME) }
    }

    /// Runs one probe to its end or its deadline.
    pub async fn run(&self, request: v1::ProbeRequest) -> v1::ProbeResult {
        let probe_id = request.probe_id.clone();
        let mut steps = Steps::default();
        let start = Instant::now();
        let run = async {
            let _slot = self.slots.acquire().await;
            // A step that fails has said so itself.
            let _ = self.walk(request, &mut steps).await;
        };
        if tokio::time::timeout(WITHIN, run).await.is_err() {
            let next = steps.next();
            steps.fail(
                next,
                start,
                "This took longer than 15 seconds. Check the base URL, and whether the API is up.",
            );
        }
        steps.result(probe_id)
    }

    async fn walk(&self, request: v1::ProbeRequest, steps: &mut Steps) -> Option<()> {
        let start = Instant::now();
        let compiled = tokio::task::spawn_blocking(move || Subject::compile(&request)).await;
        let subject = match compiled {
            Ok(Ok(subject)) => subject,
            Ok(Err(reason)) => return steps.fail("address", start, &sentence(&reason)),
            Err(_) => return steps.fail("address", start, "The connector could not be read."),
        };
        let address = self.address(&subject.installation.base, steps).await?;
        connect(address, steps).await?;
        let start = Instant::now();
        let Call::Rest(plan) = &subject.tool.call else {
            return steps.fail("request", start, "A connection is tested with a tool that makes one call.");
        };
        let opened = self.executor.open(&subject.installation);
        let placement =
            match self.executor.sign_in.placement(&subject.installation, &opened, plan.credential).await {
                Ok(placement) => placement,
                Err(error) => return steps.fail("request", start, &words(&Failure::Credential(error))),
            };
        let prepared = subject.check().and_then(|()| {
            prepare(&subject.installation, plan, &placement, &subject.arguments)
                .map_err(|failure| words(&failure))
        });
        let request = match prepared {
            Ok(request) => request,
            Err(reason) => return steps.fail("request", start, &reason),
        };
        let wants_html = asks_for_html(&request);
        let reply = self.send(request, steps).await?;
        if let Some(rule) = &plan.health {
            let verdict = health::judge(rule, plan, &reply, &opened, &placement);
            return judged(&reply, &verdict, steps);
        }
        status(&reply, plan, &opened, &placement, steps)?;
        let start = Instant::now();
        let shaped = match read(plan, &reply, wants_html, &opened, &placement) {
            Ok(body) => self.executor.shape(plan, body).await,
            Err(failure) => Err(failure),
        };
        match shaped {
            Ok(content) => {
                steps.pass("answer", start, format!("{} bytes that can be used.", content.bytes()))
            }
            Err(failure) => steps.fail("answer", start, &format!("{} Check the base URL.", words(&failure))),
        }
    }

    async fn address(&self, base: &Url, steps: &mut Steps) -> Option<std::net::SocketAddr> {
        let start = Instant::now();
        let host = base.host_str().unwrap_or_default();
        match self.executor.outbound.addresses(base).await {
            Ok(addresses) => {
                let first = addresses.first().copied()?;
                steps.pass("address", start, format!("{host} is {}.", first.ip()))?;
                Some(first)
            }
            Err(OutboundError::Name(_)) => {
                steps.fail(
                    "address",
                    start,
                    &format!("The name {host} has no address. Check the base URL for a typing error."),
                )?;
                None
            }
            Err(error) => {
                steps.fail("address", start, &sentence(&error.to_string()))?;
                None
            }
        }
    }

    async fn send(&self, request: OutboundRequest, steps: &mut Steps) -> Option<Reply> {
        let start = Instant::now();
        // Without the query, which may hold the credential.
        let line = format!(
            "{} {}{}",
            request.method,
            request.url.origin().ascii_serialization(),
            request.url.path()
        );
        match self.executor.outbound.send_within(request, WITHIN).await {
            Ok(reply) => {
                steps.pass("request", start, line)?;
                Some(reply)
            }
            Err(error) => {
                let hint = match &error {
                    OutboundError::Tls(_) => {
                        "Check that the base URL begins as it should, and the server's certificate."
                    }
                    OutboundError::Timeout(_) => "Check that the API is up.",
                    _ => "Check the base URL.",
                };
                steps.fail("request", start, &format!("{line}: {error}. {hint}"))?;
                None
            }
        }
    }
}

async fn connect(address: std::net::SocketAddr, steps: &mut Steps) -> Option<()> {
    let start = Instant::now();
    match tokio::time::timeout(CONNECT, tokio::net::TcpStream::connect(address)).await {
        Ok(Ok(_)) => steps.pass("connect", start, format!("Connected to {address}.")),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => steps.fail(
            "connect",
            start,
            &format!(
                "{address} refused the connection. Check the port in the base URL, and that the API is up."
            ),
        ),
        Ok(Err(_)) => steps.fail(
            "connect",
            start,
            &format!("No connection to {address} could be made. Check the base URL."),
        ),
        Err(_) => steps.fail(
            "connect",
            start,
            &format!(
                "{address} did not answer within 5 seconds. Check the base URL, and that the API is up."
            ),
        ),
    }
}

/// The verdict of a health check, which may want another status than success.
fn judged(reply: &Reply, verdict: &health::Verdict, steps: &mut Steps) -> Option<()> {
    let start = Instant::now();
    if verdict.ok || reply.status.is_success() {
        steps.pass("status", start, format!("{}.", status_text(reply.status)))?;
    }
    match &verdict.error {
        None => steps.pass("answer", start, "It is what the connector expects.".to_owned()),
        Some(error) if reply.status.is_success() => {
            steps.fail("answer", start, &format!("{} Check the base URL.", sentence(error)))
        }
        Some(error) => {
            let help = "Check the base URL and the credential.";
            steps.fail("status", start, &format!("{} {help}", sentence(error)))
        }
    }
}

fn status(
    reply: &Reply,
    plan: &Plan,
    opened: &crate::execute::credentials::Opened,
    placement: &crate::execute::credentials::Placement,
    steps: &mut Steps,
) -> Option<()> {
    let start = Instant::now();
    let status = status_text(reply.status);
    if reply.status.is_success() {
        return steps.pass("status", start, format!("{status}."));
    }
    let message = match read(plan, reply, false, opened, placement) {
        Err(Failure::Answer(AnswerError::Status { message, .. })) if !message.is_empty() => {
            format!(": {message}")
        }
        _ => String::new(),
    };
    let hint = match reply.status {
        StatusCode::UNAUTHORIZED => {
            "The API refused the credential. Check that it is complete and has not expired."
        }
        StatusCode::FORBIDDEN => "The API knows the credential and does not allow this. Check its rights.",
        StatusCode::NOT_FOUND => {
            "The API has nothing there. Check the base URL: does it need a path, such as /api/v1?"
        }
        StatusCode::TOO_MANY_REQUESTS => "The API has had too many calls. Try again later.",
        status if status.is_redirection() => {
            "The API points elsewhere, which is not followed. Enter the final base URL."
        }
        status if status.is_server_error() => "The API has a fault of its own. Try again later.",
        _ => "The API did not accept the call.",
    };
    steps.fail(
        "status",
        start,
        &format!("{status}{message}{} {hint}", if message.ends_with('.') { "" } else { "." }),
    )
}

fn words(failure: &Failure) -> String {
    match failure {
        Failure::Credential(error) => sentence(&error.to_string()),
        Failure::Argument(error) => sentence(&error.to_string()),
        Failure::Outbound(error) => sentence(&error.to_string()),
        Failure::Answer(error) => sentence(&error.to_string()),
        Failure::Program(error) => sentence(error),
    }
}

/// Capital letter and full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let stop = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{stop}", chars.as_str())
}

/// What is probed, compiled.
struct Subject {
    installation: Installation,
    tool: Arc<Tool>,
    arguments: Map<String, Value>,
}

impl Subject {
    fn compile(request: &v1::ProbeRequest) -> Result<Self, String> {
        let (Some(definition), Some(installation)) = (&request.connector, &request.installation) else {
            return Err("the request for this test was incomplete".to_owned());
        };
        let connector = Arc::new(Connector::compile(definition).map_err(|error| error.to_string())?);
        let tool = connector.probe(&request.tool).cloned().ok_or("the connector has no tool to test with")?;
        let tenant: TenantId = request.tenant_id.parse().map_err(|_| "the workspace's id is malformed")?;
        let installation = Installation::compile(tenant, installation, &|_| Some(Ok(Arc::clone(&connector))))
            .map_err(|error| error.to_string())?;
        let arguments = match request.arguments_json.as_str() {
            "" => Map::new(),
            json => {
                serde_json::from_str(json).map_err(|_| "the arguments for this test are no JSON object")?
            }
        };
        Ok(Self { installation, tool, arguments })
    }

    fn check(&self) -> Result<(), String> {
        let value = Value::Object(self.arguments.clone());
        arguments::check(&self.tool.name, &self.tool.validator, &self.tool.call, &value)
            .map_err(|unfit| unfit.told)
    }
}

/// The steps so far.
#[derive(Default)]
struct Steps(Vec<v1::ProbeStep>);

impl Steps {
    const NAMES: [&str; 5] = ["address", "connect", "request", "status", "answer"];

    fn next(&self) -> &'static str {
        Self::NAMES.get(self.0.len()).copied().unwrap_or("answer")
    }

    fn add(&mut self, name: &str, ok: bool, start: Instant, detail: String) {
        let millis = millis(start.elapsed());
        self.0.push(v1::ProbeStep { name: name.to_owned(), ok, detail, millis });
    }

    /// Goes on.
    fn pass(&mut self, name: &str, start: Instant, detail: String) -> Option<()> {
        self.add(name, true, start, detail);
        Some(())
    }

    /// Ends the walk.
    fn fail(&mut self, name: &str, start: Instant, detail: &str) -> Option<()> {
        self.add(name, false, start, detail.to_owned());
        None
    }

    fn result(self, probe_id: String) -> v1::ProbeResult {
        let ok = self.0.len() == Self::NAMES.len() && self.0.iter().all(|step| step.ok);
        v1::ProbeResult { probe_id, ok, steps: self.0 }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use toolmesh_proto::egress::EgressPolicy;
    use toolmesh_proto::seal::{CredentialPlace, Sealer};

    use super::*;
    use crate::catalog::samples;
    use crate::config::Limits;
    use crate::execute::outbound::Outbound;

    fn prober(allow_private: bool) -> Prober {
        let outbound = Outbound::new(EgressPolicy { allow_private }, &Limits::default()).unwrap();
        Prober::new(Executor::new(outbound, Sealer::new(&SecretString::from("join")).unwrap()))
    }

    fn request(base_url: &str) -> v1::ProbeRequest {
        let place = CredentialPlace {
            tenant: samples::TENANT.parse().unwrap(),
            installation: samples::INSTALLATION.parse().unwrap(),
            name: "token",
        };
        let sealer = Sealer::new(&SecretString::from("join")).unwrap();
        let sealed = sealer.seal(place, 1, &SecretString::from("s3cret-token")).unwrap();
        let mut connector = samples::connector();
        connector.auth = Some(v1::Auth {
            kind: Some(v1::auth::Kind::Bearer(v1::BearerAuth {
                credential: "token".into(),
                header: "Authorization".into(),
                prefix: "Bearer ".into(),
            })),
            ..Default::default()
        });
        let mut installation = samples::bundle().installations.remove(0);
        installation.base_url = base_url.into();
        installation.credentials = vec![sealed];
        v1::ProbeRequest {
            probe_id: "p".into(),
            tenant_id: samples::TENANT.into(),
            connector: Some(connector),
            installation: Some(installation),
            tool: "list_issues".into(),
            arguments_json: r#"{"owner":"a","repo":"b"}"#.into(),
        }
    }

    async fn serve(answer: String) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    if stream.read(&mut buffer).await.unwrap_or_default() > 0 {
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                });
            }
        });
        format!("http://{address}")
    }

    fn http(status: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn last(result: &v1::ProbeResult) -> (&str, &str) {
        let step = result.steps.last().unwrap();
        (&step.name, &step.detail)
    }

    #[tokio::test]
    async fn a_call_that_works_passes_every_step() {
        let base = serve(http("200 OK", "[]")).await;
        let result = prober(true).run(request(&base)).await;
        assert!(result.ok, "{result:?}");
        assert_eq!(result.steps.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), Steps::NAMES);
    }

    #[tokio::test]
    async fn each_failure_ends_at_its_step_and_says_what_to_do() {
        let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let unauthorized = serve(http("401 Unauthorized", r#""bad s3cret-token""#)).await;
        let missing = serve(http("404 Not Found", "")).await;
        let page =
            serve("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi".to_owned())
                .await;
        for (base, step, words) in [
            ("http://no-such-name.invalid", "address", "has no address"),
            (&format!("http://{refused}"), "connect", "refused the connection"),
            (&unauthorized, "status", "refused the credential"),
            (&missing, "status", "Check the base URL"),
            (&page, "answer", "a web page"),
        ] {
            let result = prober(true).run(request(base)).await;
            let (name, detail) = last(&result);
            assert!(!result.ok && name == step && detail.contains(words), "{base}: {result:?}");
            assert!(!format!("{result:?}").contains("s3cret"), "{result:?}");
        }
    }

    #[tokio::test]
    async fn a_private_address_is_refused_where_the_operator_does_not_allow_it() {
        let result = prober(false).run(request("https://127.0.0.1")).await;
        assert_eq!(last(&result).0, "address");
        assert!(last(&result).1.contains("private"), "{result:?}");
    }
}
