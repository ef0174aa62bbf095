//! One target under libFuzzer: the first argument that is the name of a target chooses it, as does
//! `DEWPOND_FUZZ_TARGET`.

#![no_main]
#![allow(missing_docs, reason = "a program's items are nobody's to call")]

use std::sync::LazyLock;

use fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("DEWPOND_FUZZ_TARGET").unwrap_or_default();
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        panic!("DEWPOND_FUZZ_TARGET={name:?} is none of {}", names.join(", "))
    })
});

fuzz_target!(|input: &[u8]| (TARGET.read)(input));
