//! Makes the released binary smaller where the linker can: functions with the same code are kept once, and relocations
//! are packed. Both are a matter of the linker, which Cargo has no setting for.
//!
//! lld knows the flags, and so does mold; GNU's ld knows only the second, and an old C library loads nothing packed. So
//! each flag is tried first: a program that was linked with it has to run. A backtrace names functions as before; of several
//! with the same code it may name another one.

use std::path::Path;
use std::process::Command;

/// Flags of the linker, each by itself.
const FLAGS: [&str; 2] = ["-Wl,--icf=all", "-Wl,-z,pack-relative-relocs"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A program for another machine cannot be tried here.
    if variable("PROFILE") != "release" || variable("HOST") != variable("TARGET") {
        return;
    }
    for flag in FLAGS.into_iter().filter(|flag| runs_with(flag)) {
        println!("cargo:rustc-link-arg-bins={flag}");
    }
}

/// Whether a program that is linked with the flag, by the linker that will be used, runs.
fn runs_with(flag: &str) -> bool {
    let dir = variable("OUT_DIR");
    let (source, program) = (Path::new(&dir).join("tried.rs"), Path::new(&dir).join("tried"));
    if std::fs::write(&source, "fn main() {}").is_err() {
        return false;
    }
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.arg(&source).arg("-o").arg(&program).arg(format!("-Clink-arg={flag}"));
    let linker = variable("RUSTC_LINKER");
    if !linker.is_empty() {
        rustc.arg(format!("-Clinker={linker}"));
    }
    rustc.args(variable("CARGO_ENCODED_RUSTFLAGS").split('\x1f').filter(|flag| !flag.is_empty()));
    let succeeds = |mut command: Command| command.output().is_ok_and(|output| output.status.success());
    succeeds(rustc) && succeeds(Command::new(program))
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
