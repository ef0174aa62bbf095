//! Files that are packed, joined, repeated, cut off or many.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::write::GzEncoder;

use crate::harness::{World, export};

#[test]
fn packed_files_are_read_as_they_come() {
    let plain = fs::read(export("amplitude.json")).unwrap();
    let world = World::new();
    let write = |name: &str, bytes: &[u8]| -> String {
        let path = world.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let gzip = gzip(&plain);
    // `cat a.gz b.gz`: two members, of which a reader must not take the first for all.
    let first_line = plain.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    let members = [self::gzip(first_line), self::gzip(&plain[first_line.len()..])].concat();
    let zip = zip(&[("77/a.json.gz", &gzip), ("__MACOSX/._a", b"x")]);
    for (name, bytes) in [
        ("a.json.gz", gzip.clone()),
        // The name does not matter.
        ("a.bin", gzip),
        ("b.json.gz", members),
        ("a.json.zst", zstd::encode_all(&plain[..], 3).unwrap()),
        ("a.zip", zip),
    ] {
        let said = world.import(&["--format", "amplitude", &write(name, &bytes)]);
        assert!(said.contains("imported 2 events"), "{name}: {said}");
    }
    assert_eq!(world.count(), 2, "the same events from all of them");
}

#[test]
fn equal_lines_of_a_file_are_events_each_and_those_of_overlapping_files_are_not() {
    let world = World::new();
    let lines = fs::read_to_string(export("combined.log")).unwrap();
    let lines: Vec<&str> = lines.lines().take(3).collect();
    let write = |name: &str, lines: &[&str]| {
        let path = world.dir.path().join(name);
        fs::write(&path, lines.join("\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (yesterday, today) = (write("a.log", &lines[..2]), write("b.log", &lines));
    world.import(&["--format", "combined", &yesterday]);
    assert_eq!(world.count(), 2, "the same request twice within a second");
    world.import(&["--format", "combined", &yesterday, &today]);
    assert_eq!(world.count(), 3);
}

#[test]
fn a_file_that_was_cut_off_is_named_and_what_came_before_stays() {
    let world = World::new();
    let lines: String =
        (0..50_000).map(|n| format!("{{\"name\":\"a\",\"event_id\":\"{n}\",\"timestamp\":1772366400}}\n")).collect();
    let mut gzip = gzip(lines.as_bytes());
    gzip.truncate(gzip.len() / 2);
    let file = world.dir.path().join("cut.ndjson.gz");
    fs::write(&file, gzip).unwrap();
    let error = world.refuse(&[file.to_str().unwrap()]);
    assert!(error.contains("cut.ndjson.gz") && error.contains("cut off"), "{error}");
    assert!(error.contains("before it are imported") && error.contains("nothing is stored twice"), "{error}");
    let before = world.count();
    assert!(before > 0 && before < 50_000, "{before}");
    fs::write(&file, lines).unwrap();
    world.import(&[file.to_str().unwrap()]);
    assert_eq!(world.count(), 50_000);
}

#[test]
fn a_zip_and_an_array_that_were_cut_off_are_named() {
    let world = World::new();
    let zip = zip(&[("a.json", b"{\"name\":\"a\",\"event_id\":\"1\"}")]);
    for (name, bytes) in [("cut.zip", &zip[..zip.len() - 30]), ("cut.json", &b"[{\"name\":\"a\"},{\"na"[..])] {
        let file = world.dir.path().join(name);
        fs::write(&file, bytes).unwrap();
        let error = world.refuse(&[file.to_str().unwrap()]);
        assert!(error.contains(name) && error.contains("cut off"), "{error}");
    }
}

#[test]
fn an_import_that_was_broken_off_goes_on_with_the_next_file() {
    let world = World::new();
    let write = |name: &str| -> PathBuf {
        let path = world.dir.path().join("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("{{\"name\":\"{name}\",\"timestamp\":1772366400}}\n")).unwrap();
        path
    };
    let (first, _) = (write("1.ndjson"), write("2.ndjson"));
    let dir = first.parent().unwrap().to_str().unwrap();
    world.import(&[first.to_str().unwrap()]);
    let said = world.import(&["--resume", dir]);
    assert!(said.contains("imported 1 events from 1 file(s)") && said.contains("left out 1 file(s)"), "{said}");
    write("1.ndjson");
    fs::write(&first, "{\"name\":\"changed\",\"timestamp\":1772366400}\n").unwrap();
    let said = world.import(&["--resume", dir]);
    assert!(said.contains("imported 1 events"), "a file that changed is another one: {said}");
    assert_eq!(world.count(), 3);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut zip = rawzip::ZipArchiveWriter::new(&mut bytes);
    for (name, content) in files {
        let file = zip.new_file(name).compression_method(rawzip::CompressionMethod::DEFLATE);
        let (mut entry, config) = file.start().unwrap();
        let deflate = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::default());
        let mut writer = config.wrap(deflate);
        writer.write_all(content).unwrap();
        let (deflate, descriptor) = writer.finish().unwrap();
        deflate.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    zip.finish().unwrap();
    bytes
}
