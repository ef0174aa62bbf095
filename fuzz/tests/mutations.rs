//! Each target on changed copies of its seeds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::alloc::System;

use cap::Cap;
use fuzz::{TARGETS, Target};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

/// An input of a few kilobytes that needs more than this has chosen our memory. An allocation beyond ends the process.
const MEMORY_BYTES_MAX: usize = 1 << 30;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MEMORY_BYTES_MAX);

/// A change to an input. Places are taken modulo its length.
#[derive(Clone, Debug)]
enum Mutation {
    Flip { at: Index, bit: u8 },
    Set { at: Index, bytes: Vec<u8> },
    Insert { at: Index, bytes: Vec<u8> },
    Remove { at: Index, length: usize },
    Repeat { at: Index, length: usize, times: usize },
    Cut { at: Index },
    Append { seed: Index, from: Index },
}

/// Words with a meaning for one reader or another.
const WORDS: &[&[u8]] = &[
    b"null",
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b"\\u0000",
    b"\\ud800",
    b"1e308",
    b"-0",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"0.00000000000000000000000000001",
    b"9999-12-31T23:59:59.999999Z",
    b"-271821-04-20T00:00:00Z",
    b"timestamp",
    b"sent_at",
    b"events",
    b"properties",
    b"revenue",
    b"user_agent",
    b"%",
    b"+",
    b"\xef\xbb\xbf",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\0\0\0\0",
    b"PAR1",
    b"\"add\":",
    b"\"remove\":",
    b"\"txn\":",
    b"\"metaData\":",
    b"\"protocol\":",
    b"erased_at",
    b"+262142-12-31T23:59:59Z",
    b"ip=",
    b"&",
    b"numRecords",
    b"-1",
];

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![proptest::sample::select(WORDS).prop_map(<[u8]>::to_vec), prop::collection::vec(any::<u8>(), 1..8)]
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        3 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip { at, bit }),
        2 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Mutation::Set { at, bytes }),
        2 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Mutation::Insert { at, bytes }),
        1 => (any::<Index>(), 1..64_usize).prop_map(|(at, length)| Mutation::Remove { at, length }),
        1 => (any::<Index>(), 1..64_usize, 1..200_usize)
            .prop_map(|(at, length, times)| Mutation::Repeat { at, length, times }),
        1 => any::<Index>().prop_map(|at| Mutation::Cut { at }),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(seed, from)| Mutation::Append { seed, from }),
    ]
}

fn mutate(mut input: Vec<u8>, seeds: &[Vec<u8>], mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        let place = |at: &Index| at.index(input.len() + 1);
        match mutation {
            Mutation::Flip { at, bit } => {
                let at = place(at);
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            Mutation::Set { at, bytes } => {
                let at = place(at);
                let end = (at + bytes.len()).min(input.len());
                input.splice(at..end, bytes.iter().copied());
            }
            Mutation::Insert { at, bytes } => {
                let at = place(at);
                input.splice(at..at, bytes.iter().copied());
            }
            Mutation::Remove { at, length } => {
                let at = place(at);
                input.drain(at..(at + length).min(input.len()));
            }
            Mutation::Repeat { at, length, times } => {
                let at = place(at);
                let piece = input[at..(at + length).min(input.len())].repeat(*times);
                input.splice(at..at, piece);
            }
            Mutation::Cut { at } => input.truncate(place(at)),
            Mutation::Append { seed, from } => {
                let seed = seed.get(seeds);
                input.extend_from_slice(&seed[from.index(seed.len() + 1)..]);
            }
        }
    }
    input
}

/// Runs a target on its seeds and on changed copies of them; `PROPTEST_CASES` sets how many.
fn check(name: &str, few: u32) {
    let target: &Target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config { cases: asked.unwrap_or(few), failure_persistence: None, ..Config::default() };
    let seeds = (target.seeds)();
    seeds.iter().for_each(|seed| (target.read)(seed));
    let inputs = (any::<Index>(), prop::collection::vec(mutation(), 1..6));
    let tested = TestRunner::new(config).run(&inputs, |(seed, mutations)| {
        (target.read)(&mutate(seed.get(&seeds).clone(), &seeds, &mutations));
        Ok(())
    });
    tested.unwrap_or_else(|failure| panic!("{name}: {failure}"));
}

#[test]
fn every_request_gets_an_answer_of_the_declared_kinds() {
    check("door", 400);
}

#[test]
fn every_body_is_events_and_rejections_or_refused() {
    check("events", 1_500);
}

#[test]
fn every_record_of_an_export_is_an_event_or_refused() {
    check("history", 1_500);
}

#[test]
fn every_name_is_a_raw_files_or_nobodys() {
    check("raw_names", 200);
}

#[test]
fn every_raw_file_is_read_or_corrupt() {
    check("raw_file", 300);
}

#[test]
fn every_list_of_sites_is_read_or_corrupt() {
    check("sites", 500);
}

#[test]
fn every_list_of_erasures_is_read_or_corrupt() {
    check("erasures", 200);
}

#[test]
fn every_entry_of_the_log_is_read_or_refused() {
    check("log", 150);
}

#[test]
fn every_document_of_read_keys_is_read_or_corrupt() {
    check("read_keys", 200);
}

#[test]
fn no_target_is_left_out() {
    let tested = ["door", "events", "history", "raw_names", "raw_file", "read_keys", "sites", "erasures", "log"];
    assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), tested);
}
