//! How the program is linked.

use std::env;
use std::process::Command;

/// What the addresses in a program that may be loaded anywhere are corrected by is 0.9 MB in `duetmq`, read whole at each start, and
/// a thirtieth of that in the packed form, which glibc understands since 2.36 (older ones refuse the program and say why).
const PACKED: &str = "cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if is_for_this_machine() && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("{PACKED}");
    }
}

/// Whether what is built runs with the C library that is here, on a processor whose linkers all know the packed form.
fn is_for_this_machine() -> bool {
    let told = |name| env::var(name).unwrap_or_default();
    told("TARGET") == told("HOST") && told("TARGET") == "x86_64-unknown-linux-gnu"
}

/// The version of the C library that is here.
fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(told.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
