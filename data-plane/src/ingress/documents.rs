//! Well-known documents: where clients find out how to log in. Open to every page, never HTML.

use axum::Extension;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL,
};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use toolmesh_proto::claims::{SCOPE_OFFLINE, SCOPE_TOOLS, SCOPE_WRITE};

use super::{Visit, problem};
use crate::catalog::Tenant;

/// How clients prove who they are. Some look for `none` before they use their document as id.
const CLIENT_AUTHENTICATION: [&str; 4] =
    ["none", "private_key_jwt", "client_secret_basic", "client_secret_post"];

/// How those that sign may sign.
const CLIENT_SIGNATURES: [&str; 4] = ["RS256", "PS256", "ES256", "EdDSA"];

/// Answers everything below `/.well-known/`.
pub(super) async fn well_known(
    Extension(visit): Extension<Visit>,
    method: Method,
    Path(path): Path<String>,
) -> Response {
    if path == "openai-apps-challenge" {
        return challenge(&visit.tenant, &method);
    }
    let document = match path.trim_end_matches('/') {
        "oauth-protected-resource" | "oauth-protected-resource/mcp" => {
            Some(protected_resource(&visit.tenant))
        }
        "oauth-authorization-server"
        | "oauth-authorization-server/mcp"
        | "openid-configuration"
        | "openid-configuration/mcp" => Some(authorization_server(&visit.tenant)),
        _ => None,
    };
    let mut response = match (method, document) {
        (Method::OPTIONS, _) => StatusCode::NO_CONTENT.into_response(),
        (Method::GET | Method::HEAD, Some(document)) => {
            ([(CACHE_CONTROL, "public, max-age=300")], Json(document)).into_response()
        }
        (_, Some(_)) => problem::method_not_allowed("GET"),
        (_, None) => problem::problem(StatusCode::NOT_FOUND, "not_found", "There is no such document here."),
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
    headers
        .insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("mcp-protocol-version, content-type"));
    response
}

/// What OpenAI looks for to see whose this host is: the token and nothing else.
fn challenge(tenant: &Tenant, method: &Method) -> Response {
    if tenant.openai_apps_challenge.is_empty() {
        return problem::problem(StatusCode::NOT_FOUND, "not_found", "There is no such document here.");
    }
    match *method {
        Method::GET | Method::HEAD => tenant.openai_apps_challenge.clone().into_response(),
        _ => problem::method_not_allowed("GET"),
    }
}

/// RFC 9728. `offline_access` is left out on purpose: a resource does not ask for it.
fn protected_resource(tenant: &Tenant) -> Value {
    json!({
        "resource": tenant.resource,
        "authorization_servers": [tenant.origin],
        "scopes_supported": [SCOPE_TOOLS],
        "bearer_methods_supported": ["header"],
        "resource_name": tenant.name,
    })
}

/// RFC 8414, also where OpenID Connect looks: the issuer is this host, its endpoints are the console's.
fn authorization_server(tenant: &Tenant) -> Value {
    let base = &tenant.oauth_base;
    // Some clients ask for all there is, so what needs a reason to be asked for is listed only where it means something.
    let scopes: &[&str] = if tenant.writes_need_scope {
        &[SCOPE_TOOLS, SCOPE_WRITE, SCOPE_OFFLINE]
    } else {
        &[SCOPE_TOOLS, SCOPE_OFFLINE]
    };
    let mut document = json!({
        "issuer": tenant.origin,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "registration_endpoint": format!("{base}/register"),
        "revocation_endpoint": format!("{base}/revoke"),
        "jwks_uri": format!("{base}/jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
        "token_endpoint_auth_signing_alg_values_supported": CLIENT_SIGNATURES,
        "revocation_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
        "revocation_endpoint_auth_signing_alg_values_supported": CLIENT_SIGNATURES,
        "client_id_metadata_document_supported": true,
        "authorization_response_iss_parameter_supported": true,
        "scopes_supported": scopes,
    });
    if tenant.trusts_identity_provider {
        if let Some(types) = document["grant_types_supported"].as_array_mut() {
            types.push(json!("urn:ietf:params:oauth:grant-type:jwt-bearer"));
        }
        document["authorization_grant_profiles_supported"] =
            json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples;

    #[test]
    fn the_issuer_is_the_same_string_in_both_documents_and_the_resource_has_no_trailing_slash() {
        let tenant = samples::tenant();
        let (resource, server) = (protected_resource(&tenant), authorization_server(&tenant));
        assert_eq!(resource["authorization_servers"][0], server["issuer"]);
        assert_eq!(resource["resource"], format!("{}/mcp", samples::ORIGIN));
        assert_eq!(server["token_endpoint"], "http://localhost:8080/oauth/acme/token");
        assert!(!resource.to_string().contains("offline_access"));
    }

    #[test]
    fn what_only_some_workspaces_have_is_said_only_by_them() {
        let plain = authorization_server(&samples::tenant());
        assert!(!plain.to_string().contains("jwt-bearer") && !plain.to_string().contains("id-jag"));
        assert_eq!(plain["scopes_supported"], json!(["mcp:tools", "offline_access"]));
        let mut bundle = samples::bundle();
        bundle.trusts_identity_provider = true;
        bundle.writes_need_scope = true;
        let tenant = samples::compile(&bundle);
        let document = authorization_server(&tenant);
        let types = document["grant_types_supported"].as_array().unwrap();
        assert!(types.contains(&json!("urn:ietf:params:oauth:grant-type:jwt-bearer")), "{types:?}");
        let profiles = &document["authorization_grant_profiles_supported"];
        assert_eq!(profiles, &json!(["urn:ietf:params:oauth:grant-profile:id-jag"]));
        assert_eq!(document["scopes_supported"], json!(["mcp:tools", "mcp:write", "offline_access"]));
        assert_eq!(protected_resource(&tenant)["scopes_supported"], json!(["mcp:tools"]));
    }
}
