//! How a verb ends: the exit code, and a sentence on stderr that says what, why, and the next step.

use std::process::ExitCode;

/// An end that is not well.
#[derive(Debug)]
pub struct Exit {
    /// 1 failed, 2 usage, 3 breach of a law, 4 unreachable.
    pub code: u8,
    /// Says what, why, and the next step; may be empty when it was said already.
    pub sentence: String,
}

impl Exit {
    /// It did not work.
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self { code: 1, sentence: sentence.into() }
    }

    /// It was asked for wrongly.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self { code: 2, sentence: sentence.into() }
    }

    /// A law is broken.
    pub fn breach(sentence: impl Into<String>) -> Self {
        Self { code: 3, sentence: sentence.into() }
    }

    /// Nobody answers.
    pub fn unreachable(sentence: impl Into<String>) -> Self {
        Self { code: 4, sentence: sentence.into() }
    }

    /// Says it.
    pub fn report(self) -> ExitCode {
        for line in self.sentence.lines() {
            eprintln!("hotcake: {line}");
        }
        ExitCode::from(self.code)
    }
}
