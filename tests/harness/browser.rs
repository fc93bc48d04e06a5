//! Real Chromium through chromedriver: windows of three kinds, pictures of pages, what the console complained about, and
//! the accessibility rules that axe-core can check.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use url::{ParseError, Url};

use crate::child::{Kept, Start};
use crate::{eventually, paths};

/// How long a page may take to show something.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// A window and how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Desktop,
    Dark,
    Phone,
}

impl Look {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dark, Self::Phone, Self::Desktop];

    const fn name(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Dark => "dark",
            Self::Phone => "phone",
        }
    }

    const fn size(self) -> (u32, u32) {
        match self {
            Self::Desktop | Self::Dark => (1280, 900),
            Self::Phone => (360, 780),
        }
    }
}

/// One Chromium with a profile of its own. Call [`Browser::close`] at the end; a test that fails before leaves it to the
/// driver's keeper.
#[derive(Debug)]
pub struct Browser {
    pub client: Client,
    driver: Kept,
    faults: Mutex<Vec<String>>,
    _profile: tempfile::TempDir,
}

/// Starts chromedriver. It takes a free port of IPv6 and then wants the same of IPv4, which another process may have: it ends
/// then, and is started again.
async fn driver(profile: &Path) -> Result<(Kept, u16)> {
    let log = profile.join("chromedriver.log");
    let program = Path::new("chromedriver");
    let start = Start { name: "chromedriver", program, log: &log, clean: None, save: None };
    for _ in 0..4 {
        let mut driver = Kept::start(&start, &["--port=0"], &[])?;
        match driver.until_printed("chromedriver was ready", Duration::from_secs(60), port).await {
            Ok(port) => return Ok((driver, port)),
            Err(error) if error.to_string().contains("IPv4 port not available") => {}
            Err(error) => return Err(error),
        }
    }
    anyhow::bail!("chromedriver found no free port in four attempts")
}

impl Browser {
    /// Opens a browser that knows nobody.
    ///
    /// # Errors
    /// When chromedriver or Chromium do not start.
    pub async fn open() -> Result<Self> {
        let profile = paths::scratch("toolmesh-browser-")?;
        let (driver, port) = driver(profile.path()).await?;
        let folder = profile.path().join("profile");
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(&folder.display().to_string())?)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .context("Chromium did not start")?;
        let browser = Self { client, driver, faults: Mutex::default(), _profile: profile };
        // Without a screen no window has the focus, and without it nothing on the page looks focused.
        browser.devtools("Emulation.setFocusEmulationEnabled", json!({"enabled": true})).await?;
        browser.look(Look::Desktop).await?;
        Ok(browser)
    }

    /// Ends it, and waits until its processes are gone.
    ///
    /// # Errors
    /// When a page that was inspected had faults; or the driver does not answer any more.
    pub async fn close(self) -> Result<()> {
        let Self { client, mut driver, faults, .. } = self;
        client.close().await?;
        driver.stop()?;
        let faults =
            faults.into_inner().map_err(|_| anyhow::anyhow!("a test panicked while it held the faults"))?;
        ensure!(faults.is_empty(), "faults of pages:\n{}", faults.join("\n"));
        Ok(())
    }

    /// Opens a page.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn go(&self, url: &str) -> Result<()> {
        self.client.goto(url).await.with_context(|| format!("cannot open {url}"))
    }

    /// Waits until something shows, by CSS selector.
    ///
    /// # Errors
    /// When it does not in time; with what the page says.
    pub async fn see(&self, css: &str) -> Result<Element> {
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await;
        self.explain(found, css).await
    }

    /// Waits until a link or button with this text can be seen, and clicks it. The text is compared without case, and may be
    /// the beginning.
    ///
    /// # Errors
    /// When there is none.
    pub async fn click(&self, label: &str) -> Result<()> {
        let element = self.control(label).await?;
        self.click_on(&element).await.with_context(|| format!("cannot click {label:?}"))
    }

    /// Clicks what a CSS selector finds.
    ///
    /// # Errors
    /// When there is none.
    pub async fn press(&self, css: &str) -> Result<()> {
        let element = self.see(css).await?;
        self.click_on(&element).await.with_context(|| format!("cannot click {css}"))
    }

    /// Brings it to the middle of the window, as people do, and not just under the edge where a bar may lie over it.
    async fn click_on(&self, element: &Element) -> Result<()> {
        let script = "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})";
        self.client.execute(script, vec![serde_json::to_value(element)?]).await?;
        Ok(element.click().await?)
    }

    /// Presses the button or link that has this text anywhere in it: on pages of others, whose buttons hold more than a label.
    ///
    /// # Errors
    /// When there is none.
    pub async fn click_text(&self, text: &str) -> Result<()> {
        const FIND: &str = "const wanted = arguments[0].toLowerCase();
            return [...document.querySelectorAll('button, a[href]')].find(e => e.checkVisibility() &&
              e.innerText.toLowerCase().includes(wanted)) || null;";
        let button = self.element(FIND, text).await?;
        self.click_on(&button).await.with_context(|| format!("cannot press {text:?}"))
    }

    /// Sends the form whose action ends like this, by its own button.
    ///
    /// # Errors
    /// When there is none.
    pub async fn submit(&self, action: &str) -> Result<()> {
        const FIND: &str = "const form = [...document.forms].find(f =>
              new URL(f.getAttribute('action') || '', location.href).pathname.endsWith(arguments[0]));
            const buttons = form ? [...form.querySelectorAll('button, input[type=submit]')] : [];
            return buttons.find(b => b.type === 'submit' && !b.hasAttribute('formaction') && b.checkVisibility()) || null;";
        let button = self.element(FIND, action).await?;
        self.click_on(&button).await.with_context(|| format!("cannot send the form to {action}"))
    }

    /// The first visible link or button with this label.
    async fn control(&self, label: &str) -> Result<Element> {
        const FIND: &str = "const wanted = arguments[0].toLowerCase();
            const shown = e => e.checkVisibility() && !e.disabled;
            const label = e => (e.getAttribute('aria-label') || e.innerText || e.value || '').trim().toLowerCase();
            const all = [...document.querySelectorAll('a[href], button, input[type=submit], summary, [role=button]')];
            const found = all.filter(shown);
            return found.find(e => label(e) === wanted) || found.find(e => label(e).startsWith(wanted)) || null;";
        self.element(FIND, label).await
    }

    /// Waits until a script finds an element for `wanted`.
    async fn element(&self, script: &str, wanted: &str) -> Result<Element> {
        let found = eventually(&format!("a control for {wanted:?}"), PATIENCE, || async {
            // A page that is being replaced has no document for a moment.
            let found = self.client.execute(script, vec![json!(wanted)]).await.unwrap_or(Value::Null);
            Ok((!found.is_null()).then_some(found))
        })
        .await;
        let found = self.explain(found, wanted).await?;
        let id: fantoccini::elements::ElementRef = found
            .as_object()
            .and_then(|element| element.values().next()?.as_str())
            .map(|id| id.to_owned().into())
            .context("the driver gave no element")?;
        Ok(Element::from_element_id(self.client.clone(), id))
    }

    /// Types into the field with this name, after emptying it.
    ///
    /// # Errors
    /// When there is no such field.
    pub async fn fill(&self, name: &str, text: &str) -> Result<()> {
        let field = self.see(&format!("[name='{name}']:not([type=hidden])")).await?;
        field.clear().await?;
        field.send_keys(text).await?;
        Ok(())
    }

    /// Puts a long text into the field with this name at once.
    ///
    /// # Errors
    /// When there is no such field.
    pub async fn paste(&self, name: &str, text: &str) -> Result<()> {
        let field = self.see(&format!("[name='{name}']:not([type=hidden])")).await?;
        let script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))";
        self.client.execute(script, vec![serde_json::to_value(field)?, json!(text)]).await?;
        Ok(())
    }

    /// Waits until the page's text holds this, without case.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn read(&self, text: &str) -> Result<()> {
        self.read_within(text, PATIENCE).await
    }

    /// Waits until the page's text holds this, but not longer than `limit`.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn read_within(&self, text: &str, limit: Duration) -> Result<()> {
        let wanted = text.to_lowercase();
        let found = eventually(&format!("{text:?} on the page"), limit, || async {
            let page = self.text().await.unwrap_or_default().to_lowercase();
            Ok(page.contains(&wanted).then_some(()))
        })
        .await;
        self.explain(found, text).await
    }

    /// Waits until the address holds this.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn at(&self, part: &str) -> Result<Url> {
        let found = eventually(&format!("an address with {part}"), PATIENCE, || async {
            let url = self.client.current_url().await?;
            Ok(url.as_str().contains(part).then_some(url))
        })
        .await;
        self.explain(found, part).await
    }

    /// What the page says.
    ///
    /// # Errors
    /// When there is no page.
    pub async fn text(&self) -> Result<String> {
        let text = self.client.execute("return document.body.innerText", vec![]).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    async fn explain<T, E: Into<anyhow::Error>>(&self, found: Result<T, E>, what: &str) -> Result<T> {
        match found {
            Ok(found) => Ok(found),
            Err(error) => {
                let url = self.client.current_url().await.map(String::from).unwrap_or_default();
                let text: String = self.text().await.unwrap_or_default().chars().take(1500).collect();
                let _ = self.picture("failure").await;
                Err(error.into().context(format!("looking for {what:?} at {url}, which says:\n{text}")))
            }
        }
    }

    /// Makes the window look like this until further notice.
    ///
    /// # Errors
    /// When the driver refuses.
    pub async fn look(&self, look: Look) -> Result<()> {
        let (width, height) = look.size();
        let mobile = look == Look::Phone;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await?;
        let scheme = if look == Look::Dark { "dark" } else { "light" };
        let media = json!({"features": [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]});
        self.devtools("Emulation.setEmulatedMedia", media).await?;
        Ok(())
    }

    /// Keeps pictures of the whole page in all looks: `tests/output/screens/NAME.LOOK.png`.
    ///
    /// # Errors
    /// When a picture cannot be taken.
    pub async fn pictures(&self, name: &str) -> Result<()> {
        for look in Look::ALL {
            self.look(look).await?;
            self.picture(&format!("{name}.{}", look.name())).await?;
            self.fits(name, look).await?;
        }
        Ok(())
    }

    /// Keeps one picture of the whole page.
    ///
    /// # Errors
    /// When it cannot be taken.
    pub async fn picture(&self, name: &str) -> Result<()> {
        let layout = self.devtools("Page.getLayoutMetrics", json!({})).await?;
        let measure = |side: &str, least: f64| {
            let found = layout.pointer(&format!("/cssContentSize/{side}")).and_then(Value::as_f64);
            found.unwrap_or(least).clamp(least, 6000.0)
        };
        let (width, height) = (measure("width", 320.0), measure("height", 600.0));
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let options = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let shot = self.devtools("Page.captureScreenshot", options).await?;
        let data = shot.get("data").and_then(Value::as_str).context("no picture came")?;
        let png = base64::engine::general_purpose::STANDARD.decode(data)?;
        std::fs::write(paths::output("screens")?.join(format!("{name}.png")), png)?;
        Ok(())
    }

    /// Nothing hangs over the right edge.
    async fn fits(&self, name: &str, look: Look) -> Result<()> {
        let script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        let over = self.client.execute(script, vec![]).await?.as_i64().unwrap_or_default();
        ensure!(over <= 0, "{name} is {over} pixels too wide in the {} window", look.name());
        Ok(())
    }

    /// What the browser's console has complained about since it was last asked: errors of scripts, blocked content, answers
    /// that are errors.
    ///
    /// # Errors
    /// When the driver refuses.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let entries = self.client.issue_cmd(Log).await?;
        let entries = entries.as_array().context("no log came")?;
        let bad = entries.iter().filter(|entry| entry.get("level").and_then(Value::as_str) == Some("SEVERE"));
        Ok(bad.filter_map(|entry| Some(entry.get("message")?.as_str()?.to_owned())).collect())
    }

    /// The console has nothing to complain about.
    ///
    /// # Errors
    /// When it has.
    pub async fn quiet(&self) -> Result<()> {
        let complaints = self.complaints().await?;
        let url = self.client.current_url().await?;
        ensure!(
            complaints.is_empty(),
            "the browser's console complains, at {url} or before:\n{}",
            complaints.join("\n")
        );
        Ok(())
    }

    /// The page keeps the WCAG 2.2 AA rules that axe-core can check, as far as it calls a break serious or critical.
    ///
    /// # Errors
    /// When it does not; with the places.
    pub async fn accessible(&self) -> Result<()> {
        let axe = std::fs::read_to_string(paths::node_module("axe-core/axe.min.js")?)?;
        self.client.execute(&axe, vec![]).await?;
        const RUN: &str = "const done = arguments[arguments.length - 1];
            const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
            axe.run(document, {runOnly: {type: 'tag', values: tags}}).then(
              found => done(found.violations
                .filter(v => v.impact === 'serious' || v.impact === 'critical')
                .map(v => v.id + ': ' + v.help + ': ' + v.nodes.slice(0, 5).map(n => n.html).join(' | '))),
              error => done(['axe failed: ' + error]));";
        let broken = self.client.execute_async(RUN, vec![]).await?;
        let broken: Vec<String> = serde_json::from_value(broken)?;
        let url = self.client.current_url().await?;
        ensure!(broken.is_empty(), "{url} breaks accessibility rules:\n{}", broken.join("\n"));
        Ok(())
    }

    /// Steps through the page by the Tab key: everything that can be focused shows that it is, and every field has a name.
    ///
    /// # Errors
    /// When something does not.
    pub async fn keyboard(&self) -> Result<()> {
        const CHECK: &str = "const out = [];
            const all = document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea');
            const shown = [...all].filter(e => e.checkVisibility() && !e.disabled && e.tabIndex >= 0).slice(0, 60);
            const style = (e, part) => { const s = getComputedStyle(e, part);
              return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow, s.borderColor, s.backgroundColor,
                s.textDecorationLine].join('|'); };
            // The ring may be drawn by the element, after it, or by the box that holds it.
            const look = e => [style(e), style(e, '::after'), e.parentElement && style(e.parentElement)].join('/');
            const where = document.activeElement;
            for (const e of shown) {
              document.activeElement?.blur?.();
              const before = look(e); e.focus({focusVisible: true}); const after = look(e);
              if (before === after) out.push('no visible focus: ' + e.outerHTML.slice(0, 160));
              if (e.matches('input, select, textarea') && e.type !== 'submit' && !e.labels?.length
                && !e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby'))
                out.push('no label: ' + e.outerHTML.slice(0, 160));
            }
            where?.focus?.();
            return out;";
        // Browsers show the focus to those who use the keyboard.
        for kind in ["keyDown", "keyUp"] {
            let tab = json!({"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9});
            self.devtools("Input.dispatchKeyEvent", tab).await?;
        }
        let broken: Vec<String> = serde_json::from_value(self.client.execute(CHECK, vec![]).await?)?;
        let url = self.client.current_url().await?;
        ensure!(broken.is_empty(), "{url}:\n{}", broken.join("\n"));
        Ok(())
    }

    /// All checks of a finished page, in the light and the dark look, and pictures of it. What is wrong is kept until
    /// [`Browser::close`], so that one run shows it all.
    ///
    /// # Errors
    /// When the driver does not answer any more.
    pub async fn inspect(&self, name: &str) -> Result<()> {
        self.keep(name, self.pictures(name).await);
        self.keep(name, self.accessible().await);
        self.keep(name, self.keyboard().await);
        self.look(Look::Dark).await?;
        self.keep(&format!("{name}, dark"), self.accessible().await);
        self.look(Look::Desktop).await?;
        self.keep(name, self.quiet().await);
        Ok(())
    }

    fn keep(&self, name: &str, checked: Result<()>) {
        if let (Err(error), Ok(mut faults)) = (checked, self.faults.lock()) {
            faults.push(format!("{name}: {error:#}"));
        }
    }

    async fn devtools(&self, command: &'static str, params: Value) -> Result<Value> {
        let answer = self.client.issue_cmd(Devtools { command, params }).await;
        answer.with_context(|| format!("Chromium refused {command}"))
    }
}

fn port(printed: &str) -> Option<u16> {
    let line = printed.lines().find(|line| line.contains("started successfully on port"))?;
    line.rsplit(' ').next()?.trim_end_matches('.').parse().ok()
}

fn capabilities(profile: &str) -> Result<fantoccini::wd::Capabilities> {
    let args = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
        "--lang=en-US",
        "--window-size=1280,900",
    ];
    let mut args: Vec<_> = args.map(str::to_owned).to_vec();
    args.push(format!("--user-data-dir={profile}"));
    let wanted = json!({
        "goog:chromeOptions": {"args": args},
        "goog:loggingPrefs": {"browser": "ALL"},
        "timeouts": {"script": 60_000, "pageLoad": 60_000, "implicit": 0},
    });
    Ok(serde_json::from_value(wanted)?)
}

/// `POST /session/ID/goog/cdp/execute`.
#[derive(Debug)]
struct Devtools {
    command: &'static str,
    params: Value,
}

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        base_url.join(&format!("session/{}/goog/cdp/execute", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _request_url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"cmd": self.command, "params": self.params}).to_string()))
    }
}

/// `POST /session/ID/se/log`.
#[derive(Debug)]
struct Log;

impl WebDriverCompatibleCommand for Log {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        base_url.join(&format!("session/{}/se/log", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _request_url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"type": "browser"}).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<!doctype html><html lang=en><title>Form</title><style>
        :focus-visible{outline:3px solid blue} body{background:#fff;color:#111}
        @media (prefers-color-scheme: dark){body{background:#111;color:#eee}}</style>
        <h1>Hello</h1><label>Name <input name=name></label><button>Send it</button>
        <p id=out></p><script>document.querySelector('button').onclick = () =>
        { out.textContent = 'Sent ' + document.querySelector('input').value }</script>";

    async fn page(html: &'static str) -> Result<(String, tokio::task::JoinHandle<()>)> {
        use axum::response::Html;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://any.localhost:{}/", listener.local_addr()?.port());
        let app = axum::Router::new()
            .route("/", axum::routing::get(move || async move { Html(html) }))
            .route("/favicon.ico", axum::routing::get(|| async { "" }));
        let serve = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok((url, serve))
    }

    #[tokio::test]
    async fn a_person_can_type_click_and_read_and_the_page_is_checked() -> Result<()> {
        let (url, _serve) = page(PAGE).await?;
        let browser = Browser::open().await?;
        browser.go(&url).await?;
        browser.fill("name", "Ada").await?;
        browser.click("send").await?;
        browser.read("sent ada").await?;
        browser.go(&url).await?;
        browser.inspect("harness").await?;
        browser.close().await
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_page_is_found() -> Result<()> {
        let (url, _serve) =
            page("<!doctype html><title>x</title><style>*{outline:0!important}</style><input name=a><script>oops()</script>")
                .await?;
        let browser = Browser::open().await?;
        browser.go(&url).await?;
        assert!(browser.accessible().await.unwrap_err().to_string().contains("label"));
        assert!(browser.keyboard().await.unwrap_err().to_string().contains("no visible focus"));
        assert!(browser.quiet().await.unwrap_err().to_string().contains("oops"));
        browser.close().await
    }
}
