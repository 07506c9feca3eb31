//! ANSI colours, written as Tetragon's tool writes them: an escape before, a reset after, around the
//! empty string too.

/// The colours in use.
#[derive(Clone, Copy, Debug)]
pub(super) enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
    Magenta = 35,
    Cyan = 36,
}

/// Paints text, or does not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    pub(super) fn paint(self, colour: Colour, text: &str) -> String {
        if self.0 { format!("\x1b[{}m{text}\x1b[0m", colour as u8) } else { text.to_owned() }
    }

    pub(super) fn red(self, text: &str) -> String {
        self.paint(Colour::Red, text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.paint(Colour::Green, text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.paint(Colour::Yellow, text)
    }

    pub(super) fn blue(self, text: &str) -> String {
        self.paint(Colour::Blue, text)
    }

    pub(super) fn magenta(self, text: &str) -> String {
        self.paint(Colour::Magenta, text)
    }

    pub(super) fn cyan(self, text: &str) -> String {
        self.paint(Colour::Cyan, text)
    }
}
