//! What another server answered, in the revision that the client speaks. Only what the revision does not know is rewritten.

use serde_json::Value;
use serde_json::value::RawValue;

use super::modern;
use super::revision::Revision;
use crate::call::RpcError;
use crate::catalog::Tenant;
use crate::members::Members;

/// What a result answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tool,
    Prompt,
    Resource,
    Completion,
}

/// A result.
pub(super) fn result(raw: Box<RawValue>, kind: Kind, revision: Revision, tenant: &Tenant) -> Box<RawValue> {
    let Some(mut members) = Members::read(raw.get()) else { return raw };
    if revision == Revision::MODERN {
        members.set_value("resultType", &"complete");
        let mut meta: Members = members.read_as("_meta").unwrap_or_default();
        for (name, value) in modern::meta(tenant) {
            meta.set_value(&name, &value);
        }
        members.set_value("_meta", &meta);
        if kind == Kind::Resource {
            let ttl: Option<u64> = members.read_as("ttlMs");
            members.set_value("ttlMs", &ttl.unwrap_or(0));
            // What one person reads is no other's.
            members.set_value("cacheScope", &"private");
        }
        return members.write();
    }
    for name in ["resultType", "ttlMs", "cacheScope"] {
        members.remove(name);
    }
    if let Some(mut meta) = members.read_as::<Members>("_meta")
        && meta.has(modern::SERVER)
    {
        meta.remove(modern::SERVER);
        if meta.is_empty() { members.remove("_meta") } else { members.set_value("_meta", &meta) }
    }
    match kind {
        Kind::Tool => {
            let object = members.get("structuredContent").is_some_and(|value| value.get().starts_with('{'));
            if !object {
                members.remove("structuredContent");
            }
            if let Some(blocks) = members.read_as::<Vec<Box<RawValue>>>("content")
                && let Some(blocks) = older_blocks(&blocks, revision)
            {
                members.set_value("content", &blocks);
            }
        }
        Kind::Prompt => older_messages(&mut members, revision),
        Kind::Resource | Kind::Completion => {}
    }
    members.write()
}

fn older_messages(members: &mut Members, revision: Revision) {
    let Some(mut messages) = members.read_as::<Vec<Members>>("messages") else { return };
    let mut changed = false;
    for message in &mut messages {
        let Some(content) = message.get("content") else { continue };
        if let Some(older) = older_block(content, revision) {
            message.set("content", older);
            changed = true;
        }
    }
    if changed {
        members.set_value("messages", &messages);
    }
}

/// The blocks, where a revision does not know one of them.
fn older_blocks(blocks: &[Box<RawValue>], revision: Revision) -> Option<Vec<Box<RawValue>>> {
    if revision >= Revision::V2025_06_18 {
        return None;
    }
    let older: Vec<_> = blocks.iter().map(|block| older_block(block, revision)).collect();
    if older.iter().all(Option::is_none) {
        return None;
    }
    Some(older.into_iter().zip(blocks).map(|(older, block)| older.unwrap_or_else(|| block.clone())).collect())
}

/// A block of a kind that a revision does not know, as text.
fn older_block(block: &RawValue, revision: Revision) -> Option<Box<RawValue>> {
    let members = Members::read(block.get())?;
    let text = |name: &str| members.read_as::<String>(name).unwrap_or_default();
    let told = match text("type").as_str() {
        "resource_link" if revision < Revision::V2025_06_18 => {
            let name = [text("title"), text("name")].into_iter().find(|name| !name.is_empty());
            let about = text("description");
            let about = if about.is_empty() { about } else { format!(" ({about})") };
            format!("{}: {}{about}", name.unwrap_or_else(|| "Resource".to_owned()), text("uri"))
        }
        "audio" if revision < Revision::V2025_03_26 => {
            format!("[A sound, {}, which this client cannot be given.]", text("mimeType"))
        }
        _ => return None,
    };
    let mut block = Members::default();
    block.set_value("type", &"text");
    block.set_value("text", &told);
    Some(block.write())
}

/// An error of another server with the code that the client's revision has for it.
pub(super) fn error(mut error: RpcError, kind: Kind, revision: Revision) -> RpcError {
    let modern = revision == Revision::MODERN;
    error.code = match error.code {
        -32002 if modern => -32602,
        -32602 if !modern && kind == Kind::Resource => -32002,
        // Of a page that the user has to open first; the newest revision asks for it by another way.
        -32042 if modern || revision < Revision::V2025_11_25 => {
            error.message = format!("{}{}", error.message, links(error.data.take()));
            -32603
        }
        // What lies between us and the server is none of the client's.
        -32020 | -32022 => -32603,
        -32021 if !modern => -32600,
        code => code,
    };
    error
}

/// The pages that an error of the older revisions asks the user to open.
fn links(data: Option<Box<RawValue>>) -> String {
    let all: Value = data.and_then(|data| serde_json::from_str(data.get()).ok()).unwrap_or_default();
    let all = all.get("elicitations").and_then(Value::as_array).cloned().unwrap_or_default();
    let urls: Vec<&str> = all.iter().filter_map(|one| one.get("url")?.as_str()).take(5).collect();
    if urls.is_empty() {
        String::new()
    } else {
        format!(" Open {} first, then try again.", urls.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn passed(text: &str, kind: Kind, revision: Revision) -> String {
        result(raw(text), kind, revision, &samples::tenant()).get().to_owned()
    }

    #[test]
    fn what_a_revision_knows_passes_byte_by_byte() {
        let sent = r#"{"content":[{"type":"text","text":"a\u0041","x":1.0}],"vendor":{"b" : [1 ]},"structuredContent":{"n":1.50},"_meta":{"k":1}}"#;
        assert_eq!(passed(sent, Kind::Tool, Revision::V2025_11_25), sent);
        let modern = passed(sent, Kind::Tool, Revision::MODERN);
        assert!(modern.starts_with(sent.strip_suffix(r#""_meta":{"k":1}}"#).unwrap()), "{modern}");
        assert!(
            modern.contains(r#""resultType":"complete""#) && modern.contains(r#""_meta":{"k":1,"#),
            "{modern}"
        );
    }

    #[test]
    fn what_belongs_to_the_newest_era_is_not_told_to_older_clients() {
        let sent = r#"{"resultType":"complete","ttlMs":5,"cacheScope":"public","contents":[],"_meta":{"io.modelcontextprotocol/serverInfo":{}}}"#;
        assert_eq!(passed(sent, Kind::Resource, Revision::V2025_11_25), r#"{"contents":[]}"#);
        let modern = passed(sent, Kind::Resource, Revision::MODERN);
        assert!(modern.contains(r#""ttlMs":5,"cacheScope":"private""#), "{modern}");
        let bare = passed(r#"{"contents":[]}"#, Kind::Resource, Revision::MODERN);
        assert!(bare.contains(r#""ttlMs":0"#), "{bare}");
        let list = r#"{"content":[],"structuredContent":[1]}"#;
        assert_eq!(passed(list, Kind::Tool, Revision::V2025_11_25), r#"{"content":[]}"#);
        assert!(passed(list, Kind::Tool, Revision::MODERN).contains(r#""structuredContent":[1]"#));
    }

    #[test]
    fn a_block_that_a_revision_does_not_know_becomes_text() {
        let sent = r#"{"content":[{"type":"resource_link","uri":"a://b","name":"b"},{"type":"audio","data":"","mimeType":"audio/wav"}]}"#;
        assert_eq!(passed(sent, Kind::Tool, Revision::V2025_06_18), sent);
        let old = passed(sent, Kind::Tool, Revision::V2025_03_26);
        assert!(old.contains(r#"{"type":"text","text":"b: a://b"},{"type":"audio""#), "{old}");
        let oldest = passed(sent, Kind::Tool, Revision::V2024_11_05);
        assert!(oldest.contains("A sound, audio/wav"), "{oldest}");
        let prompt =
            r#"{"messages":[{"role":"user","content":{"type":"audio","data":"","mimeType":"audio/wav"}}]}"#;
        assert!(passed(prompt, Kind::Prompt, Revision::V2024_11_05).contains("A sound"));
    }

    #[test]
    fn each_revision_gets_the_codes_that_it_knows() {
        let code = |code, kind, revision| {
            error(RpcError { code, message: String::new(), data: None }, kind, revision).code
        };
        let (old, new) = (Revision::V2025_11_25, Revision::MODERN);
        assert_eq!(code(-32002, Kind::Resource, new), -32602);
        assert_eq!(code(-32602, Kind::Resource, old), -32002);
        assert_eq!(code(-32602, Kind::Tool, old), -32602);
        assert_eq!((code(-32042, Kind::Tool, new), code(-32042, Kind::Tool, old)), (-32603, -32042));
        assert_eq!((code(-32021, Kind::Tool, new), code(-32021, Kind::Tool, old)), (-32021, -32600));
        assert_eq!(code(-7, Kind::Tool, new), -7);
    }
}
