//! The loop of a worker, and shares of the work for machines without a queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::queue::{Claim, WorkQueue};
use crate::store::Store;

/// How long a worker asks at a time, and so how soon it sees that it is to stop.
const ASK: Duration = Duration::from_secs(1);
/// How long a worker waits for servers that do not answer.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where the output of a unit lies in a store.
pub fn unit_name(key: &str) -> String {
    format!("units/{key}.parquet")
}

/// What a worker did with one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkEvent {
    /// The unit is being worked on.
    Taken,
    /// Its output is written.
    Done,
    /// Another worker had written its output.
    Skipped,
    /// It failed and will be tried again.
    Failed(String),
    /// It failed too often and is set aside.
    SetAside(String),
    /// It goes to another worker, since this one is to stop.
    HandedBack,
    /// Its output is written, but no server confirmed that it is done.
    Unconfirmed(String),
}

/// How many units a worker finished, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Worked {
    /// Units that it made the output of.
    pub done: usize,
    /// Units whose output was there already.
    pub skipped: usize,
    /// Tries that failed.
    pub failed: usize,
}

/// Takes units from a queue and puts their outputs into a store. Threads may
/// share one.
pub struct Worker<'a> {
    /// Where units come from.
    pub queue: &'a WorkQueue,
    /// Where outputs go.
    pub store: &'a Store,
    /// Once true, no more units are taken, and one that fails from then on is
    /// handed back: whoever runs it should look at this, too.
    pub stop: &'a AtomicBool,
    /// Ends after this many units.
    pub limit: Option<usize>,
    /// Ends when there was nothing to take for so long. Units whose workers were
    /// killed come back after the queue's ack wait, so it should be longer.
    pub idle_exit: Option<Duration>,
    /// Called with a unit's key for everything that happens to it.
    pub report: &'a (dyn Fn(&str, WorkEvent) + Sync),
}

impl std::fmt::Debug for Worker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("queue", self.queue)
            .field("store", self.store)
            .finish_non_exhaustive()
    }
}

impl Worker<'_> {
    /// Works until it is to stop, has done its share or finds nothing to do.
    ///
    /// `run` makes a unit's output. Its error is what a person will read who
    /// wonders why the unit was set aside; a panic counts as one.
    pub fn work(&self, run: impl Fn(&Claim<'_>) -> Result<Vec<u8>, String>) -> Result<Worked> {
        let mut worked = Worked::default();
        let mut idle = Instant::now();
        let mut silent: Option<Instant> = None;
        while !self.stop.load(Ordering::Relaxed)
            && self
                .limit
                .is_none_or(|limit| worked.done + worked.skipped < limit)
        {
            match self.queue.next(ASK) {
                Ok(Some(claim)) => {
                    self.unit(claim, &run, &mut worked)?;
                    (idle, silent) = (Instant::now(), None);
                }
                Ok(None) => {
                    silent = None;
                    if self.idle_exit.is_some_and(|most| idle.elapsed() >= most) {
                        break;
                    }
                }
                Err(error) => {
                    let since = *silent.get_or_insert_with(Instant::now);
                    if since.elapsed() > PATIENCE {
                        return Err(error);
                    }
                    // Servers that are gone say nothing about what there is to do.
                    idle = Instant::now();
                    std::thread::sleep(ASK / 4);
                }
            }
        }
        Ok(worked)
    }

    fn unit(
        &self,
        claim: Claim<'_>,
        run: &impl Fn(&Claim<'_>) -> Result<Vec<u8>, String>,
        worked: &mut Worked,
    ) -> Result<()> {
        let name = unit_name(&claim.key);
        let put = match self.store.exists(&name) {
            Ok(true) => Ok(false),
            Ok(false) => {
                (self.report)(&claim.key, WorkEvent::Taken);
                match caught(|| run(&claim)) {
                    Ok(bytes) => self.store.put_if_absent(&name, bytes),
                    Err(reason) => {
                        self.give_up(claim, reason, worked);
                        return Ok(());
                    }
                }
            }
            Err(error) => Err(error),
        };
        let key = claim.key.clone();
        let (event, answered) = match put {
            Ok(true) => {
                worked.done += 1;
                (WorkEvent::Done, claim.done())
            }
            Ok(false) => {
                worked.skipped += 1;
                (WorkEvent::Skipped, claim.done())
            }
            // That is not the unit's fault.
            Err(error) => {
                self.tell(&key, WorkEvent::HandedBack, claim.hand_back());
                return Err(error);
            }
        };
        self.tell(&key, event, answered);
        Ok(())
    }

    fn give_up(&self, claim: Claim<'_>, reason: String, worked: &mut Worked) {
        let key = claim.key.clone();
        if self.stop.load(Ordering::Relaxed) {
            self.tell(&key, WorkEvent::HandedBack, claim.hand_back());
            return;
        }
        worked.failed += 1;
        match claim.failed(&reason) {
            Ok(true) => (self.report)(&key, WorkEvent::SetAside(reason)),
            Ok(false) => (self.report)(&key, WorkEvent::Failed(reason)),
            Err(error) => self.tell(&key, WorkEvent::Failed(reason), Err(error)),
        }
    }

    /// Reports what happened, and that the queue does not know of it. Then the
    /// unit is handed out again, which costs time and nothing else.
    fn tell(&self, key: &str, event: WorkEvent, answered: Result<()>) {
        (self.report)(key, event);
        if let Err(error) = answered {
            (self.report)(key, WorkEvent::Unconfirmed(error.to_string()));
        }
    }
}

/// Runs a unit so that a fault of ours in it fails this unit only.
fn caught(run: impl FnOnce() -> Result<Vec<u8>, String>) -> Result<Vec<u8>, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("without a word")))
    })
}

/// A share of the units, for arrays of jobs that have no queue. Every unit is
/// in exactly one of the `count` shares, and stays in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// The share of this job of an array, by what its scheduler says: Slurm's
    /// `SLURM_ARRAY_TASK_*`, or Kubernetes' `JOB_COMPLETION_INDEX`. Kubernetes
    /// does not say how many jobs there are; that is `count`.
    pub fn of_job(count: Option<u64>) -> Result<Shard> {
        Shard::of_environment(count, |name| std::env::var(name).ok())
    }

    fn of_environment(
        count: Option<u64>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Shard> {
        let number = |name: &str| match variable(name) {
            None => Ok(None),
            Some(text) => match text.trim().parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Error::Shard(format!("{name} is {text:?}, not a number"))),
            },
        };
        if let Some(task) = number("SLURM_ARRAY_TASK_ID")? {
            // An array may begin anywhere and leave out numbers: `--array=1-9:2`.
            let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
            let count = match count {
                Some(count) => Some(count),
                None => number("SLURM_ARRAY_TASK_COUNT")?,
            };
            let count = count.ok_or_else(|| {
                Error::Shard("SLURM_ARRAY_TASK_COUNT is not set: say `--shard auto/N`".to_owned())
            })?;
            return Shard::new(task.saturating_sub(first) / step, count);
        }
        match (number("JOB_COMPLETION_INDEX")?, count) {
            (Some(index), Some(count)) => Shard::new(index, count),
            (Some(_), None) => Err(Error::Shard(
                "Kubernetes does not say how many completions the job has: say `--shard auto/N`"
                    .to_owned(),
            )),
            (None, _) => Err(Error::Shard(
                "this is no job of an array (SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX are not \
                 set): say `--shard I/N`"
                    .to_owned(),
            )),
        }
    }

    fn new(index: u64, count: u64) -> Result<Shard> {
        if index < count {
            Ok(Shard { index, count })
        } else {
            Err(Error::Shard(format!(
                "there is no share {index} of {count}: shares are counted from 0"
            )))
        }
    }

    /// Whether a unit belongs to this share.
    pub fn holds(&self, key: &str) -> bool {
        let hash = blake3::hash(key.as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_le_bytes(bytes) % self.count == self.index
    }
}

impl FromStr for Shard {
    type Err = Error;

    /// Reads `I/N` with I from 0, or `auto` or `auto/N` for a job of an array.
    fn from_str(text: &str) -> Result<Shard> {
        let wrong = || {
            Error::Shard(format!(
                "{text:?} is no share: say I/N (I from 0), auto or auto/N"
            ))
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        match text.split_once('/') {
            None if text == "auto" => Shard::of_job(None),
            None => Err(wrong()),
            Some(("auto", count)) => Shard::of_job(Some(number(count)?)),
            Some((index, count)) => Shard::new(number(index)?, number(count)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(count: Option<u64>, variables: &[(&str, &str)]) -> Result<Shard> {
        Shard::of_environment(count, |name| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn every_unit_is_in_exactly_one_share() {
        let keys: Vec<String> = (0..2000).map(|n| format!("unit-{n}")).collect();
        for count in [1, 2, 7, 64] {
            let shares: Vec<Shard> = (0..count)
                .map(|index| format!("{index}/{count}").parse().unwrap())
                .collect();
            let mut sizes = vec![0u64; shares.len()];
            for key in &keys {
                let mut holders = (0..shares.len()).filter(|&n| shares[n].holds(key));
                sizes[holders.next().unwrap()] += 1;
                assert_eq!(holders.next(), None);
            }
            // Shares are about equal, or an array would wait for one of them.
            let even = keys.len() as u64 / count;
            assert!(sizes.iter().all(|&n| n > even / 4 && n < even * 4));
        }
    }

    #[test]
    fn a_share_does_not_depend_on_machine_or_version() {
        let shard: Shard = "1/3".parse().unwrap();
        let held: Vec<bool> = ["a", "b", "c", "d", "e", "f"]
            .map(|key| shard.holds(key))
            .to_vec();
        assert_eq!(held, [false, true, false, true, false, false]);
    }

    #[test]
    fn schedulers_say_which_share_is_meant() {
        let slurm = |id| {
            job(
                None,
                &[
                    ("SLURM_ARRAY_TASK_ID", id),
                    ("SLURM_ARRAY_TASK_MIN", "1"),
                    ("SLURM_ARRAY_TASK_STEP", "2"),
                    ("SLURM_ARRAY_TASK_COUNT", "5"),
                ],
            )
            .unwrap()
        };
        assert_eq!(slurm("1"), "0/5".parse().unwrap());
        assert_eq!(slurm("9"), "4/5".parse().unwrap());
        let kubernetes = [("JOB_COMPLETION_INDEX", "3")];
        assert_eq!(job(Some(8), &kubernetes).unwrap(), "3/8".parse().unwrap());
        for (error, advice) in [
            (job(None, &kubernetes), "auto/N"),
            (job(Some(3), &kubernetes), "counted from 0"),
            (job(None, &[]), "--shard I/N"),
            ("3/3".parse(), "counted from 0"),
            ("0/0".parse(), "counted from 0"),
            ("half".parse(), "I/N"),
        ] {
            let message = error.unwrap_err().to_string();
            assert!(message.contains(advice), "{message}");
        }
    }
}
