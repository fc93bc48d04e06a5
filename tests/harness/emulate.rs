//! APIs written by others: the npm package `emulate` answers as GitHub (and Slack, Stripe, Okta, Linear, Google, Microsoft) on
//! this machine, with state. Its GitHub starts with the people and repositories of `fixtures/emulate.json`; issues are filed here, over its API.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::header::LOCATION;
use serde_json::{Value, json};
use url::Url;

use crate::child::{Kept, Start};
use crate::wait::eventually;
use crate::{html, net, paths};

/// The token of the user `admin` in the seed.
pub const TOKEN: &str = "test_token_admin";

/// The repository of the seed that holds issues, `owner/name`.
pub const REPOSITORY: &str = "acme/billing";

/// Titles of the issues assigned to `admin`.
pub const MINE: [&str; 2] = ["Invoice totals are off by one cent", "Dark mode flickers on load"];

/// Title of an issue that is assigned to someone else.
pub const OTHERS: &str = "Rotate the signing keys";

/// Which service to start.
#[derive(Debug, Clone, Copy)]
pub enum Service {
    GitHub,
    Slack,
    Stripe,
    Okta,
    Google,
    Linear,
    Microsoft,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::Slack => "slack",
            Self::Stripe => "stripe",
            Self::Okta => "okta",
            Self::Google => "google",
            Self::Linear => "linear",
            Self::Microsoft => "microsoft",
        }
    }
}

/// A running service.
#[derive(Debug)]
pub struct Emulate {
    /// Its origin, without a trailing slash.
    pub url: String,
    http: reqwest::Client,
    _process: Kept,
    _folder: tempfile::TempDir,
}

impl Emulate {
    /// A GitHub with issues.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn github() -> Result<Self> {
        let github = Self::start(Service::GitHub).await?;
        for title in MINE {
            github.file_issue(title, "admin").await?;
        }
        github.file_issue(OTHERS, "octocat").await?;
        Ok(github)
    }

    /// Any of its services.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(service: Service) -> Result<Self> {
        Self::start_with(service, None, None).await
    }

    /// One that starts with other people and clients than those of the fixture, and that says it stands elsewhere.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_with(service: Service, seed: Option<&Value>, base_url: Option<&str>) -> Result<Self> {
        let mut last = None;
        // The port is free when it is chosen; another process may take it before the service does.
        for _ in 0..3 {
            match Self::try_start(service, seed, base_url).await {
                Ok(running) => return Ok(running),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("never tried")?)
    }

    async fn try_start(service: Service, seed: Option<&Value>, base_url: Option<&str>) -> Result<Self> {
        let folder = paths::scratch("toolmesh-emulate-")?;
        let port = net::free_port()?;
        let program = paths::node_module(".bin/emulate")?;
        let log = folder.path().join("emulate.log");
        let file = match seed {
            None => paths::fixture("emulate.json"),
            Some(seed) => {
                let file = folder.path().join("seed.json");
                std::fs::write(&file, seed.to_string())?;
                file
            }
        };
        let (port_text, file) = (port.to_string(), file.display().to_string());
        let mut args = vec!["start", "--port", &port_text, "--service", service.name(), "--seed", &file];
        // What it says of itself is where it is reached: an issuer is compared letter by letter.
        let own = net::here(port);
        if let Some(base_url) = base_url.or_else(|| seed.map(|_| own.as_str())) {
            args.extend(["--base-url", base_url]);
        }
        let start = Start { name: "emulate", program: &program, log: &log, clean: None, save: None };
        let mut process = Kept::start(&start, &args, &[])?;
        let (url, http) = (net::here(port), net::client()?);
        eventually("emulate answers", Duration::from_secs(30), || {
            let ended = process.ended();
            let (http, url) = (http.clone(), url.clone());
            async move {
                if let Some(status) = ended? {
                    bail!("emulate ended with {status}");
                }
                Ok(http.get(&url).send().await.ok().map(|_| ()))
            }
        })
        .await?;
        Ok(Self { url, http, _process: process, _folder: folder })
    }

    /// Files an issue for someone.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn file_issue(&self, title: &str, assignee: &str) -> Result<()> {
        let issue = json!({"title": title, "body": "Seen on Monday.", "assignees": [assignee]});
        let url = format!("{}/repos/{REPOSITORY}/issues", self.url);
        let answer = self.http.post(url).bearer_auth(TOKEN).json(&issue).send().await?;
        ensure!(answer.status() == 201, "emulate answered {}: {}", answer.status(), answer.text().await?);
        Ok(())
    }

    /// Reads from its API.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(TOKEN);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }
}

/// Chooses somebody's account on the page of a provider that asks which; answers where they are sent back to.
///
/// # Errors
/// When the page does not offer it.
pub async fn choose(asked: &Url, email: &str) -> Result<String> {
    let http = net::client()?;
    let page = http.get(asked.clone()).send().await?.error_for_status()?.text().await?;
    let theirs = |form: &html::Form| form.fields.iter().any(|(_, value)| value == email);
    let form = html::forms(&page).into_iter().find(theirs);
    let form = form.with_context(|| format!("{email} is not offered: {}", html::text(&page)))?;
    let chosen = http.post(asked.join(&form.action)?).form(&form.fields).send().await?;
    let back = chosen.headers().get(LOCATION).context("nobody is sent back")?;
    Ok(back.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_emulated_github_holds_the_issues_of_both_people() -> Result<()> {
        let github = Emulate::github().await?;
        let all = github.get(&format!("/repos/{REPOSITORY}/issues")).await?;
        assert_eq!(all.as_array().map(Vec::len), Some(3));
        let mine = github.get(&format!("/repos/{REPOSITORY}/issues?assignee=admin")).await?;
        assert_eq!(mine.as_array().map(Vec::len), Some(2));
        Ok(())
    }
}
