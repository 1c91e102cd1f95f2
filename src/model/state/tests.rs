use std::{fs, path::Path};

use super::*;

/// A method of these statements, with another function where there is one.
fn does(statements: &str, other: &str) -> bool {
    let source = format!(
        "class M(Module):\n  b : Tensor\n  eps : Final[float] = 1.\n  def forward(self: __torch__.M,\n    x: Tensor,\n    \
         y: Tensor=None) -> Tensor:\n    {statements}\n    return x\n{other}"
    );
    writes(&[source])
}

#[test]
fn what_is_put_or_written_in_place_is_found() {
    let cases = [
        "self.calls = torch.add(calls, 1)",
        "self.block.calls = torch.add(calls, 1)",
        "calls = self.calls\n    _0 = torch.add_(calls, 1)",
        "_0 = torch.mul(torch.add_(self.calls, 1), 2)",
        "scratch = self.scratch\n    part = torch.select(scratch, 0, 0)\n    _0 = torch.copy_(part, x)",
        "scratch = self.scratch\n    _0 = torch.mul(x, x, out=torch.select(scratch, 0, 1))",
        "seen = self.seen\n    _0 = torch.append(seen, x)",
        "seen = self.seen\n    first = seen[0]\n    _0 = torch.zero_(first)",
        "b = self.b\n    z = torch.to(b, 6)\n    _0 = torch.add_(z, torch.sum(x))",
        "b = self.b\n    z = torch.contiguous(b)\n    _0 = torch.add_(z, 1)",
        "b = self.b\n    a, c, = torch.chunk(b, 2)\n    _0 = torch.add_(c, 1)",
        "pair = self.pair\n    a, c, = pair\n    _0 = torch.add_(a, 1)",
        "n, b = x, self.b\n    _0 = torch.add_(b, 1)",
        "_0 = torch.unbind(self.b)\n    for _1 in range(torch.len(_0)):\n      t = _0[_1]\n      _2 = torch.add_(t, 1)",
        "_0 = torch.items(self.d)\n    k, v, = _0[0]\n    _1 = torch.add_(v, 1)",
        "_0 = torch.add_((torch.values(self.d))[0], 1)",
        "_0 = torch.add_(torch.what_nobody_knows(x, [self.b]), 1)",
        "b : Tensor = self.b\n    _0 = torch.add_(b, 1)",
        "if bool(x):\n      w = x\n    else:\n      w = self.b\n    _0 = torch.__iand__(w, x)",
        "all = annotate(List[Tensor], [])\n    _0 = torch.append(all, self.b)\n    _1 = torch.zero_(all[0])",
        "_0 = torch.add_(CONSTANTS.c0, 1)",
        "_0 = torch.add_(getattr(self.list, \"0\"), 1)",
        "_0 = torch.batch_norm(x, None, None, self.mean, self.var, True, 0.1, 1e-05, True)",
        "w = x\n    while True:\n      _0 = torch.add_(w, 1)\n      w = self.b",
    ];
    for case in cases {
        assert!(does(case, ""), "{case}");
    }
}

#[test]
fn what_a_function_writes_to_is_what_it_was_handed() {
    let helper = "  def help(self: __torch__.M,\n    n: int,\n    t: Tensor) -> Tensor:\n    return torch.add_(t, n)\n";
    assert!(does("_0 = (self).help(1, self.b, )", helper));
    assert!(does("_0 = (self).help(1, torch.view(self.b, [-1]), )", helper));
    assert!(!does("_0 = (self).help(self.n, torch.mul(self.b, 2), )", helper));
    assert!(!does("_0 = (self).help(1, x, )", helper));
    let function = "def outer(t: Tensor) -> Tensor:\n  _0 = __torch__.inner\n  return _0(t, 1, )\n\
                    def inner(t: Tensor,\n    n: int=1) -> Tensor:\n  return torch.add_(t, n)\n";
    assert!(does("f = __torch__.outer\n    _0 = f(self.b, )", function));
    assert!(does("_0 = __torch__.outer(self.b, )", function));
    assert!(!does("_0 = __torch__.outer(torch.neg(self.b), )", function));
    let changes = "def change(d: Dict[str, Tensor]) -> NoneType:\n  torch._set_item(d, \"k\", torch.zeros([1]))\n";
    assert!(does("_0 = __torch__.change(self.d, )", changes));
    assert!(!does("_0 = __torch__.change({\"a\": x}, )", changes));
    let gives = "  def mine(self: __torch__.M) -> Tensor:\n    b = self.b\n    return torch.slice(b, 0)\n";
    assert!(does("_0 = torch.add_((self).mine(), x)", gives));
    let same = "  def same(self: __torch__.M,\n    t: Tensor) -> Tensor:\n    return t\n";
    assert!(does("_0 = torch.add_((self).same(self.b, ), x)", same));
    assert!(!does("_0 = torch.add_((self).same(x, ), self.b)", same));
}

#[test]
fn what_is_read_or_made_in_the_pass_is_not() {
    let cases = [
        "found = annotate(List[Tensor], [])\n    _0 = torch.append(found, x)",
        "weight = self.weight\n    z = torch.linear(x, weight)\n    _0 = torch.relu_(z)",
        "_0 = torch.copy_(torch.select(x, 0, 0), y)",
        "tracked = self.num_batches_tracked\n    _0 = torch.add_(tracked, 1)",
        "_0 = torch.__contains__(self.names, name)",
        "_0 = torch.batch_norm(x, self.w, self.b, self.mean, self.var, False, 0.1, 1e-05, True)\n    _1 = torch.relu_(_0)",
        "z = torch.reshape(x, [-1, self.width])\n    _0 = torch.add_(z, 1)",
        "z, h, = torch.lstm(x, [y], self.weights, True, 1)\n    _0 = torch.mul_(z, 2)",
        "_0 = torch.masked_fill_(torch.zeros_like(self.b), x, -inf)",
        "ops.prim.RaiseException(\"a = torch.add_(self.b, \\\" 1)\", \"builtins.ValueError\")",
    ];
    for case in cases {
        assert!(!does(case, ""), "{case}");
    }
    // Names are those of their method.
    assert!(!does(
        "z = self.b",
        "  def other(self: __torch__.M) -> Tensor:\n    z = torch.zeros([1])\n    return torch.relu_(z)"
    ));
}

#[test]
fn what_is_too_deep_is_taken_to_write() {
    let deep = |depth: usize| does(&format!("z = {}x{}", "(".repeat(depth), ")".repeat(depth)), "");
    assert!(!deep(100) && deep(100_000));
}

fn file_writes(file: &Path) -> bool {
    let of_bytes = writes_to_itself(&Place::Bytes(&fs::read(file).unwrap()));
    assert_eq!(of_bytes, writes_to_itself(&Place::Path(file.to_str().unwrap().to_owned())));
    of_bytes
}

#[test]
fn modules_that_write_to_themselves_are_told_from_all_others() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = |root: &Path| {
        let entries = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.join("1/model.pt").is_file()).collect::<Vec<_>>()
    };
    let mut models = folders(&root.join("tests/fixtures/modules"));
    assert!(models.len() >= 30);
    models.extend(folders(&root.join("models")));
    let found = models.iter().filter(|path| file_writes(&path.join("1/model.pt")));
    let mut found: Vec<_> = found.map(|path| path.file_name().unwrap()).collect();
    found.sort();
    assert_eq!(found, ["counts_calls", "remembers_the_last", "scratch_buffer"]);
    assert!(writes_to_itself(&Place::Bytes(b"no archive")));
}
