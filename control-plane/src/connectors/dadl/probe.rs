//! The call that tests a connection: harmless, cheap, and possible without knowing anything about the account.

use serde_json::json;
use toolmesh_proto::v1;

use super::tool::Ready;

/// Parameters that usually limit a list.
const LIMITS: &[&str] = &["limit", "per_page", "page_size", "pageSize", "maxResults", "max_results"];

/// Names that say "who am I" or "are you there", best first.
const WELL_KNOWN: &[&str] = &[
    "get_authenticated_user",
    "get_current_user",
    "current_user",
    "whoami",
    "me",
    "get_me",
    "get_self",
    "auth_test",
    "get_viewer",
    "verify_token",
    "get_account",
    "ping",
    "health",
    "status",
    "get_status",
    "get_health",
    "version",
    "get_version",
    "get_server_info",
];

/// The tool to test a connection with, and its arguments; empty where there is none.
pub(super) fn choose(tools: &[Ready]) -> (String, String) {
    let best =
        tools.iter().filter_map(|ready| Some((rank(&ready.tool)?, ready))).min_by_key(|(rank, _)| *rank);
    let call = |(_, ready): (usize, &Ready)| {
        (ready.tool.name.clone(), one_item(&ready.tool, ready.limit.as_deref()))
    };
    best.map(call).unwrap_or_default()
}

/// Whether a tool changes nothing and needs no arguments.
pub(super) fn is_harmless(tool: &v1::Tool) -> bool {
    rank(tool).is_some()
}

/// The lower the better; `None` for a tool that may change something or needs arguments. The first of equals wins.
fn rank(tool: &v1::Tool) -> Option<usize> {
    let Some(v1::tool::Call::Rest(call)) = &tool.call else { return None };
    if tool.hidden || tool.access != "read" || call.params.iter().any(|param| param.required) {
        return None;
    }
    let reads = usize::from(!matches!(call.method.as_str(), "GET" | "HEAD"));
    let name = tool.name.as_str();
    let known = WELL_KNOWN.iter().position(|known| *known == name);
    let known = known.unwrap_or_else(|| {
        if name.contains("current_user") || name.contains("whoami") || name.contains("server_status") {
            WELL_KNOWN.len()
        } else if name.starts_with("list_") {
            WELL_KNOWN.len() + 1
        } else {
            WELL_KNOWN.len() + 2
        }
    });
    // A call that shows no credential proves nothing of it.
    let shown = usize::from(call.credential() == v1::CredentialUse::None) * 2 * (WELL_KNOWN.len() + 3);
    Some(known * 2 + reads + shown)
}

/// Arguments that ask a list for one item only.
fn one_item(tool: &v1::Tool, limit: Option<&str>) -> String {
    let Some(v1::tool::Call::Rest(call)) = &tool.call else { return String::new() };
    let limits = |param: &&v1::Param| {
        let number = param.r#type() == v1::ParamType::Integer;
        number && limit.map_or_else(|| LIMITS.contains(&param.name.as_str()), |limit| limit == param.name)
    };
    call.params.iter().find(limits).map(|param| json!({ &param.name: 1 }).to_string()).unwrap_or_default()
}
