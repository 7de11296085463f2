//! The files of the project as git knows them (also the new ones that are not ignored), with the lines of Rust files told
//! apart into code, comment and test. Knows no rule.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout's top directory.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the checkout").to_path_buf()
}

/// One text file.
pub struct File {
    /// Relative to the root, with `/`.
    pub path: String,
    /// The whole of it.
    pub text: String,
}

/// One line of a Rust file.
pub struct Line<'a> {
    /// Counts from 1.
    pub number: usize,
    /// As it stands.
    pub text: &'a str,
    /// Without line comments and without the contents of string literals that close on the line.
    pub code: String,
    /// In a test: below `#[cfg(test)]`, or in a file that holds only tests.
    pub test: bool,
}

impl File {
    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the whole file is tests.
    pub fn is_test(&self) -> bool {
        self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.ends_with("_tests.rs")
            || self.path.ends_with("_test.rs")
    }

    /// The file's lines. The house rule that a file's tests stand at its end makes `#[cfg(test)]` followed by `mod` the border.
    pub fn lines(&self) -> Vec<Line<'_>> {
        let mut test = self.is_test();
        let raw: Vec<&str> = self.text.lines().collect();
        let mut lines = Vec::with_capacity(raw.len());
        for (at, &text) in raw.iter().enumerate() {
            let next = raw.get(at + 1).map_or("", |line| line.trim_start());
            let module = next.starts_with("mod ") && next.trim_end().ends_with('{');
            test |= text.trim() == "#[cfg(test)]" && module;
            lines.push(Line { number: at + 1, text, code: code_of(text), test });
        }
        lines
    }
}

/// A line without its comment and without what stands in its string literals.
fn code_of(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut string = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if string => {
                chars.next();
            }
            '"' => {
                string = !string;
                out.push('"');
            }
            // The character literal of a quote opens no string.
            '\'' if !string && chars.peek() == Some(&'"') => {
                chars.next();
                chars.next();
            }
            '/' if !string && chars.peek() == Some(&'/') => break,
            _ if string => {}
            _ => out.push(c),
        }
    }
    out
}

/// All text files of the checkout, by path.
pub fn files(root: &Path) -> Result<Vec<File>, String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|e| format!("git ls-files does not run ({e}); install git"))?;
    if !listed.status.success() {
        return Err(format!("git ls-files failed: {}", String::from_utf8_lossy(&listed.stderr).trim()));
    }
    let names = String::from_utf8(listed.stdout).map_err(|_| "a file's name is not UTF-8; rename it".to_owned())?;
    let mut files = Vec::new();
    for path in names.split('\0').filter(|name| !name.is_empty()) {
        // Deleted but not yet committed, or not text: nothing to check.
        let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        files.push(File { path: path.to_owned(), text });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_leaves_out_comments_and_strings() {
        for (line, code) in [
            ("let a = 1; // banned()", "let a = 1; "),
            (r#"say("banned() // \" x"); b()"#, r#"say(""); b()"#),
            (r"let q = '\u{22}';", r"let q = '\u{22}';"),
            ("if c == '\"' { d() }", "if c ==  { d() }"),
        ] {
            assert_eq!(code_of(line), code);
        }
    }

    #[test]
    fn lines_below_cfg_test_are_tests() {
        let file = File { path: "crates/a/src/b.rs".into(), text: "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n".into() };
        assert_eq!(file.lines().iter().map(|line| line.test).collect::<Vec<_>>(), [false, true, true, true]);
    }
}
