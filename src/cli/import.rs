//! `souk import`: from a TorchScript file to a version that passes `souk check`.

use std::{collections::BTreeSet, num::NonZeroUsize, path::PathBuf};

use anyhow::{anyhow, bail};
use clap::Args;

use super::{
    Failure,
    check::{examined, means},
    engines, print, say, thread_setup,
};
use crate::{
    api::JsonForms,
    manifest::{Arguments, Task, check_name},
    model::{
        import::{Archive, Argument, Derived, Draft, Example, TensorSpec, Wish, derive, next_version},
        torch::{Inspected, Parameter, RELEASE},
    },
    trust::Trust,
};

/// Parameters that are listed before the rest is only counted.
const LISTED: usize = 12;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  souk import ranker.pt --model ranker                          says what the module takes
  souk import ranker.pt --model ranker --example rows.npz       writes models/ranker/<next number>
  souk import tagger.pt --model tagger --example short.npz --example long.npz

An example is a file of np.savez with an array for each argument, by its name; the first dimension is rows. It
is what the version is proved by at every start, so it should hold real rows: 8 to 64 are good. Sizes that differ
between several examples are left open to requests (-1).

Runs the file's code, as serving does: import only what you would run. Prints the version's folder on standard
output, where a running server finds it. Exit code 1 where the module fails or would not pass `souk check`, 2 where
something is missing; nothing is left behind then.")]
pub(super) struct Import {
    /// A module, as torch.jit.save writes it.
    file: PathBuf,
    /// The name by which clients ask for it.
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Inputs, as np.savez writes them; several files with other sizes leave those open.
    #[arg(long = "example", value_name = "FILE")]
    examples: Vec<PathBuf>,
    /// The version's number [default: the one after the newest].
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// The folder of models.
    #[arg(long, value_name = "FOLDER", default_value = "models")]
    models: PathBuf,
    /// Most rows in one pass, where the module has a dimension of rows.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ROWS)]
    max_batch_rows: NonZeroUsize,
    /// One sentence for people.
    #[arg(long, value_name = "TEXT")]
    describe: Option<String>,
}

const DEFAULT_ROWS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

impl Import {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.check_name().map_err(Failure::Usage)?;
        let _thread = thread_setup(NonZeroUsize::MIN)();
        let file = self.file.display();
        let archive = Archive::read(&self.file).map_err(|reason| Failure::Usage(anyhow!("{file} {reason}")))?;
        let (call, arguments) =
            archive.signature.call().map_err(|reason| Failure::Usage(anyhow!("{file}: {reason}")))?;
        let module = Inspected::load(&self.file)
            .map_err(|reason| anyhow!("{file} can't be loaded by PyTorch {RELEASE}: {reason}"))?;
        let parameters = module.parameters().map_err(|reason| anyhow!("{file}: {reason}"))?;
        tell(&archive, &parameters);
        let version = self.number().map_err(Failure::Usage)?;
        let derived = self.derived(&module, (call, arguments), &parameters)?;
        tell_derived(&derived);
        let place = self.written((version, call), &archive, &derived)?;
        say(format_args!("{} version {version} passes `souk check`", self.model));
        print(format_args!("{}", place.display()));
        Ok(())
    }

    /// What running the module on the examples tells, or on made-up numbers.
    fn derived(
        &self,
        module: &Inspected,
        (call, arguments): (Arguments, &[Argument]),
        parameters: &[Parameter],
    ) -> Result<Derived, Failure> {
        let examples = self.read(call, arguments).map_err(Failure::Usage)?;
        if examples.is_empty() {
            let derived = derived_from_weights(module, (call, arguments), parameters);
            return derived.ok_or_else(|| Failure::Usage(anyhow!("{}", self.wanted(call, arguments))));
        }
        Ok(derive(module, call, &examples).map_err(|reason| anyhow!("{}: {reason}", self.file.display()))?)
    }

    /// The version's folder, once it is proved.
    fn written(
        &self,
        (version, arguments): (u64, Arguments),
        archive: &Archive,
        derived: &Derived,
    ) -> Result<PathBuf, Failure> {
        let wish = Wish {
            model: &self.model,
            version,
            description: self.describe.as_deref(),
            max_batch_rows: self.max_batch_rows.get(),
            torch_version: RELEASE,
            arguments,
        };
        let draft =
            Draft::write(&self.models, &self.file, (&wish, archive, derived)).map_err(|reason| anyhow!(reason))?;
        self.prove(&draft)?;
        Ok(draft.publish(&self.models).map_err(|reason| anyhow!(reason))?)
    }

    /// Before anything is looked for below a folder of this name.
    fn check_name(&self) -> anyhow::Result<()> {
        let name = &self.model;
        if let Err(wanted) = check_name(name) {
            bail!("--model: found {name:?}, wanted {wanted}");
        }
        if Task::of_model(name).is_some() {
            bail!("--model: found {name:?}, wanted a name that is no other task's");
        }
        Ok(())
    }

    /// The version's number, which nobody has yet.
    fn number(&self) -> anyhow::Result<u64> {
        let next = next_version(&self.models, &self.model)
            .map_err(|error| anyhow!("{}: can't be listed: {error}", self.models.join(&self.model).display()))?;
        let Some(number) = self.version.or(next) else {
            bail!("{} has the last version that a number can say: choose another --version", self.model);
        };
        let place = self.models.join(&self.model).join(number.to_string());
        if place.symlink_metadata().is_ok() {
            let free = next.map(|next| format!(", such as {next}")).unwrap_or_default();
            bail!("{} is there already: choose another --version{free}", place.display());
        }
        Ok(number)
    }

    fn read(&self, call: Arguments, arguments: &[Argument]) -> anyhow::Result<Vec<Example>> {
        let read = |path: &PathBuf| Example::read(path, (call, arguments));
        let examples = self.examples.iter().map(read).collect::<Result<Vec<_>, _>>();
        examples.map_err(|reason| anyhow!("{reason}\n\n{}", snippet(call, arguments, &self.model)))
    }

    /// What is needed, with a snippet that makes it.
    fn wanted(&self, call: Arguments, arguments: &[Argument]) -> String {
        let listed: String =
            arguments.iter().map(|argument| format!("\n  {}: {}", argument.name, argument.kind)).collect();
        format!(
            "{} says no shapes, so an example of what goes in is needed:{listed}\n\n{}\n\nThen run the same command \
             with --example rows.npz",
            self.file.display(),
            snippet(call, arguments, &self.model),
        )
    }

    /// The same examination as that of a server and of `souk check`.
    fn prove(&self, draft: &Draft) -> Result<(), Failure> {
        let (rows, engines, trust) = (JsonForms::new()?, engines(NonZeroUsize::MAX), Trust::default());
        let examination = examined(&draft.folder(), &means(&rows, engines.as_ref(), &trust));
        if examination.problems.is_empty() {
            return Ok(());
        }
        say(format_args!("souk: the version would not pass `souk check`, so it was removed again:"));
        examination.problems.iter().for_each(|problem| say(format_args!("        {problem}")));
        Err(Failure::Bad)
    }
}

/// A ready piece of Python for an example.
fn snippet(call: Arguments, arguments: &[Argument], model: &str) -> String {
    let array = |name: &str, what: &str| format!("        {name}=...,  # {what}\n");
    let arrays: String = match call {
        Arguments::Tensors => arguments.iter().map(|argument| array(&argument.name, &argument.kind)).collect(),
        Arguments::List => {
            ["first", "second"].map(|name| array(name, "one for each tensor of the list, in order")).concat()
        }
        Arguments::Dict => array("KEY", "one for each key of the dictionary, by that name"),
    };
    format!(
        "    import numpy as np\n    # 8 to 64 real rows for {model}, such as of the test set: arrays of the types that \
         the model takes,\n    # whose first dimension is rows\n    np.savez(\"rows.npz\",\n{arrays}    )"
    )
}

/// What the file says of itself.
fn tell(archive: &Archive, parameters: &[Parameter]) {
    say(format_args!("{}", archive.signature));
    let values: usize = parameters.iter().map(Parameter::len).sum();
    let types: BTreeSet<&str> = parameters.iter().map(|parameter| parameter.dtype.as_str()).collect();
    let types = types.into_iter().collect::<Vec<_>>().join(", ");
    match parameters.len() {
        0 => say(format_args!("no parameters: it was frozen, or has none")),
        count => say(format_args!("{count} parameters with {values} values of {types}")),
    }
    say(format_args!("{} bytes of tensors, with buffers and constants", archive.tensor_bytes));
    for Parameter { name, dtype, shape } in parameters.iter().take(LISTED) {
        say(format_args!("  {name} {dtype}{shape:?}"));
    }
    if let Some(more) = parameters.len().checked_sub(LISTED).filter(|more| *more > 0) {
        say(format_args!("  and {more} more"));
    }
}

/// What was found out.
fn tell_derived(derived: &Derived) {
    let tell = |kind: &str, specs: &[TensorSpec]| specs.iter().for_each(|spec| say(format_args!("{kind} {spec}")));
    tell("input ", &derived.inputs);
    tell("output", &derived.outputs);
    match &derived.not_batched {
        None => say(format_args!("rows of several requests share a pass")),
        Some(why) => say(format_args!("no dimension of rows, so each request has a pass of its own: {why}")),
    }
    if derived.inputs.iter().any(|spec| spec.shape.contains(&-1)) && derived.not_batched.is_none() {
        say(format_args!(
            "rows of equal sizes share a pass; where the module ignores a filling, such as token 0, `padding` of the \
             input in manifest.json lets others share it too"
        ));
    }
    say(format_args!("{} golden rows", derived.golden.len()));
}

/// A module of one tensor that takes what its first weight takes: found out without an
/// example.
fn derived_from_weights(
    module: &Inspected,
    (call, arguments): (Arguments, &[Argument]),
    parameters: &[Parameter],
) -> Option<Derived> {
    let [Argument { name, .. }] = arguments else { return None };
    let widths = parameters.iter().filter_map(|parameter| match parameter.shape.as_slice() {
        [_, width] if call == Arguments::Tensors => Some((parameter, *width)),
        _ => None,
    });
    let (parameter, derived) = widths.take(LISTED).find_map(|(parameter, width)| {
        let example = Example::of_numbers(name, width);
        let derived = derive(module, call, &[example]).ok().filter(|derived| derived.not_batched.is_none())?;
        Some((parameter, derived))
    })?;
    say(format_args!(
        "tried with made-up numbers, as {} takes them; --example rows.npz would prove it with real rows",
        parameter.name
    ));
    Some(derived)
}
