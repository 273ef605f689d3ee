//! Which request comes next.

use super::template::{Family, NUMBERS, Template, append_delete};
use super::workload::{Mix, Operation};
use wire::jute::Reader;
use wire::opcode::Opcode;

/// Where a run keeps its znodes, all below a root of its own.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) root: String,
    /// What reads, sets and multis work on.
    pub(super) nodes: Family,
    /// What `create` makes.
    pub(super) created: Family,
    /// What `delete` takes.
    pub(super) stock: Family,
    /// Further znodes that only have to be there.
    pub(super) preload: Family,
    /// What `list` lists.
    pub(super) listed: Family,
    /// Parent of the sequential znodes of `lock`.
    pub(super) locks: String,
    /// What `fanout` watches.
    pub(super) watched: String,
}

impl Layout {
    /// The layout below `root` with names of `name_bytes`.
    pub(super) fn new(root: &str, name_bytes: usize) -> Self {
        let family = |name: &str| Family { parent: format!("{root}/{name}"), name_bytes };
        Self {
            root: root.into(),
            nodes: family("nodes"),
            created: family("created"),
            stock: family("stock"),
            preload: family("preload"),
            listed: family("listed"),
            locks: format!("{root}/locks"),
            watched: format!("{root}/watched"),
        }
    }

    /// Paths of all parents, in the order to create them.
    pub(super) fn parents(&self) -> [&str; 8] {
        [
            &self.root,
            &self.nodes.parent,
            &self.created.parent,
            &self.stock.parent,
            &self.preload.parent,
            &self.listed.parent,
            &self.locks,
            &self.watched,
        ]
    }
}

/// One request of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The only one of its operation.
    Whole,
    /// As `Whole`, but the reply has results of its own to look into.
    Multi,
    /// The create of a lock; the delete follows.
    LockCreate,
}

/// Numbers dealt to one of several threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    next: u64,
    step: u64,
    end: u64,
}

impl Numbers {
    /// Every `threads`-th number from `thread` on, below `end`.
    pub(super) fn dealt(thread: usize, threads: usize, end: u64) -> Self {
        Self { next: thread as u64, step: threads as u64, end: end.min(NUMBERS) }
    }

    fn take(&mut self) -> Option<u64> {
        let number = self.next;
        self.next += self.step;
        (number < self.end).then_some(number)
    }
}

/// Makes the requests of one thread.
#[derive(Debug)]
pub(super) struct Generator {
    mix: Mix,
    weight: u32,
    random: Random,
    /// Number of znodes in `Layout::nodes`.
    nodes: u64,
    create_numbers: Numbers,
    delete_numbers: Numbers,
    get: Template,
    exists: Template,
    list: Template,
    set: Template,
    create: Template,
    delete: Template,
    lock: Template,
    multi: Template,
}

/// What a [`Generator`] has to know.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) mix: Mix,
    pub(super) layout: Layout,
    /// Number of znodes in `Layout::nodes`.
    pub(super) nodes: u64,
    /// Number of znodes in `Layout::stock`.
    pub(super) stock: u64,
    pub(super) data_bytes: usize,
    /// Operations in a multi.
    pub(super) multi_ops: usize,
}

impl Generator {
    /// The generator of thread `thread` of `threads`.
    pub(super) fn new(plan: &Plan, thread: usize, threads: usize) -> Self {
        let (layout, data) = (&plan.layout, vec![b'x'; plan.data_bytes]);
        Self {
            weight: plan.mix.weight(),
            mix: plan.mix.clone(),
            random: Random::new(thread as u64),
            nodes: plan.nodes.max(1),
            create_numbers: Numbers::dealt(thread, threads, NUMBERS),
            delete_numbers: Numbers::dealt(thread, threads, plan.stock),
            get: Template::read(Opcode::GetData, &layout.nodes),
            exists: Template::read(Opcode::Exists, &layout.nodes),
            list: Template::read_path(Opcode::GetChildren, &layout.listed.parent, false),
            set: Template::set(&layout.nodes, &data),
            create: Template::create(&layout.created, &data),
            delete: Template::delete(&layout.stock),
            lock: Template::create_sequential(&format!("{}/lock-", layout.locks), &data),
            multi: Template::multi_set(&layout.nodes, &data, plan.multi_ops),
        }
    }

    /// A generator that creates the first `count` znodes of `family` and then has nothing more to
    /// do.
    pub(super) fn fill(plan: &Plan, family: &Family, count: u64) -> Self {
        let data = vec![b'x'; plan.data_bytes];
        Self {
            mix: Mix::only(Operation::Create),
            create_numbers: Numbers::dealt(0, 1, count),
            create: Template::create(family, &data),
            ..Self::new(plan, 0, 1)
        }
    }

    /// Appends the first request of the next operation, or returns `None` if there are no more.
    #[inline]
    pub(super) fn begin(&mut self, xid: i32, out: &mut Vec<u8>) -> Option<Step> {
        let (random, nodes) = (&mut self.random, self.nodes);
        let operation = self.mix.pick(random.below(u64::from(self.weight)) as u32);
        let mut any = || random.below(nodes);
        match operation {
            Operation::Get => self.get.append(out, xid, any),
            Operation::Exists => self.exists.append(out, xid, any),
            Operation::List => self.list.append(out, xid, any),
            Operation::Set => self.set.append(out, xid, any),
            Operation::Create => {
                let number = self.create_numbers.take()?;
                self.create.append(out, xid, || number);
            }
            Operation::Delete => {
                let number = self.delete_numbers.take()?;
                self.delete.append(out, xid, || number);
            }
            Operation::Lock => {
                self.lock.append(out, xid, any);
                return Some(Step::LockCreate);
            }
            Operation::Multi => {
                self.multi.append(out, xid, &mut any);
                return Some(Step::Multi);
            }
        }
        Some(Step::Whole)
    }

    /// Appends the request that follows the one answered with `body`, or returns `None` if the
    /// operation is complete.
    #[inline]
    pub(super) fn follow(step: Step, body: &[u8], xid: i32, out: &mut Vec<u8>) -> Option<Step> {
        match step {
            Step::Whole | Step::Multi => None,
            Step::LockCreate => {
                // A reply without a path would be an error of the server; deleting "" makes it
                // visible as one.
                let path = Reader::new(body).buffer().ok().flatten().unwrap_or_default();
                append_delete(out, xid, path);
                Some(Step::Whole)
            }
        }
    }
}

/// The code of a reply: that of its header, or of the first operation of a multi that failed.
pub(super) fn code_of(step: Step, code: i32, body: &[u8]) -> i32 {
    if step != Step::Multi || code != 0 || !body.starts_with(&(-1i32).to_be_bytes()) {
        return code;
    }
    // All results of a failed multi are errors: a header of 9 bytes, and the code once more.
    body.chunks_exact(13)
        .map(|result| i32::from_be_bytes(result[9..].try_into().expect("the last four of 13 bytes")))
        .find(|code| *code != 0)
        .unwrap_or(0)
}

/// xorshift64*: even enough to pick znodes with, and a few instructions.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// Different numbers for each `seed`, and the same ones in every run: runs are compared with
    /// each other.
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    #[inline]
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        ((u128::from(number) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::jute::Put;

    fn plan(mix: Mix) -> Plan {
        let layout = Layout::new("/r", 10);
        Plan { mix, layout, nodes: 10, stock: 3, data_bytes: 1, multi_ops: 2 }
    }

    #[test]
    fn the_stock_is_dealt_out_without_gap_or_repetition() {
        let plan = plan(Mix::only(Operation::Delete));
        let mut out = Vec::new();
        for thread in 0..2 {
            let mut generator = Generator::new(&plan, thread, 2);
            while generator.begin(1, &mut out).is_some() {}
        }
        let text = String::from_utf8_lossy(&out).into_owned();
        for number in 0..3 {
            assert_eq!(text.matches(&plan.layout.stock.path(number)).count(), 1, "{number}");
        }
        assert!(!text.contains(&plan.layout.stock.path(3)));
    }

    #[test]
    fn a_lock_is_deleted_by_the_path_of_the_reply() {
        let mut out = Vec::new();
        let step = Generator::new(&plan(Mix::only(Operation::Lock)), 0, 1).begin(1, &mut out).unwrap();
        let mut body = Vec::new();
        body.put_str("/r/locks/lock-0000000042");
        out.clear();
        assert_eq!(Generator::follow(step, &body, 2, &mut out), Some(Step::Whole));
        assert!(String::from_utf8_lossy(&out).contains("/r/locks/lock-0000000042"));
        assert_eq!(Generator::follow(Step::Whole, &[], 3, &mut out), None);
    }

    #[test]
    fn a_failed_multi_counts_by_the_operation_that_failed() {
        let mut body = Vec::new();
        for code in [0, -103, -2] {
            body.put_i32(-1);
            body.put_bool(false);
            body.put_i32(code);
            body.put_i32(code);
        }
        assert_eq!(code_of(Step::Multi, 0, &body), -103);
        assert_eq!(code_of(Step::Whole, 0, &body), 0);
        assert_eq!(code_of(Step::Multi, -118, &[]), -118);
        assert_eq!(code_of(Step::Multi, 0, &5i32.to_be_bytes()), 0);
    }

    #[test]
    fn random_numbers_reach_every_znode_and_no_other() {
        let mut random = Random::new(0);
        let mut seen = [0; 10];
        for _ in 0..10_000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
    }
}
