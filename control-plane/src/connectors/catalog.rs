//! The built-in catalog: connectors of our own, compiled once when the control plane starts.
//!
//! Owns which files there are, their category and their search. Knows nothing of workspaces; what one has enabled is in
//! `installations`.

use toolmesh_proto::connector_hash;

use super::dadl::{self, AccessCounts, CompileErrors, Compiled};

/// The files, in the order in which they are shown.
const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "github",
        category: "Development",
        logo: "connectors/github.svg",
        source: include_str!("../../catalog/github.dadl"),
    },
    BuiltIn {
        name: "slack",
        category: "Communication",
        logo: "connectors/generic.svg",
        source: include_str!("../../catalog/slack.dadl"),
    },
    BuiltIn {
        name: "stripe",
        category: "Finance",
        logo: "connectors/generic.svg",
        source: include_str!("../../catalog/stripe.dadl"),
    },
    BuiltIn {
        name: "wikipedia",
        category: "Knowledge",
        logo: "connectors/wikipedia.svg",
        source: include_str!("../../catalog/wikipedia.dadl"),
    },
    BuiltIn {
        name: "openstreetmap",
        category: "Places",
        logo: "connectors/openstreetmap.svg",
        source: include_str!("../../catalog/openstreetmap.dadl"),
    },
    BuiltIn {
        name: "hackernews",
        category: "News",
        logo: "connectors/hackernews.svg",
        source: include_str!("../../catalog/hackernews.dadl"),
    },
];

struct BuiltIn {
    name: &'static str,
    category: &'static str,
    logo: &'static str,
    source: &'static str,
}

/// A connector that can be enabled with a click.
#[derive(Clone, Debug)]
pub struct CatalogEntry {
    /// Its name in URLs and in `Connector.name`: `github`.
    pub name: String,
    /// Its name for people: `GitHub`.
    pub title: String,
    /// What it does, in a sentence.
    pub summary: String,
    pub category: String,
    /// Identity of the compiled connector.
    pub connector_hash: String,
    pub compiled: Compiled,
    /// Path of its logo below the static folder.
    pub logo: String,
    /// Hosts it calls.
    pub hosts: Vec<String>,
    /// Tools by access class.
    pub counts: AccessCounts,
    pub needs_credential: bool,
    /// The DADL text.
    pub source: &'static str,
}

/// All built-in connectors.
#[derive(Clone, Debug)]
pub struct Catalog {
    entries: Vec<CatalogEntry>,
}

/// A built-in file that cannot be used; a fault of the build, found at start.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("the built-in connector {name} does not compile: {errors}")]
    Broken { name: &'static str, errors: CompileErrors },
    #[error("the built-in connector {file} calls itself {name}; file and backend.name must agree")]
    Name { file: &'static str, name: String },
}

impl Catalog {
    /// Compiles the built-in files.
    ///
    /// # Errors
    /// When one of them does not compile; the process must not start then.
    pub fn builtin() -> Result<Self, CatalogError> {
        let entries = BUILT_IN.iter().map(CatalogEntry::compile).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// The connector of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&CatalogEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// All connectors, in the order in which they are shown.
    #[must_use]
    pub fn all(&self) -> &[CatalogEntry] {
        &self.entries
    }

    /// Connectors that have every word of the query, best first: a word in the name counts more than one in the summary,
    /// and that more than one in a tool. Without words, all of them.
    #[must_use]
    pub fn search(&self, query: &str) -> Vec<&CatalogEntry> {
        let query: String = query.chars().take(200).collect();
        let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
        let score = |entry: &CatalogEntry| words.iter().map(|word| entry.score(word)).sum::<Option<u32>>();
        let mut found: Vec<_> =
            self.entries.iter().filter_map(|entry| Some((score(entry)?, entry))).collect();
        found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        found.into_iter().map(|(_, entry)| entry).collect()
    }
}

impl CatalogEntry {
    fn compile(file: &BuiltIn) -> Result<Self, CatalogError> {
        let origin = format!("{}.dadl", file.name);
        let compiled = dadl::compile(file.source, &origin)
            .map_err(|errors| CatalogError::Broken { name: file.name, errors })?;
        let connector = &compiled.connector;
        if connector.name != file.name {
            return Err(CatalogError::Name { file: file.name, name: connector.name.clone() });
        }
        Ok(Self {
            name: connector.name.clone(),
            title: connector.title.clone(),
            summary: connector.description.clone(),
            category: file.category.to_owned(),
            connector_hash: connector_hash(connector),
            logo: file.logo.to_owned(),
            hosts: compiled.hosts(),
            counts: compiled.counts(),
            needs_credential: compiled.setup.credentials.iter().any(|credential| !credential.optional),
            source: file.source,
            compiled,
        })
    }

    /// How well a word fits; `None` where it is nowhere.
    fn score(&self, word: &str) -> Option<u32> {
        let has = |text: &str| text.to_lowercase().contains(word);
        let in_tools = || {
            let mut tools = self.compiled.connector.tools.iter();
            tools.any(|tool| has(&tool.name) || has(&tool.title) || has(&tool.description))
        };
        if has(&self.name) || has(&self.title) {
            Some(9)
        } else if has(&self.summary) || has(&self.category) {
            Some(3)
        } else {
            in_tools().then_some(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value as Json;

    use super::*;

    fn catalog() -> Catalog {
        Catalog::builtin().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn every_built_in_connector_is_whole_and_explains_itself() {
        for entry in catalog().all() {
            let name = &entry.name;
            let Compiled { warnings, left_out, connector, about, .. } = &entry.compiled;
            assert!(left_out.is_empty(), "{name}: {left_out:?}");
            let shown: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            assert!(shown.is_empty(), "{}", shown.join("\n"));
            assert_eq!(about.credits, ["ToolMesh"], "{name}");
            assert!(!entry.hosts.is_empty() && !connector.probe_tool.is_empty(), "{name}");
            assert!(!entry.needs_credential || entry.compiled.setup.steps.len() >= 3, "{name}");
            for tool in &connector.tools {
                let place = format!("{name}.{}", tool.name);
                assert!(["read", "write", "admin", "dangerous"].contains(&tool.access.as_str()), "{place}");
                assert!((15..=400).contains(&tool.description.len()), "{place}: {}", tool.description);
                let schema: Json = serde_json::from_str(&tool.input_schema_json).unwrap();
                assert_eq!(schema["additionalProperties"], false, "{place}");
                for (argument, property) in schema["properties"].as_object().unwrap() {
                    assert!(
                        property["description"].as_str().is_some_and(|d| d.len() > 5),
                        "{place}.{argument}"
                    );
                }
            }
        }
    }

    #[test]
    fn tools_that_only_read_do_not_use_a_method_that_writes_and_others_do_not_pass_for_reading() {
        for entry in catalog().all() {
            for tool in &entry.compiled.connector.tools {
                let Some(toolmesh_proto::v1::tool::Call::Rest(call)) = &tool.call else { panic!("no call") };
                // Slack reads by POST.
                let reads = call.method == "GET" || entry.name == "slack";
                assert!(tool.access != "read" || reads, "{}.{}", entry.name, tool.name);
                assert!(tool.access == "read" || call.method != "GET", "{}.{}", entry.name, tool.name);
            }
        }
    }

    #[test]
    fn github_has_what_people_ask_for() {
        let catalog = catalog();
        let github = catalog.get("github").unwrap();
        assert_eq!(
            (github.title.as_str(), github.hosts.as_slice()),
            ("GitHub", &["api.github.com".to_owned()][..])
        );
        assert!(github.needs_credential && github.counts.total() >= 30);
        assert_eq!(github.compiled.connector.probe_tool, "get_authenticated_user");
        let names: HashSet<&str> =
            github.compiled.connector.tools.iter().map(|tool| tool.name.as_str()).collect();
        for wanted in ["list_my_issues", "list_issues", "create_issue", "search_code", "merge_pull_request"] {
            assert!(names.contains(wanted), "{wanted}");
        }
    }

    #[test]
    fn some_connectors_need_no_credential() {
        let catalog = catalog();
        for name in ["hackernews", "wikipedia", "openstreetmap"] {
            assert!(!catalog.get(name).unwrap().needs_credential, "{name}");
        }
    }

    #[test]
    fn search_finds_by_name_first_and_by_what_tools_do() {
        let catalog = catalog();
        let names = |query| -> Vec<String> { catalog.search(query).iter().map(|e| e.name.clone()).collect() };
        assert_eq!(names("").len(), catalog.all().len());
        assert_eq!(names("GitHub")[0], "github");
        assert!(names("pull request").contains(&"github".to_owned()));
        assert!(names("  addresses ").contains(&"openstreetmap".to_owned()));
        assert!(names("zzz").is_empty());
    }

    #[test]
    fn the_same_file_always_has_the_same_hash() {
        let (a, b) = (catalog(), catalog());
        for (a, b) in a.all().iter().zip(b.all()) {
            assert_eq!(a.connector_hash, b.connector_hash);
        }
    }
}
