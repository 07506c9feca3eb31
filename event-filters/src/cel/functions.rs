//! The functions of expressions: what they take and give, for the check, and those that the language
//! does not have itself.

use std::any::Any;
use std::sync::OnceLock;

use cel::common::types::{CelBool, CelInt, CelString, Type as CelType};
use cel::common::value::{StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError, add_member_overload, add_overload};
use regex::Regex;

use super::net::{CIDR, Cidr, IP, Ip};
use super::types::Type;
use crate::re2;

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) name: &'static str,
    /// It is called on its first argument.
    pub(super) member: bool,
    pub(super) args: Vec<Type>,
    pub(super) result: Type,
}

/// All ways to call all functions, operators apart.
pub(super) fn signatures() -> &'static [Signature] {
    static ALL: OnceLock<Vec<Signature>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = Vec::new();
        conversions(&mut all);
        texts(&mut all);
        times(&mut all);
        addresses(&mut all);
        all
    })
}

fn global(all: &mut Vec<Signature>, name: &'static str, args: Vec<Type>, result: Type) {
    all.push(Signature { name, member: false, args, result });
}

fn member(all: &mut Vec<Signature>, name: &'static str, args: Vec<Type>, result: Type) {
    all.push(Signature { name, member: true, args, result });
}

fn conversions(all: &mut Vec<Signature>) {
    use Type::{Bool, Bytes, Cidr, Double, Duration, Dyn, Int, Ip, Text, Timestamp, Uint};
    for (name, from, to) in [
        ("int", vec![Int, Uint, Double, Text, Timestamp], Int),
        ("uint", vec![Uint, Int, Double, Text], Uint),
        ("double", vec![Double, Int, Uint, Text], Double),
        ("string", vec![Text, Bool, Int, Uint, Double, Bytes, Timestamp, Duration, Ip, Cidr], Text),
        ("bool", vec![Bool, Text], Bool),
        ("bytes", vec![Bytes, Text], Bytes),
        ("timestamp", vec![Timestamp, Text, Int], Timestamp),
        ("duration", vec![Duration, Text], Duration),
        ("dyn", vec![Dyn], Dyn),
        ("type", vec![Dyn], Type::OfValues),
    ] {
        from.into_iter().for_each(|from| global(all, name, vec![from], to.clone()));
    }
}

fn texts(all: &mut Vec<Signature>) {
    use Type::{Bool, Bytes, Dyn, Int, List, Map, Pattern, Text};
    let of_dyn = || Box::new(Dyn);
    for sized in [Text, Bytes, List(of_dyn()), Map(of_dyn(), of_dyn())] {
        global(all, "size", vec![sized.clone()], Int);
        member(all, "size", vec![sized], Int);
    }
    for name in ["contains", "startsWith", "endsWith"] {
        member(all, name, vec![Text, Text], Bool);
    }
    for pattern in [Text, Pattern] {
        global(all, "matches", vec![Text, pattern.clone()], Bool);
        member(all, "matches", vec![Text, pattern], Bool);
    }
}

fn times(all: &mut Vec<Signature>) {
    use Type::{Duration, Int, Text, Timestamp};
    let parts = ["getHours", "getMinutes", "getSeconds", "getMilliseconds"];
    let dates = ["getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek"];
    for name in parts.into_iter().chain(dates) {
        member(all, name, vec![Timestamp], Int);
        // In a time zone.
        member(all, name, vec![Timestamp, Text], Int);
    }
    parts.into_iter().for_each(|name| member(all, name, vec![Duration], Int));
}

fn addresses(all: &mut Vec<Signature>) {
    use Type::{Bool, Cidr, Int, Ip, Text};
    global(all, "ip", vec![Text], Ip);
    global(all, "cidr", vec![Text], Cidr);
    for name in ["isIP", "isCIDR", "ip.isCanonical"] {
        global(all, name, vec![Text], Bool);
    }
    member(all, "family", vec![Ip], Int);
    for name in
        ["isUnspecified", "isLoopback", "isLinkLocalMulticast", "isLinkLocalUnicast", "isGlobalUnicast"]
    {
        member(all, name, vec![Ip], Bool);
    }
    for (name, wanted) in [("containsIP", Ip), ("containsCIDR", Cidr)] {
        member(all, name, vec![Cidr, Text], Bool);
        member(all, name, vec![Cidr, wanted], Bool);
    }
    member(all, "ip", vec![Cidr], Ip);
    member(all, "masked", vec![Cidr], Cidr);
    member(all, "prefixLength", vec![Cidr], Int);
}

/// Adds what the language does not have itself.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_type(IP.to_owned())?;
    env.add_type(CIDR.to_owned())?;
    add_overload!(env, fn ip: (CelString) -> Result<Ip>)?;
    add_overload!(env, fn is_ip: (CelString) -> CelBool, name = "isIP")?;
    add_overload!(env, fn is_canonical: (CelString) -> Result<CelBool>, name = "ip.isCanonical")?;
    add_overload!(env, fn ip_text: (Ip) -> CelString, name = "string", id = "string_from_ip")?;
    add_member_overload!(env, fn family: (Ip) -> CelInt)?;
    add_member_overload!(env, fn is_unspecified: (Ip) -> CelBool)?;
    add_member_overload!(env, fn is_loopback: (Ip) -> CelBool)?;
    add_member_overload!(env, fn is_link_local_multicast: (Ip) -> CelBool)?;
    add_member_overload!(env, fn is_link_local_unicast: (Ip) -> CelBool)?;
    add_member_overload!(env, fn is_global_unicast: (Ip) -> CelBool)?;
    add_overload!(env, fn cidr: (CelString) -> Result<Cidr>)?;
    add_overload!(env, fn is_cidr: (CelString) -> CelBool, name = "isCIDR")?;
    add_overload!(env, fn cidr_text: (Cidr) -> CelString, name = "string", id = "string_from_cidr")?;
    add_member_overload!(env, fn contains_ip: (Cidr, Ip) -> CelBool, name = "containsIP")?;
    add_member_overload!(env, fn contains_text: (Cidr, CelString) -> Result<CelBool>, name = "containsIP")?;
    add_member_overload!(env, fn contains_cidr: (Cidr, Cidr) -> CelBool, name = "containsCIDR")?;
    add_member_overload!(env, fn contains_network: (Cidr, CelString) -> Result<CelBool>, name = "containsCIDR")?;
    add_member_overload!(env, fn cidr_ip: (Cidr) -> Ip, name = "ip")?;
    add_member_overload!(env, fn masked: (Cidr) -> Cidr)?;
    add_member_overload!(env, fn prefix_length: (Cidr) -> CelInt)?;
    add_overload!(env, fn pattern_matches: (CelString, Pattern) -> CelBool, name = "matches")?;
    add_member_overload!(env, fn pattern_matches: (CelString, Pattern) -> CelBool, name = "matches")
}

fn failed(function: &str) -> impl Fn(String) -> ExecutionError {
    move |why| ExecutionError::function_error(function, why)
}

fn ip(text: &CelString<'_>) -> Result<Ip, ExecutionError> {
    Ip::parse(text.inner()).map_err(failed("ip"))
}

fn is_ip(text: &CelString<'_>) -> CelBool {
    Ip::parse(text.inner()).is_ok().into()
}

fn is_canonical(text: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    let address = Ip::parse(text.inner()).map_err(failed("ip.isCanonical"))?;
    Ok((address.0.to_string() == text.inner()).into())
}

fn ip_text(ip: &Ip) -> CelString<'static> {
    ip.0.to_string().into()
}

fn family(ip: &Ip) -> CelInt {
    ip.family().into()
}

fn is_unspecified(ip: &Ip) -> CelBool {
    ip.0.is_unspecified().into()
}

fn is_loopback(ip: &Ip) -> CelBool {
    ip.0.is_loopback().into()
}

fn is_link_local_multicast(ip: &Ip) -> CelBool {
    ip.is_link_local_multicast().into()
}

fn is_link_local_unicast(ip: &Ip) -> CelBool {
    ip.is_link_local_unicast().into()
}

fn is_global_unicast(ip: &Ip) -> CelBool {
    ip.is_global_unicast().into()
}

fn cidr(text: &CelString<'_>) -> Result<Cidr, ExecutionError> {
    Cidr::parse(text.inner()).map_err(failed("cidr"))
}

fn is_cidr(text: &CelString<'_>) -> CelBool {
    Cidr::parse(text.inner()).is_ok().into()
}

fn cidr_text(cidr: &Cidr) -> CelString<'static> {
    cidr.to_string().into()
}

fn contains_ip(cidr: &Cidr, ip: &Ip) -> CelBool {
    cidr.contains(ip.0).into()
}

fn contains_text(cidr: &Cidr, text: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    let address = Ip::parse(text.inner()).map_err(failed("containsIP"))?;
    Ok(cidr.contains(address.0).into())
}

fn contains_cidr(cidr: &Cidr, other: &Cidr) -> CelBool {
    cidr.contains_network(*other).into()
}

fn contains_network(cidr: &Cidr, text: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    let other = Cidr::parse(text.inner()).map_err(failed("containsCIDR"))?;
    Ok(cidr.contains_network(other).into())
}

fn cidr_ip(cidr: &Cidr) -> Ip {
    Ip(cidr.address)
}

fn masked(cidr: &Cidr) -> Cidr {
    cidr.masked()
}

fn prefix_length(cidr: &Cidr) -> CelInt {
    i64::from(cidr.prefix).into()
}

fn pattern_matches(text: &CelString<'_>, pattern: &Pattern) -> CelBool {
    pattern.0.is_match(text.inner()).into()
}

static PATTERN: CelType = CelType::new_unspecified_type("tetragon.pattern");

/// A regular expression that stands in the expression itself: compiled once, not for each event.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Pattern, String> {
        re2::one(text).build().map(Pattern).map_err(|e| e.to_string())
    }
}

impl Val for Pattern {
    fn get_type(&self) -> &CelType {
        &PATTERN
    }

    fn cel_type() -> &'static CelType {
        &PATTERN
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}
