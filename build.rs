//! How the program is linked.
//!
//! A position-independent program of this size has 20,000 places that the loader
//! fills in at the start, each described by 24 bytes that it reads and that stay
//! resident: half a megabyte. Packed (`DT_RELR`, glibc 2.36 and newer, as Debian
//! 12 has it) they are a few kilobytes. Elsewhere the linker is left alone.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |key: &str| std::env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
