//! What both servers share: `tests/fixtures/everything.json`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::paths;

#[derive(Debug, Deserialize)]
pub(super) struct Shared {
    /// One red pixel as PNG.
    pub(super) pixel: String,
    /// One sample of silence as WAV.
    pub(super) silence: String,
    /// Input schemas of the tools that take arguments.
    pub(super) schemas: BTreeMap<String, Map<String, Value>>,
    /// What people are asked with.
    pub(super) forms: BTreeMap<String, Value>,
    /// By name: the arguments, all of them required.
    pub(super) prompts: BTreeMap<String, Vec<String>>,
    /// By the end of `test://…`.
    pub(super) resources: BTreeMap<String, Map<String, Value>>,
    /// By the name of an argument.
    pub(super) completions: BTreeMap<String, Vec<String>>,
}

impl Shared {
    pub(super) fn read() -> Result<Self> {
        let text = std::fs::read_to_string(paths::fixture("everything.json"))?;
        serde_json::from_str(&text).context("everything.json is not as its readers expect")
    }
}
