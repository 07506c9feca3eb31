//! Tests of the plans on the disk.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use tetragon_api::plan::Mode;
use tetragon_api::published::PolicyRef;

use super::*;

fn cached(name: &str, revision: i64) -> Cached {
    let plan = Plan { namespace: Some("ns".into()), ..Plan::new(name, vec![]) };
    let policy = PolicyRef {
        kind: "TracingPolicyNamespaced".into(),
        name: name.into(),
        namespace: Some("ns".into()),
        uid: format!("uid-{name}"),
    };
    let meta = PlanMeta {
        percent: 50,
        mode: Some(Mode::Monitor),
        max_actions: Some(3),
        ..PlanMeta::new(policy, plan.digest(), revision)
    };
    Cached { meta, limited: false, plan: Arc::new(plan) }
}

fn put(cache: &mut Cache, c: &Cached) {
    cache.put(&c.meta, c.limited, &c.plan).unwrap();
}

fn file(dir: &Path, c: &Cached) -> PathBuf {
    dir.join(format!("{}.plan", c.meta.object_name()))
}

#[test]
fn plans_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("a/b");
    let (mut cache, found) = Cache::open(&dir).unwrap();
    assert!(found.plans.is_empty() && !cache.is_complete());
    let mut a = cached("a", 1);
    put(&mut cache, &a);
    put(&mut cache, &cached("b", 1));
    cache.mark_complete().unwrap();
    cache.sync().unwrap();
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&file(&dir, &a))), (0o700, 0o600));
    // What is kept already is not written again.
    let inode = |c: &Cached| std::fs::metadata(file(&dir, c)).unwrap().ino();
    let before = inode(&a);
    put(&mut cache, &a);
    assert_eq!(inode(&a), before);
    a.limited = true;
    put(&mut cache, &a);
    // An agent that was killed while it wrote.
    std::fs::write(dir.join("x.plan.tmp"), "half").unwrap();
    let (mut cache, found) = Cache::open(&dir).unwrap();
    assert_eq!(found.plans, [a.clone(), cached("b", 1)]);
    assert!(cache.is_complete() && !dir.join("x.plan.tmp").exists());
    cache.retain(&BTreeSet::from([a.meta.object_name()]));
    let (cache, found) = Cache::open(&dir).unwrap();
    assert_eq!(found.plans, [a]);
    assert!(cache.is_complete());
}

#[test]
fn a_damaged_file_is_moved_aside_and_stops_nobody() {
    let whole = cached("a", 1);
    let form = |text: &str| text.replace(MAGIC, "something else ");
    let rest = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    type Damage<'a> = &'a dyn Fn(&str) -> Vec<u8>;
    let damages: [(&str, Damage<'_>); 7] = [
        ("CacheDamaged", &|t| t.as_bytes()[..t.len() / 2].to_vec()),
        ("CacheDamaged", &|_| Vec::new()),
        ("CacheDamaged", &|t| t.replace("uid-a", "uid-b").into_bytes()),
        ("CacheDamaged", &|t| [t.as_bytes(), &[0xff]].concat()),
        ("CacheDamaged", &|t| form(t).into_bytes()),
        // Whoever writes a right sum must still name the file rightly, and hold what the digest says.
        ("CacheDamaged", &|t| {
            let rest = rest(t).replace("uid-a", "uid-b");
            format!("{MAGIC}{}\n{rest}", digest(&rest)).into_bytes()
        }),
        ("PlanDigestMismatch", &|t| {
            let rest = rest(t).replace("\"mode\":\"enforce\"", "\"mode\":\"monitor\"");
            format!("{MAGIC}{}\n{rest}", digest(&rest)).into_bytes()
        }),
    ];
    for (n, (reason, damage)) in damages.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let (mut cache, _) = Cache::open(dir).unwrap();
        put(&mut cache, &whole);
        put(&mut cache, &cached("b", 1));
        cache.mark_complete().unwrap();
        let path = file(dir, &whole);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, damage(&text)).unwrap();
        let (_, found) = Cache::open(dir).unwrap();
        assert_eq!(found.plans, [cached("b", 1)], "{n}");
        assert_eq!(found.damaged[0].1.reason(), *reason, "{n}: {}", found.damaged[0].1);
        assert!(found.damaged[0].0.exists() && !path.exists());
        // The next start knows it too, until there is a complete list.
        let (mut cache, found) = Cache::open(dir).unwrap();
        assert!(!cache.is_complete() && found.damaged.is_empty());
        put(&mut cache, &whole);
        cache.mark_complete().unwrap();
        let (cache, found) = Cache::open(dir).unwrap();
        assert!(cache.is_complete() && found.plans.len() == 2, "{n}");
    }
}

#[test]
fn what_could_not_be_written_is_not_complete() {
    let dir = tempfile::tempdir().unwrap();
    let (mut cache, _) = Cache::open(dir.path()).unwrap();
    put(&mut cache, &cached("a", 1));
    cache.mark_complete().unwrap();
    // A folder where the file is to be.
    let b = cached("b", 1);
    std::fs::create_dir(file(dir.path(), &b)).unwrap();
    assert!(cache.put(&b.meta, false, &b.plan).is_err());
    assert!(!cache.is_complete());
    cache.mark_complete().unwrap();
    assert!(!cache.is_complete(), "one is still missing");
    std::fs::remove_dir(file(dir.path(), &b)).unwrap();
    put(&mut cache, &b);
    cache.mark_complete().unwrap();
    assert!(cache.is_complete() && Cache::open(dir.path()).unwrap().0.is_complete());
    // A policy that goes need not be kept any more.
    let c = cached("c", 1);
    std::fs::create_dir(file(dir.path(), &c)).unwrap();
    assert!(cache.put(&c.meta, false, &c.plan).is_err());
    cache.retain(&BTreeSet::new());
    cache.mark_complete().unwrap();
    assert!(cache.is_complete());
}
