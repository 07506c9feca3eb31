//! Whether a process may be an exec probe of its container: it runs the probe's command.

/// Compares the command of a probe with a program and its arguments, as events show them. Events do not
/// say where one argument ends for sure: that is why it only may be one.
pub fn is_probe(probe: &[String], binary: &str, arguments: &str) -> bool {
    let Some((command, rest)) = probe.split_first() else { return false };
    let Some(args) = split(arguments) else { return false };
    let mut args = args.as_slice();
    // A script's first argument is the script.
    if command == binary && args.first().is_some_and(|first| first == binary) {
        args = &args[1..];
    }
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let same = if command.starts_with('/') { command == binary } else { last(command) == last(binary) };
    same && args == rest
}

/// Words of a text as a shell takes them; `None`: a quote does not end.
fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(chars.next()?),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        end if end == c => break,
                        '\\' if c == '"' => match chars.next()? {
                            special @ ('"' | '\\' | '$' | '`') => word.push(special),
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_probes() {
        for (probe, binary, arguments, expected) in [
            (&["cat", "/tmp/healthy"][..], "/usr/bin/cat", "/tmp/healthy", true),
            (&["cat", "/tmp/healthy"], "/usr/bin/cat", "/tmp/other", false),
            (&["cat", "/tmp/healthy"], "/usr/bin/cat", "", false),
            (&["/bin/cat", "/tmp/healthy"], "/usr/bin/cat", "/tmp/healthy", false),
            (&["/health/live.sh", "5"], "/health/live.sh", "/health/live.sh 5", true),
            (&["sh", "-c", "test -f /x"], "/bin/sh", "-c \"test -f /x\"", true),
            (&["sh", "-c", "test -f /x"], "/bin/sh", "-c test -f /x", false),
            (&["true"], "/bin/true", "", true),
            (&[], "/bin/true", "", false),
            (&["echo", "it's"], "/bin/echo", "it's", false),
        ] {
            let probe: Vec<String> = probe.iter().map(|s| (*s).to_owned()).collect();
            assert_eq!(is_probe(&probe, binary, arguments), expected, "{probe:?} {arguments}");
        }
    }

    #[test]
    fn words_of_a_shell() {
        assert_eq!(split(r#"a "b c" 'd "e' f\ g """#).unwrap(), ["a", "b c", "d \"e", "f g", ""]);
        assert_eq!(split(r#""a\"b\n""#).unwrap(), [r#"a"b\n"#]);
        assert_eq!((split("'a"), split("a\\")), (None, None));
    }
}
