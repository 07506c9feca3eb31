//! `cel_expression` of filters: expressions in the Common Expression Language about an event.
//!
//! Each kind of event is a variable, `process_exec` or `process_kprobe`, that holds its message. The
//! one of the event has its values, the others are empty. An expression is checked against the
//! messages before it is used: every field exists, every function fits, the result is a bool.

mod check;
mod error;
mod functions;
mod net;
mod types;
mod value;

use std::fmt;
use std::sync::{Arc, OnceLock};

use cel::common::ast::IdedExpr;
use cel::common::types::CelBool;
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, Env, Value};
use tetragon_api::event::GetEventsResponse;
use tetragon_api::event::fields::{self, Message};

pub use error::CelError;

use crate::Reason;
use value::MessageVal;

/// Characters of an expression at most: it may come from a client.
const LENGTH_MAX: usize = 8192;

/// Stack of the thread that checks an expression, of which only what is used takes memory: some 1.6 kB for each
/// operator of the longest.
const CHECK_STACK: usize = 64 << 20;

/// The functions that expressions may call: those of the language, and Kubernetes' about addresses.
fn environment() -> &'static Arc<Env> {
    static ENV: OnceLock<Arc<Env>> = OnceLock::new();
    ENV.get_or_init(|| {
        let mut env = Env::stdlib().with_optional_support(false);
        // Only a name that is declared twice is an error: the tests call this.
        if let Err(e) = functions::declare(&mut env) {
            debug_assert!(false, "{e}");
        }
        Arc::new(env)
    })
}

/// An expression that was found to be right.
pub struct Expression {
    text: String,
    tree: IdedExpr,
    /// The kinds of events that it is about.
    kinds: Vec<&'static str>,
    /// Values that are the same for all events.
    constants: Vec<Box<dyn Val>>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl Expression {
    /// Checks an expression.
    pub fn new(text: &str) -> Result<Expression, CelError> {
        let wrong = |line, column, message: String| CelError::new(text, line, column, message);
        if text.chars().count() > LENGTH_MAX {
            return Err(wrong(1, LENGTH_MAX, format!("it is longer than {LENGTH_MAX} characters")));
        }
        // A long chain such as 1+1+1 is as deep as it is long until the check has refused it.
        std::thread::scope(|scope| {
            let checked = std::thread::Builder::new()
                .name("cel-check".into())
                .stack_size(CHECK_STACK)
                .spawn_scoped(scope, || Expression::checked(text));
            match checked.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(e) => Err(wrong(1, 1, format!("it cannot be checked, there is no thread for it: {e}"))),
            }
        })
    }

    fn checked(text: &str) -> Result<Expression, CelError> {
        let wrong = |line, column, message: String| CelError::new(text, line, column, message);
        let program = environment().compile(text).map_err(|errors| match errors.errors.first() {
            Some(e) => wrong(position(e.pos.0), position(e.pos.1), e.msg.clone()),
            None => wrong(1, 1, errors.to_string()),
        })?;
        let mut tree = program.expression().clone();
        let checked = check::check(&mut tree).map_err(|e| {
            let start = program.source_info().offset_for(e.id).map_or(0, |(start, _)| start as usize);
            let before: String = text.chars().take(start).collect();
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            wrong(before.matches('\n').count() + 1, column, e.message)
        })?;
        Ok(Expression { text: text.to_owned(), tree, kinds: checked.kinds, constants: checked.constants })
    }

    /// The expression is about events of this kind, `process_exec`.
    pub fn is_about(&self, kind: &str) -> bool {
        self.kinds.contains(&kind)
    }

    /// What it says of an event: its kind and its message. The error is what could not be computed,
    /// such as an element that a list does not have.
    pub fn evaluate(&self, kind: &str, message: &dyn Message) -> Result<bool, String> {
        let variables = Variables { kind, message, constants: &self.constants };
        let mut context = Context::with_env(environment().clone());
        context.set_variable_resolver(&variables);
        let result = Value::resolve_val(&self.tree, &context).map_err(|e| e.to_string())?;
        result.downcast_ref::<CelBool>().map(|b| *b.inner()).ok_or_else(|| "the result is no bool".to_owned())
    }
}

/// A position of the parser, which may be before the text.
fn position(n: isize) -> usize {
    usize::try_from(n).unwrap_or(1).max(1)
}

/// The variables of one event.
struct Variables<'a> {
    kind: &'a str,
    message: &'a dyn Message,
    constants: &'a [Box<dyn Val>],
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if let Some(number) = variable.strip_prefix(check::CONSTANT) {
            let constant = number.parse::<usize>().ok().and_then(|n| self.constants.get(n))?;
            return Some(CowVal::Borrowed(constant.as_ref()));
        }
        if variable == self.kind {
            return Some(CowVal::owned(MessageVal::new(self.message)));
        }
        fields::event_schema(variable).map(|schema| CowVal::owned(MessageVal::empty(schema)))
    }
}

/// The expressions of one filter, of which one is enough. None: all events.
#[derive(Debug, Default)]
pub(crate) struct Expressions {
    list: Vec<Expression>,
    /// Those that have failed before.
    failed: Vec<bool>,
    complaint: Option<String>,
}

impl Expressions {
    pub(crate) fn new(texts: &[String]) -> Result<Expressions, Reason> {
        let compile = |(index, text): (usize, &String)| {
            Expression::new(text).map_err(|source| Reason::Cel { index, source })
        };
        let list = texts.iter().enumerate().map(compile).collect::<Result<Vec<_>, _>>()?;
        Ok(Expressions { failed: vec![false; list.len()], list, complaint: None })
    }

    /// One of them is true of the event. One that cannot be computed is not; it is complained of once.
    pub(crate) fn match_event(&mut self, event: &GetEventsResponse) -> bool {
        if self.list.is_empty() {
            return true;
        }
        let Some((kind, message)) = fields::body(event) else { return false };
        for (expression, failed) in self.list.iter().zip(&mut self.failed) {
            if !expression.is_about(kind) {
                continue;
            }
            match expression.evaluate(kind, message) {
                Ok(true) => return true,
                Ok(false) => {}
                Err(e) if !*failed => {
                    *failed = true;
                    self.complaint = Some(format!(
                        "cel_expression `{}`: {e}; it does not match events of which it cannot be computed \
                         (this is said once)",
                        expression.text
                    ));
                }
                Err(_) => {}
            }
        }
        false
    }

    /// What is to be said about expressions that cannot be computed.
    pub(crate) fn complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }
}

#[cfg(test)]
#[path = "../cel_tests.rs"]
mod tests;
