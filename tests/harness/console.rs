//! The console as a browser without a screen uses it: cookies are kept, forms are fetched before they are sent.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail, ensure};
use http::header::{COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use http::{Method, StatusCode};
use url::Url;

use crate::html::{self, Form};
use crate::{Person, System};

/// One person's session with the console.
#[derive(Debug)]
pub struct Console {
    base: Url,
    /// The control plane, where the console's address is public and would lead to a proxy in front.
    behind: Option<Url>,
    http: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// A page, or a fragment of one.
#[derive(Debug, Clone)]
pub struct Page {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub url: Url,
    pub body: String,
}

impl Page {
    /// What a person reads.
    #[must_use]
    pub fn text(&self) -> String {
        html::text(&self.body)
    }

    /// Where a redirect goes.
    #[must_use]
    pub fn location(&self) -> Option<Url> {
        let to = self.headers.get(LOCATION)?.to_str().ok()?;
        self.url.join(to).ok()
    }

    /// This page, if the request was accepted: a page or a redirect.
    ///
    /// # Errors
    /// When it was refused; with what the page says.
    pub fn ok(self) -> Result<Self> {
        let fine = self.status.is_success() || self.status == StatusCode::SEE_OTHER;
        ensure!(fine, "{} answered {}: {}", self.url, self.status, cut(&self.text()));
        Ok(self)
    }

    /// The form that goes to a path.
    ///
    /// # Errors
    /// When the page has none.
    pub fn form(&self, action: &str) -> Result<Form> {
        let goes_there = |form: &&Form| {
            let target = self.url.join(&form.action);
            target.is_ok_and(|url| url.path() == action.split('?').next().unwrap_or(action))
        };
        let forms = html::forms(&self.body);
        let form = forms.iter().find(goes_there).cloned();
        form.with_context(|| {
            format!("{} ({}) has no form to {action}: {}", self.url, self.status, cut(&self.text()))
        })
    }

    /// Any request-forgery token of the page: a form's, or the one htmx sends.
    #[must_use]
    pub fn csrf(&self) -> Option<String> {
        let tags = html::tags(&self.body);
        let named = |name: &str| {
            let wanted = |tag: &&html::Tag| tag.attribute("name") == Some(name);
            let found = tags.iter().find(wanted)?;
            found.attribute("value").or_else(|| found.attribute("content")).map(str::to_owned)
        };
        named("_csrf").or_else(|| named("csrf-token")).or_else(|| named("csrf"))
    }

    /// The links whose path starts like this, each once, in order.
    #[must_use]
    pub fn links(&self, path: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for tag in html::tags(&self.body) {
            for name in ["href", "hx-get"] {
                let Some(to) = tag.attribute(name).and_then(|to| self.url.join(to).ok()) else { continue };
                let to = to.path().to_owned();
                if to.starts_with(path) && !found.contains(&to) {
                    found.push(to);
                }
            }
        }
        found
    }
}

fn cut(text: &str) -> String {
    text.chars().take(600).collect()
}

impl Console {
    /// Someone who is not logged in.
    ///
    /// # Errors
    /// When the system's console address is no URL.
    pub fn new(system: &System) -> Result<Self> {
        let base = Url::parse(&system.ready.console_url)?;
        let behind = (base.host_str() != Some("localhost"))
            .then(|| Url::parse(&format!("http://{}", system.ready.control_plane.http)))
            .transpose()?;
        Ok(Self { base, behind, http: system.http.clone(), cookies: Mutex::default() })
    }

    /// Path and query of a link to the console.
    ///
    /// # Errors
    /// When it leads elsewhere.
    pub fn path_of(&self, link: &str) -> Result<String> {
        let url = self.base.join(link)?;
        ensure!(url.origin() == self.base.origin(), "{link} leads away from the console");
        Ok(url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path())))
    }

    /// Fetches a page; redirects are shown.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Result<Page> {
        let url = self.base.join(path)?;
        self.send(self.request(Method::GET, url)).await
    }

    /// Fetches a page with a header more; redirects are shown.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get_with(&self, path: &str, name: &str, value: &str) -> Result<Page> {
        let url = self.base.join(path)?;
        self.send(self.request(Method::GET, url).header(name, value)).await
    }

    /// Fetches a page, and where it leads, within the console.
    ///
    /// # Errors
    /// When there is no answer, or no end of redirects.
    pub async fn visit(&self, path: &str) -> Result<Page> {
        let page = self.get(path).await?;
        self.follow(page).await
    }

    /// Follows redirects as long as they stay in the console.
    ///
    /// # Errors
    /// When there is no end of them.
    pub async fn follow(&self, mut page: Page) -> Result<Page> {
        for _ in 0..8 {
            let Some(to) = page.location() else { return Ok(page) };
            if to.origin() != self.base.origin() {
                return Ok(page);
            }
            page = self.get(to.as_str()).await?;
        }
        bail!("no end of redirects at {}", page.url)
    }

    /// Opens a page, fills in its form to `action` and sends it. What the form holds already (`_csrf` and other hidden
    /// fields) goes along unless `fields` says otherwise. Where the page has no such form (htmx sends without one), its
    /// token is used.
    ///
    /// # Errors
    /// When the page has neither, or there is no answer.
    pub async fn submit(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Result<Page> {
        let page = self.visit(page).await?;
        let mut all = match page.form(action) {
            Ok(form) => form.fields,
            Err(error) => vec![("_csrf".to_owned(), page.csrf().ok_or(error)?)],
        };
        all.retain(|(name, _)| !fields.iter().any(|(given, _)| given == name));
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.post(action, &all).await
    }

    /// Sends a form as it is.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, action: &str, fields: &[(String, String)]) -> Result<Page> {
        let url = self.base.join(action)?;
        let origin = self.base.origin().ascii_serialization();
        self.send(self.request(Method::POST, url).header(ORIGIN, origin).form(fields)).await
    }

    /// Sends a form with headers of its own, and none that says where it comes from.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post_with(
        &self,
        action: &str,
        fields: &[(String, String)],
        headers: &[(&str, &str)],
    ) -> Result<Page> {
        let request = self.request(Method::POST, self.base.join(action)?).form(fields);
        self.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// Logs in.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn login(&self, person: &Person) -> Result<()> {
        let page = self.try_login(&person.email, &person.password).await?;
        ensure!(
            page.status == StatusCode::SEE_OTHER,
            "login answered {}: {}",
            page.status,
            cut(&page.text())
        );
        Ok(())
    }

    /// Tries to log in and shows the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn try_login(&self, email: &str, password: &str) -> Result<Page> {
        self.submit("/login", "/login", &[("email", email), ("password", password)]).await
    }

    /// What the browser holds now.
    #[must_use]
    pub fn cookies(&self) -> BTreeMap<String, String> {
        self.cookies.lock().map(|cookies| cookies.clone()).unwrap_or_default()
    }

    /// Makes the browser hold these, as someone who copied them would.
    pub fn set_cookies(&self, cookies: BTreeMap<String, String>) {
        if let Ok(mut held) = self.cookies.lock() {
            *held = cookies;
        }
    }

    fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        let Some(behind) = &self.behind else { return self.http.request(method, url) };
        let mut there = behind.clone();
        there.set_path(url.path());
        there.set_query(url.query());
        self.http.request(method, there).header(HOST, self.base.authority())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Page> {
        let cookies = self.cookie_header();
        let request = if cookies.is_empty() { request } else { request.header(COOKIE, cookies) };
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut url = response.url().clone();
        if self.behind.is_some() {
            url = self.base.join(url.path())?;
            url.set_query(response.url().query());
        }
        self.keep(&headers);
        let body = response.text().await?;
        Ok(Page { status, headers, url, body })
    }

    fn cookie_header(&self) -> String {
        let Ok(cookies) = self.cookies.lock() else { return String::new() };
        let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn keep(&self, headers: &http::HeaderMap) {
        let Ok(mut cookies) = self.cookies.lock() else { return };
        for header in headers.get_all(SET_COOKIE).iter().filter_map(|header| header.to_str().ok()) {
            let mut parts = header.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let gone = value.is_empty() || parts.any(|part| part.eq_ignore_ascii_case("max-age=0"));
            if gone {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
