//! Leader election: one leads, and never two.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tetragon_operator::platform::lease::{Candidate, Times, identity};
use tetragon_operator::run::lead;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bed::{NAMESPACE, TESTER, configuration, eventually, gone, test};
use crate::cable::Cable;

const TIMES: Times = Times {
    duration: Duration::from_secs(3),
    renew_deadline: Duration::from_millis(1500),
    retry: Duration::from_millis(300),
};

/// Counts who leads; panics in the leader's own task if there are two.
#[derive(Clone, Default)]
struct Throne(Arc<AtomicUsize>, Arc<AtomicUsize>);

struct Seat(Throne);

impl Throne {
    fn sit(&self) -> Seat {
        if self.0.fetch_add(1, Ordering::SeqCst) != 0 {
            self.1.fetch_add(1, Ordering::SeqCst);
        }
        Seat(self.clone())
    }

    fn leaders(&self) -> usize {
        assert_eq!(self.1.load(Ordering::SeqCst), 0, "two led at a time");
        self.0.load(Ordering::SeqCst)
    }

    async fn until(&self, leaders: usize) {
        eventually(&format!("{leaders} lead"), async || {
            let found = self.leaders();
            if found == leaders { Ok(()) } else { Err(found) }
        })
        .await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One that leads as the operator does.
struct Runner {
    drain: watch::Sender<bool>,
    task: JoinHandle<()>,
    leads: watch::Receiver<bool>,
}

fn run(leases: Api<Lease>, name: &'static str, throne: &Throne) -> Runner {
    let (drain, draining) = watch::channel(false);
    let (tell, leads) = watch::channel(false);
    let throne = throne.clone();
    let work = move || {
        let throne = throne.clone();
        async move {
            let _seat = throne.sit();
            std::future::pending::<()>().await;
        }
    };
    let candidate = Candidate::new(leases, name, identity(), TIMES);
    let task = tokio::spawn(lead(Some(candidate), draining, move |l| _ = tell.send_replace(l), work));
    Runner { drain, task, leads }
}

impl Runner {
    fn leads(&self) -> bool {
        *self.leads.borrow()
    }
}

#[test]
fn of_two_one_leads_and_the_other_follows_it() {
    test(async |bed| {
        let (leases, name) = (bed.here::<Lease>(), "lease-two");
        gone(&leases, name).await;
        let throne = Throne::default();
        let runners = [run(leases.clone(), name, &throne), run(leases.clone(), name, &throne)];
        throne.until(1).await;
        let (leader, standby) = if runners[0].leads() { (0, 1) } else { (1, 0) };

        // As killed: nothing is given back, so that the standby waits for the lease's end.
        runners[leader].task.abort();
        let killed = Instant::now();
        eventually("the standby leads", async || if runners[standby].leads() { Ok(()) } else { Err(()) })
            .await;
        let took = killed.elapsed();
        println!("takeover after a kill: {took:?} with a lease of {:?}", TIMES.duration);
        assert!(took > TIMES.duration - TIMES.retry - Duration::from_millis(200), "{took:?}");

        // In order: the next one need not wait.
        let third = run(leases.clone(), name, &throne);
        runners[standby].drain.send_replace(true);
        let stopped = Instant::now();
        eventually("the third leads", async || if third.leads() { Ok(()) } else { Err(()) }).await;
        let took = stopped.elapsed();
        println!("takeover after a stop: {took:?}");
        assert!(took < TIMES.duration - TIMES.retry, "{took:?}");
        throne.until(1).await;
        let lease = leases.get(name).await.unwrap().spec.unwrap();
        assert_eq!(lease.lease_transitions, Some(2));
        third.task.abort();
    });
}

#[test]
fn a_leader_that_is_cut_off_stops_before_another_begins() {
    test(async |bed| {
        let (leases, name) = (bed.here::<Lease>(), "lease-cut");
        gone(&leases, name).await;
        let configuration = configuration().await;
        let cable = Cable::lay(&configuration).await;
        let throne = Throne::default();
        let far = run(Api::namespaced(cable.client(&configuration), NAMESPACE), name, &throne);
        throne.until(1).await;
        let near = run(leases.clone(), name, &throne);
        tokio::time::sleep(TIMES.retry * 3).await;
        assert!(far.leads() && !near.leads());

        cable.cut();
        let cut = Instant::now();
        eventually("it stops", async || if far.leads() { Err(()) } else { Ok(()) }).await;
        let stopped = cut.elapsed();
        eventually("the other leads", async || if near.leads() { Ok(()) } else { Err(()) }).await;
        let taken = cut.elapsed();
        println!("cut off: it stopped after {stopped:?}, the other led after {taken:?}");
        assert!(stopped < taken && stopped <= TIMES.renew_deadline + Duration::from_millis(200));

        // Back again it stands by, and leads when it is needed.
        cable.mend();
        tokio::time::sleep(TIMES.duration).await;
        assert!(near.leads() && !far.leads());
        near.drain.send_replace(true);
        eventually("it leads again", async || if far.leads() { Ok(()) } else { Err(()) }).await;
        throne.until(1).await;
        far.task.abort();
    });
}

#[test]
fn clocks_of_others_do_not_matter() {
    test(async |bed| {
        let leases = bed.here::<Lease>();
        for (name, time) in
            [("lease-past", "1970-01-01T00:00:00.000000Z"), ("lease-future", "2099-01-01T00:00:00.000000Z")]
        {
            gone(&leases, name).await;
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
                "spec": {"holderIdentity": "ghost", "leaseDurationSeconds": 2, "renewTime": time},
            });
            leases.patch(name, &PatchParams::apply(TESTER), &Patch::Apply(&lease)).await.unwrap();
            let began = Instant::now();
            let held = Candidate::new(leases.clone(), name, identity(), TIMES).acquire().await;
            let took = began.elapsed();
            println!("{name}: taken after {took:?}");
            // What the holder promised, not what the candidate itself would.
            assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(8), "{took:?}");
            held.release().await;
        }
    });
}

#[test]
fn an_edited_or_deleted_lease_is_no_loss_and_a_taken_one_is() {
    test(async |bed| {
        let (leases, name) = (bed.here::<Lease>(), "lease-edited");
        gone(&leases, name).await;
        let throne = Throne::default();
        let runner = run(leases.clone(), name, &throne);
        throne.until(1).await;
        let edit = |spec: serde_json::Value| {
            let leases = leases.clone();
            async move { leases.patch(name, &PatchParams::default(), &Patch::Merge(&spec)).await.unwrap() }
        };
        edit(json!({"metadata": {"labels": {"a": "b"}}})).await;
        tokio::time::sleep(TIMES.renew_deadline * 2).await;
        assert!(runner.leads(), "its own lease, with a label");

        edit(json!({"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 1}})).await;
        eventually("it stops", async || if runner.leads() { Err(()) } else { Ok(()) }).await;
        eventually("the thief's lease runs out", async || if runner.leads() { Ok(()) } else { Err(()) })
            .await;

        gone(&leases, name).await;
        eventually("it is made again", async || match leases.get_opt(name).await {
            Ok(Some(_)) if runner.leads() => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        throne.until(1).await;
        runner.task.abort();
    });
}
