//! `cargo xtask`: what a developer of tetragon-rs runs.

mod bench;
mod build;
mod chart;
mod cluster;
mod conformance;
mod demo;
mod dist;
mod ebpf;
mod initramfs;
mod kernels;
mod modules;
mod picture;
mod suite;
mod test;
mod tidy;
mod vm;

use std::process::ExitCode;

use ::setup::{apt, arch, packages, progress, tools};
use clap::Parser;

/// What a developer of tetragon-rs runs.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", version, about, max_term_width = 100)]
enum Xtask {
    /// Measure what the agent costs: instructions, memory, losses, beside the aims
    Bench(bench::Options),
    /// Test the Helm chart and the kustomize bases
    ChartTest(chart::Options),
    /// A real Kubernetes on this machine, with nodes on it and in guests
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// Run cases: what the agent must report and do, on real kernels
    Conformance(conformance::Options),
    /// Write config/crd/ from the types of api-types/
    Crds,
    /// Install on a cluster of two kernels, apply policies, and watch; or the agent alone
    Demo(demo::Options),
    /// Build what the second stage of the demo needs
    #[command(hide = true)]
    DemoNeeds,
    /// Build the programs that are delivered, static, into target/dist
    Dist(dist::Options),
    /// Compile the eBPF programs and write the objects that are checked in
    Ebpf(ebpf::Options),
    /// Build the images, into target/image
    Image(dist::Options),
    /// Draw docs/demo.svg, the picture of the README, from the transcript of a run of the demo
    Picture(picture::Options),
    /// Install what is missing on this machine (Debian or Ubuntu, as root or with sudo)
    Setup,
    /// Everything that `make test` does
    Test(test::Options),
    /// Download and build what the later steps of the tests need
    #[command(hide = true)]
    TestNeeds,
    /// Read from the text of code and docs whether the structure is as it is described
    Tidy,
    /// Guests: stock Debian kernels in QEMU
    #[command(subcommand)]
    Vm(vm::Vm),
}

fn main() -> ExitCode {
    let xtask = Xtask::parse();
    let ready = if xtask.starts_its_own_cluster() { cluster::without_kubeconfig() } else { Ok(()) };
    let result = ready.and_then(|()| xtask.execute());
    match result {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Xtask {
    /// Does it; gives the exit code.
    fn execute(self) -> anyhow::Result<i32> {
        match self {
            Xtask::Bench(options) => bench::run(&options),
            Xtask::ChartTest(options) => chart::run(&options),
            Xtask::Cluster(cluster) => cluster.execute(),
            Xtask::Conformance(options) => conformance::run(&options),
            Xtask::Crds => build::crds().map(|()| 0),
            Xtask::Demo(options) => demo::run(&options),
            Xtask::DemoNeeds => demo::make_needs(),
            Xtask::Dist(options) => dist::dist(options),
            Xtask::Ebpf(options) => ebpf::run(options),
            Xtask::Image(options) => dist::image(options),
            Xtask::Picture(options) => picture::run(options),
            Xtask::Setup => packages::install(packages::ALL).map(|()| 0),
            Xtask::Test(options) => test::run_all(&options),
            Xtask::TestNeeds => test::make_needs(),
            Xtask::Tidy => tidy::run(),
            Xtask::Vm(vm) => vm.execute(),
        }
    }

    /// What tests and shows installs and deletes as it likes, so it never uses the cluster of the environment.
    fn starts_its_own_cluster(&self) -> bool {
        matches!(self, Xtask::Test(_) | Xtask::Demo(_))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        super::Xtask::command().debug_assert();
    }
}
