//! `cargo xtask picture`: the picture of the README, made of the transcript of a run of the demo.
//!
//! The transcript is what a terminal gets. `cargo xtask demo alone --color always --transcript docs/demo.transcript`
//! writes it, and a test of `e2e/` compares it with another run.

use std::fs;

use anstyle_svg::{Palette, Term, VGA};
use anyhow::{Context, Result, ensure};
use clap::Args;
use regex::Regex;

use crate::tools::{root, say};

/// What to do with it.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// Compare the picture with docs/demo.svg instead of writing it
    #[arg(long)]
    check: bool,
}

const TRANSCRIPT: &str = "docs/demo.transcript";
const PICTURE: &str = "docs/demo.svg";

/// The picture ends before this act.
const END: &str = "4. ";
/// Commands that other ones show as well, by the number of the act.
const LEFT_OUT: [(&str, &str); 2] =
    [("1", "$ /bin/cat /etc/kubernetes/pki/ca.key"), ("2", "$ /bin/cat /etc/hostname")];
/// What stands for lines that are left out.
const DOTS: &str = "\x1b[2m...\x1b[0m";

/// The terminal's first nine colours: black (the background), red, green, yellow, blue, magenta, cyan, white (the
/// text) and grey. The usual blue cannot be read on a dark background. The background differs from that of both
/// themes of GitHub.
const COLOURS: [[u8; 3]; 9] = [
    [0x16, 0x1b, 0x22],
    [0xff, 0x7b, 0x72],
    [0x56, 0xd3, 0x64],
    [0xe3, 0xb3, 0x41],
    [0x79, 0xc0, 0xff],
    [0xd2, 0xa8, 0xff],
    [0x56, 0xd4, 0xdd],
    [0xe6, 0xed, 0xf3],
    [0x9d, 0xa7, 0xb3],
];
/// Room for the widest line, 100 columns, in the widest font that a browser may take: SF Mono has 8.65 a column.
const WIDTH: usize = 870;

/// Writes the picture, or compares it; gives the exit code.
pub(crate) fn run(options: Options) -> Result<i32> {
    let read = |file: &str| fs::read_to_string(root().join(file)).with_context(|| format!("reading {file}"));
    let picture = draw(&read(TRANSCRIPT)?);
    if options.check {
        ensure!(
            read(PICTURE)? == picture,
            "{PICTURE} is not what {TRANSCRIPT} gives; right would be `cargo xtask picture`"
        );
        return Ok(0);
    }
    fs::write(root().join(PICTURE), &picture).with_context(|| format!("writing {PICTURE}"))?;
    say(&format!("{PICTURE}: {} bytes", picture.len()));
    Ok(0)
}

/// The picture of a transcript.
fn draw(transcript: &str) -> String {
    // A renderer's dim text is hard to read: it is grey instead.
    let text = shorten(transcript).join("\n").replace("\x1b[2m", "\x1b[90m");
    Term::new().palette(palette()).min_width_px(WIDTH).render_svg(&text)
}

fn palette() -> Palette {
    let mut palette = VGA;
    for (colour, [red, green, blue]) in palette.0.iter_mut().zip(COLOURS) {
        (colour.0, colour.1, colour.2) = (red, green, blue);
    }
    palette
}

/// The lines that are shown: the first acts, of what a command printed the first line, and no exit codes, which the
/// events have as well.
fn shorten(transcript: &str) -> Vec<String> {
    let escape = Regex::new("\x1b\\[[0-9;]*m").expect("a pattern");
    let end = Regex::new("( |\x1b\\[[0-9;]*m)+$").expect("a pattern");
    let mut shown = Vec::new();
    let mut act = String::new();
    // How many lines the command has printed until now, and whether it is left out.
    let (mut printed, mut left_out) = (None, false);
    for line in transcript.lines().skip_while(|line| line.is_empty()) {
        let text = escape.replace_all(line, "");
        if text.starts_with(END) {
            break;
        }
        let is_title = line.starts_with("\x1b[1m");
        if is_title || line.is_empty() {
            (printed, left_out) = (None, false);
        }
        if let Some((number, _)) = text.split_once(". ").filter(|_| is_title) {
            number.clone_into(&mut act);
        }
        if text.starts_with("$ ") {
            (printed, left_out) = (Some(0), LEFT_OUT.contains(&(act.as_str(), text.as_ref())));
            if left_out {
                shown.push(DOTS.to_owned());
            }
        } else if let Some(lines) = printed.as_mut().filter(|_| !line.starts_with('\x1b')) {
            *lines += 1;
            if *lines == 2 && !left_out {
                shown.push(DOTS.to_owned());
            }
            if *lines > 1 {
                continue;
            }
        }
        if !left_out && !text.starts_with("  (") {
            // The spaces before an event's empty last column would make the picture wider.
            let reset = if line.contains('\x1b') { "\x1b[0m" } else { "" };
            shown.push(format!("{}{reset}", end.replace(line, "")));
        }
    }
    // The empty line before the next act.
    shown.pop_if(|line| line.is_empty());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_that_of_the_transcript() {
        run(Options { check: true }).expect("they are alike");
    }

    #[test]
    fn another_transcript_gives_another_picture() {
        let transcript = fs::read_to_string(root().join(TRANSCRIPT)).expect("a transcript");
        let other = transcript.replacen("/etc/shadow", "/etc/gshadow", 1);
        assert_ne!(draw(&transcript), draw(&other));
        assert!(shorten(&transcript).len() <= 45, "it fits a screen");
    }

    #[test]
    fn the_first_lines_of_three_acts_are_shown() {
        let transcript = "\n\x1b[1m1. Watch\x1b[0m\nWhat it\ndoes.\n\x1b[2m$ cat a\x1b[0m\n1\n2\n3\n\
             \x1b[34mexit\x1b[0m \x1b[31m0\x1b[0m   \x1b[35m\x1b[0m\n\x1b[2m  (exit code 0)\x1b[0m\n\
             \x1b[2m$ /bin/cat /etc/kubernetes/pki/ca.key\x1b[0m\nkey\n\x1b[34mexit\x1b[0m\n\
             \x1b[1mIt was seen.\x1b[0m\n\n\x1b[1m4. Kill\x1b[0m\nNot shown.\n";
        let shown = [
            "\x1b[1m1. Watch\x1b[0m",
            "What it",
            "does.",
            "\x1b[2m$ cat a\x1b[0m",
            "1",
            DOTS,
            "\x1b[34mexit\x1b[0m \x1b[31m0\x1b[0m",
            DOTS,
            "\x1b[1mIt was seen.\x1b[0m",
        ];
        assert_eq!(shorten(transcript), shown);
    }
}
