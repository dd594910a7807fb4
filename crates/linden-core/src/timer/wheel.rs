//! The timer wheel: which timers are armed, and which of them are due.
//!
//! Pure: it holds no clock, lock or thread. One owner arms and cancels timers and tells it the
//! time; time is in ticks of 1 ms since the node's start.
//!
//! # Shape
//! Six levels of 64 slots. A slot of level `l` spans `64^l` ticks, so that level 0 resolves one
//! tick and the whole wheel one rotation of `2^36` ticks (about 2.2 years). Read a time as a number
//! in base 64: a timer sits at the level of the highest digit in which its deadline differs from
//! `now`, in the slot named by that digit. Two more lists hold what has no slot: `LATE` the
//! deadlines that were past when armed, `FAR` those of a later rotation. Timers are nodes of one
//! slab, linked into their list by index.
//!
//! # Invariants
//! 1. Place is a function: every armed timer is in the list `place(now, deadline)`, at all times.
//!    Nothing else records where a timer is.
//! 2. Hence every occupied slot of a level lies after `now`'s own digit at that level (no level
//!    wraps round), and every timer of a level is due before every timer of the levels above it.
//! 3. Hence timers with equal deadlines share a list. A list is in arming order: timers are
//!    appended, and a list that is moved is moved front to back into lists that were empty. So no
//!    sequence number is kept.
//! 4. Bit `s` of `occupied[l]` is set exactly when slot `s` of level `l` has a timer.
//! 5. A node's `entry` is `Some` exactly while the timer is armed; all other nodes are on the free
//!    list.
//! 6. `now` never goes back.
//!
//! # Keys
//! Each arming takes the next number of one 32-bit counter as its key's generation. A stale key is
//! known as such until 2^32 more timers have been armed on the same wheel, also across the release
//! of the slab.
//!
//! # Deliberately absent
//! - Callbacks: due entries are handed to the caller, so no foreign code runs inside the wheel.
//! - Compaction: a key names its node's index, so nodes do not move. The slab gives memory back
//!   only when the last timer goes; one long timer pins the slab of an earlier peak.

#[cfg(test)]
mod tests;

const LEVELS: usize = 6;
/// Bits of a time that select the slot within a level.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Bits of a time that the levels cover together; the rest number the rotation.
const ROTATION_BITS: u32 = SLOT_BITS * LEVELS as u32;

/// The list of timers whose deadline lies in a later rotation.
const FAR: usize = LEVELS * SLOTS;
/// The list of timers whose deadline had passed when they were armed.
const LATE: usize = FAR + 1;
const LISTS: usize = LATE + 1;

/// The index that names no node.
const NIL: u32 = u32::MAX;

/// Timers that can be armed at once: what an index can name. Arming one more panics; memory ends
/// first.
const TIMERS_MAX: usize = NIL as usize;

/// Nodes that an empty wheel keeps for reuse; a larger slab shrinks to this when its last timer
/// goes.
const RETAINED_NODES_MAX: usize = 1024;

/// A hierarchical hashed timer wheel: arms and cancels in O(1), and hands out what is due in order.
///
/// An armed timer takes `size_of::<Option<E>>()` and 24 bytes.
pub(crate) struct Wheel<E> {
    now: u64,
    occupied: [u64; LEVELS],
    /// Slot `s` of level `l` at `l * SLOTS + s`, then `FAR` and `LATE`.
    lists: [List; LISTS],
    nodes: Vec<Node<E>>,
    /// The first free node; the others follow by `next`.
    free: u32,
    len: usize,
    /// The generation of the next timer armed; wraps.
    generation: u32,
}

/// Names one arming of a timer, until it fires or is cancelled. Goes stale afterwards, and is then
/// harmless.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimerKey {
    index: u32,
    generation: u32,
}

impl<E> Wheel<E> {
    /// Creates an empty wheel whose time is `now`. Allocates nothing.
    pub(crate) fn new(now: u64) -> Self {
        Self {
            now,
            occupied: [0; LEVELS],
            lists: [List::EMPTY; LISTS],
            nodes: Vec::new(),
            free: NIL,
            len: 0,
            generation: 0,
        }
    }

    /// Arms a timer. A deadline that is not after the wheel's time fires at the next `advance`,
    /// whatever its time.
    ///
    /// # Panics
    /// If `TIMERS_MAX` timers are armed.
    pub(crate) fn insert(&mut self, deadline: u64, entry: E) -> TimerKey {
        let generation = self.generation;
        self.generation = generation.wrapping_add(1);
        let index =
            self.occupy(Node { deadline, prev: NIL, next: NIL, generation, entry: Some(entry) });
        self.link(index, deadline);
        self.len += 1;
        TimerKey { index, generation }
    }

    /// Disarms a timer and returns its deadline and entry; `None` if it has fired or was cancelled.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<(u64, E)> {
        let node = self.nodes.get_mut(key.index as usize)?;
        if node.generation != key.generation {
            return None;
        }
        let entry = node.entry.take()?;
        let deadline = node.deadline;
        self.unlink(key.index);
        self.vacate(key.index);
        self.release_if_idle();
        Some((deadline, entry))
    }

    /// Returns a time by which to call `advance` next; `None` if no timer is armed.
    ///
    /// Exact when the first deadline is in the current 64 ticks. Otherwise a lower bound, the start
    /// of the first occupied slot, which is after the wheel's time and never after the first
    /// deadline: advancing to each answer in turn reaches a deadline of this rotation in at most
    /// one step a level. A deadline that had passed when it was armed counts as due at once, and
    /// the answer is the wheel's own time.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        if !self.lists[LATE].is_empty() {
            return Some(self.now);
        }
        // Invariant 2: the lowest level comes first, and within it the lowest slot.
        if let Some(level) = self.occupied.iter().position(|&slots| slots != 0) {
            let slot = u64::from(self.occupied[level].trailing_zeros());
            let shift = SLOT_BITS * level as u32;
            let level_start = self.now >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
            return Some(level_start | (slot << shift));
        }
        // A far timer is in a later rotation, so there is a next one and the sum cannot overflow.
        (!self.lists[FAR].is_empty()).then(|| ((self.now >> ROTATION_BITS) + 1) << ROTATION_BITS)
    }

    /// Moves the wheel's time to `now` and appends all timers due by then, by deadline and then by
    /// arming order.
    ///
    /// Costs what it fires and moves, not the ticks it passes. An earlier `now` leaves the time as
    /// it is.
    pub(crate) fn advance(&mut self, now: u64, fire: &mut Vec<(u64, E)>) {
        let past = self.now;
        self.now = now.max(past);
        self.settle(LATE, fire);
        if past < now {
            self.turn(past, fire);
        }
        self.release_if_idle();
    }

    /// Returns how many timers are armed.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Settles, in the order of their deadlines, the lists that `now` has reached since `past`.
    fn turn(&mut self, past: u64, fire: &mut Vec<(u64, E)>) {
        // Levels below the highest digit that changed are wholly past. At that digit's level the
        // slots before the new digit are, and the slot of the new digit splits into due timers and
        // ones for lower levels.
        let turned = level_of(past, self.now);
        for level in 0..LEVELS.min(turned + 1) {
            let reached = if level < turned {
                u64::MAX
            } else {
                u64::MAX >> (SLOTS - 1 - digit(self.now, level))
            };
            while let slots @ 1.. = self.occupied[level] & reached {
                self.settle(level * SLOTS + slots.trailing_zeros() as usize, fire);
            }
        }
        if turned >= LEVELS {
            self.settle(FAR, fire);
        }
    }

    /// Empties a list: appends its due timers to `fire`, by deadline, and links the others anew.
    fn settle(&mut self, list: usize, fire: &mut Vec<(u64, E)>) {
        let first_fired = fire.len();
        let mut index = self.take_list(list);
        while index != NIL {
            let node = &mut self.nodes[index as usize];
            let (next, deadline) = (node.next, node.deadline);
            if deadline > self.now {
                self.link(index, deadline);
            } else if let Some(entry) = node.entry.take() {
                fire.push((deadline, entry));
                self.vacate(index);
            }
            index = next;
        }
        // Stable, so that equal deadlines keep their arming order (invariant 3). Mostly there is
        // nothing to sort, and `sort` may allocate.
        let fired = &mut fire[first_fired..];
        if !fired.is_sorted_by_key(|&(deadline, _)| deadline) {
            fired.sort_by_key(|&(deadline, _)| deadline);
        }
    }

    /// Appends an unlinked node to the list where invariant 1 wants it.
    fn link(&mut self, index: u32, deadline: u64) {
        let list = place(self.now, deadline);
        let tail = self.lists[list].tail;
        let node = &mut self.nodes[index as usize];
        node.prev = tail;
        node.next = NIL;
        self.lists[list].tail = index;
        if tail == NIL {
            self.lists[list].head = index;
            self.mark(list, Occupancy::Occupied);
        } else {
            self.nodes[tail as usize].next = index;
        }
    }

    /// Removes a node from its list.
    fn unlink(&mut self, index: u32) {
        let Node { deadline, prev, next, .. } = self.nodes[index as usize];
        let list = place(self.now, deadline);
        match prev {
            NIL => self.lists[list].head = next,
            _ => self.nodes[prev as usize].next = next,
        }
        match next {
            NIL => self.lists[list].tail = prev,
            _ => self.nodes[next as usize].prev = prev,
        }
        if self.lists[list].is_empty() {
            self.mark(list, Occupancy::Empty);
        }
    }

    /// Empties a list and returns the first of its nodes, which stay chained by `next`.
    fn take_list(&mut self, list: usize) -> u32 {
        self.mark(list, Occupancy::Empty);
        std::mem::replace(&mut self.lists[list], List::EMPTY).head
    }

    /// Keeps invariant 4. `FAR` and `LATE` have no bit.
    fn mark(&mut self, list: usize, occupancy: Occupancy) {
        if let Some(slots) = self.occupied.get_mut(list / SLOTS) {
            let bit = 1 << (list % SLOTS);
            match occupancy {
                Occupancy::Occupied => *slots |= bit,
                Occupancy::Empty => *slots &= !bit,
            }
        }
    }

    /// Puts a node into the slab, over a free one if there is one, and returns its index.
    fn occupy(&mut self, node: Node<E>) -> u32 {
        let index = self.free;
        if index == NIL {
            assert!(self.nodes.len() < TIMERS_MAX, "too many timers armed");
            self.nodes.push(node);
            return (self.nodes.len() - 1) as u32;
        }
        let slot = &mut self.nodes[index as usize];
        self.free = slot.next;
        *slot = node;
        index
    }

    /// Puts an unlinked node, its entry taken, on the free list.
    fn vacate(&mut self, index: u32) {
        self.nodes[index as usize].next = self.free;
        self.free = index;
        self.len -= 1;
    }

    /// Gives a large slab back once no timer is armed. Growing it again has been paid for by as
    /// many armings.
    fn release_if_idle(&mut self) {
        if self.len == 0 && self.nodes.capacity() > RETAINED_NODES_MAX {
            self.nodes.clear();
            self.nodes.shrink_to(RETAINED_NODES_MAX);
            self.free = NIL;
        }
    }
}

struct Node<E> {
    deadline: u64,
    /// The neighbours in the timer's list. On the free list only `next` counts.
    prev: u32,
    next: u32,
    generation: u32,
    entry: Option<E>,
}

/// A doubly linked list of nodes: both ends, or both `NIL`.
#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

impl List {
    const EMPTY: Self = Self { head: NIL, tail: NIL };

    fn is_empty(self) -> bool {
        self.head == NIL
    }
}

#[derive(Clone, Copy)]
enum Occupancy {
    Occupied,
    Empty,
}

/// The list that a timer belongs to: invariant 1.
fn place(now: u64, deadline: u64) -> usize {
    if deadline <= now {
        return LATE;
    }
    match level_of(now, deadline) {
        level if level < LEVELS => level * SLOTS + digit(deadline, level),
        _ => FAR,
    }
}

/// The level of the highest digit in which two different times differ; `LEVELS` or more if their
/// rotations do.
fn level_of(a: u64, b: u64) -> usize {
    debug_assert_ne!(a, b, "equal times differ at no level");
    ((a ^ b).ilog2() / SLOT_BITS) as usize
}

/// The digit of a time at a level: the slot that it falls into.
fn digit(time: u64, level: usize) -> usize {
    (time >> (SLOT_BITS * level as u32)) as usize % SLOTS
}
