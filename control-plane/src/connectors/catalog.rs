//! The built-in catalog: connectors of our own, each compiled when it is first asked for.
//!
//! Owns what is known of each and their search; which files there are is in `built_in`. Knows nothing of workspaces; what one
//! has enabled is in `installations`.

use std::borrow::Cow;
use std::sync::OnceLock;

use toolmesh_proto::connector_hash;

use super::built_in::{BUILT_IN, BuiltIn};
use super::dadl::{self, AccessCounts, CompileErrors, Compiled};

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
    pub source: Cow<'static, str>,
}

/// All built-in connectors.
///
/// A command of the operator's needs one or none of them, and compiling them all takes longer than the command.
#[derive(Debug)]
pub struct Catalog {
    /// One for each file, in the files' order; `None` for a file that does not compile.
    entries: Vec<OnceLock<Option<CatalogEntry>>>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self { entries: BUILT_IN.iter().map(|_| OnceLock::new()).collect() }
    }
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
    /// Compiles every file, for a process that is going to show them all.
    ///
    /// # Errors
    /// When one of them does not compile; the process must not start then.
    pub fn check(&self) -> Result<(), CatalogError> {
        for (file, entry) in BUILT_IN.iter().zip(&self.entries) {
            if entry.get().is_none() {
                // Another thread that was faster has the same.
                let _ = entry.set(Some(CatalogEntry::compile(file)?));
            }
        }
        Ok(())
    }

    /// The connector of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&CatalogEntry> {
        let at = BUILT_IN.iter().position(|file| file.name == name)?;
        Self::entry(BUILT_IN.get(at)?, self.entries.get(at)?)
    }

    /// All connectors, in the order in which they are shown.
    pub fn all(&self) -> impl Iterator<Item = &CatalogEntry> {
        BUILT_IN.iter().zip(&self.entries).filter_map(|(file, entry)| Self::entry(file, entry))
    }

    /// Their names, in the same order; none of them is compiled for it.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|file| file.name)
    }

    fn entry<'a>(file: &BuiltIn, entry: &'a OnceLock<Option<CatalogEntry>>) -> Option<&'a CatalogEntry> {
        let compiled = entry.get_or_init(|| {
            CatalogEntry::compile(file)
                .inspect_err(|error| tracing::error!(%error, "a built-in connector is left out"))
                .ok()
        });
        compiled.as_ref()
    }

    /// The categories there are, by name.
    #[must_use]
    pub fn categories(&self) -> Vec<&'static str> {
        let all: std::collections::BTreeSet<_> = BUILT_IN.iter().map(|file| file.category).collect();
        all.into_iter().collect()
    }

    /// Connectors that have every word of the query, best first: a word in the name counts more than one in the summary,
    /// and that more than one in a tool. Without words, all of them.
    #[must_use]
    pub fn search(&self, query: &str) -> Vec<&CatalogEntry> {
        let query: String = query.chars().take(200).collect();
        let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
        let score = |entry: &CatalogEntry| words.iter().map(|word| entry.score(word)).sum::<Option<u32>>();
        let mut found: Vec<_> = self.all().filter_map(|entry| Some((score(entry)?, entry))).collect();
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
            source: Cow::Borrowed(file.source),
            compiled,
        })
    }

    /// A workspace's own connector, as the catalog would have it.
    #[must_use]
    pub fn of_own(compiled: &Compiled, source: &str) -> Self {
        let connector = &compiled.connector;
        Self {
            name: connector.name.clone(),
            title: connector.title.clone(),
            summary: connector.description.clone(),
            category: String::new(),
            connector_hash: connector_hash(connector),
            logo: "connectors/generic.svg".to_owned(),
            hosts: compiled.hosts(),
            counts: compiled.counts(),
            needs_credential: compiled.setup.credentials.iter().any(|credential| !credential.optional),
            source: Cow::Owned(source.to_owned()),
            compiled: compiled.clone(),
        }
    }

    /// What people call its version: its own number, else the head of its hash.
    #[must_use]
    pub fn version(&self) -> String {
        let version = &self.compiled.connector.version;
        if version.is_empty() { self.connector_hash.chars().take(8).collect() } else { version.clone() }
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
    use std::path::Path;

    use serde_json::Value as Json;
    use toolmesh_proto::{names, v1};

    use super::*;

    fn catalog() -> Catalog {
        let catalog = Catalog::default();
        catalog.check().unwrap_or_else(|error| panic!("{error}"));
        catalog
    }

    #[test]
    fn every_built_in_connector_is_whole_and_explains_itself() {
        for entry in catalog().all() {
            let name = &entry.name;
            let Compiled { warnings, left_out, connector, about, examples, setup, .. } = &entry.compiled;
            assert!(left_out.is_empty(), "{name}: {left_out:?}");
            let shown: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            assert!(shown.is_empty(), "{}", shown.join("\n"));
            assert_eq!(about.credits, ["ToolMesh"], "{name}");
            assert!(
                !connector.probe_tool.is_empty(),
                "{name} has no harmless call to test a connection with"
            );
            assert!((20..=120).contains(&entry.summary.len()), "{name}: {}", entry.summary);
            // Who runs the service oneself says where it is, and the steps say so first.
            let at_home = setup.steps.first().is_some_and(|step| step.starts_with("Set the base URL"));
            assert!(entry.hosts.is_empty() == at_home, "{name}");
            assert!(setup.credentials.is_empty() || setup.steps.len() >= 3, "{name}");
            assert!(!setup.docs_url.is_empty(), "{name}");
            assert!(examples.len() >= 3, "{name}");
            for example in examples {
                let whole = example.description.ends_with(['.', '?']) && example.code.contains("await api.");
                assert!(whole && !example.name.is_empty(), "{name}: {example:?}");
            }
            connector.tools.iter().for_each(|tool| assert_tool_explains_itself(name, tool));
        }
    }

    fn assert_tool_explains_itself(connector: &str, tool: &v1::Tool) {
        let place = format!("{connector}.{}", tool.name);
        assert!(["read", "write", "admin", "dangerous"].contains(&tool.access.as_str()), "{place}");
        let (length, end) = (tool.description.len(), tool.description.ends_with('.'));
        assert!((15..=400).contains(&length) && end, "{place}: {}", tool.description);
        assert!(names::tool_name(connector, &tool.name).len() <= 64, "{place} is too long for some clients");
        let schema: Json = serde_json::from_str(&tool.input_schema_json).unwrap();
        assert_eq!(schema["additionalProperties"], false, "{place}");
        for (argument, property) in schema["properties"].as_object().unwrap() {
            let description = property["description"].as_str().unwrap_or_default();
            assert!((6..=400).contains(&description.len()), "{place}.{argument}: {description:?}");
        }
    }

    #[test]
    fn a_connector_begins_with_at_most_thirty_tools_and_with_most_of_what_it_has() {
        for entry in catalog().all() {
            let (off, all) = (entry.compiled.default_off.len(), entry.compiled.connector.tools.len());
            assert!(all - off <= 30, "{}: {} tools are on", entry.name, all - off);
            assert!(all - off >= 5 && off <= all / 2, "{}: {off} of {all} are off", entry.name);
            assert!(!entry.compiled.default_off.contains("list_issues"), "{}", entry.name);
        }
    }

    #[test]
    fn every_connector_has_a_logo_of_its_own() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/static");
        let mut seen = HashSet::new();
        for entry in catalog().all() {
            let file = folder.join(&entry.logo);
            let logo = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            assert!(
                logo.starts_with("<svg ") && logo.len() < 4096 && !logo.contains("<script"),
                "{}",
                entry.name
            );
            assert!(entry.logo.ends_with(&format!("/{}.svg", entry.name)), "{}", entry.logo);
            assert!(seen.insert(logo), "{} has the logo of another one", entry.name);
        }
    }

    #[test]
    fn the_examples_call_tools_that_there_are() {
        for entry in catalog().all() {
            for example in &entry.compiled.examples {
                for call in example.code.split("api.").skip(1) {
                    let tool: String =
                        call.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                    let known = entry.compiled.connector.tools.iter().any(|known| known.name == tool);
                    let url = call.starts_with(|c: char| !c.is_ascii_lowercase()) || !call.contains('(');
                    assert!(known || url, "{}: {tool} in {}", entry.name, example.code);
                }
            }
        }
    }

    #[test]
    fn tools_that_only_read_do_not_use_a_method_that_writes_and_others_do_not_pass_for_reading() {
        // These read by POST: whole APIs, and single calls whose questions do not fit into a URL.
        const BY_POST: [&str; 3] = ["slack", "linear", "dokuwiki"];
        const QUESTIONS: [&str; 3] = ["search", "query", "find"];
        for entry in catalog().all() {
            for tool in &entry.compiled.connector.tools {
                // What composites call is looked at here too.
                let Some(v1::tool::Call::Rest(call)) = &tool.call else { continue };
                let asks = QUESTIONS.iter().any(|word| tool.name.starts_with(word));
                let reads = call.method == "GET" || BY_POST.contains(&entry.name.as_str()) || asks;
                assert!(tool.access != "read" || reads, "{}.{}", entry.name, tool.name);
                assert!(tool.access == "read" || call.method != "GET", "{}.{}", entry.name, tool.name);
                let deletes = call.method == "DELETE" && tool.access == "write";
                assert!(
                    !deletes || UNDONE_EASILY.contains(&tool.name.as_str()),
                    "{}.{}",
                    entry.name,
                    tool.name
                );
            }
        }
    }

    /// What DELETE takes away here comes back with one call.
    const UNDONE_EASILY: [&str; 3] = ["remove_issue_label", "remove_reaction", "end_silence"];

    #[test]
    fn github_has_what_people_ask_for() {
        let catalog = catalog();
        let github = catalog.get("github").unwrap();
        assert_eq!(
            (github.title.as_str(), github.hosts.as_slice()),
            ("GitHub", &["api.github.com".to_owned()][..])
        );
        assert!(github.needs_credential && github.counts.total() >= 30);
        let health = github.compiled.connector.health.as_ref().unwrap();
        let Some(toolmesh_proto::v1::tool::Call::Rest(call)) = &health.call else { panic!("no call") };
        assert_eq!(call.path, "/user", "a test of the connection asks who one is");
        let names: HashSet<&str> =
            github.compiled.connector.tools.iter().map(|tool| tool.name.as_str()).collect();
        for wanted in ["list_my_issues", "list_issues", "create_issue", "search_code", "merge_pull_request"] {
            assert!(names.contains(wanted), "{wanted}");
        }
    }

    #[test]
    fn mail_is_written_by_code_and_sent_only_by_what_is_dangerous() {
        let catalog = catalog();
        let gmail = catalog.get("gmail").unwrap();
        let tool = |name: &str| gmail.compiled.connector.tools.iter().find(|tool| tool.name == name).unwrap();
        let own = ["_get_headers", "_send_message", "_update_draft", "_create_draft"];
        for (name, access) in
            [("create_draft", "write"), ("update_draft", "write"), ("send_message", "dangerous")]
        {
            let Some(v1::tool::Call::Composite(code)) = &tool(name).call else { panic!("{name}") };
            assert_eq!(
                (tool(name).access.as_str(), code.calls.as_slice()),
                (access, &own.map(str::to_owned)[..])
            );
        }
        for name in ["_send_message", "send_draft"] {
            assert_eq!(tool(name).access, "dangerous", "{name}");
        }
        assert!(
            own.iter().all(|name| tool(name).hidden) && gmail.compiled.default_off.contains("send_message")
        );
    }

    #[test]
    fn some_connectors_need_no_credential() {
        let catalog = catalog();
        for name in ["hackernews", "hackernews-search", "wikipedia", "openstreetmap", "prometheus"] {
            assert!(!catalog.get(name).unwrap().needs_credential, "{name}");
        }
    }

    #[test]
    fn only_what_is_asked_for_is_compiled() {
        let catalog = Catalog::default();
        assert!(catalog.get("nothing").is_none() && catalog.get("github").is_some());
        assert_eq!(catalog.entries.iter().filter(|entry| entry.get().is_some()).count(), 1);
        assert_eq!(catalog.all().count(), BUILT_IN.len());
    }

    #[test]
    fn search_finds_by_name_first_and_by_what_tools_do() {
        let catalog = catalog();
        let names = |query| -> Vec<String> { catalog.search(query).iter().map(|e| e.name.clone()).collect() };
        assert_eq!(names("").len(), BUILT_IN.len());
        assert_eq!(names("GitHub")[0], "github");
        assert!(names("pull request").contains(&"github".to_owned()));
        assert!(names("  addresses ").contains(&"openstreetmap".to_owned()));
        assert!(names("zzz").is_empty());
    }

    #[test]
    fn the_catalog_has_what_people_use_at_work() {
        let catalog = catalog();
        assert!(BUILT_IN.len() >= 24, "{}", BUILT_IN.len());
        for name in ["github", "slack", "jira", "notion", "gmail", "google-calendar", "zendesk", "hubspot"] {
            assert!(catalog.get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_same_file_always_has_the_same_hash() {
        let (a, b) = (catalog(), catalog());
        for (a, b) in a.all().zip(b.all()) {
            assert_eq!(a.connector_hash, b.connector_hash);
        }
    }
}
