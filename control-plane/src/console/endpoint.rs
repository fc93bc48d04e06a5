//! How the workspace's endpoint answers: web pages that may call it, how often callers may ask, and what ChatGPT needs.

use axum::extract::State;
use axum::http::StatusCode;

use super::App;
use super::forms::Fields;
use super::respond::{Page, page, see_other, with_status};
use super::session::Workspace;
use super::view::{Choice, EndpointPage, Field, Nav, Tabs};
use crate::connectors::aliases::{Alias, Aliased, Candidate};
use crate::error::{Error, Result};
use crate::tenants::endpoint::{self, TypedLimits};

const PATH: &str = "/settings/endpoint";

pub(super) async fn show(State(app): State<App>, at: Workspace) -> Page {
    page(&view(&app, &at).await?)
}

pub(super) async fn save_origins(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    let typed = fields.get("browser_origins");
    match endpoint::set_browser_origins(&app.db, &at.member, typed).await {
        Ok(()) => saved(&at, "The list of web pages is saved.").await,
        Err(error) => refused(&app, &at, &fields, error).await,
    }
}

pub(super) async fn save_limits(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    let typed = TypedLimits {
        tenant: fields.get("tenant_per_minute"),
        caller: fields.get("caller_per_minute"),
        api_key: fields.get("api_key_per_minute"),
    };
    match endpoint::set_limits(&app.db, &at.member, typed).await {
        Ok(()) => saved(&at, "The limits are saved. They hold from now on.").await,
        Err(error) => refused(&app, &at, &fields, error).await,
    }
}

pub(super) async fn save_chatgpt(State(app): State<App>, at: Workspace, fields: Fields) -> Page {
    let set = async {
        endpoint::set_challenge(&app.db, &at.member, fields.get("openai_apps_challenge")).await?;
        app.installations.set_aliases(&at.member, fields.get("search"), fields.get("fetch")).await
    };
    match set.await {
        Ok(()) => saved(&at, "What ChatGPT finds is saved.").await,
        Err(error) => refused(&app, &at, &fields, error).await,
    }
}

async fn saved(at: &Workspace, said: &str) -> Page {
    at.flash(said).await?;
    see_other(&at.path(PATH))
}

/// The page with what was typed in the form that was sent, and what was wrong with it.
async fn refused(app: &App, at: &Workspace, fields: &Fields, error: Error) -> Page {
    let Error::Field { field: wrong, message } = error else { return Err(error.into()) };
    let mut view = view(app, at).await?;
    let kept = [
        ("browser_origins", &mut view.origins),
        ("tenant_per_minute", &mut view.tenant_per_minute),
        ("caller_per_minute", &mut view.caller_per_minute),
        ("api_key_per_minute", &mut view.api_key_per_minute),
        ("openai_apps_challenge", &mut view.challenge),
    ];
    for (name, field) in kept {
        // Of the other forms on the page nothing was sent; they show what is in force.
        if fields.all(name).next().is_some() {
            *field = Field::of(fields.get(name));
        }
        if name == wrong {
            field.error = Some(message.clone());
        }
    }
    for (alias, choices) in [(Alias::Search, &mut view.search), (Alias::Fetch, &mut view.fetch)] {
        if let Some(chosen) = fields.all(alias.as_str()).next() {
            choices.iter_mut().for_each(|choice| choice.chosen = choice.value == chosen);
        }
        if alias.as_str() == wrong {
            view.alias_problem = Some(message.clone());
        }
    }
    with_status(StatusCode::UNPROCESSABLE_ENTITY, &view)
}

async fn view(app: &App, at: &Workspace) -> Result<EndpointPage> {
    let now = endpoint::get(&app.db, &at.member).await?;
    let (chosen, candidates) = app.installations.aliases(&at.member).await?;
    let origin = app.origins.of_stored(at.tenant.slug.as_str());
    let number = |number: i32| Field::of(if number == 0 { String::new() } else { number.to_string() });
    Ok(EndpointPage {
        shell: at.shell("Endpoint", Nav::Settings).await?,
        tabs: Tabs::settings(at.path("/settings"), "/endpoint"),
        origins: Field::of(now.browser_origins.join("\n")),
        tenant_per_minute: number(now.limits.tenant_per_minute),
        caller_per_minute: number(now.limits.caller_per_minute),
        api_key_per_minute: number(now.limits.api_key_per_minute),
        challenge: Field::of(now.openai_apps_challenge),
        challenge_url: format!("{origin}/.well-known/openai-apps-challenge"),
        search: choices(Alias::Search, &chosen, &candidates),
        fetch: choices(Alias::Fetch, &chosen, &candidates),
        alias_problem: None,
    })
}

/// The tools that can have a name, and the one that has it, also if it is switched off at present.
fn choices(alias: Alias, chosen: &[Aliased], candidates: &[Candidate]) -> Vec<Choice> {
    let chosen = chosen.iter().find(|one| one.alias == alias.as_str());
    let is = |one: &Candidate| {
        chosen.is_some_and(|chosen| chosen.installation_id == one.installation_id && chosen.tool == one.tool)
    };
    let none = if chosen.is_some() && !candidates.iter().any(is) {
        format!("None ({} was switched off)", chosen.map_or("", |chosen| chosen.tool.as_str()))
    } else {
        "None".to_owned()
    };
    let none = Choice { value: String::new(), label: none, chosen: !candidates.iter().any(is) };
    let tools = candidates.iter().map(|one| Choice {
        value: one.public_name.clone(),
        label: one.public_name.clone(),
        chosen: is(one),
    });
    std::iter::once(none).chain(tools).collect()
}
