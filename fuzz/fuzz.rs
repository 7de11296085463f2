//! One fuzzer for all targets: `HOTCAKE_FUZZ` names the one that it feeds. The targets stand in the server's crate.

#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<hotcake::fuzzing::Target> = LazyLock::new(|| {
    let name = std::env::var("HOTCAKE_FUZZ").unwrap_or_default();
    let known: Vec<&str> = hotcake::fuzzing::TARGETS.iter().map(|(name, _)| *name).collect();
    let target = hotcake::fuzzing::TARGETS.into_iter().find(|(known, _)| *known == name);
    target.unwrap_or_else(|| panic!("HOTCAKE_FUZZ is {name:?}; it is one of {known:?}")).1
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
