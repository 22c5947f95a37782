#![forbid(unsafe_code)]
//! The interpreter that a file names: the program of a `#!` line, or the dynamic loader of an ELF
//! file. If it is missing, execve(2) fails with ENOENT although the file exists.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The shell that runs a file whose format the kernel does not know (execvp(3)).
pub(super) const SHELL: &CStr = c"/bin/sh";

/// The first bytes of an ELF file (elf(5)).
const ELF_MAGIC: &[u8] = b"\x7fELF";

/// The type of the program header that names the dynamic loader (elf(5)).
const PT_INTERP: u64 = 3;

/// How many files are followed. An interpreter may itself be a script; the kernel follows four
/// (execve(2)).
const MAX_DEPTH: usize = 5;

/// Returns the interpreter of a file, or of its interpreter and so on, if it does not exist.
pub(super) fn find_missing(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_DEPTH {
        let interpreter = interpreter(&path)?;
        if !interpreter.exists() {
            return Some(interpreter);
        }
        path = interpreter;
    }
    None
}

/// Returns whether the file is a program for any machine, rather than a script.
pub(super) fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok()
        && magic == ELF_MAGIC
}

fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut file = File::open(path).ok()?;
    let mut head = Vec::new();
    // The kernel reads 256 bytes of a `#!` line.
    (&mut file).take(256).read_to_end(&mut head).ok()?;
    let name = match head.strip_prefix(b"#!") {
        Some(rest) => {
            let line = rest.split(|byte| *byte == b'\n').next()?.trim_ascii_start();
            line.split(|byte| *byte == b' ' || *byte == b'\t')
                .next()?
                .to_owned()
        }
        None if head.starts_with(ELF_MAGIC) => elf_interpreter(&mut file, &head)?,
        // The kernel does not know the format, so the shell runs the file.
        None => SHELL.to_bytes().to_owned(),
    };
    (!name.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(&name)))
}

/// The offset and the size of a field in an ELF file of 32 bits, and in one of 64 bits (elf(5)).
type ElfField = [(usize, usize); 2];

// The fields of the file header that locate the program headers.
const E_PHOFF: ElfField = [(28, 4), (32, 8)];
const E_PHENTSIZE: ElfField = [(42, 2), (54, 2)];
const E_PHNUM: ElfField = [(44, 2), (56, 2)];
// Fields of a program header.
const P_TYPE: ElfField = [(0, 4), (0, 4)];
const P_OFFSET: ElfField = [(4, 4), (8, 8)];
const P_FILESZ: ElfField = [(16, 4), (32, 8)];

/// Reads the path of the dynamic loader from the program headers of a little-endian ELF file of 32
/// or 64 bits (elf(5)).
fn elf_interpreter(file: &mut File, head: &[u8]) -> Option<Vec<u8>> {
    if head.get(5) != Some(&1) {
        return None;
    }
    let is_64_bit = head.get(4) == Some(&2);
    let read = |bytes, [elf32, elf64]: ElfField| {
        let field = if is_64_bit { elf64 } else { elf32 };
        number(bytes, field)
    };
    let table = read(head, E_PHOFF)?;
    let size = usize::try_from(read(head, E_PHENTSIZE)?).ok()?;
    let count = usize::try_from(read(head, E_PHNUM)?).ok()?;
    let headers = read_at(file, table, size.checked_mul(count)?)?;
    let entry = headers
        .chunks(size.max(1))
        .find(|entry| read(entry, P_TYPE) == Some(PT_INTERP))?;
    let offset = read(entry, P_OFFSET)?;
    let length = usize::try_from(read(entry, P_FILESZ)?).ok()?;
    let mut path = read_at(file, offset, length)?;
    path.truncate(
        path.iter()
            .position(|byte| *byte == 0)
            .unwrap_or(path.len()),
    );
    Some(path)
}

/// Decodes the little-endian number of `size` bytes at `offset`.
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
    // In bytes. Program headers and paths are far shorter.
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
    #[cfg(target_os = "linux")]
    fn interpreter_of_this_program_exists() {
        let own = std::env::current_exe().unwrap();
        assert!(is_elf(&own));
        assert_eq!(find_missing(&own), None);
        assert!(interpreter(&own).is_none_or(|loader| loader.exists()));
    }

    #[test]
    fn damaged_file_has_no_interpreter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged");
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in 0..200 {
            std::fs::write(&path, &whole[..length]).unwrap();
            let _ = find_missing(&path);
        }
        for text in ["", "#!", "#!\n", "#!  \n", "text"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(find_missing(&path), None, "{text:?}");
        }
        std::fs::write(&path, "#! /nope/sh\r\n").unwrap();
        assert_eq!(find_missing(&path), Some(PathBuf::from("/nope/sh\r")));
    }
}
