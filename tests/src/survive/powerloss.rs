//! A disk that forgets what was not flushed. A preloaded library writes down, before each write,
//! what stood there; when the power goes, everything after the last completed flush of a file is
//! taken back. `kill -9` alone proves nothing of durability: the page cache outlives a process.
//!
//! Pessimistic in the right direction: nothing that was not flushed survives. Torn sectors are not
//! modelled, nor files that were made or renamed without flushing their folder.

pub mod postgres;
pub mod redis;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

/// The library's source.
const SOURCE: &str = include_str!("../../survive/powerloss/shim.c");
/// Bytes of a record before what stood there.
const HEAD: usize = 56;
/// Among the switches: the library writes a byte into it for each flush it has slowed.
const SLOWED: &str = "slowed";
const MAGIC: u64 = 0x5057_524c_4f53_5331;

/// What the last loss of power took back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Writes.
    pub writes: u64,
    /// Bytes.
    pub bytes: u64,
    /// Flushes that had completed before.
    pub flushes: u64,
}

/// What clients of a store were told, and what was left of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Writes confirmed.
    pub confirmed: u64,
    /// Of them gone.
    pub lost: u64,
    /// From the first to the last of those gone, in milliseconds.
    pub span_millis: u64,
}

/// The disk. Cheap to clone.
#[derive(Clone)]
pub struct Disk {
    library: PathBuf,
    log: PathBuf,
    switches: PathBuf,
    lies: bool,
    losses: Arc<Mutex<Vec<Loss>>>,
}

impl Disk {
    /// Builds the library under `folder`. A disk that `lies` says that it has flushed and has not.
    ///
    /// # Panics
    /// When there is no C compiler.
    pub fn build(folder: &Path, lies: bool) -> Self {
        let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
        std::fs::write(&source, SOURCE).expect("the shim's source can be written");
        let compiled = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(&source)
            .arg("-ldl")
            .status();
        let compiled = compiled.expect("`cc` is needed for the loss of power: install gcc");
        assert!(compiled.success(), "the shim does not compile");
        let log = folder.join("disk.log");
        File::create(&log).expect("the disk's log can be made");
        let switches = folder.join("switches");
        std::fs::create_dir_all(&switches).expect("the folder can be made");
        File::create(switches.join(SLOWED)).expect("the count of slow flushes can be made");
        Self {
            library,
            log,
            switches,
            lies,
            losses: Arc::default(),
        }
    }

    /// Puts a program's files on this disk.
    pub fn lend_to(&self, command: &mut Command) {
        command.envs(self.environment());
    }

    /// The environment of a program whose files lie on this disk.
    pub fn environment(&self) -> Vec<(String, String)> {
        let lies = if self.lies { "1" } else { "0" };
        let text = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD", text(&self.library)),
            ("SURVIVE_DISK_LOG", text(&self.log)),
            ("SURVIVE_DISK_SWITCHES", text(&self.switches)),
            ("SURVIVE_DISK_LIES", lies.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Lets programs of other users write the disk's log and its count of slow flushes.
    ///
    /// # Panics
    /// When that is not allowed.
    pub fn open_to_all(&self) {
        use std::os::unix::fs::PermissionsExt as _;
        let all = std::fs::Permissions::from_mode(0o666);
        for file in [&self.log, &self.switches.join(SLOWED)] {
            std::fs::set_permissions(file, all.clone()).expect("the disk's files are ours");
        }
        // Every folder on the way must let them through.
        for folder in self.log.ancestors().skip(1) {
            if let Ok(about) = std::fs::metadata(folder) {
                let mode = about.permissions().mode();
                let _ =
                    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode | 0o11));
            }
        }
    }

    /// From now on every write fails: the disk is full. Or not any more.
    ///
    /// # Panics
    /// When the switch cannot be set.
    pub fn fill(&self, full: bool) {
        self.switch("full", full.then(String::new));
    }

    /// From now on each flush takes so long.
    ///
    /// # Panics
    /// When the switch cannot be set.
    pub fn slow_flushes(&self, millis: u64) {
        self.switch("slow", (millis > 0).then(|| millis.to_string()));
    }

    /// Flushes that took as long as [`Self::slow_flushes`] said: the fault did happen.
    pub fn slowed(&self) -> u64 {
        let about = std::fs::metadata(self.switches.join(SLOWED));
        about.map_or(0, |about| about.len())
    }

    fn switch(&self, name: &str, text: Option<String>) {
        let path = self.switches.join(name);
        match text {
            Some(text) => std::fs::write(path, text).expect("the switch can be set"),
            None => {
                // It may not have been set.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Takes back what was not flushed, in all files under `folders`. Every process must be gone.
    ///
    /// # Panics
    /// When the log or a file cannot be read or written.
    pub fn lose_power(&self, folders: &[PathBuf]) -> Loss {
        let bytes = std::fs::read(&self.log).expect("the disk's log can be read");
        let loss = take_back(&bytes, folders);
        File::create(&self.log).expect("the disk's log can be made anew");
        self.losses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(loss);
        loss
    }

    /// What each loss of power took back.
    pub fn losses(&self) -> Vec<Loss> {
        self.losses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// One record of the log.
struct Record<'a> {
    flush: bool,
    file: (u64, u64),
    /// Where a write began; for a flush, what it covers of the log.
    at: u64,
    size_before: u64,
    length: u64,
    before: &'a [u8],
    position: u64,
}

fn records(bytes: &[u8]) -> Vec<Record<'_>> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while rest.len() >= HEAD {
        let number = |index: usize| {
            let field = &rest[index * 8..index * 8 + 8];
            u64::from_ne_bytes(field.try_into().expect("eight bytes"))
        };
        assert_eq!(number(0), MAGIC, "the disk's log is damaged");
        let kept = usize::try_from(number(6) & 0xffff_ffff_ffff).expect("it fits in memory");
        if rest.len() < HEAD + kept {
            break;
        }
        found.push(Record {
            flush: number(6) >> 48 == 1,
            file: (number(1), number(2)),
            at: number(3),
            size_before: number(4),
            length: number(5),
            before: &rest[HEAD..HEAD + kept],
            position: (bytes.len() - rest.len()) as u64,
        });
        rest = &rest[HEAD + kept..];
    }
    found
}

fn take_back(bytes: &[u8], folders: &[PathBuf]) -> Loss {
    let records = records(bytes);
    let mut safe: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut loss = Loss::default();
    for record in records.iter().filter(|record| record.flush) {
        let covered = safe.entry(record.file).or_default();
        *covered = (*covered).max(record.at);
        loss.flushes += 1;
    }
    let mut files = BTreeMap::new();
    for folder in folders {
        find_files(folder, &mut files);
    }
    for record in records.iter().rev().filter(|record| !record.flush) {
        let covered = safe.get(&record.file).copied().unwrap_or(0);
        let Some(path) = files.get(&record.file) else {
            continue;
        };
        // What SQLite shares between connections is memory, and made anew.
        if record.position < covered || path.to_string_lossy().ends_with("-shm") {
            continue;
        }
        let file = OpenOptions::new()
            .write(true)
            .open(path)
            .expect("the file can be changed");
        file.write_all_at(record.before, record.at)
            .expect("the file can be changed");
        if record.at + record.length > record.size_before {
            file.set_len(record.size_before)
                .expect("the file can be cut");
        }
        loss.writes += 1;
        loss.bytes += record.length;
    }
    loss
}

fn find_files(folder: &Path, found: &mut BTreeMap<(u64, u64), PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(about) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        if about.is_dir() {
            find_files(&path, found);
        } else if about.is_file() {
            found.insert((about.dev(), about.ino()), path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    /// Writes three times; flushes after the first.
    const PROGRAM: &str = "
import os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(file, b'kept')
os.fsync(file)
os.pwrite(file, b'LOST', 0)
os.lseek(file, 4, os.SEEK_SET)
os.write(file, b' and more')
os.kill(os.getpid(), 9)
";

    fn survives(lies: bool) -> (Vec<u8>, Loss) {
        let (left, loss, _) = survives_at(lies, 0);
        (left, loss)
    }

    fn survives_at(lies: bool, slow: u64) -> (Vec<u8>, Loss, u64) {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a folder");
        let disk = Disk::build(folder.path(), lies);
        let file = data.join("file");
        let mut command = Command::new("python3");
        command
            .args(["-c", PROGRAM])
            .arg(&file)
            .stderr(Stdio::inherit());
        disk.lend_to(&mut command);
        disk.slow_flushes(slow);
        assert!(!command.status().expect("python3 runs").success());
        assert_eq!(std::fs::read(&file).expect("a file"), b"LOST and more");
        let loss = disk.lose_power(&[data]);
        (std::fs::read(&file).expect("a file"), loss, disk.slowed())
    }

    #[test]
    fn a_slow_flush_is_counted_and_is_a_flush() {
        let (left, _, slowed) = survives_at(false, 20);
        assert_eq!((left, slowed), (b"kept".to_vec(), 1));
        assert_eq!(survives_at(false, 0).2, 0);
    }

    #[test]
    fn what_was_flushed_stays_and_the_rest_is_gone() {
        let (left, loss) = survives(false);
        assert_eq!(left, b"kept");
        assert_eq!((loss.writes, loss.bytes, loss.flushes), (2, 13, 1));
    }

    #[test]
    fn a_disk_that_lies_loses_everything() {
        assert_eq!(survives(true).0, b"");
    }
}
