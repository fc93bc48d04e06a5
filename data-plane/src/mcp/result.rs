//! The result of `tools/call`: content blocks, structured content, and what is said beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::modern;
use super::revision::Revision;
use crate::catalog::Tenant;
use crate::execute::Aside;
use crate::execute::rest::response::{Content, File};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallResult<'a> {
    /// Of the modern era alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
    content: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_content: Option<&'a RawValue>,
    is_error: bool,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<Meta<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Block<'a> {
    Text {
        text: &'a str,
    },
    Image {
        data: String,
        #[serde(rename = "mimeType")]
        media_type: &'a str,
    },
    Audio {
        data: String,
        #[serde(rename = "mimeType")]
        media_type: &'a str,
    },
    Resource {
        resource: Blob<'a>,
    },
}

#[derive(Serialize)]
struct Blob<'a> {
    uri: String,
    #[serde(rename = "mimeType")]
    media_type: &'a str,
    blob: String,
}

/// Facts for programs, which clients do not show to models.
#[derive(Serialize)]
struct Meta<'a> {
    #[serde(rename = "toolmesh/metadata", skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    /// That somebody has to connect an account anew.
    #[serde(rename = "mcp/www_authenticate", skip_serializing_if = "Option::is_none")]
    challenge: Option<[String; 1]>,
    /// Who answers, for the modern era.
    #[serde(flatten)]
    server: Option<Map<String, Value>>,
}

impl<'a> Meta<'a> {
    fn of(metadata: Option<&'a RawValue>, revision: Revision, tenant: &Tenant) -> Option<Self> {
        let server = (revision == Revision::MODERN).then(|| modern::meta(tenant));
        (metadata.is_some() || server.is_some()).then_some(Self { metadata, challenge: None, server })
    }
}

fn result_type(revision: Revision) -> Option<&'static str> {
    (revision == Revision::MODERN).then_some("complete")
}

impl<'a> CallResult<'a> {
    pub(super) fn good(content: &'a Content, aside: &'a Aside, revision: Revision, tenant: &Tenant) -> Self {
        let mut blocks = vec![match content {
            Content::Json(_) | Content::Text(_) => Block::Text { text: content.text() },
            Content::File(file) => block(file, revision),
        }];
        if matches!((content, blocks.first()), (Content::File(_), Some(Block::Resource { .. }))) {
            // Models see what they were given, even where their client keeps the bytes from them.
            blocks.insert(0, Block::Text { text: content.text() });
        }
        blocks.extend(aside.notes.iter().map(|text| Block::Text { text }));
        Self {
            result_type: result_type(revision),
            content: blocks,
            structured_content: content.object(),
            is_error: false,
            meta: Meta::of(aside.metadata.as_deref(), revision, tenant),
        }
    }

    pub(super) fn bad(text: &'a str, revision: Revision, tenant: &Tenant) -> Self {
        Self {
            result_type: result_type(revision),
            content: vec![Block::Text { text }],
            structured_content: None,
            is_error: true,
            meta: Meta::of(None, revision, tenant),
        }
    }

    /// With a challenge beside it.
    pub(super) fn with_challenge(mut self, challenge: Option<String>) -> Self {
        if let Some(challenge) = challenge {
            let meta = self.meta.get_or_insert(Meta { metadata: None, challenge: None, server: None });
            meta.challenge = Some([challenge]);
        }
        self
    }
}

/// Pictures and sounds as what they are, if the client's revision knows them; other files as resources.
fn block(file: &File, revision: Revision) -> Block<'_> {
    let (media_type, data) = (file.media_type.as_str(), STANDARD.encode(&file.bytes));
    let shown = ["image/png", "image/jpeg", "image/gif", "image/webp"];
    if shown.contains(&media_type) {
        return Block::Image { data, media_type };
    }
    if media_type.starts_with("audio/") && revision >= Revision::V2025_03_26 {
        return Block::Audio { data, media_type };
    }
    let name = url::form_urlencoded::byte_serialize(file.name.as_bytes()).collect::<String>();
    let uri = format!("file:///{}", name.replace('+', "%20"));
    Block::Resource { resource: Blob { uri, media_type, blob: data } }
}
