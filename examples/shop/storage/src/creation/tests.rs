//! The program is killed, and then the power is cut, at every point of the making of a file.

use std::{collections::BTreeMap, sync::Arc};

use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::*;
use crate::{
    Fault,
    power::{Disk, Power},
};

const PENS: TableDefinition<u64, u64> = TableDefinition::new("pens");
const PATH: &str = "/shop/data/pens.redb";

/// A file system in memory: a name is lost with the power unless its directory was synced.
#[derive(Clone)]
struct Model {
    power: Power,
    names: Arc<Mutex<Names>>,
}

#[derive(Default)]
struct Names {
    now: BTreeMap<PathBuf, Entry>,
    synced: BTreeMap<PathBuf, Entry>,
}

#[derive(Clone)]
enum Entry {
    Directory,
    File(Disk),
}

impl Model {
    fn new() -> Model {
        Model { power: Power::new(0), names: Arc::default() }
    }

    /// What is found when the power is there again.
    fn after_cut(&self, mut is_kept: impl FnMut() -> bool) -> Model {
        let found = Model::new();
        let synced = &self.names.lock().unwrap().synced;
        let is_reachable = |path: &Path| {
            path.ancestors().all(|name| name.parent().is_none() || synced.contains_key(name))
        };
        let mut names = Names::default();
        for (path, entry) in synced.iter().filter(|(path, _)| is_reachable(path)) {
            let entry = match entry {
                Entry::Directory => Entry::Directory,
                Entry::File(disk) => {
                    Entry::File(Disk::powered(disk.image(&mut is_kept), found.power.clone()))
                }
            };
            names.now.insert(path.clone(), entry.clone());
            names.synced.insert(path.clone(), entry);
        }
        Model { names: Arc::new(Mutex::new(names)), ..found }
    }

    /// The file, opened; it is never an empty one.
    fn open(&self) -> Result<Database, Fault> {
        let names = self.names.lock().unwrap();
        let Some(Entry::File(disk)) = names.now.get(Path::new(PATH)) else {
            panic!("there is no file");
        };
        assert!(disk.len().unwrap() > 0);
        Ok(builder().create_with_backend(disk.clone())?)
    }
}

impl Files for Model {
    type Draft = Disk;
    type Backend = Disk;

    fn is_there(&self, path: &Path) -> bool {
        path.parent().is_none() || self.names.lock().unwrap().now.contains_key(path)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.power.spend()?;
        assert!(path.parent().is_some_and(|parent| self.is_there(parent)));
        self.names.lock().unwrap().now.insert(path.to_owned(), Entry::Directory);
        Ok(())
    }

    fn draft(&self, directory: &Path) -> io::Result<(Disk, Disk)> {
        self.power.spend()?;
        assert!(self.is_there(directory));
        let disk = Disk::powered(Vec::new(), self.power.clone());
        Ok((disk.clone(), disk))
    }

    fn publish(&self, draft: Disk, path: &Path) -> io::Result<()> {
        self.power.spend()?;
        self.names.lock().unwrap().now.insert(path.to_owned(), Entry::File(draft));
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.power.spend()?;
        let mut names = self.names.lock().unwrap();
        let within = names.now.clone();
        names.synced.extend(within.into_iter().filter(|(name, _)| name.parent() == Some(path)));
        Ok(())
    }
}

/// Opens the file, making it if need be, and adds a pen.
fn add(model: &Model) -> Result<u64, Box<dyn std::error::Error>> {
    make(model, Path::new(PATH))?;
    let database = model.open()?;
    let transaction = database.begin_write()?;
    let count = {
        let mut pens = transaction.open_table(PENS)?;
        let count = pens.get(1)?.map_or(0, |count| count.value()) + 1;
        pens.insert(1, count)?;
        count
    };
    transaction.commit()?;
    Ok(count)
}

fn pens(model: &Model) -> u64 {
    let database = model.open().unwrap();
    match database.begin_read().unwrap().open_table(PENS) {
        Ok(pens) => pens.get(1).unwrap().map_or(0, |count| count.value()),
        Err(redb::TableError::TableDoesNotExist(_)) => 0,
        Err(error) => panic!("{error}"),
    }
}

/// How many operations it takes to add a pen to a new file.
fn operations() -> u64 {
    let model = Model::new();
    model.power.restore(u64::MAX);
    assert_eq!(add(&model).unwrap(), 1);
    u64::MAX - model.power.left()
}

#[test]
fn a_kill_and_a_power_cut_at_any_point_leave_a_file_that_opens_and_has_what_was_answered() {
    let operations = operations();
    let (mut answered, mut lost) = (0, 0);
    for killed_after in 0..=operations {
        for cut_after in 0..=operations {
            let model = Model::new();
            // The kill leaves what the program has done until then, also what is not synced.
            model.power.restore(killed_after);
            let first = add(&model).ok();
            model.power.restore(cut_after);
            let second = add(&model).ok();
            model.power.cut();

            let mut turn = killed_after * 31 + cut_after;
            let kinds: [&mut dyn FnMut() -> bool; 3] = [&mut || false, &mut || true, &mut || {
                turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                turn >> 40 & 1 == 0
            }];
            for is_kept in kinds {
                let found = model.after_cut(is_kept);
                found.power.restore(u64::MAX);
                let was_there = found.is_there(Path::new(PATH));
                make(&found, Path::new(PATH)).unwrap();
                let (count, known) = (pens(&found), second.or(first).unwrap_or(0));
                assert!(count >= known, "{killed_after}, {cut_after}: {count} of {known}");
                assert!(count <= 2);
                assert_eq!(add(&found).unwrap(), count + 1);
                answered += known;
                lost += u64::from(!was_there);
            }
        }
    }
    assert!(answered > 0 && lost > 0, "both kinds of cuts were tried");
}

#[test]
fn a_name_is_synced_although_another_program_was_killed_before_it_could() {
    let model = Model::new();
    model.power.restore(u64::MAX);
    make(&model, Path::new(PATH)).unwrap();
    model.names.lock().unwrap().synced.clear();
    make(&model, Path::new(PATH)).unwrap();
    assert!(model.after_cut(|| false).is_there(Path::new(PATH)));
}

#[test]
fn a_volatile_name_is_given_when_its_directory_is_synced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pens.redb");
    let files = System::new(Medium::Volatile);
    let (draft, _) = files.draft(directory.path()).unwrap();
    files.publish(draft, &path).unwrap();
    assert!(!path.exists());
    files.sync_directory(directory.path()).unwrap();
    assert!(path.exists());

    let (draft, _) = files.draft(directory.path()).unwrap();
    files.publish(draft, &path).unwrap();
    drop(files);
    let names = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(names, 1, "a draft that gets no name is gone");
}

#[test]
fn what_has_no_directory_is_not_made() {
    let error = make(&Model::new(), Path::new("/")).unwrap_err();
    assert!(matches!(error, OpenError::Make { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "cannot make /; check the rights of its directory and the room on the disk"
    );
}
