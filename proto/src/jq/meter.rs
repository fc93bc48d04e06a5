//! The bounds of a run, and how a program is made to meet them.
//!
//! jaq has no fuel of its own. So every call in a program, those of the standard library included, is preceded by one of
//! `tick`, and every value is weighed when it is made (see [`super::value`]). All recursion of jq goes through calls, and
//! every other loop makes values, so nothing runs for long without passing here. What crosses a bound unwinds the thread:
//! an error could be caught by the program, with `try` or `?`, and the loop would go on.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use jaq_core::box_iter::box_once;
use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::native::Fun;
use jaq_core::path::{Part, Path};
use jaq_core::{Bind, Native};

use super::Data;

/// The bound that a run has crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Time,
    Steps,
    Memory,
    Depth,
}

/// Units of work; one is about one value that is looked at.
const STEPS: u64 = 1 << 29;
/// Bytes that a run may take for values, given back or not.
const MEMORY: u64 = 384 << 20;
/// Stack that a run may use; what follows the last check needs some beyond it.
const DEPTH: usize = 32 << 20;
/// Work of one call.
const CALL: u64 = 8;
/// Bytes that a call with arguments counts for. It keeps its caller's variables, so that calls within arguments of calls make
/// chains, and a chain is given back level by level, which takes stack.
const CLOSURE: u64 = 768;
/// How much work is done between two looks at the clock.
const CLOCK: u64 = 1 << 12;

thread_local! {
    /// Each run has a thread of its own.
    static RUN: Cell<Run> = const { Cell::new(Run { steps: STEPS, memory: MEMORY, look: 0, until: None, base: 0 }) };
}

#[derive(Clone, Copy)]
struct Run {
    steps: u64,
    memory: u64,
    /// Work until the next look at the clock.
    look: u64,
    until: Option<Instant>,
    /// Address of the bottom of the stack.
    base: usize,
}

/// Begins a run on this thread.
pub(super) fn begin(within: Duration) {
    let until = Instant::now().checked_add(within);
    RUN.set(Run { steps: STEPS, memory: MEMORY, look: CLOCK, until, base: here() });
}

/// Counts work.
pub(super) fn charge(work: u64) {
    let mut run = RUN.get();
    let Some(steps) = run.steps.checked_sub(work) else { stop(Stop::Steps) };
    run.steps = steps;
    run.look = run.look.saturating_sub(work);
    if run.look == 0 {
        if run.until.is_some_and(|until| Instant::now() >= until) {
            stop(Stop::Time);
        }
        run.look = CLOCK;
    }
    RUN.set(run);
}

/// Counts bytes that are taken, and the work of filling them.
pub(super) fn take(bytes: u64) {
    let mut run = RUN.get();
    let Some(memory) = run.memory.checked_sub(bytes) else { stop(Stop::Memory) };
    run.memory = memory;
    RUN.set(run);
    charge(1 + bytes / 16);
}

/// Ends the run. No panic: the hook of the process hears nothing of it.
pub(super) fn stop(why: Stop) -> ! {
    resume_unwind(Box::new(why))
}

fn tick() {
    // The stack grows downwards on every machine that this is built for.
    if RUN.get().base.abs_diff(here()) > DEPTH {
        stop(Stop::Depth);
    }
    charge(CALL);
}

/// About where the stack ends now.
#[inline(never)]
fn here() -> usize {
    let marker = 0_u8;
    std::ptr::from_ref(&marker).addr()
}

const TICK: &str = "tick";
const TICK_WITH_ARGUMENTS: &str = "tick_with_arguments";

fn tick_with_arguments() {
    tick();
    take(CLOSURE);
}

/// `.`, at the price of a call; also in paths and on the left of updates.
pub(super) fn functions() -> [Fun<Data>; 2] {
    macro_rules! identity {
        ($price:ident) => {
            Native::new(|cv| {
                $price();
                box_once(Ok(cv.1))
            })
            .with_paths(|cv| {
                $price();
                box_once(Ok(cv.1))
            })
            .with_update(|cv, f| {
                $price();
                f(cv.1)
            })
        };
    }
    let none = Box::<[Bind]>::default;
    [(TICK, none(), identity!(tick)), (TICK_WITH_ARGUMENTS, none(), identity!(tick_with_arguments))]
}

type T<'s> = Term<&'s str>;

/// `def name: body;` with everything in it metered.
pub(super) fn definition<'s>(name: &'s str, body: T<'s>) -> Def<&'s str> {
    Def { name, args: Vec::new(), body: metered(body) }
}

/// A definition with its body metered.
pub(super) fn meter(def: Def<&str>) -> Def<&str> {
    Def { body: metered(def.body), ..def }
}

fn boxed(term: T<'_>) -> Box<T<'_>> {
    Box::new(metered(term))
}

fn after_tick(term: T<'_>) -> T<'_> {
    let tick = match &term {
        Term::Call(_, args) if !args.is_empty() => TICK_WITH_ARGUMENTS,
        _ => TICK,
    };
    let tick = Term::Call(tick, Vec::new());
    Term::BinOp(Box::new(tick), BinaryOp::Pipe(None), Box::new(term))
}

/// The price of a search: it depends on the pattern, which the search itself does not tell.
fn searches(name: &str, args: &[T<'_>]) -> bool {
    args.len() == 2 && matches!(name, "matches" | "split_matches" | "split_")
}

fn metered(term: T<'_>) -> T<'_> {
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) => term,
        Term::Str(format, parts) => {
            let part = |part| match part {
                StrPart::Term(term) => StrPart::Term(metered(term)),
                plain => plain,
            };
            let plain = format.is_none() && !parts.iter().any(|part| matches!(part, StrPart::Term(_)));
            let text = Term::Str(format, parts.into_iter().map(part).collect());
            if plain { text } else { after_tick(text) }
        }
        Term::Arr(inner) => Term::Arr(inner.map(|inner| boxed(*inner))),
        Term::Obj(entries) => {
            let entries = entries.into_iter();
            Term::Obj(entries.map(|(key, value)| (object_key(key), value.map(metered))).collect())
        }
        Term::Neg(inner) => Term::Neg(boxed(*inner)),
        Term::BinOp(l, op, r) => {
            let op = match op {
                BinaryOp::Pipe(pattern) => BinaryOp::Pipe(pattern.map(metered_pattern)),
                other => other,
            };
            Term::BinOp(boxed(*l), op, boxed(*r))
        }
        Term::Label(name, inner) => Term::Label(name, boxed(*inner)),
        Term::Fold(name, xs, pattern, args) => Term::Fold(
            name,
            boxed(*xs),
            metered_pattern(pattern),
            args.into_iter().map(|arg| after_tick(metered(arg))).collect(),
        ),
        Term::TryCatch(body, handler) => Term::TryCatch(boxed(*body), handler.map(|h| boxed(*h))),
        Term::IfThenElse(cases, other) => {
            let cases = cases.into_iter().map(|(when, then)| (metered(when), metered(then))).collect();
            Term::IfThenElse(cases, other.map(|other| boxed(*other)))
        }
        Term::Def(defs, body) => Term::Def(defs.into_iter().map(meter).collect(), boxed(*body)),
        Term::Call(name, args) => {
            let args: Vec<_> = args.into_iter().map(metered).collect();
            let price = searches(name, &args).then(|| Term::Call("search_price", args[..1].to_vec()));
            let call = Term::Call(name, args);
            let call = after_tick(call);
            match price {
                Some(price) => Term::BinOp(Box::new(price), BinaryOp::Pipe(None), Box::new(call)),
                None => call,
            }
        }
        Term::Path(inner, Path(parts)) => {
            let part = |part| match part {
                Part::Index(index) => Part::Index(metered(index)),
                Part::Range(from, to) => Part::Range(from.map(metered), to.map(metered)),
            };
            let parts = parts.into_iter().map(|(p, optional)| (part(p), optional)).collect();
            Term::Path(boxed(*inner), Path(parts))
        }
    }
}

/// `{name}`, `{$name}` and `{"name"}` mean more than their terms alone, so the plain ones stay as they are.
fn object_key(key: T<'_>) -> T<'_> {
    match key {
        Term::Var(_) | Term::Num(_) => key,
        Term::Str(format, parts) => {
            let part = |part| match part {
                StrPart::Term(term) => StrPart::Term(metered(term)),
                plain => plain,
            };
            Term::Str(format, parts.into_iter().map(part).collect())
        }
        other => metered(other),
    }
}

fn metered_pattern(pattern: Pattern<&str>) -> Pattern<&str> {
    match pattern {
        Pattern::Var(_) => pattern,
        Pattern::Arr(items) => Pattern::Arr(items.into_iter().map(metered_pattern).collect()),
        Pattern::Obj(entries) => {
            let entry = |(key, inner)| (object_key(key), metered_pattern(inner));
            Pattern::Obj(entries.into_iter().map(entry).collect())
        }
    }
}
