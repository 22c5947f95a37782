//! The panic hook: a bug in phase-run is one line and exit status 125.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Error;
use crate::log::Logger;

/// Makes a panic in any thread write one line of kind `internal` and end the process at once.
///
/// The hook runs before the unwinding or the abort that would follow, and in forked children too.
/// No destructor runs and no other thread continues, so the state left behind is the same as after
/// SIGKILL. If a supervisor panics while its command runs, the kernel kills the command
/// (`die_with_parent`). Without `--watch`, a supervisor has closed standard error by then, so it ends
/// without the line.
pub(crate) fn install(logger: Logger) {
    std::panic::set_hook(Box::new(move |panic| {
        /// Set by the first thread that panics.
        static ENDING: AtomicBool = AtomicBool::new(false);
        while ENDING.swap(true, Ordering::Relaxed) {
            std::thread::park();
        }
        let error = internal_error(panic);
        logger.try_log_error(&error);
        // SAFETY: _exit(2) takes any status and does not return.
        unsafe { libc::_exit(error.exit_status().into()) }
    }));
}

fn internal_error(panic: &PanicHookInfo<'_>) -> Error {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let why = text.filter(|text| is_constant(text));
    Error::Internal {
        why: why
            .unwrap_or("the panic message is withheld because it may contain a secret")
            .to_owned(),
        location: panic.location().map_or(String::new(), ToString::to_string),
    }
}

/// Returns whether the text of a panic holds no value. The reasons in our `expect` calls are plain
/// phrases. The standard library's texts quote the string that is sliced, and add the `Debug` text of
/// an error or of both sides of an assertion after a colon.
fn is_constant(text: &str) -> bool {
    !text.contains([':', '`', '"', '\n'])
}

/// Panics if the variable PANIC_IN names this place, for the tests. In the place `thread`, a new
/// thread panics. Only builds with debug assertions have this function.
#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "the panics under test")]
#[expect(clippy::disallowed_methods, reason = "the variable is not secret")]
pub(crate) fn panic_if_requested(place: &str) {
    if std::env::var_os("PANIC_IN").is_none_or(|requested| requested != place) {
        return;
    }
    if place == "thread" {
        drop(std::thread::spawn(|| panic!("secret: value")).join());
    }
    panic!("PANIC_IN asked for a panic");
}

#[cfg(test)]
mod tests {
    use super::is_constant;

    #[test]
    #[expect(clippy::string_slice, reason = "the panic is what is tested")]
    fn panic_texts_that_may_hold_a_value_are_withheld() {
        let text_of = |panics: fn()| {
            let payload = std::panic::catch_unwind(panics).unwrap_err();
            payload.downcast_ref::<String>().unwrap().clone()
        };
        for panics in [
            (|| _ = "value".parse::<u8>().unwrap()) as fn(),
            || _ = "value".parse::<u8>().expect("a reason"),
            || assert_eq!("value", ""),
            || _ = "välue"[..2].to_owned(),
        ] {
            let text = text_of(panics);
            assert!(!is_constant(&text), "{text}");
        }
        let text = text_of(|| _ = "".chars().next().expect("a constant reason"));
        assert!(is_constant(&text), "{text}");
    }
}
