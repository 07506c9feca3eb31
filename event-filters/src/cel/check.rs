//! The check of an expression: every variable, field and function exists, types fit, the result is a
//! bool. What is the same for all events is computed here.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, Expr, IdedEntryExpr, IdedExpr, ListExpr, LiteralValue, SelectExpr, operators,
};
use cel::common::ast::{EntryExpr, MapExpr};
use cel::common::types::CelInt;
use cel::common::value::Val;
use tetragon_api::event::fields::{ENUMS, EVENTS, Kind, Schema};

use super::functions::{Pattern, signatures};
use super::net::{Cidr, Ip};
use super::types::Type;
use super::value::HAS;

/// What the name of a constant begins with, which no variable can have; its number follows.
pub(super) const CONSTANT: &str = "@constant";

/// How deep `all`, `exists` and the like may stand in each other: each multiplies the work.
const NESTED_MAX: usize = 3;

/// How often the inner parts of all `all`, `exists` and the like may be computed for one event: some 2 us each.
const STEPS_MAX: usize = 4_000;

/// What a list of an event counts for; the lists of an expression count for what they are.
const LIST: usize = 8;

/// How deep an expression may be: it is walked by functions that call themselves.
const DEPTH_MAX: usize = 200;

/// Names of types, for `type(x) == int`.
const TYPES: [&str; 10] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// What is wrong, and at which part of the expression.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) id: u64,
    pub(super) message: String,
}

/// What the check found out.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) kinds: Vec<&'static str>,
    pub(super) constants: Vec<Box<dyn Val>>,
}

/// Checks an expression, and prepares it for evaluation.
pub(super) fn check(tree: &mut IdedExpr) -> Result<Checked, Wrong> {
    let mut checker = Checker { times: 1, ..Checker::default() };
    let result = checker.expr(tree)?;
    if !matches!(result, Type::Bool) {
        return wrong(tree, format!("the result is {result}, but a filter needs bool"));
    }
    if checker.found.kinds.is_empty() {
        return wrong(
            tree,
            "it names no kind of event, so it would match none; begin with one, such as \
             process_exec.process.binary"
                .to_owned(),
        );
    }
    Ok(checker.found)
}

fn wrong<T>(at: &IdedExpr, message: String) -> Result<T, Wrong> {
    Err(Wrong { id: at.id, message })
}

#[derive(Default)]
struct Checker {
    found: Checked,
    /// Variables of `all`, `exists` and the like, the innermost last.
    locals: Vec<(String, Type)>,
    nested: usize,
    /// How often what is being looked at is computed for one event.
    times: usize,
    /// The sum of that over all `all`, `exists` and the like.
    steps: usize,
    depth: usize,
}

impl Checker {
    fn expr(&mut self, at: &mut IdedExpr) -> Result<Type, Wrong> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return wrong(at, format!("it is more than {DEPTH_MAX} operators deep; use lists, and `in`"));
        }
        let result = self.expr_within(at);
        self.depth -= 1;
        result
    }

    fn expr_within(&mut self, at: &mut IdedExpr) -> Result<Type, Wrong> {
        let id = at.id;
        if let Some(number) = self.enum_value(at) {
            at.expr = Expr::Literal(LiteralValue::Int(CelInt::from(i64::from(number))));
        }
        match &mut at.expr {
            Expr::Literal(literal) => Ok(literal_type(literal)),
            Expr::Ident(name) => self.variable(name).map_err(|message| Wrong { id, message }),
            Expr::Select(select) => self.select(id, select),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(comprehension) => self.comprehension(id, comprehension),
            Expr::Call(call) => {
                let ty = self.call(id, call)?;
                if let Some(constant) = constant_of(call).map_err(|message| Wrong { id, message })? {
                    at.expr = self.constant(constant);
                }
                Ok(ty)
            }
            Expr::Struct(_) => {
                wrong(at, "messages cannot be made in a filter; compare their fields".to_owned())
            }
            Expr::Unspecified => wrong(at, "it is not complete".to_owned()),
        }
    }

    /// Keeps a value that is the same for all events.
    fn constant(&mut self, value: Box<dyn Val>) -> Expr {
        self.found.constants.push(value);
        Expr::Ident(format!("{CONSTANT}{}", self.found.constants.len() - 1))
    }

    fn is_local(&self, name: &str) -> bool {
        self.locals.iter().any(|(local, _)| local == name)
    }

    /// The number that `KprobeAction.KPROBE_ACTION_SIGKILL` names, with or without `tetragon.`.
    fn enum_value(&self, at: &IdedExpr) -> Option<i32> {
        let parts = name_parts(at)?;
        if parts.first().is_some_and(|root| self.is_local(root)) {
            return None;
        }
        let (["tetragon", name, value] | [name, value]) = parts.as_slice() else { return None };
        let (_, values) = ENUMS.iter().find(|(e, _)| e == name)?;
        values.iter().find(|(v, _)| v == value).map(|(_, number)| *number)
    }

    fn variable(&mut self, name: &str) -> Result<Type, String> {
        if let Some((_, ty)) = self.locals.iter().rev().find(|(local, _)| local == name) {
            return Ok(ty.clone());
        }
        if let Some((event, schema)) = EVENTS.iter().find(|(event, _)| *event == name) {
            if !self.found.kinds.contains(event) {
                self.found.kinds.push(event);
            }
            return Ok(Type::Message(schema));
        }
        if TYPES.contains(&name) {
            return Ok(Type::OfValues);
        }
        let events: Vec<&str> = EVENTS.iter().map(|(event, _)| *event).collect();
        Err(format!("there is no variable `{name}`; there are {}", events.join(", ")))
    }

    fn select(&mut self, id: u64, select: &mut SelectExpr) -> Result<Type, Wrong> {
        if let Some(parts) = name_parts(&select.operand)
            && parts == ["net"]
            && ["IP", "CIDR"].contains(&select.field.as_str())
        {
            return Ok(Type::OfValues);
        }
        let operand = self.expr(&mut select.operand)?;
        let fail = |message| Err(Wrong { id, message });
        match operand {
            Type::Message(schema) => {
                let Some(field) = schema.field(&select.field) else {
                    return fail(no_field(schema, &select.field));
                };
                if select.test {
                    select.test = false;
                    select.field.insert_str(0, HAS);
                    return Ok(Type::Bool);
                }
                Ok(Type::of(field.kind))
            }
            Type::Map(..) if select.test => Ok(Type::Bool),
            Type::Map(_, value) => Ok(*value),
            Type::Dyn if !select.test => Ok(Type::Dyn),
            other if select.test => {
                fail(format!("has() asks for a field of a message or map, not of {other}"))
            }
            other => fail(format!("there is no `{}` in {other}: it has no fields", select.field)),
        }
    }

    fn list(&mut self, list: &mut ListExpr) -> Result<Type, Wrong> {
        let mut element: Option<Type> = None;
        for item in &mut list.elements {
            let ty = self.expr(item)?;
            element =
                Some(element.map_or_else(|| ty.clone(), |before| join(&before, &ty).unwrap_or(Type::Dyn)));
        }
        Ok(Type::List(Box::new(element.unwrap_or(Type::Dyn))))
    }

    fn map(&mut self, map: &mut MapExpr) -> Result<Type, Wrong> {
        let (mut keys, mut values): (Option<Type>, Option<Type>) = (None, None);
        for IdedEntryExpr { id, expr } in &mut map.entries {
            let EntryExpr::MapEntry(entry) = expr else {
                return Err(Wrong { id: *id, message: "an entry of a map is KEY: VALUE".to_owned() });
            };
            for (part, so_far) in [(&mut entry.key, &mut keys), (&mut entry.value, &mut values)] {
                let ty = self.expr(part)?;
                *so_far = Some(match so_far.take() {
                    Some(before) => join(&before, &ty).unwrap_or(Type::Dyn),
                    None => ty,
                });
            }
        }
        let or_dyn = |ty: Option<Type>| Box::new(ty.unwrap_or(Type::Dyn));
        Ok(Type::Map(or_dyn(keys), or_dyn(values)))
    }

    /// `all`, `exists`, `exists_one`, `map` and `filter`, as the parser spells them out.
    fn comprehension(&mut self, id: u64, c: &mut ComprehensionExpr) -> Result<Type, Wrong> {
        let element = match self.expr(&mut c.iter_range)? {
            Type::List(element) => *element,
            Type::Map(key, _) => *key,
            Type::Dyn => Type::Dyn,
            other => {
                return wrong(
                    &c.iter_range,
                    format!("all, exists, map and filter go over a list or a map, not {other}"),
                );
            }
        };
        self.nested += 1;
        if self.nested > NESTED_MAX {
            let message =
                format!("all, exists, map and filter stand in each other more than {NESTED_MAX} deep");
            return Err(Wrong { id, message });
        }
        let outside = self.times;
        self.times = outside.saturating_mul(most(&c.iter_range));
        self.steps = self.steps.saturating_add(self.times);
        if self.steps > STEPS_MAX {
            let message = format!(
                "it may take more than {STEPS_MAX} steps for one event: a list within a list takes as many as \
                 both have together; use shorter lists, or `in`"
            );
            return Err(Wrong { id, message });
        }
        let accumulator = self.expr(&mut c.accu_init)?;
        let outer = self.locals.len();
        self.locals.push((c.accu_var.clone(), accumulator.clone()));
        self.locals.push((c.iter_var.clone(), element));
        self.expr(&mut c.loop_cond)?;
        let step = self.expr(&mut c.loop_step)?;
        self.locals.truncate(outer);
        self.locals.push((c.accu_var.clone(), join(&accumulator, &step).unwrap_or(step)));
        let result = self.expr(&mut c.result);
        self.locals.truncate(outer);
        self.nested -= 1;
        self.times = outside;
        result
    }

    fn call(&mut self, id: u64, call: &mut CallExpr) -> Result<Type, Wrong> {
        // `ip.isCanonical(x)` is a function with a dot in its name, not one of `ip`.
        let qualified = call.target.as_deref().and_then(name_parts).and_then(|parts| {
            let name = format!("{}.{}", parts.join("."), call.func_name);
            signatures().iter().find(|s| !s.member && s.name == name).map(|s| s.name)
        });
        let mut args = Vec::new();
        if let Some(target) = call.target.as_deref_mut().filter(|_| qualified.is_none()) {
            args.push(self.expr(target)?);
        }
        for arg in &mut call.args {
            args.push(self.expr(arg)?);
        }
        let name = qualified.unwrap_or(&call.func_name);
        let is_member = call.target.is_some() && qualified.is_none();
        if name == operators::ADD && self.nested > 0 && !is_macros_own(call) && may_grow(&args) {
            let message =
                "within all, exists, map and filter only numbers and times are added: texts and lists \
                           would grow with each step"
                    .to_owned();
            return Err(Wrong { id, message });
        }
        if !is_member && let Some(result) = operator(name, &args) {
            return result.map_err(|message| Wrong { id, message });
        }
        if name == "type" && matches!(args.as_slice(), [Type::Message(_)]) {
            return Err(Wrong {
                id,
                message: "type() of a message: its fields have types to ask for".to_owned(),
            });
        }
        let result = function(name, is_member, &args).map_err(|message| Wrong { id, message })?;
        self.fold_pattern(call)?;
        Ok(result)
    }

    /// Compiles the regular expression of `matches`, if it stands there.
    fn fold_pattern(&mut self, call: &mut CallExpr) -> Result<(), Wrong> {
        if call.func_name != "matches" {
            return Ok(());
        }
        let Some(arg) = call.args.last_mut() else { return Ok(()) };
        if let Expr::Literal(LiteralValue::String(text)) = &arg.expr {
            let pattern = Pattern::new(text.inner()).map_err(|message| Wrong { id: arg.id, message })?;
            arg.expr = self.constant(Box::new(pattern));
        }
        Ok(())
    }
}

/// The value of `ip("...")` or `cidr("...")`.
fn constant_of(call: &CallExpr) -> Result<Option<Box<dyn Val>>, String> {
    let (None, [IdedExpr { expr: Expr::Literal(LiteralValue::String(text)), .. }]) =
        (&call.target, call.args.as_slice())
    else {
        return Ok(None);
    };
    Ok(match call.func_name.as_str() {
        "ip" => Some(Box::new(Ip::parse(text.inner())?)),
        "cidr" => Some(Box::new(Cidr::parse(text.inner())?)),
        _ => None,
    })
}

fn literal_type(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::Text,
        LiteralValue::UInt(_) => Type::Uint,
    }
}

/// The parts of `a.b.c`.
fn name_parts(at: &IdedExpr) -> Option<Vec<&str>> {
    match &at.expr {
        Expr::Ident(name) => Some(vec![name]),
        Expr::Select(select) if !select.test => {
            let mut parts = name_parts(&select.operand)?;
            parts.push(&select.field);
            Some(parts)
        }
        _ => None,
    }
}

fn no_field(schema: &Schema, name: &str) -> String {
    let members: Vec<&str> = schema.fields.iter().map(|f| f.name).collect();
    let mut text = format!("there is no field `{name}` in {}; there are {}", schema.name, members.join(", "));
    // A field of the process, asked of the event: the most common mistake.
    let process = schema.field("process").map(|f| f.kind);
    if let Some(Kind::Message(process)) = process
        && process.field(name).is_some()
    {
        text = format!("there is no field `{name}` in {}, but in its process: process.{name}", schema.name);
    }
    text
}

/// One type for both, if there is one.
fn join(a: &Type, b: &Type) -> Option<Type> {
    match (a, b) {
        (Type::List(a), Type::List(b)) => join(a, b).map(|inner| Type::List(Box::new(inner))),
        (Type::Null, Type::Wrapper(_)) => Some(b.clone()),
        (Type::Wrapper(_), Type::Null) => Some(a.clone()),
        (Type::Dyn, other) | (other, Type::Dyn) => Some(other.clone()),
        (Type::Wrapper(_), _) if a.fits(b) => Some(a.clone()),
        _ => a.fits(b).then(|| b.clone()),
    }
}

/// The result of an operator; `None`: it is none.
fn operator(name: &str, args: &[Type]) -> Option<Result<Type, String>> {
    let result = match (name, args) {
        (operators::LOGICAL_AND | operators::LOGICAL_OR, [a, b]) => both(a, b, Type::fits_bool),
        (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, [a]) => a.fits_bool(a).then_some(Type::Bool),
        (operators::EQUALS | operators::NOT_EQUALS, [a, b]) => both(a, b, Type::equals),
        (
            operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
            [a, b],
        ) => both(a, b, Type::compares),
        (operators::IN, [a, Type::List(b)]) => both(a, b, Type::equals),
        (operators::IN, [a, Type::Map(b, _)]) => both(a, b, Type::fits),
        (operators::IN, [_, Type::Dyn]) => Some(Type::Bool),
        (operators::CONDITIONAL, [test, a, b]) if test.fits(&Type::Bool) => join(a, b),
        (operators::INDEX, [Type::List(element), index]) if index.is_number() || index.is_dyn() => {
            Some((**element).clone())
        }
        (operators::INDEX, [Type::Map(key, value), index]) if index.fits(key) => Some((**value).clone()),
        (operators::INDEX, [Type::Dyn, _]) => Some(Type::Dyn),
        (operators::NEGATE, [a]) => {
            matches!(a.plain(), Type::Int | Type::Double | Type::Dyn).then(|| a.plain().clone())
        }
        (
            operators::ADD
            | operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO,
            [a, b],
        ) => arithmetic(name, a.plain(), b.plain()),
        (operators::CONDITIONAL | operators::INDEX | operators::IN, _) => None,
        _ => return None,
    };
    Some(result.ok_or_else(|| unfit(name, args)))
}

/// The most elements that a list or map may have.
fn most(range: &IdedExpr) -> usize {
    match &range.expr {
        Expr::List(list) => list.elements.len(),
        Expr::Map(map) => map.entries.len(),
        // The results of map and filter have at most as many.
        Expr::Comprehension(inner) => most(&inner.iter_range),
        Expr::Call(call) => {
            let parts = call.target.as_deref().into_iter().chain(&call.args);
            parts.fold(LIST, |sum, part| sum.saturating_add(most(part)))
        }
        _ => LIST,
    }
}

/// map and filter are spelled out with a sum of what there is and one more, whose name nobody else can write.
fn is_macros_own(call: &CallExpr) -> bool {
    call.args.first().is_some_and(|arg| matches!(&arg.expr, Expr::Ident(name) if name.starts_with('@')))
}

fn may_grow(args: &[Type]) -> bool {
    args.iter().any(|ty| matches!(ty.plain(), Type::Text | Type::Bytes | Type::List(_) | Type::Dyn))
}

fn both(a: &Type, b: &Type, fit: impl Fn(&Type, &Type) -> bool) -> Option<Type> {
    fit(a, b).then_some(Type::Bool)
}

impl Type {
    fn fits_bool(&self, other: &Type) -> bool {
        self.fits(&Type::Bool) && other.fits(&Type::Bool)
    }
}

fn arithmetic(name: &str, a: &Type, b: &Type) -> Option<Type> {
    use Type::{Bytes, Double, Duration, Dyn, Int, List, Text, Timestamp, Uint};
    match (name, a, b) {
        (_, Dyn, _) | (_, _, Dyn) => Some(Dyn),
        (operators::ADD, Text, Text) => Some(Text),
        (operators::ADD, Bytes, Bytes) => Some(Bytes),
        (operators::ADD, List(_), List(_)) => Some(join(a, b).unwrap_or(List(Box::new(Dyn)))),
        (operators::ADD, Timestamp, Duration) | (operators::ADD, Duration, Timestamp) => Some(Timestamp),
        (operators::SUBSTRACT, Timestamp, Duration) => Some(Timestamp),
        (operators::SUBSTRACT, Timestamp, Timestamp) => Some(Duration),
        (operators::ADD | operators::SUBSTRACT, Duration, Duration) => Some(Duration),
        (operators::MODULO, Double, _) => None,
        (_, Int, Int) | (_, Uint, Uint) | (_, Double, Double) => Some(a.clone()),
        _ => None,
    }
}

/// The result of a function.
fn function(name: &str, member: bool, args: &[Type]) -> Result<Type, String> {
    let of_name = || signatures().iter().filter(|s| s.name == name);
    let fits =
        |wanted: &[Type]| wanted.len() == args.len() && args.iter().zip(wanted).all(|(a, w)| a.fits(w));
    if let Some(found) = of_name().filter(|s| s.member == member).find(|s| fits(&s.args)) {
        return Ok(found.result.clone());
    }
    if of_name().any(|s| s.member == member) {
        return Err(unfit(name, args));
    }
    Err(match of_name().next() {
        Some(s) if s.member => format!("`{name}` is called on a value: x.{name}()"),
        Some(_) => format!("`{name}` is called by itself: {name}(x)"),
        None => {
            let mut names: Vec<&str> = signatures().iter().map(|s| s.name).collect();
            names.sort_unstable();
            names.dedup();
            format!("there is no function `{name}`; there are {}", names.join(", "))
        }
    })
}

fn unfit(name: &str, args: &[Type]) -> String {
    let types: Vec<String> = args.iter().map(Type::to_string).collect();
    let shown = name.trim_start_matches('@').replace('_', " ");
    let shown = if name.contains('_') { shown.trim() } else { name.trim_start_matches('@') };
    let mut text = format!("`{shown}` does not take ({})", types.join(", "));
    if args.iter().any(|a| matches!(a, Type::Message(_))) {
        text.push_str("; compare the fields of a message, or ask has(MESSAGE.FIELD)");
    } else if args.iter().any(|a| matches!(a.plain(), Type::Uint))
        && args.iter().any(|a| matches!(a, Type::Int))
    {
        text.push_str("; write unsigned numbers as 1u");
    }
    text
}
