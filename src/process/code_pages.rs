//! Letting go of memory that a waiting process does not need.

use std::fs::read_to_string;

/// Unmaps the pages of the program's own code and constants: once the command has become another program they
/// are this process's alone, and it needs few of them. What it does need comes back from the file.
/// Where /proc is not mounted, they stay.
pub(super) fn drop_code_pages() {
    let Ok(maps) = read_to_string("/proc/self/maps") else {
        return;
    };
    for (start, end) in maps.lines().filter_map(code) {
        // SAFETY: MADV_DONTNEED drops pages, and those of a mapping that is backed by a file and that
        // nobody wrote to come back as they were (madvise(2)). Code is never relocated in place, and
        // of what is read only, `code` takes the part at the file's start alone, before what the
        // loader relocated.
        unsafe {
            libc::madvise(
                std::ptr::without_provenance_mut(start),
                end.saturating_sub(start),
                libc::MADV_DONTNEED,
            )
        };
    }
}

/// `START-END r-xp OFFSET DEVICE INODE PATH` (proc_pid_maps(5)), or `r--p` at offset 0.
fn code(line: &str) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    let code = rest.strip_prefix("r-xp ");
    let constants = rest
        .strip_prefix("r--p ")
        .filter(|rest| rest.starts_with("00000000 "));
    let path = code.or(constants)?.split_whitespace().nth(3)?;
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    path.starts_with('/')
        .then_some((address(start)?, address(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_let_go_of() {
        for (line, range) in [
            (
                "1000-3000 r-xp 00000000 fe:00 12 /bin/phase-run",
                Some((0x1000, 0x3000)),
            ),
            (
                "1000-3000 r--p 00000000 fe:00 12 /bin/phase-run",
                Some((0x1000, 0x3000)),
            ),
            ("1000-3000 r--p 00337000 fe:00 12 /bin/phase-run", None),
            ("1000-3000 rwxp 00000000 fe:00 12 /bin/phase-run", None),
            ("1000-3000 r-xp 00000000 00:00 0 [vdso]", None),
            ("1000-3000 r-xp 00000000 00:00 0", None),
            ("", None),
        ] {
            assert_eq!(code(line), range, "{line}");
        }
    }
}
