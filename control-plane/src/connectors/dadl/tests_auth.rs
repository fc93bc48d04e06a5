//! What an author of a document notices of the kinds of authentication that log in: OAuth 2 and sessions.

use toolmesh_proto::v1::auth::Kind;
use toolmesh_proto::v1::o_auth2_auth::Flow;
use toolmesh_proto::v1::{OAuth2Auth, SessionAuth};

use super::{CompileErrors, Compiled, Setup, compile};

fn document(auth: &str) -> Result<Compiled, CompileErrors> {
    let source = format!(
        "spec: https://dadl.ai/spec/dadl-spec-v0.2.md\nbackend:\n  name: demo\n  type: rest\n  base_url: https://api.example.com\n  description: A demo.\n  auth: {auth}\n  tools:\n    a:\n      method: GET\n      path: /a\n      access: read\n      description: A.\n      params:\n        X-Session: {{type: string, in: header}}\n"
    );
    compile(&source, "demo.dadl")
}

fn oauth2(auth: &str) -> (OAuth2Auth, Compiled) {
    let compiled = document(auth).unwrap_or_else(|errors| panic!("{errors}"));
    match compiled.connector.auth.clone().unwrap().kind.unwrap() {
        Kind::Oauth2(oauth2) => (oauth2, compiled),
        other => panic!("{other:?}"),
    }
}

fn session(auth: &str) -> (SessionAuth, Compiled) {
    let compiled = document(auth).unwrap_or_else(|errors| panic!("{errors}"));
    match compiled.connector.auth.clone().unwrap().kind.unwrap() {
        Kind::Session(session) => (session, compiled),
        other => panic!("{other:?}"),
    }
}

fn asked(setup: &Setup) -> Vec<(&str, bool)> {
    setup.credentials.iter().map(|field| (field.name.as_str(), field.secret)).collect()
}

#[test]
fn each_flow_of_oauth2_has_its_keys_its_defaults_and_its_fields() {
    let (found, compiled) = oauth2(
        "{type: oauth2, token_url: https://x.example/token, client_id_credential: id, client_secret_credential: secret, scopes: [a.b, 'https://x.example/auth/c']}",
    );
    assert_eq!((found.flow(), found.basic_client_auth), (Flow::ClientCredentials, false));
    assert_eq!((found.header.as_str(), found.prefix.as_str()), ("Authorization", "Bearer "));
    assert_eq!((found.refresh_before_seconds, found.scopes.len()), (30, 2));
    assert_eq!(asked(&compiled.setup), [("id", false), ("secret", true)]);

    let (found, compiled) = oauth2(
        "{type: oauth2, flow: refresh_token, token_url: /oauth/token, client_id_credential: id, refresh_token_credential: refresh, rotates_refresh_token: true, refresh_before_expiry: 5m, header_name: X-Token, prefix: ''}",
    );
    assert_eq!((found.flow(), found.rotates_refresh_token), (Flow::RefreshToken, true));
    assert_eq!((found.header.as_str(), found.prefix.as_str()), ("X-Token", ""));
    assert_eq!((found.refresh_before_seconds, found.token_url.as_str()), (300, "/oauth/token"));
    assert_eq!(asked(&compiled.setup), [("id", false), ("refresh", true)]);

    let (found, compiled) = oauth2(
        "{type: oauth2, flow: jwt_bearer, service_account_credential: key, subject: ana@example.com, scopes: [s]}",
    );
    assert_eq!((found.flow(), found.subject.as_str()), (Flow::JwtBearer, "ana@example.com"));
    assert_eq!(asked(&compiled.setup), [("key", true)]);

    let (found, compiled) = oauth2(
        "{type: oauth2, flow: authorization_code, authorize_url: https://x.example/auth, token_url: https://x.example/token, client_id_credential: id, client_secret_credential: secret, refresh_token_credential: refresh, token_auth: basic, authorization_params: {access_type: offline, prompt: consent}}",
    );
    assert_eq!((found.flow(), found.basic_client_auth), (Flow::AuthorizationCode, true));
    let params: Vec<_> =
        found.authorization_params.iter().map(|p| (p.name.as_str(), p.value.as_str())).collect();
    assert_eq!(params, [("access_type", "offline"), ("prompt", "consent")]);
    // Nobody enters the refresh token: it comes back with whoever consents.
    assert_eq!(asked(&compiled.setup), [("id", false), ("secret", true)]);
    assert!(compiled.warnings.is_empty(), "{:?}", compiled.warnings);
}

#[test]
fn what_a_flow_lacks_or_cannot_have_is_told_with_its_place() {
    let code = "type: oauth2, flow: authorization_code, token_url: https://x.example/t, client_id_credential: i, refresh_token_credential: r";
    for (auth, words) in [
        ("{type: oauth2}".to_owned(), "token_url: is missing"),
        (
            "{type: oauth2, token_url: https://x.example/t, client_id_credential: i}".to_owned(),
            "client_secret_credential: is missing",
        ),
        (
            "{type: oauth2, flow: refresh_token, token_url: https://x.example/t, client_id_credential: i}"
                .to_owned(),
            "refresh_token_credential: is missing",
        ),
        ("{type: oauth2, flow: jwt_bearer}".to_owned(), "service_account_credential: is missing"),
        (format!("{{{code}}}"), "authorize_url: is missing"),
        (format!("{{{code}, authorize_url: 'javascript:alert(1)'}}"), "must start with https://"),
        (format!("{{{code}, authorize_url: //evil.example}}"), "is not a URL"),
        (format!("{{{code}, authorize_url: 'https://u:p@x.example/'}}"), "user name or password"),
        (
            format!("{{{code}, authorize_url: /a, authorization_params: {{state: mine}}}}"),
            "is filled in by the console",
        ),
        (format!("{{{code}, authorize_url: /a, token_auth: basic}}"), "needs a client secret"),
        (format!("{{{code}, authorize_url: /a, scopes: ['a b']}}"), "is not a scope"),
        (format!("{{{code}, authorize_url: /a, refresh_before_expiry: soon}}"), "is not a span of time"),
        (format!("{{{code}, authorize_url: /a, login: {{}}}}"), "is not for \"oauth2\" authentication"),
        (
            "{type: oauth2, flow: password, token_url: https://x.example/t}".to_owned(),
            "\"password\" is not known",
        ),
        (
            "{type: bearer, credential: c, token_url: https://x.example/t}".to_owned(),
            "is not for \"bearer\" authentication",
        ),
        (
            "{type: oauth2, credential: c, token_url: https://x.example/t}".to_owned(),
            "is not for \"oauth2\" authentication",
        ),
    ] {
        let errors = document(&auth).map(|_| ()).unwrap_err();
        let found = errors.errors.iter().find(|error| error.to_string().contains(words));
        let found = found.unwrap_or_else(|| panic!("{auth}: {errors}"));
        assert_eq!(found.line, 7, "{found}");
    }
}

#[test]
fn a_redirect_address_of_the_file_and_keys_of_other_flows_are_told_to_have_no_effect() {
    let (_, compiled) = oauth2(
        "{type: oauth2, flow: authorization_code, authorize_url: /a, token_url: /t, client_id_credential: i, refresh_token_credential: r, redirect_uri: 'http://127.0.0.1/', service_account_credential: s}",
    );
    assert_eq!(compiled.warnings.len(), 2, "{:?}", compiled.warnings);
}

#[test]
fn a_login_names_its_secrets_at_any_depth_and_in_both_spellings() {
    let (found, compiled) = session(
        "{type: session, login: {method: POST, path: /login, body: {user: {name: 'credential:user_name', password_credential: pass}, keep: true, list: ['credential:pass']}, extract: {token: $.data.token}}, inject: [{header: X-Session, value: 'T {{token}}'}], refresh: {trigger: '401', action: re_login}}",
    );
    assert_eq!(found.body_json, r#"{"user":{"name":null,"password":null},"keep":true,"list":[null]}"#);
    let secrets: Vec<_> = found.secrets.iter().map(|s| (s.pointer.as_str(), s.credential.as_str())).collect();
    assert_eq!(secrets, [("/user/name", "user_name"), ("/user/password", "pass"), ("/list/0", "pass")]);
    assert_eq!(found.extract[0].path, "$.data.token");
    assert_eq!(asked(&compiled.setup), [("user_name", false), ("pass", true)]);
    // A caller's header of the same name would stand in the session's way.
    let Some(toolmesh_proto::v1::tool::Call::Rest(call)) = &compiled.connector.tools[0].call else {
        panic!()
    };
    assert!(call.params.is_empty(), "{call:?}");
}

#[test]
fn a_user_and_password_beside_the_login_are_its_body_where_it_has_none() {
    let (found, compiled) = session(
        "{type: session, username_credential: u, password_credential: p, login: {method: POST, path: /login}, inject: []}",
    );
    assert_eq!(found.body_json, r#"{"username":null,"password":null}"#);
    assert_eq!(asked(&compiled.setup), [("u", false), ("p", true)]);
}

#[test]
fn a_login_that_could_not_work_is_refused() {
    for (auth, words) in [
        ("{type: session}", "login: is missing"),
        ("{type: session, login: {method: POST, path: /l}}", "inject: is missing"),
        ("{type: session, login: {path: /l}, inject: []}", "method: is missing"),
        ("{type: session, login: {method: DELETE, path: /l}, inject: []}", "\"DELETE\" is not known"),
        (
            "{type: session, login: {method: POST, path: 'https://evil.example/l'}, inject: []}",
            "is not a path below",
        ),
        ("{type: session, login: {method: POST, path: /a/../../l}, inject: []}", "is not a path below"),
        ("{type: session, login: {method: POST, path: //evil.example}, inject: []}", "is not a path below"),
        (
            "{type: session, login: {method: POST, path: /l, extract: {t: '$.a[*]'}}, inject: []}",
            "several values",
        ),
        (
            "{type: session, login: {method: POST, path: /l, extract: {t: a.b}}, inject: []}",
            "a JSONPath starts with",
        ),
        (
            "{type: session, login: {method: POST, path: /l}, inject: [{header: X-A, value: '{{t}}'}]}",
            "is not extracted",
        ),
        (
            "{type: session, login: {method: POST, path: /l}, inject: [{header: Host, value: a}]}",
            "cannot carry",
        ),
        (
            "{type: session, login: {method: POST, path: /l, body: {p: 'credential:a b'}}, inject: []}",
            "is not a name of a credential",
        ),
        (
            "{type: session, login: {method: POST, path: /l}, inject: [], refresh: {action: exchange}}",
            "\"exchange\" is not known",
        ),
        (
            "{type: session, login: {method: POST, path: /l}, inject: [], scopes: [a]}",
            "is not for \"session\"",
        ),
    ] {
        let errors = document(auth).map(|_| ()).unwrap_err();
        assert!(errors.to_string().contains(words), "{auth}: {errors}");
    }
}

fn shown_beside(auth: &str) -> Vec<String> {
    let compiled = document(auth).unwrap_or_else(|errors| panic!("{errors}"));
    let auth = compiled.connector.auth.unwrap();
    auth.also.iter().map(|key| format!("{} {:?}", key.credential, key.place.as_ref().unwrap())).collect()
}

#[test]
fn a_key_may_be_a_cookie_and_stand_beside_another_credential() {
    let compiled = document("{type: apikey, credential: sid, x-cookie: JSESSIONID}").unwrap();
    assert!(compiled.setup.credentials[0].help.contains("cookie JSESSIONID"));
    assert_eq!(asked(&compiled.setup), [("sid", true)]);
    let both = "{type: apikey, credential: key, header_name: DD-API-KEY, x-also: [{credential: app, header_name: DD-APPLICATION-KEY}, {credential: q, inject_into: query, query_param: app}, {credential: c, x-cookie: sid}]}";
    let beside = shown_beside(both);
    assert_eq!(beside, ["app Header(\"DD-APPLICATION-KEY\")", "q Query(\"app\")", "c Cookie(\"sid\")"]);
    assert_eq!(asked(&document(both).unwrap().setup).len(), 4);
    let token = "type: oauth2, token_url: https://x.example/t, client_id_credential: id, client_secret_credential: secret";
    assert_eq!(
        shown_beside(&format!("{{{token}, x-also: [{{credential: id, header_name: Client-Id}}]}}")).len(),
        1
    );
    for (auth, words) in [
        ("{type: apikey, credential: a, x-cookie: 'a b'}".to_owned(), "is not a name of a cookie"),
        ("{type: apikey, credential: a, x-cookie: a, prefix: 'x;'}".to_owned(), "cannot be a cookie"),
        ("{type: none, x-also: [{credential: a}]}".to_owned(), "shows none"),
        (
            "{type: bearer, credential: a, x-also: [{credential: b, header_name: authorization}]}".to_owned(),
            "another credential goes",
        ),
        ("{type: apikey, credential: a, x-also: [{credential: b}]}".to_owned(), "another credential goes"),
        (
            "{type: bearer, credential: a, header_name: Cookie, x-also: [{credential: b, x-cookie: x}]}"
                .to_owned(),
            "another credential goes",
        ),
        (
            format!("{{{token}, x-also: [{{credential: secret, header_name: X-Secret}}]}}"),
            "tokens are got with",
        ),
    ] {
        let errors = document(&auth).unwrap_err().to_string();
        assert!(errors.contains(words), "{auth}: {errors}");
    }
}

#[test]
fn where_tokens_are_taken_back_is_said_of_a_persons_consent_alone() {
    let rest = "token_url: /token, client_id_credential: id, refresh_token_credential: refresh, x-revoke-url";
    let consent = "type: oauth2, flow: authorization_code, authorize_url: /authorize";
    for url in ["/revoke", "https://x.example/revoke"] {
        assert_eq!(oauth2(&format!("{{{consent}, {rest}: '{url}'}}")).0.revoke_url, url);
    }
    for url in ["revoke", "ftp://x.example/revoke", "https://ana:word@x.example/revoke"] {
        let errors = document(&format!("{{{consent}, {rest}: '{url}'}}")).unwrap_err().to_string();
        assert!(errors.contains("x-revoke-url"), "{url}: {errors}");
    }
    let idle = oauth2(&format!("{{type: oauth2, flow: refresh_token, {rest}: /revoke}}"));
    assert_eq!(idle.0.revoke_url, "");
}
