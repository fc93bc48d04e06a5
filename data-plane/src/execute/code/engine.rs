//! One JavaScript runtime, stepped from outside: it is given code, then answers, and says after each which calls it wants.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rquickjs::context::{EvalOptions, intrinsic};
use rquickjs::function::Func;
use rquickjs::{CatchResultExt as _, CaughtError, Context, Ctx, Exception, Function, Object, Runtime};
use serde_json::{Map, Value};

use super::meter::{Meter, Up};
use super::{Api, Budget, Given, MOST_CALLS, Program, Returned, Stopped, Thrown};
use crate::execute::rest::response::{Content, File};

/// Most memory of a run.
pub(super) const MEMORY_BYTES: usize = 32 << 20;
/// Largest file whose bytes code gets: as base64, in a text of JSON and out of it again, it takes some times as much.
const FILE_BYTES: usize = 2 << 20;
/// Deepest stack; a thread of the runtime that carries us has 2 MiB.
const STACK_BYTES: usize = 512 << 10;
/// Longest result, as JSON.
pub(super) const RESULT_BYTES: usize = 4 << 20;
/// Longest arguments of one call, as JSON.
const ARGUMENT_BYTES: usize = 1 << 20;
/// Longest line that is printed, in characters, and most lines and bytes that are kept.
const LINE_CHARS: usize = 2000;
const LINES: usize = 200;
const CONSOLE_BYTES: usize = 16 << 10;
/// Longest message of an error, in bytes.
const MESSAGE_BYTES: usize = 2000;

const GUARDS: &str = include_str!("guards.js");
const PRELUDE: &str = include_str!("prelude.js");
/// The name of the source in stack traces.
const FILE: &str = "code";

/// What code may use of the language. `Proxy` goes again as soon as the prelude has it.
type Intrinsics = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::Proxy,
    intrinsic::MapSet,
    intrinsic::TypedArrays,
    intrinsic::Promise,
);

/// A run between two slices.
pub(super) struct Engine {
    // Dropped in this order.
    context: Context,
    _runtime: Runtime,
    desk: Arc<Mutex<Desk>>,
    meter: Arc<Meter>,
}

/// A call that the code wants to make.
#[derive(Debug)]
pub(super) struct Wanted {
    pub call: u32,
    pub tool: u32,
    pub arguments: Map<String, Value>,
}

/// An answer, with the number of its call.
pub(super) type Answered = (u32, Result<Content, Thrown>);

/// What lies between the code and the host.
#[derive(Debug, Default)]
struct Desk {
    next: u32,
    wanted: Vec<Wanted>,
    console: Vec<String>,
    console_bytes: usize,
    ended: Option<Result<Returned, Stopped>>,
}

/// What a slice came to.
#[derive(Debug)]
pub(super) struct Slice {
    pub wanted: Vec<Wanted>,
    /// Set once the code is over. Calls may still be on their way.
    pub ended: Option<Result<Returned, Stopped>>,
}

impl Engine {
    /// Makes a runtime and starts the code.
    pub(super) fn start(
        program: &Program,
        api: &Arc<dyn Api>,
        budget: &Budget,
        meter: &Arc<Meter>,
    ) -> Result<(Self, Slice), Stopped> {
        meter.begin();
        let engine = Self::new(Arc::clone(meter)).map_err(|error| {
            tracing::error!(%error, "no JavaScript runtime");
            Stopped::Fault
        })?;
        let loaded = engine.context.with(|ctx| load(&ctx, program, api, budget, &engine.desk));
        if let Err(stopped) = loaded {
            engine.lock().ended = Some(Err(stopped));
        }
        let slice = engine.go_on();
        Ok((engine, slice))
    }

    fn new(meter: Arc<Meter>) -> rquickjs::Result<Self> {
        let runtime = Runtime::new()?;
        runtime.set_memory_limit(MEMORY_BYTES);
        runtime.set_max_stack_size(STACK_BYTES);
        let asked = Arc::clone(&meter);
        runtime.set_interrupt_handler(Some(Box::new(move || asked.up().is_some())));
        let context = Context::custom::<Intrinsics>(&runtime)?;
        Ok(Self { context, _runtime: runtime, desk: Arc::default(), meter })
    }

    /// Hands in answers and goes on.
    pub(super) fn answer(&self, answers: Vec<Answered>) -> Slice {
        self.meter.begin();
        self.context.with(|ctx| {
            for (call, answer) in answers {
                if let Err(stopped) = settle(&ctx, call, answer) {
                    self.lock().ended.get_or_insert(Err(stopped));
                }
            }
        });
        self.go_on()
    }

    /// Runs until there is nothing to do without another answer.
    fn go_on(&self) -> Slice {
        self.context.with(|ctx| while self.meter.up().is_none() && ctx.execute_pending_job() {});
        let up = self.meter.up();
        self.meter.end();
        let mut desk = self.lock();
        let ended = match (desk.ended.take(), up) {
            // What was interrupted may have ended with any error.
            (Some(Err(_)) | None, Some(Up::Computed)) => Some(Err(Stopped::Computed)),
            (Some(Err(_)) | None, Some(Up::Late)) => Some(Err(Stopped::Late(std::time::Duration::ZERO))),
            (ended, _) => ended,
        };
        Slice { wanted: std::mem::take(&mut desk.wanted), ended }
    }

    /// What was printed.
    pub(super) fn console(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().console)
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }
}

/// Every change of the desk is whole at every point where a panic could be.
fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts everything in place and calls the code.
fn load<'js>(
    ctx: &Ctx<'js>,
    program: &Program,
    api: &Arc<dyn Api>,
    budget: &Budget,
    desk: &Arc<Mutex<Desk>>,
) -> Result<(), Stopped> {
    let prelude = prelude(ctx, api, budget, desk).catch(ctx).map_err(|error| stopped(&error))?;
    let (run, settle) = prelude;
    // Kept where `settle` below finds it and no code does.
    ctx.store_userdata(settle).map_err(|_| Stopped::Fault)?;
    let main = main(ctx, program)?;
    let called: rquickjs::Result<()> = match &program.given {
        Given::Params(params) => run.call((main, params.as_str())),
        Given::Tools => run.call((main,)),
    };
    called.catch(ctx).map_err(|error| stopped(&error))
}

type Settle<'js> = Function<'js>;

fn prelude<'js>(
    ctx: &Ctx<'js>,
    api: &Arc<dyn Api>,
    budget: &Budget,
    desk: &Arc<Mutex<Desk>>,
) -> rquickjs::Result<(Function<'js>, Function<'js>)> {
    ctx.eval::<Function<'_>, _>(GUARDS)?.call::<_, ()>(())?;
    let host = host(ctx, api, budget, desk)?;
    let made: rquickjs::Array<'_> = ctx.eval::<Function<'_>, _>(PRELUDE)?.call((host,))?;
    Ok((made.get(0)?, made.get(1)?))
}

/// What the prelude may ask of us.
fn host<'js>(
    ctx: &Ctx<'js>,
    api: &Arc<dyn Api>,
    budget: &Budget,
    desk: &Arc<Mutex<Desk>>,
) -> rquickjs::Result<Object<'js>> {
    let host = Object::new(ctx.clone())?;
    host.set("most", ARGUMENT_BYTES)?;
    host.set("line", LINE_CHARS)?;
    let of = Arc::clone(api);
    host.set("names", Func::from(move |namespace: String| of.names(&namespace)))?;
    let of = Arc::clone(api);
    let namespace = move |ctx: Ctx<'js>, name: String| of.namespace(&name).map_err(|text| throw(&ctx, &text));
    host.set("space", Function::new(ctx.clone(), namespace)?)?;
    let of = Arc::clone(api);
    let find = move |ctx: Ctx<'js>, namespace: String, tool: String| {
        of.find(&namespace, &tool).map_err(|text| throw(&ctx, &text))
    };
    host.set("find", Function::new(ctx.clone(), find)?)?;
    let of = Arc::clone(api);
    host.set("spelled", Func::from(move |tool: u32| of.spelled(tool)))?;
    let (to, budget) = (Arc::clone(desk), budget.clone());
    let call = move |ctx: Ctx<'js>, tool: u32, arguments: String| {
        want(&to, &budget, tool, &arguments).map_err(|text| throw(&ctx, &text))
    };
    host.set("call", Function::new(ctx.clone(), call)?)?;
    let to = Arc::clone(desk);
    host.set("print", Func::from(move |line: String| print(&to, line)))?;
    let to = Arc::clone(desk);
    host.set("done", Func::from(move |well: bool, text: String| done(&to, well, text)))?;
    Ok(host)
}

fn throw(ctx: &Ctx<'_>, text: &str) -> rquickjs::Error {
    Exception::throw_message(ctx, text)
}

fn want(desk: &Mutex<Desk>, budget: &Budget, tool: u32, arguments: &str) -> Result<u32, String> {
    let arguments: Map<String, Value> = serde_json::from_str(arguments)
        .map_err(|_| "The arguments cannot be sent: they are no JSON object.".to_owned())?;
    if !budget.take() {
        return Err(format!("The code has made {MOST_CALLS} calls, which is the most of one run."));
    }
    let mut desk = lock(desk);
    let call = desk.next;
    desk.next = desk.next.wrapping_add(1);
    desk.wanted.push(Wanted { call, tool, arguments });
    Ok(call)
}

fn print(desk: &Mutex<Desk>, line: String) {
    let mut desk = lock(desk);
    desk.console_bytes = desk.console_bytes.saturating_add(line.len() + 1);
    let full = desk.console_bytes > CONSOLE_BYTES || desk.console.len() >= LINES;
    match (full, desk.console.last().is_some_and(|last| last == MORE)) {
        (false, _) => desk.console.push(line),
        (true, false) => desk.console.push(MORE.to_owned()),
        (true, true) => {}
    }
}

/// Stands for what is printed when enough is kept.
const MORE: &str = "… (more was printed than is kept)";

#[derive(serde::Deserialize)]
struct Described {
    message: String,
    #[serde(default)]
    stack: String,
    #[serde(default)]
    code: Option<String>,
}

fn done(desk: &Mutex<Desk>, well: bool, text: String) {
    let ended = if !well {
        Err(described(&text))
    } else if text.len() > RESULT_BYTES {
        Err(Stopped::TooLarge(text.len()))
    } else {
        Ok(Returned(Some(text).filter(|text| !text.is_empty())))
    };
    lock(desk).ended.get_or_insert(ended);
}

fn described(text: &str) -> Stopped {
    let Ok(Described { message, stack, code }) = serde_json::from_str(text) else {
        return Stopped::Threw {
            message: "The code threw what is no text.".to_owned(),
            line: None,
            code: None,
        };
    };
    // Without room for an error of its own, the interpreter throws null.
    if message == "null" && stack.is_empty() {
        let message = format!(
            "Null was thrown: by the code, or since it needs more than {} MiB of memory. Work on less at a time.",
            MEMORY_BYTES >> 20
        );
        return Stopped::Threw { message, line: None, code: None };
    }
    threw(&message, &stack, code)
}

fn threw(message: &str, stack: &str, code: Option<String>) -> Stopped {
    if message.contains("out of memory") && code.is_none() {
        return Stopped::Memory;
    }
    let end = message.floor_char_boundary(MESSAGE_BYTES);
    let cut = if end < message.len() { "…" } else { "" };
    Stopped::Threw { message: format!("{}{cut}", &message[..end]), line: line(stack), code }
}

/// The line of the source that a stack trace ends in: `at f (code:12:3)`.
fn line(stack: &str) -> Option<u32> {
    let marks = [format!("({FILE}:"), format!("at {FILE}:")];
    let rest = stack.lines().find_map(|frame| {
        let mark = marks.iter().find(|mark| frame.contains(mark.as_str()))?;
        frame.split_once(mark.as_str()).map(|(_, rest)| rest)
    })?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn stopped(error: &CaughtError<'_>) -> Stopped {
    match error {
        CaughtError::Exception(exception) => {
            let name: String = exception.as_object().get("name").unwrap_or_default();
            let text = exception.message().unwrap_or_default();
            let message = if name.is_empty() || name == "Error" { text } else { format!("{name}: {text}") };
            threw(&message, &exception.stack().unwrap_or_default(), None)
        }
        CaughtError::Value(_) => {
            Stopped::Threw { message: "The code threw what is no error.".to_owned(), line: None, code: None }
        }
        CaughtError::Error(rquickjs::Error::Allocation) => Stopped::Memory,
        CaughtError::Error(error) => {
            Stopped::Threw { message: format!("The code cannot be run: {error}."), line: None, code: None }
        }
    }
}

/// The code as a function. Lines keep their numbers.
fn main<'js>(ctx: &Ctx<'js>, program: &Program) -> Result<Function<'js>, Stopped> {
    let source = program.source.as_str();
    match program.given {
        Given::Params(_) => evaluate(ctx, format!("(async (params, api, console) => {{{source}\n}})")),
        Given::Tools => {
            let expression = source.trim_end().trim_end_matches(';');
            let whole = evaluate(ctx, format!("(async (tools, console) => ({expression}\n))"));
            whole.or_else(|_| evaluate(ctx, format!("(async (tools, console) => {{{source}\n}})")))
        }
    }
}

fn evaluate<'js>(ctx: &Ctx<'js>, source: String) -> Result<Function<'js>, Stopped> {
    let mut options = EvalOptions::default();
    options.filename = Some(FILE.to_owned());
    ctx.eval_with_options(source, options).catch(ctx).map_err(|error| stopped(&error))
}

/// A file as code gets it: what it is, and its bytes where the memory has room for them.
fn of_file(file: &File) -> String {
    let base64 = (file.bytes.len() <= FILE_BYTES).then(|| STANDARD.encode(&file.bytes));
    serde_json::json!({
        "name": file.name, "mediaType": file.media_type, "bytes": file.bytes.len(), "base64": base64
    })
    .to_string()
}

/// Hands one answer to the code that waits for it.
fn settle(ctx: &Ctx<'_>, call: u32, answer: Result<Content, Thrown>) -> Result<(), Stopped> {
    let settle = ctx.userdata::<Settle<'_>>().ok_or(Stopped::Fault)?;
    let (kind, text) = match &answer {
        Ok(Content::Text(text)) => ("text", text.clone()),
        Ok(Content::File(file)) => ("json", of_file(file)),
        Ok(content) => ("json", content.text().to_owned()),
        Err(thrown) => ("error", serde_json::to_string(thrown).map_err(|_| Stopped::Fault)?),
    };
    settle.call::<_, ()>((call, kind, text)).catch(ctx).map_err(|error| stopped(&error))
}
