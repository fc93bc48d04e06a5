//! Documents that mean harm, and damaged ones: they cost little, and nothing panics.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::tests::{compiled, document, everything};
use super::{Document, MAX_SOURCE};
use crate::connectors::dadl;

/// Time that no document may take, on a slow machine without optimisation.
const PATIENCE: Duration = Duration::from_secs(30);

fn with_schemas(schemas: Json) -> Json {
    json!({
        "openapi": "3.0.0", "info": {"title": "H", "version": "1"}, "servers": [{"url": "https://h.example.com"}],
        "paths": {"/a": {"post": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}}}}}},
        "components": {"schemas": schemas},
    })
}

#[test]
fn references_that_multiply_are_cut() {
    let started = Instant::now();
    let level = |n: usize| {
        let next = json!({"$ref": format!("#/components/schemas/S{}", n + 1)});
        let properties: serde_json::Map<String, Json> =
            (0..10).map(|i| (format!("p{i}"), next.clone())).collect();
        (format!("S{n}"), json!({"type": "object", "properties": properties}))
    };
    let schemas: serde_json::Map<String, Json> = (0..30).map(level).collect();
    let mut json = with_schemas(Json::Object(schemas));
    json["components"]["schemas"]["S30"] = json!({"type": "string"});
    let compiled = compiled(&document(&json));
    let schema = &compiled.connector.tools[0].input_schema_json;
    assert!(schema.len() < 200_000, "{}", schema.len());
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn a_body_of_no_media_type_is_left_out_and_not_written() {
    let mut json = with_schemas(json!({"S0": {"type": "object"}}));
    let content = json["paths"]["/a"]["post"]["requestBody"]["content"].take();
    let bodies = json!({"apparametersjson": content["application/json"], "a/b/c": {}, "": {}});
    json["paths"]["/a"]["post"]["requestBody"]["content"] = bodies;
    json["paths"]["/b"] = json!({"get": {"operationId": "b"}});
    let tools = compiled(&document(&json)).connector.tools;
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["b"]);
}

#[test]
fn an_answer_of_no_media_type_is_not_written() {
    let written = |content: Json| {
        let mut json = with_schemas(json!({"S0": {"type": "object"}}));
        json["paths"]["/a"]["post"]["responses"] = json!({"200": {"description": "d", "content": content}});
        let document = document(&json);
        compiled(&document);
        document.generate("imported", &everything(&document.outline().unwrap())).unwrap().dadl
    };
    assert!(!written(json!({"applson": {}, "a/b/c": {}, "": {}})).contains("binary:"));
    assert!(written(json!({"applson": {}, "image/png": {}})).contains("image/png"));
}

#[test]
fn loops_of_references_end() {
    for schemas in [
        json!({"S0": {"$ref": "#/components/schemas/S0"}}),
        json!({"S0": {"$ref": "#/components/schemas/S1"}, "S1": {"$ref": "#/components/schemas/S0"}}),
        json!({"S0": {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/S0"}}}}),
        json!({"S0": {"allOf": [{"$ref": "#/components/schemas/S0"}], "properties": {"a": {}}}}),
        json!({"S0": {"oneOf": [{"$ref": "#/components/schemas/S0"}, {"type": "string"}]}}),
        json!({"S0": {"type": "array", "items": {"$ref": "#"}}}),
        json!({"S0": {"not": {"$ref": "#/components/schemas/S0"}}}),
    ] {
        compiled(&document(&with_schemas(schemas)));
    }
}

#[test]
fn yaml_bombs_are_cut_short() {
    let started = Instant::now();
    let mut bomb =
        String::from("openapi: 3.0.0\na0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let error = Document::read(&bomb, None).unwrap_err().0;
    assert!(error.contains("larger, more deeply nested"), "{error}");
    let nested = format!("a: {}", "[".repeat(400_000));
    assert!(Document::read(&nested, None).is_err());
    assert!(Document::read(&"{\"a\":".repeat(100_000), None).is_err());
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn a_document_that_is_too_large_is_not_read() {
    assert!(Document::read(&" ".repeat(MAX_SOURCE + 1), None).unwrap_err().0.contains("at most"));
}

#[test]
fn too_many_operations_are_refused() {
    let paths: serde_json::Map<String, Json> =
        (0..6_000).map(|n| (format!("/p{n}"), json!({"get": {}}))).collect();
    let json = json!({"openapi": "3.0.0", "info": {}, "paths": paths});
    assert!(document(&json).outline().unwrap_err().0.contains("6000 operations"));
}

#[test]
fn texts_cannot_break_out_of_the_written_document() {
    let evil = "x\"\n  auth: {type: none}\n# \u{2028}\u{85}\u{feff}: - {} [] & * ! | > ' % @ `";
    let mut json = with_schemas(
        json!({"S0": {"type": "object", "properties": {evil: {"type": "string", "description": evil, "enum": [evil]}}}}),
    );
    json["info"]["title"] = json!(evil);
    json["info"]["description"] = json!(evil);
    json["paths"]["/a"]["post"]["summary"] = json!(evil);
    json["paths"]["/a"]["post"]["tags"] = json!([evil]);
    json["paths"]["/a"]["post"]["operationId"] = json!(evil);
    json["components"]["securitySchemes"] =
        json!({"k": {"type": "apiKey", "in": "query", "name": evil, "description": evil}});
    json["security"] = json!([{"k": []}]);
    let compiled = compiled(&document(&json));
    assert_eq!(compiled.connector.tools.len(), 1);
    let Some(toolmesh_proto::v1::tool::Call::Rest(call)) = &compiled.connector.tools[0].call else {
        panic!()
    };
    assert_eq!(call.params.len(), 1);
}

#[test]
fn sloppy_schemas_are_mended() {
    let json = with_schemas(json!({"S0": {"type": "object", "required": true, "properties": {
        "a": {"type": "string", "required": true, "pattern": "(?<=x)[", "minLength": "3", "enum": []},
        "b": {"type": "float", "minimum": "0", "multipleOf": 0, "items": [1]},
        "c": {"type": ["string", 5], "format": 7, "additionalProperties": "yes"},
        "d": true, "e": "text", "f": null, "g": {"allOf": 5, "oneOf": []},
        "h": {"type": "array", "items": {"type": "object", "required": ["nothing"], "properties": {}}},
        "i": {"type": "string", "pattern": "^(?!a).*$", "format": "binary"},
    }}}));
    let compiled = compiled(&document(&json));
    assert_eq!(compiled.connector.tools.len(), 1);
}

/// The same numbers on every run (SplitMix64), so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 1).unwrap_or_default() % end.max(1)
    }
}

fn sample() -> Json {
    json!({
        "openapi": "3.0.2", "info": {"title": "S", "version": "1.0", "description": "d"},
        "servers": [{"url": "https://{r}.example.com/v1", "variables": {"r": {"default": "eu"}}}],
        "security": [{"a": []}],
        "paths": {
            "/pets/{id}": {
                "parameters": [{"name": "id", "in": "path", "required": true, "style": "matrix", "schema": {"type": "integer"}}],
                "get": {"operationId": "get", "tags": ["p"], "parameters": [
                    {"$ref": "#/components/parameters/L"},
                    {"name": "f", "in": "query", "style": "deepObject", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}],
                    "responses": {"200": {"content": {"image/png": {}}}}},
                "put": {"requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/P"}}}}},
                "post": {"requestBody": {"content": {"multipart/form-data": {"schema": {"type": "object", "properties": {
                    "file": {"type": "string", "format": "binary"}, "n": {"type": "array", "items": {"type": "string"}}}},
                    "encoding": {"n": {"style": "form", "explode": false}}}}}},
            },
        },
        "components": {
            "parameters": {"L": {"name": "limit", "in": "query", "schema": {"type": "integer", "default": 5, "minimum": 1, "exclusiveMinimum": true}}},
            "schemas": {"P": {"allOf": [{"$ref": "#/components/schemas/Q"}, {"properties": {"x": {"oneOf": [{"type": "string"}, {"$ref": "#/components/schemas/P"}]}}}]},
                        "Q": {"type": "object", "required": ["n"], "properties": {"n": {"type": "string", "nullable": true, "pattern": "^a+$"}}}},
            "securitySchemes": {"a": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://e.example.com", "scopes": {"r": "read"}}}}},
        },
    })
}

/// All places of a tree, as pointers.
fn pointers(value: &Json, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Json::Object(members) => {
            for (key, value) in members {
                pointers(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), all);
            }
        }
        Json::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| pointers(item, &format!("{at}/{index}"), all));
        }
        _ => {}
    }
}

#[test]
fn mutated_documents_are_refused_or_become_dadl_that_compiles() {
    let original = sample();
    let mut places = Vec::new();
    pointers(&original, "", &mut places);
    let mut numbers = Numbers(11);
    let strange = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("\u{0}\u{202e}x"),
        json!([]),
        json!({}),
        json!([[["a"]]]),
        json!({"$ref": "#"}),
        json!({"$ref": "#/paths"}),
        json!({"$ref": "x.yaml"}),
        json!("{a}{b"),
        json!("../x"),
        json!("array"),
        json!("object"),
        json!("body"),
        json!("query"),
        json!("cookie"),
        json!("9".repeat(400)),
    ];
    let mut compiled = 0;
    for _ in 0..1_500 {
        let mut damaged = original.clone();
        for _ in 0..=numbers.below(3) {
            let place = &places[numbers.below(places.len())];
            let other = &places[numbers.below(places.len())];
            let value = match numbers.below(3) {
                0 => original.pointer(other).cloned().unwrap_or_default(),
                _ => strange[numbers.below(strange.len())].clone(),
            };
            if let Some(slot) = damaged.pointer_mut(place) {
                *slot = value;
            }
        }
        let Ok(document) = Document::read(&damaged.to_string(), None) else { continue };
        let Ok(outline) = document.outline() else { continue };
        let Ok(generated) = document.generate("x", &everything(&outline)) else { continue };
        match dadl::compile(&generated.dadl, "x.dadl") {
            Ok(_) => compiled += 1,
            // What was written must be readable; that it is refused for a sound reason is all right.
            Err(errors) => {
                assert!(
                    errors.errors.iter().all(|error| !error.path.is_empty()),
                    "{errors}\n{}",
                    generated.dadl
                );
            }
        }
    }
    assert!(compiled > 800, "{compiled}");
}

#[test]
fn damaged_texts_never_panic() {
    let chars: Vec<char> = sample().to_string().chars().collect();
    let mut numbers = Numbers(3);
    for _ in 0..500 {
        let mut damaged = chars.clone();
        let at = numbers.below(damaged.len());
        match numbers.below(3) {
            0 => damaged.truncate(at),
            1 => drop(damaged.drain(at..(at + numbers.below(30)).min(chars.len()))),
            _ => drop(damaged.splice(at..at, "\"}{],:&*\u{0}".chars().skip(numbers.below(8)))),
        }
        let source: String = damaged.into_iter().collect();
        if let Ok(document) = Document::read(&source, None) {
            let _ = document.outline().map(|outline| document.generate("x", &everything(&outline)));
        }
    }
}
