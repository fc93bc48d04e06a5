//! Second factors of people, set up through the console's pages.

use anyhow::{Context as _, Result};

use crate::totp::AuthenticatorApp;
use crate::{Console, Page};

/// What somebody holds after setting up an authenticator app as their first factor.
pub struct SetUp {
    pub app: AuthenticatorApp,
    pub recovery_codes: Vec<String>,
}

/// The text of the element with this id, as people copy it.
///
/// # Errors
/// When the page has none.
pub fn copied(page: &Page, id: &str) -> Result<String> {
    let mark = format!("<code id=\"{id}\"");
    let rest = page.body.split_once(&mark).and_then(|(_, rest)| rest.split_once('>'));
    let text = rest.and_then(|(_, rest)| rest.split_once('<')).map(|(text, _)| text.trim().to_owned());
    text.with_context(|| format!("{} has no {id} to copy: {}", page.url, page.text()))
}

impl Console {
    /// Sets up an authenticator app with the code of the step before this one, so that the codes of this and the next are
    /// still unused.
    ///
    /// # Errors
    /// When any step is refused.
    pub async fn set_up_app(&self) -> Result<SetUp> {
        let path = "/account/security/app";
        let app = AuthenticatorApp::from_text(&copied(&self.visit(path).await?.ok()?, "secret")?)?;
        app.fresh_step().await?;
        let page = self.submit(path, path, &[("code", &app.code(-1)?)]).await?.ok()?;
        let recovery_codes = copied(&page, "codes")?.lines().map(str::to_owned).collect();
        Ok(SetUp { app, recovery_codes })
    }
}
