//! A file that is rotated by size and by time. Old files are named as lumberjack names them:
//! `tetragon-2026-11-24T09-11-32.739.log` beside `tetragon.log`, with `.gz` when they are compressed.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use tetragon_api::event::Timestamp;

/// What the name of a compressed file ends with.
const GZ: &str = ".gz";
/// And while it is being made.
const PART: &str = ".gz.part";

/// The file that is written, and when it is replaced.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    size: u64,
    max_size: u64,
    backups: usize,
    mode: u32,
    interval: Duration,
    opened: Instant,
    /// The time in the name of the newest old file.
    last_backup: SystemTime,
    /// Takes old files to be compressed, if they are.
    compressor: Option<mpsc::Sender<PathBuf>>,
}

impl RotatingFile {
    /// Opens the file, to go on where it ends; makes its folder. `backups` 0: all are kept.
    pub fn open(
        path: &Path,
        max_size: u64,
        backups: usize,
        mode: u32,
        interval: Duration,
    ) -> io::Result<Self> {
        if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir)?;
        }
        let file = append(path, mode)?;
        let size = file.metadata()?.len();
        let path = path.to_owned();
        Ok(RotatingFile {
            path,
            file,
            size,
            max_size,
            backups,
            mode,
            interval,
            opened: Instant::now(),
            last_backup: SystemTime::UNIX_EPOCH,
            compressor: None,
        })
    }

    /// Old files are compressed, also those that an earlier agent left. A thread does it, which ends with
    /// this value; events do not wait for it.
    pub fn compressed(mut self) -> io::Result<Self> {
        let (sender, files) = mpsc::channel::<PathBuf>();
        let mode = self.mode;
        std::thread::Builder::new().name("compress".to_owned()).spawn(move || {
            for path in files {
                if let Err(e) = compress(&path, mode) {
                    tracing::error!("{}: cannot be compressed, and stays as it is: {e}", path.display());
                }
            }
        })?;
        let dir = self.dir().to_owned();
        for name in self.names_in_dir()? {
            match self.backup(&name) {
                Some((_, "")) => {
                    // The thread is there: it was just started.
                    let _ = sender.send(dir.join(name));
                }
                // What an agent did not finish begins anew.
                Some((_, PART)) => std::fs::remove_file(dir.join(name))?,
                _ => {}
            }
        }
        self.compressor = Some(sender);
        Ok(self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A line of `len` bytes does not fit behind the `pending` bytes that are not written yet. A line
    /// longer than a file gets a file of its own.
    pub fn is_full(&self, pending: usize, len: usize) -> bool {
        let before = self.size + pending as u64;
        before > 0 && before + len as u64 > self.max_size
    }

    /// It is time to rotate. A file without a line is not rotated.
    pub fn is_due(&self, now: Instant) -> bool {
        !self.interval.is_zero()
            && self.size > 0
            && now.saturating_duration_since(self.opened) >= self.interval
    }

    /// Renames the file and begins a new one. If that fails, the old one goes on.
    pub fn rotate(&mut self) -> io::Result<()> {
        let backup = self.backup_path();
        std::fs::rename(&self.path, &backup)?;
        match append(&self.path, self.mode) {
            Ok(file) => self.file = file,
            Err(e) => {
                // Lines go on into the renamed file; give it its name back.
                std::fs::rename(&backup, &self.path)?;
                return Err(e);
            }
        }
        self.size = 0;
        self.opened = Instant::now();
        self.remove_old()?;
        if let Some(compressor) = &self.compressor {
            compressor.send(backup).map_err(|_| io::Error::other("the thread that compresses has ended"))?;
        }
        Ok(())
    }

    /// A name that no file has, and that sorts after those before.
    fn backup_path(&mut self) -> PathBuf {
        let millisecond = Duration::from_millis(1);
        let (stem, ext) = self.name_parts();
        self.last_backup = SystemTime::now().max(self.last_backup + millisecond);
        loop {
            let path = self.path.with_file_name(format!("{stem}-{}{ext}", stamp(self.last_backup)));
            if !path.exists() && !with_end(&path, GZ).exists() {
                return path;
            }
            self.last_backup += millisecond;
        }
    }

    fn name_parts(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let ext = self.path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        (text(self.path.file_stem()), ext)
    }

    /// The folder that it is in.
    fn dir(&self) -> &Path {
        self.path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn names_in_dir(&self) -> io::Result<Vec<String>> {
        Ok(std::fs::read_dir(self.dir())?
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
            .collect())
    }

    /// The time in an old file's name, and what follows the extension.
    fn backup<'n>(&self, name: &'n str) -> Option<(&'n str, &'static str)> {
        let (stem, ext) = self.name_parts();
        let end = [PART, GZ, ""].into_iter().find(|end| name.ends_with(end))?;
        stamp_of(name.strip_suffix(end)?, &stem, &ext).map(|stamp| (stamp, end))
    }

    /// Removes the oldest, so that `backups` remain.
    fn remove_old(&self) -> io::Result<()> {
        if self.backups == 0 {
            return Ok(());
        }
        let names = self.names_in_dir()?;
        let old: Vec<(&str, &String)> =
            names.iter().filter_map(|name| Some((self.backup(name)?.0, name))).collect();
        // Stamps sort by time. One that is being compressed has two files.
        let stamps: BTreeSet<&str> = old.iter().map(|(stamp, _)| *stamp).collect();
        let surplus: Vec<&str> =
            stamps.iter().take(stamps.len().saturating_sub(self.backups)).copied().collect();
        for (_, name) in old.iter().filter(|(stamp, _)| surplus.contains(stamp)) {
            match std::fs::remove_file(self.dir().join(name)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                // The compressor may have been quicker.
                _ => {}
            }
        }
        Ok(())
    }
}

/// A path with more at its end.
fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Puts a compressed file in the place of an old one. There is never half of one under its name.
fn compress(path: &Path, mode: u32) -> io::Result<()> {
    let part = with_end(path, PART);
    let written = compress_to(path, &part, mode);
    // It may have become too old meanwhile.
    if written.is_err() || !path.exists() {
        let _ = std::fs::remove_file(&part);
        return written.or_else(|e| if path.exists() { Err(e) } else { Ok(()) });
    }
    std::fs::rename(&part, with_end(path, GZ))?;
    std::fs::remove_file(path)
}

fn compress_to(path: &Path, part: &Path, mode: u32) -> io::Result<()> {
    let mut from = File::open(path)?;
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(part)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    let mut encoder = GzEncoder::new(io::BufWriter::new(file), Compression::default());
    io::copy(&mut from, &mut encoder)?;
    let file = encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    // The old file goes next: this one must be on the disk.
    file.sync_all()
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).mode(mode).open(path)?;
    // The umask does not count; a pipe or device keeps what it has.
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(file)
}

/// `2026-11-24T09-11-32.739`
fn stamp(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let second = Timestamp { seconds, nanos: 0 }.to_string();
    format!("{}.{:03}", second.trim_end_matches('Z').replace(':', "-"), since.subsec_millis())
}

/// The time in the name of an old file.
fn stamp_of<'n>(name: &'n str, stem: &str, ext: &str) -> Option<&'n str> {
    let middle = name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(ext)?;
    let like = "0000-00-00T00-00-00.000";
    let fits = |(b, l): (u8, u8)| if l == b'0' { b.is_ascii_digit() } else { b == l };
    (middle.len() == like.len() && middle.bytes().zip(like.bytes()).all(fits)).then_some(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn stamps_are_lumberjacks() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_511_492_039);
        assert_eq!(stamp(time), "2026-11-24T09-11-32.039");
        assert_eq!(stamp_of("t-2026-11-24T09-11-32.039.log", "t", ".log"), Some("2026-11-24T09-11-32.039"));
        for other in ["t.log", "t-x.log", "t-2026-11-24T09-11-32.03.log", "u-2026-11-24T09-11-32.039.log"] {
            assert_eq!(stamp_of(other, "t", ".log"), None, "{other}");
        }
    }

    #[test]
    fn rotates_and_keeps_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/t.log");
        let mut file = RotatingFile::open(&path, 10, 2, 0o640, Duration::ZERO).unwrap();
        assert!(!file.is_full(0, 100));
        for n in 0..5 {
            file.write_all(format!("line {n}\n").as_bytes()).unwrap();
            assert!(file.is_full(0, 7) && !file.is_full(0, 3));
            file.rotate().unwrap();
        }
        let names = names(path.parent().unwrap());
        assert_eq!(names.len(), 3, "{names:?}");
        let last = std::fs::read_to_string(path.with_file_name(&names[1])).unwrap();
        assert_eq!(last, "line 4\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn goes_on_where_the_file_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        std::fs::write(&path, "12345").unwrap();
        let file = RotatingFile::open(&path, 10, 0, 0o600, Duration::ZERO).unwrap();
        assert!(file.is_full(2, 4) && !file.is_full(2, 3));
    }

    #[test]
    fn rotates_by_time_only_what_has_lines() {
        let dir = tempfile::tempdir().unwrap();
        let mut file =
            RotatingFile::open(&dir.path().join("t"), 1000, 0, 0o600, Duration::from_secs(60)).unwrap();
        let later = Instant::now() + Duration::from_secs(61);
        assert!(!file.is_due(later));
        file.write_all(b"x\n").unwrap();
        assert!(file.is_due(later) && !file.is_due(Instant::now()));
    }

    #[test]
    fn a_failed_rotation_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.log");
        let mut file = RotatingFile::open(&path, 10, 0, 0o600, Duration::ZERO).unwrap();
        file.write_all(b"one\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(file.rotate().is_err());
        file.write_all(b"two\n").unwrap();
    }

    #[test]
    fn old_files_are_compressed_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.log");
        // What an earlier agent left: one to be compressed, one that it began.
        std::fs::write(dir.path().join("t-2020-01-01T00-00-00.000.log"), "earlier\n").unwrap();
        std::fs::write(dir.path().join("t-2020-01-01T00-00-00.000.log.gz.part"), "half").unwrap();
        let open = |backups| RotatingFile::open(&path, 10, backups, 0o640, Duration::ZERO).unwrap();
        let mut file = open(3).compressed().unwrap();
        for n in 0..3 {
            file.write_all(format!("line {n}\n").as_bytes()).unwrap();
            file.rotate().unwrap();
        }
        let until = Instant::now() + Duration::from_secs(20);
        let done = || {
            let names = names(dir.path());
            names.len() == 4 && names.iter().filter(|n| n.ends_with(".log.gz")).count() == 3
        };
        while !done() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let names = names(dir.path());
        assert!(done(), "{names:?}");
        let mut text = String::new();
        let newest = File::open(dir.path().join(&names[2])).unwrap();
        io::Read::read_to_string(&mut flate2::read::GzDecoder::new(newest), &mut text).unwrap();
        assert_eq!(text, "line 2\n");
        let mode = std::fs::metadata(dir.path().join(&names[2])).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }

    #[test]
    fn what_cannot_be_compressed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t-x.log");
        std::fs::write(&path, "text").unwrap();
        std::fs::create_dir(dir.path().join("t-x.log.gz.part")).unwrap();
        assert!(compress(&path, 0o600).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
        // One that is gone meanwhile is no trouble.
        assert!(compress(&dir.path().join("gone.log"), 0o600).is_ok());
    }
}
