//! What an interpreter costs that does nothing but the work: an enum, a match, texts put together. No
//! session, no limits, no path, no effects to repeat: the floor under the engine's steps.

/// One instruction.
pub(super) enum Op {
    /// Goes on at `then` when the value is `other`, otherwise at the next.
    Equals { other: Box<str>, then: usize },
    /// Goes on there.
    Jump(usize),
    /// Sends a text.
    Say(Box<[Piece]>),
    /// Ends.
    Wait,
}

/// A piece of a text.
pub(super) enum Piece {
    Literal(Box<str>),
    Name,
    Value,
}

/// The road of the long flow: so many conditions of two comparisons, and messages between them.
pub(super) fn program(branches: u32, sends: u32) -> Vec<Op> {
    let every = branches / sends;
    let mut ops = Vec::new();
    // Where a wrong turn would lead.
    let end = usize::MAX;
    for n in 0..branches + sends {
        if n % (every + 1) == every {
            ops.push(Op::Say(Box::new([
                Piece::Literal("Dear ".into()),
                Piece::Name,
                Piece::Literal(", you said ".into()),
                Piece::Value,
                Piece::Literal(".".into()),
            ])));
        } else {
            let here = ops.len();
            ops.push(Op::Equals {
                other: "never".into(),
                then: end,
            });
            ops.push(Op::Equals {
                other: "again".into(),
                then: here + 3,
            });
            ops.push(Op::Jump(end));
        }
    }
    ops.push(Op::Say(Box::new([Piece::Literal("What now?".into())])));
    ops.push(Op::Wait);
    ops
}

/// Runs it; how many messages but the last were sent, and how many bytes in all.
pub(super) fn run(program: &[Op], name: &str) -> (u32, usize) {
    let value = std::hint::black_box("again");
    let (mut at, mut sent) = (0, Vec::new());
    while let Some(op) = program.get(at) {
        at += 1;
        match op {
            Op::Equals { other, then } => {
                if **other == *value {
                    at = *then;
                }
            }
            Op::Jump(to) => at = *to,
            Op::Say(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    text.push_str(match piece {
                        Piece::Literal(literal) => literal,
                        Piece::Name => name,
                        Piece::Value => value,
                    });
                }
                sent.push(text);
            }
            Op::Wait => break,
        }
    }
    let sent = std::hint::black_box(sent);
    let bytes = sent.iter().map(String::len).sum();
    (sent.len() as u32 - 1, bytes)
}
