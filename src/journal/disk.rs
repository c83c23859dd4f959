//! What the journal asks of a disk, and the real one.
//!
//! The seam is here so that a test can put a disk below the journal that loses
//! power, runs full or fails at any operation. It is as narrow as the journal's
//! needs: names in one directory, writes at an offset, two kinds of sync.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags};

/// One directory.
pub(crate) trait Disk: Send + Sync {
    /// The regular files in it: names and lengths, in no order.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// The bytes of a file from an offset on, at most `limit` of them.
    fn read(&self, name: &str, from: u64, limit: usize) -> io::Result<Vec<u8>>;
    /// A new, empty file to write to; one of that name is emptied.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// A file that is there, to write to.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Renames within the directory, replacing atomically.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Unlinks.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
}

/// One file that is open for writing.
pub(crate) trait DiskFile: Send {
    /// Writes some of the bytes at an offset; returns how many.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Makes the content and length durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts it to a length, and gives back what was reserved beyond it.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Makes sure that bytes up to an offset can be written without need of
    /// space; does not change the length.
    fn reserve(&mut self, upto: u64) -> io::Result<()>;
}

/// Tries again as long as a signal interrupts.
pub(crate) fn uninterrupted<T>(mut f: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match f() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Writes all bytes, going on after short writes and interruptions. After a
/// failure, how many were written is unknown.
pub(crate) fn write_all(file: &mut dyn DiskFile, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = uninterrupted(|| file.write_at(at, bytes))?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[n.min(bytes.len())..];
        at += n as u64;
    }
    Ok(())
}

/// Writes a whole file so that its name never stands for half of it: under a
/// temporary name, synced, renamed. Returns it open. Its name is durable once
/// the directory is synced.
pub(crate) fn write_named(
    disk: &dyn Disk,
    name: &str,
    bytes: &[u8],
) -> io::Result<Box<dyn DiskFile>> {
    let (file, ()) = fill_named(disk, name, |out| out.write_all(bytes))?;
    Ok(file)
}

/// The same, with what is written from the file's beginning on.
pub(crate) fn fill_named<T>(
    disk: &dyn Disk,
    name: &str,
    fill: impl FnOnce(&mut Growing<'_>) -> io::Result<T>,
) -> io::Result<(Box<dyn DiskFile>, T)> {
    let tmp = format!("{name}.tmp");
    let written = (|| {
        let mut file = uninterrupted(|| disk.create(&tmp))?;
        let filled = fill(&mut Growing {
            file: &mut *file,
            at: 0,
        })?;
        uninterrupted(|| file.sync())?;
        uninterrupted(|| disk.rename(&tmp, name))?;
        Ok((file, filled))
    })();
    if written.is_err() {
        // What failed is told; the leftover is swept at the next start.
        let _ = disk.remove(&tmp);
    }
    written
}

/// A new file as a writer. Without a buffer of its own.
pub(crate) struct Growing<'f> {
    file: &'f mut dyn DiskFile,
    at: u64,
}

impl Write for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all(self.file, self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same, with its name durable.
pub(crate) fn write_whole(
    disk: &dyn Disk,
    name: &str,
    bytes: &[u8],
) -> io::Result<Box<dyn DiskFile>> {
    let file = write_named(disk, name, bytes)?;
    uninterrupted(|| disk.sync_dir())?;
    Ok(file)
}

/// A directory of the host. Everything goes through its descriptor: a path that
/// is swapped below a running agent changes nothing.
#[derive(Clone, Debug)]
pub(crate) struct HostDisk {
    dir: Arc<OwnedFd>,
}

impl HostDisk {
    pub(crate) fn new(dir: OwnedFd) -> Self {
        Self { dir: Arc::new(dir) }
    }

    fn at(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(
            &*self.dir,
            name,
            flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::RUSR | Mode::WUSR,
        )?)
    }
}

impl Disk for HostDisk {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&*self.dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let stat = match rustix::fs::statat(&*self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Unlinked meanwhile, by the retention of a running agent.
                Err(rustix::io::Errno::NOENT) => continue,
                Err(e) => return Err(e.into()),
            };
            if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
                found.push((name.to_owned(), u64::try_from(stat.st_size).unwrap_or(0)));
            }
        }
        Ok(found)
    }

    fn read(&self, name: &str, from: u64, limit: usize) -> io::Result<Vec<u8>> {
        let mut file = File::from(self.at(name, OFlags::RDONLY)?);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let fd = self.at(name, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)?;
        Ok(Box::new(HostFile(fd)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(HostFile(self.at(name, OFlags::WRONLY)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&*self.dir, from, &*self.dir, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&*self.dir, name, AtFlags::empty())?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&*self.dir)?)
    }
}

struct HostFile(OwnedFd);

impl DiskFile for HostFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::pwrite(&self.0, bytes, offset)?)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(&self.0, len)?)
    }

    fn reserve(&mut self, upto: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(
            &self.0,
            FallocateFlags::KEEP_SIZE,
            0,
            upto,
        )?)
    }
}
