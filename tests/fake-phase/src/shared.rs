//! The state that the server's threads and the test share: one mutex, and one condition variable that
//! is signalled at every change, so that both sides wait for events instead of sleeping.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::request::Request;
use crate::responder::{Fault, Responder};
use crate::response::Response;
use crate::views;
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
    gates: Vec<GateState>,
}

struct GateState {
    path: String,
    /// How many requests it has held so far.
    held: usize,
    /// How many of these, the first ones, were released while the gate stayed closed.
    released: usize,
    open: bool,
}

/// Holds matching requests until it is opened or dropped.
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

    /// Locks the state. After a change that others may wait for, call `signal`.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A test that panics while it edits the world should fail with that panic, not a poisoned lock.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn signal(&self) {
        self.changed.notify_all();
    }

    /// Waits until `ready` returns true, at most `within`. Returns whether it did.
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

    /// Registers a connection, so that it ends with the server, and returns its number. Returns `None`
    /// if the server has ended.
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
            // An error means that the client has already closed it.
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(state);
        self.signal();
    }

    /// Records a request, holds it while a gate is closed, and returns how to respond.
    pub(crate) fn handle(&self, request: &Request) -> Fault {
        let path = request.path();
        let mut state = self.state();
        state.requests.push(request.clone());
        let mut passed_gates = Vec::new();
        let next_gate = |state: &State, passed_gates: &[usize]| {
            let mut gates = state.gates.iter().enumerate();
            let holds = |(index, gate): &(usize, &GateState)| {
                !gate.open && path.contains(&gate.path) && !passed_gates.contains(index)
            };
            gates.find(holds).map(|(index, _)| index)
        };
        while let Some(index) = next_gate(&state, &passed_gates).filter(|_| !state.closed) {
            let number = state.hold_at(index);
            self.signal();
            let is_held = |state: &mut State| {
                let holds = |gate: &GateState| !gate.open && gate.released < number;
                !state.closed && state.gates.get(index).is_some_and(holds)
            };
            let waited = self.changed.wait_while(state, is_held);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
            passed_gates.push(index);
        }
        self.signal();
        let matching = |(part, responder): &'_ mut (String, Responder)| -> bool {
            let matches = path.contains(part.as_str()) && responder.remaining != Some(0);
            let passes = matches && responder.skip > 0;
            responder.skip -= usize::from(passes);
            matches && !passes
        };
        let mut latest = state.responders.iter_mut().rev();
        let found = latest.find_map(|responder| matching(responder).then_some(&mut responder.1));
        let Some(responder) = found else {
            return Fault::Response(views::respond(&mut state.world, &self.prefix, request));
        };
        if let Some(remaining) = &mut responder.remaining {
            *remaining -= 1;
        }
        responder.fault.clone()
    }

    /// Returns the world's response, for faults that break it off.
    pub(crate) fn world_response(&self, request: &Request) -> Response {
        views::respond(&mut self.state().world, &self.prefix, request)
    }

    pub(crate) fn respond_normally(&self) {
        self.state().responders.clear();
    }

    pub(crate) fn respond(&self, path: &str, responder: Responder) {
        self.state().responders.push((path.to_owned(), responder));
    }

    pub(crate) fn gate(self: &Arc<Shared>, path: &str) -> Gate {
        let mut state = self.state();
        state.gates.push(GateState {
            path: path.to_owned(),
            held: 0,
            released: 0,
            open: false,
        });
        Gate {
            shared: Arc::clone(self),
            index: state.gates.len() - 1,
        }
    }
}

impl State {
    /// Counts a request that a gate holds, and returns its number there.
    fn hold_at(&mut self, index: usize) -> usize {
        let gate = self.gates.get_mut(index).unwrap();
        gate.held += 1;
        gate.held
    }

    fn held(&self, index: usize) -> usize {
        self.gates.get(index).map_or(0, |gate| gate.held)
    }
}

impl Gate {
    /// Waits until a request is held. Panics if none arrives `within` this time.
    pub fn wait_for_request(&self, within: Duration) {
        self.wait_for_requests(1, within);
    }

    /// Waits until this many requests have been held. Panics if fewer arrive `within` this time.
    pub fn wait_for_requests(&self, count: usize, within: Duration) {
        let enough = |state: &State| state.held(self.index) >= count;
        if !self.shared.wait(within, enough) {
            let held = self.shared.state().held(self.index);
            panic!("{held} of {count} requests arrived at the gate within {within:?}");
        }
    }

    /// Releases the requests that are held now, and holds later ones.
    pub fn release_held(&self) {
        if let Some(gate) = self.shared.state().gates.get_mut(self.index) {
            gate.released = gate.held;
        }
        self.shared.signal();
    }

    /// Releases the held requests and all later ones, as dropping the gate does.
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
