//! Prometheus and Alertmanager as Debian packages them, on this machine: one scrapes itself, the other waits for alerts.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::child::{Kept, Start};
use crate::wait::eventually;
use crate::{net, paths};

/// A running program.
#[derive(Debug)]
pub struct Monitoring {
    /// Its origin, without a trailing slash.
    pub url: String,
    http: reqwest::Client,
    _process: Kept,
    _folder: tempfile::TempDir,
}

impl Monitoring {
    /// A Prometheus that watches itself and has a rule that always fires.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn prometheus() -> Result<Self> {
        let folder = paths::scratch("toolmesh-prometheus-")?;
        let port = net::free_port()?;
        let rules = "groups:\n- name: own\n  rules:\n  - alert: Awake\n    expr: vector(1)\n    labels: {severity: info}\n";
        std::fs::write(folder.path().join("rules.yml"), rules)?;
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\nscrape_configs:\n- job_name: \
             own\n  static_configs:\n  - targets: ['127.0.0.1:{port}']\n"
        );
        std::fs::write(folder.path().join("config.yml"), config)?;
        let args = |folder: &Path| {
            vec![
                format!("--config.file={}", folder.join("config.yml").display()),
                format!("--storage.tsdb.path={}", folder.join("data").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ]
        };
        Self::start("prometheus", args(folder.path()), port, folder).await
    }

    /// An Alertmanager that tells nobody.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn alertmanager() -> Result<Self> {
        let folder = paths::scratch("toolmesh-alertmanager-")?;
        let port = net::free_port()?;
        std::fs::write(
            folder.path().join("config.yml"),
            "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n",
        )?;
        let args = vec![
            format!("--config.file={}", folder.path().join("config.yml").display()),
            format!("--storage.path={}", folder.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--cluster.listen-address=".to_owned(),
        ];
        Self::start("prometheus-alertmanager", args, port, folder).await
    }

    async fn start(name: &str, args: Vec<String>, port: u16, folder: tempfile::TempDir) -> Result<Self> {
        let program = paths::program(name)?;
        let log = folder.path().join("log");
        let start = Start { name, program: &program, log: &log, clean: None, save: None };
        let mut process = Kept::start(&start, &args, &[])?;
        let (url, http) = (net::here(port), net::client()?);
        eventually(&format!("{name} is ready"), Duration::from_secs(60), || {
            let ended = process.ended();
            let (http, url) = (http.clone(), format!("{url}/-/ready"));
            async move {
                if let Some(status) = ended? {
                    bail!("{name} ended with {status}");
                }
                let answer = http.get(&url).send().await.ok();
                Ok(answer.filter(|answer| answer.status().is_success()).map(|_| ()))
            }
        })
        .await?;
        Ok(Self { url, http, _process: process, _folder: folder })
    }

    /// Sends alerts, as a Prometheus does.
    ///
    /// # Errors
    /// When they are refused.
    pub async fn send_alerts(&self, alerts: &Value) -> Result<()> {
        let answer = self.http.post(format!("{}/api/v2/alerts", self.url)).json(alerts).send().await?;
        ensure!(answer.status().is_success(), "alerts: {}", answer.text().await?);
        Ok(())
    }
}
