//! Chromium's virtual authenticator: a device that makes passkeys and, told so, checks its person or refuses to.

use anyhow::{Context as _, Result};
use fantoccini::wd::WebDriverCompatibleCommand;
use http::Method;
use serde_json::{Value, json};
use url::{ParseError, Url};

use crate::browser::Browser;

/// A device of one browser.
#[derive(Debug, Clone)]
pub struct Authenticator {
    id: String,
}

/// A command about authenticators: of the WebAuthn extension of WebDriver, or, where that has none, of Chromium's own protocol.
#[derive(Debug)]
struct Command {
    method: Method,
    path: String,
    body: Option<Value>,
}

/// Where WebDriver's commands about authenticators are.
const WEBAUTHN: &str = "webauthn/authenticator";

impl WebDriverCompatibleCommand for Command {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        let session = session_id.unwrap_or_default();
        base_url.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _request_url: &Url) -> (Method, Option<String>) {
        (self.method.clone(), self.body.as_ref().map(Value::to_string))
    }
}

impl Browser {
    /// Plugs in a device that keeps passkeys and recognises its person.
    ///
    /// # Errors
    /// When the driver refuses.
    pub async fn authenticator(&self) -> Result<Authenticator> {
        let body = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
            "hasUserVerification": true, "isUserConsenting": true, "isUserVerified": true,
        });
        let id = self.command(Method::POST, String::new(), Some(body)).await?;
        Ok(Authenticator { id: id.as_str().context("the driver gave no authenticator")?.to_owned() })
    }

    /// Whether the device recognises its person from now on.
    ///
    /// # Errors
    /// When the driver refuses.
    pub async fn recognises(&self, device: &Authenticator, person: bool) -> Result<()> {
        let body = json!({ "isUserVerified": person });
        self.command(Method::POST, format!("/{}/uv", device.id), Some(body)).await?;
        Ok(())
    }

    /// Whether the person touches the device when it asks, from now on. Untouched, a question waits.
    ///
    /// # Errors
    /// When the driver refuses.
    pub async fn touches(&self, device: &Authenticator, touches: bool) -> Result<()> {
        let body = json!({
            "cmd": "WebAuthn.setAutomaticPresenceSimulation",
            "params": { "authenticatorId": device.id, "enabled": touches },
        });
        self.driver(Method::POST, "goog/cdp/execute".to_owned(), Some(body)).await?;
        Ok(())
    }

    /// How many passkeys the device keeps.
    ///
    /// # Errors
    /// When the driver refuses.
    pub async fn passkeys(&self, device: &Authenticator) -> Result<usize> {
        let all = self.command(Method::GET, format!("/{}/credentials", device.id), None).await?;
        Ok(all.as_array().context("the driver gave no list")?.len())
    }

    /// Unplugs the device.
    ///
    /// # Errors
    /// When the driver refuses.
    pub async fn unplug(&self, device: Authenticator) -> Result<()> {
        self.command(Method::DELETE, format!("/{}", device.id), None).await?;
        Ok(())
    }

    async fn command(&self, method: Method, path: String, body: Option<Value>) -> Result<Value> {
        self.driver(method, format!("{WEBAUTHN}{path}"), body).await
    }

    async fn driver(&self, method: Method, path: String, body: Option<Value>) -> Result<Value> {
        let what = format!("{method} {path}");
        let answer = self.client.issue_cmd(Command { method, path, body }).await;
        answer.with_context(|| format!("the driver refused {what} of an authenticator"))
    }
}
