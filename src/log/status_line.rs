#![forbid(unsafe_code)]
//! The status line: text on a terminal that is redrawn in place, and erased before anything else is
//! written there.
//!
//! It uses carriage returns and spaces only, so every terminal can show it.

use std::io::{Write, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::poll::PollTimeout;
use nix::unistd::{getpgrp, tcgetpgrp};

use super::is_writable;
use crate::error::first_chars;

/// The most characters of a status line. A longer one would wrap on a narrow terminal, and a line that
/// has wrapped cannot be redrawn in place.
const MAX_LENGTH: usize = 60;

/// The number of characters of the status line that is on the terminal now.
static DRAWN: Mutex<usize> = Mutex::new(0);

/// Draws the status line in place of the one before. Does nothing while this process is in the
/// background, or while standard error would block.
pub(crate) fn draw(text: &str) {
    if !is_in_foreground() || !is_writable(PollTimeout::ZERO) {
        return;
    }
    let mut drawn = lock();
    let text = first_chars(text, MAX_LENGTH);
    let length = text.chars().count();
    let rest_of_previous = " ".repeat(drawn.saturating_sub(length));
    write(&format!("\r{text}{rest_of_previous}"));
    *drawn = length.max(*drawn);
}

/// Erases the status line, if there is one.
pub(crate) fn erase() {
    drop(lock_and_erase());
}

/// Erases the status line, and keeps another one from being drawn until the guard is dropped.
pub(super) fn lock_and_erase() -> MutexGuard<'static, usize> {
    let mut drawn = lock();
    // A terminal that Ctrl-S has stopped must not hold up the start.
    if *drawn > 0 && is_in_foreground() && is_writable(PollTimeout::ZERO) {
        write(&format!("\r{}\r", " ".repeat(*drawn)));
    }
    *drawn = 0;
    drawn
}

/// Whether this process may redraw a line: in the background, that would overwrite the shell's prompt.
fn is_in_foreground() -> bool {
    tcgetpgrp(stderr()) == Ok(getpgrp())
}

fn lock() -> MutexGuard<'static, usize> {
    DRAWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(text: &str) {
    let _ = stderr().write_all(text.as_bytes());
}
