//! What each client people use does to connect, step by step: what it asks first, what it needs to find, how it names itself,
//! where it wants to be sent back, how it refreshes. One file per client, written from what the client was seen to do.
//!
//! A client here is as strict as the strictest of them: it compares the resource with the address that was typed, the issuer
//! byte by byte, and refuses an answer without `iss`.

mod chatgpt;
mod claude;
mod codex;
mod cursor;
mod inspector;
mod vscode;

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::oauth::{Pkce, Tokens, parameter, redirected};
use toolmesh_tests::{Answer, Console, Mcp, TestResult};
use url::Url;

use crate::Echo;

/// Where clients look for the authorization server's metadata; each has its own order.
const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// A workspace with tools, and a member in a browser.
struct Scene {
    echo: Echo,
    console: Console,
}

/// What a client has found out about the endpoint.
struct Found {
    typed: String,
    resource: Value,
    server: Value,
}

/// One way of asking for authorization.
struct Ask<'a> {
    client_id: &'a str,
    redirect: &'a str,
    scope: Option<&'a str>,
    resource: bool,
}

impl Scene {
    async fn new() -> Result<Self> {
        let echo = Echo::new().await?;
        let console = echo.system.console(&echo.workspace.owner).await?;
        Ok(Self { echo, console })
    }

    async fn get(&self, url: &str) -> Result<Answer> {
        Answer::of(self.echo.system.http.get(url).header("accept", "application/json").send().await?).await
    }

    fn mcp(&self, token: &str) -> Mcp {
        self.echo.system.mcp(&self.echo.workspace, token)
    }

    /// The challenge that the endpoint answers a first request with: where its metadata is, and the scope it asks for.
    async fn challenge(&self) -> Result<(String, Option<String>)> {
        let http = self.echo.system.http.clone();
        let answer = Mcp::new(http, &self.echo.workspace.mcp_url).initialize("2025-11-25").await?;
        ensure!(answer.status == StatusCode::UNAUTHORIZED, "{}: {}", answer.status, answer.body);
        let header = answer.header("www-authenticate").to_owned();
        ensure!(header.starts_with("Bearer "), "{header}");
        let value = |name: &str| {
            let (_, rest) = header.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        Ok((value("resource_metadata").with_context(|| header.clone())?, value("scope")))
    }

    /// Reads the resource's metadata from `resource_url` and the server's from the first of `order` that answers.
    async fn discover(&self, resource_url: &str, order: &[&str]) -> Result<Found> {
        let typed = self.echo.workspace.mcp_url.clone();
        let resource = self.document(resource_url).await?;
        // A client that was given this address refuses a document about another.
        ensure!(resource["resource"] == *typed, "{resource}");
        let servers = resource["authorization_servers"].as_array().context("no authorization servers")?;
        let [issuer] = servers.as_slice() else { anyhow::bail!("a client takes the first of {servers:?}") };
        let issuer = issuer.as_str().context("an issuer is text")?;
        for path in order {
            let answer = self.get(&format!("{issuer}{path}")).await?;
            if answer.status == StatusCode::OK {
                let server = answer.json()?;
                ensure!(server["issuer"] == *issuer, "{server}");
                let methods = &server["code_challenge_methods_supported"];
                ensure!(methods.as_array().is_some_and(|m| m.contains(&json!("S256"))), "{server}");
                return Ok(Found { typed, resource, server });
            }
        }
        anyhow::bail!("no metadata of {issuer} at {order:?}")
    }

    async fn document(&self, url: &str) -> Result<Value> {
        let answer = self.get(url).await?;
        ensure!(answer.status == StatusCode::OK, "{url}: {}", answer.status);
        ensure!(answer.header("content-type").starts_with("application/json"), "{url}");
        answer.json()
    }

    async fn register(&self, found: &Found, body: Value) -> Result<Value> {
        let endpoint = found.endpoint("registration_endpoint")?;
        let answer = Answer::of(self.echo.system.http.post(endpoint).json(&body).send().await?).await?;
        ensure!(answer.status == StatusCode::CREATED, "{}: {}", answer.status, answer.body);
        answer.json()
    }

    /// The page that a person sees who is sent to the authorization endpoint.
    async fn asked(&self, found: &Found, ask: &Ask<'_>, pkce: &Pkce) -> Result<toolmesh_tests::Page> {
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", ask.client_id),
            ("redirect_uri", ask.redirect),
            ("state", "a state with spaces & signs"),
            ("code_challenge", &pkce.challenge),
            ("code_challenge_method", "S256"),
        ];
        query.extend(ask.scope.map(|scope| ("scope", scope)));
        if ask.resource {
            query.push(("resource", &found.typed));
        }
        let url = Url::parse_with_params(&found.endpoint("authorization_endpoint")?, &query)?;
        self.console.get(url.as_str()).await
    }

    /// Asks, has the member allow it, and checks the answer as a strict client does. Answers the code.
    async fn allowed(&self, found: &Found, ask: &Ask<'_>, pkce: &Pkce) -> Result<String> {
        let page = self.asked(found, ask, pkce).await?;
        ensure!(page.status == StatusCode::OK, "{}: {}", page.status, page.text());
        let action = Url::parse(&found.endpoint("authorization_endpoint")?)?.path().to_owned();
        let mut fields = page.form(&action)?.fields;
        fields.retain(|(name, _)| name != "decision");
        fields.push(("decision".to_owned(), "allow".to_owned()));
        let back = redirected(&self.console.post(&action, &fields).await?)?;
        ensure!(back.as_str().starts_with(ask.redirect), "{back} is not {}", ask.redirect);
        ensure!(parameter(&back, "state").as_deref() == Some("a state with spaces & signs"), "{back}");
        ensure!(parameter(&back, "iss").as_deref() == found.server["issuer"].as_str(), "{back}");
        parameter(&back, "code").with_context(|| format!("no code in {back}"))
    }

    async fn token(&self, found: &Found, form: &[(&str, &str)]) -> Result<Answer> {
        let endpoint = found.endpoint("token_endpoint")?;
        let answer = Answer::of(self.echo.system.http.post(endpoint).form(form).send().await?).await?;
        ensure!(answer.header("cache-control") == "no-store", "a token must not be kept on the way");
        Ok(answer)
    }

    /// The whole way of a public client: ask, allow, trade the code.
    async fn connect(&self, found: &Found, ask: &Ask<'_>) -> Result<Tokens> {
        let pkce = Pkce::new();
        let code = self.allowed(found, ask, &pkce).await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("client_id", ask.client_id),
            ("redirect_uri", ask.redirect),
            ("code", &code),
            ("code_verifier", &pkce.verifier),
        ];
        if ask.resource {
            form.push(("resource", &found.typed));
        }
        let answer = self.token(found, &form).await?;
        let tokens = Tokens::of(ask.client_id, &answer)?;
        let json = answer.json()?;
        ensure!(
            json["token_type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")),
            "{json}"
        );
        ensure!(json["expires_in"].as_i64().is_some_and(|seconds| seconds > 0), "{json}");
        Ok(tokens)
    }

    /// Lists and calls with the token, as the client would at once.
    async fn uses(&self, access: &str) -> TestResult {
        let mcp = self.mcp(access);
        ensure!(mcp.initialize("2025-11-25").await?.status == StatusCode::OK);
        let names = mcp.names().await?;
        ensure!(names.iter().any(|name| name == "echo_whoami"), "{names:?}");
        mcp.call("echo_whoami", json!({})).await?.text()?;
        Ok(())
    }

    /// Trades a refresh token with what the client adds to it.
    async fn refreshed(&self, found: &Found, tokens: &Tokens, more: &[(&str, &str)]) -> Result<Tokens> {
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("client_id", tokens.client_id.as_str()),
            ("refresh_token", tokens.refresh.as_str()),
        ];
        form.extend_from_slice(more);
        let fresh = Tokens::of(&tokens.client_id, &self.token(found, &form).await?)?;
        ensure!(fresh.refresh != tokens.refresh, "a public client's refresh token rotates");
        Ok(fresh)
    }
}

impl Found {
    fn endpoint(&self, name: &str) -> Result<String> {
        Ok(self.server[name].as_str().with_context(|| format!("no {name} in {}", self.server))?.to_owned())
    }

    fn lists(&self, name: &str, value: &str) -> bool {
        self.server[name].as_array().is_some_and(|list| list.contains(&json!(value)))
    }
}

/// The client id of a registration.
fn client_id(registered: &Value) -> Result<&str> {
    registered["client_id"].as_str().context("no client id")
}
