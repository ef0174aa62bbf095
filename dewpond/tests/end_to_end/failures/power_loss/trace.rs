//! Tells from a process's system calls (`strace -f -yy`) what would survive a power loss at a given moment.
//!
//! A file survives if its bytes were synced after they were written, its name after the file was named, and every directory
//! from the lake's root down after it was made. A directory from before the trace must be synced too, because the process
//! that made it may have died before it did so.

use std::collections::HashMap;

/// System calls in the order in which they began.
pub struct Trace {
    calls: Vec<Call>,
}

/// One call that succeeded. Moments are line numbers of the trace.
struct Call {
    began: usize,
    ended: usize,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    Write {
        path: String,
    },
    Sync {
        path: String,
    },
    /// A file or directory gets a new name.
    Name {
        path: String,
        was: Option<String>,
    },
    Unlink {
        path: String,
    },
    Send {
        peer: String,
        text: String,
    },
}

/// The calls that strace must trace.
pub const CALLS: &str = "trace=openat,write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2,\
                         link,linkat,unlink,unlinkat,mkdir,mkdirat";

impl Trace {
    /// Reads the output of `strace -f -yy -o`.
    pub fn parse(text: &str) -> Self {
        let mut unfinished: HashMap<&str, (usize, &str)> = HashMap::new();
        let mut calls = Vec::new();
        for (moment, line) in text.lines().enumerate() {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let rest = rest.trim_start();
            let (began, whole) = if let Some(first) = rest.strip_suffix("<unfinished ...>") {
                unfinished.insert(thread, (moment, first));
                continue;
            } else if rest.starts_with("<... ") {
                let Some((began, first)) = unfinished.remove(thread) else { continue };
                let last = rest.split_once(" resumed>").expect("a resumed call says so").1;
                (began, format!("{first}{last}"))
            } else {
                (moment, rest.to_owned())
            };
            if let Some(what) = parse_call(&whole) {
                calls.push(Call { began, ended: moment, what });
            }
        }
        calls.sort_by_key(|call| call.began);
        Self { calls }
    }

    /// The moments at which the sending of successful answers to a peer (`address:port`) began, in order.
    pub fn successes(&self, peer: &str) -> Vec<usize> {
        let success =
            |what: &What| matches!(what, What::Send { peer: to, text } if to == peer && text.starts_with("HTTP/1.1 2"));
        self.calls.iter().filter(|call| success(&call.what)).map(|call| call.began).collect()
    }

    /// The files named in the trace, each with the moment at which the call began.
    pub fn named(&self) -> impl Iterator<Item = (&str, usize)> {
        self.calls.iter().filter_map(|call| match &call.what {
            What::Name { path, .. } => Some((path.as_str(), call.began)),
            _ => None,
        })
    }

    /// The files deleted in the trace, each with the moment at which the call began.
    pub fn unlinked(&self) -> impl Iterator<Item = (&str, usize)> {
        self.calls.iter().filter_map(|call| match &call.what {
            What::Unlink { path } => Some((path.as_str(), call.began)),
            _ => None,
        })
    }

    /// Whether a file written in this trace survives a power loss at `moment`. If not, the error says what is missing.
    ///
    /// - `root`: the lake's directory. Directories above it are not checked.
    pub fn survives(&self, path: &str, root: &str, moment: usize) -> Result<(), String> {
        let Some((named, was)) = self.naming(path, moment) else { return Err(format!("{path} has no name yet")) };
        let is_it = |other: &str| other == path || was == Some(other);
        let writes = self.before(moment).filter(|call| matches!(&call.what, What::Write { path } if is_it(path)));
        let Some(written) = writes.map(|call| call.ended).max() else { return Err(format!("{path} has no bytes")) };
        if !self.synced(is_it, written, moment) {
            return Err(format!("the bytes of {path} are not synced"));
        }
        let (mut entry, mut since) = (path, named);
        loop {
            let dir = entry.rsplit_once('/').map_or("", |(dir, _)| if dir.is_empty() { "/" } else { dir });
            if !self.synced(|other| other == dir, since, moment) {
                return Err(format!("the name of {entry} in its directory is not synced"));
            }
            if entry == root || dir == "/" {
                return Ok(());
            }
            entry = dir;
            since = self.naming(entry, moment).map_or(0, |(named, _)| named);
        }
    }

    /// Whether a file deleted in this trace stays deleted after a power loss at the end of the trace.
    pub fn stays_deleted(&self, path: &str) -> bool {
        let unlinks =
            self.calls.iter().filter(|call| matches!(&call.what, What::Unlink { path: gone } if gone == path));
        let dir = path.rsplit_once('/').map_or("/", |(dir, _)| dir);
        unlinks.map(|call| call.ended).max().is_some_and(|at| self.synced(|other| other == dir, at, usize::MAX))
    }

    /// When a path was last named before `moment`, and its previous name.
    fn naming(&self, path: &str, moment: usize) -> Option<(usize, Option<&str>)> {
        let names = self.before(moment).filter_map(|call| match &call.what {
            What::Name { path: named, was } if named == path => Some((call.ended, was.as_deref())),
            _ => None,
        });
        names.max_by_key(|(ended, _)| *ended)
    }

    /// Whether a sync that began after `since` had ended before `moment`.
    fn synced(&self, is_it: impl Fn(&str) -> bool, since: usize, moment: usize) -> bool {
        self.before(moment).any(|call| {
            matches!(&call.what, What::Sync { path } if is_it(path)) && call.began >= since && call.ended < moment
        })
    }

    /// The calls that began before `moment`.
    fn before(&self, moment: usize) -> impl Iterator<Item = &Call> {
        self.calls.iter().take_while(move |call| call.began < moment)
    }
}

/// What a completed call did; `None` if it failed or does not matter here.
fn parse_call(call: &str) -> Option<What> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    let texts = quoted(arguments);
    let descriptor = || annotation(arguments);
    let text = |place: usize| texts.get(place).cloned();
    Some(match name {
        "openat" if arguments.contains("O_CREAT") => What::Name { path: text(0)?, was: None },
        "mkdir" | "mkdirat" => What::Name { path: text(0)?, was: None },
        "link" | "linkat" | "rename" | "renameat" | "renameat2" => What::Name { path: text(1)?, was: text(0) },
        "unlink" | "unlinkat" => What::Unlink { path: text(0)? },
        "fsync" | "fdatasync" => What::Sync { path: descriptor()?.to_owned() },
        "write" | "pwrite64" | "writev" | "sendto" | "sendmsg" => match descriptor()?.strip_prefix("TCP:[") {
            Some(socket) => {
                let (_, peer) = socket.trim_end_matches(']').split_once("->")?;
                What::Send { peer: peer.to_owned(), text: text(0)? }
            }
            None => What::Write { path: descriptor()?.to_owned() },
        },
        _ => return None,
    })
}

/// The path in strace's form of a descriptor, the first argument: `5</a/b>`.
fn annotation(arguments: &str) -> Option<&str> {
    let digits = arguments.find(|c: char| !c.is_ascii_digit())?;
    let rest = arguments[digits..].strip_prefix('<')?;
    let first = rest.split(", ").next()?.trim_end_matches(')').trim_end();
    first.strip_suffix('>').or_else(|| rest.split_once('>').map(|(inside, _)| inside))
}

/// The string arguments.
fn quoted(arguments: &str) -> Vec<String> {
    let (mut texts, mut text, mut escaped) = (Vec::new(), None::<String>, false);
    for c in arguments.chars() {
        match (&mut text, c) {
            (None, '"') => text = Some(String::new()),
            (None, _) => {}
            (Some(inside), _) if escaped => {
                inside.push(c);
                escaped = false;
            }
            (Some(_), '\\') => escaped = true,
            (Some(_), '"') => texts.extend(text.take()),
            (Some(inside), _) => inside.push(c),
        }
    }
    texts
}

/// A file that is written, synced, named, its directories made and synced, and then acknowledged.
const DURABLE: &str = r#"
7 mkdir("/lake/raw", 0777) = 0
7 openat(AT_FDCWD</tmp>, "/lake", O_RDONLY|O_CLOEXEC) = 4</lake>
7 fsync(4</lake>) = 0
7 openat(AT_FDCWD</tmp>, "/", O_RDONLY|O_CLOEXEC) = 4</>
7 fsync(4</>) = 0
7 openat(AT_FDCWD</tmp>, "/lake/raw/a#1", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0666) = 5</lake/raw/a#1>
7 write(5</lake/raw/a#1>, "PAR1\25\4 = \"x", 12) = 12
8 fsync(6</somewhere/else> <unfinished ...>
7 fsync(5</lake/raw/a#1> <unfinished ...>
8 <... fsync resumed>) = 0
7 <... fsync resumed>) = 0
7 link("/lake/raw/a#1", "/lake/raw/a") = 0
7 unlink("/lake/raw/a#1") = 0
7 fsync(4</lake/raw>) = 0
9 sendto(7<TCP:[127.0.0.1:80->127.0.0.1:5000]>, "HTTP/1.1 202 Accepted\r\n"..., 90, MSG_NOSIGNAL, NULL, 0) = 90
"#;

#[test]
fn a_file_that_is_synced_with_its_name_and_directories_survives() {
    check(DURABLE, Ok(()));
}

#[test]
fn each_missing_sync_is_noticed() {
    check(&DURABLE.replace("fsync(4</lake/raw>)", "fsync(4</other>)"), Err("the name of /lake/raw/a "));
    check(&DURABLE.replace("fsync(4</lake>)", "fsync(4</other>)"), Err("the name of /lake/raw "));
    check(&DURABLE.replace("fsync(4</>)", "fsync(4</other>)"), Err("the name of /lake "));
    check(&DURABLE.replace("fsync(5</lake/raw/a#1>", "fsync(5</other>"), Err("the bytes of /lake/raw/a "));
    check(&DURABLE.replace("write(5", "read(5"), Err("/lake/raw/a has no bytes"));
    check(&DURABLE.replace("link(\"/lake/raw/a#1\"", "stat(\"/lake/raw/a#1\""), Err("/lake/raw/a has no name"));
}

#[test]
fn a_sync_that_fails_or_comes_too_late_or_too_early_is_none() {
    check(&DURABLE.replace("fsync(4</lake/raw>) = 0", "fsync(4</lake/raw>) = -1 EIO"), Err("the name of /lake/raw/a "));
    let sync = "7 fsync(4</lake/raw>) = 0\n";
    let without = DURABLE.replace(sync, "");
    check(&format!("{without}{sync}"), Err("the name of /lake/raw/a "));
    check(&without.replace("7 link", &format!("{sync}7 link")), Err("the name of /lake/raw/a "));
    // Begun on another thread before the file had its name.
    let early = without.replace("7 link", "8 fsync(4</lake/raw> <unfinished ...>\n7 link");
    check(&early.replace("9 sendto", "8 <... fsync resumed>) = 0\n9 sendto"), Err("the name of /lake/raw/a "));
    let late_write = "7 write(5</lake/raw/a#1>, \"more\", 4) = 4\n7 unlink";
    check(&DURABLE.replace("7 unlink", late_write), Err("the bytes of /lake/raw/a "));
}

#[test]
fn a_file_stays_deleted_if_its_directory_is_synced_after_it() {
    let trace = Trace::parse(DURABLE);
    assert!(trace.stays_deleted("/lake/raw/a#1") && !trace.stays_deleted("/lake/raw/a"));
    let without = DURABLE.replace("fsync(4</lake/raw>)", "fsync(4</other>)");
    assert!(!Trace::parse(&without).stays_deleted("/lake/raw/a#1"));
}

#[test]
fn an_answer_is_known_by_its_connection_and_status() {
    assert!(Trace::parse(DURABLE).successes("127.0.0.1:5001").is_empty());
    assert!(Trace::parse(&DURABLE.replace("1.1 202", "1.1 503")).successes("127.0.0.1:5000").is_empty());
}

/// Checks whether `/lake/raw/a` survives a power loss at the moment of the answer, or how the reason begins.
#[track_caller]
fn check(text: &str, expected: Result<(), &str>) {
    let trace = Trace::parse(text);
    let [answered] = trace.successes("127.0.0.1:5000")[..] else { panic!("there is one answer in the trace") };
    match (trace.survives("/lake/raw/a", "/lake", answered), expected) {
        (Ok(()), Ok(())) => {}
        (Err(missing), Err(beginning)) if missing.starts_with(beginning) => {}
        (actual, _) => panic!("{actual:?}, not {expected:?}"),
    }
}
