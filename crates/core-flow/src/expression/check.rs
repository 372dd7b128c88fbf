//! The type checker: reads an expression's syntax tree and says what cannot work, at which column.
//! It knows what each variable holds, so `Menu.value > 3` is refused where the menu gives texts.
//! What is only known when it runs (`flow.answer.total`, of JSON) is of any kind.

use std::collections::BTreeMap;

use minijinja::machinery::{Token, ast, parse_expr, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::language::{FILTERS, TESTS};
use crate::interpolation::Placeholder;
use crate::limits::{MAX_BRACKETS, MAX_EXPRESSION, MAX_EXPRESSION_TOKENS};
use crate::problem::{nearest, quote};
use crate::scope::{Scope, Variable};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nothing,
    Text,
    Number,
    Boolean,
    List,
    Map,
    /// Known only when it is there.
    Any,
}

impl Kind {
    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Any => "any value",
        }
    }

    /// Whether a value of this kind may be one of `wanted`.
    pub(crate) fn may_be(self, wanted: Self) -> bool {
        self == wanted || self == Self::Any || self == Self::Nothing || wanted == Self::Any
    }

    /// What is either of the two.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Nothing, other) => other,
            (one, Self::Nothing) => one,
            _ => Self::Any,
        }
    }

    fn of(value: &Value) -> Self {
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => Self::Nothing,
            ValueKind::Bool => Self::Boolean,
            ValueKind::Number => Self::Number,
            ValueKind::String => Self::Text,
            ValueKind::Seq | ValueKind::Iterable => Self::List,
            ValueKind::Map => Self::Map,
            _ => Self::Any,
        }
    }
}

/// What is wrong with an expression.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// What is wrong, with the column.
    pub(crate) message: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl Wrong {
    fn at(source: &str, offset: usize, message: &str, remedy: impl Into<String>) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        Self {
            message: format!("column {}: {message}", before.chars().count() + 1),
            remedy: remedy.into(),
        }
    }

    /// In the words of the parser.
    pub(super) fn syntax(source: &str, error: &Error) -> Self {
        let detail = error.detail().unwrap_or("this is not an expression");
        let offset = error.range().map_or(0, |range| range.start);
        let remedy = "write an expression such as flow.count + 1, or {{Widget.value}} alone";
        Self::at(source, offset, &quote(detail), remedy)
    }
}

/// A sound expression.
#[derive(Debug)]
pub(crate) struct Checked {
    /// What it gives.
    pub(crate) kind: Kind,
    /// The variables it reads, by group and field.
    pub(crate) reads: BTreeMap<(String, String), (Variable, Kind)>,
}

/// Checks an expression.
///
/// # Errors
/// The first thing that is wrong with it.
pub(crate) fn check(source: &str, scope: &Scope<'_>) -> Result<Checked, Wrong> {
    if source.trim().is_empty() {
        let remedy = "write one such as flow.count + 1";
        return Err(Wrong::at(source, 0, "there is no expression", remedy));
    }
    let length = source.chars().count();
    if length > MAX_EXPRESSION {
        let message = format!("the expression has {length} characters");
        let remedy = format!("use at most {MAX_EXPRESSION}, or several set_variables");
        return Err(Wrong::at(source, 0, &message, remedy));
    }
    fits(source)?;
    let tree = parse_expr(source).map_err(|error| Wrong::syntax(source, &error))?;
    let mut checker = Checker {
        source,
        scope,
        reads: BTreeMap::new(),
        looked_up: 0,
    };
    let kind = checker.kind(&tree)?;
    Ok(Checked {
        kind,
        reads: checker.reads,
    })
}

/// Whether it is small enough to be read and run within a thread's stack.
fn fits(source: &str) -> Result<(), Wrong> {
    let remedy = "compute it in several steps, by set_variables";
    let mut open = 0_usize;
    let tokens = tokenize(source, true, SyntaxConfig::default());
    for (count, (token, span)) in tokens.map_while(Result::ok).enumerate() {
        let at = span.start_offset as usize;
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => open += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                open = open.saturating_sub(1);
            }
            _ => {}
        }
        if open > MAX_BRACKETS {
            let message = format!("more than {MAX_BRACKETS} brackets are within each other");
            return Err(Wrong::at(source, at, &message, remedy));
        }
        if count >= MAX_EXPRESSION_TOKENS {
            let message =
                format!("the expression has more than {MAX_EXPRESSION_TOKENS} words and signs");
            return Err(Wrong::at(source, at, &message, remedy));
        }
    }
    Ok(())
}

struct Checker<'c, 'd> {
    source: &'c str,
    scope: &'c Scope<'d>,
    reads: BTreeMap<(String, String), (Variable, Kind)>,
    /// Variables met so far, each time they are met.
    looked_up: u32,
}

impl Checker<'_, '_> {
    fn wrong(&self, at: &ast::Expr<'_>, message: &str, remedy: impl Into<String>) -> Wrong {
        Wrong::at(
            self.source,
            at.span().start_offset as usize,
            message,
            remedy,
        )
    }

    /// What `expr` gives.
    fn kind(&mut self, expr: &ast::Expr<'_>) -> Result<Kind, Wrong> {
        match expr {
            ast::Expr::Const(constant) => Ok(Kind::of(&constant.value)),
            ast::Expr::Var(name) => Err(self.bare(expr, name.id)),
            ast::Expr::GetAttr(part) => self.part(part),
            ast::Expr::GetItem(item) => {
                self.kind(&item.subscript_expr)?;
                self.one_of(&item.expr, &[Kind::List, Kind::Map, Kind::Text])?;
                Ok(Kind::Any)
            }
            ast::Expr::Slice(slice) => {
                if let Some(step) = &slice.step {
                    return Err(self.wrong(step, "a slice has no step", "leave it away"));
                }
                for bound in [&slice.start, &slice.stop].into_iter().flatten() {
                    self.one_of(bound, &[Kind::Number])?;
                }
                self.one_of(&slice.expr, &[Kind::List, Kind::Text])
            }
            ast::Expr::UnaryOp(operation) => match operation.op {
                ast::UnaryOpKind::Not => self.kind(&operation.expr).map(|_| Kind::Boolean),
                ast::UnaryOpKind::Neg => self.one_of(&operation.expr, &[Kind::Number]),
            },
            ast::Expr::BinOp(operation) => self.operation(expr, operation),
            ast::Expr::Compare(comparison) => {
                let mut left = self.kind(&comparison.expr)?;
                for next in &comparison.ops {
                    let right = self.kind(&next.expr)?;
                    match next.op {
                        ast::CompareOpKind::In | ast::CompareOpKind::NotIn => {
                            self.holds_items(&next.expr, right)?;
                        }
                        ast::CompareOpKind::Eq | ast::CompareOpKind::Ne => {
                            self.same(&next.expr, left, right)?;
                        }
                        _ => self.ordered(&next.expr, left, right)?,
                    }
                    left = right;
                }
                Ok(Kind::Boolean)
            }
            ast::Expr::IfExpr(choice) => {
                self.kind(&choice.test_expr)?;
                let yes = self.kind(&choice.true_expr)?;
                let no = choice.false_expr.as_ref();
                let no = no.map_or(Ok(Kind::Nothing), |no| self.kind(no))?;
                Ok(yes.or(no))
            }
            ast::Expr::Filter(filter) => self.filter(expr, filter),
            ast::Expr::Test(test) => self.test(expr, test),
            ast::Expr::Call(call) => Err(self.call(expr, call)),
            ast::Expr::List(list) => self.all(&list.items).map(|()| Kind::List),
            ast::Expr::Tuple(tuple) => self.all(&tuple.items).map(|()| Kind::List),
            ast::Expr::Map(map) => {
                self.all(&map.keys)?;
                self.all(&map.values).map(|()| Kind::Map)
            }
        }
    }

    fn all(&mut self, parts: &[ast::Expr<'_>]) -> Result<(), Wrong> {
        parts
            .iter()
            .try_for_each(|part| self.kind(part).map(|_| ()))
    }

    /// What `expr` gives, which has to be one of `wanted`.
    fn one_of(&mut self, expr: &ast::Expr<'_>, wanted: &[Kind]) -> Result<Kind, Wrong> {
        let before = self.looked_up;
        let kind = self.kind(expr)?;
        // What holds no variable is known now, and is worked out when it is compiled, without fuel:
        // `([1] or 1) * 99999999` must not get that far.
        let vague = kind == Kind::Any && self.looked_up == before;
        let fits = |wanted: &Kind| kind.may_be(*wanted) && !vague;
        if wanted.is_empty() || wanted.iter().any(fits) {
            return Ok(kind);
        }
        Err(self.unfit(expr, kind, wanted))
    }

    fn unfit(&self, expr: &ast::Expr<'_>, kind: Kind, wanted: &[Kind]) -> Wrong {
        let names: Vec<&str> = wanted.iter().map(|kind| kind.name()).collect();
        let message = format!("this is {}, not {}", kind.name(), names.join(" or "));
        let remedy = match wanted {
            [Kind::Number] => "use `| number` to read a text as a number",
            [Kind::Text] => "use `| string` to write it as a text",
            _ => "use a value of that kind",
        };
        self.wrong(expr, &message, remedy)
    }

    fn bare(&self, expr: &ast::Expr<'_>, name: &str) -> Wrong {
        let message = format!("`{}` is not a value", quote(name));
        self.wrong(
            expr,
            &message,
            "write a group and a value, such as flow.count or Menu.value",
        )
    }

    fn part(&mut self, part: &ast::GetAttr<'_>) -> Result<Kind, Wrong> {
        let ast::Expr::Var(group) = &part.expr else {
            self.one_of(&part.expr, &[Kind::Map])?;
            return Ok(Kind::Any);
        };
        let place = Placeholder {
            scope: group.id,
            field: part.name,
        };
        let variable = self
            .scope
            .variable(place)
            .map_err(|unresolved| self.wrong(&part.expr, &unresolved.message, unresolved.remedy))?;
        let kind = self.scope.kind(&variable);
        self.looked_up += 1;
        let name = (group.id.to_owned(), part.name.to_owned());
        self.reads.insert(name, (variable, kind));
        Ok(kind)
    }

    fn operation(
        &mut self,
        expr: &ast::Expr<'_>,
        operation: &ast::BinOp<'_>,
    ) -> Result<Kind, Wrong> {
        use ast::BinOpKind as Op;
        let (left, right) = (self.kind(&operation.left)?, self.kind(&operation.right)?);
        match operation.op {
            Op::ScAnd | Op::ScOr => Ok(left.or(right)),
            Op::Concat => Ok(Kind::Text),
            Op::Eq | Op::Ne => self.same(expr, left, right).map(|()| Kind::Boolean),
            Op::Lt | Op::Lte | Op::Gt | Op::Gte => {
                self.ordered(expr, left, right).map(|()| Kind::Boolean)
            }
            Op::In => {
                self.holds_items(&operation.right, right)?;
                Ok(Kind::Boolean)
            }
            Op::Add => {
                let both = |kind| left.may_be(kind) && right.may_be(kind);
                match [Kind::Number, Kind::Text, Kind::List]
                    .into_iter()
                    .find(|kind| both(*kind))
                {
                    Some(_) if left == Kind::Any && right == Kind::Any => Ok(Kind::Any),
                    Some(kind) => Ok(kind),
                    None => {
                        let message = format!("{} + {} has no value", left.name(), right.name());
                        Err(self.wrong(expr, &message, "use ~ to join texts"))
                    }
                }
            }
            Op::Sub | Op::Mul | Op::Div | Op::FloorDiv | Op::Rem | Op::Pow => {
                // Known to be numbers: a list times a number is long beyond what fuel counts.
                for (side, kind) in [(&operation.left, left), (&operation.right, right)] {
                    if !matches!(kind, Kind::Number | Kind::Nothing) {
                        return Err(self.unfit(side, kind, &[Kind::Number]));
                    }
                }
                let divides = matches!(operation.op, Op::Div | Op::FloorDiv | Op::Rem);
                // Numbers and nothing else are in it: working it out is cheap.
                let divisor = operation.right.as_const();
                let zero = divisor.and_then(|divisor| f64::try_from(divisor).ok()) == Some(0.0);
                if divides && zero {
                    let remedy = "divide by something else";
                    return Err(self.wrong(&operation.right, "this divides by zero", remedy));
                }
                Ok(Kind::Number)
            }
        }
    }

    fn same(&self, at: &ast::Expr<'_>, left: Kind, right: Kind) -> Result<(), Wrong> {
        if left.may_be(right) || right.may_be(left) {
            return Ok(());
        }
        let message = format!("{} is never {}", left.name(), right.name());
        let remedy = "compare values of one kind: \"3\" is a text, 3 a number";
        Err(self.wrong(at, &message, remedy))
    }

    fn ordered(&self, at: &ast::Expr<'_>, left: Kind, right: Kind) -> Result<(), Wrong> {
        let both = |kind| left.may_be(kind) && right.may_be(kind);
        if both(Kind::Number) || both(Kind::Text) {
            return Ok(());
        }
        let message = format!("{} and {} have no order", left.name(), right.name());
        let remedy = "compare two numbers, or two texts; `| number` reads a text as a number";
        Err(self.wrong(at, &message, remedy))
    }

    fn holds_items(&self, at: &ast::Expr<'_>, kind: Kind) -> Result<(), Wrong> {
        let holds = [Kind::List, Kind::Map, Kind::Text];
        if holds.into_iter().any(|holds| kind.may_be(holds)) {
            return Ok(());
        }
        let message = format!("nothing is in {}", kind.name());
        Err(self.wrong(at, &message, "look in a list, a map or a text"))
    }

    fn filter(&mut self, expr: &ast::Expr<'_>, filter: &ast::Filter<'_>) -> Result<Kind, Wrong> {
        let Some(known) = FILTERS.iter().find(|known| known.name == filter.name) else {
            let names: Vec<&str> = FILTERS.iter().map(|known| known.name).collect();
            return Err(self.unknown(expr, "filter", filter.name, &names));
        };
        let Some(subject) = &filter.expr else {
            return Err(self.wrong(
                expr,
                "the filter has nothing to work on",
                "write value | filter",
            ));
        };
        let kind = self.one_of(subject, known.takes)?;
        let by_part = matches!(&filter.args[..], [ast::CallArg::Kwarg("attribute", _)]);
        if known.name == "map" && !by_part {
            let remedy = "write map(attribute=\"price\")";
            return Err(self.wrong(expr, "`map` takes the name of a part", remedy));
        }
        let (least, most) = known.arguments;
        let arguments = self.arguments(expr, &filter.args)?;
        if !(least..=most).contains(&arguments.len()) {
            let message = format!("`{}` has {} arguments", known.name, arguments.len());
            let remedy = match (least, most) {
                (0, 0) => "give it none".to_owned(),
                (least, most) if least == most => format!("give it {least}"),
                (least, most) => format!("give it {least} to {most}"),
            };
            return Err(self.wrong(expr, &message, remedy));
        }
        Ok(match (known.name, arguments.first()) {
            ("default", Some(otherwise)) => kind.or(*otherwise),
            ("reverse", _) => kind,
            _ => known.gives,
        })
    }

    fn test(&mut self, expr: &ast::Expr<'_>, test: &ast::Test<'_>) -> Result<Kind, Wrong> {
        let Some((name, wanted)) = TESTS.iter().find(|(name, _)| *name == test.name) else {
            let names: Vec<&str> = TESTS.iter().map(|(name, _)| *name).collect();
            return Err(self.unknown(expr, "test", test.name, &names));
        };
        self.kind(&test.expr)?;
        let given = self.arguments(expr, &test.args)?.len();
        if given != *wanted {
            let message = format!("`{name}` has {given} arguments");
            return Err(self.wrong(expr, &message, format!("give it {wanted}")));
        }
        Ok(Kind::Boolean)
    }

    fn arguments(
        &mut self,
        expr: &ast::Expr<'_>,
        arguments: &[ast::CallArg<'_>],
    ) -> Result<Vec<Kind>, Wrong> {
        let kinds = arguments.iter().map(|argument| match argument {
            ast::CallArg::Pos(value) | ast::CallArg::Kwarg(_, value) => self.kind(value),
            ast::CallArg::PosSplat(_) | ast::CallArg::KwargSplat(_) => Err(self.wrong(
                expr,
                "arguments cannot be unpacked",
                "write them one by one",
            )),
        });
        kinds.collect()
    }

    fn unknown(&self, at: &ast::Expr<'_>, what: &str, name: &str, known: &[&str]) -> Wrong {
        let message = format!("there is no {what} `{}`", quote(name));
        let remedy = match nearest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("use one of {}", known.join(", ")),
        };
        self.wrong(at, &message, remedy)
    }

    fn call(&self, expr: &ast::Expr<'_>, call: &ast::Call<'_>) -> Wrong {
        let name = match &call.expr {
            ast::Expr::Var(name) => name.id,
            ast::Expr::GetAttr(part) => part.name,
            _ => "",
        };
        let remedy = match FILTERS.iter().find(|filter| filter.name == name) {
            Some(filter) => format!("write value | {}", filter.name),
            None => "use a filter: value | round".to_owned(),
        };
        self.wrong(expr, "expressions have no functions", remedy)
    }
}
