//! Clients of the authorization server: by which way they are known, how they prove who they are, and which of them a
//! workspace lets in.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::oauth::{Pkce, REDIRECT, Server, Tokens, parameter, registration, with};
use toolmesh_tests::signer::{self, Signer};
use toolmesh_tests::tls::{Reply, TlsSite};
use toolmesh_tests::{Answer, Console, Page, System, TestResult, Workspace};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A workspace with its owner logged in.
struct Place {
    system: &'static System,
    workspace: Workspace,
    server: Server,
    console: Console,
    pkce: Pkce,
}

type Form = Vec<(String, String)>;

impl Place {
    async fn new() -> Result<Self> {
        let system = System::shared().await?;
        let workspace = system.workspace().await?;
        let server = system.oauth(&workspace).await?;
        let console = system.console(&workspace.owner).await?;
        Ok(Self { system, workspace, server, console, pkce: Pkce::new() })
    }

    fn query(&self, client: &str) -> Form {
        self.server.query(client, REDIRECT, &self.pkce)
    }

    async fn page(&self, client: &str) -> Result<Page> {
        self.server.authorize(&self.console, &self.query(client)).await
    }

    /// A code for a client, and the form that trades it.
    async fn code_form(&self, client: &str) -> Result<Form> {
        let back = self.server.consent(&self.console, &self.query(client), "allow").await?;
        let code = parameter(&back, "code").with_context(|| format!("no code in {back}"))?;
        Ok(self.server.code_form(client, REDIRECT, &code, &self.pkce))
    }
}

fn document(site: &TlsSite, path: &str) -> Value {
    json!({
        "client_id": site.url(path),
        "client_name": "Example agent",
        "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
        "something_new": {"x": 1},
    })
}

fn error_of(answer: &Answer) -> Result<String> {
    let json = answer.json()?;
    json["error"].as_str().map(str::to_owned).with_context(|| format!("no `error` in {json}"))
}

fn signed(form: &Form, assertion: &str) -> Form {
    let form = with(form.clone(), "client_assertion_type", ASSERTION_TYPE);
    with(form, "client_assertion", assertion)
}

#[tokio::test]
async fn the_metadata_name_every_way_to_be_a_client() -> TestResult {
    let place = Place::new().await?;
    let metadata = &place.server.metadata;
    assert_eq!(metadata["client_id_metadata_document_supported"], true);
    let methods = json!(["none", "private_key_jwt", "client_secret_basic", "client_secret_post"]);
    for endpoint in ["token", "revocation"] {
        assert_eq!(metadata[format!("{endpoint}_endpoint_auth_methods_supported")], methods);
        let algorithms = &metadata[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")];
        assert_eq!(*algorithms, json!(["RS256", "PS256", "ES256", "EdDSA"]));
    }
    let origin = &place.workspace.origin;
    let mut texts = Vec::new();
    for path in ["oauth-authorization-server", "openid-configuration"] {
        let url = format!("{origin}/.well-known/{path}");
        texts.push(place.system.http.get(url).send().await?.text().await?);
    }
    assert_eq!(texts[0], texts[1], "the two documents differ");
    Ok(())
}

#[tokio::test]
async fn a_client_is_known_by_its_document() -> TestResult {
    let (place, site) = (Place::new().await?, TlsSite::start().await?);
    site.put("/client.json", Reply::json(&document(&site, "/client.json")));
    let id = site.url("/client.json");

    let text = place.page(&id).await?.ok()?.text();
    assert!(
        text.contains("Example agent") && text.contains(&format!("published by {}", site.host())),
        "{text}"
    );
    assert!(text.contains("client.example"), "where it leads is not shown: {text}");
    let form = place.code_form(&id).await?;
    let tokens = Tokens::of(&id, &place.server.token(&form).await?)?;
    let answer = place.system.mcp(&place.workspace, &tokens.access).request("ping", json!({})).await?;
    assert_eq!(answer.status, StatusCode::OK);
    let again = Tokens::of(&id, &place.server.refresh(&id, &tokens.refresh).await?)?;
    assert_ne!(again.refresh, tokens.refresh);
    assert_eq!(site.hits("/client.json"), 1, "a document is fetched once and kept");
    Ok(())
}

#[tokio::test]
async fn a_stranger_makes_nobody_fetch_a_document() -> TestResult {
    let (place, site) = (Place::new().await?, TlsSite::start().await?);
    site.put("/client.json", Reply::json(&document(&site, "/client.json")));
    let query = place.query(&site.url("/client.json"));

    let nobody = Console::new(place.system)?;
    let page = place.server.authorize(&nobody, &query).await?;
    assert!(page.location().is_some_and(|to| to.path() == "/login"), "{}", page.text());
    let stranger = place.system.console(&place.system.person().await?).await?;
    let page = place.server.authorize(&stranger, &query).await?;
    assert!(page.status.is_client_error() && page.text().contains("not a member"), "{}", page.text());
    assert_eq!(site.hits("/client.json"), 0);
    Ok(())
}

/// Attack case 27.
#[tokio::test]
async fn case_27_documents_that_redirect_lie_or_never_end_make_no_client() -> TestResult {
    let (place, site) = (Place::new().await?, TlsSite::start().await?);
    let lying = |name: &str, value: Value| {
        let mut document = document(&site, &format!("/{name}"));
        document[name] = value;
        (format!("/{name}"), Reply::json(&document))
    };
    let good = |path: &str| Reply::json(&document(&site, path));
    let huge = json!({"client_id": site.url("/huge"), "filler": "x".repeat(100_000)});
    let moved = good("/moved").status(StatusCode::FOUND).header("location", &site.url("/elsewhere"));
    site.put("/elsewhere", good("/moved"));
    let cases = [
        ("/moved".to_owned(), moved),
        ("/huge".to_owned(), Reply::json(&huge)),
        ("/html".to_owned(), Reply::of("text/html", "<h1>Hello</h1>")),
        ("/error".to_owned(), good("/error").status(StatusCode::SERVICE_UNAVAILABLE)),
        ("/slow".to_owned(), good("/slow").after(Duration::from_secs(8))),
        ("/twin".to_owned(), good("/another")),
        lying("client_secret", json!("everybody's")),
        lying("token_endpoint_auth_method", json!("client_secret_post")),
        lying("redirect_uris", json!(["http://evil.example/cb"])),
        lying("client_name", Value::Null),
    ];
    for (path, reply) in cases {
        site.put(&path, reply);
        let page = place.page(&site.url(&path)).await?;
        ensure!(page.status == StatusCode::BAD_REQUEST, "{path}: {} {}", page.status, page.text());
        ensure!(page.location().is_none(), "{path} redirects");
        ensure!(page.text().contains("could not be identified"), "{path}: {}", page.text());
    }
    assert_eq!(site.hits("/elsewhere"), 0, "a redirect was followed");

    // A redirect that is not in the document, and ids that are no addresses of documents.
    site.put("/client.json", good("/client.json"));
    let query = with(place.query(&site.url("/client.json")), "redirect_uri", "https://client.example/other");
    let page = place.server.authorize(&place.console, &query).await?;
    ensure!(page.status == StatusCode::BAD_REQUEST && page.location().is_none(), "{}", page.text());
    for id in [
        format!("https://{}/", site.host()),
        format!("{}#x", site.url("/client.json")),
        format!("https://user@{}/client.json", site.host()),
        format!("https://{}/a/../client.json", site.host()),
        format!("http://{}/client.json", site.host()),
    ] {
        let page = place.page(&id).await?;
        ensure!(page.status == StatusCode::BAD_REQUEST && page.location().is_none(), "{id}: {}", page.text());
    }
    Ok(())
}

/// Attack case 27: a program on the person's computer may pretend to be the one that the document describes.
#[tokio::test]
async fn case_27_a_client_on_this_computer_is_never_taken_at_its_word() -> TestResult {
    let (place, site) = (Place::new().await?, TlsSite::start().await?);
    let mut local = document(&site, "/local");
    local["redirect_uris"] = json!(["http://127.0.0.1/callback", "http://localhost/callback"]);
    site.put("/local", Reply::json(&local));
    let query = place.server.query(&site.url("/local"), "http://127.0.0.1:49999/callback", &place.pkce);
    let text = place.server.authorize(&place.console, &query).await?.ok()?.text();
    assert!(text.contains("nobody can vouch for"), "no warning: {text}");
    Ok(())
}

#[tokio::test]
async fn well_known_clients_are_known_while_their_hosts_are_away() -> TestResult {
    let place = Place::new().await?;
    for (id, redirect, name) in [
        (
            "https://claude.ai/oauth/mcp-oauth-client-metadata",
            "https://claude.ai/api/mcp/auth_callback",
            "Claude",
        ),
        (
            "https://chatgpt.com/oauth/client.json",
            "https://chatgpt.com/connector_platform_oauth_redirect",
            "ChatGPT",
        ),
        ("https://chatgpt.com/oauth/codex/client.json", "http://127.0.0.1:41234/callback", "Codex"),
    ] {
        let query = place.server.query(id, redirect, &place.pkce);
        let text = place.server.authorize(&place.console, &query).await?.ok()?.text();
        ensure!(text.contains(&format!("Allow {name}")), "{id}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_signs_proves_itself_anew_with_each_request_and_is_never_believed_without() -> TestResult
{
    let (place, site, signer) = (Place::new().await?, TlsSite::start().await?, Signer::new()?);
    let mut signing = document(&site, "/client.json");
    signing["token_endpoint_auth_method"] = json!("private_key_jwt");
    signing["token_endpoint_auth_methods_supported"] = json!(["none", "private_key_jwt"]);
    signing["jwks_uri"] = json!(site.url("/keys"));
    site.put("/client.json", Reply::json(&signing));
    site.put("/keys", Reply::json(&signer.jwks()));
    let (id, issuer) = (site.url("/client.json"), place.server.issuer()?);
    let form = place.code_form(&id).await?;

    // None of these uses the code up.
    let token_endpoint = place.server.endpoint("token_endpoint")?;
    let fine = signer.assertion(&id, &issuer, &[]);
    let stranger = Signer::new()?;
    let soon = signer::now();
    let refused = [
        ("nothing", form.clone()),
        ("another key", signed(&form, &stranger.assertion(&id, &issuer, &[]))),
        ("another audience", signed(&form, &signer.assertion(&id, "https://elsewhere.example", &[]))),
        ("another client", signed(&form, &signer.assertion(&site.url("/other"), &issuer, &[]))),
        ("an old one", signed(&form, &signer.assertion(&id, &issuer, &[("exp", json!(soon - 300))]))),
        ("a long one", signed(&form, &signer.assertion(&id, &issuer, &[("exp", json!(soon + 3600))]))),
        ("one without a number", signed(&form, &signer.assertion(&id, &issuer, &[("jti", Value::Null)]))),
        ("a secret", with(form.clone(), "client_secret", "guess")),
    ];
    for (what, form) in refused {
        let answer = place.server.token(&form).await?;
        ensure!(answer.status == StatusCode::UNAUTHORIZED, "{what}: {} {}", answer.status, answer.body);
        ensure!(error_of(&answer)? == "invalid_client", "{what}: {}", answer.body);
    }
    let twice = with(signed(&form, &fine), "client_secret", "guess");
    assert_eq!(error_of(&place.server.token(&twice).await?)?, "invalid_request");
    let kind = with(signed(&form, &fine), "client_assertion_type", "urn:other");
    assert_eq!(error_of(&place.server.token(&kind).await?)?, "invalid_request");

    let tokens = Tokens::of(&id, &place.server.token(&signed(&form, &fine)).await?)?;
    let refresh = vec![
        ("grant_type".to_owned(), "refresh_token".to_owned()),
        ("refresh_token".to_owned(), tokens.refresh.clone()),
    ];
    let replayed = place.server.token(&signed(&refresh, &fine)).await?;
    assert_eq!(error_of(&replayed)?, "invalid_client", "an assertion was good twice: {}", replayed.body);
    // Without a client_id: the assertion says who it is. The token endpoint is a name of ours, too.
    let fresh = signer.assertion(&id, &token_endpoint, &[]);
    Tokens::of(&id, &place.server.token(&signed(&refresh, &fresh)).await?)?;
    assert!(site.hits("/keys") <= 2, "the keys were fetched {} times", site.hits("/keys"));
    Ok(())
}

#[tokio::test]
async fn of_two_requests_at_once_with_one_assertion_one_is_believed() -> TestResult {
    let (place, site, signer) = (Place::new().await?, TlsSite::start().await?, Signer::new()?);
    let mut signing = document(&site, "/client.json");
    signing["token_endpoint_auth_method"] = json!("private_key_jwt");
    signing["jwks"] = signer.jwks();
    site.put("/client.json", Reply::json(&signing));
    let id = site.url("/client.json");
    let form = place.code_form(&id).await?;
    let form = signed(&form, &signer.assertion(&id, &place.server.issuer()?, &[]));
    let (a, b, c) =
        tokio::join!(place.server.token(&form), place.server.token(&form), place.server.token(&form));
    let answers = [a?, b?, c?];
    let good = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    let refused = answers.iter().filter(|answer| answer.status == StatusCode::UNAUTHORIZED).count();
    assert_eq!((good, refused), (1, 2), "{answers:?}");
    Ok(())
}

#[tokio::test]
async fn a_client_with_a_secret_shows_it_in_the_header_or_in_the_form() -> TestResult {
    let place = Place::new().await?;
    for method in ["client_secret_basic", "client_secret_post"] {
        let mut wanted = registration(&[REDIRECT]);
        wanted["token_endpoint_auth_method"] = json!(method);
        let made = place.server.register(&wanted).await?.json()?;
        assert_eq!(made["token_endpoint_auth_method"], method);
        let (id, secret) =
            (made["client_id"].as_str().context("id")?, made["client_secret"].as_str().context("secret")?);
        let form = place.code_form(id).await?;
        let bare = with(form.clone(), "client_id", "");

        let wrong = place.server.token_over_basic(id, "guess", &bare).await?;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{}", wrong.body);
        assert!(
            wrong.header("www-authenticate").starts_with("Basic"),
            "{}",
            wrong.header("www-authenticate")
        );
        for bad in [form.clone(), with(form.clone(), "client_secret", "guess")] {
            let answer = place.server.token(&bad).await?;
            assert_eq!(
                (answer.status, error_of(&answer)?.as_str()),
                (StatusCode::UNAUTHORIZED, "invalid_client")
            );
            assert_eq!(answer.header("www-authenticate"), "");
        }
        let both = with(form.clone(), "client_secret", secret);
        let both = place.server.token_over_basic(id, secret, &both).await?;
        assert_eq!(error_of(&both)?, "invalid_request");
        let answer = if method == "client_secret_basic" {
            place.server.token_over_basic(id, secret, &bare).await?
        } else {
            place.server.token(&with(form, "client_secret", secret)).await?
        };
        Tokens::of(id, &answer)?;
    }
    let mut unknown = registration(&[REDIRECT]);
    unknown["token_endpoint_auth_method"] = json!("tls_client_auth");
    let answer = place.server.register(&unknown).await?;
    assert_eq!(error_of(&answer)?, "invalid_client_metadata");
    Ok(())
}

/// Attack case 28.
#[tokio::test]
async fn case_28_a_flood_of_registrations_is_slowed_and_costs_no_rows() -> TestResult {
    let place = Place::new().await?;
    // Straight to the control plane as from one network, so that other tests are not slowed down with it.
    let url =
        format!("http://{}/oauth/{}/register", place.system.ready.control_plane.http, place.workspace.slug);
    let (mut made, mut slowed) = (0, None);
    for _ in 0..120 {
        let request = place.system.http.post(&url).header("x-forwarded-for", "198.51.100.28");
        let answer = Answer::of(request.json(&registration(&[REDIRECT])).send().await?).await?;
        match answer.status {
            StatusCode::CREATED => made += 1,
            StatusCode::TOO_MANY_REQUESTS => {
                slowed = Some(answer);
                break;
            }
            other => anyhow::bail!("{other}: {}", answer.body),
        }
    }
    let slowed = slowed.context("120 registrations in a row were taken")?;
    assert!(made >= 60, "only {made} registrations were taken; a vendor's shared network needs more");
    assert!(slowed.header("retry-after").parse::<u64>().is_ok());
    let count = format!("DELETE FROM oauth_clients WHERE tenant_id = '{}'", place.workspace.tenant_id);
    assert_eq!(place.system.sql(&count).await?, 0, "registrations left rows");

    let of_size = |bytes: usize| {
        let mut document = registration(&[REDIRECT]);
        document["filler"] = json!("x".repeat(bytes));
        document
    };
    let answer = place.server.register(&of_size(20_000)).await?;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    // Of a megabyte nobody reads the end: what is in between may find the connection closed.
    let answer = place.server.register(&of_size(1 << 20)).await?;
    assert!(answer.status.is_client_error() || answer.status.is_server_error(), "{}", answer.status);
    place.server.client(REDIRECT).await?;
    Ok(())
}

/// Attack case 28.
#[tokio::test]
async fn case_28_a_name_cannot_turn_its_letters_and_one_bad_redirect_does_not_cost_the_good_ones()
-> TestResult {
    let place = Place::new().await?;
    let mut document = registration(&["javascript:alert(1)", REDIRECT, "https://u:p@client.example/cb"]);
    document["client_name"] = json!("Chat\u{202e}TPG\u{0007}");
    let made = place.server.register(&document).await?.json()?;
    assert_eq!(made["client_name"], "ChatTPG");
    assert_eq!(made["redirect_uris"], json!([REDIRECT]));
    let text = place.page(made["client_id"].as_str().context("id")?).await?.ok()?.text();
    assert!(text.contains("nobody vouches for the name") && text.contains("Anybody can register"), "{text}");
    Ok(())
}

#[tokio::test]
async fn pages_of_other_origins_may_use_the_endpoints_of_clients() -> TestResult {
    let place = Place::new().await?;
    for name in ["registration_endpoint", "token_endpoint", "revocation_endpoint"] {
        let request = place.system.http.request(http::Method::OPTIONS, place.server.endpoint(name)?);
        let request =
            request.header("origin", "http://127.0.0.1:6274").header("access-control-request-method", "POST");
        let answer = Answer::of(request.send().await?).await?;
        ensure!(answer.status == StatusCode::NO_CONTENT, "{name}: {}", answer.status);
        ensure!(answer.header("access-control-allow-origin") == "*", "{name}");
        ensure!(answer.header("access-control-allow-credentials").is_empty(), "{name}");
    }
    let answer = place.server.refresh("nobody", "nothing").await?;
    assert_eq!(answer.header("access-control-allow-origin"), "*", "an error is for the page, too");
    Ok(())
}

#[tokio::test]
async fn a_page_that_was_shown_in_one_browser_decides_nothing_in_another() -> TestResult {
    let place = Place::new().await?;
    let client = place.server.client(REDIRECT).await?;
    let action = format!("/oauth/{}/authorize", place.workspace.slug);
    let theirs = place.page(&client).await?.form(&action)?;
    let sealed = theirs.fields.iter().find(|(name, _)| name == "request").context("no request")?.clone();

    let other = place.system.console(&place.workspace.owner).await?;
    let page = place.server.authorize(&other, &place.query(&client)).await?;
    let mut fields = page.form(&action)?.fields;
    fields.retain(|(name, _)| name != "request" && name != "decision");
    fields.extend([sealed, ("decision".to_owned(), "allow".to_owned())]);
    let answer = other.post(&action, &fields).await?;
    assert!(answer.status == StatusCode::BAD_REQUEST && answer.location().is_none(), "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn consent_is_remembered_only_where_nobody_can_stand_in_between() -> TestResult {
    let (place, site) = (Place::new().await?, TlsSite::start().await?);
    let mut agent = document(&site, "/client.json");
    agent["redirect_uris"] = json!([REDIRECT, "https://client.example/second", "http://localhost/cb"]);
    site.put("/client.json", Reply::json(&agent));
    let id = site.url("/client.json");
    let registered = place.server.client(REDIRECT).await?;
    for client in [&id, &registered] {
        let form = place.code_form(client).await?;
        Tokens::of(client, &place.server.token(&form).await?)?;
    }
    let local = place.server.query(&id, "http://localhost:1234/cb", &place.pkce);
    place.server.consent(&place.console, &local, "allow").await?;

    let asked = |query: Form, site: &'static str| {
        let place = &place;
        async move {
            let url = url::Url::parse_with_params(&place.server.endpoint("authorization_endpoint")?, &query)?;
            let page = place.console.get_with(url.as_str(), "sec-fetch-site", site).await?;
            ensure!(page.location().is_some() || page.text().contains("Allow"), "{}", page.text());
            anyhow::Ok(page.location().is_none())
        }
    };
    assert!(!asked(place.query(&id), "none").await?, "the same person is asked for the same again");
    assert!(asked(place.query(&id), "cross-site").await?, "another page may have sent them");
    assert!(
        asked(place.query(&id), "same-origin").await?,
        "they come from the login, and before that from anywhere"
    );
    assert!(asked(with(place.query(&id), "prompt", "consent"), "none").await?, "the client wants it");
    assert!(asked(with(place.query(&id), "redirect_uri", "https://client.example/second"), "none").await?);
    assert!(asked(local, "none").await?, "any program may listen on this computer");
    assert!(asked(place.query(&registered), "none").await?, "nobody vouches for what registered itself");

    let tenant = &place.workspace.tenant_id;
    place
        .system
        .sql(&format!("UPDATE oauth_grants SET revoked_at = now() WHERE tenant_id = '{tenant}'"))
        .await?;
    assert!(asked(place.query(&id), "none").await?, "the memory outlives the grant");
    Ok(())
}

impl Place {
    fn path(&self, rest: &str) -> String {
        format!("/w/{}{rest}", self.workspace.slug)
    }

    /// Presses a button beside a client in the admin's list.
    async fn press(&self, client: &str, button: &str) -> TestResult {
        let list = self.console.visit(&self.path("/clients")).await?.ok()?;
        let prefix = self.path("/clients/");
        let own = |path: &&String| !path.ends_with("/new") && !path.ends_with("/refusals");
        for path in list.links(&prefix).iter().filter(own) {
            let page = self.console.visit(path).await?.ok()?;
            if page.text().contains(client) {
                self.console.submit(path, &format!("{path}/{button}"), &[]).await?.ok()?;
                return Ok(());
            }
        }
        anyhow::bail!("{client} is not in the list: {}", list.text())
    }

    async fn tokens(&self, client: &str) -> Result<Tokens> {
        let form = self.code_form(client).await?;
        Tokens::of(client, &self.server.token(&form).await?)
    }
}

#[tokio::test]
async fn a_blocked_client_loses_what_it_held_and_stays_out_when_it_registers_again() -> TestResult {
    let place = Place::new().await?;
    let client = place.server.client(REDIRECT).await?;
    let tokens = place.tokens(&client).await?;
    let waiting_code = place.code_form(&client).await?;

    place.press("Test client", "block").await?;
    for answer in
        [place.server.refresh(&client, &tokens.refresh).await?, place.server.token(&waiting_code).await?]
    {
        assert_eq!(
            (answer.status, error_of(&answer)?.as_str()),
            (StatusCode::BAD_REQUEST, "unauthorized_client")
        );
    }
    let again = place.server.client(REDIRECT).await?;
    assert_ne!(again, client);
    for client in [&client, &again] {
        let page = place.page(client).await?;
        ensure!(page.status == StatusCode::BAD_REQUEST && page.text().contains("blocked"), "{}", page.text());
        ensure!(page.location().is_none(), "a blocked client is sent to {:?}", page.location());
    }

    place.press("Test client", "allow").await?;
    let back = place.tokens(&again).await?;
    assert!(
        place.server.refresh(&client, &tokens.refresh).await?.status.is_client_error(),
        "what ended came back"
    );
    assert!(place.server.refresh(&again, &back.refresh).await?.status.is_success());
    Ok(())
}

#[tokio::test]
async fn where_admins_allow_clients_first_a_member_waits_and_the_admin_sees_it() -> TestResult {
    let (place, site) = (Place::new().await?, TlsSite::start().await?);
    let rules = place.path("/settings/clients");
    let member = place.system.person().await?;
    let member = place.system.join(&place.workspace, &member, "member").await?;
    place.console.submit(&rules, &rules, &[("policy", "approve")]).await?.ok()?;
    site.put("/client.json", Reply::json(&document(&site, "/client.json")));
    let id = site.url("/client.json");
    let ask = || async { place.server.authorize(&member, &place.query(&id)).await };

    let page = ask().await?;
    assert!(
        page.status == StatusCode::BAD_REQUEST && page.text().contains("waits for an admin"),
        "{}",
        page.text()
    );
    let list = place.console.visit(&place.path("/clients")).await?.text();
    assert!(list.contains("Example agent") && list.contains("waits for you"), "{list}");
    let problems = place.console.visit(&place.path("/clients/refusals")).await?.text();
    assert!(problems.contains("Example agent is noted"), "{problems}");

    place.press("Example agent", "allow").await?;
    assert!(ask().await?.ok()?.text().contains("Allow Example agent"));

    // Members do not get to these pages.
    for path in ["/clients", "/clients/new", "/clients/refusals", "/settings/clients"] {
        let page = member.get(&place.path(path)).await?;
        ensure!(page.status == StatusCode::FORBIDDEN, "{path}: {}", page.status);
    }
    Ok(())
}

#[tokio::test]
async fn where_hosts_are_listed_others_wait() -> TestResult {
    let place = Place::new().await?;
    let rules = place.path("/settings/clients");
    let bad = place.console.submit(&rules, &rules, &[("policy", "hosts"), ("hosts", "not a host!")]).await?;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(bad.body.contains("not a host!"), "what was typed is lost");
    place.console.submit(&rules, &rules, &[("policy", "hosts"), ("hosts", "client.example")]).await?.ok()?;

    let listed = place.server.client(REDIRECT).await?;
    assert!(place.page(&listed).await?.ok()?.text().contains("Allow Test client"));
    let other = "https://client.example.evil/callback";
    let client = place.server.client(other).await?;
    let page =
        place.server.authorize(&place.console, &place.server.query(&client, other, &place.pkce)).await?;
    assert!(page.text().contains("waits for an admin"), "{}", page.text());
    Ok(())
}

#[tokio::test]
async fn a_client_registered_by_hand_has_a_secret_that_is_replaced_with_an_overlap() -> TestResult {
    let place = Place::new().await?;
    let new = place.path("/clients/new");
    let fields = [("name", "Nightly report"), ("redirects", REDIRECT), ("method", "client_secret_basic")];
    for (name, value) in [("name", ""), ("redirects", "http://evil.example/cb"), ("method", "guess")] {
        let mut wrong = fields.to_vec();
        wrong.retain(|(given, _)| *given != name);
        wrong.push((name, value));
        let page = place.console.submit(&new, &new, &wrong).await?;
        ensure!(page.status == StatusCode::UNPROCESSABLE_ENTITY, "{name}={value}: {}", page.status);
        ensure!(name == "name" || page.body.contains("Nightly report"), "what was typed is lost");
    }
    let made = place.console.submit(&new, &new, &fields).await?.ok()?;
    let shown = |page: &Page, start: &str| {
        let text = page.text();
        let found = text.split_whitespace().find(|word| word.starts_with(start)).map(str::to_owned);
        found.with_context(|| format!("no {start} in {text}"))
    };
    let (id, first) = (shown(&made, "tmc_")?, shown(&made, "tmcs_")?);
    let text = place.page(&id).await?.ok()?.text();
    assert!(text.contains("registered by an admin"), "{text}");
    let works = |secret: String| {
        let (place, id) = (&place, &id);
        async move {
            let form = with(place.code_form(id).await?, "client_id", "");
            anyhow::Ok(place.server.token_over_basic(id, &secret, &form).await?.status)
        }
    };
    assert_eq!(works(first.clone()).await?, StatusCode::OK);

    let list = place.console.visit(&place.path("/clients")).await?.ok()?;
    let own =
        list.links(&place.path("/clients/")).into_iter().find(|path| path.len() > 80).context("no client")?;
    let rotate = format!("{own}/secret");
    let second = shown(&place.console.submit(&own, &rotate, &[("overlap", "3600")]).await?.ok()?, "tmcs_")?;
    assert!(!place.console.visit(&own).await?.body.contains(&second), "the secret is shown twice");
    assert_eq!(works(first.clone()).await?, StatusCode::OK, "the overlap");
    assert_eq!(works(second.clone()).await?, StatusCode::OK);
    let third = shown(&place.console.submit(&own, &rotate, &[("overlap", "0")]).await?.ok()?, "tmcs_")?;
    for (secret, status) in
        [(first, StatusCode::UNAUTHORIZED), (second, StatusCode::UNAUTHORIZED), (third, StatusCode::OK)]
    {
        assert_eq!(works(secret).await?, status);
    }

    let redirects = format!("{own}/redirects");
    let moved = [("redirects", "https://client.example/moved")];
    place.console.submit(&own, &redirects, &moved).await?.ok()?;
    assert_eq!(place.page(&id).await?.status, StatusCode::BAD_REQUEST, "the old redirect is still good");
    place.console.submit(&own, &format!("{own}/delete"), &[]).await?.ok()?;
    let gone = place.server.refresh(&id, "any").await?;
    assert_eq!(error_of(&gone)?, "invalid_client");
    Ok(())
}

#[tokio::test]
async fn what_was_refused_stands_with_its_reason_where_admins_look() -> TestResult {
    let place = Place::new().await?;
    let empty = place.console.visit(&place.path("/clients/refusals")).await?.text();
    assert!(empty.contains("Nothing was refused"), "{empty}");
    let client = place.server.client(REDIRECT).await?;
    let tokens = place.tokens(&client).await?;
    for _ in 0..3 {
        place.server.refresh(&client, "invented").await?;
    }
    place.server.refresh("nobody", &tokens.refresh).await?;
    place.server.register(&registration(&["javascript:alert(1)"])).await?;
    place
        .server
        .authorize(&place.console, &with(place.query(&client), "redirect_uri", "https://evil.example/"))
        .await?;
    place.server.authorize(&place.console, &with(place.query(&client), "code_challenge", "")).await?;

    let text = place.console.visit(&place.path("/clients/refusals")).await?.ok()?.text();
    for expected in [
        "Test client",
        "the refresh token is unknown",
        "does not know the client",
        "redirect_uris must hold",
        "did not register",
        "PKCE is required",
        "times",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing: {text}");
    }
    assert!(!text.contains("invented"), "a token stands in the page");
    let other = place.system.workspace().await?;
    let theirs = place.system.console(&other.owner).await?;
    let theirs = theirs.visit(&format!("/w/{}/clients/refusals", other.slug)).await?.text();
    assert!(theirs.contains("Nothing was refused"), "another workspace sees them: {theirs}");
    Ok(())
}
