//! Whether JavaScript can be read, asked of the interpreter that nodes run it with. Nothing of it is run.

use std::time::{Duration, Instant};

use rquickjs::context::{EvalOptions, intrinsic};
use rquickjs::{CatchResultExt as _, CaughtError, Context, Function, Runtime};

/// The interpreter's own bounds while it reads.
const MEMORY_BYTES: usize = 32 << 20;
const STACK_BYTES: usize = 256 << 10;
const WITHIN: Duration = Duration::from_secs(1);
/// Longest wording, in characters.
const WORDING_CHARS: usize = 300;

/// What is wrong with the body of an async function, if it cannot be read.
pub(super) fn problem(body: &str) -> Option<String> {
    read(body).err().map(|text| text.chars().take(WORDING_CHARS).collect())
}

fn read(body: &str) -> Result<(), String> {
    let failed = |error: rquickjs::Error| format!("cannot be checked: {error}");
    let runtime = Runtime::new().map_err(failed)?;
    runtime.set_memory_limit(MEMORY_BYTES);
    runtime.set_max_stack_size(STACK_BYTES);
    // A body that closes the function around it would be run, up to here.
    let deadline = Instant::now() + WITHIN;
    runtime.set_interrupt_handler(Some(Box::new(move || Instant::now() >= deadline)));
    // Regular expressions are compiled when the code is read.
    type Needed = (intrinsic::Eval, intrinsic::RegExpCompiler, intrinsic::RegExp, intrinsic::Promise);
    let context = Context::custom::<Needed>(&runtime).map_err(failed)?;
    context.with(|ctx| {
        let mut options = EvalOptions::default();
        options.filename = Some("code".to_owned());
        let source = format!("(async (params, api, console) => {{{body}\n}})");
        let made: rquickjs::Result<Function<'_>> = ctx.eval_with_options(source, options);
        made.catch(&ctx).map(drop).map_err(|error| wording(&error))
    })
}

fn wording(error: &CaughtError<'_>) -> String {
    let CaughtError::Exception(exception) = error else { return "is no JavaScript".to_owned() };
    let name: String = exception.as_object().get("name").unwrap_or_default();
    let message = exception.message().unwrap_or_default();
    let line = exception.stack().and_then(|stack| line(&stack));
    let place = line.map(|line| format!(" in line {line} of the code")).unwrap_or_default();
    format!("cannot be read: {name}: {message}{place}")
}

/// The line in `at code:12:3`.
fn line(stack: &str) -> Option<u32> {
    let (_, rest) = stack.split_once("code:")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_nodes_can_run_passes_and_other_code_is_named_with_its_line() {
        for good in [
            "return 1",
            "const a = await api.x({});\nfor await (const b of a) { yield_(b) }\nreturn `${a?.b ?? 1}`",
            "return /(?<y>\\d+)/u.exec('1').groups.y // end",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
        for (bad, part) in [
            ("return (", "SyntaxError"),
            ("\n\nconst a = ;", "in line 3"),
            ("interface A { b: string }", "SyntaxError"),
            ("import x from 'y'", "SyntaxError"),
            ("return /(/", "SyntaxError"),
        ] {
            let text = problem(bad).unwrap_or_default();
            assert!(text.contains(part), "{bad}: {text}");
        }
        assert!(problem("}); for (;;); (() => {").is_some(), "what closes the function around it ends too");
    }
}
