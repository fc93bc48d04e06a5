//! The plan of the house, checked by reading it: who may import whom, where SQL, HTTP, gRPC and the environment may be
//! touched, row-level security on every table of a tenant, and nothing in the tree that only exists on one machine.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use toolmesh_tests::{TestResult, paths};

/// A source file of ours.
struct Source {
    /// From the repository's root, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The lines that are code of the product: no comments, nothing from `#[cfg(test)]` on.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let file = self.path.rsplit('/').next().unwrap_or_default();
        let all_tests = file.starts_with("tests_") || file == "tests.rs";
        let tests = self.text.find("#[cfg(test)]\nmod tests").unwrap_or(self.text.len());
        let tests = if all_tests { 0 } else { tests };
        let lines = self.text[..tests].lines().enumerate().map(|(number, line)| (number + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// All text files below a folder with one of these endings.
fn files(folder: &str, endings: &[&str]) -> Result<Vec<Source>> {
    let root = paths::root();
    let mut found = Vec::new();
    let mut open = vec![root.join(folder)];
    while let Some(path) = open.pop() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            let ours =
                !["target", "node_modules", ".git", ".venv", "data", "output", "__pycache__"].contains(&name);
            if ours {
                open.extend(std::fs::read_dir(&path)?.flatten().map(|entry| entry.path()));
            }
        } else if endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending)) {
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let path = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            found.push(Source { path, text });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Places where a word stands in code outside of the files where it may.
fn trespasses(sources: &[Source], words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !allowed(&source.path)) {
        for (number, line) in source.code() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                found.push(format!("{}:{number}: {word}", source.path));
            }
        }
    }
    found
}

fn none(found: &[String], rule: &str) -> TestResult {
    ensure!(found.is_empty(), "{rule}\n{}", found.join("\n"));
    Ok(())
}

/// The first folder or file below `src/`.
fn part(path: &str) -> &str {
    let inside = path.split_once("/src/").map_or("", |(_, inside)| inside);
    inside.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

#[test]
fn the_planes_share_the_protocol_crate_alone() -> TestResult {
    for (plane, other) in [("control-plane", "data-plane"), ("data-plane", "control-plane")] {
        let manifest = std::fs::read_to_string(paths::root().join(plane).join("Cargo.toml"))?;
        ensure!(!manifest.contains(&format!("toolmesh-{other}")), "{plane} depends on {other}");
        let import = format!("toolmesh_{}", other.replace('-', "_"));
        none(
            &trespasses(&files(plane, &[".rs"])?, &[&import], |_| false),
            "the planes never import each other",
        )?;
    }
    let proto = std::fs::read_to_string(paths::root().join("proto/Cargo.toml"))?;
    for word in ["sqlx", "axum", "toolmesh-control-plane", "toolmesh-data-plane", "reqwest"] {
        ensure!(!proto.contains(word), "proto knows {word}");
    }
    Ok(())
}

#[test]
fn sql_is_only_in_stores() -> TestResult {
    let sources = files("control-plane/src", &[".rs"])?;
    let words = ["sqlx::query", "sqlx::raw_sql", "query_as(", "query_scalar(", "QueryBuilder"];
    let allowed = |path: &str| path.ends_with("/store.rs") || path.contains("/src/db/");
    none(&trespasses(&sources, &words, allowed), "SQL stands in store.rs files and in db alone")?;
    for other in ["data-plane", "proto"] {
        none(
            &trespasses(&files(other, &[".rs"])?, &["sqlx"], |_| false),
            "only the control plane has a database",
        )?;
    }
    Ok(())
}

#[test]
fn web_framework_and_grpc_stay_at_the_edges() -> TestResult {
    let sources = files("control-plane/src", &[".rs"])?;
    // `serve` puts everything together; `peer` is what the pages and OAuth share: who is at the other end.
    let web = |path: &str| ["console", "api", "oauth", "serve", "peer"].contains(&part(path));
    none(&trespasses(&sources, &["axum::", "use axum"], web), "axum stands in console, api and oauth")?;
    let grpc = |path: &str| ["push", "serve"].contains(&part(path));
    none(&trespasses(&sources, &["tonic::", "use tonic"], grpc), "tonic stands in push")?;
    let sources = files("data-plane/src", &[".rs"])?;
    let grpc = |path: &str| ["sync", "record", "peer", "serve", "lib"].contains(&part(path));
    none(&trespasses(&sources, &["tonic::", "use tonic"], grpc), "tonic stands in sync, record and peer")
}

/// The walk over every route compares its table with what the router says; a route that it does not say is walked by nobody.
#[test]
fn every_route_of_the_control_plane_is_in_its_table() -> TestResult {
    let sources = files("control-plane/src", &[".rs"])?;
    let table = |path: &str| path == "control-plane/src/console/routes.rs";
    let words = ["axum::routing", "routing::{", "Router::new(", "route_service(", "nest_service("];
    none(&trespasses(&sources, &words, table), "routes are added by `Routes`, with its own `get` and `post`")
}

#[test]
fn the_environment_is_read_in_one_place() -> TestResult {
    for crate_folder in ["control-plane/src", "data-plane/src", "proto/src", "infra/local/src"] {
        let allowed = |path: &str| path.ends_with("/config.rs");
        let words = ["std::env", "env::var", "env!("];
        let found: Vec<_> = trespasses(&files(crate_folder, &[".rs"])?, &words, allowed)
            .into_iter()
            // Where a program finds itself is no setting.
            .filter(|place| !is_current_exe(place))
            .collect();
        none(&found, "the environment is read in config.rs")?;
    }
    Ok(())
}

fn is_current_exe(place: &str) -> bool {
    let mut parts = place.split(':');
    let (Some(path), Some(number)) =
        (parts.next(), parts.next().and_then(|number| number.parse::<usize>().ok()))
    else {
        return false;
    };
    let text = std::fs::read_to_string(paths::root().join(path)).unwrap_or_default();
    text.lines().nth(number - 1).is_some_and(|line| {
        ["current_exe", "env!(\"CARGO", "env::args", "env::temp_dir", "consts::"]
            .iter()
            .any(|fine| line.contains(fine))
    })
}

#[test]
fn capabilities_do_not_know_who_uses_them() -> TestResult {
    let sources = files("control-plane/src", &[".rs"])?;
    let users = ["console", "api", "push", "jobs"];
    let mut found = Vec::new();
    for source in &sources {
        let own = part(&source.path);
        if users.contains(&own) || ["main", "lib", "serve", "config"].contains(&own) {
            continue;
        }
        for user in users {
            let import = format!("crate::{user}::");
            found.extend(trespasses(std::slice::from_ref(source), &[&import], |_| false));
        }
    }
    none(&found, "console, api, push, jobs -> capabilities -> db, never back")?;
    let capabilities = [
        "accounts",
        "tenants",
        "oauth",
        "revocations",
        "connectors",
        "credentials",
        "policy",
        "audit",
        "billing",
        "mail",
    ];
    let imports: Vec<_> = capabilities.iter().map(|name| format!("crate::{name}::")).collect();
    let imports: Vec<_> = imports.iter().map(String::as_str).collect();
    let elsewhere = |path: &str| part(path) != "db";
    none(&trespasses(&sources, &imports, elsewhere), "db knows no capability")
}

/// `a -> b` for each import of one capability by another.
#[test]
fn capabilities_use_each_other_in_no_circle() -> TestResult {
    let names = [
        "accounts",
        "tenants",
        "oauth",
        "revocations",
        "connectors",
        "credentials",
        "policy",
        "audit",
        "billing",
        "mail",
    ];
    let mut uses: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in files("control-plane/src", &[".rs"])? {
        let Some(own) = names.iter().find(|name| **name == part(&source.path)) else { continue };
        for other in names.iter().filter(|other| *other != own) {
            if source.code().any(|(_, line)| line.contains(&format!("crate::{other}"))) {
                uses.entry(own).or_default().push(other);
            }
        }
    }
    for start in names {
        let mut open = uses.get(start).cloned().unwrap_or_default();
        let mut seen = Vec::new();
        while let Some(name) = open.pop() {
            ensure!(name != start, "{start} uses itself in a circle: {uses:?}");
            if !seen.contains(&name) {
                seen.push(name);
                open.extend(uses.get(name).into_iter().flatten());
            }
        }
    }
    Ok(())
}

#[test]
fn every_table_of_a_tenant_has_forced_row_level_security_and_a_policy() -> TestResult {
    let sql: String = files("migrations", &[".sql"])?.iter().map(|file| format!("{}\n", file.text)).collect();
    let mut tables = 0;
    for statement in sql.split(';') {
        let Some(at) = statement.find("CREATE TABLE") else { continue };
        let body = &statement[at + "CREATE TABLE".len()..];
        let name = body
            .trim_start()
            .trim_start_matches("IF NOT EXISTS")
            .split_whitespace()
            .next()
            .unwrap_or_default();
        let has_tenant = body.lines().any(|line| line.trim_start().starts_with("tenant_id"));
        if !has_tenant && name != "tenants" {
            continue;
        }
        tables += 1;
        for wanted in [
            format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"),
            format!("ALTER TABLE {name} FORCE ROW LEVEL SECURITY"),
            format!(" ON {name}"),
        ] {
            ensure!(sql.contains(&wanted), "{name}: no `{wanted}`");
        }
        let policy =
            sql.split(';').any(|s| s.contains("CREATE POLICY") && s.contains(&format!(" ON {name}")));
        ensure!(policy, "{name} has no policy");
    }
    ensure!(tables > 5, "only {tables} tables were found");
    Ok(())
}

#[test]
fn nothing_in_the_tree_exists_on_one_machine_only() -> TestResult {
    // Put together here, so that this file does not name them itself.
    let private = [
        ["/wo", "rk/"].concat(),
        ["../sha", "red"].concat(),
        ["/ro", "ot/"].concat(),
        ["/ho", "me/"].concat(),
    ];
    let mut found = Vec::new();
    for source in files(
        "",
        &[
            ".rs", ".toml", ".md", ".sql", ".proto", ".html", ".css", ".js", ".mjs", ".cjs", ".py", ".sh",
            ".json", ".dadl", ".yml", ".yaml",
        ],
    )? {
        for (number, line) in source.text.lines().enumerate() {
            if let Some(word) = private.iter().find(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
    }
    none(&found, "paths of one machine")
}

#[test]
fn nothing_is_left_for_later() -> TestResult {
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["XX", "X"].concat(),
        ["unimpl", "emented!"].concat(),
        ["to", "do!("].concat(),
    ];
    let mut found = Vec::new();
    for source in files("", &[".rs", ".sql", ".proto", ".html", ".css", ".mjs", ".cjs", ".py"])? {
        for (number, line) in source.text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
    }
    none(&found, "marks of work that was not done")
}

#[test]
fn every_module_says_what_it_owns() -> TestResult {
    let mut found = Vec::new();
    for folder in ["control-plane/src", "data-plane/src", "proto/src", "infra/local/src", "tests"] {
        for source in files(folder, &[".rs"])? {
            if !source.text.starts_with("//!") {
                found.push(source.path);
            }
        }
    }
    none(&found, "the first line of a module is its comment")
}

/// A file rarely passes 500 lines; one that passes 800 holds more than one thing.
#[test]
fn no_file_holds_more_than_one_thing() -> TestResult {
    let mut long = Vec::new();
    let mut too_long = Vec::new();
    for folder in ["control-plane/src", "data-plane/src", "proto/src", "infra/local/src", "tests", "web"] {
        for source in files(folder, &[".rs", ".html", ".css"])? {
            let lines = source.text.lines().count();
            if lines > 500 {
                long.push(format!("{lines} {}", source.path));
            }
            if lines > 800 {
                too_long.push(source.path);
            }
        }
    }
    println!("files over 500 lines:\n{}", long.join("\n"));
    none(&too_long, "files over 800 lines")
}

#[test]
fn the_clients_are_pinned_exactly() -> TestResult {
    let package: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(paths::client("node/package.json"))?)?;
    let versions = package["dependencies"].as_object().context("no dependencies")?;
    for (name, version) in versions {
        let exact = version.as_str().is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()));
        ensure!(exact, "{name} is not pinned: {version}");
    }
    let python = std::fs::read_to_string(paths::client("python/requirements.txt"))?;
    ensure!(
        python.lines().filter(|line| !line.trim().is_empty()).all(|line| line.contains("==")),
        "{python}"
    );
    let lock = std::fs::read_to_string(paths::client("node/package-lock.json"))?;
    // Where a package comes from is the machine's affair; what it is, its integrity hash says.
    ensure!(!lock.contains("\"resolved\":"), "the lock file names the place that packages were loaded from");
    Ok(())
}

/// The file that a test's path leads to, and the test's own name.
fn place_of_test(name: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = name.split("::").collect();
    let (first, rest) = parts.split_first()?;
    let (test, modules) = rest.split_last()?;
    let folder = match *first {
        "e2e" => "tests/e2e",
        "node" => "data-plane/tests/node",
        "control_plane" => "control-plane/src",
        "data_plane" => "data-plane/src",
        _ => return None,
    };
    let module = [&[folder], modules].concat().join("/");
    let files = [format!("{module}.rs"), format!("{module}/mod.rs"), format!("{module}/main.rs")];
    let file = files.into_iter().find(|file| paths::root().join(file).is_file())?;
    Some((file, (*test).to_owned()))
}

#[test]
fn the_table_of_attacks_names_tests_that_exist_and_every_attack() -> TestResult {
    let table = std::fs::read_to_string(paths::root().join("tests/ATTACKS.md"))?;
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case |"));
    let named: Vec<_> =
        rows.flat_map(|row| row.split('`').skip(1).step_by(2)).filter(|text| text.contains("::")).collect();
    ensure!(named.len() > 40, "only {} tests are named", named.len());
    let mut wrong = Vec::new();
    for name in &named {
        let there = place_of_test(name).is_some_and(|(file, test)| {
            let text = std::fs::read_to_string(paths::root().join(file)).unwrap_or_default();
            text.contains(&format!("fn {test}()"))
        });
        if !there {
            wrong.push(format!("{name} does not exist"));
        }
    }
    for source in files("tests/e2e/attacks", &[".rs"])? {
        let module = source.path.trim_start_matches("tests/e2e/").trim_end_matches(".rs").replace('/', "::");
        for at in source.text.split("#[tokio::test").skip(1) {
            let test = at.split("fn ").nth(1).and_then(|text| text.split('(').next()).unwrap_or_default();
            let name = format!("e2e::{module}::{test}");
            if !named.contains(&name.as_str()) {
                wrong.push(format!("{name} is not in the table"));
            }
        }
    }
    none(&wrong, "tests/ATTACKS.md")
}
