//! Evaluation with three truth values, within a budget of work.

use crate::condition::expr::{Arithmetic, Comparison, Expr, Loop, Program};
use crate::condition::value::Val;
use crate::condition::{Facts, Truth, Unknown};
use crate::ids::FieldName;

/// Steps that one evaluation may take; a step handles one node, one item or 64 bytes of text.
const MAX_WORK: usize = 20_000;
/// Stack that an evaluation gets for each level of the tree, in bytes; debug builds use under 8 KiB.
const EVAL_BYTES_PER_LEVEL: usize = 16 * 1024;

/// Says whether a condition holds.
pub(super) fn evaluate(program: &Program, facts: &dyn Facts) -> Truth {
    if !program.names_fields(|field| facts.is_defined(field)) {
        return Truth::Unknown(Unknown::Unjudged);
    }
    let stack = (program.depth + 4) * EVAL_BYTES_PER_LEVEL;
    let answer = stacker::maybe_grow(stack, stack, || {
        let mut run = Run { facts, fields: &program.fields, locals: Vec::new(), work: MAX_WORK };
        run.test(&program.root)
    });
    match answer {
        Ok(true) => Truth::True,
        Ok(false) => Truth::False,
        Err(Stop::Missing(numbers)) => {
            let fields = numbers.iter().map(|&number| program.fields[number].clone()).collect();
            Truth::Unknown(Unknown::Missing(fields))
        }
        Err(Stop::Type(why)) => Truth::Unknown(Unknown::TypeError(why)),
    }
}

/// Why there is no value.
#[derive(Debug, Clone)]
pub(super) enum Stop {
    /// These fields are missing, by number and in order.
    Missing(Vec<usize>),
    /// A value cannot be used.
    Type(String),
}

impl Stop {
    /// What stops a logical operator both of whose operands are unknown: a missing field may still
    /// decide it, whatever the other operand is.
    fn either(self, other: Stop) -> Stop {
        match (self, other) {
            (Stop::Missing(a), Stop::Missing(b)) => Stop::Missing(union(a, b)),
            (missing @ Stop::Missing(_), Stop::Type(_))
            | (Stop::Type(_), missing @ Stop::Missing(_)) => missing,
            (wrong @ Stop::Type(_), Stop::Type(_)) => wrong,
        }
    }

    /// What stops an operator that needs both operands: no field can mend a value of the wrong type.
    fn both(self, other: Stop) -> Stop {
        match (self, other) {
            (Stop::Missing(a), Stop::Missing(b)) => Stop::Missing(union(a, b)),
            (wrong @ Stop::Type(_), _) | (_, wrong @ Stop::Type(_)) => wrong,
        }
    }
}

fn union(mut a: Vec<usize>, b: Vec<usize>) -> Vec<usize> {
    a.extend(b);
    a.sort_unstable();
    a.dedup();
    a
}

pub(super) type Outcome<'a> = Result<Val<'a>, Stop>;

/// Reports a value that cannot be used.
pub(super) fn wrong<T>(why: String) -> Result<T, Stop> {
    Err(Stop::Type(why))
}

struct Run<'a> {
    facts: &'a dyn Facts,
    fields: &'a [FieldName],
    /// The variables of the loops around; an accumulator may itself be unknown.
    locals: Vec<Outcome<'a>>,
    work: usize,
}

impl<'a> Run<'a> {
    fn spend(&mut self, steps: usize) -> Result<(), Stop> {
        match self.work.checked_sub(steps) {
            Some(left) => {
                self.work = left;
                Ok(())
            }
            None => {
                self.work = 0;
                wrong("the condition takes too much work on these values".to_owned())
            }
        }
    }

    fn eval(&mut self, expr: &'a Expr) -> Outcome<'a> {
        self.spend(1)?;
        match expr {
            Expr::Literal(value) => Ok(value.borrowed()),
            Expr::Field(number) => self.field(*number),
            Expr::Known(number) => Ok(Val::Bool(self.field(*number).is_ok())),
            Expr::Local(number) => {
                let value = self.locals[*number].clone()?;
                self.spend(value.size())?;
                Ok(value)
            }
            Expr::Select(operand, key) => {
                let object = self.eval(operand)?;
                select(&object, key)
            }
            Expr::Has(operand, key) => match self.eval(operand) {
                Ok(Val::Object(map)) => Ok(Val::Bool(map.get(key).is_some_and(|v| !v.is_null()))),
                Ok(other) => wrong(format!("`.{key}` needs an object, not {}", other.kind())),
                Err(Stop::Missing(_)) => Ok(Val::Bool(false)),
                Err(stop) => Err(stop),
            },
            Expr::Index(pair) => self.index(pair),
            Expr::Not(operand) => Ok(Val::Bool(!self.test(operand)?)),
            Expr::And(operands) => self.logic(operands, false),
            Expr::Or(operands) => self.logic(operands, true),
            Expr::If(parts) => self.choose(parts),
            Expr::Compare(comparison, pair) => self.compare(*comparison, pair),
            Expr::In(pair) => self.membership(pair),
            Expr::Arithmetic(operator, pair) => self.arithmetic(*operator, pair),
            Expr::Negate(operand) => match self.eval(operand)? {
                Val::Int(i) => i.checked_neg().map(Val::Int).ok_or_else(overflow),
                Val::Double(d) => Ok(Val::Double(-d)),
                other => wrong(format!("`-` needs a number, not {}", other.kind())),
            },
            Expr::List(items) => {
                let items = items.iter().map(|item| self.eval(item)).collect::<Vec<_>>();
                all(items).map(Val::Made)
            }
            Expr::Call(function, args) => {
                let args = args.iter().map(|arg| self.eval(arg)).collect::<Vec<_>>();
                let args = all(args)?;
                self.spend(args.iter().map(Val::size).sum())?;
                function.call(&args)
            }
            Expr::NotFalse(operand) => {
                Ok(Val::Bool(!matches!(self.eval(operand), Ok(Val::Bool(false)))))
            }
            Expr::Loop(parts) => self.each(parts),
        }
    }

    fn field(&self, number: usize) -> Outcome<'a> {
        match self.facts.get(self.fields[number].as_str()) {
            None | Some(serde_json::Value::Null) => Err(Stop::Missing(vec![number])),
            Some(value) => Ok(Val::of(value)),
        }
    }

    fn test(&mut self, expr: &'a Expr) -> Result<bool, Stop> {
        match self.eval(expr)? {
            Val::Bool(b) => Ok(b),
            other => {
                wrong(format!("{} is {}, not true or false", self.describe(expr), other.kind()))
            }
        }
    }

    fn pair(&mut self, pair: &'a [Expr; 2]) -> Result<[Val<'a>; 2], Stop> {
        match (self.eval(&pair[0]), self.eval(&pair[1])) {
            (Ok(a), Ok(b)) => {
                self.spend(a.size() + b.size())?;
                Ok([a, b])
            }
            (Err(a), Err(b)) => Err(a.both(b)),
            (Err(stop), Ok(_)) | (Ok(_), Err(stop)) => Err(stop),
        }
    }

    /// `or` is decided by one operand that is true, `and` by one that is false.
    fn logic(&mut self, operands: &'a [Expr], decisive: bool) -> Outcome<'a> {
        let mut unknown: Option<Stop> = None;
        for operand in operands {
            match self.test(operand) {
                Ok(value) if value == decisive => return Ok(Val::Bool(decisive)),
                Ok(_) => {}
                Err(stop) => {
                    unknown = Some(match unknown {
                        Some(before) => before.either(stop),
                        None => stop,
                    });
                }
            }
        }
        unknown.map_or(Ok(Val::Bool(!decisive)), Err)
    }

    fn choose(&mut self, parts: &'a [Expr; 3]) -> Outcome<'a> {
        match self.test(&parts[0]) {
            Ok(true) => self.eval(&parts[1]),
            Ok(false) => self.eval(&parts[2]),
            Err(stop) => match (self.eval(&parts[1]), self.eval(&parts[2])) {
                (Ok(a), Ok(b)) if a.equals(&b) == Some(true) => Ok(a),
                _ => Err(stop),
            },
        }
    }

    fn compare(&mut self, comparison: Comparison, operands: &'a [Expr; 2]) -> Outcome<'a> {
        let [a, b] = self.pair(operands)?;
        let answer = match comparison {
            Comparison::Equal => a.equals(&b),
            Comparison::NotEqual => a.equals(&b).map(|equal| !equal),
            Comparison::Less => a.order(&b).map(std::cmp::Ordering::is_lt),
            Comparison::LessOrEqual => a.order(&b).map(std::cmp::Ordering::is_le),
            Comparison::Greater => a.order(&b).map(std::cmp::Ordering::is_gt),
            Comparison::GreaterOrEqual => a.order(&b).map(std::cmp::Ordering::is_ge),
        };
        match answer {
            Some(answer) => Ok(Val::Bool(answer)),
            None => self.mismatch(comparison.sign(), operands, [&a, &b]),
        }
    }

    fn membership(&mut self, operands: &'a [Expr; 2]) -> Outcome<'a> {
        let [item, list] = self.pair(operands)?;
        match (&item, list) {
            (Val::Text(key), Val::Object(map)) => Ok(Val::Bool(map.contains_key(key.as_ref()))),
            (_, list @ (Val::List(_) | Val::Made(_))) => {
                let items = list.items().unwrap_or_default();
                let equal: Vec<Option<bool>> =
                    items.iter().map(|other| item.equals(other)).collect();
                if !equal.is_empty() && equal.iter().all(Option::is_none) {
                    return self.mismatch("in", operands, [&item, &items[0]]);
                }
                Ok(Val::Bool(equal.contains(&Some(true))))
            }
            (_, other) => wrong(format!("`in` needs a list on its right, not {}", other.kind())),
        }
    }

    fn index(&mut self, operands: &'a [Expr; 2]) -> Outcome<'a> {
        let no_item = |at| Stop::Type(format!("the list has no item {at}"));
        let place = |at| usize::try_from(at).unwrap_or(usize::MAX);
        match (self.eval(&operands[0]), self.eval(&operands[1])) {
            (Ok(object @ Val::Object(_)), Ok(Val::Text(key))) => select(&object, &key),
            (Ok(Val::List(items)), Ok(Val::Int(at))) => {
                items.get(place(at)).map(Val::of).ok_or_else(|| no_item(at))
            }
            (Ok(Val::Made(items)), Ok(Val::Int(at))) => {
                items.into_iter().nth(place(at)).ok_or_else(|| no_item(at))
            }
            (Ok(a), Ok(b)) => wrong(format!("{} cannot be looked up in {}", b.kind(), a.kind())),
            (Err(a), Err(b)) => Err(a.both(b)),
            (Err(stop), Ok(_)) | (Ok(_), Err(stop)) => Err(stop),
        }
    }

    fn arithmetic(&mut self, operator: Arithmetic, operands: &'a [Expr; 2]) -> Outcome<'a> {
        let [a, b] = self.pair(operands)?;
        match (operator, &a, &b) {
            (_, Val::Int(a), Val::Int(b)) => whole(operator, *a, *b),
            (_, Val::Uint(a), Val::Uint(b)) => natural(operator, *a, *b),
            (Arithmetic::Add, Val::Text(a), Val::Text(b)) => {
                Ok(Val::Text(format!("{a}{b}").into()))
            }
            (Arithmetic::Add, Val::Time(a), Val::Span(b))
            | (Arithmetic::Add, Val::Span(b), Val::Time(a)) => {
                a.checked_add(*b).map(Val::Time).map_err(|_| overflow())
            }
            (Arithmetic::Subtract, Val::Time(a), Val::Span(b)) => {
                a.checked_sub(*b).map(Val::Time).map_err(|_| overflow())
            }
            (Arithmetic::Subtract, Val::Time(a), Val::Time(b)) => {
                Ok(Val::Span(a.duration_since(*b)))
            }
            (Arithmetic::Add, Val::Span(a), Val::Span(b)) => {
                a.checked_add(*b).map(Val::Span).ok_or_else(overflow)
            }
            (Arithmetic::Subtract, Val::Span(a), Val::Span(b)) => {
                a.checked_sub(*b).map(Val::Span).ok_or_else(overflow)
            }
            (Arithmetic::Add, Val::List(_) | Val::Made(_), Val::List(_) | Val::Made(_)) => {
                let mut items = a.items().unwrap_or_default();
                items.extend(b.items().unwrap_or_default());
                Ok(Val::Made(items))
            }
            _ => match (a.as_double(), b.as_double()) {
                (Some(a), Some(b)) if operator != Arithmetic::Remainder => real(operator, a, b),
                _ => self.mismatch(operator.sign(), operands, [&a, &b]),
            },
        }
    }

    fn each(&mut self, parts: &'a Loop) -> Outcome<'a> {
        let range = self.eval(&parts.range)?;
        self.spend(range.size())?;
        let items = match range {
            Val::Object(map) => map.keys().map(|key| Val::Text(key.into())).collect(),
            list @ (Val::List(_) | Val::Made(_)) => list.items().unwrap_or_default(),
            other => return wrong(format!("a loop needs a list, not {}", other.kind())),
        };
        let base = self.locals.len();
        let start = self.eval(&parts.start);
        self.locals.push(Ok(Val::Null));
        self.locals.push(start);
        for item in items {
            self.locals[base] = Ok(item);
            if !matches!(self.eval(&parts.condition), Ok(Val::Bool(true))) || self.work == 0 {
                break;
            }
            self.locals[base + 1] = self.eval(&parts.step);
        }
        let result = self.eval(&parts.result);
        self.locals.truncate(base);
        result
    }

    fn mismatch<T>(
        &self,
        sign: &str,
        operands: &[Expr; 2],
        [a, b]: [&Val<'_>; 2],
    ) -> Result<T, Stop> {
        let (left, right) = (self.describe(&operands[0]), self.describe(&operands[1]));
        wrong(format!("`{sign}` cannot take {left} ({}) and {right} ({})", a.kind(), b.kind()))
    }

    fn describe(&self, expr: &Expr) -> String {
        match expr {
            Expr::Field(number) => format!("`{}`", self.fields[*number]),
            Expr::Literal(_) => "a fixed value".to_owned(),
            _ => "a part of the condition".to_owned(),
        }
    }
}

/// Every value, or what stops them all.
fn all<'a>(outcomes: Vec<Outcome<'a>>) -> Result<Vec<Val<'a>>, Stop> {
    let mut values = Vec::with_capacity(outcomes.len());
    let mut stopped: Option<Stop> = None;
    for outcome in outcomes {
        match outcome {
            Ok(value) => values.push(value),
            Err(stop) => stopped = Some(stopped.map_or(stop.clone(), |before| before.both(stop))),
        }
    }
    stopped.map_or(Ok(values), Err)
}

fn select<'a>(object: &Val<'a>, key: &str) -> Outcome<'a> {
    match *object {
        Val::Object(map) => match map.get(key) {
            Some(value) => Ok(Val::of(value)),
            None => wrong(format!("there is no `{key}` in the object")),
        },
        ref other => wrong(format!("`.{key}` needs an object, not {}", other.kind())),
    }
}

fn overflow() -> Stop {
    Stop::Type("a number or a time is out of range".to_owned())
}

fn whole<'a>(operator: Arithmetic, a: i64, b: i64) -> Outcome<'a> {
    match operator {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide | Arithmetic::Remainder if b == 0 => {
            return wrong("a division by zero".to_owned());
        }
        Arithmetic::Divide => a.checked_div(b),
        Arithmetic::Remainder => a.checked_rem(b),
    }
    .map(Val::Int)
    .ok_or_else(overflow)
}

fn natural<'a>(operator: Arithmetic, a: u64, b: u64) -> Outcome<'a> {
    match operator {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide | Arithmetic::Remainder if b == 0 => {
            return wrong("a division by zero".to_owned());
        }
        Arithmetic::Divide => a.checked_div(b),
        Arithmetic::Remainder => a.checked_rem(b),
    }
    .map(Val::Uint)
    .ok_or_else(overflow)
}

fn real<'a>(operator: Arithmetic, a: f64, b: f64) -> Outcome<'a> {
    Ok(Val::Double(match operator {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        Arithmetic::Remainder => a % b,
    }))
}
