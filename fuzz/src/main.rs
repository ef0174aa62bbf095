//! One target under libFuzzer, on the inputs in the directory that is its first argument. `DEWPOND_FUZZ_TARGET` is the
//! name of the target; its seeds are written into the directory `DEWPOND_FUZZ_SEEDS`.

#![no_main]
#![allow(missing_docs, reason = "nobody calls a program's items")]

use std::path::Path;
use std::sync::OnceLock;

use fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<&Target> = OnceLock::new();

/// Finds the target, writes its seeds, and lets panics be caught.
fn start() -> &'static Target {
    let name = std::env::var("DEWPOND_FUZZ_TARGET").unwrap_or_default();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("DEWPOND_FUZZ_TARGET={name:?} is none of {}", names.join(", ")));
    if let Some(dir) = std::env::var_os("DEWPOND_FUZZ_SEEDS") {
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            std::fs::write(Path::new(&dir).join(format!("seed-{number}")), seed).expect("a seed can be written");
        }
    }
    // libFuzzer's hook ends the process at every panic. A decoder's panic that becomes an error is allowed, and too frequent
    // to be printed; a panic that nobody catches still ends the process.
    drop(std::panic::take_hook());
    let ordinary = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|at| at.file().contains("/registry/src/")) {
            ordinary(panic);
        }
    }));
    target
}

fuzz_target!(init: TARGET.get_or_init(start), |input: &[u8]| (TARGET.get_or_init(start).read)(input));
