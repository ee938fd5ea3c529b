//! Which sequences a step takes: passes over all of them in random order,
//! those of about the same length together.

use rand::seq::SliceRandom as _;

use crate::dataset::rectangles;
use crate::stage::generator;

/// Sequences of how many steps are sorted by length together.
const WINDOW: usize = 16;

/// The passes of a stage. What a step takes depends on nothing but seed, label
/// and step.
pub(crate) struct Passes {
    seed: u64,
    label: &'static str,
    lengths: Vec<usize>,
    micro_tokens: usize,
    batch_tokens: usize,
    plan: Plan,
}

/// The rectangles of one pass.
#[derive(Default)]
struct Plan {
    first_step: u64,
    steps: u64,
    epoch: u64,
    rectangles: Vec<Vec<usize>>,
}

impl Passes {
    /// Passes over sequences of these lengths.
    pub(crate) fn new(
        seed: u64,
        label: &'static str,
        lengths: Vec<usize>,
        micro_tokens: usize,
        batch_tokens: usize,
    ) -> Passes {
        let mut passes = Passes {
            seed,
            label,
            lengths,
            micro_tokens,
            batch_tokens,
            plan: Plan::default(),
        };
        passes.plan = passes.pass(0, 0);
        passes
    }

    fn per_step(&self) -> usize {
        (self.batch_tokens / self.micro_tokens).max(1)
    }

    fn pass(&self, epoch: u64, first_step: u64) -> Plan {
        let mut random = generator(self.seed, self.label, epoch);
        let mut order: Vec<usize> = (0..self.lengths.len()).collect();
        order.shuffle(&mut random);
        let mut all: Vec<Vec<usize>> = Vec::new();
        let mut window: Vec<usize> = Vec::new();
        let mut tokens = 0;
        for (i, &sequence) in order.iter().enumerate() {
            window.push(sequence);
            tokens += self.lengths[sequence];
            if tokens >= WINDOW * self.batch_tokens || i + 1 == order.len() {
                let lengths: Vec<usize> = window.iter().map(|&s| self.lengths[s]).collect();
                for group in rectangles(&lengths, self.micro_tokens) {
                    all.push(group.into_iter().map(|i| window[i]).collect());
                }
                window.clear();
                tokens = 0;
            }
        }
        all.shuffle(&mut random);
        Plan {
            first_step,
            // A pass shorter than one step is one short step.
            steps: (all.len() / self.per_step()).max(1) as u64,
            epoch,
            rectangles: all,
        }
    }

    /// The sequences of a step, as rectangles.
    pub(crate) fn rectangles(&mut self, step: u64) -> Vec<Vec<usize>> {
        while step >= self.plan.first_step + self.plan.steps {
            self.plan = self.pass(self.plan.epoch + 1, self.plan.first_step + self.plan.steps);
        }
        let place = (step - self.plan.first_step) as usize * self.per_step();
        let end = (place + self.per_step()).min(self.plan.rectangles.len());
        self.plan.rectangles[place..end].to_vec()
    }
}
