//! Where an API is: the first server of the document, with its variables filled in.

use serde_json::Value as Json;
use url::Url;

use super::Document;

/// The address of an API.
#[derive(Debug, Default)]
pub(super) struct Server {
    /// Empty where the document does not say.
    pub url: String,
    /// What the reader should know about it.
    pub note: Option<String>,
}

/// The document's server.
pub(super) fn base_url(document: &Document) -> Server {
    if document.swagger {
        return swagger(document);
    }
    let servers =
        document.root.get("servers").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let Some(first) = servers.first() else {
        return absolute(document, "/", None);
    };
    let others: Vec<String> =
        servers.iter().skip(1).take(4).map(filled).filter(|url| !url.is_empty()).collect();
    let note =
        (!others.is_empty()).then(|| format!("The document names other servers too: {}.", others.join(", ")));
    absolute(document, &filled(first), note)
}

/// What an operation or path of its own server adds: the prefix of its path, or why it is out of reach.
pub(super) fn prefix(document: &Document, own: Option<&Json>) -> Result<String, String> {
    let Some(first) = own.and_then(Json::as_array).and_then(|servers| servers.first()) else {
        return Ok(String::new());
    };
    let base = base_url(document).url;
    let own = absolute(document, &filled(first), None).url;
    let (Ok(base), Ok(own)) = (Url::parse(&base), Url::parse(&own)) else {
        return Err("is at a server whose address the document leaves open".to_owned());
    };
    let host = own.host_str().unwrap_or_default().to_owned();
    if base.origin() != own.origin() {
        return Err(format!("is served by another host, {host}; import it as a connector of its own"));
    }
    let (base, own) = (base.path().trim_end_matches('/'), own.path().trim_end_matches('/'));
    match own.strip_prefix(base) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => Ok(rest.to_owned()),
        _ => Err("is at another path of the server than the rest".to_owned()),
    }
}

/// The address with the defaults of its variables; a variable without one stays in braces.
fn filled(server: &Json) -> String {
    let mut url = server.get("url").and_then(Json::as_str).unwrap_or_default().trim().to_owned();
    let variables = server.get("variables").and_then(Json::as_object);
    for (name, variable) in variables.into_iter().flatten().take(20) {
        let value = variable.get("default").and_then(|default| match default {
            Json::String(text) => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            _ => None,
        });
        if let Some(value) = value.filter(|value| value.len() <= 200) {
            url = url.replace(&format!("{{{name}}}"), &value);
        }
        if url.len() > 2_000 {
            return String::new();
        }
    }
    url
}

fn swagger(document: &Document) -> Server {
    let text = |key: &str| document.root.get(key).and_then(Json::as_str).unwrap_or_default();
    let base_path = if text("basePath").is_empty() { "/" } else { text("basePath") };
    if text("host").is_empty() {
        return absolute(document, base_path, None);
    }
    let schemes: Vec<&str> = document
        .root
        .get("schemes")
        .and_then(Json::as_array)
        .map(|schemes| schemes.iter().filter_map(Json::as_str).collect())
        .unwrap_or_default();
    let scheme = if schemes.is_empty() || schemes.contains(&"https") { "https" } else { "http" };
    let slash = if base_path.starts_with('/') { "" } else { "/" };
    absolute(document, &format!("{scheme}://{}{slash}{base_path}", text("host")), None)
}

/// A whole address below http or https without a placeholder, or nothing and a note.
fn absolute(document: &Document, text: &str, note: Option<String>) -> Server {
    let open = "The document leaves the address of the API open; enter it as the base URL when you enable the connector.";
    if text.contains(['{', '}']) {
        return Server { url: String::new(), note: Some(open.to_owned()) };
    }
    let url = Url::parse(text).ok().or_else(|| document.url.as_ref()?.join(text).ok());
    let usable = url.filter(|url| {
        matches!(url.scheme(), "https" | "http")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    match usable {
        Some(url) => Server { url: url.to_string(), note },
        None => Server { url: String::new(), note: Some(open.to_owned()) },
    }
}
