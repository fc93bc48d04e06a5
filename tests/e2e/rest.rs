//! Calls to REST APIs: how arguments and credentials leave, and what becomes of every kind of answer.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use toolmesh_tests::upstream::Auth;
use toolmesh_tests::{TestResult, Upstream, net};

use crate::Echo;

#[tokio::test]
async fn arguments_leave_in_path_query_and_headers_with_defaults() -> TestResult {
    let echo = Echo::new().await?;
    let arguments = json!({"id": "a/b c?d#é%2F", "q": "x&y=z +ü", "labels": ["one", "two"], "exact": true, "X-Trace": "t-1"});
    let shown = echo.mcp.call("echo_get_item", arguments).await?.result_json()?;
    let seen = echo.upstream.only()?;
    assert_eq!(shown["path"], seen.path.as_str(), "the answer is the API's own");
    assert_eq!(seen.method, "GET");
    assert_eq!(seen.path, "/echo/items/a%2Fb%20c%3Fd%23%C3%A9%252F");
    let mut pairs = seen.pairs();
    pairs.sort();
    let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        pairs,
        [("exact", "true"), ("labels", "one"), ("labels", "two"), ("limit", "20"), ("q", "x&y=z +ü")]
    );
    assert_eq!((seen.header("x-trace"), seen.header("x-client")), ("t-1", "toolmesh"));
    assert_eq!(seen.header("authorization"), "Bearer s3cret-upstream-token");
    assert_eq!((seen.body.as_str(), seen.header("content-type")), ("", ""));
    Ok(())
}

#[tokio::test]
async fn a_body_leaves_as_json_with_defaults_and_exact_numbers() -> TestResult {
    let echo = Echo::new().await?;
    let arguments = json!({"title": "Ünïcode \" \\", "count": 9_007_199_254_740_993_i64, "price": 0.1,
        "tags": ["a"], "options": {"deep": {"x": null}}});
    echo.mcp.call("echo_create_item", arguments).await?.text()?;
    let seen = echo.upstream.only()?;
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/echo/items"));
    assert!(seen.header("content-type").starts_with("application/json"), "{}", seen.header("content-type"));
    let body: Value = serde_json::from_str(&seen.body)?;
    assert_eq!(body["title"], "Ünïcode \" \\");
    assert!(seen.body.contains("9007199254740993"), "{}", seen.body);
    assert_eq!(body["options"], json!({"deep": {"x": null}}));
    assert_eq!((&body["notify"], &body["price"]), (&json!(false), &json!(0.1)));
    assert!(body.get("password").is_none(), "what was not given is not sent");
    Ok(())
}

#[tokio::test]
async fn a_form_leaves_in_bracket_form() -> TestResult {
    let echo = Echo::new().await?;
    let arguments = json!({"name": "a b&c", "tags": ["x", "y"], "options": {"k": {"n": 1}}});
    echo.mcp.call("echo_send_form", arguments).await?.text()?;
    let seen = echo.upstream.only()?;
    assert!(seen.header("content-type").starts_with("application/x-www-form-urlencoded"));
    let mut pairs: Vec<_> = url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("name", "a b&c"), ("options[k][n]", "1"), ("tags[0]", "x"), ("tags[1]", "y")]);
    Ok(())
}

#[tokio::test]
async fn each_kind_of_credential_is_shown_its_way_and_never_the_clients_own() -> TestResult {
    for (auth, credentials, name, value) in [
        (
            Auth::Basic,
            [("user", "ada"), ("password", "p:w")].as_slice(),
            "authorization",
            "Basic YWRhOnA6dw==",
        ),
        (Auth::KeyInHeader, [("token", "k1")].as_slice(), "x-token", "key k1"),
        (Auth::KeyInQuery, [("token", "k&2")].as_slice(), "", ""),
        (Auth::None, [].as_slice(), "authorization", ""),
    ] {
        let echo = Echo::with(auth, credentials).await?;
        let mcp = echo.mcp.clone().header("cookie", "session=mine").header("x-forwarded-for", "10.1.1.1");
        mcp.call("echo_whoami", json!({})).await?.text()?;
        let seen = echo.upstream.only()?;
        ensure!(name.is_empty() || seen.header(name) == value, "{auth:?}: {:?}", seen.headers);
        if matches!(auth, Auth::KeyInQuery) {
            ensure!(seen.pairs() == [("api_key".to_owned(), "k&2".to_owned())], "{auth:?}: {}", seen.query);
        }
        let all = format!("{seen:?}");
        ensure!(!all.contains(&echo.workspace.key), "{auth:?}: the client's key went to the API");
        ensure!(
            seen.header("cookie").is_empty() && seen.header("x-forwarded-for").is_empty(),
            "{auth:?}: {all}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_credential_is_not_shown_in_any_answer() -> TestResult {
    let echo = Echo::with(Auth::Bearer, &[("token", "very-secret-credential-0042")]).await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    let page = console.visit(&echo.page("")).await?.ok()?;
    assert!(!page.body.contains("very-secret-credential"), "the credential is in the page");
    assert!(page.text().contains("ends in 0042"), "its last four characters are not: {}", page.text());
    assert!(page.text().contains(&echo.workspace.owner.email), "who set it is not: {}", page.text());
    let tools = echo.mcp.tools().await?;
    assert!(!json!(tools).to_string().contains("very-secret-credential"));
    Ok(())
}

#[tokio::test]
async fn the_part_that_matters_is_taken_out_of_the_answer_and_cut() -> TestResult {
    let echo = Echo::new().await?;
    let shown = echo.mcp.call("echo_list_items", json!({})).await?.text()?;
    assert!(shown.contains("\"id\"") && !shown.contains("noise") && !shown.contains("xxxx"), "{shown}");
    assert!(!shown.contains('3'), "cut to two items: {shown}");
    echo.mcp.call("echo_empty", json!({})).await?.text().context("an empty answer is a success")?;
    Ok(())
}

#[tokio::test]
async fn the_apis_own_words_come_back_when_it_refuses() -> TestResult {
    let echo = Echo::new().await?;
    for status in [400, 403, 404, 409, 422, 500, 503] {
        let answer = echo.mcp.call("echo_fail", json!({"status": status})).await?;
        ensure!(answer.status == 200, "{status}: the client got HTTP {}", answer.status);
        let refusal = answer.refusal()?.with_context(|| format!("{status} passed for a success"))?;
        ensure!(refusal.contains("The widget is locked by Ada."), "{status}: {refusal}");
        ensure!(refusal.contains(&status.to_string()), "{status}: {refusal}");
        ensure!(!refusal.contains("0xfeed"), "{status}: more than the message came back: {refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn a_401_of_the_api_does_not_send_the_client_to_our_login() -> TestResult {
    let echo = Echo::new().await?;
    let answer = echo.mcp.call("echo_fail", json!({"status": 401})).await?;
    assert_eq!(answer.status, 200);
    let refusal = answer.refusal()?.context("it passed for a success")?.to_lowercase();
    assert!(refusal.contains("credential"), "it does not say whose login is meant: {refusal}");
    Ok(())
}

#[tokio::test]
async fn an_api_that_is_down_is_named_as_down() -> TestResult {
    let nobody = net::here(net::free_port()?);
    let echo = Echo::at(&nobody, Upstream::start().await?, Auth::Bearer, &[("token", "t")]).await?;
    let answer = echo.mcp.call("echo_whoami", json!({})).await?;
    let refusal = answer.refusal()?.context("it passed for a success")?.to_lowercase();
    assert!(refusal.contains("connect") || refusal.contains("reach"), "{refusal}");
    assert!(
        !refusal.contains("os error") && !refusal.contains("hyper"),
        "the wording is ours, not a library's: {refusal}"
    );
    Ok(())
}

#[tokio::test]
async fn answers_that_are_slow_huge_packed_broken_or_no_json_end_in_bounded_time() -> TestResult {
    let echo = Echo::new().await?;
    for (tool, words) in [
        ("echo_slow", ["time", "slow", "seconds"].as_slice()),
        ("echo_huge", ["large", "bytes", "big", "mib"].as_slice()),
        ("echo_bomb", ["large", "bytes", "big", "mib", "packed"].as_slice()),
        ("echo_broken", ["broke", "incomplete", "read", "closed"].as_slice()),
        ("echo_html", ["json", "html", "web page"].as_slice()),
        ("echo_redirect", ["redirect", "not followed"].as_slice()),
    ] {
        let start = Instant::now();
        let answer = echo.mcp.call(tool, json!({})).await.with_context(|| tool.to_owned())?;
        let took = start.elapsed();
        let refusal = answer
            .refusal()?
            .with_context(|| format!("{tool} passed for a success: {:.300}", answer.body))?;
        ensure!(words.iter().any(|word| refusal.to_lowercase().contains(word)), "{tool}: {refusal}");
        ensure!(refusal.len() < 4096, "{tool}: {} bytes came back", refusal.len());
        ensure!(took < Duration::from_secs(65), "{tool} took {took:?}");
    }
    assert!(echo.mcp.call("echo_whoami", json!({})).await?.refusal()?.is_none(), "the node lives on");
    Ok(())
}

#[tokio::test]
async fn a_slow_api_does_not_hold_up_other_calls() -> TestResult {
    let echo = Echo::new().await?;
    let slow = (0..20).map(|_| {
        let mcp = echo.mcp.clone();
        tokio::spawn(async move { mcp.call("echo_slow", json!({})).await })
    });
    let slow: Vec<_> = slow.collect();
    toolmesh_tests::eventually("the slow calls are on their way", Duration::from_secs(10), || async {
        Ok((echo.upstream.seen().len() >= 20).then_some(()))
    })
    .await?;
    let start = Instant::now();
    echo.mcp.call("echo_whoami", json!({})).await?.text()?;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    slow.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

#[tokio::test]
async fn testing_a_connection_shows_its_steps_and_what_went_wrong() -> TestResult {
    let echo = Echo::new().await?;
    let console = echo.system.console(&echo.workspace.owner).await?;
    let good = console.submit(&echo.page(""), &echo.page("/test"), &[]).await?.ok()?;
    assert!(good.text().contains("200"), "{}", good.text());
    assert_eq!(echo.upstream.only()?.path, "/echo/me");
    assert!(!good.body.contains("s3cret-upstream-token"));

    let nobody = net::here(net::free_port()?);
    let fields = [("base_url", nobody.as_str())];
    console.submit(&echo.page(""), &echo.page("/settings"), &fields).await?.ok()?;
    let bad = console.submit(&echo.page(""), &echo.page("/test"), &[]).await?;
    assert!(bad.text().to_lowercase().contains("connect"), "{}", bad.text());
    Ok(())
}
