//! The wheel against its promises one by one, then against a sorted map over random histories.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;

/// Ticks of one rotation: the first deadline, seen from 0, that has no slot.
const ROTATION: u64 = 1 << ROTATION_BITS;

/// Advances and returns what fired, having checked the invariants.
fn advance<E>(wheel: &mut Wheel<E>, now: u64) -> Vec<(u64, E)> {
    let mut fired = Vec::new();
    wheel.advance(now, &mut fired);
    check_invariants(wheel);
    fired
}

/// Fails unless the numbered invariants of the wheel's head hold.
fn check_invariants<E>(wheel: &Wheel<E>) {
    let mut armed = 0;
    for (list, &List { head, tail }) in wheel.lists.iter().enumerate() {
        let (mut prev, mut index) = (NIL, head);
        while index != NIL {
            let node = &wheel.nodes[index as usize];
            assert_eq!(place(wheel.now, node.deadline), list, "1: deadline {}", node.deadline);
            assert!(node.entry.is_some(), "5: an armed timer has its entry");
            assert_eq!(node.prev, prev, "links agree both ways");
            armed += 1;
            (prev, index) = (index, node.next);
        }
        assert_eq!(tail, prev, "the tail is the last node");
        if let Some(slots) = wheel.occupied.get(list / SLOTS) {
            assert_eq!(slots >> (list % SLOTS) & 1 == 1, head != NIL, "4: list {list}");
        }
    }
    for (level, &slots) in wheel.occupied.iter().enumerate() {
        let passed = u64::MAX >> (SLOTS - 1 - digit(wheel.now, level));
        assert_eq!(slots & passed, 0, "2: level {level} is ahead of now");
    }
    let (mut free, mut index) = (0, wheel.free);
    while index != NIL {
        let node = &wheel.nodes[index as usize];
        assert!(node.entry.is_none(), "5: a free node has no entry");
        free += 1;
        index = node.next;
    }
    assert_eq!(armed, wheel.len());
    assert_eq!(armed + free, wheel.nodes.len(), "5: no node is lost");
}

/// Follows `next_deadline` to the first firing, and returns the times advanced to.
fn times_until_fired<E>(wheel: &mut Wheel<E>) -> Vec<u64> {
    let mut times = Vec::new();
    while let Some(next) = wheel.next_deadline() {
        times.push(next);
        if !advance(wheel, next).is_empty() {
            break;
        }
    }
    times
}

#[test]
fn empty_wheel_has_no_deadline_and_fires_nothing() {
    let mut wheel = Wheel::<()>::new(7);
    assert_eq!(wheel.next_deadline(), None);
    assert_eq!(advance(&mut wheel, u64::MAX), []);
    assert_eq!(wheel.len(), 0);
}

#[test]
fn timer_fires_at_its_deadline_and_not_a_tick_before() {
    let mut wheel = Wheel::new(0);
    wheel.insert(5_000, "call");
    assert_eq!(advance(&mut wheel, 4_999), []);
    assert_eq!(advance(&mut wheel, 5_000), [(5_000, "call")]);
    assert_eq!(advance(&mut wheel, 5_001), []);
    assert_eq!(wheel.len(), 0);
}

#[test]
fn timer_at_each_level_boundary_fires_exactly_and_next_deadline_leads_there() {
    let mut spans: Vec<u64> = (0..=LEVELS).map(|level| 1 << (SLOT_BITS * level as u32)).collect();
    spans.extend([2 * ROTATION, 3 * ROTATION + 12_345, u64::MAX / 2]);
    for now in [0, 1, 63, 64, 4_095, 4_096, 1_000_003, ROTATION - 1, ROTATION, ROTATION + 1] {
        for delay in
            spans.iter().flat_map(|span| [span - 1, *span, span + 1, span.saturating_mul(63)])
        {
            let deadline = now + delay.clamp(1, u64::MAX / 2);
            fires_exactly(now, deadline);
            if deadline >> ROTATION_BITS <= (now >> ROTATION_BITS) + 1 {
                leads_there(now, deadline);
            }
        }
    }
    fires_exactly(0, u64::MAX);
    fires_exactly(u64::MAX - 1, u64::MAX);
}

fn fires_exactly(now: u64, deadline: u64) {
    let mut wheel = Wheel::new(now);
    wheel.insert(deadline, ());
    check_invariants(&wheel);
    assert_eq!(advance(&mut wheel, deadline - 1), [], "{deadline} armed at {now} fired early");
    assert_eq!(wheel.next_deadline(), Some(deadline), "one tick ahead the answer is exact");
    assert_eq!(advance(&mut wheel, deadline), [(deadline, ())], "{deadline} armed at {now}");
}

fn leads_there(now: u64, deadline: u64) {
    let mut wheel = Wheel::new(now);
    wheel.insert(deadline, ());
    let times = times_until_fired(&mut wheel);
    assert_eq!(times.last(), Some(&deadline));
    assert!(times.is_sorted_by(|a, b| a < b) && times[0] > now, "{deadline} from {now}: {times:?}");
    let rotations = (deadline >> ROTATION_BITS) - (now >> ROTATION_BITS);
    assert!(times.len() <= LEVELS + rotations as usize, "{deadline} from {now}: {times:?}");
}

#[test]
fn next_deadline_is_exact_within_the_current_64_ticks_and_a_slot_start_beyond() {
    let mut wheel = Wheel::new(0);
    wheel.insert(ROTATION + 9, ());
    assert_eq!(wheel.next_deadline(), Some(ROTATION));
    wheel.insert(5_000, ());
    assert_eq!(wheel.next_deadline(), Some(4_096));
    wheel.insert(130, ());
    assert_eq!(wheel.next_deadline(), Some(128));
    let first = wheel.insert(63, ());
    assert_eq!(wheel.next_deadline(), Some(63));
    wheel.cancel(first);
    assert_eq!(wheel.next_deadline(), Some(128));
}

#[test]
fn past_deadline_fires_at_the_next_advance_even_without_progress() {
    let mut wheel = Wheel::new(100);
    for (deadline, entry) in [(100, "now"), (3, "long ago"), (101, "soon"), (3, "long ago too")] {
        wheel.insert(deadline, entry);
    }
    assert_eq!(wheel.next_deadline(), Some(100));
    let expected = [(3, "long ago"), (3, "long ago too"), (100, "now")];
    assert_eq!(advance(&mut wheel, 100), expected);
    assert_eq!(wheel.next_deadline(), Some(101));
    assert_eq!(advance(&mut wheel, 101), [(101, "soon")]);
}

#[test]
fn time_never_goes_back() {
    let mut wheel = Wheel::new(100);
    wheel.insert(150, "later");
    wheel.insert(60, "late");
    assert_eq!(advance(&mut wheel, 50), [(60, "late")]);
    wheel.insert(70, "late again");
    assert_eq!(wheel.next_deadline(), Some(100));
    assert_eq!(advance(&mut wheel, 0), [(70, "late again")]);
    assert_eq!(advance(&mut wheel, 150), [(150, "later")]);
}

#[test]
fn due_timers_come_by_deadline_whatever_level_they_wait_at() {
    let mut wheel = Wheel::new(0);
    let deadlines =
        [ROTATION * 5, 70, 1 << 31, 2, 4_100, 65, 4_097, 300_000, 1 << 20, ROTATION + 1];
    for deadline in deadlines {
        wheel.insert(deadline, deadline);
    }
    let mut fired = advance(&mut wheel, ROTATION * 4);
    fired.extend(advance(&mut wheel, u64::MAX));
    let mut expected = deadlines.map(|deadline| (deadline, deadline));
    expected.sort();
    assert_eq!(fired, expected);
}

#[test]
fn equal_deadlines_fire_in_arming_order_though_armed_at_different_levels() {
    for deadline in [1 << 12, 300_000, ROTATION + 70] {
        let mut wheel = Wheel::new(0);
        let mut armed = 0;
        for ticks_ahead in [deadline, 70_000, 4_096, 65, 64, 2, 1] {
            let now = u64::saturating_sub(deadline, ticks_ahead);
            assert_eq!(advance(&mut wheel, now), []);
            for _ in 0..3 {
                wheel.insert(deadline, armed);
                armed += 1;
            }
        }
        let order: Vec<_> = advance(&mut wheel, deadline + 9).into_iter().collect();
        assert_eq!(order, (0..armed).map(|nth| (deadline, nth)).collect::<Vec<_>>());
    }
}

#[test]
fn advance_appends_to_what_the_vector_holds() {
    let mut wheel = Wheel::new(0);
    wheel.insert(70, 'b');
    wheel.insert(65, 'a');
    let mut fired = vec![(99, 'z')];
    wheel.advance(80, &mut fired);
    assert_eq!(fired, [(99, 'z'), (65, 'a'), (70, 'b')]);
}

#[test]
fn cancelled_timer_returns_its_entry_once_and_does_not_fire() {
    for deadline in [0, 10, 100, 5_000, ROTATION * 3] {
        let mut wheel = Wheel::new(10);
        let key = wheel.insert(deadline, "entry");
        assert_eq!(wheel.cancel(key), Some((deadline, "entry")));
        check_invariants(&wheel);
        assert_eq!(wheel.cancel(key), None);
        assert_eq!((wheel.len(), wheel.next_deadline()), (0, None));
        assert_eq!(advance(&mut wheel, u64::MAX), []);
    }
}

#[test]
fn any_timer_of_a_slot_can_be_cancelled() {
    for cancelled in 0..3 {
        let mut wheel = Wheel::new(0);
        let keys = [0, 1, 2].map(|nth| wheel.insert(9, nth));
        assert_eq!(wheel.cancel(keys[cancelled]), Some((9, cancelled)));
        check_invariants(&wheel);
        let expected: Vec<_> = (0..3).filter(|&nth| nth != cancelled).map(|nth| (9, nth)).collect();
        assert_eq!(advance(&mut wheel, 9), expected);
    }
}

#[test]
fn timer_can_be_cancelled_after_it_moved_down_a_level() {
    let mut wheel = Wheel::new(0);
    let key = wheel.insert(ROTATION + 5_000, ());
    for now in [ROTATION - 1, ROTATION, ROTATION + 4_096, ROTATION + 4_999] {
        assert_eq!(advance(&mut wheel, now), []);
    }
    assert_eq!(wheel.cancel(key), Some((ROTATION + 5_000, ())));
    check_invariants(&wheel);
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn key_of_a_fired_timer_does_not_cancel_the_next_user_of_its_node() {
    let mut wheel = Wheel::new(0);
    let fired = wheel.insert(1, "first");
    assert_eq!(advance(&mut wheel, 1), [(1, "first")]);
    assert_eq!(wheel.cancel(fired), None);
    let reused = wheel.insert(2, "second");
    assert_eq!(reused.index, fired.index);
    assert_ne!(reused, fired);
    assert_eq!(wheel.cancel(fired), None);
    assert_eq!(wheel.cancel(reused), Some((2, "second")));
}

#[test]
fn key_stays_stale_when_the_slab_was_released() {
    let mut wheel = Wheel::new(0);
    let count = 2 * RETAINED_NODES_MAX;
    let stale: Vec<_> = (0..count).map(|_| wheel.insert(1, ())).collect();
    assert_eq!(advance(&mut wheel, 1).len(), count);
    for &key in &stale {
        assert_eq!(wheel.cancel(key), None);
    }
    for _ in 0..count {
        wheel.insert(2, ());
    }
    for &key in &stale {
        assert_eq!(wheel.cancel(key), None);
    }
    assert_eq!(wheel.len(), count);
}

#[test]
fn generations_wrap_without_harm() {
    let mut wheel = Wheel::new(0);
    wheel.generation = u32::MAX;
    let last = wheel.insert(1, "last");
    let first = wheel.insert(1, "first");
    assert_eq!((last.generation, first.generation), (u32::MAX, 0));
    assert_eq!(wheel.cancel(last), Some((1, "last")));
    assert_eq!(wheel.cancel(first), Some((1, "first")));
}

#[test]
fn new_wheel_allocates_nothing_and_a_warm_one_does_not_grow() {
    let mut wheel = Wheel::new(0);
    assert_eq!(wheel.nodes.capacity(), 0);
    let keys: Vec<_> = (0..100).map(|nth| wheel.insert(nth * 50, ())).collect();
    let warm = wheel.nodes.capacity();
    for key in keys {
        wheel.cancel(key);
    }
    for round in 0..1_000 {
        let keys: Vec<_> = (0..100).map(|nth| wheel.insert(round * 7 + nth * nth, ())).collect();
        advance(&mut wheel, round * 7);
        for key in keys {
            wheel.cancel(key);
        }
        assert_eq!(wheel.nodes.capacity(), warm);
    }
}

#[test]
fn large_slab_is_released_when_the_last_timer_is_cancelled_or_fires() {
    let count = 40 * RETAINED_NODES_MAX as u64;
    let mut wheel = Wheel::new(0);
    let keys: Vec<_> = (1..=count).map(|deadline| wheel.insert(deadline, ())).collect();
    assert!(wheel.nodes.capacity() >= count as usize);
    for key in keys {
        assert!(wheel.cancel(key).is_some());
    }
    assert!(wheel.nodes.capacity() <= RETAINED_NODES_MAX);
    check_invariants(&wheel);

    for deadline in 1..=count {
        wheel.insert(deadline, ());
    }
    assert_eq!(advance(&mut wheel, count).len(), count as usize);
    assert!(wheel.nodes.capacity() <= RETAINED_NODES_MAX);
}

#[test]
fn entries_are_dropped_with_the_wheel_and_not_kept_after_they_left_it() {
    let entry = Rc::new(());
    let mut wheel = Wheel::new(0);
    let keys = [5, 500, ROTATION * 2, 0].map(|deadline| wheel.insert(deadline, Rc::clone(&entry)));
    assert_eq!(Rc::strong_count(&entry), 5);
    drop(wheel.cancel(keys[1]));
    drop(advance(&mut wheel, 5));
    assert_eq!(Rc::strong_count(&entry), 2);
    drop(wheel);
    assert_eq!(Rc::strong_count(&entry), 1);
}

#[test]
fn armed_timer_takes_its_entry_and_at_most_32_bytes() {
    assert!(size_of::<Node<u64>>() <= size_of::<u64>() + 32);
    assert!(size_of::<Node<[u64; 4]>>() <= size_of::<[u64; 4]>() + 32);
    assert!(size_of::<Node<Box<()>>>() <= size_of::<Box<()>>() + 24);
}

/// xorshift64*: enough randomness for a test, the same from the same seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A span of ticks, all magnitudes up to `bits` alike; one in four at a power of two or beside
    /// it.
    fn span(&mut self, bits: u64) -> u64 {
        let magnitude = 1 << self.below(bits);
        match self.below(4) {
            0 => magnitude - 1 + self.below(3),
            _ => magnitude + self.below(magnitude),
        }
    }
}

/// The wheel beside the plainest thing that keeps the same promises: a map sorted by deadline and
/// arming order.
struct Pair {
    wheel: Wheel<u64>,
    model: BTreeMap<(u64, u64), ()>,
    /// Every key given out with its deadline and number, gone ones too, so that stale keys are
    /// tried.
    keys: Vec<(TimerKey, u64, u64)>,
    now: u64,
    armed: u64,
}

impl Pair {
    fn new(now: u64) -> Self {
        Self { wheel: Wheel::new(now), model: BTreeMap::new(), keys: Vec::new(), now, armed: 0 }
    }

    fn insert(&mut self, deadline: u64) {
        let key = self.wheel.insert(deadline, self.armed);
        self.model.insert((deadline, self.armed), ());
        self.keys.push((key, deadline, self.armed));
        self.armed += 1;
    }

    fn cancel(&mut self, nth: usize) {
        let (key, deadline, number) = self.keys[nth];
        let expected = self.model.remove(&(deadline, number)).map(|()| (deadline, number));
        assert_eq!(self.wheel.cancel(key), expected);
    }

    fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
        let later = match self.now.checked_add(1) {
            Some(after) => self.model.split_off(&(after, 0)),
            None => BTreeMap::new(),
        };
        let expected: Vec<_> = std::mem::replace(&mut self.model, later).into_keys().collect();
        let mut fired = Vec::new();
        self.wheel.advance(now, &mut fired);
        assert_eq!(fired, expected);
    }

    fn check(&self) {
        assert_eq!(self.wheel.len(), self.model.len());
        let first = self.model.keys().next().map(|&(deadline, _)| deadline);
        match (self.wheel.next_deadline(), first) {
            (None, None) => {}
            (Some(next), Some(first)) if first <= self.now => assert_eq!(next, self.now),
            (Some(next), Some(first)) => {
                assert!(self.now < next && next <= first, "{} < {next} <= {first}", self.now);
                if first >> SLOT_BITS == self.now >> SLOT_BITS {
                    assert_eq!(next, first);
                }
            }
            (next, first) => panic!("next deadline {next:?}, first timer {first:?}"),
        }
    }
}

/// One random history. `span_bits` bounds the delays and the jumps; few bits make many equal
/// deadlines.
fn check_against_model(seed: u64, span_bits: u64, steps: usize) {
    let mut random = Random::new(seed);
    let start = random.span(40);
    let mut pair = Pair::new(start);
    for _ in 0..steps {
        match random.below(20) {
            0..9 => {
                let delay = random.span(span_bits);
                pair.insert(pair.now.saturating_add(delay));
            }
            9 => pair.insert(pair.now.saturating_sub(random.below(4))),
            10 if !pair.keys.is_empty() => {
                let (_, deadline, _) = pair.keys[random.below(pair.keys.len() as u64) as usize];
                pair.insert(deadline);
            }
            11..16 if !pair.keys.is_empty() => {
                pair.cancel(random.below(pair.keys.len() as u64) as usize)
            }
            16 => pair.advance(pair.wheel.next_deadline().unwrap_or(pair.now)),
            17 => pair.advance(pair.now.saturating_sub(1)),
            _ => pair.advance(pair.now.saturating_add(random.span(span_bits) / 4)),
        }
        check_invariants(&pair.wheel);
        pair.check();
    }
    pair.advance(u64::MAX);
    pair.check();
    assert_eq!(pair.wheel.len(), 0);
}

#[test]
fn random_histories_agree_with_a_sorted_map() {
    for (span_bits, seeds) in [(3, 40), (7, 40), (13, 40), (24, 40), (38, 60), (63, 40)] {
        for seed in 0..seeds {
            println!("replay: check_against_model({seed}, {span_bits}, 400)");
            check_against_model(seed, span_bits, 400);
        }
    }
}
