//! Where a hook stands in a policy's text, for what only the kernel can say about it. The compiler
//! knows positions of what it reports itself; this finds the call of `spec.kprobes[0]` by indentation.

/// Line and column, from 1, of a hook in a file. `source` is its policy's document within `text`.
pub fn hook_position(text: &str, source: &str, field: &str) -> Option<(usize, usize)> {
    let (section, index) = section_and_index(field)?;
    let before = text.find(source)?;
    let first_line = text[..before].matches('\n').count() + 1;
    let lines: Vec<&str> = source.lines().collect();
    let key = lines
        .iter()
        .position(|l| l.trim_start().strip_prefix(section).is_some_and(|r| r.starts_with(':')))?;
    let item = nth_item(&lines, key, index)?;
    let at = call_of(&lines, item);
    let line = lines.get(at)?;
    // Past `- call: `, to the name itself.
    let column = match line.find(": ").filter(|_| is_call(line)) {
        Some(colon) => line[..colon].chars().count() + 2 + leading(&line[colon + 1..]),
        None => leading(line) + 1,
    };
    Some((first_line + at, column))
}

/// `spec.kprobes[0].args[1]` is entry 0 of `kprobes`.
fn section_and_index(field: &str) -> Option<(&str, usize)> {
    let rest = field.strip_prefix("spec.")?;
    let (section, rest) = rest.split_once('[')?;
    Some((section, rest.split_once(']')?.0.parse().ok()?))
}

fn leading(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_text(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with('#')
}

/// The line on which an item of the list under `key` begins.
fn nth_item(lines: &[&str], key: usize, index: usize) -> Option<usize> {
    let first = (key + 1..lines.len()).find(|i| is_text(lines[*i]))?;
    let indent = leading(lines[first]);
    let mut left = index;
    for (i, line) in lines.iter().enumerate().skip(first).filter(|(_, l)| is_text(l)) {
        let begins = leading(line) == indent && line.trim_start().starts_with("- ");
        if leading(line) < indent || (leading(line) == indent && !begins) {
            return None;
        }
        if begins && left == 0 {
            return Some(i);
        }
        left -= usize::from(begins);
    }
    None
}

fn is_call(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("- ").unwrap_or(line).trim_start();
    ["call:", "hook:", "event:"].iter().any(|key| line.starts_with(key))
}

/// The line of the item that names what is hooked; the item's own if there is none.
fn call_of(lines: &[&str], item: usize) -> usize {
    let indent = leading(lines[item]);
    if is_call(lines[item]) {
        return item;
    }
    let within = |i: &usize| !is_text(lines[*i]) || leading(lines[*i]) > indent;
    (item + 1..lines.len()).take_while(within).find(|i| is_call(lines[*i])).unwrap_or(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "kind: TracingPolicy\nmetadata:\n  name: a\nspec:\n  kprobes:\n    - call: one\n      syscall: false\n    # the second\n    - syscall: false\n      args:\n        - index: 0\n      call: \"two\"\n  lsmhooks:\n  - hook: three\n";

    fn at(field: &str) -> Option<(usize, usize)> {
        hook_position(FIRST, FIRST, field)
    }

    #[test]
    fn hooks_are_found_by_section_and_number() {
        assert_eq!(at("spec.kprobes[0]"), Some((6, 13)));
        assert_eq!(at("spec.kprobes[1]"), Some((12, 13)));
        assert_eq!(at("spec.kprobes[1].args[0]"), Some((12, 13)));
        assert_eq!(at("spec.lsmhooks[0]"), Some((14, 11)));
        assert_eq!(at("spec.kprobes[2]"), None);
        assert_eq!(at("spec.tracepoints[0]"), None);
        assert_eq!(at("metadata.name"), None);
    }

    #[test]
    fn documents_behind_others_count_their_lines() {
        let second = "spec:\n  kprobes:\n  - list: x\n    syscall: true\n";
        let text = format!("{FIRST}---\n{second}");
        assert_eq!(hook_position(&text, second, "spec.kprobes[0]"), Some((18, 3)));
        assert_eq!(hook_position("other", second, "spec.kprobes[0]"), None);
    }

    #[test]
    fn flow_style_has_no_position() {
        let text = "spec: {kprobes: [{call: x}]}\n";
        assert_eq!(hook_position(text, text, "spec.kprobes[0]"), None);
    }
}
