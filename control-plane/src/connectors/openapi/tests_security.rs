//! What the security schemes of a document become.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use toolmesh_proto::v1::auth::Kind;
use toolmesh_proto::v1::o_auth2_auth::Flow;
use toolmesh_proto::v1::{Auth, CredentialUse, param::Place, tool::Call};

use super::Generated;
use super::tests::document;
use crate::connectors::dadl::{self, Compiled};

/// A document with one operation for each of these requirements; null for none of its own.
fn imported(schemes: Json, shared: Json, own: &[Json]) -> (Generated, Compiled) {
    let mut paths = json!({});
    for (number, own) in own.iter().enumerate() {
        let mut operation = json!({"operationId": format!("op{number}")});
        if !own.is_null() {
            operation["security"] = own.clone();
        }
        paths[format!("/{number}")] = json!({ "get": operation });
    }
    let mut json = json!({
        "openapi": "3.1.0", "info": {"title": "S", "version": "1.0"}, "servers": [{"url": "https://s.example.com/v1"}],
        "paths": paths, "components": {"securitySchemes": schemes},
    });
    if !shared.is_null() {
        json["security"] = shared;
    }
    let document = document(&json);
    let picked: HashMap<String, String> =
        document.outline().unwrap().operations.iter().map(|o| (o.key.clone(), "read".to_owned())).collect();
    let generated = document.generate("s", &picked).unwrap();
    let compiled =
        dadl::compile(&generated.dadl, "s.dadl").unwrap_or_else(|e| panic!("{e}\n{}", generated.dadl));
    assert!(compiled.warnings.is_empty(), "{:?}\n{}", compiled.warnings, generated.dadl);
    (generated, compiled)
}

fn auth(schemes: Json, own: &[Json]) -> (Auth, String) {
    let (generated, compiled) = imported(schemes, Json::Null, own);
    (compiled.connector.auth.unwrap(), generated.notes.join(" "))
}

fn flows(flows: Json) -> Json {
    json!({"o": {"type": "oauth2", "flows": flows}})
}

#[test]
fn a_flow_of_oauth2_keeps_its_addresses_and_the_scopes_that_the_operations_name() {
    let both = flows(json!({
        "clientCredentials": {"tokenUrl": "https://id.example.com/token", "scopes": {"a": ""}},
        "authorizationCode": {"authorizationUrl": "/oauth/authorize", "tokenUrl": "https://id.example.com/token",
            "scopes": {"pets:read": "", "pets:write": "", "never": ""}},
    }));
    let own = [json!([{"o": ["pets:read"]}]), json!([{"o": ["pets:write", "not a scope", "pets:read"]}])];
    let (generated, compiled) = imported(both, Json::Null, &own);
    let Some(Kind::Oauth2(oauth2)) = compiled.connector.auth.unwrap().kind else {
        panic!("{}", generated.dadl)
    };
    assert_eq!(oauth2.flow(), Flow::AuthorizationCode);
    assert_eq!(oauth2.authorize_url, "https://s.example.com/oauth/authorize");
    assert_eq!(oauth2.token_url, "https://id.example.com/token");
    assert_eq!(oauth2.scopes, ["pets:read", "pets:write"]);
    assert_eq!(compiled.setup.required_scopes, ["pets:read", "pets:write"]);
    assert!(compiled.setup.optional_scopes.contains(&"never".to_owned()));
    let asked: Vec<_> = compiled.setup.credentials.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(asked, ["client_id", "client_secret"]);
    assert!(generated.notes.join(" ").contains("register an app"), "{:?}", generated.notes);

    let client = flows(json!({"clientCredentials": {"tokenUrl": "token", "scopes": {}}}));
    let (auth, _) = auth(client, &[json!([{"o": []}])]);
    let Some(Kind::Oauth2(oauth2)) = auth.kind else { panic!("{auth:?}") };
    assert_eq!(
        (oauth2.flow(), oauth2.token_url.as_str()),
        (Flow::ClientCredentials, "https://s.example.com/token")
    );
}

#[test]
fn a_flow_that_cannot_be_carried_out_asks_for_a_token_and_says_so() {
    for (scheme, word) in [
        (
            json!({"type": "oauth2", "flows": {"implicit": {"authorizationUrl": "https://a.example", "scopes": {}}}}),
            "(implicit)",
        ),
        (
            json!({"type": "oauth2", "flows": {"password": {"tokenUrl": "https://a.example/t", "scopes": {}}}}),
            "(password)",
        ),
        (
            json!({"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "javascript:alert(1)"}}}),
            "(clientCredentials)",
        ),
        (
            json!({"type": "openIdConnect", "openIdConnectUrl": "https://id.example.com/.well-known/openid-configuration"}),
            "https://id.example.com/.well-known",
        ),
    ] {
        let (auth, notes) = auth(json!({ "o": scheme }), &[json!([{"o": ["a"]}])]);
        assert!(matches!(auth.kind, Some(Kind::Bearer(_))), "{auth:?}");
        assert!(notes.contains(word) && notes.contains("access token"), "{word}: {notes}");
    }
}

#[test]
fn an_empty_requirement_makes_the_credential_optional_and_alone_it_asks_for_none() {
    let key = || json!({"k": {"type": "apiKey", "in": "header", "name": "X-Key"}});
    let (optional, _) = auth(key(), &[json!([{}, {"k": []}]), json!([{"k": []}, {}])]);
    assert!(optional.optional && matches!(optional.kind, Some(Kind::ApiKey(_))), "{optional:?}");
    let own = [json!([{}]), json!([{"k": []}]), json!([{}, {"k": []}]), json!([])];
    let (_, compiled) = imported(key(), Json::Null, &own);
    assert!(!compiled.connector.auth.as_ref().unwrap().optional);
    let uses: Vec<CredentialUse> = compiled
        .connector
        .tools
        .iter()
        .map(|tool| match &tool.call {
            Some(Call::Rest(call)) => call.credential(),
            _ => panic!("no call"),
        })
        .collect();
    use CredentialUse::{None, Optional, Unspecified};
    assert_eq!(uses, [None, Unspecified, Optional, None]);
    assert_eq!(compiled.connector.probe_tool, "op1", "the test proves the credential");
    let (nothing, notes) = auth(key(), &[json!([{}]), json!([])]);
    assert!(matches!(nothing.kind, Some(Kind::None(_))), "{nothing:?}");
    assert!(notes.contains("No chosen operation asks"), "{notes}");
}

#[test]
fn what_most_operations_take_is_shown_and_schemes_that_are_shown_alike_count_together() {
    let schemes = json!({
        "personal": {"type": "apiKey", "in": "header", "name": "X-Token"},
        "plan": {"type": "apiKey", "in": "header", "name": "x-token"},
        "b": {"type": "http", "scheme": "bearer"},
    });
    let own = [
        json!([{"personal": []}, {"b": []}]),
        json!([{"plan": []}]),
        json!([{"personal": []}]),
        json!([{"b": []}]),
    ];
    let (auth, notes) = auth(schemes, &own);
    assert!(matches!(auth.kind, Some(Kind::ApiKey(_))), "{auth:?}");
    assert!(notes.contains("1 of the 4 operations asks for another credential than personal"), "{notes}");
}

#[test]
fn schemes_that_are_asked_for_together_are_shown_together() {
    let schemes = || {
        json!({
            "apiKeyAuth": {"type": "apiKey", "in": "header", "name": "DD-API-KEY", "description": "The key of the organisation."},
            "appKeyAuth": {"type": "apiKey", "in": "query", "name": "application_key"},
            "sid": {"type": "apiKey", "in": "cookie", "name": "sid"},
            "token": {"type": "http", "scheme": "bearer"},
            "basic": {"type": "http", "scheme": "basic"},
        })
    };
    let (_, compiled) = imported(schemes(), Json::Null, &[json!([{"apiKeyAuth": [], "appKeyAuth": []}])]);
    let auth = compiled.connector.auth.unwrap();
    assert_eq!(auth.also.len(), 1);
    let asked: Vec<_> = compiled.setup.credentials.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(asked, ["api_key_auth", "app_key_auth"]);
    assert_eq!(compiled.setup.steps, ["apiKeyAuth: The key of the organisation."]);
    // A token is shown first, with the cookie beside it.
    let (auth, _) = self::auth(schemes(), &[json!([{"sid": [], "token": []}])]);
    assert!(matches!(auth.kind, Some(Kind::Bearer(_))) && auth.also.len() == 1, "{auth:?}");
    // Two that go to one place cannot be shown.
    let (auth, notes) = self::auth(schemes(), &[json!([{"basic": [], "token": []}])]);
    assert!(matches!(auth.kind, Some(Kind::None(_))) && notes.contains("cannot be shown"), "{notes}");
    // An operation that asks for one of the two takes both.
    let (_, notes) =
        self::auth(schemes(), &[json!([{"apiKeyAuth": [], "appKeyAuth": []}]), json!([{"apiKeyAuth": []}])]);
    assert!(notes.is_empty(), "{notes}");
}

#[test]
fn what_is_signed_anew_is_not_shown_and_the_reason_is_told() {
    for scheme in [
        json!({"type": "http", "scheme": "digest"}),
        json!({"type": "mutualTLS"}),
        json!({"type": "apiKey", "in": "cookie", "name": "a;b"}),
        json!({"type": "apiKey", "in": "header", "name": "Host"}),
        json!({"type": "hmac"}),
        json!("nonsense"),
    ] {
        let (auth, notes) = auth(json!({ "x": scheme }), &[json!([{"x": []}])]);
        assert!(
            matches!(auth.kind, Some(Kind::None(_))) && notes.contains("cannot be shown here (x "),
            "{notes}"
        );
    }
    let (_, notes) = auth(json!({}), &[json!([{"missing": []}])]);
    assert!(notes.contains("cannot be shown here, so none"), "{notes}");
}

#[test]
fn cookies_are_parameters_and_where_more_is_said_is_told() {
    let json = json!({
        "openapi": "3.0.3", "servers": [{"url": "https://s.example.com"}], "externalDocs": {"url": "https://docs.example.com/"},
        "info": {"title": "S", "version": "1", "termsOfService": "https://s.example.com/terms",
            "contact": {"name": "Support", "email": "help@example.com", "url": "javascript:alert(1)"}},
        "paths": {"/a": {"get": {"parameters": [
            {"name": "lang", "in": "cookie", "required": true, "schema": {"type": "string"}},
            {"name": "tags", "in": "cookie", "explode": false, "schema": {"type": "array", "items": {"type": "string"}}}]}}},
    });
    let compiled = super::tests::compiled(&document(&json));
    let Some(Call::Rest(call)) = &compiled.connector.tools[0].call else { panic!("no call") };
    assert!(call.params.iter().all(|param| param.place() == Place::Cookie), "{:?}", call.params);
    assert_eq!(compiled.setup.docs_url, "https://docs.example.com/");
    let notes = "Contact: Support, help@example.com. Terms of service: https://s.example.com/terms";
    assert_eq!(compiled.setup.notes, notes);
}
