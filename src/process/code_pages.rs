//! Dropping code pages: a supervisor that waits keeps 0.7 MiB of private memory instead of 2.8 MiB.

use std::fs::read_to_string;

/// Drops the pages of this program's code and constants from memory.
///
/// Before the command's exec, both processes share these pages. Afterwards they would count as this
/// process's private memory, about 2.1 MiB, although a waiting supervisor runs only a few of them.
/// The kernel reads back from the file what is needed later, so nothing but a page fault is lost.
/// Where /proc is not mounted, the pages stay.
///
/// Whatever runs after the pages are dropped maps its surroundings again, 64 KiB for each place. So
/// the ranges are collected first, and on the stack: freeing a buffer would run the allocator.
pub(super) fn drop_code_pages() {
    for (start, end) in droppable_ranges() {
        // SAFETY: the kernel reads back a dropped page of a private file mapping from the file
        // (madvise(2), MADV_DONTNEED). That is the same content, because nobody has written to these
        // pages: code is mapped without write permission and is not relocated, and of the read-only
        // data `droppable_range` takes only the mapping of the file's start, which holds nothing
        // that the loader relocates.
        unsafe {
            libc::madvise(
                std::ptr::without_provenance_mut(start),
                end.saturating_sub(start),
                libc::MADV_DONTNEED,
            )
        };
    }
}

/// The ranges that can be dropped; unused places are empty ranges. A static program has 2 and a dynamic
/// one up to 10. Pages of any further range stay.
fn droppable_ranges() -> [(usize, usize); 16] {
    let mut ranges = [(0, 0); 16];
    let maps = read_to_string("/proc/self/maps").unwrap_or_default();
    let found = maps.lines().filter_map(droppable_range);
    for (slot, range) in ranges.iter_mut().zip(found) {
        *slot = range;
    }
    ranges
}

/// Parses a line of /proc/self/maps, `START-END PERMISSIONS OFFSET DEVICE INODE PATH`
/// (proc_pid_maps(5)). Returns the address range if the line maps code (`r-xp`) or the read-only
/// start (`r--p`) of a file.
fn droppable_range(line: &str) -> Option<(usize, usize)> {
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
    fn only_file_backed_code_is_dropped() {
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
            assert_eq!(droppable_range(line), range, "{line}");
        }
    }
}
