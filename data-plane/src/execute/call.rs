//! One call from its arguments to its result: its requests, their retries, the pages of a list.
//!
//! All of it shares one deadline. What was fetched is never passed off as the whole of what there is.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use toolmesh_proto::jq::Program;
use url::Url;

use super::credentials::{Opened, Placement};
use super::outbound::{OutboundError, OutboundRequest, Reply};
use super::rest::pages::{self, More, Paging, Position};
use super::rest::plan::Streaming;
use super::rest::response::{AnswerError, Body, Content, status_text};
use super::rest::{Plan, json, pipeline, stream};
use super::{Aside, Executor, Failure, Trace, Try, asks_for_html, prepare, read};
use crate::catalog::Installation;

/// The argument that holds a program of the caller's own; no part of the request.
pub const PROGRAM: &str = "_jq";
/// Longest such program.
const PROGRAM_BYTES: usize = 4 << 10;
/// Most bytes of all pages together.
const PAGES_BYTES: usize = 4 << 20;

/// A call on its way.
pub(super) struct Call<'a> {
    pub executor: &'a Executor,
    pub installation: &'a Installation,
    pub plan: &'a Plan,
    pub opened: &'a Opened,
    pub until: Instant,
    pub trace: &'a mut Trace,
}

type Arguments = Map<String, Value>;

/// A page that has come.
struct Page {
    url: Url,
    headers: HeaderMap,
    body: Body,
    placement: Placement,
}

impl Call<'_> {
    pub(super) async fn run(mut self, arguments: &Arguments) -> Result<(Content, Aside), Failure> {
        let plan = self.plan;
        let (own, mut arguments) = (own_program(plan, arguments).await?, arguments.clone());
        if plan.answer.takes_program {
            arguments.remove(PROGRAM);
        }
        if let Some(paging) = &plan.answer.paging {
            arguments = paging.arguments(plan, &arguments);
        }
        let mut page = self.page(&arguments, None).await?;
        let start = Instant::now();
        let mut aside = Aside::default();
        if let Body::Json(text) = &page.body {
            let part = pipeline::part(plan, text).map_err(Failure::Answer)?;
            aside.metadata =
                pipeline::metadata(plan, text).and_then(|facts| self.scrub_raw(facts, &page.placement));
            let whole = match &plan.answer.paging {
                Some(paging) => {
                    self.list(paging, arguments, &page, text, part, own.is_some(), &mut aside.notes).await
                }
                None => part,
            };
            page.body = Body::Json(whole);
        }
        let shaped = pipeline::shape(plan, page.body, own.as_ref(), &self.executor.programs).await;
        self.trace.read = Some(start.elapsed());
        let shaped = shaped.map_err(Failure::Answer)?;
        if shaped.cut {
            aside.notes.insert(
                0,
                match plan.answer.max_items {
                    1 => "Only the first item is shown.".to_owned(),
                    most => format!("Only the first {most} items are shown."),
                },
            );
        }
        Ok((self.scrub(shaped.content, &page.placement), aside))
    }

    /// The list that begins with a page; notes what of it is missing.
    #[expect(clippy::too_many_arguments, reason = "the state of one walk, used once")]
    async fn list(
        &mut self,
        paging: &Paging,
        arguments: Arguments,
        first: &Page,
        text: &str,
        part: String,
        filtered: bool,
        notes: &mut Vec<String>,
    ) -> String {
        let plan = self.plan;
        let items = json::items(&part).map(|items| items.len());
        let more = paging.next(
            plan,
            &arguments,
            pages::Page { url: &first.url, headers: &first.headers, json: text, items },
        );
        if !paging.auto || items.is_none() {
            notes.extend(Some(paging.told(plan, &more, &first.url)).filter(|note| !note.is_empty()));
            return part;
        }
        // Where nothing looks at the whole, what would be cut off need not be fetched.
        let most = if filtered || plan.answer.transform.is_some() { 0 } else { plan.answer.max_items };
        let mut walk = Walk {
            arguments,
            more,
            headers: first.headers.clone(),
            list: vec![part],
            items: items.unwrap_or(0),
            pages: 1,
            bytes: text.len(),
        };
        if let Some(reason) = self.follow(paging, &mut walk, most).await {
            let on = paging.told(plan, &walk.more, &first.url);
            notes.push(
                format!(
                    "This is not all: {} items of {} pages, since {reason}. {on}",
                    walk.items, walk.pages
                )
                .trim_end()
                .to_owned(),
            );
        }
        joined(&walk.list)
    }

    /// Follows the pages to the last; gives the reason where it is not reached.
    async fn follow(&mut self, paging: &Paging, walk: &mut Walk, most: usize) -> Option<String> {
        let plan = self.plan;
        let mut seen = HashSet::new();
        loop {
            let position = match &walk.more {
                More::No => return None,
                More::Maybe(position) | More::Yes(position) => position.clone(),
            };
            if most > 0 && walk.items > most {
                return None;
            }
            if walk.pages >= paging.max_pages {
                return Some(format!("{} pages are followed at most", paging.max_pages));
            }
            if walk.bytes > PAGES_BYTES {
                return Some("more would be too much for one answer".to_owned());
            }
            if Instant::now() >= self.until {
                return Some("the time was up".to_owned());
            }
            let rule = plan.answer.retry.as_ref();
            let pause = rule.and_then(|rule| rule.pause(&walk.headers)).unwrap_or_default();
            if Instant::now() + pause >= self.until {
                return Some("the API's limit of calls is used up".to_owned());
            }
            tokio::time::sleep(pause).await;
            let (query, key) = match position {
                Position::Argument(value) => {
                    let key = value.to_string();
                    walk.arguments.insert(paging.position.clone(), value);
                    (None, key)
                }
                Position::Query(query) => (Some(query.clone()), query),
            };
            if !seen.insert(key) {
                return None;
            }
            let page = match self.page(&walk.arguments, query.as_deref()).await {
                Ok(page) => page,
                Err(failure) => {
                    return Some(format!("page {} did not come ({})", walk.pages + 1, shortly(&failure)));
                }
            };
            let Body::Json(text) = &page.body else {
                return Some(format!("page {} is no list", walk.pages + 1));
            };
            let part = pipeline::part(plan, text).unwrap_or_default();
            let Some(items) = json::items(&part).map(|items| items.len()) else {
                return Some(format!("page {} is no list", walk.pages + 1));
            };
            let seen = pages::Page { url: &page.url, headers: &page.headers, json: text, items: Some(items) };
            walk.more = paging.next(plan, &walk.arguments, seen);
            walk.pages += 1;
            walk.headers.clone_from(&page.headers);
            walk.items += items;
            walk.bytes += text.len();
            walk.list.push(part);
            if items == 0 {
                return None;
            }
        }
    }

    /// One page; `query` stands in for the arguments' own where the API names it.
    async fn page(&mut self, arguments: &Arguments, query: Option<&str>) -> Result<Page, Failure> {
        let start = Instant::now();
        let placement =
            self.executor.sign_in.placement(self.installation, self.opened, self.plan.credential).await;
        let prepared = placement.map_err(Failure::Credential).and_then(|placement| {
            Ok((prepare(self.installation, self.plan, &placement, arguments)?, placement))
        });
        *self.trace.credential.get_or_insert_default() += start.elapsed();
        let (mut request, mut placement) = prepared?;
        if let Some(query) = query {
            self.replace_query(&mut request, &placement, query);
        }
        let (wants_html, url) = (asks_for_html(&request), request.url.clone());
        let mut reply = self.exchange(&request).await?;
        if reply.status == StatusCode::UNAUTHORIZED
            && let Some(again) = self.anew(&placement).await?
        {
            // What was refused did nothing, so that any method may be repeated; once.
            again.replace(&placement, &mut request.headers, &mut request.url);
            placement = again;
            let outcome = status_text(reply.status);
            self.trace.tries.push(Try { outcome, took: Duration::ZERO, wait: Duration::ZERO });
            reply = self.exchange(&request).await?;
        }
        placement.learn(reply.status, &reply.headers);
        self.trace.status = Some(reply.status);
        let start = Instant::now();
        let body = read(self.plan, &reply, wants_html, self.opened, &placement);
        *self.trace.read.get_or_insert_default() += start.elapsed();
        self.trace.pages += 1;
        Ok(Page { url, headers: reply.headers, body: body?, placement })
    }

    /// What else to show an API that has refused the credential.
    async fn anew(&self, refused: &Placement) -> Result<Option<Placement>, Failure> {
        let anew = self.executor.sign_in.anew(self.installation, self.opened, refused).await;
        anew.map_err(Failure::Credential)
    }

    /// The API's own query, with our credential and nobody else's.
    fn replace_query(&self, request: &mut OutboundRequest, placement: &Placement, query: &str) {
        let plan = self.plan;
        let mut query = pages::query_without(query, |name| plan.is_reserved_query(name));
        placement.apply_query(&mut query);
        request.url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
    }

    /// Sends a request, and again for as long as the connector's rule and the deadline let it.
    async fn exchange(&mut self, request: &OutboundRequest) -> Result<Reply, Failure> {
        let mut made = 0;
        loop {
            let start = Instant::now();
            let sent = self.send(request.clone()).await;
            let took = start.elapsed();
            *self.trace.upstream.get_or_insert_default() += took;
            let retry = self.plan.answer.retry.as_ref();
            let wait = retry.and_then(|retry| retry.wait(made, &sent));
            let Some(wait) = wait.filter(|wait| Instant::now() + *wait < self.until) else {
                return sent.map_err(|error| match error {
                    OutboundError::TooLarge(most) if self.plan.answer.file => {
                        Failure::Answer(AnswerError::LargeFile(most))
                    }
                    other => Failure::Outbound(other),
                });
            };
            let outcome = sent.map_or_else(|error| error.to_string(), |reply| status_text(reply.status));
            self.trace.tries.push(Try { outcome, took, wait });
            tokio::time::sleep(wait).await;
            made += 1;
        }
    }

    async fn send(&self, request: OutboundRequest) -> Result<Reply, OutboundError> {
        let outbound = &self.executor.outbound;
        let left = self.until.saturating_duration_since(Instant::now());
        let sent = match self.plan.answer.streaming {
            None => outbound.send_within(request, left).await,
            Some(Streaming { skip: true, .. }) => {
                outbound.collect(request, left, Duration::ZERO, |_| true).await
            }
            Some(Streaming { longest, most, .. }) => {
                let reading = longest.unwrap_or(left).min(left);
                outbound.collect(request, left, reading, |body| stream::is_enough(body, most)).await
            }
        };
        // The caller knows the whole time, not what was left of it.
        sent.map_err(|error| match error {
            OutboundError::Timeout(_) => OutboundError::Timeout(outbound.longest()),
            other => other,
        })
    }

    /// Programs may have brought a credential into a form that was not looked for before.
    fn scrub(&self, content: Content, placement: &Placement) -> Content {
        match content {
            Content::Json(json) => match self.scrub_raw(json, placement) {
                Some(json) => Content::Json(json),
                None => Content::Text(super::credentials::REDACTED.to_owned()),
            },
            other => other,
        }
    }

    fn scrub_raw(&self, json: Box<RawValue>, placement: &Placement) -> Option<Box<RawValue>> {
        let mut text = json.get().to_owned();
        self.opened.scrub(&mut text);
        placement.scrub(&mut text);
        if text == json.get() { Some(json) } else { RawValue::from_string(text).ok() }
    }
}

/// A walk through the pages of a list.
struct Walk {
    /// Those of the page that came last.
    arguments: Arguments,
    more: More,
    /// Of the page that came last.
    headers: HeaderMap,
    /// The lists of the pages.
    list: Vec<String>,
    items: usize,
    pages: usize,
    bytes: usize,
}

/// The items of lists as one list.
fn joined(lists: &[String]) -> String {
    match lists {
        [only] => only.clone(),
        _ => json::array(lists.iter().filter_map(|list| json::items(list)).flatten().map(RawValue::get)),
    }
}

/// The caller's own program, read before anything is sent.
async fn own_program(plan: &Plan, arguments: &Arguments) -> Result<Option<Program>, Failure> {
    let text = match arguments.get(PROGRAM).filter(|_| plan.answer.takes_program) {
        Some(Value::String(text)) if !text.trim().is_empty() => text.clone(),
        _ => return Ok(None),
    };
    if text.len() > PROGRAM_BYTES {
        return Err(Failure::Program(format!("it is longer than {PROGRAM_BYTES} bytes")));
    }
    // Compiling takes a thread and some milliseconds.
    let compiled = tokio::task::spawn_blocking(move || Program::compile(&text)).await;
    match compiled {
        Ok(program) => program.map(Some).map_err(|error| Failure::Program(error.to_string())),
        Err(_) => Err(Failure::Program("it cannot be compiled".to_owned())),
    }
}

fn shortly(failure: &Failure) -> String {
    match failure {
        Failure::Credential(error) => error.to_string(),
        Failure::Argument(error) => error.to_string(),
        Failure::Program(error) => error.clone(),
        Failure::Outbound(error) => error.to_string(),
        Failure::Answer(AnswerError::Status { status, .. }) => status_text(*status),
        Failure::Answer(error) => error.to_string(),
    }
}
