//! Credentials in their places, and out of every text.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use secrecy::SecretString;
use toolmesh_proto::ids::{InstallationId, TenantId};
use toolmesh_proto::seal::{CredentialPlace, Sealer};
use toolmesh_proto::v1;
use url::Url;

use super::*;

fn opened(secrets: &[(&str, &str)]) -> Opened {
    let sealer = Sealer::new(&SecretString::from("join")).unwrap();
    let (tenant, installation) = (TenantId::new(), InstallationId::new());
    let sealed: Vec<_> = secrets
        .iter()
        .map(|(name, secret)| {
            let place = CredentialPlace { tenant, installation, name };
            sealer.seal(place, 1, &SecretString::from(*secret)).unwrap()
        })
        .collect();
    Opened::open(&sealer, tenant, installation, &sealed, &Auth::None)
}

fn placed(auth: &Auth, secrets: &[(&str, &str)]) -> (HeaderMap, String) {
    let (mut headers, mut query) = (HeaderMap::new(), String::new());
    headers.insert("x-token", HeaderValue::from_static("an argument"));
    opened(secrets).place(auth).unwrap().apply(&mut headers, &mut query);
    (headers, query)
}

#[test]
fn each_kind_of_credential_goes_to_its_place() {
    let header = |name: &'static str, prefix: &str| Auth::Header {
        credential: "token".into(),
        header: HeaderName::from_static(name),
        prefix: prefix.into(),
    };
    let (headers, _) = placed(&header("authorization", "Bearer "), &[("token", "s3cret")]);
    assert_eq!(headers["authorization"], "Bearer s3cret");
    assert!(headers["authorization"].is_sensitive());

    let (headers, _) = placed(&header("x-token", "key "), &[("token", "s3cret")]);
    assert_eq!(headers["x-token"], "key s3cret");

    let basic = Auth::Basic { username: "user".into(), password: Some("password".into()) };
    let (headers, _) = placed(&basic, &[("user", "ada"), ("password", "pw")]);
    assert_eq!(headers["authorization"], "Basic YWRhOnB3");

    let query = Auth::Query { credential: "token".into(), name: "api_key".into(), prefix: String::new() };
    assert_eq!(placed(&query, &[("token", "a&b")]).1, "api_key=a%26b");
}

#[test]
fn a_credential_that_is_missing_foreign_or_unsendable_is_named_and_not_shown() {
    let auth = Auth::Header { credential: "token".into(), header: AUTHORIZATION, prefix: "Bearer ".into() };
    assert_eq!(opened(&[]).place(&auth).err(), Some(CredentialError::Missing("token".into())));
    let error = opened(&[("token", "a\nb")]).place(&auth).err();
    assert_eq!(error, Some(CredentialError::Characters("token".into())));

    let sealer = Sealer::new(&SecretString::from("join")).unwrap();
    let (tenant, installation) = (TenantId::new(), InstallationId::new());
    let place = CredentialPlace { tenant, installation, name: "token" };
    let sealed = [sealer.seal(place, 1, &SecretString::from("s3cret")).unwrap()];
    let foreign = Opened::open(&sealer, TenantId::new(), installation, &sealed, &auth);
    assert_eq!(foreign.place(&auth).err(), Some(CredentialError::Sealed("token".into())));
    assert!(!format!("{foreign:?}").contains("s3cret"));
}

#[test]
fn a_text_is_scrubbed_of_credentials_in_every_form() {
    let opened = opened(&[("token", "se\"cret-token"), ("pin", "123"), ("number", "123456789")]);
    let mut text =
        r#"{"a":"Bearer se\"cret-token","pin":"123","n":9123456789,"raw":"se"cret-token"}"#.to_owned();
    opened.scrub(&mut text);
    assert_eq!(text, r#"{"a":"Bearer [redacted]","pin":"123","n":9123456789,"raw":"[redacted]"}"#);
}

#[test]
fn a_secret_is_scrubbed_as_it_stands_in_a_url() {
    let opened = opened(&[("token", "Aa/ Bb=12")]);
    for form in ["Aa%2F%20Bb%3D12", "Aa%2f%20Bb%3d12", "Aa%2F+Bb%3D12"] {
        let mut text = format!("GET /x?key={form}&q=1");
        opened.scrub(&mut text);
        assert_eq!(text, "GET /x?key=[redacted]&q=1", "{form}");
    }
}

fn key(credential: &str, place: v1::api_key_auth::Place) -> v1::ApiKeyAuth {
    v1::ApiKeyAuth { credential: credential.into(), place: Some(place), prefix: String::new() }
}

fn beside(also: Vec<v1::ApiKeyAuth>) -> Result<Auth, AuthError> {
    let bearer =
        v1::BearerAuth { credential: "token".into(), prefix: "Bearer ".into(), ..Default::default() };
    let kind = Some(v1::auth::Kind::Bearer(bearer));
    Auth::compile(Some(&v1::Auth { kind, also, optional: false }))
}

#[test]
fn keys_stand_beside_the_credential_and_cookies_before_the_callers() {
    use v1::api_key_auth::Place;
    let also = vec![
        key("app", Place::Header("X-App".into())),
        key("part", Place::Query("part".into())),
        key("sid", Place::Cookie("sid".into())),
    ];
    let auth = beside(also).unwrap();
    let secrets = [("token", "t0ken"), ("app", "my-app"), ("part", "a&b"), ("sid", "c00kie==")];
    let placement = opened(&secrets).place(&auth).unwrap();
    let (mut headers, mut query) = (HeaderMap::new(), "q=1".to_owned());
    headers.insert(COOKIE, HeaderValue::from_static("lang=de"));
    placement.apply(&mut headers, &mut query);
    assert_eq!(
        (headers[AUTHORIZATION].as_bytes(), headers["x-app"].as_bytes()),
        (&b"Bearer t0ken"[..], &b"my-app"[..])
    );
    assert_eq!(
        (headers[COOKIE].to_str().unwrap(), query.as_str()),
        ("sid=c00kie==; lang=de", "q=1&part=a%26b")
    );
    assert!(headers[COOKIE].is_sensitive());
    assert!(opened(&secrets[..3]).place(&auth).is_err(), "one of them is missing");
}

#[test]
fn another_credential_stands_where_the_one_before_stood_and_the_callers_own_stays() {
    use v1::api_key_auth::Place;
    let also = vec![key("part", Place::Query("part".into())), key("sid", Place::Cookie("sid".into()))];
    let auth = beside(also).unwrap();
    let placement = |secrets: &[(&str, &str)]| opened(secrets).place(&auth).unwrap();
    let old = placement(&[("token", "old"), ("part", "a&b"), ("sid", "c1")]);
    let new = placement(&[("token", "new"), ("part", "c d"), ("sid", "c2")]);
    for (query, cookies, expected) in [
        ("q=1", Some("lang=de"), ("q=1&part=c%20d", "sid=c2; lang=de")),
        ("", None, ("part=c%20d", "sid=c2")),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(cookies) = cookies {
            headers.insert(COOKIE, HeaderValue::from_static(cookies));
        }
        let mut query = query.to_owned();
        old.apply(&mut headers, &mut query);
        let mut url = Url::parse(&format!("https://api.example/x?{query}")).unwrap();
        new.replace(&old, &mut headers, &mut url);
        assert_eq!((url.query().unwrap(), headers[COOKIE].to_str().unwrap()), expected);
        assert_eq!(headers[AUTHORIZATION], "Bearer new");
    }
}

#[test]
fn a_cookies_value_cannot_hold_a_second_cookie() {
    let auth = beside(vec![key("sid", v1::api_key_auth::Place::Cookie("sid".into()))]).unwrap();
    for bad in ["a; admin=1", "a b", "a\r\nX: y", "a,b", "ä"] {
        let error = opened(&[("token", "t"), ("sid", bad)]).place(&auth).err();
        assert_eq!(error, Some(CredentialError::Characters("sid".into())), "{bad}");
    }
    assert!(beside(vec![key("sid", v1::api_key_auth::Place::Cookie("a;b".into()))]).is_err());
}

#[test]
fn a_users_name_beside_a_password_is_no_secret() {
    let auth = |password: Option<&str>| Auth::Basic {
        username: "user".into(),
        password: password.map(str::to_owned),
    };
    assert!(auth(Some("password")).is_public("user") && !auth(Some("password")).is_public("password"));
    assert!(!auth(None).is_public("user"), "some APIs take their key as the name");
}
