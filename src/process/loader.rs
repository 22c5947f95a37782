#![forbid(unsafe_code)]
//! Which interpreter or loader a file names: execve(2) says ENOENT for a file that is there when
//! what it names is not.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What runs a file that the kernel does not know how to run.
pub(super) const SHELL: &CStr = c"/bin/sh";

const ELF: &[u8] = b"\x7fELF";

/// Program header of the path of the dynamic loader (elf(5)).
const PT_INTERP: u64 = 3;

/// An interpreter may itself be a script; the kernel follows four.
const DEPTH: usize = 5;

/// What is missing, if the file is there and names something that is not.
pub(super) fn missing(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..DEPTH {
        let named = interpreter(&path)?;
        if !named.exists() {
            return Some(named);
        }
        path = named;
    }
    None
}

/// Whether the file is a program for some machine, and no script.
pub(super) fn is_binary(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok()
        && magic == ELF
}

fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut file = File::open(path).ok()?;
    let mut head = Vec::new();
    // The kernel looks at 256 bytes for a `#!` line.
    (&mut file).take(256).read_to_end(&mut head).ok()?;
    let name = match head.strip_prefix(b"#!") {
        Some(rest) => {
            let line = rest.split(|byte| *byte == b'\n').next()?.trim_ascii_start();
            line.split(|byte| *byte == b' ' || *byte == b'\t')
                .next()?
                .to_owned()
        }
        None if head.starts_with(ELF) => elf_interpreter(&mut file, &head)?,
        // The kernel knows no such program, and the shell is to run it.
        None => SHELL.to_bytes().to_owned(),
    };
    (!name.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(&name)))
}

/// The loader's path, from the program headers of a little-endian file of 32 or 64 bits.
fn elf_interpreter(file: &mut File, head: &[u8]) -> Option<Vec<u8>> {
    if head.get(5) != Some(&1) {
        return None;
    }
    let wide = head.get(4) == Some(&2);
    let pick = |narrow: (usize, usize), wider: (usize, usize)| if wide { wider } else { narrow };
    let table = number(head, pick((28, 4), (32, 8)))?;
    let size = usize::try_from(number(head, pick((42, 2), (54, 2)))?).ok()?;
    let count = usize::try_from(number(head, pick((44, 2), (56, 2)))?).ok()?;
    let headers = read_at(file, table, size.checked_mul(count)?)?;
    let entry = headers
        .chunks(size.max(1))
        .find(|entry| number(entry, (0, 4)) == Some(PT_INTERP))?;
    let offset = number(entry, pick((4, 4), (8, 8)))?;
    let length = usize::try_from(number(entry, pick((16, 4), (32, 8)))?).ok()?;
    let mut name = read_at(file, offset, length)?;
    name.truncate(
        name.iter()
            .position(|byte| *byte == 0)
            .unwrap_or(name.len()),
    );
    Some(name)
}

fn number(bytes: &[u8], (offset, size): (usize, usize)) -> Option<u64> {
    let bytes = bytes.get(offset..offset.checked_add(size)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

fn read_at(file: &mut File, offset: u64, length: usize) -> Option<Vec<u8>> {
    // Far more than program headers and paths have, in bytes.
    const MAX_LENGTH: usize = 1 << 16;
    if length > MAX_LENGTH {
        return None;
    }
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(offset)).ok()?;
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_has_its_loader() {
        let own = std::env::current_exe().unwrap();
        assert!(is_binary(&own));
        assert_eq!(missing(&own), None);
        assert!(interpreter(&own).is_none_or(|loader| loader.exists()));
    }

    #[test]
    fn damaged_files_name_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged");
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in 0..200 {
            std::fs::write(&path, &whole[..length]).unwrap();
            let _ = missing(&path);
        }
        for text in ["", "#!", "#!\n", "#!  \n", "text"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(missing(&path), None, "{text:?}");
        }
        std::fs::write(&path, "#! /nope/sh\r\n").unwrap();
        assert_eq!(missing(&path), Some(PathBuf::from("/nope/sh\r")));
    }
}
