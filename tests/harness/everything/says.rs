//! What a tool or prompt does next, told from what it has been given so far: it says its result, or it asks the client first.
//! Nothing here knows how the client is asked, in which era.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::shared::Shared;

/// What a call holds.
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a Map<String, Value>,
    /// What the client has answered, by the keys it was asked under.
    pub(super) answers: &'a BTreeMap<String, Value>,
    /// What this server gave the client to keep.
    pub(super) state: Option<&'a Value>,
    /// The client's capabilities.
    pub(super) can: &'a Value,
}

/// What comes of it.
pub(super) enum Next {
    /// A result.
    Says(Value),
    Asks {
        requests: BTreeMap<String, Value>,
        state: Option<Value>,
    },
}

/// All tools.
pub(super) const TOOLS: [&str; 27] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_resource_links",
    "test_multiple_content_types",
    "test_error_handling",
    "test_tool_with_logging",
    "test_logging_tool",
    "test_tool_with_progress",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "test_missing_capability",
    "test_streaming_elicitation",
    "test_sampling",
    "test_elicitation",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_custom_header",
    "json_schema_2020_12_tool",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_tampered_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
];
/// The one that asks for what the client can do.
pub(super) const BY_CAPABILITIES: &str = "test_input_required_result_capabilities";

pub(super) fn text(said: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": said }], "isError": false })
}

fn says(said: &str) -> Next {
    Next::Says(text(said))
}

fn content(parts: Value) -> Next {
    Next::Says(json!({ "content": parts, "isError": false }))
}

fn resource(uri: &str, mime_type: &str, text: &str) -> Value {
    json!({ "type": "resource", "resource": { "uri": uri, "mimeType": mime_type, "text": text } })
}

fn elicit(message: &str, schema: &Value) -> Value {
    let params = json!({ "mode": "form", "message": message, "requestedSchema": schema });
    json!({ "method": "elicitation/create", "params": params })
}

/// A form with one required field.
fn form(message: &str, field: &str, kind: &str) -> Value {
    elicit(
        message,
        &json!({ "type": "object", "properties": { field: { "type": kind } }, "required": [field] }),
    )
}

fn sample(asked: &str) -> Value {
    let messages = json!([{ "role": "user", "content": { "type": "text", "text": asked } }]);
    json!({ "method": "sampling/createMessage", "params": { "messages": messages, "maxTokens": 100 } })
}

fn roots() -> Value {
    json!({ "method": "roots/list" })
}

fn asks<const N: usize>(requests: [(&str, Value); N], state: Option<Value>) -> Next {
    Next::Asks { requests: requests.map(|(key, request)| (key.to_owned(), request)).into(), state }
}

impl Call<'_> {
    fn argument(&self, name: &str) -> &str {
        self.arguments.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Something in an answer.
    fn answer(&self, key: &str, pointer: &str) -> Option<&Value> {
        self.answers.get(key)?.pointer(pointer)
    }

    fn word(&self, key: &str, pointer: &str) -> Option<&str> {
        self.answer(key, pointer)?.as_str()
    }

    /// Asks for one thing until there is an answer, and says what it was.
    fn one(&self, key: &str, request: Value, pointer: &str, before: &str) -> Next {
        match self.answers.get(key).filter(|answer| answer.is_object()) {
            None => asks([(key, request)], None),
            Some(answer) => {
                let part = answer.pointer(pointer).unwrap_or(answer);
                says(&format!("{before}{}", part.as_str().map_or_else(|| part.to_string(), str::to_owned)))
            }
        }
    }
}

/// What a tool does; `None` for one that there is not.
pub(super) fn tool(shared: &Shared, call: &Call<'_>) -> Option<Next> {
    let image = json!({ "type": "image", "data": shared.pixel, "mimeType": "image/png" });
    let next = match call.name {
        "test_simple_text" => says("This is a simple text response for testing."),
        "test_image_content" => content(json!([image])),
        "test_audio_content" => {
            content(json!([{ "type": "audio", "data": shared.silence, "mimeType": "audio/wav" }]))
        }
        "test_embedded_resource" => content(json!([resource(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content."
        )])),
        // Not of the suite: one that is in the list, and one that a template makes.
        "test_resource_links" => content(json!([
            { "type": "resource_link", "uri": "test://static-text", "name": "static-text" },
            { "type": "resource_link", "uri": "test://template/7/data", "name": "seventh" },
        ])),
        "test_multiple_content_types" => content(json!([
            { "type": "text", "text": "Multiple content types test:" },
            image,
            resource("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
        ])),
        "test_error_handling" => {
            let said = "This tool intentionally returns an error for testing";
            Next::Says(json!({ "content": [{ "type": "text", "text": said }], "isError": true }))
        }
        "test_tool_with_logging" => says("Logged three times."),
        "test_logging_tool" => says("Logged where it was wanted."),
        "test_tool_with_progress" => says("Went all the way."),
        "test_trigger_tool_change" | "test_trigger_prompt_change" => says("Told."),
        "test_custom_header" => says(&format!("region={}", call.argument("region"))),
        "json_schema_2020_12_tool" => says(&Value::Object(call.arguments.clone()).to_string()),
        _ => return asking(shared, call),
    };
    Some(next)
}

/// The tools that need the client.
fn asking(shared: &Shared, call: &Call<'_>) -> Option<Next> {
    let filled_in =
        |message: &str, name: &str| elicit(message, shared.forms.get(name).unwrap_or(&Value::Null));
    let next = match call.name {
        "test_missing_capability" => {
            call.one("llm_answer", sample("Reply with the single word: pong"), "/content/text", "Sampled: ")
        }
        "test_streaming_elicitation" => {
            call.one("value", form("Provide a value", "value", "string"), "", "Given: ")
        }
        "test_sampling" => {
            call.one("answer", sample(call.argument("prompt")), "/content/text", "LLM response: ")
        }
        "test_elicitation" => {
            call.one("person", filled_in(call.argument("message"), "person"), "", "User response: ")
        }
        "test_elicitation_sep1034_defaults" => call.one(
            "reviewed",
            filled_in("Please review the form", "defaults"),
            "",
            "Elicitation completed: ",
        ),
        "test_elicitation_sep1330_enums" => {
            call.one("chosen", filled_in("Please choose", "choices"), "", "Elicitation completed: ")
        }
        "test_input_required_result_sampling" => {
            let question = sample("What is the capital of France?");
            call.one("capital_question", question, "/content/text", "Sampling response: ")
        }
        "test_input_required_result_list_roots" => {
            call.one("client_roots", roots(), "/roots/0/uri", "Client roots: ")
        }
        "test_input_required_result_elicitation" => match call.word("user_name", "/content/name") {
            Some(name) => says(&format!("Hello, {name}!")),
            None => asks([("user_name", form("What is your name?", "name", "string"))], None),
        },
        BY_CAPABILITIES => by_capabilities(call),
        _ => return with_state(call),
    };
    Some(next)
}

fn by_capabilities(call: &Call<'_>) -> Next {
    if !call.answers.is_empty() {
        return says("Asked for what the client can do.");
    }
    let kinds = [
        ("elicitation", "user_name", form("What is your name?", "name", "string")),
        ("sampling", "greeting", sample("Generate a greeting")),
        ("roots", "client_roots", roots()),
    ];
    let can = kinds.into_iter().filter(|(capability, ..)| call.can.get(capability).is_some());
    let requests: BTreeMap<_, _> = can.map(|(_, key, request)| (key.to_owned(), request)).collect();
    if requests.is_empty() {
        return says("The client can do nothing of it.");
    }
    Next::Asks { requests, state: None }
}

/// The tools that give the client something to keep.
fn with_state(call: &Call<'_>) -> Option<Next> {
    let confirm = || form("Please confirm", "ok", "boolean");
    let name = || form("What is your name?", "name", "string");
    let next = match call.name {
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
            match (call.state, call.answer("confirm", "/content")) {
                (Some(_), Some(_)) => says("state-ok: confirmed"),
                _ => asks([("confirm", confirm())], Some(json!({ "stage": "confirm" }))),
            }
        }
        "test_input_required_result_multiple_inputs" => {
            let given = (
                call.word("user_name", "/content/name"),
                call.word("greeting", "/content/text"),
                call.answer("client_roots", "/roots"),
            );
            match given {
                (Some(name), Some(greeting), Some(roots)) => {
                    says(&format!("{greeting} {name}, with {roots}"))
                }
                _ => asks(
                    [
                        ("user_name", name()),
                        ("greeting", sample("Generate a greeting")),
                        ("client_roots", roots()),
                    ],
                    Some(json!({ "stage": "gather" })),
                ),
            }
        }
        "test_input_required_result_multi_round" => {
            match call.state.and_then(|state| state.get("round")).and_then(Value::as_u64) {
                None => {
                    let first = form("Step 1: What is your name?", "name", "string");
                    asks([("step1", first)], Some(json!({ "round": 1 })))
                }
                Some(1) => {
                    let second = form("Step 2: What is your favorite color?", "color", "string");
                    let name = call.answer("step1", "/content/name");
                    asks([("step2", second)], Some(json!({ "round": 2, "name": name })))
                }
                Some(_) => {
                    let name = call.state.and_then(|state| state.get("name")?.as_str()).unwrap_or_default();
                    let color = call.word("step2", "/content/color").unwrap_or_default();
                    says(&format!("{name} likes {color}"))
                }
            }
        }
        _ => return None,
    };
    Some(next)
}

/// What a prompt does; `None` for one that there is not.
pub(super) fn prompt(shared: &Shared, call: &Call<'_>) -> Option<Next> {
    let words = |said: &str| json!({ "type": "text", "text": said });
    let messages = |contents: Vec<Value>| {
        let messages: Vec<_> =
            contents.into_iter().map(|content| json!({ "role": "user", "content": content })).collect();
        Next::Says(json!({ "messages": messages }))
    };
    let next = match call.name {
        "test_simple_prompt" => messages(vec![words("This is a simple prompt for testing.")]),
        "test_prompt_with_arguments" => {
            let (first, second) = (call.argument("arg1"), call.argument("arg2"));
            messages(vec![words(&format!("Prompt with arguments: arg1='{first}', arg2='{second}'"))])
        }
        "test_prompt_with_embedded_resource" => messages(vec![
            resource(call.argument("resourceUri"), "text/plain", "Embedded resource content for testing."),
            words("Please process the embedded resource above."),
        ]),
        "test_prompt_with_image" => messages(vec![
            json!({ "type": "image", "data": shared.pixel, "mimeType": "image/png" }),
            words("Please analyze the image above."),
        ]),
        "test_input_required_result_prompt" => match call.word("user_context", "/content/context") {
            Some(context) => messages(vec![words(&format!("In the context of {context}"))]),
            None => {
                let asked = form("What context should the prompt use?", "context", "string");
                asks([("user_context", asked)], None)
            }
        },
        _ => return None,
    };
    Some(next)
}
