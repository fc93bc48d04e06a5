//! jq programs: what of the language is executed, and the bounds of a run.
//!
//! Both planes need the same answer to "is this a program?", so that one which the console accepts is one that a node runs.
//! The language is jaq's, without whatever reaches outside: no files, modules, environment, input streams, log or exit.
//! Programs come from strangers, so a run is bounded in steps, time, memory and stack, and none of these bounds can be
//! caught by the program: crossing one unwinds the run's own thread. Knows nothing of connectors or answers.

mod delete;
mod meter;
mod natives;
mod number;
mod value;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use jaq_core::data::JustLut;
use jaq_core::load::{Arena, File, Lexer, Loader, Parser};
use jaq_core::{Compiler, Ctx, Filter, Vars};

use self::meter::Stop;
use self::value::V;

/// Longest program, in bytes.
pub const MAX_PROGRAM: usize = 8 << 10;
/// Brackets may nest this deep.
const MAX_NESTING: usize = 100;
/// Stack of a thread that compiles; only what is used of it takes memory.
const COMPILE_STACK: usize = 96 << 20;
/// Stack of a thread that runs. Much of it is for giving back chains of closures, which jaq does level by level; how long they
/// can be follows from [`meter`]'s price of a call.
const RUN_STACK: usize = 384 << 20;

/// The one definition whose body is the program.
const MAIN: &str = "program";

type Data = JustLut<V>;

/// A program that was compiled; clones share it.
#[derive(Clone)]
pub struct Program(Arc<Filter<Data>>);

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Program")
    }
}

/// A text that is no program. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ProgramError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// Why a run has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The program's own error. May quote the input.
    #[error("{0}")]
    Failed(String),
    #[error("it took longer than {} seconds", .0.as_secs())]
    Time(Duration),
    #[error("it took more steps than are carried out")]
    Steps,
    #[error("it needed more memory than it may use")]
    Memory,
    #[error("it nested too deep")]
    Depth,
    /// A fault in the interpreter, or a machine without room for a thread.
    #[error("it could not be carried out")]
    Fault,
}

impl Program {
    /// Compiles a program.
    ///
    /// # Errors
    /// Says what is wrong with it, and where.
    pub fn compile(source: &str) -> Result<Self, ProgramError> {
        check_size(source)?;
        let here = || ProgramError { line: 1, column: 1, message: "cannot be read".to_owned() };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("jq".to_owned()).stack_size(COMPILE_STACK);
            let compiled = thread.spawn_scoped(scope, || compile(source)).map_err(|_| here())?;
            compiled.join().map_err(|_| here())?
        })
    }

    /// Runs the program over one JSON text, on a thread of its own, and hands the result to `done`: the one output, or all
    /// of them as an array. `done` is called once, whatever happens.
    pub fn run(
        &self,
        input: String,
        within: Duration,
        done: impl FnOnce(Result<String, RunError>) + Send + 'static,
    ) {
        // The thread takes what it can, so that it is still here if there is no thread.
        let slot = Arc::new(std::sync::Mutex::new(Some(done)));
        let (program, theirs) = (self.clone(), Arc::clone(&slot));
        let finish = move |slot: &std::sync::Mutex<Option<_>>, result| {
            let done = slot.lock().ok().and_then(|mut slot| slot.take());
            if let Some(done) = done {
                Self::hand(done, result);
            }
        };
        let thread = std::thread::Builder::new().name("jq".to_owned()).stack_size(RUN_STACK);
        let spawned = thread.spawn(move || {
            let caught = catch_unwind(AssertUnwindSafe(|| program.run_here(&input, within)));
            let result = caught.unwrap_or_else(|payload| Err(stopped(payload.downcast_ref(), within)));
            finish(&theirs, result);
        });
        if spawned.is_err() {
            finish(&slot, Err(RunError::Fault));
        }
    }

    fn hand(done: impl FnOnce(Result<String, RunError>), result: Result<String, RunError>) {
        done(result);
    }

    fn run_here(&self, input: &str, within: Duration) -> Result<String, RunError> {
        meter::begin(within);
        let input = value::read(input).map_err(|_| RunError::Failed("the input is no JSON".to_owned()))?;
        let context = Ctx::<Data>::new(&self.0.lut, Vars::new([]));
        let mut outputs = Vec::new();
        for output in self.0.id.run((context, input)) {
            meter::charge(1);
            match output.map_err(jaq_core::Exn::get_err) {
                Ok(value) => outputs.push(value),
                Err(Ok(error)) => return Err(RunError::Failed(error.into_val().as_message())),
                Err(Err(_)) => return Err(RunError::Failed("it broke off".to_owned())),
            }
        }
        let whole = match outputs.pop() {
            Some(only) if outputs.is_empty() => only,
            last => outputs.into_iter().chain(last).collect(),
        };
        whole.to_json().map_err(RunError::Failed)
    }
}

fn stopped(stop: Option<&Stop>, within: Duration) -> RunError {
    match stop {
        Some(Stop::Time) => RunError::Time(within),
        Some(Stop::Steps) => RunError::Steps,
        Some(Stop::Memory) => RunError::Memory,
        Some(Stop::Depth) => RunError::Depth,
        None => RunError::Fault,
    }
}

fn check_size(source: &str) -> Result<(), ProgramError> {
    let error = |at, message: String| Err(error_at(source, at, message));
    if source.len() > MAX_PROGRAM {
        return error(0, format!("is longer than {MAX_PROGRAM} bytes"));
    }
    let mut depth = 0_usize;
    for (at, byte) in source.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return error(at, format!("nests more than {MAX_NESTING} brackets"));
        }
    }
    Ok(())
}

fn compile(source: &str) -> Result<Program, ProgramError> {
    let first = |found: Option<(&str, String)>| {
        let (part, message) = found.unwrap_or_else(|| (source, "cannot be read".to_owned()));
        error_at(source, offset(source, part), message)
    };
    let tokens = Lexer::new(source).lex().map_err(|errors| {
        let error = errors.into_iter().next();
        first(error.map(|(expected, part)| (part, format!("{} is expected here", expected.as_str()))))
    })?;
    let term = Parser::new(&tokens).parse(|parser| parser.term()).map_err(|errors| {
        let error = errors.into_iter().next();
        first(error.map(|(expected, found)| {
            let part = found.map_or_else(|| source.get(source.len()..).unwrap_or_default(), |token| token.0);
            (part, format!("{} is expected here", expected.as_str()))
        }))
    })?;
    let defs = natives::definitions().chain([meter::definition(MAIN, term)]);
    let arena = Arena::default();
    let file = File { code: MAIN, path: () };
    let modules = Loader::new(defs).load(&arena, file).map_err(|_| first(None))?;
    let compiled = Compiler::default().with_funs(natives::functions()).compile(modules);
    let filter = compiled.map_err(|files| {
        let error = files.into_iter().flat_map(|(_, errors)| errors).next();
        first(error.map(|(name, kind)| (name, format!("there is no {} {name}", kind.as_str()))))
    })?;
    Ok(Program(Arc::new(filter)))
}

/// Where a part of the source begins; 0 for what is no part of it.
fn offset(source: &str, part: &str) -> usize {
    let at = part.as_ptr().addr().wrapping_sub(source.as_ptr().addr());
    if at <= source.len() { at } else { 0 }
}

fn error_at(source: &str, at: usize, message: String) -> ProgramError {
    let before = source.get(..source.floor_char_boundary(at)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ProgramError { line, column, message }
}

#[cfg(test)]
mod tests;
