//! The kinds of findings. Each has a page in `resources/codes/`, which is its documentation and its
//! test.

use serde::{Serialize, Serializer};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy is not compiled.
    Error,
    /// The policy is compiled, and most likely does not do what its author wants.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// `error`, `warning`, `note`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident = $id:literal, $severity:ident;)*) => {
        /// Kind of a finding. Its id is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$meta])* $name,)*
        }

        impl Code {
            /// All kinds, errors first.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The id, as in `error[ID]`.
            pub fn id(self) -> &'static str {
                match self { $(Code::$name => $id,)* }
            }

            /// How bad every finding of this kind is.
            pub fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)* }
            }

            /// The page: what it means, an example, the right form.
            pub fn page(self) -> &'static str {
                match self { $(Code::$name => include_str!(concat!("../resources/codes/", $id, ".md")),)* }
            }
        }
    };
}

codes! {
    /// The file cannot be read.
    UnreadableFile = "unreadable-file", Error;
    /// The text is not YAML.
    YamlSyntax = "yaml-syntax", Error;
    /// The YAML is too large, too deep, or its aliases grow too much.
    YamlLimit = "yaml-limit", Error;
    /// A key stands twice in one mapping.
    DuplicateKey = "duplicate-key", Error;
    /// The file has no policy.
    NoPolicy = "no-policy", Error;
    /// Not a TracingPolicy of the version that is known.
    WrongKind = "wrong-kind", Error;
    /// metadata.name is no name.
    BadName = "bad-name", Error;
    /// Two policies, lists or options of one name.
    DuplicateName = "duplicate-name", Error;
    /// A field that the language does not have.
    UnknownField = "unknown-field", Error;
    /// A field that must be there is not.
    MissingField = "missing-field", Error;
    /// A value of another type.
    WrongType = "wrong-type", Error;
    /// The language has it, this build does not.
    NotSupportedYet = "not-supported-yet", Error;
    /// More entries than possible.
    TooMany = "too-many", Error;
    /// An operator that is none, or none here.
    UnknownOperator = "unknown-operator", Error;
    /// An argument type that is none.
    UnknownType = "unknown-type", Error;
    /// An action that is none.
    UnknownAction = "unknown-action", Error;
    /// A name that is none of those possible.
    UnknownName = "unknown-name", Error;
    /// A `list:` that is not in spec.lists.
    UnknownList = "unknown-list", Error;
    /// A macro that is not in spec.selectorsMacros.
    UnknownMacro = "unknown-macro", Error;
    /// A field set by two macros, or by a macro and its selector; macros within macros.
    MacroConflict = "macro-conflict", Error;
    /// A function, hook or event name that cannot be one.
    BadCall = "bad-call", Error;
    /// A kernel function without `syscall: false`.
    SyscallDefault = "syscall-default", Error;
    /// A list that does not fit where it is used.
    ListMismatch = "list-mismatch", Error;
    /// An argument position that the hook cannot have.
    BadIndex = "bad-index", Error;
    /// An argument type that the hook cannot have there.
    TypeMismatch = "type-mismatch", Error;
    /// A matcher on an argument that `args` does not list.
    UnknownArg = "unknown-arg", Error;
    /// An operator that the argument's type does not have.
    OperatorMismatch = "operator-mismatch", Error;
    /// A value that does not parse or is out of range.
    BadValue = "bad-value", Error;
    /// A text that is too long to be compared.
    ValueTooLong = "value-too-long", Error;
    /// A matcher without values.
    MissingValues = "missing-values", Error;
    /// An action without an argument that it needs, or with one that is not its own.
    BadAction = "bad-action", Error;
    /// Two actions of one selector that exclude each other.
    ActionConflict = "action-conflict", Error;
    /// Override where a call cannot be made to fail.
    OverrideHook = "override-hook", Error;
    /// A node's kernel does not have what the hook asks for.
    NotOnThisKernel = "not-on-this-kernel", Error;

    /// matchBinaries on an exec hook sees the caller.
    ExecBinary = "exec-binary", Warning;
    /// A path that a usual symbolic link hides from the kernel.
    SymlinkPath = "symlink-path", Warning;
    /// A selector after one that takes all it would match.
    UnreachableSelector = "unreachable-selector", Warning;
    /// A matcher that nothing satisfies.
    NeverMatches = "never-matches", Warning;
    /// A value that cannot matter.
    DeadValue = "dead-value", Warning;
    /// An enforcing action where it comes too late.
    TooLate = "too-late", Warning;
    /// The symbol of a system call, hooked as a function.
    SyscallAsFunction = "syscall-as-function", Warning;
    /// A system call that is not known.
    UnknownSyscall = "unknown-syscall", Warning;
    /// An LSM hook, or its function, that is not known.
    UnknownHook = "unknown-hook", Warning;
    /// An argument that the hook does not have on any kernel that is known.
    NoSuchArg = "no-such-arg", Warning;
    /// A policy that watches nothing.
    NoHooks = "no-hooks", Warning;
    /// metadata.namespace of a cluster-wide policy.
    NamespaceIgnored = "namespace-ignored", Warning;
    /// A namespaced policy without metadata.namespace.
    NamespaceDefault = "namespace-default", Warning;
    /// A message, tag or time that is cut.
    CutShort = "cut-short", Warning;

    /// A Prefix that also takes longer names.
    OpenPrefix = "open-prefix", Note;
    /// A setting that changes nothing here.
    NoEffect = "no-effect", Note;
    /// An object that is no policy.
    OtherKind = "other-kind", Note;
    /// A list without items.
    EmptyList = "empty-list", Note;
}

/// What the compiler never finds, as it knows neither files nor kernels: whoever reads the files, and
/// the nodes, do.
pub const FOUND_ELSEWHERE: &[Code] = &[Code::UnreadableFile, Code::NotOnThisKernel];

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// The page of a code, by its id.
pub fn explain(code: &str) -> Option<&'static str> {
    Code::ALL.iter().find(|c| c.id() == code).map(|c| c.page())
}
