#![forbid(unsafe_code)]
//! Explores every state that a model can reach. For tests only.
//!
//! A [`Model`] has a finite number of states and says which steps can happen in each. [`explore`] goes
//! through them breadth first, so the counterexample that it finds is a shortest one. It keeps whole
//! states, not hashes of them: no state is taken for another. [`walk`] follows random paths instead, for
//! models that are too large.

use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::rc::Rc;

/// What makes a step happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The program does it without waiting. A cycle of such steps is a busy loop.
    Own,
    /// Something else does it sooner or later: a timer, another process, a server that answers.
    Sure,
    /// Nobody has to do it: a signal is sent, a process is killed.
    Chance,
}

/// A system with a finite number of states.
pub(crate) trait Model {
    type State: Clone + Eq + Hash + Debug;
    type Step: Clone + Debug;

    /// Returns the states in which the system can start.
    fn starts(&self) -> Vec<Self::State>;

    /// Adds all steps that can happen in this state, with the state after each.
    fn steps(&self, state: &Self::State, into: &mut Vec<(Kind, Self::Step, Self::State)>);

    /// Returns the property that this state violates.
    fn violation(&self, state: &Self::State) -> Option<&'static str>;

    /// Returns whether the system may stay in this state. From every other state, steps that are not left
    /// to chance must lead to such a state.
    fn may_rest(&self, state: &Self::State) -> bool;
}

/// How much was explored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// The number of steps from a start to the farthest state.
    pub(crate) depth: usize,
}

/// A path to a state that violates a property.
pub(crate) struct Counterexample<M: Model> {
    pub(crate) property: &'static str,
    pub(crate) path: Vec<M::Step>,
    state: M::State,
}

impl<M: Model> Debug for Counterexample<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.property)?;
        for (number, step) in self.path.iter().enumerate() {
            writeln!(f, "{:4} {step:?}", number + 1)?;
        }
        write!(f, "{:?}", self.state)
    }
}

/// The property that every state violates from which no steps lead to one where the system may rest.
pub(crate) const WAY_OUT: &str = "there is no state without a way out";

/// The property that a cycle of the program's own steps violates.
pub(crate) const NO_BUSY_LOOP: &str = "there is no busy loop";

/// Explores all states. Returns the first violation if there is one.
pub(crate) fn explore<M: Model>(model: &M) -> Result<Explored, Counterexample<M>> {
    let mut graph = Graph::<M>::default();
    let mut queue = VecDeque::new();
    for start in model.starts() {
        queue.extend(graph.add(start, None));
    }
    let mut steps = Vec::new();
    while let Some(from) = queue.pop_front() {
        let state = Rc::clone(&graph.nodes[from].state);
        if let Some(property) = model.violation(&state) {
            return Err(graph.counterexample(property, from));
        }
        model.steps(&state, &mut steps);
        for (kind, step, state) in steps.drain(..) {
            let (to, is_new) = match graph.numbers.get(&state) {
                Some(to) => (*to, false),
                None => (graph.nodes.len(), true),
            };
            if is_new {
                queue.extend(graph.add(state, Some((from, step))));
            }
            graph.edges.push((index(from), index(to), kind));
        }
    }
    if let Some(node) = graph.busy_loop() {
        return Err(graph.counterexample(NO_BUSY_LOOP, node));
    }
    if let Some(node) = graph.without_way_out(model) {
        return Err(graph.counterexample(WAY_OUT, node));
    }
    let depth = graph.nodes.iter().map(|node| node.depth).max();
    Ok(Explored {
        states: graph.nodes.len(),
        steps: graph.edges.len(),
        depth: depth.unwrap_or_default(),
    })
}

/// Follows random paths of at most `length` steps, and returns the first violation. It cannot check that
/// there is a way out.
pub(crate) fn walk<M: Model>(
    model: &M,
    paths: usize,
    length: usize,
    seed: u64,
) -> Result<Explored, Counterexample<M>> {
    let mut random = seed | 1;
    let mut pick = move |count: usize| {
        // xorshift64 (Marsaglia 2003).
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 16).unwrap() % count
    };
    let (starts, mut steps, mut explored) = (model.starts(), Vec::new(), Explored::default());
    for _ in 0..paths {
        let mut state = starts[pick(starts.len())].clone();
        let mut path = Vec::new();
        loop {
            if let Some(property) = model.violation(&state) {
                return Err(Counterexample {
                    property,
                    path,
                    state,
                });
            }
            model.steps(&state, &mut steps);
            if steps.is_empty() || path.len() == length {
                break;
            }
            // What is left to chance is rare, so that paths go far.
            let is_sure = |kind: Kind| kind != Kind::Chance;
            if pick(16) > 0 && steps.iter().any(|(kind, ..)| is_sure(*kind)) {
                steps.retain(|(kind, ..)| is_sure(*kind));
            }
            let (_, step, next) = steps.swap_remove(pick(steps.len()));
            steps.clear();
            path.push(step);
            state = next;
        }
        explored.steps += path.len();
        explored.depth = explored.depth.max(path.len());
    }
    Ok(explored)
}

fn index(node: usize) -> u32 {
    node.try_into().unwrap()
}

struct Graph<M: Model> {
    nodes: Vec<Node<M>>,
    numbers: HashMap<Rc<M::State>, usize>,
    /// Numbers of 32 bits, because there are many.
    edges: Vec<(u32, u32, Kind)>,
}

struct Node<M: Model> {
    state: Rc<M::State>,
    /// The state from which it was reached first, and how.
    origin: Option<(usize, M::Step)>,
    depth: usize,
}

impl<M: Model> Default for Graph<M> {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            numbers: HashMap::new(),
            edges: Vec::new(),
        }
    }
}

impl<M: Model> Graph<M> {
    /// Adds a state, and returns its number if it is new.
    fn add(&mut self, state: M::State, origin: Option<(usize, M::Step)>) -> Option<usize> {
        let (state, number) = (Rc::new(state), self.nodes.len());
        if self.numbers.contains_key(&state) {
            return None;
        }
        self.numbers.insert(Rc::clone(&state), number);
        let depth = origin
            .as_ref()
            .map_or(0, |(from, _)| self.nodes[*from].depth + 1);
        self.nodes.push(Node {
            state,
            origin,
            depth,
        });
        Some(number)
    }

    /// Returns a state from which nothing leads to a state where the system may rest.
    fn without_way_out(&self, model: &M) -> Option<usize> {
        let kept = |kind: Kind| kind != Kind::Chance;
        let before = self.neighbours(|(from, to, kind)| kept(kind).then_some((to, from)));
        let mut good: Vec<bool> = self
            .nodes
            .iter()
            .map(|node| model.may_rest(&node.state))
            .collect();
        let mut queue: Vec<usize> = (0..good.len()).filter(|node| good[*node]).collect();
        while let Some(node) = queue.pop() {
            for from in before.of(node) {
                let from = *from as usize;
                if !std::mem::replace(&mut good[from], true) {
                    queue.push(from);
                }
            }
        }
        good.iter().position(|good| !good)
    }

    /// Returns a state on a cycle of the program's own steps, or behind one, if there is such a cycle:
    /// removes every state that no such step leads to, until none is left to remove, and takes the first
    /// that remains.
    fn busy_loop(&self) -> Option<usize> {
        let own = |kind: Kind| kind == Kind::Own;
        let after = self.neighbours(|(from, to, kind)| own(kind).then_some((from, to)));
        let mut incoming = vec![0_usize; self.nodes.len()];
        for (_, to, _) in self.edges.iter().filter(|edge| own(edge.2)) {
            incoming[*to as usize] += 1;
        }
        let mut queue: Vec<usize> = (0..incoming.len()).filter(|n| incoming[*n] == 0).collect();
        while let Some(node) = queue.pop() {
            for to in after.of(node) {
                let to = *to as usize;
                incoming[to] -= 1;
                if incoming[to] == 0 {
                    queue.push(to);
                }
            }
        }
        incoming.iter().position(|count| *count > 0)
    }

    /// Sorts edges by one of their ends.
    fn neighbours(&self, edge: impl Fn((u32, u32, Kind)) -> Option<(u32, u32)>) -> Neighbours {
        let edges = || self.edges.iter().filter_map(|kept| edge(*kept));
        let mut starts = vec![0; self.nodes.len() + 1];
        edges().for_each(|(node, _)| starts[node as usize + 1] += 1);
        for node in 1..starts.len() {
            starts[node] += starts[node - 1];
        }
        let mut next = starts.clone();
        let mut list = vec![0; starts[self.nodes.len()]];
        for (node, other) in edges() {
            let next = &mut next[node as usize];
            list[*next] = other;
            *next += 1;
        }
        Neighbours { starts, list }
    }

    fn counterexample(&self, property: &'static str, node: usize) -> Counterexample<M> {
        let mut path = Vec::new();
        let mut at = node;
        while let Some((from, step)) = &self.nodes[at].origin {
            path.push(step.clone());
            at = *from;
        }
        path.reverse();
        Counterexample {
            property,
            path,
            state: M::State::clone(&self.nodes[node].state),
        }
    }
}

/// The neighbours of all states, in one list.
struct Neighbours {
    /// Where the neighbours of each state start.
    starts: Vec<usize>,
    list: Vec<u32>,
}

impl Neighbours {
    fn of(&self, node: usize) -> &[u32] {
        &self.list[self.starts[node]..self.starts[node + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A counter that goes up to a limit, and what it does there.
    struct Counter {
        limit: u8,
        forbidden: Option<u8>,
        last: Option<(Kind, u8)>,
        may_rest: u8,
    }

    const COUNTER: Counter = Counter {
        limit: 5,
        forbidden: None,
        last: None,
        may_rest: 5,
    };

    impl Model for Counter {
        type State = u8;
        type Step = &'static str;

        fn starts(&self) -> Vec<u8> {
            vec![0]
        }

        fn steps(&self, state: &u8, into: &mut Vec<(Kind, &'static str, u8)>) {
            if *state < self.limit {
                into.push((Kind::Own, "up", state + 1));
            } else if let Some((kind, next)) = self.last {
                into.push((kind, "back", next));
            }
        }

        fn violation(&self, state: &u8) -> Option<&'static str> {
            (Some(*state) == self.forbidden).then_some("forbidden")
        }

        fn may_rest(&self, state: &u8) -> bool {
            *state == self.may_rest
        }
    }

    fn found(counter: &Counter) -> &'static str {
        explore(counter).unwrap_err().property
    }

    #[test]
    fn every_state_is_explored() {
        let explored = explore(&COUNTER).unwrap();
        let expected = Explored {
            states: 6,
            steps: 5,
            depth: 5,
        };
        assert_eq!(explored, expected);
        assert_eq!(walk(&COUNTER, 2, 9, 1).unwrap().steps, 10);
    }

    #[test]
    fn violation_is_found_with_its_path() {
        let counter = Counter {
            forbidden: Some(3),
            ..COUNTER
        };
        let found = explore(&counter).unwrap_err();
        assert_eq!((found.path.len(), found.state), (3, 3));
        assert_eq!(walk(&counter, 1, 9, 1).unwrap_err().path.len(), 3);
    }

    #[test]
    fn dead_end_and_busy_loop_are_found() {
        let back = |kind, may_rest| Counter {
            last: Some((kind, 1)),
            may_rest,
            ..COUNTER
        };
        assert_eq!(found(&back(Kind::Chance, 1)), WAY_OUT);
        assert_eq!(found(&back(Kind::Own, 1)), NO_BUSY_LOOP);
        assert!(explore(&back(Kind::Sure, 1)).is_ok());
        assert_eq!(
            found(&Counter {
                may_rest: 9,
                ..COUNTER
            }),
            WAY_OUT
        );
    }
}
