//! The steps that add a workspace to each client, as data: menus move, and then only this file changes.
//!
//! In a text or code, `{url}` stands for the endpoint, `{slug}` and `{name}` for the workspace.

/// One step, with what is to be pasted there.
#[derive(Clone, Debug)]
pub struct Step {
    pub text: String,
    pub code: Option<String>,
}

/// The steps of one reader.
#[derive(Clone, Debug)]
pub struct Guide {
    /// Who does this: `You`, `An admin of your ChatGPT workspace`.
    pub who: &'static str,
    /// When, and how often.
    pub when: &'static str,
    pub steps: Vec<Step>,
}

type StepText = (&'static str, Option<&'static str>);

struct GuideText {
    who: &'static str,
    when: &'static str,
    steps: &'static [StepText],
}

/// A client people use.
pub struct Client {
    /// In the URL: `chatgpt`.
    pub id: &'static str,
    pub label: &'static str,
    /// Whether it calls from its maker's cloud, so that the endpoint must be reachable from there by HTTPS.
    pub cloud: bool,
    /// A limit worth knowing before one starts.
    pub note: Option<&'static str>,
    texts: &'static [GuideText],
}

impl Client {
    /// All clients, in the order of the tabs.
    #[must_use]
    pub fn all() -> &'static [Self] {
        CLIENTS
    }

    /// By id; an unknown one gives the first.
    #[must_use]
    pub fn find(id: &str) -> &'static Self {
        CLIENTS.iter().find(|client| client.id == id).unwrap_or(&CHATGPT)
    }

    /// The steps with this workspace's own values.
    #[must_use]
    pub fn guides(&self, url: &str, slug: &str, name: &str) -> Vec<Guide> {
        let fill = |text: &str| text.replace("{url}", url).replace("{slug}", slug).replace("{name}", name);
        let step = |(text, code): &StepText| Step { text: fill(text), code: code.map(fill) };
        let guide = |text: &GuideText| Guide {
            who: text.who,
            when: text.when,
            steps: text.steps.iter().map(step).collect(),
        };
        self.texts.iter().map(guide).collect()
    }
}

static CLIENTS: &[Client] = &[CHATGPT, CLAUDE, CURSOR, VSCODE, CODEX, OTHER];

const CHATGPT: Client = Client {
    id: "chatgpt",
    label: "ChatGPT",
    cloud: true,
    note: Some(
        "ChatGPT asks before every call of a tool that is not marked read. It keeps the list of tools from the day it was added: after a change here, press Refresh on the app in its settings.",
    ),
    texts: &[
        GuideText {
            who: "An admin of your ChatGPT workspace",
            when: "Once, for Business, Enterprise and Edu. On Plus and Pro, skip to the next part.",
            steps: &[
                ("In ChatGPT, open Workspace settings, then Permissions and roles.", None),
                (
                    "Under Connected data, allow Developer mode and custom MCP connectors for the people who need them.",
                    None,
                ),
                (
                    "Add the app as described below and publish it to the workspace, or let each member add it.",
                    None,
                ),
            ],
        },
        GuideText {
            who: "You",
            when: "Once.",
            steps: &[
                (
                    "In ChatGPT on the web, open Settings, then Security and login, and switch on Developer mode.",
                    None,
                ),
                ("Still in Settings, open Apps and choose Create.", None),
                ("Give it a name.", Some("{name}")),
                ("Paste the endpoint as MCP server URL.", Some("{url}")),
                ("Leave Authentication at OAuth, confirm that you trust it, and choose Create.", None),
                (
                    "This console opens. Log in, read what ChatGPT may do, and choose Allow. You are taken back to ChatGPT.",
                    None,
                ),
                ("In a new chat, open the plus menu, choose the app, and ask for something.", None),
            ],
        },
    ],
};

const CLAUDE: Client = Client {
    id: "claude",
    label: "Claude",
    cloud: true,
    note: None,
    texts: &[
        GuideText {
            who: "An owner of your Claude organization",
            when: "Once, for Team and Enterprise. On other plans, skip to the next part.",
            steps: &[
                (
                    "In Claude, open Organization settings, then Connectors, and choose Add custom connector.",
                    None,
                ),
                (
                    "Paste the endpoint and choose Add. Members then connect with their own login.",
                    Some("{url}"),
                ),
            ],
        },
        GuideText {
            who: "You, on claude.ai or in Claude Desktop",
            when: "Once.",
            steps: &[
                (
                    "Open Settings, then Connectors. If it is not listed yet, choose Add custom connector.",
                    None,
                ),
                ("Paste the endpoint and choose Add. Leave the advanced settings empty.", Some("{url}")),
                (
                    "Choose Connect. This console opens: log in, read what Claude may do, and choose Allow.",
                    None,
                ),
                ("In a chat, switch it on in the tools menu and ask for something.", None),
            ],
        },
        GuideText {
            who: "You, in Claude Code",
            when: "Once per machine.",
            steps: &[
                ("Add the server.", Some("claude mcp add --transport http {slug} {url}")),
                ("Start Claude Code, type /mcp, choose the server and log in.", None),
            ],
        },
    ],
};

const CURSOR: Client = Client {
    id: "cursor",
    label: "Cursor",
    cloud: false,
    note: None,
    texts: &[GuideText {
        who: "You",
        when: "Once per machine.",
        steps: &[
            (
                "Open the file .cursor/mcp.json in your home folder or in the project, and add this.",
                Some("{\n  \"mcpServers\": {\n    \"{slug}\": { \"url\": \"{url}\" }\n  }\n}"),
            ),
            ("In Cursor, open Settings, then MCP. The server asks for a login: choose it.", None),
            ("This console opens: log in, read what Cursor may do, and choose Allow.", None),
        ],
    }],
};

const VSCODE: Client = Client {
    id: "vscode",
    label: "VS Code",
    cloud: false,
    note: None,
    texts: &[GuideText {
        who: "You",
        when: "Once per machine, or once per project.",
        steps: &[
            (
                "Open the file .vscode/mcp.json in the project, or run MCP: Open User Configuration, and add this.",
                Some(
                    "{\n  \"servers\": {\n    \"{slug}\": { \"type\": \"http\", \"url\": \"{url}\" }\n  }\n}",
                ),
            ),
            ("Choose Start above the entry, and Allow when VS Code asks to log in.", None),
            ("This console opens: log in, read what VS Code may do, and choose Allow.", None),
            ("In the chat view, choose Agent mode. The tools are in its tools menu.", None),
        ],
    }],
};

const CODEX: Client = Client {
    id: "codex",
    label: "Codex",
    cloud: false,
    note: None,
    texts: &[GuideText {
        who: "You",
        when: "Once per machine.",
        steps: &[
            ("Add the server.", Some("codex mcp add {slug} --url {url}")),
            (
                "Log in. This console opens in the browser: read what Codex may do, and choose Allow.",
                Some("codex mcp login {slug}"),
            ),
        ],
    }],
};

const OTHER: Client = Client {
    id: "other",
    label: "Other",
    cloud: false,
    note: None,
    texts: &[
        GuideText {
            who: "A client that speaks MCP over HTTP",
            when: "It finds out the rest by itself: it registers, opens this console for the login, and comes back.",
            steps: &[("Give it the endpoint. The transport is Streamable HTTP.", Some("{url}"))],
        },
        GuideText {
            who: "A client that only starts programs",
            when: "The program mcp-remote stands in between.",
            steps: &[(
                "Use this entry.",
                Some(
                    "{\n  \"mcpServers\": {\n    \"{slug}\": { \"command\": \"npx\", \"args\": [\"-y\", \"mcp-remote\", \"{url}\"] }\n  }\n}",
                ),
            )],
        },
        GuideText {
            who: "A script, without a browser",
            when: "It uses a key of yours, with your rights.",
            steps: &[
                ("Make a key under Keys.", None),
                (
                    "Send it as a bearer token.",
                    Some(
                        "curl {url} \\\n  -H 'Authorization: Bearer YOUR_KEY' \\\n  -H 'Content-Type: application/json' \\\n  -H 'Accept: application/json, text/event-stream' \\\n  -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}'",
                    ),
                ),
            ],
        },
    ],
};
