//! Tests of the requests about one child, and of the listings.

use super::super::*;
use super::Strategy::{OneForAll, OneForOne};
use super::world::{World, policy, spec};
use ExitKind::{Abnormal, Normal};

fn world(specs: &str) -> World {
    World::new(policy(OneForOne), specs)
}

#[test]
fn start_child_adds_at_the_end() {
    let mut world = world("a b");
    world.start_child("c").unwrap();
    assert_eq!(world.table(), "a=1 b=2 c=3");
    world.happened();
    world.shut_down();
    assert_eq!(world.happened(), "stop c, stop b, stop a, exit");
}

#[test]
fn start_child_of_a_running_id_names_its_pid() {
    let error = world("a b").start_child("b").expect_err("runs");
    assert_eq!(error, StartChildError::AlreadyStarted(2));
    assert_eq!(error.to_string(), "a child with this id is already started as 2");
}

#[test]
fn start_child_of_a_kept_spec_is_already_present() {
    let mut ended = world("a?");
    ended.exits("a", Normal);
    assert_eq!(ended.start_child("a"), Err(StartChildError::AlreadyPresent));
    let mut restarting = world("a");
    restarting.answers("x").exits("a", Abnormal);
    assert_eq!(restarting.start_child("a"), Err(StartChildError::AlreadyPresent));
}

#[test]
fn start_child_that_fails_keeps_nothing() {
    let mut world = world("a");
    world.answers("x").start_child("b").unwrap();
    assert_eq!(world.table(), "a=1");
    world.start_child("b").unwrap();
    assert_eq!(world.table(), "a=1 b=2");
}

#[test]
fn start_child_that_is_ignored_keeps_the_spec_unless_temporary() {
    let mut world = world("a");
    world.answers("ii");
    world.start_child("b").unwrap();
    world.start_child("c-").unwrap();
    assert_eq!(world.table(), "a=1 b.");
}

#[test]
fn start_child_checks_the_terms() {
    let error = world("a").start_child("b?*").expect_err("never");
    assert_eq!(error, StartChildError::Terms(TermsError::SignificantWithoutAutoShutdown));
    assert!(Error::source(&error).is_some());
}

#[test]
fn start_dropped_half_way_changes_nothing() {
    let mut world = world("a");
    drop(world.children.start_child(spec("b")).expect("new"));
    assert_eq!(world.table(), "a=1");
}

#[test]
fn restart_child_wants_a_child_without_a_process() {
    let mut world = world("a b? c");
    assert_eq!(world.restart_child("a"), Err(RestartChildError::Running));
    assert_eq!(world.restart_child("x"), Err(RestartChildError::NotFound));
    world.answers("x").exits("c", Abnormal);
    assert_eq!(world.restart_child("c"), Err(RestartChildError::Restarting));
    world.exits("b", Normal);
    world.restart_child("b").unwrap();
    assert_eq!(world.table(), "a=1 b=4 c~");
}

#[test]
fn restart_child_that_fails_or_is_ignored_leaves_it_without_a_process() {
    let mut world = world("a");
    world.terminate_child("a").unwrap();
    world.answers("xi");
    world.restart_child("a").unwrap();
    world.restart_child("a").unwrap();
    assert_eq!((world.table().as_str(), world.retries.len()), ("a.", 0));
}

#[test]
fn requests_do_not_count_against_the_intensity() {
    let mut world = World::new(Policy::default(), "a");
    for _ in 0..10 {
        world.terminate_child("a").unwrap();
        world.restart_child("a").unwrap();
    }
    world.exits("a", Abnormal);
    assert_eq!(world.ended, None);
}

#[test]
fn terminated_child_keeps_its_spec_and_stays_down() {
    let mut world = world("a b");
    world.terminate_child("a").unwrap();
    assert_eq!((world.happened().as_str(), world.table().as_str()), ("stop a", "a. b=2"));
    world.terminate_child("a").unwrap();
    assert_eq!(world.happened(), "", "a second time there is nothing to stop");
    assert_eq!(world.terminate_child("x"), Err(NotFound));
}

#[test]
fn terminated_temporary_child_is_forgotten() {
    let mut world = world("a-");
    world.terminate_child("a").unwrap();
    assert_eq!(world.table(), "");
    assert_eq!(world.terminate_child("a"), Err(NotFound));
}

#[test]
fn terminated_child_that_ended_otherwise_is_reported() {
    let mut world = world("a");
    match world.children.terminate_child("a") {
        Ok(Terminate::Stop(stop)) => assert_eq!(stop.gone(Abnormal), StopVerdict::Otherwise),
        other => panic!("{other:?}"),
    }
}

#[test]
fn delete_child_wants_a_child_without_a_process() {
    let mut world = world("a b");
    assert_eq!(world.children.delete_child("a").err(), Some(DeleteChildError::Running));
    assert_eq!(world.children.delete_child("x").err(), Some(DeleteChildError::NotFound));
    world.answers("x").exits("b", Abnormal);
    assert_eq!(world.children.delete_child("b").err(), Some(DeleteChildError::Restarting));
    world.terminate_child("a").unwrap();
    assert_eq!(&*world.children.delete_child("a").unwrap().id, "a");
    assert_eq!(world.table(), "b~");
}

#[test]
fn deleted_id_can_be_used_again_and_comes_last() {
    let mut world = World::new(policy(OneForAll), "a b");
    world.terminate_child("a").unwrap();
    world.children.delete_child("a").unwrap();
    world.start_child("a").unwrap();
    assert_eq!(world.table(), "b=2 a=3");
}

#[test]
fn children_are_listed_the_last_started_first() {
    let rows = world("a b").children.which_children();
    let ids: Vec<_> = rows.iter().map(|row| row.id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["b", "a"]);
}

#[test]
fn count_children_counts_as_otp() {
    let nested = Spec::new("s", Terms::SUPERVISOR, ());
    let mut world = world("a b? c");
    let start = world.children.start_child(nested).expect("new");
    start.done(Started::Running(50));
    world.exits("b", Normal);
    world.answers("x").exits("c", Abnormal);
    let counts = world.children.count_children(|_| true);
    assert_eq!(counts, ChildCounts { specs: 4, active: 2, supervisors: 1, workers: 3 });
    let counts = world.children.count_children(|pid| pid != 50);
    assert_eq!(counts.active, 1, "dead, though we have not heard of it yet");
}
