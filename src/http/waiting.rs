#![forbid(unsafe_code)]
//! Says on the terminal what a slow start is waiting for.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::log::{Log, status_line};
use crate::process::with_signals_blocked;

/// How long a start waits before the line appears, and how often it is redrawn.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a request is waiting for.
pub(super) enum Wait {
    /// The addresses of a host.
    Lookup { name: String },
    /// The connection and the response.
    Response,
    /// The time of the next try.
    Retry { at: Instant },
}

/// The current wait and when it began.
type CurrentWait = Mutex<Option<(Wait, Instant)>>;

/// Shows the current wait on the terminal, once a second. Dropping it ends its thread.
pub(super) struct WaitingLine {
    current: Arc<CurrentWait>,
    _ends_thread: Sender<()>,
}

impl WaitingLine {
    /// Starts the thread that draws the line: the thread that sends a request is blocked meanwhile.
    /// Returns `None` if the log has no status line, or if there can be no thread.
    pub(super) fn start(log: &dyn Log) -> Option<Self> {
        if !log.has_status_line() {
            return None;
        }
        let current = Arc::new(CurrentWait::default());
        let drawn = Arc::clone(&current);
        let (sender, end) = channel();
        let draw = move || {
            while end.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                // The lock is held while the line is drawn, so that it cannot appear after the wait.
                if let Some((wait, start)) = &*lock(&drawn) {
                    status_line::draw(&format!("phase-run: {}", wait.text(start.elapsed())));
                }
            }
        };
        with_signals_blocked(|| thread::Builder::new().spawn(draw)).ok()?;
        Some(Self {
            current,
            _ends_thread: sender,
        })
    }

    /// Shows a wait until the guard is dropped.
    pub(super) fn begin(&self, wait: Wait) -> WaitGuard<'_> {
        *lock(&self.current) = Some((wait, Instant::now()));
        WaitGuard(&self.current)
    }
}

/// Erases the line when it is dropped.
pub(super) struct WaitGuard<'a>(&'a CurrentWait);

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        let mut current = lock(self.0);
        *current = None;
        status_line::erase();
    }
}

impl Wait {
    fn text(&self, waited: Duration) -> String {
        let waited = waited.as_secs_f64();
        match self {
            Self::Lookup { name } => format!("resolving {name}, {waited:.0} s"),
            Self::Response => format!("waiting for a response, {waited:.0} s"),
            Self::Retry { at } => {
                let left = at.saturating_duration_since(Instant::now());
                format!("retrying in {:.0} s", left.as_secs_f64().ceil())
            }
        }
    }
}

fn lock(current: &CurrentWait) -> MutexGuard<'_, Option<(Wait, Instant)>> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}
