//! Logging in elsewhere: who comes back from a provider is who the provider says, for this login alone; no account is joined
//! without its owner's word; and a company's provider speaks for its own people.

mod company;
mod providers;

use anyhow::{Context as _, Result};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use toolmesh_tests::dns::NameServer;
use toolmesh_tests::google::secret_file;
use toolmesh_tests::provider::{IdentityProvider, Login, SECRET, Signed};
use toolmesh_tests::system::Options;
use toolmesh_tests::wait::SOON;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Console, Page, System, eventually, html};
use url::Url;

pub(crate) use company::Company;

/// A product whose Google and Microsoft are providers of ours, and its name server too.
pub(crate) struct World {
    pub(crate) system: System,
    google: IdentityProvider,
    pub(crate) microsoft: IdentityProvider,
    names: NameServer,
}

static WORLD: OnceCell<World> = OnceCell::const_new();

pub(crate) async fn world() -> Result<&'static World> {
    WORLD
        .get_or_try_init(|| async {
            let (google, names) = (IdentityProvider::start()?, NameServer::start()?);
            let microsoft = IdentityProvider::microsoft()?;
            let secret = secret_file(SECRET)?;
            let envs = [
                ("TOOLMESH_GOOGLE_CLIENT_ID", "toolmesh"),
                ("TOOLMESH_GOOGLE_CLIENT_SECRET_FILE", &secret),
                ("TOOLMESH_GOOGLE_ISSUER", &google.url),
                ("TOOLMESH_MICROSOFT_CLIENT_ID", "toolmesh"),
                ("TOOLMESH_MICROSOFT_CLIENT_SECRET_FILE", &secret),
                ("TOOLMESH_MICROSOFT_ISSUER", &microsoft.issuer_of("common")),
                ("TOOLMESH_DNS_SERVER", &names.address.to_string()),
            ];
            let envs = envs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            let system = System::start(Options { envs, nodes: 1, ..Options::default() }).await?;
            Ok(World { system, google, microsoft, names })
        })
        .await
}

/// Where the page that leaves the console leads.
pub(crate) fn away(page: &Page) -> Result<Url> {
    let tags = html::tags(&page.body);
    let refresh = tags.iter().find(|tag| tag.attribute("http-equiv") == Some("refresh"));
    let content = refresh.and_then(|tag| tag.attribute("content"));
    let content = content.with_context(|| format!("{} leads nowhere: {}", page.status, page.text()))?;
    Ok(Url::parse(content.split_once("url=").context("no address")?.1)?)
}

pub(crate) async fn is_logged_in(console: &Console) -> Result<bool> {
    Ok(console.get("/workspaces").await?.status == StatusCode::OK)
}

/// The path of the link that asks whether somebody is who they say; other mail may come to the address meanwhile.
pub(crate) async fn mailed_link(system: &System, console: &Console, address: &str) -> Result<String> {
    eventually("the mail with the link", SOON, || async {
        let mails = system.mails_to(address).await?;
        let link = mails.iter().find_map(|mail| mail.link("/login/link/confirm"));
        link.map(|link| console.path_of(link)).transpose()
    })
    .await
}

pub(crate) fn says(claims: Value) -> Login {
    Login { claims, signed: Signed::Right }
}

/// Somebody Google knows.
fn somebody() -> (String, Value) {
    let email = format!("{}@example.org", unique());
    let claims = json!({ "sub": unique(), "email": email, "email_verified": true, "name": "Ada Example" });
    (email, claims)
}

impl World {
    pub(crate) fn stranger(&self) -> Result<Console> {
        Console::new(&self.system)
    }

    /// Presses the button; answers where it leads.
    async fn leave(&self, console: &Console, next: &str) -> Result<Url> {
        away(&console.submit("/login", "/login/with/google", &[("next", next)]).await?)
    }

    /// All the way to Google and back; answers the page that the browser gets.
    async fn google(&self, console: &Console, login: Login) -> Result<Page> {
        let address = self.leave(console, "").await?;
        let back = self.google.log_in(&address, login)?;
        console.get(back.as_str()).await
    }
}
