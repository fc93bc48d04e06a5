//! What becomes of documents: read, written as DADL, and compiled as a node gets it.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use toolmesh_proto::v1::param::Place;
use toolmesh_proto::v1::tool::Call;
use toolmesh_proto::v1::{BodyEncoding, ParamStyle, ParamType, RestCall, Tool, auth::Kind};

use super::{Document, Outline};
use crate::connectors::dadl::{self, Compiled};

pub(super) fn document(json: &Json) -> Document {
    Document::read(&json.to_string(), None).unwrap_or_else(|error| panic!("{error}"))
}

/// Everything that can be a tool, with the guessed access classes.
pub(super) fn everything(outline: &Outline) -> HashMap<String, String> {
    let usable = outline.operations.iter().filter(|operation| operation.problem.is_none());
    usable.map(|operation| (operation.key.clone(), operation.access.clone())).collect()
}

pub(super) fn compiled(document: &Document) -> Compiled {
    let outline = document.outline().unwrap();
    let generated =
        document.generate("imported", &everything(&outline)).unwrap_or_else(|error| panic!("{error}"));
    dadl::compile(&generated.dadl, "imported.dadl")
        .unwrap_or_else(|errors| panic!("{errors}\n{}", generated.dadl))
}

fn api(paths: Json) -> Json {
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Pets", "version": "1.2"},
        "servers": [{"url": "https://pets.example.com/v1"}],
        "paths": paths,
    })
}

fn only(paths: Json) -> (Tool, RestCall, Json) {
    let compiled = compiled(&document(&api(paths)));
    let shown: Vec<String> = compiled.warnings.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{shown:?}");
    assert!(compiled.left_out.is_empty(), "{:?}", compiled.left_out);
    let tool = compiled.connector.tools[0].clone();
    let Some(Call::Rest(call)) = tool.call.clone() else { panic!("no call") };
    let schema = serde_json::from_str(&tool.input_schema_json).unwrap();
    (tool, call, schema)
}

#[test]
fn an_operation_becomes_a_tool_with_its_words_groups_and_arguments() {
    let (tool, call, schema) = only(json!({"/pets/{pet-id}": {
        "parameters": [{"name": "pet-id", "in": "path", "required": true, "schema": {"type": "integer", "minimum": 1}}],
        "patch": {
            "operationId": "PetsController_updatePet", "summary": "Update a pet", "tags": ["pets"], "deprecated": true,
            "parameters": [
                {"name": "filter[kind]", "in": "query", "description": "Which kind.", "schema": {"enum": ["cat", "dog"]}},
                {"name": "Accept", "in": "header", "schema": {"type": "string"}},
                {"name": "X-Version", "in": "header", "required": true, "schema": {"type": "string", "enum": ["2024-01-01"]}},
            ],
            "responses": {"200": {"description": "ok"}},
        },
    }, "x-nothing": 1}));
    assert_eq!(tool.name, "pets_update_pet");
    assert!(tool.description.starts_with("Deprecated. Update a pet"), "{}", tool.description);
    assert_eq!((tool.access.as_str(), tool.tags.as_slice()), ("write", &["pets".to_owned()][..]));
    assert_eq!((call.method.as_str(), call.path.as_str()), ("PATCH", "/pets/{pet-id}"));
    assert_eq!(schema["properties"]["pet-id"]["minimum"], 1);
    assert_eq!(schema["properties"]["filter_kind"]["enum"], json!(["cat", "dog"]));
    let names: Vec<(&str, Place)> = call.params.iter().map(|p| (p.wire_name.as_str(), p.place())).collect();
    assert!(names.contains(&("filter[kind]", Place::Query)), "{names:?}");
    assert_eq!(schema["required"], json!(["pet-id"]), "the one possible version is sent unasked");
    let version = call.params.iter().find(|p| p.name == "X-Version").unwrap();
    assert_eq!(version.default_json, "\"2024-01-01\"");
}

#[test]
fn the_address_and_the_title_are_the_documents() {
    let compiled = compiled(&document(&api(json!({"/a": {"get": {"responses": {}}}}))));
    assert_eq!(compiled.connector.base_url, "https://pets.example.com/v1");
    assert_eq!((compiled.connector.title.as_str(), compiled.connector.version.as_str()), ("Pets", "1.2"));
    assert_eq!(compiled.connector.tools[0].name, "get_a");
}

#[test]
fn an_objects_properties_are_arguments_and_those_of_all_its_parts() {
    let mut document = api(json!({"/pets/{name}": {"post": {
        "parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}],
        "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/New"}}}},
    }}}));
    document["components"] = json!({"schemas": {
        "New": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"required": ["age"], "properties": {"age": {"type": "integer"}}}]},
        "Base": {"type": "object", "required": ["name"], "properties": {
            "id": {"type": "integer", "readOnly": true},
            "name": {"type": "string", "nullable": true, "description": "Its name."},
            "parent": {"$ref": "#/components/schemas/Base"},
        }},
    }});
    let compiled = compiled(&self::document(&document));
    let tool = &compiled.connector.tools[0];
    let schema: Json = serde_json::from_str(&tool.input_schema_json).unwrap();
    let names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["name", "name_2", "parent", "age"], "the path has the name first");
    assert_eq!(schema["required"], json!(["name", "name_2", "age"]));
    assert_eq!(schema["properties"]["name_2"]["type"], json!(["string", "null"]));
    // The loop is cut where it closes.
    assert_eq!(schema["properties"]["parent"]["properties"]["parent"], json!({"type": "object"}));
    let Some(Call::Rest(call)) = &tool.call else { panic!("no call") };
    assert_eq!(call.params.iter().find(|p| p.name == "name_2").unwrap().wire_name, "name");
}

#[test]
fn what_a_body_must_have_and_does_not_describe_may_be_anything() {
    let schema = json!({"type": "object", "required": ["name", "team_id"], "properties": {"name": {"type": "string"}}});
    let body = json!({"required": true, "content": {"application/json": {"schema": schema}}});
    let (_, _, input) = only(json!({"/a": {"post": {"requestBody": body}}}));
    assert_eq!(input["required"], json!(["name", "team_id"]));
    assert_eq!(input["properties"]["team_id"], json!({}));
}

#[test]
fn a_body_that_is_no_plain_object_is_one_argument() {
    for schema in [
        json!({"type": "array", "items": {"type": "string"}}),
        json!({"oneOf": [{"type": "object", "required": ["a"]}, {"type": "string"}]}),
        json!({"type": "object", "additionalProperties": {"type": "string"}}),
    ] {
        let body = json!({"required": true, "content": {"application/json": {"schema": schema}}});
        let (_, call, input) = only(json!({"/a": {"post": {"requestBody": body}}}));
        assert_eq!(call.body(), BodyEncoding::WholeJson);
        assert_eq!(input["required"], json!(["body"]));
        for (keyword, value) in schema.as_object().unwrap() {
            assert_eq!(&input["properties"]["body"][keyword], value);
        }
    }
}

#[test]
fn all_styles_of_parameters_reach_the_call() {
    let list = json!({"type": "array", "items": {"type": "string"}});
    let object = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    for (place, extra, schema, wanted) in [
        ("query", json!({}), &list, ParamStyle::Unspecified),
        ("query", json!({"explode": false}), &list, ParamStyle::Form),
        ("query", json!({}), &object, ParamStyle::FormExplode),
        ("query", json!({"style": "deepObject", "explode": true}), &object, ParamStyle::DeepObject),
        ("query", json!({"style": "spaceDelimited", "explode": false}), &list, ParamStyle::SpaceDelimited),
        ("query", json!({"style": "pipeDelimited"}), &list, ParamStyle::PipeDelimited),
        ("path", json!({}), &list, ParamStyle::Simple),
        ("path", json!({"style": "label", "explode": true}), &list, ParamStyle::LabelExplode),
        ("path", json!({"style": "matrix"}), &json!({"type": "string"}), ParamStyle::Matrix),
        ("header", json!({"explode": true}), &object, ParamStyle::SimpleExplode),
    ] {
        let mut parameter = json!({"name": "X-Value", "in": place, "required": true, "schema": schema});
        parameter.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let path = if place == "path" { "/a/{X-Value}" } else { "/a" };
        let (_, call, _) = only(json!({path: {"get": {"parameters": [parameter]}}}));
        assert_eq!(call.params[0].style(), wanted, "{place} {extra}");
    }
    let json_content =
        json!({"name": "q", "in": "query", "content": {"application/json": {"schema": object}}});
    let (_, call, _) = only(json!({"/a": {"get": {"parameters": [json_content]}}}));
    assert_eq!(call.params[0].style(), ParamStyle::Json);
}

#[test]
fn forms_and_texts_keep_their_media_type() {
    let form = json!({"content": {"application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": {
        "to": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}, "meta": {"type": "object"}}}}}});
    let (_, call, _) = only(json!({"/a": {"post": {"requestBody": form}}}));
    assert_eq!(call.body(), BodyEncoding::Form);
    let styles: Vec<ParamStyle> = call.params.iter().map(|p| p.style()).collect();
    assert_eq!(styles, [ParamStyle::Unspecified, ParamStyle::FormExplode, ParamStyle::Unspecified]);
    let text = json!({"content": {"text/markdown": {"schema": {"type": "string"}}}});
    let (_, call, _) = only(json!({"/a": {"post": {"requestBody": text}}}));
    assert_eq!((call.body(), call.content_type.as_str()), (BodyEncoding::Text, "text/markdown"));
}

fn auth_of(schemes: Json, security: Json) -> Kind {
    let mut json = api(json!({"/a": {"get": {}}}));
    json["components"] = json!({ "securitySchemes": schemes });
    json["security"] = security;
    compiled(&document(&json)).connector.auth.unwrap().kind.unwrap()
}

#[test]
fn security_schemes_become_credentials() {
    let bearer = auth_of(json!({"b": {"type": "http", "scheme": "bearer"}}), json!([{"b": []}]));
    assert!(matches!(bearer, Kind::Bearer(b) if b.credential == "access_token"));
    let basic = auth_of(json!({"b": {"type": "http", "scheme": "basic"}}), json!([{"b": []}]));
    assert!(matches!(basic, Kind::Basic(_)));
    let header =
        auth_of(json!({"k": {"type": "apiKey", "in": "header", "name": "X-Key"}}), json!([{"k": []}]));
    assert!(matches!(header, Kind::ApiKey(key) if format!("{:?}", key.place).contains("X-Key")));
    let query = auth_of(json!({"k": {"type": "apiKey", "in": "query", "name": "key"}}), json!([{"k": []}]));
    assert!(matches!(query, Kind::ApiKey(key) if format!("{:?}", key.place).contains("Query")));
    let cookie = auth_of(json!({"k": {"type": "apiKey", "in": "cookie", "name": "sid"}}), json!([{"k": []}]));
    assert!(matches!(cookie, Kind::ApiKey(key) if format!("{:?}", key.place).contains("Cookie(\"sid\")")));
    let word = auth_of(json!({"b": {"type": "http", "scheme": "GenieKey"}}), json!([{"b": []}]));
    assert!(matches!(word, Kind::Bearer(b) if b.prefix == "GenieKey "));
    let none = auth_of(json!({"k": {"type": "apiKey", "in": "query", "name": "key"}}), json!([]));
    assert!(matches!(none, Kind::None(_)));
}

#[test]
fn swagger_documents_are_read_too() {
    let json = json!({
        "swagger": "2.0", "info": {"title": "Old pets", "version": "1.0.0"},
        "host": "old.example.com", "basePath": "/v2", "schemes": ["http", "https"], "consumes": ["application/json"],
        "securityDefinitions": {"key": {"type": "apiKey", "in": "header", "name": "api_key"}},
        "security": [{"key": []}],
        "paths": {
            "/pets": {"get": {"operationId": "findPets", "parameters": [
                {"name": "ids", "in": "query", "type": "array", "items": {"type": "integer"}, "collectionFormat": "pipes"},
                {"name": "limit", "in": "query", "type": "integer", "maximum": 100, "exclusiveMaximum": true}]}},
            "/pets/{id}/form": {"post": {"operationId": "updateForm", "consumes": ["application/x-www-form-urlencoded"],
                "parameters": [{"name": "id", "in": "path", "required": true, "type": "string"},
                               {"name": "name", "in": "formData", "type": "string", "required": true}]}},
            "/pet": {"post": {"operationId": "addPet", "parameters": [
                {"name": "body", "in": "body", "required": true, "schema": {"$ref": "#/definitions/Pet"}}]}},
        },
        "definitions": {"Pet": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
    });
    let compiled = compiled(&document(&json));
    assert_eq!(compiled.connector.base_url, "https://old.example.com/v2");
    let call = |name: &str| {
        let tool = compiled.connector.tools.iter().find(|tool| tool.name == name).unwrap();
        let Some(Call::Rest(call)) = tool.call.clone() else { panic!("no call") };
        (call, serde_json::from_str::<Json>(&tool.input_schema_json).unwrap())
    };
    let (find, schema) = call("find_pets");
    assert_eq!(find.params[0].style(), ParamStyle::PipeDelimited);
    assert_eq!(schema["properties"]["limit"]["exclusiveMaximum"], 100);
    assert_eq!(call("update_form").0.body(), BodyEncoding::Form);
    assert_eq!(call("add_pet").1["required"], json!(["name"]));
}

#[test]
fn what_cannot_be_called_says_why() {
    let json = api(json!({
        "/a": {"get": {"parameters": [{"$ref": "other.yaml#/a"}]}},
        "/b": {"get": {"parameters": [{"name": "s;d", "in": "cookie", "required": true}]}},
        "/c": {"get": {"servers": [{"url": "https://uploads.example.com"}]}},
        "/d/../e": {"get": {}},
        "/f": {"post": {"requestBody": {"content": {"application/json": {"schema": {"properties": {"a": {"$ref": "http://evil.example/x"}}}}}}}},
        "/g": {"post": {"requestBody": {"$ref": "#/components/nothing"}}},
        "/h": {"get": {}},
    }));
    let outline = document(&json).outline().unwrap();
    let problems: Vec<&str> = outline.operations.iter().map(|o| o.problem.as_deref().unwrap_or("")).collect();
    for (problem, word) in problems.iter().zip([
        "another file",
        "cookie",
        "another host",
        "dotted parts",
        "another file",
        "not in the document",
    ]) {
        assert!(problem.contains(word), "{word}: {problem}");
    }
    assert_eq!(problems[6], "");
    let error = document(&json)
        .generate("x", &HashMap::from([("GET /b".to_owned(), "read".to_owned())]))
        .unwrap_err();
    assert!(error.0.contains("cookie"), "{error}");
}

#[test]
fn what_is_picked_has_the_chosen_class_and_the_rest_is_not_there() {
    let json =
        api(json!({"/a": {"get": {"operationId": "a"}, "post": {"operationId": "a"}}, "/b": {"get": {}}}));
    let picked = HashMap::from([("POST /a".to_owned(), "dangerous".to_owned())]);
    let generated = document(&json).generate("pets", &picked).unwrap();
    let compiled = dadl::compile(&generated.dadl, "x.dadl").unwrap();
    assert_eq!(compiled.connector.tools.len(), 1);
    // The name is that of the outline, though the first of the two was not picked.
    assert_eq!(document(&json).outline().unwrap().operations[1].name, "a_2");
    assert_eq!(
        (compiled.connector.tools[0].name.as_str(), compiled.connector.tools[0].access.as_str()),
        ("a_2", "dangerous")
    );
}

#[test]
fn yaml_documents_with_bare_status_codes_are_read() {
    let yaml = "openapi: 3.0.3\ninfo: {title: Y, version: 1.0}\nservers: [{url: '/api'}]\npaths:\n  /on:\n    get:\n      \
                operationId: getOn\n      responses:\n        200: {description: ok}\n";
    let url = url::Url::parse("https://y.example.com/docs/openapi.yaml").unwrap();
    let document = Document::read(yaml, Some(url)).unwrap();
    let outline = document.outline().unwrap();
    assert_eq!(
        (outline.base_url.as_str(), outline.operations[0].name.as_str()),
        ("https://y.example.com/api", "get_on")
    );
}

#[test]
fn a_server_with_open_variables_asks_for_the_address() {
    let mut json = api(json!({"/a": {"get": {}}}));
    json["servers"] =
        json!([{"url": "https://{region}.example.com/{base}", "variables": {"base": {"default": "v1"}}}]);
    assert_eq!(document(&json).outline().unwrap().base_url, "");
    json["servers"][0]["variables"]["region"] = json!({"default": "eu"});
    assert_eq!(document(&json).outline().unwrap().base_url, "https://eu.example.com/v1");
}

#[test]
fn what_is_no_document_is_refused_with_the_way_out() {
    for (source, word) in [
        ("", "empty"),
        ("<!doctype html>", "web page"),
        ("{\"openapi\": \"3.1.0\"", "not JSON"),
        ("- a", "not a mapping"),
        ("{\"a\": 1}", "neither"),
        ("openapi: 4.0.0", "not read"),
        ("openapi: 3.0.0\ninfo: {}", "no `paths`"),
        ("a: [", "not YAML"),
    ] {
        let error = Document::read(source, None).unwrap_err().0;
        assert!(error.contains(word), "{source}: {error}");
    }
    let none = Document::read("openapi: 3.0.0\npaths: {}", None).unwrap();
    assert!(none.outline().unwrap_err().0.contains("no operation"));
}

#[test]
fn a_form_takes_several_files_and_has_a_part_for_each_item_of_a_list() {
    let form = json!({"type": "object", "required": ["files"], "properties": {
        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "tags": {"type": "array", "items": {"type": "string"}},
    }});
    let (_, call, schema) = only(json!({"/pets/photos": {"post": {
        "operationId": "addPhotos", "summary": "Add photos",
        "requestBody": {"content": {"multipart/form-data": {"schema": form}}},
        "responses": {"200": {"description": "ok"}},
    }}}));
    assert_eq!((call.body(), call.params[0].r#type()), (BodyEncoding::Multipart, ParamType::File));
    assert_eq!(schema["properties"]["files"]["type"], "array");
    assert_eq!(call.params[1].style(), ParamStyle::FormExplode);
}

#[test]
fn an_answer_that_only_comes_item_by_item_is_read_so() {
    let operation = |media: Json| {
        let (_, call, _) = only(json!({"/pets/events": {"get": {
            "operationId": "watch", "summary": "Watch", "responses": {"200": {"description": "ok", "content": media}},
        }}}));
        call.response.is_some_and(|response| response.streaming.is_some())
    };
    assert!(operation(json!({"text/event-stream": {}})));
    assert!(!operation(json!({"text/event-stream": {}, "application/json": {}})));
}
