//! The engine alone, in this process: a thread reads its records as fast as they come.

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tetragon_engine::{
    ApplyReport, ArgValue, CallRecord, Engine, EngineOptions, KernelLosses, Match, PolicyInput, Record,
};

/// The engine, and who reads its records.
pub(crate) struct Bench<T> {
    /// The engine.
    pub(crate) engine: Engine,
    stop: Arc<AtomicBool>,
    reader: JoinHandle<(T, u64)>,
}

/// What is known when all records have been read.
pub(crate) struct Outcome<T> {
    /// What the reader made of them.
    pub(crate) seen: T,
    /// What the kernel lost.
    pub(crate) losses: KernelLosses,
}

impl<T: Send + 'static> Bench<T> {
    /// Starts the engine; `note` is given every call record.
    pub(crate) fn start(ring: u32, mut seen: T, note: fn(&mut T, &CallRecord)) -> Result<Bench<T>> {
        let options = EngineOptions {
            ring_bytes: ring,
            bpf_dir: "/sys/fs/bpf/drive".into(),
            procfs: "/proc".into(),
            environment: false,
        };
        let (engine, mut reader) = Engine::start(&options).context("the engine does not start")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let reader = std::thread::spawn(move || {
            loop {
                let last = stopped.load(Ordering::SeqCst);
                let n = reader.drain(&mut |r| {
                    if let Record::Call(c) = r {
                        note(&mut seen, &c);
                    }
                });
                if last && n == 0 {
                    return (seen, reader.damaged());
                }
                if n == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        Ok(Bench { engine, stop, reader })
    }

    /// Makes these the policies; an error when one of them does not run.
    pub(crate) fn apply(&mut self, policies: &[PolicyInput]) -> Result<ApplyReport> {
        self.apply_with(policies, &mut |_| ())
    }

    /// The same; `between` may classify containers while programs are loaded.
    pub(crate) fn apply_with(
        &mut self,
        policies: &[PolicyInput],
        between: &mut dyn FnMut(&mut Engine),
    ) -> Result<ApplyReport> {
        let report = self.engine.apply(policies, between);
        for (id, p) in &report.policies {
            if let Some(e) = p.error() {
                bail!("policy {id} does not run: {e}");
            }
        }
        Ok(report)
    }

    /// Reads what is left, and takes everything down.
    pub(crate) fn finish(self) -> Result<Outcome<T>> {
        let losses = self.engine.losses();
        self.stop.store(true, Ordering::SeqCst);
        let Ok((seen, damaged)) = self.reader.join() else { bail!("the reader panicked") };
        self.engine.release();
        if damaged != 0 {
            bail!("{damaged} records could not be read");
        }
        Ok(Outcome { seen, losses })
    }
}

/// Compiles one policy.
pub(crate) fn policy(id: u64, yaml: &str) -> Result<PolicyInput> {
    let compiled = tetragon_compiler::compile_yaml("policy.yaml", yaml);
    let text = || compiled.diagnostics.iter().map(|d| format!("{d:?}")).collect::<Vec<_>>().join("\n");
    let plan = compiled.policies.first().and_then(|p| p.plan.clone());
    let plan = plan.with_context(|| format!("this does not compile:\n{yaml}\n{}", text()))?;
    // Policies of one name are versions of one.
    let mut hasher = std::hash::DefaultHasher::new();
    plan.name.hash(&mut hasher);
    Ok(PolicyInput { id, policy: hasher.finish(), plan: Arc::new(plan), enforce: true })
}

/// An argument of the plan's hook that a match is of.
pub(crate) fn arg<'a>(c: &'a CallRecord, m: &Match, n: usize) -> Option<&'a ArgValue> {
    c.args.get(m.args.get(n)?.index)
}

/// Nanoseconds of the clock that records have.
pub(crate) fn now() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the struct.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Waits until something holds.
pub(crate) fn wait_for(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + limit;
    while !holds() {
        if Instant::now() > end {
            bail!("waited {} s in vain: {what}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
