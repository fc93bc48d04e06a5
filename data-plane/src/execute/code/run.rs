//! A run from its start to its end: slices on threads of the sandbox, and between them calls, some at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};

use super::engine::{Answered, Engine, Slice, Wanted};
use super::meter::Meter;
use super::{Api, Budget, Finished, Program, Returned, Room, Stopped};

/// Most calls of a run that are on their way at a time; the others wait for their turn.
const AT_A_TIME: usize = 8;
/// How long a slice that is over time may take to notice. One that takes longer is left behind: its caller is answered,
/// and it keeps its turn until it ends.
const GRACE: Duration = Duration::from_secs(2);

impl Room {
    /// Runs a program to its end. Calls that the code does not wait for are waited for, as long as there is time.
    pub async fn run(&self, program: Program, api: Arc<dyn Api>, budget: Budget) -> Finished {
        let within = program.within;
        let deadline = Instant::now() + within;
        let meter = Arc::new(Meter::new(deadline));
        let run = Run { room: self.clone(), api, deadline, on_their_way: 0, engine: None };
        let mut finished = run.finish(program, budget, &meter).await;
        if let Err(Stopped::Late(after)) = &mut finished.result {
            *after = within;
        }
        finished.computed = meter.computed();
        finished
    }
}

struct Run {
    room: Room,
    api: Arc<dyn Api>,
    deadline: Instant,
    on_their_way: usize,
    engine: Option<Engine>,
}

impl Run {
    async fn finish(mut self, program: Program, budget: Budget, meter: &Arc<Meter>) -> Finished {
        let (api, meter) = (Arc::clone(&self.api), Arc::clone(meter));
        let started = self.slice(move || Engine::start(&program, &api, &budget, &meter)).await;
        let result = match started.and_then(std::convert::identity) {
            Ok((engine, slice)) => {
                self.engine = Some(engine);
                self.go_on(slice).await
            }
            Err(stopped) => Err(stopped),
        };
        let console = self.engine.as_ref().map(Engine::console).unwrap_or_default();
        // A large heap takes a while to free.
        if let Some(engine) = self.engine.take() {
            tokio::task::spawn_blocking(move || drop(engine));
        }
        Finished { result, console, on_their_way: self.on_their_way, computed: Duration::ZERO }
    }

    async fn go_on(&mut self, first: Slice) -> Result<Returned, Stopped> {
        let mut waiting: VecDeque<Wanted> = VecDeque::new();
        let mut under_way = FuturesUnordered::new();
        let (mut slice, mut ended) = (first, None);
        loop {
            waiting.extend(slice.wanted);
            ended = ended.or(slice.ended);
            // Whatever stopped the code stops what it had not begun.
            if matches!(ended, Some(Err(_))) {
                waiting.clear();
            }
            while under_way.len() < AT_A_TIME
                && let Some(Wanted { call, tool, arguments }) = waiting.pop_front()
            {
                let answer = self.api.call(tool, arguments);
                under_way.push(async move { (call, answer.await) });
            }
            self.on_their_way = under_way.len();
            match (&ended, under_way.is_empty()) {
                (Some(Err(_)), _) | (Some(Ok(_)), true) => break,
                (None, true) => return Err(Stopped::Stuck),
                (_, false) => {}
            }
            let Some(answers) = self.answers(&mut under_way).await else {
                return ended.unwrap_or(Err(Stopped::Late(Duration::ZERO)));
            };
            slice = self.answer(answers).await?;
        }
        ended.unwrap_or(Err(Stopped::Fault))
    }

    /// The next answer, and those that are there already; `None` when time is up.
    async fn answers<F: Future<Output = Answered>>(
        &self,
        under_way: &mut FuturesUnordered<F>,
    ) -> Option<Vec<Answered>> {
        let first = tokio::time::timeout_at(self.deadline.into(), under_way.next()).await.ok()??;
        let mut answers = vec![first];
        while let Some(Some(more)) = under_way.next().now_or_never() {
            answers.push(more);
        }
        Some(answers)
    }

    async fn answer(&mut self, answers: Vec<Answered>) -> Result<Slice, Stopped> {
        let engine = self.engine.take().ok_or(Stopped::Fault)?;
        let work = move || {
            let slice = engine.answer(answers);
            (engine, slice)
        };
        let (engine, slice) = self.slice(work).await?;
        self.engine = Some(engine);
        Ok(slice)
    }

    /// Works on a thread of the sandbox, when it is this tenant's turn.
    async fn slice<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let late = |_| Stopped::Late(Duration::ZERO);
        let turn = tokio::time::timeout_at(self.deadline.into(), self.room.turn()).await.map_err(late)?;
        let turn = turn.ok_or(Stopped::Fault)?;
        let room = self.room.clone();
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((turn, room));
            done
        });
        match tokio::time::timeout_at((self.deadline + GRACE).into(), working).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                tracing::error!(%error, "a slice of code ended badly");
                Err(Stopped::Fault)
            }
            Err(_) => {
                tracing::warn!("a slice of code goes on after its time");
                Err(Stopped::Late(Duration::ZERO))
            }
        }
    }
}
