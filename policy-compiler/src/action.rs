//! `matchActions`: what a matching selector does.

use tetragon_api::plan::{Actions, RateLimit, RateScope, ShownAction, Target};
use tetragon_api::policy::{ActionName, ScopeName};

use crate::codes::Code;
use crate::context::Cx;
use crate::draft::HookKind;
use crate::feature::Feature;
use crate::node::{Fields, Item, quote};
use crate::source::Place;
use crate::{schema, suggest, syscalls};

/// Most actions of a selector, as in Tetragon.
const MAX_ACTIONS: usize = 3;
/// SIGKILL.
const KILL: u8 = 9;

/// Reads the `matchActions` of a selector. Also returns where the first enforcing one stands.
pub(crate) fn actions(
    cx: &mut Cx<'_>,
    selector: &Fields<'_>,
    kind: HookKind,
    targets: &[Target],
) -> (Actions, Option<Place>) {
    let items = selector.items(cx, "matchActions");
    if let Some(item) = items.get(MAX_ACTIONS) {
        cx.report(Code::TooMany, &item.place, format!("{} actions; {MAX_ACTIONS} are possible", items.len()))
            .help("leave out Post: it is done unless NoPost is listed");
    }
    let mut builder = Builder { actions: Actions::default(), posted: false, enforcing: None };
    for item in items {
        let Some(fields) = item.fields(cx, schema::ACTION) else { continue };
        let Some(name) = action_name(cx, &fields) else { continue };
        builder.add(cx, name, &fields, kind, targets);
    }
    (builder.actions, builder.enforcing)
}

fn action_name(cx: &mut Cx<'_>, fields: &Fields<'_>) -> Option<ActionName> {
    let item = fields.require(cx, "action", "write action: Post, or another")?;
    let name = item.text(cx)?;
    let known = ActionName::from_name(name);
    match known {
        Some(
            ActionName::Post
            | ActionName::NoPost
            | ActionName::Sigkill
            | ActionName::Signal
            | ActionName::Override,
        ) => known,
        Some(other) => {
            cx.lacks(Feature::Action(other.name()), &item.place, format!("not supported yet: action {name}"))
                .help("Post, NoPost, Sigkill, Signal and Override work");
            None
        }
        None => {
            let names: Vec<_> = ActionName::ALL.iter().map(|a| a.name()).collect();
            let work = ["Post", "NoPost", "Sigkill", "Signal", "Override"];
            let help = suggest::one_of_those(name, &names, &work);
            cx.report(Code::UnknownAction, &item.place, format!("unknown action {}", quote(name))).help(help);
            None
        }
    }
}

/// The arguments that belong to an action.
fn arguments(name: ActionName) -> &'static [&'static str] {
    match name {
        ActionName::Post => &["rateLimit", "rateLimitScope"],
        ActionName::Signal => &["argSig"],
        ActionName::Override => &["argError"],
        _ => &[],
    }
}

struct Builder {
    actions: Actions,
    /// `Post` is listed.
    posted: bool,
    enforcing: Option<Place>,
}

impl Builder {
    fn add(
        &mut self,
        cx: &mut Cx<'_>,
        name: ActionName,
        fields: &Fields<'_>,
        kind: HookKind,
        targets: &[Target],
    ) {
        for field in &fields.entries {
            if field.name != "action" && !arguments(name).contains(&field.name) {
                let owner = match field.name {
                    "argSig" => "it is an argument of Signal",
                    "argError" => "it is an argument of Override",
                    _ => "it is an argument of Post",
                };
                let message = format!("{} does nothing with {}", field.name, name.name());
                cx.report(Code::BadAction, &field.key, message).help(format!("{owner}: leave it out here"));
            }
        }
        let place = fields.get("action").map_or_else(|| fields.place.clone(), |i| i.place.clone());
        match name {
            ActionName::Post => self.post(cx, fields, &place),
            ActionName::NoPost => {
                if self.posted {
                    conflict(cx, &place, "NoPost and Post exclude each other");
                }
                self.actions.post = false;
                self.actions.shown = ShownAction::NoPost;
            }
            ActionName::Sigkill => self.signal(cx, Some(KILL), ShownAction::Sigkill, place),
            ActionName::Signal => {
                let signal = signal_number(cx, fields, &place);
                self.signal(cx, signal, ShownAction::Signal, place);
            }
            _ => self.deny(cx, fields, kind, targets, place),
        }
    }

    fn post(&mut self, cx: &mut Cx<'_>, fields: &Fields<'_>, place: &Place) {
        if !self.actions.post {
            conflict(cx, place, "Post and NoPost exclude each other");
        }
        let limit = rate_limit(cx, fields);
        if self.posted && limit != self.actions.rate_limit {
            conflict(cx, place, "two Posts with different rateLimit");
        }
        self.posted = true;
        self.actions.rate_limit = limit;
        self.actions.shown = ShownAction::Post;
    }

    fn signal(&mut self, cx: &mut Cx<'_>, signal: Option<u8>, shown: ShownAction, place: Place) {
        if let (Some(first), Some(second)) = (self.actions.signal, signal)
            && first != second
        {
            conflict(cx, &place, &format!("a selector sends one signal, not {first} and {second}"));
        }
        self.actions.signal = signal.or(self.actions.signal);
        self.actions.shown = shown;
        self.enforcing.get_or_insert(place);
    }

    fn deny(
        &mut self,
        cx: &mut Cx<'_>,
        fields: &Fields<'_>,
        kind: HookKind,
        targets: &[Target],
        place: Place,
    ) {
        let errno = errno(cx, fields, &place);
        for target in targets {
            if let Some((message, help)) = cannot_override(kind, target) {
                let finding = cx.report(Code::OverrideHook, &place, message).help(help);
                if matches!(target, Target::Syscall(_)) {
                    finding.feature = Some(Feature::OVERRIDE_SYSCALL);
                }
            }
        }
        if let (Some(first), Some(second)) = (self.actions.deny, errno)
            && first != second
        {
            conflict(cx, &place, &format!("a call fails with one error, not -{first} and -{second}"));
        }
        self.actions.deny = errno.or(self.actions.deny);
        self.actions.shown = ShownAction::Override;
        self.enforcing.get_or_insert(place);
    }
}

fn conflict(cx: &mut Cx<'_>, place: &Place, message: &str) {
    cx.report(Code::ActionConflict, place, message).help("keep one of them");
}

fn signal_number(cx: &mut Cx<'_>, fields: &Fields<'_>, place: &Place) -> Option<u8> {
    let Some(item) = fields.get("argSig") else {
        cx.report(Code::BadAction, place, "Signal does not say which signal")
            .help("add argSig: 15 (SIGTERM), or another number from 1 to 64");
        return None;
    };
    let number = item.integer(cx, i128::MIN..=i128::MAX)?;
    let signal = u8::try_from(number).ok().filter(|n| (1..=64).contains(n));
    if signal.is_none() {
        cx.report(Code::BadAction, &item.place, format!("there is no signal {number}"))
            .help("from 1 to 64 is possible");
    }
    signal
}

fn errno(cx: &mut Cx<'_>, fields: &Fields<'_>, place: &Place) -> Option<u16> {
    let Some(item) = fields.get("argError") else {
        cx.report(Code::BadAction, place, "Override does not say what the call returns")
            .help("add argError: -1 (EPERM), or another errno below zero");
        return None;
    };
    let number = item.integer(cx, i128::MIN..=i128::MAX)?;
    let errno = u16::try_from(-number.clamp(-5000, 5000)).ok().filter(|n| (1..=4095).contains(n));
    if errno.is_none() {
        let help = match number {
            1..=4095 => format!("write -{number}: errors are below zero"),
            _ => "from -4095 to -1 is possible".to_owned(),
        };
        cx.report(Code::BadAction, &item.place, format!("{number} is no error that a call returns"))
            .help(help);
    }
    errno
}

/// LSM hooks whose result the kernel does not look at.
const VOID_HOOKS: &[&str] = &[
    "bprm_committed_creds",
    "bprm_committing_creds",
    "cred_free",
    "cred_transfer",
    "current_getlsmprop_subj",
    "current_getsecid_subj",
    "d_instantiate",
    "file_free_security",
    "file_set_fowner",
    "inet_conn_established",
    "inet_csk_clone",
    "inode_free_security",
    "inode_free_security_rcu",
    "inode_getlsmprop",
    "inode_getsecid",
    "inode_invalidate_secctx",
    "key_free",
    "req_classify_flow",
    "sb_free_security",
    "sk_clone_security",
    "sk_free_security",
    "sk_getsecid",
    "sock_graft",
    "task_free",
    "task_getlsmprop_obj",
    "task_getsecid_obj",
    "task_to_inode",
];

fn is_void(hook: &str) -> bool {
    VOID_HOOKS.contains(&hook)
        || hook.starts_with("inode_post_")
        || hook.starts_with("path_post_")
        || hook.starts_with("bpf_map_free")
}

/// Why a call of this target cannot be made to fail, and what would work.
fn cannot_override(kind: HookKind, target: &Target) -> Option<(String, String)> {
    let void = |name: &str| {
        let message =
            format!("{name} returns nothing that the kernel looks at: there is no result to override");
        (message, "use an LSM hook that runs earlier, or Sigkill".to_owned())
    };
    match target {
        Target::Lsm(hook) => is_void(hook).then(|| void(hook)),
        Target::Function(name) => match name.strip_prefix("security_") {
            Some(hook) => is_void(hook).then(|| void(name)),
            None => Some((
                format!(
                    "the kernel lets nobody override {name}: only system calls of special kernels and LSM hooks"
                ),
                "use a security_ function, an entry of lsmhooks, or Sigkill".to_owned(),
            )),
        },
        Target::Syscall(name) => {
            let help = match syscalls::lsm_hook_for(name) {
                Some(hook) => format!("use lsmhooks with hook: {hook}, which can deny it, or Sigkill"),
                None => "use an entry of lsmhooks that it passes, or Sigkill".to_owned(),
            };
            let message = format!(
                "not supported yet: Override on the system call {name} \
                 (most kernels lack CONFIG_BPF_KPROBE_OVERRIDE, which it needs)"
            );
            Some((message, help))
        }
        Target::Tracepoint(..) | Target::RawTracepoint(..) => Some((
            format!("{} has no result to override", kind.describe()),
            "use an entry of lsmhooks, or Sigkill".to_owned(),
        )),
    }
}

fn rate_limit(cx: &mut Cx<'_>, fields: &Fields<'_>) -> Option<RateLimit> {
    let scope = match fields.get("rateLimitScope") {
        Some(item) => rate_scope(cx, item)?,
        None => RateScope::default(),
    };
    let Some(item) = fields.get("rateLimit") else {
        if let Some(field) = fields.field("rateLimitScope") {
            cx.report(Code::BadAction, &field.key, "rateLimitScope without rateLimit does nothing")
                .help("add rateLimit: \"5s\", or leave it out");
        }
        return None;
    };
    let text = item.text(cx)?;
    let (digits, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(digits) => (digits, text.as_bytes()[text.len() - 1]),
        None => (text, b's'),
    };
    let seconds: u64 = match unit {
        b'm' => 60,
        b'h' => 3600,
        _ => 1,
    };
    let number = digits.parse::<u64>().ok().filter(|n| *n > 0 && digits.bytes().all(|b| b.is_ascii_digit()));
    let Some(number) = number else {
        cx.report(Code::BadValue, &item.place, format!("{} is no time", quote(text)))
            .help("write seconds, minutes or hours above zero: \"30s\", \"5m\", \"1h\"");
        return None;
    };
    let window = number.saturating_mul(seconds).saturating_mul(1000);
    let window_ms = u32::try_from(window).unwrap_or_else(|_| {
        cx.report(Code::CutShort, &item.place, format!("{text} is cut to 49 days"))
            .help("at most \"1193h\" is possible");
        u32::MAX
    });
    Some(RateLimit { window_ms, scope })
}

fn rate_scope(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<RateScope> {
    let name = item.text(cx)?;
    match ScopeName::from_name(name) {
        Some(ScopeName::Thread) => Some(RateScope::Thread),
        Some(ScopeName::Process) => Some(RateScope::Process),
        Some(ScopeName::Global) => Some(RateScope::Global),
        None => {
            let message = format!("unknown rateLimitScope {}", quote(name));
            let help = suggest::one_of(name, &["thread", "process", "global"]);
            cx.report(Code::UnknownName, &item.place, message).help(help);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_void;

    /// Not everything that comes after something has no result: these three are asked.
    #[test]
    fn hooks_after_the_fact_that_can_still_deny() {
        for hook in ["file_post_open", "kernel_post_read_file", "kernel_post_load_data", "file_open"] {
            assert!(!is_void(hook), "{hook}");
        }
        for hook in ["inode_post_setattr", "path_post_mknod", "task_free"] {
            assert!(is_void(hook), "{hook}");
        }
    }
}
