//! The shared libraries of a host program, as the host's own loader finds them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Absolute paths of the loader and every library that `program` loads; none for a static program.
///
/// # Errors
/// `ldd` is missing, or a library is not found.
pub fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).env("LC_ALL", "C").output().context("run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        // glibc's ldd fails on a static program, and says so on either stream
        let all = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
        if all.contains("not a dynamic executable") || all.contains("statically linked") {
            return Ok(Vec::new());
        }
        bail!("list libraries of {}: {}", program.display(), all.trim());
    }
    parse(&text).with_context(|| format!("list libraries of {}", program.display()))
}

/// Lines are `name => /path (address)`, `/path (address)` for the loader, `name (address)` for the kernel's vdso.
fn parse(text: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in text.lines() {
        if line.contains("=> not found") {
            bail!("{}", line.trim());
        }
        if let Some(path) = line.split_whitespace().find(|word| word.starts_with('/')) {
            found.push(PathBuf::from(path));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_and_the_vdso_is_not() -> Result<()> {
        let text = "\tlinux-vdso.so.1 (0x7ffc)\n\tlibc.so.6 => /lib/libc.so.6 (0x7f2)\n\t/lib64/ld-linux.so.2 (0x7f3)\n";
        assert_eq!(parse(text)?, [PathBuf::from("/lib/libc.so.6"), PathBuf::from("/lib64/ld-linux.so.2")]);
        Ok(())
    }

    #[test]
    fn a_library_that_is_missing_is_an_error() {
        assert!(parse("\tlibgone.so.1 => not found\n").is_err());
    }
}
