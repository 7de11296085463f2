//! The binary: its allocator, and the library's `main`.

/// Memory that one thread takes and another gives back is the rule here; see the reason beside the dependency.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    hotcake::main()
}
