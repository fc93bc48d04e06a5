//! What code can do, and what it cannot do to the node. The limits are those of the product: nothing here is shortened.

use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;
use toolmesh_proto::ids::TenantId;

use super::*;

/// Tools that answer by themselves, and remember what they were asked.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<(u32, Map<String, Value>)>>,
    at_once: Mutex<(usize, usize)>,
}

const TOOLS: [&str; 5] = ["echo", "text", "fails", "slow", "big"];

impl Api for std::sync::Arc<Fake> {
    fn names(&self, namespace: &str) -> Vec<String> {
        match namespace {
            "" => vec!["shop".to_owned()],
            _ => TOOLS.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn namespace(&self, name: &str) -> Result<(), String> {
        if name == "shop" { Ok(()) } else { Err(format!("There is no {name}.")) }
    }

    fn find(&self, _: &str, tool: &str) -> Result<u32, String> {
        let found = TOOLS.iter().position(|name| *name == tool);
        found.map(|at| at as u32).ok_or_else(|| format!("There is no tool {tool}."))
    }

    fn spelled(&self, tool: u32) -> String {
        format!("tools.shop.{}", TOOLS[tool as usize])
    }

    fn call(&self, tool: u32, arguments: Map<String, Value>) -> Answering {
        let fake = std::sync::Arc::clone(self);
        fake.asked.lock().unwrap().push((tool, arguments.clone()));
        Box::pin(async move {
            {
                let mut at_once = fake.at_once.lock().unwrap();
                at_once.0 += 1;
                at_once.1 = at_once.1.max(at_once.0);
            }
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            fake.at_once.lock().unwrap().0 -= 1;
            match TOOLS[tool as usize] {
                "echo" => Ok(Content::Json(serde_json::value::to_raw_value(&arguments).unwrap())),
                "text" => Ok(Content::Text("plain".to_owned())),
                "big" => Ok(Content::Text("x".repeat(3 << 20))),
                "slow" => std::future::pending().await,
                _ => Err(Thrown {
                    message: "The shop answered 404 Not Found: no such order".to_owned(),
                    code: "not_found".to_owned(),
                    http_status: Some(404),
                    api_message: Some("no such order".to_owned()),
                    provider_code: None,
                }),
            }
        })
    }
}

async fn run_with(fake: &std::sync::Arc<Fake>, source: &str, given: Given, within: Duration) -> Finished {
    let room = Sandbox::default().room(TenantId::new()).unwrap();
    let program = Program { source: source.to_owned(), given, within };
    let api: std::sync::Arc<dyn Api> = std::sync::Arc::new(std::sync::Arc::clone(fake));
    room.run(program, api, Budget::default()).await
}

async fn run(source: &str) -> Finished {
    run_with(&std::sync::Arc::default(), source, Given::Tools, Duration::from_secs(60)).await
}

async fn returns(source: &str) -> Value {
    let finished = run(source).await;
    let returned = finished.result.unwrap_or_else(|stopped| panic!("{source}: {stopped:?}")).0;
    serde_json::from_str(&returned.unwrap_or_else(|| "null".to_owned())).unwrap()
}

async fn stops(source: &str) -> Stopped {
    let finished = run(source).await;
    finished.result.err().unwrap_or_else(|| panic!("{source} returned"))
}

fn threw(stopped: &Stopped) -> &str {
    match stopped {
        Stopped::Threw { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_a_body_and_a_function_all_return_their_value() {
    for source in [
        "6 * 7",
        "6 * 7;",
        "const six = 6;\nreturn six * 7;",
        "async () => 42",
        "(await tools.shop.echo({ n: 42 })).n",
        "// the answer\nawait tools.shop.echo({ n: 42 }).then((a) => a.n) // is this",
        "function main() { return 42 } return main()",
    ] {
        assert_eq!(returns(source).await, json!(42), "{source}");
    }
    assert_eq!(returns("const a = 1;").await, Value::Null);
    assert_eq!(
        returns("({ a: [1, 'é', null], b: undefined, c: new Date(0) })").await,
        json!({"a": [1, "é", null], "c": "1970-01-01T00:00:00.000Z"})
    );
    assert_eq!(
        returns("({ m: new Map([['a', 1]]), s: new Set([1, 1, 2]), b: 10n })").await,
        json!({"m": {"a": 1}, "s": [1, 2], "b": "10"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_language_is_whole_enough_for_what_people_write() {
    let source = r#"
        const { a, ...rest } = { a: 1, b: 2, c: [3, [4]] };
        const grouped = new Map([["x", new Set([1, 1, 2])]]);
        class P { #v = 1; get v() { return this.#v ?? 0; } static of() { return new P(); } }
        function* numbers() { yield 1; yield 2; }
        const found = "2024-05-06".match(/(?<y>\d{4})-(?<m>\d\d)/u)?.groups.y;
        const { b } = await Promise.allSettled([Promise.resolve(1), Promise.reject(new Error("x"))]).then((all) => ({ b: all.length }));
        let text = ""; for await (const n of numbers()) text += `${n};`;
        return [a, rest.b, rest.c.flat(), [...grouped.get("x")], P.of().v, found, b, text, 2n ** 70n > 0n,
                [3, 1, 2].sort(), [3, 1, 10].toSorted((x, y) => x - y), "a-b".replaceAll("-", "+"), "a,b".split(","),
                [1, 2, 3].reverse().join("-"), [1, 2].concat([3], 4), [1, 2, 3].at(-1), Array.from({ length: 2 }, (_, i) => i),
                JSON.stringify({ z: 1 }), "abc".includes("b"), encodeURIComponent("ä b"), [[1], [2]].flatMap((x) => x)];
    "#;
    let expected = json!([
        1,
        2,
        [3, 4],
        [1, 2],
        1,
        "2024",
        2,
        "1;2;",
        true,
        [1, 2, 3],
        [1, 3, 10],
        "a+b",
        ["a", "b"],
        "3-2-1",
        [1, 2, 3, 4],
        3,
        [0, 1],
        "{\"z\":1}",
        true,
        "%C3%A4%20b",
        [1, 2]
    ]);
    assert_eq!(returns(source).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_run_at_once_and_answers_come_back_as_values() {
    let fake = std::sync::Arc::<Fake>::default();
    let source =
        "const all = await Promise.all(Array.from({ length: 40 }, (_, n) => tools.shop.echo({ n })));
                  return [all.map((one) => one.n).reduce((a, b) => a + b), await tools.shop.text()]";
    let finished = run_with(&fake, source, Given::Tools, Duration::from_secs(60)).await;
    assert_eq!(finished.result.unwrap().0.unwrap(), r#"[780,"plain"]"#);
    assert_eq!(fake.asked.lock().unwrap().len(), 41);
    assert_eq!(fake.at_once.lock().unwrap().1, 8, "some at a time, and not more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_composite_finds_its_parameters_and_tools() {
    let source =
        "const a = await api.echo({ limit: params.limit });\nreturn { got: a.limit, tools: typeof tools }";
    let params = Given::Params(r#"{"limit":3}"#.to_owned());
    let finished = run_with(&std::sync::Arc::default(), source, params, Duration::from_secs(60)).await;
    assert_eq!(finished.result.unwrap().0.unwrap(), r#"{"got":3,"tools":"undefined"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_throws_what_code_can_go_by() {
    let caught = returns("try { await tools.shop.fails({}) } catch (e) { return [e instanceof Error, e.code, e.http_status, e.api_message] }").await;
    assert_eq!(caught, json!([true, "not_found", 404, "no such order"]));
    let stopped = stops("await tools.shop.fails()").await;
    let Stopped::Threw { message, code, .. } = stopped else { panic!("{stopped:?}") };
    assert_eq!(
        (message.as_str(), code.as_deref()),
        ("The shop answered 404 Not Found: no such order", Some("not_found"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named_with_their_line() {
    for (source, line, part) in [
        ("const a = 1;\nconst b = ;\n", 2, "SyntaxError"),
        ("const a = 1;\n\nnope();", 3, "nope"),
        ("return tools.shop.nothing({})", 1, "There is no tool nothing."),
        ("\nreturn tools.store.echo({})", 2, "There is no store."),
        ("\n\n\nthrow new Error('mine')", 4, "mine"),
        ("await tools.shop.echo(1, 2)", 1, "takes one object of named arguments"),
    ] {
        let stopped = stops(source).await;
        let Stopped::Threw { message, line: found, .. } = &stopped else { panic!("{stopped:?}") };
        assert!(message.contains(part), "{message}");
        assert_eq!(*found, Some(line), "{source}: {stopped:?}");
    }
    assert!(threw(&stops("throw 'just a text'").await).contains("just a text"));
    assert!(threw(&stops("throw null").await).contains("Null was thrown"));
    assert!(threw(&stops("const a = {}; a.a = a; return a").await).contains("circular"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_kept_up_to_a_point() {
    let finished =
        run("console.log('a', 1, { b: [2] }, undefined, new Error('x')); console.error('\\ud800')").await;
    assert_eq!(finished.console, ["a 1 {\"b\":[2]} undefined Error: x", "\u{fffd}"]);
    let finished = run("for (let n = 0; n < 100000; n++) console.log('x'.repeat(5000))").await;
    let kept: usize = finished.console.iter().map(String::len).sum();
    assert!(kept < 20_000, "{kept}");
    assert!(finished.console.last().unwrap().contains("more was printed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_computes_for_ever_is_stopped() {
    for source in [
        "for (;;);",
        "while (true) { try { for (;;); } catch {} finally { for (;;); } }",
        "async function f() { for (;;) await null } await f()",
        "/^(a+)+$/.test('a'.repeat(40) + '!')",
        "/(x+x+)+y/.test('x'.repeat(60))",
        "const o = { toJSON() { for (;;); } }; return o",
        "const o = { get x() { for (;;); } }; console.log(o)",
        "throw { toJSON() { for (;;); } }",
        "[1, 2].sort(() => { for (;;); })",
        "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)",
        "Array.prototype.forEach.call({ length: 2 ** 53 - 1 }, () => 1)",
        "Promise.prototype.then = function () { for (;;); }; await tools.shop.echo({})",
        "function* f() { for (;;) yield 1 } for (const x of f());",
        "eval('for (;;);')",
        "new Function('for (;;);')()",
    ] {
        assert_eq!(stops(source).await, Stopped::Computed, "{source}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn built_ins_that_do_not_ask_for_the_time_refuse_to_loop() {
    for source in [
        "Array.prototype.reverse.call({ length: 2 ** 53 - 1 })",
        "Array.prototype.join.call({ length: 2 ** 53 - 1 }, '')",
        "Array.prototype.fill.call({ length: 2 ** 53 - 1 }, 1)",
        "Array.prototype.shift.call({ length: 2 ** 53 - 1 })",
        "Array.prototype.unshift.call({ length: 2 ** 53 - 2 }, 1)",
        "Array.prototype.splice.call({ length: 2 ** 53 - 1 }, 0, 1)",
        "Array.prototype.copyWithin.call({ length: 2 ** 53 - 1 }, 1, 0)",
        "Array.prototype.sort.call({ length: 2 ** 53 - 1 })",
        "Array.prototype.toLocaleString.call({ length: 2 ** 53 - 1 })",
        "Array.prototype.flat.call({ length: 2 ** 53 - 1 })",
        "[].concat({ [Symbol.isConcatSpreadable]: true, length: 2 ** 53 - 1 })",
        "const a = []; a.length = 4294967295; a.reverse()",
        "const a = []; a.length = 4294967295; a.sort()",
        "const a = []; a.length = 4294967295; [].concat(a)",
        "'a'.repeat(4e6).indexOf('a'.repeat(2e6) + 'b')",
        "const t = 'a'.repeat(1e6), w = 'a'.repeat(900) + 'b'; for (;;) t.includes(w)",
        "'a'.repeat(4e6).split('a'.repeat(1e6) + 'b')",
        "'a'.repeat(4e6).replaceAll('a'.repeat(1e6) + 'b', '')",
    ] {
        let stopped = stops(source).await;
        assert!(matches!(stopped, Stopped::Threw { .. } | Stopped::Memory), "{source}: {stopped:?}");
    }
    let deep = "let a = []; for (let n = 0; n < 60; n++) a = [a, a]; return a.flat(Infinity).length";
    assert_eq!(stops(deep).await, Stopped::Computed);
    let listed = "(function () { return Array.prototype.slice.call(arguments, 1) })(1, 2, 3)";
    assert_eq!(returns(listed).await, json!([2, 3]));
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_takes_too_much_memory_is_stopped() {
    for source in [
        "const all = []; for (;;) all.push(new Array(1000).fill(1))",
        "let s = 'x'; for (;;) s += s",
        "'x'.repeat(2 ** 28)",
        "new Uint8Array(2 ** 30)",
        "const m = new Map(); for (let n = 0; ; n++) m.set(n, {})",
        "const a = new Array(1e9).fill(0); return a.length",
        "'x'.padEnd(2 ** 29)",
        "JSON.stringify(Array(4294967295))",
        "const all = []; for (let n = 0; n < 200; n++) all.push(await tools.shop.big({})); return 1",
    ] {
        let stopped = stops(source).await;
        assert!(matches!(stopped, Stopped::Memory | Stopped::Threw { .. }), "{source}: {stopped:?}");
    }
    // A chain of promises without an end is cut by whichever limit it meets first.
    let chain = stops("const f = () => Promise.resolve().then(f); await f()").await;
    assert!(matches!(chain, Stopped::Computed | Stopped::Memory | Stopped::Stuck), "{chain:?}");
    // Whoever catches it comes no further.
    let again = stops("for (;;) { try { const all = []; for (;;) all.push({}) } catch {} }").await;
    assert!(matches!(again, Stopped::Computed | Stopped::Memory), "{again:?}");
    assert!(matches!(stops("return 'x'.repeat(5 * 2 ** 20)").await, Stopped::TooLarge(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_goes_too_deep_is_stopped() {
    for source in [
        "function f() { return f() + 1 } f()",
        "const f = () => [1].map(f); f()",
        "let a = []; for (let n = 0; n < 1e5; n++) a = [a]; return JSON.stringify(a)",
        "JSON.parse('['.repeat(1e6))",
        "new RegExp('('.repeat(1e5) + ')'.repeat(1e5))",
        "eval('('.repeat(1e6))",
        "class A { get x() { return this.x } } return new A().x",
    ] {
        assert!(matches!(stops(source).await, Stopped::Threw { .. }), "{source}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_nothing_settles_is_told_and_not_waited_for() {
    let started = Instant::now();
    assert_eq!(stops("await new Promise(() => {})").await, Stopped::Stuck);
    assert_eq!(stops("await Promise.race([])").await, Stopped::Stuck);
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_when_its_time_is_up_whatever_it_waits_for() {
    let short = Duration::from_secs(2);
    let fake = std::sync::Arc::<Fake>::default();
    let finished =
        run_with(&fake, "console.log('begun'); await tools.shop.slow({})", Given::Tools, short).await;
    assert_eq!(finished.result, Err(Stopped::Late(short)));
    assert_eq!((finished.on_their_way, finished.console), (1, vec!["begun".to_owned()]));
    // What was returned counts, though a call that nobody waits for is still on its way.
    let finished = run_with(&fake, "tools.shop.slow({}); return 1", Given::Tools, short).await;
    assert_eq!(finished.result, Ok(Returned(Some("1".to_owned()))));
    assert_eq!(finished.on_their_way, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_calls_are_cut_off_at_the_limit() {
    let fake = std::sync::Arc::<Fake>::default();
    let source = "await Promise.all(Array.from({ length: 5000 }, (_, n) => tools.shop.echo({ n })))";
    let finished = run_with(&fake, source, Given::Tools, Duration::from_secs(60)).await;
    let Err(Stopped::Threw { message, .. }) = &finished.result else { panic!("{finished:?}") };
    assert!(message.contains("200 calls"), "{message}");
    assert!(fake.asked.lock().unwrap().len() <= 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_finds_nothing_but_the_language_and_its_tools() {
    let names = "Object.getOwnPropertyNames(globalThis).sort()";
    let names: Vec<String> = serde_json::from_value(returns(names).await).unwrap();
    for gone in [
        "Proxy",
        "Atomics",
        "SharedArrayBuffer",
        "WeakRef",
        "setTimeout",
        "fetch",
        "require",
        "process",
        "std",
        "os",
        "print",
        "host",
        "performance",
        "navigator",
        "Worker",
        "importScripts",
        "gc",
    ] {
        assert!(!names.iter().any(|name| name == gone), "{gone} is there");
    }
    assert!(matches!(stops("await import('std')").await, Stopped::Threw { .. }));
    assert!(matches!(stops("import os from 'os'").await, Stopped::Threw { .. }));
    assert_eq!(
        returns("[typeof require, typeof process, typeof fetch]").await,
        json!(["undefined", "undefined", "undefined"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn games_with_prototypes_reach_nothing_of_the_host() {
    for source in [
        // Whatever they replace is their own; the next run has its own again.
        "Object.prototype.get = () => 1; Array.prototype.map = null; JSON.stringify = () => 'stolen'; return await tools.shop.echo({ a: 1 })",
        "Map.prototype.set = Map.prototype.get = function () { throw 1 }; return await tools.shop.echo({ a: 1 })",
        "tools.shop.echo.constructor('return this')().x = 1; return await tools.shop.echo({ a: 1 })",
        "tools.__proto__ = null; return await tools.shop.echo({ a: 1 })",
        "Object.setPrototypeOf(Function.prototype, null); return await tools.shop.echo({ a: 1 })",
        "Promise.prototype.then = undefined; return await tools.shop.echo({ a: 1 })",
        "globalThis.Promise = class { }; return await tools.shop.echo({ a: 1 })",
    ] {
        let finished = run(source).await;
        match finished.result {
            Ok(Returned(Some(text))) => assert!(text == r#"{"a":1}"# || text == "stolen", "{source}: {text}"),
            other => assert!(
                matches!(other, Ok(_) | Err(Stopped::Threw { .. } | Stopped::Stuck)),
                "{source}: {other:?}"
            ),
        }
    }
    assert_eq!(returns("[1, 2].map((n) => n)").await, json!([1, 2]));
    let hidden = "const seen = []; for (const f of [tools.shop.echo, console.log]) { seen.push(Object.getOwnPropertyNames(f)) } return String(seen)";
    assert!(!returns(hidden).await.to_string().contains("host"));
    let named = "return [Object.keys(tools), Object.keys(tools.shop).length, 'echo' in tools.shop, 'x' in tools.shop]";
    assert_eq!(returns(named).await, json!([["shop"], 5, true, false]));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_wait_take_no_thread() {
    let fake = std::sync::Arc::<Fake>::default();
    let sandbox = Sandbox::default();
    let start = |source: &str, within| {
        let room = sandbox.room(TenantId::new()).unwrap();
        let program = Program { source: source.to_owned(), given: Given::Tools, within };
        let api: std::sync::Arc<dyn Api> = std::sync::Arc::new(std::sync::Arc::clone(&fake));
        tokio::spawn(async move { room.run(program, api, Budget::default()).await })
    };
    let waiting: Vec<_> =
        (0..16).map(|_| start("await tools.shop.slow({})", Duration::from_secs(5))).collect();
    let quick = start("1 + 1", Duration::from_secs(5)).await.unwrap();
    assert_eq!(quick.result, Ok(Returned(Some("2".to_owned()))));
    for run in waiting {
        assert!(matches!(run.await.unwrap().result, Err(Stopped::Late(_))));
    }
}
