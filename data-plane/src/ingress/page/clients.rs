//! How each client is given the address of a workspace, in its own words. Menus move; the console's pages have the long form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

/// What a person does in one client.
pub(super) struct Guide {
    pub(super) client: &'static str,
    /// Adds the address with one click, for clients that take such a link.
    pub(super) link: Option<(String, &'static str)>,
    pub(super) steps: Vec<Step>,
}

/// One step, with what is to be pasted there.
pub(super) struct Step {
    pub(super) text: &'static str,
    pub(super) code: Option<String>,
}

const fn step(text: &'static str) -> Step {
    Step { text, code: None }
}

const fn with(text: &'static str, code: String) -> Step {
    Step { text, code: Some(code) }
}

const ALLOW: Step =
    step("A page of this workspace opens. Log in, read what the client may do, and choose Allow.");

/// The guides for an address; `name` is what the client is to call it.
pub(super) fn guides(url: &str, name: &str) -> Vec<Guide> {
    vec![
        Guide {
            client: "ChatGPT",
            link: None,
            steps: vec![
                step("On the web, open Settings, then Security and login, and switch on Developer mode."),
                step("Still in Settings, open Apps, choose Create, and paste the address as MCP server URL."),
                step("Leave Authentication at OAuth and choose Create."),
                ALLOW,
            ],
        },
        Guide {
            client: "Claude",
            link: None,
            steps: vec![
                step("Open Settings, then Connectors, and choose Add custom connector."),
                step("Paste the address, choose Add, then Connect."),
                ALLOW,
            ],
        },
        Guide {
            client: "Claude Code",
            link: None,
            steps: vec![
                with("Add the server.", format!("claude mcp add --transport http {name} {url}")),
                step("Start Claude Code, type /mcp, choose the server and log in."),
            ],
        },
        Guide {
            client: "Cursor",
            link: Some((cursor(url, name), "Add to Cursor")),
            steps: vec![
                with(
                    "Or add this to the file .cursor/mcp.json in your home folder or in the project.",
                    json!({ "mcpServers": { name: { "url": url } } }).to_string(),
                ),
                step("In Cursor, open Settings, then MCP, and choose the login that the server asks for."),
                ALLOW,
            ],
        },
        Guide {
            client: "VS Code",
            link: Some((vscode(url, name), "Add to VS Code")),
            steps: vec![
                with(
                    "Or add this to the file .vscode/mcp.json in the project.",
                    json!({ "servers": { name: { "type": "http", "url": url } } }).to_string(),
                ),
                step("Choose Start above the entry, and Allow when VS Code asks to log in."),
                ALLOW,
            ],
        },
        Guide {
            client: "Another client",
            link: None,
            steps: vec![
                step("Add an MCP server of the kind HTTP (some say Streamable HTTP) with the address above."),
                step(
                    "Choose OAuth if you are asked. A program without a person uses an API key as bearer token.",
                ),
            ],
        },
    ]
}

fn cursor(url: &str, name: &str) -> String {
    let config = STANDARD.encode(json!({ "url": url }).to_string());
    let config = utf8_percent_encode(&config, NON_ALPHANUMERIC);
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    format!("cursor://anysphere.cursor-deeplink/mcp/install?name={name}&config={config}")
}

fn vscode(url: &str, name: &str) -> String {
    let server = json!({ "name": name, "type": "http", "url": url }).to_string();
    format!("vscode:mcp/install?{}", utf8_percent_encode(&server, NON_ALPHANUMERIC))
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use serde_json::Value;

    use super::*;

    #[test]
    fn links_hold_what_their_clients_read_from_them() {
        let (url, name) = ("https://acme.example.com/mcp", "acme");
        let cursor = url::Url::parse(&cursor(url, name)).unwrap();
        let config = cursor.query_pairs().find(|(key, _)| key == "config").unwrap().1.into_owned();
        let config: Value = serde_json::from_slice(&STANDARD.decode(config).unwrap()).unwrap();
        assert_eq!(config, json!({ "url": url }));
        let vscode = vscode(url, name);
        let server =
            percent_decode_str(vscode.strip_prefix("vscode:mcp/install?").unwrap()).decode_utf8().unwrap();
        let server: Value = serde_json::from_str(&server).unwrap();
        assert_eq!(server, json!({ "name": name, "type": "http", "url": url }));
    }
}
