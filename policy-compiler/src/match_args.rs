//! `matchArgs`: an operator and values on an argument.

use tetragon_api::plan::{ArgType, IntRange, Matcher, TextOp};
use tetragon_api::policy::ArgOperator as Op;

use crate::codes::Code;
use crate::context::Cx;
use crate::draft::{ArgDraft, MatcherDraft};
use crate::feature::Feature;
use crate::node::{Fields, Item, quote};
use crate::source::Place;
use crate::value::{self, Problem};
use crate::{schema, suggest};

/// Longest values, in bytes.
const LONGEST_EQUAL: usize = 4095;
const LONGEST_PREFIX: usize = 255;
const LONGEST_POSTFIX: usize = 127;

/// What an operator compares, among the argument types that this build reads.
enum Compares {
    Text(TextOp, bool),
    Int(IntOp, bool),
    /// Equal and NotEqual: as the argument's type is.
    Either(bool),
    /// Types that are not among them.
    Other(&'static str),
    NotYet(&'static str),
}

#[derive(Clone, Copy)]
enum IntOp {
    Equal,
    Greater,
    Less,
    Range,
    /// A number or a range.
    Map,
    Mask,
}

fn compares(op: Op) -> Compares {
    use Compares::{Either, Int, NotYet, Other, Text};
    match op {
        Op::Equal => Either(false),
        Op::NotEqual => Either(true),
        Op::Prefix => Text(TextOp::Prefix, false),
        Op::NotPrefix => Text(TextOp::Prefix, true),
        Op::Postfix => Text(TextOp::Postfix, false),
        Op::NotPostfix => Text(TextOp::Postfix, true),
        Op::GreaterThan | Op::Gt => Int(IntOp::Greater, false),
        Op::LessThan | Op::Lt => Int(IntOp::Less, false),
        Op::Mask => Int(IntOp::Mask, false),
        Op::InRange => Int(IntOp::Range, false),
        Op::NotInRange => Int(IntOp::Range, true),
        Op::InMap => Int(IntOp::Map, false),
        Op::NotInMap => Int(IntOp::Map, true),
        Op::SPort
        | Op::NotSPort
        | Op::SPortPriv
        | Op::NotSPortPriv
        | Op::DPort
        | Op::NotDPort
        | Op::DPortPriv => Other("ports of sock, skb and sockaddr"),
        Op::NotDPortPriv => Other("ports of sock and skb"),
        Op::SAddr | Op::NotSAddr | Op::DAddr | Op::NotDAddr => Other("addresses of sock, skb and sockaddr"),
        Op::Protocol | Op::Family | Op::State => Other("what sock and skb hold"),
        Op::CapabilitiesGained => Other("capability sets"),
        Op::SubString | Op::SubStringIgnCase => NotYet("Prefix, Postfix and Equal work"),
        Op::CelExpr => NotYet("several matchArgs are combined by AND, several selectors by OR"),
        Op::FileType | Op::NotFileType => NotYet("Prefix, Postfix and Equal compare the path"),
    }
}

/// Some argument type that this build reads is compared by it.
fn works(op: Op) -> bool {
    !matches!(compares(op), Compares::Other(_) | Compares::NotYet(_))
}

/// Reads the `matchArgs` of a selector.
pub(crate) fn match_args(cx: &mut Cx<'_>, selector: &Fields<'_>, args: &[ArgDraft]) -> Vec<MatcherDraft> {
    let items = selector.items(cx, "matchArgs");
    items.iter().filter_map(|item| match_arg(cx, item, args)).collect()
}

fn match_arg(cx: &mut Cx<'_>, item: &Item<'_>, args: &[ArgDraft]) -> Option<MatcherDraft> {
    let fields = item.fields(cx, schema::MATCH_ARGS)?;
    let arg = argument(cx, &fields, args);
    let operator = operator(cx, &fields);
    let values = texts(cx, &fields, "values");
    let (arg, (op, op_place)) = (arg?, operator?);
    // An argument with an error of its own: nothing more can be said about what compares it.
    let ty = args[arg].ty?;
    let place = fields.place.clone();
    if matches!(ty, ArgType::Capability | ArgType::Nop) {
        let message = format!("an argument of type {} cannot be compared", ty.name());
        cx.report(Code::OperatorMismatch, &op_place, message)
            .help("read it as an integer type, as type: int");
        return None;
    }
    let compares = match compares(op) {
        Compares::Either(not) if ty.is_text() => Compares::Text(TextOp::Equal, not),
        Compares::Either(not) => Compares::Int(IntOp::Equal, not),
        other => other,
    };
    let values = values?;
    match compares {
        Compares::Text(text_op, not) if ty.is_text() => {
            let values = parse(cx, &values, |v| text_value(v, text_op));
            let (values, places) = values?;
            Some(MatcherDraft {
                matcher: Matcher::Text { arg, op: text_op, not, values },
                place,
                values: places,
            })
        }
        Compares::Int(IntOp::Mask, _) if ty.is_int() => {
            let (masks, places) =
                parse(cx, &values, |v| value::mask(v, ty).map_err(|p| (Code::BadValue, p)))?;
            let mask = masks.iter().fold(0, |all, m| all | m);
            Some(MatcherDraft { matcher: Matcher::Mask { arg, mask }, place, values: places })
        }
        Compares::Int(int_op, not) if ty.is_int() => {
            let (ranges, places) = parse(cx, &values, |v| int_value(v, int_op, value::limits(ty)))?;
            Some(MatcherDraft { matcher: Matcher::Int { arg, not, ranges }, place, values: places })
        }
        Compares::NotYet(instead) => {
            let feature = Feature::Operator(op.name());
            cx.lacks(feature, &op_place, format!("not supported yet: operator {}", op.name())).help(instead);
            None
        }
        other => {
            mismatch(cx, &op_place, op, ty, &other);
            None
        }
    }
}

fn mismatch(cx: &mut Cx<'_>, place: &Place, op: Op, ty: ArgType, compares: &Compares) {
    let what = match compares {
        Compares::Text(..) => "texts",
        Compares::Other(what) => what,
        _ => "integers",
    };
    let message = format!("{} compares {what}, and the argument is of type {}", op.name(), ty.name());
    let help = if ty == ArgType::Auto {
        "auto is compared as an integer: write the argument's type, as type: string".to_owned()
    } else if ty.is_text() {
        "possible here: Equal, NotEqual, Prefix, NotPrefix, Postfix, NotPostfix".to_owned()
    } else {
        "possible here: Equal, NotEqual, GT, LT, InRange, NotInRange, InMap, NotInMap, Mask".to_owned()
    };
    cx.report(Code::OperatorMismatch, place, message).help(help);
}

/// The argument that a matcher is about, as a position in `args`.
fn argument(cx: &mut Cx<'_>, fields: &Fields<'_>, args: &[ArgDraft]) -> Option<usize> {
    let index = fields.get("index").map(|item| item.integer(cx, 0..=i128::from(i32::MAX)));
    if let Some(item) = fields.get("args") {
        let positions = item.items(cx);
        let [only] = &positions[..] else {
            cx.report(Code::TooMany, &item.place, format!("{} positions in args", positions.len()))
                .help("an operator compares one argument: write args: [0]");
            return None;
        };
        let position = only.integer(cx, 0..=i128::from(i32::MAX))?;
        let position = usize::try_from(position).ok()?;
        if position >= args.len() {
            let message = format!("args has no entry {position}: it has {}", args.len());
            cx.report(Code::UnknownArg, &only.place, message)
                .help("args: [N] counts the entries of args from 0");
            return None;
        }
        return Some(position);
    }
    // Left out, it is 0.
    let index = index.unwrap_or(Some(0))?;
    let place = fields.get("index").map_or_else(|| fields.place.clone(), |item| item.place.clone());
    let found = args.iter().position(|a| a.index.is_some_and(|i| i128::from(i) == index));
    // An argument whose index could not be read may be the one that is meant.
    if found.is_none() && args.iter().all(|a| a.index.is_some()) {
        let known: Vec<_> = args.iter().filter_map(|a| a.index).map(|i| i.to_string()).collect();
        let help = match &known[..] {
            [] => format!("add it to the hook's args: - index: {index}, type: TYPE"),
            _ => format!("args has index {}: use one of them, or add index {index} there", known.join(", ")),
        };
        cx.report(Code::UnknownArg, &place, format!("args has no argument with index {index}")).help(help);
    }
    found
}

fn operator(cx: &mut Cx<'_>, fields: &Fields<'_>) -> Option<(Op, Place)> {
    let item = fields.require(cx, "operator", "write operator: Equal, or another")?;
    let name = item.text(cx)?;
    if let Some(op) = Op::from_name(name) {
        return Some((op, item.place.clone()));
    }
    let help = match name.to_ascii_lowercase().as_str() {
        "in" => "matchArgs has no In: write Equal, or InMap for many integers".to_owned(),
        "notin" => "matchArgs has no NotIn: write NotEqual, or NotInMap for many integers".to_owned(),
        "eq" => "write Equal".to_owned(),
        "neq" | "ne" => "write NotEqual".to_owned(),
        "suffix" | "endswith" => "write Postfix".to_owned(),
        "startswith" => "write Prefix".to_owned(),
        _ => {
            let names: Vec<_> = Op::ALL.iter().map(|o| o.name()).collect();
            let work: Vec<_> = Op::ALL.iter().filter(|o| works(**o)).map(|o| o.name()).collect();
            suggest::one_of_those(name, &names, &work)
        }
    };
    cx.report(Code::UnknownOperator, &item.place, format!("unknown operator {}", quote(name))).help(help);
    None
}

/// The values of a matcher, as they are written.
pub(crate) struct Texts {
    values: Vec<(String, Place)>,
    /// None of them is something else than a text.
    complete: bool,
}

/// A list of texts that must not be empty. `None` after an error, unless some could be read.
pub(crate) fn texts(cx: &mut Cx<'_>, fields: &Fields<'_>, name: &str) -> Option<Texts> {
    let Some(item) = fields.get(name) else {
        missing_values(cx, &fields.place, name);
        return None;
    };
    let items = item.items(cx);
    if items.is_empty() && matches!(item.node.value, crate::node::Value::List(_)) {
        missing_values(cx, &item.place, name);
    }
    let values: Vec<_> =
        items.iter().filter_map(|i| Some((i.text(cx)?.to_owned(), i.place.clone()))).collect();
    let complete = values.len() == items.len();
    (!values.is_empty()).then_some(Texts { values, complete })
}

pub(crate) fn missing_values(cx: &mut Cx<'_>, place: &Place, name: &str) {
    cx.report(Code::MissingValues, place, format!("{name} has no entry: there is nothing to compare with"))
        .help(format!("write {name}: [...]"));
}

/// Parses each value and reports each problem.
pub(crate) fn parse<T>(
    cx: &mut Cx<'_>,
    texts: &Texts,
    one: impl Fn(&str) -> Result<T, (Code, Problem)>,
) -> Option<(Vec<T>, Vec<Place>)> {
    let mut parsed = Vec::new();
    for (value, place) in &texts.values {
        match one(value) {
            Ok(value) => parsed.push(value),
            Err((code, (message, help))) => {
                cx.report(code, place, message).help(help);
            }
        }
    }
    let places = texts.values.iter().map(|(_, p)| p.clone()).collect();
    (texts.complete && parsed.len() == texts.values.len()).then_some((parsed, places))
}

fn int_value(text: &str, op: IntOp, within: IntRange) -> Result<IntRange, (Code, Problem)> {
    let bad = |p: Problem| (Code::BadValue, p);
    let range = match op {
        IntOp::Range => value::range(text, within),
        IntOp::Map if text.contains(':') => value::range(text, within),
        _ => value::int(text, within).map(|v| IntRange { min: v, max: v }),
    }
    .map_err(bad)?;
    let range = match op {
        IntOp::Greater => IntRange { min: range.max + 1, max: within.max },
        IntOp::Less => IntRange { min: within.min, max: range.min - 1 },
        _ => range,
    };
    if range.min > range.max {
        return Err(bad((
            format!("no value of the argument is beyond {text}"),
            format!("its type holds {} to {}", within.min, within.max),
        )));
    }
    Ok(range)
}

fn text_value(text: &str, op: TextOp) -> Result<String, (Code, Problem)> {
    let text = value::text(text).map_err(|p| (Code::BadValue, p))?;
    let (most, why) = match op {
        TextOp::Equal => (LONGEST_EQUAL, "the kernel's paths and this build's texts end there"),
        TextOp::Prefix => {
            (LONGEST_PREFIX, "the kernel compares prefixes up to there; Tetragon's limit is 256")
        }
        TextOp::Postfix => (LONGEST_POSTFIX, "the end of a text is compared up to there"),
    };
    fits(text, most, why)
}

/// Refuses a text longer than `most` bytes.
pub(crate) fn fits(text: String, most: usize, why: &str) -> Result<String, (Code, Problem)> {
    if text.len() <= most {
        return Ok(text);
    }
    Err((
        Code::ValueTooLong,
        (
            format!("{} bytes are too long: at most {most} are possible ({why})", text.len()),
            "shorten the value, or compare with another operator".to_owned(),
        ),
    ))
}

/// Value of matchBinaries: as texts, with Tetragon's limit for In.
pub(crate) fn binary_value(text: &str, op: TextOp) -> Result<String, (Code, Problem)> {
    match op {
        TextOp::Equal => {
            let text = value::text(text).map_err(|p| (Code::BadValue, p))?;
            fits(text, LONGEST_PREFIX, "the path of a process is kept up to there, as in Tetragon")
        }
        op => text_value(text, op),
    }
}
