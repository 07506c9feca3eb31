//! Tells the kernel whose cgroups are: what [`Classes`] brings together is done here, at the start for
//! what is there, and later with each change. The control thread owns it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tetragon_api::workload::Container;
use tetragon_engine::{CgroupRecord, Classified, Kernel, walk};
use tokio::sync::oneshot;

use super::Change;
use super::classes::{Class, Classes, Whose};
pub use super::kept::FILE;
use super::kept::Keeper;

/// Classifies the node's cgroups.
#[derive(Debug, Default)]
pub struct Classifier {
    classes: Classes,
    /// Where the hierarchy of cgroups is mounted; `None`: this kernel has none that containers are told
    /// apart by.
    root: Option<PathBuf>,
    /// Keeps what is known for a restart.
    keeper: Option<Keeper>,
    changed: bool,
    /// Records of cgroups that were lost, as far as that was made good.
    lost: u64,
    /// Who waits for a container to be classified.
    holds: Vec<Hold>,
    /// Cgroups that the kernel does not know yet as what they are known here. True: not before its policies
    /// are loaded again.
    failed: BTreeMap<u64, bool>,
}

/// What is new about containers.
#[derive(Debug)]
pub enum Request {
    /// A pod's cgroup was made or removed.
    Cgroup(CgroupRecord),
    /// A pod or a container has come, changed or gone.
    Pods(Change),
    /// Somebody waits until the kernel knows whose a container is.
    Hold(Hold),
}

/// Somebody waits until the kernel knows whose a container is.
#[derive(Debug)]
pub struct Hold {
    /// Its whole id.
    pub container: String,
    /// What must be known of it.
    pub need: Need,
    /// Told when it is. Nobody listens any more: it has taken too long.
    pub reply: oneshot::Sender<()>,
}

/// What must be known of a container that is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// All that policies can ask for.
    All,
    /// All that they can ask of its pod.
    Pod,
    /// Anything.
    Any,
}

impl Need {
    fn is_met(self, container: &Container) -> bool {
        match self {
            Need::All => !container.name.is_empty() && container.knows_workload(),
            Need::Pod => container.knows_workload(),
            Need::Any => true,
        }
    }
}

impl Classifier {
    /// Knows nothing yet.
    pub fn new(root: Option<PathBuf>, plan_dir: Option<&Path>) -> Classifier {
        Classifier { root, keeper: plan_dir.map(Keeper::new), ..Classifier::default() }
    }

    /// Classifies what is there as the agent before this one knew it: before the first policies are loaded,
    /// with which what that one has left is replaced.
    pub fn start(&mut self, kernel: &mut dyn Kernel) {
        self.walk(kernel);
        let Some(keeper) = &mut self.keeper else { return };
        let classes = self.classes.take(keeper.read());
        tracing::debug!(cgroups = classes.len(), "pods and containers are known from before");
        classes.into_iter().for_each(|class| self.classify(kernel, class));
    }

    /// Serves a request.
    pub fn serve(&mut self, request: Request, kernel: &mut dyn Kernel) {
        match request {
            Request::Cgroup(record) => self.cgroup(&record, kernel),
            Request::Pods(change) => self.change(change, kernel),
            Request::Hold(hold) => self.hold(hold, kernel),
        }
    }

    /// A pod's cgroup was made or removed.
    pub fn cgroup(&mut self, record: &CgroupRecord, kernel: &mut dyn Kernel) {
        if record.gone {
            if self.classes.removed(record.id) {
                self.changed = true;
                self.forget(kernel, record.id);
            }
        } else if let Some(class) = self.classes.made(record.id, &record.path) {
            self.changed = true;
            self.classify(kernel, class);
            self.answer();
        }
    }

    /// A pod or a container has come, changed or gone.
    pub fn change(&mut self, change: Change, kernel: &mut dyn Kernel) {
        self.changed = true;
        let subject = change.subject.clone();
        let before = self.classes.identity(&subject).cloned();
        let classes = self.classes.changed(change);
        let now = self.classes.identity(&subject).filter(|now| before.as_ref() != Some(now));
        if let (Some(keeper), Some(now)) = (&mut self.keeper, now) {
            // Before the kernel is told: the next agent has to know all that this one leaves in force.
            keeper.note(&subject, now);
        }
        if !classes.is_empty() {
            classes.into_iter().for_each(|class| self.classify(kernel, class));
            self.answer();
        }
    }

    /// Somebody waits for a container.
    pub fn hold(&mut self, hold: Hold, kernel: &mut dyn Kernel) {
        // While policies were loaded it may have taken too long.
        if hold.reply.is_closed() {
            return;
        }
        // Who needs little has waited before: the record of its cgroup may be lost.
        if hold.need == Need::Any && self.classes.of_container(&hold.container).is_none() {
            self.walk(kernel);
        }
        self.holds.push(hold);
        self.answer();
    }

    /// Tells those who wait for what is classified now.
    fn answer(&mut self) {
        for hold in std::mem::take(&mut self.holds) {
            let known = self.classes.of_container(&hold.container);
            let is_met = |(cgroup, container): &(u64, Container)| {
                hold.need.is_met(container) && !self.failed.contains_key(cgroup)
            };
            if known.as_ref().is_some_and(is_met) {
                let _ = hold.reply.send(());
            } else if !hold.reply.is_closed() {
                self.holds.push(hold);
            }
        }
    }

    /// In a quiet moment: `lost` records of cgroups were lost since the start.
    pub fn tick(&mut self, lost: u64, kernel: &mut dyn Kernel) {
        if lost > self.lost {
            self.lost = lost;
            self.walk(kernel);
        }
        let failed: Vec<Class> =
            self.failed.keys().filter_map(|cgroup| self.classes.class(*cgroup)).collect();
        if !failed.is_empty() {
            failed.into_iter().for_each(|class| self.classify(kernel, class));
            self.answer();
        }
        if std::mem::take(&mut self.changed) {
            self.keep();
        }
    }

    /// There are containers that the kernel takes only when its policies are loaded again.
    pub fn is_behind(&self) -> bool {
        self.failed.values().any(|later| *later)
    }

    /// Looks at all cgroups; what is no more is forgotten, if all could be looked at.
    fn walk(&mut self, kernel: &mut dyn Kernel) {
        let Some(root) = &self.root else { return };
        let (mut there, mut classes) = (BTreeSet::new(), Vec::new());
        let whole = walk(root, &mut |found| {
            there.insert(found.id);
            classes.extend(self.classes.made(found.id, &found.path.to_string_lossy()));
        });
        self.changed = true;
        classes.into_iter().for_each(|class| self.classify(kernel, class));
        for cgroup in self.classes.cgroups().into_iter().filter(|c| whole && !there.contains(c)) {
            self.classes.removed(cgroup);
            self.forget(kernel, cgroup);
        }
    }

    fn classify(&mut self, kernel: &mut dyn Kernel, class: Class) {
        let Class { cgroup, whose } = class;
        let known = self.failed.contains_key(&cgroup);
        let classified = match whose {
            Whose::Container(container) => kernel.classify(cgroup, container),
            Whose::Pod(pod) => kernel.classify_pod(cgroup, pod),
            Whose::Node => kernel.classify_node(cgroup),
        };
        let later = match classified {
            Ok(Classified::Done | Classified::Gone) => {
                self.failed.remove(&cgroup);
                return;
            }
            Ok(Classified::Later) if known => true,
            Ok(Classified::Later) => {
                tracing::warn!(cgroup, "a container is unknown until the policies can be loaded again");
                true
            }
            Err(_) if known => false,
            Err(e) => {
                tracing::error!(
                    cgroup,
                    "a container cannot be told apart, its policies do not hold, trying again: {e}"
                );
                false
            }
        };
        self.failed.insert(cgroup, later);
    }

    fn forget(&mut self, kernel: &mut dyn Kernel, cgroup: u64) {
        self.failed.remove(&cgroup);
        if let Err(e) = kernel.forget(cgroup) {
            tracing::warn!(cgroup, "cannot be forgotten: {e}");
        }
    }

    /// Writes down what a restart starts from.
    pub fn keep(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.write(self.classes.kept());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tetragon_engine::{ApplyReport, EngineError, KernelLosses, PolicyInput, ProgramStats};

    use super::super::Subject;
    use super::super::kept::Kept;
    use super::*;

    const UID: &str = "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42";
    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// What the kernel was told, and whether it refuses what comes.
    #[derive(Default)]
    struct Told(BTreeMap<u64, String>, bool);

    /// As what a pod's own cgroup is noted.
    const POD: &str = "the pod";

    impl Kernel for Told {
        fn apply(&mut self, _: &[PolicyInput], _: &mut dyn FnMut(&mut dyn Kernel)) -> ApplyReport {
            ApplyReport::default()
        }
        fn classify(&mut self, cgroup: u64, container: Container) -> Result<Classified, EngineError> {
            if self.1 {
                return Ok(Classified::Later);
            }
            self.0.insert(cgroup, container.name);
            Ok(Classified::Done)
        }
        fn classify_pod(&mut self, cgroup: u64, _: Container) -> Result<Classified, EngineError> {
            self.classify(cgroup, Container { name: POD.into(), ..Container::default() })
        }
        fn forget(&mut self, cgroup: u64) -> Result<(), EngineError> {
            self.0.remove(&cgroup);
            Ok(())
        }
        fn losses(&self) -> KernelLosses {
            KernelLosses::default()
        }
        fn programs(&self) -> Vec<ProgramStats> {
            Vec::new()
        }
        fn map_memory(&self) -> u64 {
            0
        }
        fn release(self: Box<Self>) {}
    }

    fn web() -> Change {
        let identity = Some(Container { name: "web".into(), ..Container::default() });
        Change { subject: Subject::Container(ID.into()), identity }
    }

    #[test]
    fn a_restart_knows_its_containers_before_the_api_server_speaks() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("cgroup");
        let own = root.join(format!("kubepods/pod{UID}/{ID}"));
        std::fs::create_dir_all(&own).unwrap();
        let id = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&own).unwrap());

        let (mut before, mut kernel) =
            (Classifier::new(Some(root.clone()), Some(dir.path())), Told::default());
        before.start(&mut kernel);
        assert!(kernel.0.is_empty());
        before.change(web(), &mut kernel);
        before.tick(0, &mut kernel);
        assert_eq!(kernel.0, BTreeMap::from([(id, "web".into())]));

        let (mut after, mut kernel) = (Classifier::new(Some(root), Some(dir.path())), Told::default());
        after.start(&mut kernel);
        assert_eq!(kernel.0, BTreeMap::from([(id, "web".into())]));
        // What cannot be looked at is not gone.
        let away = dir.path().join("away");
        std::fs::rename(dir.path().join("cgroup"), &away).unwrap();
        after.tick(1, &mut kernel);
        assert_eq!(kernel.0, BTreeMap::from([(id, "web".into())]));
        std::fs::rename(&away, dir.path().join("cgroup")).unwrap();
        // A lost record: the walk finds that the cgroup is no more.
        std::fs::remove_dir(&own).unwrap();
        after.tick(2, &mut kernel);
        assert!(kernel.0.is_empty());
    }

    /// The next agent knows what stands in the kernel, however soon this one is killed.
    #[test]
    fn a_kill_before_the_next_second_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("cgroup");
        let pod = root.join(format!("kubepods/pod{UID}"));
        std::fs::create_dir_all(&pod).unwrap();
        let id = |path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
        let start = || {
            let mut kernel = Told::default();
            let mut c = Classifier::new(Some(root.clone()), Some(dir.path()));
            c.start(&mut kernel);
            (c, kernel)
        };
        let of_pod = Change { subject: Subject::Pod(UID.into()), identity: Some(Container::default()) };
        let (mut first, mut kernel) = start();
        first.change(of_pod, &mut kernel);
        let is_pods = BTreeMap::from([(id(&pod), POD.to_owned())]);
        assert_eq!(kernel.0, is_pods);
        drop(first);
        // A container comes while there is no agent, and one that is killed at once has told its name.
        let (mut second, mut kernel) = start();
        assert_eq!(kernel.0, is_pods);
        second.change(web(), &mut kernel);
        drop(second);
        let own = pod.join(ID);
        std::fs::create_dir(&own).unwrap();
        let (mut third, kernel) = start();
        let both = BTreeMap::from([(id(&pod), POD.to_owned()), (id(&own), "web".to_owned())]);
        assert_eq!(kernel.0, both);
        // All is in the file by now, and stays there when nothing could be looked at.
        third.keep();
        std::fs::rename(&root, dir.path().join("away")).unwrap();
        let (mut fourth, mut kernel) = start();
        fourth.tick(0, &mut kernel);
        std::fs::rename(dir.path().join("away"), &root).unwrap();
        assert_eq!(start().1.0, both);
    }

    #[test]
    fn what_the_kernel_refuses_is_tried_again() {
        let (mut c, mut kernel) = (Classifier::new(None, None), Told(BTreeMap::new(), true));
        let (waits, mut told) = hold(Need::Any);
        c.hold(waits, &mut kernel);
        c.change(web(), &mut kernel);
        let made = CgroupRecord { id: 7, path: format!("/kubepods/pod{UID}/{ID}"), gone: false };
        c.cgroup(&made, &mut kernel);
        c.tick(0, &mut kernel);
        assert!(c.is_behind() && told.try_recv().is_err(), "nobody is told what does not hold");
        kernel.1 = false;
        c.tick(0, &mut kernel);
        assert_eq!((c.is_behind(), told.try_recv(), kernel.0.len()), (false, Ok(()), 1));
        // Of one that is no more nothing is left to be tried.
        kernel.1 = true;
        c.cgroup(&CgroupRecord { gone: true, ..made.clone() }, &mut kernel);
        c.cgroup(&made, &mut kernel);
        assert!(c.is_behind());
        c.cgroup(&CgroupRecord { gone: true, ..made }, &mut kernel);
        assert!(!c.is_behind());
    }

    #[test]
    fn a_file_that_is_broken_is_no_reason_to_stop() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        let (mut c, mut kernel) = (Classifier::new(None, Some(dir.path())), Told::default());
        c.start(&mut kernel);
        c.cgroup(&CgroupRecord { id: 7, path: format!("/kubepods/pod{UID}/{ID}"), gone: false }, &mut kernel);
        c.change(web(), &mut kernel);
        c.tick(0, &mut kernel);
        assert_eq!(kernel.0.get(&7).map(String::as_str), Some("web"));
        let text = std::fs::read(dir.path().join(FILE)).unwrap();
        assert!(serde_json::from_slice::<Kept>(&text).is_ok(), "it is written again");
    }

    fn hold(need: Need) -> (Hold, oneshot::Receiver<()>) {
        let (reply, told) = oneshot::channel();
        (Hold { container: ID.into(), need, reply }, told)
    }

    #[test]
    fn who_waits_is_told_when_the_kernel_knows() {
        let (mut c, mut kernel) = (Classifier::new(None, None), Told::default());
        let ((all, mut all_told), (any, mut any_told)) = (hold(Need::All), hold(Need::Any));
        c.hold(all, &mut kernel);
        c.hold(any, &mut kernel);
        c.change(web(), &mut kernel);
        assert!(any_told.try_recv().is_err(), "there is no cgroup yet");
        let made = CgroupRecord { id: 7, path: format!("/kubepods/pod{UID}/{ID}"), gone: false };
        c.cgroup(&made, &mut kernel);
        assert_eq!((any_told.try_recv(), all_told.try_recv().is_err()), (Ok(()), true));
        let mut whole = web();
        let workload = tetragon_api::workload::POD_WORKLOAD.to_owned();
        whole.identity.as_mut().unwrap().labels.insert(workload, "shop".into());
        c.change(whole, &mut kernel);
        assert_eq!(all_told.try_recv(), Ok(()));
        // What is known is told at once, and who has gone is not waited for.
        let (again, mut told) = hold(Need::All);
        c.hold(again, &mut kernel);
        assert_eq!((told.try_recv(), c.holds.len()), (Ok(()), 0));
    }
}
