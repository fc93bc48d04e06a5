//! Enterprise-managed authorization: a company's identity provider vouches for a client and a person, and the client gets in
//! without a page to allow.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use toolmesh_tests::oauth::{REDIRECT, Server};
use toolmesh_tests::signer::{Signer, now};
use toolmesh_tests::tls::{Reply, TlsSite};
use toolmesh_tests::wait::SOON;
use toolmesh_tests::workspace::unique;
use toolmesh_tests::{Answer, Console, Person, System, TestResult, Workspace, eventually};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A workspace that trusts an identity provider, and a client of it.
struct Company {
    system: &'static System,
    workspace: Workspace,
    /// Proven to be its own.
    domain: String,
    server: Server,
    console: Console,
    idp: TlsSite,
    signer: Signer,
    client: String,
}

impl Company {
    async fn new() -> Result<Self> {
        let system = System::shared().await?;
        let domain = format!("{}.example", unique());
        let workspace = system.workspace_of(system.person_at(&domain).await?).await?;
        system.admin(&["verify-domain", "--workspace", &workspace.slug, "--domain", &domain]).await?;
        let console = system.console(&workspace.owner).await?;
        let (idp, signer) = (TlsSite::start().await?, Signer::new()?);
        let issuer = idp.url("");
        let document = json!({"issuer": issuer, "jwks_uri": idp.url("/keys")});
        idp.put("/.well-known/openid-configuration", Reply::json(&document));
        idp.put("/keys", Reply::json(&signer.jwks()));
        let server = system.oauth(&workspace).await?;
        let client = server.client(REDIRECT).await?;
        let company = Self { system, workspace, domain, server, console, idp, signer, client };
        company.trust(&[("issuer", &issuer)]).await?;
        Ok(company)
    }

    fn page(&self) -> String {
        format!("/w/{}/settings/identity-providers", self.workspace.slug)
    }

    async fn trust(&self, fields: &[(&str, &str)]) -> TestResult {
        let page = self.page();
        let answer = self.console.submit(&page, &page, fields).await?;
        ensure!(answer.status == StatusCode::SEE_OTHER, "{}: {}", answer.status, answer.text());
        Ok(())
    }

    /// The claims of a good assertion for somebody.
    fn claims(&self, person: &Person) -> Value {
        json!({
            "iss": self.idp.url(""), "sub": format!("idp-{}", person.user_id), "aud": self.workspace.origin,
            "iat": now(), "exp": now() + 300, "jti": unique(), "client_id": self.client,
            "resource": self.workspace.mcp_url, "email": person.email, "email_verified": true,
        })
    }

    async fn ask(&self, assertion: &str) -> Result<Answer> {
        let pairs = [("grant_type", GRANT), ("client_id", &self.client), ("assertion", assertion)];
        self.server.token(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))).await
    }

    async fn exchange(&self, claims: &Value) -> Result<Answer> {
        self.ask(&self.signer.sign(Some("oauth-id-jag+jwt"), claims)).await
    }

    async fn refused(&self, claims: &Value) -> Result<String> {
        let answer = self.exchange(claims).await?;
        ensure!(answer.status == StatusCode::BAD_REQUEST, "{}: {}", answer.status, answer.body);
        ensure!(answer.json()?["error"] == "invalid_grant", "{}", answer.body);
        Ok(answer.body)
    }

    async fn token(&self, claims: &Value) -> Result<String> {
        let answer = self.exchange(claims).await?;
        ensure!(answer.status == StatusCode::OK, "{}: {}", answer.status, answer.body);
        let json = answer.json()?;
        ensure!(json.get("refresh_token").is_none(), "a refresh token came along");
        json["access_token"].as_str().map(str::to_owned).context("no token")
    }

    async fn ping(&self, token: &str) -> Result<StatusCode> {
        Ok(self.system.mcp(&self.workspace, token).request("ping", json!({})).await?.status)
    }
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims["jti"] = json!(unique());
    claims[name] = value;
    claims
}

#[tokio::test]
async fn a_vouched_for_client_gets_in_as_the_member_and_the_metadata_says_that_it_may() -> TestResult {
    let company = Company::new().await?;
    let owner = &company.workspace.owner;
    let token = company.token(&company.claims(owner)).await?;
    assert_eq!(company.ping(&token).await?, StatusCode::OK);
    eventually("the metadata say so", SOON, || async {
        let document = company.system.oauth(&company.workspace).await?.metadata;
        let types = document["grant_types_supported"].as_array().cloned().unwrap_or_default();
        let profiles = &document["authorization_grant_profiles_supported"];
        let told = types.contains(&json!(GRANT))
            && profiles == &json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
        Ok(told.then_some(()))
    })
    .await?;
    let text = company.console.visit(&company.page()).await?.ok()?.text();
    assert!(text.contains(&company.idp.url("")) && text.contains("just now"), "{text}");

    // Without a resource it is ours, as the issuer has only one.
    let mut claims = company.claims(owner);
    claims.as_object_mut().context("no object")?.remove("resource");
    company.token(&claims).await?;
    Ok(())
}

#[tokio::test]
async fn an_assertion_is_good_once_and_only_for_what_it_says() -> TestResult {
    let company = Company::new().await?;
    let claims = company.claims(&company.workspace.owner);
    let assertion = company.signer.sign(Some("oauth-id-jag+jwt"), &claims);
    assert_eq!(company.ask(&assertion).await?.status, StatusCode::OK);
    let again = company.ask(&assertion).await?;
    assert!(again.status == StatusCode::BAD_REQUEST && again.body.contains("used before"), "{}", again.body);

    let other = company.system.workspace().await?;
    for (name, value) in [
        ("iss", json!("https://untrusted.example")),
        ("aud", json!(other.origin)),
        ("aud", json!(format!("{}/", company.workspace.origin))),
        ("aud", json!([company.workspace.origin, other.origin])),
        ("resource", json!(other.mcp_url)),
        ("client_id", json!("https://another.example/client")),
        ("exp", json!(now() - 120)),
        ("exp", json!(now() + 100_000)),
        ("iat", json!(now() + 600)),
        ("iat", json!(now() - 100_000)),
        ("jti", json!("")),
    ] {
        let body = company.refused(&with(&claims, name, value.clone())).await;
        body.with_context(|| format!("{name}={value}"))?;
    }
    for kind in [None, Some("JWT"), Some("at+jwt")] {
        let assertion = company.signer.sign(kind, &with(&claims, "scope", json!("mcp:tools")));
        let answer = company.ask(&assertion).await?;
        ensure!(answer.status == StatusCode::BAD_REQUEST, "{kind:?}: {}", answer.body);
    }
    let mut stranger = Signer::new()?;
    stranger.kid.clone_from(&company.signer.kid);
    let forged = stranger.sign(Some("oauth-id-jag+jwt"), &with(&claims, "scope", json!("mcp:tools")));
    let answer = company.ask(&forged).await?;
    assert!(answer.body.contains("signature"), "{}", answer.body);
    Ok(())
}

#[tokio::test]
async fn only_active_members_are_vouched_for_and_an_address_that_moves_on_takes_nothing_along() -> TestResult
{
    let company = Company::new().await?;
    let colleague = || company.system.person_at(&company.domain);
    let (ada, bob) = (colleague().await?, colleague().await?);
    let stranger = company.claims(&ada);
    assert!(company.refused(&stranger).await?.contains("no active member"));
    company.system.join(&company.workspace, &ada, "member").await?;
    company.system.join(&company.workspace, &bob, "member").await?;
    let claims = company.claims(&ada);
    company.refused(&with(&claims, "email_verified", json!(false))).await?;
    company.token(&with(&claims, "email_verified", json!(true))).await?;

    // The provider's subject is Ada's now, whatever address comes with it.
    let moved = with(&claims, "email", json!(bob.email));
    let token = company.token(&moved).await?;
    let members = format!("/w/{}/members", company.workspace.slug);
    let remove = format!("{members}/{}/remove", ada.user_id);
    company.console.submit(&members, &remove, &[]).await?.ok()?;
    eventually("Ada's token is refused", SOON, || async {
        Ok((company.ping(&token).await? == StatusCode::UNAUTHORIZED).then_some(()))
    })
    .await?;
    company.refused(&with(&claims, "exp", json!(now() + 200))).await?;
    Ok(())
}

#[tokio::test]
async fn a_provider_speaks_for_the_workspaces_own_domains_alone() -> TestResult {
    let company = Company::new().await?;
    let guest = company.system.person().await?;
    company.system.join(&company.workspace, &guest, "member").await?;
    let body = company.refused(&company.claims(&guest)).await?;
    assert!(body.contains("no domain that this workspace has proven"), "{body}");
    // The settings show who was refused, and why.
    let refusals = format!("/w/{}/clients/refusals", company.workspace.slug);
    let text = company.console.visit(&refusals).await?.ok()?.text();
    assert!(text.contains("no domain that this workspace has proven"), "{text}");
    let text = company.console.visit(&company.page()).await?.ok()?.text();
    assert!(text.contains(&company.domain), "{text}");

    // Nor for anybody any more, once the domain is given up.
    let claims = company.claims(&company.workspace.owner);
    company.token(&claims).await?;
    let page = format!("/w/{}/settings/sign-in", company.workspace.slug);
    let remove = format!("{page}/domains/remove");
    company.console.submit(&page, &remove, &[("domain", &company.domain)]).await?.ok()?;
    company.refused(&with(&claims, "exp", json!(now() + 200))).await?;
    Ok(())
}

#[tokio::test]
async fn who_lacks_the_second_factor_that_the_workspace_requires_is_not_let_in_by_a_provider() -> TestResult {
    let company = Company::new().await?;
    let ada = company.system.person_at(&company.domain).await?;
    company.system.join(&company.workspace, &ada, "member").await?;
    let claims = company.claims(&ada);
    company.token(&claims).await?;
    company.console.set_up_app().await?;
    let page = format!("/w/{}/settings/second-factor", company.workspace.slug);
    company.console.submit(&page, &page, &[("grace", "now")]).await?.ok()?;
    let body = company.refused(&with(&claims, "exp", json!(now() + 200))).await?;
    assert!(body.contains("second factor"), "{body}");
    Ok(())
}

#[tokio::test]
async fn a_client_of_machines_gets_nothing_for_a_person() -> TestResult {
    let company = Company::new().await?;
    let accounts = format!("/w/{}/service-accounts", company.workspace.slug);
    let made = company.console.submit(&accounts, &accounts, &[("name", "robot")]).await?;
    let account = made.location().context("the service account has no page")?.path().to_owned();
    let machine = Signer::new()?;
    let fields = [("client_name", "robot"), ("keys", &*machine.jwks().to_string())];
    company.console.submit(&account, &format!("{account}/clients"), &fields).await?.ok()?;
    let form = company.console.visit(&account).await?.ok()?.form(&format!("{account}/clients/remove"))?;
    let id = form.fields.iter().find(|(name, _)| name == "client_id").context("no client")?.1.clone();
    let claims = with(&company.claims(&company.workspace.owner), "client_id", json!(id));
    let assertion = company.signer.sign(Some("oauth-id-jag+jwt"), &claims);
    let proof = machine.assertion(&id, &company.server.endpoint("token_endpoint")?, &[]);
    let pairs = [
        ("grant_type", GRANT),
        ("assertion", &assertion),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &proof),
    ];
    let answer =
        company.server.token(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))).await?;
    assert_eq!(answer.json()?["error"], "unauthorized_client", "{}", answer.body);
    Ok(())
}

#[tokio::test]
async fn a_provider_may_be_limited_to_clients_and_trust_ends_when_it_is_removed() -> TestResult {
    let company = Company::new().await?;
    let page = company.page();
    let claims = company.claims(&company.workspace.owner);
    let token = company.token(&claims).await?;
    assert_eq!(company.ping(&token).await?, StatusCode::OK);
    let list = company.console.visit(&page).await?.ok()?;
    let remove = toolmesh_tests::html::forms(&list.body)
        .into_iter()
        .find(|form| form.action.ends_with("/remove"))
        .context("nothing can be removed")?
        .action;
    company.console.submit(&page, &remove, &[]).await?.ok()?;
    eventually("what came of it is refused", SOON, || async {
        Ok((company.ping(&token).await? == StatusCode::UNAUTHORIZED).then_some(()))
    })
    .await?;
    assert!(company.refused(&with(&claims, "scope", json!(""))).await?.contains("does not trust"));

    let issuer = company.idp.url("");
    company.trust(&[("issuer", &issuer), ("client_ids", "https://claude.example/client\nother")]).await?;
    let body = company.refused(&with(&claims, "scope", json!(""))).await?;
    assert!(body.contains("may not vouch for this client"), "{body}");
    Ok(())
}

#[tokio::test]
async fn a_provider_that_cannot_be_checked_is_not_trusted_and_what_was_typed_stays() -> TestResult {
    let company = Company::new().await?;
    let page = company.page();
    let other = company.idp.url("/other");
    company.idp.put(
        "/other/.well-known/openid-configuration",
        Reply::json(&json!({"issuer": "https://evil.example", "jwks_uri": company.idp.url("/keys")})),
    );
    for (issuer, keys) in [
        ("", ""),
        ("http://idp.example", ""),
        ("https://idp.example/?x=1", ""),
        (company.idp.url("/nothing").as_str(), ""),
        (other.as_str(), ""),
        (company.idp.url("/x").as_str(), company.idp.url("/no-keys").as_str()),
        // Trying again at once does not help.
        (company.idp.url("/x").as_str(), company.idp.url("/no-keys").as_str()),
        (company.idp.url("").as_str(), ""),
    ] {
        let fields = [("issuer", issuer), ("jwks_uri", keys), ("client_ids", "kept")];
        let answer = company.console.submit(&page, &page, &fields).await?;
        ensure!(answer.status == StatusCode::UNPROCESSABLE_ENTITY, "{issuer}: {}", answer.status);
        let typed = answer.form(&page)?.fields;
        ensure!(typed.iter().any(|(name, value)| name == "issuer" && value == issuer), "{typed:?}");
    }
    let guest = company.system.person().await?;
    let member = company.system.join(&company.workspace, &guest, "member").await?;
    assert_eq!(member.get(&page).await?.status, StatusCode::FORBIDDEN);
    Ok(())
}
