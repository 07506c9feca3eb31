//! A file that is rotated by size and by time. Old files are named as lumberjack names them:
//! `tetragon-2026-11-24T09-11-32.739.log` beside `tetragon.log`.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use tetragon_api::event::Timestamp;

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
        })
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
        self.remove_old()
    }

    /// A name that no file has, and that sorts after those before.
    fn backup_path(&mut self) -> PathBuf {
        let millisecond = Duration::from_millis(1);
        let (stem, ext) = self.name_parts();
        self.last_backup = SystemTime::now().max(self.last_backup + millisecond);
        loop {
            let path = self.path.with_file_name(format!("{stem}-{}{ext}", stamp(self.last_backup)));
            if !path.exists() {
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

    /// Removes the oldest, so that `backups` remain.
    fn remove_old(&self) -> io::Result<()> {
        if self.backups == 0 {
            return Ok(());
        }
        let (stem, ext) = self.name_parts();
        let dir = match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let mut old: Vec<String> = std::fs::read_dir(dir)?
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|name| is_backup(name, &stem, &ext))
            .collect();
        // The names sort by time.
        old.sort_unstable();
        let surplus = old.len().saturating_sub(self.backups);
        old.iter().take(surplus).try_for_each(|name| std::fs::remove_file(dir.join(name)))
    }
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

fn is_backup(name: &str, stem: &str, ext: &str) -> bool {
    let middle = name.strip_prefix(stem).and_then(|n| n.strip_prefix('-')).and_then(|n| n.strip_suffix(ext));
    let Some(middle) = middle else { return false };
    let like = "0000-00-00T00-00-00.000";
    middle.len() == like.len()
        && middle.bytes().zip(like.bytes()).all(|(b, l)| if l == b'0' { b.is_ascii_digit() } else { b == l })
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
        assert!(is_backup("t-2026-11-24T09-11-32.039.log", "t", ".log"));
        for other in ["t.log", "t-x.log", "t-2026-11-24T09-11-32.03.log", "u-2026-11-24T09-11-32.039.log"] {
            assert!(!is_backup(other, "t", ".log"), "{other}");
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
}
