//! The walk itself: each line of the table, asked for by each kind of caller.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use http::header::{ORIGIN, SET_COOKIE};
use toolmesh_tests::rows::difference;
use toolmesh_tests::{Console, Page, Person, System, TestResult, eventually};

use super::scene::{Scene, has_id, unknown};
use super::table::{Line, TABLE, Who};

/// What somebody may expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// Sent to log in first.
    LogIn,
    /// Served: the answer may be that the input is wrong, not that the caller is.
    Served,
    /// A member whose role does not include it.
    Forbidden,
    /// As if it did not exist.
    Missing,
    OneOf(&'static [u16]),
}

impl Expect {
    fn holds(self, page: &Page) -> bool {
        let status = page.status.as_u16();
        let to = page.location().map(|to| to.path().to_owned()).unwrap_or_default();
        let away = ["/login", "/account/confirm"].contains(&to.as_str());
        match self {
            Self::LogIn => page.status == StatusCode::SEE_OTHER && to == "/login",
            Self::Served => [200, 202, 303, 400, 409, 410, 422].contains(&status) && !away,
            // Somebody else's key is not found rather than forbidden.
            Self::Forbidden => status == 403 || status == 404,
            Self::Missing => status == 404,
            Self::OneOf(statuses) => statuses.contains(&status),
        }
    }
}

/// Who asks.
struct Caller<'a> {
    name: &'a str,
    console: &'a Console,
    /// To log in again, where a form ended the session.
    person: Option<&'a Person>,
    token: String,
}

impl<'a> Caller<'a> {
    async fn new(name: &'a str, console: &'a Console, person: Option<&'a Person>) -> Result<Self> {
        let mut caller = Self { name, console, person, token: String::new() };
        caller.refresh().await?;
        Ok(caller)
    }

    /// Logs in again if need be, and takes a token for forms.
    async fn refresh(&mut self) -> TestResult {
        let mut page = self.console.get("/workspaces").await?;
        if page.status == StatusCode::SEE_OTHER {
            if let Some(person) = self.person {
                log_in(self.console, person).await?;
            }
            page = self.console.visit("/workspaces").await?;
        }
        self.token = page.csrf().with_context(|| format!("{}: no token on {}", self.name, page.url))?;
        Ok(())
    }

    async fn ask(&self, line: &Line, path: &str, fields: Vec<(String, String)>) -> Result<Page> {
        if line.route.starts_with("GET ") {
            return self.console.get(path).await;
        }
        let mut fields = fields;
        // Clients' endpoints know no such parameter, and refuse none.
        fields.push(("_csrf".to_owned(), self.token.clone()));
        self.console.post(path, &fields).await
    }
}

/// Logs in, and waits where the walk's wrong passwords have made the console slow for this account.
async fn log_in(console: &Console, person: &Person) -> TestResult {
    eventually("the login is accepted", Duration::from_secs(60), || async {
        let page = console.try_login(&person.email, &person.password).await?;
        ensure!(page.status != StatusCode::UNPROCESSABLE_ENTITY, "{}", page.text());
        Ok((page.status == StatusCode::SEE_OTHER).then_some(()))
    })
    .await
}

fn pattern(line: &Line) -> &'static str {
    line.route.split_once(' ').map_or(line.route, |(_, path)| path)
}

fn expected(line: &Line, caller: &str) -> Expect {
    let outsider = ["a stranger", "another owner"].contains(&caller);
    match line.who {
        Who::Anybody(statuses) => Expect::OneOf(statuses),
        _ if caller == "nobody" => Expect::LogIn,
        Who::Person if has_id(pattern(line)) && caller != "owner" => Expect::Missing,
        Who::Person => Expect::Served,
        Who::Roles(_) if outsider => Expect::Missing,
        Who::Roles(roles) if roles.contains(&caller) => Expect::Served,
        Who::Roles(_) => Expect::Forbidden,
    }
}

/// Walks as everybody; fails with all that was not as the table says.
pub async fn all(system: &System) -> TestResult {
    let mut ours = Scene::full(system).await?;
    let mut wrong = outsiders(system, &mut ours).await?;
    let people = std::mem::take(&mut ours.people);
    for (role, (person, console)) in &people {
        let mut caller = Caller::new(role, console, Some(person)).await?;
        inside(&mut caller, &mut ours, &mut wrong).await?;
    }
    none(&wrong)
}

/// Walks as those who do not belong to the workspace.
pub async fn strangers(system: &System) -> TestResult {
    let mut ours = Scene::new(system).await?;
    none(&outsiders(system, &mut ours).await?)
}

fn none(wrong: &[String]) -> TestResult {
    ensure!(wrong.is_empty(), "{} of the walk's steps went wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

async fn outsiders(system: &System, ours: &mut Scene) -> Result<Vec<String>> {
    let theirs = Scene::new(system).await?;
    let mut wrong = Vec::new();
    let (nobody, stranger) = (Console::new(system)?, system.person().await?);
    let strangers = system.console(&stranger).await?;
    let other = system.console(&theirs.workspace.owner).await?;
    for (name, console, person) in [
        ("nobody", &nobody, None),
        ("a stranger", &strangers, Some(&stranger)),
        ("another owner", &other, Some(&theirs.workspace.owner)),
    ] {
        let mut caller = Caller::new(name, console, person).await?;
        outside(&mut caller, ours, &mut wrong).await?;
    }
    wrong.extend(foreign_ids(system, ours, &theirs).await?);
    Ok(wrong)
}

/// What goes wrong for the owner of one workspace with the ids of another.
pub async fn foreign_ids(system: &System, ours: &mut Scene, theirs: &Scene) -> Result<Vec<String>> {
    let owner = &theirs.workspace.owner;
    let console = Console::new(system)?;
    log_in(&console, owner).await?;
    let mut caller = Caller::new("another owner", &console, Some(owner)).await?;
    let mut wrong = Vec::new();
    with_foreign_ids(&mut caller, ours, theirs, &mut wrong).await?;
    Ok(wrong)
}

/// As somebody who does not belong to the workspace.
async fn outside(caller: &mut Caller<'_>, ours: &mut Scene, wrong: &mut Vec<String>) -> TestResult {
    let (rows, people) = (ours.rows.snapshot().await?, ours.rows.people().await?);
    for line in TABLE {
        let expect = expected(line, caller.name);
        let path = ours.path(pattern(line))?;
        let page = caller.ask(line, &path, ours.fields(line.fields)).await?;
        judge(caller.name, line, expect, &page, wrong);
        let mut changed = difference(&rows, &ours.rows.snapshot().await?);
        changed.extend(difference(&people, &ours.rows.people().await?));
        note_changes(caller.name, line, &changed, wrong);
        if line.route.starts_with("POST ") && !matches!(line.who, Who::Roles(_)) {
            caller.refresh().await?;
        }
    }
    Ok(())
}

/// As the owner of another workspace, through that workspace's own addresses: an id of ours is answered as one of nobody's.
async fn with_foreign_ids(
    caller: &mut Caller<'_>,
    ours: &mut Scene,
    theirs: &Scene,
    wrong: &mut Vec<String>,
) -> TestResult {
    let rows = ours.rows.snapshot().await?;
    let slug = &theirs.workspace.slug;
    let ids = |line: &&Line| matches!(line.who, Who::Roles(_)) && has_id(pattern(line));
    for line in TABLE.iter().filter(ids) {
        let (foreign, none) = (ours.fill(pattern(line), slug)?, unknown(pattern(line), slug)?);
        let found = caller.ask(line, &foreign, ours.fields(line.fields)).await?;
        let missing = caller.ask(line, &none, ours.fields(line.fields)).await?;
        judge("another owner, with an id of ours", line, Expect::Missing, &found, wrong);
        judge("another owner, with an id of nobody's", line, Expect::Missing, &missing, wrong);
        let (found, missing) = (told(&found), told(&missing));
        if found != missing {
            wrong.push(format!(
                "{}: a foreign id is told from an unknown one:\n{found}\n{missing}",
                line.route
            ));
        }
        let changed = difference(&rows, &ours.rows.snapshot().await?);
        note_changes("another owner, with an id of ours", line, &changed, wrong);
    }
    Ok(())
}

/// As a member. What was changed by who may is brought back, so that all find the same.
async fn inside(caller: &mut Caller<'_>, ours: &mut Scene, wrong: &mut Vec<String>) -> TestResult {
    let mut rows = ours.rows.snapshot().await?;
    for line in TABLE {
        let expect = expected(line, caller.name);
        let path = ours.path(pattern(line))?;
        let page = caller.ask(line, &path, ours.fields(line.fields)).await?;
        judge(caller.name, line, expect, &page, wrong);
        let after = ours.rows.snapshot().await?;
        let changed = difference(&rows, &after);
        let may = expect == Expect::Served && line.route.starts_with("POST ");
        if !may {
            note_changes(caller.name, line, &changed, wrong);
        }
        if !changed.is_empty() {
            ours.rows.restore(&rows).await.with_context(|| format!("after {}", line.route))?;
            rows = ours.rows.snapshot().await?;
        }
        if line.route.starts_with("POST ") && !matches!(line.who, Who::Roles(_)) {
            caller.refresh().await?;
        }
    }
    Ok(())
}

/// As the owner, whose forms lack their token or come from another site.
pub async fn forged(system: &System) -> TestResult {
    let mut ours = Scene::new(system).await?;
    let owner = ours.workspace.owner.clone();
    let console = system.console(&owner).await?;
    let caller = Caller::new("owner", &console, Some(&owner)).await?;
    let rows = ours.rows.snapshot().await?;
    let mut wrong = Vec::new();
    // Clients' endpoints take no cookie, so that nobody can use a browser's.
    let form = |line: &&Line| line.route.starts_with("POST ") && !is_for_clients(line);
    for line in TABLE.iter().filter(form) {
        let path = ours.path(pattern(line))?;
        let bare = ours.fields(line.fields);
        let mut full = bare.clone();
        full.push(("_csrf".to_owned(), caller.token.clone()));
        let evil = [(ORIGIN.as_str(), "https://evil.example"), ("sec-fetch-site", "cross-site")];
        for (what, fields, headers) in
            [("without its token", &bare, [].as_slice()), ("from another site", &full, evil.as_slice())]
        {
            let page = console.post_with(&path, fields, headers).await?;
            if page.status != StatusCode::FORBIDDEN {
                wrong.push(format!("{} {what}: {}", line.route, page.status));
            }
            if page.headers.contains_key(SET_COOKIE) {
                wrong.push(format!("{} {what} sets a cookie", line.route));
            }
            note_changes(what, line, &difference(&rows, &ours.rows.snapshot().await?), &mut wrong);
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn is_for_clients(line: &Line) -> bool {
    line.route.starts_with("POST /oauth/") && !line.route.ends_with("/authorize")
}

fn judge(who: &str, line: &Line, expect: Expect, page: &Page, wrong: &mut Vec<String>) {
    if !expect.holds(page) {
        let to = page.location().map(|to| format!(" to {}", to.path())).unwrap_or_default();
        let text: String = page.text().chars().take(200).collect();
        wrong.push(format!("{who}: {} answered {}{to}, not {expect:?}: {text}", line.route, page.status));
    }
}

fn note_changes(who: &str, line: &Line, changed: &[String], wrong: &mut Vec<String>) {
    if !changed.is_empty() {
        let changed: Vec<_> = changed.iter().map(|row| row.chars().take(300).collect::<String>()).collect();
        wrong.push(format!("{who}: {} changed something:\n  {}", line.route, changed.join("\n  ")));
    }
}

/// All that an answer says, but for what no two answers share.
fn told(page: &Page) -> String {
    let id = page.headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or("no request id");
    let mut headers: Vec<_> = page.headers.iter().filter(|(name, _)| *name != "date").collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    format!("{} {headers:?}\n{}", page.status, page.body).replace(id, "ID")
}
