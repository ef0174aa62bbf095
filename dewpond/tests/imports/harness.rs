//! A lake of its own for each test, and the binary.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Every column that does not differ from run to run. Whether there is a visitor is told, and not which: those of a day have
/// another id in each run.
const ROWS: &str = "SELECT * EXCEPT (site_id, received_at, visitor_id, date), visitor_id IS NOT NULL AS has_visitor \
                    FROM events ORDER BY occurred_at, event_id";

/// A lake.
pub struct World {
    pub dir: TempDir,
}

/// A file in `exports`.
pub fn export(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/imports/exports").join(name).to_str().unwrap().to_owned()
}

impl World {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn run(&self, command: &str, args: &[&str]) -> Output {
        let lake = self.dir.path().join("lake");
        Command::new(env!("CARGO_BIN_EXE_dewpond"))
            .args([command, "--lake", lake.to_str().unwrap()])
            .args(args)
            .env("DEWPOND_LOG", "warn")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Imports, which must succeed. Returns what it says.
    #[track_caller]
    pub fn import(&self, args: &[&str]) -> String {
        let output = self.run("import", &[&["--site", "shop"], args].concat());
        let (said, errors) = texts(&output);
        assert!(output.status.success(), "{args:?} failed:\n{said}{errors}");
        said
    }

    /// Imports, which must fail. Returns the error.
    #[track_caller]
    pub fn refuse(&self, args: &[&str]) -> String {
        let output = self.run("import", &[&["--site", "shop"], args].concat());
        let (said, errors) = texts(&output);
        assert!(!output.status.success(), "{args:?} succeeded:\n{said}");
        assert!(!errors.contains("panicked"), "{errors}");
        errors
    }

    /// Exports, which must succeed. Returns what it says.
    #[track_caller]
    pub fn export(&self, args: &[&str]) -> String {
        let output = self.run("export", args);
        let (said, errors) = texts(&output);
        assert!(output.status.success(), "{args:?} failed:\n{said}{errors}");
        said
    }

    /// Exports, which must fail. Returns the error.
    #[track_caller]
    pub fn refuse_export(&self, args: &[&str]) -> String {
        let output = self.run("export", args);
        assert!(!output.status.success(), "{args:?} succeeded");
        texts(&output).1
    }

    /// The answer of a query as CSV.
    #[track_caller]
    pub fn ask(&self, sql: &str) -> String {
        let output = self.run("query", &["--format", "csv", "-e", sql]);
        let (said, errors) = texts(&output);
        assert!(output.status.success(), "{sql}: {errors}");
        said
    }

    /// All rows, without nulls.
    #[track_caller]
    pub fn rows(&self) -> String {
        let output = self.run("query", &["--format", "ndjson", "-e", ROWS]);
        let (said, errors) = texts(&output);
        assert!(output.status.success(), "{errors}");
        let plain = |line: &str| {
            let mut row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            row.retain(|_, value| !value.is_null());
            serde_json::Value::Object(row).to_string() + "\n"
        };
        said.lines().map(plain).collect()
    }

    /// Checks the lake, which must be as it should be.
    #[track_caller]
    pub fn ask_to_be_sound(&self) {
        let lake = self.dir.path().join("lake");
        let check = Command::new(env!("CARGO_BIN_EXE_dewpond"))
            .args(["lake", "check", "--lake", lake.to_str().unwrap()])
            .output();
        let output = check.unwrap();
        let (said, errors) = texts(&output);
        assert!(output.status.success(), "{said}{errors}");
    }

    /// How many events there are.
    #[track_caller]
    pub fn count(&self) -> usize {
        self.ask("SELECT count(*) AS n FROM events").lines().nth(1).unwrap().parse().unwrap()
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
