//! Honest clients: they ask at a bounded rate, unary and by streams, with deadlines and without, come
//! again where nobody took a request, and check every answer row by row.
//!
//! What counts as *lost*: a request that was sent on an open connection, before its server was told to stop or
//! killed, and that ended without a status, or got no answer within [`PATIENCE`]. What was cut off later
//! no client can tell from what never arrived; it is asked again, as clients do.

pub(crate) mod connection;
pub(crate) mod ledger;
mod stream;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};
use tonic::Code;

use self::{
    connection::{Connection, End, Target, head},
    ledger::{Became, Ledger, Record},
};
use crate::questions::{Question, Verdict};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Until a request that nobody took is sent again.
const PAUSE: Duration = Duration::from_millis(20);

/// Callers that share a connection.
const SHARING: usize = 4;

/// How honest clients ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Callers that ask by unary calls, one request after the other.
    pub(crate) unary: usize,
    /// Callers that ask by streams.
    pub(crate) streams: usize,
    /// Requests a second, of all together.
    pub(crate) rate: f64,
    /// What every other caller sends as its deadline.
    pub(crate) deadline: Duration,
}

/// What is asked: by turn, and with a marked row or without.
pub(crate) type Ask = Arc<dyn Fn(usize, Option<f64>) -> Question + Send + Sync>;

/// The moments after which servers owe no answer any more, by generation.
#[derive(Default)]
pub(crate) struct Ends(Mutex<BTreeMap<u64, Owed>>);

/// What a server owes that was told to end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owed {
    /// Answers to what was sent before.
    Since(Instant),
    /// Nothing.
    Nothing,
}

/// What all callers share.
pub(crate) struct Desk {
    pub(crate) manner: Manner,
    pub(crate) ask: Ask,
    pub(crate) target: watch::Receiver<Target>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) ends: Arc<Ends>,
}

/// Callers at work, until this is dropped.
pub(crate) struct Callers {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// One caller.
struct Caller {
    number: usize,
    line: Arc<Line>,
    desk: Arc<Desk>,
    stopped: watch::Receiver<bool>,
}

/// A connection that is opened again where it broke.
#[derive(Default)]
struct Line(AsyncMutex<Option<Arc<Connection>>>);

/// One request on its way, as often as it is sent.
struct Errand {
    question: Question,
    chapter: usize,
    due: Instant,
    deadline: Option<Duration>,
    first: bool,
}

impl Ends {
    /// The server of this generation is about to be told.
    pub(crate) fn tell(&self, generation: u64, owed: Owed) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(generation, owed);
    }

    fn excuse(&self, generation: u64, sent: Instant) -> bool {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&generation) {
            Some(Owed::Since(told)) => sent >= *told,
            Some(Owed::Nothing) => true,
            None => false,
        }
    }
}

impl Callers {
    /// Begins to ask.
    pub(crate) fn begin(desk: Desk) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (desk, mut tasks, mut line) = (Arc::new(desk), JoinSet::new(), Arc::new(Line::default()));
        for number in 0..desk.manner.unary + desk.manner.streams {
            if number.is_multiple_of(SHARING) {
                line = Arc::new(Line::default());
            }
            let caller = Caller { number, line: Arc::clone(&line), desk: Arc::clone(&desk), stopped: stopped.clone() };
            if number < desk.manner.unary {
                tasks.spawn(caller.ask_on());
            } else {
                tasks.spawn(caller.stream_on());
            }
        }
        Self { tasks, stop }
    }

    /// Waits until everything that was sent came to its end.
    pub(crate) async fn end(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Caller {
    /// One request after the other, by the clock.
    async fn ask_on(self) {
        let (mut turn, begun) = (self.number, Instant::now());
        while let Some(due) = self.due(turn, begun).await {
            let (chapter, mark) = self.desk.ledger.send(1);
            let question = (self.desk.ask)(turn, mark);
            let deadline = self.number.is_multiple_of(2).then_some(self.desk.manner.deadline);
            self.see_to(Errand { question, chapter, due, deadline, first: true }).await;
            turn += self.callers();
        }
    }

    fn callers(&self) -> usize {
        self.desk.manner.unary + self.desk.manner.streams
    }

    /// Waits for the moment of this turn. Who comes late counts from the moment that the clock named, so
    /// that a server that stalls can't hide it by being asked less. None where this is the end.
    async fn due(&self, turn: usize, begun: Instant) -> Option<Instant> {
        let due = begun + Duration::from_secs_f64(turn as f64 / self.desk.manner.rate);
        let mut stopped = self.stopped.clone();
        let in_time = due > Instant::now();
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return None,
            () = sleep_until(due.into()) => {}
        }
        // tokio's timers are up to a millisecond late, which is not the server's doing.
        Some(if in_time { Instant::now() } else { due })
    }

    /// Sends a request until it comes to an end.
    async fn see_to(&self, mut errand: Errand) {
        let begun = Instant::now();
        let became = loop {
            if let Some(became) = self.attempt(&errand).await {
                break became;
            }
            if begun.elapsed() > PATIENCE {
                break Became::Lost(format!("nobody took it within {PATIENCE:?}"));
            }
            errand.first = false;
            self.desk.ledger.again(errand.chapter);
            sleep(PAUSE).await;
        };
        let record = Record { sent: errand.due, done: Instant::now(), smooth: errand.first };
        self.desk.ledger.add(errand.chapter, became, record);
    }

    /// Sends a request once; none where it is to be sent again.
    async fn attempt(&self, errand: &Errand) -> Option<Became> {
        let target = *self.desk.target.borrow();
        let connection = self.line.connection(target).await?;
        let head = head(connection.target, errand.question.method, errand.deadline).ok()?;
        let sent = Instant::now();
        let asked = timeout(PATIENCE, connection.ask(head, errand.question.frame.clone())).await;
        let end = asked.unwrap_or_else(|_| End::Broken(format!("no answer within {PATIENCE:?}")));
        if !matches!(end, End::Answered(..)) {
            self.line.forget(&connection).await;
        }
        self.became(end, errand, (connection.target.generation, sent))
    }

    fn became(&self, end: End, errand: &Errand, (generation, sent): (u64, Instant)) -> Option<Became> {
        let may_fail = self.desk.ledger.may_fail(errand.chapter);
        match end {
            End::NotTaken | End::Answered(Code::Unavailable, ..) => None,
            End::Broken(_) if self.desk.ends.excuse(generation, sent) => None,
            End::Broken(how) => Some(Became::Lost(format!("{how}, after {:?}", sent.elapsed()))),
            End::Answered(Code::Ok, _, message) => Some(judged(&errand.question, &message, may_fail)),
            End::Answered(code @ Code::ResourceExhausted, ..) => Some(Became::Refused(code)),
            End::Answered(code @ Code::DeadlineExceeded, ..) if errand.deadline.is_some() => {
                Some(Became::Refused(code))
            }
            End::Answered(code @ Code::Internal, ..) if may_fail => Some(Became::Refused(code)),
            End::Answered(code, said, _) => Some(Became::Wrong(format!("{code:?}: {said}"))),
        }
    }
}

fn judged(question: &Question, message: &[u8], may_fail: bool) -> Became {
    match question.judge(message) {
        Verdict::Right => Became::Right { marked: question.is_marked() },
        Verdict::Failed if may_fail => Became::Failed,
        Verdict::Failed => Became::Wrong("rows failed that nothing was wrong with".into()),
        Verdict::Wrong(what) => Became::Wrong(what),
    }
}

impl Line {
    /// The connection to this server, opened where there is none.
    async fn connection(&self, target: Target) -> Option<Arc<Connection>> {
        let mut line = self.0.lock().await;
        if let Some(open) = line.as_ref().filter(|open| open.target == target) {
            return Some(Arc::clone(open));
        }
        let opened = Arc::new(Connection::open(target).await.ok()?);
        *line = Some(Arc::clone(&opened));
        Some(opened)
    }

    /// It broke: the next call opens another one.
    async fn forget(&self, broken: &Arc<Connection>) {
        let mut line = self.0.lock().await;
        if line.as_ref().is_some_and(|line| Arc::ptr_eq(line, broken)) {
            *line = None;
        }
    }
}
