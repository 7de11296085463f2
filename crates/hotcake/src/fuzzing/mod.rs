//! Whatever reads bytes from outside, each as a function of these bytes that panics when a promise is broken: for the fuzz
//! targets, and for a bounded run in the tests. Not in the release build.

mod files;
mod http;
mod parts;

/// Reads an input, and panics when a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("message", parts::message),
    ("ticket", parts::ticket),
    ("token", parts::token),
    ("command", parts::command),
    ("config", parts::config),
    ("http", http::request),
    ("files", files::files),
];

#[cfg(test)]
mod tests {
    use super::TARGETS;

    /// Changed inputs per target in the tests. `cargo xtask fuzz` runs for as long as it is told to, led by coverage.
    const ROUNDS: u64 = 40_000;
    /// A request goes through a server.
    const REQUESTS: u64 = 4_000;
    /// The stores are opened each time.
    const OPENINGS: u64 = 300;

    /// The inputs that a target begins with: `fuzz/seeds/NAME/*`.
    fn seeds(name: &str) -> Vec<Vec<u8>> {
        let place = format!("{}/../../fuzz/seeds/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut files: Vec<_> = std::fs::read_dir(&place).expect(&place).map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{place} is empty");
        files.iter().map(|file| std::fs::read(file).expect("a seed is a file")).collect()
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            // xorshift64*: the same inputs in every run.
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n.max(1)
        }
    }

    /// One seed with a few changes: bits turned, bytes put in, cut out or doubled, a piece of another seed, a great number.
    fn changed(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
        const WORDS: [&[u8]; 8] =
            [b"9223372036854775807", b"-1", b"\xff\xfe", b"\0", b"\"", b"\r\n", b"%00", b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["];
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() + 1);
            let to = (at + random.below(9)).min(bytes.len());
            match random.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
                1 => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
                2 => drop(bytes.drain(at..to)),
                3 => {
                    let piece = bytes[at..to].to_vec();
                    drop(bytes.splice(at..at, piece));
                }
                4 => {
                    let other = &seeds[random.below(seeds.len())];
                    let from = random.below(other.len() + 1);
                    bytes.truncate(at);
                    bytes.extend(&other[from..]);
                }
                _ => bytes.truncate(at),
            }
        }
        bytes
    }

    fn survives(name: &str) {
        let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).expect("a target");
        let (seeds, mut random) = (seeds(name), Random(0x0DDB_1A5E_5BAD_5EED));
        seeds.iter().for_each(|seed| target(seed));
        let rounds = match name {
            "http" => REQUESTS,
            "files" => OPENINGS,
            _ => ROUNDS,
        };
        for _ in 0..rounds {
            target(&changed(&mut random, &seeds));
        }
    }

    #[test]
    fn c16_any_bytes_are_a_batch_a_later_version_or_poison() {
        survives("message");
    }

    #[test]
    fn no_bytes_are_a_ticket_but_those_that_were_issued() {
        survives("ticket");
    }

    #[test]
    fn no_bytes_are_a_token_but_those_that_were_signed() {
        survives("token");
    }

    #[test]
    fn c40_c41_any_bytes_are_a_command_or_say_what_is_wrong() {
        survives("command");
    }

    #[test]
    fn any_bytes_are_a_configuration_or_say_what_is_wrong() {
        survives("config");
    }

    #[test]
    fn c34_any_damage_of_the_stores_files_is_refused_by_name_or_changes_nothing() {
        survives("files");
    }

    #[test]
    fn c40_c41_any_bytes_are_answered_by_the_protocol_of_http_and_break_no_law() {
        survives("http");
        let heard = super::http::heard();
        for kind in [
            "201 confirmed",
            "202 processing",
            "400 invalid_request",
            "401 unauthorized",
            "404 not_found",
            "408 request_timeout",
            "200 audited with tales",
        ] {
            assert!(heard.contains_key(kind), "nobody was answered {kind}: {heard:?}");
        }
    }
}
