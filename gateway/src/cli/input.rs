//! Lines of standard input, read beside the runtime.

use std::io::{self, BufRead, Read};

use tokio::sync::mpsc;

/// Bytes of one line; a longer one is skipped and reported.
pub(super) const LINE_BYTES: usize = 64 * 1024;

/// Lines that may wait; above it nothing more is read.
const WAITING_LINES: usize = 64;

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A line without its end.
    Line(String),
    /// A line that is not text, or too long.
    Unreadable(&'static str),
}

/// The lines of standard input; the channel ends with it.
///
/// A thread of its own, which nobody waits for: a read of a terminal cannot be called off.
pub(super) fn lines() -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(WAITING_LINES);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        while let Ok(Some(line)) = read_line(&mut stdin) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The next line; `None` at the end.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<Input>> {
    let mut line = Vec::new();
    let bound = u64::try_from(LINE_BYTES + 1).unwrap_or(u64::MAX);
    if from.by_ref().take(bound).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() > LINE_BYTES && line.last() != Some(&b'\n') {
        from.skip_until(b'\n')?;
        return Ok(Some(Input::Unreadable("the line is longer than 64 KiB")));
    }
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    Ok(Some(match String::from_utf8(line) {
        Ok(line) => Input::Line(line),
        Err(_) => Input::Unreadable("the line is not UTF-8 text"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Input> {
        let mut from = bytes;
        std::iter::from_fn(|| read_line(&mut from).unwrap()).collect()
    }

    fn line(text: &str) -> Input {
        Input::Line(text.to_owned())
    }

    #[test]
    fn lines_end_with_a_line_feed_or_the_input() {
        assert_eq!(
            read(b"one\r\ntwo\n\nthree"),
            [line("one"), line("two"), line(""), line("three")]
        );
        assert_eq!(read(b""), []);
    }

    #[test]
    fn what_is_not_text_is_reported_and_the_next_line_is_fine() {
        let read = read(b"\xff\nfine\n");
        assert!(matches!(read[0], Input::Unreadable(_)));
        assert_eq!(read[1], line("fine"));
    }

    #[test]
    fn a_line_is_bounded() {
        for (length, fits) in [(LINE_BYTES - 1, true), (LINE_BYTES, true), (LINE_BYTES + 1, false)]
        {
            let read = read(&[&vec![b'x'; length][..], b"\nnext"].concat());
            assert_eq!(matches!(read[0], Input::Line(_)), fits, "{length} bytes");
            assert_eq!(read[1], line("next"));
        }
    }
}
