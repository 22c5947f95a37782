//! The process: what it was started with, and how it becomes the command.
//!
//! The only place that touches signals, limits, descriptors by number, and `unsafe`. What it was
//! started with is handed on as it was: dispositions, mask, limits, descriptors, directory.

pub(crate) mod descriptor;
pub(crate) mod exec;
pub(crate) mod harden;
mod loader;
pub(crate) mod sealed;
pub(crate) mod signal;
pub(crate) mod startup;

use std::sync::atomic::{AtomicBool, Ordering};

/// The proof that there is one thread. Only one exists in the life of the program, made before
/// anything could have started a second; what starts threads consumes it.
#[derive(Debug)]
pub(crate) struct SingleThreaded(());

impl SingleThreaded {
    /// The first thing that `main` does. None for every further call.
    pub(crate) fn claim() -> Option<Self> {
        static CLAIMED: AtomicBool = AtomicBool::new(false);
        (!CLAIMED.swap(true, Ordering::Relaxed)).then_some(Self(()))
    }
}
