//! The same value in fewer words.

use crate::ir::*;

/// Applies all rules to it and to what is in it.
pub(crate) fn simplify(mut value: Expr) -> Expr {
    // What one rule makes, another may shorten; each pass shortens or moves inwards.
    for _ in 0..4 {
        let mut changed = false;
        value.alter(&mut |e| {
            if let Some(simpler) = rule(e) {
                *e = simpler;
                changed = true;
            }
        });
        if !changed {
            break;
        }
    }
    value
}

fn unary(op: Unary, ty: Type, e: Expr) -> Expr {
    Expr::Unary(op, ty, Box::new(e))
}

/// What is not but whole numbers of up to 64 bits.
fn is_whole(ty: Type) -> bool {
    matches!(ty, Type::Bits(bits) if bits <= 64)
}

fn rule(e: &Expr) -> Option<Expr> {
    match e {
        Expr::Unary(op, ty, inner) => unary_rule(*op, *ty, inner),
        Expr::Binary(op, ty, a, b) => binary_rule(*op, *ty, a, b),
        Expr::Choice(ty, condition, a, b) => match &**condition {
            Expr::Const(0, _) => Some((**b).clone()),
            Expr::Const(..) => Some((**a).clone()),
            _ if a == b => Some((**a).clone()),
            _ if matches!((&**a, &**b), (Expr::Const(1, _), Expr::Const(0, _)))
                && is_whole(*ty) =>
            {
                Some(widened(*ty, (**condition).clone()))
            }
            _ => None,
        },
        _ => None,
    }
}

/// A condition as wide as `ty`.
fn widened(ty: Type, condition: Expr) -> Expr {
    match ty == BYTE {
        true => condition,
        false => unary(Unary::Widen(8), ty, condition),
    }
}

fn unary_rule(op: Unary, ty: Type, inner: &Expr) -> Option<Expr> {
    match (op, inner) {
        (Unary::Cut(_), _) if inner.ty() == ty => Some(inner.clone()),
        (Unary::Cut(_), Expr::Const(value, _)) => Some(Expr::Const(value & ty.mask(), ty)),
        (Unary::Cut(_), Expr::Undefined(_)) => Some(Expr::Undefined(ty)),
        (Unary::Cut(bits), Expr::Unary(Unary::Cut(_), _, e)) => {
            Some(unary(Unary::Cut(bits), ty, (**e).clone()))
        }
        (
            Unary::Cut(bits),
            Expr::Unary(wide @ (Unary::Widen(from) | Unary::Extend(from)), _, e),
        ) => Some(match bits.cmp(from) {
            std::cmp::Ordering::Equal => (**e).clone(),
            std::cmp::Ordering::Less => unary(Unary::Cut(bits), ty, (**e).clone()),
            std::cmp::Ordering::Greater => unary(*wide, ty, (**e).clone()),
        }),
        (Unary::Cut(bits), Expr::Binary(op, from, a, b)) if is_whole(*from) => {
            let cut = |e: &Expr| unary(Unary::Cut(bits), ty, e.clone());
            match op {
                Binary::And
                | Binary::Or
                | Binary::Xor
                | Binary::Add
                | Binary::Sub
                | Binary::Mul => Some(binary(*op, ty, cut(a), cut(b))),
                Binary::Shl => match **b {
                    Expr::Const(by, _) if by < u64::from(bits) => {
                        Some(binary(*op, ty, cut(a), Expr::Const(by, ty)))
                    }
                    Expr::Const(..) => Some(Expr::Const(0, ty)),
                    _ => None,
                },
                // The high byte of a half that is known.
                Binary::Shr => match (&**a, &**b) {
                    (Expr::Unary(Unary::Widen(from), _, e), Expr::Const(by, _))
                        if by + u64::from(bits) <= u64::from(*from) =>
                    {
                        let part = e.ty();
                        let part = binary(Binary::Shr, part, (**e).clone(), Expr::Const(*by, part));
                        Some(unary(Unary::Cut(bits), ty, part))
                    }
                    _ => None,
                },
                _ => None,
            }
        }
        (Unary::Cut(bits), Expr::Unary(op @ (Unary::Not | Unary::Negate), from, e))
            if is_whole(*from) =>
        {
            Some(unary(*op, ty, unary(Unary::Cut(bits), ty, (**e).clone())))
        }
        (Unary::Cut(bits), Expr::Choice(_, condition, a, b)) => {
            let cut = |e: &Expr| Box::new(unary(Unary::Cut(bits), ty, e.clone()));
            Some(Expr::Choice(ty, condition.clone(), cut(a), cut(b)))
        }
        (Unary::Cut(_), Expr::Load(from, address)) if is_whole(*from) && is_whole(ty) => {
            // The low bytes lie first.
            Some(Expr::Load(ty, address.clone()))
        }
        (Unary::Widen(_) | Unary::Extend(_), _) if inner.ty() == ty => Some(inner.clone()),
        (Unary::Widen(_), Expr::Const(value, _)) => Some(Expr::Const(*value, ty)),
        (Unary::Extend(from), Expr::Const(value, _)) => Some(Expr::Const(
            Type::Bits(from).signed(*value) as u64 & ty.mask(),
            ty,
        )),
        (Unary::Widen(_), Expr::Unary(Unary::Widen(from), _, e)) => {
            Some(unary(Unary::Widen(*from), ty, (**e).clone()))
        }
        (Unary::Extend(_), Expr::Unary(Unary::Extend(from), _, e)) => {
            Some(unary(Unary::Extend(*from), ty, (**e).clone()))
        }
        (Unary::Extend(outer), Expr::Unary(Unary::Widen(from), _, e)) if outer > *from => {
            Some(unary(Unary::Widen(*from), ty, (**e).clone()))
        }
        (Unary::Not, Expr::Unary(Unary::Not, _, e))
        | (Unary::Negate, Expr::Unary(Unary::Negate, _, e)) => Some((**e).clone()),
        (Unary::Not, Expr::Const(value, _)) => Some(Expr::Const(!value & ty.mask(), ty)),
        (Unary::Negate, Expr::Const(value, _)) if is_whole(ty) => {
            Some(Expr::Const(value.wrapping_neg() & ty.mask(), ty))
        }
        (Unary::Bits(_), Expr::Unary(Unary::Bits(from), _, e)) if *from == ty => {
            Some((**e).clone())
        }
        (Unary::Bits(_), Expr::Load(_, address)) => Some(Expr::Load(ty, address.clone())),
        (Unary::Bits(_), Expr::Global(_, name, at)) => Some(Expr::Global(ty, name.clone(), *at)),
        _ => None,
    }
}

fn binary_rule(op: Binary, ty: Type, a: &Expr, b: &Expr) -> Option<Expr> {
    if !is_whole(ty) {
        return None;
    }
    let mask = ty.mask();
    if let (Expr::Const(x, _), Expr::Const(y, _)) = (a, b) {
        return fold(op, ty, *x, *y);
    }
    if op.compares() {
        return compare_rule(op, ty, a, b);
    }
    // Constants come last.
    if let Expr::Const(..) = a
        && op.commutes()
    {
        return Some(binary(op, ty, b.clone(), a.clone()));
    }
    let Expr::Const(constant, _) = b else {
        return match op {
            Binary::Sub | Binary::Xor if a == b && !a.reads() => Some(Expr::Const(0, ty)),
            Binary::And | Binary::Or if a == b && !a.reads() => Some(a.clone()),
            _ => None,
        };
    };
    let constant = *constant & mask;
    match (op, constant) {
        (
            Binary::Add
            | Binary::Sub
            | Binary::Or
            | Binary::Xor
            | Binary::Shl
            | Binary::Shr
            | Binary::SignedShr
            | Binary::RotateLeft
            | Binary::RotateRight,
            0,
        )
        | (Binary::Mul, 1) => return Some(a.clone()),
        (Binary::Mul | Binary::And, 0) => return Some(Expr::Const(0, ty)),
        (Binary::And, all) if all == mask => return Some(a.clone()),
        (Binary::Or, all) if all == mask => return Some(Expr::Const(mask, ty)),
        (Binary::Xor, all) if all == mask => return Some(unary(Unary::Not, ty, a.clone())),
        (Binary::Sub, number) => {
            let number = Expr::Const(number.wrapping_neg() & mask, ty);
            return Some(binary(Binary::Add, ty, a.clone(), number));
        }
        _ => {}
    }
    match (op, a) {
        (Binary::Add, Expr::Binary(Binary::Add, _, x, y)) => match &**y {
            Expr::Const(inner, _) => {
                let sum = Expr::Const(inner.wrapping_add(constant) & mask, ty);
                Some(binary(Binary::Add, ty, (**x).clone(), sum))
            }
            _ => None,
        },
        (Binary::And, Expr::Binary(Binary::And, _, x, y)) => match &**y {
            Expr::Const(inner, _) => {
                let both = Expr::Const(inner & constant, ty);
                Some(binary(Binary::And, ty, (**x).clone(), both))
            }
            _ => None,
        },
        // The high part of what was widened is 0.
        (Binary::And, Expr::Unary(Unary::Widen(from), _, _))
            if constant & Type::Bits(*from).mask() == Type::Bits(*from).mask() =>
        {
            Some(a.clone())
        }
        (Binary::And, Expr::Unary(Unary::Widen(from), _, _))
            if constant & Type::Bits(*from).mask() == 0 =>
        {
            Some(Expr::Const(0, ty))
        }
        (Binary::And, Expr::Binary(Binary::Or, _, x, y)) => {
            // Parts of a register that were put together.
            let part = |e: &Expr| binary(Binary::And, ty, e.clone(), Expr::Const(constant, ty));
            let (x, y) = (once(part(x)), once(part(y)));
            match (&x, &y) {
                (Expr::Const(0, _), _) => Some(y),
                (_, Expr::Const(0, _)) => Some(x),
                _ => None,
            }
        }
        (Binary::Shl, Expr::Binary(Binary::Shl, _, x, y)) => match &**y {
            Expr::Const(inner, _) if inner + constant < u64::from(ty.bits()) => {
                let sum = Expr::Const(inner + constant, ty);
                Some(binary(Binary::Shl, ty, (**x).clone(), sum))
            }
            _ => None,
        },
        _ => None,
    }
}

/// One rule, if one applies.
fn once(e: Expr) -> Expr {
    rule(&e).unwrap_or(e)
}

fn compare_rule(op: Binary, ty: Type, a: &Expr, b: &Expr) -> Option<Expr> {
    if let (Expr::Const(..), false) = (a, matches!(b, Expr::Const(..))) {
        return match op {
            Binary::Equal | Binary::Unequal => Some(binary(op, ty, b.clone(), a.clone())),
            _ => None,
        };
    }
    let Expr::Const(constant, _) = b else {
        return None;
    };
    // Conditions that were made numbers, and are asked for again.
    let inner = match a {
        Expr::Unary(Unary::Widen(8), _, inner) => inner,
        other => other,
    };
    if let (Binary::Equal | Binary::Unequal, 0) = (op, constant)
        && let Expr::Binary(compares, of, x, y) = inner
        && compares.compares()
    {
        if op == Binary::Unequal {
            return Some(inner.clone());
        }
        let (x, y) = ((**x).clone(), (**y).clone());
        let float = matches!(of, Type::Float(_));
        return match compares {
            Binary::Equal => Some(binary(Binary::Unequal, *of, x, y)),
            Binary::Unequal => Some(binary(Binary::Equal, *of, x, y)),
            // Floats may have no order.
            _ if float => None,
            Binary::Less => Some(binary(Binary::LessEqual, *of, y, x)),
            Binary::LessEqual => Some(binary(Binary::Less, *of, y, x)),
            Binary::SignedLess => Some(binary(Binary::SignedLessEqual, *of, y, x)),
            Binary::SignedLessEqual => Some(binary(Binary::SignedLess, *of, y, x)),
            _ => None,
        };
    }
    match (op, a) {
        (
            Binary::Equal | Binary::Unequal | Binary::Less | Binary::LessEqual,
            Expr::Unary(Unary::Widen(from), _, inner),
        ) if *constant <= Type::Bits(*from).mask() => {
            let narrow = Type::Bits(*from);
            Some(binary(
                op,
                narrow,
                (**inner).clone(),
                Expr::Const(*constant, narrow),
            ))
        }
        (Binary::Equal | Binary::Unequal, Expr::Binary(Binary::Add, _, x, y)) => match &**y {
            Expr::Const(number, _) => {
                let number = constant.wrapping_sub(*number) & ty.mask();
                Some(binary(op, ty, (**x).clone(), Expr::Const(number, ty)))
            }
            _ => None,
        },
        (Binary::Equal | Binary::Unequal, Expr::Binary(Binary::Sub, _, x, y)) if *constant == 0 => {
            Some(binary(op, ty, (**x).clone(), (**y).clone()))
        }
        _ => None,
    }
}

fn fold(op: Binary, ty: Type, x: u64, y: u64) -> Option<Expr> {
    let (mask, bits) = (ty.mask(), ty.bits());
    let (sx, sy) = (ty.signed(x), ty.signed(y));
    let truth = |holds: bool| Some(Expr::Const(holds.into(), BYTE));
    let number = |value: u64| Some(Expr::Const(value & mask, ty));
    match op {
        Binary::Add => number(x.wrapping_add(y)),
        Binary::Sub => number(x.wrapping_sub(y)),
        Binary::Mul => number(x.wrapping_mul(y)),
        Binary::And => number(x & y),
        Binary::Or => number(x | y),
        Binary::Xor => number(x ^ y),
        Binary::Shl if y < u64::from(bits) => number(x << y),
        Binary::Shr if y < u64::from(bits) => number(x >> y),
        Binary::SignedShr if y < u64::from(bits) => number((sx >> y) as u64),
        Binary::Equal => truth(x == y),
        Binary::Unequal => truth(x != y),
        Binary::Less => truth(x < y),
        Binary::LessEqual => truth(x <= y),
        Binary::SignedLess => truth(sx < sy),
        Binary::SignedLessEqual => truth(sx <= sy),
        _ => None,
    }
}
