//! Several processes that train one model, each on a part of every batch.
//! `tch` has no process groups, so this is one over TCP: every process is
//! linked to process 0, which collects, sums in the order of the processes and
//! sends back, so that all see the same bits.
//!
//! There is no encryption and no password: the port belongs into a network
//! that one trusts. What arrives is checked all the same: every message says
//! what it is and how long, and both have to be what is due.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tch::{Device, Tensor, no_grad};

use crate::{Error, Result};

/// The place of this process among those that train a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// Its number, from 0.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// `HOST:PORT`, where process 0 listens for the others.
    pub meet: String,
}

/// The version of what is said, as a number that reads differently on a
/// machine of the other byte order.
const MAGIC: u32 = 0x4253_0001;
/// How long processes wait for each other at the start.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a process may take for anything else: process 0 judges the model
/// and writes checkpoints while the others wait. One that ended is known at
/// once.
const SILENCE: Duration = Duration::from_secs(1800);
/// A stranger at the port has so long to say who it is.
const GREETING: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
/// No message of unknown length is longer.
const LONGEST: u64 = 1 << 34;

/// The links of a process to others; see the module.
#[derive(Debug)]
pub(crate) struct Group {
    rank: usize,
    size: usize,
    /// Process 0 has one to each other process, in their order; the others
    /// have one to process 0.
    links: Vec<Link>,
    /// How many messages were exchanged: what both ends must agree on.
    turn: Cell<u32>,
}

#[derive(Debug)]
struct Link {
    /// Who is at the other end.
    rank: usize,
    stream: TcpStream,
}

impl Group {
    /// A process of its own.
    pub(crate) fn alone() -> Group {
        Group {
            rank: 0,
            size: 1,
            links: Vec::new(),
            turn: Cell::new(0),
        }
    }

    /// Finds the others. All have to have the same `plan`, a hash of what they
    /// are about to do.
    pub(crate) fn meet(world: &World, plan: &[u8; 32], stop: &AtomicBool) -> Result<Group> {
        Group::meet_within(world, plan, stop, PATIENCE)
    }

    fn meet_within(
        world: &World,
        plan: &[u8; 32],
        stop: &AtomicBool,
        patience: Duration,
    ) -> Result<Group> {
        let World { rank, size, .. } = *world;
        if rank >= size {
            return Err(Error::World(format!(
                "process {rank} of {size}: they are numbered from 0 to {}",
                size.saturating_sub(1)
            )));
        }
        let links = match (size, rank) {
            (1, _) => Vec::new(),
            (_, 0) => gather_links(world, plan, stop, patience)?,
            _ => vec![join(world, plan, stop, patience)?],
        };
        Ok(Group {
            rank,
            size,
            links,
            turn: Cell::new(0),
        })
    }

    /// Whether this is process 0, which alone writes files.
    pub(crate) fn first(&self) -> bool {
        self.rank == 0
    }

    /// How many processes there are.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Which of `count` things are this process's.
    pub(crate) fn share(&self, count: usize) -> Range<usize> {
        part(count, self.rank, self.size)
    }

    /// What process 0 has.
    pub(crate) fn broadcast(&self, own: Vec<u8>) -> Result<Vec<u8>> {
        let turn = self.next();
        if !self.first() {
            return self.links[0].receive(turn, None);
        }
        for link in &self.links {
            link.send(turn, &own)?;
        }
        Ok(own)
    }

    /// Sets a tensor to what process 0 has in it.
    pub(crate) fn copy(&self, tensor: &Tensor) -> Result<()> {
        if self.size == 1 {
            return Ok(());
        }
        let turn = self.next();
        if self.first() {
            let bytes = bytes(tensor)?;
            return self
                .links
                .iter()
                .try_for_each(|link| link.send(turn, &bytes));
        }
        let length = tensor.numel() * tensor.kind().elt_size_in_bytes();
        let bytes = self.links[0].receive(turn, Some(length as u64))?;
        let value = Tensor::f_from_data_size(&bytes, &tensor.size(), tensor.kind())?;
        no_grad(|| tensor.shallow_clone().f_copy_(&value))?;
        Ok(())
    }

    /// The rows of all processes in their order, `count` in all, of which each
    /// has its [`share`](Group::share).
    pub(crate) fn gather(&self, own: &Tensor, count: usize) -> Result<Tensor> {
        if self.size == 1 {
            return Ok(own.shallow_clone());
        }
        let (kind, device) = (own.kind(), own.device());
        let mut size = own.size();
        size[0] = 1;
        let row = size.iter().product::<i64>() as usize * kind.elt_size_in_bytes();
        let turn = self.next();
        let all = if self.first() {
            let mut all = bytes(own)?;
            for link in &self.links {
                let rows = part(count, link.rank, self.size).len();
                all.extend(link.receive(turn, Some((rows * row) as u64))?);
            }
            for link in &self.links {
                link.send(turn, &all)?;
            }
            all
        } else {
            self.links[0].send(turn, &bytes(own)?)?;
            self.links[0].receive(turn, Some((count * row) as u64))?
        };
        size[0] = count as i64;
        Ok(Tensor::f_from_data_size(&all, &size, kind)?.to_device(device))
    }

    /// The sum of what all have.
    pub(crate) fn sum(&self, own: &Tensor) -> Result<Tensor> {
        if self.size == 1 {
            return Ok(own.shallow_clone());
        }
        let (kind, device, size) = (own.kind(), own.device(), own.size());
        let length = Some((own.numel() * kind.elt_size_in_bytes()) as u64);
        let turn = self.next();
        let total = if self.first() {
            let mut total = own.detach().to_device(Device::Cpu).copy();
            for link in &self.links {
                let other = link.receive(turn, length)?;
                total = total.f_add_(&Tensor::f_from_data_size(&other, &size, kind)?)?;
            }
            let bytes = bytes(&total)?;
            for link in &self.links {
                link.send(turn, &bytes)?;
            }
            total
        } else {
            self.links[0].send(turn, &bytes(own)?)?;
            let total = self.links[0].receive(turn, length)?;
            Tensor::f_from_data_size(&total, &size, kind)?
        };
        Ok(total.to_device(device))
    }

    /// [`Group::sum`] of numbers.
    pub(crate) fn sum_of<const N: usize>(&self, own: [f64; N]) -> Result<[f64; N]> {
        let mut sums = [0.0; N];
        self.sum(&Tensor::from_slice(&own))?
            .f_copy_data(&mut sums, N)?;
        Ok(sums)
    }

    fn next(&self) -> u32 {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }
}

fn part(count: usize, rank: usize, size: usize) -> Range<usize> {
    count * rank / size..count * (rank + 1) / size
}

fn bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

impl Link {
    fn send(&self, turn: u32, bytes: &[u8]) -> Result<()> {
        let mut header = [0; 16];
        header[..4].copy_from_slice(&MAGIC.to_ne_bytes());
        header[4..8].copy_from_slice(&turn.to_ne_bytes());
        header[8..].copy_from_slice(&(bytes.len() as u64).to_ne_bytes());
        (&self.stream)
            .write_all(&header)
            .and_then(|()| (&self.stream).write_all(bytes))
            .map_err(|error| self.lost(&error))
    }

    /// The message of that turn; of that length, if it is known.
    fn receive(&self, turn: u32, expected: Option<u64>) -> Result<Vec<u8>> {
        let mut header = [0; 16];
        (&self.stream)
            .read_exact(&mut header)
            .map_err(|error| self.lost(&error))?;
        let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|i| header[at + i]));
        let length = u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| header[8 + i]));
        let right = expected.map_or(length <= LONGEST, |expected| length == expected);
        if word(0) != MAGIC || word(4) != turn || !right {
            return Err(Error::World(format!(
                "process {} sent something that is not due: is it the same version?",
                self.rank
            )));
        }
        // Grows by what arrives, not by what was claimed.
        let mut bytes = Vec::new();
        (&self.stream)
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(|error| self.lost(&error))?;
        if bytes.len() as u64 != length {
            return Err(self.lost(&ErrorKind::UnexpectedEof.into()));
        }
        Ok(bytes)
    }

    fn lost(&self, error: &std::io::Error) -> Error {
        let rank = self.rank;
        Error::World(match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => format!(
                "process {rank} was silent for {} minutes; end all and start them again with --resume",
                SILENCE.as_secs() / 60
            ),
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => format!(
                "process {rank} has ended; its own last line says why; \
                 start all again with --resume"
            ),
            _ => format!("process {rank}: {error}; start all again with --resume"),
        })
    }
}

/// What a process says first: magic, number, how many, plan.
const HELLO: usize = 12 + 32;

fn hello(world: &World, plan: &[u8; 32]) -> [u8; HELLO] {
    let mut hello = [0; HELLO];
    let words = [MAGIC, world.rank as u32, world.size as u32];
    for (at, word) in words.into_iter().enumerate() {
        hello[4 * at..4 * at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    hello[12..].copy_from_slice(plan);
    hello
}

fn interrupted(stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(Error::World(
            "stopped before all processes had met".to_owned(),
        ));
    }
    Ok(())
}

/// Process 0: waits until each other process is there once.
fn gather_links(
    world: &World,
    plan: &[u8; 32],
    stop: &AtomicBool,
    patience: Duration,
) -> Result<Vec<Link>> {
    let fail =
        |error: std::io::Error| Error::World(format!("cannot listen at {}: {error}", world.meet));
    let listener = TcpListener::bind(&world.meet).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    let start = Instant::now();
    let mut links: Vec<Option<Link>> = (1..world.size).map(|_| None).collect();
    while links.iter().any(Option::is_none) {
        interrupted(stop)?;
        if start.elapsed() > patience {
            let missing = links.iter().zip(1..).filter(|(link, _)| link.is_none());
            let missing: Vec<String> = missing.map(|(_, rank)| rank.to_string()).collect();
            return Err(Error::World(format!(
                "process {} never came to {}",
                missing.join(", "),
                world.meet
            )));
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(POLL);
                continue;
            }
            Err(error) => return Err(fail(error)),
        };
        // Whoever does not speak our language only had the wrong port.
        let Some((rank, size, their_plan)) = greet(&stream) else {
            continue;
        };
        let refusal = match links.get(rank.wrapping_sub(1)) {
            _ if size != world.size => format!("{size} processes there, {} here", world.size),
            None | Some(Some(_)) => format!("another process is number {rank} already"),
            _ if their_plan != *plan => {
                "another recipe, stage, device or version than process 0".to_owned()
            }
            Some(None) => String::new(),
        };
        let link = Link { rank, stream };
        link.send(0, refusal.as_bytes())?;
        if !refusal.is_empty() {
            return Err(Error::World(format!("process {rank}: {refusal}")));
        }
        links[rank - 1] = Some(link);
    }
    Ok(links.into_iter().flatten().collect())
}

fn greet(stream: &TcpStream) -> Option<(usize, usize, [u8; 32])> {
    prepare(stream, GREETING).ok()?;
    let mut said = [0; HELLO];
    (&*stream).read_exact(&mut said).ok()?;
    prepare(stream, SILENCE).ok()?;
    let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|i| said[at + i]));
    let plan = said[12..].try_into().ok()?;
    (word(0) == MAGIC).then(|| (word(4) as usize, word(8) as usize, plan))
}

fn prepare(stream: &TcpStream, silence: Duration) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(silence))?;
    stream.set_write_timeout(Some(silence))
}

/// One try, short enough for Ctrl-C to be heard.
fn connect(meet: &str) -> std::io::Result<TcpStream> {
    let mut last = ErrorKind::AddrNotAvailable.into();
    for address in meet.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, GREETING) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Any other process: goes to process 0, as soon as that listens.
fn join(world: &World, plan: &[u8; 32], stop: &AtomicBool, patience: Duration) -> Result<Link> {
    let start = Instant::now();
    let stream = loop {
        interrupted(stop)?;
        match connect(&world.meet) {
            Ok(stream) => break stream,
            Err(error) if start.elapsed() > patience => {
                return Err(Error::World(format!(
                    "process 0 is not at {}: {error}",
                    world.meet
                )));
            }
            Err(_) => std::thread::sleep(POLL),
        }
    };
    let link = Link { rank: 0, stream };
    prepare(&link.stream, SILENCE)
        .and_then(|()| (&link.stream).write_all(&hello(world, plan)))
        .map_err(|error| link.lost(&error))?;
    let refusal = link.receive(0, None)?;
    if !refusal.is_empty() {
        return Err(Error::World(format!(
            "process 0 refuses this one: {}",
            String::from_utf8_lossy(&refusal)
        )));
    }
    Ok(link)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tch::Kind;

    /// A port that nobody listens at.
    pub(crate) fn meeting() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    }

    /// Does the same in as many threads as there are processes.
    pub(crate) fn together<T: Send>(
        size: usize,
        does: impl Fn(&Group) -> T + Send + Sync,
    ) -> Vec<T> {
        let meet = meeting();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..size)
                .map(|rank| {
                    let meet = meet.clone();
                    let does = &does;
                    scope.spawn(move || {
                        let world = World { rank, size, meet };
                        let stop = AtomicBool::new(false);
                        does(&Group::meet(&world, &[7; 32], &stop).unwrap())
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        })
    }

    #[test]
    fn all_have_the_same_rows_and_sums() {
        let found = together(3, |group| {
            // Seven rows: two, two and three.
            let all = Tensor::arange(21, (Kind::Float, Device::Cpu)).view([7, 3]);
            let own = group.share(7);
            let own = all.narrow(0, own.start as i64, own.len() as i64);
            assert_eq!(group.gather(&own, 7).unwrap(), all);
            let sum = group.sum(&(&all * (group.rank as f64 + 1.0))).unwrap();
            assert_eq!(sum, &all * 6.0);
            let copied = all.copy() * group.rank as f64;
            group.copy(&copied).unwrap();
            assert_eq!(copied, &all * 0.0);
            let said = group.broadcast(vec![group.rank as u8; 5]).unwrap();
            (said, group.sum_of([group.rank as f64, 1.0]).unwrap())
        });
        assert!(
            found
                .iter()
                .all(|(said, sums)| *said == [0; 5] && *sums == [3.0, 3.0])
        );
    }

    #[test]
    fn a_process_that_ended_is_named_by_those_that_wait_for_it() {
        let found = together(3, |group| {
            if group.rank == 2 {
                return String::new();
            }
            let sum = group.sum(&Tensor::from(1f32));
            sum.unwrap_err().to_string()
        });
        assert!(found[0].contains("process 2 has ended"), "{found:?}");
        assert!(found[1].contains("process 0 has ended"), "{found:?}");
    }

    #[test]
    fn what_is_not_due_is_refused() {
        let found = together(2, |group| {
            let count = if group.rank == 0 { 4 } else { 5 };
            let own = Tensor::zeros([count], (Kind::Float, Device::Cpu));
            group.sum(&own).err().map(|error| error.to_string())
        });
        let said = found[0].as_deref().unwrap();
        assert!(said.contains("process 1 sent something"), "{said}");
        assert!(found[1].is_some());
    }

    #[test]
    fn strangers_are_passed_over_and_wrong_partners_refused() {
        let meet = meeting();
        let stop = AtomicBool::new(false);
        let world = |rank, size| World {
            rank,
            size,
            meet: meet.clone(),
        };
        let brief = Duration::from_secs(30);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| Group::meet(&world(0, 2), &[1; 32], &stop));
            let mut stranger = loop {
                match TcpStream::connect(&meet) {
                    Ok(stream) => break stream,
                    Err(_) => std::thread::sleep(POLL),
                }
            };
            stranger.write_all(&[b'G'; 100]).unwrap();
            let other = Group::meet_within(&world(1, 2), &[2; 32], &stop, brief);
            let said = other.unwrap_err().to_string();
            assert!(said.contains("another recipe"), "{said}");
            let said = first.join().unwrap().unwrap_err().to_string();
            assert!(said.contains("process 1: another recipe"), "{said}");
        });
        let short = Duration::from_millis(60);
        let lone = Group::meet_within(&world(0, 3), &[1; 32], &stop, short);
        let said = lone.unwrap_err().to_string();
        assert!(said.contains("process 1, 2 never came"), "{said}");
        let lone = Group::meet_within(&world(3, 3), &[1; 32], &stop, short);
        assert!(lone.unwrap_err().to_string().contains("from 0 to 2"));
    }
}
