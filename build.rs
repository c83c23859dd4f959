//! How the programs are linked, and how they know each other.
//!
//! A position-independent program of this size has 20,000 places that the loader
//! fills in at the start, each described by 24 bytes that it reads and that stay
//! resident: half a megabyte. Packed (`DT_RELR`, glibc 2.36 and newer, as Debian
//! 12 has it) they are a few kilobytes. Elsewhere the linker is left alone.
//!
//! `backstop run` goes on as `backstop-agent` only if both are built from the same
//! sources: those have a hash (FNV-1a, 64 bits), which both know.

use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let mut files = vec![PathBuf::from("Cargo.lock"), PathBuf::from("Cargo.toml")];
    below(Path::new("src"), &mut files);
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
        let text = fs::read(file).unwrap_or_default();
        for byte in file.as_os_str().as_encoded_bytes().iter().chain(&text) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    println!("cargo:rustc-env=BACKSTOP_BUILD={hash:016x}");
    let target = |key: &str| std::env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Every file in a directory and below it.
fn below(dir: &Path, files: &mut Vec<PathBuf>) {
    println!("cargo:rerun-if-changed={}", dir.display());
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => below(&path, files),
            path => files.push(path),
        }
    }
}
