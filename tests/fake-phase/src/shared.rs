//! What the server's threads and the test share: one mutex, and one condition that is signalled at
//! every change, so that both sides wait for events and nobody sleeps.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::answer::Answer;
use crate::fault::{Fault, Responder};
use crate::request::Request;
use crate::rules;
use crate::world::World;

pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    pub(crate) prefix: String,
}

pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) requests: Vec<Request>,
    pub(crate) connections: usize,
    pub(crate) closed: bool,
    sockets: HashMap<usize, TcpStream>,
    responders: Vec<(String, Responder)>,
    gates: Vec<Barrier>,
}

struct Barrier {
    path: String,
    /// How many requests it has held so far.
    held: usize,
    /// How many of these, the first ones, go on although the gate is shut.
    passed: usize,
    open: bool,
}

/// Holds the answers of some requests until it is opened or dropped.
pub struct Gate {
    shared: Arc<Shared>,
    index: usize,
}

impl Shared {
    pub(crate) fn new(world: World, prefix: String) -> Shared {
        let state = State {
            world,
            requests: Vec::new(),
            connections: 0,
            closed: false,
            sockets: HashMap::new(),
            responders: Vec::new(),
            gates: Vec::new(),
        };
        Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            prefix,
        }
    }

    /// The state, for a look or a change; whoever changes what others wait for calls `signal`.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A test that panics while it edits the world must not hide its message behind others.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn signal(&self) {
        self.changed.notify_all();
    }

    /// Waits until `ready`, at most `within`; false when it never was.
    pub(crate) fn wait(&self, within: Duration, mut ready: impl FnMut(&State) -> bool) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.state(), within, |state| !ready(state));
        let (state, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        ready(&state)
    }

    /// Waits until the server is dropped.
    pub(crate) fn wait_for_end(&self) {
        let ended = self.changed.wait_while(self.state(), |state| !state.closed);
        drop(ended);
    }

    /// Counts a connection and keeps its socket, to end it with the server. False when the server
    /// has ended.
    pub(crate) fn connected(&self, socket: &TcpStream) -> Option<usize> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.connections += 1;
        let id = state.connections;
        state.sockets.insert(id, socket.try_clone().ok()?);
        drop(state);
        self.signal();
        Some(id)
    }

    pub(crate) fn disconnected(&self, id: usize) {
        self.state().sockets.remove(&id);
    }

    /// Ends all connections and everything that waits.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.closed = true;
        for socket in state.sockets.values() {
            // Already closed by the client is as good.
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(state);
        self.signal();
    }

    /// Records a request, holds it at its gates, and says what is to be done with it.
    pub(crate) fn handle(&self, request: &Request) -> Fault {
        let path = request.path();
        let mut state = self.state();
        state.requests.push(request.clone());
        let mut behind = Vec::new();
        let held = |state: &State, behind: &[usize]| {
            let mut gates = state.gates.iter().enumerate();
            let shuts = |(index, gate): &(usize, &Barrier)| {
                !gate.open && path.contains(&gate.path) && !behind.contains(index)
            };
            gates.find(shuts).map(|(index, _)| index)
        };
        while let Some(index) = held(&state, &behind).filter(|_| !state.closed) {
            state.count_held(index, 1);
            let number = state.held(index);
            self.signal();
            let shut = |state: &mut State| {
                let shuts = |gate: &Barrier| !gate.open && gate.passed < number;
                !state.closed && state.gates.get(index).is_some_and(shuts)
            };
            let waited = self.changed.wait_while(state, shut);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
            behind.push(index);
        }
        self.signal();
        let matching = |(part, responder): &'_ mut (String, Responder)| -> bool {
            let matches = path.contains(part.as_str()) && responder.left != Some(0);
            let passes = matches && responder.passing > 0;
            responder.passing -= usize::from(passes);
            matches && !passes
        };
        let mut latest = state.responders.iter_mut().rev();
        let found = latest.find_map(|responder| matching(responder).then_some(&mut responder.1));
        let Some(responder) = found else {
            return Fault::Answer(rules::answer(&mut state.world, &self.prefix, request));
        };
        if let Some(left) = &mut responder.left {
            *left -= 1;
        }
        responder.fault.clone()
    }

    /// The world's answer, for faults that spoil it.
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        rules::answer(&mut self.state().world, &self.prefix, request)
    }

    pub(crate) fn respond(&self, path: &str, responder: Responder) {
        self.state().responders.push((path.to_owned(), responder));
    }

    pub(crate) fn gate(self: &Arc<Shared>, path: &str) -> Gate {
        let mut state = self.state();
        state.gates.push(Barrier {
            path: path.to_owned(),
            held: 0,
            passed: 0,
            open: false,
        });
        Gate {
            shared: Arc::clone(self),
            index: state.gates.len() - 1,
        }
    }
}

impl State {
    fn count_held(&mut self, index: usize, requests: usize) {
        if let Some(gate) = self.gates.get_mut(index) {
            gate.held += requests;
        }
    }

    fn held(&self, index: usize) -> usize {
        self.gates.get(index).map_or(0, |gate| gate.held)
    }
}

impl Gate {
    /// Waits until a request is being held; panics when none came in time.
    pub fn arrived(&self, within: Duration) {
        self.arrived_times(1, within);
    }

    /// Waits until so many requests have been held; panics when fewer came in time.
    pub fn arrived_times(&self, requests: usize, within: Duration) {
        let enough = |state: &State| state.held(self.index) >= requests;
        if !self.shared.wait(within, enough) {
            let held = self.shared.state().held(self.index);
            panic!("{held} of {requests} requests arrived at the gate within {within:?}");
        }
    }

    /// Lets the requests that are being held go on, and holds later ones.
    pub fn let_through(&self) {
        if let Some(gate) = self.shared.state().gates.get_mut(self.index) {
            gate.passed = gate.held;
        }
        self.shared.signal();
    }

    /// Lets the held requests and all later ones go on. So does dropping the gate.
    pub fn open(self) {}
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(gate) = self.shared.state().gates.get_mut(self.index) {
            gate.open = true;
        }
        self.shared.signal();
    }
}
