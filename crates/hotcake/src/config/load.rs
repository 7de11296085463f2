//! Reads the configuration: the file, then the environment, then the flags; each wins over the one before. Knows where
//! every value came from; what the values mean is next door.

use super::Config;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A line of the file.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// What is wrong with a configuration: one sentence a line.
#[derive(Debug)]
pub struct Wrong(pub Vec<String>);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Wrong {
    fn one(what: impl Into<String>) -> Self {
        Self(vec![what.into()])
    }
}

/// A flag that stands for a key: section, key, value, the flag's name.
pub type Flag = (&'static str, &'static str, Value, &'static str);

/// A configuration, and where each of its values came from (those that are not defaults).
#[derive(Debug)]
pub struct Loaded {
    /// The values; secrets from files are in their places.
    pub config: Config,
    /// By `section.key`.
    pub origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Where this key's value came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

/// The configuration as this process finds it. `file`: the one that was named, else `./hotcake.toml` if there is one.
pub fn load(file: Option<&Path>, flags: Vec<Flag>) -> Result<Loaded, Wrong> {
    let here = Path::new("hotcake.toml");
    let file = match file {
        Some(file) => Some(file),
        None if here.exists() => Some(here),
        None => None,
    };
    let text = match file {
        None => None,
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|e| {
                Wrong::one(format!(
                    "{}: cannot be read ({e}). Name another with --config, or write one with `hotcake config init`.",
                    file.display()
                ))
            })?;
            Some((file, text))
        }
    };
    let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
    from_parts(text.as_ref().map(|(file, text)| (*file, text.as_str())), environment, flags)
}

/// The same, from what was read.
pub fn from_parts(file: Option<(&Path, &str)>, environment: Vec<(String, String)>, flags: Vec<Flag>) -> Result<Loaded, Wrong> {
    let known = Table::try_from(Config::default()).expect("the defaults are plain values");
    let mut table = Table::new();
    let mut origins = BTreeMap::new();
    if let Some((file, text)) = file {
        table = read_file(file, text, &mut origins)?;
    }
    for (name, value) in environment {
        if let Some((section, key, value)) = read_variable(&known, &name, &value)? {
            origins.insert(format!("{section}.{key}"), Origin::Environment(name));
            put(&mut table, &section, &key, value);
        }
    }
    for (section, key, value, flag) in flags {
        origins.insert(format!("{section}.{key}"), Origin::Flag(flag));
        put(&mut table, section, key, value);
    }
    let mut config: Config = Value::Table(table).try_into().map_err(|e: toml::de::Error| Wrong::one(e.message().to_owned()))?;
    read_secrets(&mut config)?;
    let loaded = Loaded { config, origins };
    let wrong: Vec<_> =
        loaded.config.contradictions().into_iter().map(|(key, what)| format!("{} ({key}): {what}", loaded.origin(key))).collect();
    if wrong.is_empty() { Ok(loaded) } else { Err(Wrong(wrong)) }
}

fn put(table: &mut Table, section: &str, key: &str, value: Value) {
    let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    section.as_table_mut().expect("the file was checked: its sections are tables").insert(key.to_owned(), value);
}

fn read_file(file: &Path, text: &str, origins: &mut BTreeMap<String, Origin>) -> Result<Table, Wrong> {
    let line_at = |byte: usize| text.as_bytes()[..byte.min(text.len())].iter().filter(|&&b| b == b'\n').count() + 1;
    // The message, not the snippet: the line may hold a secret.
    let wrong = |e: toml::de::Error| {
        let line = e.span().map_or(1, |span| line_at(span.start));
        Wrong::one(format!("{}:{line}: {}", file.display(), e.message()))
    };
    toml::from_str::<Config>(text).map_err(wrong)?;
    let table: Table = toml::from_str(text).map_err(wrong)?;
    let mut section = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.trim_start_matches('[').split(']').next()) {
            section = name.trim().to_owned();
            // `[[auth.operators]]` is the key `auth.operators`.
            if table.get(&section).is_none() {
                origins.entry(section.clone()).or_insert_with(|| Origin::File(file.to_owned(), index + 1));
            }
        } else if let Some((key, _)) = line.split_once('=') {
            let key = key.trim();
            if table.get(&section).and_then(|values| values.get(key)).is_some() {
                origins.insert(format!("{section}.{key}"), Origin::File(file.to_owned(), index + 1));
            }
        }
    }
    Ok(table)
}

/// `HOTCAKE_SECTION__KEY`; other variables are not ours.
fn read_variable(known: &Table, name: &str, text: &str) -> Result<Option<(String, String, Value)>, Wrong> {
    let Some((section, key)) = name.strip_prefix("HOTCAKE_").and_then(|rest| rest.split_once("__")) else { return Ok(None) };
    let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
    let Some(default) = known.get(&section).and_then(|values| values.get(&key)) else {
        return Err(Wrong::one(format!("{name}: there is no key {section}.{key}. `hotcake config show` lists them all.")));
    };
    let literal = |text: &str| toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    let value = match default {
        Value::String(_) => Some(Value::String(text.to_owned())),
        _ => literal(text),
    };
    let value = value.ok_or_else(|| Wrong::one(format!("{name}: the value is not a {}", default.type_str())))?;
    let mut alone = Table::new();
    put(&mut alone, &section, &key, value.clone());
    let fits: Result<Config, toml::de::Error> = Value::Table(alone).try_into();
    fits.map_err(|e| Wrong::one(format!("{name}: {}", e.message())))?;
    Ok(Some((section, key, value)))
}

fn read_secrets(config: &mut Config) -> Result<(), Wrong> {
    let a = &mut config.auth;
    for (key, secret, file) in [
        ("auth.buyer_secret", &mut a.buyer_secret, &a.buyer_secret_file),
        ("auth.webhook_secret", &mut a.webhook_secret, &a.webhook_secret_file),
        ("auth.ticket_secret", &mut a.ticket_secret, &a.ticket_secret_file),
        ("auth.ticket_secret_old", &mut a.ticket_secret_old, &a.ticket_secret_old_file),
    ] {
        if file.is_empty() {
            continue;
        }
        if !secret.is_empty() {
            return Err(Wrong::one(format!("{key} and {key}_file are both set: keep one")));
        }
        let text = std::fs::read_to_string(file).map_err(|e| Wrong::one(format!("{key}_file: {file}: cannot be read ({e})")))?;
        *secret = text.trim_end_matches(['\r', '\n']).to_owned();
    }
    Ok(())
}

/// Every key and its value as it would stand in a file, secrets masked, by section.
pub fn shown(config: &Config) -> Vec<(String, String)> {
    let table = Table::try_from(config).expect("a configuration is plain values");
    let mut rows = Vec::new();
    for (section, values) in &table {
        for (key, value) in values.as_table().expect("each section is a table") {
            let secret = key.contains("secret") && !key.ends_with("_file");
            let masked = secret && value.as_str().is_some_and(|text| !text.is_empty());
            rows.push((format!("{section}.{key}"), if masked { "\"…\"".to_owned() } else { value.to_string() }));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_TEXT;

    fn file(text: &str) -> Result<Loaded, Wrong> {
        from_parts(Some((Path::new("x.toml"), text)), Vec::new(), Vec::new())
    }

    #[test]
    fn the_file_in_the_repository_says_the_defaults_and_every_key() {
        let loaded = file(DEFAULT_TEXT).expect("the default file is right");
        assert_eq!(loaded.config, Config::default());
        for (key, _) in shown(&Config::default()) {
            // Operators are a list that nobody has by default: explained in a comment.
            if key != "auth.operators" {
                assert!(matches!(loaded.origin(&key), Origin::File(..)), "{key} is missing in hotcake.toml");
            }
        }
        assert!(DEFAULT_TEXT.contains("# [[auth.operators]]"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let check = |text: &str, expect: &str| {
            let wrong = file(text).expect_err(text).to_string();
            assert!(wrong.contains(expect), "{text:?}: {wrong:?} does not say {expect:?}");
        };
        check("[http]\n\nlisten = \"127.0.0.1:1\"\nlissten = 1\n", "x.toml:4: unknown field `lissten`");
        check("[htp]\n", "x.toml:1: unknown field `htp`");
        check("[http]\nworkers = \"two\"\n", "x.toml:2: invalid type");
        check("[http]\nlisten = \"nowhere\"\n", "x.toml:2: ");
        check("[protocol]\nstuck_ms = 7000\n", "x.toml:2 (protocol.stuck_ms): stuck_ms (7000) must exceed");
        check("[gate]\nurl = \"redis://:geheim@host\"\n", "x.toml:2 (gate.url): \"redis://…@host\": only \"memory:\" so far");
        check("[auth]\nbuyer_secret = \"short\"\n", "x.toml:2 (auth.buyer_secret)");
        check("[[auth.operators]]\nname = \"a\"\nkey_sha256 = \"zz\"\nscopes = [\"read\"]\n", "x.toml:1 (auth.operators)");
        check("[[auth.operators]]\nname = \"a\"\nkey_sha256 = \"zz\"\nscopes = [\"all\"]\n", "x.toml:4: unknown variant `all`");
    }

    #[test]
    fn the_environment_wins_over_the_file_and_flags_win_over_both() {
        let environment = vec![
            ("HOTCAKE_HTTP__LISTEN".to_owned(), "127.0.0.1:2".to_owned()),
            ("HOTCAKE_HTTP__WORKERS".to_owned(), "3".to_owned()),
            ("HOTCAKE_URL".to_owned(), "not a key".to_owned()),
        ];
        let flags = vec![("http", "listen", Value::String("127.0.0.1:3".into()), "--listen")];
        let text = "[http]\nlisten = \"127.0.0.1:1\"\nworkers = 1\nconnections_max = 7\n";
        let loaded = from_parts(Some((Path::new("x.toml"), text)), environment, flags).expect("right");
        let http = &loaded.config.http;
        assert_eq!((http.listen.port(), http.workers, http.connections_max), (3, 3, 7));
        assert_eq!(loaded.origin("http.listen"), Origin::Flag("--listen"));
        assert_eq!(loaded.origin("http.workers"), Origin::Environment("HOTCAKE_HTTP__WORKERS".into()));
        assert_eq!(loaded.origin("http.connections_max"), Origin::File("x.toml".into(), 4));
        assert_eq!(loaded.origin("http.body_max"), Origin::Default);
    }

    #[test]
    fn a_variable_that_names_no_key_or_has_no_sense_is_refused() {
        let check = |name: &str, value: &str, expect: &str| {
            let wrong = from_parts(None, vec![(name.to_owned(), value.to_owned())], Vec::new()).expect_err(name).to_string();
            assert!(wrong.contains(expect), "{name}: {wrong:?} does not say {expect:?}");
        };
        check("HOTCAKE_HTTP__LISSTEN", "x", "HOTCAKE_HTTP__LISSTEN: there is no key http.lissten");
        check("HOTCAKE_HTTP__WORKERS", "two", "HOTCAKE_HTTP__WORKERS: the value is not a integer");
        check("HOTCAKE_HTTP__ENVELOPE", "box", "HOTCAKE_HTTP__ENVELOPE: unknown variant");
    }

    #[test]
    fn secrets_come_from_files_and_are_never_shown() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secret");
        let secret = "0123456789abcdef0123456789abcdef";
        std::fs::write(&path, format!("{secret}\n")).expect("written");
        let environment = vec![("HOTCAKE_AUTH__BUYER_SECRET_FILE".to_owned(), path.display().to_string())];
        let loaded = from_parts(None, environment, Vec::new()).expect("right");
        assert_eq!(loaded.config.auth.buyer_secret, secret);
        assert!(shown(&loaded.config).iter().all(|(_, value)| !value.contains(secret)));
    }
}
