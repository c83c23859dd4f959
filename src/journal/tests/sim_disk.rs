//! A disk that loses power, runs full, fails or interrupts at any operation.
//!
//! What is not synced is lost sector by sector: of each write some sectors
//! arrive and others read as zeros, a later write may arrive without an earlier
//! one, a rename without the creation before it. A sync that fails drops what it
//! should have made durable, and the next one succeeds all the same, as Linux
//! has it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::journal::disk::{Disk, DiskFile};

/// Small, so that small records are torn as well.
const SECTOR: u64 = 64;

/// What happens at an operation instead of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It fails with this error number.
    Fails(i32),
    /// A write writes this many bytes only; anything else is interrupted.
    Short(usize),
    /// The power goes: it may or may not have happened, and nothing does after.
    PowerCut,
}

pub(super) const EIO: i32 = 5;
pub(super) const ENOSPC: i32 = 28;
pub(super) const EINTR: i32 = 4;

#[derive(Clone, Debug)]
enum Write {
    At(u64, Vec<u8>),
    Cut(u64),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Write>,
    reserved: u64,
}

#[derive(Clone, Debug)]
enum Name {
    Made(String, usize),
    Renamed(String, String, usize),
    Removed(String),
}

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    pending: Vec<Name>,
    ops: u64,
    faults: BTreeMap<u64, Fault>,
    /// From this operation on, all that need space fail.
    full: Option<u64>,
    dead: bool,
}

#[derive(Clone, Default)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

/// A small generator: xorshift64*, for torn sectors.
#[derive(Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Operations so far that could have failed.
    pub(super) fn ops(&self) -> u64 {
        self.state().ops
    }

    /// What is to happen at the operation with this number.
    pub(super) fn fault_at(&self, op: u64, fault: Fault) {
        self.state().faults.insert(op, fault);
    }

    /// How much space there is in all.
    pub(super) fn limit(&self, bytes: Option<u64>) {
        self.state().full = bytes;
    }

    /// Space that is taken, reservations included.
    pub(super) fn used(&self) -> u64 {
        self.state().used()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// The disk as it is found after the power came back. Seed 0 keeps only what
    /// is durable, seed 1 everything, others a part.
    pub(super) fn after_power_cut(&self, seed: u64) -> Self {
        let state = self.state();
        let mut dice = Dice::new(seed);
        let percent = match seed {
            0 => 0,
            1 => 100,
            _ => 10 + dice.roll() % 81,
        };
        let mut arrives = || dice.roll() % 100 < percent;
        let mut found = State::default();
        for inode in &state.inodes {
            let mut bytes = inode.durable.clone();
            let mut longest = bytes.len();
            for write in &inode.pending {
                match write {
                    Write::Cut(len) if arrives() => {
                        bytes.truncate(usize::try_from(*len).unwrap());
                    }
                    Write::Cut(_) => {}
                    Write::At(at, data) => {
                        let mut at = *at;
                        let mut rest = &data[..];
                        while !rest.is_empty() {
                            let n = (SECTOR - at % SECTOR).min(rest.len() as u64);
                            let (sector, after) = rest.split_at(usize::try_from(n).unwrap());
                            if arrives() {
                                put(&mut bytes, at, sector);
                            }
                            longest = longest.max(usize::try_from(at + n).unwrap());
                            rest = after;
                            at += n;
                        }
                    }
                }
            }
            // The length may be durable before the bytes are.
            if bytes.len() < longest && arrives() {
                bytes.resize(longest, 0);
            }
            found.inodes.push(Inode {
                now: bytes.clone(),
                durable: bytes,
                ..Inode::default()
            });
        }
        let mut names = state.durable.clone();
        for name in &state.pending {
            if !arrives() {
                continue;
            }
            match name {
                Name::Made(name, inode) => {
                    names.insert(name.clone(), *inode);
                }
                Name::Renamed(from, to, inode) => {
                    names.remove(from);
                    names.insert(to.clone(), *inode);
                }
                Name::Removed(name) => {
                    names.remove(name);
                }
            }
        }
        found.names.clone_from(&names);
        found.durable = names;
        Self(Arc::new(Mutex::new(found)))
    }

    /// The disk as another process finds it after this one was killed.
    pub(super) fn after_kill(&self) -> Self {
        let state = self.state();
        Self(Arc::new(Mutex::new(State {
            inodes: state.inodes.clone(),
            names: state.names.clone(),
            durable: state.durable.clone(),
            pending: state.pending.clone(),
            ..State::default()
        })))
    }

    /// All files and their bytes.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        state
            .names
            .iter()
            .map(|(name, &inode)| (name.clone(), state.inodes[inode].now.clone()))
            .collect()
    }

    /// A disk that holds just these files.
    pub(super) fn holding(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut state = State::default();
        for (name, bytes) in files {
            let inode = state.inodes.len();
            state.inodes.push(Inode {
                now: bytes.clone(),
                durable: bytes.clone(),
                ..Inode::default()
            });
            state.names.insert(name.clone(), inode);
            state.durable.insert(name.clone(), inode);
        }
        Self(Arc::new(Mutex::new(state)))
    }
}

fn put(bytes: &mut Vec<u8>, at: u64, data: &[u8]) {
    let at = usize::try_from(at).unwrap();
    if bytes.len() < at + data.len() {
        bytes.resize(at + data.len(), 0);
    }
    bytes[at..at + data.len()].copy_from_slice(data);
}

impl State {
    fn used(&self) -> u64 {
        self.names
            .values()
            .map(|&i| (self.inodes[i].now.len() as u64).max(self.inodes[i].reserved))
            .sum()
    }

    /// Counts an operation. `Ok(Some(n))`: write only this many bytes.
    /// `Err((e, done))`: it fails, after it has been done or not.
    fn op(&mut self, writes: bool) -> Result<Option<usize>, (io::Error, bool)> {
        let dead = || io::Error::other("the power is off");
        if self.dead {
            return Err((dead(), false));
        }
        let op = self.ops;
        self.ops += 1;
        match self.faults.get(&op) {
            None => Ok(None),
            Some(Fault::Fails(errno)) => Err((io::Error::from_raw_os_error(*errno), false)),
            Some(Fault::Short(n)) if writes => Ok(Some((*n).max(1))),
            Some(Fault::Short(_)) => Err((io::Error::from_raw_os_error(EINTR), false)),
            Some(Fault::PowerCut) => {
                self.dead = true;
                Err((dead(), true))
            }
        }
    }

    fn space(&self, inode: usize, upto: u64) -> io::Result<()> {
        let Inode { now, reserved, .. } = &self.inodes[inode];
        let more = upto.saturating_sub((now.len() as u64).max(*reserved));
        match self.full {
            Some(full) if more > 0 && self.used() + more > full => {
                Err(io::Error::from_raw_os_error(ENOSPC))
            }
            _ => Ok(()),
        }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        let found = self.names.get(name).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut state = self.state();
        state.op(false).map_err(|(e, _)| e)?;
        Ok(state
            .names
            .iter()
            .map(|(name, &inode)| (name.clone(), state.inodes[inode].now.len() as u64))
            .collect())
    }

    fn read(&self, name: &str, from: u64, limit: usize) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.op(false).map_err(|(e, _)| e)?;
        let bytes = &state.inodes[state.find(name)?].now;
        let from = usize::try_from(from).unwrap().min(bytes.len());
        let to = from.saturating_add(limit).min(bytes.len());
        Ok(bytes[from..to].to_vec())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let result = state.op(false);
        if let Err((e, false)) = result {
            return Err(e);
        }
        if let Some(full) = state.full
            && state.used() >= full
        {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(name.to_owned(), inode);
        state.pending.push(Name::Made(name.to_owned(), inode));
        result.map_err(|(e, _)| e)?;
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.op(false).map_err(|(e, _)| e)?;
        let inode = state.find(name)?;
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let result = state.op(false);
        if let Err((e, false)) = result {
            return Err(e);
        }
        let inode = state.find(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), inode);
        let renamed = Name::Renamed(from.to_owned(), to.to_owned(), inode);
        state.pending.push(renamed);
        result.map(|_| ()).map_err(|(e, _)| e)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let result = state.op(false);
        if let Err((e, false)) = result {
            return Err(e);
        }
        state.find(name)?;
        state.names.remove(name);
        state.pending.push(Name::Removed(name.to_owned()));
        result.map(|_| ()).map_err(|(e, _)| e)
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.op(false).map_err(|(e, _)| e)?;
        state.durable = state.names.clone();
        state.pending.clear();
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl DiskFile for SimFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let result = state.op(true);
        if let Err((e, false)) = result {
            return Err(e);
        }
        let mut n = bytes.len();
        if let Ok(Some(short)) = result {
            n = n.min(short);
        }
        // A full disk takes what still fits before it says so.
        while n > 0 && state.space(self.inode, offset + n as u64).is_err() {
            n /= 2;
        }
        if n == 0 && !bytes.is_empty() {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        let inode = &mut state.inodes[self.inode];
        put(&mut inode.now, offset, &bytes[..n]);
        inode.pending.push(Write::At(offset, bytes[..n].to_vec()));
        result.map(|_| n).map_err(|(e, _)| e)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        let result = state.op(false);
        let inode = &mut state.inodes[self.inode];
        match result {
            Ok(_) => {
                for write in std::mem::take(&mut inode.pending) {
                    match write {
                        Write::At(at, data) => put(&mut inode.durable, at, &data),
                        Write::Cut(len) => inode.durable.truncate(usize::try_from(len).unwrap()),
                    }
                }
                Ok(())
            }
            Err((e, _)) if e.raw_os_error() == Some(EINTR) => Err(e),
            Err((e, cut)) => {
                if !cut {
                    inode.pending.clear();
                }
                Err(e)
            }
        }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let result = state.op(false);
        if let Err((e, false)) = result {
            return Err(e);
        }
        let inode = &mut state.inodes[self.inode];
        inode.now.truncate(usize::try_from(len).unwrap());
        inode.reserved = 0;
        inode.pending.push(Write::Cut(len));
        result.map(|_| ()).map_err(|(e, _)| e)
    }

    fn reserve(&mut self, upto: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.op(false).map_err(|(e, _)| e)?;
        state.space(self.inode, upto)?;
        let inode = &mut state.inodes[self.inode];
        inode.reserved = inode.reserved.max(upto);
        Ok(())
    }
}
